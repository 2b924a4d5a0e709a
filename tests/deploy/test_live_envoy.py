"""The whole way with a real hub and a real Envoy: load, change under load, refusal, undeploy, restarts, keys."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.fleet import (
    REFUSES,
    REFUSES_THREE_BYTES,
    Envoy,
    Fleet,
    Load,
    Upstream,
    ask,
    header_filter,
    until,
)
from tests.hub import HubProcess


@pytest.fixture
def envoy(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> Iterator[Envoy]:
    with Envoy(fleet, tmp_path / "envoy", upstream, key=fleet.new_key()["key"]) as running:
        yield running


def test_a_new_version_is_swapped_in_under_load(fleet: Fleet, envoy: Envoy) -> None:
    one = fleet.push("swap", "1.0.0", header_filter("one"))
    two = fleet.push("swap", "2.0.0", header_filter("two"))
    assert envoy.marks() == []

    fleet.deploy("marks", one)
    envoy.shows("one")
    assert fleet.becomes("marks", "ready")["message"] == "1 of 1 proxies run revision 1"
    with Load(envoy.listening()) as load:
        for reference, mark in ((two, "two"), (one, "one"), (two, "two")):
            fleet.deploy("marks", reference)
            envoy.shows(mark)

    assert load.failed == []
    assert load.seen == {("one",), ("two",)}
    assert fleet.becomes("marks", "ready")["revision"]["number"] == 4


def test_filters_are_added_moved_and_removed_under_load(fleet: Fleet, envoy: Envoy) -> None:
    names = ("a", "b", "c")
    for name in names:
        fleet.push(f"order-{name}", "1", header_filter(name))
    fleet.deploy("a", "admin/order-a:1")
    envoy.shows("a")

    # A response passes the filters in reverse, so the last one's mark comes first.
    with Load(envoy.listening()) as load:
        fleet.deploy("b", "admin/order-b:1")
        envoy.shows("b", "a")
        until(lambda: ("b", "a") in load.seen, "the load sees the second filter too")
        assert load.seen == {("a",), ("b", "a")}
        load.look_anew()
        assert fleet.put("a", order=3).status_code == 200
        envoy.shows("a", "b")
        assert load.seen <= {("b", "a"), ("a", "b", "a"), ("a", "b")}, "no filter is absent while two are swapped"
        fleet.deploy("c", "admin/order-c:1", order=1)
        envoy.shows("a", "b", "c")
        load.look_anew()
        fleet.undeploy("b")
        envoy.shows("a", "c")
        assert load.seen <= {("a", "b", "c"), ("a", "c")}

    assert load.failed == []
    assert envoy.process is not None and envoy.process.poll() is None
    assert fleet.becomes("a", "ready")["status"] == fleet.becomes("c", "ready")["status"]


def test_a_refusal_by_envoy_is_seen_and_harms_no_traffic(fleet: Fleet, envoy: Envoy) -> None:
    good = fleet.push("refused", "1", header_filter("good"))
    bad = fleet.push("refused", "2", header_filter("bad", REFUSES))
    fleet.deploy("marks", good)
    envoy.shows("good")

    with Load(envoy.listening()) as load:
        fleet.deploy("marks", bad)
        stalled = fleet.becomes("marks", "stalled")
        assert "node edge-1 refused revision 2" in stalled["message"]
        assert stalled["nodes"][0] | {"proxy": "", "seen_at": ""} == {
            "name": "edge-1",
            "proxy": "",
            "state": "refused",
            "revision": 1,
            "why": "",
            "seen_at": "",
        }
        rejected = envoy.counter("update_rejected")
        until(lambda: envoy.counter("update_attempt") > 60, "more polls")
        assert envoy.counter("update_rejected") == rejected == 1, "what was refused is not served again"
        assert fleet.deployment("marks")["status"] == "stalled"
        back = fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={})
        assert back.json()["revision"]["reference"] == good
        fleet.becomes("marks", "ready")

    assert load.failed == [] and load.seen == {("good",)}


def test_a_config_that_the_filter_refuses_leaves_the_old_one(fleet: Fleet, envoy: Envoy) -> None:
    reference = fleet.push("picky", "1", header_filter("picky", REFUSES_THREE_BYTES))
    fleet.deploy("marks", reference, config="{}")
    envoy.shows("picky")

    fleet.deploy("marks", reference, config="bad")
    fleet.becomes("marks", "stalled")
    assert envoy.marks() == ["picky"]
    fleet.deploy("marks", reference, config="better")
    fleet.becomes("marks", "ready")
    fleet.deploy("marks", reference, config="bad")
    fleet.becomes("marks", "stalled")
    assert envoy.marks() == ["picky"]


def test_undeployed_filters_are_gone(fleet: Fleet, envoy: Envoy) -> None:
    fleet.push("gone", "1", header_filter("gone"))
    fleet.deploy("marks", "admin/gone:1")
    envoy.shows("gone")
    path = fleet.deployment("marks")["module_path"]
    assert fleet.oci.http.get(path).content == header_filter("gone")

    with Load(envoy.listening()) as load:
        fleet.undeploy("marks")
        envoy.shows()

    assert load.failed == []
    assert fleet.oci.http.get(path).status_code == 404
    assert fleet.http.delete(fleet.path).status_code == 204


def test_two_envoys_of_a_fleet_are_told_apart(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> None:
    fleet.push("pair", "1", header_filter("one"))
    fleet.push("pair", "2", header_filter("two"))
    key = fleet.new_key()["key"]
    with (
        Envoy(fleet, tmp_path / "first", upstream, key=key, node="first") as first,
        Envoy(fleet, tmp_path / "second", upstream, key=key, node="second") as second,
    ):
        for tag, mark in (("1", "one"), ("2", "two")):
            fleet.deploy("marks", f"admin/pair:{tag}")
            first.shows(mark)
            second.shows(mark)
        ready = fleet.becomes("marks", "ready")

    assert [(node["name"], node["state"]) for node in ready["nodes"]] == [("first", "runs"), ("second", "runs")]
    assert ready["nodes"][0]["proxy"] == "envoy 1.40.0"


def test_without_a_key_an_envoy_gets_nothing(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> None:
    fleet.push("locked", "1", header_filter("locked"))
    fleet.deploy("marks", "admin/locked:1")
    with Fleet(fleet.hub, f"other-{secrets.token_hex(4)}") as stranger:
        other = stranger.new_key()["key"]
    for key in ("wrong", other):
        with Envoy(fleet, tmp_path / key, upstream, key=key) as envoy:
            until(lambda: envoy.counter("update_failure") >= 8, "every slot is refused")
            assert envoy.address is None

    assert fleet.deployment("marks")["status"] == "waiting"


def test_the_key_is_rotated_without_a_gap(fleet: Fleet, tmp_path: Path, upstream: Upstream) -> None:
    for tag in ("1", "2", "3"):
        fleet.push("rotated", tag, header_filter(f"v{tag}"))
    old, new = fleet.new_key(), fleet.new_key()
    assert fleet.http.post(f"{fleet.path}/keys").status_code == 409
    with (
        Envoy(fleet, tmp_path / "old", upstream, key=old["key"], node="old") as first,
        Envoy(fleet, tmp_path / "new", upstream, key=new["key"], node="new") as second,
    ):
        fleet.deploy("marks", "admin/rotated:1")
        first.shows("v1")
        second.shows("v1")
        assert fleet.http.delete(f"{fleet.path}/keys/{old['id']}").status_code == 204
        fleet.deploy("marks", "admin/rotated:2")
        second.shows("v2")
        before = first.counter("update_failure")
        until(lambda: first.counter("update_failure") > before + 8, "the old key is refused")
        assert first.marks() == ["v1"], "what runs stays"


def test_the_hub_restarts_while_envoy_runs(tmp_path: Path, upstream: Upstream) -> None:
    with HubProcess(tmp_path / "data") as hub, Fleet(hub, "edge") as fleet:
        fleet.push("kept", "1", header_filter("one"))
        fleet.push("kept", "2", header_filter("bad", REFUSES))
        fleet.push("kept", "3", header_filter("three"))
        with Envoy(fleet, tmp_path / "envoy", upstream, key=fleet.new_key()["key"]) as envoy:
            fleet.deploy("marks", "admin/kept:1")
            envoy.shows("one")
            with Load(envoy.listening()) as load:
                hub.kill()
                before = envoy.counter("update_failure")
                until(lambda: envoy.counter("update_failure") > before, "Envoy misses the hub")
                hub.start()
                fleet.deploy("marks", "admin/kept:2")
                fleet.becomes("marks", "stalled")
                rejected = envoy.counter("update_rejected")
                hub.restart()
                polled = envoy.counter("update_attempt")
                until(lambda: envoy.counter("update_attempt") > polled + 16, "more polls")
                assert fleet.deployment("marks")["status"] == "stalled"
                assert envoy.counter("update_rejected") == rejected == 1
                assert load.seen == {("one",)}
                fleet.deploy("marks", "admin/kept:3")
                envoy.shows("three")
                fleet.becomes("marks", "ready")
            assert load.failed == []


@pytest.mark.parametrize("without_hub", ["wait", "open"])
def test_envoy_restarts_while_the_hub_is_down(tmp_path: Path, upstream: Upstream, without_hub: str) -> None:
    with HubProcess(tmp_path / "data") as hub, Fleet(hub, "edge", without_hub=without_hub) as fleet:
        fleet.push("back", "1", header_filter("one"))
        fleet.push("back", "2", header_filter("bad", REFUSES))
        with Envoy(fleet, tmp_path / "envoy", upstream, key=fleet.new_key()["key"]) as envoy:
            fleet.deploy("marks", "admin/back:1")
            envoy.shows("one")
            fleet.deploy("marks", "admin/back:2")
            fleet.becomes("marks", "stalled")
            envoy.stop()
            hub.stop()

            envoy.start()
            until(lambda: envoy.counter("update_failure") >= 8, "Envoy misses the hub")
            if without_hub == "wait":
                assert envoy.address is None
            else:
                assert ask(envoy.listening()) == (200, [])
            hub.start()

            envoy.shows("one")
            assert fleet.deployment("marks")["status"] == "stalled", "what it refused before is not tried again"
            assert envoy.counter("update_rejected") == 0
