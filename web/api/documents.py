"""Documents for programs: the API's description, and what wkg asks a registry for."""

import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from web.means import means_of

OPENAPI = Path(__file__).parent.parent / "static" / "openapi.json"


async def get_openapi(request: Request) -> Response:
    """`GET /api/v1/openapi.json`: all paths under /api/v1."""
    document: bytes = request.app.state.openapi
    return Response(document, media_type="application/json")


async def get_package_registry(request: Request) -> Response:
    """`GET /.well-known/wasm-pkg/registry.json`: packages lie in this hub, `ns:name` as the repository `ns/name`."""
    host = means_of(request).gate.origins.of(request.scope).host
    return JSONResponse({"preferredProtocol": "oci", "oci": {"registry": host, "namespacePrefix": ""}})


def load_openapi() -> bytes:
    """The description as it is sent."""
    return json.dumps(json.loads(OPENAPI.read_text()), separators=(",", ":")).encode()


ROUTES = [
    Route("/api/v1/openapi.json", get_openapi, methods=["GET"]),
    Route("/.well-known/wasm-pkg/registry.json", get_package_registry, methods=["GET"]),
]
