"""Addresses: which the hub may call when people name a host, and which of those who call are one."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What `is_global` lets through, in this or that version of Python, and no public service has.
_INTERNAL_4 = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments; Oracle's cloud answers about itself on 192.0.0.192
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # where Azure tells a machine about itself
)
_PUBLIC_6 = IPv6Network("2000::/3")  # all of IPv6 that is given to anybody
_INTERNAL_6 = (
    IPv6Network("2001::/23"),  # IETF protocol assignments: Teredo and others
    IPv6Network("2002::/16"),  # 6to4: an IPv4 address in disguise, and no service's any more
    IPv6Network("3fff::/20"),  # documentation
)
_NAT64 = IPv6Network("64:ff9b::/96")  # the last 32 bits are the IPv4 address that is called


def is_allowed(address: Address, networks: Collection[Network]) -> bool:
    """Whether it lies in one of these networks, itself or as the IPv4 address that it stands for."""
    return any(form in network for form in {address, _meant(address)} for network in networks)


def is_public(address: Address) -> bool:
    """Whether it is one of the Internet's: not of a private network, the machine itself, or its cloud."""
    meant = _meant(address)
    if isinstance(meant, IPv4Address):
        # All of multicast is refused; some of it counts as global.
        return meant.is_global and not meant.is_multicast and not any(meant in network for network in _INTERNAL_4)
    return meant.is_global and meant in _PUBLIC_6 and not any(meant in network for network in _INTERNAL_6)


def network_of(address: str) -> str:
    """What one person commands: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        return str(ip_network((address, 64), strict=False))
    except ValueError:
        return address


def _meant(address: Address) -> Address:
    """The IPv4 address that a call of this one reaches in the end (RFC 4291, RFC 6052), or the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
