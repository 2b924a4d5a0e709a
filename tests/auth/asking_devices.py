"""Requests of the table of endpoints about programs that wait for somebody's approval."""

from collections.abc import Callable

from tests.auth.asking import Ask, filled
from tests.auth.world import World


def device_login(act: str) -> Callable[[World, str], Ask]:
    """A request about a program that waits since just now."""

    def ask(world: World, person: str) -> Ask:
        world.people.run("DELETE FROM device_logins")  # of those only some may wait at once
        made = world.api("nobody").post("/device_authorization", data={"client_id": "test"})
        return Ask(f"/api/v1/device-logins/{act}", {"json": {"user_code": made.json()["user_code"]}})

    return ask


def device_form(form: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form about such a one."""

    def ask(world: World, person: str) -> Ask:
        code = device_login("show")(world, person).more["json"]["user_code"]
        return filled(world, person, "/device", form, user_code=code, **typed)

    return ask
