"""`make demo-istio` and `make demo-consul` are what README promises, and leave nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from examples.meshes.__main__ import main
from tests.hub import ROOT
from tests.mesh.network import Network, ip
from tests.peers import envoy_binary, mesh_file

LIMIT = 300  # seconds, on the busiest machine
# What is printed, in this order.
STORY = [
    r"^1\. Start (Istio|Consul), from nothing$",
    r"requests go to .* at http://",
    r"\$ export WASMHUB_TOKEN=\$\(echo \S+ \| wasmhub token create demo --user admin\)$",
    r"pushed demo/add-header:2, \d+ bytes",
    r"\$ wasmhub targets create (mesh|dc1) --kind (istio|consul) ",
    r"\$ wasmhub deploy demo/add-header:1 --target (mesh|dc1) --as header --(namespace|service) ",
    r"ready: 1 of 1 (proxies|sidecars) run revision 1$",
    r"\$ curl -si http://\S+ .*\n    HTTP/1\.1 200 OK\n    x-filter: version 1$",
    r"ready: 1 of 1 (proxies|sidecars) run revision 2$",
    r"x-filter: version 2\n    \d+ requests so far, 0 failed; ",
    r"status +ready: ",
    r"\$ wasmhub undeploy header ",
    r"\$ curl -si http://\S+ .*\n    HTTP/1\.1 200 OK\n    no object of the hub's is left in ",
    r"^Nothing is left running now\.$",
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which the demo's temporary folders can be found again."""
    Network().remove()  # skips where there can be none
    envoy_binary()
    mesh_file("istio", "pilot-discovery")
    mesh_file("consul", "consul")
    return {**os.environ, "TMPDIR": str(tmp_path), "KEEP": ""}


@pytest.mark.parametrize("mesh", ["istio", "consul"])
def test_a_demo_goes_as_described(mesh: str, environment: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(_command(mesh), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)

    assert done.returncode == 0, done.stdout + done.stderr
    place = 0
    for line in STORY:
        found = re.compile(line, re.MULTILINE).search(done.stdout, place)
        assert found, f"{line!r} does not come after\n{done.stdout[:place][-500:]}\nbut\n{done.stdout[place:]}"
        place = found.end()
    _nothing_is_left(done.stdout, tmp_path)


def test_what_is_kept_ends_with_ctrl_c(environment: dict[str, str], tmp_path: Path) -> None:
    kept = {**environment, "KEEP": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        _command("consul"), cwd=ROOT, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        said = ""
        while "until you press Ctrl-C" not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        assert "wmesh" in ip("netns", "list")
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)

    assert demo.returncode == 130 and "nothing is left running" in errors and "Traceback" not in errors
    _nothing_is_left(said + rest, tmp_path)


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["demo", "istio"])
    assert main() == 1
    said = capsys.readouterr().err
    assert "only root on Linux can make these" in said and "sudo make demo-istio" in said


def _command(mesh: str) -> list[str]:
    return [sys.executable, "-m", "examples.meshes", mesh]


def _nothing_is_left(said: str, folder: Path) -> None:
    """Its temporary folders are gone, and so are the addresses of its proxies."""
    found = re.search(r"http://(10\.213\.\d+)\.\d+:\d+/", said)
    assert found
    assert f" {found[1]}." not in ip("-brief", "addr")
    assert not list(folder.glob("wasmhub-demo-*")) and not list(folder.glob("*/log"))
