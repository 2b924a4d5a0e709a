"""The page of one's own name: another one, names that one had, and the account's end."""

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, send, signed_in
from tests.web.test_pages import text_of

HERE = "/account/name"


@pytest.fixture
def ann(admin: httpx.Client) -> str:
    """Somebody's name."""
    name = f"ann-{secrets.token_hex(4)}"
    assert admin.post("/users", json={"name": name, "password": PASSWORD}).status_code == 201
    return name


@pytest.fixture
def browser(empty: HubProcess, ann: str) -> Iterator[httpx.Client]:
    """Their browser."""
    with signed_in(empty, ann) as opened:
        yield opened


def test_somebody_takes_another_name_and_lets_the_old_one_go(
    empty: HubProcess, admin: httpx.Client, ann: str, browser: httpx.Client
) -> None:
    new = f"{ann}-new"
    assert done(browser, HERE, "rename", name=f" {new} ") == f"{HERE}?done=rename"
    assert f"You are called {new} now." in text_of(browser.get(f"{HERE}?done=rename"))
    with signed_in(empty, ann), signed_in(empty, new):  # either name signs in
        pass
    assert "Type the name" in alert_of(send(browser, HERE, "forget", old=ann, confirm="x"))
    assert "Type the name" in alert_of(send(browser, HERE, "forget", confirm="x"))  # without the field of which one
    done(browser, HERE, "forget", old=ann, confirm=ann)
    assert admin.get(f"/users/{new}").status_code == 200 and admin.get(f"/users/{ann}").status_code == 404

    for name, reason in (("admin", "taken"), ("Not A Name", "lower-case"), ("", "1 to")):
        assert reason in alert_of(send(browser, HERE, "rename", name=name))


def test_somebody_deletes_their_account(
    empty: HubProcess, admin: httpx.Client, ann: str, browser: httpx.Client
) -> None:
    team = f"{ann}-team"
    basic = (ann, PASSWORD)
    mine = httpx.Client(base_url=f"{empty.url}/api/v1", auth=basic, timeout=30, trust_env=False)
    with mine:
        assert mine.post("/teams", json={"name": team}).status_code == 201
        assert "Type the name" in alert_of(send(browser, HERE, "delete", confirm="somebody"))
        assert "only owner" in alert_of(send(browser, HERE, "delete", confirm=ann))
        assert mine.delete("/user").status_code == 409
        assert mine.put(f"/teams/{team}/members/admin", json={"role": "owner"}).status_code == 200
        assert "the heir must be" in alert_of(send(browser, HERE, "delete", confirm=ann, heir="absent-one")).lower()
        whole = mine.post("/user/tokens", json={"name": "whole"}).json()["token"]
        refused = httpx.delete(f"{empty.url}/api/v1/user", auth=("any", whole), trust_env=False)
        assert refused.status_code == 403 and "a token alone" in refused.text
        narrow = mine.post("/user/tokens", json={"name": "x", "scopes": ["repository:*:pull"]}).json()["token"]
        assert httpx.delete(f"{empty.url}/api/v1/user", auth=("any", narrow), trust_env=False).status_code == 403
        assert done(browser, HERE, "delete", confirm=ann) == "/"
        assert mine.get("/user").status_code == 401
    assert browser.get("/account").status_code == 303
    assert admin.get(f"/users/{ann}").status_code == 404


def test_the_last_administrator_stays(empty: HubProcess) -> None:
    with signed_in(empty, "admin", empty.admin_password) as browser:
        assert "last administrator" in alert_of(send(browser, HERE, "delete", confirm="admin"))
        assert browser.get("/account").status_code == 200
