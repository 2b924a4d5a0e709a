"""A real hub in a process of its own, for tests, the demo's checks and the conformance tool."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from storage.database import Database
from tests.engines import SECONDS_TO_START, settings_of
from tests.launcher import Launched, launcher
from tests.migrated import put_file
from wasmhub.settings import load_settings

ROOT = Path(__file__).parent.parent
WASMHUB = Path(sys.executable).parent / "wasmhub"
ADMIN_PASSWORD = "correct-horse-battery"
OURS = ("WASMHUB_", "AWS_")
LISTENS = re.compile(r"the hub listens on (https?)://([^\s\"]+)")


class HubProcess:
    """`wasmhub serve` on a free port with a data folder of its own, on the engines of this session.

    `start` waits until it answers. Settings that are given win, so that a replica can be told what another hub has.
    With `at_once` hubs start out of a launcher, but for those that are told more than settings of theirs, and a new
    one finds the tables of its database made.
    """

    at_once = False

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.settings = settings
        self.admin_password = ADMIN_PASSWORD
        self.process: subprocess.Popen[bytes] | Launched | None = None
        self.host = ""
        self.url = ""
        self._listen = "127.0.0.1:0"

    def start(self, *, wrapper: tuple[str, ...] = ()) -> "HubProcess":
        """Starts it; after a stop it comes back on the same port. `wrapper` is a command to run it under."""
        self.data.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environment |= self.told()
        self._log = Path(tempfile.mkstemp(prefix="hub-", suffix=".log", dir=self.data.parent)[1])
        with self._log.open("wb") as out:
            if self.at_once and not wrapper and all(name.startswith(OURS) for name in self.settings):
                if "WASMHUB_DATABASE_URL" not in environment and not (self.data / "hub.db").exists():
                    put_file(self.data / "hub.db")
                with Path(os.devnull).open("rb") as nothing:
                    files = (nothing.fileno(), out.fileno(), out.fileno())
                    self.process = launcher().start(["serve"], environment, ROOT, files)
            else:
                command = [*wrapper, str(WASMHUB), "serve"]
                self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=ROOT)
        try:
            found = self._wait_for(LISTENS)
            self.host = found[2]
            self.url = f"{found[1]}://{found[2]}"
            self._listen = self.host
            self._wait_until_it_answers()
        except RuntimeError:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def told(self) -> dict[str, str]:
        """The settings that it is started with."""
        own = {"WASMHUB_DATA": str(self.data), "WASMHUB_LISTEN": self._listen, "WASMHUB_DRAIN_SECONDS": "0"}
        if self.admin_password:  # else it makes one up
            own["WASMHUB_ADMIN_PASSWORD"] = self.admin_password
        return {**own, **settings_of(self.data, tables=self.at_once), **self.settings}

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """How its clients check who it is, where it was given a certificate: that one is to be its."""
        certificate = self.settings.get("WASMHUB_TLS_CERT")
        return ssl.create_default_context(cafile=certificate) if certificate else True

    def open_database(self) -> Database:
        """A way into its database, from beside it; whoever asks closes it."""
        told = {name: value for name, value in self.told().items() if name.startswith("WASMHUB_")}
        return Database(load_settings(told).database)

    def log(self) -> str:
        """What it has written since its last start."""
        return self._log.read_text(errors="replace")

    def check_log(self) -> None:
        """Raises AssertionError with the last words of each line of its log that tells of a mistake of its own."""
        mistakes = [line[-700:] for line in self.log().splitlines() if "Traceback" in line]
        if mistakes:
            raise AssertionError("the hub's log: " + " // ".join(mistakes[:3]))

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops it and starts it again on the same data and port."""
        self.stop()
        self.start()

    def __enter__(self) -> "HubProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=90)

    def _wait_for(self, pattern: re.Pattern[str], seconds: float = SECONDS_TO_START) -> re.Match[str]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = pattern.search(self.log())
            if found:
                return found
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"the hub did not start:\n{self.log()}")
            time.sleep(0.02)
        raise RuntimeError(f"the hub did not start within {seconds} s:\n{self.log()}")

    def _wait_until_it_answers(self) -> None:
        host, _, port = self.host.rpartition(":")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the hub does not answer")
