"""Uploads: begin, append, status, cancel, finish, mount (distribution-spec, "Pushing blobs")."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import anyio.to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from registry.access import Caller, Entry, allow
from registry.errors import OCIError
from registry.hashing import hash_of
from registry.intake import Intake
from registry.means import Means, means_of
from registry.names import ALGORITHMS, is_digest, is_name
from registry.ranges import parse_content_range
from registry.repositories import enter_for_push, repository_for_push
from storage.blobs.store import Missing, Writer
from storage.database import Conflict, StorageError
from storage.errors import OverQuota
from storage.repositories import can_read_blob
from storage.uploads import (
    UploadRow,
    abandon_upload,
    advance_upload,
    begin_upload,
    cancel_upload,
    find_upload,
    holds_blob,
    link_stored_blob,
    names_copy,
    save_blob,
)


async def post_upload(request: Request) -> Response:
    """Begins an upload, takes a whole blob in one request (`?digest=`), or mounts one (`?mount=`)."""
    means, name, query = means_of(request), request.path_params["name"], request.query_params
    caller = await means.calls.caller(request.scope)
    entry = await anyio.to_thread.run_sync(_enter_with, means, caller, name, query, _length(request))
    algorithm = query.get("digest-algorithm", "sha256")
    if algorithm not in ALGORITHMS:
        raise OCIError("DIGEST_INVALID", f"{algorithm[:100]} is no algorithm of this registry: use sha256 or sha512")

    if "mount" in query and await anyio.to_thread.run_sync(_mount, means, entry, name, query):
        return _created(name, query["mount"])
    if "digest" in query and "mount" not in query:
        digest = _digest(query)
        return await _take_whole(request, means, caller, name, digest)
    upload = await anyio.to_thread.run_sync(_begin, means, entry, name, algorithm)
    return _progress(name, upload.id, 0, 202)


async def patch_upload(request: Request) -> Response:
    """Appends a chunk, in order if it says where it belongs, or a stream."""
    means, name, upload_id = means_of(request), request.path_params["name"], request.path_params["upload"]
    caller = await means.calls.caller(request.scope)
    with _alone(means, upload_id):
        _, upload = await anyio.to_thread.run_sync(_find, means, caller, name, upload_id, _length(request))
        _check_range(request, name, upload)
        running = means.hashes.take(upload.id, upload.offset, upload.algorithm)
        with means.blobs.resume(upload.key, upload.offset, upload.state) as writer:
            await anyio.to_thread.run_sync(_hold, means, upload, writer)
            intake = Intake(writer, upload.offset, running, means.blob_limit)
            rest = await intake.take(request)
            await anyio.to_thread.run_sync(_advance, means, upload, intake, rest)
        if running is not None:
            means.hashes.keep(upload.id, intake.offset, upload.algorithm, running)
    return _progress(name, upload.id, intake.offset, 202)


async def put_upload(request: Request) -> Response:
    """Finishes an upload, with a last chunk or without; `?digest=` says what its bytes must be."""
    means, name, upload_id = means_of(request), request.path_params["name"], request.path_params["upload"]
    caller = await means.calls.caller(request.scope)
    with _alone(means, upload_id):
        _, upload = await anyio.to_thread.run_sync(_find, means, caller, name, upload_id, _length(request))
        digest = _digest(request.query_params)
        _check_range(request, name, upload)
        running = means.hashes.take(upload.id, upload.offset, digest.partition(":")[0])
        with means.blobs.resume(upload.key, upload.offset, upload.state) as writer:
            await anyio.to_thread.run_sync(_hold, means, upload, writer)
            intake = Intake(writer, upload.offset, running, means.blob_limit)
            rest = await intake.take(request)
            await anyio.to_thread.run_sync(_finish, means, caller, name, upload, intake, rest, digest)
    return _created(name, digest)


async def get_upload(request: Request) -> Response:
    """Says how much of an upload is here."""
    means, name, upload_id = means_of(request), request.path_params["name"], request.path_params["upload"]
    caller = await means.calls.caller(request.scope)
    _, upload = await anyio.to_thread.run_sync(_find, means, caller, name, upload_id)

    return _progress(name, upload.id, upload.offset, 204)


async def delete_upload(request: Request) -> Response:
    """Cancels an upload. Whoever may push may cancel."""
    means, name, upload_id = means_of(request), request.path_params["name"], request.path_params["upload"]
    caller = await means.calls.caller(request.scope)
    with _alone(means, upload_id):
        _, upload = await anyio.to_thread.run_sync(_find, means, caller, name, upload_id)
        await anyio.to_thread.run_sync(_cancel, means, upload)
    return Response(status_code=204)


async def _take_whole(request: Request, means: Means, caller: Caller, name: str, digest: str) -> Response:
    """A blob in one request: no row until its bytes are verified."""
    upload = UploadRow("", 0, means.blobs.new_key(), 0, digest.partition(":")[0])
    began = time.monotonic()
    with means.blobs.resume(upload.key, 0, None) as writer:
        intake = Intake(writer, 0, means.hashes.take("", 0, upload.algorithm), means.blob_limit)
        rest = await intake.take(request)
        if time.monotonic() - began > means.whole_limit:  # Garbage collection may take its bytes for left behind.
            await anyio.to_thread.run_sync(writer.undo)
            raise OCIError("BLOB_UPLOAD_INVALID", "this took too long; push in chunks instead", status=408)
        await anyio.to_thread.run_sync(_finish, means, caller, name, upload, intake, rest, digest)
    return _created(name, digest)


def _hold(means: Means, upload: UploadRow, writer: Writer) -> None:
    """Makes sure that nobody wrote to the upload between the look at its row and the right to write to it."""
    if not writer.hold():
        return
    with means.database.read() as session:
        if find_upload(session, upload.repository_id, upload.id) != upload:
            raise Conflict(f"upload {upload.id} was changed by another request")


def _advance(means: Means, upload: UploadRow, intake: Intake, rest: list[bytes]) -> None:
    """Commits a chunk: durable bytes first, then the row that vouches for them."""
    intake.write(rest)
    state = intake.sync()
    try:
        advance_upload(means.database, upload, intake.offset, state)
    except Conflict:
        intake.writer.undo()
        raise
    intake.writer.done()


def _enter(means: Means, caller: Caller, name: str, query: QueryParams) -> Entry:
    """Lets a push in. A mount also needs a token that covers its source, if the person may read that.

    Without a source the token must cover reading everywhere (`repository:*:pull`): else a narrow token would tell
    whether its owner can read some blob elsewhere. No token that was got with a scoped one covers
    that: then the bytes are pushed.
    """
    source = query.get("from", "*") if is_digest(query.get("mount", "")) else None
    if source is None or (source != "*" and not is_name(source)):
        return enter_for_push(means, caller, name)
    wider = f"repository:{source}:pull"
    with means.database.read() as session:
        entry = allow(session, caller, "push", name, rule=means.namespace_rule, also=(wider,))
        readable = not entry.narrowed if source == "*" else entry.may_pull(session, source)
        if readable and not entry.covers(source, "pull"):
            raise caller.challenge(f"repository:{name}:pull,push", wider, error="insufficient_scope")
        return entry


def _enter_with(means: Means, caller: Caller, name: str, query: QueryParams, more: int) -> Entry:
    """Lets a push in that has room for so many bytes; what a mount needs, the mount finds out."""
    entry = _enter(means, caller, name, query)
    if "mount" not in query:
        _refuse_full(means, entry, more)
    return entry


def _refuse_full(means: Means, entry: Entry, more: int) -> None:
    if entry.namespace_id is not None:
        means.meter.refuse_full(means.database, entry.namespace_id, more)


def _mount(means: Means, entry: Entry, name: str, query: QueryParams) -> bool:
    """Links a blob that the caller can read elsewhere. False: it is not to be had, and an upload begins instead."""
    digest, source = query["mount"], query.get("from")
    if not is_digest(digest):
        return False
    with means.database.read() as session:
        if source is None and not entry.covers("*", "pull"):
            return False
        if source is not None and not entry.covers(source, "pull"):
            return False
        if not can_read_blob(session, entry.viewer(), digest, None if source is None else (source,)):
            return False
    repository_id = repository_for_push(means, entry, name)
    actor = entry.identity.actor()
    return link_stored_blob(
        means.database, repository_id, digest, upload_id=None, actor=actor, action="blob.mount", meter=means.meter
    )


def _begin(means: Means, entry: Entry, name: str, algorithm: str) -> UploadRow:
    repository_id = repository_for_push(means, entry, name)
    upload = UploadRow(secrets.token_urlsafe(16), repository_id, means.blobs.new_key(), 0, algorithm)
    begin_upload(means.database, upload)
    return upload


def _find(means: Means, caller: Caller, name: str, upload_id: str, more: int | None = None) -> tuple[Entry, UploadRow]:
    """Lets a push in, and its upload. With `more`, so many bytes come: without room for them it is given up."""
    with means.database.read() as session:
        entry = allow(session, caller, "push", name, rule=means.namespace_rule)
        upload = find_upload(session, entry.repository_id, upload_id) if entry.repository_id else None
    if upload is None:
        raise OCIError("BLOB_UPLOAD_UNKNOWN", detail={"upload": upload_id[:200]})
    if more is not None:
        try:
            _refuse_full(means, entry, upload.offset + more)
        except OverQuota:
            _give_up(means, upload)
            raise
    return entry, upload


def _finish(
    means: Means, caller: Caller, name: str, upload: UploadRow, intake: Intake, rest: list[bytes], digest: str
) -> None:
    """Verifies the bytes and commits them: durable bytes first, then the row that names them."""
    intake.write(rest)
    try:
        entry, stored = _enter_again(means, caller, name, digest)
        if not upload.id:
            upload = replace(upload, repository_id=repository_for_push(means, entry, name))
        key = _verified_copy(means, entry, upload, intake, digest, stored)
    except BaseException as error:
        intake.writer.undo()
        if isinstance(error, OverQuota):
            _give_up(means, upload)
        raise
    if key is None:
        return

    copy, actor, ended = (key, intake.offset), entry.identity.actor(), upload.id or None
    try:
        ours = save_blob(
            means.database, upload.repository_id, digest, copy, upload_id=ended, actor=actor, meter=means.meter
        )
    except StorageError as error:
        _take_back(means, intake, key)
        if isinstance(error, OverQuota):
            _give_up(means, upload)
        raise
    if ours:
        intake.writer.done()
    else:
        _drop(means, upload, intake)


def _enter_again(means: Means, caller: Caller, name: str, digest: str) -> tuple[Entry, bool]:
    """Lets a push in whose body has come by now, and says whether such bytes are stored already."""
    with means.database.read() as session:
        entry = allow(session, caller, "push", name, rule=means.namespace_rule)
        return entry, holds_blob(session, digest)


def _verified_copy(
    means: Means, entry: Entry, upload: UploadRow, intake: Intake, digest: str, stored: bool
) -> str | None:
    """The key of a copy that has this digest. None: such bytes were stored before, and are linked by now."""
    key = None
    if intake.running is None:  # Bytes whose hash did not run along are read back as the copy that they become.
        key = intake.writer.finish()
        _hash_copy(means, intake, key, digest)
    _verify(means, upload, intake, digest)
    if stored and _link_stored(means, entry, upload, intake, digest):
        return None
    if key is None:
        key = intake.writer.finish()
        if not intake.writer.sure:
            _hash_copy(means, intake, key, digest)
            _verify(means, upload, intake, digest)
    return key


def _hash_copy(means: Means, intake: Intake, key: str, digest: str) -> None:
    intake.running = hash_of(means.blobs.stream(key, 0, intake.offset), digest.partition(":")[0])


def _verify(means: Means, upload: UploadRow, intake: Intake, digest: str) -> None:
    """Bytes that have another digest than they should end the upload."""
    algorithm = digest.partition(":")[0]
    actual = f"{algorithm}:{intake.running.hexdigest()}" if intake.running is not None else ""
    if actual == digest:
        return
    if upload.id:
        cancel_upload(means.database, upload)
    _drop(means, upload, intake)
    raise OCIError("DIGEST_INVALID", f"the {intake.offset} bytes received have the digest {actual}, not {digest}")


def _link_stored(means: Means, entry: Entry, upload: UploadRow, intake: Intake, digest: str) -> bool:
    """Links bytes that were stored already; those that came are not stored again. False: they are gone again."""
    linked = link_stored_blob(
        means.database,
        upload.repository_id,
        digest,
        upload_id=upload.id or None,
        actor=entry.identity.actor(),
        action="blob.push",
        meter=means.meter,
    )
    if linked:
        _drop(means, upload, intake)
    return linked


def _take_back(means: Means, intake: Intake, key: str) -> None:
    """Lets an upload go on whose row could not be committed. If even that cannot be found out, its copy is left."""
    with suppress(StorageError):
        if not names_copy(means.database, key):
            intake.writer.undo()


def _drop(means: Means, upload: UploadRow, intake: Intake) -> None:
    """Removes the bytes of an upload that has no row any more; what cannot be removed now is tidied up later."""
    intake.writer.undo()
    if upload.offset:
        with suppress(StorageError):
            means.blobs.discard(upload.key, upload.state)


def _give_up(means: Means, upload: UploadRow) -> None:
    """Has an upload end soon for which there is no room; not at once, since some clients ask again before they tell."""
    with suppress(StorageError):
        if upload.id:
            abandon_upload(means.database, upload)


def _cancel(means: Means, upload: UploadRow) -> None:
    cancel_upload(means.database, upload)
    means.blobs.discard(upload.key, upload.state)


@contextmanager
def _alone(means: Means, upload_id: str) -> Iterator[None]:
    """One request at a time works on an upload: from before it reads the row, so that what it knows stays true."""
    if upload_id in means.busy:
        raise OCIError("BLOB_UPLOAD_INVALID", "another request is writing to this upload", status=409)
    means.busy.add(upload_id)
    try:
        yield
    except Missing:  # A request on another replica has finished or changed it since its row was read.
        raise Conflict(f"upload {upload_id} was changed by another request; begin a new one") from None
    finally:
        means.busy.discard(upload_id)


def _check_range(request: Request, name: str, upload: UploadRow) -> None:
    """A chunk that says where it belongs must belong at the end of what is here (416 otherwise)."""
    header = request.headers.get("content-range")
    if header is None:
        return
    parsed = parse_content_range(header)
    if parsed is None or parsed[0] != upload.offset:
        headers = _location(name, upload.id, upload.offset)
        raise OCIError("RANGE_INVALID", f"the next chunk must begin at {upload.offset}", headers=headers)
    length = request.headers.get("content-length")
    if length is not None and length.isdigit() and int(length) != parsed[1]:
        raise OCIError("SIZE_INVALID", f"Content-Range tells {parsed[1]} bytes, Content-Length {length}")


def _length(request: Request) -> int:
    """How many bytes come, as far as the request says; 0 where it does not."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 19 else 0


def _digest(query: QueryParams) -> str:
    digest = query.get("digest", "")
    if not is_digest(digest):
        raise OCIError("DIGEST_INVALID", f"{digest[:200]!r} is no sha256 or sha512 digest")
    return digest


def _location(name: str, upload_id: str, offset: int) -> dict[str, str]:
    return {
        "Location": f"/v2/{name}/blobs/uploads/{upload_id}",
        "Range": f"0-{max(0, offset - 1)}",
        "Docker-Upload-UUID": upload_id,
    }


def _progress(name: str, upload_id: str, offset: int, status: int) -> Response:
    return Response(status_code=status, headers=_location(name, upload_id, offset))


def _created(name: str, digest: str) -> Response:
    return Response(
        status_code=201, headers={"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    )
