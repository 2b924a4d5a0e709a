"""Real Envoys over gRPC whose key goes or is wrong, whose hub asks for certificates, and whose hub is away."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import write_certificate
from tests.deploy.fleet import Envoy, Fleet, Load, Upstream, header_filter, until, xds_of
from tests.engines import free_port
from tests.hub import HubProcess

pytestmark = pytest.mark.once("that changes reach streams on each set is in test_live_envoy_grpc")
TRANSPORTS = ["grpc", "delta-grpc", "ads", "delta-ads"]
REMOVED = "the fleet's key was removed; give this Envoy another"
NO_FLEET = "this key is of no fleet: it was removed or never was one; give this Envoy a key of its target"


def says(envoy: Envoy, words: str) -> None:
    """Waits until Envoy's log has these words."""
    until(lambda: words in envoy.log(), words)


def test_keys_that_are_removed_or_wrong_end_streams_and_leave_filters(tmp_path: Path, upstream: Upstream) -> None:
    with HubProcess(tmp_path / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub, ExitStack() as stack:
        fleets = {name: stack.enter_context(Fleet(hub, name, transport=name)) for name in ("grpc", "delta-ads")}
        envoys = {}
        for tag in ("one", "two"):
            fleets["grpc"].push("kept", tag, header_filter(tag))
        keys = {name: fleet.new_key() for name, fleet in fleets.items()}
        for name, fleet in fleets.items():
            fleet.deploy("marks", "admin/kept:one")
            envoy = Envoy(fleet, tmp_path / name, upstream, key=keys[name]["key"], xds=xds_of(hub))
            envoys[name] = stack.enter_context(envoy)
        stranger = Envoy(fleets["delta-ads"], tmp_path / "stranger", upstream, key="whf_wrong", xds=xds_of(hub))
        lost = Envoy(fleets["delta-ads"], tmp_path / "lost", upstream, key=keys["grpc"]["key"], xds=xds_of(hub))
        for envoy in envoys.values():
            envoy.shows("one")
        loads = [stack.enter_context(Load(envoy.listening(), connections=1)) for envoy in envoys.values()]

        for name, fleet in fleets.items():
            assert fleet.http.delete(f"{fleet.path}/keys/{keys[name]['id']}").status_code == 204
        with stranger, lost:
            for envoy in envoys.values():
                says(envoy, REMOVED)
                says(envoy, NO_FLEET)
            says(stranger, NO_FLEET)
            says(lost, NO_FLEET)
            assert stranger.address is None and lost.address is None
            for fleet in fleets.values():
                fleet.deploy("marks", "admin/kept:two")
                assert fleet.deployment("marks")["status"] == "progressing"
        assert f"the proxy at 127.0.0.1 is not served: {REMOVED}" in hub.log()
        # They try again and again; the log says it once.
        assert hub.log().count(f"the proxy at 127.0.0.1 is not served: {NO_FLEET}") == 1
        for load in loads:
            assert load.failed == [] and load.seen == {("one",)}
        hub.check_log()


def test_the_hub_proves_itself_and_asks_proxies_to(tmp_path: Path, upstream: Upstream) -> None:
    for name in ("hub", "proxies", "nobody"):
        (tmp_path / name).mkdir()
        write_certificate(tmp_path / name, "127.0.0.1")
    settings = {
        "WASMHUB_XDS_LISTEN": "127.0.0.1:0",
        "WASMHUB_TLS_CERT": str(tmp_path / "hub" / "cert.pem"),
        "WASMHUB_TLS_KEY": str(tmp_path / "hub" / "key.pem"),
    }

    def asked(folder: str = "", authorities: str = "hub") -> dict[str, str]:
        own = {"cert_file": "cert", "cert_key_file": "key"} if folder else {}
        own = {field: str(tmp_path / folder / f"{name}.pem") for field, name in own.items()}
        return {"ca_file": str(tmp_path / authorities / "cert.pem"), **own}

    with HubProcess(tmp_path / "data", **settings) as hub, Fleet(hub, "edge", transport="delta-ads") as fleet:
        key = fleet.new_key()["key"]
        fleet.deploy("marks", fleet.push("secured", "1", header_filter("secured")))
        with (
            Envoy(fleet, tmp_path / "a", upstream, key=key, node="a", xds=xds_of(hub), **asked()) as good,
            Envoy(fleet, tmp_path / "b", upstream, key=key, node="b", xds=xds_of(hub), **asked("", "nobody")) as wary,
        ):
            good.shows("secured")
            until(lambda: hub_count(wary, "ssl.fail_verify_error"), "it does not believe the hub")
            assert wary.address is None
        hub.check_log()
        hub.stop()
        hub.settings["WASMHUB_XDS_CLIENT_CA"] = str(tmp_path / "proxies" / "cert.pem")
        hub.start()
        with (
            Envoy(fleet, tmp_path / "c", upstream, key=key, node="c", xds=xds_of(hub), **asked("proxies")) as known,
            Envoy(fleet, tmp_path / "d", upstream, key=key, node="d", xds=xds_of(hub), **asked("nobody")) as unknown,
            Envoy(
                fleet, tmp_path / "e", upstream, key="whf_wrong", node="e", xds=xds_of(hub), **asked("proxies")
            ) as keyless,
        ):
            known.shows("secured")
            until(lambda: hub_count(unknown, "upstream_cx_connect_fail") > 1, "the hub does not know it")
            says(keyless, NO_FLEET)
            assert unknown.address is None and keyless.address is None
        hub.check_log()


def test_the_hub_goes_and_comes_while_envoys_are_connected(tmp_path: Path, upstream: Upstream) -> None:
    port = free_port()
    with HubProcess(tmp_path / "data", WASMHUB_XDS_LISTEN=f"127.0.0.1:{port}") as hub, ExitStack() as stack:
        fleets = {name: stack.enter_context(Fleet(hub, name, transport=name)) for name in TRANSPORTS}
        for tag in ("one", "two"):
            fleets["grpc"].push("kept", tag, header_filter(tag))
        envoys = {}
        for name, fleet in fleets.items():
            fleet.deploy("marks", "admin/kept:one")
            envoy = Envoy(fleet, tmp_path / name, upstream, key=fleet.new_key()["key"], xds=xds_of(hub))
            envoys[name] = stack.enter_context(envoy)
        for fleet in fleets.values():
            fleet.becomes("marks", "ready")
        loads = [stack.enter_context(Load(envoy.listening(), connections=1)) for envoy in envoys.values()]
        reloads = {name: envoy.counter("config_reload") for name, envoy in envoys.items()}
        before = {name: nodes_of(fleet) for name, fleet in fleets.items()}

        hub.stop()
        hub.start()
        for envoy in envoys.values():
            until(lambda envoy=envoy: connected(envoy), "the stream is open again")
        assert {name: nodes_of(fleet) for name, fleet in fleets.items()} == before
        assert {name: envoy.counter("config_reload") for name, envoy in envoys.items()} == reloads
        for load in loads:
            assert load.failed == [] and load.seen == {("one",)}

        hub.kill()
        hub.start()
        for envoy in envoys.values():  # they wait longer each time that nobody is there, up to 30 s
            until(lambda envoy=envoy: connected(envoy), "the stream is open again", 60)
        for name, fleet in fleets.items():
            fleet.deploy("marks", "admin/kept:two")
            envoys[name].shows("two")
            fleet.becomes("marks", "ready")
        assert all(load.failed == [] for load in loads)
        hub.check_log()


def nodes_of(fleet: Fleet) -> list[object]:
    """What the hub knows that runs in each slot of each node."""
    found = fleet.http.get(f"{fleet.path}/nodes").json()["nodes"]
    return [(node["name"], node["slots"]) for node in found]


def hub_count(envoy: Envoy, name: str) -> int:
    """A counter of its connections to the hub."""
    text = envoy.admin(f"/stats?filter=^cluster.127.*[.]{name}$").text
    return sum(int(line.rpartition(" ")[2]) for line in text.splitlines())


def connected(envoy: Envoy) -> bool:
    """Whether it has a stream to the hub."""
    return "control_plane.connected_state: 1" in envoy.admin("/stats?filter=control_plane.connected_state").text
