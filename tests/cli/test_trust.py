"""`wasmhub trust` and `wasmhub token exchange` at a real hub, with an issuer that stands in for a CI system's."""

import asyncio
from pathlib import Path

from joserfc.jwk import ECKey

from tests.auth.issuer import Issuer, public
from tests.cli.commands import Commands
from tests.hub import HubProcess

KEY = ECKey.generate_key("P-256", {"kid": "ec"})


def test_a_job_exchanges_its_token(tmp_path: Path) -> None:
    def type_all(hub: HubProcess, issuer: Issuer) -> None:
        made = Commands(hub.url).json("token", "create", "t", "--user", "admin", stdin=hub.admin_password + "\n")
        admin = Commands(hub.url, made["token"])
        admin.text("team", "create", "shop")
        assert admin.text("robot", "create", "shop", "ci", "--no-token") == "made shop+ci, which has no token\n"
        assert admin.text("trust", "list", "shop", "ci") == "nobody's tokens stand for it\n"
        rule = ("--issuer", issuer.url, "--audience", "hub", "--claim", "sub=repo:acme/*")
        assert "stand for shop+ci" in admin.text("trust", "add", "shop", "ci", *rule)
        assert "sub=repo:acme/*" in admin.text("trust", "list", "shop", "ci")
        assert "is no claim" in admin.refused("trust", "add", "shop", "ci", *rule[:4], "--claim", "sub", code=2)
        assert "is there twice" in admin.refused("trust", "add", "shop", "ci", *rule, "--claim", "sub=repo:b/*", code=2)

        nobody = Commands(hub.url)
        done = nobody.run("token", "exchange", "shop+ci", stdin=issuer.token(KEY, sub="repo:acme/a"))
        assert done.returncode == 0 and done.stdout.startswith("whb_") and done.stdout.count("\n") == 1
        assert "token of shop+ci, good for" in done.stderr
        other = nobody.refused("token", "exchange", "shop+x", stdin=issuer.token(KEY, sub="repo:acme/a"))
        assert "there is no such robot" in other
        assert "meet no trust rule" in nobody.refused(
            "token", "exchange", "shop+ci", stdin=issuer.token(KEY, sub="evil")
        )

        number = str(admin.json("trust", "list", "shop", "ci")[0]["id"])
        assert admin.text("trust", "remove", "shop", "ci", number) == f"trust rule {number} is no more\n"
        assert "does not accept the token" in Commands(hub.url, done.stdout.strip()).refused("targets")

    async def run() -> None:
        with HubProcess(tmp_path / "data", WASMHUB_OUTGOING_NETWORKS="127.0.0.1/32") as hub:
            async with Issuer() as issuer:
                issuer.publish(public(KEY))
                await asyncio.to_thread(type_all, hub, issuer)

    asyncio.run(run())
