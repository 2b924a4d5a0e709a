"""Pushers that remember what the hub acknowledged, so that a test can ask for it after the hub was killed."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

Key = tuple[str, str]  # "blob" | "manifest" | "tag", and its digest or name


@dataclass
class Upload:
    """An upload that was not finished: its bytes, and the offsets that the hub may report."""

    location: str
    body: bytes
    offsets: set[int]
    may_be_gone: bool = False


@dataclass
class Pusher:
    """Pushes to and deletes from a repository of its own until the hub goes away.

    `may_be` holds, for each thing, the contents that it may have now: one if the last command about it was answered,
    the old and the new one if it was under way when the hub was killed. None stands for "is not there".
    """

    name: str
    seed: int
    may_be: dict[Key, set[bytes | None]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.scope = f"repository:{self.name}:pull,push,delete"

    def run(self, client: Client) -> None:
        """Works until a request fails because the hub is gone. Any answer that refuses is an error."""
        ways: list[Callable[[Client], None]] = [self._push, self._push, self._push, self._leave, self._delete]
        try:
            while True:
                self._random.choice(ways)(client)
        except httpx.TransportError:
            return

    def _push(self, client: Client) -> None:
        """Some blobs and a manifest over them, under one tag or two."""
        layers = [self._blob(client) for _ in range(self._random.randint(1, 2))]
        self._whole(client, EMPTY)
        manifest = image(*layers, annotations={"n": str(self._random.random())})
        digest = digest_of(manifest)
        tags = self._random.sample(["v1", "v2", "v3", "latest"], self._random.randint(1, 2))
        path = f"/v2/{self.name}/manifests/{digest}?" + "&".join(f"tag={tag}" for tag in tags)
        with_it = {("manifest", digest): manifest, **{("tag", tag): manifest for tag in tags}}
        headers = {"Content-Type": OCI_MANIFEST}
        self._command(with_it, lambda: self._ask(client, "PUT", path, content=manifest, headers=headers))

    def _delete(self, client: Client) -> None:
        """A tag, or a manifest with the tags that point to it."""
        there = sorted(key for key, contents in self.may_be.items() if key[0] != "blob" and None not in contents)
        if not there:
            return
        key = self._random.choice(there)
        gone = {key: None}
        if key[0] == "manifest":
            content = self.may_be[key]
            gone |= {other: None for other, known in self.may_be.items() if other[0] == "tag" and known & content}
        self._command(gone, lambda: self._ask(client, "DELETE", f"/v2/{self.name}/manifests/{key[1]}"))

    def _leave(self, client: Client) -> None:
        """A chunk or two of an upload that is never finished."""
        body = self._body()
        upload = self._begin(client, body)
        for start, stop in ((0, len(body) // 3), (len(body) // 3, len(body) // 2)):
            upload.offsets = {start, stop}
            self._ask(client, "PATCH", upload.location, content=body[start:stop])
            upload.offsets = {stop}

    def _blob(self, client: Client) -> bytes:
        body = self._body()
        way = self._random.choice([self._whole, self._in_two, self._in_chunks, self._streamed])
        way(client, body)
        return body

    def _whole(self, client: Client, body: bytes) -> None:
        path = f"/v2/{self.name}/blobs/uploads/?digest={digest_of(body)}"
        self._store(body, lambda: self._ask(client, "POST", path, content=body))

    def _in_two(self, client: Client, body: bytes) -> None:
        upload = self._begin(client, body)
        self._end(client, upload, body)

    def _in_chunks(self, client: Client, body: bytes) -> None:
        upload = self._begin(client, body)
        middle = len(body) // 2
        for start, stop in ((0, middle), (middle, len(body))):
            upload.offsets = {start, stop}
            headers = {"Content-Range": f"{start}-{stop - 1}"}
            self._ask(client, "PATCH", upload.location, content=body[start:stop], headers=headers)
            upload.offsets = {stop}
        self._end(client, upload, b"")

    def _streamed(self, client: Client, body: bytes) -> None:
        upload = self._begin(client, body)
        upload.offsets = {0, len(body)}
        pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
        self._ask(client, "PATCH", upload.location, content=pieces)
        upload.offsets = {len(body)}
        self._end(client, upload, b"")

    def _begin(self, client: Client, body: bytes) -> Upload:
        answer = self._ask(client, "POST", f"/v2/{self.name}/blobs/uploads/")
        self.uploads.append(Upload(answer.headers["location"], body, {0}))
        return self.uploads[-1]

    def _end(self, client: Client, upload: Upload, rest: bytes) -> None:
        upload.may_be_gone = True
        path = f"{upload.location}?digest={digest_of(upload.body)}"
        self._store(upload.body, lambda: self._ask(client, "PUT", path, content=rest))
        self.uploads.remove(upload)

    def _store(self, body: bytes, ask: Callable[[], httpx.Response]) -> None:
        self._command({("blob", digest_of(body)): body}, ask)

    def _command(self, change: dict[Key, bytes | None], ask: Callable[[], httpx.Response]) -> None:
        """Notes what may be while the command is under way, and what is once it was answered."""
        for key, content in change.items():
            self.may_be[key] = self.may_be.get(key, {None}) | {content}
        ask()
        self.may_be.update({key: {content} for key, content in change.items()})
        self.acknowledged += 1

    def _ask(self, client: Client, method: str, path: str, **more: object) -> httpx.Response:
        answer = client.ask(method, path, scope=self.scope, **more)
        assert answer.status_code in (201, 202), f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def _body(self) -> bytes:
        """Bytes small or large; at times the same as those of another pusher."""
        if self._random.random() < 0.2:
            return hashlib.sha512(b"shared %d" % self._random.randint(0, 50)).digest() * 300
        return self._random.randbytes(self._random.choice([30, 5_000, 200_000, 2_500_000]))
