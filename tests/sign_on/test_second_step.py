"""Who has a second factor at the hub shows it after the provider, too."""

from typing import Any

import httpx
import pytest

from tests.auth.factors import code_of
from tests.hub import HubProcess
from tests.sign_on.scene import Scene, play

STEP = "/sign-in/second-factor"


async def set_up(scene: Scene, browser: httpx.AsyncClient) -> str:
    """Gives who is signed in an authenticator app; answers its secret."""
    headers = {"X-CSRF-Token": await scene.csrf(browser)}
    begun = await browser.post("/api/v1/user/second-factor/totp", json={}, headers=headers)
    assert begun.status_code == 201, begun.text
    secret = str(begun.json()["secret"])
    code = {"code": code_of(secret, -1)}
    kept = await browser.post("/api/v1/user/second-factor/totp/confirm", json=code, headers=headers)
    assert kept.status_code == 200, kept.text
    return secret


async def come(scene: Scene, **claims: Any) -> tuple[httpx.AsyncClient, httpx.Response]:
    """A browser that comes back from the provider, and what it is answered."""
    browser = await scene.client()
    asked = await scene.begin(browser, "/teams")
    scene.tell(asked, **claims)
    return browser, await scene.come_back(browser, asked)


def test_a_provider_does_not_stand_for_the_second_factor(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        secret = await set_up(scene, await scene.sign_in())
        browser, back = await come(scene, sid="s1")
        assert back.headers["location"] == f"{STEP}?next=/teams"
        assert not [one for one in back.headers.get_list("set-cookie") if one.startswith("wasmhub=")]
        assert await scene.who(browser) is None and scene.person in (await browser.get(STEP)).text

        wrong = await browser.post(STEP, data={"code": "000000", "next": "/teams"})
        assert wrong.status_code == 401 and await scene.who(browser) is None
        right = await browser.post(STEP, data={"code": code_of(secret), "next": "/teams"})
        assert (right.status_code, right.headers["location"]) == (303, "/teams")
        assert await scene.who(browser) == scene.person

        # The session is one of the provider's: its logout ends it.
        assert (await scene.log_out(scene.logout_token(sid="s1"))).status_code == 200
        assert await scene.who(browser) is None

    play(hub, scenario)


def test_a_token_alone_sets_no_second_factor_up(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.sign_in()
        headers = {"X-CSRF-Token": await scene.csrf(browser)}
        token = (await browser.post("/api/v1/user/tokens", json={"name": "found"}, headers=headers)).json()["token"]
        program = await scene.client(auth=("any", token))
        refused = await program.post("/api/v1/user/second-factor/totp", json={})
        assert refused.status_code == 400 and "a token alone" in refused.text, refused.text
        assert (await program.delete("/api/v1/user")).status_code == 403
        await set_up(scene, browser)

    play(hub, scenario)


def test_who_was_logged_out_meanwhile_gets_no_further(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        secret = await set_up(scene, await scene.sign_in())
        browser, _ = await come(scene, sid="s2")
        assert (await scene.log_out(scene.logout_token(sid="s2"))).status_code == 200
        late = await browser.post(STEP, data={"code": code_of(secret)})
        assert late.headers["location"].startswith("/sign-in?") and await scene.who(browser) is None

    play(hub, scenario)


@pytest.mark.parametrize("how", ["switched off", "deleted"])
def test_who_came_by_a_provider_that_ended_meanwhile_gets_no_further(hub: HubProcess, how: str) -> None:
    async def scenario(scene: Scene) -> None:
        secret = await set_up(scene, await scene.sign_in())
        browser, _ = await come(scene)
        if how == "deleted":
            await scene.said(204, "DELETE", f"/providers/{scene.name}")
        else:
            await scene.said(200, "PATCH", f"/providers/{scene.name}", {"active": False})
        late = await browser.post(STEP, data={"code": code_of(secret)})
        assert late.headers["location"].startswith("/sign-in?") and await scene.who(browser) is None

    play(hub, scenario)
