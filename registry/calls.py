"""Turns a request into a caller: its token verified, and the way to the token service as this caller sees it."""

import anyio.to_thread
from starlette.types import Scope

from auth.bearer import BearerTokens
from auth.challenge import Origins
from registry.access import Caller


class Calls:
    """Reads who calls from a request's scope."""

    def __init__(self, tokens: BearerTokens, origins: Origins) -> None:
        self._tokens = tokens
        self._origins = origins

    async def caller(self, scope: Scope) -> Caller:
        """The caller; a token whose signature was checked before costs no thread."""
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = header.decode("latin-1").partition(" ")
        claims = None
        if scheme.lower() == "bearer" and token:
            claims = self._tokens.cached(token) or await anyio.to_thread.run_sync(self._tokens.verify, token)
        origin = self._origins.of(scope)
        return Caller(claims, bool(header), origin.address, f"{origin.url}/token", origin.host)
