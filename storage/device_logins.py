"""Device logins (RFC 8628): programs that wait for a token until somebody who is signed in elsewhere approves them.

Only the sha256 of a device code and a keyed hash of a user code come here. Waiting is no deed of anybody's, so that
what a stranger begins is no event; approving, refusing and the token that comes out are.
"""

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy import func as sql
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.device_tables import DeviceLogin
from storage.events import Actor, record
from storage.people_tables import AccessToken
from storage.scopes import Scopes, stored_scopes, write_scopes
from storage.tokens import ACCESS_TOKENS, NewToken, add_access_token
from storage.users import identity_row

LIFE = 600_000  # milliseconds from the first question to the last answer
KEPT = 600_000  # milliseconds after that, in which a program is told that it came too late
MOST, MOST_OF_NETWORK = 10_000, 50  # that wait at once


@dataclass(frozen=True)
class Asking:
    """What a program says of itself, and where it asks from."""

    client: str
    device: str
    address: str
    network: str  # the address, as far as one person commands it
    scopes: Scopes | None  # None: all that whoever approves may


@dataclass(frozen=True)
class DeviceLoginRow:
    """A program that waits, as whoever is to approve it sees it."""

    client: str
    device: str
    address: str
    scopes: Scopes | None
    created_at: int
    expires_at: int


@dataclass(frozen=True)
class Waiting:
    """How a program's question stands: `pending`, `approved`, `refused`, or `expired`."""

    client: str
    state: str


@dataclass(frozen=True)
class Approval:
    """The token that a program shall have."""

    name: str
    life: int | None  # milliseconds; None: without end
    scopes: Scopes | None


@dataclass(frozen=True)
class Redeemed:
    """The token that a program got."""

    token_id: int
    user: str
    name: str
    expires_at: int | None
    scopes: Scopes | None


def begin_device_login(database: Database, asking: Asking, device_sha256: str, user_code_mac: str) -> bool:
    """Lets a program wait for LIFE; False if somebody has that user code. Raises Conflict if too many wait already."""
    with database.write(beside=True) as session:
        moment = now()
        session.execute(delete(DeviceLogin).where(col(DeviceLogin.expires_at) <= moment - KEPT))
        if session.execute(select(DeviceLogin.id).where(col(DeviceLogin.user_code_mac) == user_code_mac)).first():
            return False
        refuse_crowd(session, asking.network)
        session.add(
            DeviceLogin(
                device_sha256=device_sha256,
                user_code_mac=user_code_mac,
                client=asking.client,
                device=asking.device,
                address=asking.address,
                network=asking.network,
                scopes=write_scopes(asking.scopes),
                created_at=moment,
                expires_at=moment + LIFE,
            )
        )
        return True


def refuse_crowd(session: OrmSession, network: str) -> None:
    """Raises Conflict if as many wait already as may, from that network or altogether."""
    waiting = select(sql.count(col(DeviceLogin.id))).where(
        col(DeviceLogin.expires_at) > now(), col(DeviceLogin.state) == "pending"
    )
    if session.execute(waiting.where(col(DeviceLogin.network) == network)).scalar_one() >= MOST_OF_NETWORK:
        raise Conflict("too many programs wait for an approval from this address; approve or refuse them first")
    if session.execute(waiting).scalar_one() >= MOST:
        raise Conflict("too many programs wait for an approval at this moment; try again in some minutes")


def find_device_login(session: OrmSession, user_code_mac: str) -> DeviceLoginRow | None:
    """The program that waits with that user code; None once it was answered or has expired."""
    row = _pending(session, user_code_mac)
    if row is None:
        return None
    told = (row.client, row.device, row.address, stored_scopes(row.scopes))
    return DeviceLoginRow(*told, row.created_at, row.expires_at)


def approve_device_login(
    database: Database, actor: Actor, user_id: int, generation: int, user_code_mac: str, approval: Approval
) -> None:
    """Lets the program fetch a token of the user's. Raises Conflict if it does not wait any more.

    Raises Conflict too if the user has as many tokens as one may have.
    """
    with database.write() as session:
        row = _answered(session, user_code_mac)
        _refuse_many(session, user_id)
        row.state, row.user_id, row.generation = "approved", user_id, generation
        row.token_name, row.token_life, row.scopes = approval.name, approval.life, write_scopes(approval.scopes)
        said = {"client": row.client, "device": row.device, "address": row.address, "scopes": row.scopes}
        record(session, actor, "device-login.approve", approval.name, detail={**said, "life": approval.life})


def refuse_device_login(database: Database, actor: Actor, user_code_mac: str) -> None:
    """Has the program told that it gets none. Raises Conflict if it does not wait any more."""
    with database.write() as session:
        row = _answered(session, user_code_mac)
        row.state = "refused"
        said = {"client": row.client, "device": row.device, "address": row.address}
        record(session, actor, "device-login.refuse", row.device or row.client, detail=said)


def look_at_device_login(session: OrmSession, device_sha256: str) -> Waiting | None:
    """How the question of the program with that device code stands; None if there is none."""
    row = session.execute(select(DeviceLogin).where(col(DeviceLogin.device_sha256) == device_sha256)).scalar()
    if row is None:
        return None
    return Waiting(row.client, row.state if row.expires_at > now() else "expired")


def redeem_device_login(
    database: Database, device_sha256: str, address: str, *, hint: str, secret_sha256: str
) -> Redeemed | None:
    """Makes the token of an approved login, which is used up by it; None if it is not good any more.

    That is so too if the user's rights were changed since they approved it. Raises Conflict as `approve_device_login`.
    """
    with database.write() as session:
        row = session.execute(select(DeviceLogin).where(col(DeviceLogin.device_sha256) == device_sha256)).scalar()
        if row is None or row.state != "approved" or row.user_id is None or row.expires_at <= now():
            return None
        user = identity_row(session, row.user_id)
        session.delete(row)
        if user is None or user.generation != row.generation:
            return None
        _refuse_many(session, user.user_id)
        name, scopes = _free_name(session, user.user_id, row.token_name), stored_scopes(row.scopes)
        expires_at = None if row.token_life is None else now() + row.token_life
        new = NewToken(hint, secret_sha256, expires_at, scopes)
        actor = Actor("user", user.user_id, user.name, address)
        token_id = add_access_token(session, actor, user.user_id, name, new)
        return Redeemed(token_id, user.name, name, expires_at, scopes)


def _pending(session: OrmSession, user_code_mac: str) -> DeviceLogin | None:
    query = select(DeviceLogin).where(
        col(DeviceLogin.user_code_mac) == user_code_mac,
        col(DeviceLogin.state) == "pending",
        col(DeviceLogin.expires_at) > now(),
    )
    found: DeviceLogin | None = session.execute(query).scalar()
    return found


def _answered(session: OrmSession, user_code_mac: str) -> DeviceLogin:
    row = _pending(session, user_code_mac)
    if row is None:
        raise Conflict("nothing waits with this code any more; start again")
    return row


def _refuse_many(session: OrmSession, user_id: int) -> None:
    counted = select(sql.count()).select_from(AccessToken).where(col(AccessToken.user_id) == user_id)
    if session.execute(counted).scalar_one() >= ACCESS_TOKENS:
        raise Conflict(f"you have {ACCESS_TOKENS} tokens; delete one first")


def _free_name(session: OrmSession, user_id: int, name: str) -> str:
    """The name, with a number if the user has a token of that name."""
    taken = set(session.execute(select(AccessToken.name).where(col(AccessToken.user_id) == user_id)).scalars())
    return next(
        one
        for number in range(1, len(taken) + 2)
        if (one := name if number == 1 else f"{name} ({number})") not in taken
    )
