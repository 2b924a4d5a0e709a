"""Second factors: an authenticator app, passkeys, and recovery codes for who lost them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.factor_tables import Passkey, PendingSignIn, RecoveryCode, Totp
from storage.memberships import admit_user, hold_user_back, sole_able_owner_of
from storage.passkeys import MOST, Answered, NewPasskey, PasskeyRow, Signed, passkeys, spend, use
from storage.people_tables import User
from storage.sealing import refuse_old_seal
from storage.users import find_row

BEGUN_FOR = 15 * 60_000  # milliseconds in which the first code of a new authenticator app must come


@dataclass(frozen=True)
class Factors:
    """What a user signs in with beside the password; whether there is a password at all."""

    enabled: bool
    totp_since: int | None  # when the authenticator app gave its first code
    recovery_codes: int  # that are left
    has_password: bool
    passkeys: tuple[PasskeyRow, ...] = ()


@dataclass(frozen=True)
class TotpRow:
    """An authenticator app; `confirmed` says whether it counts yet."""

    sealed_secret: bytes
    confirmed: bool
    begun_at: int


@dataclass(frozen=True)
class Shown:
    """What somebody shows as their second factor, one of these: it is good once."""

    step: int | None = None  # of an authenticator app, whose code was right
    code_sha256: str | None = None  # of a recovery code
    signed: Signed | None = None  # by a passkey


@dataclass(frozen=True)
class NewPending:
    """What is kept of a browser that is about to wait, and for how many milliseconds."""

    secret_sha256: str
    lifetime: int


@dataclass(frozen=True)
class PendingRow:
    """Whose browser waits for the second factor, and by which provider they came, if by one."""

    user_id: int
    name: str
    provider_id: int | None
    provider_sid: str | None
    generation: int  # of the user, then and now


def factors(session: OrmSession, user_id: int) -> Factors:
    """What a user has.

    `users.second_factor` says whether that counts as a second factor: for signing in, and for teams that ask for one.
    It is written by `settle` alone, in the transaction of what changes it.
    """
    asked = select(User.second_factor, User.password_hash, Totp.confirmed_at).join(
        Totp, col(Totp.user_id) == col(User.id), isouter=True
    )
    enabled, password_hash, confirmed_at = session.execute(asked.where(col(User.id) == user_id)).one()
    kept = tuple(passkeys(session, user_id))
    return Factors(enabled, confirmed_at, _codes_left(session, user_id), password_hash is not None, kept)


def find_totp(session: OrmSession, user_id: int) -> TotpRow | None:
    """A user's authenticator app; None without one, or where its first code came not in time."""
    row = session.get(Totp, user_id)
    if row is None or (row.confirmed_at is None and row.created_at <= now() - BEGUN_FOR):
        return None
    return TotpRow(row.sealed_secret, row.confirmed_at is not None, row.created_at)


def begin_totp(database: Database, actor: Actor, user_id: int, sealed_secret: bytes) -> None:
    """Keeps the secret of a new authenticator app, which counts once its first code was shown.

    Raises Conflict if there is one that counts, and OldSeal.
    """
    with database.write() as session:
        refuse_old_seal(session, sealed_secret)
        _, name = find_row(session, user_id)
        row = session.get(Totp, user_id)
        if row is not None and row.confirmed_at is not None:
            raise Conflict("you have an authenticator app already; remove it first")
        if row is not None:
            session.delete(row)
            session.flush()
        session.add(Totp(user_id=user_id, sealed_secret=sealed_secret, created_at=now()))
        record(session, actor, "totp.begin", name)


def confirm_totp(
    database: Database, actor: Actor, user_id: int, *, begun_at: int, step: int, codes: Sequence[str]
) -> bool:
    """Has the authenticator app that was begun then count, whose code of `step` was right.

    `codes` are the sha256 of new recovery codes: they are kept, and this answers True, if the user has none yet.
    Raises Conflict if the app is another one by now.
    """
    with database.write() as session:
        _, name = find_row(session, user_id)
        row = session.get(Totp, user_id)
        if row is None or row.confirmed_at is not None or row.created_at != begun_at:
            raise Conflict("this authenticator app was set up or replaced meanwhile; begin anew")
        row.confirmed_at, row.last_step = now(), step
        record(session, actor, "totp.confirm", name)
        return _gained(session, actor, user_id, codes)


def remove_totp(database: Database, actor: Actor, user_id: int) -> None:
    """Takes a user's authenticator app away. Raises Conflict if there is none that counts."""
    with database.write() as session:
        _, name = find_row(session, user_id)
        row = session.get(Totp, user_id)
        if row is None or row.confirmed_at is None:
            raise Conflict("you have no authenticator app")
        session.delete(row)
        record(session, actor, "totp.remove", name)
        settle(session, actor, user_id)


def add_passkey(
    database: Database, actor: Actor, user_id: int, made: NewPasskey, challenge: Answered, codes: Sequence[str]
) -> bool:
    """Keeps a passkey that answered that challenge; `codes` and the answer are those of `confirm_totp`.

    Raises Conflict for one that is known, for a name that is taken, for too many, and if the challenge was used before.
    """
    with database.write() as session:
        _, name = find_row(session, user_id)
        has = passkeys(session, user_id)
        if len(has) >= MOST:
            raise Conflict(f"you have {MOST} passkeys, which is the most that one can have; remove one first")
        if any(one.name == made.name for one in has):
            raise Conflict(f"you have a passkey named {made.name!r} already; choose another name")
        same = select(Passkey.id).where(col(Passkey.credential_id) == made.credential_id)
        if session.execute(same).first() is not None:
            raise Conflict("this passkey is known to the hub already")
        if not spend(session, challenge):
            raise Conflict("this was answered before, or too late; begin anew")
        session.add(
            Passkey(
                user_id=user_id,
                name=made.name,
                credential_id=made.credential_id,
                public_key=made.public_key,
                sign_count=made.sign_count,
                transports=list(made.transports),
                created_at=now(),
            )
        )
        record(session, actor, "passkey.create", name, detail={"name": made.name})
        return _gained(session, actor, user_id, codes)


def remove_passkey(database: Database, actor: Actor, user_id: int, passkey_id: int) -> None:
    """Takes one of a user's passkeys away. Raises Conflict if there is no such one."""
    with database.write() as session:
        _, name = find_row(session, user_id)
        row = session.get(Passkey, passkey_id)
        if row is None or row.user_id != user_id:
            raise Conflict(f"you have no passkey {passkey_id}")
        session.delete(row)
        record(session, actor, "passkey.delete", name, detail={"name": row.name})
        settle(session, actor, user_id)


def replace_recovery_codes(database: Database, actor: Actor, user_id: int, codes: Sequence[str]) -> None:
    """Gives a user other recovery codes, of which these are the sha256; the old ones are good no more.

    Raises Conflict for who has no second factor.
    """
    with database.write() as session:
        user, name = find_row(session, user_id)
        if not user.second_factor:
            raise Conflict("you have no second factor that recovery codes could stand for; set one up first")
        _keep_codes(session, user_id, codes)
        record(session, actor, "recovery-codes.replace", name)


def remove_second_factor(database: Database, actor: Actor, user_id: int) -> None:
    """Takes away all that a user signs in with beside the password: for who lost it.

    Raises Conflict if there is nothing.
    """
    with database.write() as session:
        user, name = find_row(session, user_id)
        if not user.second_factor:
            raise Conflict(f"{name!r} has no second factor")
        for table in (Totp, Passkey):
            session.execute(delete(table).where(col(table.user_id) == user_id))
        record(session, actor, "second-factor.remove", name)
        settle(session, actor, user_id, force=True)


def settle(session: OrmSession, actor: Actor, user_id: int, *, force: bool = False) -> None:
    """Has the user's row say whether they have a second factor, after that may have changed.

    Registry tokens that were got before end with the change, recovery codes go with the last factor, and roles in teams
    that ask for one come and go. Raises Conflict if that leaves such a team without an owner, unless forced.
    """
    session.flush()
    user, name = find_row(session, user_id)
    confirmed = select(Totp.user_id).where(col(Totp.user_id) == user_id, col(Totp.confirmed_at).is_not(None))
    found = session.execute(confirmed).first() is not None or bool(passkeys(session, user_id))
    if found == user.second_factor:
        return
    user.second_factor = found
    user.generation += 1
    if found:
        admit_user(session, user_id)
    else:
        alone = None if force else sole_able_owner_of(session, user_id)
        if alone is not None:
            raise Conflict(
                f"{alone} asks for a second factor, and you are its only owner; make somebody else owner first,"
                " or have the team ask for none"
            )
        for table in (RecoveryCode, PendingSignIn):
            session.execute(delete(table).where(col(table.user_id) == user_id))
        hold_user_back(session, user_id)
    record(session, actor, "second-factor.enable" if found else "second-factor.disable", name)


def show_factor(database: Database, actor: Actor, user_id: int, shown: Shown) -> bool:
    """Uses up what somebody shows who is signed in; False if it was used before, or is not theirs."""
    with database.write() as session:
        return _use(session, actor, user_id, shown)


def begin_sign_in(database: Database, user_id: int, generation: int, new: NewPending) -> None:
    """Notes that a browser has shown a user's password. It is no session; no event."""
    with database.write() as session:
        add_pending(session, user_id, generation, new)


def add_pending(
    session: OrmSession,
    user_id: int,
    generation: int,
    new: NewPending,
    *,
    provider_id: int | None = None,
    provider_sid: str | None = None,
) -> None:
    """The same as part of a larger command, for who may have come by a provider."""
    begun = now()
    session.execute(delete(PendingSignIn).where(col(PendingSignIn.expires_at) <= begun))
    session.add(
        PendingSignIn(
            secret_sha256=new.secret_sha256,
            user_id=user_id,
            generation=generation,
            expires_at=begun + new.lifetime,
            provider_id=provider_id,
            provider_sid=provider_sid,
        )
    )


def find_pending(session: OrmSession, secret_sha256: str) -> PendingRow | None:
    """Whose password that browser has shown; None once it is too late, or something about them has changed."""
    row = session.get(PendingSignIn, secret_sha256)
    user = session.get(User, row.user_id) if row is not None else None
    if row is None or user is None:
        return None
    if row.expires_at <= now() or not user.active or user.generation != row.generation:
        return None
    name = find_row(session, row.user_id)[1]
    return PendingRow(row.user_id, name, row.provider_id, row.provider_sid, row.generation)


def finish_sign_in(database: Database, secret_sha256: str, shown: Shown, address: str) -> bool:
    """Uses up what a browser shows after the password, and with it what is kept of the password.

    False, and nothing is changed, if either is not good any more.
    """
    with database.write() as session:
        found = find_pending(session, secret_sha256)
        if found is None or not _use(session, Actor("user", found.user_id, found.name, address), found.user_id, shown):
            return False
        session.execute(delete(PendingSignIn).where(col(PendingSignIn.secret_sha256) == secret_sha256))
        return True


def sign_in_by_passkey(database: Database, user_id: int, signed: Signed) -> bool:
    """Uses up what a passkey has signed that stands for the password too; False if it is not good any more."""
    with database.write() as session:
        return use(session, user_id, signed)


def _gained(session: OrmSession, actor: Actor, user_id: int, codes: Sequence[str]) -> bool:
    """What follows from one factor more: recovery codes, for who has none, and what the user's row says."""
    session.flush()
    new = _codes_left(session, user_id) == 0
    if new:
        _keep_codes(session, user_id, codes)
    settle(session, actor, user_id)
    return new


def _use(session: OrmSession, actor: Actor, user_id: int, shown: Shown) -> bool:
    """A step is used up with all that came before it, so that no code is good twice, whoever saw it."""
    if shown.step is not None:
        row = session.get(Totp, user_id)
        if row is None or row.confirmed_at is None or row.last_step >= shown.step:
            return False
        row.last_step = shown.step
        return True
    if shown.signed is not None:
        return use(session, user_id, shown.signed)
    if shown.code_sha256 is None:
        return False
    code = session.get(RecoveryCode, (user_id, shown.code_sha256))
    if code is None:
        return False
    session.delete(code)
    session.flush()
    record(session, actor, "recovery-code.use", actor.name, detail={"left": _codes_left(session, user_id)})
    return True


def _codes_left(session: OrmSession, user_id: int) -> int:
    asked = select(func.count()).select_from(RecoveryCode).where(col(RecoveryCode.user_id) == user_id)
    return int(session.execute(asked).scalar_one())


def _keep_codes(session: OrmSession, user_id: int, codes: Sequence[str]) -> None:
    session.execute(delete(RecoveryCode).where(col(RecoveryCode.user_id) == user_id))
    session.add_all([RecoveryCode(user_id=user_id, code_sha256=code) for code in codes])
