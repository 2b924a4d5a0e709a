"""Two real providers, Keycloak and the certified `oidc-provider`, and how somebody gets through their own pages."""

import html
import json
import re
import secrets
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines import Server, free_port
from tests.peers import kept, peer

HERE = Path(__file__).parent
PASSWORD = "a password of tests"
ADMIN = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin"}  # as .ci/peers has it
# A server that is asked a few things need not be compiled well.
JAVA = "-XX:TieredStopAtLevel=1"
PATIENCE = 120  # seconds, on a machine that does much else


def browser() -> httpx.Client:
    """A browser. Like real ones it trusts this machine: cookies that are for https go to 127.0.0.1 by http too."""

    def trust(answer: httpx.Response) -> None:
        for cookie in client.cookies.jar:
            cookie.secure = False

    client = httpx.Client(timeout=PATIENCE, trust_env=False, event_hooks={"response": [trust]})
    return client


def follow(client: httpx.Client, answer: httpx.Response, until: str) -> httpx.Response:
    """Goes where a browser is sent, until it is sent to an address that begins so: the answer that sends it there."""
    for _ in range(12):
        location = answer.headers.get("location")
        if location is None:
            return answer
        there = str(answer.url.join(location))
        if there.startswith(until):
            return answer
        answer = client.get(there)
    raise AssertionError("it is sent round in circles")


def submit(client: httpx.Client, page: httpx.Response, *, at: str = "<form", **typed: str) -> httpx.Response:
    """Sends the form of a page, the first one behind `at`, with what is typed."""
    text = page.text[page.text.index(at) :].partition("</form>")[0]
    action = re.search(r'<form[^>]*\baction="([^"]*)"', text)
    assert action is not None, page.text
    hidden = re.findall(r'<input[^>]*type="hidden"[^>]*>', text)
    form = {_attribute(one, "name"): _attribute(one, "value") for one in hidden}
    return client.post(str(page.url.join(html.unescape(action[1]))), data={**form, **typed})


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


class Keycloak(Server):
    """Keycloak with a realm in which `ann` is in the group /platform and `bea` in none."""

    client_id, secret, groups, other = "hub", "a secret of tests", {"ann": "/platform"}, "bea"
    scopes = "openid profile email"

    def __init__(self) -> None:
        super().__init__("keycloak")
        home = kept("keycloak")
        if not home.is_dir():
            pytest.skip("keycloak is not here: `.ci/peers` builds or installs it")
        self._home = home
        self._url = f"http://127.0.0.1:{self.port}"
        self.issuer = f"{self._url}/realms/acme"
        self._admin = httpx.Client(base_url=f"{self._url}/admin/realms", timeout=PATIENCE, trust_env=False)

    def start(self, redirect_uri: str, logout_uri: str) -> None:
        """Starts it with tables that were made before, which takes most of a first start."""
        shutil.copytree(self._home / "data" / "h2", self.folder / "h2")
        database = f"jdbc:h2:file:{self.folder}/h2/keycloakdb;NON_KEYWORDS=VALUE"
        words = ["start", "--optimized", "--http-enabled=true", "--hostname-strict=false", "--cache=local"]
        ports = [f"--http-port={self.port}", f"--http-management-port={free_port()}", "--http-host=127.0.0.1"]
        told = {**ADMIN, "KC_DB_URL": database, "JAVA_OPTS_APPEND": JAVA}
        self.launch([self._home / "bin" / "kc.sh", *words, *ports], self._answers, **told)
        self._sign_in()
        made = self._admin.post("", json=self._realm(redirect_uri, logout_uri))
        assert made.status_code == 201, made.text

    def enter(self, client: httpx.Client, address: str, person: str) -> httpx.Response:
        """Signs somebody in on its own page; the answer that sends the browser back."""
        page = follow(client, client.get(address), "http://never")
        return submit(client, page, at='<form id="kc-form-login"', username=person, password=PASSWORD)

    def leave(self, client: httpx.Client) -> None:
        """Signs the browser out, as its person does."""
        page = client.get(f"{self.issuer}/protocol/openid-connect/logout")
        answer = submit(client, page, confirmLogout="Logout")
        assert answer.status_code < 400, answer.text

    def change_keys(self) -> None:
        """Signs with a new key from now on; the old one is published still."""
        self._sign_in()
        config = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"]}
        kind = {"providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider"}
        made = self._admin.post("/acme/components", json={"name": secrets.token_hex(4), **kind, "config": config})
        assert made.status_code == 201, made.text

    def take_out(self, person: str) -> None:
        """Takes somebody out of their groups."""
        self._sign_in()
        user = self._admin.get("/acme/users", params={"username": person, "exact": "true"}).json()[0]["id"]
        for group in self._admin.get(f"/acme/users/{user}/groups").json():
            assert self._admin.delete(f"/acme/users/{user}/groups/{group['id']}").status_code == 204

    def _sign_in(self) -> None:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin", "password": "admin"}
        given = httpx.post(
            f"{self._url}/realms/master/protocol/openid-connect/token", data=form, timeout=PATIENCE, trust_env=False
        )
        assert given.status_code == 200, given.text
        self._admin.headers["Authorization"] = f"Bearer {given.json()['access_token']}"

    def _realm(self, redirect_uri: str, logout_uri: str) -> dict[str, Any]:
        password = {"type": "password", "value": PASSWORD, "temporary": False}
        people = [
            {
                "username": name,
                "enabled": True,
                "email": f"{name}@example.com",
                "emailVerified": True,
                "firstName": "The",
                "lastName": name,
                "credentials": [password],
                "groups": [self.groups[name]] if name in self.groups else [],
            }
            for name in ("ann", self.other)
        ]
        told = {"claim.name": "groups", "full.path": "true", "id.token.claim": "true"}
        client = {
            "clientId": self.client_id,
            "secret": self.secret,
            "publicClient": False,
            "redirectUris": [redirect_uri],
            "attributes": {
                "pkce.code.challenge.method": "S256",
                "backchannel.logout.url": logout_uri,
                "backchannel.logout.session.required": "true",
            },
            "protocolMappers": [
                {
                    "name": "groups",
                    "protocol": "openid-connect",
                    "protocolMapper": "oidc-group-membership-mapper",
                    "config": told,
                }
            ],
        }
        groups = [{"name": name.removeprefix("/")} for name in self.groups.values()]
        return {"realm": "acme", "enabled": True, "groups": groups, "users": people, "clients": [client]}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._url}/realms/master", trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


class OidcProvider(Server):
    """`oidc-provider`, where anybody is whom they say, and what is behind a dash in their name is their group."""

    client_id, secret, groups, other = "hub", "a secret of tests", {"cal-platform": "platform"}, "dot"
    scopes = "openid profile email groups"

    def __init__(self) -> None:
        super().__init__("oidc-provider")
        self._home = kept("oidc_provider")
        if not self._home.is_dir():
            pytest.skip("oidc-provider is not here: `.ci/peers` builds or installs it")
        self.issuer = f"http://127.0.0.1:{self.port}"

    def start(self, redirect_uri: str, logout_uri: str) -> None:
        """Starts it."""
        client = {"client_id": self.client_id, "client_secret": self.secret, "redirect_uris": [redirect_uri]}
        client |= {"backchannel_logout_uri": logout_uri, "backchannel_logout_session_required": True}
        program = self._home / "provider.mjs"
        self.launch([peer("node"), program, str(self.port), json.dumps(client)], self._answers)

    def enter(self, client: httpx.Client, address: str, person: str) -> httpx.Response:
        """Signs somebody in on its own pages and lets them agree; the answer that sends the browser back."""
        page = follow(client, client.get(address), "http://never")
        page = follow(client, submit(client, page, login=person, password=PASSWORD), "http://never")
        answer = submit(client, page)
        return follow(client, answer, self._redirect(address))

    def leave(self, client: httpx.Client) -> None:
        """Signs the browser out, as its person does."""
        page = client.get(f"{self.issuer}/session/end")
        answer = submit(client, page, logout="yes")
        assert answer.status_code < 400, answer.text

    @staticmethod
    def _redirect(address: str) -> str:
        return str(httpx.URL(address).params["redirect_uri"])

    def _answers(self) -> bool:
        try:
            configuration = f"{self.issuer}/.well-known/openid-configuration"
            return httpx.get(configuration, trust_env=False, timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@cache
def provider(name: str) -> Keycloak | OidcProvider:
    """A provider by its name, not started; absent ones skip the test."""
    return {"keycloak": Keycloak, "oidc-provider": OidcProvider}[name]()
