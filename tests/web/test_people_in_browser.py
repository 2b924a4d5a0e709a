"""The pages of accounts, teams and users in a real browser: as they are, opened up, refused, without JavaScript."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from tests.auth.people import People
from tests.hub import HubProcess
from tests.oci import Client
from tests.web.browsing import LOOKS, Tab
from tests.web.catalogue import PASSWORD

PEOPLE = {
    "account": "/account",
    "name": "/account/name",
    "second-factor": "/account/second-factor",
    "device": "/device",
    "sessions": "/account/sessions",
    "teams": "/teams",
    "team": "/teams/gateway",
    "robots": "/teams/gateway/robots",
    "robot": "/teams/gateway/robots/ci",
    "no-robot": "/teams/gateway/robots?after=zzzz",
    "deleted-team": "/teams/old-crew",
    "upkeep": "/site/upkeep",
    "settings": "/site/settings",
    "users": "/site/users",
    "user": "/site/users/bea",
    "inactive-user": "/site/users/cal",
    "identities": "/account/identities",
    "providers": "/site/providers",
    "provider": "/site/providers/keycloak",
    "provider-off": "/site/providers/old",
    "no-user": "/site/users?q=zzzz",
    "no-team": "/teams?after=zzzz",
    "audit": "/site/audit",
    "audit-searched": "/site/audit?action=team.&team=gateway",
    "no-audit": "/site/audit?actor=zzzz",
    "bad-audit": "/site/audit?since=soon",
    "team-audit": "/teams/gateway/audit",
    "team-usage": "/teams/gateway/usage",
    "own-usage": "/account/usage",
    "usage": "/site/usage",
    "one-usage": "/site/usage?q=gateway",
    "no-usage": "/site/usage?q=zzzz",
}

SCOPE = "repository:gateway/*:pull,push"


@pytest.fixture(scope="module")
def peopled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with people, teams, links and tokens."""
    with HubProcess(tmp_path_factory.mktemp("peopled") / "data") as hub:
        auth = ("admin", hub.admin_password)
        with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as admin:
            long = "a-name-that-is-as-long-as-names-can-be-at-a-hub-sixty-four-chars"
            for name, role in (("bea", "auditor"), ("cal", "user"), (long, "user")):
                admin.post("/users", json={"name": name, "password": PASSWORD, "role": role}).raise_for_status()
            for team in ("edge", "old-crew"):
                admin.post("/teams", json={"name": team, "description": "Headers, sessions, limits " * 8})
            for name in ("bea", "cal", long):
                admin.put(f"/teams/edge/members/{name}", json={"role": "writer"}).raise_for_status()
            admin.patch("/users/cal", json={"active": False}).raise_for_status()
            admin.patch("/namespaces/edge", json={"name": "gateway"}).raise_for_status()
            admin.delete("/teams/old-crew").raise_for_status()
            for path in ("/invitations", "/teams/gateway/invitations"):
                admin.post(path, json={"note": "Erin from the night shift"}).raise_for_status()
            scopes = ["repository:gateway/*:push", "target:edge:deploy"]
            robot = {"name": "ci", "role": "writer", "description": "Pushes from CI", "scopes": scopes}
            admin.post("/teams/gateway/robots", json=robot).raise_for_status()
            rule = {"issuer": "https://issuer.example", "claims": {"sub": "repo:acme/shop:ref:refs/heads/*"}}
            admin.post("/teams/gateway/robots/ci/trust-rules", json=rule).raise_for_status()
            admin.post("/user/tokens", json={"name": "laptop"}).raise_for_status()
            for name, title in (("keycloak", "the company's Keycloak"), ("old", "An old one")):
                body = {"name": name, "title": title, "issuer": "http://127.0.0.1:9/realms/acme"}
                admin.post(
                    "/providers", json={**body, "client_id": "wasmhub", "active": name != "old"}
                ).raise_for_status()
            for role in ({"role": "writer", "team": "gateway"}, {"role": "administrator"}):
                given = {"group": f"/company/platform/{role['role']}s", **role}
                admin.post("/providers/keycloak/groups", json=given).raise_for_status()
            admin.put("/namespaces/gateway/quota", json={"bytes": 10**6}).raise_for_status()
        database = hub.open_database()
        identity = "(provider_id, subject, user_id, label, created_at) VALUES (2, 's', 1, 'admin@example.com', 1)"
        People(database).run(f"INSERT INTO identities {identity}")
        database.close()
        pusher = Client(hub.url, *auth)
        pusher.push_blob("gateway/limits", bytes(850_000))
        pusher.close()
        yield hub


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_pages_of_people(chromium: Browser, tabs: list[Tab], peopled: HubProcess, size: str, scheme: str) -> None:
    tab = Tab(chromium, size, scheme)
    tabs.append(tab)
    tab.sign_in(peopled, "admin", peopled.admin_password)
    for name, path in PEOPLE.items():
        tab.look(peopled.url + path, f"{name}-{size}-{scheme}")
        tab.fits()
        tab.open_all(f"{name}-open-{size}-{scheme}")

    tab.page.goto(f"{peopled.url}/site/providers/keycloak")
    tab.page.get_by_role("button", name="Check it").click()
    assert "network that is not public" in tab.page.get_by_role("alert").inner_text()
    tab.check(f"provider-checked-{size}-{scheme}")
    tab.fits()

    tab.page.goto(f"{peopled.url}/teams/gateway")
    tab.page.get_by_text("Add somebody").click()
    tab.page.get_by_label("User name").fill("nobody-there")
    tab.page.get_by_role("button", name="Add", exact=True).click()
    assert tab.page.get_by_role("alert").inner_text() == "There is no user 'nobody-there'; invite them by a link."
    assert tab.page.get_by_label("User name").input_value() == "nobody-there"
    tab.check(f"refused-member-{size}-{scheme}")
    tab.fits()

    tab.page.goto(f"{peopled.url}/teams/gateway")
    tab.page.get_by_text("Invite somebody").click()
    tab.page.get_by_role("button", name="Make the link").click()
    assert "/invitations/whi_" in tab.page.locator(".secret code").inner_text()
    tab.check(f"link-{size}-{scheme}")
    tab.fits()


@pytest.mark.parametrize(
    ("size", "scheme", "scripts"), [(*LOOKS[0], True), (*LOOKS[1], True), ("phone", "light", False)]
)
def test_a_program_is_approved(
    chromium: Browser, tabs: list[Tab], peopled: HubProcess, size: str, scheme: str, scripts: bool
) -> None:
    tab = Tab(chromium, size, scheme, scripts=scripts)
    tabs.append(tab)
    page, asked = tab.page, {"client_id": "wasmhub", "device_name": "build-host-of-the-night-shift", "scope": SCOPE}
    begun = httpx.post(f"{peopled.url}/device_authorization", data=asked, trust_env=False).json()
    page.goto(begun["verification_uri_complete"])  # who is not signed in comes back to it
    page.fill("#name", "admin")
    page.fill("#password", peopled.admin_password)
    page.press("#password", "Enter")
    assert page.get_by_label("Code").input_value() == begun["user_code"]
    page.get_by_label("Code").fill("BCDF-GHJK")
    page.get_by_label("Code").press("Enter")
    assert "Nothing waits with this code" in page.get_by_role("alert").inner_text()
    tab.check(f"device-wrong-{size}-{scheme}")
    tab.fits()
    page.get_by_label("Code").fill(begun["user_code"].lower())
    page.get_by_label("Code").press("Enter")
    assert begun["user_code"] in page.locator(".user-code").inner_text()
    tab.check(f"device-asked-{size}-{scheme}")
    tab.fits()
    page.get_by_label("Only for").fill("nonsense")
    page.get_by_role("button", name="Approve").click()
    assert "is no scope" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Only for").input_value() == "nonsense"
    tab.check(f"device-refused-{size}-{scheme}")
    tab.fits()
    page.get_by_label("Only for").fill(SCOPE)
    page.get_by_label("Days").press("Enter")
    assert page.get_by_role("status").inner_text().startswith("Approved.")
    tab.check(f"device-approved-{size}-{scheme}")


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_pages_that_links_lead_to(
    chromium: Browser, tabs: list[Tab], peopled: HubProcess, size: str, scheme: str
) -> None:
    tab = Tab(chromium, size, scheme)
    tabs.append(tab)
    auth = ("admin", peopled.admin_password)
    with httpx.Client(base_url=f"{peopled.url}/api/v1", auth=auth, timeout=30, trust_env=False) as admin:
        into = admin.post("/teams/gateway/invitations", json={"role": "writer"}).json()["link"]
        reset = admin.post("/users/bea/password-reset").json()["link"]
    failed = f"{peopled.url}/sign-in/with/keycloak/callback?state=x"
    links = {"invitation": into, "reset": reset, "sign-in": f"{peopled.url}/sign-in", "sign-on-failed": failed}
    for name, link in links.items():
        tab.look(link, f"{name}-{size}-{scheme}")
        tab.fits()
    tab.sign_in(peopled, "admin", peopled.admin_password)
    tab.look(into, f"invitation-joining-{size}-{scheme}")
    tab.fits()


def test_a_page_that_keeps_people_out_would_be_found(chromium: Browser, tabs: list[Tab], peopled: HubProcess) -> None:
    tab = Tab(chromium)
    tabs.append(tab)
    tab.look(f"{peopled.url}/sign-in")
    tab.page.evaluate("document.querySelector('label[for=password]').remove()")
    with pytest.raises(AssertionError, match="label"):
        tab.check()


def test_an_account_by_keyboard_and_without_javascript(chromium: Browser, tabs: list[Tab], peopled: HubProcess) -> None:
    tab = Tab(chromium, "phone", scripts=False)
    tabs.append(tab)
    page = tab.page
    tab.sign_in(peopled, "bea", PASSWORD)
    page.locator(".who").press("Enter")
    page.locator("summary", has_text="Make a token").press("Enter")
    page.get_by_label("Name", exact=True).fill("typed")
    page.get_by_label("Name", exact=True).press("Enter")
    assert page.locator(".secret code").inner_text().startswith("whp_")
    assert page.locator("button.copy:visible").count() == 0
    page.locator("summary", has_text="Delete typed").press("Enter")
    page.get_by_role("button", name="Delete typed").press("Enter")
    page.get_by_text("No token yet.").wait_for()

    page.get_by_label("E-mail").fill("bea@example.com")
    page.get_by_label("E-mail").press("Enter")
    assert page.get_by_role("status").inner_text() == "Saved."
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("New password").press("Enter")
    assert "signed out everywhere else" in page.get_by_role("status").inner_text()
    assert page.locator(".who").count() == 1

    page.get_by_role("link", name="Teams", exact=True).press("Enter")
    page.locator("summary", has_text="Make a team").press("Enter")
    page.get_by_label("Name", exact=True).fill("typed-team")
    page.get_by_label("New repositories are").select_option("internal")
    page.get_by_role("button", name="Make it").press("Enter")
    page.wait_for_url("**/teams/typed-team*")
    page.locator("summary", has_text="Delete the team").press("Enter")
    page.get_by_label("Type typed-team to be sure").fill("typed-team")
    page.get_by_role("button", name="Delete typed-team").press("Enter")
    page.get_by_role("button", name="Give it back").press("Enter")
    page.locator("summary", has_text="Delete the team").wait_for()
