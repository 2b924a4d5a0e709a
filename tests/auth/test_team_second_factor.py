"""Teams that ask for a second factor: who has none holds nothing in them, cold and warm, at every door."""

import re
from collections.abc import Iterator

import httpx
import pytest

from storage.events import SYSTEM
from storage.second_factors import remove_second_factor
from tests.auth.factors import give_app, give_passkey
from tests.auth.people import PASSWORD, People
from tests.auth.test_accounts_api import error_of
from tests.auth.test_sessions import sign_in
from tests.hub import ROOT, HubProcess
from tests.oci import Client


class Crew:
    """A team with an owner who has a second factor, a reader and a writer who have none, and an image."""

    def __init__(self, hub: HubProcess, people: People, word: str) -> None:
        self.hub, self.people, self.name = hub, people, word
        self.owner, self.reader, self.writer = (f"{one}-{word}" for one in ("owner", "reader", "writer"))
        people.team(word, **{self.owner: "owner", self.reader: "reader", self.writer: "writer"})
        people.run(
            "DELETE FROM memberships WHERE role = 'owner' AND user_id = :u AND team_id ="
            " (SELECT team_id FROM namespaces WHERE name = :n)",
            u=people.user("admin"),
            n=word,
        )
        give_app(people, self.owner)
        self.image = f"{word}/filter"
        admin = Client(hub.url, "admin", hub.admin_password)
        self.digest = admin.push_image(self.image, "v1", b"a layer")
        admin.http.close()
        self.tokens = {one: people.token(people.user(one)) for one in (self.owner, self.reader, self.writer)}
        self.http = httpx.Client(base_url=hub.url, timeout=30, trust_env=False)

    def api(self, who: str, method: str, path: str, body: object = None) -> httpx.Response:
        """What the API answers somebody."""
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.http.request(method, f"/api/v1{path}", json=body, headers=headers)

    def require(self, required: bool = True) -> None:
        """Has it ask for a second factor, or not."""
        done = self.api(self.owner, "PATCH", f"/teams/{self.name}", {"second_factor_required": required})
        assert done.status_code == 200 and done.json()["second_factor_required"] is required, done.text

    def bearer(self, who: str, actions: str = "pull") -> dict[str, str]:
        """A registry token."""
        scope = f"repository:{self.image}:{actions}"
        token = self.http.get("/token", params={"scope": scope}, auth=(who, self.tokens[who])).json()["token"]
        return {"Authorization": f"Bearer {token}"}

    def pulls(self, headers: dict[str, str]) -> int:
        """The one status of three pulls, by tag and by digest."""
        paths = [f"/v2/{self.image}/manifests/{one}" for one in ("v1", self.digest)] * 2
        found = {self.http.get(path, headers=headers).status_code for path in paths}
        assert len(found) == 1, found
        return found.pop()


@pytest.fixture
def crew(hub: HubProcess, people: People, word: str) -> Iterator[Crew]:
    """A team of a test's own."""
    made = Crew(hub, people, word)
    yield made
    made.http.close()


def test_pulls_end_and_come_back_warm(crew: Crew) -> None:
    held, owner = crew.bearer(crew.reader), crew.bearer(crew.owner)
    assert crew.pulls(held) == 200 and crew.pulls(owner) == 200
    crew.require()
    assert crew.pulls(held) == 404 and crew.pulls(crew.bearer(crew.reader)) == 404
    assert crew.pulls(owner) == 200
    crew.require(False)
    assert crew.pulls(held) == 200
    crew.require()
    give_passkey(crew.people, crew.reader)
    assert crew.pulls(held) == 401  # the change ended it
    held = crew.bearer(crew.reader)
    assert crew.pulls(held) == 200
    remove_second_factor(crew.people.database, SYSTEM, crew.people.user(crew.reader))
    assert crew.pulls(held) == 401 and crew.pulls(crew.bearer(crew.reader)) == 404


def test_nothing_is_left_at_any_door(crew: Crew) -> None:
    path = f"/repositories/{crew.image}"
    target = {"name": f"t-{crew.name}", "namespace": crew.name}
    assert crew.api(crew.owner, "POST", "/targets", target).status_code == 201

    def seen() -> list[object]:
        catalog = crew.http.get("/v2/_catalog?n=1000", headers=crew.bearer(crew.writer)).text
        listed = crew.api(crew.writer, "GET", f"/repositories?q={crew.name}").json()["repositories"]
        push = crew.http.post(f"/v2/{crew.image}/blobs/uploads/", headers=crew.bearer(crew.writer, "pull,push"))
        statuses = [crew.api(crew.writer, "GET", one).status_code for one in (path, f"/targets/t-{crew.name}")]
        targets = crew.api(crew.writer, "GET", "/targets").text
        return [crew.image in catalog, len(listed), push.status_code < 300, *statuses, f"t-{crew.name}" in targets]

    assert seen()[1:] == [1, True, 200, 200, True]
    crew.require()
    assert seen() == [False, 0, False, 404, 404, False]
    give_app(crew.people, crew.writer)
    assert seen()[1:] == [1, True, 200, 200, True]


def test_who_waits_is_told(crew: Crew) -> None:
    with httpx.Client(base_url=crew.hub.url, timeout=30, trust_env=False) as browser:
        sign_in(browser, crew.reader)
        assert browser.get(f"/teams/{crew.name}").status_code == 200
        crew.require()
        page = browser.get(f"/teams/{crew.name}")
        assert page.status_code == 403 and "asks its members for a second factor" in page.text
        for path in ("/account", "/teams"):
            assert "needs a second factor" in browser.get(path).text
    refused = crew.api(crew.reader, "GET", f"/teams/{crew.name}")
    assert error_of(refused) == (403, "second_factor") and "you are its reader" in refused.text
    mine = {one["name"]: one for one in crew.api(crew.reader, "GET", "/teams").json()["teams"]}[crew.name]
    assert (mine["role"], mine["waits_for"]) == (None, "reader")
    members = crew.api(crew.owner, "GET", f"/teams/{crew.name}/members?limit=2").json()
    rest = crew.api(crew.owner, "GET", f"/teams/{crew.name}/members?after={members['next']}").json()
    found = {one["name"]: (one["role"], one["waits"]) for one in members["members"] + rest["members"]}
    assert found == {
        crew.owner: ("owner", False),
        crew.reader: ("reader", True),
        crew.writer: ("writer", True),
    }
    crew.people.user(f"other-{crew.name}")
    token = crew.people.token(crew.people.user(f"other-{crew.name}"))
    crew.tokens["other"] = token
    assert crew.api("other", "GET", f"/teams/{crew.name}").status_code == 404


def test_members_come_change_and_go_while_they_wait(crew: Crew) -> None:
    crew.require()
    member = f"/teams/{crew.name}/members/{crew.reader}"
    assert crew.api(crew.owner, "PUT", member, {"role": "maintainer"}).status_code == 200
    newcomer = f"new-{crew.name}"
    crew.tokens[newcomer] = crew.people.token(crew.people.user(newcomer))
    made = crew.api(crew.owner, "POST", f"/teams/{crew.name}/invitations", {"role": "writer"}).json()
    joined = crew.api(newcomer, "POST", "/invitations/accept", {"secret": made["secret"]})
    assert (joined.json()["role"], joined.json()["waits_for"]) == (None, "writer")
    assert crew.api(crew.owner, "DELETE", f"/teams/{crew.name}/members/{crew.writer}").status_code == 204
    for one in (crew.reader, crew.writer, newcomer):
        give_app(crew.people, one)
    roles = {one: crew.api(one, "GET", f"/teams/{crew.name}") for one in (crew.reader, crew.writer, newcomer)}
    assert roles[crew.writer].status_code == 404
    assert [roles[one].json()["role"] for one in (crew.reader, newcomer)] == ["maintainer", "writer"]


def test_there_is_always_an_owner(crew: Crew) -> None:
    for one in ("second", "third"):
        crew.people.user(f"{one}-{crew.name}")
        crew.tokens[one] = crew.people.token(crew.people.user(f"{one}-{crew.name}"))
    second = f"/teams/{crew.name}/members/second-{crew.name}"
    assert crew.api(crew.owner, "PUT", second, {"role": "owner"}).status_code == 200
    refused = crew.api("second", "PATCH", f"/teams/{crew.name}", {"second_factor_required": True})
    assert error_of(refused) == (409, "conflict") and "of your own first" in refused.text
    link = crew.api("second", "POST", f"/teams/{crew.name}/invitations", {"role": "owner"}).json()["secret"]
    crew.require()
    assert crew.api("third", "POST", "/invitations/accept", {"secret": link}).status_code == 404
    refused = crew.api(crew.owner, "POST", "/user/second-factor/totp/remove", {"proof": PASSWORD})
    assert error_of(refused) == (409, "conflict") and "only owner" in refused.text
    assert crew.pulls(crew.bearer(crew.owner)) == 200
    for method, body in (("PUT", {"role": "reader"}), ("DELETE", None)):
        mine = crew.api(crew.owner, method, f"/teams/{crew.name}/members/{crew.owner}", body)
        assert error_of(mine) == (409, "conflict") and "last owner" in mine.text
    give_app(crew.people, f"second-{crew.name}")
    removed = crew.api(crew.owner, "POST", "/user/second-factor/totp/remove", {"proof": PASSWORD})
    assert removed.status_code == 204
    assert error_of(crew.api(crew.owner, "GET", f"/teams/{crew.name}")) == (403, "second_factor")


def test_only_owners_ask_for_one(crew: Crew) -> None:
    member = f"/teams/{crew.name}/members/{crew.writer}"
    assert crew.api(crew.owner, "PUT", member, {"role": "maintainer"}).status_code == 200
    give_app(crew.people, crew.writer)
    refused = crew.api(crew.writer, "PATCH", f"/teams/{crew.name}", {"second_factor_required": True})
    assert error_of(refused) == (403, "forbidden")
    bad = crew.api(crew.owner, "PATCH", f"/teams/{crew.name}", {"second_factor_required": "yes"})
    assert error_of(bad) == (400, "bad_request")


def test_robots_are_not_asked(crew: Crew) -> None:
    made = crew.api(crew.owner, "POST", f"/teams/{crew.name}/robots", {"name": "ci", "role": "writer"}).json()
    robot = f"{crew.name}+ci"
    crew.tokens[robot] = made["token"]
    crew.require()
    assert crew.pulls(crew.bearer(robot)) == 200
    more = crew.api(crew.owner, "POST", f"/teams/{crew.name}/robots", {"name": "cd", "role": "reader"}).json()
    crew.tokens["cd"] = more["token"]
    assert crew.pulls(crew.bearer("cd")) == 200


def test_memberships_are_made_where_the_question_is_asked() -> None:
    makers = {path.name for path in (ROOT / "storage").glob("*.py") if re.search(r"\bMembership\(", path.read_text())}
    # A new team asks for nothing yet, and robots are never asked.
    assert makers == {"people_tables.py", "teams.py", "robots.py"}
    assert (ROOT / "storage" / "teams.py").read_text().count("Membership(") == 1
