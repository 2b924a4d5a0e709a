"""Users: looking them up, and the commands that make and change them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import add_namespace, new_name
from storage.people_tables import AccessToken, Invitation, PasswordReset, RefreshToken, Session, User
from storage.statements import Statement

_USERS = "FROM users u JOIN namespaces n ON n.user_id = u.id AND n.kind = 'user'"
_ROW = "SELECT u.id, n.name, u.role, u.active, u.created_at, u.full_name, u.email, u.second_factor"
# A robot signs in as long as it has not expired and its team is there.
_IDENTITY = Statement(
    "SELECT n.name, u.role, u.generation, u.kind FROM users u"
    " JOIN namespaces n ON n.user_id = u.id AND n.kind IN ('user', 'robot')"
    " WHERE u.id = :id AND u.active AND (u.kind <> 'robot' OR EXISTS (SELECT 1 FROM robots b"
    " JOIN teams w ON w.id = b.team_id AND w.deleted_at IS NULL"
    " WHERE b.user_id = u.id AND (b.expires_at IS NULL OR b.expires_at > :now)))"
)
_LOGIN = text(f"SELECT u.id, u.generation, u.password_hash, u.second_factor {_USERS} WHERE n.name = :name AND u.active")
_FIND = text(f"{_ROW} {_USERS} WHERE n.name = :name")
_NARROWED = (
    f"{_ROW} {_USERS} WHERE n.name >= :first AND n.name < :last AND (:role = '' OR u.role = :role)"
    " AND (:state = '' OR u.active = (:state = 'active'))"
)
_LIST = Statement(f"{_NARROWED} AND n.name > :after ORDER BY n.name LIMIT :limit")
_NEWEST = Statement(f"{_NARROWED} AND u.id < :after ORDER BY u.id DESC LIMIT :limit")
_NAME = text(f"SELECT n.name {_USERS} WHERE u.id = :id")
_OTHER_ADMINISTRATORS = text("SELECT count(*) FROM users WHERE role = 'administrator' AND active AND id != :id")
ROLES = ("user", "auditor", "administrator")
SORTS = ("name", "newest")
STATES = ("active", "inactive")
_LAST = 2**62  # greater than any user's number
_BEHIND = "~"  # greater than whatever a name holds


@dataclass(frozen=True)
class UserRow:
    """A user as lists show it."""

    id: int
    name: str
    role: str
    active: bool
    created_at: int
    full_name: str
    email: str
    second_factor: bool


@dataclass(frozen=True)
class Narrowing:
    """Which users a list shows, and in what order. Empty: all."""

    beginning: str = ""  # of the name
    role: str = ""  # of ROLES
    state: str = ""  # of STATES
    sort: str = "name"  # of SORTS


@dataclass(frozen=True)
class Profile:
    """What a user says of themselves; either may be empty."""

    full_name: str = ""
    email: str = ""


@dataclass(frozen=True)
class IdentityRow:
    """What permissions need of an active user, person or robot, as it is now."""

    user_id: int
    name: str
    role: str
    generation: int
    kind: str = "person"


@dataclass(frozen=True)
class LoginRow:
    """What a sign-in with a password needs of an active user."""

    user_id: int
    generation: int
    password_hash: str | None
    second_factor: bool = False  # whether the password alone lets nobody in


def identity_row(session: OrmSession, user_id: int) -> IdentityRow | None:
    """An active user, or a robot that has not expired and whose team was not deleted; None if there is none."""
    row = _IDENTITY.first(session, {"id": user_id, "now": now()})
    return None if row is None else IdentityRow(user_id, *row)


def login_row(session: OrmSession, name: str) -> LoginRow | None:
    """An active user by login name or an old one; None if there is none."""
    row = session.execute(_LOGIN, {"name": name}).first()
    if row is None and (renamed := new_name(session, name)) is not None:
        row = session.execute(_LOGIN, {"name": renamed}).first()
    return None if row is None else LoginRow(row[0], row[1], row[2], bool(row[3]))


def find_user(session: OrmSession, name: str) -> UserRow | None:
    """The user of that login name or old one, active or not."""
    row = session.execute(_FIND, {"name": name}).first()
    if row is None and (renamed := new_name(session, name)) is not None:
        row = session.execute(_FIND, {"name": renamed}).first()
    return None if row is None else _row(row)


def users(
    session: OrmSession, narrowing: Narrowing = Narrowing(), *, after: str = "", limit: int = 1000
) -> list[UserRow]:
    """The users who are meant, after the one for whom `place` gave `after`."""
    asked = {"role": narrowing.role, "state": narrowing.state, "limit": limit}
    asked |= {"first": narrowing.beginning, "last": narrowing.beginning + _BEHIND}
    if narrowing.sort == "name":
        return [_row(row) for row in _LIST.all(session, asked | {"after": after})]
    return [_row(row) for row in _NEWEST.all(session, asked | {"after": int(after or _LAST)})]


def place(row: UserRow, sort: str) -> str:
    """Where a list in that order goes on after the user."""
    return row.name if sort == "name" else str(row.id)


def any_user(session: OrmSession) -> bool:
    """Whether there is a user at all: false only before the first start has finished."""
    return session.execute(text("SELECT 1 FROM users LIMIT 1")).first() is not None


def create_user(
    database: Database,
    actor: Actor,
    name: str,
    *,
    password_hash: str | None,
    role: str = "user",
    profile: Profile | None = None,
    only_first: bool = False,
) -> int | None:
    """Makes a user and the namespace of their name; answers the user's id.

    With `only_first`, does nothing and answers None if there is a user already. Raises InvalidName and Conflict as
    `add_namespace` does.
    """
    with database.write() as session:
        if only_first and any_user(session):
            return None
        return add_user(session, actor, name, password_hash, role, profile or Profile())


def add_user(
    session: OrmSession, actor: Actor, name: str, password_hash: str | None, role: str, profile: Profile
) -> int:
    """Makes a user as part of a larger command, with its event. Raises as `create_user`."""
    user = User(
        password_hash=password_hash, role=role, full_name=profile.full_name, email=profile.email, created_at=now()
    )
    session.add(user)
    session.flush()
    add_namespace(session, actor, name, kind="user", user_id=user.id)
    record(session, actor, "user.create", name, detail={"role": role})
    return user.id


def set_profile(
    database: Database, actor: Actor, user_id: int, *, full_name: str | None = None, email: str | None = None
) -> None:
    """Changes what a user says of themselves; None leaves a thing. Raises Conflict if the user is gone."""
    with database.write() as session:
        user, name = find_row(session, user_id)
        wanted = {"full_name": full_name, "email": email}
        changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(user, key)}
        for key, value in changed.items():
            setattr(user, key, value)
        if changed:
            record(session, actor, "user.set-profile", name, detail={"changed": sorted(changed)})


def set_password(database: Database, actor: Actor, user_id: int, password_hash: str) -> None:
    """Gives a user a new password, which ends their sessions and whatever was signed in with the old one.

    A link by which they could set one is good no more. Personal tokens stay: they were not made from the password.
    Raises Conflict if the user is gone.
    """
    with database.write() as session:
        change_password(session, actor, user_id, password_hash)


def change_password(session: OrmSession, actor: Actor, user_id: int, password_hash: str) -> None:
    """The same as part of a larger command."""
    user, name = find_row(session, user_id)
    user.password_hash = password_hash
    user.generation += 1
    for table in (Session, PasswordReset):
        session.execute(delete(table).where(col(table.user_id) == user_id))
    session.execute(
        delete(RefreshToken).where(col(RefreshToken.user_id) == user_id, col(RefreshToken.access_token_id).is_(None))
    )
    record(session, actor, "user.set-password", name)


def set_role(database: Database, actor: Actor, user_id: int, role: str) -> None:
    """Changes a user's role in the hub. Raises Conflict if that leaves no administrator, or if the user is gone."""
    with database.write() as session:
        user, name = find_row(session, user_id)
        if user.role == "administrator" and role != "administrator":
            refuse_last_administrator(session, user, name)
            end_links_of_administrator(session, user_id)
        before, user.role = user.role, role
        user.role_provider_id = None  # given by hand, whatever a provider's groups say
        user.generation += 1
        record(session, actor, "user.set-role", name, detail={"from": before, "to": role})


def deactivate_user(database: Database, actor: Actor, user_id: int) -> None:
    """Ends a user's access at once: sessions and tokens are removed. The name stays taken, what they own stays.

    Raises Conflict if that leaves no administrator, or if the user is gone.
    """
    with database.write() as session:
        user, name = find_row(session, user_id)
        if user.role == "administrator":
            refuse_last_administrator(session, user, name)
            end_links_of_administrator(session, user_id)
        user.active = False
        user.generation += 1
        session.execute(delete(Invitation).where(col(Invitation.creator_id) == user_id))
        _end_access(session, user_id)
        record(session, actor, "user.deactivate", name)


def activate_user(database: Database, actor: Actor, user_id: int) -> None:
    """Lets a deactivated user sign in again with the password they had. Raises Conflict if the user is gone."""
    with database.write() as session:
        user, name = find_row(session, user_id)
        user.active = True
        user.generation += 1
        _end_access(session, user_id)  # what was under way when it ended, and came after
        record(session, actor, "user.activate", name)


def find_row(session: OrmSession, user_id: int) -> tuple[User, str]:
    """A user's row and name, for a command that changes it. Raises Conflict if the user is gone."""
    user = session.get(User, user_id)
    name = session.execute(_NAME, {"id": user_id}).scalar_one_or_none()
    if user is None or name is None:
        raise Conflict(f"there is no user with the number {user_id}")
    return user, name


def refuse_changed(session: OrmSession, user_id: int, generation: int) -> None:
    """Raises Conflict if the user is gone or inactive, or changed since they had that generation.

    For what is opened for who showed who they are: a new password in between must not leave it open.
    """
    user = session.get(User, user_id)
    if user is None or not user.active or user.generation != generation:
        raise Conflict("something about this account changed while you signed in; sign in again")


def end_links_of_administrator(session: OrmSession, user_id: int) -> None:
    """Ends the links by which somebody who stops being an administrator could come in again, as part of a command.

    Nothing says who made a link for a new password, and they may keep one of anybody's: so all of those end.
    """
    session.execute(delete(Invitation).where(col(Invitation.creator_id) == user_id))
    session.execute(delete(PasswordReset))


def refuse_last_administrator(session: OrmSession, user: User, name: str) -> None:
    """Raises Conflict if nobody would be left who runs the hub."""
    others = session.execute(_OTHER_ADMINISTRATORS, {"id": user.id}).scalar_one()
    if not others:
        raise Conflict(f"{name!r} is the last administrator; make another user administrator first")


def _end_access(session: OrmSession, user_id: int) -> None:
    for table in (Session, RefreshToken, AccessToken, PasswordReset):
        session.execute(delete(table).where(col(table.user_id) == user_id))


def _row(row: Any) -> UserRow:
    user_id, name, role, active, created_at, full_name, email, second_factor = row
    return UserRow(user_id, name, role, bool(active), created_at, full_name, email, bool(second_factor))
