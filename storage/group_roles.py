"""What a provider's groups give people: memberships and the role in the hub, kept apart from what people gave.

What a group gave carries the provider's number. Only that is ever changed here; who was given something by hand keeps
it as it is. Nothing here leaves a team without an owner or the hub without an administrator.
"""

from collections.abc import Collection, Mapping

from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict
from storage.events import Actor, record
from storage.memberships import Place, find_place, new_place, places_by_provider
from storage.people_tables import Namespace, Team, User
from storage.sign_on_tables import GroupRole, Provider
from storage.teams import ROLES, end_invitations, refuse_last_owner
from storage.users import end_links_of_administrator, find_row, refuse_last_administrator


def give(session: OrmSession, actor: Actor, provider: Provider, user_id: int, groups: Collection[str]) -> None:
    """Gives somebody what these groups of a provider give, and takes away what others of it gave before."""
    teams, site = _given_by(session, provider.id, groups)
    for row in places_by_provider(session, provider.id, user_id):
        if row.team_id not in teams:
            _take_away(session, actor, provider, row)
    for team_id, role in sorted(teams.items()):
        _join(session, actor, provider, team_id, user_id, role)
    _set_site_role(session, actor, provider, user_id, site)


def take_all_away(session: OrmSession, actor: Actor, provider: Provider, user_id: int | None = None) -> None:
    """Takes away what a provider's groups gave somebody, or everybody for None. What must stay is by hand then."""
    people = select(User.id).where(col(User.role_provider_id) == provider.id)
    if user_id is not None:
        people = people.where(col(User.id) == user_id)
    for row in places_by_provider(session, provider.id, user_id):
        if not _take_away(session, actor, provider, row):
            row.provider_id = None
    for person in session.execute(people).scalars().all():
        _set_site_role(session, actor, provider, person, None)
        user = session.get(User, person)
        assert user is not None
        user.role_provider_id = None
    session.flush()


def _given_by(session: OrmSession, provider_id: int, groups: Collection[str]) -> tuple[Mapping[int, str], str | None]:
    """The highest role in each team that is there, and that in the whole hub."""
    rows = session.execute(
        select(GroupRole.group_name, GroupRole.team_id, GroupRole.role)
        .join(Team, col(Team.id) == col(GroupRole.team_id), isouter=True)
        .where(col(GroupRole.provider_id) == provider_id, col(Team.deleted_at).is_(None))
    )
    teams: dict[int, str] = {}
    site: str | None = None
    for group, team_id, role in rows:
        if group not in groups:
            continue
        if team_id is None:
            site = "administrator" if "administrator" in (site, role) else role
        else:
            teams[team_id] = max(teams.get(team_id, role), role, key=ROLES.index)
    return teams, site


def _join(session: OrmSession, actor: Actor, provider: Provider, team_id: int, user_id: int, role: str) -> None:
    row = find_place(session, team_id, user_id)
    before = row.role if row is not None else None
    if row is None:
        new_place(session, team_id, user_id, role, provider_id=provider.id)
    elif row.provider_id != provider.id or before == role or not _may_lose(session, row):
        return
    else:
        row.role = role
    session.flush()
    _record(session, actor, "member.set", provider, team_id, user_id, role=role, before=before)


def _take_away(session: OrmSession, actor: Actor, provider: Provider, row: Place) -> bool:
    """Whether it could be: the last owner of a team stays one."""
    if not _may_lose(session, row):
        return False
    session.delete(row)
    session.flush()
    _record(session, actor, "member.remove", provider, row.team_id, row.user_id, role=row.role)
    return True


def _may_lose(session: OrmSession, row: Place) -> bool:
    """Whether somebody may lose a role in a team; then the links that they made as its owner end."""
    if row.role != "owner":
        return True
    try:
        refuse_last_owner(session, row.team_id, "", row)
    except Conflict:
        return False
    end_invitations(session, row.user_id, row.team_id)
    return True


def _set_site_role(session: OrmSession, actor: Actor, provider: Provider, user_id: int, wanted: str | None) -> None:
    user, name = find_row(session, user_id)
    given = user.role_provider_id == provider.id
    if user.role == (wanted or "user") or not (given or user.role == "user"):
        return
    if user.role == "administrator":
        try:
            refuse_last_administrator(session, user, name)
        except Conflict:
            return
        end_links_of_administrator(session, user_id)
    before, user.role = user.role, wanted or "user"
    user.role_provider_id = provider.id if wanted else None
    user.generation += 1
    session.flush()
    said = {"from": before, "to": user.role, "provider": provider.name}
    record(session, actor, "user.set-role", name, detail=said)


def _record(
    session: OrmSession, actor: Actor, action: str, provider: Provider, team_id: int, user_id: int, **said: str | None
) -> None:
    names = select(Namespace.name).where(col(Namespace.kind).in_(("team", "user")))
    team = session.execute(names.where(col(Namespace.team_id) == team_id, col(Namespace.kind) == "team")).scalar()
    user = session.execute(names.where(col(Namespace.user_id) == user_id, col(Namespace.kind) == "user")).scalar()
    detail = {"user": user, "provider": provider.name, **said}
    record(session, actor, action, str(team), team_id=team_id, detail=detail)
