"""What is asked of the end of one's own account: by somebody of a test's own, or nobody would be left for the next."""

import secrets

import httpx

from tests.auth.asking import Ask
from tests.auth.people import PASSWORD
from tests.auth.world import CSRF, World


def leave(world: World, person: str) -> Ask:
    path = "/api/v1/user"
    return Ask(path) if person == "nobody" else Ask(path, {"auth": (_leaver(world), PASSWORD)})


def leave_by_form(world: World, person: str) -> Ask:
    path, form = "/account/name", {"form": "delete", "csrf": ""}
    if person == "nobody":
        return Ask(path, {"data": form})
    name = _leaver(world)
    with httpx.Client(base_url=world.hub.url, timeout=30, trust_env=False) as client:
        assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
        found = CSRF.search(client.get("/").text)
        assert found is not None
        cookie = "; ".join(f"{key}={value}" for key, value in client.cookies.items())
    return Ask(path, {"data": {**form, "csrf": found[1], "confirm": name}, "headers": {"Cookie": cookie}})


def keep_name(world: World, person: str) -> Ask:
    data = {"form": "rename", "csrf": world.csrf(person), "name": world.names.get(person, "nobody")}
    return Ask("/account/name", {"data": data})


def let_go(world: World, person: str) -> Ask:
    """An old name that they have: they had it until just now."""
    old = f"old-{secrets.token_hex(4)}"
    if person != "nobody":
        api, name = world.api("administrator"), world.names[person]
        for other in (old, name):
            now = name if other == old else old
            assert api.patch(f"/api/v1/namespaces/{now}", json={"name": other}).status_code == 200
    data = {"form": "forget", "csrf": world.csrf(person), "old": old, "confirm": old}
    return Ask("/account/name", {"data": data})


def _leaver(world: World) -> str:
    name = f"leaver-{secrets.token_hex(4)}"
    world.people.user(name)
    return name
