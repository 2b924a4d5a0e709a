"""People who come by a provider: found by its subject, made on their first visit, and given what their groups give."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import delete
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.factor_tables import PendingSignIn
from storage.group_roles import give, take_all_away
from storage.namespaces import InvalidName, refuse_taken
from storage.people_tables import Session, User
from storage.second_factors import NewPending, add_pending
from storage.sessions import NewSession, add_session
from storage.sign_on_tables import LinkedIdentity, Provider, SpentMark
from storage.users import Profile, add_user, find_row, refuse_changed

TIDIED = 100  # marks that are no longer needed and go when a new one comes
_TRIED = 1000  # numbers behind a name that is taken


class NotLinked(Conflict):
    """An identity that is nobody's or somebody else's; the text names it as the provider does, `reason` does not."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Person:
    """What a provider says of somebody. Nothing but the subject tells who they are here."""

    subject: str
    label: str  # for people to read
    name: str  # that a new user would have; a valid one
    profile: Profile
    groups: Collection[str]


@dataclass(frozen=True)
class Once:
    """Something that is good once: its mark, and when it is good no more anyway (milliseconds since 1970)."""

    mark: str
    until: int


@dataclass(frozen=True)
class IdentityRow:
    """An identity at a provider that is linked to a user."""

    id: int
    provider: str
    title: str
    label: str
    subject: str
    created_at: int
    used_at: int | None


@dataclass(frozen=True)
class Arrived:
    """Who came by a provider."""

    name: str
    new: bool  # whether they were never here before
    waits: bool  # for their second factor: no session is open yet


class Spent(Conflict):
    """What is good once was used before."""


def arrive(
    database: Database,
    provider_id: int,
    person: Person,
    once: Once,
    new: NewSession,
    pending: NewPending,
    address: str,
) -> Arrived:
    """Opens a session for whom the subject stands for, a new user perhaps; who has a second factor waits to show it.

    Raises Spent, and Conflict with a sentence for people if the provider is gone or switched off, if the user may not
    sign in, or if there is none and the provider makes none.
    """
    with database.write() as session:
        spend(session, once)
        provider = _active(session, provider_id)
        identity = _identity(session, provider_id, person.subject)
        by = Actor("provider", provider.id, provider.name, address)
        new_here = identity is None
        if identity is None:
            identity = _welcome(session, by, provider, person)
        user, name = find_row(session, identity.user_id)
        if not user.active:
            raise Conflict(f"the account {name} was deactivated by an administrator of the hub")
        identity.used_at, identity.label = now(), person.label
        give(session, by, provider, user.id, person.groups)
        actor = Actor("user", user.id, name, address)
        session.flush()
        if user.second_factor:
            sid = new.provider_sid
            add_pending(session, user.id, user.generation, pending, provider_id=provider.id, provider_sid=sid)
        else:
            add_session(session, actor, user.id, replace(new, provider_id=provider.id), {"provider": provider.name})
        return Arrived(name, new_here, user.second_factor)


def link(database: Database, actor: Actor, generation: int, provider_id: int, person: Person, once: Once) -> None:
    """Lets a subject stand for the user who gives this command; their groups give what they give.

    Raises Spent, and Conflict if it stands for somebody else, if the user has another identity of that provider, or if
    something about the user changed since they had that generation: the provider may take its time to answer.
    """
    with database.write() as session:
        spend(session, once)
        provider = _active(session, provider_id)
        identity = _identity(session, provider_id, person.subject)
        assert actor.id is not None
        refuse_changed(session, actor.id, generation)
        if identity is not None and identity.user_id != actor.id:
            _, other = find_row(session, identity.user_id)
            message = f"{person.label} of {provider.title} is linked to another account of this hub, {other}"
            raise NotLinked(message, "linked to another account")
        if identity is None:
            mine = col(LinkedIdentity.provider_id) == provider_id, col(LinkedIdentity.user_id) == actor.id
            if session.execute(select(LinkedIdentity.id).where(*mine)).first() is not None:
                raise Conflict(f"your account is linked to somebody else of {provider.title}; unlink that first")
            _add(session, actor, provider, person, actor.id)
        by = Actor("provider", provider.id, provider.name, actor.address)
        give(session, by, provider, actor.id, person.groups)


def unlink(database: Database, actor: Actor, user_id: int, identity_id: int) -> None:
    """Lets an identity stand for the user no more; sessions opened by it end, and what its groups gave goes.

    Raises Conflict if the user has no such identity, or no other way to sign in.
    """
    with database.write() as session:
        identity = session.get(LinkedIdentity, identity_id)
        user, name = find_row(session, user_id)
        if identity is None or identity.user_id != user_id:
            raise Conflict(f"{name} has no linked identity with the number {identity_id}")
        others = select(LinkedIdentity.id).where(
            col(LinkedIdentity.user_id) == user_id, col(LinkedIdentity.id) != identity_id
        )
        if user.password_hash is None and session.execute(others.limit(1)).first() is None:
            raise Conflict(f"{name} has no password and no other identity to sign in with; set a password first")
        provider = session.get(Provider, identity.provider_id)
        assert provider is not None
        _end_sessions(session, provider.id, user_id=user_id)
        take_all_away(session, actor, provider, user_id)
        session.delete(identity)
        record(session, actor, "identity.unlink", name, detail={"provider": provider.name, "subject": identity.subject})


def end_sessions(
    database: Database, provider_id: int, subject: str | None, sid: str | None, once: Once, address: str
) -> int:
    """Ends the sessions that a provider's logout means, by its session or all of a subject; answers how many.

    Raises Spent.
    """
    with database.write() as session:
        spend(session, once)
        provider = _active(session, provider_id)
        identity = _identity(session, provider_id, subject) if subject is not None else None
        ended = 0
        if subject is None or identity is not None:
            user_id = identity.user_id if identity is not None else None
            ended = _end_sessions(session, provider_id, user_id=user_id, sid=sid)
        by = Actor("provider", provider.id, provider.name, address)
        name = find_row(session, identity.user_id)[1] if identity is not None else provider.name
        record(session, by, "session.end", name, detail={"sessions": ended, "sid": sid})
        return ended


def identities(session: OrmSession, user_id: int) -> list[IdentityRow]:
    """A user's identities, oldest first."""
    query = (
        select(LinkedIdentity, Provider.name, Provider.title)
        .join(Provider, col(Provider.id) == col(LinkedIdentity.provider_id))
        .where(col(LinkedIdentity.user_id) == user_id)
        .order_by(col(LinkedIdentity.id))
    )
    return [
        IdentityRow(row.id, name, title, row.label, row.subject, row.created_at, row.used_at)
        for row, name, title in session.execute(query).all()
    ]


def has_password(session: OrmSession, user_id: int) -> bool:
    """Whether somebody can sign in with a password."""
    found = session.execute(select(User.password_hash).where(col(User.id) == user_id)).scalar_one_or_none()
    return found is not None


def is_spent(session: OrmSession, mark: str) -> bool:
    """Whether that was used before."""
    return session.get(SpentMark, mark) is not None


def spend(session: OrmSession, once: Once) -> None:
    """Uses up what is good once, as part of a larger command. Raises Spent."""
    if is_spent(session, once.mark):
        raise Spent("this was used before")
    old = select(SpentMark.mark).where(col(SpentMark.until) <= now()).limit(TIDIED)
    session.execute(delete(SpentMark).where(col(SpentMark.mark).in_(old)))
    session.add(SpentMark(mark=once.mark, until=once.until))
    session.flush()


def _active(session: OrmSession, provider_id: int) -> Provider:
    row = session.get(Provider, provider_id)
    if row is None or not row.active:
        raise Conflict("this way to sign in was switched off meanwhile")
    return row


def _identity(session: OrmSession, provider_id: int, subject: str) -> LinkedIdentity | None:
    return session.execute(
        select(LinkedIdentity).where(
            col(LinkedIdentity.provider_id) == provider_id, col(LinkedIdentity.subject) == subject
        )
    ).scalar_one_or_none()


def _welcome(session: OrmSession, by: Actor, provider: Provider, person: Person) -> LinkedIdentity:
    """A new user for somebody who comes for the first time."""
    if not provider.makes_users:
        raise NotLinked(
            f"no account of this hub is linked to {person.label} of {provider.title}; sign in with your password and"
            " link it on the page of your account, or ask an administrator of the hub for an account",
            "no account is linked",
        )
    name = next((one for one in _names(person.name) if _free(session, one)), None)
    if name is None:
        raise Conflict(f"all names like {person.name} are taken; ask an administrator of the hub for an account")
    user_id = add_user(session, by, name, None, "user", person.profile)
    return _add(session, by, provider, person, user_id)


def _add(session: OrmSession, actor: Actor, provider: Provider, person: Person, user_id: int) -> LinkedIdentity:
    row = LinkedIdentity(
        provider_id=provider.id, subject=person.subject, user_id=user_id, label=person.label, created_at=now()
    )
    session.add(row)
    session.flush()
    said = {"provider": provider.name, "subject": person.subject}  # the label may be an e-mail address
    record(session, actor, "identity.link", find_row(session, user_id)[1], detail=said)
    return row


def _names(wished: str) -> Iterator[str]:
    """The name, and others like it."""
    yield wished
    yield from (f"{wished[:58].rstrip('._-')}-{number}" for number in range(2, _TRIED))


def _free(session: OrmSession, name: str) -> bool:
    try:
        refuse_taken(session, name)
    except (Conflict, InvalidName):
        return False
    return True


def _end_sessions(session: OrmSession, provider_id: int, *, user_id: int | None = None, sid: str | None = None) -> int:
    """Ends sessions that were opened by a provider, of a user or of one session there, and says how many.

    Who has yet to show the second factor does not get that far.
    """
    assert user_id is not None or sid is not None
    meant = delete(Session).where(col(Session.provider_id) == provider_id)
    if user_id is not None:
        meant = meant.where(col(Session.user_id) == user_id)
    if sid is not None:
        meant = meant.where(col(Session.provider_sid) == sid)
    waiting = delete(PendingSignIn).where(col(PendingSignIn.provider_id) == provider_id)
    if user_id is not None:
        waiting = waiting.where(col(PendingSignIn.user_id) == user_id)
    if sid is not None:
        waiting = waiting.where(col(PendingSignIn.provider_sid) == sid)
    session.execute(waiting)
    return len(session.execute(meant.returning(col(Session.id))).all())
