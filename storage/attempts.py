"""Counters of sign-in attempts that all replicas share: leaky buckets in Redis, filled and looked at in one step."""

from dataclasses import dataclass
from typing import Any

from storage.shared import Shared

KNOWN_FOR = 30 * 86_400_000  # milliseconds for which an address is known to an account after a sign-in
# A bucket is a key that lives as long as it takes to run empty: its level is the time that is left, so no clock but
# Redis' own counts, and nothing stays behind. One that lives longer than a full one (a clock has jumped) is cut down.
_ATTEMPT = """
local known = redis.call('EXISTS', KEYS[1]) == 1 or ARGV[2] == '1'
local buckets = {{known and KEYS[2] or KEYS[3], ARGV[3], ARGV[4]}, {KEYS[4], ARGV[5], ARGV[6]}}
local wait, levels = 0, {}
for number, bucket in ipairs(buckets) do
  local key, step, burst = bucket[1], tonumber(bucket[2]), tonumber(bucket[3])
  local level = redis.call('PTTL', key)
  if level == -1 or level > step * burst then
    level = step * burst
    redis.call('PEXPIRE', key, level)
  end
  levels[number] = math.max(0, level) + step
  wait = math.max(wait, levels[number] - step * burst)
end
if wait == 0 and ARGV[1] == '1' then
  for number, bucket in ipairs(buckets) do redis.call('SET', bucket[1], '', 'PX', levels[number]) end
end
return {wait, known and 1 or 0}
"""
_SUCCESS = """
for number, key in ipairs({ARGV[1] == '1' and KEYS[2] or KEYS[3], KEYS[4]}) do
  local level = redis.call('PTTL', key) - ARGV[number + 1]
  if level > 0 then redis.call('PEXPIRE', key, level) else redis.call('DEL', key) end
end
redis.call('SET', KEYS[1], '', 'PX', ARGV[4])
return 1
"""

_FORGET = """
local level = redis.call('PTTL', KEYS[1]) - ARGV[1]
if level > 0 then redis.call('PEXPIRE', KEYS[1], level) else redis.call('DEL', KEYS[1]) end
return 1
"""


@dataclass(frozen=True)
class Pace:
    """How fast a bucket lets attempts through: `burst` at once, then one in `seconds`."""

    burst: int
    seconds: float

    @property
    def step(self) -> int:
        """What one attempt adds to a bucket, in milliseconds."""
        return round(self.seconds * 1000)


class SharedAttempts:
    """Buckets for an account and a network, by names that say nothing to who reads Redis.

    Where the network is known to the account, from a sign-in that succeeded, the two have a bucket of their own.
    """

    def __init__(self, shared: Shared, account: Pace, network: Pace) -> None:
        self._shared = shared
        self._account = account
        self._network = network

    async def attempt(self, account: str, network: str, *, known: bool, count: bool) -> tuple[float, bool] | None:
        """Seconds until the next attempt is allowed, and whether the network is known; None if Redis does not say.

        With `count` it is counted if it is allowed now.
        """
        paces = (self._account.step, self._account.burst, self._network.step, self._network.burst)
        values = (*self._keys(account, network), int(count), int(known), *paces)
        return await self._shared.ask(lambda client: client.eval(_ATTEMPT, 4, *values), self._read)

    async def succeeded(self, account: str, network: str, *, known: bool) -> None:
        """Takes back an attempt that was counted, and remembers that the account knows the network."""
        values = (*self._keys(account, network), int(known), self._account.step, self._network.step, KNOWN_FOR)
        await self._shared.ask(lambda client: client.eval(_SUCCESS, 4, *values), int)

    async def attempt_by(self, network: str) -> float | None:
        """The same for an attempt that is no account's: counted, if it may be made now, for its network alone."""
        nobody, one = self._shared.name("nobody"), self._shared.name(f"network {network}")
        pace = (self._network.step, self._network.burst)
        # Both buckets are the network's: each is set to the same level.
        values = (nobody, one, one, one, 1, 0, *pace, *pace)
        found = await self._shared.ask(lambda client: client.eval(_ATTEMPT, 4, *values), self._read)
        return None if found is None else found[0]

    async def forget(self, network: str) -> None:
        """Takes such an attempt back."""
        values = (self._shared.name(f"network {network}"), self._network.step)
        await self._shared.ask(lambda client: client.eval(_FORGET, 1, *values), int)

    def _read(self, answer: Any) -> tuple[float, bool]:
        if not isinstance(answer, list):
            raise ValueError("these are no counters")
        wait, known = (int(value) for value in answer)
        if not 0 <= wait <= max(self._account.step, self._network.step) or known not in (0, 1):
            raise ValueError("these are no counters")
        return wait / 1000, bool(known)

    def _keys(self, account: str, network: str) -> list[Any]:
        pair = f"{account} {network}"
        names = (f"known {pair}", f"pair {pair}", f"account {account}", f"network {network}")
        return [self._shared.name(words) for words in names]
