"""What a deployment follows on its page, and how the form asks for it."""

import html
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.deploy.fleet import Fleet, header_filter, until
from tests.deploy.test_checks import SIGNER
from tests.hub import HubProcess
from tests.web.deploying import FILTER, fill
from tests.web.people_pages import alert_of, done, send, signed_in

TARGET = "follow-fleet"
PAGE = f"/targets/{TARGET}/deployments/marks"
FORM = f"/targets/{TARGET}/deploy"
TYPED: dict[str, Any] = {"filter": FILTER, "name": "marks", "c-name": "x", "config_as": "fields"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet that no proxy asks for, and a filter."""
    with HubProcess(tmp_path_factory.mktemp("follows") / "data") as hub, Fleet(hub, TARGET) as made:
        fill(made)
        yield made
        hub.check_log()


@pytest.fixture
def browser(fleet: Fleet) -> Iterator[httpx.Client]:
    with signed_in(fleet.hub, "admin", fleet.hub.admin_password) as client:
        yield client
        fleet.http.delete(f"{fleet.path}/deployments/marks")


def shown(browser: httpx.Client, address: str = PAGE) -> str:
    """The page's words."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", browser.get(address).text)).split())


def test_the_form_asks_what_is_followed_and_keeps_it(fleet: Fleet, browser: httpx.Client) -> None:
    asked = {**TYPED, "version": "1.0.0", "follow": "range", "versions": ">=1 <3"}
    page = send(browser, FORM, "preview", **asked)
    said = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())
    assert f"The highest version in >=1 <3 of {FILTER} runs, also of those that come later, if nothing speaks" in said
    assert done(browser, FORM, "deploy", **asked) == f"{PAGE}?done=deploy"
    until(lambda: fleet.deployment("marks")["revision"]["number"] == 2, "what is higher follows")
    page = shown(browser)
    assert f"Followed {FILTER}:2.0.0 for admin" in page
    assert "Follows versions in >=1 <3 as admin said" in page and "A newer version" not in page
    form = browser.get(f"{FORM}?filter={FILTER}&name=marks").text
    assert '<option value="range" selected>' in form and 'value="&gt;=1 &lt;3"' in form and 'value="2.0.0"' in form

    again = {**TYPED, "version": "2.0.0", "follow": ""}
    assert f"It no longer follows {FILTER} >=1 <3" in html.unescape(send(browser, FORM, "preview", **again).text)
    done(browser, FORM, "deploy", **again)
    assert fleet.deployment("marks")["follow"] is None and "Follows" not in shown(browser)


def test_what_is_no_range_is_said_in_the_form(browser: httpx.Client) -> None:
    for versions, why in (("newest", "is no range of versions"), ("", "a range of versions is missing"), ("^7", "^7")):
        refused = send(browser, FORM, "preview", **TYPED, follow="range", versions=versions)
        assert refused.status_code in (400, 404) and why in html.unescape(alert_of(refused)), refused.text
    refused = send(browser, FORM, "preview", **TYPED, follow="tag")
    assert refused.status_code == 400 and "needs a reference with a tag" in alert_of(refused)


def test_the_page_says_what_waits_and_what_was_refused(fleet: Fleet, browser: httpx.Client) -> None:
    fleet.push("add-header", "moving", header_filter("one"))
    fleet.deploy("marks", f"{FILTER}:moving", follow="tag", config={"name": "x"})
    settings = {"refresh_seconds": 0.2, "freeze": {"why": "the shop is open"}}
    assert fleet.http.patch(fleet.path, json={"settings": settings}).status_code == 200
    fleet.push("add-header", "moving", header_filter("two"))
    said = f"It waits to follow {FILTER}:moving: {TARGET} is frozen: the shop is open."
    until(lambda: said in shown(browser), "it is said")
    assert "A newer version waits" in shown(browser) and "What runs, runs on." in shown(browser)
    settings = {"refresh_seconds": 0.2, "max_filters": 1}
    fleet.http.patch(fleet.path, json={"settings": settings})
    until(lambda: fleet.deployment("marks")["revision"]["number"] == 2, "it opens")
    assert "A newer version waits" not in shown(browser)
    answer = fleet.http.patch(fleet.path, json={"settings": {"refresh_seconds": 0.2, "cosign_keys": [SIGNER.pem]}})
    assert answer.status_code == 200, answer.text
    began = time.monotonic()
    fleet.push("add-header", "moving", header_filter("three"))
    until(lambda: "A newer version was refused" in shown(browser), "it is refused")
    assert time.monotonic() - began < 15
    assert f"It does not follow {FILTER}:moving: {FILTER}:moving is not signed by a key" in shown(browser)
    assert "it is tried again by itself" in shown(browser)
    fleet.http.patch(fleet.path, json={"settings": {"refresh_seconds": 0.2}})
