"""The gate: turns what a request shows (password, personal token, refresh token) into an identity, for every door."""

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio.to_thread

from auth.challenge import Origins
from auth.identity import ANONYMOUS, Identity, identity_of
from auth.passwords import LONGEST, Passwords
from auth.secrets import PERSONAL, REFRESH, ROBOT, SecretKey, fingerprint, is_secret
from auth.sign_ins import SignIns
from auth.throttle import ACCOUNT, ADDRESS, CODE, SignInThrottle, Throttle
from storage.attempts import SharedAttempts
from storage.database import Database, StorageError, now
from storage.namespaces import name_problem, new_name
from storage.shared import Shared
from storage.tokens import FoundToken, find_access_token, find_refresh_token, touch_access_token
from storage.users import LoginRow, identity_row, login_row

USED_EVERY = 60_000  # milliseconds between two notes that a personal token was used


class SignInRefused(Exception):
    """The credentials are not good, or (with `retry_after` seconds) too many were tried; the text is fit for a user."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SecondFactorNeeded(Exception):
    """The password is right, and whoever it is signs in with a second factor too."""

    def __init__(self, identity: Identity) -> None:
        super().__init__("the second factor is to be shown too")
        self.identity = identity


@dataclass(frozen=True)
class Proof:
    """Who somebody has shown to be, and by what."""

    identity: Identity
    token: FoundToken | None = None  # the personal or refresh token that was shown, if one was
    refresh: bool = False  # whether that was a refresh token
    second_factor: bool = False  # whether it was a password, of somebody who has to show a second factor beside it


class Gate:
    """What doors need to know who comes. One for each process, so that throttling counts over all doors."""

    def __init__(
        self, database: Database, secret_key: SecretKey, origins: Origins, shared: Shared | None = None
    ) -> None:
        self.database = database
        self.secret_key = secret_key
        self.origins = origins
        self.passwords = Passwords()
        self.sign_ins = SignIns(database)
        self._throttle = SignInThrottle(SharedAttempts(shared, ACCOUNT, ADDRESS) if shared is not None else None)
        codes = SharedAttempts(shared, CODE, ADDRESS) if shared is not None else None
        self.codes = SignInThrottle(codes, CODE)  # of codes that are shown beside a password
        self._guesses = Throttle(ACCOUNT)  # at codes, by the user who types them

    async def authorize(self, header: str | None, address: str, *, refresh: bool = False) -> Proof:
        """Who an Authorization header stands for: nobody without one, or with empty Basic credentials.

        Basic takes a password, or a person's or robot's token under any user name; Bearer such a token. With
        `refresh`, refresh tokens are good as well. Raises SignInRefused.
        """
        scheme, _, value = (header or "").strip().partition(" ")
        if scheme.lower() == "basic":
            name, password = _basic(value)
            return await self.sign_in(name, password, address, refresh=refresh)
        if scheme.lower() == "bearer":
            return await self._by_secret(value.strip(), address, refresh=refresh)
        if scheme:
            raise SignInRefused(
                "this kind of Authorization is not understood; use Basic, or a personal token as Bearer"
            )
        return Proof(replace(ANONYMOUS, address=address))

    async def sign_in(self, name: str, password: str, address: str, *, refresh: bool = False) -> Proof:
        """Who a user name with a password or a token stands for. Raises SignInRefused.

        Here a password is refused of who has a second factor, since there is no place to show it.
        """
        if not name and not password:
            return Proof(replace(ANONYMOUS, address=address))
        if any(is_secret(password, prefix) for prefix in (PERSONAL, ROBOT, REFRESH)):
            return await self._by_secret(password, address, refresh=refresh)
        proof = await self.by_password(name, password, address)
        if proof.second_factor:
            raise SignInRefused(
                "this account signs in with a second factor: use a personal token in the place of the password,"
                " made on the hub's page /account"
            )
        return proof

    async def by_password(self, name: str, password: str, address: str) -> Proof:
        """Who a user name with a password stands for, and whether more is due; throttled. Raises SignInRefused."""
        try:
            proof = await self._by_password(name, password, address)
        except SignInRefused as refusal:
            reason = "wrong user name or password" if refusal.retry_after is None else "too many attempts"
            typed = name if name_problem(name) is None else ""
            self.sign_ins.refuse("sign-in.password", reason, address, typed)
            raise
        if not proof.second_factor:  # else they have yet to sign in
            await self.sign_ins.note("sign-in.password", proof.identity, f"password {proof.identity.user_id}")
        return proof

    async def _by_password(self, name: str, password: str, address: str) -> Proof:
        if name_problem(name) is not None or not password or len(password) > LONGEST:
            raise SignInRefused("wrong user name or password")
        name = await self.database.look(self._present_name, name)  # each of somebody's names counts as one
        # Before anything else, so that no answer tells a right guess.
        _refuse_if(await self._throttle.wait(name, address))
        row = await self.database.look(self._login_row, name)
        if not self.passwords.remembers(row, password):
            await self._check(name, row, password, address)
        identity = await self.database.look(self._identity, row, address)
        if identity is None:
            raise SignInRefused("wrong user name or password")
        return Proof(identity, second_factor=row is not None and row.second_factor)

    async def admit(self, address: str) -> None:
        """Counts somebody who comes without an account and is about to choose a password. Raises SignInRefused.

        They are counted with the wrong passwords of their address. `forgive` takes it back.
        """
        seconds = await self._throttle.take_address(address)
        if seconds:
            raise SignInRefused(f"too many attempts from this address; try again in {seconds} s", seconds)

    async def forgive(self, address: str) -> None:
        """Takes back what `admit` counted: for who came by a link, which is used up."""
        await self._throttle.give_back_address(address)

    async def count_guess(self, identity: Identity) -> None:
        """Counts a code that somebody typed who is signed in, for them and for their address. Raises SignInRefused.

        `forgive_guess` takes it back: for a code that was right.
        """
        seconds = self._guesses.wait(str(identity.user_id))
        if seconds:
            raise SignInRefused(f"too many wrong codes; try again in {seconds} s", seconds)
        self._guesses.take(str(identity.user_id))
        await self.admit(identity.address)

    async def forgive_guess(self, identity: Identity) -> None:
        """Takes back what `count_guess` counted."""
        self._guesses.give_back(str(identity.user_id))
        await self.forgive(identity.address)

    async def hash_new(self, password: str) -> str:
        """The hash of a password that a stranger chose, when its turn has come. Raises SignInRefused."""
        self._refuse_crowd()
        async with self.passwords.turns:
            return await self.passwords.hash(password)

    def _refuse_crowd(self) -> None:
        if self.passwords.crowded:
            raise SignInRefused("too many people sign in at this moment; try again in a moment", 2)

    async def _check(self, name: str, row: LoginRow | None, password: str, address: str) -> None:
        """Checks a password when its turn has come; others that came with the same one at once are let through too."""
        self._refuse_crowd()
        async with self.passwords.turns:
            if self.passwords.remembers(row, password):
                return
            _refuse_if(await self._throttle.take(name, address))
            if not await self.passwords.check(row, password):
                raise SignInRefused("wrong user name or password")
            await self._throttle.succeeded(name, address)

    async def _by_secret(self, secret: str, address: str, *, refresh: bool) -> Proof:
        proof = await anyio.to_thread.run_sync(self._find, secret, address, refresh)
        action = "sign-in.refresh-token" if is_secret(secret, REFRESH) else "sign-in.token"
        if proof is None:
            self.sign_ins.refuse(action, "unknown, expired or deleted", address)
            raise SignInRefused("the token is unknown, expired or deleted; make a new one")
        token = proof.token.name if proof.token is not None else None
        await self.sign_ins.note(action, proof.identity, fingerprint(secret), token)
        return proof

    def _find(self, secret: str, address: str, refresh: bool) -> Proof | None:
        is_refresh = refresh and is_secret(secret, REFRESH)
        if not is_refresh and not is_secret(secret, PERSONAL) and not is_secret(secret, ROBOT):
            return None
        with self.database.read() as session:
            find = find_refresh_token if is_refresh else find_access_token
            found = find(session, fingerprint(secret))
            row = identity_row(session, found.user_id) if found is not None else None
        if found is None or row is None:
            return None
        if not is_refresh and found.access_token_id is not None and (found.used_at or 0) < now() - USED_EVERY:
            with suppress(StorageError):  # a full disk must not keep anybody from signing in
                touch_access_token(self.database, found.access_token_id)
        identity = replace(identity_of(row, address, found.scopes), by_token=True)
        return Proof(identity, found, is_refresh)

    def _present_name(self, name: str) -> str:
        with self.database.read() as session:
            return new_name(session, name) or name

    def _login_row(self, name: str) -> LoginRow | None:
        with self.database.read() as session:
            return login_row(session, name)

    def _identity(self, row: LoginRow | None, address: str) -> Identity | None:
        """The user whose password was right, unless something about them changed in the meantime."""
        if row is None:
            return None
        with self.database.read() as session:
            found = identity_row(session, row.user_id)
        return identity_of(found, address) if found is not None and found.generation == row.generation else None


def _refuse_if(seconds: int) -> None:
    if seconds:
        raise SignInRefused(f"too many wrong passwords; try again in {seconds} s", seconds)


def _basic(value: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise SignInRefused("the Authorization header is not valid Basic authentication")
    return name, password
