"""The pages of the hub's users: who may look, what administrators do there, and what is refused."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from auth.passwords import hash_password
from storage.events import SYSTEM
from storage.users import create_user
from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, forms_of, secret_of, send, signed_in
from tests.web.test_pages import text_of

LIST = "/site/users"


@pytest.fixture
def boss(empty: HubProcess) -> Iterator[httpx.Client]:
    """The administrator's browser."""
    with signed_in(empty, "admin", empty.admin_password) as browser:
        yield browser


@pytest.fixture
def name(admin: httpx.Client) -> str:
    """Somebody new."""
    made = f"new-{secrets.token_hex(4)}"
    assert admin.post("/users", json={"name": made, "password": PASSWORD}).status_code == 201
    return made


def test_auditors_look_and_others_find_nothing(empty: HubProcess, admin: httpx.Client, name: str) -> None:
    auditor = f"auditor-{secrets.token_hex(4)}"
    admin.post("/users", json={"name": auditor, "password": PASSWORD, "role": "auditor"})
    with signed_in(empty, auditor) as browser:
        for page in (LIST, f"{LIST}/{name}"):
            assert forms_of(browser.get(page)) == set() and name in browser.get(f"{page}?q={name}").text
        assert send(browser, LIST, "make", name="x").status_code == 403
        assert send(browser, f"{LIST}/{name}", "role", role="administrator").status_code == 403
        assert 'href="/site/users"' in browser.get("/account").text
    with signed_in(empty, name) as browser:
        for page in (LIST, f"{LIST}/{name}", f"{LIST}/absent"):
            assert browser.get(page).status_code == 404
            for form in ("make", "invite", "role", "delete"):
                assert send(browser, page, form, role="administrator").status_code in (400, 404)
    assert admin.get(f"/users/{name}").json()["role"] == "user"
    with httpx.Client(base_url=empty.url, trust_env=False) as stranger:
        assert stranger.get(f"{LIST}/{name}").headers["location"] == f"/sign-in?next=/site/users/{name}"


def test_the_list_by_the_beginning_of_names_and_in_pages(boss: httpx.Client, empty: HubProcess) -> None:
    word = f"p{secrets.token_hex(4)}"
    database, password_hash = empty.open_database(), hash_password(PASSWORD)
    for number in range(51):
        create_user(database, SYSTEM, f"{word}-{number:02}", password_hash=password_hash)
    create_user(database, SYSTEM, f"{word}x", password_hash=password_hash)
    database.close()
    first = boss.get(LIST, params={"q": f"{word}-"})
    assert f"{word}-00" in first.text and f"{word}-49" in first.text and f"{word}-50" not in first.text
    assert f'href="{LIST}?q={word}-&amp;after={word}-49"' in first.text
    assert f"{word}-49" in boss.get(f"{LIST}?q={word.upper()}-4").text
    second = boss.get(LIST, params={"q": f"{word}-", "after": f"{word}-49"})
    assert f"{word}-50" in second.text and f"{word}x" not in second.text and f"{word}-49" not in second.text
    assert f"{word}x" in boss.get(LIST, params={"q": f"{word}x"}).text
    for nothing in ("NOBODY-HERE", "é", "\0", "<b>", "~", "_%"):
        page = boss.get(LIST, params={"q": nothing})
        assert "No user matches." in page.text and "<b>" not in page.text
    newest = boss.get(LIST, params={"q": word, "sort": "newest"}).text
    assert f"{word}x" in newest and f"{word}-01" not in newest
    for wrong in ({"role": "king"}, {"state": "<b>"}, {"sort": "age"}, {"sort": "newest", "after": "x"}):
        assert boss.get(LIST, params=wrong).status_code == 400


def test_making_a_user(boss: httpx.Client, empty: HubProcess) -> None:
    name = f"new-{secrets.token_hex(4)}"
    page = send(boss, LIST, "make", name=f" {name} ", role="auditor", password="chosen-by-somebody")
    password = secret_of(page)
    assert f"The password of {name}" in page.text and password not in boss.get(LIST).text
    with signed_in(empty, name, password) as browser:
        assert browser.get("/api/v1/user").json()["role"] == "auditor"
    for typed, status, reason in (
        ({"name": "NOT a name"}, 400, "not a valid name"),
        ({"name": name}, 409, "is taken"),
        ({"name": "", "role": "user"}, 400, "must be a text"),
        ({"name": "kept", "role": "king"}, 400, "must be one of"),
    ):
        page = send(boss, LIST, "make", **typed)
        assert page.status_code == status and reason in alert_of(page) and f'value="{typed["name"]}"' in page.text


def test_links_to_the_hub(boss: httpx.Client, admin: httpx.Client, empty: HubProcess) -> None:
    note = f"For {secrets.token_hex(4)}"
    link = httpx.URL(secret_of(send(boss, LIST, "invite", note=note, role="auditor", days="2")))
    with httpx.Client(base_url=empty.url, trust_env=False) as stranger:
        assert "as auditor of the hub" in text_of(stranger.get(link.path))
        assert f"{note} auditor, by admin" in text_of(boss.get(LIST))
        number = next(one["id"] for one in admin.get("/invitations").json()["invitations"] if one["note"] == note)
        done(boss, LIST, "uninvite", number=number)
        assert stranger.get(link.path).status_code == 404 and note not in boss.get(LIST).text
    page = send(boss, LIST, "invite", note="Kept", days="31")
    assert page.status_code == 400 and "'Days' must be" in alert_of(page) and 'value="Kept"' in page.text


def test_a_closed_hub_invites_nobody(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "data", WASMHUB_SIGN_UP="closed") as hub:
        with signed_in(hub, "admin", hub.admin_password) as boss:
            page = boss.get(LIST)
            assert "Nobody can sign up here" in page.text and forms_of(page) == {"make"}
            assert "WASMHUB_SIGN_UP" in alert_of(send(boss, LIST, "invite", days="7"))


def test_role_and_access(boss: httpx.Client, admin: httpx.Client, empty: HubProcess, name: str) -> None:
    page = f"{LIST}/{name}"
    assert forms_of(boss.get(page)) == {"role", "reset", "active", "delete"}
    assert "Changed." in boss.get(done(boss, page, "role", role="auditor")).text
    assert admin.get(f"/users/{name}").json()["role"] == "auditor"
    assert "must be one of" in alert_of(send(boss, page, "role", role="king"))
    with signed_in(empty, name) as browser:
        done(boss, page, "active", active="no")
        assert browser.get("/api/v1/user").status_code == 401
    assert "may not sign in" in boss.get(page).text and forms_of(boss.get(page)) == {"role", "active", "delete"}
    page_said = send(boss, page, "reset")
    assert page_said.status_code == 409 and "activate them first" in alert_of(page_said)
    done(boss, page, "active", active="yes")
    for nonsense in ("", "true", "maybe"):
        assert send(boss, page, "active", active=nonsense).status_code == 400
    assert admin.get(f"/users/{name}").json()["active"] is True


def test_the_last_administrator_stays(boss: httpx.Client, admin: httpx.Client) -> None:
    page = f"{LIST}/admin"
    assert "change your password" in boss.get(page).text and "reset" not in forms_of(boss.get(page))
    for form, typed in (("role", {"role": "user"}), ("active", {"active": "no"}), ("delete", {"confirm": "admin"})):
        answer = send(boss, page, form, **typed)
        assert answer.status_code == 409 and "last administrator" in alert_of(answer)
    assert send(boss, page, "reset").status_code == 403
    assert admin.get("/user").json()["role"] == "administrator"


def test_a_link_for_a_new_password(boss: httpx.Client, empty: HubProcess, name: str) -> None:
    page = send(boss, f"{LIST}/{name}", "reset")
    link = httpx.URL(secret_of(page))
    assert str(link) not in boss.get(f"{LIST}/{name}").text
    with httpx.Client(base_url=empty.url, timeout=30, trust_env=False) as browser:
        assert browser.post(link.path, data={"password": "another-long-password"}).status_code == 303
        assert browser.get("/api/v1/user").json()["name"] == name


def test_the_end_of_a_user(boss: httpx.Client, admin: httpx.Client, name: str) -> None:
    page, heir = f"{LIST}/{name}", f"team-{secrets.token_hex(4)}"
    for typed, status, reason in (
        ({}, 400, f"Type the name {name}"),
        ({"confirm": "admin"}, 400, f"Type the name {name}"),
        ({"confirm": name, "heir": "nobody-there"}, 400, "there is none of the name"),
        ({"confirm": name, "heir": name}, 409, "their own heir"),
    ):
        answer = send(boss, page, "delete", **typed)
        assert answer.status_code == status and reason in alert_of(answer)
    admin.post("/teams", json={"name": heir})
    assert done(boss, page, "delete", confirm=name, heir=f" {heir} ") == LIST
    assert boss.get(page).status_code == 404 and admin.get(f"/users/{name}").status_code == 404
    assert admin.get(f"/namespaces/{name}").json()["kind"] == "plain"


def test_an_old_name_leads_to_the_new_one(boss: httpx.Client, admin: httpx.Client, name: str) -> None:
    assert admin.patch(f"/namespaces/{name}", json={"name": f"{name}-2"}).status_code == 200
    led = boss.get(f"{LIST}/{name}")
    assert (led.status_code, led.headers["location"]) == (303, f"{LIST}/{name}-2")
    team = f"team-{secrets.token_hex(4)}"
    admin.post("/teams", json={"name": team})
    admin.put(f"/teams/{team}/members/{name}-2", json={"role": "writer"})
    assert f"{team} writer" in text_of(boss.get(f"{LIST}/{name}-2"))
    for absent in ("absent", "%00", "a" * 3000, "<b>"):
        page = boss.get(f"{LIST}/{absent}")
        assert page.status_code == 404 and "<b>" not in page.text
