"""A tab of a real browser, which looks at each page for what must hold for all of them.

That is axe's rules for WCAG 2.2 A and AA too. `WASMHUB_PICTURES` names a folder for pictures of the pages.
"""

import os
from functools import cache
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, expect

from tests.hub import HubProcess
from tests.peers import peer

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
# How each page is looked at: both sizes and both schemes, once each, since neither's rules ask for the other.
LOOKS = [("phone", "dark"), ("desktop", "light")]


@cache
def axe() -> str:
    """The program that looks at pages for what keeps people out."""
    return peer("axe").read_text()


ASK_AXE = """async () => {
  const levels = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
  const found = await axe.run(document, {runOnly: levels, preload: false, resultTypes: ["violations"]});
  return found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html).join(" ")}`);
}"""


class Tab:
    """One page of a browser of its own, which remembers everything that went wrong in it."""

    def __init__(self, browser: Browser, size: str = "desktop", scheme: str = "light", *, scripts: bool = True) -> None:
        width, height = SIZES[size]
        self.width = width
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
            has_touch=size == "phone",
        )
        self.scripts = scripts
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("requestfailed", self._note_failure)

    def _note_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the next page came before the picture of this one
            self.troubles.append(f"failed: {request.url} {request.failure}")

    def sign_in(self, hub: HubProcess, name: str, password: str) -> None:
        """Signs in at the page."""
        self.page.goto(f"{hub.url}/sign-in")
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector(".who")

    def look(self, url: str, picture: str = "") -> None:
        """Opens a page and checks what holds for each: no trouble, one first heading, nobody kept out."""
        self.page.goto(url)
        self.check(picture)

    def open_all(self, picture: str = "") -> None:
        """Opens all that the page folds away and checks it once more, if there is something."""
        folded = self.page.locator("main summary:visible").all()
        for details in folded:
            details.click()
        if folded:
            self.check(picture)
            self.fits()

    def check(self, picture: str = "") -> None:
        """Checks the page that is open, and takes its picture where pictures are wanted."""
        # What the browser says of a refusal, and of a test that types before the page has put the cursor there.
        usual = ("status of 4", "Autofocus processing was blocked")
        self.troubles = [one for one in self.troubles if not any(words in one for words in usual)]
        assert self.troubles == [], self.troubles
        expect(self.page.locator("h1")).to_have_count(1)  # which may have to come first
        if self.scripts:
            self.page.evaluate(axe())
            found = self.page.evaluate(ASK_AXE)
            assert found == [], found
        folder = os.environ.get("WASMHUB_PICTURES")
        if folder and picture:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{picture}.png", full_page=True)

    def fits(self) -> None:
        """Checks that nothing is wider than the screen."""
        assert self.page.evaluate("document.documentElement.scrollWidth") <= self.width
