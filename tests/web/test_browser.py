"""The pages in a real browser: phone and desktop, light and dark, by keyboard, with and without JavaScript."""

import pytest
from playwright.sync_api import Browser

from tests.hub import HubProcess
from tests.peers import built_filter
from tests.web.browsing import LOOKS, Tab
from tests.web.catalogue import PASSWORD, pushing
from web.readme import ANNOTATION

OPEN = {
    "sign-in": "/sign-in",
    "public": "/",
    "permissions": "/permissions",
    "sign-up": "/sign-up",
}  # to whoever is not signed in
PAGES = {
    "catalog": "/",
    "search": "/?q=rust",
    "nothing-found": "/?q=zzzz",
    "filter": "/r/acme/add-header",
    "older-version": "/r/acme/add-header?version=1.0.0",
    "refused": "/r/acme/legacy-auth",
    "no-filter": "/r/ann/notes",
    "no-version": "/r/ann/nothing-yet",
    "unreadable": "/r/ann/scratch",
    "absent": "/r/acme/absent",
}


@pytest.mark.parametrize(("size", "scheme"), LOOKS)
def test_every_page_fits_and_is_whole(
    chromium: Browser, tabs: list[Tab], full: HubProcess, empty: HubProcess, size: str, scheme: str
) -> None:
    tab = Tab(chromium, size, scheme)
    tabs.append(tab)
    for name, url in (("empty", f"{empty.url}/"), *((name, full.url + path) for name, path in OPEN.items())):
        tab.look(url, f"{name}-{size}-{scheme}")
        tab.fits()
    tab.sign_in(full, "ann", PASSWORD)
    for name, path in PAGES.items():
        tab.look(full.url + path, f"{name}-{size}-{scheme}")
        tab.fits()
        for details in tab.page.locator("summary").all():
            details.click()
        tab.fits()
    tab.sign_in(empty, "admin", empty.admin_password)
    tab.check(f"first-push-{size}-{scheme}")
    tab.fits()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(chromium: Browser, tabs: list[Tab], full: HubProcess, scheme: str) -> None:
    """Contrast of every text on the main pages, by the formula of WCAG 2.1: 4.5 to 1 at least."""
    tab = Tab(chromium, "desktop", scheme)
    tabs.append(tab)
    tab.sign_in(full, "ann", PASSWORD)
    for path in ("/", "/r/acme/add-header", "/r/acme/legacy-auth", "/r/acme/absent", "/permissions"):
        tab.page.goto(full.url + path)
        weak = tab.page.evaluate(CONTRAST)
        assert weak == []


CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)}`);
  }
  return weak;
}"""


def test_without_javascript(chromium: Browser, tabs: list[Tab], full: HubProcess) -> None:
    tab = Tab(chromium, "phone", scripts=False)
    tabs.append(tab)
    page = tab.page
    page.goto(f"{full.url}/r/acme/body-size")
    page.get_by_role("link", name="sign in", exact=True).click()
    page.fill("#name", "ann")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    assert page.url == f"{full.url}/r/acme/body-size"
    assert page.locator("h1").inner_text().startswith("acme/body-size")
    # Lines are there to be selected; a button that could do nothing is not shown.
    assert "oras pull" in page.locator("pre").nth(1).inner_text()
    assert page.locator("button.copy:visible").count() == 0
    page.locator("summary", has_text="Exports").click()
    assert page.locator(".symbols:visible").count() == 1

    page.fill("#q", "add-header")
    page.get_by_role("button", name="Search").click()
    page.locator(".card a").click()
    page.locator(".versions a", has_text="1.0.0").click()
    assert page.url.endswith("/r/acme/add-header?version=1.0.0")
    page.get_by_role("button", name="Sign out").click()
    assert page.url == f"{full.url}/" and page.get_by_role("link", name="Sign in").count() == 1


def test_by_keyboard(chromium: Browser, tabs: list[Tab], full: HubProcess) -> None:
    tab = Tab(chromium)
    tabs.append(tab)
    page = tab.page
    page.goto(f"{full.url}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(".skip").bounding_box()["y"] >= 0  # type: ignore[index]
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "/r/acme/add-header"
    assert page.evaluate("getComputedStyle(document.activeElement, '::after').outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/r/acme/add-header")

    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
        if name in seen or name.startswith("<body"):
            break
        seen.add(name)
        assert page.evaluate(
            "parseFloat(getComputedStyle(document.activeElement).outlineWidth) > 1"
            " || getComputedStyle(document.activeElement, '::after').outlineStyle === 'solid'"
        ), name
        box = page.evaluate("(r => r.width * r.height)(document.activeElement.getBoundingClientRect())")
        assert box > 0, name
    for wanted in ('name="q"', "/sign-in?next=", "#versions", "copy", "version=1.0.0", "<summary", ".wasm"):
        assert any(wanted in name for name in seen), wanted


def test_copying_a_line(chromium: Browser, tabs: list[Tab], full: HubProcess) -> None:
    tab = Tab(chromium)
    tabs.append(tab)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=full.url)
    tab.look(f"{full.url}/r/acme/add-header")
    line = tab.page.locator(".line", has_text="oras pull")
    line.get_by_role("button").click()
    line.get_by_text("Copied").wait_for()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"oras pull --plain-http {full.host}/acme/add-header:2.0.0"
    assert tab.troubles == []


def test_a_wrong_password_is_said_where_it_happened(chromium: Browser, tabs: list[Tab], full: HubProcess) -> None:
    tab = Tab(chromium, "phone")
    tabs.append(tab)
    tab.page.goto(f"{full.url}/sign-in?next=/r/ann/notes")
    tab.page.fill("#name", "ann")
    tab.page.fill("#password", "not-her-password")
    tab.page.press("#password", "Enter")
    assert tab.page.get_by_role("alert").inner_text() == "Wrong user name or password."
    tab.check("wrong-password-phone-light")
    assert tab.page.evaluate("document.activeElement.id") == "password"
    tab.page.keyboard.type(PASSWORD)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/r/ann/notes")


def test_a_hostile_author_runs_nothing(chromium: Browser, tabs: list[Tab], full: HubProcess) -> None:
    """Everything that comes from authors holds markup; the page shows it as text and the browser runs none of it."""
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    notes = {f"org.opencontainers.image.{key}": evil for key in ("title", "licenses", "authors", "vendor", "revision")}
    notes |= {f"org.opencontainers.image.{key}": "javascript:alert(3)" for key in ("source", "url", "documentation")}
    notes[ANNOTATION] = f"{evil}\n\n[x](javascript:alert(4)) <javascript:alert(5)> ![y](data:text/html,{evil})"
    with pushing(full) as client:
        client.push_filter("zoo/hostile", "1.0.0", built_filter("add-header").read_bytes(), annotations=notes)
    tab = Tab(chromium)
    tabs.append(tab)
    tab.sign_in(full, "ann", PASSWORD)
    tab.page.add_init_script("window.alert = () => { document.title = 'ran'; }")
    tab.look(f"{full.url}/r/zoo/hostile")
    assert "<img src=x onerror=alert(1)>" in tab.page.locator(".lead").inner_text()
    assert tab.page.locator("main img").count() == 0 and tab.page.locator("main script").count() == 0
    for link in tab.page.locator("main a").all():
        assert (link.get_attribute("href") or "").startswith(("/", "#", "http"))
    assert tab.page.title() != "ran"
    tab.look(f"{full.url}/?q=hostile")
    assert tab.page.title() != "ran"
