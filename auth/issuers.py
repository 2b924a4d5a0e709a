"""OpenID Connect issuers: what they publish of themselves, and their keys, kept for some minutes (Discovery 1.0)."""

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auth.jwks import IssuerKey, read_jwks
from auth.outgoing import Outgoing, OutgoingRefused, quoted

log = logging.getLogger("wasmhub.issuers")
MOST_ISSUERS = 100  # that are kept; the one not asked for longest goes first
FRESH = 300.0  # seconds that keys are used without a look
PAUSE = 10.0  # seconds between two looks at one issuer, whatever the first one found
# While an issuer cannot be had, its last keys go on being used: a registry must not stop taking pushes because an
# identity provider restarts. Who has stolen a key that was withdrawn since, and keeps the hub from learning it, gains
# this hour and no more. Any failure counts alike, since an outage and an end look the same from here.
LAST = 3600.0  # seconds after which keys are not used, come what may
# What is kept of an issuer's configuration, and of which kind it must be.
PUBLISHED: Mapping[str, type] = {
    "issuer": str,
    "jwks_uri": str,
    "authorization_endpoint": str,
    "token_endpoint": str,
    "userinfo_endpoint": str,
    "authorization_response_iss_parameter_supported": bool,
    "backchannel_logout_supported": bool,
    "code_challenge_methods_supported": list,
    "id_token_signing_alg_values_supported": list,
    "scopes_supported": list,
    "token_endpoint_auth_methods_supported": list,
}


class IssuerUnavailable(Exception):
    """An issuer whose keys cannot be had now; its text says why in a sentence."""


class Issuers:
    """The keys of issuers. One for each process, for one event loop."""

    def __init__(self, outgoing: Outgoing, clock: Callable[[], float] = time.monotonic) -> None:
        self._outgoing = outgoing
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def keys(self, issuer: str, kid: str | None) -> list[IssuerKey]:
        """The issuer's keys of this name, or all of them for None. Raises IssuerUnavailable.

        A name that is not known is looked for at the issuer, which may have begun to use a new key.
        """
        known = await self._ready(issuer, kid)
        found = [key for key in known.keys if kid is None or key.kid == kid]
        if not found and known.trouble:
            raise IssuerUnavailable(known.trouble)
        return found

    async def configuration(self, issuer: str) -> Mapping[str, Any]:
        """What the issuer says of itself (Discovery 1.0, section 3), as far as PUBLISHED. Raises IssuerUnavailable."""
        return (await self._ready(issuer, None)).configuration

    async def _ready(self, issuer: str, kid: str | None) -> "_Known":
        known = self._entry(issuer)
        if not self._suffices(known, kid):
            if known.look is None and self._clock() - known.looked_at >= PAUSE:
                known.look = asyncio.create_task(self._look(issuer, known))
            if known.look is not None:
                # All who need it wait for one look, and it goes on when one of them is gone.
                await asyncio.shield(known.look)
        if self._clock() - known.came_at > LAST:
            raise IssuerUnavailable(known.trouble)
        return known

    def _suffices(self, known: "_Known", kid: str | None) -> bool:
        """Whether the keys at hand answer the question."""
        fresh = self._clock() - known.came_at <= FRESH
        return fresh and (kid is None or any(key.kid == kid for key in known.keys))

    def _entry(self, issuer: str) -> "_Known":
        known = self._known.setdefault(issuer, _Known())
        self._known.move_to_end(issuer)
        while len(self._known) > MOST_ISSUERS:
            self._known.popitem(last=False)
        return known

    async def _look(self, issuer: str, known: "_Known") -> None:
        """Asks the issuer for its keys, and notes them or what was wrong."""
        try:
            known.configuration, known.keys = await self._fetch(issuer)
            known.came_at, known.trouble = self._clock(), ""
        except IssuerUnavailable as error:
            known.trouble = str(error)
            log.warning("the keys of %s cannot be had: %s", issuer, error)
        finally:
            known.looked_at, known.look = self._clock(), None

    async def _fetch(self, issuer: str) -> tuple[Mapping[str, Any], tuple[IssuerKey, ...]]:
        if "?" in issuer or "#" in issuer:
            raise IssuerUnavailable(f"the issuer {quoted(issuer)} must be a URL without a query or a fragment")
        try:
            # Section 4: a slash at the end goes, and then the name in the document must be the one asked for, slash and
            # all, or one issuer could speak for another.
            document = await self._outgoing.get_json(f"{issuer.removesuffix('/')}/.well-known/openid-configuration")
            named, jwks_uri = document.get("issuer"), document.get("jwks_uri")
            if named != issuer:
                raise IssuerUnavailable(
                    f"the configuration of the issuer {quoted(issuer)} says that its issuer is {quoted(named)}"
                )
            if not isinstance(jwks_uri, str):
                raise IssuerUnavailable(f"the configuration of the issuer {quoted(issuer)} names no jwks_uri")
            kept = {name: document[name] for name, kind in PUBLISHED.items() if isinstance(document.get(name), kind)}
            return kept, read_jwks(await self._outgoing.get_json(jwks_uri))
        except OutgoingRefused as error:
            raise IssuerUnavailable(str(error)) from None
        except ValueError as error:  # of read_jwks
            raise IssuerUnavailable(f"the issuer {quoted(issuer)} {error}") from None


@dataclass
class _Known:
    """What is known of an issuer. Times are the clock's."""

    keys: tuple[IssuerKey, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)
    came_at: float = -math.inf  # when the keys were
    looked_at: float = -math.inf  # when the last look ended
    trouble: str = ""  # what was wrong at the last look
    look: asyncio.Task[None] | None = None  # the one under way
