"""`make demo` is what the README promises: each step, the numbers, and nothing left behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.hub import ROOT
from tests.peers import envoy_binary

COMMAND = [sys.executable, "-m", "examples.demo"]
LIMIT = 240  # seconds, on the busiest machine; it takes a quarter of a minute on a quiet one
# What is printed, in this order.
STORY = [
    r"1\. Start a hub",
    r"wasmhub serve$",
    r"the hub listens on http://127\.0\.0\.1:\d+$",
    r"\$ export WASMHUB_TOKEN=\$\(echo \S+ \| wasmhub token create demo --user admin\)$",
    r"2\. Push two versions",
    r'\$ curl -s -X POST .*--data-binary @add-header-1\.wasm "\$WASMHUB_URL/v2/demo/add-header/blobs/uploads/\?digest=',
    r'\$ curl -s -X PUT .*"\$WASMHUB_URL/v2/demo/add-header/manifests/1"$',
    r"pushed demo/add-header:1, \d+ bytes",
    r"pushed demo/add-header:2, \d+ bytes",
    r"3\. Start an Envoy with the bootstrap",
    r"\$ wasmhub targets create edge ",
    r"\$ wasmhub targets bootstrap edge .* > bootstrap\.json$",
    r"\$ WASMHUB_FLEET_KEY=\.\.\. envoy -c bootstrap\.json",
    r"\$ curl -si http://127\.0\.0\.1:\d+/ .*\n    HTTP/1\.1 200 OK\n\n4\.",
    r"\$ wasmhub deploy demo/add-header:1 --target edge --as header$",
    r"ready: 1 of 1 proxies run revision 1$",
    r"\$ curl -si http://127\.0\.0\.1:\d+/ .*\n    HTTP/1\.1 200 OK\n    x-filter: version 1$",
    r"\$ wasmhub deploy demo/add-header:2 --target edge --as header$",
    r"ready: 1 of 1 proxies run revision 2$",
    r"x-filter: version 2\n    \d+ requests so far, 0 failed; answered: \d+ by version 1, \d+ by version 2$",
    r"The same Envoy, process \d+",
    r"6\. \(a\)",
    r"wasmhub: an Envoy would not run demo/unknown-import:1: .*env\.proxy_read_the_future",
    r"\(exit code 1\)",
    r"edge +1 +header +demo/add-header:2 +2 +ready ",
    r"x-filter: version 2\n    \d+ requests so far, 0 failed",
    r"7\. \(b\)",
    r"wasmhub: edge/header stalled: node edge-1 refused revision 3",
    r"\(exit code 1\)",
    r"Unable to create Wasm plugin",
    r"edge +1 +header +demo/refuses-config:1 +3 +stalled ",
    r"x-filter: version 2\n    \d+ requests so far, 0 failed",
    r"8\. Look",
    r"Done in \d+ s\.$",
    r"The page to open: http://127\.0\.0\.1:\d+/r/demo/add-header$",
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which the demo's temporary folder can be found again, with a stray setting that must not matter."""
    return {**os.environ, "TMPDIR": str(tmp_path), "WASMHUB_LISTEN": "256.0.0.1:1", "KEEP": ""}


def test_the_demo_goes_as_described(environment: dict[str, str], tmp_path: Path) -> None:
    envoy_binary()

    done = subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)

    assert done.returncode == 0, done.stdout + done.stderr
    place = 0
    for line in STORY:
        found = re.compile(line, re.MULTILINE).search(done.stdout, place)
        assert found, f"{line!r} does not come after\n{done.stdout[:place][-500:]}\nbut\n{done.stdout[place:]}"
        place = found.end()
    assert "Nothing is left running now" in done.stdout[place:]
    _nothing_is_left(done.stdout, tmp_path)


def test_ctrl_c_leaves_nothing_behind(environment: dict[str, str], tmp_path: Path) -> None:
    envoy_binary()

    with _started(environment) as demo:
        assert demo.stdout is not None
        said = ""
        while "Envoy runs as process" not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
        demo.send_signal(signal.SIGINT)
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)

    assert demo.returncode == 130 and "nothing is left running" in errors and "Traceback" not in errors
    _nothing_is_left(said + rest, tmp_path)


def test_what_is_kept_runs_on_until_it_is_ended_as_told(environment: dict[str, str], tmp_path: Path) -> None:
    envoy_binary()

    done = subprocess.run(
        COMMAND, cwd=ROOT, env={**environment, "KEEP": "1"}, capture_output=True, text=True, timeout=LIMIT
    )

    assert done.returncode == 0, done.stdout + done.stderr
    end = re.search(r"^    (kill [\d ]+; rm -r \S+)$", done.stdout, re.MULTILINE)
    assert end, done.stdout
    try:
        page = httpx.get(_page(done.stdout), trust_env=False)
        assert page.status_code == 200 and "demo/add-header" in page.text
        proxied = re.findall(r"curl -si (\S+)", done.stdout)[-1]
        assert httpx.get(proxied, trust_env=False).headers["x-filter"] == "version 2"
    finally:
        subprocess.run(end[1], shell=True, check=True)
    _nothing_is_left(done.stdout, tmp_path)


def test_a_platform_without_envoy_is_told_so(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "envoy").mkdir()
    (tmp_path / "envoy" / "__init__.py").write_text('"""A package that brings no program."""\n')

    done = subprocess.run(
        COMMAND, cwd=ROOT, env={**environment, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 1 and "the demo needs a real Envoy, and there is none here" in done.stderr
    assert "Traceback" not in done.stderr and [path.name for path in tmp_path.iterdir()] == ["envoy"]


@contextlib.contextmanager
def _started(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                demo.terminate()


def _page(said: str) -> str:
    found = re.search(r"The page to open: (\S+)", said)
    assert found
    return found[1]


def _nothing_is_left(said: str, folder: Path) -> None:
    """The demo's folder is gone, its Envoy has ended, and its hub answers no more."""
    envoy = re.search(r"Envoy runs as process (\d+)", said)
    hub = re.search(r"the hub listens on (\S+)", said)
    assert envoy and hub
    end = time.monotonic() + 30
    while time.monotonic() < end and (_runs(int(envoy[1])) or _answers(hub[1])):
        time.sleep(0.1)
    assert not _runs(int(envoy[1])) and not _answers(hub[1])
    assert not list(folder.glob("wasmhub-demo-*"))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that nobody waits for any more lies in the table of processes until the system takes it off.
    state = Path(f"/proc/{process}/stat")
    with contextlib.suppress(OSError):
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    return not Path("/proc/self").exists()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
