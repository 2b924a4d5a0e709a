"""A real Envoy with the bootstrap that the hub wrote, an upstream behind it, filters to deploy, and load."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import wasmtime

from tests.hub import HubProcess
from tests.oci import Client
from tests.peers import envoy_binary

_FILTER = """(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 16) "x-filter") (data (i32.const 64) "{value}")
  (func (export "proxy_abi_version_{abi}"))
  (func (export "malloc") (param i32) (result i32) (local i32)
    (local.set 1 (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get 0)))
    (local.get 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) {configure})
  (func (export "proxy_on_response_headers") (param i32 i32{end}) (result i32)
    (drop (call $add (i32.const 2) (i32.const 16) (i32.const 8) (i32.const 64) (i32.const {length})))
    (i32.const 0)))"""
TAKES = "(i32.const 1)"
REFUSES = "(i32.const 0)"
_SERVES = re.compile(r"proxies are served over gRPC on ([^\s\"]+)")
REFUSES_THREE_BYTES = "(i32.ne (local.get 1) (i32.const 3))"


def header_filter(value: str, configure: str = TAKES, abi: str = "0_2_1") -> bytes:
    """A module that adds `x-filter: value` to each response; `configure` is what it answers to its config."""
    end = "" if abi == "0_1_0" else " i32"  # whether the headers are all; the oldest ABI does not say
    text = _FILTER.format(value=value, length=len(value), configure=configure, abi=abi, end=end)
    return bytes(wasmtime.wat2wasm(text))


def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """What the condition comes to once it is true."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def xds_of(hub: HubProcess) -> str:
    """The URL of the hub's port for gRPC."""
    found = until(lambda: _SERVES.search(hub.log()), "the hub serves gRPC")
    return f"{hub.url.partition(':')[0]}://{found[1]}"


class Upstream:
    """A server behind the proxy that answers every GET with 200."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops it."""
        self._server.shutdown()
        self._server.server_close()


class Fleet:
    """A target of a running hub, as its administrator drives it over the JSON API."""

    def __init__(self, hub: HubProcess, name: str, **settings: Any) -> None:
        self.hub = hub
        self.name = name
        self.path = f"/api/v1/targets/{name}"
        account = ("admin", hub.admin_password)
        self.oci = Client(hub.url, *account, verify=hub.trust)
        self.http = httpx.Client(base_url=hub.url, auth=account, timeout=30, trust_env=False, verify=hub.trust)
        made = self.http.post("/api/v1/targets", json={"name": name, "settings": {"refresh_seconds": 0.2, **settings}})
        assert made.status_code == 201, made.text

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.oci.close()

    def new_key(self) -> dict[str, Any]:
        """A new key: its `id`, and the `key` itself."""
        made = self.http.post(f"{self.path}/keys")
        assert made.status_code == 201, made.text
        key: dict[str, Any] = made.json()
        return key

    def push(self, repository: str, tag: str, module: bytes) -> str:
        """Pushes a module, returns the reference."""
        self.oci.push_filter(f"admin/{repository}", tag, module)
        return f"admin/{repository}:{tag}"

    def put(self, name: str, **body: Any) -> httpx.Response:
        """Deploys or changes."""
        return self.http.put(f"{self.path}/deployments/{name}", json=body)

    def deploy(self, name: str, reference: str, **body: Any) -> dict[str, Any]:
        """Deploys or changes, which must be taken."""
        made = self.put(name, reference=reference, **body)
        assert made.status_code in (200, 201), made.text
        return dict(made.json())

    def undeploy(self, name: str) -> None:
        """Undeploys."""
        gone = self.http.delete(f"{self.path}/deployments/{name}")
        assert gone.status_code == 204, gone.text

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment with revisions and nodes."""
        answer = self.http.get(f"{self.path}/deployments/{name}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def becomes(self, name: str, status: str, seconds: float = 20) -> dict[str, Any]:
        """The deployment once it has that status."""

        def look() -> dict[str, Any] | None:
            found = self.deployment(name)
            return found if found["status"] == status else None

        found: dict[str, Any] = until(look, f"{name} is {status}", seconds)
        return found

    def bootstrap(self, **query: str) -> dict[str, Any]:
        """The bootstrap that the hub writes."""
        answer = self.http.get(f"{self.path}/bootstrap", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


class Envoy:
    """An Envoy process with the fleet's bootstrap. `with` it; start and stop as often as wanted."""

    def __init__(
        self, fleet: Fleet, folder: Path, upstream: Upstream, *, key: str, node: str = "edge-1", **query: str
    ) -> None:
        self._folder = folder
        self._key = key
        self._node = node
        folder.mkdir(exist_ok=True)
        query = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "upstream": upstream.address, **query}
        config = fleet.bootstrap(**query)
        (folder / "bootstrap.json").write_text(json.dumps(config))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Envoy":
        """Starts it; it may not listen yet."""
        (self._folder / "admin").unlink(missing_ok=True)
        command: list[str | Path] = [envoy_binary(), "-c", "bootstrap.json", "--service-node", self._node]
        command += ["--concurrency", "1", "--use-dynamic-base-id", "--admin-address-path", "admin"]
        environment = {**os.environ, "WASMHUB_FLEET_KEY": self._key}
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self._folder, env=environment, stdout=log, stderr=log)
        return self

    def stop(self) -> None:
        """Ends it."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)

    def __enter__(self) -> "Envoy":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """What it has written."""
        return (self._folder / "log").read_text(errors="replace")

    def admin(self, path: str) -> httpx.Response:
        """Asks its admin listener."""
        assert self.process is not None and self.process.poll() is None, self.log()[-3000:]
        written = self._folder / "admin"
        address = until(lambda: written.exists() and written.read_text(), "Envoy's admin address")
        return httpx.get(f"http://{address}{path}", trust_env=False)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens for traffic; None while it waits for its filters."""
        if self.admin("/ready").status_code != 200:
            return None
        listeners = self.admin("/listeners?format=json").json().get("listener_statuses", [])
        sockets = [one["local_address"]["socket_address"] for one in listeners]
        return (sockets[0]["address"], sockets[0]["port_value"]) if sockets and sockets[0]["port_value"] else None

    def counter(self, name: str) -> int:
        """The sum of a counter of config discovery over all slots."""
        text = self.admin(f"/stats?filter=extension_config_discovery.*{name}").text
        return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if line)

    def marks(self) -> list[str]:
        """The values of x-filter in a response, in order."""
        status, marks = ask(self.listening())
        assert status == 200, f"{status}\n{self.log()[-3000:]}"
        return marks

    def listening(self) -> tuple[str, int]:
        """Its address, once it listens."""
        found: tuple[str, int] = until(lambda: self.address, "Envoy listens")
        return found

    def shows(self, *marks: str, seconds: float = 20) -> None:
        """Waits until responses carry these marks."""
        until(lambda: ask(self.listening()) == (200, list(marks)), f"marks {marks}", seconds)


def ask(address: tuple[str, int]) -> tuple[int, list[str]]:
    """Status and marks of one request."""
    connection = HTTPConnection(*address, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get_all("x-filter", [])
    finally:
        connection.close()


class Load:
    """Requests without a pause on several connections that are kept, as long as the `with` block lasts.

    `failed` are those that were not answered with 200.
    """

    def __init__(self, address: tuple[str, int], connections: int = 4) -> None:
        self.sent = 0
        self.failed: list[str] = []
        self._seen: dict[tuple[str, ...], None] = {}
        self._address = address
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        until(lambda: self.sent > 20, "load runs")
        return self

    def __exit__(self, *_: object) -> None:
        until(lambda: self.sent > 100, "enough requests were sent")
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def look_anew(self) -> None:
        """Forgets what was seen, also by requests that are under way."""
        self._seen = {}

    @property
    def seen(self) -> set[tuple[str, ...]]:
        """All lists of marks that came."""
        return set(self._seen.copy())

    def _run(self) -> None:
        connection = HTTPConnection(*self._address, timeout=10)
        while not self._end.is_set():
            seen = self._seen
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                seen[tuple(answer.headers.get_all("x-filter", []))] = None
                if answer.status != 200:
                    self.failed.append(str(answer.status))
            except (OSError, HTTPException) as error:
                self.failed.append(repr(error))
                connection.close()
            self.sent += 1
            time.sleep(0.002)
        connection.close()
