"""Manifests are put and deleted here, read in `reading` (distribution-spec, "Pushing manifests", "Deleting")."""

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from proxywasm.digest_tags import digest_of_tag
from registry.access import Caller, Entry, allow
from registry.documents import MANIFEST_LIMIT, read_manifest
from registry.errors import OCIError
from registry.means import Means, means_of
from registry.names import is_digest, is_tag
from registry.repositories import enter_for_push, repository_for_push
from storage.manifests import (
    InUse,
    MissingBlobs,
    NewManifest,
    delete_manifest,
    delete_tag,
    save_manifest,
    unlink_blob,
)

TAGS_LIMIT = 100  # tags that one PUT may set


async def put_manifest(request: Request) -> Response:
    """Stores a manifest under its digest, and under a tag or several (`?tag=`)."""
    means, name, reference = means_of(request), request.path_params["name"], request.path_params["reference"]
    caller = await means.calls.caller(request.scope)
    await anyio.to_thread.run_sync(enter_for_push, means, caller, name)
    tags = _tags(reference, request.query_params.getlist("tag"))
    content = await _read(request)

    digest = reference if is_digest(reference) else None
    media_type = request.headers.get("content-type", "")
    new, warning = await anyio.to_thread.run_sync(_save, means, caller, name, (content, media_type, digest), tags)
    means.pushed()

    headers = {"Location": f"/v2/{name}/manifests/{new.digest}", "Docker-Content-Digest": new.digest}
    if warning is not None:
        headers["Warning"] = f'299 - "{warning}"'  # distribution-spec, "Warnings"
    if new.subject is not None:
        headers["OCI-Subject"] = new.subject
    if request.query_params.getlist("tag"):
        headers["OCI-Tag"] = ", ".join(tags)
    return Response(status_code=201, headers=headers)


async def remove_manifest(request: Request) -> Response:
    """Deletes a tag, or a manifest with all its tags."""
    means, name, reference = means_of(request), request.path_params["name"], request.path_params["reference"]
    entry = await anyio.to_thread.run_sync(_enter_to_delete, means, await means.calls.caller(request.scope), name)
    if entry.repository_id is None:
        raise OCIError("NAME_UNKNOWN", detail={"name": name})

    repository_id, actor = entry.repository_id, entry.identity.actor()
    remove = delete_manifest if is_digest(reference) else delete_tag
    try:
        removed = await anyio.to_thread.run_sync(
            lambda: remove(means.database, repository_id, reference, actor=actor, name=name)
        )
    except InUse as error:
        names = ", ".join(error.deployments[:10])
        raise OCIError("DENIED", f"{reference} is in use by {names}; undeploy first, or delete only its tags") from None
    if not removed:
        raise OCIError("MANIFEST_UNKNOWN", f"{name} holds no manifest {reference[:200]}")
    return Response(status_code=202)


async def remove_blob(request: Request) -> Response:
    """Takes a blob out of the repository."""
    means, name, digest = means_of(request), request.path_params["name"], request.path_params["digest"]
    entry = await anyio.to_thread.run_sync(_enter_to_delete, means, await means.calls.caller(request.scope), name)
    if not is_digest(digest):
        raise OCIError("DIGEST_INVALID", f"{digest[:200]!r} is no sha256 or sha512 digest")
    if entry.repository_id is None:
        raise OCIError("NAME_UNKNOWN", detail={"name": name})

    repository_id, actor = entry.repository_id, entry.identity.actor()
    removed = await anyio.to_thread.run_sync(
        lambda: unlink_blob(means.database, repository_id, digest, actor=actor, name=name)
    )
    if not removed:
        raise OCIError("BLOB_UNKNOWN", f"{name} holds no blob {digest}")
    return Response(status_code=202)


def _enter_to_delete(means: Means, caller: Caller, name: str) -> Entry:
    with means.database.read() as session:
        return allow(session, caller, "delete", name, rule=means.namespace_rule)


def _tags(reference: str, more: list[str]) -> list[str]:
    """The tags that a PUT sets, each once, in the order given."""
    if len(more) > TAGS_LIMIT:
        raise OCIError("TAG_INVALID", f"one request may set {TAGS_LIMIT} tags, not {len(more)}", status=414)
    if ":" in reference and not is_digest(reference):
        raise OCIError("DIGEST_INVALID", f"{reference[:200]!r} is no sha256 or sha512 digest")
    tags = list(dict.fromkeys(more if is_digest(reference) else [reference, *more]))
    for tag in tags:
        if not is_tag(tag):
            raise OCIError("TAG_INVALID", f"{tag[:200]!r} is no tag: letters, digits, '_', '.', '-', at most 128")
        if digest_of_tag(tag) is not None:
            raise OCIError("TAG_INVALID", f"{tag!r} means the manifest of that digest; choose another tag")
    return tags


async def _read(request: Request) -> bytes:
    """The whole body, bounded: a manifest is held in memory."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > MANIFEST_LIMIT:
            raise OCIError("SIZE_INVALID", f"manifests larger than {MANIFEST_LIMIT} bytes are not taken", status=413)
    return b"".join(chunks)


def _save(
    means: Means, caller: Caller, name: str, sent: tuple[bytes, str, str | None], tags: list[str]
) -> tuple[NewManifest, str | None]:
    """Stores a manifest; what it is, and what the pusher should be warned of."""
    content, media_type, digest = sent
    new = read_manifest(content, media_type, digest)
    entry = enter_for_push(means, caller, name)
    repository_id = repository_for_push(means, entry, name)
    try:
        save_manifest(means.database, repository_id, new, tags, actor=entry.identity.actor(), name=name)
    except MissingBlobs as error:
        raise OCIError("MANIFEST_BLOB_UNKNOWN", detail=[{"digest": one} for one in error.digests[:100]]) from None
    return new, means.meter.warning(entry.namespace_id) if entry.namespace_id is not None else None
