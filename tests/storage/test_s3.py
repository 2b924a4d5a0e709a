"""A bucket's own ways: how often it is called, what is cut or refused, and what is wrong with it at the start."""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from storage.blobs.s3 import S3Blobs
from storage.blobs.store import Bucket, Lost
from storage.database import StorageError
from tests.engines import PASSWORD, free_port
from tests.storage.middle import Middle, between
from tests.storage.stores import append, bytes_of, minio, new_bucket, s3_store, whole

MIB = 2**20
RANDOM = os.urandom(20 * MIB)


@pytest.fixture
def middle() -> Iterator[Middle]:
    """Stands before the session's MinIO."""
    with between(minio().endpoint) as found:
        yield found


@pytest.fixture
def blobs(middle: Middle, monkeypatch: pytest.MonkeyPatch) -> S3Blobs:
    """A store that is reached through the middle."""
    store = s3_store(middle.endpoint, monkeypatch)
    middle.asked.clear()
    return store


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket of the session's MinIO."""
    return new_bucket(minio().endpoint, monkeypatch)


def test_a_small_blob_costs_one_call(blobs: S3Blobs, middle: Middle) -> None:
    whole(blobs, RANDOM[: 8 * MIB - 1])
    assert middle.methods() == ["PUT"]
    key = blobs.new_key()
    state = append(blobs, key, 0, None, RANDOM[: 6 * MIB])
    assert middle.methods() == ["PUT"]
    with blobs.resume(key, 6 * MIB, state) as writer:  # docker's way: all of it, then an empty PUT
        writer.write([])
        copy = writer.finish()
        writer.done()
    assert middle.methods() == []
    assert blobs.read(copy) == RANDOM[: 6 * MIB]


def test_what_is_not_stored_after_all_costs_none(blobs: S3Blobs, middle: Middle) -> None:
    with blobs.resume(blobs.new_key(), 0, None) as writer:
        writer.write([RANDOM[:MIB]])
        writer.undo()
    assert middle.methods() == []


def test_parts_of_another_request_never_get_into_a_copy(blobs: S3Blobs) -> None:
    key = blobs.new_key()
    state = append(blobs, key, 0, None, RANDOM[: 9 * MIB])
    with blobs.resume(key, 9 * MIB, state) as first, blobs.resume(key, 9 * MIB, state) as second:
        first.write([RANDOM[9 * MIB : 17 * MIB]])
        committed = first.sync()
        second.write([bytes(8 * MIB)])  # the same part, other bytes; its row is never committed
    with blobs.resume(key, 17 * MIB, committed) as writer, pytest.raises(Lost):
        writer.finish()


@pytest.mark.parametrize("harm", [["cut"], ["cut", "cut"], ["refuse"], ["refuse", "cut", "refuse", "cut"]])
def test_a_body_that_is_cut_is_read_on(blobs: S3Blobs, middle: Middle, harm: list[str]) -> None:
    key = whole(blobs, RANDOM)
    middle.harm[:] = harm
    assert blobs.read(key) == RANDOM
    middle.harm[:] = harm
    assert bytes_of(blobs, key, len(RANDOM)) == RANDOM
    middle.harm[:] = harm
    assert b"".join(blobs.stream(key, MIB, 2 * MIB)) == RANDOM[MIB : 2 * MIB]


def test_a_body_that_is_always_cut_is_an_error(blobs: S3Blobs, middle: Middle) -> None:
    key = whole(blobs, RANDOM)
    for read in (lambda: blobs.read(key), lambda: bytes_of(blobs, key, len(RANDOM))):
        middle.harm[:] = ["cut"] * 3
        with pytest.raises(StorageError, match="does not answer; try again in a moment"):
            read()
        assert middle.harm == []


def test_writing_outlives_some_refusals(blobs: S3Blobs, middle: Middle) -> None:
    middle.harm[:] = ["refuse", "refuse", "pass", "refuse", "pass", "refuse"]
    assert blobs.read(whole(blobs, RANDOM)) == RANDOM
    middle.harm[:] = ["refuse"] * 3
    with pytest.raises(StorageError, match="cannot do that now; try again in a moment"):
        whole(blobs, b"content")


def test_encryption_is_asked_for_with_each_object(middle: Middle, bucket: Bucket) -> None:
    for encryption, sent in (
        ("AES256", ("AES256", None)),
        ("aws:kms", ("aws:kms", None)),
        ("aws:kms:alias/hub", ("aws:kms", "alias/hub")),
    ):
        blobs = S3Blobs(replace(bucket, endpoint=middle.endpoint, encryption=encryption))
        with pytest.raises(StorageError):  # this MinIO has no keys to encrypt with
            whole(blobs, b"content")
        with pytest.raises(StorageError):
            whole(blobs, RANDOM)
        for _, _, headers in middle.asked:
            name = "x-amz-server-side-encryption"
            assert (headers.get(name), headers.get(f"{name}-aws-kms-key-id")) == sent
        assert set(middle.methods()) == {"PUT", "POST"}


@pytest.mark.parametrize(
    ("addressing", "endpoint", "begins"),
    [
        ("auto", "https://s3.example.com", "https://s3.example.com/filters/hub/copies/"),
        ("virtual", "https://s3.example.com", "https://filters.s3.example.com/hub/copies/"),
        ("path", "https://s3.example.com:9000", "https://s3.example.com:9000/filters/hub/copies/"),
    ],
)
def test_where_the_buckets_name_goes(
    monkeypatch: pytest.MonkeyPatch, addressing: str, endpoint: str, begins: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    blobs = S3Blobs(Bucket("filters", "hub/", endpoint, addressing=addressing, public_endpoint=endpoint))
    url = blobs.url("some-key")
    assert url.startswith(f"{begins}some-key?")
    assert "X-Amz-Expires=600" in url and PASSWORD not in url
    assert blobs.url("some-key") == url


# What is wrong, what the environment and the bucket have instead, and what the hub says.
WRONG: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("no such bucket", {}, {"name": "not-there-at-all"}, "the bucket not-there-at-all of WASMHUB_BLOBS is not there"),
    ("an unknown key", {"AWS_ACCESS_KEY_ID": "nobody"}, {}, "of WASMHUB_BLOBS refuses the credentials"),
    (
        "a wrong secret",
        {"AWS_SECRET_ACCESS_KEY": "not-this-one"},
        {},
        "see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (
        "nobody listens",
        {},
        {"endpoint": "http://127.0.0.1:1"},
        r"127.0.0.1:1 \(WASMHUB_S3_ENDPOINT\) cannot be reached",
    ),
    ("no such host", {}, {"endpoint": "http://s3.invalid"}, r"s3.invalid \(WASMHUB_S3_ENDPOINT\) cannot be reached"),
    ("no certificates", {}, {"ca_bundle": "/not/there.pem", "endpoint": "https://127.0.0.1:1"}, "WASMHUB_S3_"),
]


@pytest.mark.parametrize(("environment", "other", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_bucket_that_cannot_be_used_is_told_by_its_setting(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    environment: dict[str, str],
    other: dict[str, str],
    says: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.INFO, "wasmhub.s3")
    began = time.monotonic()
    with pytest.raises(StorageError, match=says) as caught:
        S3Blobs(replace(bucket, **other)).claim("ours")
    assert time.monotonic() - began < 15
    assert "\n" not in str(caught.value) and PASSWORD not in str(caught.value)
    assert caplog.text == ""


def test_no_credentials_at_all(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/not/there")
    with pytest.raises(StorageError, match="no credentials for the bucket of WASMHUB_BLOBS were found"):
        S3Blobs(bucket).claim("ours")


def test_tls_that_is_none(bucket: Bucket) -> None:
    where = str(bucket.endpoint).replace("http:", "https:")
    with pytest.raises(StorageError, match="WASMHUB_S3_"):
        S3Blobs(replace(bucket, endpoint=where)).claim("ours")


def test_a_service_that_does_not_answer_is_not_waited_for_long(bucket: Bucket) -> None:
    blobs = S3Blobs(replace(bucket, endpoint=f"http://127.0.0.1:{free_port()}"))
    began = time.monotonic()
    with pytest.raises(StorageError):
        blobs.ping()
    assert time.monotonic() - began < 3
