"""Trouble in the middle of upkeep: a run that was cut off, a copy that cannot be read or removed, one that is gone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.garbage import Periods, Sweep
from storage.blobs.files import FileBlobs
from storage.blobs.verified import is_sound
from storage.bulk import Part, fill
from storage.checking import BlobRow, mark_damaged, mend, oldest_checked
from storage.copying import Copying, Place
from storage.database import Database
from storage.errors import StorageError
from storage.events import SYSTEM
from storage.garbage import delete_blobs, doom_unnamed, find_doomed
from storage.hubs import identify_hub
from storage.namespaces import create_namespace
from tests.oci import digest_of
from tests.storage.stores import whole

pytestmark = pytest.mark.once("it chooses its engines itself")
BODIES = [b"%d" % number * 2_000_000 for number in range(3)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A hub's database and folder with three blobs."""
    database, blobs = Database(tmp_path / "hub.db"), FileBlobs(tmp_path / "blobs")
    database.migrate()
    identify_hub(database, "check")
    held = {digest_of(body): (whole(blobs, body), len(body)) for body in BODIES}
    fill(
        database,
        [Part("acme/filter", create_namespace(database, SYSTEM, "acme"), "private", held)],
        actor=SYSTEM,
        at=1,
    )
    yield Place(database, blobs)
    database.close()


def rows(place: Place) -> list[BlobRow]:
    """Its blobs."""
    return oldest_checked(place.database, before=2**62, limit=10)


@pytest.mark.parametrize("left", [0, 1_000_000, 2_000_000])
def test_what_a_killed_run_left_of_a_blob_is_no_copy(place: Place, tmp_path: Path, left: int) -> None:
    target = Place(Database(tmp_path / "other.db"), FileBlobs(tmp_path / "other"))
    target.database.migrate()
    for one, body in zip(rows(place), BODIES, strict=True):
        (tmp_path / "other" / "uploads" / one.key).write_bytes(body[:left])
    copying = Copying(place, target, lambda progress: None)
    copying.copy_bytes()
    copying.copy_rows()
    assert copying.progress.damaged == []
    copied = rows(target)
    assert len(copied) == 3 and all(is_sound(target.blobs, one.key, one.size, one.digest) for one in copied)
    assert [one.state for one in target.blobs.list("", 10)] == [None] * 3
    target.database.close()


def test_a_run_that_fails_in_the_middle_of_a_blob_leaves_nothing_of_it(place: Place, tmp_path: Path) -> None:
    target = Place(Database(tmp_path / "other.db"), FileBlobs(tmp_path / "other"))

    class Stopped(FileBlobs):
        def stream(self, key: str, start: int, stop: int) -> Iterator[bytes]:  # type: ignore[override]
            yield next(super().stream(key, start, stop))
            raise KeyboardInterrupt

    source = Place(place.database, Stopped(tmp_path / "blobs"))
    with pytest.raises(KeyboardInterrupt):
        Copying(source, target, lambda progress: None).copy_bytes()
    assert target.blobs.list("", 10) == []
    target.database.close()


def test_a_copy_that_cannot_be_read_is_damaged_and_hides_no_other(place: Place, tmp_path: Path) -> None:
    one, two, _ = rows(place)
    unreadable = tmp_path / "blobs" / "copies" / one.key[:2] / one.key
    unreadable.unlink()
    unreadable.mkdir()  # reading it fails otherwise than by absence, as with a bad sector
    assert not is_sound(place.blobs, one.key, one.size, one.digest)
    assert is_sound(place.blobs, two.key, two.size, two.digest)
    shutil.rmtree(tmp_path / "blobs" / "copies")  # now it is the store that is gone, and nothing is said of any blob
    with pytest.raises(StorageError, match="not there"):
        is_sound(place.blobs, two.key, two.size, two.digest)


def test_a_copy_that_cannot_be_removed_holds_up_no_other(place: Place, tmp_path: Path) -> None:
    stuck, free = sorted(whole(place.blobs, body) for body in (b"stuck", b"free"))
    path = tmp_path / "blobs" / "copies" / stuck[:2] / stuck
    path.unlink()
    path.mkdir()
    assert doom_unnamed(place.database, [(stuck, None), (free, None)], 0) == 2
    with place.database.write() as session:
        session.connection().exec_driver_sql("UPDATE doomed_copies SET doomed_at = -1000000000000")
    done = Sweep(place.database, place.blobs, Periods(0, 0, 0)).step("copies", [], False)
    assert (done.figures, done.cursor) == ({"copies": 1}, None)
    left, _ = find_doomed(place.database, [], -(2**40))
    assert [copy.key for copy in left] == [stuck]


def test_what_is_doomed_already_is_mended_too(place: Place, tmp_path: Path) -> None:
    one = rows(place)[0]
    mark_damaged(place.database, one.digest, one.key)
    with place.database.write() as session:
        session.connection().exec_driver_sql("INSERT INTO doomed_copies (key, doomed_at) VALUES (?, 1)", (one.key,))

    class Kept:
        def find(self, digest: str) -> list[bytes]:
            return [BODIES[0]]

    assert mend(place.database, place.blobs, one, Kept())  # type: ignore[arg-type]
    (mended,) = (found for found in rows(place) if found.digest == one.digest)
    assert mended.key != one.key and is_sound(place.blobs, mended.key, mended.size, mended.digest)


def test_a_copy_that_was_taken_for_left_behind_still_has_its_grace(place: Place) -> None:
    with place.database.write() as session:
        run = session.connection().exec_driver_sql
        run("INSERT INTO doomed_copies (key, doomed_at) SELECT key, -1000000000000 FROM blobs")
        run("DELETE FROM repository_blobs")
        run("UPDATE blobs SET leased_until = -1")
    assert delete_blobs(place.database, [], False).figures["blobs"] == 3
    assert find_doomed(place.database, [], 10**11) == ([], None)  # nothing was doomed as long ago as that
    assert len(find_doomed(place.database, [], 0)[0]) == 3
