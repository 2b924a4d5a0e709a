"""No schedule loses anything; left out, each rule of the collector loses what its schedule is about."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import chosen, engines
from tests.garbage.mutants import Change, changed
from tests.garbage.schedules import SCHEDULES, run
from tests.garbage.world import Violation, World, build
from tests.hub import ROOT

GARBAGE, CLOCK, LEASES = "storage.garbage", "storage.clock", "storage.blob_leases"
_DELETE = (
    '    f"DELETE FROM blobs AS b WHERE b.id = :id AND b.leased_until < {READING} AND NOT {_HELD} AND NOT {_RUNS}"\n'
)
_GONE = '            gone = _DELETE_BLOB.first(session, {"id": blob_id})\n'
_TAKES_LINKS = (
    '            Statement("DELETE FROM repository_blobs WHERE blob_id = :id").run(session, {"id": blob_id})\n' + _GONE
)
_UNLINKS = 'b.leased_until < {READING} AND NOT {_NAMED})"\n)\n_HELD = '
_LATER = "self._periods.orphan - self._periods.grace"
_STILL_HELD = "EXISTS (SELECT 1 FROM repository_blobs rb WHERE rb.repository_id = :repo AND rb.blob_id = :id)"
_TARGET = "            target = self._copy\n            if target.exists():\n"
_BY_CONTENT = (
    "            made_of = __import__('hashlib').sha256(self._upload.read_bytes()).hexdigest()\n"
    "            target = self._copy.with_name(f'00{made_of[2:32]}')\n            if False:\n"
)

# A rule that is left out: how, the schedule that then loses something, and the words by which it is noticed.
MUTANTS: dict[str, tuple[list[Change], str, str]] = {
    "unlinking does not look at leases again": (
        [(GARBAGE, _UNLINKS, 'NOT {_NAMED})"\n)\n_HELD = ')],
        "lease_is_renewed_after_the_look",
        "somebody counts on",
    ),
    "unlinking does not look at manifests again": (
        [(GARBAGE, _UNLINKS, 'b.leased_until < {READING})"\n)\n_HELD = ')],
        "manifest_comes_after_the_look",
        "has lost",
    ),
    "deleting a blob does not look again at who holds it": (
        [(GARBAGE, _DELETE, _DELETE.replace(" AND NOT {_HELD}", ""))],
        "push_comes_after_the_look_and_the_collector_sleeps",
        "the collector failed: Gone",  # the database's own rule stops it
    ),
    "deleting a blob takes what holds it along": (
        [(GARBAGE, _DELETE, _DELETE.replace(" AND NOT {_HELD}", "")), (GARBAGE, _GONE, _TAKES_LINKS)],
        "push_comes_after_the_look_and_the_collector_sleeps",
        "has lost",
    ),
    "what deployments run is not looked at": (
        [(GARBAGE, '" WHERE i.blob_digest = b.digest)"', '" WHERE i.blob_digest = b.digest AND v.id < 0)"')],
        "layer_of_a_deployment_is_taken_out",
        "has lost its module",
    ),
    "what deployments run is not looked at again": (
        [(GARBAGE, _DELETE, _DELETE.replace(" AND NOT {_RUNS}", ""))],
        "deployment_comes_after_the_look",
        "has lost its module",
    ),
    "a deployment does not look for its bytes": (
        [("storage.deployments", "if module_location(session, revision.module_sha256) is None:", "if False:")],
        "deployment_comes_too_late",
        "has lost its module",
    ),
    "bytes go as soon as their row": (
        [("registry.garbage", "self._periods.grace + self._periods.step", "0")],
        "reader_has_found_the_key",
        "lost its bytes",
    ),
    "what may still be committed goes as early as other copies": (
        [("registry.garbage", _LATER, "0")],
        "push_in_one_request_takes_its_time",
        "rows name bytes that are gone",
    ),
    "what was taken for left behind is not looked at again": (
        [(GARBAGE, "named = {one.id for one in found if _is_named(session, one.key)}", "named: set[int] = set()")],
        "push_is_taken_for_left_behind",
        "rows name bytes that are gone",
    ),
    "a key is made of what it holds": (
        [("storage.blobs.files", _TARGET, _BY_CONTENT)],
        "pushed_again_before_the_removal",
        "rows name bytes that are gone",
    ),
    "HEAD renews what is not held any more": (
        [(LEASES, _STILL_HELD, ":repo > 0")],
        "taken_out_before_the_renewal",
        "somebody counts on",
    ),
    "HEAD does not renew": (
        [(LEASES, "CASE WHEN leased_until < {LEASED_UNTIL} THEN {LEASED_UNTIL} ELSE leased_until END", "leased_until")],
        "looked_at_late",
        "somebody counts on",
    ),
    "a remembered answer is not compared with what the database says": (
        [("registry.caching", "if found is None or found[1] != facts:", "if found is None:")],
        "looked_at_late",
        "somebody counts on",
    ),
    "a remembered answer is good whatever was committed": (
        [("registry.caching", "if found is None or found[0] != version or", "if found is None or")],
        "remembered_for_long",
        "somebody counts on",
    ),
    "pushes do not renew": (
        [("storage.uploads", '    _LEASE.run(session, {"id": blob_id})\n', "")],
        "pushed_again_late",
        "somebody counts on",
    ),
    "mounts do not renew": (
        [("storage.uploads", '    _LEASE.run(session, {"id": blob_id})\n', "")],
        "mounted_late",
        "somebody counts on",
    ),
    "the clock goes twice as fast": (
        [(CLOCK, "(moment - self._seen[1]) * 1000", "(moment - self._seen[1]) * 2000")],
        "lease_lasts_in_true_time",
        "somebody counts on",
    ),
    "each replica moves the clock on by itself": (
        [(CLOCK, "if self._seen is None or self._seen[0] != reading:", "if self._seen is None:")],
        "lease_lasts_in_true_time",
        "somebody counts on",
    ),
    "ending an upload does not look at it again": (
        [
            (GARBAGE, "WHERE id = :id AND touched_at < {READING} - :life ON", "WHERE id = :id AND :life > 0 ON"),
            (GARBAGE, 'WHERE id = :id AND touched_at < {READING} - :life")', 'WHERE id = :id AND :life > 0")'),
        ],
        "upload_is_touched_after_the_look",
        "was ended",
    ),
}
# Rules that another one covers, so that no schedule loses anything without them.
IN_DEPTH: dict[str, list[Change]] = {
    "deleting a blob does not look at its lease": [
        (GARBAGE, _DELETE, _DELETE.replace("b.leased_until < {READING} AND ", "")),
        (
            GARBAGE,
            '_BLOBS = Statement(\n    f"SELECT b.id, b.size, b.leased_until < {READING} AND ',
            '_BLOBS = Statement(\n    f"SELECT b.id, b.size, ',
        ),
    ],
    "dooming what lies in the store does not look again": [
        (GARBAGE, "for key, state in found if not _is_named(session, key)]", "for key, state in found]")
    ],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database for a world; each gets a copy."""
    made = tmp_path_factory.mktemp("template") / "hub.db"
    build(made)
    return made


@pytest.fixture
def world(template: Path, tmp_path: Path) -> Iterator[World]:
    """A world of its own, on SQLite and a folder."""
    shutil.copy(template, tmp_path / "hub.db")
    found = World(tmp_path / "hub.db", tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world on the database of this session's engines."""
    folder = tmp_path_factory.mktemp("world")
    server = engines(chosen()).postgresql
    place = folder / "hub.db" if server is None else server.url("schedules")
    build(place)
    found = World(place, folder)
    yield found
    found.close()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_nothing_is_lost(schedule: str, engine_world: World) -> None:
    run(engine_world, schedule)


def test_each_schedule_is_explained() -> None:
    page = (ROOT / "docs/garbage-collection.md").read_text()
    assert [one for one in SCHEDULES if f"| `{one}` |" not in page] == []


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_rule_that_is_left_out_loses_something(mutant: str, world: World) -> None:
    changes, schedule, words = MUTANTS[mutant]
    with changed(*changes), pytest.raises(Violation, match=words):
        run(world, schedule)


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("mutant", IN_DEPTH)
def test_a_rule_that_another_one_covers_loses_nothing(mutant: str, world: World) -> None:
    with changed(*IN_DEPTH[mutant]):
        for schedule in SCHEDULES:
            run(world, schedule)
