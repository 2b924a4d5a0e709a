"""What other sites have a browser send is refused by every form and every endpoint that changes something."""

import httpx
import pytest

from tests.auth.asking import Ask
from tests.auth.endpoints import ENDPOINTS
from tests.auth.world import World
from tests.hostile.routes import meant, named

CHANGING = named("POST", "PUT", "PATCH", "DELETE")
# They go by what no browser brings by itself: a fleet's key, or secrets in the body. No cookie counts there, so that
# other sites have nothing to use.
WITHOUT_A_COOKIE = ("POST /token", "POST /device_authorization", "POST /revoke", "POST /v3/discovery:extension_configs")
FROM_ELSEWHERE: list[dict[str, str]] = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


def is_form(name: str) -> bool:
    """Whether an endpoint is a form of a page."""
    path = name.split()[1]
    return not path.startswith(("/api/", "/v2/", "/v3/", "/modules/")) and name not in WITHOUT_A_COOKIE


FORMS = [name for name in CHANGING if is_form(name)]
API = [name for name in CHANGING if name.split()[1].startswith("/api/")]
# Who is not signed in sends these: there is no session yet whose token they could carry.
ENTRANCES = ("/sign-in", "/sign-up", "/invitations/", "/password-reset/", "/sign-out")


def send(world: World, name: str, asked: Ask, headers: dict[str, str], **changed: str) -> httpx.Response:
    """Sends a request as the administrator's browser would, or a stranger's, with some of its fields changed."""
    person = "nobody" if name.split()[1].startswith(ENTRANCES[:-1]) else "administrator"
    more = {key: value for key, value in asked.more.items() if key != "auth"}
    more["headers"] = {**more.get("headers", {}), **headers}
    if changed:
        more["data"] = {**more["data"], **changed}
    return world.browser(person).request(name.split()[0], asked.path, **more)


def is_refused(answer: httpx.Response) -> bool:
    """Whether nothing was done: that is said, or it leads to where one signs in, without a cookie."""
    leads_away = answer.status_code == 303 and answer.headers["location"].startswith("/sign-in")
    return answer.status_code in (401, 403) or (leads_away and "set-cookie" not in answer.headers)


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_other_sites_do_nothing(world: World, name: str) -> None:
    with meant(world, name) as asked:
        for headers in FROM_ELSEWHERE:
            assert is_refused(send(world, name, asked, headers)), headers


@pytest.mark.parametrize("name", [name for name in FORMS if not name.split()[1].startswith(ENTRANCES)])
def test_forms_need_the_token_of_their_session(world: World, name: str) -> None:
    other = world.csrf("owner")
    with meant(world, name) as asked:
        own = asked.more["data"]["csrf"]
        for token in ("", "x", own[:-1], own.upper(), other, f"{own}\0"):
            answer = send(world, name, asked, {}, csrf=token)
            assert answer.status_code == 403 and "not from a page of the hub" in answer.text, token


@pytest.mark.parametrize("name", [name for name in API if ENDPOINTS[name].rule != "everybody"])
def test_the_api_does_nothing_for_a_cookie_alone(world: World, name: str) -> None:
    token, other = world.csrf("administrator"), world.csrf("owner")
    with meant(world, name) as asked:
        token = asked.more.get("headers", {}).get("X-CSRF-Token", token)
        for headers in ({"X-CSRF-Token": ""}, {"X-CSRF-Token": other}, *FROM_ELSEWHERE):
            answer = send(world, name, asked, {"X-CSRF-Token": token, **headers})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf"), headers


def test_each_form_is_met() -> None:
    assert len(FORMS) > 40 and len(API) > 50
    assert {name for name in CHANGING if name not in FORMS and name not in API} == {
        *WITHOUT_A_COOKIE,
        *(name for name in CHANGING if name.split()[1].startswith("/v2/")),
    }
