"""Real Envoys that cannot reach the hub, and run what `wasmhub targets files` puts where they read."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Commands
from tests.deploy.fleet import REFUSES, Envoy, Fleet, Load, Upstream, header_filter, until
from tests.hub import HubProcess

pytestmark = pytest.mark.once("files hold what the API says, which is asked on each set")


@pytest.fixture
def fleet(hub: HubProcess) -> Iterator[Fleet]:
    with Fleet(hub, f"apart-{secrets.token_hex(4)}", transport="file") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "filters"


class Bastion:
    """A machine that can reach the hub, and has nothing but the fleet's key."""

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.key = fleet.new_key()
        self._commands = Commands(fleet.hub.url)
        self._typed = ["targets", "files", fleet.name, "--into", str(folder), "--by", "bastion"]

    def fetch(self) -> str:
        """Writes the files; what it said."""
        done = self._commands.run(*self._typed, WASMHUB_FLEET_KEY=self.key["key"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def watch(self) -> "subprocess.Popen[str]":
        """Writes them again and again."""
        return subprocess.Popen(
            [*self._commands.program, *self._typed, "--watch", "0.2"],
            env=self._commands.environment(WASMHUB_FLEET_KEY=self.key["key"]),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )


@pytest.fixture
def bastion(fleet: Fleet, folder: Path) -> Bastion:
    return Bastion(fleet, folder)


def test_files_bring_change_and_take_away_filters(
    fleet: Fleet, bastion: Bastion, folder: Path, tmp_path: Path, upstream: Upstream
) -> None:
    one = fleet.push("filed", "1", header_filter("one"))
    two = fleet.push("filed", "2", header_filter("two"))
    bad = fleet.push("filed", "3", header_filter("bad", REFUSES))
    fleet.deploy("marks", one)
    waiting = fleet.deployment("marks")
    assert (waiting["status"], waiting["message"]) == ("waiting", f"nobody has fetched the files of {fleet.name} yet")
    assert "slot-1.json: marks" in bastion.fetch()
    assert bastion.fetch() == "nothing has changed\n"

    with Envoy(fleet, tmp_path / "envoy", upstream, key="", files=str(folder)) as envoy:
        envoy.shows("one")
        with Load(envoy.listening()) as load:
            fleet.deploy("marks", two)
            late = fleet.deployment("marks")
            assert (late["status"], late["message"]) == ("waiting", "bastion did not fetch revision 2 yet")
            bastion.fetch()
            envoy.shows("two")
            standing = fleet.deployment("marks")
            assert standing["status"] == "applied-not-observed"
            assert standing["message"] == "bastion fetched revision 2; what proxies make of it is not seen"
            assert [(node["name"], node["state"]) for node in standing["nodes"]] == [("bastion", "fetched")]
            assert len([*(folder / "modules").iterdir()]) == 1, "what no file names is gone"

            load.look_anew()
            fleet.deploy("marks", bad)
            bastion.fetch()
            until(lambda: envoy.counter("update_rejected") == 1, "Envoy refuses it")
            assert fleet.deployment("marks")["status"] == "applied-not-observed", "the hub cannot know better"
            assert load.seen == {("two",)}
            assert fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={}).status_code == 200
            bastion.fetch()
            until(lambda: envoy.counter("config_reload") >= 3, "it is taken")
            assert envoy.marks() == ["two"]
            fleet.undeploy("marks")
            bastion.fetch()
            envoy.shows()
        assert load.failed == []
        assert [*(folder / "modules").iterdir()] == []


def test_a_filter_that_moves_is_in_its_new_place_first(
    fleet: Fleet, bastion: Bastion, folder: Path, tmp_path: Path, upstream: Upstream
) -> None:
    for name in ("a", "b", "c"):
        fleet.push(f"filed-{name}", "1", header_filter(name))
    fleet.deploy("a", "admin/filed-a:1", order=10)
    fleet.deploy("b", "admin/filed-b:1", order=20)
    bastion.fetch()
    with Envoy(fleet, tmp_path / "envoy", upstream, key="", files=str(folder)) as envoy:
        envoy.shows("b", "a")
        with Load(envoy.listening()) as load:
            fleet.deploy("c", "admin/filed-c:1", order=5)
            said = bastion.fetch()
            envoy.shows("b", "a", "c")
            assert fleet.put("a", order=30).status_code == 200
            said += bastion.fetch()
            envoy.shows("a", "b", "c")
        assert load.failed == []
        assert all("a" in marks and "b" in marks for marks in load.seen), said


def test_a_watch_outlives_the_hub_and_ends_with_its_key(tmp_path: Path, folder: Path, upstream: Upstream) -> None:
    with HubProcess(tmp_path / "data") as hub, Fleet(hub, "apart", transport="file") as fleet:
        bastion = Bastion(fleet, folder)
        fleet.deploy("marks", fleet.push("watched", "1", header_filter("one")))
        two = fleet.push("watched", "2", header_filter("two"))
        with bastion.watch() as watch:
            try:
                until(lambda: (folder / "slot-8.json").is_file(), "the files are there")
                with Envoy(fleet, tmp_path / "envoy", upstream, key="", files=str(folder)) as envoy:
                    envoy.shows("one")
                    hub.stop()
                    envoy.stop()
                    envoy.start()
                    envoy.shows("one")
                    hub.start()
                    token = fleet.http.post("/api/v1/user/tokens", json={"name": "me"}).json()["token"]
                    typed = Commands(hub.url, token).text(
                        "deploy", two, "--target", "apart", "--as", "marks", "--wait", "20"
                    )
                    assert typed.endswith("bastion fetched revision 2; what proxies make of it is not seen\n")
                    envoy.shows("two")
                    assert fleet.http.delete(f"{fleet.path}/keys/{bastion.key['id']}").status_code == 204
                    _, said = watch.communicate(timeout=20)
                    assert watch.returncode == 1
                    assert "the files stay as they are" in said and "this key is of no fleet" in said
                    assert envoy.marks() == ["two"]
            finally:
                watch.kill()


def test_only_who_may_deploy_or_has_the_key_gets_files(fleet: Fleet, hub: HubProcess, folder: Path) -> None:
    path, query = f"{fleet.path}/files", {"folder": "/etc/envoy", "by": "me"}
    with Fleet(hub, f"rest-{secrets.token_hex(4)}") as other:
        keys = {name: one.new_key()["key"] for name, one in (("own", fleet), ("other", other))}

        def ask(path: str, key: str, **more: str) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {key}"}
            answer = fleet.http.get(path, params={**query, **more}, headers=headers, auth=None)
            return answer.status_code, answer.text

        assert ask(path, keys["own"])[0] == 200
        assert ask(path, keys["own"], folder="here")[0] == ask(path, keys["own"], folder="/a/../b")[0] == 400
        assert ask(path, keys["own"], by="\x00")[0] == 400
        assert ask(path, "whf_wrong")[0] == 401
        assert ask(path, keys["other"])[0] == 404
        status, said = ask(f"{other.path}/files", keys["other"])
        assert status == 409 and "read no files" in said
    missing = fleet.http.get(f"{fleet.path}/bootstrap")
    assert missing.status_code == 400 and "the field files is missing" in missing.text
    mine = fleet.http.get(path, params=query)
    assert mine.status_code == 200 and len(mine.json()["files"]) == 8
    assert "whf_" not in json.dumps(fleet.bootstrap(files="/etc/envoy")), "its bootstrap needs no key"
