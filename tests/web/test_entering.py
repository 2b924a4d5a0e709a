"""The pages by which people come in: signing up, following an invitation, setting a new password by a link."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.test_pages import csrf_of, text_of


@pytest.fixture
def browser(empty: HubProcess) -> Iterator[httpx.Client]:
    """Somebody's browser."""
    with httpx.Client(base_url=empty.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def team(admin: httpx.Client) -> str:
    """A team of the administrator's."""
    name = f"team-{secrets.token_hex(4)}"
    assert admin.post("/teams", json={"name": name}).status_code == 201
    return name


def new_name() -> str:
    """A name that nobody has."""
    return f"new-{secrets.token_hex(4)}"


def invite(admin: httpx.Client, team: str = "", **body: Any) -> str:
    """The path of a new invitation."""
    made = admin.post(f"/teams/{team}/invitations" if team else "/invitations", json=body)
    assert made.status_code == 201, made.text
    return str(httpx.URL(made.json()["link"]).path)


def who(browser: httpx.Client) -> str:
    """Who is signed in at a browser."""
    answer = browser.get("/api/v1/user")
    return str(answer.json()["name"]) if answer.status_code == 200 else ""


def test_a_newcomer_follows_an_invitation_into_a_team(admin: httpx.Client, browser: httpx.Client, team: str) -> None:
    path, name = invite(admin, team, role="writer"), new_name()
    for _ in range(2):  # looking does not use it up
        page = browser.get(path)
        assert page.status_code == 200 and f"admin invites you into the team {team} as writer" in text_of(page)
        assert f"/sign-in?next={path}" in page.text

    for typed, reason in (
        ({"name": "NOT a name"}, "is not a valid name"),
        ({"name": "admin"}, "is taken"),
        ({"name": name, "password": "short"}, "at least 8"),
        ({"name": name, "email": "nobody"}, "email"),
    ):
        page = browser.post(path, data={"password": PASSWORD, "full_name": "A <b>", **typed})
        assert page.status_code in (400, 409) and reason in text_of(page), page.text
        assert 'value="A &lt;b&gt;"' in page.text and who(browser) == ""

    done = browser.post(path, data={"name": f" {name} ", "password": PASSWORD, "full_name": "A B"})
    assert (done.status_code, done.headers["location"]) == (303, "/") and who(browser) == name
    members = {one["name"]: one["role"] for one in admin.get(f"/teams/{team}/members").json()["members"]}
    assert members == {"admin": "owner", name: "writer"}
    assert "expired, was used or was taken back" in text_of(browser.get(path))
    assert browser.get(path).status_code == 404


def test_somebody_with_an_account_joins_by_a_form_of_ours(
    admin: httpx.Client, browser: httpx.Client, team: str
) -> None:
    path, name = invite(admin, team), new_name()
    admin.post("/users", json={"name": name, "password": PASSWORD})
    browser.post("/sign-in", data={"name": name, "password": PASSWORD})
    page = browser.get(path)
    assert f"You are signed in as {name}" in text_of(page) and 'name="password"' not in page.text
    assert browser.post(path, data={}).status_code == 403
    assert browser.post(path, data={"csrf": "0" * 64}).status_code == 403
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert browser.post(path, data={"csrf": csrf_of(page)}, headers=evil).status_code == 403
    assert admin.get(f"/teams/{team}/members").json()["members"][0]["name"] == "admin"

    assert browser.post(path, data={"csrf": csrf_of(page)}).status_code == 303
    assert len(admin.get(f"/teams/{team}/members").json()["members"]) == 2
    assert browser.post(path, data={"csrf": csrf_of(page)}).status_code == 404


def test_an_invitation_to_the_hub(admin: httpx.Client, browser: httpx.Client) -> None:
    path, name = invite(admin, role="auditor"), new_name()
    page = browser.get(path)
    assert "invites you as auditor of the hub" in text_of(page) and "sign in</a>" not in page.text
    evil = {"Origin": "https://evil.example"}
    assert browser.post(path, data={"name": name, "password": PASSWORD}, headers=evil).status_code == 403
    assert browser.post(path, data={"name": name, "password": PASSWORD}).status_code == 303
    assert who(browser) == name and admin.get(f"/users/{name}").json()["role"] == "auditor"

    other = invite(admin)
    assert "have an account already" in text_of(browser.get(other))
    page = browser.post(other, data={"csrf": csrf_of(browser.get("/"))})
    assert page.status_code == 409 and "account already" in text_of(page)


def test_signing_up_with_a_link_in_the_hand(admin: httpx.Client, browser: httpx.Client, empty: HubProcess) -> None:
    name = new_name()
    assert 'name="invitation"' in browser.get("/sign-up").text and "/sign-up" in browser.get("/sign-in").text
    refused = browser.post("/sign-up", data={"name": name, "password": PASSWORD})
    assert refused.status_code == 403 and "needs an invitation" in text_of(refused)
    refused = browser.post("/sign-up", data={"name": name, "password": PASSWORD, "invitation": "nonsense"})
    assert refused.status_code == 404 and "ask for a new one" in text_of(refused)
    form = {"name": name, "password": PASSWORD, "invitation": f" {empty.url}{invite(admin)} "}
    assert browser.post("/sign-up", data=form).status_code == 303 and who(browser) == name
    assert browser.get("/sign-up").headers["location"] == "/"


def test_open_and_closed_hubs(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "open" / "data", WASMHUB_SIGN_UP="open") as hub:
        with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as browser:
            assert 'name="invitation"' not in browser.get("/sign-up").text
            assert browser.post("/sign-up", data={"name": "ann", "password": PASSWORD}).status_code == 303
            assert who(browser) == "ann"
    with HubProcess(tmp_path / "closed" / "data", WASMHUB_SIGN_UP="closed") as hub:
        with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as browser:
            page = browser.get("/sign-up")
            assert "Nobody can sign up here" in text_of(page) and "<form class" not in page.text.partition("<main")[2]
            assert "/sign-up" not in browser.get("/sign-in").text
            assert browser.post("/sign-up", data={"name": "ann", "password": PASSWORD}).status_code == 403
            with httpx.Client(base_url=f"{hub.url}/api/v1", auth=("admin", hub.admin_password), trust_env=False) as api:
                assert api.post("/teams", json={"name": "crew"}).status_code == 201
                page = browser.get(invite(api, "crew"))
                assert "Nobody can sign up here" in text_of(page) and 'name="password"' not in page.text


def test_a_new_password_by_a_link(admin: httpx.Client, browser: httpx.Client) -> None:
    name, fresh = new_name(), "another-long-password"
    admin.post("/users", json={"name": name, "password": PASSWORD})
    browser.post("/sign-in", data={"name": name, "password": PASSWORD})
    path = str(httpx.URL(admin.post(f"/users/{name}/password-reset").json()["link"]).path)
    with httpx.Client(base_url=str(browser.base_url), timeout=30, trust_env=False) as other:
        assert f"Set a new password For {name} ." in text_of(other.get(path))
        page = other.post(path, data={"password": "short"})
        assert page.status_code == 400 and "at least 8" in text_of(page)
        evil = {"Sec-Fetch-Site": "cross-site"}
        assert other.post(path, data={"password": fresh}, headers=evil).status_code == 403
        assert other.post(path, data={"password": fresh}).status_code == 303 and who(other) == name
        assert who(browser) == ""
        for answer in (other.get(path), other.post(path, data={"password": fresh})):
            assert answer.status_code == 404 and "expired or was used" in text_of(answer)
    assert browser.post("/sign-in", data={"name": name, "password": fresh}).status_code == 303


@pytest.mark.parametrize("path", ["/invitations/", "/password-reset/"])
@pytest.mark.parametrize("secret", ["x", "whi_" + "0" * 42, "%00", "a" * 3000, "%F0%9F%92%A9"])
def test_links_that_lead_nowhere(browser: httpx.Client, path: str, secret: str) -> None:
    for answer in (browser.get(path + secret), browser.post(path + secret, data={"password": PASSWORD})):
        assert answer.status_code == 404, answer.text
