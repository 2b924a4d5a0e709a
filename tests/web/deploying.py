"""A hub that deploys, for tests of its pages: a fleet with a real Envoy, a mesh that does not answer, and filters."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from auth.secrets import load_secret_key
from deploy.meshes.kinds import MESHES
from storage.events import SYSTEM
from storage.targets import create_target
from tests.auth.people import People
from tests.deploy.fleet import REFUSES, Fleet, header_filter
from tests.deploy.test_deployments_api import push_schema
from tests.hub import HubProcess

FILTER = "admin/add-header"
MESH = "shop-mesh"
NOWHERE = b'{"url": "https://127.0.0.1:9"}'  # an access; at the port of discard nobody listens
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "description": "The header's name.", "minLength": 1},
        "level": {"enum": ["debug", "info", "warn"], "description": "What is written to the log.", "default": "info"},
        "share": {"type": "number", "description": "Of requests that get it.", "minimum": 0, "maximum": 1},
        "most": {"type": "integer", "description": "Headers of one answer.", "minimum": 1},
        "quiet": {"type": "boolean", "description": "Whether it says nothing of itself."},
        "hosts": {"type": "array", "items": {"type": "string"}, "description": "Hosts whose answers get it."},
        "rules": {"type": "array", "items": {"type": "object"}, "description": "Exceptions."},
    },
}


def fill(fleet: Fleet) -> None:
    """Pushes the filter as 1.0.0 and 2.0.0, which Envoys take, and as 3.0.0, which they refuse, with its schema."""
    for tag, module in (
        ("1.0.0", header_filter("one")),
        ("2.0.0", header_filter("two")),
        ("3.0.0", header_filter("bad", REFUSES)),
    ):
        fleet.push("add-header", tag, module)
    for tag in ("1.0.0", "2.0.0", "3.0.0"):
        manifest = fleet.oci.ask("GET", f"/v2/{FILTER}/manifests/{tag}")
        subject = {
            "mediaType": manifest.headers["content-type"],
            "digest": manifest.headers["docker-content-digest"],
            "size": len(manifest.content),
        }
        push_schema(fleet, FILTER, json.dumps(SCHEMA).encode(), subject=subject)
    wait_until_read(fleet.http)


@contextmanager
def crewed_hub(data: Path, team: str, target: str) -> Iterator[HubProcess]:
    """A hub with a team and its fleet, which no proxy asks for, a filter that everybody may read, and a mesh.

    `reader` and `maintainer` are the team's, `stranger` is not.
    """
    with HubProcess(data) as hub:
        with Fleet(hub, "own-fleet") as fleet:
            fill(fleet)
            visible = fleet.http.patch(f"/api/v1/repositories/{FILTER}", json={"visibility": "internal"})
            assert visible.status_code == 200, visible.text
            database = hub.open_database()
            people = People(database)
            for name in ("reader", "maintainer", "stranger"):
                people.user(name)
            people.team(team, reader="reader", maintainer="maintainer")
            database.close()
            made = fleet.http.post("/api/v1/targets", json={"name": target, "namespace": team})
            assert made.status_code == 201, made.text
        add_mesh(hub)
        yield hub
        hub.check_log()


def wait_until_read(http: httpx.Client) -> None:
    """Waits until the reader has read every version of the filter."""
    end = time.monotonic() + 30
    while any(
        one["module"]["state"] == "pending"
        for one in http.get(f"/api/v1/repositories/{FILTER}/versions").json()["versions"]
    ):
        assert time.monotonic() < end
        time.sleep(0.1)


def add_mesh(hub: HubProcess, name: str = MESH, **settings: Any) -> None:
    """A mesh of the administrator's whose cluster does not answer; over the API one must, when it is made."""
    database = hub.open_database()
    rows = People(database).rows("SELECT id FROM namespaces WHERE name = 'admin'")
    create_target(
        database,
        SYSTEM,
        name,
        kind="istio",
        namespace_id=rows[0][0],
        settings=MESHES["istio"].read_settings({"hub": "https://hub.example.com", **settings}),
        sealed_access=load_secret_key(hub.told().get("WASMHUB_SECRET_KEY"), hub.data).seal(NOWHERE),
    )
    database.close()
