"""Second factors at a real hub: set up, signed in with, guessed at, lost, and taken away."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from auth.secrets import PENDING, new_secret
from tests.auth.factors import ME, PAGE, code_of, forget_steps, give_app
from tests.auth.people import PASSWORD, People
from tests.auth.test_accounts_api import error_of
from tests.auth.test_sessions import csrf_of, sign_in, who
from tests.hub import HubProcess

STEP = "/sign-in/second-factor"
PROOF = {"proof": PASSWORD}


@pytest.fixture
def mine(hub: HubProcess, people: People, word: str) -> Iterator[httpx.Client]:
    """The API, asked by somebody with a personal token, which goes on when passwords do not."""
    token = people.token(people.user(word))
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=hub.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def browser(hub: HubProcess) -> Iterator[httpx.Client]:
    """A browser in which nobody has signed in."""
    with httpx.Client(base_url=hub.url, timeout=30, trust_env=False) as client:
        yield client


def begin(mine: httpx.Client) -> str:
    made = mine.post(f"{ME}/totp", json=PROOF)
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])


def enrol(mine: httpx.Client, people: People, word: str) -> tuple[str, list[str]]:
    """The secret of the app that somebody has set up, and their recovery codes."""
    secret = begin(mine)
    done = mine.post(f"{ME}/totp/confirm", json={"code": code_of(secret)})
    assert done.status_code == 200, done.text
    forget_steps(people, word)
    return secret, done.json()["recovery_codes"]


def show(browser: httpx.Client, code: str, **headers: str) -> httpx.Response:
    return browser.post(STEP, data={"code": code, "next": "/account"}, headers=headers)


def test_signing_in_takes_both(mine: httpx.Client, browser: httpx.Client, people: People, word: str) -> None:
    secret, _ = enrol(mine, people, word)
    first = sign_in(browser, word)
    assert (first.status_code, first.headers["location"]) == (303, f"{STEP}?next=/")
    form = r"wasmhub-step=whc_\w{42}; Path=/; Max-Age=300; HttpOnly; SameSite=Lax"
    assert re.fullmatch(form, first.headers["set-cookie"])
    assert who(browser) == 401 and browser.get("/account").headers["location"] == "/sign-in?next=/account"
    kept = browser.cookies["wasmhub-step"]
    assert people.rows("SELECT 1 FROM pending_sign_ins WHERE secret_sha256 = :s", s=kept) == []
    assert word in browser.get(STEP).text

    assert show(browser, code_of(secret, later=5)).status_code == 401 and who(browser) == 401
    done = show(browser, code_of(secret))
    assert (done.status_code, done.headers["location"]) == (303, "/account") and who(browser) == 200
    assert "wasmhub-step" not in browser.cookies
    browser.cookies.clear()
    browser.cookies.set("wasmhub-step", kept)
    assert browser.get(STEP).headers["location"] == "/sign-in?next=/"
    assert show(browser, code_of(secret, later=1)).headers["location"] == "/sign-in?next=/account"


def test_a_code_is_good_once(mine: httpx.Client, hub: HubProcess, people: People, word: str) -> None:
    secret, _ = enrol(mine, people, word)
    browsers = [httpx.Client(base_url=hub.url, timeout=30, trust_env=False) for _ in range(4)]
    for one in browsers:
        sign_in(one, word)
    code = code_of(secret)
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda one: show(one, code).status_code, browsers))
    assert sorted(statuses) == [303, 401, 401, 401]
    assert sorted(who(one) for one in browsers) == [200, 401, 401, 401]
    for one in browsers:
        one.close()


def test_an_older_code_than_the_last_one_is_refused(
    mine: httpx.Client, browser: httpx.Client, people: People, word: str
) -> None:
    secret, _ = enrol(mine, people, word)
    sign_in(browser, word)
    assert show(browser, code_of(secret, later=1)).status_code == 303
    sign_in(browser, word)
    assert show(browser, code_of(secret)).status_code == 401
    sign_in(browser, word)
    for later in (-3, 3):
        assert show(browser, code_of(secret, later)).status_code == 401


def test_the_code_that_turned_it_on_lets_nobody_in(mine: httpx.Client, browser: httpx.Client, word: str) -> None:
    secret = begin(mine)
    code = code_of(secret)
    assert mine.post(f"{ME}/totp/confirm", json={"code": code}).status_code == 200
    sign_in(browser, word)
    assert show(browser, code).status_code == 401


def test_a_recovery_code_is_good_once(mine: httpx.Client, browser: httpx.Client, people: People, word: str) -> None:
    _, codes = enrol(mine, people, word)
    assert len(set(codes)) == 10 and all(re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", code) for code in codes)
    sign_in(browser, word)
    assert show(browser, f" {codes[0].upper().replace('-', '')} ").status_code == 303 and who(browser) == 200
    sign_in(browser, word)
    assert show(browser, codes[0]).status_code == 401
    assert mine.get(ME).json()["recovery_codes"] == 9
    kept = str(people.rows("SELECT code_sha256 FROM recovery_codes WHERE user_id = :u", u=people.user(word)))
    assert not any(code in kept for code in codes)


def test_programs_need_a_token(
    mine: httpx.Client, http: httpx.Client, people: People, word: str, hub: HubProcess
) -> None:
    before = http.get("/token", params={"offline_token": "true"}, auth=(word, PASSWORD)).json()
    enrol(mine, people, word)
    form = {"grant_type": "password", "username": word, "password": PASSWORD}
    for answer in (
        http.get("/token", auth=(word, PASSWORD)),
        http.post("/token", data=form),
        http.get("/api/v1/user", auth=(word, PASSWORD)),
    ):
        assert answer.status_code == 401 and "signs in with a second factor: use a personal token" in answer.text
        assert "second factor" not in http.get("/token", auth=(word, "wrong-password")).text
    registry = {"Authorization": f"Bearer {before['token']}"}
    assert http.get("/v2/_catalog", headers=registry).status_code == 401
    for secret in (before["refresh_token"], mine.headers["authorization"].partition(" ")[2]):
        assert http.get("/token", auth=(word, secret)).status_code == 200
    form = {"grant_type": "refresh_token", "refresh_token": before["refresh_token"]}
    assert http.post("/token", data=form).status_code == 200
    assert mine.get("/api/v1/user").status_code == 200


def test_robots_need_none(mine: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    enrol(mine, people, word)
    team = f"{word}-crew"
    assert mine.post("/api/v1/teams", json={"name": team}).status_code == 201
    made = mine.post(f"/api/v1/teams/{team}/robots", json={"name": "ci"}).json()
    assert http.get("/token", auth=(f"{team}+ci", made["token"])).status_code == 200


def test_setting_up_needs_more_than_a_session(mine: httpx.Client, people: People, word: str) -> None:
    for body, reason in (({}, "show who you are"), ({"proof": "wrong-password"}, "password is wrong")):
        refused = mine.post(f"{ME}/totp", json=body)
        assert error_of(refused) == (400, "bad_request") and reason in refused.text
    first = begin(mine)
    assert mine.get(ME).json() == {"enabled": False, "totp": None, "passkeys": [], "recovery_codes": 0}
    second = begin(mine)
    for code in (code_of(first), "", "12345", "123456", "abcdef"):
        assert error_of(mine.post(f"{ME}/totp/confirm", json={"code": code or "x"}))[0] in (400, 429)
    people.run("UPDATE totps SET created_at = 1 WHERE user_id = :u", u=people.user(word))
    late = mine.post(f"{ME}/totp/confirm", json={"code": code_of(second)})
    assert error_of(late)[0] in (409, 429)


def test_a_secret_is_sealed_and_shown_once(
    mine: httpx.Client, hub: HubProcess, people: People, word: str, embedded: None
) -> None:
    made = mine.post(f"{ME}/totp", json=PROOF).json()
    assert made["uri"].startswith("otpauth://totp/") and made["secret"] in made["uri"]
    sealed = people.rows("SELECT sealed_secret FROM totps WHERE user_id = :u", u=people.user(word))[0][0]
    assert len(sealed) == 1 + 4 + 12 + 20 + 16
    assert made["secret"] not in mine.get(ME).text + hub.log()


def test_taking_it_away_needs_proof(mine: httpx.Client, http: httpx.Client, people: People, word: str) -> None:
    secret, codes = enrol(mine, people, word)
    again = mine.post(f"{ME}/totp", json=PROOF)
    assert error_of(again) == (409, "conflict") and "remove it first" in again.text
    for action in ("totp/remove", "recovery-codes"):
        assert error_of(mine.post(f"{ME}/{action}", json={})) == (400, "bad_request")
        assert error_of(mine.post(f"{ME}/{action}", json={"proof": "wrong-password"})) == (400, "bad_request")
    assert error_of(mine.post(f"{ME}/totp/remove", json={"proof": code_of(secret, later=9)})) == (400, "bad_request")
    new = mine.post(f"{ME}/recovery-codes", json={"proof": code_of(secret)}).json()["recovery_codes"]
    assert not set(new) & set(codes)
    assert error_of(mine.post(f"{ME}/totp/remove", json={"proof": codes[0]})) == (400, "bad_request")
    assert mine.post(f"{ME}/totp/remove", json={"proof": new[0]}).status_code == 204
    assert mine.get(ME).json() == {"enabled": False, "totp": None, "passkeys": [], "recovery_codes": 0}
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
    for action in ("totp/remove", "recovery-codes"):
        assert error_of(mine.post(f"{ME}/{action}", json=PROOF)) == (409, "conflict")
    told = [row[0] for row in people.rows("SELECT action FROM events WHERE actor_name = :n ORDER BY id", n=word)]
    assert told[-6:] == [
        "totp.confirm",
        "second-factor.enable",
        "recovery-codes.replace",
        "recovery-code.use",
        "totp.remove",
        "second-factor.disable",
    ]


def test_guesses_are_slow(mine: httpx.Client, browser: httpx.Client, people: People, word: str) -> None:
    secret, codes = enrol(mine, people, word)
    # The address is known to the account by now; a bucket of five is all the same.
    sign_in(browser, word)
    answers = [show(browser, f"{number:06}") for number in range(7)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:4] == [401] * 4 and statuses[-1] == 429
    assert int(answers[-1].headers["retry-after"]) > 60 and "too many wrong codes" in answers[-1].text.lower()
    for code in (code_of(secret), codes[0]):
        assert show(browser, code).status_code == 429
    sign_in(browser, word)
    assert show(browser, codes[1]).status_code == 429 and who(browser) == 401


def test_what_ends_the_wait(mine: httpx.Client, browser: httpx.Client, people: People, word: str) -> None:
    _, codes = enrol(mine, people, word)
    user = people.user(word)

    def wait() -> None:
        sign_in(browser, word)
        assert browser.get(STEP).status_code == 200

    for change in (
        "UPDATE pending_sign_ins SET expires_at = 1 WHERE user_id = :u",
        "UPDATE users SET generation = generation + 1 WHERE id = :u",
        "UPDATE users SET active = false WHERE id = :u",
    ):
        wait()
        people.run(change, u=user)
        assert show(browser, codes[0]).headers["location"].startswith("/sign-in?next=") and who(browser) == 401
    people.run("UPDATE users SET active = true WHERE id = :u", u=user)
    wait()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert show(browser, codes[0], **headers).status_code == 401
    browser.cookies.clear()
    for planted in ("x", new_secret(PENDING), "whc_" + "A" * 42):
        browser.cookies.set("wasmhub-step", planted)
        assert show(browser, codes[0]).headers["location"].startswith("/sign-in?next=")
    assert mine.get(ME).json()["recovery_codes"] == 10


def test_a_reset_password_does_not_stand_for_it(
    mine: httpx.Client, browser: httpx.Client, hub: HubProcess, people: People, word: str
) -> None:
    _, codes = enrol(mine, people, word)
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=hub.url, auth=auth, trust_env=False) as admin:
        link = admin.post(f"/api/v1/users/{word}/password-reset").json()["link"]
    done = browser.post(httpx.URL(link).path, data={"password": "another-long-password"})
    assert done.headers["location"] == f"{STEP}?next=/" and who(browser) == 401
    assert show(browser, codes[0]).status_code == 303 and who(browser) == 200


def test_a_new_password_of_one_s_own_keeps_the_session(
    mine: httpx.Client, browser: httpx.Client, people: People, word: str
) -> None:
    _, codes = enrol(mine, people, word)
    sign_in(browser, word)
    show(browser, codes[0])
    typed = {"csrf": csrf_of(browser), "form": "password", "current": PASSWORD, "password": "another-long-password"}
    done = browser.post("/account", data=typed)
    assert done.headers["location"] == "/account?done=password" and who(browser) == 200


def test_an_administrator_helps_who_lost_it(hub: HubProcess, http: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    give_app(people, word)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=("admin", hub.admin_password), trust_env=False) as admin:
        assert admin.get(f"/users/{word}").json()["second_factor"] is True
        assert http.get("/token", auth=(word, PASSWORD)).status_code == 401
        assert admin.delete(f"/users/{word}/second-factor").status_code == 204
        assert admin.get(f"/users/{word}").json()["second_factor"] is False
        assert error_of(admin.delete(f"/users/{word}/second-factor")) == (409, "conflict")
        assert error_of(admin.delete("/users/admin/second-factor")) == (403, "forbidden")
    assert http.get("/token", auth=(word, PASSWORD)).status_code == 200
    last = people.rows(
        "SELECT action, actor_name FROM events WHERE subject = :n AND action LIKE 'second-factor%'"
        " ORDER BY id DESC LIMIT 2",
        n=word,
    )
    assert last == [("second-factor.disable", "admin"), ("second-factor.remove", "admin")]


def test_a_token_with_scopes_changes_nothing(http: httpx.Client, people: People, word: str) -> None:
    narrow = people.token(people.user(word), scopes=["repository:a/*:pull"])
    headers = {"Authorization": f"Bearer {narrow}"}
    ways: list[tuple[str, Any]] = [("totp", PROOF), ("totp/remove", PROOF), ("recovery-codes", PROOF)]
    for action, body in ways:
        assert error_of(http.post(f"{ME}/{action}", json=body, headers=headers)) == (403, "forbidden")


def test_the_page(mine: httpx.Client, browser: httpx.Client, people: People, word: str) -> None:
    people.user(word)
    sign_in(browser, word)

    def send(form: str, **typed: str) -> httpx.Response:
        return browser.post(PAGE, data={"csrf": csrf_of(browser), "form": form, **typed})

    assert send("begin", proof="wrong-password").status_code == 400
    page = send("begin", proof=PASSWORD)
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    assert "<svg" in page.text and 'style="' not in page.text
    found = re.search(r"Type this: <code>([A-Z2-7 ]+)</code>", page.text)
    assert found is not None and found[1] not in browser.get(PAGE).text
    wrong = send("confirm", code="000000")
    assert wrong.status_code == 400 and found[1] in wrong.text and wrong.headers["cache-control"] == "no-store"
    done = send("confirm", code=code_of(found[1]))
    assert done.status_code == 200 and done.headers["cache-control"] == "no-store"
    codes = re.findall(r"\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b", done.text)
    assert len(codes) == 10
    assert "10 left" in browser.get(PAGE).text and "is on" in browser.get("/account").text
    again = send("codes", proof=codes[0])
    assert again.status_code == 200 and codes[1] not in again.text
    assert send("remove", proof=PASSWORD).headers["location"] == f"{PAGE}?done=remove"
    assert "is off" in browser.get("/account").text
