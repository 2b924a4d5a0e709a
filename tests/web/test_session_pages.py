"""The pages of sessions: one's own, and those of a user as an administrator sees them."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in
from tests.web.test_pages import text_of

PAGE = "/account/sessions"


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


def test_the_one_browser(browser: httpx.Client) -> None:
    page = browser.get(PAGE)
    assert "python-httpx this one From 127.0.0.1, opened just now, used just now" in text_of(page)
    assert "You are signed in nowhere else." in page.text and forms_of(page) == set()


def test_others_are_signed_out(empty: HubProcess, browser: httpx.Client, name: str) -> None:
    with signed_in(empty, name) as other, signed_in(empty, name) as third:
        page = browser.get(PAGE)
        assert forms_of(page) == {"end", "end-others"} and page.text.count("this one") == 1
        listed = other.get("/api/v1/user/sessions").json()["sessions"]
        number = next(one["id"] for one in listed if one["current"])
        assert done(browser, PAGE, "end", id=number) == f"{PAGE}?done=end"
        assert other.get("/api/v1/user").status_code == 401 and third.get("/api/v1/user").status_code == 200
        assert "Signed out there." in browser.get(f"{PAGE}?done=end").text
        for wrong in (number, "", "x", "9" * 40):
            answer = send(browser, PAGE, "end", id=wrong)
            assert answer.status_code == 404 and "here is no session" in alert_of(answer)
        assert done(browser, PAGE, "end-others") == f"{PAGE}?done=end-others"
        assert third.get("/api/v1/user").status_code == 401 and browser.get(PAGE).status_code == 200


def test_who_ends_this_one_signs_in_again(browser: httpx.Client) -> None:
    (mine,) = browser.get("/api/v1/user/sessions").json()["sessions"]
    assert done(browser, PAGE, "end", id=mine["id"]) == f"/sign-in?next={PAGE}"


def test_administrators_see_and_end_those_of_a_user(empty: HubProcess, browser: httpx.Client, name: str) -> None:
    path = f"/site/users/{name}"
    with signed_in(empty, "admin", empty.admin_password) as admin:
        assert "Sessions: 1" in text_of(admin.get(path))
        assert done(admin, path, "end-sessions") == f"{path}?done=end-sessions"
        assert browser.get("/api/v1/user").status_code == 401
        page = admin.get(f"{path}?done=end-sessions")
        assert "Signed out of every browser." in page.text and "Has no open session." in page.text
        assert done(admin, "/site/users/admin", "end-sessions")
        assert admin.get(path).status_code == 200  # one's own stays
