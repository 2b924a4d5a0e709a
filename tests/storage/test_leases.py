"""Leases: one holder at a time, whatever dies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.leases import give_back_lease, take_lease
from tests.storage.replicas import ENGINES, new_place, opened


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(new_place(request.param, tmp_path), 1) as (found,):
        yield found


def test_one_holder_has_it_and_may_renew_it(database: Database) -> None:
    assert take_lease(database, "gc", "one", 60)
    assert not take_lease(database, "gc", "two", 60)
    assert take_lease(database, "gc", "one", 60)
    assert take_lease(database, "keys", "two", 60)


def test_it_runs_out(database: Database) -> None:
    assert take_lease(database, "gc", "one", 0)
    assert take_lease(database, "gc", "two", 60)
    assert not take_lease(database, "gc", "one", 60)


def test_it_is_given_back_by_its_holder_only(database: Database) -> None:
    assert take_lease(database, "gc", "one", 60)
    give_back_lease(database, "gc", "two")
    assert not take_lease(database, "gc", "two", 60)
    give_back_lease(database, "gc", "one")
    assert take_lease(database, "gc", "two", 60)
