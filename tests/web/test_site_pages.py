"""The pages and the API of the hub itself: its settings, what it stands on, what it stores, and its jobs."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.routing import Route

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in
from tests.web.test_pages import text_of
from web.routes import PAGES


@pytest.fixture
def keeper(empty: HubProcess) -> Iterator[httpx.Client]:
    """The administrator's browser."""
    with signed_in(empty, "admin", empty.admin_password) as browser:
        yield browser


def test_who_sees_the_pages_of_the_hub(empty: HubProcess, admin: httpx.Client, keeper: httpx.Client) -> None:
    for name, role in (("watcher", "auditor"), ("nobody-much", "user")):
        made = {"name": name, "password": PASSWORD, "role": role}
        assert admin.post("/users", json=made).status_code == 201
    for path in ("/site/settings", "/site/upkeep"):
        with signed_in(empty, "watcher") as browser:
            assert forms_of(browser.get(path)) == set()
        with signed_in(empty, "nobody-much") as browser:
            assert browser.get(path).status_code == 404
        assert keeper.get(path).status_code == 200
    with signed_in(empty, "watcher") as browser:
        assert send(browser, "/site/upkeep", "collect").status_code == 403


def test_each_page_of_people_is_a_link_away(empty: HubProcess, admin: httpx.Client, keeper: httpx.Client) -> None:
    assert admin.post("/teams", json={"name": "signposts"}).status_code == 201
    pages = {route.path.replace("{team}", "signposts") for route in PAGES if isinstance(route, Route)}
    for start in ("/account", "/site/users", "/teams/signposts", "/teams/signposts/robots"):
        room = "/teams/signposts" if start.startswith("/teams/") else f"/{start.split('/')[1]}"
        there = {path for path in pages if path.startswith(room) and "{" not in path}
        assert there <= set(re.findall(r'href="([^"?#]+)"', keeper.get(start).text)), start
    for name, role in (("reads-it", "reader"), ("owns-it", "owner")):
        assert admin.post("/users", json={"name": name, "password": PASSWORD}).status_code == 201
        assert admin.put(f"/teams/signposts/members/{name}", json={"role": role}).status_code == 200
        with signed_in(empty, name) as browser:
            for page in ("/teams/signposts", "/teams/signposts/robots"):
                assert ("/teams/signposts/audit" in browser.get(page).text) == (role == "owner")


def test_settings_say_where_they_were_set(empty: HubProcess, admin: httpx.Client, keeper: httpx.Client) -> None:
    rows = {row["name"]: row for row in admin.get("/settings").json()["settings"]}
    assert rows["WASMHUB_DATA"] == rows["WASMHUB_DATA"] | {"value": str(empty.data), "source": "the environment"}
    text = text_of(keeper.get("/site/settings"))
    assert f"{empty.data} from the environment" in text and "3600 default" in text
    assert "365 default" in text and ".0 default" not in text


def test_the_audit_log_names_a_wrong_field_as_the_page_does(keeper: httpx.Client) -> None:
    for name, label in (("since", "From day"), ("until", "To day")):
        page = keeper.get("/site/audit", params={name: "soon"})
        assert page.status_code == 400 and f"'{label}' must be a time" in alert_of(page)


def test_a_garbage_collection_is_asked_for_and_seen(admin: httpx.Client, keeper: httpx.Client) -> None:
    assert forms_of(keeper.get("/site/upkeep")) == {"collect"}
    assert done(keeper, "/site/upkeep", "collect", dry_run="yes") == "/site/upkeep?done=collect#runs"
    deadline = time.monotonic() + 20
    while "finished dry run" not in (text := text_of(keeper.get("/site/upkeep?done=collect"))):
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    assert "asked for by admin" in text and "Asked for. It begins" in text
    assert admin.get("/garbage-collections").json()["garbage_collections"][0]["dry_run"] is True


def test_what_is_stored_is_counted(full: HubProcess, admin: httpx.Client, keeper: httpx.Client) -> None:
    with httpx.Client(auth=("admin", full.admin_password), trust_env=False) as asking:
        found = asking.get(f"{full.url}/api/v1/upkeep").json()
        listed = asking.get(f"{full.url}/api/v1/repositories", params={"limit": 100}).json()["repositories"]
    assert found["parts"] == {"database": "ok", "blobs": "ok"}
    assert found["stored"]["repositories"] >= len(listed) > 0  # those of deleted teams are still there
    assert found["stored"]["size"] > found["stored"]["blobs"] > 0
    assert found["stored"]["waiting"] == found["stored"]["damaged"] == 0
    nothing = admin.get("/upkeep").json()["stored"]
    assert nothing["blobs"] == 0 and nothing["oldest_check"] is None
    assert "database ok blobs ok" in text_of(keeper.get("/site/upkeep"))
