"""Every answer of every door: no page comes into a frame, nothing is taken for a page, no header is a stranger's."""

import re

import httpx
import pytest

from tests.auth.endpoints import ENDPOINTS
from tests.auth.world import World
from tests.hostile.routes import PARAMETER, all_routes, named

# What stands in the place of each parameter of a path, one after the other.
TRICKS = {
    "up": "..",
    "up-encoded": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "up-twice-encoded": "%252e%252e%252f",
    "slash": "a%2fb",
    "backslash": "..%5c..%5cwin.ini",
    "nul": "a%00b",
    "overlong": "%c0%ae%c0%ae%c0%af",
    "no-utf-8": "%ff%fe",
    "line-break": "a%0d%0aX-Injected:%20yes%0d%0a%0d%0a",
    "line-breaks-of-unicode": "a%e2%80%a8X-Injected:%20yes%c2%85",
    "case": "ADMIN",
    "long": "a" * 5000,
    "empty": "",
    "dot": ".",
    "percent": "%25%zz%",
    "surrogates": "%ed%a0%80",
    "braces": "{name}%7b%7d",
    "number": "9" * 40,
    "quotes": "'%22%3cscript%3ealert(1)%3c/script%3e",
}
PLAIN = ("application/json", "application/octet-stream", "application/wasm", "application/vnd.", "text/plain")
ROUTES = sorted(set(all_routes()))


def check(answer: httpx.Response) -> None:
    """What holds for each answer, whoever asked for what."""
    headers = answer.headers
    assert answer.status_code < 500, answer.text
    assert not any("injected" in name.lower() for name in headers)
    assert all(re.fullmatch(r"[\x20-\x7e]*", value) for value in headers.values()), headers
    if not answer.request.url.path.startswith("/sign-in/with/"):  # which leads to the provider, as its settings say
        assert headers.get("location", "/").startswith(("/", str(answer.request.url.copy_with(raw_path=b"/"))))
    kind = headers.get("content-type", "")
    if kind.startswith("text/html"):
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert "<script>alert(1)" not in answer.text
    elif kind and headers.get("x-content-type-options") != "nosniff":
        assert kind.startswith(PLAIN), kind  # nothing that a browser would make a page of


@pytest.mark.parametrize("name", named("GET"))
def test_good_answers(world: World, name: str) -> None:
    for person in ("administrator", "nobody"):
        asked = ENDPOINTS[name].ask(world, person)  # which needs nothing that would have to be taken away
        browser = world.registry(person) if ENDPOINTS[name].door == "registry" else world.browser(person)
        for path in (asked.path, f"{asked.path}{'&' if '?' in asked.path else '?'}next=%0d%0aX-Injected:%20yes"):
            check(browser.get(path))
    world.forget("nobody")  # who came back from a provider is somebody now


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_in_paths(world: World, trick: str) -> None:
    for method, route in ROUTES:
        path = PARAMETER.sub(lambda _: TRICKS[trick], route)
        if "{" not in route or (method == "DELETE" and trick in ("case", "empty")):  # these may be good names
            continue
        clients = [
            world.api("administrator") if route.startswith(("/api/", "/v2/")) else world.browser("administrator")
        ]
        if method == "GET":
            clients.append(world.browser("nobody"))
        for client in clients:
            check(client.request(method, httpx.URL(world.hub.url).copy_with(raw_path=path.encode())))


QUERIES = (
    *("/?q", "/?after", "/sign-in?next", "/sign-up?next", "/device?user_code", "/account?done", "/teams?after"),
    *("/site/users?q", "/site/users?after", "/r/a?tag", "/v2/_catalog?last", "/v2/_catalog?n", "/token?scope"),
    *("/api/v1/repositories?q", "/api/v1/users?after", "/api/v1/users?limit", "/api/v1/events?actor"),
)


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_in_queries_and_where_to_go_next(world: World, trick: str) -> None:
    for query in QUERIES:
        for person in ("administrator", "nobody"):
            path = f"{query}=/{TRICKS[trick]}".encode()
            check(world.browser(person).get(httpx.URL(world.hub.url).copy_with(raw_path=path)))
