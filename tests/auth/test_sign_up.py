"""Signing up: by an invitation to the hub or into a team, without one where the hub is open, and who is refused."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD, People
from tests.auth.test_accounts_api import error_of
from tests.hub import HubProcess

SIGN_UP, SHOW = "/api/v1/sign-up", "/api/v1/invitations/show"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub of their own: bad invitations count as wrong passwords do, and not many may be tried in a minute."""
    with HubProcess(tmp_path_factory.mktemp("invites") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def people(hub: HubProcess) -> Iterator[People]:
    """People in that hub."""
    database = hub.open_database()
    yield People(database)
    database.close()


@pytest.fixture
def api(hub: HubProcess) -> Iterator[httpx.Client]:
    """The API, asked by the administrator."""
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def open_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub where everybody may sign up. It believes X-Forwarded-For, so that many can ask."""
    data = tmp_path_factory.mktemp("open") / "data"
    with HubProcess(data, WASMHUB_SIGN_UP="open", WASMHUB_TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


def invite(api: httpx.Client, path: str = "/invitations", **body: Any) -> dict[str, Any]:
    """A new invitation."""
    made = api.post(path, json=body)
    assert made.status_code == 201, made.text
    document: dict[str, Any] = made.json()
    return document


def join(hub: HubProcess, name: str, address: str = "10.1.0.1", **more: str) -> httpx.Response:
    """Signs somebody up."""
    body = {"name": name, "password": PASSWORD, **more}
    headers = {"X-Forwarded-For": address}
    return httpx.post(hub.url + SIGN_UP, json=body, headers=headers, trust_env=False, timeout=60)


def test_an_invitation_to_the_hub_makes_one_account(api: httpx.Client, hub: HubProcess, word: str) -> None:
    made = invite(api, role="auditor", note="for the auditors")
    assert made["link"] == f"{hub.url}/invitations/{made['secret']}" and made["team"] is None
    listed = next(one for one in api.get("/invitations").json()["invitations"] if one["id"] == made["id"])
    assert listed == {key: value for key, value in made.items() if key not in ("secret", "link")}
    shown = httpx.post(hub.url + SHOW, json={"secret": made["secret"]}, trust_env=False).json()
    assert shown == {"team": None, "role": "auditor", "invited_by": "admin", "expires_at": made["expires_at"]}

    answer = join(hub, word, invitation=made["secret"], full_name="Ann Other", email="ann@example.com")
    assert answer.status_code == 201, answer.text
    assert answer.json() == api.get(f"/users/{word}").json()
    assert {key: answer.json()[key] for key in ("name", "role", "full_name", "email", "active")} == {
        "name": word,
        "role": "auditor",
        "full_name": "Ann Other",
        "email": "ann@example.com",
        "active": True,
    }
    assert httpx.get(f"{hub.url}/token", auth=(word, PASSWORD), trust_env=False).status_code == 200
    for again in (join(hub, f"{word}-2", invitation=made["secret"]), _show(hub, made["secret"])):
        assert error_of(again) == (404, "not_found") and "ask for a new one" in again.text


def test_an_invitation_into_a_team_lets_the_new_user_in_at_once(
    api: httpx.Client, hub: HubProcess, people: People, word: str
) -> None:
    people.team(f"{word}-team")
    made = invite(api, f"/teams/{word}-team/invitations", role="writer")
    assert _show(hub, made["secret"]).json()["team"] == f"{word}-team"
    assert join(hub, word, invitation=made["secret"]).json()["role"] == "user"
    members = api.get(f"/teams/{word}-team/members").json()["members"]
    assert {one["name"]: one["role"] for one in members} == {"admin": "owner", word: "writer"}
    what = "action, actor_name, CAST(detail AS TEXT)"
    events = people.rows(f"SELECT {what} FROM events WHERE subject = :n ORDER BY id", n=word)
    assert [event[:2] for event in events] == [
        ("namespace.create", "anonymous"),
        ("user.create", "anonymous"),
        ("user.sign-up", word),
    ]
    assert f'"team": "{word}-team"' in events[-1][2] and '"invited_by": "admin"' in events[-1][2]


def test_of_many_at_once_one_gets_in(api: httpx.Client, hub: HubProcess, people: People, word: str) -> None:
    secret = invite(api)["secret"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: join(hub, f"{word}-{number}", invitation=secret), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[404] * 5]
    assert len(people.rows("SELECT 1 FROM namespaces WHERE name LIKE :n", n=f"{word}-%")) == 1


def test_a_name_that_is_taken_leaves_the_invitation_good(api: httpx.Client, hub: HubProcess, word: str) -> None:
    secret = invite(api)["secret"]
    assert error_of(join(hub, "admin", invitation=secret)) == (409, "conflict")
    assert error_of(join(hub, "v2", invitation=secret)) == (400, "invalid_name")
    assert join(hub, word, invitation=secret).status_code == 201


def test_an_invitation_is_taken_back(api: httpx.Client, hub: HubProcess, people: People, word: str) -> None:
    made = invite(api)
    people.team(f"{word}-team")
    of_team = invite(api, f"/teams/{word}-team/invitations")["id"]
    absences = {of_team: 409, 0: 409, "9" * 18: 409, "9" * 19: 404, "9" * 5000: 404, "\u0663": 404}
    for absent, status in absences.items():
        answer = api.delete(f"/invitations/{absent}")
        assert error_of(answer)[0] == status and "there is no invitation" in answer.text
    assert error_of(api.delete(f"/teams/{word}-team/invitations/{'9' * 5000}")) == (404, "not_found")
    assert api.delete(f"/invitations/{made['id']}").status_code == 204
    assert error_of(join(hub, word, invitation=made["secret"])) == (404, "not_found")
    assert made["id"] not in [one["id"] for one in api.get("/invitations").json()["invitations"]]


@pytest.mark.parametrize(
    "body",
    [
        {"role": "owner"},
        {"role": None},
        {"note": 5},
        {"note": "x" * 1025},
        {"expires_in_days": 0},
        {"expires_in_days": 31},
        {"expires_in_days": "7"},
        {"team": "acme"},
    ],
)
def test_bad_invitations(api: httpx.Client, body: dict[str, Any]) -> None:
    assert error_of(api.post("/invitations", json=body)) == (400, "bad_request")


def test_who_has_no_invitation_is_told_so(http: httpx.Client, word: str) -> None:
    body = {"name": word, "password": PASSWORD}
    refused = http.post(SIGN_UP, json=body)
    assert error_of(refused) == (403, "forbidden") and "needs an invitation" in refused.text
    for secret in ("x", "whi_" + "0" * 42):
        assert error_of(http.post(SIGN_UP, json=body | {"invitation": secret})) == (404, "not_found")
    for bad in (None, "", 5, "a\x00b"):
        assert error_of(http.post(SIGN_UP, json=body | {"invitation": bad})) == (400, "bad_request")
        assert error_of(http.post(SHOW, json={"secret": bad})) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": ""}, (400, "bad_request")),
        ({"name": "Upper"}, (400, "invalid_name")),
        ({"name": "sign-up"}, (400, "invalid_name")),
        ({"name": "admin"}, (409, "conflict")),
        ({"password": "short"}, (400, "bad_request")),
        ({"password": None}, (400, "bad_request")),
        ({"full_name": "a\nb"}, (400, "bad_request")),
        ({"full_name": "x" * 101}, (400, "bad_request")),
        ({"email": "nowhere"}, (400, "bad_request")),
        ({"email": "a@b@c"}, (400, "bad_request")),
        ({"email": "a b@example.com"}, (400, "bad_request")),
        ({"email": f"{'x' * 251}@b.c"}, (400, "bad_request")),
        ({"role": "administrator"}, (400, "bad_request")),
        ({"invitation": "x"}, (404, "not_found")),
    ],
)
def test_bad_sign_ups(open_hub: HubProcess, word: str, body: dict[str, Any], expected: tuple[int, str]) -> None:
    answer = httpx.post(open_hub.url + SIGN_UP, json={"name": word, "password": PASSWORD} | body, trust_env=False)
    assert error_of(answer) == expected


def test_everybody_signs_up_at_an_open_hub_as_a_mere_user(open_hub: HubProcess, word: str) -> None:
    assert join(open_hub, word).json()["role"] == "user"
    answer = httpx.get(f"{open_hub.url}/api/v1/users", auth=(word, PASSWORD), trust_env=False)
    assert error_of(answer) == (403, "forbidden")
    assert PASSWORD not in open_hub.log()


def test_an_address_makes_only_so_many_accounts(open_hub: HubProcess, word: str) -> None:
    """Names that are taken count as well: nobody finds out who is there by trying."""
    addresses = [f"2001:db8:0:9::{number}" for number in range(100)]  # all one person's
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda address: join(open_hub, "admin", address), addresses))
    statuses = [answer.status_code for answer in answers]
    assert {*statuses} == {409, 429} and 60 <= statuses.count(409) <= 90
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert error_of(refused) == (429, "too_many_requests") and 1 <= int(refused.headers["retry-after"]) <= 3
    assert join(open_hub, word, "2001:db8:0:a::1").status_code == 201

    # Who comes by a link is not counted: it is good once.
    auth = ("admin", open_hub.admin_password)
    with httpx.Client(base_url=f"{open_hub.url}/api/v1", auth=auth, trust_env=False) as api:
        for number in range(3):
            name = f"{word}-{number}-{secrets.token_hex(2)}"
            assert join(open_hub, name, "10.1.0.9", invitation=invite(api)["secret"]).status_code == 201


def test_nobody_signs_up_at_a_closed_hub(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    with HubProcess(tmp_path_factory.mktemp("closed") / "data", WASMHUB_SIGN_UP="closed") as closed:
        auth = ("admin", closed.admin_password)
        refused = httpx.post(f"{closed.url}/api/v1/invitations", json={}, auth=auth, trust_env=False)
        assert error_of(refused) == (409, "conflict") and "WASMHUB_SIGN_UP" in refused.text
        for more in ({}, {"invitation": "x"}):
            assert error_of(join(closed, word, **more)) == (403, "forbidden")


def _show(hub: HubProcess, secret: str) -> httpx.Response:
    return httpx.post(hub.url + SHOW, json={"secret": secret}, trust_env=False)
