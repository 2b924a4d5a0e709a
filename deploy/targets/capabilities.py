"""The least that a module must be allowed to do: computed from what it imports and exports."""

from collections.abc import Iterable, Mapping
from typing import Any

# Envoy takes an empty list for no restriction; nothing has this name, so a list of it alone allows nothing.
NOTHING = "nothing"


def allowed(facts: Mapping[str, Any]) -> list[str]:
    """Names for Envoy's `allowed_capabilities`: the host functions that the module imports, and its own callbacks.

    Empty where the facts do not say what the module holds, which is no restriction. What Envoy asks of every module
    (`malloc`, `_initialize`, the ABI's version) is no capability and not among them.
    """
    if "capabilities" not in facts or "hooks" not in facts:
        return []
    # These two are short whatever the module holds; the facts' lists of imports and exports may be cut.
    imported = {name for capability in facts["capabilities"] for name in capability["functions"]}
    callbacks = {name for hook in facts["hooks"] for name in hook["exports"]}
    listed = {entry["name"] for entry in facts.get("exports", ())}
    if facts.get("counts", {}).get("exports", -1) == len(facts.get("exports", ())):
        callbacks &= listed
    return sorted(imported | callbacks) or [NOTHING]


def restriction(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The field of Envoy's PluginConfig that allows no more, or nothing where the facts say nothing."""
    return only_these(allowed(facts))


def only_these(names: Iterable[str]) -> dict[str, Any]:
    """The field of Envoy's PluginConfig that allows these alone, or nothing for no names."""
    listed: dict[str, Any] = {name: {} for name in names}
    return {"capability_restriction_config": {"allowed_capabilities": listed}} if listed else {}
