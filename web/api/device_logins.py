"""The JSON API of device logins (RFC 8628): a program that waits is looked at by its code, and approved or refused."""

from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.devices import read_user_code, show_user_code, user_code_mac
from auth.door import ApiError, read_json, refused, require_account
from auth.gate import Gate, SignInRefused
from auth.identity import Identity
from storage.device_logins import (
    Approval,
    DeviceLoginRow,
    approve_device_login,
    find_device_login,
    refuse_device_login,
)
from storage.scopes import write_scopes
from web.api import fields
from web.means import means_of

DAYS, MOST_DAYS = 90, 3650  # that the token is good, unless said otherwise, and at most
LONGEST_NAME = 100


@dataclass(frozen=True)
class Found:
    """A program that waits, and its code."""

    code: str  # as it is kept apart from others
    row: DeviceLoginRow

    @property
    def name(self) -> str:
        """What its token is called, unless it is given another name."""
        return f"{self.row.client} on {self.row.device or self.row.address}"

    @property
    def shown(self) -> str:
        """Its code as people read it."""
        return show_user_code(self.code)


async def post_show(request: Request) -> Response:
    """What waits with a `user_code`, for whoever is to approve it."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    body = await read_json(request)
    fields.only(body, "user_code")
    return JSONResponse(_document(await find_login(gate, identity, body)))


async def post_approve(request: Request) -> Response:
    """Gives the program a personal token of the caller's."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    body = await read_json(request)
    await approve_login(gate, identity, body, await find_login(gate, identity, body))
    return Response(status_code=204)


async def post_refuse(request: Request) -> Response:
    """Has the program told that it gets none."""
    gate = means_of(request).gate
    identity = await require_account(request, gate)

    body = await read_json(request)
    fields.only(body, "user_code")
    await refuse_login(gate, identity, await find_login(gate, identity, body))
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/device-logins/show", post_show, methods=["POST"]),
    Route("/api/v1/device-logins/approve", post_approve, methods=["POST"]),
    Route("/api/v1/device-logins/refuse", post_refuse, methods=["POST"]),
]


async def find_login(gate: Gate, identity: Identity, body: dict[str, Any]) -> Found:
    """What waits with the `user_code`, for other doors too. Wrong codes are counted. Raises ApiError."""
    code = read_user_code(fields.text(body, "user_code"))
    if code is None:
        raise fields.bad("'user_code' must be eight letters, such as BCDF-GHJK; it stands in the terminal")
    try:
        await gate.count_guess(identity)
    except SignInRefused as refusal:
        raise refused(refusal) from None
    row = await gate.database.look(_find, gate, code)
    if row is None:
        gate.sign_ins.refuse("device-login.approve", "nothing waits with this code", identity.address, identity.name)
        raise ApiError(404, "not_found", "nothing waits with this code; it is wrong, was answered or has expired")
    await gate.forgive_guess(identity)
    return Found(code, row)


async def approve_login(gate: Gate, identity: Identity, body: dict[str, Any], found: Found) -> None:
    """Approves it with the `name`, `expires_in_days` and `scopes` that are given, for other doors too.

    Scopes that are left out are those that it asked for. Raises ApiError and Conflict.
    """
    assert identity.user_id is not None
    fields.only(body, "user_code", "name", "expires_in_days", "scopes")
    name = fields.text(body, "name") if "name" in body else found.name
    if len(name) > LONGEST_NAME:
        raise fields.bad(f"'name' has at most {LONGEST_NAME} characters")
    life = None
    if body.get("expires_in_days", DAYS) is not None:
        life = fields.days(body, "expires_in_days", DAYS, MOST_DAYS)
    approval = Approval(name, life, fields.scopes(body) if "scopes" in body else found.row.scopes)
    database, mac = gate.database, user_code_mac(gate, found.code)
    who = (identity.actor(), identity.user_id, identity.generation)
    await anyio.to_thread.run_sync(approve_device_login, database, *who, mac, approval)


async def refuse_login(gate: Gate, identity: Identity, found: Found) -> None:
    """Refuses it, for other doors too. Raises Conflict."""
    mac = user_code_mac(gate, found.code)
    await anyio.to_thread.run_sync(refuse_device_login, gate.database, identity.actor(), mac)


def _document(found: Found) -> dict[str, Any]:
    row = found.row
    said = {"user_code": found.shown, "client": row.client, "device": row.device, "address": row.address}
    times = {"created_at": fields.moment(row.created_at), "expires_at": fields.moment(row.expires_at)}
    return said | {"scopes": write_scopes(row.scopes)} | times


def _find(gate: Gate, code: str) -> DeviceLoginRow | None:
    with gate.database.read() as session:
        return find_device_login(session, user_code_mac(gate, code))
