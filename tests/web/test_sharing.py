"""The forms of a filter's page: visibility and description, and with whom it is shared."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import Client
from tests.web.catalogue import PASSWORD
from tests.web.people_pages import alert_of, done, forms_of, send, signed_in
from tests.web.test_pages import text_of


class Shelf:
    """A repository in a team with a maintainer and a reader, and a stranger; each has a browser."""

    def __init__(self, hub: HubProcess, admin: httpx.Client, stack: ExitStack) -> None:
        word = secrets.token_hex(4)
        self.api, self.team, self.name = admin, f"crew-{word}", f"crew-{word}/add-header"
        self.page = f"/r/{self.name}"
        self.people = {role: f"{role}-{word}" for role in ("maintainer", "reader", "stranger")}
        assert admin.post("/teams", json={"name": self.team}).status_code == 201
        for role, name in self.people.items():
            assert admin.post("/users", json={"name": name, "password": PASSWORD}).status_code == 201
            if role != "stranger":
                assert admin.put(f"/teams/{self.team}/members/{name}", json={"role": role}).status_code == 200
        pushes = Client(hub.url, "admin", hub.admin_password)
        pushes.push_image(self.name, "v1", b"a layer")
        pushes.close()
        self.browsers = {role: stack.enter_context(signed_in(hub, name)) for role, name in self.people.items()}
        self.owner = stack.enter_context(signed_in(hub, "admin", hub.admin_password))

    def grants(self) -> dict[str, str]:
        """Who has which role on it."""
        found = self.api.get(f"/repositories/{self.name}/grants").json()["grants"]
        return {one["name"]: one["role"] for one in found}


@pytest.fixture
def shelf(full: HubProcess) -> Iterator[Shelf]:
    """A repository of a test's own, of which the catalog of all tests keeps nothing."""
    auth = ("admin", full.admin_password)
    with ExitStack() as stack:
        client = httpx.Client(base_url=f"{full.url}/api/v1", auth=auth, timeout=30, trust_env=False)
        made = Shelf(full, stack.enter_context(client), stack)
        yield made
        assert made.api.delete(f"/teams/{made.team}").status_code == 204


def test_forms_are_shown_to_those_who_may(shelf: Shelf) -> None:
    assert forms_of(shelf.owner.get(shelf.page)) == {"configure", "share"}
    assert forms_of(shelf.browsers["maintainer"].get(shelf.page)) == {"configure"}
    assert forms_of(shelf.browsers["reader"].get(shelf.page)) == set()
    assert shelf.browsers["stranger"].get(shelf.page).status_code == 404
    for role, form, status in (
        ("maintainer", "share", 403),
        ("reader", "configure", 403),
        ("reader", "share", 403),
        ("stranger", "share", 404),
        ("stranger", "configure", 404),
    ):
        typed = {"holder": shelf.people["stranger"], "role": "maintainer", "visibility": "public"}
        assert send(shelf.browsers[role], shelf.page, form, **typed).status_code == status
    assert shelf.grants() == {} and shelf.browsers["stranger"].get(shelf.page).status_code == 404


def test_visibility_and_description(shelf: Shelf) -> None:
    maintainer = shelf.browsers["maintainer"]
    words = "Adds <one>\r\nheader "
    where = done(maintainer, shelf.page, "configure", visibility="internal", description=words, name="x")
    assert where == f"{shelf.page}?done=configure" and "Saved." in maintainer.get(where).text
    told = shelf.api.get(f"/repositories/{shelf.name}").json()
    assert (told["visibility"], told["description"]) == ("internal", "Adds <one>\nheader")
    assert ">\nAdds &lt;one&gt;\nheader</textarea>" in maintainer.get(shelf.page).text
    assert shelf.browsers["stranger"].get(shelf.page).status_code == 200

    for typed, reason in (
        ({"visibility": "secret", "description": "Kept"}, "must be one of"),
        ({"visibility": "deleted", "description": "Kept"}, "must be one of"),
        ({"description": "Kept" * 300}, "at most 1000"),
        ({"description": "Kept\0"}, "'description' must be a text"),
    ):
        page = send(maintainer, shelf.page, "configure", **typed)
        assert page.status_code == 400 and reason in alert_of(page) and "Kept" in page.text.partition("<textarea")[2]
    assert shelf.api.get(f"/repositories/{shelf.name}").json()["visibility"] == "internal"


def test_sharing_and_taking_back(shelf: Shelf) -> None:
    stranger, other = shelf.people["stranger"], f"team-{secrets.token_hex(4)}"
    shelf.api.post("/teams", json={"name": other})
    assert "Nobody besides those who own it." in shelf.owner.get(shelf.page).text
    assert done(shelf.owner, shelf.page, "share", holder=f" {stranger} ", role="reader") == shelf.page
    done(shelf.owner, shelf.page, "share", holder=other, role="writer")
    assert shelf.grants() == {stranger: "reader", other: "writer"}
    assert shelf.browsers["stranger"].get(shelf.page).status_code == 200
    said = text_of(shelf.owner.get(shelf.page))
    assert f"{stranger} reader" in said and f"{other} team, writer" in said

    done(shelf.owner, shelf.page, "unshare", holder=stranger)
    assert shelf.grants() == {other: "writer"} and shelf.browsers["stranger"].get(shelf.page).status_code == 404
    for typed, reason in (
        ({"holder": "nobody-<b>", "role": "reader"}, "no user and no team"),
        ({"holder": "nobody", "role": "owner"}, "must be one of"),
        ({"holder": "nobody"}, "must be one of"),
    ):
        page = send(shelf.owner, shelf.page, "share", **typed)
        assert reason in alert_of(page) and 'value="nobody' in page.text and "<b>" not in page.text
    assert "no user and no team" in alert_of(send(shelf.owner, shelf.page, "unshare", holder="nobody"))


def test_a_form_by_an_old_name_reaches_the_repository(shelf: Shelf) -> None:
    new = f"{shelf.team}-2"
    assert shelf.api.patch(f"/namespaces/{shelf.team}", json={"name": new}).status_code == 200
    assert done(shelf.owner, shelf.page, "configure", visibility="public") == f"/r/{new}/add-header?done=configure"


@pytest.mark.parametrize("path", ["/r/", "/r/acme", "/r/acme/absent", "/r/%00", "/r/" + "a/" * 2000])
@pytest.mark.parametrize("form", ["configure", "share", "unshare", "x"])
def test_forms_of_nothing(ann: httpx.Client, path: str, form: str) -> None:
    assert send(ann, path, form, holder="ann", role="reader").status_code == (400 if form == "x" else 404)
