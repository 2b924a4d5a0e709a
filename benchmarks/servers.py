"""The servers that are compared: starting, stopping, and what a request to each must carry."""

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import processor_seconds

ROOT = Path(__file__).parent.parent
PASSWORD = "correct-horse-battery"
ACTIONS = "pull,push,delete"
ACCEPT = {"Accept": "application/vnd.oci.image.manifest.v1+json"}


@dataclass(frozen=True)
class Kind:
    """A server that can be started: its command for a port, its environment, and the headers that a request needs."""

    name: str
    command: Callable[[int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    needs_token: bool = False


class Server:
    """One running server. As a context manager it is up within the block, on `core` or, with None, on any."""

    def __init__(self, kind: Kind, core: int | None, log: Path) -> None:
        self.name = kind.name
        self.port = _free_port()
        self._kind = kind
        self._core = core
        self._log = log

    def __enter__(self) -> "Server":
        pinned = [] if self._core is None else ["taskset", "-c", str(self._core)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WASMHUB_")}
        environment |= self._kind.environment
        if self._core is not None:
            environment["GOMAXPROCS"] = "1"
        if self._kind.needs_token:
            environment["WASMHUB_LISTEN"] = f"127.0.0.1:{self.port}"
        with self._log.open("ab") as out:
            command = [*pinned, *self._kind.command(self.port)]
            self._process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=ROOT)
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The number of its main process."""
        return self._process.pid

    def processor(self) -> float:
        """Seconds of processor time that it has used, all its processes together."""
        return processor_seconds(self.pid)

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def headers(self, repository: str) -> dict[str, str]:
        """What a request on the repository must carry: for the hub a token, got just now and good for 300 s."""
        if not self._kind.needs_token:
            return dict(ACCEPT)
        connection = self.connect()
        basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        path = f"/token?service=bench&scope=repository:{repository}:{ACTIONS}"
        connection.request("GET", path, headers={"Authorization": f"Basic {basic}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} gave no token: {answer.status} {body[:200]!r}")
        return {**ACCEPT, "Authorization": f"Bearer {json.loads(body)['token']}"}

    def _wait(self) -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not answer")


def hub(folder: Path, name: str = "hub", **settings: str) -> Kind:
    """This project's hub, as `make run` starts it, with its data in the folder or where the settings say."""
    program = Path(sys.executable).parent / "wasmhub"
    settings = {"WASMHUB_DATA": str(folder), "WASMHUB_ADMIN_PASSWORD": PASSWORD, **settings}
    return Kind(name, lambda port: [str(program), "serve"], settings, needs_token=True)


def distribution(folder: Path, program: Path, storage: Mapping[str, object] | None = None) -> Kind:
    """The other registry: no auth, its memory cache on, logs and traces off; its data in the folder or in `storage`."""
    folder.mkdir(parents=True, exist_ok=True)

    def command(port: int) -> list[str]:
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                **(storage or {"filesystem": {"rootdirectory": str(folder / "data")}}),
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": f"127.0.0.1:{port}"},
        }
        written = folder / "settings.yml"
        written.write_text(json.dumps(settings))  # JSON is YAML
        return [str(program), "serve", str(written)]

    return Kind("distribution", command, {"OTEL_TRACES_EXPORTER": "none"})


def ceiling(folder: Path, answers: Mapping[str, int]) -> Kind:
    """Fixed answers on the hub's HTTP server; `answers` says how long each path's is, in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "answers.json"
    written.write_text(json.dumps(dict(answers)))
    return Kind("ceiling", lambda port: [sys.executable, "-m", "benchmarks.ceiling", str(port), str(written)])


def find_distribution() -> Path | None:
    """The other registry's binary, if `.ci/peers bench` has built it."""
    command = ["bash", str(ROOT / ".ci" / "peers"), "path", "registry"]
    found = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    return found if found.is_file() else None


def missing_tools(*, scaled: bool) -> list[str]:
    """Programs that the benchmark needs and that are not here; `scaled` asks for those of the scaled-out set too."""
    missing = [name for name in ("wrk", "hey", "taskset") if shutil.which(name) is None]
    if scaled:
        minio = subprocess.run(["bash", str(ROOT / ".ci" / "peers"), "path", "minio"], check=True, capture_output=True)
        missing += [] if Path(minio.stdout.decode().strip()).is_file() else ["minio"]
        missing += [] if shutil.which("redis-server") else ["redis-server"]
        missing += (
            [] if list(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or shutil.which("initdb") else ["initdb"]
        )
    return missing


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
