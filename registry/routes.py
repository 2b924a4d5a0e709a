"""The routes of /v2/. Those of READS are answered before them, in `reading`."""

from starlette.routing import Route

from registry.lists import get_catalog, get_referrers, get_tags, get_version
from registry.manifests import put_manifest, remove_blob, remove_manifest
from registry.uploads import delete_upload, get_upload, patch_upload, post_upload, put_upload

UPLOAD = "/v2/{name:path}/blobs/uploads/{upload}"
MANIFEST = "/v2/{name:path}/manifests/{reference}"

_READ = ("/v2/{name}/manifests/{reference}", "/v2/{name}/blobs/{digest}")
READS = [f"{method} {path}" for method in ("GET", "HEAD") for path in _READ]
# Names are checked by `access.allow`, which says what is wrong with one; a convertor could only say 404.
ROUTES = [
    Route("/v2", get_version, methods=["GET"]),
    Route("/v2/", get_version, methods=["GET"]),
    Route("/v2/_catalog", get_catalog, methods=["GET"]),
    Route("/v2/{name:path}/blobs/uploads", post_upload, methods=["POST"]),
    Route("/v2/{name:path}/blobs/uploads/", post_upload, methods=["POST"]),
    Route(UPLOAD, patch_upload, methods=["PATCH"]),
    Route(UPLOAD, put_upload, methods=["PUT"]),
    Route(UPLOAD, get_upload, methods=["GET"]),
    Route(UPLOAD, delete_upload, methods=["DELETE"]),
    Route("/v2/{name:path}/blobs/{digest}", remove_blob, methods=["DELETE"]),
    Route(MANIFEST, put_manifest, methods=["PUT"]),
    Route(MANIFEST, remove_manifest, methods=["DELETE"]),
    Route("/v2/{name:path}/tags/list", get_tags, methods=["GET"]),
    Route("/v2/{name:path}/referrers/{digest}", get_referrers, methods=["GET"]),
]
