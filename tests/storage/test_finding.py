"""Finding by words among many repositories: each way to a page gives the same page as looking at every one of them."""

from collections.abc import Iterator

import pytest

from storage.bulk import Part, fill
from storage.catalog import list_repositories
from storage.database import Database
from storage.events import SYSTEM
from storage.finding import FEW, WALKED
from storage.namespaces import find_namespace
from storage.repositories import Viewer, list_names
from storage.search import words_to_keep
from storage.users import create_user
from tests.storage.replicas import ENGINES, new_place

COUNT = WALKED + FEW + 100
LAST = "zoe/common-even-n2599"  # has a word that few have, and lies behind all that are walked over
# Even and odd ones each have a word that the others lack; very few have both.
NAMES = [f"ann/common-{'even' if number % 2 == 0 else 'odd'}-n{number:04}" for number in range(COUNT - 3)]
NAMES += ["zoe/common-even-odd-n9001", LAST, "zoe-too/common-odd-even-n9002"]
VIEWERS = {
    "everything": (Viewer(sees_all=True), lambda name: True),
    "anonymous": (Viewer(), lambda name: public(name)),
    "ann": (Viewer(1), lambda name: public(name) or name.startswith("ann/")),
    "zoe": (Viewer(2), lambda name: public(name) or name.startswith("zoe/")),
}


def public(name: str) -> bool:
    """Every tenth, and what has both words."""
    return name.endswith("0") or name == NAMES[-3]


@pytest.fixture(scope="module", params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """All the repositories, on each engine."""
    opened = Database(new_place(request.param, tmp_path_factory.mktemp("finding")))
    opened.migrate()
    for name in ("ann", "zoe", "zoe-too"):
        create_user(opened, SYSTEM, name, password_hash=None)
    with opened.read() as session:
        found = {name: find_namespace(session, name) for name in ("ann", "zoe", "zoe-too")}
    ids = {name: row.id for name, row in found.items() if row is not None}
    parts = (Part(name, ids[name.partition("/")[0]], "public" if public(name) else "private") for name in NAMES)
    fill(opened, parts, actor=SYSTEM, at=1)
    yield opened
    opened.close()


def has(name: str, words: list[str]) -> bool:
    """Whether the repository of that name has all the words, by looking at each of its own."""
    kept = words_to_keep(name, "", None, None)
    return all(any(one.startswith(word) for one in kept) for word in words)


@pytest.mark.parametrize("who", VIEWERS)
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["n2599"],  # rare
        ["n9"],  # rare, several
        ["common"],  # all
        ["c", "com", "n"],
        ["even"],  # half
        ["even", "odd"],  # two common ones that rarely meet
        ["common", "n259"],
        ["absent", "common"],
    ],
)
def test_pages_hold_what_has_the_words(database: Database, who: str, words: list[str]) -> None:
    viewer, sees = VIEWERS[who]
    wanted = sorted(name for name in NAMES if sees(name) and has(name, words))
    for limit in (7, 150):
        found: list[str] = []
        with database.read() as session:
            for _ in range(5):
                last = found[-1] if found else ""
                found += [one.name for one in list_repositories(session, viewer, words=words, last=last, limit=limit)]
        assert found == wanted[: 5 * limit]
    if not words:
        with database.read() as session:
            assert list_names(session, viewer, last="", limit=COUNT) == wanted
            assert list_names(session, viewer, last=NAMES[-2], limit=COUNT) == [n for n in wanted if n > NAMES[-2]]
