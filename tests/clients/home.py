"""A folder that a client program lives in: its own sign-ins, settings and storage, nothing of the machine's user."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers import peer

SECONDS = 120  # a client that waits longer has met a registry that does not answer


class ClientFailed(Exception):
    """A client ended with an error; the text is what it printed."""


@dataclass(frozen=True)
class Home:
    folder: Path
    host: str  # the hub's host:port, as references begin with it
    docker_host: str = ""  # the address of the daemon that docker talks to

    def path(self, name: str) -> Path:
        return self.folder / name

    def environment(self) -> dict[str, str]:
        config = str(self.path("config"))
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "DOCKER_CONFIG": config,
            "DOCKER_BUILDKIT": "0",
            "DOCKER_HOST": self.docker_host,
            "REGISTRY_AUTH_FILE": f"{config}/auth.json",
            "REGCTL_CONFIG": f"{config}/regctl.json",
            "WKG_OCI_INSECURE": self.host,
        }

    def prepare(self) -> None:
        """The folder of settings, with the one file that some programs want to find, holding no sign-in."""
        self.path("config").mkdir(exist_ok=True)
        if not self.path("config/auth.json").exists():
            self.path("config/auth.json").write_text("{}")

    def run(self, program: str, *arguments: str | Path, stdin: str = "", **environment: str) -> bytes:
        """What the program prints; raises ClientFailed with all that it said when it ends with an error."""
        self.prepare()
        done = subprocess.run(
            [program if os.path.isabs(program) else peer(program), *arguments],
            cwd=self.folder,
            env=self.environment() | environment,
            input=stdin.encode(),
            capture_output=True,
            timeout=SECONDS,
        )
        if done.returncode != 0:
            raise ClientFailed((done.stdout + done.stderr).decode(errors="replace"))
        return done.stdout
