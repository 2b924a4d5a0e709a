"""The hub as a relying party of OpenID Connect providers: where to send people, and what comes back (Core 1.0, 3.1).

Whatever a provider answers is checked before anything is made of it; authlib writes the requests and checks the claims
of ID tokens, `auth.foreign_tokens` their signatures and times, `auth.outgoing` makes the calls.
"""

import asyncio
import base64
import hmac
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from auth.foreign_tokens import LEEWAY, LONGEST, ForeignTokenRefused, ForeignTokens, algorithm_of
from auth.issuers import Issuers, IssuerUnavailable
from auth.jwks import ALGORITHMS
from auth.outgoing import Outgoing, OutgoingRefused, quoted
from auth.secrets import fingerprint

PATIENCE = 10.0  # seconds for all that a provider is asked in one sign-in
AT_ONCE = 8  # sign-ins of one provider that wait for its answers; others wait for their turn, and no longer
LONGEST_SUBJECT = 255  # characters (Core 1.0, section 2)
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class ProviderRefused(Exception):
    """What a provider did or said is no sign-in; the text says why in a sentence, for people."""


@dataclass(frozen=True)
class Client:
    """What the hub is at a provider."""

    provider_id: int
    title: str  # of the provider, for people
    issuer: str
    client_id: str
    scopes: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class Proofs:
    """What binds an answer to the question, and both to one browser."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True)
class Logout:
    """Whom a provider signed out: a session there, all of a subject's, or a subject's one."""

    subject: str | None
    sid: str | None
    mark: str  # of the token, which is good once
    until: int  # milliseconds since 1970, when it is good no more anyway


class RelyingParty:
    """Asks providers. One for each process, for one event loop."""

    def __init__(self, outgoing: Outgoing, patience: float = PATIENCE) -> None:
        self._outgoing = outgoing
        self._patience = patience
        self._issuers = Issuers(outgoing)
        self._tokens = ForeignTokens(self._issuers)
        self._turns: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    async def authorization_url(self, client: Client, proofs: Proofs) -> str:
        """Where a browser is sent to sign in. Raises ProviderRefused."""
        async with self._turn(client):
            published = await self._issuers.configuration(client.issuer)
        endpoint = _endpoint(client, published, "authorization_endpoint")
        asked = {"redirect_uri": proofs.redirect_uri, "scope": client.scopes, "state": proofs.state}
        asked |= {"nonce": proofs.nonce, "code_challenge": create_s256_code_challenge(proofs.verifier)}
        try:
            return str(prepare_grant_uri(endpoint, client.client_id, "code", code_challenge_method="S256", **asked))
        except ValueError:  # of a query that is none
            raise _no_address(client, "authorization_endpoint") from None

    async def redeem(self, client: Client, proofs: Proofs, code: str, issuer: str | None) -> Mapping[str, Any]:
        """What a provider says of the person whom it gave this code, `sub` and more. Raises ProviderRefused.

        `issuer` is who the answer says that it comes from (RFC 9207), if it says.
        """
        async with self._turn(client):
            published = await self._issuers.configuration(client.issuer)
            _check_issuer(client, published, issuer)
            reply = await self._redeem(client, proofs, code, published)
            claims = await self._read_id_token(client, proofs.nonce, reply)
            return {**await self._ask_userinfo(client, published, reply, claims["sub"]), **claims}

    async def read_logout(self, client: Client, token: str) -> Logout:
        """Whom a logout token means (Back-Channel Logout 1.0, section 2.6). Raises ProviderRefused."""
        async with self._turn(client):
            claims = await self._tokens.verify(token, client.issuer, client.client_id)
        events, subject, sid, jti = (claims.get(name) for name in ("events", "sub", "sid", "jti"))
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT), dict):
            raise ProviderRefused("this is no logout token: its claim `events` does not say so")
        if "nonce" in claims:
            raise ProviderRefused("this is no logout token: it has the claim `nonce`")
        if not isinstance(jti, str) or not jti:
            raise ProviderRefused("the logout token has no name (its claim `jti`)")
        if not all(value is None or _is_text(value) for value in (subject, sid)) or subject is sid is None:
            raise ProviderRefused("the logout token must name a subject (`sub`) or a session (`sid`)")
        until = int((float(claims["exp"]) + LEEWAY) * 1000)
        return Logout(subject, sid, fingerprint(f"logout {client.provider_id} {jti}"), until)

    async def look(self, client: Client) -> Mapping[str, Any]:
        """What a provider says of itself. Raises ProviderRefused if nobody could sign in with it."""
        async with self._turn(client):
            published = await self._issuers.configuration(client.issuer)
            keys = await self._issuers.keys(client.issuer, None)
        for name in ("authorization_endpoint", "token_endpoint"):
            _endpoint(client, published, name)
        signs = published.get("id_token_signing_alg_values_supported", ["RS256"])
        if not any(one in ALGORITHMS for one in signs if isinstance(one, str)):
            raise ProviderRefused(f"{client.title} signs with none of {', '.join(ALGORITHMS)}")
        return {**published, "keys": len(keys)}

    @asynccontextmanager
    async def _turn(self, client: Client) -> AsyncIterator[None]:
        """Time with a provider: bounded, and never taken from another provider."""
        try:
            async with asyncio.timeout(self._patience), self._turns[client.provider_id]:
                yield
        except TimeoutError:
            raise ProviderRefused(f"{client.title} did not answer within {self._patience:g} s; try again") from None
        except (IssuerUnavailable, OutgoingRefused, ForeignTokenRefused) as error:
            raise ProviderRefused(str(error)) from None

    async def _redeem(
        self, client: Client, proofs: Proofs, code: str, published: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The answer of the token endpoint (Core 1.0, section 3.1.3)."""
        endpoint = _endpoint(client, published, "token_endpoint")
        form = prepare_token_request(
            "authorization_code", redirect_uri=proofs.redirect_uri, code=code, code_verifier=proofs.verifier
        )
        form, headers = _authenticate(client, published, form)
        status, reply = await self._outgoing.post_form(endpoint, form, headers)
        if status != 200:
            raise ProviderRefused(f"{client.title} did not take the code of this sign-in: {_said(reply)}")
        if str(reply.get("token_type", "")).lower() != "bearer" or not _is_text(reply.get("access_token"), LONGEST):
            raise ProviderRefused(f"{client.title} answered without an access token")
        return reply

    async def _read_id_token(self, client: Client, nonce: str, reply: Mapping[str, Any]) -> Mapping[str, Any]:
        """The claims of the ID token, all checked (Core 1.0, section 3.1.3.7)."""
        token = reply.get("id_token")
        if not isinstance(token, str):
            raise ProviderRefused(f"{client.title} answered without an ID token; is `openid` among the scopes?")
        claims = await self._tokens.verify(token, client.issuer, client.client_id)
        if not isinstance(claims.get("nonce"), str) or not hmac.compare_digest(
            claims["nonce"].encode(), nonce.encode()
        ):
            raise ProviderRefused("the ID token is not of this sign-in (its claim `nonce`)")
        bound = {"client_id": client.client_id, "nonce": nonce, "access_token": reply["access_token"]}
        try:
            CodeIDToken(claims, {"alg": algorithm_of(token)}, params=bound).validate(leeway=LEEWAY)
        except (JoseError, ValueError, TypeError, AttributeError) as error:
            what = getattr(error, "claim", None) or getattr(error, "description", None) or "its claims"
            raise ProviderRefused(f"the ID token is not good for this hub: {quoted(what)}") from None
        if not _is_text(claims.get("sub")):
            raise ProviderRefused("the ID token does not say who signed in (its claim `sub`)")
        return claims

    async def _ask_userinfo(
        self, client: Client, published: Mapping[str, Any], reply: Mapping[str, Any], subject: str
    ) -> Mapping[str, Any]:
        """What the provider says of the person besides, which must be the same one (Core 1.0, section 5.3)."""
        if "userinfo_endpoint" not in published:
            return {}
        bearer = {"Authorization": f"Bearer {reply['access_token']}"}
        told = await self._outgoing.get_json(_endpoint(client, published, "userinfo_endpoint"), bearer)
        if told.get("sub") != subject:
            raise ProviderRefused(f"{client.title} told of somebody else than who signed in")
        return told


def _authenticate(client: Client, published: Mapping[str, Any], form: str) -> tuple[str, dict[str, str]]:
    """The request as one of this client: in its body where the provider takes that, else by Basic (RFC 6749, 2.3.1)."""
    if client.secret is None:
        return f"{form}&client_id={quote_plus(client.client_id)}", {}
    ways = published.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    name, secret = quote_plus(client.client_id), quote_plus(client.secret)
    if "client_secret_basic" in ways or "client_secret_post" not in ways:
        shown = base64.b64encode(f"{name}:{secret}".encode()).decode()
        return form, {"Authorization": f"Basic {shown}"}
    return f"{form}&client_id={name}&client_secret={secret}", {}


def _endpoint(client: Client, published: Mapping[str, Any], name: str) -> str:
    """An address of the provider: under https, or under http like the issuer itself."""
    address = published.get(name)
    secure = client.issuer.startswith("https://")
    if not isinstance(address, str) or not address.startswith(("https://",) if secure else ("https://", "http://")):
        raise ProviderRefused(f"the configuration of {client.title} names no {name} under https")
    if (
        len(address) > 1000
        or not (address.isascii() and address.isprintable())
        or any(sign in address for sign in ' \\#"<>')
    ):
        raise _no_address(client, name)
    return address


def _no_address(client: Client, name: str) -> ProviderRefused:
    return ProviderRefused(f"the configuration of {client.title} names a {name} that is no address")


def _check_issuer(client: Client, published: Mapping[str, Any], issuer: str | None) -> None:
    """An answer that comes from another provider is a mix-up (RFC 9207, section 2.4)."""
    if issuer is None and published.get("authorization_response_iss_parameter_supported") is True:
        raise ProviderRefused(f"the answer does not say that it is of {client.title} (its parameter `iss`)")
    if issuer is not None and issuer != client.issuer:
        raise ProviderRefused(f"the answer is of {quoted(issuer)}, and this sign-in was begun with {client.title}")


def _is_text(value: Any, longest: int = LONGEST_SUBJECT) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isascii() and value.isprintable()


def _said(reply: Mapping[str, Any]) -> str:
    """An error of OAuth (RFC 6749, section 5.2), as far as people need it."""
    told = [value for value in (reply.get("error"), reply.get("error_description")) if isinstance(value, str)]
    return ": ".join(quoted(one) for one in told) or "it says no reason"
