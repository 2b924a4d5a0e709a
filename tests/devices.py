"""The person in front of a browser who approves what asks on another machine."""

import re

import httpx

from tests.hub import HubProcess

CODE = re.compile(r"\b[A-Z]{4}-[A-Z]{4}\b")
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class Person:
    """Somebody's browser, signed in at the hub."""

    def __init__(self, hub: HubProcess, name: str, password: str) -> None:
        self.browser = httpx.Client(base_url=hub.url, timeout=30, trust_env=False)
        done = self.browser.post("/sign-in", data={"name": name, "password": password})
        assert done.status_code == 303, done.text

    def send(self, form: str, code: str, page: str = "/device", **typed: str) -> httpx.Response:
        """Sends one of the forms of the page where codes are typed."""
        csrf = _CSRF.search(self.browser.get(page).text)
        assert csrf is not None
        return self.browser.post(page, data={"csrf": csrf[1], "form": form, "user_code": code, **typed})

    def approve(self, code: str, **typed: str) -> None:
        """Looks what the code stands for, and approves it."""
        found = self.send("find", code)
        assert found.status_code == 200 and code in found.text, found.text
        done = self.send("approve", code, **{"name": "", "days": "1", "scopes": ""} | typed)
        assert (done.status_code, done.headers.get("location")) == (303, "/device?done=approved"), done.text

    def sign_out(self) -> None:
        """Ends the session."""
        csrf = _CSRF.search(self.browser.get("/").text)
        assert csrf is not None
        assert self.browser.post("/sign-out", data={"csrf": csrf[1]}).status_code == 303
        assert self.browser.get("/api/v1/user").status_code == 401
        self.browser.close()
