"""The engines of a scaled-out hub for tests: PostgreSQL, MinIO and Redis, real ones, one of each for a test session.

`WASMHUB_TEST_ENGINES` says on what every hub of the tests runs: `embedded` (SQLite and files, the default),
`postgresql` or `s3` (that one alone), `scaled` (all), or `replicas` (all, and the hub that tests share is two replicas
behind a load balancer). Hubs share the servers and nothing in them: each data folder
has a database, a bucket and a Redis number of its own, so that a hub that comes back finds what it had.
"""

import atexit
import fcntl
import hashlib
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TextIO

import boto3
import botocore.config
import httpx
import pytest

from tests.migrated import make_tables
from tests.peers import peer, postgresql_program

ALL = ("postgresql", "minio", "redis")
SETS = {"embedded": (), "postgresql": ("postgresql",), "s3": ("minio",), "scaled": ALL, "replicas": ALL}
PROGRAMS = {"minio": "minio", "redis": "redis-server"}
SECONDS_TO_START = 180  # on a machine that does much else
PASSWORD = "engines-of-tests"
USER = "wasmhub"
DATABASES = 4096  # of Redis


def chosen() -> str:
    """The set of engines that this session's hubs run on."""
    name = os.environ.get("WASMHUB_TEST_ENGINES") or "embedded"
    if name not in SETS:
        raise ValueError(f"WASMHUB_TEST_ENGINES={name} is no set of engines; they are {', '.join(SETS)}")
    return name


def has_bucket() -> bool:
    """Whether this session's hubs keep bytes in a bucket, where tests see no files."""
    return "minio" in SETS[chosen()]


class Server:
    """A server in a process of its own, in a folder that goes with it; it dies with the tests, however they end."""

    def __init__(self, prefix: str, owner: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{prefix}-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._owner = owner if owner and os.geteuid() == 0 else ""
        if self._owner:
            found = pwd.getpwnam(self._owner)
            os.chown(self.folder, found.pw_uid, found.pw_gid)

    def command(self, *words: str | Path, mortal: bool = False) -> list[str]:
        """The command as the server's owner; a mortal one ends with the thread that starts it."""
        owner = ["--reuid", self._owner, "--regid", self._owner, "--init-groups"] if self._owner else []
        death = ["--pdeathsig", "KILL"] if mortal else []
        return [*([str(peer("setpriv")), *owner, *death, "--"] if owner or death else []), *map(str, words)]

    def launch(self, words: Iterable[str | Path], answers: Callable[[], bool], **environment: str) -> None:
        """Starts the server and waits until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*words, mortal=True), env={**os.environ, **environment}, stdout=log, stderr=log, cwd="/"
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a server did not start:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "log").read_text(errors="replace")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends the server by a signal; its folder stays, so that it can be started again."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
            self.process.wait(timeout=60)

    def remove(self) -> None:
        """Ends the server at once and takes its folder away."""
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSQL(Server):
    """A PostgreSQL that keeps what it acknowledged (fsync is on); it refuses to be root's, so it is `postgres`'s."""

    def __init__(self) -> None:
        super().__init__("postgresql", "postgres")
        self._made: set[str] = set()
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        initdb = [postgresql_program("initdb"), "-D", self.folder / "data", "-U", USER, f"--pwfile={secret}"]
        words = [*initdb, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run(self.command(*words), cwd="/", check=True, capture_output=True)

    def start(self) -> None:
        """Starts it; after an end it comes back with what it had."""
        # A killed one's children hold its memory for a moment, and a new one would not start beside them.
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": ""}
        options |= {"max_connections": 300, "shared_buffers": "64MB", "fsync": "on"}
        flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self.launch([postgresql_program("postgres"), "-D", self.folder / "data", *flags], self._answers)

    def stop(self) -> None:
        """Stops it in order: connections are cut, nothing is lost."""
        self.end(signal.SIGINT)

    def remove(self) -> None:
        """Ends it with its children, which outlive a kill, and takes its folder away.

        In order it would first bring to the disk what is thrown away: a minute and a half, of hundreds of databases.
        """
        self.end(signal.SIGQUIT)
        super().remove()

    def url(self, name: str, *, tables: bool = False) -> str:
        """The address of the database of that name; a new one is made from nothing, or with the hub's empty tables."""
        url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"
        if name not in self._made:
            self._made.add(name)
            like = "template0"
            if tables:
                like = "migrated"
                if like not in self._made:
                    make_tables(self.url(like))
            self.ask(f'CREATE DATABASE "{name}" TEMPLATE {like}')
        return url

    def ask(self, sql: str, database: str = "postgres") -> str:
        """What psql prints for one statement, without ornament."""
        words = [postgresql_program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, database]
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": USER, "PGPASSWORD": PASSWORD}
        command = [str(word) for word in words]
        return subprocess.run(command, env=place, check=True, capture_output=True, text=True).stdout

    def _answers(self) -> bool:
        words = [str(postgresql_program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words, check=False).returncode == 0


class MinIO(Server):
    """A MinIO on one disk."""

    def __init__(self) -> None:
        super().__init__("minio")
        self._made: set[str] = set()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it; after an end it comes back with what it had."""
        console = f"127.0.0.1:{free_port()}"
        words = [peer("minio"), "server", "--address", f"127.0.0.1:{self.port}", "--console-address", console]
        user = {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD, "MINIO_BROWSER": "off"}
        user |= {"MINIO_UPDATE": "off", "HOME": str(self.folder)}
        self.launch([*words, self.folder / "data"], self._answers, **user)

    def settings(self, bucket: str) -> dict[str, str]:
        """What a hub is told of its bucket, which is made if it is new."""
        if bucket not in self._made:
            self._made.add(bucket)
            client = boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                region_name="us-east-1",
                aws_access_key_id=USER,
                aws_secret_access_key=PASSWORD,
                config=botocore.config.Config(s3={"addressing_style": "path"}),
            )
            client.create_bucket(Bucket=bucket)
            client.close()
        keys = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD}
        return {"WASMHUB_BLOBS": f"s3://{bucket}/copies", "WASMHUB_S3_ENDPOINT": self.endpoint, **keys}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.endpoint}/minio/health/ready", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class Redis(Server):
    """A Redis that keeps nothing."""

    def __init__(self) -> None:
        super().__init__("redis")
        self._numbers: dict[str, int] = {}
        self._next = itertools.count()

    def start(self) -> None:
        """Starts it, empty."""
        words = [peer("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder]
        self.launch([*words, "--save", "", "--appendonly", "no", "--databases", str(DATABASES)], self._answers)

    def url(self, name: str) -> str:
        """The address of the database of that name."""
        number = self._numbers.setdefault(name, next(self._next))
        return f"redis://127.0.0.1:{self.port}/{number}"

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


class Engines:
    """Those servers of a set that were asked for; hubs get their settings here."""

    def __init__(self, names: Iterable[str]) -> None:
        self.postgresql = PostgreSQL() if "postgresql" in names else None
        self.minio = MinIO() if "minio" in names else None
        self.redis = Redis() if "redis" in names else None

    def start(self) -> "Engines":
        """Starts them."""
        for server in (self.postgresql, self.minio, self.redis):
            if server is not None:
                server.start()
        return self

    def remove(self) -> None:
        """Ends them and removes what they kept."""
        for server in (self.postgresql, self.minio, self.redis):
            if server is not None:
                server.remove()

    def settings(self, data: Path, *, tables: bool = False) -> dict[str, str]:
        """What the hub of that data folder is told; nothing with the embedded engines.

        With `tables` its database has them already if it is new, so that its first start does not wait for them.
        """
        name = f"hub-{hashlib.sha256(str(data.absolute()).encode()).hexdigest()[:16]}"
        found = {}
        if self.postgresql is not None:
            # With a database that other replicas may share, the key to what it seals is told, not made.
            url = self.postgresql.url(name, tables=tables)
            found = {"WASMHUB_DATABASE_URL": url, "WASMHUB_SECRET_KEY": f"the key of {name}"}
        if self.minio is not None:
            found |= self.minio.settings(name)
        if self.redis is not None:
            found |= {"WASMHUB_REDIS_URL": self.redis.url(name)}
        return found


@cache
def engines(name: str) -> Engines:
    """The servers of that set for the rest of the session; a server that is not there skips the test by name."""
    missing = what_is_missing(name)
    if missing:
        pytest.skip(missing)
    made = Engines(SETS[name])
    atexit.register(made.remove)
    return made.start()


def what_is_missing(name: str) -> str | None:
    """What this machine lacks for that set of engines, and the way to get it."""
    try:
        for needed in SETS[name]:
            postgresql_program("initdb") if needed == "postgresql" else peer(PROGRAMS[needed])
        peer("setpriv" if SETS[name] else "true")
        peer("nginx" if name == "replicas" else "true")
    except pytest.skip.Exception as absent:
        return str(absent)
    return None


def settings_of(data: Path, *, tables: bool = False) -> dict[str, str]:
    """What this session's engines tell the hub of that data folder; see `Engines.settings`."""
    return engines(chosen()).settings(data, tables=tables)


_ports: list[TextIO] = []  # locked files, whose names are this process's ports


def free_port() -> int:
    """A port for this process alone, so that a server of its own finds it free again after it was killed.

    It is none that the kernel gives out, be it to who binds port 0 or to who connects somewhere.
    """
    folder = Path("/tmp") / f"wasmhub-test-ports-{os.getuid()}"  # for the machine, whatever TMPDIR says
    folder.mkdir(exist_ok=True)
    while True:
        port = random.randrange(10_000, 32_000)
        file = (folder / str(port)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            file.close()
            continue
        _ports.append(file)
        return port
