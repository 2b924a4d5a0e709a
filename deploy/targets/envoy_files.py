"""A slot of an Envoy fleet as a file: what an Envoy that cannot call out reads instead of asking the hub. Pure."""

from typing import Any

from deploy.targets.envoy_fleet import EXTENSION_TYPE, RBAC_TYPE, WASM_TYPE, Filter, plugin


def module_name(sha256: str) -> str:
    """The path of a module below that folder. Another module has another name: a file that is read never changes."""
    return f"modules/{sha256}.wasm"


def file_document(resource: str, version: str, held: Filter | None, sha256: str, folder: str) -> dict[str, Any]:
    """What the slot's file says, where the proxy sees the folder at that path. None: a slot that lets all pass."""
    typed: dict[str, Any] = {"@type": RBAC_TYPE}
    if held is not None:
        config = plugin(held)
        config["vm_config"]["code"] = {"local": {"filename": f"{folder}/{module_name(sha256)}"}}
        typed = {"@type": WASM_TYPE, "config": config}
    return {
        "version_info": version,
        "resources": [{"@type": EXTENSION_TYPE, "name": resource, "typed_config": typed}],
    }
