"""Teams: who is in them with which role, and the commands that change them. There is always an owner."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.clock import read_clock
from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.memberships import Place, admit_team, find_place, hold_team_back, new_place
from storage.namespaces import add_namespace, new_name
from storage.people_tables import Invitation, Membership, Team, User
from storage.repositories import Viewer
from storage.statements import Statement

ROLES = ("reader", "writer", "maintainer", "owner")
GRACE = 7 * 86_400_000  # milliseconds by the hub's clock in which a deleted team can be restored

_COLUMNS = "w.id, n.name, w.description, w.default_visibility, w.created_at, w.deleted_at, w.second_factor_required"
_TEAM = (
    f"SELECT {_COLUMNS}, m.role, q.role FROM {{start}} LEFT JOIN memberships m ON m.team_id = w.id"
    " AND m.user_id = :viewer LEFT JOIN waiting_memberships q ON q.team_id = w.id AND q.user_id = :viewer"
)
_FIND = Statement(
    _TEAM.format(start="namespaces n JOIN teams w ON w.id = n.team_id AND n.kind = 'team'") + " WHERE n.name = :name"
)
_ALL = Statement(
    _TEAM.format(start="namespaces n JOIN teams w ON w.id = n.team_id AND n.kind = 'team'")
    + " WHERE n.name > :after ORDER BY n.name LIMIT :limit"
)
_MINE = Statement(
    f"SELECT {_COLUMNS}, m.role, m.waits FROM (SELECT team_id, role, CAST(NULL AS VARCHAR) AS waits FROM memberships"
    " WHERE user_id = :viewer UNION ALL SELECT team_id, NULL, role FROM waiting_memberships WHERE user_id = :viewer) m"
    " JOIN teams w ON w.id = m.team_id JOIN namespaces n ON n.team_id = w.id AND n.kind = 'team'"
    " WHERE n.name > :after AND (w.deleted_at IS NULL OR m.role = 'owner') ORDER BY n.name LIMIT :limit"
)
_NAME = Statement("SELECT name FROM namespaces WHERE team_id = :team AND kind = 'team'")
_MEMBERS = Statement(
    "SELECT m.user_id, n.name, u.full_name, m.role, u.active, p.name, m.waits FROM (SELECT user_id, role, provider_id,"
    " 0 AS waits FROM memberships WHERE team_id = :team AND user_id > :after UNION ALL SELECT user_id, role,"
    " provider_id, 1 FROM waiting_memberships WHERE team_id = :team AND user_id > :after) m"
    " JOIN users u ON u.id = m.user_id JOIN namespaces n ON n.user_id = u.id AND n.kind = 'user'"
    " LEFT JOIN providers p ON p.id = m.provider_id ORDER BY m.user_id LIMIT :limit"
)
_OTHER_OWNER = Statement(
    "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id AND u.active"
    " WHERE m.team_id = :team AND m.role = 'owner' AND m.user_id <> :user LIMIT 1"
)
_USER_NAME = Statement("SELECT name FROM namespaces WHERE user_id = :user AND kind = 'user'")
_TARGET = Statement(
    "SELECT t.name FROM targets t JOIN namespaces n ON n.id = t.namespace_id WHERE n.team_id = :team ORDER BY 1 LIMIT 1"
)
_SET = Statement(
    "SELECT s.name FROM deployment_sets s JOIN namespaces n ON n.id = s.namespace_id WHERE n.team_id = :team"
    " ORDER BY 1 LIMIT 1"
)
_HIDE = Statement(
    "UPDATE repositories SET visibility_before = visibility, visibility = 'deleted', generation = generation + 1"
    " WHERE visibility <> 'deleted' AND namespace_id IN (SELECT id FROM namespaces WHERE team_id = :team)"
)
_SHOW = Statement(
    "UPDATE repositories SET visibility = visibility_before, visibility_before = NULL, generation = generation + 1"
    " WHERE visibility = 'deleted' AND namespace_id IN (SELECT id FROM namespaces WHERE team_id = :team)"
)

# What its robots were signed in with; they sign in no more while the team is deleted.
_END_ROBOTS = Statement(
    "UPDATE users SET generation = generation + 1 WHERE id IN (SELECT user_id FROM robots WHERE team_id = :team)"
)


@dataclass(frozen=True)
class TeamRow:
    """A team as somebody sees it; `role` is theirs in it."""

    id: int
    name: str
    description: str
    default_visibility: str
    created_at: int
    deleted_at: int | None
    second_factor_required: bool
    role: str | None
    waits_for: str | None = None  # the role that they get once they have a second factor


@dataclass(frozen=True)
class MemberRow:
    """A member of a team."""

    user_id: int
    name: str
    full_name: str
    role: str
    active: bool
    provider: str | None  # whose group gave the role; None: people did
    waits: bool = False  # for the role, since the team asks for a second factor and they have none


def find_team(session: OrmSession, name: str, user_id: int | None) -> TeamRow | None:
    """The team of that name, or of that old name, as `user_id` asks for it."""
    row = _FIND.first(session, {"name": new_name(session, name) or name, "viewer": user_id})
    return None if row is None else _team_row(row)


def teams(session: OrmSession, viewer: Viewer, *, after: str = "", limit: int = 100) -> list[TeamRow]:
    """The teams that the viewer is in, by name; all for those who see everything.

    For a while deleted ones too, for those who see everything and for owners, who can restore them.
    """
    asked = {"viewer": viewer.user_id, "after": after, "limit": limit}
    return [_team_row(row) for row in (_ALL if viewer.sees_all else _MINE).all(session, asked)]


def members(session: OrmSession, team_id: int, *, after: int = 0, limit: int = 100) -> list[MemberRow]:
    """A team's members in the order in which they came to the hub, after the user of that number."""
    found = _MEMBERS.all(session, {"team": team_id, "after": after, "limit": limit})
    return [
        MemberRow(user, name, full_name, role, bool(active), provider, bool(waits))
        for user, name, full_name, role, active, provider, waits in found
    ]


def create_team(
    database: Database,
    actor: Actor,
    name: str,
    *,
    owner_id: int,
    description: str = "",
    default_visibility: str = "private",
) -> int:
    """Makes a team with its namespace and its first owner; answers its id. Raises as `add_namespace`."""
    with database.write() as session:
        team = Team(description=description, default_visibility=default_visibility, created_at=now())
        session.add(team)
        session.flush()
        add_namespace(session, actor, name, kind="team", team_id=team.id)
        session.add(Membership(team_id=team.id, user_id=owner_id, role="owner"))
        detail = {"default_visibility": default_visibility}
        record(session, actor, "team.create", name, team_id=team.id, detail=detail)
        return team.id


def configure_team(
    database: Database,
    actor: Actor,
    team_id: int,
    *,
    description: str | None = None,
    default_visibility: str | None = None,
) -> None:
    """Changes what a team says of itself and how visible its new repositories are; None leaves a thing.

    Raises Conflict if it is gone.
    """
    with database.write() as session:
        team, name = _team(session, team_id)
        wanted = {"description": description, "default_visibility": default_visibility}
        changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(team, key)}
        for key, value in changed.items():
            setattr(team, key, value)
        if changed:
            record(session, actor, "team.configure", name, team_id=team_id, detail=changed)


def require_second_factor(database: Database, actor: Actor, team_id: int, required: bool) -> None:
    """Has a team ask its members for a second factor, or for none any more. Who has none waits for their role then.

    Raises Conflict if the actor or all of the team's owners have none, or if the team is gone.
    """
    with database.write() as session:
        team, name = _team(session, team_id)
        if team.second_factor_required == required:
            return
        if required and (actor.id is None or not session.get_one(User, actor.id).second_factor):
            raise Conflict("set up a second factor of your own first, on the hub's page /account/second-factor")
        team.second_factor_required = required
        if not required:
            admit_team(session, team_id)
        elif not hold_team_back(session, team_id):
            raise Conflict(f"no owner of {name} has a second factor; one of them must set one up first")
        record(session, actor, "team.require-second-factor", name, team_id=team_id, detail={"required": required})


def set_member(database: Database, actor: Actor, team_id: int, user_id: int, role: str) -> None:
    """Gives a user a role in a team. Raises Conflict if that leaves no owner, or if the team or the user is gone."""
    with database.write() as session:
        _, name = _team(session, team_id)
        join(session, actor, team_id, name, user_id, role)


def join(
    session: OrmSession, actor: Actor, team_id: int, team: str, user_id: int, role: str, *, raises_only: bool = False
) -> None:
    """Gives a user a role in a team as part of a larger command, with its event. Raises Conflict as `set_member`.

    With `raises_only` somebody who has that role or a higher one keeps it. What a provider's group gave is by hand
    once somebody else has set it.
    """
    user = _USER_NAME.value(session, {"user": user_id})
    if user is None:
        raise Conflict("the user was removed meanwhile")
    row = find_place(session, team_id, user_id)
    before = row.role if row is not None else None
    by_hand = raises_only or actor.id != user_id  # nobody makes their own what a group gave them
    if row is not None and by_hand and not raises_only:
        row.provider_id = None  # from now on people look after it, and no group takes it away
    if before == role or (raises_only and before is not None and ROLES.index(before) > ROLES.index(role)):
        return
    if row is None:
        new_place(session, team_id, user_id, role)
    else:
        refuse_last_owner(session, team_id, team, row)
        if row.role == "owner":
            end_invitations(session, user_id, team_id)
        row.role, row.provider_id = role, None if by_hand else row.provider_id
    record(session, actor, "member.set", team, team_id=team_id, detail={"user": user, "role": role, "before": before})


def remove_member(database: Database, actor: Actor, team_id: int, user_id: int) -> None:
    """Takes a user out of a team; one who is not in it is none of anybody's trouble.

    Raises Conflict if that leaves no owner, or if the team is gone.
    """
    with database.write() as session:
        _, name = _team(session, team_id)
        row = find_place(session, team_id, user_id)
        if row is None:
            return
        refuse_last_owner(session, team_id, name, row)
        user = _USER_NAME.value(session, {"user": user_id})
        end_invitations(session, user_id, team_id)
        session.delete(row)
        record(session, actor, "member.remove", name, team_id=team_id, detail={"user": user, "role": row.role})


def end_invitations(session: OrmSession, user_id: int, team_id: int | None) -> None:
    """Ends the links that somebody made who may make none any more: into a team, or to the hub itself."""
    mine = col(Invitation.creator_id) == user_id, col(Invitation.team_id).is_not_distinct_from(team_id)
    session.execute(delete(Invitation).where(*mine))


def delete_team(database: Database, actor: Actor, team_id: int) -> None:
    """Hides a team and all that it owns from everybody; for GRACE an owner may restore it, then it is removed.

    Raises Conflict while it has targets or deployment sets, since proxies run what is deployed there, or if it is gone.
    """
    with database.write() as session:
        team, name = _team(session, team_id)
        target = _TARGET.value(session, {"team": team_id})
        if target is not None:
            raise Conflict(f"{name} still has the target {target}; remove its targets first")
        a_set = _SET.value(session, {"team": team_id})
        if a_set is not None:
            raise Conflict(f"{name} still has the deployment set {a_set}; delete its sets first")
        team.deleted_at, team.remove_at = now(), read_clock(session) + GRACE
        _HIDE.run(session, {"team": team_id})
        _END_ROBOTS.run(session, {"team": team_id})
        record(session, actor, "team.delete", name, team_id=team_id)


def restore_team(database: Database, actor: Actor, team_id: int) -> None:
    """Gives back a team that was deleted, with all that it owns. Raises Conflict if it is gone for good."""
    with database.write() as session:
        team = session.get(Team, team_id)
        name = _NAME.value(session, {"team": team_id})
        if team is None or name is None:
            raise Conflict("the team is gone for good")
        if team.deleted_at is None:
            return
        team.deleted_at = team.remove_at = None
        _SHOW.run(session, {"team": team_id})
        record(session, actor, "team.restore", name, team_id=team_id)


def sole_owner_of(session: OrmSession, user_id: int) -> list[str]:
    """Names of teams that would have no owner without this user, at most a few."""
    query = (
        select(Membership.team_id)
        .join(Team, col(Team.id) == col(Membership.team_id))
        .where(Membership.user_id == user_id, Membership.role == "owner", col(Team.deleted_at).is_(None))
    )
    alone = [
        team_id
        for team_id in session.execute(query).scalars()
        if _OTHER_OWNER.first(session, {"team": team_id, "user": user_id}) is None
    ]
    return [str(_NAME.value(session, {"team": team_id})) for team_id in alone[:5]]


def refuse_last_owner(session: OrmSession, team_id: int, team: str, row: Place) -> None:
    """Raises Conflict if a team of that name would have no owner without this membership."""
    held = isinstance(row, Membership) and row.role == "owner"  # who waits looks after nothing
    if held and _OTHER_OWNER.first(session, {"team": team_id, "user": row.user_id}) is None:
        raise Conflict(f"this is the last owner of {team}; make somebody else owner first")


def _team_row(row: Any) -> TeamRow:
    team_id, name, description, visibility, created_at, deleted_at, required, role, waits_for = row
    return TeamRow(team_id, name, description, visibility, created_at, deleted_at, bool(required), role, waits_for)


def _team(session: OrmSession, team_id: int) -> tuple[Team, str]:
    team = session.get(Team, team_id)
    name: Any = _NAME.value(session, {"team": team_id})
    if team is None or name is None or team.deleted_at is not None:
        raise Conflict("the team was deleted meanwhile")
    return team, name
