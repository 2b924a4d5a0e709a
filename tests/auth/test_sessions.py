"""Sessions of browsers: their cookie, their forms' token, and that another site gets nothing done with either."""

import re
from collections.abc import Iterator

import httpx
import pytest

from auth.passwords import hash_password
from storage.events import SYSTEM
from storage.users import deactivate_user, set_password
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess


@pytest.fixture
def browser(hub: HubProcess, people: People, word: str) -> Iterator[httpx.Client]:
    """A browser in which somebody has signed in."""
    people.user(word)
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as client:
        assert sign_in(client, word).status_code == 303
        yield client


def sign_in(client: httpx.Client, name: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return client.post("/sign-in", data={"name": name, "password": password, "next": "/"}, headers=headers)


def csrf_of(client: httpx.Client) -> str:
    """The token that the forms of this browser carry."""
    found = re.search(r'name="csrf"[^>]*value="([^"]+)"', client.get("/").text)
    assert found is not None
    return found[1]


def who(client: httpx.Client) -> int:
    """Whether the cookie alone says who this is: 200, or 401 for nobody."""
    return client.get("/api/v1/user").status_code


def test_the_cookie(hub: HubProcess, people: People, word: str) -> None:
    people.user(word)
    with httpx.Client(base_url=hub.url, trust_env=False) as client:
        cookie = sign_in(client, word).headers["set-cookie"]
    assert re.fullmatch(
        r"wasmhub=whs_[0-9A-Za-z]{42}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax", cookie, re.IGNORECASE
    )
    secret = cookie.partition("=")[2].partition(";")[0]
    assert people.rows("SELECT 1 FROM sessions WHERE secret_sha256 = :s", s=secret) == []


def test_the_cookie_under_https(tmp_path_factory: pytest.TempPathFactory) -> None:
    data = tmp_path_factory.mktemp("https") / "data"
    with HubProcess(data, WASMHUB_PUBLIC_URL="https://hub.example.com") as hub:
        with httpx.Client(base_url=hub.url, trust_env=False) as client:
            cookie = sign_in(client, "admin", hub.admin_password).headers["set-cookie"]
            assert cookie.startswith("__Host-wasmhub=whs_")
            assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
            value = cookie.partition(";")[0]
            assert client.get("/api/v1/user", headers={"Cookie": value}).status_code == 200
            plain = value.removeprefix("__Host-")
            assert client.get("/api/v1/user", headers={"Cookie": plain}).status_code == 401


def test_each_sign_in_is_a_new_session(browser: httpx.Client, word: str) -> None:
    first = browser.cookies["wasmhub"]
    assert who(browser) == 200
    assert sign_in(browser, word).status_code == 303
    assert browser.cookies["wasmhub"] != first
    assert who(browser) == 200
    browser.cookies.set("wasmhub", first)
    assert who(browser) == 401


def test_a_cookie_that_was_planted_is_never_taken_over(hub: HubProcess, people: People, word: str) -> None:
    people.user(word)
    planted = "whs_" + "A" * 42
    with httpx.Client(base_url=hub.url, cookies={"wasmhub": planted}, trust_env=False) as client:
        assert who(client) == 401
        cookie = sign_in(client, word).headers["set-cookie"]
    assert planted not in cookie


def test_sign_out(browser: httpx.Client) -> None:
    kept = browser.cookies["wasmhub"]
    assert browser.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert who(browser) == 200
    answer = browser.post("/sign-out", data={"csrf": csrf_of(browser)})
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["set-cookie"]
    browser.cookies.set("wasmhub", kept)
    assert who(browser) == 401


def test_wrong_passwords(hub: HubProcess, http: httpx.Client, people: People, word: str) -> None:
    personal = people.token(people.user(word))
    for password in ("wrong-password", "", personal):
        answer = sign_in(http, word, password)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 401),
        ({"Sec-Fetch-Site": "same-site"}, 401),
        ({"Origin": "https://evil.example"}, 401),
        ({"Origin": "null"}, 401),
        ({"Origin": "http://["}, 401),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({}, 303),
    ],
)
def test_other_sites_cannot_sign_anybody_in(
    http: httpx.Client, people: People, word: str, headers: dict[str, str], status: int
) -> None:
    people.user(word)
    assert sign_in(http, word, PASSWORD, **headers).status_code == status


def test_the_cookie_alone_changes_nothing(browser: httpx.Client, hub: HubProcess, people: People, word: str) -> None:
    body = {"name": "by-cookie"}
    token = csrf_of(browser)
    own = {"Origin": hub.url, "Sec-Fetch-Site": "same-origin"}
    for headers in (
        {},
        own,
        {**own, "X-CSRF-Token": "wrong"},
        {**own, "X-CSRF-Token": token[:-1]},
        {"X-CSRF-Token": token, "Origin": "https://evil.example"},
        {"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"},
    ):
        refused = browser.post("/api/v1/user/tokens", json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf")
    assert people.rows("SELECT 1 FROM access_tokens WHERE user_id = :u", u=people.user(word)) == []
    done = browser.post("/api/v1/user/tokens", json=body, headers={**own, "X-CSRF-Token": token})
    assert done.status_code == 201


def test_the_token_is_one_session_s(browser: httpx.Client, hub: HubProcess, word: str) -> None:
    token = csrf_of(browser)
    assert token == csrf_of(browser)
    assert sign_in(browser, word).status_code == 303
    assert csrf_of(browser) != token
    stale = browser.post("/api/v1/user/tokens", json={"name": "x"}, headers={"X-CSRF-Token": token})
    assert stale.status_code == 403


def test_sessions_end_with_the_right(browser: httpx.Client, people: People, word: str) -> None:
    assert who(browser) == 200
    set_password(people.database, SYSTEM, people.user(word), hash_password("another-long-password"))
    assert who(browser) == 401
    assert sign_in(browser, word, "another-long-password").status_code == 303
    assert who(browser) == 200
    people.run("UPDATE sessions SET expires_at = 1 WHERE user_id = :u", u=people.user(word))
    assert who(browser) == 401
    assert sign_in(browser, word, "another-long-password").status_code == 303
    assert people.rows("SELECT count(*) FROM sessions WHERE user_id = :u", u=people.user(word)) == [(1,)]
    deactivate_user(people.database, SYSTEM, people.user(word))
    assert who(browser) == 401
