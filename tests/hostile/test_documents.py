"""JSON that means harm: fields that nobody may set, what is nested for ever, what unpacks for ever, what is no JSON."""

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.auth.asking import Ask
from tests.auth.endpoints import ENDPOINTS
from tests.auth.world import World
from tests.hostile.routes import meant, named

# A provider's own servers send a form there, as OpenID Connect has it.
FORM = "POST /api/v1/providers/{provider}/backchannel-logout"
NAMES = [name for name in named("POST", "PUT", "PATCH") if name.split()[1].startswith("/api/") and name != FORM]
# Fields of rows, and of what people may not say of themselves.
PRIVILEGED: dict[str, Any] = {
    "id": 1,
    "user_id": 1,
    "generation": 0,
    "kind": "robot",
    "password_hash": "x",
    "created_at": 1,
    "site_role": "administrator",
    "is_admin": True,
    "administrator": True,
    "__proto__": {"role": "administrator"},
}
DEEP = 10_000
BOMB = gzip.compress(b" " * 20_000_000 + b"{}")


def ask(world: World, name: str, asked: Ask, content: bytes, **headers: str) -> httpx.Response:
    """Sends another body in its place."""
    client = world.browser("administrator") if ENDPOINTS[name].browser else world.api("administrator")
    told = {"Content-Type": "application/json", **asked.more.get("headers", {}), **headers}
    return client.request(name.split()[0], asked.path, content=content, headers=told)


def body_of(asked: Ask) -> dict[str, Any]:
    """The good body of a request."""
    return dict(asked.more.get("json") or {})


@pytest.mark.parametrize("name", NAMES)
def test_no_document_takes_fields_that_it_does_not_know(world: World, name: str) -> None:
    with meant(world, name) as asked:
        for field, value in PRIVILEGED.items():
            answer = ask(world, name, asked, json.dumps({**body_of(asked), field: value}).encode())
            assert answer.status_code in (400, 403), f"{field}: {answer.status_code} {answer.text[:300]}"
        # And it was good in itself: what was refused was that field.
        assert ask(world, name, asked, json.dumps(body_of(asked)).encode()).status_code < 300


def test_nobody_makes_themselves_administrator(world: World) -> None:
    mine = world.api("stranger")
    for body in ({"role": "administrator"}, {"full_name": "x", "role": "administrator"}, {"active": True}):
        assert mine.patch("/api/v1/user", json=body).status_code == 400
        assert mine.patch(f"/api/v1/users/{world.names['stranger']}", json=body).status_code == 403
    assert mine.get("/api/v1/user").json()["role"] == "user"


KINDS = ("name", "role", "scopes", "reference", "claims", "secret", "config", "user_code", "issuer", "description")


def everywhere(value: Any) -> bytes:
    """A body with that value in all kinds of fields."""
    return json.dumps(dict.fromkeys(KINDS, value)).encode()


BODIES = {
    "lists in lists": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a list that does not end": b"[" * DEEP,
    "a number of many digits": b'{"name": ' + b"9" * 50_000 + b"}",
    "what is no number": b'{"name": NaN, "expires_in_days": Infinity, "minutes": 1e400}',
    "a half of a pair": b'{"name": "\\ud800", "description": "\\udfff", "reference": "\\ud800"}',
    "no text": b"\xff\xfe\x00{",
    "a list": b"[]",
    "a text": b'"x"',
    "nothing but a number": b"1",
    "null": b"null",
    "other kinds": everywhere([[]]),
    "more other kinds": everywhere({"a": 1}),
    "very long": json.dumps({"name": "a" * 60_000, "description": "b" * 5000}).encode(),
    "control characters": everywhere("a\r\nX: y\x00\x1b[2J"),
}


@pytest.mark.parametrize("name", NAMES)
def test_bodies_that_are_none(world: World, name: str) -> None:
    with meant(world, name) as asked:
        for kind, content in BODIES.items():
            answer = ask(world, name, asked, content)
            assert 400 <= answer.status_code < 500, f"{kind}: {answer.status_code} {answer.text[:200]}"
            assert b"\x1b" not in answer.content and b"\x00" not in answer.content


@pytest.mark.parametrize("name", NAMES)
def test_bodies_that_are_packed_are_not_unpacked(world: World, name: str) -> None:
    with meant(world, name) as asked:
        for coding in ("gzip", "deflate", "br", "x, gzip"):
            answer = ask(world, name, asked, BOMB, **{"Content-Encoding": coding})
            assert answer.status_code in (400, 413, 415), answer.text


def test_forms_that_are_packed_are_not_unpacked(world: World) -> None:
    bomb = gzip.compress(b"a=" + b"b" * 1_000_000)
    for path in ("/token", "/device_authorization", "/revoke", "/sign-in", "/sign-up"):
        kinds = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
        answer = httpx.post(world.hub.url + path, content=bomb, headers=kinds, trust_env=False)
        assert 400 <= answer.status_code < 500, path


def test_a_config_that_is_nested_too_deeply(world: World) -> None:
    target, admin = world.new_target(), world.api("administrator")
    path = f"/api/v1/targets/{target}/deployments/deep"
    for depth in (900, 5000, 30_000):
        config = b'{"reference": "%s", "config": %s}' % (world.filter.encode(), b"[" * depth + b"]" * depth)
        answer = admin.put(path, content=config)
        assert answer.status_code in (200, 201, 400, 413), answer.text
        if answer.is_success:
            assert admin.get(path).status_code == 200 and admin.get(f"{path}/..").status_code < 500
        else:
            assert "nested too deeply" in answer.text or "not valid JSON" in answer.text
    assert answer.status_code == 400
