"""Redis carries what may be lost: with it replicas count sign-ins together, and without it nothing is wrong."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from storage.attempts import Pace, SharedAttempts
from storage.shared import Shared, read_redis_url
from tests.engines import Redis
from tests.faults.asking import readyz, seconds_until, sign_in, timed
from tests.faults.figures import LONG, Figures
from tests.faults.proxy import Faults, Proxy
from tests.hub import HubProcess
from tests.oci import Client

SECRET = "the key of two replicas"
WITHOUT = "the hub works without it"
ONCE = 3.0  # seconds that a request may take whatever Redis does: its quarter of a second, and the work itself
BACK = 12.0  # seconds after which the hub uses a Redis again that is back


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of the test's own, which it may break."""
    server = Redis()
    server.start()
    yield server
    server.remove()


@contextmanager
def hub_with(data: Path, url: str) -> Iterator[HubProcess]:
    """A hub that is told of this Redis and believes X-Forwarded-For."""
    told = {"WASMHUB_REDIS_URL": url, "WASMHUB_SECRET_KEY": SECRET, "WASMHUB_TRUSTED_PROXIES": "127.0.0.1"}
    with HubProcess(data, **told) as hub:
        yield hub
        hub.check_log()


def say(redis: Redis, *words: str) -> str:
    """What redis-cli answers."""
    command = ["redis-cli", "-p", str(redis.port), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def test_two_replicas_count_together(tmp_path: Path, redis: Redis) -> None:
    with hub_with(tmp_path / "a", redis.url("x")) as one, hub_with(tmp_path / "b", redis.url("x")) as two:
        assert sign_in(one, "admin", one.admin_password, "10.0.0.1").status_code == 200
        began = time.monotonic()
        answers = [sign_in((one, two)[n % 2], "admin", "wrong-password", f"10.0.1.{n}") for n in range(20)]
        refilled = int((time.monotonic() - began) / 15) + 1
        wrong = [answer.status_code for answer in answers].count(401)
        assert 10 <= wrong <= 10 + refilled
        assert {answer.status_code for answer in answers} == {401, 429}
        # Neither lets anybody guess on, and a right guess is refused as well; the owner's address is known to both.
        for hub in (one, two):
            refused = sign_in(hub, "admin", hub.admin_password, "10.0.2.1")
            assert refused.status_code == 429
            assert 1 <= int(refused.headers["retry-after"]) <= 15
            assert sign_in(hub, "admin", hub.admin_password, "10.0.0.1").status_code == 200
        assert readyz(one) == (200, {"database": "ok", "blobs": "ok", "redis": "ok"})
        check_nothing_is_told(redis)


def check_nothing_is_told(redis: Redis) -> None:
    """What lies in Redis goes away by itself and names nobody."""
    keys = say(redis, "KEYS", "*").split()
    assert len(keys) >= 3
    assert all(re.fullmatch(r"\{wasmhub\}[0-9a-f]{32}", key) for key in keys)
    assert all(say(redis, "GET", key).strip() == "" for key in keys)
    assert all(int(say(redis, "PTTL", key)) != -1 for key in keys)


def test_a_hub_of_its_own_counts_alone(tmp_path: Path, redis: Redis) -> None:
    told = {"WASMHUB_REDIS_URL": redis.url("x"), "WASMHUB_SECRET_KEY": "another hub's own key"}
    with hub_with(tmp_path / "a", redis.url("x")) as one, HubProcess(tmp_path / "b", **told) as other:
        for number in range(12):
            sign_in(one, "admin", "wrong-password", f"10.0.1.{number}")
        assert sign_in(one, "admin", one.admin_password).status_code == 429
        assert sign_in(other, "admin", other.admin_password).status_code == 200


def test_two_replicas_count_those_without_an_account_together(redis: Redis) -> None:
    async def ask() -> list[float | None]:
        hubs = [Shared(read_redis_url(redis.url("x")), SECRET.encode()) for _ in range(2)]
        one, two = (SharedAttempts(shared, Pace(1, 1.0), Pace(3, 60.0)) for shared in hubs)
        waits = [await each.attempt_by("10.0.0.0") for each in (one, two, one, two, one)]
        waits.append(await one.attempt_by("10.0.0.1"))
        await two.forget("10.0.0.0")
        waits += [await each.attempt_by("10.0.0.0") for each in (one, two)]
        await two.forget("10.0.0.9")
        for shared in hubs:
            await shared.close()
        return waits

    waits = asyncio.run(ask())
    assert [wait is not None and wait > 50 for wait in waits] == [False, False, False, True, True, False, False, True]
    assert None not in waits
    keys = say(redis, "KEYS", "*").split()
    assert len(keys) == 2 and all(int(say(redis, "PTTL", key)) > 0 for key in keys)


def test_what_was_pushed_wakes_other_replicas(tmp_path: Path, redis: Redis) -> None:
    with hub_with(tmp_path / "a", redis.url("x")) as hub:
        seconds_until(lambda: "{wasmhub}" in say(redis, "PUBSUB", "CHANNELS"), 10)
        channel = say(redis, "PUBSUB", "CHANNELS").strip()
        assert re.fullmatch(r"\{wasmhub\}[0-9a-f]{32}", channel)
        words = ["redis-cli", "-p", str(redis.port), "SUBSCRIBE", channel]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as ear:
            assert ear.stdout is not None
            assert [ear.stdout.readline().strip() for _ in range(3)] == ["subscribe", channel, "1"]
            client = Client(hub.url, "admin", hub.admin_password)
            client.push_image("admin/woken", "v1", b"layer")
            client.close()
            assert ear.stdout.readline().strip() == "message"
            ear.terminate()


def test_a_wake_up_is_heard(tmp_path: Path, redis: Redis) -> None:
    with hub_with(tmp_path / "a", redis.url("x")) as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        client.push_image("admin/woken", "v1", b"layer")
        client.close()
        channel = say(redis, "PUBSUB", "CHANNELS").strip()
        database = hub.open_database()

        def is_read() -> bool:
            with database.read() as session:
                return session.execute(text("SELECT count(*) FROM inspections WHERE state = 'pending'")).scalar() == 0

        for _ in range(4):  # the hub looks by itself every five seconds, which may come right now, but not each time
            seconds_until(is_read, 10)
            time.sleep(0.2)
            with database.write() as session:
                session.execute(text("UPDATE inspections SET state = 'pending'"))
            say(redis, "PUBLISH", channel, "1")
            assert seconds_until(is_read, 10) < 1.5
        database.close()


class Stranger:
    """A server that is no Redis: it answers everything with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """No longer."""
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._answer_all, args=(self._listener.accept()[0],), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while connection.recv(65536):
                connection.sendall(self._answer)


@dataclass(frozen=True)
class Stage:
    """A hub whose Redis lies behind a proxy."""

    hub: HubProcess
    redis: Redis
    proxy: Proxy


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all faults: each is over before the next."""
    redis = Redis()
    redis.start()
    data = tmp_path_factory.mktemp("stage") / "data"
    with Proxy("127.0.0.1", redis.port) as proxy, hub_with(data, f"redis://127.0.0.1:{proxy.port}") as hub:
        yield Stage(hub, redis, proxy)
    redis.remove()


@contextmanager
def killed(stage: Stage) -> Iterator[None]:
    stage.redis.end(signal.SIGKILL)
    try:
        yield
    finally:
        stage.redis.start()


@contextmanager
def frozen(stage: Stage) -> Iterator[None]:
    assert stage.redis.process is not None
    stage.redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        stage.redis.process.send_signal(signal.SIGCONT)


@contextmanager
def refusing(stage: Stage) -> Iterator[None]:
    stage.proxy.refuse()
    try:
        yield
    finally:
        stage.proxy.heal()


def behind(faults: Faults) -> Callable[[Stage], object]:
    @contextmanager
    def broken(stage: Stage) -> Iterator[None]:
        stage.proxy.faults = faults
        try:
            yield
        finally:
            stage.proxy.heal()

    return broken


def told(*words: str, then: tuple[str, ...]) -> Callable[[Stage], object]:
    @contextmanager
    def broken(stage: Stage) -> Iterator[None]:
        say(stage.redis, *words)
        stage.proxy.cut()  # who has signed in stays so
        try:
            yield
        finally:
            say(stage.redis, *then)

    return broken


def strange(answer: bytes) -> Callable[[Stage], object]:
    @contextmanager
    def broken(stage: Stage) -> Iterator[None]:
        stranger = Stranger(answer)
        stage.proxy.target = ("127.0.0.1", stranger.port)
        stage.proxy.cut()
        try:
            yield
        finally:
            stage.proxy.target = ("127.0.0.1", stage.redis.port)
            stranger.close()
            stage.proxy.cut()

    return broken


FAULTS = {
    "Redis killed": killed,
    "Redis frozen": frozen,
    "Redis refusing connections": refusing,
    "Redis taking a second for each piece": behind(Faults(delay=1.0)),
    "Redis saying nothing": behind(Faults(silent=True)),
    "Redis cut off after 3 bytes of an answer": behind(Faults(cut_answers_after=3)),
    "Redis asking for a password": told(
        "CONFIG", "SET", "requirepass", "word", then=("-a", "word", "CONFIG", "SET", "requirepass", "")
    ),
    "Redis full": told("CONFIG", "SET", "maxmemory", "1", then=("CONFIG", "SET", "maxmemory", "0")),
    "Redis being a web server": strange(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "Redis answering with wrong counters": strange(b"*2\r\n:999999999\r\n:7\r\n"),
    "Redis answering with errors": strange(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "Redis answering with bytes at random": strange(os.urandom(5000)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_hangs_on_it(stage: Stage, fault: str) -> None:
    hub = stage.hub
    found = Figures(fault)
    number = list(FAULTS).index(fault)
    seconds_until(lambda: readyz(hub)[1]["redis"] == "ok", BACK)
    with FAULTS[fault](stage):  # type: ignore[attr-defined]
        work(hub, number, found, 60 if LONG else 15)
        seconds_until(lambda: readyz(hub)[1]["redis"].endswith(WITHOUT), ONCE)  # it tells an answer for a second
        status, parts = readyz(hub)
        assert (status, parts["database"], parts["blobs"]) == (200, "ok", "ok")
        began = time.monotonic()
    seconds_until(lambda: readyz(hub)[1]["redis"] == "ok", BACK)
    found.recovery = time.monotonic() - began
    found.note()
    assert found.wrong == found.lost == 0
    assert found.longest < ONCE
    # It counts for all again.
    before = set(say(stage.redis, "KEYS", "*").split())
    assert sign_in(hub, f"after-{number}", "wrong-password", f"10.{number}.7.1").status_code == 401
    assert len(set(say(stage.redis, "KEYS", "*").split()) - before) >= 2


def work(hub: HubProcess, number: int, found: Figures, rounds: int) -> None:
    """Signs in, guesses and pushes; counts what is not answered as if Redis were there."""
    client = Client(hub.url, "admin", hub.admin_password)
    name = f"admin/redis-{number}"
    guesses = []
    for turn in range(rounds):
        right, first = timed(sign_in, hub, "admin", hub.admin_password, f"10.{number}.0.1")
        guess, second = timed(sign_in, hub, f"nobody-{number}", "wrong-password", f"10.{number}.1.{turn}")
        digest, third = timed(client.push_image, name, "latest", os.urandom(1000))
        pull, fourth = timed(client.ask, "GET", f"/v2/{name}/manifests/latest")
        guesses.append(guess.status_code)
        found.requests += 6  # a push is three
        found.acknowledged += 4
        found.wrong += right.status_code != 200 or guess.status_code not in (401, 429)
        found.lost += pull.headers.get("docker-content-digest") != digest
        found.longest = max(found.longest, first, second, third, fourth)
    client.close()
    # Without Redis this process counts alone: ten guesses at once, and one more every fifteen seconds.
    found.wrong += 429 not in guesses[:14]


def test_one_that_is_not_there_is_no_reason_not_to_start(tmp_path: Path, redis: Redis) -> None:
    redis.end(signal.SIGKILL)
    with hub_with(tmp_path / "a", redis.url("x").replace("redis://", "redis://:secret-word@")) as hub:
        assert sign_in(hub, "admin", hub.admin_password).status_code == 200
        assert readyz(hub)[1]["redis"] == f"cannot be reached; {WITHOUT}"
        assert hub.log().count("the hub goes on without it") == 1
        assert "secret-word" not in hub.log()
