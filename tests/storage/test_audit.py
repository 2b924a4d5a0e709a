"""The audit log: every command writes its row, rows are found by an index, and the oldest go after their time."""

import ast
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from registry.garbage import Sweep
from storage import audit
from storage.audit import EventPage, EventRow, Wanted, actions, find_events, forget_events
from storage.clock import Periods
from storage.database import Database, now
from storage.departures import delete_user
from storage.events import SYSTEM, Actor, record
from storage.invitations import create_invitation, take_back_invitation
from storage.namespaces import find_namespace
from storage.repositories import make_repository
from storage.robots import Nature, create_robot, delete_robot
from storage.sign_ins import Refusal, record_refusals, record_sign_in
from storage.targets import create_target, delete_target
from storage.teams import create_team, delete_team, restore_team, set_member
from storage.uploads import save_blob
from storage.users import create_user, set_profile
from tests.storage.replicas import ENGINES, new_place, opened

DAY = 86_400_000
ANN = Actor("user", 1, "ann", "192.0.2.7")
# Writes that are no commands: what they change is none of anybody's doing, or is said by the row of what follows.
BOOKKEEPING = {
    "begin_device_login",  # nobody is known yet; who approves it has an event
    "sign_in_by_passkey",  # the session that is opened next has one
    "touch_session",
    "begin_sign_in",  # between the password and the second factor nobody has come in
    "begin_upload",
    "advance_upload",
    "cancel_upload",
    "abandon_upload",
    "recount",
    "names_copy",
    "renew_lease",
    "touch_access_token",
    "add_node",
    "touch_node",
    "touch_nodes",
    "_write",  # of a copy's bytes, before any row
    "mark_delivered",
    "forget_retired_keys",
    "forget_expired",
    "identify_hub",
    "fill",
    "save_target_seen",  # what a pass has seen
    "move_rollout",  # a step by itself; who began it and how it ended have one
    "move_set",  # the same of a deployment set
    "add_figures",
    "save_deployments_seen",
}


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each engine, with a user."""
    with opened(new_place(request.param, tmp_path), 1) as (one,):
        create_user(one, SYSTEM, "ann", password_hash=None)
        yield one


def look(database: Database, limit: int = 1000, before: tuple[int, int] | None = None, **wanted: Any) -> EventPage:
    """A page."""
    with database.read() as session:
        return find_events(session, Wanted(**wanted), before=before, limit=limit)


def everything(database: Database, limit: int, **wanted: Any) -> list[EventRow]:
    """All pages."""
    page = look(database, limit, **wanted)
    rows = list(page.rows)
    while page.next is not None:
        page = look(database, limit, page.next, **wanted)
        rows += page.rows
    return rows


def write(database: Database, *rows: dict[str, Any]) -> None:
    """Rows as commands would write them, each at its own moment."""
    with database.write() as session:
        for row in rows:
            said = {"actor": ANN, "action": "thing.do", "subject": "x"} | {k: v for k, v in row.items() if k != "at"}
            record(session, **said)
            session.execute(text("UPDATE events SET at = :at WHERE id = (SELECT MAX(id) FROM events)"), row)


def test_a_search_goes_by_whatever_is_given_and_newest_first(database: Database) -> None:
    bea = replace(ANN, name="bea", address="192.0.2.8")
    rows = [
        {
            "at": 1000 + number,
            "actor": (ANN, bea)[number % 2],
            "action": ("thing.do", "thing.undo", "other.do")[number % 3],
        }
        | {"subject": f"s{number % 5}", "result": "refused" if number % 7 == 0 else "done"}
        for number in range(100)
    ]
    write(database, *rows)

    def expected(holds: Callable[[int], bool]) -> list[int]:
        return [1000 + number for number in reversed(range(100)) if holds(number)]

    cases: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
        ({"until": 2000}, lambda n: True),
        ({"actor": "bea"}, lambda n: n % 2 == 1),
        ({"address": "192.0.2.8", "action": "thing"}, lambda n: n % 2 == 1 and n % 3 < 2),
        ({"action": "thing.undo"}, lambda n: n % 3 == 1),
        ({"action": "thing."}, lambda n: n % 3 < 2),
        ({"action": "thin"}, lambda n: False),
        ({"subject": "s3"}, lambda n: n % 5 == 3),
        ({"actor": "ann", "since": 1010, "until": 1090}, lambda n: n % 2 == 0 and 10 <= n < 90),
        ({"action": "other.do", "result": "refused"}, lambda n: n % 3 == 2 and n % 7 == 0),
    ]
    for wanted, holds in cases:
        for limit in (7, 1000):
            assert [row.at for row in everything(database, limit, **wanted)] == expected(holds), (wanted, limit)


def test_rows_of_one_moment_are_not_lost_between_pages(database: Database) -> None:
    write(database, *({"at": 5000, "action": f"kind{number % 3}.do"} for number in range(40)))
    for wanted in ({"actor": "ann"}, {"until": 5001}, {"subject": "x"}):
        found = everything(database, 7, **wanted)
        assert [row.at for row in found] == [5000] * 40
        assert len({row.id for row in found}) == 40


def test_a_page_looks_at_so_many_rows_and_says_where_to_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "EXAMINED", 25)
    write(database, *({"at": 1000 + number, "subject": "rare" if number == 3 else "x"} for number in range(100)))
    page = look(database, 10, actor="ann", result="refused")
    assert page.rows == [] and page.next == (1075, page.next[1] if page.next else 0)
    assert everything(database, 10, actor="ann", until=1004)[0].subject == "rare"
    assert everything(database, 10, actor="ann", result="refused") == []


def test_a_repositorys_name_finds_what_was_done_in_it(database: Database) -> None:
    team = create_team(database, SYSTEM, "edge", owner_id=1)
    with database.read() as session:
        space = find_namespace(session, "edge")
    assert space is not None
    repository = make_repository(database, "edge/limits", space.id, ANN)
    save_blob(database, repository, "sha256:" + "a" * 64, ("key", 1), upload_id=None, actor=ANN)
    found = look(database, subject="edge/limits").rows
    assert [row.action for row in found] == ["blob.push", "repository.create"]
    assert {(row.team_id, row.team) for row in found} == {(team, "edge")}


def test_all_that_concerns_a_team_is_filed_under_it(database: Database) -> None:
    team = create_team(database, ANN, "edge", owner_id=1)
    other = create_team(database, ANN, "other", owner_id=1)
    with database.read() as session:
        space = find_namespace(session, "edge")
    assert space is not None
    create_robot(database, ANN, team, "ci", Nature("writer"), None)
    robot = look(database, action="robot.create").rows[0]
    with database.read() as session:
        number = session.execute(text("SELECT user_id FROM robots")).scalar_one()
    record_sign_in(database, Actor("robot", number, robot.subject, "192.0.2.9"), "sign-in.token", {})
    record_refusals(database, [Refusal("token.exchange", "no", "192.0.2.9", "edge+ci", 3, now())])
    delete_robot(database, ANN, number)
    target = create_target(database, ANN, "fleet", kind="envoy-fleet", namespace_id=space.id, settings={})
    delete_target(database, ANN, target)
    link = {"role": "reader", "note": "ann@example.com", "secret_sha256": "a", "expires_at": now() + DAY}
    made = create_invitation(database, ANN, team, **link)
    take_back_invitation(database, ANN, team, made.id)
    delete_team(database, ANN, team)
    restore_team(database, ANN, team)
    done = [(row.action, row.subject) for row in reversed(look(database, team_id=team).rows)]
    assert done == [
        ("namespace.create", "edge"),
        ("team.create", "edge"),
        ("robot.create", "edge+ci"),
        ("sign-in.token", "edge+ci"),
        ("token.exchange", "edge+ci"),
        ("robot.delete", "edge+ci"),
        ("target.create", "fleet"),
        ("target.delete", "fleet"),
        ("invitation.create", "edge"),
        ("invitation.delete", "edge"),
        ("team.delete", "edge"),
        ("team.restore", "edge"),
    ]
    assert {row.action for row in look(database, team_id=other).rows} == {"namespace.create", "team.create"}


def test_no_row_holds_an_address_of_mail_a_note_or_a_name_that_is_nobodys(database: Database) -> None:
    create_user(database, ANN, "cal", password_hash="$argon2-secret")
    set_profile(database, ANN, 1, full_name="Ann Ash", email="ann@example.com")
    create_invitation(
        database, ANN, None, role="user", note="cal@example.com", secret_sha256="a", expires_at=now() + DAY
    )
    typed = "hunter2hunter2"
    record_refusals(
        database, [Refusal("sign-in.password", "wrong", "192.0.2.9", name, 2, 1) for name in (typed, "ann")]
    )
    with database.read() as session:
        rows = repr(session.execute(text("SELECT * FROM events")).all())
        subjects = [row[0] for row in session.execute(text("SELECT subject FROM events WHERE result = 'refused'"))]
    assert subjects == ["", "ann"]
    assert "@" not in rows and "secret" not in rows and typed not in rows and "Ash" not in rows


def test_names_cannot_write_lines_of_their_own(database: Database) -> None:
    sly = Actor("node", None, "edge\n2026 admin\x1b[2J", "1\r2")
    with database.write() as session:
        record(session, sly, "thing.do", "a\u202eb\ud800\x00", detail={"client": "x\n\ud800y"})
    row = look(database, action="thing.do").rows[0]
    assert (row.actor, row.address, row.subject) == ("edge?2026 admin?[2J", "1?2", "a?b??")
    assert "\n" not in json.dumps(row.detail)


def test_what_is_older_than_the_log_goes_back_is_removed_and_that_is_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LOOKED_AT", 10)
    write(database, *({"at": now() - 40 * DAY + number} for number in range(25)), {"at": now() - 20 * DAY})
    before = len(everything(database, 1000))
    assert forget_events(database, [], False, 0).cursor is None
    assert len(everything(database, 1000)) == before
    sweep, cursor, steps = Sweep(database, None, Periods(0, 0, 0), 30 * DAY), [], 0  # type: ignore[arg-type]
    while cursor is not None:
        step = sweep.step("events", cursor, False)
        cursor, steps = step.cursor, steps + 1
    assert steps == 3
    assert len(everything(database, 1000)) == before - 25 + 1
    newest = look(database, 1).rows[0]
    assert (newest.actor, newest.action, newest.detail["rows"]) == ("system", "audit.trim", 25)
    assert sweep.step("events", [], False).cursor is None
    assert len(everything(database, 1000)) == before - 25 + 1, "nothing was removed, so nothing is said"


def test_each_walk_goes_along_its_index(database: Database) -> None:
    """As the database plans it: no sorting of what may be a million rows."""
    sqlite = "sqlite" in database.__dict__["_kind"].__class__.__module__
    with database.write() as session:
        if not sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        for column, statement in (*audit._WALKS.items(), ("at", audit._ALL)):
            sql = statement._sqlite if sqlite else statement._postgresql
            driver = session.info["driver"]
            asked = {"value": 1 if column.endswith("_id") else "x", "since": 0, "at": 9, "id": 9, "limit": 9}
            prefix = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            plan = repr(driver.execute(prefix + sql, asked).fetchall())
            name = {"actor_name": "actor", "team_id": "team", "repository_id": "repository"}.get(column, column)
            assert f"ix_events_{name}" in plan and "SORT" not in plan.upper() and "B-TREE" not in plan, plan


def test_actions_are_found_by_jumps(database: Database) -> None:
    write(database, *({"at": 1, "action": action} for action in ("b.do", "a.do", "b.do", "c.do")))
    with database.read() as session:
        assert {"a.do", "b.do", "c.do", "user.create"} <= set(actions(session))


def test_every_command_records_an_event() -> None:
    """Each function of the storage room that opens a transaction to write, or what it calls there, calls `record`."""
    calls: dict[str, set[str]] = {}
    writers = set()
    for path in sorted(Path(audit.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            called = {one.func for one in ast.walk(node) if isinstance(one, ast.Call)}
            names = {one.id for one in called if isinstance(one, ast.Name)}
            calls[node.name] = calls.get(node.name, set()) | names
            if any(isinstance(one, ast.Attribute) and one.attr == "write" for one in called):
                writers.add((path.stem, node.name))

    def records(name: str, seen: frozenset[str] = frozenset()) -> bool:
        found = calls.get(name, set()) - seen
        return "record" in found or any(records(one, seen | found) for one in found)

    upkeep = {"garbage", "garbage_runs", "clock", "leases", "modules", "copying", "bulk_rows", "checking", "bulk"}
    silent = {name for file, name in writers if not records(name) and file not in upkeep}
    assert silent - BOOKKEEPING == set(), "commands without an event: record one, or say here why there is none"


def test_a_user_who_leaves_is_filed_under_the_team_that_inherits(database: Database) -> None:
    team = create_team(database, SYSTEM, "edge", owner_id=1)
    gone = create_user(database, SYSTEM, f"u-{secrets.token_hex(3)}", password_hash=None)
    with database.read() as session:
        heir = find_namespace(session, "edge")
    assert gone is not None
    delete_user(database, ANN, gone, heir)
    assert look(database, team_id=team).rows[0].action == "user.delete"


def test_a_team_is_told_of_members_whose_account_goes(database: Database) -> None:
    team = create_team(database, SYSTEM, "edge", owner_id=1)
    gone = create_user(database, SYSTEM, f"u-{secrets.token_hex(3)}", password_hash=None)
    assert gone is not None
    set_member(database, ANN, team, gone, "writer")
    delete_user(database, ANN, gone, None)
    row = look(database, team_id=team).rows[0]
    assert (row.action, row.subject, row.detail["role"]) == ("member.remove", "edge", "writer")
