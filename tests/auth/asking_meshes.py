"""Requests about targets that the hub reaches out to, for the table of endpoints: nobody answers in their clusters."""

import secrets
from collections.abc import Callable
from typing import Any

from auth.secrets import load_secret_key
from deploy.meshes.kinds import MESHES
from storage.events import SYSTEM
from storage.targets import create_target
from tests.auth.asking import Ask
from tests.auth.world import World

NOWHERE = b'{"url": "https://127.0.0.1:9"}'  # an access, sealed; at the port of discard nobody listens
SETTINGS = {"hub": "https://hub.example.com"}


def mesh_target(ending: str = "", **more: Any) -> Callable[[World, str], Ask]:
    """A request about a mesh of the team that was made just now, and is no more afterwards."""

    def ask(world: World, person: str) -> Ask:
        path = f"/api/v1/targets/{new_mesh(world)}"

        def remove() -> None:
            assert world.api("administrator").delete(path).status_code == 204

        return Ask(path + ending, more, remove)

    return ask


def preview(world: World, person: str) -> Ask:
    """A look at what would be, where the cluster does not answer."""
    body = {"reference": world.filter, "placement": {"namespace": "shop"}}
    return mesh_target("/deployments/d/preview", json=body)(world, person)


def examination(world: World, person: str) -> Ask:
    """A look at whether the filter may run in a mesh that the hub knows nothing of."""
    place = {"settings": SETTINGS, "placement": {"namespace": "shop"}}
    return Ask("/api/v1/examinations", {"json": {"reference": world.filter, **place}})


def new_mesh(world: World) -> str:
    """A target of the team whose cluster does not answer; over the API one must, when it is made."""
    name, space = f"t-{secrets.token_hex(4)}", "SELECT id FROM namespaces WHERE name = :team"
    create_target(
        world.people.database,
        SYSTEM,
        name,
        kind="istio",
        namespace_id=world.people.rows(space, team=world.team)[0][0],
        settings=MESHES["istio"].read_settings(SETTINGS),
        sealed_access=load_secret_key(world.hub.told().get("WASMHUB_SECRET_KEY"), world.hub.data).seal(NOWHERE),
    )
    return name


def delete_secret(world: World, person: str) -> Ask:
    """The end of a secret that no config names."""
    path = f"/api/v1/targets/{world.new_target()}/secrets/key"
    assert world.api("administrator").put(path, json={"value": "v"}).status_code == 201
    return Ask(path)
