"""Personal access tokens, and the refresh tokens that `docker login` keeps. Only the sha256 of a secret comes here."""

from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import present_scopes
from storage.people_tables import AccessToken, Namespace, RefreshToken, Robot, User
from storage.scopes import Scopes, stored_scopes, write_scopes
from storage.users import refuse_changed

ACCESS_TOKENS = 100  # of a person
REFRESH_TOKENS = 100  # of a user, and of each access token


@dataclass(frozen=True)
class AccessTokenRow:
    """A personal token as its owner sees it."""

    id: int
    name: str
    hint: str
    created_at: int
    expires_at: int | None
    used_at: int | None
    scopes: Scopes | None


@dataclass(frozen=True)
class NewToken:
    """A token to be kept: its secret as it is stored, its end, and what it is narrowed to."""

    hint: str
    secret_sha256: str
    expires_at: int | None
    scopes: Scopes | None = None


@dataclass(frozen=True)
class FoundToken:
    """Whom a secret stands for, until when, and for what."""

    user_id: int
    access_token_id: int | None  # the personal token itself, or the one that a refresh token was made with
    expires_at: int | None
    used_at: int | None = None
    scopes: Scopes | None = None  # of the personal token; None: all that its owner may
    name: str | None = None  # that its owner gave it


def access_tokens(session: OrmSession, user_id: int) -> list[AccessTokenRow]:
    """The tokens that somebody made for a user or a robot, oldest first, expired ones too."""
    kept = col(AccessToken.rule_id).is_(None)
    query = select(AccessToken).where(col(AccessToken.user_id) == user_id, kept).order_by(col(AccessToken.id))
    return [
        AccessTokenRow(
            row.id, row.name, row.hint, row.created_at, row.expires_at, row.used_at, stored_scopes(row.scopes)
        )
        for row in session.execute(query).scalars()
    ]


def find_access_token(session: OrmSession, secret_sha256: str) -> FoundToken | None:
    """The token of a person or robot with that secret, unless it or its owner has expired."""
    found = session.execute(
        select(AccessToken, Robot.expires_at)
        .join(Robot, col(AccessToken.user_id) == col(Robot.user_id), isouter=True)
        .where(col(AccessToken.secret_sha256) == secret_sha256)
    ).one_or_none()
    if found is None:
        return None
    row, owner_expires_at = found
    expires_at = _first(row.expires_at, owner_expires_at)
    if expires_at is not None and expires_at <= now():
        return None
    return FoundToken(row.user_id, row.id, expires_at, row.used_at, stored_scopes(row.scopes), row.name)


def create_access_token(
    database: Database,
    actor: Actor,
    user_id: int,
    *,
    name: str,
    hint: str,
    secret_sha256: str,
    expires_at: int | None,
    scopes: Scopes | None = None,
) -> int:
    """Keeps a new personal token; answers its id. Raises Conflict if the user has one of that name."""
    with database.write() as session:
        same = select(AccessToken.id).where(col(AccessToken.user_id) == user_id, col(AccessToken.name) == name)
        if session.execute(same).first() is not None:
            raise Conflict(f"there is a token named {name!r} already; delete it first or choose another name")
        new = NewToken(hint, secret_sha256, expires_at, scopes)
        return add_access_token(session, actor, user_id, name, new)


def add_access_token(session: OrmSession, actor: Actor, user_id: int, name: str, new: NewToken) -> int:
    """Keeps a personal token as part of a larger command, with its event; answers its id."""
    scopes = present_scopes(session, new.scopes)
    row = AccessToken(
        user_id=user_id,
        name=name,
        hint=new.hint,
        secret_sha256=new.secret_sha256,
        scopes=write_scopes(scopes),
        created_at=now(),
        expires_at=new.expires_at,
    )
    session.add(row)
    session.flush()
    detail = {"hint": new.hint, "expires_at": new.expires_at, "scopes": write_scopes(scopes)}
    record(session, actor, "token.create", name, detail=detail)
    return row.id


def delete_access_token(database: Database, actor: Actor, user_id: int, token_id: int) -> None:
    """Ends a personal token at once, with everything that was signed in with it.

    The user's generation rises, so registry tokens that were issued for it end too. Raises Conflict if it is gone.
    """
    with database.write() as session:
        row = session.get(AccessToken, token_id)
        if row is None or row.user_id != user_id:
            raise Conflict(f"there is no token {token_id}")
        session.delete(row)
        session.execute(update(User).where(col(User.id) == user_id).values(generation=User.generation + 1))
        record(session, actor, "token.delete", row.name, detail={"hint": row.hint})


def revoke_secret(database: Database, secret_sha256: str, address: str) -> None:
    """Ends the token with that secret, as whoever holds it wants (RFC 7009); one that is gone already is well.

    A personal token or a robot's ends as by `delete_access_token`, a refresh token ends alone.
    """
    with database.read() as session:  # so that what strangers make up keeps nobody from writing
        if not any(_of_secret(session, secret_sha256)):
            return
    with database.write() as session:
        row, kept = _of_secret(session, secret_sha256)
        found = row or kept
        if found is None:
            return
        name, kind = session.execute(
            select(Namespace.name, Namespace.kind).where(
                col(Namespace.user_id) == found.user_id, col(Namespace.kind).in_(("user", "robot"))
            )
        ).one()
        actor = Actor(kind, found.user_id, name, address)
        session.delete(found)
        if row is not None:
            session.execute(update(User).where(col(User.id) == row.user_id).values(generation=User.generation + 1))
            record(session, actor, "token.revoke", row.name, detail={"hint": row.hint})
        else:
            record(session, actor, "refresh-token.revoke", name)


def rename_in_scopes(session: OrmSession, old: str, new: str) -> None:
    """Has scopes follow a namespace to its new name, as part of a larger command.

    Registry tokens with the old ones end.
    """
    narrowed: list[AccessToken | Robot] = []
    narrowed.extend(session.execute(select(AccessToken).where(col(AccessToken.scopes).is_not(None))).scalars())
    narrowed.extend(session.execute(select(Robot).where(col(Robot.scopes).is_not(None))).scalars())
    for row in narrowed:
        scopes = stored_scopes(row.scopes) or ()
        renamed = tuple(scope.renamed(old, new) for scope in scopes)
        if renamed != scopes:
            row.scopes = write_scopes(renamed)
            session.execute(update(User).where(col(User.id) == row.user_id).values(generation=User.generation + 1))


def touch_access_token(database: Database, token_id: int) -> None:
    """Notes that a personal token was used just now. Bookkeeping, not a command: no event."""
    with database.write(beside=True) as session:
        session.execute(update(AccessToken).where(col(AccessToken.id) == token_id).values(used_at=now()))


def find_refresh_token(session: OrmSession, secret_sha256: str) -> FoundToken | None:
    """The refresh token with that secret, unless it, the token that it was made with or its owner has expired."""
    row = session.execute(
        select(RefreshToken, AccessToken.expires_at, AccessToken.scopes, Robot.expires_at)
        .join(AccessToken, col(RefreshToken.access_token_id) == col(AccessToken.id), isouter=True)
        .join(Robot, col(RefreshToken.user_id) == col(Robot.user_id), isouter=True)
        .where(col(RefreshToken.secret_sha256) == secret_sha256)
    ).one_or_none()
    if row is None:
        return None
    token, parent_expires_at, scopes, owner_expires_at = row
    expires_at = _first(token.expires_at, parent_expires_at, owner_expires_at)
    if expires_at is not None and expires_at <= now():
        return None
    return FoundToken(token.user_id, token.access_token_id, expires_at, scopes=stored_scopes(scopes))


def create_refresh_token(
    database: Database,
    actor: Actor,
    found: FoundToken,
    *,
    generation: int,
    client: str,
    secret_sha256: str,
    expires_at: int,
) -> None:
    """Keeps a new refresh token for the user (and personal token) of `found`; the oldest beyond a hundred go.

    Raises Conflict if something about the user changed since they showed who they are, at that generation.
    """
    with database.write() as session:
        refuse_changed(session, found.user_id, generation)
        session.add(
            RefreshToken(
                user_id=found.user_id,
                access_token_id=found.access_token_id,
                client=client,
                secret_sha256=secret_sha256,
                created_at=now(),
                expires_at=expires_at,
            )
        )
        session.flush()
        # Counted for each token that they are made with, so that a narrowed one ends nothing but its own.
        alike = (
            col(RefreshToken.user_id) == found.user_id,
            col(RefreshToken.access_token_id).is_not_distinct_from(found.access_token_id),
        )
        newest = select(RefreshToken.id).where(*alike).order_by(col(RefreshToken.id).desc())
        kept = newest.limit(REFRESH_TOKENS)
        session.execute(
            delete(RefreshToken).where(
                *alike,
                col(RefreshToken.id).not_in(kept) | (col(RefreshToken.expires_at) <= now()),
            )
        )
        record(session, actor, "refresh-token.create", actor.name, detail={"client": client})


def _of_secret(session: OrmSession, secret_sha256: str) -> tuple[AccessToken | None, RefreshToken | None]:
    row = session.execute(select(AccessToken).where(col(AccessToken.secret_sha256) == secret_sha256)).scalar()
    kept = session.execute(select(RefreshToken).where(col(RefreshToken.secret_sha256) == secret_sha256)).scalar()
    return row, kept


def _first(*moments: int | None) -> int | None:
    """The earliest; None where there is none."""
    return min((moment for moment in moments if moment is not None), default=None)
