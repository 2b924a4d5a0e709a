"""Signing in with a provider: who comes back is who went, and gets the account that is theirs and no other."""

import asyncio
import base64
import hashlib
from urllib.parse import parse_qs, quote_plus

import httpx
import pytest

from tests.auth.issuer import document
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess
from tests.sign_on.scene import CLIENT, SECRET, Scene, play


def test_somebody_signs_in_and_has_an_account_from_then_on(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        assert f'href="/sign-in/with/{scene.name}?next=/teams"' in (await browser.get("/sign-in?next=/teams")).text
        asked = await scene.begin(browser, "/teams")
        redirect_uri = f"{hub.url}/sign-in/with/{scene.name}/callback"
        assert asked["redirect_uri"] == redirect_uri and asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT and asked["scope"] == "openid profile email"
        assert asked["code_challenge_method"] == "S256"
        assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
        scene.tell(asked, name="Ann Example", email="ann@example.com")
        answer = await scene.come_back(browser, asked)
        assert answer.status_code == 303 and answer.headers["location"] == "/teams", answer.text
        assert answer.headers["cache-control"] == "no-store"

        sent = {name: value for name, (value,) in parse_qs(scene.issuer.bodies[-1].decode()).items()}
        digest = hashlib.sha256(sent.pop("code_verifier").encode()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        assert sent == {"grant_type": "authorization_code", "code": "a-code", "redirect_uri": redirect_uri}
        shown = base64.b64encode(f"{CLIENT}:{quote_plus(SECRET)}".encode()).decode()
        assert f"Authorization: Basic {shown}" in scene.issuer.heads[-1]

        me = (await browser.get("/api/v1/user")).json()
        assert (me["name"], me["full_name"], me["email"]) == (scene.person, "Ann Example", "ann@example.com")
        assert await scene.who(await scene.sign_in(preferred_username="somebody-else-now")) == scene.person
        again = await scene.client(auth=(scene.person, PASSWORD))
        assert (await again.get("/api/v1/user")).status_code == 401  # they have no password

    play(hub, scenario)


def test_what_happened_is_told_by_events_and_no_secret_is(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.sign_in()
        database = hub.open_database()
        rows = People(database).rows(
            "SELECT action, actor_kind, detail FROM events WHERE subject IN (:name, :person) ORDER BY id",
            name=scene.name,
            person=scene.person,
        )
        kept = People(database).rows("SELECT sealed_secret FROM providers WHERE name = :name", name=scene.name)
        database.close()
        assert [(action, kind) for action, kind, _ in rows] == [
            ("provider.create", "user"),
            ("namespace.create", "provider"),
            ("user.create", "provider"),
            ("identity.link", "provider"),
            ("session.open", "user"),
        ]
        assert SECRET not in str(rows) and SECRET.encode() not in bytes(kept[0][0])
        shown = await scene.said(200, "GET", f"/providers/{scene.name}")
        assert shown["has_secret"] is True and "client_secret" not in shown and SECRET not in str(shown)
        assert SECRET not in hub.log() and "a-code" not in hub.log() and "opaque" not in hub.log()

    play(hub, scenario)


def test_no_address_of_mail_is_in_the_audit_log(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        address = f"{scene.person}@mail.example"
        asked = await scene.begin(browser := await scene.client())
        scene.tell(asked, preferred_username=address)
        await scene.refused(await scene.come_back(browser, asked), address)
        await scene.said(200, "PATCH", f"/providers/{scene.name}", {"makes_users": True})
        await scene.sign_in(preferred_username=address)
        while not (refused := (await scene.said(200, "GET", "/events?action=sign-in.provider"))["events"]):
            await asyncio.sleep(0.1)
        assert "no account is linked" in [row["detail"]["reason"] for row in refused]
        rows = await scene.said(200, "GET", "/events?action=identity.link&limit=5")
        assert address not in str(refused) + str(rows)

    play(hub, scenario, makes_users=False)


def test_a_matching_name_or_address_takes_no_account_over(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        body = {"name": scene.person, "password": PASSWORD, "email": f"{scene.person}@example.com"}
        await scene.said(201, "POST", "/users", {"name": scene.person, "password": PASSWORD})
        local = await scene.client(auth=(scene.person, PASSWORD))
        assert (await local.patch("/api/v1/user", json={"email": body["email"]})).status_code == 200
        browser = await scene.client()
        asked = await scene.begin(browser, "/teams")
        scene.tell(asked, sub="another", email=body["email"], email_verified=True)
        told = await browser.get((await scene.come_back(browser, asked)).headers["location"])
        assert f"so you are {scene.person}-2" in told.text
        assert await scene.who(browser) == f"{scene.person}-2"
        assert "You have none and sign in with" in (await browser.get("/account")).text
        called = {"admin": "admin-", "Ünal Özkan@x": "unal-ozkan", "../..": "user", "api": "api-2"}
        for number, (name, expected) in enumerate(called.items()):
            browser = await scene.sign_in(sub=f"number {number}", preferred_username=name)
            found = await scene.who(browser)
            assert found is not None and found.startswith(expected) and found != "admin", found

    play(hub, scenario)


def test_who_has_no_account_is_refused_where_the_provider_makes_none(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        asked = await scene.begin(browser)
        scene.tell(asked)
        await scene.refused(await scene.come_back(browser, asked), "No account of this hub is linked to")
        assert await scene.who(browser) is None

    play(hub, scenario, makes_users=False)


def test_who_was_deactivated_stays_out(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.sign_in()
        await scene.said(200, "PATCH", f"/users/{scene.person}", {"active": False})
        assert await scene.who(browser) is None
        asked = await scene.begin(browser)
        scene.tell(asked)
        await scene.refused(await scene.come_back(browser, asked), "was deactivated")

    play(hub, scenario)


def test_a_public_client_and_one_that_posts_its_secret_sign_in_too(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        scene.publish(token_endpoint_auth_methods_supported=["client_secret_post"])
        await scene.sign_in()
        assert f"client_secret={quote_plus(SECRET)}".encode() in scene.issuer.bodies[-1]
        await scene.said(200, "PATCH", f"/providers/{scene.name}", {"client_secret": ""})
        await scene.sign_in()
        assert b"client_secret" not in scene.issuer.bodies[-1] and b"client_id=hub" in scene.issuer.bodies[-1]

    play(hub, scenario)


def test_the_provider_says_no_in_words(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        asked = await scene.begin(browser)
        answer = await scene.come_back(browser, asked, code=None, error="access_denied<b>")
        await scene.refused(answer, "did not sign you in: &#39;access_denied&lt;b&gt;&#39;")
        asked = await scene.begin(browser)
        scene.issuer.answers["/token"] = document({"error": "invalid_client"}).replace(b"200 OK", b"401 Unauthorized")
        await scene.refused(await scene.come_back(browser, asked), "did not take the code of this sign-in")

    play(hub, scenario)


def test_a_provider_that_is_switched_off_or_unknown_signs_nobody_in(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser, other = await scene.sign_in(), await scene.client()
        asked = await scene.begin(other)
        scene.tell(asked)
        await scene.said(200, "PATCH", f"/providers/{scene.name}", {"active": False})
        assert await scene.who(browser) is None  # its sessions ended
        await scene.refused(await scene.come_back(other, asked), "no such way to sign in", (404,))
        assert (await other.get(f"/sign-in/with/{scene.name}")).status_code == 404
        assert scene.name not in (await other.get("/sign-in")).text
        assert (await other.get("/sign-in/with/no-such")).status_code == 404

    play(hub, scenario)


@pytest.mark.parametrize(
    "there",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", "evil"],
)
def test_nobody_is_led_to_another_place_afterwards(hub: HubProcess, there: str) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        asked = await scene.begin(browser, there)
        scene.tell(asked)
        answer = await scene.come_back(browser, asked)
        assert answer.status_code == 303 and answer.headers["location"] == "/"

    play(hub, scenario)


def test_who_is_signed_in_already_is_not_signed_in_as_somebody_else(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.sign_in()
        answer = await browser.get(f"/sign-in/with/{scene.name}?next=/teams")
        assert answer.headers["location"] == "/teams"

    play(hub, scenario)


def test_sessions_of_one_browser_do_not_pile_up_and_none_is_fixed(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser: httpx.AsyncClient = await scene.client()
        browser.cookies.set("wasmhub", "whs_planted")
        await scene.sign_in(browser)
        given = [cookie.value for cookie in browser.cookies.jar if cookie.name == "wasmhub"]
        assert "whs_planted" not in given[-1:]

    play(hub, scenario)
