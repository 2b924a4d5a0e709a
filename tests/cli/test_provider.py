"""`wasmhub provider` at a real hub, with a provider that stands in for a real one."""

import asyncio
from pathlib import Path

from joserfc.jwk import ECKey

from tests.auth.issuer import Issuer, public
from tests.cli.commands import Commands
from tests.hub import HubProcess

KEY = ECKey.generate_key("P-256", {"kid": "ec"})


def test_an_administrator_looks_after_providers(tmp_path: Path) -> None:
    def type_all(hub: HubProcess, issuer: Issuer) -> None:
        made = Commands(hub.url).json("token", "create", "t", "--user", "admin", stdin=hub.admin_password + "\n")
        admin = Commands(hub.url, made["token"])
        assert "no provider yet" in admin.text("provider")
        known = ("--issuer", issuer.url, "--client-id", "hub", "--title", "Company")
        said = admin.run("provider", "create", "main", *known, "--secret", stdin="a secret\n")
        assert said.returncode == 0 and f"{hub.url}/sign-in/with/main/callback" in said.stdout, said.stderr
        assert "there is a provider 'main' already" in admin.refused("provider", "create", "main", *known)
        assert "Company" in admin.text("provider", "list")
        assert "people can sign in with it" in admin.text("provider", "check", "main")

        admin.text("team", "create", "edge")
        said_of_group = admin.text("provider", "map", "main", "/dev", "--team", "edge", "--role", "writer")
        assert said_of_group == "who is in /dev is writer in edge, from the next sign-in on\n"
        assert "of the hub" in admin.text("provider", "map", "main", "/ops", "--role", "administrator")
        assert "'role' must be one of" in admin.refused("provider", "map", "main", "/x", "--role", "reader")
        shown = admin.json("provider", "show", "main")
        assert shown["has_secret"] is True and "a secret" not in str(shown) and len(shown["groups"]) == 2
        number = str(shown["groups"][0]["id"])
        assert admin.text("provider", "unmap", "main", number) == f"{number} is given no more\n"
        assert "/ops" in admin.text("provider", "show", "main")

        admin.text("provider", "set", "main", "--active", "no", "--issuer", f"{issuer.url}/other")
        assert admin.json("provider", "show", "main")["active"] is False
        assert admin.run("provider", "check", "main").returncode == 1
        assert admin.text("provider", "delete", "main") == "main is deleted\n"
        assert "there is no provider 'main'" in admin.refused("provider", "show", "main")

    async def run() -> None:
        with HubProcess(tmp_path / "data", WASMHUB_OUTGOING_NETWORKS="127.0.0.1/32") as hub:
            async with Issuer() as issuer:
                addresses = {f"{name}_endpoint": f"{issuer.url}/{name}" for name in ("authorization", "token")}
                issuer.publish(public(KEY), **addresses)
                await asyncio.to_thread(type_all, hub, issuer)

    asyncio.run(run())
