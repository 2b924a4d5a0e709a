"""What a target wants of the filters that are deployed to it: settings that targets of every kind may have."""

import re
from collections.abc import Mapping
from typing import Any

from auth.signatures import read_signing_key
from deploy.checks.windows import read_freeze, read_windows
from deploy.fields import bad, number_field, only, text_field
from proxywasm.capabilities import PROXY, SYSTEM

RULES = ("policy", "max_filters", "cosign_keys", "envoy_version", "istio_version", "freeze", "windows")
ALLOW, WARN, DENY = "allow", "warn", "deny"
CAPABILITIES = tuple(dict.fromkeys(one.name for one in (*PROXY, *SYSTEM)))
MOST_KEYS = 20
MOST_FILTERS = 1000
_VERSIONS = ("envoy_version", "istio_version")
_RELEASE = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?")


def without_rules(settings: Mapping[str, Any], *kept: str) -> dict[str, Any]:
    """The settings of a target's own kind: those that are no rules, or rules that its kind reads by itself (`kept`)."""
    return {name: value for name, value in settings.items() if name not in RULES or name in kept}


def read_rules(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of RULES that were given, each checked. Raises ApiError that names the one that is wrong."""
    found: dict[str, Any] = {}
    if "policy" in asked:
        found["policy"] = {"capabilities": _capabilities(asked["policy"])}
    if "max_filters" in asked:
        found["max_filters"] = number_field(asked, "max_filters", 0, 1, MOST_FILTERS)
    if "cosign_keys" in asked:
        found["cosign_keys"] = _keys(asked["cosign_keys"])
    if "freeze" in asked:
        found["freeze"] = read_freeze(asked["freeze"])
    if "windows" in asked:
        found["windows"] = read_windows(asked["windows"])
    for name in _VERSIONS:
        if name in asked:
            found[name] = text_field(asked, name)
            if not _RELEASE.fullmatch(found[name]):
                raise bad(f"{name} must be a release, such as 1.33 or 1.33.2")
    return found


def _capabilities(policy: Any) -> dict[str, str]:
    if not isinstance(policy, dict):
        raise bad("policy must be a JSON object with capabilities")
    only(policy, "capabilities")
    capabilities = policy.get("capabilities", {})
    if not isinstance(capabilities, dict):
        raise bad("policy.capabilities must be a JSON object: names of capabilities, and allow, warn or deny")
    for name, word in capabilities.items():
        if name not in CAPABILITIES:
            raise bad(f"there is no capability {name[:100]!r}; they are {', '.join(CAPABILITIES)}")
        if word not in (ALLOW, WARN, DENY):
            raise bad(f"policy.capabilities.{name} must be allow, warn or deny")
    return dict(capabilities)


def _keys(given: Any) -> list[str]:
    if not isinstance(given, list) or len(given) > MOST_KEYS or not all(isinstance(one, str) for one in given):
        raise bad(f"cosign_keys must be a list of at most {MOST_KEYS} public keys in PEM")
    for number, pem in enumerate(given, 1):
        try:
            read_signing_key(pem)
        except ValueError as error:
            raise bad(f"cosign_keys: key {number} {error}") from None
    return [pem.strip() + "\n" for pem in given]
