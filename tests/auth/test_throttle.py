"""Sign-in is throttled, and what people type never reaches the log."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from auth.throttle import KEYS, SignInThrottle, Throttle
from storage.attempts import Pace
from storage.events import SYSTEM
from storage.names import rename_namespace
from storage.namespaces import find_namespace
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubProcess, People]]:
    """A hub whose buckets are emptied by these tests alone. It believes X-Forwarded-For, so that many can ask."""
    data = tmp_path_factory.mktemp("throttled") / "data"
    with HubProcess(data, WASMHUB_TRUSTED_PROXIES="127.0.0.1") as hub:
        database = hub.open_database()
        yield hub, People(database)
        database.close()


def attempt(hub: HubProcess, name: str, password: str, address: str) -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return httpx.get(f"{hub.url}/token", auth=(name, password), headers=headers, trust_env=False, timeout=30)


def guess(hub: HubProcess, names: list[str], addresses: list[str]) -> list[int]:
    """Statuses of wrong passwords for these names from these addresses, eight at a time until one is throttled."""
    statuses: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        while 429 not in statuses and len(statuses) < 200:
            tries = range(len(statuses), len(statuses) + 8)
            pairs = [(names[number % len(names)], addresses[number % len(addresses)]) for number in tries]
            statuses += pool.map(lambda pair: attempt(hub, pair[0], "wrong-password", pair[1]).status_code, pairs)
    assert 429 in statuses and set(statuses) <= {401, 429}
    return statuses


def test_all_names_of_somebody_count_as_one(own: tuple[HubProcess, People], word: str) -> None:
    hub, people = own
    people.user(word)
    with people.database.read() as session:
        namespace = find_namespace(session, word)
    assert namespace is not None
    rename_namespace(people.database, SYSTEM, namespace.id, f"{word}-2")
    names = [word, f"{word}-2"] * 12
    tried = [attempt(hub, name, "wrong-password", f"10.9.0.{n}").status_code for n, name in enumerate(names)]
    assert 10 <= tried.count(401) <= 14 and set(tried) == {401, 429}  # counted apart it would be 20


def test_wrong_passwords_of_an_account(own: tuple[HubProcess, People], word: str) -> None:
    hub, people = own
    user_id = people.user(word)
    assert attempt(hub, word, PASSWORD, "10.0.0.1").status_code == 200
    statuses = guess(hub, [word], [f"10.0.1.{number}" for number in range(50)])
    assert 10 <= statuses.count(401) <= 30

    # A right guess is refused as well, though the server knows by now that it is right.
    refused = attempt(hub, word, PASSWORD, "10.0.1.99")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 15
    assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    # The owner, where they signed in before, gets in still; so does everybody else, and a personal token.
    assert attempt(hub, word, PASSWORD, "10.0.0.1").status_code == 200
    assert attempt(hub, "admin", hub.admin_password, "10.0.1.99").status_code == 200
    assert attempt(hub, word, people.token(user_id), "10.0.1.99").status_code == 200


def test_wrong_passwords_from_an_address(own: tuple[HubProcess, People]) -> None:
    names = [f"sprayed{number}" for number in range(40)]
    statuses = guess(own[0], names, [f"2001:db8:0:7::{number}" for number in range(50)])  # all one person's
    assert 60 <= statuses.count(401) <= 150  # one more for every three seconds that it took
    answers: list[int] = []
    while 429 not in answers and len(answers) < 5:  # a slow machine may be let in once more
        guess(own[0], names, ["2001:db8:0:7::1"])
        answers.append(attempt(own[0], "admin", own[0].admin_password, "2001:db8:0:7::ffff").status_code)
    assert answers[-1] == 429
    assert attempt(own[0], "admin", own[0].admin_password, "2001:db8:0:8::1").status_code == 200


def test_unknown_names_are_throttled_alike(own: tuple[HubProcess, People], word: str) -> None:
    assert 10 <= guess(own[0], [word], [f"10.0.2.{number}" for number in range(50)]).count(401) <= 30


def test_secrets_are_not_in_the_log(own: tuple[HubProcess, People], word: str) -> None:
    hub, people = own
    personal = people.token(people.user(word), word)
    answers = [attempt(hub, word, secret, "10.0.3.1") for secret in (PASSWORD, personal, "wrong-" + word)]
    reply = httpx.get(
        f"{hub.url}/token", params={"offline_token": "true"}, auth=(word, PASSWORD), trust_env=False
    ).json()
    bearer = {"Authorization": f"Bearer {reply['token']}"}
    assert httpx.get(f"{hub.url}/v2/", headers=bearer, trust_env=False).status_code == 200
    form = {"grant_type": "password", "username": word, "password": "wrong-" + word}
    httpx.post(f"{hub.url}/token", data=form, trust_env=False)

    assert [answer.status_code for answer in answers] == [200, 200, 401]
    log = hub.log()
    shown = [PASSWORD, personal, "wrong-" + word, reply["token"], reply["refresh_token"]]
    assert [secret for secret in [*shown, hub.admin_password] if secret in log] == []


def test_secrets_are_not_in_the_database(embedded: None, own: tuple[HubProcess, People], word: str) -> None:
    hub, people = own
    shown = [PASSWORD, people.token(people.user(word), word), hub.admin_password]
    form = {"offline_token": "true"}
    reply = httpx.get(f"{hub.url}/token", params=form, auth=(word, PASSWORD), trust_env=False).json()
    shown += [reply["token"], reply["refresh_token"]]
    stored = (hub.data / "hub.db").read_bytes() + (hub.data / "hub.db-wal").read_bytes()
    assert [secret for secret in shown if secret.encode() in stored] == []


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_bucket_leaks() -> None:
    clock = Clock()
    throttle = Throttle(Pace(2, 10.0), clock)
    waits = []
    for _ in range(3):
        waits.append(throttle.wait("a"))
        throttle.take("a")
    assert waits == [0, 0, 10]
    assert throttle.wait("b") == 0
    clock.time += 20
    assert throttle.wait("a") == 0
    throttle.take("a")
    assert throttle.wait("a") == 10
    throttle.give_back("a")
    assert throttle.wait("a") == 0


def test_buckets_are_bounded() -> None:
    throttle = SignInThrottle()

    async def fill() -> None:
        for number in range(KEYS + 100):
            await throttle.take(f"a{number}", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
            await throttle.succeeded(f"a{number}", "not an: address")

    asyncio.run(fill())
    assert [len(held) for held in (throttle._known, throttle._accounts._levels, throttle._addresses._levels)] == [
        KEYS,
        KEYS,
        KEYS,
    ]
