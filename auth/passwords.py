"""Passwords: argon2 hashes, checked a few at a time, because each check takes 12 MiB and tens of milliseconds."""

import asyncio
import hmac
import os
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import anyio
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from storage.users import LoginRow

SHORTEST, LONGEST = 8, 1024
AT_ONCE = 2  # checks that run at the same time
QUEUE = 64  # checks that may wait for their turn
REMEMBER = 60.0  # seconds that a right password is remembered, as a keyed hash
REMEMBERED = 1000
_HASHER = PasswordHasher(time_cost=3, memory_cost=12 * 1024, parallelism=1)
# The hash of a password that nobody has, made with the same effort: unknown names take as long as wrong passwords.
_NOBODY = "$argon2id$v=19$m=12288,t=3,p=1$aIsqbEVnbWfYbGtfQE7nZw$xU7DCGJmzeBUGzwDga/LL7bZk8+PvY0/yTeRiQrmKvg"


def password_problem(password: str) -> str | None:
    """Why a password cannot be used, as a sentence; None if it can."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has at least {SHORTEST} and at most {LONGEST} characters"
    return None


def hash_password(password: str) -> str:
    """The argon2 hash of a new password. Takes tens of milliseconds: `Passwords.hash` is for the event loop."""
    return _HASHER.hash(password)


class Passwords:
    """Checks passwords without ever using much memory, and remembers for a minute which were right."""

    def __init__(self) -> None:
        self._turns = anyio.CapacityLimiter(AT_ONCE)
        # Threads of their own: each thread that ever hashed keeps that memory for its next time.
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, float] = OrderedDict()

    @property
    def turns(self) -> anyio.CapacityLimiter:
        """Held while a password is checked."""
        return self._turns

    @property
    def crowded(self) -> bool:
        """Whether so many checks wait that another one should come back later."""
        return self._turns.statistics().tasks_waiting >= QUEUE

    def remembers(self, row: LoginRow | None, password: str) -> bool:
        """Whether this was the user's right password within the last minute, and nothing about them changed since."""
        if row is None:
            return False
        return self._right.get(self._mark(row, password), 0.0) > time.monotonic()

    async def hash(self, password: str) -> str:
        """The argon2 hash of a new password."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, hash_password, password)

    async def check(self, row: LoginRow | None, password: str) -> bool:
        """Whether the password is the user's. As slow for a user who is not there."""
        stored = row.password_hash if row is not None and row.password_hash else _NOBODY
        right = await asyncio.get_running_loop().run_in_executor(self._threads, _matches, stored, password)
        if not right or row is None or stored is _NOBODY:
            return False
        self._right[self._mark(row, password)] = time.monotonic() + REMEMBER
        while len(self._right) > REMEMBERED:
            self._right.popitem(last=False)
        return True

    def _mark(self, row: LoginRow, password: str) -> bytes:
        return hmac.digest(self._key, f"{row.user_id} {row.generation} {password}".encode(errors="replace"), "sha256")


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password.encode(errors="replace"))
    except (Argon2Error, InvalidHashError):
        return False
