"""The page of one's own account: what it shows, what its forms do, and what they refuse."""

import re
import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, secret_of, send, signed_in
from tests.web.test_pages import csrf_of, text_of


@pytest.fixture
def name(admin: httpx.Client) -> str:
    """Somebody new."""
    made = f"new-{secrets.token_hex(4)}"
    assert admin.post("/users", json={"name": made, "password": PASSWORD}).status_code == 201
    return made


@pytest.fixture
def browser(empty: HubProcess, name: str) -> Iterator[httpx.Client]:
    """Their browser, signed in."""
    with signed_in(empty, name) as client:
        yield client


def test_the_name_leads_to_the_account(browser: httpx.Client, name: str) -> None:
    assert re.search(rf'<a class="who" href="/account">.*{name}</a>', browser.get("/").text)
    page = browser.get("/account")
    assert page.status_code == 200 and "No token yet." in page.text and "You are in no team." in page.text
    assert "/site/users" not in page.text


def test_who_is_not_signed_in_comes_back_after_it(empty: HubProcess) -> None:
    with httpx.Client(base_url=empty.url, trust_env=False) as stranger:
        for answer in (stranger.get("/account"), stranger.post("/account", data={"form": "profile"})):
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/account")


def test_the_profile(browser: httpx.Client) -> None:
    done = send(browser, "/account", "profile", full_name=" A <b> ", email="a@example.com", role="administrator")
    assert (done.status_code, done.headers["location"]) == (303, "/account?done=profile")
    me = browser.get("/api/v1/user").json()
    assert (me["full_name"], me["email"], me["role"]) == ("A <b>", "a@example.com", "user")
    assert (
        'value="A &lt;b&gt;"' in browser.get("/account").text and "Saved." in browser.get("/account?done=profile").text
    )

    page = send(browser, "/account", "profile", full_name="Kept", email="nobody")
    assert page.status_code == 400 and "must look like" in alert_of(page)
    assert 'value="Kept"' in page.text and 'value="nobody"' in page.text
    assert browser.get("/api/v1/user").json()["full_name"] == "A <b>"


def test_the_password(browser: httpx.Client, empty: HubProcess, name: str) -> None:
    fresh = "another-long-password"
    with signed_in(empty, name) as elsewhere:
        for typed, reason in (
            ({"current": "wrong-wrong", "password": fresh}, "The current password is wrong."),
            ({"current": PASSWORD, "password": "short"}, "at least 8"),
            ({"password": fresh}, "must be a text"),
        ):
            page = send(browser, "/account", "password", **typed)
            assert page.status_code == 400 and reason in alert_of(page)
            assert "wrong-wrong" not in page.text and fresh not in page.text
        done = send(browser, "/account", "password", current=PASSWORD, password=fresh)
        assert (done.status_code, done.headers["location"]) == (303, "/account?done=password")
        assert "signed out everywhere else" in text_of(browser.get("/account?done=password"))
        assert elsewhere.get("/api/v1/user").status_code == 401


def test_guesses_at_the_current_password_are_counted(browser: httpx.Client) -> None:
    for _ in range(12):
        page = send(browser, "/account", "password", current="wrong-wrong", password="another-long-password")
    assert page.status_code == 429 and "too many" in page.text.lower() and int(page.headers["retry-after"]) > 0


def test_tokens(browser: httpx.Client, empty: HubProcess) -> None:
    page = send(browser, "/account", "token", name="ci", days="30")
    assert page.status_code == 200
    secret = secret_of(page)
    assert secret not in browser.get("/account").text
    told = httpx.get(f"{empty.url}/api/v1/user", headers={"Authorization": f"Bearer {secret}"}, trust_env=False)
    assert told.status_code == 200

    assert send(browser, "/account", "token", name="ci", days="30").status_code == 409
    for days in ("0", "3651", "-1", "1.5", "x", "²", "9" * 30):
        page = send(browser, "/account", "token", name="other", days=days)
        assert page.status_code == 400 and "'Days' must be" in alert_of(page) and 'value="other"' in page.text
    assert send(browser, "/account", "token", name="ends-never", days="").status_code == 200
    tokens = {one["name"]: one for one in browser.get("/api/v1/user/tokens").json()["tokens"]}
    assert tokens.keys() == {"ci", "ends-never"} and tokens["ends-never"]["expires_at"] is None
    page = browser.get("/account")
    assert "without end" in page.text and "used just now" in text_of(page) and tokens["ci"]["hint"] in page.text

    done = send(browser, "/account", "end-token", id=tokens["ci"]["id"])
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    told = httpx.get(f"{empty.url}/api/v1/user", headers={"Authorization": f"Bearer {secret}"}, trust_env=False)
    assert told.status_code == 401
    for number in (tokens["ci"]["id"], "", "x", "9" * 40):
        assert "have no token" in alert_of(send(browser, "/account", "end-token", id=number))


def test_somebody_else_s_token_stays(browser: httpx.Client, admin: httpx.Client) -> None:
    theirs = admin.post("/user/tokens", json={"name": secrets.token_hex(4)}).json()
    assert send(browser, "/account", "end-token", id=theirs["id"]).status_code == 404
    assert theirs["id"] in [one["id"] for one in admin.get("/user/tokens").json()["tokens"]]


def test_my_teams_stand_there_with_my_roles(browser: httpx.Client, admin: httpx.Client, name: str) -> None:
    team = f"team-{secrets.token_hex(4)}"
    admin.post("/teams", json={"name": team, "description": "Of <all>"})
    admin.put(f"/teams/{team}/members/{name}", json={"role": "writer"})
    page = browser.get("/account")
    assert f"{team} Of <all> writer" in text_of(page) and f'href="/teams/{team}"' in page.text
    admin.delete(f"/teams/{team}")
    assert team not in browser.get("/account").text  # who cannot restore it is not told


@pytest.mark.parametrize("form", ["profile", "password", "token", "end-token"])
def test_forms_of_others_do_nothing(browser: httpx.Client, form: str) -> None:
    own = csrf_of(browser.get("/account"))
    for csrf, headers in (("", {}), ("0" * 64, {}), (own, {"Sec-Fetch-Site": "cross-site"})):
        answer = browser.post("/account", data={"csrf": csrf, "form": form, "name": "x"}, headers=headers)
        assert answer.status_code == 403 and "not from a page of the hub" in answer.text
    assert browser.get("/api/v1/user/tokens").json()["tokens"] == []


@pytest.mark.parametrize("form", ["", "nonsense", "__class__", "\0"])
def test_a_form_that_the_page_does_not_have(browser: httpx.Client, form: str) -> None:
    assert send(browser, "/account", form).status_code == 400
