"""Requests of the table of endpoints about the sessions of browsers."""

from collections.abc import Callable

import httpx

from tests.auth.asking import Ask, Endpoint, at, filled, someone
from tests.auth.people import PASSWORD
from tests.auth.world import World

MINE = "/api/v1/user/sessions"
THEIRS = "/api/v1/users/{name}/sessions"
PAGE = "/account/sessions"


def open_one(world: World, name: str, password: str) -> str:
    """The number of a session of somebody's that was opened just now."""
    with httpx.Client(base_url=world.hub.url, timeout=30, trust_env=False) as browser:
        assert browser.post("/sign-in", data={"name": name, "password": password}).status_code == 303
        return str(browser.get(MINE).json()["sessions"][0]["id"])


def mine(*, one: bool) -> Callable[[World, str], Ask]:
    """The end of one of one's sessions, or of all."""

    def ask(world: World, person: str) -> Ask:
        number = "1"
        if one and person != "nobody":
            number = open_one(world, world.names[person], world.password(person))
        return Ask(f"{MINE}/{number}" if one else MINE, {}, lambda: world.forget(person))

    return ask


def form(how: str) -> Callable[[World, str], Ask]:
    """The same on one's page."""

    def ask(world: World, person: str) -> Ask:
        number = mine(one=True)(world, person).path.rpartition("/")[2]
        return filled(world, person, PAGE, how, id=number)

    return ask


def theirs(*, one: bool) -> Callable[[World, str], Ask]:
    """The end of a session of a user who is nobody of the table, or of all."""

    def ask(world: World, person: str) -> Ask:
        path = someone()(world, person).path
        number = open_one(world, path.rpartition("/")[2], PASSWORD)
        return Ask(f"{path}/sessions/{number}" if one else f"{path}/sessions")

    return ask


FORMS = {
    f"GET {PAGE}": Endpoint("signed in", "api", at(PAGE), browser=True),
    f"POST {PAGE} end": Endpoint("signed in", "api", form("end"), browser=True),
    f"POST {PAGE} end-others": Endpoint("signed in", "api", form("end-others"), browser=True),
}
API = {
    f"GET {MINE}": Endpoint("signed in", "api", at(MINE)),
    f"DELETE {MINE}": Endpoint("signed in", "api", mine(one=False)),
    f"DELETE {MINE}/{{id}}": Endpoint("signed in", "api", mine(one=True)),
    f"GET {THEIRS}": Endpoint("themselves", "hidden", someone("/sessions")),
    f"DELETE {THEIRS}": Endpoint("themselves", "hidden", theirs(one=False)),
    f"DELETE {THEIRS}/{{id}}": Endpoint("themselves", "hidden", theirs(one=True)),
}
