"""The hot path: GET and HEAD of manifests and blobs, straight on ASGI before any framework.

A repeated read takes one look at the database's version, one dictionary and the socket. A first read, or a read after
any commit, takes one statement, which fetches all that the answer rests on; only bytes are fetched in a thread.
"""

import asyncio
import functools
import logging
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import anyio.to_thread
from starlette.types import Scope, Send

from auth.bearer import Claims
from proxywasm.digest_tags import digest_of_tag
from registry.access import Entry, allow_pull, check_name
from registry.caching import ADMITTED, Answer, Answers, Bytes, Headers, Key
from registry.calls import Calls
from registry.errors import OCIError, from_storage
from registry.hashing import hash_of
from registry.names import is_digest, is_tag
from registry.ranges import Unsatisfiable, parse_range
from storage.blob_leases import renew_lease
from storage.blobs.store import BlobStore, Missing
from storage.checking import mark_damaged
from storage.database import Database, StorageError
from storage.manifests import find_content
from storage.namespaces import new_name
from storage.pulls import Facts, Question

log = logging.getLogger("wasmhub.registry")
REDIRECTED = 2**20  # bytes; larger blobs are the blob store's to send where clients can reach it
IMMUTABLE = (b"cache-control", b"private, max-age=31536000, immutable")
REVALIDATE = (b"cache-control", b"private, no-cache")
_START: dict[str, Any] = {"type": "http.response.start"}


class Reading:
    """Answers reads. One per process; runs on the event loop."""

    def __init__(self, database: Database, blobs: BlobStore, calls: Calls) -> None:
        self._database = database
        self._blobs = blobs
        self._calls = calls
        self._watch = database.watch()
        self._answers = Answers()
        self._bytes = Bytes()
        self._loading: dict[str, asyncio.Future[bytes]] = {}  # by digest

    async def read(self, scope: Scope, send: Send) -> int | None:
        """Answers a GET or HEAD of a manifest or blob, and says its status; None: it is none, nothing was done."""
        path: str = scope["path"]
        headers = dict(scope["headers"])
        key = headers.get(b"authorization", b""), path
        try:
            answer = None
            if self._answers.hopes(key):
                answer = self._answers.get(await self._watch.version(), key, time.time())
            if answer is None:
                wanted = _split(path)
                if wanted is None:
                    return None
                answer = await self._find(scope, key, *wanted)
            return await self._answer(answer, scope["method"], headers, send)
        except (OCIError, StorageError) as error:
            return await _refuse(error, scope["method"], send)

    def close(self) -> None:
        """Closes the connection that watches the database."""
        self._watch.close()

    async def _find(self, scope: Scope, key: Key, name: str, kind: str, reference: str) -> Answer:
        """The answer by what the database says now: as it was before if that says the same."""
        check_name(name)
        caller = await self._calls.caller(scope)
        version, facts = None, Facts()
        if caller.claims is not None:
            version, facts = await self._facts(_question(caller.claims, name, kind, reference))
            answer = self._answers.renew(version, key, facts)
            if answer is not None:
                return answer
        if kind == "manifests":
            answer = _manifest_answer(facts, allow_pull(facts, caller, name, "pull"), name, reference)
        else:
            # Who asks by HEAD for a blob is about to push, and oras-py keeps the first token that it is told to get.
            ask_for = "push" if scope["method"] == "HEAD" else "pull"
            entry = allow_pull(facts, caller, name, ask_for)
            answer = _blob_answer(facts, entry, name, reference)
            # Whoever may push and is told that a blob is there goes on without pushing it.
            if facts.fades and entry.covers(name, "push"):
                await anyio.to_thread.run_sync(self._renew_lease, facts, name)
                return answer  # Not to be remembered: next time the lease is looked at again.
        self._answers.put(version, key, facts, answer)
        return answer

    async def _facts(self, question: Question) -> tuple[object, Facts]:
        """What the database says; where there is no such repository, of the one that has that old name."""
        version, facts = await self._watch.facts(question)
        if facts.repository_id is None:
            renamed = await self._database.look(self._new_name, question.name)
            if renamed is not None:
                return await self._watch.facts(question._replace(name=renamed))
        return version, facts

    def _new_name(self, name: str) -> str | None:
        with self._database.read() as session:
            return new_name(session, name)

    def _renew_lease(self, facts: Facts, name: str) -> None:
        assert facts.repository_id is not None and facts.blob_id is not None
        if not renew_lease(self._database, facts.repository_id, facts.blob_id):
            raise OCIError("BLOB_UNKNOWN", f"{name} holds this blob no more")

    async def _answer(self, answer: Answer, method: str, headers: dict[bytes, bytes], send: Send) -> int:
        known = headers.get(b"if-none-match")
        if known and (known == b"*" or answer.etag in known):
            return await _send(send, 304, answer.headers[1:], b"")
        if method == "HEAD":
            return await _send(send, 200, answer.headers, b"")
        ranges = headers.get(b"range")
        if self._blobs.redirects and isinstance(answer.key, str) and answer.size > REDIRECTED:
            url = await anyio.to_thread.run_sync(self._blobs.url, answer.key)
            return await _send(send, 307, _elsewhere(url, answer.digest), b"")
        if ranges and isinstance(answer.key, str) and headers.get(b"if-range", answer.etag) == answer.etag:
            return await self._part(answer, answer.key, ranges, send)
        return await self._whole(answer, send)

    async def _whole(self, answer: Answer, send: Send) -> int:
        content = self._bytes.get(answer.digest)
        if content is None and isinstance(answer.key, str) and answer.size > ADMITTED:
            return await self._stream(answer.digest, answer.key, 200, answer.headers, (0, answer.size), send)
        if content is None:
            content = await self._loaded(answer)
        return await _send(send, 200, answer.headers, content)

    async def _loaded(self, answer: Answer) -> bytes:
        """Bytes that memory does not hold, loaded once for all who ask meanwhile."""
        loading = self._loading.get(answer.digest)
        if loading is None:
            loading = asyncio.ensure_future(anyio.to_thread.run_sync(self._keep, answer))
            self._loading[answer.digest] = loading
            loading.add_done_callback(functools.partial(self._forget, answer.digest))
        return await asyncio.shield(loading)  # Who asked first may go away; the others still wait.

    def _forget(self, digest: str, loading: asyncio.Future[bytes]) -> None:
        self._loading.pop(digest, None)
        if not loading.cancelled():
            loading.exception()  # Looked at here too, for when nobody waits for it any more.

    async def _part(self, answer: Answer, key: str, ranges: bytes, send: Send) -> int:
        try:
            asked = parse_range(ranges, answer.size)
        except Unsatisfiable:
            raise OCIError("RANGE_INVALID", headers={"Content-Range": f"bytes */{answer.size}"}) from None
        if asked is None:
            return await self._whole(answer, send)
        start, stop = asked
        headers = [
            (b"content-length", str(stop - start).encode()),
            *answer.headers[1:],
            (b"content-range", f"bytes {start}-{stop - 1}/{answer.size}".encode()),
        ]
        return await self._stream(answer.digest, key, 206, headers, asked, send)

    def _keep(self, answer: Answer) -> bytes:
        """Memory has them before anybody can find that nobody loads them any more."""
        content = self._load(answer)
        self._bytes.put(answer.digest, content)
        return content

    def _load(self, answer: Answer) -> bytes:
        """Bytes that memory does not hold, or not any more."""
        if isinstance(answer.key, str):
            return self._load_blob(answer.digest, answer.key)
        with self._database.read() as session:
            content = find_content(session, answer.key)
        if content is None:
            raise OCIError("MANIFEST_UNKNOWN")
        return content

    def _load_blob(self, digest: str, key: str) -> bytes:
        """A small blob. What memory is to hold is compared with its digest first: it would be given out for long."""
        try:
            content = self._blobs.read(key)
        except Missing:
            raise self._damaged(digest, key) from None
        algorithm, _, wanted = digest.partition(":")
        if hash_of([content], algorithm).hexdigest() != wanted:
            raise self._damaged(digest, key)
        return content

    def _damaged(self, digest: str, key: str) -> OCIError:
        """Notes that a blob's bytes are wrong or gone, so that whoever asks by HEAD pushes them again.

        Raises StorageError where the whole store is away, which says nothing of this blob.
        """
        self._blobs.ping()
        mark_damaged(self._database, digest, key)
        log.error("the stored bytes of %s are damaged or gone; pulls of it fail until it is pushed again", digest)
        return OCIError("BLOB_UNKNOWN", f"the stored bytes of {digest} are damaged; push it again")

    async def _stream(
        self, digest: str, key: str, status: int, headers: Headers, part: tuple[int, int], send: Send
    ) -> int:
        """Sends bytes of a copy in large chunks. While the socket takes one, the next is read, and no more."""
        start, stop = part
        pieces = self._pieces(digest, key, start, stop)
        try:
            piece = await anyio.to_thread.run_sync(next, pieces, b"")
            await send({**_START, "status": status, "headers": headers})
            while piece:
                start += len(piece)
                ahead = asyncio.ensure_future(self._next(pieces, key))
                await send({"type": "http.response.body", "body": piece, "more_body": start < stop})
                piece = await ahead
        finally:
            with suppress(ValueError):  # It is being read ahead still; then it closes when that is over.
                pieces.close()
        return status

    def _pieces(self, digest: str, key: str, start: int, stop: int) -> Generator[bytes, None, None]:
        try:
            yield from self._blobs.stream(key, start, stop)
        except Missing:
            raise self._damaged(digest, key) from None

    async def _next(self, pieces: Generator[bytes, None, None], key: str) -> bytes:
        """The next piece. Without it the answer stays unfinished, and the server breaks the connection off."""
        try:
            return await anyio.to_thread.run_sync(next, pieces, b"")
        except (StorageError, OCIError) as error:
            log.error("the copy %s could not be read to its end: %s", key, error)
            return b""


def _split(path: str) -> tuple[str, str, str] | None:
    """Name, `manifests` or `blobs`, and reference of a path such as /v2/a/b/manifests/v1."""
    for kind in ("manifests", "blobs"):
        before, found, reference = path.rpartition(f"/{kind}/")
        if found and before.startswith("/v2/") and "/" not in reference and reference:
            return before[4:], kind, reference
    return None


def _question(claims: Claims, name: str, kind: str, reference: str) -> Question:
    """What to ask the database; of a reference that none can have, nothing."""
    if kind == "blobs":
        return Question(claims.user_id, name, blob=reference if is_digest(reference) else None)
    digest = reference if is_digest(reference) else digest_of_tag(reference)
    if digest is not None:
        return Question(claims.user_id, name, digest=digest)
    return Question(claims.user_id, name, tag=reference if is_tag(reference) else None)


def _manifest_answer(facts: Facts, entry: Entry, name: str, reference: str) -> Answer:
    if entry.repository_id is None:
        raise OCIError("NAME_UNKNOWN", detail={"name": name})
    digest, size, row = facts.digest, facts.size, facts.manifest_id
    if digest is None or size is None or row is None:
        raise OCIError("MANIFEST_UNKNOWN", f"{name} holds no manifest {reference[:200]}")
    cache = IMMUTABLE if ":" in reference else REVALIDATE
    headers = _headers(digest, size, facts.media_type or "", cache)
    if facts.warning is not None:
        headers.append((b"warning", _warning(facts.warning)))
    return Answer(digest, _etag(digest), size, headers, row, entry.claims.expires_at)


def _blob_answer(facts: Facts, entry: Entry, name: str, digest: str) -> Answer:
    if not is_digest(digest):
        raise OCIError("DIGEST_INVALID", f"{digest[:200]} is no sha256 or sha512 digest")
    if entry.repository_id is None:
        raise OCIError("NAME_UNKNOWN", detail={"name": name})
    key, size = facts.blob_key, facts.blob_size
    if key is None or size is None:
        raise OCIError("BLOB_UNKNOWN", f"{name} holds no blob {digest}")
    headers = [*_headers(digest, size, "application/octet-stream", IMMUTABLE), (b"accept-ranges", b"bytes")]
    return Answer(digest, _etag(digest), size, headers, key, entry.claims.expires_at)


def _elsewhere(url: str, digest: str) -> Headers:
    """The headers of an answer that sends a client to the blob store, with a URL that soon ends."""
    return [
        (b"content-length", b"0"),
        (b"location", url.encode()),
        (b"docker-content-digest", digest.encode()),
        (b"cache-control", b"no-store"),
    ]


def _warning(sentence: str) -> bytes:
    """A sentence as clients show it to who pulls (distribution-spec, "Warnings"; RFC 7234, 5.5)."""
    plain = sentence.encode("ascii", "replace").decode().replace("\\", "/").replace('"', "'")
    return f'299 - "{"".join(c if c.isprintable() else " " for c in plain[:1000])}"'.encode()


def _etag(digest: str) -> bytes:
    return f'"{digest}"'.encode()


def _headers(digest: str, size: int, media_type: str, cache: tuple[bytes, bytes]) -> Headers:
    """The headers of an answer; Content-Length is the first, so that it can be left out or replaced."""
    return [
        (b"content-length", str(size).encode()),
        (b"content-type", media_type.encode()),
        (b"docker-content-digest", digest.encode()),
        (b"etag", _etag(digest)),
        cache,
        (b"vary", b"authorization"),
        (b"x-content-type-options", b"nosniff"),
    ]


async def _send(send: Send, status: int, headers: Headers, content: bytes) -> int:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
    return status


async def _refuse(error: OCIError | StorageError, method: str, send: Send) -> int:
    refused = error if isinstance(error, OCIError) else from_storage(error)
    body = refused.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in refused.headers.items()),
    ]
    return await _send(send, refused.status, headers, b"" if method == "HEAD" else body)
