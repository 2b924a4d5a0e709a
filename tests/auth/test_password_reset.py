"""Password resets: an administrator makes a link, its holder sets a new password once, and nothing old goes on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.auth.people import PASSWORD, People
from tests.auth.test_accounts_api import error_of
from tests.hub import HubProcess

RESET = "/api/v1/password-reset"
NEW = "another-long-password"


@pytest.fixture
def api(hub: HubProcess) -> Iterator[httpx.Client]:
    """The API, asked by the administrator."""
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        yield client


def link_for(api: httpx.Client, name: str) -> str:
    """The secret of a new link."""
    made = api.post(f"/users/{name}/password-reset")
    assert made.status_code == 201, made.text
    secret: str = made.json()["secret"]
    return secret


def test_a_link_sets_a_new_password_once(
    api: httpx.Client, hub: HubProcess, http: httpx.Client, people: People, word: str
) -> None:
    personal = people.token(people.user(word))
    login = http.get("/token", params={"offline_token": "true"}, auth=(word, PASSWORD)).json()["refresh_token"]
    made = api.post(f"/users/{word}/password-reset").json()
    assert made["link"] == f"{hub.url}/password-reset/{made['secret']}" and made["expires_at"].endswith("Z")
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200

    assert http.post(RESET, json={"secret": made["secret"], "password": NEW}).json() == {"name": word}
    statuses = [http.get("/token", auth=(word, it)).status_code for it in (PASSWORD, login, NEW, personal)]
    assert statuses == [401, 401, 200, 200]
    again = http.post(RESET, json={"secret": made["secret"], "password": PASSWORD})
    assert error_of(again) == (404, "not_found") and "ask an administrator" in again.text
    commands = "subject = :n AND action NOT LIKE 'sign-in.%'"
    events = people.rows(f"SELECT action, actor_name FROM events WHERE {commands} ORDER BY id DESC LIMIT 2", n=word)
    assert events == [("user.set-password", word), ("password-reset.create", "admin")]
    assert made["secret"] not in hub.log()


def test_of_many_at_once_one_sets_it(api: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    secret = link_for(api, word)
    with ThreadPoolExecutor(4) as pool:
        bodies = [{"secret": secret, "password": f"{NEW}-{number}"} for number in range(4)]
        statuses = list(pool.map(lambda body: http.post(RESET, json=body).status_code, bodies))
    assert sorted(statuses) == [200, 404, 404, 404]
    assert http.get("/token", auth=(word, f"{NEW}-{statuses.index(200)}")).status_code == 200


def test_what_makes_a_link_worthless(api: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    first = link_for(api, word)
    second = link_for(api, word)
    body = {"password": NEW}
    assert error_of(http.post(RESET, json={"secret": first, **body})) == (404, "not_found")
    assert api.put(f"/users/{word}/password", json={"password": PASSWORD}).status_code == 204
    assert error_of(http.post(RESET, json={"secret": second, **body})) == (404, "not_found")

    third = link_for(api, word)
    people.run("UPDATE password_resets SET expires_at = 1 WHERE user_id = :u", u=people.user(word))
    assert error_of(http.post(RESET, json={"secret": third, **body})) == (404, "not_found")

    fourth = link_for(api, word)
    api.patch(f"/users/{word}", json={"active": False})
    assert error_of(http.post(RESET, json={"secret": fourth, **body})) == (404, "not_found")
    refused = api.post(f"/users/{word}/password-reset")
    assert error_of(refused) == (409, "conflict") and "activate them first" in refused.text


def test_bad_resets(api: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    secret = link_for(api, word)
    for body in ({}, {"secret": secret}, {"secret": secret, "password": "short"}, {"secret": None, "password": NEW}):
        assert error_of(http.post(RESET, json=body)) == (400, "bad_request")
    for other in ("x", "whn_" + "0" * 42, people.token(people.user(word))):
        assert error_of(http.post(RESET, json={"secret": other, "password": NEW})) == (404, "not_found")
    assert error_of(api.post("/users/nobody-there/password-reset")) == (404, "not_found")
    assert error_of(api.post(f"/users/{word}/password-reset", json={"days": 9})) == (400, "bad_request")
    refused = api.post("/users/admin/password-reset")
    assert error_of(refused) == (403, "forbidden") and "current one" in refused.text
    assert http.post(RESET, json={"secret": secret, "password": NEW}).status_code == 200


@pytest.mark.parametrize("how", ["demoted", "deactivated", "deleted"])
def test_who_runs_the_hub_no_more_has_no_way_into_others_accounts(
    api: httpx.Client, http: httpx.Client, people: People, word: str, how: str
) -> None:
    """Nobody knows who kept which link, so that all of them end."""
    people.user(word)
    former = f"{word}-admin"
    people.user(former, role="administrator")
    kept = http.post(f"/api/v1/users/{word}/password-reset", auth=(former, PASSWORD))
    assert kept.status_code == 201, kept.text
    if how == "deleted":
        done = api.delete(f"/users/{former}")
    else:
        done = api.patch(f"/users/{former}", json={"role": "user"} if how == "demoted" else {"active": False})
    assert done.status_code < 300, done.text
    body = {"secret": kept.json()["secret"], "password": NEW}
    assert error_of(http.post(RESET, json=body)) == (404, "not_found")
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
