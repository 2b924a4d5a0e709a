"""Blobs as files: what a crash leaves goes on, two processes never write to one upload, what fails says so."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.blobs.files import FileBlobs
from storage.database import Conflict, StorageError
from tests.mounts import mounted, remount
from tests.storage.stores import whole


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobs:
    """A store in an empty folder."""
    return FileBlobs(tmp_path / "blobs")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[tuple[FileBlobs, Path]]:
    """A store on a disk of 2 MiB, and that disk's folder."""
    with mounted(tmp_path / "disk", "size=2m") as folder:
        yield FileBlobs(folder / "blobs"), folder


def sizes(folder: Path) -> dict[str, int]:
    """Everything in the store, and how large it is."""
    return {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def test_what_an_interrupted_write_left_is_cut_off(blobs: FileBlobs) -> None:
    key = blobs.new_key()
    with blobs.resume(key, 0, None) as writer:
        writer.write([b"acknowledged", b"and lost"])
        writer.sync()
    with blobs.resume(key, 12, None) as writer:
        writer.write([b"!"])
        assert blobs.read(writer.finish()) == b"acknowledged!"


def test_two_processes_never_write_to_one_upload(blobs: FileBlobs, tmp_path: Path) -> None:
    key = blobs.new_key()
    other = FileBlobs(tmp_path / "blobs")
    with blobs.resume(key, 0, None) as writer, other.resume(key, 0, None) as second:
        writer.write([b"one"])
        with pytest.raises(Conflict, match="another request is writing"):
            second.write([b"two"])
        writer.sync()
    with other.resume(key, 3, None) as second:
        second.write([b" two"])
        assert blobs.read(second.finish()) == b"one two"


def test_a_copy_that_no_row_came_to_name_lends_its_bytes_and_stays_as_it_is(blobs: FileBlobs, tmp_path: Path) -> None:
    key = blobs.new_key()
    with blobs.resume(key, 0, None) as writer:
        writer.write([b"acknowledged", b" and finished, but not committed"])
        left = writer.finish()
    with FileBlobs(tmp_path / "blobs").resume(key, 12, None) as writer:
        writer.write([b" anew"])
        again = writer.finish()
    assert again != left
    assert blobs.read(again) == b"acknowledged anew"
    assert blobs.read(left) == b"acknowledged and finished, but not committed"
    assert {again.partition(".")[0], left} == {key}
    assert set(sizes(tmp_path)) == {again, left}


def test_what_is_undone_leaves_no_more_than_was_acknowledged(blobs: FileBlobs, tmp_path: Path) -> None:
    whole_one, begun = blobs.new_key(), blobs.new_key()
    with blobs.resume(whole_one, 0, None) as writer:
        writer.write([b"some"])
        writer.finish()
        writer.undo()
    with blobs.resume(begun, 0, None) as writer:
        writer.write([b"acknowledged"])
        writer.sync()
    for finish in (True, False):
        with blobs.resume(begun, 12, None) as writer:
            writer.write([b" and more"])
            if finish:
                writer.finish()
            writer.undo()
        assert sizes(tmp_path) == {begun: 12}


def test_readers_keep_what_is_deleted(blobs: FileBlobs) -> None:
    key = whole(blobs, b"x" * 2**20 + b"content")
    pieces = blobs.stream(key, 0, 2**20 + 7)
    assert len(next(pieces)) == 2**20
    with blobs.file(key) as file:
        blobs.discard(key)
        assert next(pieces) == b"content"
        file.seek(2**20)
        assert file.read() == b"content"


def test_a_full_disk(tiny: tuple[FileBlobs, Path]) -> None:
    blobs, folder = tiny
    key = blobs.new_key()
    with blobs.resume(key, 0, None) as writer:
        writer.write([b"x" * 1000])
        writer.sync()
    with blobs.resume(key, 1000, None) as writer:
        with pytest.raises(StorageError, match="the disk that holds the blobs is full"):
            writer.write([b"x" * 2**20] * 3)
        writer.undo()
    assert sizes(folder) == {key: 1000}


def test_a_disk_that_cannot_be_written(tiny: tuple[FileBlobs, Path]) -> None:
    blobs, folder = tiny
    key = whole(blobs, b"content")
    remount(folder, "ro")
    with pytest.raises(StorageError, match="the blobs cannot be written; make the data folder writable"):
        whole(blobs, b"x")
    assert blobs.read(key) == b"content"


def test_a_folder_of_another_hub(blobs: FileBlobs, tmp_path: Path) -> None:
    blobs.claim("ours")
    with pytest.raises(StorageError, match=r"WASMHUB_BLOBS is the folder .* of another hub's database"):
        FileBlobs(tmp_path / "blobs").claim("theirs")
    assert os.listdir(tmp_path / "blobs" / "uploads") == []
