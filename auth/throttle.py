"""How fast wrong passwords may be tried: a leaky bucket for each account and each address."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from auth.addresses import network_of
from storage.attempts import Pace, SharedAttempts

KEYS = 10_000  # buckets that are kept; the one not used for longest goes first
ACCOUNT = Pace(10, 15.0)
ADDRESS = Pace(60, 3.0)
CODE = Pace(5, 300.0)  # of second factors: three of a million codes of six digits are good at any moment


class Throttle:
    """Buckets by key, all of one pace. Used by one thread."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = pace.burst
        self._seconds = pace.seconds
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
    """Both throttles of a sign-in, counted in this process, and over all replicas as far as Redis answers.

    Who has signed in to an account from an address before has a bucket of their own for the two, so that a stranger's
    guesses do not lock the owner out. Redis can only refuse more, and what it forgets is still known here.
    """

    def __init__(self, shared: SharedAttempts | None = None, account: Pace = ACCOUNT) -> None:
        self._shared = shared
        self._accounts = Throttle(account)
        self._addresses = Throttle(ADDRESS)
        self._known: OrderedDict[str, None] = OrderedDict()

    async def wait(self, account: str, address: str) -> int:
        """Whole seconds until this account may be tried from this address; 0 if it may be now."""
        return await self._wait(account, network_of(address), count=False)

    async def take(self, account: str, address: str) -> int:
        """Counts an attempt, if it may be made now: 0; else the whole seconds until one may."""
        network = network_of(address)
        seconds = await self._wait(account, network, count=True)
        if not seconds:  # and nothing came between: two that ask at once do not both find the last place free
            self._accounts.take(self._key(account, network))
            self._addresses.take(network)
        return seconds

    async def succeeded(self, account: str, address: str) -> None:
        """Forgets an attempt that succeeded, and remembers that this address knows the account."""
        network = network_of(address)
        known = f"{account} {network}" in self._known
        self._accounts.give_back(self._key(account, network))
        self._addresses.give_back(network)
        self._remember(account, network)
        if self._shared is not None:
            await self._shared.succeeded(account, network, known=known)

    async def take_address(self, address: str) -> int:
        """Counts what somebody does who has no account yet, for their address alone; answers as `take`."""
        network = network_of(address)
        found = await self._shared.attempt_by(network) if self._shared is not None else None
        seconds = max(math.ceil(found or 0), self._addresses.wait(network))
        if not seconds:
            self._addresses.take(network)
        return seconds

    async def give_back_address(self, address: str) -> None:
        """Forgets such an attempt."""
        network = network_of(address)
        self._addresses.give_back(network)
        if self._shared is not None:
            await self._shared.forget(network)

    async def _wait(self, account: str, network: str, *, count: bool) -> int:
        seconds = 0.0
        if self._shared is not None:
            known = f"{account} {network}" in self._known
            found = await self._shared.attempt(account, network, known=known, count=count)
            if found is not None:
                seconds = found[0]
                if found[1]:
                    self._remember(account, network)
        return max(math.ceil(seconds), self._accounts.wait(self._key(account, network)), self._addresses.wait(network))

    def _remember(self, account: str, network: str) -> None:
        self._known[f"{account} {network}"] = None
        while len(self._known) > KEYS:
            self._known.popitem(last=False)

    def _key(self, account: str, network: str) -> str:
        pair = f"{account} {network}"
        return pair if pair in self._known else account
