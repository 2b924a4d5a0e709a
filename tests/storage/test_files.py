"""Blobs as files: what is written is read, what was interrupted is tidied up, what fails says so."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.blobs.files import FileBlobs
from storage.database import Conflict, StorageError
from tests.mounts import mounted, remount


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    """A store in an empty folder."""
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[tuple[FileBlobs, Path]]:
    """A store on a disk of 2 MiB, and that disk's folder."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield FileBlobs(folder / "blobs"), folder


def files(folder: Path) -> set[str]:
    """Names of everything in the store."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def whole(blobs: FileBlobs, content: bytes) -> str:
    """A finished copy that no row names yet."""
    key = blobs.new_key()
    blobs.append(key, 0, [content], sync=True)
    blobs.finish(key)
    return key


def test_what_is_written_is_read(blobs: FileBlobs, tmp_path: Path) -> None:
    key = blobs.new_key()
    blobs.append(key, 0, [b"one ", b"two "], sync=False)
    blobs.append(key, 8, [b"three"], sync=True)
    assert b"".join(blobs.read_upload(key, 13)) == b"one two three"
    assert b"".join(blobs.read_upload(key, 4)) == b"one "
    blobs.finish(key)
    blobs.settle(key)

    assert blobs.read(key) == b"one two three"
    assert blobs.path(key).read_bytes() == b"one two three"
    assert files(tmp_path) == {key}


def test_nothing_is_read_before_it_is_whole(blobs: FileBlobs) -> None:
    key = blobs.new_key()
    blobs.append(key, 0, [b"half"], sync=True)
    with pytest.raises(StorageError):
        blobs.read(key)
    with pytest.raises(StorageError):
        blobs.open(key)


def test_what_an_interrupted_write_left_is_cut_off(blobs: FileBlobs) -> None:
    key = blobs.new_key()
    blobs.append(key, 0, [b"acknowledged", b"and lost"], sync=True)
    blobs.append(key, 12, [b"!"], sync=True)
    assert b"".join(blobs.read_upload(key, 100)) == b"acknowledged!"


def test_an_upload_without_its_bytes_does_not_go_on(blobs: FileBlobs) -> None:
    with pytest.raises(Conflict, match="lost"):
        blobs.append(blobs.new_key(), 5, [b"more"], sync=True)


def test_keys_are_never_given_twice(blobs: FileBlobs) -> None:
    assert len({blobs.new_key() for _ in range(1000)}) == 1000


def test_readers_keep_what_is_deleted(blobs: FileBlobs) -> None:
    key = whole(blobs, b"content")
    file = blobs.open(key)
    blobs.discard(key)
    assert os.pread(file, 100, 0) == b"content"
    os.close(file)
    blobs.discard(key)


def test_a_start_tidies_up(blobs: FileBlobs, tmp_path: Path) -> None:
    going_on, left, stored, named = blobs.new_key(), blobs.new_key(), whole(blobs, b"stored"), whole(blobs, b"named")
    taken_back, orphan = whole(blobs, b"taken back"), whole(blobs, b"orphan")
    for key in (going_on, left):
        blobs.append(key, 0, [b"begun"], sync=True)
    blobs.settle(named)
    again = FileBlobs(tmp_path / "blobs")

    assert again.unsettled() == {stored, taken_back, orphan}
    assert again.sweep(live={going_on, taken_back}, stored={stored}) == 2
    assert files(tmp_path) == {going_on, stored, named, taken_back}
    assert again.read(stored) == b"stored"
    again.append(taken_back, 10, [b" and on"], sync=True)
    assert b"".join(again.read_upload(taken_back, 100)) == b"taken back and on"
    assert again.unsettled() == set()


def test_a_full_disk(tiny: tuple[FileBlobs, Path]) -> None:
    blobs, _ = tiny
    key = blobs.new_key()
    blobs.append(key, 0, [b"x" * 1000], sync=True)
    with pytest.raises(StorageError, match="the disk that holds the blobs is full"):
        blobs.append(key, 1000, [b"x" * 2**20] * 3, sync=True)
    blobs.append(key, 1000, [], sync=False)
    assert b"".join(blobs.read_upload(key, 2**22)) == b"x" * 1000


def test_a_disk_that_cannot_be_written(tiny: tuple[FileBlobs, Path]) -> None:
    blobs, folder = tiny
    key = whole(blobs, b"content")
    blobs.settle(key)
    remount(folder, "ro")
    with pytest.raises(StorageError, match="the blobs cannot be written; make the data folder writable"):
        blobs.append(blobs.new_key(), 0, [b"x"], sync=True)
    assert blobs.read(key) == b"content"


def test_other_failures_name_their_reason(blobs: FileBlobs) -> None:
    with pytest.raises(StorageError, match=os.strerror(errno.ENOENT)):
        blobs.read(blobs.new_key())
