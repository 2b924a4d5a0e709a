"""What every blob store does: files, MinIO and rclone's S3 are asked the same."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.blobs.files import FileBlobs
from storage.blobs.store import BlobStore, Lost, Missing
from storage.database import Conflict, StorageError
from tests.storage.stores import append, bytes_of, minio, rclone, s3_store, whole

MIB = 2**20
RANDOM = os.urandom(40 * MIB)


@pytest.fixture(params=["files", "minio", "rclone"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    if request.param == "files":
        yield FileBlobs(tmp_path / "blobs")
        return
    with pytest.MonkeyPatch.context() as patch:
        yield s3_store(minio().endpoint if request.param == "minio" else rclone().endpoint, patch)


def keys(blobs: BlobStore) -> list[str]:
    """Keys of all that lies in the store."""
    return [stored.key for stored in blobs.list("", 1000)]


@pytest.mark.parametrize("size", [0, 1, 500_000, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 21 * MIB])
def test_what_is_written_is_read(blobs: BlobStore, size: int) -> None:
    content = RANDOM[:size]
    key = whole(blobs, content)
    assert blobs.read(key) == content
    assert bytes_of(blobs, key, size) == content
    assert b"".join(blobs.stream(key, size // 3, size // 2)) == content[size // 3 : size // 2]
    with blobs.local(key) as path:
        assert path.read_bytes() == content
    with blobs.file(key) as file:
        file.seek(size // 2)
        assert file.read() == content[size // 2 :]
    assert keys(blobs) == [key]


# The chunks of an upload, each brought by a request of its own, perhaps to another process.
CHUNKS = {
    "one small": [500_000],
    "small ones": [1000, 1, 2000],
    "an empty one": [1000, 0, 1000],
    "wkg's": [4 * MIB] * 5 + [123],
    "just below a part": [5 * MIB, 3 * MIB - 1, 1],
    "a part at once": [8 * MIB, 10],
    "large ones": [13 * MIB, 6 * MIB, 9 * MIB],
}


@pytest.mark.parametrize("sizes", CHUNKS.values(), ids=CHUNKS)
@pytest.mark.parametrize("with_the_last", [True, False])
def test_an_upload_goes_on_from_what_its_row_keeps(blobs: BlobStore, sizes: list[int], with_the_last: bool) -> None:
    key, offset, state = blobs.new_key(), 0, None
    for size in sizes[:-1] if with_the_last else sizes:
        state = append(blobs, key, offset, state, RANDOM[offset : offset + size])
        offset += size
        assert {stored.partition(".")[0] for stored in keys(blobs)} <= {key}
    with blobs.resume(key, offset, state) as writer:
        if with_the_last:
            writer.write([RANDOM[offset : sum(sizes)]])
        copy = writer.finish()
        writer.done()
    assert bytes_of(blobs, copy, sum(sizes)) == RANDOM[: sum(sizes)]
    assert keys(blobs) == [copy]


@pytest.mark.parametrize("begun", [0, 1000, 9 * MIB])
@pytest.mark.parametrize("rest", [0, 7, 9 * MIB])
def test_an_upload_whose_row_was_not_committed_is_finished_again(blobs: BlobStore, begun: int, rest: int) -> None:
    key, content = blobs.new_key(), RANDOM[: begun + rest]
    state = append(blobs, key, 0, None, content[:begun]) if begun else None
    for _ in range(3):
        with blobs.resume(key, begun, state) as writer:
            writer.write([content[begun:]])
            copy = writer.finish()
        assert bytes_of(blobs, copy, len(content)) == content


def test_other_bytes_never_pass_for_those_of_a_copy_that_was_not_committed(blobs: BlobStore) -> None:
    """The second request ends with a copy of its own, or says that the first one's must be read; or it is refused."""
    key = blobs.new_key()
    state = append(blobs, key, 0, None, RANDOM[: 9 * MIB])
    for rest in (b"one", b"two", b"three"):
        with blobs.resume(key, 9 * MIB, state) as writer:
            writer.write([rest])
            try:
                copy = writer.finish()
            except Lost:
                continue
            assert not writer.sure or bytes_of(blobs, copy, 9 * MIB + len(rest)) == RANDOM[: 9 * MIB] + rest


@pytest.mark.parametrize("size", [1000, 9 * MIB])
@pytest.mark.parametrize("finish", [True, False])
def test_what_is_undone_leaves_the_upload_as_it_was(blobs: BlobStore, size: int, finish: bool) -> None:
    key = blobs.new_key()
    state = append(blobs, key, 0, None, b"acknowledged")
    before = keys(blobs)
    with blobs.resume(key, 12, state) as writer:
        writer.write([RANDOM[:size]])
        writer.finish() if finish else writer.sync()
        writer.undo()
    assert keys(blobs) == before
    with blobs.resume(key, 12, state) as writer:
        writer.write([b", finished"])
        assert blobs.read(writer.finish()) == b"acknowledged, finished"


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_what_is_discarded_is_gone(blobs: BlobStore, size: int) -> None:
    copy, key = whole(blobs, RANDOM[:size]), blobs.new_key()
    state = append(blobs, key, 0, None, RANDOM[:size])
    for _ in range(2):  # what is not there is no error
        blobs.discard(key, state)
        assert keys(blobs) == [copy]
    with blobs.resume(key, size, state) as writer, pytest.raises(StorageError):
        writer.write([b"more"])
        writer.finish()
    blobs.discard(copy)
    assert keys(blobs) == []


@pytest.mark.parametrize("size", [3 * MIB, 9 * MIB])
def test_of_two_requests_at_one_offset_the_one_that_is_committed_counts(blobs: BlobStore, size: int) -> None:
    key = blobs.new_key()
    with blobs.resume(key, 0, None) as first, blobs.resume(key, 0, None) as second:
        first.write([RANDOM[:size]])
        try:
            second.write([RANDOM[size : 2 * size]])
            second.sync()
        except Conflict:
            pass
        state = first.sync()
        second.undo()
        first.done()
    with blobs.resume(key, size, state) as writer:
        assert bytes_of(blobs, writer.finish(), size) == RANDOM[:size]


def test_nothing_is_read_before_it_is_whole(blobs: BlobStore) -> None:
    key = blobs.new_key()
    append(blobs, key, 0, None, b"half")
    with pytest.raises(Missing):
        blobs.read(key)


def test_what_is_missing_says_so(blobs: BlobStore) -> None:
    key = blobs.new_key()
    with pytest.raises(Missing, match="missing from the blob store"):
        blobs.read(key)
    with pytest.raises(Missing):
        next(blobs.stream(key, 0, 10))
    with pytest.raises(Missing):
        with blobs.file(key):
            pass
    with pytest.raises(Missing):
        with blobs.local(key):
            pass


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (3, 6), (5, 6), (9, 20)])
def test_a_copy_that_is_too_short_says_so(blobs: BlobStore, start: int, stop: int) -> None:
    key = whole(blobs, b"short")
    with pytest.raises(Missing):
        b"".join(blobs.stream(key, start, stop))


def test_the_list_comes_by_key_in_pages(blobs: BlobStore) -> None:
    made = sorted(whole(blobs, b"x" * size) for size in range(7))
    found, after = [], ""
    while page := blobs.list(after, 3):
        assert len(page) <= 3
        found += page
        after = page[-1].key
    assert [stored.key for stored in found] == made
    assert sorted(stored.size for stored in found) == list(range(7))
    assert min(stored.modified for stored in found) > 1_600_000_000_000


def test_a_store_is_one_hubs(blobs: BlobStore) -> None:
    blobs.ping()
    for _ in range(2):
        blobs.claim("ours")
    with pytest.raises(StorageError, match=r"WASMHUB_BLOBS is .* of another hub's database"):
        blobs.claim("theirs")
    assert keys(blobs) == []


def test_keys_are_never_given_twice(blobs: BlobStore) -> None:
    assert len({blobs.new_key() for _ in range(1000)}) == 1000
