"""Every endpoint of the hub: who may use it, how its door refuses others, and a request that is good in itself."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from auth.identity import Identity
from tests.auth.people import PASSWORD
from tests.auth.world import ROLES, World
from tests.oci import EMPTY, OCI_MANIFEST, digest_of, image


@dataclass(frozen=True)
class Ask:
    """A request, but for who makes it."""

    path: str
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """`rule`: an action of the table, or `everybody`, `signed in`, `themselves`, `administrator`, `nobody`.

    `door`: how it refuses (`tests/auth/test_matrix.py` has the answers). `ask` makes what the request needs, for the
    person whose turn it is; where a repository is meant, it is the world's current one. `nothing`: what a list says
    that is never refused, to those from whom a door would hide what is in it.
    """

    rule: str
    door: str
    ask: Callable[[World, str], Ask]
    nothing: str = ""


def at(path: str, **more: Any) -> Callable[[World, str], Ask]:
    """A request that is always the same, but for names of the world in its path."""

    def ask(world: World, person: str) -> Ask:
        return Ask(path.format(world=world), more)

    return ask


def _begun(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request to an upload that was begun just now."""

    def ask(world: World, person: str) -> Ask:
        begun = world.admin.ask("POST", f"/v2/{world.name}/blobs/uploads/")
        return Ask(httpx.URL(begun.headers["location"]).path + ending, more)

    return ask


def _put_manifest(world: World, person: str) -> Ask:
    content = image(world.layer, annotations={"mark": secrets.token_hex(4)})
    headers = {"Content-Type": OCI_MANIFEST}
    return Ask(f"/v2/{world.name}/manifests/{digest_of(content)}", {"content": content, "headers": headers})


def _delete_manifest(world: World, person: str) -> Ask:
    mark = {"mark": secrets.token_hex(4)}
    digest = world.admin.push_image(world.name, secrets.token_hex(4), world.layer, annotations=mark)
    return Ask(f"/v2/{world.name}/manifests/{digest}")


def _delete_blob(world: World, person: str) -> Ask:
    return Ask(f"/v2/{world.name}/blobs/{world.admin.push_blob(world.name, secrets.token_bytes(8))}")


def _delete_token(world: World, person: str) -> Ask:
    if person == "nobody":
        return Ask("/api/v1/user/tokens/1")
    made = world.api(person).post("/api/v1/user/tokens", json={"name": secrets.token_hex(4)})
    return Ask(f"/api/v1/user/tokens/{made.json()['id']}")


def _someone(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a user who is nobody of the table."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/users/{name}{ending}", more)

    return ask


def _new(**body: str) -> Callable[[World, str], Ask]:
    """A body with a name that is new."""

    def ask(world: World, person: str) -> Ask:
        return Ask("", {"json": {"name": f"new-{secrets.token_hex(4)}", **body}})

    return ask


def _below(path: str, ask: Callable[[World, str], Ask]) -> Callable[[World, str], Ask]:
    return lambda world, person: Ask(path, ask(world, person).more)


def _team(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about the team."""
    return lambda world, person: Ask(f"/api/v1/teams/{world.team}{ending}", more)


def _spare_team() -> Callable[[World, str], Ask]:
    """A request about another team in which everybody has the role that they have in the world's."""

    def ask(world: World, person: str) -> Ask:
        name = f"spare-{secrets.token_hex(4)}"
        world.people.team(name, **{world.names[role]: role for role in ROLES})
        return Ask(f"/api/v1/teams/{name}")

    return ask


def _renamed() -> Callable[[World, str], Ask]:
    """A request that renames such a team."""

    def ask(world: World, person: str) -> Ask:
        name = _spare_team()(world, person).path.rpartition("/")[2]
        return Ask(f"/api/v1/namespaces/{name}", {"json": {"name": f"{name}-2"}})

    return ask


def _forgotten(world: World, person: str) -> Ask:
    asked = _renamed()(world, person)
    assert world.api("administrator").patch(asked.path, **asked.more).status_code == 200
    old = asked.path.rpartition("/")[2]
    return Ask(f"/api/v1/namespaces/{old}-2/old-names/{old}")


def _shared(**more: Any) -> Callable[[World, str], Ask]:
    """A request about somebody's role on the repository."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/repositories/{world.name}/grants/{name}", more)

    return ask


def _newcomer(**more: Any) -> Callable[[World, str], Ask]:
    """A request about the membership of somebody who is not in the team."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/teams/{world.team}/members/{name}", more)

    return ask


def _invite(world: World) -> Any:
    made = world.api("administrator").post(f"/api/v1/teams/{world.team}/invitations", json={"role": "reader"})
    assert made.status_code == 201, made.text
    return made.json()


def _invited(world: World, person: str) -> Ask:
    return Ask(f"/api/v1/teams/{world.team}/invitations/{_invite(world)['id']}")


def _accept(world: World, person: str) -> Ask:
    """Into a team of its own, so that nobody's role in the world's changes."""
    name = f"spare-{secrets.token_hex(4)}"
    world.people.team(name)
    made = world.api("administrator").post(f"/api/v1/teams/{name}/invitations", json={"role": "reader"})
    return Ask("/api/v1/invitations/accept", {"json": {"secret": made.json()["secret"]}})


def _sign_up(world: World, person: str) -> Ask:
    body = {"name": f"new-{secrets.token_hex(4)}", "password": PASSWORD, "invitation": _invite(world)["secret"]}
    return Ask("/api/v1/sign-up", {"json": body})


def _reset(world: World, person: str) -> Ask:
    path = _someone("/password-reset")(world, person).path
    secret = world.api("administrator").post(path).json()["secret"]
    return Ask("/api/v1/password-reset", {"json": {"secret": secret, "password": PASSWORD}})


def _sign_up_by_form(world: World, person: str) -> Ask:
    return Ask("/sign-up", {"data": _sign_up(world, person).more["json"]})


def _followed(*, form: bool = False) -> Callable[[World, str], Ask]:
    """A request to the page of an invitation into a team of its own, which people without an account sign up by."""

    def ask(world: World, person: str) -> Ask:
        path = f"/invitations/{_accept(world, person).more['json']['secret']}"
        data = {"name": f"new-{secrets.token_hex(4)}", "password": PASSWORD, "csrf": world.csrf(person)}
        return Ask(path, {"data": data} if form else {})

    return ask


def _reset_page(**more: Any) -> Callable[[World, str], Ask]:
    """A request to the page on which somebody sets a new password."""

    def ask(world: World, person: str) -> Ask:
        return Ask(f"/password-reset/{_reset(world, person).more['json']['secret']}", more)

    return ask


def _shown_invitation(world: World, person: str) -> Ask:
    return Ask("/api/v1/invitations/show", {"json": {"secret": _invite(world)["secret"]}})


def _hub_invited(world: World, person: str) -> Ask:
    made = world.api("administrator").post("/api/v1/invitations", json={"note": "x"})
    return Ask(f"/api/v1/invitations/{made.json()['id']}")


def _new_target(world: World, person: str) -> Ask:
    body = {"name": f"t-{secrets.token_hex(4)}", "namespace": world.team}
    return Ask("/api/v1/targets", {"json": body})


def _own_target(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a target that was made just now."""
    return lambda world, person: Ask(f"/api/v1/targets/{world.new_target()}{ending}", more)


def _delete_key(world: World, person: str) -> Ask:
    path = f"/api/v1/targets/{world.new_target()}/keys"
    return Ask(f"{path}/{world.api('administrator').post(path).json()['id']}")


def _deployed(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a deployment that was changed once."""

    def ask(world: World, person: str) -> Ask:
        path = f"/api/v1/targets/{world.new_target()}/deployments/d"
        for config in ("a", "b"):
            made = world.api("administrator").put(path, json={"reference": world.filter, "config": config})
            assert made.status_code in (200, 201), made.text
        return Ask(path + ending, more)

    return ask


def _deploy(world: World, person: str) -> Ask:
    return Ask(f"/api/v1/targets/{world.new_target()}/deployments/d", {"json": {"reference": world.filter}})


def _granted(world: World, person: str) -> Ask:
    path = f"/api/v1/targets/{world.new_target()}/deployments/d"
    administrator = world.api("administrator")
    administrator.put(path, json={"reference": world.filter})
    return Ask(str(administrator.get(path).json()["module_path"]))


def _sign_in(world: World, person: str) -> Ask:
    password = world.hub.admin_password if person == "administrator" else PASSWORD
    name = "" if person == "nobody" else world.names[person]
    return Ask("/sign-in", {"data": {"name": name, "password": password}})


def _sign_out(world: World, person: str) -> Ask:
    return Ask("/sign-out", {"data": {"csrf": world.csrf(person)}})


def _post_token(world: World, person: str) -> Ask:
    form = {"grant_type": "password", "username": world.names[person], "password": world.password(person)}
    return Ask("/token", {"data": form | {"service": "test", "client_id": "test"}})


def answer_to(endpoint: Endpoint, identity: Identity, actions: frozenset[str]) -> str | int:
    """`let in`, or how the door refuses somebody who may take these actions on what is asked about."""
    rules = {
        "everybody": True,
        "nobody": False,
        "signed in": not identity.anonymous,
        "themselves": identity.administrator,  # it is asked about somebody else
        "administrator": identity.administrator,
    }
    if rules.get(endpoint.rule, endpoint.rule in actions):
        return "let in"
    if endpoint.door == "page":
        return 404 if endpoint.rule == "pull" else 401
    if endpoint.door == "repository":
        return 404 if "pull" not in actions else 401 if identity.anonymous else 403
    if identity.anonymous or endpoint.door == "key":
        return 401
    if endpoint.door == "registry" and endpoint.rule == "push":
        return 403
    if endpoint.door == "hidden" or (endpoint.door in ("registry", "target") and "pull" not in actions):
        return 404
    return 403


UPLOADS = "/v2/{name:path}/blobs/uploads"
TEAM = "/api/v1/teams/{team}"
NAMESPACE = "/api/v1/namespaces/{namespace}"
GRANTS = "/api/v1/repositories/{name:path}/grants"
TARGET = "/api/v1/targets/{target}"
DEPLOYMENT = TARGET + "/deployments/{deployment}"

ENDPOINTS = {
    "GET /v2": Endpoint("everybody", "registry", at("/v2")),
    "GET /v2/": Endpoint("everybody", "registry", at("/v2/")),
    "GET /v2/_catalog": Endpoint("everybody", "registry", at("/v2/_catalog")),
    "GET /v2/{name}/manifests/{reference}": Endpoint("pull", "registry", at("/v2/{world.name}/manifests/v1")),
    "HEAD /v2/{name}/manifests/{reference}": Endpoint("pull", "registry", at("/v2/{world.name}/manifests/v1")),
    "GET /v2/{name}/blobs/{digest}": Endpoint("pull", "registry", at("/v2/{world.name}/blobs/{world.blob}")),
    "HEAD /v2/{name}/blobs/{digest}": Endpoint("pull", "registry", at("/v2/{world.name}/blobs/{world.blob}")),
    "GET /v2/{name:path}/tags/list": Endpoint("pull", "registry", at("/v2/{world.name}/tags/list")),
    "GET /v2/{name:path}/referrers/{digest}": Endpoint(
        "pull", "registry", at("/v2/{world.name}/referrers/{world.digest}"), '"manifests": []'
    ),
    f"POST {UPLOADS}": Endpoint("push", "registry", at("/v2/{world.name}/blobs/uploads")),
    f"POST {UPLOADS}/": Endpoint("push", "registry", at("/v2/{world.name}/blobs/uploads/")),
    f"PATCH {UPLOADS}/{{upload}}": Endpoint("push", "registry", _begun(content=EMPTY)),
    f"PUT {UPLOADS}/{{upload}}": Endpoint("push", "registry", _begun(f"?digest={digest_of(EMPTY)}", content=EMPTY)),
    f"GET {UPLOADS}/{{upload}}": Endpoint("push", "registry", _begun()),
    f"DELETE {UPLOADS}/{{upload}}": Endpoint("push", "registry", _begun()),
    "PUT /v2/{name:path}/manifests/{reference}": Endpoint("push", "registry", _put_manifest),
    "DELETE /v2/{name:path}/manifests/{reference}": Endpoint("delete", "registry", _delete_manifest),
    "DELETE /v2/{name:path}/blobs/{digest}": Endpoint("delete", "registry", _delete_blob),
    "GET /token": Endpoint("everybody", "api", at("/token?service=test")),
    "POST /token": Endpoint("signed in", "api", _post_token),
    "GET /": Endpoint("everybody", "page", at("/")),
    "GET /r/{name:path}": Endpoint("pull", "page", at("/r/{world.name}")),
    "GET /permissions": Endpoint("everybody", "page", at("/permissions")),
    "GET /sign-in": Endpoint("everybody", "page", at("/sign-in")),
    "POST /sign-in": Endpoint("signed in", "page", _sign_in),
    "POST /sign-out": Endpoint("everybody", "page", _sign_out),
    "GET /sign-up": Endpoint("everybody", "page", at("/sign-up")),
    "POST /sign-up": Endpoint("everybody", "entrance", _sign_up_by_form),
    "GET /invitations/{secret}": Endpoint("everybody", "page", _followed()),
    "POST /invitations/{secret}": Endpoint("everybody", "entrance", _followed(form=True)),
    "GET /password-reset/{secret}": Endpoint("everybody", "page", _reset_page()),
    "POST /password-reset/{secret}": Endpoint("everybody", "entrance", _reset_page(data={"password": PASSWORD})),
    "GET /static/{mark}/{name}": Endpoint("everybody", "page", at("{world.asset}")),
    "GET /api/v1/openapi.json": Endpoint("everybody", "api", at("/api/v1/openapi.json")),
    "GET /.well-known/wasm-pkg/registry.json": Endpoint("everybody", "api", at("/.well-known/wasm-pkg/registry.json")),
    "GET /api/v1/user": Endpoint("signed in", "api", at("/api/v1/user")),
    "PATCH /api/v1/user": Endpoint("signed in", "api", at("/api/v1/user", json={"full_name": "Somebody"})),
    "GET /api/v1/user/tokens": Endpoint("signed in", "api", at("/api/v1/user/tokens")),
    "POST /api/v1/user/tokens": Endpoint("signed in", "api", _below("/api/v1/user/tokens", _new())),
    "DELETE /api/v1/user/tokens/{id}": Endpoint("signed in", "api", _delete_token),
    "GET /api/v1/users": Endpoint("administrator", "api", at("/api/v1/users")),
    "POST /api/v1/users": Endpoint("administrator", "api", _below("/api/v1/users", _new())),
    "GET /api/v1/users/{name}": Endpoint("themselves", "hidden", _someone()),
    "PATCH /api/v1/users/{name}": Endpoint("administrator", "api", _someone(json={"role": "auditor"})),
    "DELETE /api/v1/users/{name}": Endpoint("administrator", "api", _someone()),
    "PUT /api/v1/users/{name}/password": Endpoint(
        "themselves", "hidden", _someone("/password", json={"password": "another-long-password"})
    ),
    "POST /api/v1/users/{name}/password-reset": Endpoint("administrator", "api", _someone("/password-reset")),
    "POST /api/v1/password-reset": Endpoint("everybody", "api", _reset),
    "GET /api/v1/teams": Endpoint("signed in", "api", at("/api/v1/teams")),
    "POST /api/v1/teams": Endpoint("signed in", "api", _below("/api/v1/teams", _new())),
    f"GET {TEAM}": Endpoint("pull", "target", _team()),
    f"PATCH {TEAM}": Endpoint("configure", "target", _team(json={"description": "x"})),
    f"DELETE {TEAM}": Endpoint("administer", "target", _spare_team()),
    f"POST {TEAM}/restore": Endpoint("administer", "target", _team("/restore")),
    f"GET {TEAM}/members": Endpoint("pull", "target", _team("/members")),
    f"PUT {TEAM}/members/{{user}}": Endpoint("administer", "target", _newcomer(json={"role": "reader"})),
    f"DELETE {TEAM}/members/{{user}}": Endpoint("administer", "target", _newcomer()),
    f"GET {TEAM}/invitations": Endpoint("administer", "target", _team("/invitations")),
    f"POST {TEAM}/invitations": Endpoint("administer", "target", _team("/invitations", json={"note": "x"})),
    f"DELETE {TEAM}/invitations/{{number}}": Endpoint("administer", "target", _invited),
    "POST /api/v1/sign-up": Endpoint("everybody", "api", _sign_up),
    "GET /api/v1/invitations": Endpoint("administrator", "api", at("/api/v1/invitations")),
    "POST /api/v1/invitations": Endpoint("administrator", "api", at("/api/v1/invitations", json={"note": "x"})),
    "DELETE /api/v1/invitations/{number}": Endpoint("administrator", "api", _hub_invited),
    "POST /api/v1/invitations/show": Endpoint("everybody", "api", _shown_invitation),
    "POST /api/v1/invitations/accept": Endpoint("signed in", "api", _accept),
    "GET /api/v1/namespaces": Endpoint("administrator", "api", at("/api/v1/namespaces")),
    "POST /api/v1/namespaces": Endpoint("administrator", "api", _below("/api/v1/namespaces", _new())),
    f"GET {NAMESPACE}": Endpoint("pull", "target", at("/api/v1/namespaces/{world.team}")),
    f"PATCH {NAMESPACE}": Endpoint("administer", "target", _renamed()),
    f"DELETE {NAMESPACE}/old-names/{{old}}": Endpoint("administer", "target", _forgotten),
    "GET /api/v1/garbage-collections": Endpoint("administrator", "api", at("/api/v1/garbage-collections")),
    "POST /api/v1/garbage-collections": Endpoint(
        "administrator", "api", at("/api/v1/garbage-collections", json={"dry_run": True})
    ),
    "GET /api/v1/garbage-collections/{number}": Endpoint(
        "administrator", "api", at("/api/v1/garbage-collections/{world.run}")
    ),
    "GET /api/v1/modules/{sha256}": Endpoint("pull", "repository", at("/api/v1/modules/{world.module}")),
    "GET /modules/{sha256}.wasm": Endpoint("pull", "repository", at("/modules/{world.module}.wasm")),
    "GET /api/v1/repositories": Endpoint("everybody", "api", at("/api/v1/repositories")),
    "GET /api/v1/repositories/{name:path}": Endpoint("pull", "repository", at("/api/v1/repositories/{world.name}")),
    "GET /api/v1/repositories/{name:path}/versions": Endpoint(
        "pull", "repository", at("/api/v1/repositories/{world.name}/versions")
    ),
    "PATCH /api/v1/repositories/{name:path}": Endpoint(
        "configure", "repository", at("/api/v1/repositories/{world.name}", json={"description": "x"})
    ),
    f"GET {GRANTS}": Endpoint("administer", "repository", at("/api/v1/repositories/{world.name}/grants")),
    f"PUT {GRANTS}/{{holder}}": Endpoint("administer", "repository", _shared(json={"role": "reader"})),
    f"DELETE {GRANTS}/{{holder}}": Endpoint("administer", "repository", _shared()),
    # A proxy shows its fleet's key: nobody's password or token is one.
    "POST /v3/discovery:extension_configs": Endpoint("nobody", "key", at("/v3/discovery:extension_configs", json={})),
    # The path holds the deployment's grant: whoever knows it is let in.
    "GET /modules/{grant}/{file}": Endpoint("everybody", "api", _granted),
    "GET /api/v1/targets": Endpoint("signed in", "api", at("/api/v1/targets")),
    "POST /api/v1/targets": Endpoint("configure", "api", _new_target),
    f"GET {TARGET}": Endpoint("pull", "target", _own_target()),
    f"DELETE {TARGET}": Endpoint("configure", "target", _own_target()),
    f"GET {TARGET}/bootstrap": Endpoint("pull", "target", _own_target("/bootstrap")),
    f"GET {TARGET}/keys": Endpoint("configure", "target", _own_target("/keys")),
    f"POST {TARGET}/keys": Endpoint("configure", "target", _own_target("/keys")),
    f"DELETE {TARGET}/keys/{{key}}": Endpoint("configure", "target", _delete_key),
    f"GET {TARGET}/nodes": Endpoint("pull", "target", _own_target("/nodes")),
    "GET /api/v1/deployments": Endpoint("signed in", "api", at("/api/v1/deployments")),
    f"GET {DEPLOYMENT}": Endpoint("pull", "target", _deployed()),
    f"PUT {DEPLOYMENT}": Endpoint("deploy", "target", _deploy),
    f"DELETE {DEPLOYMENT}": Endpoint("deploy", "target", _deployed()),
    f"POST {DEPLOYMENT}/rollback": Endpoint("deploy", "target", _deployed("/rollback", json={})),
    "GET /healthz": Endpoint("everybody", "page", at("/healthz")),
    "GET /readyz": Endpoint("everybody", "page", at("/readyz")),
    "GET /metrics": Endpoint("everybody", "page", at("/metrics")),
}
