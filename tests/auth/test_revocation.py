"""Rights that are taken away hold at once, on tokens and answers that are warm in the server's memory."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from auth.passwords import hash_password
from storage.departures import delete_user
from storage.events import SYSTEM
from storage.namespaces import find_namespace
from storage.tokens import delete_access_token
from storage.users import activate_user, change_password, deactivate_user, set_password, set_role
from tests.auth.people import PASSWORD, ClientOf, People


@pytest.fixture
def warm(client_of: ClientOf, people: People, word: str) -> Callable[[], httpx.Response]:
    """Pulls the user's own private repository with one registry token, which the server has seen often by now."""
    people.user(word)
    client = client_of(word)
    client.push_image(f"{word}/a", "v1", b"layer")
    headers = {"Authorization": f"Bearer {client.token(f'repository:{word}/a:pull')}"}

    def pull() -> httpx.Response:
        return client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers)

    for _ in range(5):
        assert pull().status_code == 200
    return pull


def test_deactivated(warm: Callable[[], httpx.Response], http: httpx.Client, people: People, word: str) -> None:
    personal = people.token(people.user(word))
    deactivate_user(people.database, SYSTEM, people.user(word))
    answer = warm()
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 401
    assert http.get("/token", auth=(word, personal)).status_code == 401

    late = people.token(people.user(word), "late")  # by a request that was let in before
    activate_user(people.database, SYSTEM, people.user(word))
    assert http.get("/token", auth=(word, late)).status_code == 401
    assert warm().status_code == 401
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
    assert http.get("/token", auth=(word, personal)).status_code == 401


def test_removed(warm: Callable[[], httpx.Response], http: httpx.Client, people: People, word: str) -> None:
    offline = {"offline_token": "true"}
    refresh = http.get("/token", params=offline, auth=(word, PASSWORD)).json()["refresh_token"]
    personal = people.token(people.user(word))
    with people.database.read() as session:
        heir = find_namespace(session, "admin")
    delete_user(people.database, SYSTEM, people.user(word), heir)
    answer = warm()
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    for secret in (PASSWORD, personal, refresh):
        assert http.get("/token", auth=(word, secret)).status_code == 401


def test_new_password(warm: Callable[[], httpx.Response], http: httpx.Client, people: People, word: str) -> None:
    offline = {"offline_token": "true"}
    old = http.get("/token", params=offline, auth=(word, PASSWORD)).json()["refresh_token"]
    personal = people.token(people.user(word))
    of_personal = http.get("/token", params=offline, auth=(word, personal)).json()["refresh_token"]
    set_password(people.database, SYSTEM, people.user(word), hash_password("another-long-password"))

    assert warm().status_code == 401
    expected = {PASSWORD: 401, old: 401, "another-long-password": 200, personal: 200, of_personal: 200}
    for secret, status in expected.items():
        assert http.get("/token", auth=(word, secret)).status_code == status


def test_what_is_opened_with_a_password_that_changes_meanwhile(http: httpx.Client, people: People, word: str) -> None:
    user = people.user(word)
    offline = {"params": {"offline_token": "true"}, "auth": (word, PASSWORD)}
    typed = {"data": {"name": word, "password": PASSWORD}}
    assert http.post("/sign-in", **typed).status_code == 303  # type: ignore[arg-type]
    assert http.get("/token", **offline).status_code == 200  # type: ignore[arg-type]
    http.cookies.clear()
    with ThreadPoolExecutor(2) as pool:
        with people.database.write() as session:  # both were let in, and wait for their turn to write
            page, token = pool.submit(http.post, "/sign-in", **typed), pool.submit(http.get, "/token", **offline)
            time.sleep(1)
            assert not page.done() and not token.done()
            change_password(session, SYSTEM, user, hash_password("another-long-password"))
        assert (page.result().status_code, token.result().status_code) == (401, 401)
    assert "sign in again" in page.result().text and "set-cookie" not in page.result().headers
    for table in ("sessions", "refresh_tokens"):
        assert people.rows(f"SELECT 1 FROM {table} WHERE user_id = :u", u=user) == []


def test_deleted_personal_token(
    warm: Callable[[], httpx.Response], http: httpx.Client, people: People, word: str
) -> None:
    user_id = people.user(word)
    personal = people.token(user_id)
    reply = http.get(
        "/token", params={"offline_token": "true", "scope": f"repository:{word}/a:pull"}, auth=(word, personal)
    ).json()
    headers = {"Authorization": f"Bearer {reply['token']}"}
    assert http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 200

    (token_id,) = people.rows("SELECT id FROM access_tokens WHERE user_id = :u", u=user_id)[0]
    delete_access_token(people.database, SYSTEM, user_id, token_id)
    assert http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 401
    for secret in (personal, reply["refresh_token"]):
        assert http.get("/token", auth=(word, secret)).status_code == 401
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200


def test_made_private(warm: Callable[[], httpx.Response], http: httpx.Client, people: People, word: str) -> None:
    visible = "UPDATE repositories SET visibility = :v WHERE name = :n"
    people.run(visible, v="public", n=f"{word}/a")
    token = http.get("/token", params={"scope": f"repository:{word}/a:pull"}).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(3):
        assert http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 200
    people.run(visible, v="private", n=f"{word}/a")
    assert http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 401
    assert warm().status_code == 200


def test_role_taken_away(warm: Callable[[], httpx.Response], client_of: ClientOf, people: People, word: str) -> None:
    chief = people.user(f"{word}-chief", role="administrator")
    client = client_of(f"{word}-chief")
    headers = {"Authorization": f"Bearer {client.token(f'repository:{word}/a:pull')}"}
    for _ in range(3):
        assert client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 200
    set_role(people.database, SYSTEM, chief, "user")
    assert client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 401
    headers = {"Authorization": f"Bearer {client.token(f'repository:{word}/a:pull')}"}
    assert client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 404


def test_put_out_of_the_team(client_of: ClientOf, people: People, word: str) -> None:
    member = people.user(f"{word}-member")
    team = people.team(word, **{f"{word}-member": "writer"})
    client = client_of(f"{word}-member")
    client.push_image(f"{word}/a", "v1", b"layer")
    headers = {"Authorization": f"Bearer {client.token(f'repository:{word}/a:pull,push')}"}
    for _ in range(3):
        assert client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 200
    people.run("DELETE FROM memberships WHERE team_id = :t AND user_id = :u", t=team, u=member)
    # Even where nobody raised the generation: the token narrows what the person may do, it does not stand for it.
    assert client.http.get(f"/v2/{word}/a/manifests/v1", headers=headers).status_code == 404
    assert client.http.post(f"/v2/{word}/a/blobs/uploads/", headers=headers).status_code == 403
