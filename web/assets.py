"""The files that pages load: style sheet, script, icon. Few and small, so they are kept in memory."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parent / "static"
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file as it is sent. `mark` changes with its content and stands in its address."""

    content: bytes
    media_type: str
    mark: str


def load_assets() -> dict[str, Asset]:
    """All files of the folder by name."""
    found = {}
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            found[path.name] = Asset(content, TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])
    return found


async def get_asset(request: Request) -> Response:
    """`GET /static/<mark>/<name>`: kept by browsers for good, because another content has another mark."""
    assets: dict[str, Asset] = request.app.state.assets
    asset = assets.get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)

    known = asset.mark == request.path_params["mark"]
    headers = {"Cache-Control": FOREVER if known else "no-cache", "ETag": f'"{asset.mark}"'}
    return Response(asset.content, media_type=asset.media_type, headers=headers)
