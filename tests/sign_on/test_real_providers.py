"""Signing in with Keycloak and with the certified `oidc-provider`, through their own pages."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from auth.issuers import PAUSE
from tests.hub import HubProcess
from tests.sign_on.real import Keycloak, OidcProvider, browser, provider

ENDED = 15  # seconds within which a provider tells the hub that somebody signed out
# `test_flow`, `test_groups` and `test_hostile` meet all engines, by a provider of our own.
pytestmark = pytest.mark.once("what a provider itself says is the same on each set")


class Place:
    """A real provider and the hub that knows it, and what they are asked."""

    def __init__(self, hub: HubProcess, name: str) -> None:
        self.hub, self.provider, self.name = hub, provider(name), name
        self.team = f"t-{secrets.token_hex(4)}"
        self.api = httpx.Client(
            base_url=f"{hub.url}/api/v1", auth=("admin", hub.admin_password), timeout=60, trust_env=False
        )
        self.member = next(iter(self.provider.groups))

    def build(self) -> "Place":
        """Lets them know each other."""
        body = {"name": self.name, "issuer": self.provider.issuer, "client_id": self.provider.client_id}
        body |= {"client_secret": self.provider.secret, "scopes": self.provider.scopes}
        self.provider.start(f"{self.hub.url}/sign-in/with/{self.name}/callback", self._logout)
        made = self.said(201, "POST", "/providers", body)
        assert made["backchannel_logout_uri"] == self._logout
        self.said(201, "POST", "/teams", {"name": self.team})
        given = {"group": self.provider.groups[self.member], "team": self.team, "role": "maintainer"}
        self.said(201, "POST", f"/providers/{self.name}/groups", given)
        return self

    @property
    def _logout(self) -> str:
        return f"{self.hub.url}/api/v1/providers/{self.name}/backchannel-logout"

    def said(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """What the API answers the administrator, with this status."""
        answer = self.api.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def enter(self, client: httpx.Client, person: str) -> httpx.Response:
        """Signs somebody in, from the hub's button to the hub's answer."""
        page = client.get(f"{self.hub.url}/sign-in?next=/teams")
        assert f"/sign-in/with/{self.name}?next=/teams" in page.text
        begun = client.get(f"{self.hub.url}/sign-in/with/{self.name}?next=/teams")
        back = self.provider.enter(client, begun.headers["location"], person)
        return client.get(back.headers["location"])

    def who(self, client: httpx.Client) -> str | None:
        """Who a browser is signed in as."""
        answer = client.get(f"{self.hub.url}/api/v1/user")
        return answer.json()["name"] if answer.status_code == 200 else None


@pytest.fixture(scope="module", params=["keycloak", "oidc-provider"])
def place(hub: HubProcess, request: pytest.FixtureRequest) -> Iterator[Place]:
    """One of the two."""
    made = Place(hub, request.param)
    try:
        yield made.build()
    finally:
        made.api.close()
        made.provider.remove()


def test_it_answers_what_the_hub_needs(place: Place) -> None:
    checked = place.said(200, "POST", f"/providers/{place.name}/check")
    assert checked["ok"] is True and checked["warnings"] == [], checked
    assert checked["found"]["issuer"] == place.provider.issuer


def test_somebody_signs_in_through_its_pages_and_gets_what_their_group_gives(place: Place) -> None:
    with browser() as client:
        answer = place.enter(client, place.member)
        assert answer.status_code == 303 and answer.headers["location"] == "/teams", answer.text
        me = client.get(f"{place.hub.url}/api/v1/user").json()
        assert (me["name"], me["full_name"]) == (place.member, f"The {place.member}")
        assert me["email"] == f"{place.member}@example.com"
        again = client.get(answer.request.url)  # the same code and state once more
        assert again.status_code == 400 and "Not signed in" in again.text
    members = place.said(200, "GET", f"/teams/{place.team}/members")["members"]
    assert [one["role"] for one in members if one["name"] == place.member] == ["maintainer"]
    with browser() as client:
        assert place.enter(client, place.member).status_code == 303
        assert place.who(client) == place.member
        linked = client.get(f"{place.hub.url}/api/v1/user/identities").json()["identities"]
        assert [one["provider"] for one in linked] == [place.name]


def test_a_code_of_one_sign_in_is_no_good_in_another(place: Place) -> None:
    with browser() as thief, browser() as victim:
        begun = victim.get(f"{place.hub.url}/sign-in/with/{place.name}")
        stolen = place.provider.enter(victim, begun.headers["location"], place.provider.other).headers["location"]
        own = thief.get(f"{place.hub.url}/sign-in/with/{place.name}").headers["location"]
        mixed = httpx.URL(stolen).copy_set_param("state", httpx.URL(own).params["state"])
        answer = thief.get(mixed)
        assert answer.status_code == 403 and "did not take the code" in answer.text
        assert place.who(thief) is None


def test_who_signs_out_there_is_signed_out_here(place: Place) -> None:
    with browser() as client, browser() as other:
        for one, person in ((client, place.member), (other, place.provider.other)):
            assert place.enter(one, person).status_code == 303
        assert place.who(client) == place.member
        place.provider.leave(client)
        deadline = time.monotonic() + ENDED
        while place.who(client) is not None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert place.who(client) is None and place.who(other) == place.provider.other


def test_who_is_taken_out_of_a_group_loses_what_it_gave(place: Place) -> None:
    if isinstance(place.provider, OidcProvider):
        place.said(200, "PATCH", f"/providers/{place.name}", {"groups_claim": "none"})
    else:
        place.provider.take_out(place.member)
    with browser() as client:
        assert place.enter(client, place.member).status_code == 303
    members = place.said(200, "GET", f"/teams/{place.team}/members")["members"]
    assert place.member not in [one["name"] for one in members]


def test_keys_that_change_there_are_learned(place: Place) -> None:
    if isinstance(place.provider, Keycloak):
        place.provider.change_keys()
    else:  # it comes back with the same keys; what it knew of anybody is gone
        place.provider.end()
        place.provider.start(f"{place.hub.url}/sign-in/with/{place.name}/callback", "http://127.0.0.1:1/")
    with browser() as client:
        deadline = time.monotonic() + PAUSE + 5  # the hub looks for a key that it does not know so often and no more
        answer = place.enter(client, place.provider.other)
        while answer.status_code != 303 and time.monotonic() < deadline:
            assert "does not publish" in answer.text
            time.sleep(1)
            client.cookies.clear()
            answer = place.enter(client, place.provider.other)
        assert answer.status_code == 303 and place.who(client) == place.provider.other
