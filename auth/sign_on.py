"""Single sign-on: a browser goes to a provider and comes back, once, as the same browser, for the same provider."""

import base64
import binascii
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio.to_thread

from auth.addresses import network_of
from auth.claims import read_person
from auth.foreign_tokens import LEEWAY
from auth.identity import Identity
from auth.outgoing import Outgoing, quoted
from auth.relying import PATIENCE, Client, Proofs, ProviderRefused, RelyingParty
from auth.secrets import SecretKey, fingerprint
from auth.throttle import Throttle
from storage.attempts import Pace
from storage.database import Conflict, Database
from storage.providers import ProviderRow, find_provider, providers
from storage.second_factors import NewPending
from storage.sessions import NewSession
from storage.sign_on import NotLinked, Once, Spent, arrive, end_sessions, is_spent, link

log = logging.getLogger("wasmhub.sign_on")
LIFETIME = 600  # seconds that somebody may take at the provider
RETURNS = Pace(120, 1.0)  # with codes that a provider does not take, from one address: each one is a call to it
COOKIE = "wasmhub-sign-on"
OTHER_NAME = "/account/identities?done=named"  # where somebody is told that their name was taken
_PURPOSE = "sign-on"
_LONGEST_CODE = 4096  # characters
_CALLBACK = "/sign-in/with/{}/callback"


class SignOnRefused(Exception):
    """A sign-in with a provider that did not come about; the text says why in a sentence, for people.

    `reason` is what the audit log says instead where the sentence names somebody, maybe by an e-mail address.
    """

    def __init__(self, message: str, status: int = 400, *, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or message


@dataclass(frozen=True)
class Attempt:
    """A sign-in under way. It lies sealed in its browser's cookie, and nowhere else."""

    provider_id: int
    proofs: Proofs = field(repr=False)
    there: str  # the path to go to when it is done
    begun_at: float  # seconds since 1970
    user_id: int | None  # who wants to be linked; None: somebody signs in


@dataclass(frozen=True)
class Answer:
    """What a browser brings back from a provider (Core 1.0, section 3.1.2.5; RFC 9207 for `iss`)."""

    state: str | None
    code: str | None
    issuer: str | None
    error: str | None


class SignOn:
    """Signs people in with providers. One for each process, for one event loop.

    The `clock` gives seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        secret_key: SecretKey,
        outgoing: Outgoing,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self._secret_key = secret_key
        self._relying = RelyingParty(outgoing, patience)
        self._clock = clock
        self._returns = Throttle(RETURNS)

    async def buttons(self) -> list[tuple[str, str]]:
        """Name and title of each provider that people can sign in with."""
        return [(row.name, row.title) for row in await self.database.look(self._active)]

    async def begin(self, name: str, hub: str, there: str, user_id: int | None = None) -> tuple[str, str]:
        """Where a browser goes to sign in, and the value of the cookie that it comes back with.

        `hub` is the hub's own address, and `user_id` somebody who is signed in and wants to be linked. Raises
        SignOnRefused.
        """
        provider = await self._provider(name)
        redirect_uri = hub + _CALLBACK.format(provider.name)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        proofs = Proofs(state, nonce, verifier, redirect_uri)
        try:
            address = await self._relying.authorization_url(self.client(provider), proofs)
        except ProviderRefused as error:
            raise SignOnRefused(f"{provider.title} cannot be asked: {error}", 503) from None
        attempt = Attempt(provider.id, proofs, there, self._clock(), user_id)
        return address, self._seal(attempt)

    def attempt(self, cookie: str, state: str | None) -> Attempt | None:
        """The attempt that a cookie holds, if this is its state; None for anything else."""
        try:
            sealed = base64.urlsafe_b64decode(cookie.encode("ascii"))
            kept: Any = json.loads(self._secret_key.unseal(sealed))
            if kept.pop("purpose") != _PURPOSE:
                return None
            attempt = Attempt(**{**kept, "proofs": Proofs(**kept["proofs"])})
        except (ValueError, binascii.Error, TypeError, KeyError, AttributeError):  # also what another version sealed
            return None
        late = not -LEEWAY <= self._clock() - attempt.begun_at <= LIFETIME
        same = hmac.compare_digest((state or "").encode(errors="replace"), attempt.proofs.state.encode())
        return attempt if same and not late else None

    async def finish(
        self, name: str, attempt: Attempt, answer: Answer, new: NewSession, pending: NewPending, identity: Identity
    ) -> tuple[str, bool]:
        """Opens the session, or links the identity that was asked for.

        Answers the path to go to, and whether the second factor is to be shown before: then no session is open, and
        the browser waits by what was given as `pending`. `identity` is who it is until now, with its address. Raises
        SignOnRefused.
        """
        provider = await self._provider(name)
        if provider.id != attempt.provider_id:
            raise SignOnRefused(f"this sign-in was not begun with {provider.title}; begin again")
        if attempt.user_id is not None and attempt.user_id != identity.user_id:
            raise SignOnRefused("whoever wanted this link is not signed in any more; sign in and begin again", 403)
        once = Once(fingerprint(f"sign-on {attempt.proofs.state}"), int((attempt.begun_at + LIFETIME) * 1000))
        if await self.database.look(self._is_spent, once.mark):
            raise SignOnRefused("this sign-in was used already; begin again")
        claims = await self._ask(provider, attempt, answer, network_of(identity.address))
        person = read_person(claims, provider.name_claim, provider.groups_claim)
        try:
            if attempt.user_id is not None:
                who = (identity.actor(), identity.generation)
                await anyio.to_thread.run_sync(link, self.database, *who, provider.id, person, once)
                return attempt.there, False
            new = replace(new, provider_sid=_sid(claims))
            found = await anyio.to_thread.run_sync(
                arrive, self.database, provider.id, person, once, new, pending, identity.address
            )
            there = OTHER_NAME if found.new and found.name != person.name else attempt.there
            return there, found.waits
        except Spent:
            raise SignOnRefused("this sign-in was used already; begin again") from None
        except NotLinked as error:
            raise SignOnRefused(str(error), 403, reason=error.reason) from None
        except Conflict as error:
            raise SignOnRefused(str(error), 403) from None

    async def sign_out(self, name: str, token: str, address: str) -> int:
        """Ends the sessions that a provider's logout token means; answers how many. Raises SignOnRefused."""
        provider = await self._provider(name)
        try:
            logout = await self._relying.read_logout(self.client(provider), token)
        except ProviderRefused as error:
            raise SignOnRefused(str(error)) from None
        once = Once(logout.mark, logout.until)
        try:
            return await anyio.to_thread.run_sync(
                end_sessions, self.database, provider.id, logout.subject, logout.sid, once, address
            )
        except Spent:
            raise SignOnRefused("this logout token was used already (its claim `jti`)") from None
        except Conflict as error:
            raise SignOnRefused(str(error)) from None

    async def check(self, provider: ProviderRow) -> Mapping[str, Any]:
        """What a provider says of itself now. Raises ProviderRefused if nobody could sign in with it."""
        return await self._relying.look(self.client(provider))

    def client(self, provider: ProviderRow) -> Client:
        """What the hub is at a provider. Raises SignOnRefused if its secret was sealed with another key."""
        secret = None
        if provider.sealed_secret is not None:
            try:
                secret = self._secret_key.unseal(provider.sealed_secret).decode()
            except ValueError:
                raise SignOnRefused(
                    f"the client secret of {provider.title} was sealed with another secret key; set it again", 503
                ) from None
        return Client(provider.id, provider.title, provider.issuer, provider.client_id, provider.scopes, secret)

    def seal_secret(self, secret: str) -> bytes:
        """A client's secret as it is kept."""
        return self._secret_key.seal(secret.encode())

    async def _ask(self, provider: ProviderRow, attempt: Attempt, answer: Answer, network: str) -> Mapping[str, Any]:
        """What the provider says of who came back; a stranger's made-up codes keep others from it only so far."""
        if answer.error is not None:
            raise SignOnRefused(f"{provider.title} did not sign you in: {quoted(answer.error)}", 403)
        if not answer.code or len(answer.code) > _LONGEST_CODE:
            raise SignOnRefused(f"{provider.title} sent you back without a code; begin again")
        if seconds := self._returns.wait(network):
            raise SignOnRefused(f"too many sign-ins from this address failed; try again in {seconds} s", 429)
        self._returns.take(network)
        try:
            claims = await self._relying.redeem(self.client(provider), attempt.proofs, answer.code, answer.issuer)
        except ProviderRefused as error:
            log.warning("a sign-in with %s was refused: %s", provider.name, error)
            raise SignOnRefused(str(error), 403) from None
        self._returns.give_back(network)
        return claims

    async def _provider(self, name: str) -> ProviderRow:
        provider = await self.database.look(self._find, name)
        if provider is None or not provider.active:
            raise SignOnRefused("there is no such way to sign in", 404)
        return provider

    def _find(self, name: str) -> ProviderRow | None:
        with self.database.read() as session:
            return find_provider(session, name)

    def _active(self) -> list[ProviderRow]:
        with self.database.read() as session:
            return providers(session, active_only=True)

    def _is_spent(self, mark: str) -> bool:
        with self.database.read() as session:
            return is_spent(session, mark)

    def _seal(self, attempt: Attempt) -> str:
        kept = {**attempt.__dict__, "proofs": attempt.proofs.__dict__, "purpose": _PURPOSE}
        return base64.urlsafe_b64encode(self._secret_key.seal(json.dumps(kept).encode())).decode()


def _sid(claims: Mapping[str, Any]) -> str | None:
    """The provider's own session (Back-Channel Logout 1.0, section 2.1)."""
    sid = claims.get("sid")
    return sid if isinstance(sid, str) and 0 < len(sid) <= 255 else None
