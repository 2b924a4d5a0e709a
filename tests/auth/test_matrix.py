"""Every endpoint asked by every role: who is let in is what the table says, cold, warm, and once a right is gone."""

from collections.abc import Callable, Iterable, Iterator

import httpx
import pytest
from starlette.routing import BaseRoute, Route

from auth.identity import ANONYMOUS, Identity
from auth.permissions import VISIBILITY, Resource, allowed
from auth.token_door import ROUTES as TOKEN
from deploy.routes import ROUTES as DEPLOY
from registry.routes import READS
from registry.routes import ROUTES as REGISTRY
from tests.auth.answers import answer_to
from tests.auth.asking import Endpoint
from tests.auth.endpoints import ENDPOINTS
from tests.auth.people import People
from tests.auth.world import PERSONS, ROLES, World
from tests.hub import HubProcess
from wasmhub.health import HEALTH_PATHS
from web.routes import API, FORMS, PAGES

IDENTITIES = {
    "nobody": ANONYMOUS,
    "stranger": Identity(1, "stranger"),
    **{role: Identity(2, role) for role in ROLES},
    "auditor": Identity(3, "auditor", "auditor"),
    "administrator": Identity(4, "administrator", "administrator"),
}
# These are asked of a repository, or of what came from one: once for each of the three that the world has. To the
# others it is all one, and the world sees to it that they ask for none.
OF_A_REPOSITORY = [
    name
    for name, one in ENDPOINTS.items()
    if one.door in ("registry", "repository", "form")
    or "{name:path}" in name
    or "{target}/deploy" in name
    or "{rollout}" in name
    or "{set}" in name
    or name == "GET /modules/{grant}/{file}"
]
READ = [
    name
    for name, one in ENDPOINTS.items()
    if one.rule == "pull" and one.door != "target" and not name.startswith("POST")
]
DONE = range(200, 400)
# Who sees what of which visibility each engine is asked in tests/storage/test_scopes.py, and below of who loses it.
ONCE = pytest.mark.once("each set is asked for what is private; others differ by the table alone")


@pytest.fixture(scope="module")
def world(hub: HubProcess, people: People) -> Iterator[World]:
    """Everybody, and what they ask for."""
    made = World(hub, people)
    yield made
    made.close()


def test_every_route_has_its_place_in_the_matrix() -> None:
    routes = {*_named(REGISTRY), *_named(TOKEN), *_named(PAGES), *_named(API), *_named(DEPLOY)}
    routes |= {*READS, *(f"GET {path}" for path in HEALTH_PATHS)}
    assert routes - ENDPOINTS.keys() == set(), "new routes: say in tests/auth/endpoints.py who may use them"
    assert ENDPOINTS.keys() - routes == set(), "these routes are no more"


def _named(routes: Iterable[BaseRoute]) -> Iterator[str]:
    for route in routes:
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            # What a page's forms ask for differs in who may do it.
            forms = FORMS.get(route.path, {}) if method == "POST" else {}
            yield from (f"{method} {route.path} {form}" for form in forms) if forms else (f"{method} {route.path}",)


@pytest.mark.parametrize(
    ("name", "visibility"),
    [
        pytest.param(name, visibility, marks=[ONCE] if visibility in ("internal", "public") else [])
        for name in ENDPOINTS
        for visibility in (VISIBILITY if name in OF_A_REPOSITORY else ("",))
    ],
)
def test_who_is_let_in(world: World, name: str, visibility: str) -> None:
    endpoint, world.visibility = ENDPOINTS[name], visibility
    found, expected = {}, {}
    for person in PERSONS:
        asked = endpoint.ask(world, person)
        first = _ask(world, name, endpoint, person, asked.path, asked.more)
        again = _ask(world, name, endpoint, person, asked.path, asked.more) if _reads(name, endpoint) else first
        if asked.undo is not None:
            asked.undo()
        assert again.status_code == first.status_code, f"{name} by {person}, warm: {again.text}"
        found[person] = "let in" if _shows(endpoint, first) else _refusal(endpoint, first)
        expected[person] = _expected(endpoint, person, visibility)
    assert found == expected


# person, visibility at first -> how the right to pull goes, and how it comes back
GOING: dict[tuple[str, str], tuple[Callable[[World], None], Callable[[World], None]]] = {
    ("reader", "private"): (lambda world: world.join("reader", None), lambda world: world.join("reader", "reader")),
    ("stranger", "internal"): (lambda world: world.see("private"), lambda world: world.see("internal")),
}


@pytest.mark.parametrize("who", GOING, ids=lambda who: f"{who[0]} of what is {who[1]}")
@pytest.mark.parametrize("name", READ)
def test_whose_right_goes_is_put_out_at_once(world: World, name: str, who: tuple[str, str]) -> None:
    (person, world.visibility), (take, give_back) = who, GOING[who]
    endpoint = ENDPOINTS[name]
    world.sign_in_anew()
    path = endpoint.ask(world, person).path
    try:
        for _ in range(3):
            answer = _ask(world, name, endpoint, person, path, {})
            assert _shows(endpoint, answer), answer.text
        take(world)
        for _ in range(2):
            assert _refusal(endpoint, _ask(world, name, endpoint, person, path, {})) == 404
    finally:
        give_back(world)
    assert _shows(endpoint, _ask(world, name, endpoint, person, path, {}))


def _shows(endpoint: Endpoint, answer: httpx.Response) -> bool:
    there = answer.status_code in DONE and not _leads_to_sign_in(answer)
    return there and not (endpoint.nothing and endpoint.nothing in answer.text)


def _leads_to_sign_in(answer: httpx.Response) -> bool:
    return answer.headers.get("location", "").startswith("/sign-in?next=")


def _refusal(endpoint: Endpoint, answer: httpx.Response) -> int:
    """The status; 404 for a list of nothing, which says as little, and 401 for the way to the page of signing in."""
    if _leads_to_sign_in(answer):
        return 401
    return 404 if answer.status_code in DONE and not _shows(endpoint, answer) else answer.status_code


def _reads(name: str, endpoint: Endpoint) -> bool:
    return name.startswith(("GET", "HEAD")) and endpoint.door != "entrance"  # which is good once


def _ask(
    world: World, name: str, endpoint: Endpoint, person: str, path: str, more: dict[str, object]
) -> httpx.Response:
    """Asks in the way of the door: with a registry token, as a browser, or by name and password."""
    ways = {"registry": world.registry, "page": world.browser, "entrance": world.browser}
    client = ways.get(endpoint.door, world.browser if endpoint.browser else world.api)(person)
    answer = client.request(name.partition(" ")[0], path, **more)  # type: ignore[arg-type]
    if endpoint.door == "entrance":  # whoever came by it is somebody else now
        world.forget(person)
    return answer


def _expected(endpoint: Endpoint, person: str, visibility: str) -> str | int:
    """What the table makes of it: let in, or how this door refuses this person."""
    identity = IDENTITIES[person]
    shown = visibility if endpoint.door in ("registry", "repository", "page", "form") and visibility else "private"
    actions = allowed(identity, Resource(None, frozenset({person}) & frozenset(ROLES), shown))
    return answer_to(endpoint, identity, actions)
