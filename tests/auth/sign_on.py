"""Requests of single sign-on that are good in themselves, for the table of endpoints, and a provider to ask."""

import asyncio
import secrets
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc.jwk import ECKey

from tests.auth.asking import Ask, filled
from tests.auth.issuer import Issuer, document, public
from tests.auth.world import World

KEY = ECKey.generate_key("P-256", {"kid": "ec"})
PROVIDERS = "/api/v1/providers"


@cache
def issuer() -> Issuer:
    """A provider that answers in a thread of its own for as long as the tests run."""
    made, ready = Issuer(), threading.Event()

    async def serve() -> None:
        async with made:
            addresses = {f"{name}_endpoint": f"{made.url}/{name}" for name in ("authorization", "token")}
            made.publish(public(KEY), **addresses)
            ready.set()
            await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    assert ready.wait(10)
    return made


def new_provider(world: World, person: str) -> Ask:
    """A provider with a new name."""
    body = {"name": f"p-{secrets.token_hex(4)}", "issuer": issuer().url, "client_id": "hub"}
    for row in world.api("administrator").get(PROVIDERS).json()["providers"][:-5]:  # a hub has so many and no more
        world.api("administrator").delete(f"{PROVIDERS}/{row['name']}")
    return Ask(PROVIDERS, {"json": body})


def made(world: World) -> str:
    """The name of a provider that was made just now."""
    asked = new_provider(world, "administrator")
    answer = world.api("administrator").post(asked.path, **asked.more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["name"])


def provider(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a provider that was made just now."""
    return lambda world, person: Ask(f"{PROVIDERS}/{made(world)}{ending}", more)


def mapped(world: World, person: str) -> Ask:
    """The end of what a group gives."""
    path = f"{PROVIDERS}/{made(world)}/groups"
    given = world.api("administrator").post(path, json={"group": "x", "role": "auditor"})
    return Ask(f"{path}/{given.json()['id']}")


def begun(world: World, person: str) -> Ask:
    """On to a provider."""
    return Ask(f"/sign-in/with/{made(world)}")


def back(world: World, person: str) -> Ask:
    """Back from a provider, as somebody new."""
    name = made(world)
    with httpx.Client(base_url=world.hub.url, trust_env=False, timeout=30) as browser:
        address = browser.get(f"/sign-in/with/{name}").headers["location"]
        asked = {key: value for key, (value,) in parse_qs(urlsplit(address).query).items()}
        for key, value in browser.cookies.items():
            world.browser(person).cookies.set(key, value)
    token = issuer().token(KEY, aud="hub", sub=secrets.token_hex(4), nonce=asked["nonce"])
    issuer().answers["/token"] = document({"access_token": "a", "token_type": "Bearer", "id_token": token})
    return Ask(f"/sign-in/with/{name}/callback?code=c&state={asked['state']}")


def signed_out(world: World, person: str) -> Ask:
    """A logout token of a provider."""
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    token = issuer().token(KEY, aud="hub", sub="x", jti=secrets.token_hex(4), events=events)
    return Ask(f"{PROVIDERS}/{made(world)}/backchannel-logout", {"data": {"logout_token": token}})


def linked(world: World, person: str) -> Ask:
    """The end of an identity that somebody has."""
    if person == "nobody":
        return Ask("/api/v1/user/identities/1")
    return Ask(f"/api/v1/user/identities/{_identity(world, person, made(world))}")


def link_form(world: World, person: str) -> Ask:
    """On to a provider, to be linked."""
    proof = "" if person == "nobody" else world.password(person)
    return filled(world, person, "/account/identities", "link", provider=made(world), proof=proof)


def unlink_form(world: World, person: str) -> Ask:
    """The end of an identity by the page."""
    name = made(world)
    number = _identity(world, person, name) if person != "nobody" else 1
    return filled(world, person, "/account/identities", "unlink", number=str(number), provider=name, confirm=name)


def new_provider_form(world: World, person: str) -> Ask:
    """A provider with a new name, by the page."""
    return filled(world, person, "/site/providers", "make", **new_provider(world, person).more["json"])


def page() -> Callable[[World, str], Ask]:
    """The page of a provider that was made just now."""
    return lambda world, person: Ask(f"/site/providers/{made(world)}")


def form(name: str, **typed: str) -> Callable[[World, str], Ask]:
    """A form of such a page."""

    def ask(world: World, person: str) -> Ask:
        provider = made(world)
        more = {"confirm": provider} if name == "delete" else {}
        return filled(world, person, f"/site/providers/{provider}", name, **typed, **more)

    return ask


def unmap_form(world: World, person: str) -> Ask:
    """The end of what a group gives, by the page."""
    _, _, _, _, name, _, number = mapped(world, person).path.split("/")
    return filled(world, person, f"/site/providers/{name}", "unmap", number=number)


FORMS = {
    "configure": form("configure", title="x"),
    "secret": form("secret", client_secret="x"),
    "switch": form("switch", active="no"),
    "check": form("check"),
    "map": form("map", group="x", role="auditor"),
    "unmap": unmap_form,
    "delete": form("delete"),
}


def _identity(world: World, person: str, name: str) -> int:
    """An identity of somebody's at that provider."""
    world.people.run(
        "INSERT INTO identities (provider_id, subject, user_id, label, created_at)"
        " SELECT id, :subject, :user, 'x', 1 FROM providers WHERE name = :name",
        subject=secrets.token_hex(4),
        user=world.people.user(world.names[person]),
        name=name,
    )
    return int(world.people.rows("SELECT max(id) FROM identities")[0][0])
