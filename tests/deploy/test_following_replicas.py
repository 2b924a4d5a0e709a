"""Following on two replicas: each move is one revision, whichever is pushed to, and whoever is killed in the middle."""

import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.balancer import Replicas, wait_until_ready
from tests.deploy.fleet import Fleet, header_filter, until
from tests.hub import HubProcess
from tests.oci import Client, digest_of, filter_manifest

pytestmark = pytest.mark.once("it chooses its engines itself")
MOVES = 12
_ROUNDS = itertools.count()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    made = Replicas(tmp_path_factory.mktemp("following") / "hub", WASMHUB_DRAIN_SECONDS="0")
    with made as running:
        yield running
        for hub in running.hubs:
            hub.check_log()


@pytest.fixture
def fleet(replicas: Replicas) -> Iterator[Fleet]:
    """A fleet whose deployment follows a tag."""
    with Fleet(replicas, f"edge-{secrets.token_hex(4)}", slots=4) as made:
        made.deploy("marks", made.push(made.name, "1", header_filter("first")), follow="tag")
        yield made


def module() -> bytes:
    """A module like no other."""
    return header_filter(f"mark {next(_ROUNDS)}")


def digests(fleet: Fleet) -> list[str]:
    """What its revisions run, newest first."""
    found: list[dict[str, Any]] = fleet.deployment("marks")["revisions"]
    return [one["digest"] for one in found]


def follows(fleet: Fleet, content: bytes) -> None:
    """Waits until that is what runs."""
    wanted = digest_of(filter_manifest(content))
    until(lambda: digests(fleet)[0] == wanted, "it is followed", 30)


def test_each_move_is_one_revision_whichever_replica_is_pushed_to(replicas: Replicas, fleet: Fleet) -> None:
    clients = [Client(hub.url, "admin", replicas.admin_password) for hub in replicas.hubs]
    moved = []
    for number in range(MOVES):
        content = module()
        clients[number % 2].push_filter(f"admin/{fleet.name}", "1", content)
        began = time.monotonic()
        follows(fleet, content)
        moved.append(time.monotonic() - began)
    for client in clients:
        client.close()
    found = digests(fleet)
    assert len(found) == MOVES + 1 == len(set(found)), "one revision a move, and none twice"
    assert sorted(moved)[len(moved) // 2] < 3, moved


def test_many_pushes_at_once_end_with_the_last_and_none_comes_twice(replicas: Replicas, fleet: Fleet) -> None:
    name = f"admin/{fleet.name}"

    def push(number: int) -> None:
        client = Client(replicas.hubs[number % 2].url, "admin", replicas.admin_password)
        for _ in range(5):
            client.push_filter(name, "1", module())
        client.close()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tag = fleet.oci.ask("HEAD", f"/v2/{name}/manifests/1").headers["docker-content-digest"]
    until(lambda: digests(fleet)[0] == tag, "the last one runs", 30)
    time.sleep(3)
    found = digests(fleet)
    assert found[0] == tag and all(one != other for one, other in itertools.pairwise(found))
    assert fleet.deployment("marks")["follow"]["state"] == "follows"


def test_a_replica_that_is_killed_loses_no_move_and_doubles_none(replicas: Replicas, fleet: Fleet) -> None:
    pauses = (0.0, 0.02, 0.04, 0.08, 0.15, 0.3)
    for number, pause in enumerate(pauses):
        victim, other = replicas.hubs[number % 2], replicas.hubs[1 - number % 2]
        content = module()
        client = Client(victim.url, "admin", replicas.admin_password)
        client.push_filter(f"admin/{fleet.name}", "1", content)
        client.close()
        wait_until_read(other, fleet.name)  # what a killed replica was reading, nobody else reads for a minute
        time.sleep(pause)
        victim.kill()
        follows(fleet, content)  # by the other, within a lease
        victim.start()
        wait_until_ready(victim)
    found = digests(fleet)
    assert len(found) == len(pauses) + 1 == len(set(found))
    actions = [one["action"] for one in fleet.http.get(f"/api/v1/events?subject={fleet.name}/marks").json()["events"]]
    assert actions == ["deployment.follow"] * len(pauses) + ["deployment.deploy"]


def wait_until_read(hub: HubProcess, name: str) -> None:
    """Waits until its version 1 was read."""
    account = ("admin", hub.admin_password)
    with httpx.Client(base_url=hub.url, auth=account, trust_env=False, verify=hub.trust) as http:
        path = f"/api/v1/repositories/admin/{name}/versions"
        until(lambda: http.get(path).json()["versions"][0]["module"]["state"] == "module", "it was read")
