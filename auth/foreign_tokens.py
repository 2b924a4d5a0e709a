"""Checks JSON Web Tokens that an OpenID Connect issuer signed (RFC 7519; RFC 8725 says what to beware of)."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from joserfc.util import urlsafe_b64decode

from auth.issuers import Issuers
from auth.jwks import ALGORITHMS, IssuerKey
from auth.outgoing import quoted

LONGEST = 16384  # characters of a token
LEEWAY = 60  # seconds by which two clocks may differ
_LATEST = 10**12  # seconds since 1970: no time that a token can mean lies beyond
MOST_AUDIENCES = 20  # of a token that are looked at
_SHOWN = 5  # audiences that a sentence tells


class ForeignTokenRefused(Exception):
    """A token that was not accepted; its text says why in a sentence, and tells no more than the token itself does."""


class ForeignTokens:
    """Verifies tokens of issuers. The `clock` gives seconds since 1970."""

    def __init__(self, issuers: Issuers, clock: Callable[[], float] = time.time) -> None:
        self._issuers = issuers
        self._clock = clock

    async def verify(self, token: str, issuer: str, audience: str) -> Mapping[str, Any]:
        """The claims of a token that this issuer signed for this audience, and that is good now.

        What the token's header says about where keys are (`jwk`, `jku`, `x5u`, `x5c`) is never looked at. Raises
        ForeignTokenRefused, and IssuerUnavailable if the issuer's keys cannot be had.
        """
        parts = _read(token)
        if parts.claims.get("iss") != issuer:  # before the signature, so that nobody is asked for another's token
            raise ForeignTokenRefused(f"the token's issuer is {quoted(parts.claims.get('iss'))}, not {issuer!r}")
        key = _choose(await self._issuers.keys(issuer, parts.kid), parts)
        if not ALGORITHMS[parts.algorithm].verify(parts.signed, parts.signature, key.key):
            raise ForeignTokenRefused("the token's signature is not its issuer's")
        _check_times(parts.claims, self._clock())
        _check_audience(parts.claims.get("aud"), audience)
        return parts.claims


def algorithm_of(token: str) -> str:
    """What a token says it is signed with, one of ALGORITHMS. Raises ForeignTokenRefused."""
    return _read(token).algorithm


def claimed(token: str) -> tuple[str, list[str]]:
    """Who a token says has signed it, and for whom, unverified: good for nothing but to find how to verify it.

    Raises ForeignTokenRefused for what is no token.
    """
    claims = _read(token).claims
    issuer, given = claims.get("iss"), claims.get("aud")
    if not isinstance(issuer, str):
        raise ForeignTokenRefused("the token names no issuer (its claim `iss`)")
    audiences = [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, str)]
    if not audiences:
        raise ForeignTokenRefused("the token names no audience (its claim `aud`)")
    return issuer, audiences[:MOST_AUDIENCES]


@dataclass(frozen=True)
class _Parts:
    """A token, taken apart and not verified."""

    algorithm: str  # one of ALGORITHMS
    kid: str | None
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def _read(token: str) -> _Parts:
    if len(token) > LONGEST:
        raise ForeignTokenRefused(f"the token has {len(token)} characters; at most {LONGEST} are read")
    try:
        first, second, third = token.encode("ascii").split(b".")
        header, claims, signature = _object(first), _object(second), urlsafe_b64decode(third)
    except (ValueError, RecursionError):
        raise ForeignTokenRefused("this is not a signed JSON Web Token: three parts of base64url, with dots") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise ForeignTokenRefused(f"the token is signed with {quoted(algorithm)}; it must be one of {known}")
    if "crit" in header:
        raise ForeignTokenRefused("the token demands extensions (its header `crit`) that the hub does not know")
    if not (kid is None or isinstance(kid, str)):
        raise ForeignTokenRefused("the token's header `kid` is not a text")
    return _Parts(algorithm, kid, claims, first + b"." + second, signature)


def _object(part: bytes) -> dict[str, Any]:
    """The JSON object in a part of a token. Raises ValueError, or RecursionError."""
    document = json.loads(urlsafe_b64decode(part), parse_constant=_no_number)
    if not isinstance(document, dict):
        raise ValueError("no JSON object")
    json.dumps(document, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
    return document


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _choose(keys: list[IssuerKey], parts: _Parts) -> IssuerKey:
    """The one key that the token can mean; none is tried that it does not name, unless it names none."""
    fitting = [key for key in keys if key.fits(parts.algorithm)]
    if len(fitting) == 1:
        return fitting[0]
    named = "key" if parts.kid is None else f"key {quoted(parts.kid)}"
    if not keys:
        raise ForeignTokenRefused(f"the token is signed with the {named}, which its issuer does not publish")
    if not fitting:
        raise ForeignTokenRefused(f"the issuer publishes no {named} for {parts.algorithm}")
    if parts.kid is None:
        raise ForeignTokenRefused("the token does not name its key (its header `kid`), and its issuer has several")
    raise ForeignTokenRefused(f"the issuer publishes more than one {named} for {parts.algorithm}")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise ForeignTokenRefused("the token never expires; it must have the claim `exp`")
    if now >= expires + LEEWAY:
        raise ForeignTokenRefused(f"the token expired {now - expires:.0f} s ago")
    for name, moment in (("nbf", begins), ("iat", issued)):
        if moment is not None and moment > now + LEEWAY:
            raise ForeignTokenRefused(
                f"the token's time `{name}` is {moment - now:.0f} s ahead of the hub's clock; compare both clocks"
            )


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is seconds since 1970, a fraction perhaps; None if the token has none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise ForeignTokenRefused(f"the token's claim `{name}` is not a number of seconds since 1970")
    return float(value)


def _check_audience(claim: Any, audience: str) -> None:
    given = claim if isinstance(claim, list) else [claim]
    if audience in given:
        return
    if claim is None or not given:
        raise ForeignTokenRefused(f"the token names no audience; it must be {audience!r}")
    told = ", ".join(quoted(one) for one in given[:_SHOWN]) + (", ..." if len(given) > _SHOWN else "")
    raise ForeignTokenRefused(f"the token's audience is {told}, not {audience!r}")
