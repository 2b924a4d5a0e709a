"""What answers to pulls rest on, asked for by many at once, on each engine."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database, StorageError
from storage.events import SYSTEM
from storage.namespaces import create_namespace
from storage.pulls import Facts, Question
from storage.repositories import make_repository
from tests.engines import engines
from tests.storage.replicas import ENGINES, new_place, opened

MANY = 50


@pytest.fixture(params=ENGINES)
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Database]]:
    """Two replicas."""
    with opened(new_place(request.param, tmp_path)) as found:
        yield found


def test_each_gets_the_answer_to_its_own_question(replicas: list[Database]) -> None:
    one, two = replicas
    namespace = create_namespace(one, SYSTEM, "acme")
    made = [make_repository(one, f"acme/filter{number}", namespace, SYSTEM) for number in range(MANY)]

    async def ask() -> None:
        watch = two.watch()
        asked = [watch.facts(Question(None, f"acme/filter{number}")) for number in range(MANY)]
        gone = asyncio.ensure_future(watch.facts(Question(None, "acme/filter0")))
        asyncio.get_running_loop().call_soon(gone.cancel)
        versions, found = await asyncio.gather(
            asyncio.gather(*(watch.version() for _ in range(MANY))), asyncio.gather(*asked)
        )
        assert [facts.repository_id for _, facts in found] == made
        assert len({version for version, _ in found} | set(versions)) == 1
        assert (await watch.facts(Question(7, "acme/none", "v1", "sha256:0", "sha256:1")))[1] == Facts()

        before = await watch.version()
        late = await asyncio.to_thread(make_repository, one, "acme/late", namespace, SYSTEM)
        version, facts = await watch.facts(Question(None, "acme/late"))
        assert facts.repository_id == late
        assert version != before and version == await watch.version()
        watch.close()

    asyncio.run(ask())


def test_a_connection_that_is_cut_is_made_anew_and_a_server_that_is_away_is_said(tmp_path: Path) -> None:
    server = engines("postgresql").postgresql
    assert server is not None
    place = str(new_place("postgresql", tmp_path))
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        f" WHERE datname = '{place.rpartition('/')[2]}' AND pid <> pg_backend_pid()"
    )

    async def ask(database: Database) -> None:
        watch = database.watch()
        namespace = create_namespace(database, SYSTEM, "acme")
        made = make_repository(database, "acme/filter", namespace, SYSTEM)
        for _ in range(3):
            before, facts = await watch.facts(Question(None, "acme/filter"))
            assert facts.repository_id == made
            assert int(server.ask(cut)) >= 1
            assert (await watch.facts(Question(None, "acme/filter")))[0] != before
        watch.close()
        nowhere = Database(place.replace(f":{server.port}/", ":1/")).watch()
        with pytest.raises(StorageError, match="cannot be reached"):
            await nowhere.facts(Question(None, "acme/filter"))

    with opened(place, 1) as (database,):
        asyncio.run(ask(database))
