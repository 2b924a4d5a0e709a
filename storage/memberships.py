"""Members of teams that ask for a second factor: who has none waits for the role, and has no membership meanwhile.

So whatever reads `memberships` knows that they hold nothing, and costs what it did. Rows go from one table to the other
in the transaction that changes what they hang on. Robots have no second factor and are asked for none.
"""

from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.factor_tables import WaitingMembership
from storage.people_tables import Membership, Team, User
from storage.statements import Statement

Place = Membership | WaitingMembership
_OWNS = "m.user_id = :user AND m.role = 'owner'"
_SOLE = Statement(
    "SELECT n.name FROM memberships m JOIN teams w ON w.id = m.team_id AND w.second_factor_required"
    " AND w.deleted_at IS NULL JOIN namespaces n ON n.team_id = w.id AND n.kind = 'team'"
    f" WHERE {_OWNS} AND NOT EXISTS (SELECT 1 FROM memberships o JOIN users u ON u.id = o.user_id AND u.active"
    " WHERE o.team_id = m.team_id AND o.role = 'owner' AND o.user_id <> m.user_id) ORDER BY n.name LIMIT 1"
)
_ABLE_OWNER = Statement(
    "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id AND u.active AND u.second_factor"
    " WHERE m.team_id = :team AND m.role = 'owner' LIMIT 1"
)
# Who has no second factor, in a team or over the teams that ask for one.
_LACKING = "(SELECT id FROM users WHERE kind = 'person' AND NOT second_factor)"
_MINE = "user_id = :user AND team_id IN (SELECT id FROM teams WHERE second_factor_required)"
_OF_TEAM = f"team_id = :team AND user_id IN {_LACKING}"


def _move(source: str, target: str, which: str) -> tuple[Statement, Statement]:
    columns = "team_id, user_id, role, provider_id"
    return (
        Statement(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} WHERE {which}"),
        Statement(f"DELETE FROM {source} WHERE {which}"),
    )


_HOLD_USER = _move("memberships", "waiting_memberships", _MINE)
_HOLD_TEAM = _move("memberships", "waiting_memberships", _OF_TEAM)
_ADMIT_USER = _move("waiting_memberships", "memberships", "user_id = :user")
_ADMIT_TEAM = _move("waiting_memberships", "memberships", "team_id = :team")
# Links into teams by whom may make none any more.
_END_LINKS_OF_USER = Statement(
    "DELETE FROM invitations WHERE creator_id = :user"
    " AND team_id IN (SELECT id FROM teams WHERE second_factor_required)"
)
_END_LINKS_OF_TEAM = Statement(f"DELETE FROM invitations WHERE team_id = :team AND creator_id IN {_LACKING}")


def find_place(session: OrmSession, team_id: int, user_id: int) -> Place | None:
    """A user's place in a team, where they may have to wait for the role; None for who is not in it."""
    held = session.get(Membership, (team_id, user_id))
    return held if held is not None else session.get(WaitingMembership, (team_id, user_id))


def new_place(session: OrmSession, team_id: int, user_id: int, role: str, *, provider_id: int | None = None) -> None:
    """Gives a user a first place in a team, with that role: at once, or once they have a second factor."""
    team, user = session.get_one(Team, team_id), session.get_one(User, user_id)
    waits = team.second_factor_required and user.kind == "person" and not user.second_factor
    kind = WaitingMembership if waits else Membership
    session.add(kind(team_id=team_id, user_id=user_id, role=role, provider_id=provider_id))


def places_by_provider(session: OrmSession, provider_id: int, user_id: int | None = None) -> list[Place]:
    """The places in teams that a provider's groups gave somebody, or everybody for None."""
    held = select(Membership).where(col(Membership.provider_id) == provider_id)
    waiting = select(WaitingMembership).where(col(WaitingMembership.provider_id) == provider_id)
    if user_id is not None:
        held = held.where(col(Membership.user_id) == user_id)
        waiting = waiting.where(col(WaitingMembership.user_id) == user_id)
    return [*session.execute(held).scalars(), *session.execute(waiting).scalars()]


def hold_team_back(session: OrmSession, team_id: int) -> bool:
    """Has the members wait who have no second factor; False, and does nothing, if no owner would be left."""
    session.flush()
    asked = {"team": team_id}
    if _ABLE_OWNER.first(session, asked) is None:
        return False
    _run(session, (_END_LINKS_OF_TEAM, *_HOLD_TEAM), asked)
    return True


def admit_team(session: OrmSession, team_id: int) -> None:
    """Gives all who wait in a team their roles."""
    session.flush()
    _run(session, _ADMIT_TEAM, {"team": team_id})


def hold_user_back(session: OrmSession, user_id: int) -> None:
    """Has a user wait in the teams that ask for a second factor, which they have no more."""
    session.flush()
    _run(session, (_END_LINKS_OF_USER, *_HOLD_USER), {"user": user_id})


def admit_user(session: OrmSession, user_id: int) -> None:
    """Gives a user the roles that they waited for."""
    session.flush()
    _run(session, _ADMIT_USER, {"user": user_id})


def sole_able_owner_of(session: OrmSession, user_id: int) -> str | None:
    """A team that asks for a second factor and would have no owner if this user had none; None if there is none."""
    found: str | None = _SOLE.value(session, {"user": user_id})
    return found


def _run(session: OrmSession, statements: tuple[Statement, ...], values: dict[str, int]) -> None:
    for statement in statements:
        statement.run(session, values)
    session.expire_all()  # what the mapper knows of these rows is not so any more
