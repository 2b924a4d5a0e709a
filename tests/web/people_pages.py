"""How tests fill in the forms of pages about people, and read what those say."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.test_pages import csrf_of


@contextmanager
def signed_in(hub: HubProcess, name: str, password: str = PASSWORD) -> Iterator[httpx.Client]:
    """Somebody's browser."""
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as client:
        assert client.post("/sign-in", data={"name": name, "password": password}).status_code == 303
        yield client


def send(browser: httpx.Client, page: str, form: str, **typed: Any) -> httpx.Response:
    """Sends a form to that page."""
    return browser.post(page, data={"csrf": csrf_of(browser.get("/")), "form": form, **typed})


def done(browser: httpx.Client, page: str, form: str, **typed: Any) -> str:
    """The same, where it must be done: the path that the browser is led to."""
    answer = send(browser, page, form, **typed)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def alert_of(page: httpx.Response) -> str:
    """What a page says was wrong."""
    found = re.findall(r'role="alert">([^<]*)<', page.text)
    assert len(found) == 1, page.text
    return str(found[0]).replace("&#39;", "'")


def forms_of(page: httpx.Response) -> set[str]:
    """The forms that a page has."""
    assert page.status_code == 200, page.text
    return set(re.findall(r'name="form" value="([^"]+)"', page.text))


def secret_of(page: httpx.Response) -> str:
    """What a page shows this once."""
    found = re.search(r'<section class="panel secret".*?<code>([^<]+)</code>', page.text, re.DOTALL)
    assert found and page.headers["cache-control"] == "no-store", page.text
    return found[1]
