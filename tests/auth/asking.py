"""Requests that are good in themselves, for the table of endpoints: each is made for whoever is to send it."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.auth.people import PASSWORD
from tests.auth.world import ROLES, World
from tests.oci import OCI_MANIFEST, digest_of, image


@dataclass(frozen=True)
class Ask:
    """A request, but for who makes it; `undo` is for what would be in others' way."""

    path: str
    more: dict[str, Any] = field(default_factory=dict)
    undo: Callable[[], None] | None = None


@dataclass(frozen=True)
class Endpoint:
    """`rule`: an action of the table, or `everybody`, `signed in`, `themselves`, `administrator`,
    `auditor` (and administrators), `nobody`.

    `door`: how it refuses (`tests/auth/test_matrix.py` has the answers). `ask` makes what the request needs, for the
    person whose turn it is; where a repository is meant, it is the world's current one. `nothing`: what a list says
    that is never refused, to those from whom a door would hide what is in it. `browser`: it is asked as on a page,
    where who is not signed in is led to where one does that.
    """

    rule: str
    door: str
    ask: Callable[[World, str], Ask]
    nothing: str = ""
    browser: bool = False


def at(path: str, **more: Any) -> Callable[[World, str], Ask]:
    """A request that is always the same, but for names of the world in its path."""

    def ask(world: World, person: str) -> Ask:
        return Ask(path.format(world=world), more)

    return ask


def sending(path: str, form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form of a page, as somebody sends it who has just signed in."""

    def ask(world: World, person: str) -> Ask:
        return filled(world, person, path.format(world=world), form, **typed)

    return ask


def filled(world: World, person: str, path: str, form: str, **typed: str) -> Ask:
    """The same where names are at hand."""
    return Ask(path, {"data": {"csrf": world.csrf(person), "form": form, **typed}})


def begun(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request to an upload that was begun just now."""

    def ask(world: World, person: str) -> Ask:
        begun = world.admin.ask("POST", f"/v2/{world.name}/blobs/uploads/")
        return Ask(httpx.URL(begun.headers["location"]).path + ending, more)

    return ask


def put_manifest(world: World, person: str) -> Ask:
    content = image(world.layer, annotations={"mark": secrets.token_hex(4)})
    headers = {"Content-Type": OCI_MANIFEST}
    return Ask(f"/v2/{world.name}/manifests/{digest_of(content)}", {"content": content, "headers": headers})


def delete_manifest(world: World, person: str) -> Ask:
    mark = {"mark": secrets.token_hex(4)}
    digest = world.admin.push_image(world.name, secrets.token_hex(4), world.layer, annotations=mark)
    return Ask(f"/v2/{world.name}/manifests/{digest}")


def delete_blob(world: World, person: str) -> Ask:
    return Ask(f"/v2/{world.name}/blobs/{world.admin.push_blob(world.name, secrets.token_bytes(8))}")


def delete_token(world: World, person: str) -> Ask:
    if person == "nobody":
        return Ask("/api/v1/user/tokens/1")
    made = world.api(person).post("/api/v1/user/tokens", json={"name": secrets.token_hex(4)})
    return Ask(f"/api/v1/user/tokens/{made.json()['id']}")


def someone(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a user who is nobody of the table."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/users/{name}{ending}", more)

    return ask


def new(**body: str) -> Callable[[World, str], Ask]:
    """A body with a name that is new."""

    def ask(world: World, person: str) -> Ask:
        return Ask("", {"json": {"name": f"new-{secrets.token_hex(4)}", **body}})

    return ask


def below(path: str, ask: Callable[[World, str], Ask]) -> Callable[[World, str], Ask]:
    return lambda world, person: Ask(path, ask(world, person).more)


def team(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about the team."""
    return lambda world, person: Ask(f"/api/v1/teams/{world.team}{ending}", more)


def spare_team() -> Callable[[World, str], Ask]:
    """A request about another team in which everybody has the role that they have in the world's."""

    def ask(world: World, person: str) -> Ask:
        name = f"spare-{secrets.token_hex(4)}"
        world.people.team(name, **{world.names[role]: role for role in ROLES})
        return Ask(f"/api/v1/teams/{name}")

    return ask


def renamed() -> Callable[[World, str], Ask]:
    """A request that renames such a team."""

    def ask(world: World, person: str) -> Ask:
        name = spare_team()(world, person).path.rpartition("/")[2]
        return Ask(f"/api/v1/namespaces/{name}", {"json": {"name": f"{name}-2"}})

    return ask


def forgotten(world: World, person: str) -> Ask:
    asked = renamed()(world, person)
    assert world.api("administrator").patch(asked.path, **asked.more).status_code == 200
    old = asked.path.rpartition("/")[2]
    return Ask(f"/api/v1/namespaces/{old}-2/old-names/{old}")


def shared(**more: Any) -> Callable[[World, str], Ask]:
    """A request about somebody's role on the repository."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/repositories/{world.name}/grants/{name}", more)

    return ask


def newcomer(**more: Any) -> Callable[[World, str], Ask]:
    """A request about the membership of somebody who is not in the team."""

    def ask(world: World, person: str) -> Ask:
        name = f"someone-{secrets.token_hex(4)}"
        world.people.user(name)
        return Ask(f"/api/v1/teams/{world.team}/members/{name}", more)

    return ask


def invite(world: World) -> Any:
    made = world.api("administrator").post(f"/api/v1/teams/{world.team}/invitations", json={"role": "reader"})
    assert made.status_code == 201, made.text
    return made.json()


def invited(world: World, person: str) -> Ask:
    return Ask(f"/api/v1/teams/{world.team}/invitations/{invite(world)['id']}")


def accept(world: World, person: str) -> Ask:
    """Into a team of its own, so that nobody's role in the world's changes."""
    name = f"spare-{secrets.token_hex(4)}"
    world.people.team(name)
    made = world.api("administrator").post(f"/api/v1/teams/{name}/invitations", json={"role": "reader"})
    return Ask("/api/v1/invitations/accept", {"json": {"secret": made.json()["secret"]}})


def sign_up(world: World, person: str) -> Ask:
    body = {"name": f"new-{secrets.token_hex(4)}", "password": PASSWORD, "invitation": invite(world)["secret"]}
    return Ask("/api/v1/sign-up", {"json": body})


def reset(world: World, person: str) -> Ask:
    path = someone("/password-reset")(world, person).path
    secret = world.api("administrator").post(path).json()["secret"]
    return Ask("/api/v1/password-reset", {"json": {"secret": secret, "password": PASSWORD}})


def sign_up_by_form(world: World, person: str) -> Ask:
    return Ask("/sign-up", {"data": sign_up(world, person).more["json"]})


def followed(*, form: bool = False) -> Callable[[World, str], Ask]:
    """A request to the page of an invitation into a team of its own, which people without an account sign up by."""

    def ask(world: World, person: str) -> Ask:
        path = f"/invitations/{accept(world, person).more['json']['secret']}"
        data = {"name": f"new-{secrets.token_hex(4)}", "password": PASSWORD, "csrf": world.csrf(person)}
        return Ask(path, {"data": data} if form else {})

    return ask


def reset_page(**more: Any) -> Callable[[World, str], Ask]:
    """A request to the page on which somebody sets a new password."""

    def ask(world: World, person: str) -> Ask:
        return Ask(f"/password-reset/{reset(world, person).more['json']['secret']}", more)

    return ask


def shown_invitation(world: World, person: str) -> Ask:
    return Ask("/api/v1/invitations/show", {"json": {"secret": invite(world)["secret"]}})


def hub_invited(world: World, person: str) -> Ask:
    made = world.api("administrator").post("/api/v1/invitations", json={"note": "x"})
    return Ask(f"/api/v1/invitations/{made.json()['id']}")


def new_target(world: World, person: str) -> Ask:
    body = {"name": f"t-{secrets.token_hex(4)}", "namespace": world.team}
    return Ask("/api/v1/targets", {"json": body})


def own_target(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a target that was made just now."""
    return lambda world, person: Ask(f"/api/v1/targets/{world.new_target()}{ending}", more)


def fleet_files(world: World, person: str) -> Ask:
    return Ask(f"/api/v1/targets/{world.new_target(transport='file')}/files?folder=/etc/envoy&by={person}")


def delete_key(world: World, person: str) -> Ask:
    path = f"/api/v1/targets/{world.new_target()}/keys"
    return Ask(f"{path}/{world.api('administrator').post(path).json()['id']}")


def deployed(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a deployment that was changed once."""

    def ask(world: World, person: str) -> Ask:
        path = f"/api/v1/targets/{world.new_target()}/deployments/d"
        for config in ("a", "b"):
            made = world.api("administrator").put(path, json={"reference": world.filter, "config": config})
            assert made.status_code in (200, 201), made.text
        return Ask(path + ending, more)

    return ask


def deploy(world: World, person: str) -> Ask:
    return Ask(f"/api/v1/targets/{world.new_target()}/deployments/d", {"json": {"reference": world.filter}})


def granted(world: World, person: str) -> Ask:
    path = f"/api/v1/targets/{world.new_target()}/deployments/d"
    administrator = world.api("administrator")
    administrator.put(path, json={"reference": world.filter})
    return Ask(str(administrator.get(path).json()["module_path"]))


def sign_in(world: World, person: str) -> Ask:
    password = world.hub.admin_password if person == "administrator" else PASSWORD
    name = "" if person == "nobody" else world.names[person]
    return Ask("/sign-in", {"data": {"name": name, "password": password}})


def sign_out(world: World, person: str) -> Ask:
    return Ask("/sign-out", {"data": {"csrf": world.csrf(person)}})


def post_token(world: World, person: str) -> Ask:
    form = {"grant_type": "password", "username": world.names[person], "password": world.password(person)}
    return Ask("/token", {"data": form | {"service": "test", "client_id": "test"}})


def password_form(world: World, person: str) -> Ask:
    """Somebody's password in the place of itself."""
    same = world.password(person)
    return filled(world, person, "/account", "password", current=same, password=same)


def token_form(world: World, person: str) -> Ask:
    """A token with a new name."""
    return filled(world, person, "/account", "token", name=secrets.token_hex(4), days="1")


def end_token_form(world: World, person: str) -> Ask:
    """The end of a token that was made just now."""
    number = delete_token(world, person).path.rpartition("/")[2]
    return filled(world, person, "/account", "end-token", id=number)


def new_team_form(world: World, person: str) -> Ask:
    """A team with a new name."""
    return filled(world, person, "/teams", "make", name=f"new-{secrets.token_hex(4)}")


def newcomer_form(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form about the membership of somebody who is not in the team."""

    def ask(world: World, person: str) -> Ask:
        user = newcomer()(world, person).path.rpartition("/")[2]
        return filled(world, person, f"/teams/{world.team}", form, user=user, **typed)

    return ask


def uninvite_form(world: World, person: str) -> Ask:
    """The taking back of an invitation that was made just now."""
    return filled(world, person, f"/teams/{world.team}", "uninvite", number=str(invite(world)["id"]))


def spare_team_form(form: str) -> Callable[[World, str], Ask]:
    """A form about another team in which everybody has the role that they have in the world's."""

    def ask(world: World, person: str) -> Ask:
        name = spare_team()(world, person).path.rpartition("/")[2]
        typed = {"rename": {"name": f"{name}-2"}, "delete": {"confirm": name}}
        return filled(world, person, f"/teams/{name}", form, **typed.get(form, {}))

    return ask


def forget_form(world: World, person: str) -> Ask:
    """The letting go of an old name of such a team."""
    _, _, rest = forgotten(world, person).path.partition("/namespaces/")
    name, _, old = rest.partition("/old-names/")
    return filled(world, person, f"/teams/{name}", "forget", old=old, confirm=old)


def new_user_form(world: World, person: str) -> Ask:
    """A user with a new name."""
    return filled(world, person, "/site/users", "make", name=f"new-{secrets.token_hex(4)}", role="user")


def hub_uninvite_form(world: World, person: str) -> Ask:
    """The taking back of an invitation to the hub that was made just now."""
    number = hub_invited(world, person).path.rpartition("/")[2]
    return filled(world, person, "/site/users", "uninvite", number=number)


def someone_form(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form about a user who is nobody of the table."""

    def ask(world: World, person: str) -> Ask:
        name = someone()(world, person).path.rpartition("/")[2]
        return filled(world, person, f"/site/users/{name}", form, confirm=name, **typed)

    return ask


def shared_form(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form about somebody's role on the repository."""

    def ask(world: World, person: str) -> Ask:
        holder = shared()(world, person).path.rpartition("/")[2]
        return filled(world, person, f"/r/{world.name}", form, holder=holder, **typed)

    return ask
