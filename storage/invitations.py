"""Invitations and password resets: links that one person follows once. Only the sha256 of a secret comes here."""

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.people_tables import Invitation, PasswordReset, Team, User
from storage.statements import Statement
from storage.teams import join

MOST = 500  # of one team, or to the hub itself
THE_HUB = "the hub"  # what an invitation into no team leads to, as events name it

_FOUND = (
    "SELECT i.id, i.team_id, n.name, i.role, i.note, i.created_by, i.created_at, i.expires_at FROM invitations i"
    " LEFT JOIN teams w ON w.id = i.team_id AND w.deleted_at IS NULL"
    " LEFT JOIN namespaces n ON n.team_id = w.id AND n.kind = 'team'"
)
_BY_SECRET = Statement(
    f"{_FOUND} WHERE i.secret_sha256 = :secret AND i.expires_at > :now AND (i.team_id IS NULL OR w.id IS NOT NULL)"
)
_OF_TEAM = Statement(f"{_FOUND} WHERE i.team_id = :team ORDER BY i.id")
_OF_HUB = Statement(f"{_FOUND} WHERE i.team_id IS NULL ORDER BY i.id")
_TEAM_NAME = Statement("SELECT name FROM namespaces WHERE team_id = :team AND kind = 'team'")
_RESET = Statement(
    "SELECT p.user_id FROM password_resets p JOIN users u ON u.id = p.user_id AND u.active"
    " WHERE p.secret_sha256 = :secret AND p.expires_at > :now"
)


@dataclass(frozen=True)
class InvitationRow:
    """An invitation: into a team, or to the hub alone."""

    id: int
    team_id: int | None
    team: str | None
    role: str
    note: str
    created_by: str
    created_at: int
    expires_at: int


def invitations(session: OrmSession, team_id: int | None) -> list[InvitationRow]:
    """The open invitations of a team, or to the hub alone, oldest first; expired ones too."""
    found = _OF_HUB.all(session, {}) if team_id is None else _OF_TEAM.all(session, {"team": team_id})
    return [InvitationRow(*row) for row in found]


def find_invitation(session: OrmSession, secret_sha256: str) -> InvitationRow | None:
    """The invitation with that secret, unless it has expired or its team was deleted."""
    row = _BY_SECRET.first(session, {"secret": secret_sha256, "now": now()})
    return None if row is None else InvitationRow(*row)


def create_invitation(
    database: Database,
    actor: Actor,
    team_id: int | None,
    *,
    role: str,
    note: str,
    secret_sha256: str,
    expires_at: int,
) -> InvitationRow:
    """Keeps a new invitation. Raises Conflict if the team is gone or has MOST open ones."""
    with database.write() as session:
        session.execute(delete(Invitation).where(col(Invitation.expires_at) <= now()))
        team = session.get(Team, team_id) if team_id is not None else None
        if team_id is not None and (team is None or team.deleted_at is not None):
            raise Conflict("the team was deleted meanwhile")
        if len(invitations(session, team_id)) >= MOST:
            raise Conflict(f"there are {MOST} open invitations already; take some back first")
        session.add(
            Invitation(
                team_id=team_id,
                role=role,
                note=note,
                secret_sha256=secret_sha256,
                created_by=actor.name,
                creator_id=actor.id if actor.kind == "user" else None,
                created_at=now(),
                expires_at=expires_at,
            )
        )
        session.flush()
        made = find_invitation(session, secret_sha256)
        assert made is not None
        detail = {"role": role, "invitation": made.id}
        record(session, actor, "invitation.create", made.team or THE_HUB, team_id=team_id, detail=detail)
        return made


def take_back_invitation(database: Database, actor: Actor, team_id: int | None, invitation_id: int) -> None:
    """Makes a link good for nothing. Raises Conflict if there is no such invitation of the team."""
    with database.write() as session:
        row = session.get(Invitation, invitation_id)
        if row is None or row.team_id != team_id:
            raise Conflict(f"there is no invitation {invitation_id}")
        session.delete(row)
        detail = {"role": row.role, "invitation": invitation_id}
        subject = _TEAM_NAME.value(session, {"team": team_id})
        record(session, actor, "invitation.delete", subject or THE_HUB, team_id=team_id, detail=detail)


def accept_invitation(database: Database, actor: Actor, user_id: int, secret_sha256: str) -> InvitationRow:
    """Lets a user into the team that a link leads to, and uses the link up. Raises Conflict for one that is not good.

    Who is in the team already keeps the role, unless the link gives a higher one.
    """
    with database.write() as session:
        found = use_invitation(session, secret_sha256)
        if found is None or found.team_id is None or found.team is None:
            raise Conflict("the invitation has expired, was used or was taken back; ask for a new one")
        detail = {"role": found.role, "invitation": found.id}
        record(session, actor, "invitation.accept", found.team, team_id=found.team_id, detail=detail)
        join(session, actor, found.team_id, found.team, user_id, found.role, raises_only=True)
        return found


def use_invitation(session: OrmSession, secret_sha256: str) -> InvitationRow | None:
    """The invitation with that secret, used up as part of a larger command; None if it is not good any more."""
    found = find_invitation(session, secret_sha256)
    if found is not None:
        session.execute(delete(Invitation).where(col(Invitation.id) == found.id))
    return found


def create_password_reset(
    database: Database, actor: Actor, user_id: int, name: str, *, secret_sha256: str, expires_at: int
) -> None:
    """Keeps a link by which a user sets a new password, in place of an earlier one.

    Raises Conflict if the user is gone or may not sign in.
    """
    with database.write() as session:
        user = session.get(User, user_id)
        if user is None or not user.active:
            raise Conflict(f"{name} may not sign in, so that a new password is good for nothing; activate them first")
        session.execute(delete(PasswordReset).where(col(PasswordReset.user_id) == user_id))
        session.add(
            PasswordReset(user_id=user_id, secret_sha256=secret_sha256, created_at=now(), expires_at=expires_at)
        )
        record(session, actor, "password-reset.create", name)


def find_password_reset(session: OrmSession, secret_sha256: str) -> int | None:
    """The id of the active user whose password may be set with that secret, unless it has expired."""
    found: int | None = _RESET.value(session, {"secret": secret_sha256, "now": now()})
    return found


def use_password_reset(session: OrmSession, secret_sha256: str) -> int | None:
    """The same, and uses the link up, as part of a larger command."""
    user_id = find_password_reset(session, secret_sha256)
    session.execute(delete(PasswordReset).where(col(PasswordReset.secret_sha256) == secret_sha256))
    return user_id
