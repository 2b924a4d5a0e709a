"""The hub as the operator asks it: what a filter is, and whether it may run here. Rights to read are enough."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth.control_plane import Access, ControlPlane
from auth.outgoing import Outgoing, OutgoingRefused

PATIENCE = 60.0  # seconds: the hub may have to read a module first, or to make an image of it
_LATER = (429, 500, 502, 503, 504)
_WORDS = {"not_found": "NotFound", "unauthorized": "TokenRefused"}


class HubAway(Exception):
    """The hub does not answer now; the text says why."""


class HubRefused(Exception):
    """The hub said no: a word for programs, as conditions have it, and its sentence."""

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word


@dataclass(frozen=True)
class Examined:
    """A filter that may run here. `image` is the digest that is pulled, None where nothing is."""

    digest: str
    image: str | None
    sha256: str
    size: int
    facts: Mapping[str, Any]
    config: str | None
    public: bool
    warnings: tuple[str, ...]


class Hub:
    """One hub; `token_file` is read again for each question, so that a Secret can change under it."""

    def __init__(self, outgoing: Outgoing, url: str, token_file: Path | None, token: str = "") -> None:
        self.url = url
        self._token_file = token_file
        self._plane = ControlPlane(outgoing, Access(url, token=token or None))

    async def examine(
        self, kind: str, settings: Mapping[str, Any], reference: str, config: Any, placement: Mapping[str, Any]
    ) -> Examined:
        """Raises HubAway and HubRefused."""
        self._read_token()
        body = {
            "kind": kind,
            "settings": settings,
            "reference": reference,
            "config": config,
            "placement": placement,
        }
        try:
            answer = await self._plane.ask("POST", "/api/v1/examinations", body, patience=PATIENCE)
        except OutgoingRefused as error:
            raise HubAway(str(error)) from None
        if answer.status in _LATER:
            raise HubAway(_said(answer.body, answer.status)[1])
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise HubRefused(*_said(answer.body, answer.status))
        return _examined(answer.body)

    async def close(self) -> None:
        """Ends all connections."""
        await self._plane.close()

    def _read_token(self) -> None:
        if self._token_file is None:
            return
        try:
            self._plane.use_token(self._token_file.read_text().strip())
        except OSError as error:
            raise HubRefused(
                "NoToken", f"the hub's token cannot be read from {self._token_file}: {error.strerror}; mount its Secret"
            ) from None


def _examined(body: Mapping[str, Any]) -> Examined:
    try:
        module = body["module"]
        return Examined(
            digest=str(body["digest"]),
            image=body["image"],
            sha256=str(module["sha256"]),
            size=int(module["size"]),
            facts=module["facts"],
            config=body["config"],
            public=bool(body["public"]),
            warnings=tuple(map(str, body["warnings"])),
        )
    except (KeyError, TypeError, ValueError):
        raise HubAway("the hub answers otherwise than this operator expects; run both of one release") from None


def _said(body: Any, status: int) -> tuple[str, str]:
    """A word and the sentence of a refusal: where there is one reason alone, its word."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return "Refused", f"the hub answered with status {status}; it may be older than this operator"
    reasons = error.get("reasons") or []
    code = str(reasons[0].get("code")) if len(reasons) == 1 else str(error.get("code"))
    return _WORDS.get(code) or camel(code), str(error.get("message"))


def camel(word: str) -> str:
    """A word of the hub's as the reasons of conditions are written: `applied-not-observed` is AppliedNotObserved."""
    return "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", word)) or "Refused"
