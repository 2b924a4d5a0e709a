"""What a manifest lacks, on each engine: of few and of very many blobs, each found or missed as it is."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from storage.bulk import Part, fill
from storage.database import Database
from storage.events import SYSTEM
from storage.manifests import MissingBlobs, NewManifest, save_manifest
from storage.namespaces import create_namespace
from tests.storage.replicas import ENGINES, new_place, opened

NAME = "acme/filter"
HELD = [f"sha256:{number:064x}" for number in range(1000)]
ABSENT = [f"sha256:{number:064x}" for number in range(5000, 5600)]


@pytest.fixture(scope="module", params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with a repository that holds many blobs, beside one that holds what the first does not."""
    with opened(new_place(request.param, tmp_path_factory.mktemp("missing")), 1) as (found,):
        home = create_namespace(found, SYSTEM, "acme")
        parts = {NAME: HELD, "acme/other": ABSENT}
        fill(
            found,
            [Part(name, home, "public", {one: (f"{name}-{one}", 1) for one in held}) for name, held in parts.items()],
            actor=SYSTEM,
            at=1,
        )
        yield found


@pytest.mark.parametrize(("held", "absent"), [(0, 1), (1, 0), (7, 1), (8, 0), (8, 1), (499, 1), (500, 1), (1000, 600)])
def test_what_is_missing(database: Database, held: int, absent: int) -> None:
    blobs = dict.fromkeys([*ABSENT[: absent // 2], *HELD[:held], *ABSENT[absent // 2 : absent]], 1)
    new = NewManifest("sha256:" + "f" * 64, "a/b", b"{}", blobs=blobs)
    with database.read() as session:
        repository = session.execute(text("SELECT id FROM repositories WHERE name = :name"), {"name": NAME}).scalar()
    assert repository is not None
    if not absent:
        save_manifest(database, repository, new, ["v1"], actor=SYSTEM, name=NAME)
        return
    with pytest.raises(MissingBlobs) as refused:
        save_manifest(database, repository, new, ["v1"], actor=SYSTEM, name=NAME)
    assert refused.value.digests == ABSENT[:absent]
