"""Blob stores of each kind for tests, and what tests do with any of them."""

import functools
import json
import secrets

import boto3
import pytest

from storage.blobs.s3 import S3Blobs
from storage.blobs.store import BlobStore, Bucket, State
from tests.engines import PASSWORD, USER, MinIO, Server, engines
from tests.peers import rclone_binary


class Rclone(Server):
    """`rclone serve s3`, another make of S3 over a folder."""

    def __init__(self) -> None:
        super().__init__("rclone")
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, empty."""
        (self.folder / "data").mkdir()
        words = [rclone_binary(), "serve", "s3", "--addr", f"127.0.0.1:{self.port}"]
        words += ["--auth-key", f"{USER},{PASSWORD}", "--config", self.folder / "none", self.folder / "data"]
        self.launch(words, lambda: "Starting s3 server" in self.log())


def minio() -> MinIO:
    """The session's MinIO."""
    found = engines("s3").minio
    assert found is not None
    return found


def new_bucket(endpoint: str, patch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket there; this process gets the credentials for it."""
    patch.setenv("AWS_ACCESS_KEY_ID", USER)
    patch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    name = f"test-{secrets.token_hex(6)}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return Bucket(name, "hub/", endpoint)


def s3_store(endpoint: str, patch: pytest.MonkeyPatch) -> S3Blobs:
    """A store in a new bucket."""
    return S3Blobs(new_bucket(endpoint, patch))


def whole(blobs: BlobStore, content: bytes) -> str:
    """The key of a finished copy that no row names."""
    with blobs.resume(blobs.new_key(), 0, None) as writer:
        writer.write([content])
        key = writer.finish()
        writer.done()
    return key


def append(blobs: BlobStore, key: str, offset: int, state: State, content: bytes) -> State:
    """Appends to an upload as one request does; what its row then keeps, through JSON and back."""
    with blobs.resume(key, offset, state) as writer:
        for start in range(0, len(content), 2**20):
            writer.write([content[start : start + 2**20]])
        state = json.loads(json.dumps(writer.sync()))
        writer.done()
    return state


def bytes_of(blobs: BlobStore, key: str, size: int) -> bytes:
    """A copy, as it is streamed."""
    return b"".join(blobs.stream(key, 0, size))


@functools.cache
def rclone() -> Rclone:
    """The session's rclone."""
    made = Rclone()
    made.start()
    return made
