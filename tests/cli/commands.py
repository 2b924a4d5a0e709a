"""Types `wasmhub` commands into a process of their own, and stands in for a proxy that polls the hub."""

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Self

import httpx

from tests import launcher
from tests.hub import WASMHUB, HubProcess
from tests.oci import Client
from tests.peers import built_filter

FILTER = "admin/cli-filter"
POLL = "/v3/discovery:extension_configs"
TYPE = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


class Commands:
    """What one person types at one hub."""

    def __init__(self, url: str = "", token: str = "", program: Sequence[str] = (str(WASMHUB),)) -> None:
        self.url = url
        self.token = token
        self.program = program

    def environment(self, **more: str) -> dict[str, str]:
        """The person's environment; an empty value leaves a variable out."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("WASMHUB_")}
        # Whoever runs the tests is signed in to nothing, and stays so.
        files = dict.fromkeys(("XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"), "/nowhere/at-all")
        given = {"WASMHUB_URL": self.url, "WASMHUB_TOKEN": self.token, "COLUMNS": "120", **files, **more}
        return own | {name: value for name, value in given.items() if value}

    def run(self, *arguments: str, stdin: str | bytes = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        given, environment = stdin if isinstance(stdin, bytes) else stdin.encode(), self.environment(**more)
        if self.program == (str(WASMHUB),):
            done = launcher.run(arguments, environment, stdin=given, timeout=100)
        else:
            words = [*self.program, *arguments]
            done = subprocess.run(words, input=given, capture_output=True, env=environment, timeout=100)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def text(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints, which must succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The same as JSON."""
        return json.loads(self.text(*arguments, "--output", "json", stdin=stdin))

    def refused(self, *arguments: str, code: int = 1, stdin: str | bytes = "", **more: str) -> str:
        """The one sentence with which a command fails."""
        done = self.run(*arguments, stdin=stdin, **more)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.startswith("wasmhub: ") and done.stderr.count("\n") == 1, done.stderr
        return done.stderr.removeprefix("wasmhub: ").rstrip("\n")


def push_filters(hub: HubProcess) -> None:
    """Pushes the filter, as versions 1 and 2, and a module that no proxy can run."""
    client = Client(hub.url, "admin", hub.admin_password)
    for tag in ("1", "2"):
        client.push_filter(FILTER, tag, built_filter("add-header").read_bytes(), annotations={"version": tag})
    client.push_filter("admin/cli-unknown", "1", built_filter("unknown-import").read_bytes())
    client.close()


class Proxy:
    """Polls the first slots of a target as an Envoy does, and takes what it is given, or refuses it."""

    def __init__(self, url: str, target: str, key: str, *, takes: bool = True, slots: int = 2) -> None:
        self._url = url
        self._target = target
        self._headers = {"Authorization": f"Bearer {key}"}
        self._slots = slots
        self._versions: dict[int, str] = {}
        self._end = threading.Event()
        self._polled = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.takes = takes

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._polled.wait(20), "the hub does not answer polls"
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(20)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, trust_env=False, timeout=20) as http:
            while not self._end.wait(0.1):
                for slot in range(1, self._slots + 1):
                    self._poll(http, slot)
                self._polled.set()

    def _poll(self, http: httpx.Client, slot: int) -> None:
        node = {"id": "edge-1", "cluster": self._target, "user_agent_name": "envoy"}
        body = {"node": node, "resource_names": [f"{self._target}/slot-{slot}"], "type_url": TYPE}
        if slot in self._versions:
            body["version_info"] = self._versions[slot]
        answer = http.post(POLL, json=body)
        if answer.status_code == 304:
            return
        assert answer.status_code == 200, answer.text
        document = answer.json()
        empty = document["resources"][0]["typed_config"]["@type"].endswith("RBAC")
        if self.takes or empty:
            self._versions[slot] = document["version_info"]
