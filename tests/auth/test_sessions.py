"""Sessions of browsers: their cookie, their forms' token, and that another site gets nothing done with either."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from auth.passwords import hash_password
from auth.sessions import SEEN_EVERY
from storage.database import Conflict, now
from storage.events import SYSTEM, Actor
from storage.sessions import IDLE, MOST, NewSession, end_session, open_session
from storage.users import deactivate_user, set_password
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess
from web.agents import read_agent


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


def seen(people: People, word: str, ago: int) -> None:
    """Has somebody's sessions last used so many milliseconds ago."""
    people.run("UPDATE sessions SET seen_at = :t WHERE user_id = :u", t=now() - ago, u=people.user(word))


def test_a_session_that_is_not_used_ends(browser: httpx.Client, people: People, word: str) -> None:
    seen(people, word, IDLE - 60_000)
    assert who(browser) == 200 and who(browser) == 200
    seen(people, word, IDLE + 1)
    assert who(browser) == 401
    assert http_sessions(browser, word) == []


def test_use_is_noted_some_times_an_hour(browser: httpx.Client, people: People, word: str) -> None:
    def noted() -> int:
        return int(people.rows("SELECT seen_at FROM sessions WHERE user_id = :u", u=people.user(word))[0][0])

    seen(people, word, SEEN_EVERY - 60_000)
    before = noted()
    assert who(browser) == 200 and noted() == before  # so that reading pages writes next to nothing
    seen(people, word, SEEN_EVERY + 1)
    assert who(browser) == 200 and noted() > before


def http_sessions(browser: httpx.Client, word: str) -> list[dict[str, Any]]:
    """Somebody's sessions, as the API has them for their password."""
    answer = httpx.get(f"{browser.base_url}/api/v1/user/sessions", auth=(word, PASSWORD), trust_env=False)
    return list(answer.json()["sessions"])


def test_sessions_are_listed_and_ended(browser: httpx.Client, hub: HubProcess, word: str) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as other:
        assert sign_in(other, word, **{"User-Agent": agent}).status_code == 303
        listed = browser.get("/api/v1/user/sessions").json()["sessions"]
        mine, theirs = sorted(listed, key=lambda one: not one["current"])
        assert (mine["current"], theirs["current"]) == (True, False)
        assert (theirs["browser"], theirs["user_agent"]) == ("Firefox on Linux", agent)
        assert (mine["address"], mine["browser"]) == ("127.0.0.1", "python-httpx")
        assert all(one["current"] is False for one in http_sessions(browser, word))

        csrf = {"X-CSRF-Token": csrf_of(browser)}
        assert browser.delete(f"/api/v1/user/sessions/{theirs['id']}").status_code == 403
        assert browser.delete(f"/api/v1/user/sessions/{theirs['id']}", headers=csrf).status_code == 204
        assert browser.delete(f"/api/v1/user/sessions/{theirs['id']}", headers=csrf).status_code == 404
        assert who(other) == 401 and who(browser) == 200
        assert sign_in(other, word).status_code == 303
        assert browser.delete("/api/v1/user/sessions", headers=csrf).json() == {"ended": 1}
        assert who(other) == 401 and who(browser) == 200
        assert sign_in(other, word).status_code == 303
        assert other.delete("/api/v1/user/sessions", auth=(word, PASSWORD)).json() == {"ended": 2}
        assert who(other) == 401 and who(browser) == 401


def test_nobody_ends_another_s_session(browser: httpx.Client, hub: HubProcess, people: People, word: str) -> None:
    people.user(f"{word}x")
    (mine,) = http_sessions(browser, word)
    with httpx.Client(base_url=hub.url, auth=(f"{word}x", PASSWORD), timeout=30, trust_env=False) as other:
        assert other.delete(f"/api/v1/user/sessions/{mine['id']}").status_code == 404
        assert other.delete(f"/api/v1/users/{word}/sessions/{mine['id']}").status_code == 404
        assert other.get(f"/api/v1/users/{word}/sessions").status_code == 404
    assert who(browser) == 200
    with httpx.Client(base_url=hub.url, auth=("admin", hub.admin_password), timeout=30, trust_env=False) as admin:
        assert [one["id"] for one in admin.get(f"/api/v1/users/{word}/sessions").json()["sessions"]] == [mine["id"]]
        assert admin.delete(f"/api/v1/users/{word}x/sessions/{mine['id']}").status_code == 404
        for number in ("0", "x", "-1", "9" * 30, "²"):
            assert admin.delete(f"/api/v1/users/{word}/sessions/{number}").status_code == 404
        assert admin.delete(f"/api/v1/users/{word}/sessions/{mine['id']}").status_code == 204
    assert who(browser) == 401
    sign_in(browser, word)
    with pytest.raises(Conflict):
        end_session(people.database, SYSTEM, people.user(f"{word}x"), "x", http_sessions(browser, word)[0]["id"])
    said = people.rows("SELECT actor_name FROM events WHERE action = 'session.end' AND subject = :w", w=word)
    assert said == [("admin",)]


def test_what_a_browser_calls_itself_is_bounded(browser: httpx.Client, word: str) -> None:
    long = b"<script>" + b"x" * 5000 + b"\x9b"
    assert browser.post(
        "/sign-in", data={"name": word, "password": PASSWORD}, headers={b"User-Agent": long}
    ).is_redirect
    (row,) = http_sessions(browser, word)
    assert row["user_agent"].startswith("<script>xxx") and len(row["user_agent"]) == 200
    page = browser.get("/account/sessions").text
    assert "&lt;script&gt;xxx" in page and "<script>xxx" not in page


def test_a_user_has_a_hundred_sessions_at_most(browser: httpx.Client, people: People, word: str) -> None:
    user = people.user(word)
    for number in range(MOST + 5):
        open_session(people.database, Actor("user", user, word), user, NewSession(f"{word}{number}", 1_000_000))
    assert len(http_sessions(browser, word)) == MOST
    assert who(browser) == 401  # it was the oldest


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome on Linux"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            f"Mozilla/5.0 (iPhone; like Mac OS X) {WEBKIT} Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 15) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (f"Mozilla/5.0 (Macintosh; Intel) {WEBKIT} Version/18.0 Safari/605.1.15", "Safari on a Mac"),
        ("curl/8.9.1", "curl"),
        ("some-tool/1 \x01", "some-tool"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Some browser on Linux"),
        ("", "Something unnamed"),
        ("/", "Something unnamed"),
    ],
)
def test_browsers_are_named_as_people_know_them(agent: str, words: str) -> None:
    assert read_agent(agent) == words
