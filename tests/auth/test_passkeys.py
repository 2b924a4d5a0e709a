"""Passkeys at a real hub, by an authenticator in software that also does what a browser would never do."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.auth.authenticator import Authenticator, options_of, read, write
from tests.auth.factors import LOCAL, ME, ORIGIN, PAGE
from tests.auth.people import PASSWORD, People
from tests.auth.test_second_factor import STEP
from tests.auth.test_sessions import csrf_of, sign_in, who
from tests.hub import HubProcess

ALONE = "/sign-in/passkey"


@pytest.fixture
def browser(hub: HubProcess, people: People, word: str) -> Iterator[httpx.Client]:
    """A browser in which somebody has signed in, at a name for which there can be passkeys."""
    people.user(word)
    with httpx.Client(base_url=hub.url, headers=LOCAL, timeout=30, trust_env=False) as client:
        assert sign_in(client, word).status_code == 303
        yield client


def send(browser: httpx.Client, form: str, **typed: Any) -> httpx.Response:
    return browser.post(PAGE, data={"csrf": csrf_of(browser), "form": form, **typed})


def asked(browser: httpx.Client, name: str = "key") -> dict[str, Any]:
    """What the browser is asked to make."""
    page = send(browser, "passkey-begin", name=name, proof=PASSWORD)
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store", page.text
    return options_of(page.text)


def added(browser: httpx.Client, name: str = "key", count: int = 0) -> Authenticator:
    """A passkey that was made for the account."""
    key = Authenticator(count)
    done = send(browser, "passkey", name=name, credential=key.make(asked(browser, name), ORIGIN))
    assert done.status_code in (200, 303), done.text
    return key


def refused(browser: httpx.Client, credential: str, reason: str) -> None:
    page = send(browser, "passkey", name="other", credential=credential)
    assert page.status_code in (400, 409) and reason in page.text, page.text
    assert browser.get(ME).json()["passkeys"] == []


def step(browser: httpx.Client, word: str) -> dict[str, Any]:
    """What the browser is asked for after the password."""
    browser.cookies.clear()
    assert sign_in(browser, word).headers["location"].startswith(STEP)
    return options_of(browser.get(STEP).text)


def show(browser: httpx.Client, credential: str, path: str = STEP) -> int:
    status = browser.post(path, data={"credential": credential, "next": "/"}).status_code
    assert (who(browser) == 200) == (status == 303)
    return status


def alone(browser: httpx.Client) -> dict[str, Any]:
    """What the page of signing in asks for."""
    browser.cookies.clear()
    return options_of(browser.get("/sign-in").text)


def test_a_passkey_is_a_second_factor(browser: httpx.Client, word: str) -> None:
    options = asked(browser)
    assert options["rp"]["id"] == "localhost" and options["attestation"] == "none"
    key = Authenticator()
    page = send(browser, "passkey", name="key ring", credential=key.make(options, ORIGIN))
    assert page.status_code == 200 and page.text.count("-") > 30 and "Your recovery codes" in page.text
    has = browser.get(ME).json()
    assert has["enabled"] and has["totp"] is None and [one["name"] for one in has["passkeys"]] == ["key ring"]
    wanted = step(browser, word)
    assert [one["id"] for one in wanted["allowCredentials"]] == [write(key.id)]
    assert show(browser, key.sign(wanted, ORIGIN, verified=False)) == 303
    assert browser.get(ME).json()["passkeys"][0]["used_at"] is not None


def test_a_passkey_alone_signs_in(browser: httpx.Client, people: People, word: str) -> None:
    key = added(browser)
    wanted = alone(browser)
    assert wanted["allowCredentials"] == [] and wanted["userVerification"] == "required"
    assert show(browser, key.sign(wanted, ORIGIN), ALONE) == 303
    assert browser.get("/api/v1/user").json()["name"] == word
    assert show(browser, key.sign(alone(browser), ORIGIN, verified=False), ALONE) == 401
    people.run("UPDATE users SET active = false WHERE id = :u", u=people.user(word))
    assert show(browser, key.sign(alone(browser), ORIGIN), ALONE) == 401


def test_an_answer_is_good_once(browser: httpx.Client, hub: HubProcess, word: str) -> None:
    key = added(browser)
    credential = key.sign(alone(browser), ORIGIN)

    def try_it(_: int) -> int:
        with httpx.Client(base_url=hub.url, headers=LOCAL, timeout=30, trust_env=False) as other:
            return show(other, credential, ALONE)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(try_it, range(4))) == [303, 401, 401, 401]
    answer = key.sign(step(browser, word), ORIGIN)
    assert show(browser, answer) == 303
    step(browser, word)
    assert show(browser, answer) == 401
    options = asked_anew(browser, key, word)
    made = Authenticator().make(options, ORIGIN)
    assert send(browser, "passkey", name="two", credential=made).status_code == 303
    again = send(browser, "passkey", name="three", credential=made)
    assert again.status_code == 409


def asked_anew(browser: httpx.Client, key: Authenticator, word: str) -> dict[str, Any]:
    """What is asked for of somebody who signs in anew."""
    assert show(browser, key.sign(step(browser, word), ORIGIN)) == 303
    return asked(browser, "two")


def test_what_is_made_elsewhere_is_refused(browser: httpx.Client, people: People, hub: HubProcess, word: str) -> None:
    options = asked(browser)
    refused(browser, Authenticator().make(options, "http://evil.example"), "could use")
    refused(browser, Authenticator().make(options, ORIGIN, rp_id="evil.example"), "could use")
    planted = {**options, "challenge": write(b"x" * 56)}
    refused(browser, Authenticator().make(planted, ORIGIN), "not yours")
    late = read(options["challenge"])
    ended = late[:16] + (1).to_bytes(8, "big") + late[24:]
    refused(browser, Authenticator().make({**options, "challenge": write(ended)}, ORIGIN), "not yours")
    refused(browser, Authenticator().make({**options, "challenge": alone_challenge(hub)}, ORIGIN), "not yours")
    other = f"{word}-2"
    people.user(other)
    with httpx.Client(base_url=hub.url, headers=LOCAL, timeout=30, trust_env=False) as theirs:
        sign_in(theirs, other)
        refused(browser, Authenticator().make(asked(theirs), ORIGIN), "not yours")


def alone_challenge(hub: HubProcess) -> str:
    """A challenge of the page of signing in, which is good for that alone."""
    with httpx.Client(base_url=hub.url, headers=LOCAL, timeout=30, trust_env=False) as stranger:
        return str(options_of(stranger.get("/sign-in").text)["challenge"])


def test_what_is_signed_elsewhere_is_refused(browser: httpx.Client, hub: HubProcess, word: str) -> None:
    key = added(browser)
    for wrong in ({"rp_id": "evil.example"}, {"user": b"1"}):
        assert show(browser, key.sign(alone(browser), ORIGIN, **wrong), ALONE) == 401  # type: ignore[arg-type]
    assert show(browser, key.sign(alone(browser), "http://evil.example"), ALONE) == 401
    first, second = step(browser, word), step(browser, word)
    assert show(browser, key.sign(first, ORIGIN)) == 401  # of another wait
    assert show(browser, key.sign({**second, "challenge": alone_challenge(hub)}, ORIGIN)) == 401
    stranger = Authenticator()
    stranger.id = key.id
    assert show(browser, stranger.sign(step(browser, word), ORIGIN)) == 401
    assert show(browser, Authenticator().sign(step(browser, word), ORIGIN)) == 401


def test_a_copied_authenticator_is_found(browser: httpx.Client) -> None:
    key = added(browser, count=5)
    assert show(browser, key.sign(alone(browser), ORIGIN), ALONE) == 303
    key.count -= 2
    assert show(browser, key.sign(alone(browser), ORIGIN), ALONE) == 401
    key.count += 3
    assert show(browser, key.sign(alone(browser), ORIGIN), ALONE) == 303


def test_names_numbers_and_the_end(browser: httpx.Client, http: httpx.Client, word: str) -> None:
    key = added(browser)
    assert send(browser, "passkey-begin", name="", proof=PASSWORD).status_code == 400
    assert send(browser, "passkey-begin", name="x" * 101, proof=PASSWORD).status_code == 400
    assert send(browser, "passkey-begin", name="two", proof="wrong-password").status_code == 400
    same = send(browser, "passkey", name="key", credential=Authenticator().make(asked(browser, "key"), ORIGIN))
    assert same.status_code == 409 and "choose another name" in same.text
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 401
    number = browser.get(ME).json()["passkeys"][0]["id"]
    assert send(browser, "passkey-remove", id=number, proof="").status_code == 400
    assert send(browser, "passkey-remove", id=10**9, proof=PASSWORD).status_code == 409
    assert send(browser, "passkey-remove", id=number, proof=PASSWORD).status_code == 303
    assert browser.get(ME).json() == {"enabled": False, "totp": None, "passkeys": [], "recovery_codes": 0}
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
    assert show(browser, key.sign(alone(browser), ORIGIN), ALONE) == 401


HOSTILE = [
    "",
    "[]",
    "{}",
    '{"response": 1}',
    "\ud800",
    "[" * 5000,
    '{"id": 1, "response": {"clientDataJSON": "e30"}}',
    '{"id": "x", "response": {"clientDataJSON": "e30"}}',
    '{"id": "x", "response": {"clientDataJSON": 7}}',
    '{"id": "x", "response": {"clientDataJSON": "W10"}}',
    json.dumps({"id": "x", "response": {"clientDataJSON": write(b'{"challenge": 5}')}}),
    json.dumps({"id": "x", "response": {"clientDataJSON": write(b'{"challenge": "\xff"}')}}),
]


@pytest.mark.parametrize("brought", HOSTILE, ids=lambda one: one[:20].encode(errors="replace").decode())
def test_what_is_no_passkey(browser: httpx.Client, hub: HubProcess, brought: str) -> None:
    typed = brought.encode(errors="replace").decode()
    assert send(browser, "passkey", name="x", credential=typed).status_code == 400
    browser.cookies.clear()
    assert show(browser, typed, ALONE) in (401, 429)
    hub.check_log()


def test_bytes_that_break_the_formats(browser: httpx.Client, hub: HubProcess) -> None:
    good = json.loads(Authenticator().make(asked(browser), ORIGIN))
    attestation = read(good["response"]["attestationObject"])
    for at in range(0, len(attestation), 7):
        broken = attestation[:at] + bytes([attestation[at] ^ 0x5A]) + attestation[at + 1 :]
        for data in (broken, attestation[:at]):
            brought = json.dumps({**good, "response": {**good["response"], "attestationObject": write(data)}})
            assert send(browser, "passkey", name="x", credential=brought).status_code in (200, 303, 400, 409)
    hub.check_log()


def test_an_address_is_no_place_for_passkeys(hub: HubProcess, people: People, word: str) -> None:
    people.user(word)
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as browser:
        sign_in(browser, word)
        assert "need https and a host name" in browser.get(PAGE).text
        assert send(browser, "passkey-begin", name="x", proof=PASSWORD).status_code == 400
        assert "data-options" not in browser.get("/sign-in").text
