"""The audit log over HTTP: what is done leaves a row, who is refused leaves few, and rows are found and exported."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from auth.identity import Identity
from auth.sign_ins import BURST, KINDS, SignIns
from storage.database import Database
from storage.events import SYSTEM
from storage.users import create_user
from tests.auth.endpoints import ENDPOINTS
from tests.auth.machines import TRUST
from tests.auth.people import PASSWORD, People
from tests.auth.test_matrix import DONE, _ask
from tests.auth.world import World
from tests.hub import HubProcess
from web.api.events import wanted_by

Ask = Callable[[str], httpx.Client]
PATIENCE = 30.0  # seconds for rows that a task writes
# What changes nothing that anybody would ask for, or what a row was written for already.
WITHOUT = {
    "POST /v2/{name:path}/blobs/uploads": "the row comes with the blob",
    "POST /v2/{name:path}/blobs/uploads/": "the row comes with the blob",
    "PATCH /v2/{name:path}/blobs/uploads/{upload}": "the row comes with the blob",
    "DELETE /v2/{name:path}/blobs/uploads/{upload}": "nothing was there for anybody else",
    "POST /account/identities link": "it leads to the provider; the row comes with the answer",
    "POST /api/v1/providers/{provider}/check": "it asks the provider and changes nothing",
    "POST /device_authorization": "nobody is known yet; approving has a row",
    "POST /device find": "it reads",
    "POST /api/v1/device-logins/show": "it reads",
    "POST /revoke": "the token was none",
    "POST /sign-in/passkey": "the world has no passkey: who is refused has a row of its own kind",
    "POST /account/second-factor passkey-begin": "it shows what a browser is to sign; what comes back has a row",
    "POST /site/providers/{provider} check": "it asks the provider and changes nothing",
    "POST /account/name rename": "it is the name that they have",
    "POST /sign-in/second-factor": "the sign-in has its row once an hour",
    "POST /token": "the sign-in has its row once an hour",
    "POST /api/v1/invitations/show": "it reads",
    "POST /v3/discovery:extension_configs": "a proxy's question; what it refuses has a row",
    "POST /api/v1/targets/{target}/deployments/{deployment}/preview": "it reads",
    **{
        f"POST /targets/{{target}}/deploy {form}": "it shows what would be"
        for form in ("preview", "edit", "as-text", "as-fields")
    },
    "POST /api/v1/examinations": "it reads; what is made for a fetcher has a row of its own",
    "POST /api/v1/teams/{team}/restore": "the team was not deleted",
    "POST /teams/{team} restore": "the team was not deleted",
    "POST /teams/{team} require": "it asked for none already",
    "POST /teams/{team} remove": "who is to go was not in it",
    "DELETE /api/v1/teams/{team}/members/{user}": "who is to go was not in it",
    "POST /r/{name:path} unshare": "it was not shared with them",
    "DELETE /api/v1/repositories/{name:path}/grants/{holder}": "it was not shared with them",
}

CHANGES = [name for name in ENDPOINTS if not name.startswith(("GET", "HEAD")) and name not in WITHOUT]


@pytest.fixture(scope="module")
def world(hub: HubProcess, people: People) -> Iterator[World]:
    """Everybody, and what they ask for."""
    made = World(hub, people)
    yield made
    made.close()


@pytest.fixture
def ask(hub: HubProcess) -> Iterator[Callable[[str], httpx.Client]]:
    """Gives a client for each person, who asks by name and password."""
    with ExitStack() as stack:

        def make(name: str) -> httpx.Client:
            auth = (name, hub.admin_password if name == "admin" else PASSWORD)
            return stack.enter_context(httpx.Client(base_url=hub.url, auth=auth, timeout=30, trust_env=False))

        yield make


def last_id(people: People) -> int:
    """Of the newest row."""
    return int(people.rows("SELECT MAX(id) FROM events")[0][0])


@pytest.mark.once("the matrix has each set do the same, and the row comes in one transaction with what it tells of")
@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_something_leaves_a_row(world: World, people: People, name: str) -> None:
    endpoint, world.visibility = ENDPOINTS[name], "private"
    asked = endpoint.ask(world, "administrator")
    _vary(asked.more)
    before = last_id(people)
    answer = _ask(world, name, endpoint, "administrator", asked.path, asked.more)
    if asked.undo is not None:
        asked.undo()
    assert answer.status_code in DONE, answer.text
    rows = people.rows("SELECT action FROM events WHERE id > :id AND action NOT LIKE 'sign-in.%'", id=before)
    assert rows, f"{name} leaves no row: record one, or say here why there is none"


def _vary(more: dict[str, Any]) -> None:
    """Lets texts that a change brings be new ones."""
    for sent in (more.get("json"), more.get("data")):
        for field in ("description", "full_name"):
            if isinstance(sent, dict) and field in sent:
                sent[field] = f"new {time.time_ns()}"


def rows_of(client: httpx.Client, path: str = "/api/v1/events", **query: Any) -> list[dict[str, Any]]:
    """Rows that match."""
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def eventually(find: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is found once there is something: refusals come ten seconds apart."""
    end = time.monotonic() + PATIENCE
    while not (found := find()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def test_who_is_refused_is_in_the_log_and_a_name_that_is_nobodys_is_not(
    hub: HubProcess, people: People, ask: Ask, word: str
) -> None:
    people.user(word)
    admin = ask("admin")
    secret = f"{word}-typed-as-a-name"
    for name in (word, secret):
        for _ in range(3):
            asked = httpx.get(f"{hub.url}/token?service=t", auth=(name, "wrong-password"), trust_env=False)
            assert asked.status_code == 401
    assert httpx.get(f"{hub.url}/api/v1/user", headers={"Authorization": "Bearer whp_nothing"}, trust_env=False)

    def refused() -> list[dict[str, Any]]:
        rows = rows_of(admin, subject=word, action="sign-in.password", result="refused")
        return rows if sum(row["detail"]["times"] for row in rows) == 3 else []

    found = eventually(refused)
    assert found and len(found) <= 2
    assert {(row["actor"], row["address"]) for row in found} == {("anonymous", "127.0.0.1")}
    assert "wrong" in found[0]["detail"]["reason"]
    unnamed = eventually(lambda: rows_of(admin, subject="", action="sign-in.password", result="refused"))
    assert unnamed
    assert secret not in repr(people.rows("SELECT * FROM events"))


def test_a_sign_in_is_a_row_once_an_hour_for_each_token(people: People, hub: HubProcess, word: str) -> None:
    token = people.token(people.user(word), "laptop")
    with httpx.Client(base_url=hub.url, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/api/v1/user", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            assert client.get("/token", auth=(word, PASSWORD)).status_code == 200
    rows = people.rows(
        "SELECT action, result, address, detail FROM events WHERE actor_name = :n AND action LIKE 'sign-in.%'"
        " ORDER BY action",
        n=word,
    )
    workers = 2 if hub.settings.get("replicas") else 1
    assert {row[:3] for row in rows} == {
        ("sign-in.password", "done", "127.0.0.1"),
        ("sign-in.token", "done", "127.0.0.1"),
    }
    assert len(rows) <= 4 * workers and "laptop" in repr(rows)


def test_a_teams_log_is_its_own_and_is_exported(people: People, ask: Ask, word: str) -> None:
    people.user(word)
    team, other = f"{word}-team", f"{word}-other"
    people.team(team, **{word: "owner"})
    people.team(other)
    mine, admin = ask(word), ask("admin")
    made = mine.post(f"/api/v1/teams/{team}/robots", json={"name": "ci"})
    assert made.status_code == 201
    robot = f"/api/v1/teams/{team}/robots/ci"
    assert mine.post(f"{robot}/trust-rules", json=TRUST).status_code == 201
    path = f"/api/v1/teams/{team}/events"
    rows = rows_of(mine, path)
    assert [row["action"] for row in rows][:2] == ["trust-rule.create", "robot.create"]
    assert {row["team"] for row in rows} == {team}
    assert [row["subject"] for row in rows_of(mine, path, action="robot.")] == [f"{team}+ci"]
    assert rows_of(mine, path, subject=other) == []
    assert [row["id"] for row in rows_of(admin, team=team)] == [row["id"] for row in rows]

    with mine.stream("GET", f"{path}/export") as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines == rows_of(mine, path)
    first = mine.get(path, params={"limit": 2}).json()
    second = mine.get(path, params={"limit": 1000, "after": first["next"]}).json()
    assert first["events"] + second["events"] == lines and second["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "since=yesterday",
        "until=2026-13-01",
        "since=9999-12-31T23:59:59-23:00",
        "after=x",
        "after=1.99999999999999999999",
        "limit=0",
        "result=lost",
        "actor=a%00b",
        "subject=" + "x" * 401,
        "team=nobody-s-team",
    ],
)
def test_a_search_that_cannot_be_meant_is_told_so(ask: Ask, query: str) -> None:
    answer = ask("admin").get(f"/api/v1/events?{query}")
    if query.startswith("since=9999"):
        assert answer.status_code in (200, 400)
    else:
        assert answer.status_code == (404 if query.startswith("team") else 400)
        assert answer.json()["error"]["message"]


class Counting(SignIns):
    """Keeps what it would write."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, every=0.01)
        self.written: list[Any] = []

    def _write(self, rows: list[Any]) -> None:
        self.written += rows
        super()._write(rows)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with a user."""
    made = Database(tmp_path / "hub.db")
    made.migrate()
    create_user(made, SYSTEM, "ann", password_hash=None)
    yield made
    made.close()


def test_guesses_leave_few_rows_however_many_they_are_and_none_is_uncounted(database: Database) -> None:
    async def attack() -> list[Any]:
        sign_ins = Counting(database)
        task = asyncio.create_task(sign_ins.run())
        for number in range(20 * KINDS):
            sign_ins.refuse("sign-in.password", "wrong", f"192.0.{number % 251}.{number % 241}", f"name{number}")
            if number % KINDS == 0:
                await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return sign_ins.written

    rows = asyncio.run(attack())
    assert sum(row.times for row in rows) == 20 * KINDS
    assert len(rows) <= BURST + 60  # a row for the rest each time that something is written


def test_what_is_being_written_when_the_hub_ends_is_not_lost(database: Database) -> None:
    async def attack(moments: int) -> list[Any]:
        sign_ins = Counting(database)
        task = asyncio.create_task(sign_ins.run())
        await asyncio.sleep(0)
        sign_ins.refuse("sign-in.password", "wrong", "192.0.2.1", "ann")
        for _ in range(moments):  # from before the rows are taken until after they are written
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.05)  # a thread that had begun ends
        return sign_ins.written

    for moments in range(12):
        assert sum(row.times for row in asyncio.run(attack(moments))) == 1, moments


def test_what_cannot_be_written_keeps_nobody_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.close()
    gone = Database(Path("/nowhere/hub.db"))

    async def come_in() -> None:
        sign_ins = SignIns(gone, every=0.01)
        await sign_ins.note("sign-in.token", Identity(1, "ann", address="192.0.2.1"), "x")
        sign_ins.refuse("sign-in.token", "unknown", "192.0.2.1")
        task = asyncio.create_task(sign_ins.run())
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(come_in())


def test_the_last_day_is_meant_whole_however_it_is_written() -> None:
    for day in ("20261121", "2026-W47-6"):
        assert wanted_by({"until": day}) == wanted_by({"until": "2026-11-22T00:00Z"})
    assert wanted_by({"until": "2026-11-21T00:00"}) != wanted_by({"until": "2026-11-21"})
