"""The JSON API of the providers that people sign in with, and of what their groups give; for administrators."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from auth.claims import LONGEST_GROUP
from auth.door import ApiError, read_json, require_administrator
from auth.identity import Identity
from auth.relying import ProviderRefused
from auth.sign_on import SignOnRefused
from storage.namespaces import well_formed
from storage.providers import (
    SITE_ROLES,
    GroupRoleRow,
    ProviderRow,
    change_provider,
    create_provider,
    delete_provider,
    find_provider,
    group_roles,
    providers,
    remove_group_role,
    set_group_role,
)
from storage.teams import ROLES, find_team
from web.api import fields
from web.means import Means, means_of

SCOPES, NAME_CLAIM, GROUPS_CLAIM = "openid profile email", "preferred_username", "groups"  # unless said otherwise
LONGEST_TITLE = 60
LOGOUT_LIMIT = 32_768  # bytes of a form with a logout token
_SETTINGS = (
    "title",
    "issuer",
    "client_id",
    "client_secret",
    "scopes",
    "name_claim",
    "groups_claim",
    "makes_users",
    "active",
)


async def list_providers(request: Request) -> Response:
    """All providers, by title; never their secrets."""
    means = means_of(request)
    await require_administrator(request, means.gate)

    found = await means.database.look(read_providers, means)
    return JSONResponse({"providers": [document(request, *one) for one in found]})


async def post_provider(request: Request) -> Response:
    """Makes a provider."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)

    name = await make_provider(means, identity, await read_json(request))
    return JSONResponse(document(request, *await find(means, name)), 201)


async def get_provider(request: Request) -> Response:
    """One provider, and what its groups give."""
    means = means_of(request)
    await require_administrator(request, means.gate)

    return JSONResponse(document(request, *await find(means, request.path_params["provider"])))


async def patch_provider(request: Request) -> Response:
    """Changes a provider; what is not in the request stays. Switched off, it ends the sessions that came by it."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    row, _ = await find(means, request.path_params["provider"])

    await alter_provider(means, identity, row, await read_json(request))
    return JSONResponse(document(request, *await find(means, row.name)))


async def remove_provider(request: Request) -> Response:
    """Deletes a provider, with the sessions, links and roles that came from it."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    row, _ = await find(means, request.path_params["provider"])

    await anyio.to_thread.run_sync(delete_provider, means.database, identity.actor(), row.id)
    return Response(status_code=204)


async def post_check(request: Request) -> Response:
    """Asks a provider now, and says what it answered."""
    means = means_of(request)
    await require_administrator(request, means.gate)
    fields.only(await read_json(request))
    row, _ = await find(means, request.path_params["provider"])

    return JSONResponse(await check_provider(means, row))


async def post_group(request: Request) -> Response:
    """Lets a `group` give a `role` in a `team` or, without one, in the whole hub."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    row, _ = await find(means, request.path_params["provider"])

    number = await map_group(means, identity, row, await read_json(request))
    _, groups = await find(means, row.name)
    return JSONResponse(next(_group(one) for one in groups if one.id == number), 201)


async def delete_group(request: Request) -> Response:
    """Lets a group give that no more."""
    means = means_of(request)
    identity = await require_administrator(request, means.gate)
    row, _ = await find(means, request.path_params["provider"])
    number = fields.row_number(request.path_params["number"], "group")

    await anyio.to_thread.run_sync(remove_group_role, means.database, identity.actor(), row.id, number)
    return Response(status_code=204)


async def post_logout(request: Request) -> Response:
    """A provider says that somebody signed out there (Back-Channel Logout 1.0, section 2.5)."""
    means = means_of(request)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LOGOUT_LIMIT:
            raise ApiError(413, "too_large", f"the body is larger than {LOGOUT_LIMIT} bytes")
    address = means.gate.origins.of(request.scope).address
    try:
        tokens = [value for name, value in parse_qsl(body.decode("ascii"), max_num_fields=20) if name == "logout_token"]
        if len(tokens) != 1:
            raise SignOnRefused("the body is no form with one logout_token")
        await means.sign_on.sign_out(request.path_params["provider"], tokens[0], address)
    except ValueError:
        refusal: Exception = SignOnRefused("the body is no form with one logout_token")
    except SignOnRefused as error:
        refusal = error
    else:
        return Response(status_code=200, headers={"Cache-Control": "no-store"})
    said = {"error": "invalid_request", "error_description": str(refusal)}
    return JSONResponse(said, 400, headers={"Cache-Control": "no-store"})


_ONE = "/api/v1/providers/{provider}"
LOGOUT = _ONE + "/backchannel-logout"
ROUTES = [
    Route("/api/v1/providers", list_providers, methods=["GET"]),
    Route("/api/v1/providers", post_provider, methods=["POST"]),
    Route(_ONE, get_provider, methods=["GET"]),
    Route(_ONE, patch_provider, methods=["PATCH"]),
    Route(_ONE, remove_provider, methods=["DELETE"]),
    Route(_ONE + "/check", post_check, methods=["POST"]),
    Route(_ONE + "/groups", post_group, methods=["POST"]),
    Route(_ONE + "/groups/{number}", delete_group, methods=["DELETE"]),
    Route(LOGOUT, post_logout, methods=["POST"]),
]


def read_providers(means: Means) -> list[tuple[ProviderRow, list[GroupRoleRow]]]:
    """All providers with what their groups give."""
    with means.database.read() as session:
        return [(row, group_roles(session, row.id)) for row in providers(session)]


async def find(means: Means, name: str) -> tuple[ProviderRow, list[GroupRoleRow]]:
    """A provider with what its groups give, for other doors too. Raises ApiError 404."""
    found = await means.database.look(_read, means, name)
    if found is None:
        raise ApiError(404, "not_found", f"there is no provider {name[:64]!r}")
    return found


async def make_provider(means: Means, identity: Identity, body: dict[str, Any]) -> str:
    """Makes a provider and answers its name, for other doors too. Raises ApiError and Conflict."""
    fields.only(body, "name", *_SETTINGS)
    name = fields.text(body, "name")
    if not well_formed(name):
        raise fields.bad("'name' must be lower-case letters and digits, joined by single dots, dashes or underscores")
    usual = {"title": name, "scopes": SCOPES, "name_claim": NAME_CLAIM, "groups_claim": GROUPS_CLAIM}
    asked = {**usual, "makes_users": True, "active": True, "client_secret": "", **body}
    settings = {key: _setting(means, asked, key) for key in _SETTINGS}
    settings["sealed_secret"] = settings.pop("client_secret")

    def create() -> None:
        create_provider(means.database, identity.actor(), name, **settings)

    await anyio.to_thread.run_sync(create)
    return name


async def alter_provider(means: Means, identity: Identity, row: ProviderRow, body: dict[str, Any]) -> None:
    """Changes a provider, for other doors too. Raises ApiError and Conflict."""
    fields.only(body, *_SETTINGS)
    changes = {key: _setting(means, body, key) for key in _SETTINGS if key in body}
    if "client_secret" in changes:
        changes["sealed_secret"] = changes.pop("client_secret")
    await anyio.to_thread.run_sync(change_provider, means.database, identity.actor(), row.id, changes)


async def check_provider(means: Means, row: ProviderRow) -> dict[str, Any]:
    """What a provider answers now, for other doors too: what it says of itself, or what is wrong."""
    try:
        found = await means.sign_on.check(row)
    except (ProviderRefused, SignOnRefused) as error:
        said = f"nobody can sign in with it now: {error}"
        return {"ok": False, "problem": said, "warnings": [], "found": {}}
    return {"ok": True, "problem": "", "warnings": _warnings(row, found), "found": dict(found)}


async def map_group(means: Means, identity: Identity, row: ProviderRow, body: dict[str, Any]) -> int:
    """Lets a group give a role, for other doors too. Raises ApiError and Conflict."""
    fields.only(body, "group", "team", "role")
    group, team = fields.text(body, "group"), fields.text(body, "team", "")
    if len(group) > LONGEST_GROUP:
        raise fields.bad(f"'group' has at most {LONGEST_GROUP} characters")
    role = fields.choice(body, "role", ROLES if team else SITE_ROLES)
    team_id = await means.database.look(_team_id, means, identity, team) if team else None
    return await anyio.to_thread.run_sync(
        set_group_role, means.database, identity.actor(), row.id, group, team_id, role
    )


def document(request: Request, row: ProviderRow, groups: list[GroupRoleRow]) -> dict[str, Any]:
    """A provider as programs see it: with the addresses that it has to know, and without its secret."""
    hub = means_of(request).gate.origins.of(request.scope).url
    return {
        **{key: getattr(row, key) for key in ("name", *_SETTINGS) if key != "client_secret"},
        "has_secret": row.sealed_secret is not None,
        "created_at": fields.moment(row.created_at),
        "redirect_uri": f"{hub}/sign-in/with/{row.name}/callback",
        "backchannel_logout_uri": hub + LOGOUT.format(provider=row.name),
        "groups": [_group(one) for one in groups],
    }


def _setting(means: Means, body: dict[str, Any], key: str) -> Any:
    """A setting as it is kept. Raises ApiError."""
    if key in ("makes_users", "active"):
        return fields.flag(body, key, True)
    if key == "client_secret":
        secret = fields.text(body, key, "")
        return means.sign_on.seal_secret(secret) if secret else None
    value = fields.text(body, key)
    if key == "title" and len(value) > LONGEST_TITLE:
        raise fields.bad(f"'title' has at most {LONGEST_TITLE} characters")
    if key == "issuer" and (not value.startswith(("https://", "http://")) or any(sign in value for sign in "?# ")):
        raise fields.bad("'issuer' must be a URL without a query, such as https://login.example.com/realms/acme")
    if key == "scopes":
        value = " ".join(value.split())
        if "openid" not in value.split() or not value.isascii():
            raise fields.bad("'scopes' must hold openid, and others behind spaces, such as openid profile email")
    return value


def _warnings(row: ProviderRow, found: Mapping[str, Any]) -> list[str]:
    """What need not keep anybody from signing in, but may."""
    said = []
    if "S256" not in found.get("code_challenge_methods_supported", ["S256"]):
        said.append("it does not say that it knows PKCE with S256, which the hub always uses")
    missing = [one for one in row.scopes.split() if one not in found.get("scopes_supported", row.scopes.split())]
    if missing:
        said.append(f"it does not list the scopes {', '.join(missing)}")
    if "backchannel_logout_supported" not in found:
        said.append("it does not say that it tells of sign-outs; sessions here then end by themselves alone")
    return said


def _read(means: Means, name: str) -> tuple[ProviderRow, list[GroupRoleRow]] | None:
    with means.database.read() as session:
        row = find_provider(session, name)
        return None if row is None else (row, group_roles(session, row.id))


def _team_id(means: Means, identity: Identity, name: str) -> int:
    with means.database.read() as session:
        team = find_team(session, name, identity.user_id)
    if team is None or team.deleted_at is not None:
        raise ApiError(404, "not_found", f"there is no team {name[:64]!r}")
    return team.id


def _group(row: GroupRoleRow) -> dict[str, Any]:
    return {"id": row.id, "group": row.group, "team": row.team, "role": row.role}
