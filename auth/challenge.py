"""Where a request comes from and how it reached the hub, with proxies in between that may or may not be believed."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# A host name or address with or without a port. Whatever else stands in a Host header never reaches an answer.
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_FORWARDED = {b"x-forwarded-for": "for", b"x-forwarded-proto": "proto", b"x-forwarded-host": "host", b"host": "asked"}


@dataclass(frozen=True, slots=True)
class Origin:
    """How one caller reaches the hub: `url` such as https://hub.example.com, `host` its part after the scheme."""

    url: str
    host: str
    address: str  # the caller's own, behind proxies that are believed
    secure: bool  # whether the caller speaks https


class Origins:
    """Tells the origin of each request. With a public URL that one always holds, else the request's Host does."""

    def __init__(self, public_url: str | None = None, trusted: Iterable[Network] = ()) -> None:
        self._public_url = public_url
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> Origin:
        """The origin of a request. X-Forwarded-* headers count only when a trusted proxy sent them."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        words = {_FORWARDED[name]: value.decode("latin-1") for name, value in scope["headers"] if name in _FORWARDED}
        scheme, host = scope.get("scheme", "http"), words.get("asked", "")
        if self._trusted and self._trusts(address):
            scheme = _first(words.get("proto")) or scheme
            host = _first(words.get("host")) or host
            address = self._behind(address, words.get("for", ""))

        url = self._public_url
        if url is None:
            scheme = "https" if scheme.lower() in ("https", "wss") else "http"
            url = f"{scheme}://{host if _HOST.fullmatch(host) else _server(scope)}"
        return Origin(url, url.partition("://")[2], address, url.startswith("https:"))

    def _behind(self, address: str, forwarded: str) -> str:
        """The nearest address that is no trusted proxy, reading the list from its end, where the proxies wrote."""
        for hop in reversed(forwarded.split(",")):
            plain = _plain(hop.strip())
            if plain is None:
                break
            address = plain
            if not self._trusts(plain):
                break
        return address

    def _trusts(self, address: str) -> bool:
        return _within(address, self._trusted)


@lru_cache(maxsize=1024)
def _within(address: str, networks: tuple[Network, ...]) -> bool:
    plain = _plain(address)
    return plain is not None and any(ipaddress.ip_address(plain) in network for network in networks)


def _plain(address: str) -> str | None:
    """An address without its port and its mapping of IPv4 into IPv6; None for what is no address."""
    bare = address.rpartition(":")[0] if address.count(":") == 1 or "]:" in address else address
    try:
        parsed = ipaddress.ip_address(bare.strip("[]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()


def _server(scope: Scope) -> str:
    """The address that the request arrived at: what is left when its Host says nothing usable."""
    host, port = scope.get("server") or ("localhost", None)
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host
