"""What is asked of robots and their trust rules, at the API and by the forms of pages."""

import secrets
from collections.abc import Callable
from typing import Any

from tests.auth.asking import Ask, filled, sending
from tests.auth.world import World

TRUST = {"issuer": "https://issuer.example", "claims": {"sub": "repo:acme/*"}}
TRUST_FORM = {"issuer": "https://issuer.example", "claims": "sub=repo:acme/*", "minutes": "15"}
PAGE = "/teams/{world.team}/robots"
MOST = 100  # robots that are left behind before they are taken away: a team has no room for all


def new_robot(world: World, person: str) -> Ask:
    _make_room(world)
    return Ask(f"/api/v1/teams/{world.team}/robots", {"json": {"name": f"r-{secrets.token_hex(4)}"}})


def robot(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a robot of the team that was made just now."""

    def ask(world: World, person: str) -> Ask:
        asked = new_robot(world, person)
        assert world.api("administrator").post(asked.path, **asked.more).status_code == 201
        return Ask(f"{asked.path}/{asked.more['json']['name']}{ending}", more)

    return ask


def trusted(world: World, person: str) -> Ask:
    path = robot("/trust-rules")(world, person).path
    made = world.api("administrator").post(path, json=TRUST)
    return Ask(f"{path}/{made.json()['id']}")


def new_robot_form(world: World, person: str) -> Ask:
    _make_room(world)
    return sending(PAGE, "make", name=f"r-{secrets.token_hex(4)}", role="reader", days="1", token="yes")(world, person)


def robot_page(world: World, person: str) -> Ask:
    return Ask(robot()(world, person).path.removeprefix("/api/v1"))


def robot_form(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form about a robot that was made just now."""

    def ask(world: World, person: str) -> Ask:
        path = robot_page(world, person).path
        return filled(world, person, path, form, confirm=path.rpartition("/")[2], **typed)

    return ask


def trusted_form(world: World, person: str) -> Ask:
    robot_path, _, number = trusted(world, person).path.removeprefix("/api/v1").partition("/trust-rules/")
    return filled(world, person, robot_path, "remove-rule", number=number)


def _make_room(world: World) -> None:
    path = f"/api/v1/teams/{world.team}/robots"
    admin = world.api("administrator")
    there = admin.get(path, params={"limit": "200"}).json()["robots"]
    if len(there) >= MOST:
        for one in there:
            assert admin.delete(f"{path}/{one['name']}").status_code == 204
