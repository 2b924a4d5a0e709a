"""The pages of teams: who sees what of them, what their forms do, and what those refuse."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from auth.passwords import hash_password
from storage.events import SYSTEM
from storage.teams import create_team
from storage.users import create_user
from tests.hub import HubProcess
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, forms_of, secret_of, send, signed_in
from tests.web.test_pages import text_of

ROLES = ("reader", "maintainer", "owner", "stranger", "auditor")
OWNERS = {"add", "set", "remove", "invite", "rename", "require", "delete", "configure"}


class Crew:
    """A team of the administrator's, and somebody of each role with a browser."""

    def __init__(self, hub: HubProcess, admin: httpx.Client, stack: ExitStack) -> None:
        word = secrets.token_hex(4)
        self.api, self.name, self.page = admin, f"crew-{word}", f"/teams/crew-{word}"
        self.names = {role: f"{role}-{word}" for role in ROLES}
        assert admin.post("/teams", json={"name": self.name, "description": "A <crew>"}).status_code == 201
        for role, name in self.names.items():
            body = {"name": name, "password": PASSWORD, "role": "auditor" if role == "auditor" else "user"}
            assert admin.post("/users", json=body).status_code == 201
            if role in ROLES[:3]:
                assert admin.put(f"{self.page}/members/{name}", json={"role": role}).status_code == 200
        self.browsers = {role: stack.enter_context(signed_in(hub, name)) for role, name in self.names.items()}
        self.owner = self.browsers["owner"]

    def roles(self) -> dict[str, str]:
        """Who is in it, by name."""
        members = self.api.get(f"{self.page}/members").json()["members"]
        return {one["name"]: one["role"] for one in members}


@pytest.fixture
def crew(empty: HubProcess, admin: httpx.Client) -> Iterator[Crew]:
    """A team of a test's own."""
    with ExitStack() as stack:
        yield Crew(empty, admin, stack)


def test_everybody_is_shown_what_they_may_do(crew: Crew) -> None:
    pages = {role: browser.get(crew.page) for role, browser in crew.browsers.items()}
    assert pages.pop("stranger").status_code == 404
    assert {role: forms_of(page) for role, page in pages.items()} == {
        "reader": {"leave"},
        "maintainer": {"leave", "configure"},
        "owner": OWNERS | {"leave"},
        "auditor": set(),
    }
    for page in pages.values():
        assert f"{crew.names['maintainer']} maintainer" in text_of(page) and "A &lt;crew&gt;" in page.text
    assert "You are reader" in text_of(pages["reader"])


def test_a_stranger_sees_no_difference_to_no_team(crew: Crew) -> None:
    stranger = crew.browsers["stranger"]
    there, absent = stranger.get(crew.page), stranger.get("/teams/absent")
    assert there.status_code == absent.status_code == 404
    assert there.text.replace(crew.name, "absent") == absent.text
    for name in ("%00", "a" * 3000, "..%2f..", "%F0%9F%92%A9", "<i>"):
        assert stranger.get(f"/teams/{name}").status_code == 404


def test_what_a_role_does_not_allow(crew: Crew) -> None:
    fresh = secrets.token_hex(4)
    for role, form, typed in (
        ("reader", "configure", {"description": "x"}),
        ("maintainer", "add", {"user": crew.names["stranger"], "role": "owner"}),
        ("maintainer", "remove", {"user": crew.names["reader"]}),
        ("maintainer", "rename", {"name": f"new-{fresh}"}),
        ("maintainer", "delete", {"confirm": crew.name}),
        ("auditor", "invite", {"role": "owner"}),
    ):
        answer = send(crew.browsers[role], crew.page, form, **typed)
        assert answer.status_code == 403 and f"You may not {'configure' if role == 'reader' else ''}" in answer.text
    answer = send(crew.browsers["stranger"], crew.page, "leave")
    assert answer.status_code == 404
    assert crew.names["stranger"] not in crew.roles() and crew.names["reader"] in crew.roles()


def test_members_come_change_and_go(crew: Crew) -> None:
    somebody = crew.names["stranger"]
    assert done(crew.owner, crew.page, "add", user=f" {somebody} ", role="writer") == crew.page
    assert crew.roles()[somebody] == "writer"
    done(crew.owner, crew.page, "set", user=somebody, role="maintainer")
    assert crew.roles()[somebody] == "maintainer"
    done(crew.owner, crew.page, "remove", user=somebody)
    assert somebody not in crew.roles()

    for typed, reason in (
        ({"user": "nobody-<b>", "role": "writer"}, "There is no user"),
        ({"user": "", "role": "writer"}, "There is no user"),
        ({"user": somebody, "role": "king"}, "must be one of"),
    ):
        page = send(crew.owner, crew.page, "add", **typed)
        assert reason in alert_of(page) and "<b>" not in page.text
    page = send(crew.owner, crew.page, "add", user="nobody", role="maintainer")
    assert page.status_code == 404 and 'value="nobody"' in page.text and "<option selected>maintainer" in page.text


def test_somebody_who_may_not_sign_in_any_more_can_be_taken_out(crew: Crew) -> None:
    somebody = crew.names["reader"]
    assert crew.api.patch(f"/users/{somebody}", json={"active": False}).status_code == 200
    assert f"{somebody} may not sign in" in text_of(crew.owner.get(crew.page))
    done(crew.owner, crew.page, "remove", user=somebody)
    assert somebody not in crew.roles()


def test_leaving_and_the_last_owner(crew: Crew) -> None:
    assert done(crew.browsers["reader"], crew.page, "leave") == "/teams"
    assert crew.browsers["reader"].get(crew.page).status_code == 404
    done(crew.owner, crew.page, "remove", user="admin")
    for form, typed in (("leave", {}), ("set", {"user": crew.names["owner"], "role": "reader"})):
        page = send(crew.owner, crew.page, form, **typed)
        assert page.status_code == 409 and "make somebody else owner first" in alert_of(page)
    assert crew.roles()[crew.names["owner"]] == "owner"


def test_links_into_the_team(crew: Crew) -> None:
    page = send(crew.owner, crew.page, "invite", note="For <bob>", role="writer", days="3")
    link = httpx.URL(secret_of(page))
    assert link.path.startswith("/invitations/whi_") and str(link) not in crew.owner.get(crew.page).text
    assert "For <bob> writer, by" in text_of(crew.owner.get(crew.page))
    assert crew.browsers["stranger"].get(link.path).status_code == 200
    (row,) = crew.api.get(f"{crew.page}/invitations").json()["invitations"]

    for days in ("0", "31", "x", ""):
        page = send(crew.owner, crew.page, "invite", note="Kept", days=days)
        assert page.status_code == 400 and "'Days' must be a number" in alert_of(page) and 'value="Kept"' in page.text
    done(crew.owner, crew.page, "uninvite", number=row["id"])
    assert "No link is open." in crew.owner.get(crew.page).text
    assert crew.browsers["stranger"].get(link.path).status_code == 404
    for number in (row["id"], "x", "", "9" * 30):
        assert "There is no invitation" in alert_of(send(crew.owner, crew.page, "uninvite", number=number))


def test_settings(crew: Crew) -> None:
    maintainer = crew.browsers["maintainer"]
    where = done(maintainer, crew.page, "configure", description=" Other ", default_visibility="internal", name="x")
    assert "Saved." in maintainer.get(where).text
    told = crew.api.get(crew.page).json()
    assert (told["name"], told["description"], told["default_visibility"]) == (crew.name, "Other", "internal")
    page = send(maintainer, crew.page, "configure", description="Kept", default_visibility="secret")
    assert page.status_code == 400 and "must be one of" in alert_of(page) and 'value="Kept"' in page.text


def test_names(crew: Crew) -> None:
    new = f"{crew.name}-2"
    for name, reason in (("NOT a name", "not a valid name"), ("admin", "is taken"), ("", "must be a text")):
        page = send(crew.owner, crew.page, "rename", name=name)
        assert reason in alert_of(page) and page.status_code in (400, 409)
    assert done(crew.owner, crew.page, "rename", name=new) == f"/teams/{new}"
    led = crew.owner.get(crew.page)
    assert (led.status_code, led.headers["location"]) == (303, f"/teams/{new}")
    assert crew.browsers["stranger"].get(crew.page).status_code == 404

    page = send(crew.owner, f"/teams/{new}", "forget", old=crew.name, confirm="something else")
    assert page.status_code == 400 and f"Type the name {crew.name} to let it go." == alert_of(page)
    done(crew.owner, f"/teams/{new}", "forget", old=crew.name, confirm=crew.name)
    assert crew.owner.get(crew.page).status_code == 404
    page = send(crew.owner, f"/teams/{new}", "forget", old="admin", confirm="admin")
    assert page.status_code == 409 and "not an old name" in alert_of(page)


def test_the_end_and_back(crew: Crew) -> None:
    page = send(crew.owner, crew.page, "delete", confirm=f"{crew.name}x")
    assert page.status_code == 400 and f"Type the name {crew.name} to delete the team." == alert_of(page)
    assert done(crew.owner, crew.page, "delete", confirm=crew.name) == crew.page
    assert forms_of(crew.owner.get(crew.page)) == {"restore"}
    for role in ("reader", "maintainer", "auditor"):
        assert crew.browsers[role].get(crew.page).status_code == 404
        assert f'href="{crew.page}"' not in crew.browsers[role].get("/teams").text
        assert send(crew.browsers[role], crew.page, "restore").status_code == 404
    assert send(crew.owner, crew.page, "configure", description="x").status_code == 404
    done(crew.owner, crew.page, "restore")
    assert forms_of(crew.browsers["reader"].get(crew.page)) == {"leave"}


def test_the_list_is_one_s_own_or_all(crew: Crew, empty: HubProcess) -> None:
    stranger = crew.browsers["stranger"]
    page = stranger.get("/teams")
    assert "You are in no team." in page.text and forms_of(page) == {"make"} and crew.name not in page.text
    assert f"{crew.name} A <crew> reader" in text_of(crew.browsers["reader"].get("/teams"))
    every = {"after": crew.name[:-1]}
    assert f'href="{crew.page}"' in crew.browsers["auditor"].get("/teams", params=every).text
    assert crew.name not in crew.browsers["auditor"].get("/teams", params={**every, "mine": "1"}).text
    assert crew.name not in stranger.get("/teams", params=every).text
    assert "The list ends here." in stranger.get("/teams?after=zzz").text

    name = f"new-{secrets.token_hex(4)}"
    page = send(stranger, "/teams", "make", name="NOT a name", description="Kept")
    assert page.status_code == 400 and "not a valid name" in alert_of(page) and 'value="Kept"' in page.text
    where = done(stranger, "/teams", "make", name=f" {name} ", description="Mine", default_visibility="public")
    assert where == f"/teams/{name}" and "You are owner" in text_of(stranger.get(where))
    assert send(stranger, "/teams", "make", name=name).status_code == 409


def test_where_administrators_alone_make_teams(tmp_path_factory: pytest.TempPathFactory) -> None:
    with HubProcess(tmp_path_factory.mktemp("hub") / "data", WASMHUB_CREATE_TEAMS="admins") as hub:
        auth = ("admin", hub.admin_password)
        httpx.post(f"{hub.url}/api/v1/users", json={"name": "ann", "password": PASSWORD}, auth=auth, trust_env=False)
        with signed_in(hub, "ann") as ann, signed_in(hub, *auth) as admin:
            assert forms_of(ann.get("/teams")) == set() and forms_of(admin.get("/teams")) == {"make"}
            refused = send(ann, "/teams", "make", name="crew")
            assert refused.status_code == 403 and "made by administrators" in refused.text
            assert done(admin, "/teams", "make", name="crew") == "/teams/crew"


def test_long_lists_come_in_pages(empty: HubProcess, admin: httpx.Client) -> None:
    word = secrets.token_hex(4)
    database = empty.open_database()
    password_hash = hash_password(PASSWORD)
    owner = create_user(database, SYSTEM, f"m-{word}", password_hash=password_hash)
    assert owner is not None
    for number in range(51):
        create_team(database, SYSTEM, f"t-{word}-{number:02}", owner_id=owner)
        create_user(database, SYSTEM, f"m-{word}-{number:02}", password_hash=password_hash)
        admin.put(f"/teams/t-{word}-00/members/m-{word}-{number:02}", json={"role": "reader"})
    database.close()
    with signed_in(empty, f"m-{word}") as browser:
        first = browser.get("/teams")
        assert f"t-{word}-49" in first.text and f"t-{word}-50" not in first.text
        assert f'rel="next" href="/teams?after=t-{word}-49"' in first.text
        assert f"t-{word}-50" in browser.get(f"/teams?after=t-{word}-49").text
        assert 'href="/teams?mine=1"' in browser.get("/account").text

        page = f"/teams/t-{word}-00"
        first = browser.get(page)
        assert f"m-{word}-48" in first.text and f"m-{word}-49<" not in first.text
        after = first.text.partition(f'rel="next" href="{page}?after=')[2].partition("#")[0]
        second = browser.get(f"{page}?after={after}")
        assert f"m-{word}-50" in second.text and f"m-{word}-48" not in second.text
        assert f'action="{page}?after={after}#members"' in second.text
        assert (
            done(browser, f"{page}?after={after}", "set", user=f"m-{word}-50", role="writer") == f"{page}?after={after}"
        )
        for nonsense in ("x", "-1", "9" * 40, "²"):
            assert f"m-{word}-00" in browser.get(page, params={"after": nonsense}).text
