"""Workload identity over HTTP: tokens of an issuer that a team trusts become tokens of its robot, and no others do."""

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from tests.auth.issuer import JWKS, Issuer, public
from tests.auth.people import access_of
from tests.hub import HubProcess
from tests.oci import Client

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
KEY = ECKey.generate_key("P-256", {"kid": "ec"})
OTHER = ECKey.generate_key("P-256", {"kid": "ec"})
SUBJECT = "repo:acme/shop:ref:refs/heads/main"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that may call this machine, and that believes X-Forwarded-For."""
    told = {"WASMHUB_OUTGOING_NETWORKS": "127.0.0.1/32", "WASMHUB_TRUSTED_PROXIES": "127.0.0.1"}
    with HubProcess(tmp_path_factory.mktemp("trusting") / "data", **told) as running:
        yield running
        running.check_log()


class Scene:
    """A team with the robot `ci`, which tokens of an issuer stand for."""

    def __init__(self, hub: HubProcess, issuer: Issuer, **rule: Any) -> None:
        self.hub, self.issuer = hub, issuer
        self.team = f"shop-{secrets.token_hex(4)}"
        self.api = httpx.AsyncClient(
            base_url=f"{hub.url}/api/v1", auth=("admin", hub.admin_password), timeout=30, trust_env=False
        )
        self.http = httpx.AsyncClient(base_url=hub.url, timeout=30, trust_env=False)
        self.address = f"10.0.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        self.rule = {"issuer": issuer.url, "audience": "hub", "claims": {"sub": "repo:acme/*"}, **rule}

    async def said(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """What the API answers the administrator, with this status."""
        content = None if body is None else json.dumps(body)
        answer = await self.api.request(method, path, content=content)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def build(self) -> "Scene":
        """Makes all of it."""
        await self.said(201, "POST", "/teams", {"name": self.team})
        scopes = [f"repository:{self.team}/*:pull,push"]
        robot = {"name": "ci", "role": "writer", "scopes": scopes, "with_token": False}
        made = await self.said(201, "POST", f"/teams/{self.team}/robots", robot)
        assert made["token"] is None and made["tokens"] == []
        self.rule_id = (await self.trust("ci"))["id"]
        self.issuer.publish(public(KEY))
        return self

    async def trust(self, robot: str) -> Any:
        """A trust rule of a robot."""
        return await self.said(201, "POST", f"/teams/{self.team}/robots/{robot}/trust-rules", self.rule)

    async def exchange(self, token: str, **form: str) -> httpx.Response:
        """What the token service answers."""
        usual = {"grant_type": EXCHANGE, "subject_token_type": JWT, "robot": f"{self.team}+ci"}
        asked = {**usual, "subject_token": token, **form}
        return await self.http.post("/token", data=asked, headers={"X-Forwarded-For": self.address})

    async def refused(self, words: str, token: str, **form: str) -> None:
        """It refuses a token with a sentence."""
        answer = await self.exchange(token, **form)
        assert answer.status_code == 400, answer.text
        reply = answer.json()
        assert reply["error"] == "invalid_request" and words in reply["error_description"], reply
        assert reply["errors"][0]["message"] == reply["error_description"]


def part(value: Any) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def play(hub: HubProcess, scenario: Callable[[Scene], Awaitable[None]], **rule: Any) -> None:
    """Runs a scenario in a scene of its own."""

    async def run() -> None:
        async with Issuer() as issuer:
            scene = Scene(hub, issuer, **rule)
            async with scene.api, scene.http:
                await scenario(await scene.build())

    asyncio.run(run())


def test_a_job_pushes_without_a_stored_secret(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        answer = await scene.exchange(scene.issuer.token(KEY, sub=SUBJECT))
        assert answer.status_code == 200, answer.text
        reply = answer.json()
        secret, login = reply.pop("access_token"), f"{scene.team}+ci"
        assert answer.headers["cache-control"] == "no-store" and secret.startswith("whb_")
        assert reply.pop("expires_in") in (899, 900)
        kind = "urn:ietf:params:oauth:token-type:access_token"
        assert reply == {"issued_token_type": kind, "token_type": "Bearer", "username": login}

        def push() -> None:
            client = Client(hub.url, login, secret)
            client.push_image(f"{scene.team}/a", "v1", b"a layer")
            assert client.ask("POST", "/v2/admin/a/blobs/uploads/").status_code == 403
            token = client.token(f"repository:{scene.team}/a:pull,push,delete")
            assert access_of(token) == {f"{scene.team}/a": {"pull", "push"}}
            client.close()

        await asyncio.to_thread(push)
        me = await scene.http.get("/api/v1/user", headers={"Authorization": f"Bearer {secret}"})
        assert me.json()["name"] == login
        rule = (await scene.said(200, "GET", f"/teams/{scene.team}/robots/ci/trust-rules"))["trust_rules"][0]
        assert rule["used_at"] is not None and rule["claims"] == {"sub": "repo:acme/*"}
        assert (await scene.said(200, "GET", f"/teams/{scene.team}/robots/ci"))["tokens"] == []

    play(hub, scenario)


def test_no_other_token_is_taken(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        issuer, now = scene.issuer, int(time.time())
        good: dict[str, Any] = {"sub": SUBJECT}
        await scene.refused("meet no trust rule", issuer.token(KEY, sub="repo:evil/shop"))
        await scene.refused("no trust rule of the robot", issuer.token(KEY, **good, aud="another"))
        await scene.refused("expired", issuer.token(KEY, **good, exp=now - 300))
        await scene.refused("ahead of the hub's clock", issuer.token(KEY, **good, nbf=now + 300))
        await scene.refused("never expires", issuer.token(KEY, **good, exp=None))
        await scene.refused("not its issuer's", issuer.token(OTHER, **good))
        claims = {"iss": issuer.url, "aud": "hub", "exp": now + 60, **good}
        confused = f"{part({'alg': 'HS256', 'kid': 'ec'})}.{part(claims)}"
        signature = hmac.digest(KEY.as_pem(private=False), confused.encode(), "sha256")
        await scene.refused("'HS256'", f"{confused}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")
        await scene.refused("'none'", f"{part({'alg': 'none'})}.{part(claims)}.")
        for claims in ({"iss": "https://x\ud800", "aud": "hub"}, {"iss": issuer.url, "aud": "\ud800"}):
            await scene.refused("not a signed JSON", f"{part({'alg': 'RS256'})}.{part(claims)}.eA")
        for nonsense in ("x", "a.b.c", "whp_" + "0" * 42, "." * 5000, "\u2603"):
            await scene.refused("not a signed JSON Web Token", nonsense)
        answer = await scene.http.post("/token", data={"grant_type": EXCHANGE, "subject_token": "x"})
        assert answer.status_code == 400 and "subject_token_type" in answer.json()["error_description"]

    play(hub, scenario)


def test_an_issuer_that_nobody_trusts_is_never_called(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        async with Issuer() as stranger:
            stranger.publish(public(KEY))
            await scene.refused("no trust rule of the robot", stranger.token(KEY, sub=SUBJECT))
            assert not stranger.asked
        assert (await scene.exchange(scene.issuer.token(KEY, sub=SUBJECT))).status_code == 200
        assert scene.issuer.asked[JWKS] == 1

    play(hub, scenario)


def test_what_a_rule_gave_ends_with_it(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        token = scene.issuer.token(KEY, sub=SUBJECT)
        secret = (await scene.exchange(token)).json()["access_token"]
        scope = f"repository:{scene.team}/a:pull,push"
        basic = httpx.BasicAuth("anything", secret)
        bearer = (await scene.http.get("/token", params={"scope": scope}, auth=basic)).json()["token"]
        held = {"Authorization": f"Bearer {bearer}"}
        assert (await scene.http.post(f"/v2/{scene.team}/a/blobs/uploads/", headers=held)).status_code == 202
        await scene.said(204, "DELETE", f"/teams/{scene.team}/robots/ci/trust-rules/{scene.rule_id}")
        assert (await scene.http.post(f"/v2/{scene.team}/a/blobs/uploads/", headers=held)).status_code == 401
        assert (await scene.http.get("/api/v1/user", headers={"Authorization": f"Bearer {secret}"})).status_code == 401
        await scene.refused("no trust rule", token)
        await scene.said(409, "DELETE", f"/teams/{scene.team}/robots/ci/trust-rules/{scene.rule_id}")

    play(hub, scenario)


def test_robots_that_may_not_sign_in_are_stood_for_by_nobody(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        token, robot = scene.issuer.token(KEY, sub=SUBJECT), f"/teams/{scene.team}/robots/ci"
        await scene.said(200, "PATCH", robot, {"active": False})
        await scene.refused("no trust rule", token)
        await scene.said(200, "PATCH", robot, {"active": True})
        assert (await scene.exchange(token)).status_code == 200
        await scene.said(204, "DELETE", f"/teams/{scene.team}")
        await scene.refused("no trust rule", token)
        await scene.said(200, "POST", f"/teams/{scene.team}/restore")
        assert (await scene.exchange(token)).status_code == 200
        await scene.said(204, "DELETE", robot)
        await scene.refused("no trust rule", token)

    play(hub, scenario)


def test_the_robot_is_named_and_rules_of_others_have_no_say(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        evil = f"evil-{secrets.token_hex(4)}"
        await scene.said(201, "POST", "/teams", {"name": evil})
        for name, rule in (("x", {"sub": "repo:*"}), ("y", {"sub": "nobody"})):
            await scene.said(201, "POST", f"/teams/{evil}/robots", {"name": name, "with_token": False})
            body = {**scene.rule, "claims": rule}
            await scene.said(201, "POST", f"/teams/{evil}/robots/{name}/trust-rules", body)
        token = scene.issuer.token(KEY, sub=SUBJECT)
        assert (await scene.exchange(token)).json()["username"] == f"{scene.team}+ci"
        await scene.refused("names no `robot`", token, robot="")
        for robot in (f"{scene.team}+nobody", "nobody+ci", "x", "+", "\u2603"):
            await scene.refused("or there is no such robot", token, robot=robot)
        await scene.said(200, "PATCH", f"/namespaces/{scene.team}", {"name": f"{scene.team}-2"})
        assert (await scene.exchange(token)).json()["username"] == f"{scene.team}-2+ci"

    play(hub, scenario)


def test_keys_change_and_issuers_fail(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        scene.issuer.answers.clear()
        await scene.refused("answered with status 404", scene.issuer.token(KEY, sub=SUBJECT))

    play(hub, scenario)


def test_attempts_are_counted_and_successes_are_not(hub: HubProcess) -> None:
    async def scenario(scene: Scene) -> None:
        good, bad = scene.issuer.token(KEY, sub=SUBJECT), scene.issuer.token(KEY, sub="evil")
        for _ in range(70):
            assert (await scene.exchange(good)).status_code == 200
        for _ in range(70):
            answer = await scene.exchange(bad)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0

    play(hub, scenario, minutes=1)


@pytest.mark.parametrize(
    "rule",
    [
        {"claims": {}},
        {"claims": {"sub": "*"}},
        {"claims": None},
        {"issuer": "issuer.example"},
        {"issuer": ""},
        {"minutes": 0},
        {"claims": {"sub": "\ud800x"}},
        {"minutes": 61},
        {"robot": "x"},
    ],
)
def test_bad_rules_are_refused(hub: HubProcess, rule: dict[str, Any]) -> None:
    async def scenario(scene: Scene) -> None:
        body = {**scene.rule, **rule}
        answer = await scene.said(400, "POST", f"/teams/{scene.team}/robots/ci/trust-rules", body)
        assert answer["error"]["message"]

    play(hub, scenario)


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="WASMHUB_OUTGOING_CA_BUNDLE: no certificates can be read"):
        HubProcess(tmp_path / "data", WASMHUB_OUTGOING_CA_BUNDLE=str(tmp_path / "none.pem")).start()
