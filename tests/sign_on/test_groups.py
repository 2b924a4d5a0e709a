"""What a provider's groups give: kept apart from what people gave, and never the end of the last owner."""

import asyncio
import secrets
from typing import Any

import httpx

from tests.auth.people import PASSWORD
from tests.hub import HubProcess
from tests.sign_on.scene import Scene, play


async def team(scene: Scene) -> str:
    """A new team, which `admin` owns."""
    name = f"t-{secrets.token_hex(4)}"
    await scene.said(201, "POST", "/teams", {"name": name})
    return name


async def give(scene: Scene, group: str, role: str, team: str = "") -> Any:
    """Lets a group give a role."""
    body = {"group": group, "role": role} | ({"team": team} if team else {})
    return await scene.said(201, "POST", f"/providers/{scene.name}/groups", body)


async def role_in(scene: Scene, team: str, person: str = "") -> str | None:
    """Somebody's role in a team."""
    found = (await scene.said(200, "GET", f"/teams/{team}/members"))["members"]
    return next((one["role"] for one in found if one["name"] == (person or scene.person)), None)


async def site_role(scene: Scene, browser: httpx.AsyncClient) -> str:
    """Somebody's role in the whole hub."""
    return str((await browser.get("/api/v1/user")).json()["role"])


def test_groups_give_roles_and_take_them_away(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        one, two = await team(scene), await team(scene)
        await give(scene, "/dev", "writer", one)
        await give(scene, "/leads", "maintainer", one)
        await give(scene, "/dev", "reader", two)
        await scene.sign_in(groups=["/dev", "/leads", 7, "", "/unknown"])
        assert (await role_in(scene, one), await role_in(scene, two)) == ("maintainer", "reader")
        found = (await scene.said(200, "GET", f"/teams/{one}/members"))["members"]
        assert {each["name"]: each["provider"] for each in found} == {"admin": None, scene.person: scene.name}
        await scene.sign_in(groups=["/dev"])
        assert (await role_in(scene, one), await role_in(scene, two)) == ("writer", "reader")
        await scene.sign_in(groups="/leads")
        assert (await role_in(scene, one), await role_in(scene, two)) == ("maintainer", None)
        await scene.sign_in()  # no claim is no group
        assert await role_in(scene, one) is None

    play(hub, scenario)


def test_what_groups_give_in_a_team_is_in_its_audit_log(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        number = (await give(scene, "/dev", "writer", mine))["id"]
        await scene.sign_in(groups=["/dev"])
        await scene.sign_in()
        await scene.said(204, "DELETE", f"/providers/{scene.name}/groups/{number}")
        found = (await scene.said(200, "GET", f"/teams/{mine}/events"))["events"]
        assert [row["action"] for row in found[:4]] == ["provider.unmap", "member.remove", "member.set", "provider.map"]
        assert {row["detail"].get("provider", row["subject"]) for row in found[:4]} == {scene.name}

    play(hub, scenario)


def test_a_claim_within_claims_is_found_and_a_mapping_can_be_changed(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        first = await give(scene, "dev", "writer", mine)
        second = await give(scene, "dev", "reader", mine)
        assert first["id"] == second["id"] and second["role"] == "reader"
        claims = {"realm_access": {"roles": ["dev"]}}
        await scene.sign_in(**claims)
        assert await role_in(scene, mine) == "reader"
        await scene.said(204, "DELETE", f"/providers/{scene.name}/groups/{first['id']}")
        await scene.said(409, "DELETE", f"/providers/{scene.name}/groups/{first['id']}")
        await scene.sign_in(**claims)
        assert await role_in(scene, mine) is None

    play(hub, scenario, groups_claim="realm_access.roles")


def test_what_people_gave_is_not_touched(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        await give(scene, "dev", "writer", mine)
        await scene.sign_in()
        await scene.said(200, "PUT", f"/teams/{mine}/members/{scene.person}", {"role": "reader"})
        await scene.sign_in(groups=["dev"])
        assert await role_in(scene, mine) == "reader"
        await scene.sign_in()
        assert await role_in(scene, mine) == "reader"
        await scene.said(204, "DELETE", f"/teams/{mine}/members/{scene.person}")
        await scene.sign_in(groups=["dev"])
        assert await role_in(scene, mine) == "writer"
        await scene.said(200, "PUT", f"/teams/{mine}/members/{scene.person}", {"role": "writer"})
        await scene.sign_in()  # what a group gave is by hand once somebody has set it
        assert await role_in(scene, mine) == "writer"

    play(hub, scenario)


def test_nobody_makes_their_own_what_a_group_gave_them(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        await give(scene, "leads", "owner", mine)
        browser = await scene.sign_in(groups=["leads"])
        headers, path = {"X-CSRF-Token": await scene.csrf(browser)}, f"/api/v1/teams/{mine}/members/{scene.person}"
        for role in ("owner", "maintainer"):
            answer = await browser.put(path, json={"role": role}, headers=headers)
            assert answer.status_code == 200, answer.text
            assert await role_in(scene, mine, scene.person) == role
        await scene.sign_in(groups=["leads"])
        assert await role_in(scene, mine, scene.person) == "owner"
        await scene.sign_in(groups=[])
        assert await role_in(scene, mine, scene.person) is None

    play(hub, scenario)


def test_the_last_owner_stays_one(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        await give(scene, "leads", "owner", mine)
        await give(scene, "dev", "reader", mine)
        browser = await scene.sign_in(groups=["leads"])
        assert await role_in(scene, mine) == "owner"
        await scene.said(204, "DELETE", f"/teams/{mine}/members/admin")
        for groups in ([], ["dev"]):
            await scene.sign_in(groups=groups)
            assert await role_in(scene, mine) == "owner"
        await scene.said(200, "PUT", f"/teams/{mine}/members/admin", {"role": "owner"})
        await scene.sign_in(groups=["dev"])
        assert await role_in(scene, mine) == "reader"
        assert await scene.who(browser) == scene.person

    play(hub, scenario)


def test_groups_give_the_role_in_the_hub_and_only_that_is_taken_away(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        await give(scene, "ops", "administrator")
        await give(scene, "audit", "auditor")
        browser = await scene.sign_in(groups=["audit", "ops"])
        assert await site_role(scene, browser) == "administrator"
        headers = {"X-CSRF-Token": await scene.csrf(browser)}
        kept = await browser.post("/api/v1/users/admin/password-reset", headers=headers)
        await scene.sign_in(groups=["audit"])
        assert await site_role(scene, browser) == "auditor"
        await scene.said(404, "POST", "/password-reset", {"secret": kept.json()["secret"], "password": "x" * 20})
        await scene.sign_in(groups=[])
        assert await site_role(scene, browser) == "user"
        await scene.said(200, "PATCH", f"/users/{scene.person}", {"role": "auditor"})
        await scene.sign_in(groups=["ops"])
        assert await site_role(scene, browser) == "auditor"  # given by hand
        await scene.sign_in(groups=[])
        assert await site_role(scene, browser) == "auditor"

    play(hub, scenario)


def test_a_provider_that_goes_takes_all_that_came_from_it(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        one, two = await team(scene), await team(scene)
        await give(scene, "dev", "writer", one)
        await give(scene, "dev", "owner", two)
        await give(scene, "dev", "auditor")
        browser = await scene.sign_in(groups=["dev"])
        await scene.said(204, "DELETE", f"/teams/{two}/members/admin")
        await scene.said(204, "DELETE", f"/providers/{scene.name}")
        assert await scene.who(browser) is None
        assert (await role_in(scene, one), await role_in(scene, two)) == (None, "owner")
        shown = await scene.said(200, "GET", f"/users/{scene.person}")
        assert shown["role"] == "user" and shown["active"]
        await scene.said(404, "GET", f"/providers/{scene.name}")

    play(hub, scenario)


def test_two_providers_keep_what_they_give_apart(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine = await team(scene)
        await give(scene, "dev", "writer", mine)
        await scene.sign_in(groups=["dev"])

        async def with_another(other: Scene) -> None:
            await give(other, "dev", "owner", mine)
            browser = await other.sign_in(sub="x", preferred_username=scene.person, groups=["dev"])
            named = await other.who(browser)
            assert named == f"{scene.person}-2"
            assert await role_in(scene, mine, named) == "owner" and await role_in(scene, mine) == "writer"
            await scene.sign_in(groups=["dev"])
            assert await role_in(scene, mine, named) == "owner"

        await scene.beside(with_another)

    play(hub, scenario)


def test_what_is_no_mapping_is_refused_with_a_sentence(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        path = f"/providers/{scene.name}/groups"
        for body, status in (
            ({"group": "x", "role": "owner"}, 400),
            ({"group": "x", "role": "auditor", "team": "no-such-team"}, 400),
            ({"group": "x", "role": "reader", "team": "no-such-team"}, 404),
            ({"group": "", "role": "auditor"}, 400),
            ({"group": "x" * 300, "role": "auditor"}, 400),
            ({"group": "x", "role": "auditor", "more": 1}, 400),
        ):
            await scene.said(status, "POST", path, body)
        await scene.said(404, "DELETE", f"{path}/x")

    play(hub, scenario)


def test_somebody_links_an_identity_and_unlinks_it(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        mine, local = await team(scene), f"local-{secrets.token_hex(4)}"
        await give(scene, "dev", "writer", mine)
        await scene.said(201, "POST", "/users", {"name": local, "password": PASSWORD})
        browser = await scene.client()
        await browser.post("/sign-in", data={"name": local, "password": PASSWORD})
        assert (await scene.link(browser, groups=["dev"])).headers["location"] == "/account/identities?done=link"
        assert await role_in(scene, mine, local) == "writer"
        other = await scene.sign_in()
        assert await scene.who(other) == local
        linked = (await browser.get("/api/v1/user/identities")).json()["identities"]
        assert [one["provider"] for one in linked] == [scene.name] and linked[0]["subject"] == scene.person
        program = await scene.client(auth=(local, PASSWORD))
        path = f"/api/v1/user/identities/{linked[0]['id']}"
        assert (await program.delete(path)).status_code == 204
        assert (await program.delete(path)).status_code == 409
        assert await scene.who(other) is None and await scene.who(browser) == local
        assert await role_in(scene, mine, local) is None
        assert await scene.who(await scene.sign_in()) == scene.person

    play(hub, scenario)


def test_nobody_links_what_is_somebody_elses_or_loses_the_last_way_in(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        owner, local = await scene.sign_in(), f"local-{secrets.token_hex(4)}"
        await scene.said(201, "POST", "/users", {"name": local, "password": PASSWORD})
        browser = await scene.client()
        await browser.post("/sign-in", data={"name": local, "password": PASSWORD})
        await scene.refused(await scene.link(browser), "is linked to another account of this hub")
        assert (await scene.link(browser, sub="second")).status_code == 303
        await scene.refused(await scene.link(browser, sub="third"), "linked to somebody else of The")
        found = (await owner.get("/api/v1/user/identities")).json()["identities"][0]
        csrf = await scene.csrf(owner)
        answer = await owner.delete(f"/api/v1/user/identities/{found['id']}", headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 409 and "no password" in answer.text
        program = await scene.client(auth=(local, PASSWORD))
        assert (await program.delete(f"/api/v1/user/identities/{found['id']}")).status_code == 409

    play(hub, scenario)


def test_a_link_is_made_only_for_who_asked_for_it(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        one, two = (f"local-{secrets.token_hex(4)}" for _ in range(2))
        browser = await scene.client()
        for name in (one, two):
            await scene.said(201, "POST", "/users", {"name": name, "password": PASSWORD})
        await browser.post("/sign-in", data={"name": one, "password": PASSWORD})
        for proof, words in (("", "show who you are"), ("wrong", "the password is wrong")):
            form = {"form": "link", "provider": scene.name, "csrf": await scene.csrf(browser), "proof": proof}
            refused = await browser.post("/account/identities", data=form)
            assert refused.status_code == 400 and words in refused.text.lower() and "refresh" not in refused.headers
        asked = await scene.ask_for_link(browser)
        await browser.post("/sign-in", data={"name": two, "password": PASSWORD})
        scene.tell(asked)
        await scene.refused(await scene.come_back(browser, asked), "is not signed in any more")
        forged = {"form": "link", "provider": scene.name, "csrf": "x"}
        assert (await browser.post("/account/identities", data=forged)).status_code == 403

    play(hub, scenario)


def test_a_provider_signs_people_out_by_session_and_by_subject(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        first, second = await scene.sign_in(sid="s1"), await scene.sign_in(sid="s2")
        other = await scene.sign_in(sub="other", preferred_username=f"{scene.person}-other", sid="s3")
        token = scene.logout_token(sid="s1")
        answer = await scene.log_out(token)
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        assert await scene.who(first) is None and await scene.who(second) == scene.person
        again = await scene.log_out(token)
        assert again.status_code == 400 and "jti" in again.json()["error_description"]
        assert (await scene.log_out(scene.logout_token(sub="nobody-here"))).status_code == 200
        assert (await scene.log_out(scene.logout_token(sub=None, sid="s3"))).status_code == 200
        assert await scene.who(other) is None
        assert (await scene.log_out(scene.logout_token())).status_code == 200
        assert await scene.who(second) is None

    play(hub, scenario)


def test_no_link_is_made_for_who_had_the_password_until_a_moment_ago(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        local = f"local-{secrets.token_hex(4)}"
        await scene.said(201, "POST", "/users", {"name": local, "password": PASSWORD})
        browser = await scene.client()
        await browser.post("/sign-in", data={"name": local, "password": PASSWORD})
        asked = await scene.ask_for_link(browser)
        scene.tell(asked)
        late = scene.issuer.answers["/token"]
        assert isinstance(late, bytes)

        async def answer_after_a_new_password(writer: asyncio.StreamWriter) -> None:
            await scene.said(204, "PUT", f"/users/{local}/password", {"password": "another-long-password"})
            writer.write(late)
            await writer.drain()

        scene.issuer.answers["/token"] = answer_after_a_new_password
        await scene.refused(await scene.come_back(browser, asked), "about this account changed")

    play(hub, scenario)
