"""Which releases of which proxies and meshes can run a module, from a table kept as data.

A release is named only where its Envoy is known: Istio's minor releases map one to one to Envoy's, Envoy Gateway
publishes the Envoy it is compiled with, Consul works with the Envoy that its users choose.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxywasm.host import FOREIGN, HostFunction

OLDEST = "1.17"  # Envoy's first release with WebAssembly; it takes all three ABI versions.

# Envoy release -> the first release of each product that carries it, or how to know it.
PRODUCTS: dict[str, dict[str, str]] = {
    "Istio": {"1.17": "1.9", "1.21": "1.13", "1.33": "1.25", "1.39": "1.31"},
    "Envoy Gateway": {"1.17": "1.1", "1.21": "1.1", "1.33": "1.3", "1.39": "1.9"},
    "Consul": {"1.17": "1.16", "1.21": "1.16", "1.33": "1.16", "1.39": "1.16"},
    "Gloo": {"1.17": "1.6"},
}
NOTES = {
    "Istio": "WasmPlugin needs Istio 1.12",
    "Envoy Gateway": "EnvoyExtensionPolicy",
    "Consul": "envoy extension builtin/wasm; the sidecars must run Envoy {envoy} or newer",
    "Gloo": "the Enterprise edition; which Envoy a release carries is not known here beyond ABI 0.2.1",
}


@dataclass(frozen=True, slots=True)
class Release:
    """A product that can run the module: `since` is its first release that can, `note` a condition in words."""

    product: str
    since: str
    note: str


def oldest_envoy(functions: Iterable[HostFunction]) -> str:
    """The first Envoy release that offers all of these host functions."""
    return max([OLDEST, *(function.since for function in functions)], key=_as_number)


def find_releases(abi: str | None, envoy: str, imports: Iterable[str]) -> tuple[Release, ...]:
    """The products that can run a module of this ABI version that needs this release of Envoy.

    `imports` are the names it imports from `env`: some exist in one product alone.
    """
    owners = {FOREIGN[name] for name in imports if name in FOREIGN}
    if owners:
        return tuple(Release(owner, "any", "it imports functions that nobody else offers") for owner in sorted(owners))
    if abi is None:
        return ()
    found = [Release("Envoy", envoy, "builds with the V8 runtime, as the official ones are")]
    for product, table in PRODUCTS.items():
        if envoy in table:
            found.append(Release(product, table[envoy], NOTES[product].format(envoy=envoy)))
    return tuple(found)


def _as_number(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
