"""Two replicas on one database at the same moment, on each engine: one wins, nothing is lost, nobody gets stuck."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
from sqlalchemy import text

from auth.accounts import ensure_administrator
from storage.database import Conflict, Database
from storage.events import SYSTEM
from storage.keys import rotate_signing_key, signing_keys
from storage.leases import take_lease
from storage.manifests import NewManifest, delete_manifest, delete_tag, list_tags, save_manifest
from storage.modules import Reading, claim_inspections, give_back_inspection, save_reading
from storage.namespaces import create_namespace
from storage.nodes import SlotRow, add_node, save_slot
from storage.repositories import make_repository
from storage.targets import create_target
from storage.uploads import UploadRow, begin_upload, link_stored_blob, save_blob
from tests.storage.replicas import AT_ONCE, ENGINES, at_once, new_place, opened

ROUNDS = 5
UNREADABLE = Reading("failed", reason="cannot be read")
SERVED = SlotRow(served="1")


@pytest.fixture(params=ENGINES)
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Database]]:
    """As many as do something at once; every other one is the same replica."""
    with opened(new_place(request.param, tmp_path)) as found:
        yield list(islice(cycle(found), AT_ONCE))


def repository(database: Database, name: str = "acme/filter") -> int:
    """A repository, made if it is not there."""
    namespace = create_namespace(database, SYSTEM, name.partition("/")[0], exist_ok=True)
    return make_repository(database, name, namespace, SYSTEM)


def manifest(number: int, *, module: bool = False) -> NewManifest:
    """A manifest that differs by its number."""
    return NewManifest(f"sha256:{number:064x}", "a/b", b"{}", annotations={"n": number}, holds_module=module)


def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    with database.read() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.parametrize("engine", ENGINES)
def test_first_starts(engine: str, tmp_path: Path) -> None:
    place = new_place(engine, tmp_path, tables=False)

    def start() -> str | None:
        database = Database(place)
        database.migrate()
        try:
            return ensure_administrator(database, None)
        finally:
            database.close()

    assert len([password for password in at_once([start] * 4) if password]) == 1
    with opened(place, 1) as (database,):
        assert (count(database, "users"), count(database, "namespaces")) == (1, 1)


def test_names_are_made_once(replicas: list[Database]) -> None:
    for number in range(ROUNDS):
        name = f"team{number}/filter"
        assert len(set(at_once([lambda one=one, name=name: repository(one, name) for one in replicas]))) == 1
    assert (count(replicas[0], "namespaces"), count(replicas[0], "repositories")) == (ROUNDS, ROUNDS)


def test_one_blob_is_kept_once_and_linked_by_all(replicas: list[Database]) -> None:
    names = [repository(replicas[0], f"acme/filter{number}") for number in range(AT_ONCE)]
    for number in range(ROUNDS):
        digest = f"sha256:{number:064x}"

        def save(one: Database, key: int, digest: str = digest) -> bool:
            return save_blob(one, names[key], digest, (f"{digest}.{key}", 3), upload_id=None, actor=SYSTEM)

        assert sum(at_once([lambda pair=pair: save(pair[1], pair[0]) for pair in enumerate(replicas)])) == 1
    assert (count(replicas[0], "blobs"), count(replicas[0], "repository_blobs")) == (ROUNDS, ROUNDS * AT_ONCE)


def test_an_upload_ends_once(replicas: list[Database]) -> None:
    home = repository(replicas[0])
    save_blob(replicas[0], home, "sha256:there", ("there", 3), upload_id=None, actor=SYSTEM)
    for number in range(ROUNDS):
        begin_upload(replicas[0], UploadRow(f"u{number}", home, f"key{number}", 0, "sha256"))

        def end(one: Database, turn: int, number: int = number) -> bool:
            try:
                if turn % 2:
                    return link_stored_blob(
                        one, home, "sha256:there", upload_id=f"u{number}", actor=SYSTEM, action="blob.push"
                    )
                save_blob(one, home, f"sha256:{number}", (f"key{number}", 3), upload_id=f"u{number}", actor=SYSTEM)
            except Conflict:
                return False
            return True

        assert sum(at_once([lambda pair=pair: end(pair[1], pair[0]) for pair in enumerate(replicas)])) == 1
    assert count(replicas[0], "uploads") == 0


def test_one_manifest_is_kept_once_under_all_its_tags(replicas: list[Database]) -> None:
    home = repository(replicas[0])
    for number in range(ROUNDS):

        def push(one: Database, tag: int, number: int = number) -> None:
            save_manifest(one, home, manifest(number), [f"{number}.{tag}.0"], actor=SYSTEM, name="acme/filter")

        at_once([lambda pair=pair: push(pair[1], pair[0]) for pair in enumerate(replicas)])
    assert count(replicas[0], "manifests") == ROUNDS
    with replicas[0].read() as session:
        assert len(list_tags(session, home, last="", limit=1000)) == ROUNDS * AT_ONCE


def test_a_tag_is_moved_and_deleted_while_its_manifests_go_and_are_read(replicas: list[Database]) -> None:
    home = repository(replicas[0])
    one, two, three, four = replicas[:4]
    for number in range(ROUNDS):
        save_manifest(one, home, manifest(0, module=True), ["v1"], actor=SYSTEM, name="acme/filter")
        (claimed,) = claim_inspections(one, 1, 10, 60)

        at_once(
            [
                lambda: save_manifest(one, home, manifest(1), ["v1"], actor=SYSTEM, name="acme/filter"),
                lambda: delete_tag(two, home, "v1", actor=SYSTEM, name="acme/filter"),
                lambda: delete_manifest(three, home, manifest(0).digest, actor=SYSTEM, name="acme/filter"),
                lambda claimed=claimed: save_reading(four, claimed.manifest_id, UNREADABLE, 1, None),
            ]
        )
        assert count(one, "manifests") == 1, number  # the one that was pushed and not deleted
        with one.read() as session:
            words = {row[0] for row in session.execute(text("SELECT word FROM search_words"))}
        assert {"acme", "filter"} <= words


def test_what_one_reads_the_other_leaves_alone(replicas: list[Database]) -> None:
    home = repository(replicas[0])
    for number in range(40):
        save_manifest(replicas[0], home, manifest(number, module=True), [], actor=SYSTEM, name="acme/filter")
    claimed = at_once([lambda one=one: claim_inspections(one, 1, 10, 60) for one in replicas])
    ids = [found.manifest_id for some in claimed for found in some]
    assert len(ids) == len(set(ids)) == 40
    assert claim_inspections(replicas[0], 1, 10, 60) == []
    give_back_inspection(replicas[0], ids[0])
    assert [found.manifest_id for found in claim_inspections(replicas[1], 1, 10, 0)] == ids[:1]
    assert [found.manifest_id for found in claim_inspections(replicas[0], 1, 10, 60)] == ids[:1]  # that one died


def test_keys_rotate_once(replicas: list[Database]) -> None:
    def rotate(one: Database, kid: str, before: str | None) -> None:
        rotate_signing_key(one, SYSTEM, kid=kid, public_jwk={"kid": kid}, sealed_private=b"s", replaces=before)

    before = None
    for number in range(ROUNDS):
        at_once(
            [
                lambda pair=pair, number=number, before=before: rotate(pair[1], f"{number}.{pair[0]}", before)
                for pair in enumerate(replicas)
            ]
        )
        with replicas[0].read() as session:
            rows = signing_keys(session, grace=60_000)
        assert len(rows) == number + 1
        (before,) = [row.kid for row in rows if row.retired_at is None]


def test_a_lease_has_one_holder(replicas: list[Database]) -> None:
    for number in range(ROUNDS):
        taken = at_once(
            [
                lambda pair=pair, number=number: take_lease(pair[1], f"l{number}", f"holder {pair[0]}", 60)
                for pair in enumerate(replicas)
            ]
        )
        assert sum(taken) == 1


def test_a_node_comes_by_two_replicas(replicas: list[Database]) -> None:
    home = create_namespace(replicas[0], SYSTEM, "acme")
    target = create_target(replicas[0], SYSTEM, "edge", kind="envoy-fleet", namespace_id=home, settings={})
    for number in range(ROUNDS):

        def come(one: Database, number: int = number) -> int:
            times = {"forget_before": 0, "yield_before": 0}
            row = add_node(one, target.id, f"node{number}", "1", limit=1000, **times)
            assert row is not None
            return row.id

        ids = set(at_once([lambda one=one: come(one) for one in replicas]))
        assert len(ids) == 1
        node = ids.pop()
        saved = at_once(
            [lambda one=one, node=node: save_slot(one, node, 1, SlotRow(), SERVED, refusal=None) for one in replicas]
        )
        assert sum(saved) == 1
