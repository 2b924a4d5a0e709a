"""A hub, a provider of our own that answers what a test tells it to, and browsers that go back and forth."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc.jwk import ECKey

from tests.auth.issuer import Issuer, document, public
from tests.auth.people import PASSWORD
from tests.hub import HubProcess

KEY = ECKey.generate_key("P-256", {"kid": "ec"})
OTHER = ECKey.generate_key("P-256", {"kid": "ec"})
CLIENT, SECRET = "hub", "a secret / with + signs"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Scene:
    """A provider of its own in a shared hub."""

    def __init__(self, hub: HubProcess, issuer: Issuer, open_with: AsyncExitStack) -> None:
        self.hub, self.issuer = hub, issuer
        self.name = f"p-{secrets.token_hex(4)}"
        self.person = f"ann-{secrets.token_hex(4)}"
        self._open = open_with

    async def build(self, **settings: Any) -> "Scene":
        """Makes the provider, in the hub and at its own address."""
        self.api = await self.client(f"{self.hub.url}/api/v1", auth=("admin", self.hub.admin_password))
        self.publish()
        body = {"name": self.name, "title": f"The {self.name}", "issuer": self.issuer.url, "client_id": CLIENT}
        await self.said(201, "POST", "/providers", {**body, "client_secret": SECRET, **settings})
        self._open.push_async_callback(self.api.delete, f"/providers/{self.name}")  # a hub has so many and no more
        return self

    def publish(self, **more: Any) -> None:
        """What the provider says of itself."""
        addresses = {f"{name}_endpoint": f"{self.issuer.url}/{name}" for name in ("authorization", "token")}
        self.issuer.publish(public(KEY), **addresses, **more)

    async def client(self, url: str = "", **more: Any) -> httpx.AsyncClient:
        """A program that asks the hub."""
        made = httpx.AsyncClient(base_url=url or self.hub.url, timeout=30, trust_env=False, **more)
        return await self._open.enter_async_context(made)

    async def said(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """What the API answers the administrator, with this status."""
        answer = await self.api.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def begin(self, browser: httpx.AsyncClient, there: str = "", name: str = "") -> dict[str, str]:
        """What a browser is sent to the provider with."""
        answer = await browser.get(f"/sign-in/with/{name or self.name}", params={"next": there} if there else {})
        assert answer.status_code == 303, answer.text
        return self.asked(answer.headers["location"])

    def asked(self, location: str) -> dict[str, str]:
        """The question in an address of the provider."""
        assert location.startswith(f"{self.issuer.url}/authorization?"), location
        return {name: value for name, (value,) in parse_qs(urlsplit(location).query, strict_parsing=True).items()}

    def tell(self, asked: dict[str, str], *, token: str | None = None, **claims: Any) -> None:
        """Makes the provider answer a code with a good ID token, but for these claims."""
        good = {"sub": self.person, "aud": CLIENT, "nonce": asked["nonce"], "preferred_username": self.person}
        given = token if token is not None else self.issuer.token(KEY, **{**good, **claims})
        reply = {"access_token": "opaque", "token_type": "Bearer", "id_token": given}
        self.issuer.answers["/token"] = document(reply)

    async def come_back(
        self, browser: httpx.AsyncClient, asked: dict[str, str], *, name: str = "", **more: Any
    ) -> httpx.Response:
        """What the hub answers a browser that comes back from the provider."""
        query = {"state": asked["state"], "code": "a-code", **more}
        query = {name: value for name, value in query.items() if value is not None}
        return await browser.get(f"/sign-in/with/{name or self.name}/callback", params=query)

    async def sign_in(self, browser: httpx.AsyncClient | None = None, **claims: Any) -> httpx.AsyncClient:
        """A browser that has signed in as the person of these claims."""
        browser = browser or await self.client()
        asked = await self.begin(browser)
        self.tell(asked, **claims)
        answer = await self.come_back(browser, asked)
        assert answer.status_code == 303, answer.text
        return browser

    async def beside(self, scenario: Callable[["Scene"], Awaitable[None]]) -> None:
        """Runs a scenario with another provider of the same hub."""
        async with Issuer() as issuer, AsyncExitStack() as stack:
            await scenario(await Scene(self.hub, issuer, stack).build())

    async def csrf(self, browser: httpx.AsyncClient) -> str:
        """What forms of a browser's session carry."""
        found = re.search(r'name="csrf" value="(\w+)"', (await browser.get("/")).text)
        assert found is not None
        return found[1]

    async def ask_for_link(self, browser: httpx.AsyncClient) -> dict[str, str]:
        """What somebody who is signed in is sent to the provider with, to be linked."""
        form = {"form": "link", "provider": self.name, "csrf": await self.csrf(browser), "proof": PASSWORD}
        answer = await browser.post("/account/identities", data=form)
        assert answer.status_code == 200 and self.issuer.url in answer.text, answer.text
        return self.asked(answer.headers["refresh"].removeprefix("0; url="))

    async def link(self, browser: httpx.AsyncClient, **claims: Any) -> httpx.Response:
        """Has who is signed in linked to the person of these claims."""
        asked = await self.ask_for_link(browser)
        self.tell(asked, **claims)
        return await self.come_back(browser, asked)

    async def refused(self, answer: httpx.Response, words: str, statuses: Iterable[int] = (400, 403, 503)) -> None:
        """An answer says so on a page, and opened no session."""
        assert answer.status_code in statuses, answer.text
        assert words in answer.text, answer.text
        assert not [one for one in answer.headers.get_list("set-cookie") if one.startswith("wasmhub=")]

    async def who(self, browser: httpx.AsyncClient) -> str | None:
        """Who a browser is signed in as."""
        answer = await browser.get("/api/v1/user")
        return answer.json()["name"] if answer.status_code == 200 else None

    async def log_out(self, token: str) -> httpx.Response:
        """What the hub answers the provider's logout token."""
        return await self.api.post(f"/providers/{self.name}/backchannel-logout", data={"logout_token": token})

    def logout_token(self, **claims: Any) -> str:
        """A good logout token, but for these claims."""
        good = {"aud": CLIENT, "jti": secrets.token_hex(8), "events": {LOGOUT_EVENT: {}}, "sub": self.person}
        return self.issuer.token(KEY, header={"typ": "logout+jwt"}, **{**good, **claims})


def play(hub: HubProcess, scenario: Callable[[Scene], Awaitable[None]], **settings: Any) -> None:
    """Runs a scenario in a scene of its own."""

    async def run() -> None:
        async with Issuer() as issuer, AsyncExitStack() as stack:
            await scenario(await Scene(hub, issuer, stack).build(**settings))

    asyncio.run(run())
