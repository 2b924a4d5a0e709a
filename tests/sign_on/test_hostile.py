"""Answers that a provider, or somebody in between, should never give: none of them signs anybody in."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from auth.outgoing import Outgoing
from auth.secrets import SecretKey
from auth.sign_on import LIFETIME, RETURNS, SignOn
from storage.database import Database
from tests.auth.issuer import CONFIGURATION, Issuer, document, public, whole
from tests.auth.people import People
from tests.hub import HubProcess
from tests.sign_on.scene import CLIENT, KEY, LOGOUT_EVENT, OTHER, Scene, play

LOOPBACK = [ip_network("127.0.0.1/32")]


def part(value: Any) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def confused(claims: dict[str, Any]) -> str:
    """A token that is signed with HMAC by the public key, which everybody knows."""
    signed = f"{part({'alg': 'HS256', 'kid': 'ec'})}.{part(claims)}"
    signature = hmac.digest(KEY.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def half_hash(text: str) -> str:
    """What `at_hash` of a token signed with ES256 is."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode().rstrip("=")


# What is wrong with the ID token -> its claims, now in seconds at hand; what the page says
WRONG: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "audience": (lambda now: {"aud": "another"}, "audience is &#39;another&#39;"),
    "no audience": (lambda now: {"aud": None}, "names no audience"),
    "authorized party": (lambda now: {"azp": "another"}, "&#39;azp&#39;"),
    "audiences and no party": (lambda now: {"aud": [CLIENT, "another"]}, "&#39;azp&#39;"),
    "issuer": (lambda now: {"iss": "https://evil.example"}, "issuer is &#39;https://evil.example&#39;"),
    "no nonce": (lambda now: {"nonce": None}, "`nonce`"),
    "foreign nonce": (lambda now: {"nonce": "another"}, "`nonce`"),
    "nonce of another kind": (lambda now: {"nonce": 1}, "`nonce`"),
    "expired five minutes ago": (lambda now: {"exp": now - 300}, "expired 30"),
    "no expiry": (lambda now: {"exp": None}, "never expires"),
    "clock five minutes ahead": (lambda now: {"iat": now + 300}, "ahead of the hub&#39;s clock"),
    "good in five minutes": (lambda now: {"nbf": now + 300}, "ahead of the hub&#39;s clock"),
    "no time of issue": (lambda now: {"iat": None}, "&#39;iat&#39;"),
    "no subject": (lambda now: {"sub": None}, "not good for this hub"),
    "empty subject": (lambda now: {"sub": ""}, "`sub`"),
    "long subject": (lambda now: {"sub": "x" * 256}, "`sub`"),
    "subject of another kind": (lambda now: {"sub": ["x"]}, "not good for this hub"),
    "another access token": (lambda now: {"at_hash": half_hash("another")}, "&#39;at_hash&#39;"),
    "hash of another kind": (lambda now: {"at_hash": 7}, "not good for this hub"),
}


@pytest.mark.parametrize("what", WRONG)
def test_no_wrong_id_token_signs_anybody_in(hub: HubProcess, what: str) -> None:
    async def scenario(scene: Scene) -> None:
        browser, (wrong, words) = await scene.client(), WRONG[what]
        asked = await scene.begin(browser)
        scene.tell(asked, **wrong(int(time.time())))
        await scene.refused(await scene.come_back(browser, asked), words)
        assert await scene.who(browser) is None

    play(hub, scenario)


def test_clocks_may_differ_by_less_than_a_minute(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        now = int(time.time())
        await scene.sign_in(exp=now - 30, at_hash=half_hash("opaque"))
        await scene.sign_in(iat=now + 30, nbf=now + 30, aud=[CLIENT])

    play(hub, scenario)


def test_no_unsigned_or_wrongly_signed_id_token_signs_anybody_in(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser, now = await scene.client(), int(time.time())
        for words, token in (
            ("&#39;none&#39;", lambda claims: f"{part({'alg': 'none'})}.{part(claims)}."),
            ("&#39;HS256&#39;", confused),
            ("signature is not its issuer", lambda claims: scene.issuer.token(OTHER, **claims)),
            ("does not publish", lambda claims: scene.issuer.token(KEY, header={"kid": "x"}, **claims)),
            ("not a signed JSON", lambda claims: "x.y"),
            ("characters; at most", lambda claims: scene.issuer.token(KEY, **claims, more="x" * 20_000)),
        ):
            asked = await scene.begin(browser)
            claims = {"iss": scene.issuer.url, "aud": CLIENT, "sub": "x", "iat": now, "exp": now + 60}
            scene.tell(asked, token=token({**claims, "nonce": asked["nonce"]}))
            await scene.refused(await scene.come_back(browser, asked), words)
        for reply in ({"access_token": "a", "token_type": "Bearer"}, {"id_token": "x"}, {"error": 7}, {}):
            asked = await scene.begin(browser)
            scene.issuer.answers["/token"] = document(reply)
            await scene.refused(await scene.come_back(browser, asked), "answered without")
        assert await scene.who(browser) is None

    play(hub, scenario)


def test_keys_may_be_changed_at_the_provider(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        await scene.sign_in()
        new = type(KEY).generate_key("P-256", {"kid": "next"})
        browser = await scene.client()
        asked = await scene.begin(browser)
        scene.publish()
        scene.issuer.publish(
            public(KEY),
            public(new),
            **{f"{name}_endpoint": f"{scene.issuer.url}/{name}" for name in ("authorization", "token")},
        )
        claims = {"aud": CLIENT, "sub": scene.person, "nonce": asked["nonce"]}
        scene.tell(asked, token=scene.issuer.token(new, header={"kid": "next"}, **claims))
        await asyncio.sleep(10.1)  # between two looks at one provider
        assert (await scene.come_back(browser, asked)).status_code == 303

    play(hub, scenario)


def test_what_was_used_once_is_refused_and_the_provider_is_not_asked_again(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser, thief = await scene.client(), await scene.client()
        asked = await scene.begin(browser)
        scene.tell(asked)
        kept = dict(browser.cookies)
        assert (await scene.come_back(browser, asked)).status_code == 303
        calls = scene.issuer.asked["/token"]
        again = await scene.come_back(browser, asked)
        await scene.refused(again, "not begun in this browser")  # its cookie went with the first answer
        for name, value in kept.items():
            thief.cookies.set(name, value)
        await scene.refused(await scene.come_back(thief, asked), "was used already")
        assert scene.issuer.asked["/token"] == calls
        assert await scene.who(thief) is None

    play(hub, scenario)


def test_two_who_come_back_with_one_sign_in_at_once_get_one_session(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        asked = await scene.begin(browser)
        scene.tell(asked)
        kept = dict(browser.cookies)
        clients = [await scene.client(cookies=kept) for _ in range(6)]
        answers = await asyncio.gather(*(scene.come_back(one, asked) for one in clients))
        assert sorted(answer.status_code for answer in answers) == [303, *[400] * 5]

    play(hub, scenario)


def test_the_state_of_another_browser_or_none_is_refused(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        victim, attacker, nobody = await scene.client(), await scene.client(), await scene.client()
        mine, theirs = await scene.begin(victim), await scene.begin(attacker)
        scene.tell(theirs)
        words = "not begun in this browser"
        await scene.refused(await scene.come_back(victim, theirs), words)
        await scene.refused(await scene.come_back(nobody, theirs), words)
        await scene.refused(await scene.come_back(victim, mine, state=None), words)
        twice = f"/sign-in/with/{scene.name}/callback?code=a-code&state={mine['state']}&state={mine['state']}"
        await scene.refused(await victim.get(twice), words)
        for value in ("x", "A" * 5000, base64.urlsafe_b64encode(secrets.token_bytes(300)).decode(), '"', "é"):
            forger = await scene.client(headers={"Cookie": f"wasmhub-sign-on={value}".encode()})
            await scene.refused(await scene.come_back(forger, mine), words)
        assert scene.issuer.asked["/token"] == 0
        scene.tell(mine)  # and none of that ended the victim's own sign-in
        assert (await scene.come_back(victim, mine)).status_code == 303

    play(hub, scenario)


def test_nothing_else_that_the_hub_sealed_is_a_sign_in_and_none_lasts_longer_than_ten_minutes(
    database: Database,
) -> None:
    async def scenario() -> None:
        moment, key = 1000.0, SecretKey("a key")
        async with Issuer() as issuer:
            addresses = {f"{name}_endpoint": f"{issuer.url}/{name}" for name in ("authorization", "token")}
            issuer.publish(public(KEY), **addresses)
            People(database).run(
                "INSERT INTO providers (name, title, issuer, client_id, scopes, name_claim, groups_claim, makes_users,"
                " active, created_at) VALUES ('p', 'P', :issuer, 'hub', 'openid', 'x', 'y', true, true, 1)",
                issuer=issuer.url,
            )
            sign_on = SignOn(database, key, Outgoing(LOOPBACK), clock=lambda: moment)
            address, cookie = await sign_on.begin("p", "https://hub.example", "/")
            state = address.partition("&state=")[2].partition("&")[0]
            assert sign_on.attempt(cookie, state) is not None
            assert sign_on.attempt(cookie, state + "x") is None and sign_on.attempt(cookie, None) is None
            moment += LIFETIME + 1
            assert sign_on.attempt(cookie, state) is None
            for other in (b"a private key", b"[]", b"{}", b'{"purpose": "sign-on"}', b"7"):
                assert sign_on.attempt(base64.urlsafe_b64encode(key.seal(other)).decode(), state) is None

    asyncio.run(scenario())


def test_the_answer_of_one_provider_is_not_taken_for_anothers(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        async with Issuer() as issuer, AsyncExitStack() as stack:
            evil = await Scene(hub, issuer, stack).build()
            browser = await scene.client()
            asked = await scene.begin(browser)
            evil.tell(asked)
            answer = await scene.come_back(browser, asked, name=evil.name)
            await scene.refused(answer, "was not begun with The")
            asked = await scene.begin(browser)
            answer = await scene.come_back(browser, asked, iss=evil.issuer.url)
            await scene.refused(answer, "The answer is of")
            asked = await scene.begin(browser)
            twice = f"/sign-in/with/{scene.name}/callback?code=c&state={asked['state']}&iss={scene.issuer.url}&iss=x"
            await scene.refused(await browser.get(twice), "The answer is of")
            assert scene.issuer.asked["/token"] == evil.issuer.asked["/token"] == 0
            asked = await scene.begin(browser)
            scene.tell(asked)
            assert (await scene.come_back(browser, asked, iss=scene.issuer.url)).status_code == 303

    play(hub, scenario)


def test_who_promises_to_name_itself_must(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        scene.publish(authorization_response_iss_parameter_supported=True)
        browser = await scene.client()
        asked = await scene.begin(browser)
        scene.tell(asked)
        await scene.refused(await scene.come_back(browser, asked), "its parameter `iss`")
        assert scene.issuer.asked["/token"] == 0

    play(hub, scenario)


def test_what_is_told_of_somebody_else_is_refused(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        scene.publish(userinfo_endpoint=f"{scene.issuer.url}/userinfo")
        browser = await scene.client()
        for told in ({"sub": "another"}, {}, {"sub": [scene.person]}):
            asked = await scene.begin(browser)
            scene.tell(asked)
            scene.issuer.answers["/userinfo"] = document(told)
            await scene.refused(await scene.come_back(browser, asked), "told of somebody else")
        scene.issuer.answers["/userinfo"] = document({"sub": scene.person, "name": "Ann", "aud": "x", "nonce": "x"})
        browser = await scene.sign_in()
        assert "Authorization: Bearer opaque" in scene.issuer.heads[-1]
        assert (await browser.get("/api/v1/user")).json()["full_name"] == "Ann"

    play(hub, scenario)


def test_neither_huge_answers_nor_redirects_nor_other_networks_are_followed(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        inside = whole(b"", "Location: http://169.254.169.254/latest/meta-data", status="302 Found")
        huge = whole(json.dumps({"access_token": "x" * 2**21}).encode())
        for answer, words in ((inside, "redirects to another"), (huge, "more than 1 MiB"), (b"no", "does not speak")):
            asked = await scene.begin(browser)
            scene.issuer.answers["/token"] = answer
            await scene.refused(await scene.come_back(browser, asked), words)
        async with Issuer() as issuer, AsyncExitStack() as stack:
            other = await Scene(hub, issuer, stack).build()
            addresses = {"authorization_endpoint": f"{issuer.url}/authorization"}
            issuer.publish(public(KEY), **addresses, token_endpoint="http://169.254.169.254/token")
            asked = await other.begin(browser)
            await scene.refused(await other.come_back(browser, asked), "network that is not public")

    play(hub, scenario)


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"authorization_endpoint": "javascript:alert(1)"}, "names no authorization_endpoint"),
        ({"authorization_endpoint": None}, "names no authorization_endpoint"),
        ({"authorization_endpoint": "http://x/\r\nSet-Cookie: a=b"}, "that is no address"),
        ({"authorization_endpoint": "http://x/?a=%zz&b c"}, "that is no address"),
        ({"authorization_endpoint": "http://日本.example/"}, "that is no address"),
        ({"issuer": "https://evil.example"}, "says that its issuer is"),
    ],
)
def test_no_browser_is_sent_to_what_is_no_address(hub: HubProcess, published: dict[str, Any], words: str) -> None:
    async def scenario(scene: Scene) -> None:
        addresses = {f"{name}_endpoint": f"{scene.issuer.url}/{name}" for name in ("authorization", "token")}
        scene.issuer.publish(public(KEY), **{**addresses, **published})
        answer = await (await scene.client()).get(f"/sign-in/with/{scene.name}")
        await scene.refused(answer, words)
        assert answer.status_code == 503

    play(hub, scenario)


def test_a_silent_provider_holds_up_nobody_and_says_so_within_seconds(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        async with Issuer() as issuer, AsyncExitStack() as stack:
            silent = await Scene(hub, issuer, stack).build()

            async def say_nothing(writer: asyncio.StreamWriter) -> None:
                await asyncio.sleep(60)

            browsers = [await silent.client() for _ in range(24)]
            asked = [await silent.begin(one) for one in browsers]
            issuer.answers["/token"] = say_nothing
            began = time.monotonic()
            waiting = [
                asyncio.create_task(silent.come_back(one, each)) for one, each in zip(browsers, asked, strict=True)
            ]
            await asyncio.sleep(0.5)
            assert not any(one.done() for one in waiting)
            quick = time.monotonic()
            await scene.sign_in()
            person = await scene.client(auth=("admin", hub.admin_password))
            assert (await person.get("/api/v1/user")).status_code == 200
            assert time.monotonic() - quick < 8
            for answer in await asyncio.gather(*waiting):
                await silent.refused(answer, "did not answer within 10 s")
            assert time.monotonic() - began < 25  # one after another they would wait for 30

    play(hub, scenario)


def test_a_provider_that_cannot_be_reached_at_first_says_so(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        del scene.issuer.answers[CONFIGURATION]
        answer = await (await scene.client()).get(f"/sign-in/with/{scene.name}")
        await scene.refused(answer, "cannot be asked")
        assert answer.status_code == 503

    play(hub, scenario)


# What is wrong with the logout token -> its claims; what the answer says
FORGED: dict[str, tuple[Callable[[int], dict[str, Any]], str]] = {
    "audience": (lambda now: {"aud": "another"}, "audience"),
    "issuer": (lambda now: {"iss": "https://evil.example"}, "issuer"),
    "expired": (lambda now: {"exp": now - 300}, "expired"),
    "issued later": (lambda now: {"iat": now + 300}, "ahead"),
    "no event": (lambda now: {"events": None}, "events"),
    "another event": (lambda now: {"events": {"x": {}}}, "events"),
    "event of another kind": (lambda now: {"events": {LOGOUT_EVENT: 1}}, "events"),
    "nonce": (lambda now: {"nonce": "x"}, "nonce"),
    "no name": (lambda now: {"jti": None}, "jti"),
    "nobody": (lambda now: {"sub": None}, "sub"),
    "session of another kind": (lambda now: {"sid": 7}, "sid"),
}


def test_no_forged_logout_token_ends_a_session(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        browser, now = await scene.sign_in(sid="s1"), int(time.time())
        for what, (wrong, words) in FORGED.items():
            answer = await scene.log_out(scene.logout_token(**wrong(now)))
            assert answer.status_code == 400 and words in answer.json()["error_description"], (what, answer.text)
        good = {"iss": scene.issuer.url, "aud": CLIENT, "sub": scene.person, "iat": now, "exp": now + 60, "jti": "j"}
        good["events"] = {LOGOUT_EVENT: {}}
        id_token = scene.issuer.token(KEY, aud=CLIENT, sub=scene.person, nonce="n")
        forged = scene.issuer.token(OTHER, **good)
        for token in (f"{part({'alg': 'none'})}.{part(good)}.", confused(good), forged, id_token, "", "x" * 40_000):
            assert (await scene.log_out(token)).status_code in (400, 413)
        for body in (b"", b"logout_token=a&logout_token=b", b"\xff\xfe"):
            path = f"/providers/{scene.name}/backchannel-logout"
            assert (await scene.api.post(path, content=body)).status_code == 400
        assert await scene.who(browser) == scene.person

    play(hub, scenario)


def test_made_up_codes_are_not_passed_on_for_ever(tmp_path: Path) -> None:
    """Each is a call to the provider, which has eight turns for everybody. A hub of its own: the address is ours."""

    async def scenario(scene: Scene) -> None:
        browser = await scene.client()
        asked = await scene.begin(browser)
        kept = dict(browser.cookies)
        scene.issuer.answers["/token"] = whole(b'{"error": "invalid_grant"}', status="400 Bad Request")
        statuses = []
        while 429 not in statuses and len(statuses) < 2 * RETURNS.burst:
            browser.cookies.update(kept)
            statuses.append((await scene.come_back(browser, asked, code=f"c{len(statuses)}")).status_code)
        assert statuses[-1] == 429 and scene.issuer.asked["/token"] == len(statuses) - 1 >= RETURNS.burst

    with HubProcess(tmp_path / "data", WASMHUB_OUTGOING_NETWORKS="127.0.0.1/32") as alone:
        play(alone, scenario)
