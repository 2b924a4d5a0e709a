"""The JSON API of the hub itself: its settings, its parts and what it stores; for auditors and administrators."""

import asyncio
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.door import require_auditor
from web.api import fields
from web.means import means_of


async def get_settings(request: Request) -> Response:
    """All settings as they are, and where they were set. What may hold a secret is not shown."""
    await require_auditor(request, means_of(request).gate)
    return JSONResponse({"settings": list(means_of(request).settings)})


async def get_upkeep(request: Request) -> Response:
    """The hub's parts with "ok" or what is wrong, and what is stored, as it was within the last minute."""
    await require_auditor(request, means_of(request).gate)
    means = means_of(request)
    parts, figures = await asyncio.gather(means.parts(), means.figures.look())
    stored: dict[str, Any] = asdict(figures)
    stored |= {name: fields.moment(stored[name]) for name in ("taken_at", "oldest_check")}
    return JSONResponse({"parts": parts, "stored": stored})


ROUTES = [
    Route("/api/v1/settings", get_settings, methods=["GET"]),
    Route("/api/v1/upkeep", get_upkeep, methods=["GET"]),
]
