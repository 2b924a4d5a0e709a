"""Providers that people sign in with, and what their groups give here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.factor_tables import PendingSignIn
from storage.group_roles import take_all_away
from storage.people_tables import Namespace, Session, Team
from storage.sign_on_tables import GroupRole, LinkedIdentity, Provider
from storage.teams import ROLES

MOST = 50  # providers
MOST_GROUPS = 500  # of one provider that give something
SITE_ROLES = ("auditor", "administrator")


@dataclass(frozen=True)
class ProviderRow:
    """A provider. Its client's secret, if it has one, is sealed."""

    id: int
    name: str
    title: str
    issuer: str
    client_id: str
    sealed_secret: bytes | None
    scopes: str
    name_claim: str
    groups_claim: str
    makes_users: bool
    active: bool
    created_at: int


@dataclass(frozen=True)
class GroupRoleRow:
    """What a group gives: a role in a team or, without one, in the whole hub."""

    id: int
    group: str
    team: str | None
    role: str


def providers(session: OrmSession, *, active_only: bool = False) -> list[ProviderRow]:
    """All providers, by title."""
    query = select(Provider).order_by(col(Provider.title), col(Provider.name))
    if active_only:
        query = query.where(col(Provider.active).is_(True))
    return [_row(row) for row in session.execute(query).scalars()]


def find_provider(session: OrmSession, which: str | int) -> ProviderRow | None:
    """The provider of that name, or of that id."""
    column: Any = Provider.name if isinstance(which, str) else Provider.id
    row = session.execute(select(Provider).where(col(column) == which)).scalar_one_or_none()
    return None if row is None else _row(row)


def create_provider(database: Database, actor: Actor, name: str, **settings: Any) -> int:
    """Makes a provider with the fields of its row; answers its id. Raises Conflict for a name that is taken.

    Raises Conflict too where there are MOST of them.
    """
    with database.write() as session:
        if find_provider(session, name) is not None:
            raise Conflict(f"there is a provider {name!r} already")
        if len(providers(session)) >= MOST:
            raise Conflict(f"there are {MOST} providers already; delete one first")
        row = Provider(name=name, created_at=now(), **settings)
        session.add(row)
        session.flush()
        said = {"issuer": row.issuer, "client_id": row.client_id, "makes_users": row.makes_users}
        record(session, actor, "provider.create", name, detail=said)
        return row.id


def change_provider(database: Database, actor: Actor, provider_id: int, changes: Mapping[str, Any]) -> None:
    """Changes fields of a provider's row. One that is switched off ends the sessions that were opened through it.

    Raises Conflict if it is gone, and for another issuer once it stands for people: the same subject may be somebody
    else there.
    """
    with database.write() as session:
        row = _provider(session, provider_id)
        changed = {name: value for name, value in changes.items() if value != getattr(row, name)}
        if "issuer" in changed and _stands_for_somebody(session, provider_id):
            raise Conflict(
                f"people have signed in with {row.name}; another issuer may mean other people by the same subjects."
                " Make another provider for it"
            )
        for name, value in changed.items():
            setattr(row, name, value)
        if changed.get("active") is False:
            _end_sessions(session, provider_id)
        if changed:
            told = {name: value for name, value in changed.items() if name != "sealed_secret"}
            if "sealed_secret" in changed:
                told["client_secret"] = "changed"  # noqa: S105
            record(session, actor, "provider.change", row.name, detail=told)


def delete_provider(database: Database, actor: Actor, provider_id: int) -> None:
    """Removes a provider with all that came from it: sessions, linked identities, and what its groups gave.

    Whoever is the last owner of a team or the last administrator stays so, by hand from then on. Raises Conflict if it
    is gone.
    """
    with database.write() as session:
        row = _provider(session, provider_id)
        _end_sessions(session, provider_id)
        take_all_away(session, actor, row)
        linked = len(session.execute(select(LinkedIdentity.id).where(_of(provider_id))).all())
        session.execute(delete(Provider).where(col(Provider.id) == provider_id))
        record(session, actor, "provider.delete", row.name, detail={"issuer": row.issuer, "identities": linked})


def group_roles(session: OrmSession, provider_id: int) -> list[GroupRoleRow]:
    """What the provider's groups give, by group."""
    named = col(Namespace.team_id) == col(GroupRole.team_id)
    query = (
        select(GroupRole.id, GroupRole.group_name, Namespace.name, GroupRole.role)
        .join(Namespace, named & (col(Namespace.kind) == "team"), isouter=True)
        .where(col(GroupRole.provider_id) == provider_id)
        .order_by(col(GroupRole.group_name), col(GroupRole.id))
    )
    return [GroupRoleRow(*row) for row in session.execute(query)]


def set_group_role(
    database: Database, actor: Actor, provider_id: int, group: str, team_id: int | None, role: str
) -> int:
    """Lets a group give a role in a team, or in the whole hub for None; answers its id.

    It holds for everybody from their next sign-in on. Raises Conflict if the provider or the team is gone.
    """
    assert role in (SITE_ROLES if team_id is None else ROLES)
    with database.write() as session:
        provider = _provider(session, provider_id)
        team = _team_name(session, team_id)
        same = col(GroupRole.group_name) == group, col(GroupRole.team_id).is_not_distinct_from(team_id)
        found = session.execute(select(GroupRole).where(col(GroupRole.provider_id) == provider_id, *same))
        row = found.scalar_one_or_none()
        if row is None:
            if len(group_roles(session, provider_id)) >= MOST_GROUPS:
                raise Conflict(f"{MOST_GROUPS} groups of {provider.name} give something already; remove one first")
            row = GroupRole(provider_id=provider_id, group_name=group, team_id=team_id, role=role)
            session.add(row)
        row.role = role
        session.flush()
        said = {"group": group, "team": team, "role": role}
        record(session, actor, "provider.map", provider.name, team_id=team_id, detail=said)
        return row.id


def remove_group_role(database: Database, actor: Actor, provider_id: int, number: int) -> None:
    """Lets a group give that no more; who has it by the group keeps it until their next sign-in.

    Raises Conflict if there is no such thing.
    """
    with database.write() as session:
        provider = _provider(session, provider_id)
        row = session.get(GroupRole, number)
        if row is None or row.provider_id != provider_id:
            raise Conflict(f"nothing with the number {number} is given by groups of {provider.name}")
        said = {"group": row.group_name, "team": _name_of(session, row.team_id), "role": row.role}
        session.delete(row)
        record(session, actor, "provider.unmap", provider.name, team_id=row.team_id, detail=said)


def _provider(session: OrmSession, provider_id: int) -> Provider:
    row = session.get(Provider, provider_id)
    if row is None:
        raise Conflict("the provider was deleted meanwhile")
    return row


def _team_name(session: OrmSession, team_id: int | None) -> str | None:
    team, name = session.get(Team, team_id) if team_id is not None else None, _name_of(session, team_id)
    if team_id is not None and (team is None or name is None or team.deleted_at is not None):
        raise Conflict("the team was deleted meanwhile")
    return name


def _name_of(session: OrmSession, team_id: int | None) -> str | None:
    named = select(Namespace.name).where(col(Namespace.team_id) == team_id, col(Namespace.kind) == "team")
    return None if team_id is None else session.execute(named).scalar_one_or_none()


def _stands_for_somebody(session: OrmSession, provider_id: int) -> bool:
    return session.execute(select(LinkedIdentity.id).where(_of(provider_id)).limit(1)).first() is not None


def _of(provider_id: int) -> Any:
    return col(LinkedIdentity.provider_id) == provider_id


def _end_sessions(session: OrmSession, provider_id: int) -> None:
    """Ends them, and the wait of who came by the provider and has yet to show the second factor."""
    session.execute(delete(Session).where(col(Session.provider_id) == provider_id))
    session.execute(delete(PendingSignIn).where(col(PendingSignIn.provider_id) == provider_id))


def _row(row: Provider) -> ProviderRow:
    return ProviderRow(**{name: getattr(row, name) for name in ProviderRow.__dataclass_fields__})
