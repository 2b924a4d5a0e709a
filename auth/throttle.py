"""How fast wrong passwords may be tried: a leaky bucket for each account and each address."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

KEYS = 10_000  # buckets that are kept; the one not used for longest goes first


class Throttle:
    """Buckets by key: `burst` attempts at once, then one in `seconds`. Used by one thread."""

    def __init__(self, burst: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> attempts, and when that was so

    def wait(self, key: str) -> int:
        """Whole seconds until an attempt is allowed; 0 if one is now."""
        over = self._level(key) + 1 - self._burst
        return math.ceil(over * self._seconds) if over > 0 else 0

    def take(self, key: str) -> None:
        """Counts an attempt, before its outcome is known, so that attempts made at once do not slip through."""
        self._set(key, self._level(key) + 1)

    def give_back(self, key: str) -> None:
        """Forgets an attempt that succeeded."""
        self._set(key, max(0.0, self._level(key) - 1))

    def _level(self, key: str) -> float:
        level, since = self._levels.get(key, (0.0, 0.0))
        return max(0.0, level - (self._clock() - since) / self._seconds)

    def _set(self, key: str, level: float) -> None:
        self._levels[key] = (level, self._clock())
        self._levels.move_to_end(key)
        while len(self._levels) > KEYS:
            self._levels.popitem(last=False)


class SignInThrottle:
    """Both throttles of a sign-in.

    Who has signed in to an account from an address before has a bucket of their own for the two, so that a stranger's
    guesses do not lock the owner out.
    """

    def __init__(self) -> None:
        self._accounts = Throttle(10, 15.0)
        self._addresses = Throttle(60, 3.0)
        self._known: OrderedDict[str, None] = OrderedDict()

    def wait(self, account: str, address: str) -> int:
        """Whole seconds until this account may be tried from this address; 0 if it may be now."""
        return max(self._accounts.wait(self._key(account, address)), self._addresses.wait(_network(address)))

    def take(self, account: str, address: str) -> None:
        """Counts an attempt."""
        self._accounts.take(self._key(account, address))
        self._addresses.take(_network(address))

    def succeeded(self, account: str, address: str) -> None:
        """Forgets an attempt that succeeded, and remembers that this address knows the account."""
        self._accounts.give_back(self._key(account, address))
        self._addresses.give_back(_network(address))
        self._known[f"{account} {_network(address)}"] = None
        while len(self._known) > KEYS:
            self._known.popitem(last=False)

    def _key(self, account: str, address: str) -> str:
        pair = f"{account} {_network(address)}"
        return pair if pair in self._known else account


def _network(address: str) -> str:
    """What one person commands: an IPv4 address, or the /64 of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address
