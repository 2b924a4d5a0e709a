"""Lists of users: narrowed, in either order, page by page, on each engine."""

from collections.abc import Iterator

import pytest

from storage.database import Database
from storage.events import SYSTEM
from storage.users import Narrowing, create_user, deactivate_user, place, users
from tests.storage.replicas import ENGINES, new_place, opened

NAMES = ("mia", "ann", "zoe", "abe", "bob")


@pytest.fixture(params=ENGINES, scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Users who came in the order of NAMES: `abe` an auditor, `zoe` an administrator, `bob` not active."""
    with opened(new_place(request.param, tmp_path_factory.mktemp("users")), 1) as (made,):
        roles = {"abe": "auditor", "zoe": "administrator"}
        ids = {
            name: create_user(made, SYSTEM, name, password_hash=None, role=roles.get(name, "user")) for name in NAMES
        }
        deactivate_user(made, SYSTEM, ids["bob"] or 0)
        yield made


@pytest.mark.parametrize(
    ("narrowing", "names"),
    [
        (Narrowing(), "abe ann bob mia zoe"),
        (Narrowing(sort="newest"), "bob abe zoe ann mia"),
        (Narrowing("a"), "abe ann"),
        (Narrowing("a", sort="newest"), "abe ann"),
        (Narrowing(role="user"), "ann bob mia"),
        (Narrowing(role="user", state="active", sort="newest"), "ann mia"),
        (Narrowing(state="inactive"), "bob"),
        (Narrowing("a", "administrator"), ""),
    ],
)
def test_who_is_listed_page_by_page(database: Database, narrowing: Narrowing, names: str) -> None:
    found, after = [], ""
    with database.read() as session:
        assert [row.name for row in users(session, narrowing)] == names.split()
        while rows := users(session, narrowing, after=after, limit=2):
            found += [row.name for row in rows]
            after = place(rows[-1], narrowing.sort)
    assert found == names.split()
