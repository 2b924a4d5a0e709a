"""Addresses for pods on this machine: a bridge of this session's own, and a network namespace for each pod.

Only root may make them. Sessions at once each hold a number of their own and with it the range 10.213.NUMBER.0/24; what
one that was killed has left is removed by the next that gets its number.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import IO

import pytest

from tests.peers import peer

NUMBERS = range(64)
LOCKS = Path("/run")  # one for the machine, as its links are, whatever a session's TMPDIR
HOSTS = Path("/etc/netns")  # where `ip netns exec` finds a namespace's own hosts and resolv.conf

# Makes a root directory as a container has one; what is mounted after `ip netns exec` nobody else sees.
_ROOT = """
set -e
mount -t tmpfs none /mnt
for place in /*; do
  if [ -L "$place" ]; then cp -P "$place" /mnt
  elif [ -d "$place" ] && [ "$place" != /mnt ]; then mkdir "/mnt$place" && mount --rbind "$place" "/mnt$place"; fi
done
mount -t tmpfs none /mnt/var/lib
mkdir -p /mnt/var/lib/istio/data
while [ "$1" != -- ]; do
  mkdir "/mnt/${1%%=*}" && mount --bind "${1#*=}" "/mnt/${1%%=*}"
  shift
done
shift
exec chroot /mnt "$@"
"""


class Network:
    """A bridge with this machine on it, at `address`. Names that are `called` are known in every namespace."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("pods are network namespaces here, and only root may make them")
        peer("ip")
        self._number, self._lock = _claim()
        self._bridge = f"wmesh{self._number}"
        self._names: dict[str, str] = {"localhost": "127.0.0.1"}
        self._made: list[Namespace] = []
        self.address = self._at(1)

    def start(self) -> "Network":
        """Makes the bridge."""
        self._remove_what_is_there()
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self.address}/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")
        return self

    def remove(self) -> None:
        """Ends all processes in its namespaces, and takes them and the bridge away."""
        self._remove_what_is_there()
        self._lock.close()

    def call(self, name: str, address: str) -> None:
        """Lets that name mean that address in all namespaces, those that are there included."""
        self._names[name] = address
        for namespace in self._made:
            namespace.know(self._names)

    def namespace(self) -> "Namespace":
        """A new network namespace with the next address."""
        made = Namespace(self._bridge, len(self._made) + 2, self._at(len(self._made) + 2), self.address)
        made.know(self._names)
        self._made.append(made)
        return made

    def _at(self, host: int) -> str:
        return f"10.213.{self._number}.{host}"

    def _remove_what_is_there(self) -> None:
        for name in ip("netns", "list").split():
            if name.startswith(f"{self._bridge}-"):
                for process in ip("netns", "pids", name).split():
                    _kill(int(process))
                ip("netns", "del", name)
                shutil.rmtree(HOSTS / name, ignore_errors=True)
        for link in Path("/sys/class/net").iterdir():  # a namespace lives on while a connection of it fades
            if link.name == self._bridge or link.name.startswith(f"{self._bridge}-"):
                with contextlib.suppress(RuntimeError):  # it may have gone by itself this moment
                    ip("link", "del", link.name)


class Namespace:
    """A network namespace with one address on the bridge, and hosts of its own."""

    def __init__(self, bridge: str, number: int, address: str, gateway: str) -> None:
        self.name = f"{bridge}-{number}"
        self.address = address
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", self.name, "master", bridge, "up")
        ip("-n", self.name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "route", "add", "default", "via", gateway)
        folder = HOSTS / self.name
        folder.mkdir(parents=True)
        (folder / "hosts").touch()
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # no name of a test is asked of others

    def know(self, names: dict[str, str]) -> None:
        """Lets its processes know these names and no others."""
        lines = "".join(f"{address} {name}\n" for name, address in names.items())
        (HOSTS / self.name / "hosts").write_text(lines)

    def command(self, *words: str | Path, folder: Path, **places: Path) -> list[str]:
        """The command as it runs in the namespace, in that folder.

        It sees this machine's files, an empty /var/lib of its own, and at `/name` the folder that `name` is given as.
        """
        told = [f"{name}={path}" for name, path in places.items()]
        inside = [str(peer("ip")), "netns", "exec", self.name, "sh", "-c", _ROOT, "sh", *told, "--"]
        return [*inside, "env", "-C", str(folder), *map(str, words)]


def ip(*words: str) -> str:
    """What `ip` prints; RuntimeError says why it refused."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _claim() -> tuple[int, IO[bytes]]:
    """The first number that no other session holds, and the lock that holds it as long as this process lives."""
    for number in NUMBERS:
        lock = (LOCKS / f"wasmhub-mesh-{number}.lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return number, lock
    raise RuntimeError("all ranges of addresses for pods are in use")


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
