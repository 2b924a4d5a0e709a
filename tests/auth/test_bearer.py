"""Registry tokens: hostile ones are refused, keys rotate under the eyes of another process."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from auth.bearer import GRACE, BearerTokens
from auth.identity import ANONYMOUS, Identity
from auth.secrets import SecretKey, load_secret_key
from storage.database import Database, now
from storage.keys import forget_retired_keys
from tests.auth.people import PASSWORD, People, claims_of
from tests.hub import HubProcess


@pytest.fixture
def beside(hub: HubProcess, people: People) -> BearerTokens:
    """A second process of the hub, as far as keys go."""
    return BearerTokens(people.database, load_secret_key(hub.told().get("WASMHUB_SECRET_KEY"), hub.data))


def base(http: httpx.Client, token: str) -> int:
    """The status of /v2/ for that token."""
    return http.get("/v2/", headers={"Authorization": f"Bearer {token}"}).status_code


def encoded(document: Any) -> str:
    content = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_tokens_of_a_second_process(http: httpx.Client, beside: BearerTokens, people: People) -> None:
    user_id = people.user("ann")
    row = people.rows("SELECT generation FROM users WHERE id = :u", u=user_id)
    identity = Identity(user_id, "ann", generation=row[0][0])
    assert base(http, beside.issue(identity, {})) == 200
    assert base(http, beside.issue(ANONYMOUS, {})) == 200
    theirs = http.get("/token", auth=("ann", PASSWORD)).json()["token"]
    claims = beside.verify(theirs)
    assert claims is not None and claims.user_id == user_id


def test_a_token_of_an_older_generation(http: httpx.Client, beside: BearerTokens, people: People) -> None:
    user_id = people.user("ann")
    ((generation,),) = people.rows("SELECT generation FROM users WHERE id = :u", u=user_id)
    for wrong in (generation - 1, generation + 1):
        assert base(http, beside.issue(Identity(user_id, "ann", generation=wrong), {})) == 401
    assert base(http, beside.issue(Identity(999_999, "gone"), {})) == 401


def test_expiry(http: httpx.Client, beside: BearerTokens) -> None:
    assert base(http, beside.issue(ANONYMOUS, {}, lifetime=-1)) == 401
    short = beside.issue(ANONYMOUS, {}, lifetime=2)
    assert base(http, short) == 200
    assert base(http, short) == 200
    time.sleep(2.1)
    assert base(http, short) == 401
    assert beside.issue(ANONYMOUS, {}, lifetime=10**6)
    claims = claims_of(beside.issue(ANONYMOUS, {}, lifetime=10**6))
    assert claims["exp"] - claims["iat"] == 300


HOSTILE: dict[str, Callable[[list[str], dict[str, Any]], str]] = {
    "none": lambda parts, head: f"{encoded({**head, 'alg': 'none'})}.{parts[1]}.",
    "none, signed": lambda parts, head: f"{encoded({**head, 'alg': 'none'})}.{parts[1]}.{parts[2]}",
    "no signature": lambda parts, head: f"{parts[0]}.{parts[1]}.",
    "two parts": lambda parts, head: f"{parts[0]}.{parts[1]}",
    "four parts": lambda parts, head: ".".join([*parts, parts[2]]),
    "other payload": lambda parts, head: f"{parts[0]}.{encoded({'sub': '1', 'gen': 0})}.{parts[2]}",
    "other algorithm": lambda parts, head: f"{encoded({**head, 'alg': 'ES384'})}.{parts[1]}.{parts[2]}",
    "other kid": lambda parts, head: f"{encoded({**head, 'kid': 'x'})}.{parts[1]}.{parts[2]}",
    "kid is a path": lambda parts, head: f"{encoded({**head, 'kid': '../../etc/passwd'})}.{parts[1]}.{parts[2]}",
    "own key inside": lambda parts, head: signed_with_own_key(head, parts),
    "crit": lambda parts, head: f"{encoded({**head, 'crit': ['b64'], 'b64': False})}.{parts[1]}.{parts[2]}",
    "deep header": lambda parts, head: f"{encoded(b'[' * 5000)}.{parts[1]}.{parts[2]}",
    "header is a list": lambda parts, head: f"{encoded([])}.{parts[1]}.{parts[2]}",
    "header is no JSON": lambda parts, head: f"{encoded(b'{{{')}.{parts[1]}.{parts[2]}",
    "header is no base64": lambda parts, head: f"!!!.{parts[1]}.{parts[2]}",
    "huge": lambda parts, head: f"{parts[0]}.{'A' * 30_000}.{parts[2]}",
    "padded": lambda parts, head: ".".join(parts) + "==",
    "text": lambda parts, head: "nonsense",
    "dots": lambda parts, head: "...",
}


def signed_with_own_key(head: dict[str, Any], parts: list[str]) -> str:
    key = ECKey.generate_key("P-256")
    header = {**head, "jwk": key.as_dict(private=False)}
    payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return jwt.encode(header, payload, key, algorithms=["ES256"])


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tokens(http: httpx.Client, hub: HubProcess, kind: str) -> None:
    good = http.get("/token", auth=("admin", hub.admin_password)).json()["token"]
    parts = good.split(".")
    head = json.loads(base64.urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4)))
    assert base(http, HOSTILE[kind](parts, head)) == 401
    assert base(http, good) == 200


def test_the_public_key_is_no_shared_secret(http: httpx.Client, people: People, hub: HubProcess) -> None:
    good = http.get("/token", auth=("admin", hub.admin_password)).json()["token"]
    ((kid, public),) = people.rows("SELECT kid, public_jwk FROM signing_keys WHERE retired_at IS NULL")
    pem = ECKey.import_key(json.loads(public) if isinstance(public, str) else public).as_pem(private=False)
    confused = jwt.encode(
        {"alg": "HS256", "kid": kid}, claims_of(good), OctKey.import_key(base64.b64encode(pem)), algorithms=["HS256"]
    )
    assert base(http, confused) == 401


def test_a_flood_of_unknown_keys_does_not_hide_a_new_one(http: httpx.Client, beside: BearerTokens) -> None:
    for number in range(20):
        assert base(http, f"{encoded({'kid': number})}.e30.AAAA") == 401
    beside.rotate()
    time.sleep(1.1)
    assert base(http, beside.issue(ANONYMOUS, {})) == 200


def test_rotation(http: httpx.Client, people: People, beside: BearerTokens, hub: HubProcess) -> None:
    old = http.get("/token", auth=("admin", hub.admin_password)).json()["token"]
    ((before,),) = people.rows("SELECT kid FROM signing_keys WHERE retired_at IS NULL")
    beside.rotate()
    ((after,),) = people.rows("SELECT kid FROM signing_keys WHERE retired_at IS NULL")
    assert after != before

    time.sleep(1.1)  # an unknown key is looked up at most once a second
    new = beside.issue(ANONYMOUS, {})
    assert json.loads(base64.urlsafe_b64decode(new.split(".")[0] + "==="))["kid"] == after
    assert [base(http, old), base(http, new)] == [200, 200]
    assert beside.verify(old) is not None
    # The other process signs with the key that it knows for some seconds more; that stays good as well.
    later = http.get("/token", auth=("admin", hub.admin_password)).json()["token"]
    assert [base(http, later), beside.verify(later) is not None] == [200, True]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Database]:
    database = HubProcess(tmp_path).open_database()
    database.migrate()
    yield database
    database.close()


def test_two_processes_make_one_key(alone: Database) -> None:
    first, second = (BearerTokens(alone, SecretKey("k" * 32)) for _ in range(2))
    tokens = [first.issue(ANONYMOUS, {}), second.issue(ANONYMOUS, {})]
    first.rotate()
    second.rotate()  # replaces a key that is not the newest any more, so it only learns
    with alone.read() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM signing_keys").scalar_one() <= 3
    for token in tokens:
        assert first.verify(token) is not None and second.verify(token) is not None


def test_a_retired_key_ends_with_its_last_token(alone: Database) -> None:
    tokens = BearerTokens(alone, SecretKey("k" * 32))
    old = tokens.issue(ANONYMOUS, {})
    tokens.rotate()
    with alone.write() as session:
        session.connection().exec_driver_sql(
            f"UPDATE signing_keys SET retired_at = {now() - GRACE - 1} WHERE retired_at IS NOT NULL"
        )
    assert BearerTokens(alone, SecretKey("k" * 32)).verify(old) is None
    forget_retired_keys(alone, grace=GRACE)
    tokens.rotate()
    assert tokens.cached(old) is None


def test_another_secret_key_makes_a_new_signing_key(alone: Database) -> None:
    old = BearerTokens(alone, SecretKey("k" * 32)).issue(ANONYMOUS, {})
    other = BearerTokens(alone, SecretKey("j" * 32))
    assert other.verify(other.issue(ANONYMOUS, {})) is not None
    assert other.verify(old) is not None


def test_memory_of_tokens_is_bounded(alone: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.bearer.VERIFIED", 3)
    tokens = BearerTokens(alone, SecretKey("k" * 32))
    issued = [tokens.issue(ANONYMOUS, {f"a/{number}": frozenset({"pull"})}) for number in range(5)]
    for token in issued:
        assert tokens.verify(token) is not None
    assert [tokens.cached(token) is not None for token in issued] == [False, False, True, True, True]
