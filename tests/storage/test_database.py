"""The database on each engine: what a reader sees, who waits for whom, and what is said when it cannot be had."""

import asyncio
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.database import Database, StorageError
from storage.events import SYSTEM
from storage.leases import take_lease
from storage.namespaces import create_namespace, find_namespace
from storage.postgresql import BEGIN_SECONDS, POOL_SECONDS
from tests.engines import PASSWORD, engines, free_port
from tests.storage.replicas import ENGINES, new_place, opened

COUNT = text("SELECT count(*) FROM namespaces")


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a database can be made, on each engine."""
    return new_place(request.param, tmp_path)


@pytest.fixture
def replicas(place: Path | str) -> Iterator[list[Database]]:
    """Two replicas."""
    with opened(place) as found:
        yield found


def test_a_read_sees_one_moment(replicas: list[Database]) -> None:
    one, two = replicas
    with one.read() as session:
        assert session.execute(COUNT).scalar_one() == 0
        create_namespace(two, SYSTEM, "acme")
        assert find_namespace(session, "acme") is None
        assert session.execute(COUNT).scalar_one() == 0
    with one.read() as session:
        assert find_namespace(session, "acme") is not None


def test_a_command_that_fails_leaves_nothing(replicas: list[Database]) -> None:
    def fail() -> None:
        with replicas[0].write() as session:
            session.execute(text("INSERT INTO leases (name, holder, until) VALUES ('a', 'b', 1)"))
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert take_lease(replicas[1], "a", "c", 60)


def test_a_command_alone_waits_for_those_beside(replicas: list[Database]) -> None:
    entered = threading.Event()

    def alone() -> None:
        with replicas[1].write():
            entered.set()

    waiting = threading.Thread(target=alone)
    with replicas[0].write(beside=True):
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    waiting.join()


def test_the_version_moves_with_each_commit_and_only_then(replicas: list[Database]) -> None:
    async def look() -> None:
        watch = replicas[0].watch()
        try:
            seen = [await watch.version()]
            for number in range(3):
                assert await watch.version() == seen[-1]
                await asyncio.to_thread(create_namespace, replicas[number % 2], SYSTEM, f"acme{number}")
                together = await asyncio.gather(*(watch.version() for _ in range(20)))
                assert len(set(together)) == 1
                assert together[0] not in seen
                seen.append(together[0])
        finally:
            watch.close()

    asyncio.run(look())


def test_lost_connections_are_made_anew(tmp_path: Path) -> None:
    server = engines("postgresql").postgresql
    assert server is not None
    place = str(new_place("postgresql", tmp_path))
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        f" WHERE datname = '{place.rpartition('/')[2]}' AND pid <> pg_backend_pid()"
    )

    async def work(database: Database) -> None:
        watch = database.watch()
        for _ in range(3):
            before = await watch.version()
            assert int(server.ask(cut)) >= 2
            assert await watch.version() != before
            database.ping()
        watch.close()

    with opened(place, 1) as (database,):
        asyncio.run(work(database))

        for begin in (database.read, database.write):
            with pytest.raises(StorageError, match="cannot be reached"), begin() as session:
                server.ask(cut)
                session.execute(COUNT)
        create_namespace(database, SYSTEM, "acme")


def test_a_turn_that_never_comes_is_given_up(tmp_path: Path) -> None:
    place = f"{new_place('postgresql', tmp_path)}?options=-c%20lock_timeout%3D200ms"
    with opened(place) as (one, two), one.write():
        begun = time.monotonic()
        with pytest.raises(StorageError, match="busy"):
            create_namespace(two, SYSTEM, "acme")
        assert time.monotonic() - begun < 5


def test_a_text_that_postgresql_cannot_hold_is_no_trouble(replicas: list[Database]) -> None:
    assert take_lease(replicas[0], "a\0b", "holder", 60)
    with replicas[0].read() as session:
        assert find_namespace(session, "a\0b") is None


# Part of a right URL -> a wrong one, and what is said of it.
WRONG = {
    r":[^:@/]+@": (":an0ther@", "password authentication failed"),
    r"//wasmhub:": ("//stranger:", "password authentication failed"),
    r"/replicas-": ("/nothing-", "does not exist"),
    r":\d+/": (f":{free_port()}/", "Connection refused"),
    r"127\.0\.0\.1": ("hub.invalid", "resolve host"),
}


@pytest.mark.parametrize("right", WRONG)
def test_a_start_that_cannot_use_its_database_says_why(right: str, tmp_path: Path) -> None:
    wrong, words = WRONG[right]
    database = Database(re.sub(right, wrong, str(new_place("postgresql", tmp_path))))
    with pytest.raises(StorageError, match=words) as refused:
        database.migrate()
    database.close()
    assert str(refused.value).startswith("WASMHUB_DATABASE_URL")
    assert "an0ther" not in str(refused.value) and PASSWORD not in str(refused.value)


def test_a_new_file_in_use_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself refuses at once to turn a file to WAL that another is about to write."""
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.5, other.rollback)
    done.start()
    database = Database(tmp_path / "hub.db")
    database.migrate()
    database.close()
    assert done.finished.is_set()
    other.close()


def test_a_newer_database_is_left_alone(replicas: list[Database]) -> None:
    with replicas[0].write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="written by a newer version"):
        replicas[1].migrate()


def test_who_finds_all_connections_in_use_is_told_so(tmp_path: Path) -> None:
    place = new_place("postgresql", tmp_path)
    with opened(place, 1):
        few = Database(place, 3)  # one of them watches
        with few.read(), few.read():
            begun = time.monotonic()
            with pytest.raises(StorageError, match="all connections to it are in use"):
                few.ping()
            assert POOL_SECONDS - 1 < time.monotonic() - begun < POOL_SECONDS + 5
        few.ping()
        few.close()


def test_a_server_process_that_stands_still_is_given_up(tmp_path: Path) -> None:
    """Its kernel goes on to take what it is sent, so that no network's timeout ever ends the wait."""
    with opened(new_place("postgresql", tmp_path), 1) as (database,):
        with database.read() as session:
            process = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(process, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            database.ping()
        finally:
            os.kill(process, signal.SIGCONT)
        assert BEGIN_SECONDS - 1 < time.monotonic() - begun < BEGIN_SECONDS + 30
