"""Device logins (RFC 8628): codes for programs on machines without a browser, and for the people who approve them."""

import hmac
import secrets
from dataclasses import dataclass, field

import anyio.to_thread

from auth.gate import Gate
from auth.secrets import DEVICE, PERSONAL, fingerprint, hint, is_secret, new_secret
from auth.throttle import Throttle
from storage.attempts import Pace
from storage.database import Conflict
from storage.device_logins import (
    LIFE,
    Asking,
    Redeemed,
    Waiting,
    begin_device_login,
    look_at_device_login,
    redeem_device_login,
    refuse_crowd,
)

INTERVAL = 2  # seconds that a program leaves between two questions
SLACK = 0.5  # seconds that it may be early
# Letters that make no words and that nobody takes for digits (RFC 8628, section 6.1): 20 ** 8 codes, of which at most
# MOST are good, and a person has some dozens of guesses until those end.
ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH, HALF = 8, 4


class DeviceRefused(Exception):
    """A program that gets no token (yet): the word that OAuth has for it, and a sentence."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


@dataclass(frozen=True)
class Begun:
    """What a program is told that waits from now on."""

    device_code: str = field(repr=False)
    user_code: str
    seconds: int  # that both are good


@dataclass(frozen=True)
class Given:
    """What a program got."""

    redeemed: Redeemed
    secret: str = field(repr=False)


class DeviceLogins:
    """The programs' side of device logins. One for each process, which counts by itself how often they ask."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._database = gate.database
        self._polls = Throttle(Pace(1, INTERVAL - SLACK))

    async def begin(self, asking: Asking) -> Begun:
        """Lets a program wait for somebody's approval. Raises Conflict if too many do."""
        await self._database.look(self._refuse_crowd, asking)
        device_code = new_secret(DEVICE)
        while True:
            user_code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
            mac = user_code_mac(self._gate, user_code)
            sha256 = fingerprint(device_code)
            if await anyio.to_thread.run_sync(begin_device_login, self._database, asking, sha256, mac):
                return Begun(device_code, show_user_code(user_code), LIFE // 1000)

    async def fetch(self, device_code: str, client: str, address: str) -> Given:
        """The token that somebody approved, once. Raises DeviceRefused, with the words of RFC 8628, section 3.5."""
        sha256 = fingerprint(device_code)
        waiting = await self._database.look(self._look, sha256) if is_secret(device_code, DEVICE) else None
        if waiting is None or waiting.client != client:
            raise DeviceRefused("invalid_grant", "this device_code is unknown, was used, or is another client's")
        if self._polls.wait(sha256):
            raise DeviceRefused("slow_down", f"ask again after {INTERVAL} s and not sooner")
        self._polls.take(sha256)
        if waiting.state == "pending":
            raise DeviceRefused("authorization_pending", "nobody has approved this yet")
        if waiting.state == "expired":
            raise DeviceRefused("expired_token", f"nobody approved this within {LIFE // 60_000} minutes; start again")
        if waiting.state == "approved":
            try:
                given = await anyio.to_thread.run_sync(self._redeem, sha256, address)
            except Conflict as error:
                raise DeviceRefused("access_denied", str(error)) from None
            if given is not None:
                return given
        raise DeviceRefused("access_denied", "this was refused, or what its user may do has changed since")

    def _refuse_crowd(self, asking: Asking) -> None:
        with self._database.read() as session:
            refuse_crowd(session, asking.network)

    def _look(self, sha256: str) -> Waiting | None:
        with self._database.read() as session:
            return look_at_device_login(session, sha256)

    def _redeem(self, sha256: str, address: str) -> Given | None:
        secret = new_secret(PERSONAL)
        redeemed = redeem_device_login(
            self._database, sha256, address, hint=hint(secret), secret_sha256=fingerprint(secret)
        )
        return None if redeemed is None else Given(redeemed, secret)


def read_user_code(typed: str) -> str | None:
    """The user code that somebody typed, in whatever case and however divided; None for what can be none."""
    letters = "".join(letter for letter in typed[:50].upper() if letter not in " -")
    return letters if len(letters) == LENGTH and set(letters) <= set(ALPHABET) else None


def show_user_code(code: str) -> str:
    """A user code as people read it: BCDF-GHJK."""
    return f"{code[:HALF]}-{code[HALF:]}"


def user_code_mac(gate: Gate, code: str) -> str:
    """What is stored of a user code: short as it is, it does not follow from a hash that has no key."""
    return hmac.digest(gate.secret_key.derive("user code"), code.encode(), "sha256").hex()
