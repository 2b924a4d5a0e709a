"""People who leave: removed for good they leave what they own to an heir, and nothing of theirs works any more."""

from collections.abc import Iterator

import httpx
import pytest

from tests.auth.people import PASSWORD, ClientOf, People
from tests.auth.test_accounts_api import error_of
from tests.hub import HubProcess


@pytest.fixture
def api(hub: HubProcess) -> Iterator[httpx.Client]:
    """The API, asked by the administrator."""
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as client:
        yield client


def refused(answer: httpx.Response, words: str) -> None:
    """Says that it contradicts what is there, with a sentence that has these words."""
    assert error_of(answer) == (409, "conflict") and words in answer.json()["error"]["message"], answer.text


def test_who_owns_nothing_is_removed_and_their_name_is_free(
    api: httpx.Client, http: httpx.Client, people: People, word: str
) -> None:
    token = people.token(people.user(word))
    assert api.delete(f"/users/{word}").status_code == 204
    assert error_of(api.get(f"/users/{word}")) == (404, "not_found")
    assert error_of(api.delete(f"/users/{word}")) == (404, "not_found")
    for auth in ((word, PASSWORD), (word, token)):
        assert http.get("/token", auth=auth).status_code == 401
    assert people.rows("SELECT actor_name FROM events WHERE subject = :n AND action = 'user.delete'", n=word) == [
        ("admin",)
    ]
    again = api.post("/users", json={"name": word, "password": PASSWORD}).json()
    assert again["active"] and http.get("/token", auth=(word, token)).status_code == 401


@pytest.mark.parametrize("kind", ["user", "team"])
def test_an_heir_gets_what_was_theirs(
    api: httpx.Client, people: People, client_of: ClientOf, word: str, kind: str
) -> None:
    heir, owner, name = f"{word}-heir", f"{word}-boss", f"{word}/filter"
    people.user(word)
    people.user(owner)
    if kind == "team":
        people.team(heir, **{owner: "owner"})
    else:
        owner = heir
        people.user(heir)
    client_of(word).push_image(name, "v1", b"layer")
    refused(api.delete(f"/users/{word}"), "name an heir")
    refused(api.delete(f"/users/{word}", params={"heir": word}), "their own heir")

    assert api.delete(f"/users/{word}", params={"heir": heir}).status_code == 204
    with httpx.Client(base_url=str(api.base_url), auth=(owner, PASSWORD), trust_env=False) as theirs:
        assert theirs.patch(f"/repositories/{name}", json={"description": "kept"}).status_code == 200
    refused(api.post("/users", json={"name": word}), "taken")


def test_who_cannot_be_an_heir(api: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    people.namespace(f"{word}-plain")
    people.team(f"{word}-team")
    assert api.delete(f"/teams/{word}-team").status_code == 204
    for nobody in ("", "nobody-there", f"{word}-plain", f"{word}-team", "../x", "x" * 2000):
        assert error_of(api.delete(f"/users/{word}", params={"heir": nobody})) == (400, "bad_request")
    people.user(f"{word}-gone")
    assert api.patch(f"/users/{word}-gone", json={"active": False}).status_code == 200
    refused(api.delete(f"/users/{word}", params={"heir": f"{word}-gone"}), f"{word}-gone cannot inherit")
    assert api.get(f"/users/{word}").status_code == 200


def test_the_only_owner_of_a_team_hands_it_over_first(api: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    people.team(f"{word}-team", **{word: "owner"})
    assert api.delete(f"/teams/{word}-team/members/admin").status_code == 204
    refused(api.delete(f"/users/{word}", params={"heir": "admin"}), f"{word} is the only owner of {word}-team")
    assert api.put(f"/teams/{word}-team/members/admin", json={"role": "owner"}).status_code == 200
    assert api.delete(f"/users/{word}").status_code == 204
    assert [one["name"] for one in api.get(f"/teams/{word}-team/members").json()["members"]] == ["admin"]


def test_a_user_cannot_remove_themselves(http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    assert error_of(http.delete(f"/api/v1/users/{word}", auth=(word, PASSWORD))) == (403, "forbidden")
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
