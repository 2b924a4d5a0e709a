"""Device logins (RFC 8628): what a program is told until somebody approves it, and what keeps strangers from harm."""

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from auth.devices import ALPHABET, read_user_code
from storage.device_logins import MOST, MOST_OF_NETWORK
from storage.events import SYSTEM
from storage.users import set_password
from tests.auth.people import PASSWORD, People
from tests.devices import Person
from tests.hub import HubProcess

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
NAMES = {"name": "t", "days": "1", "scopes": ""}


@pytest.fixture
def person(hub: HubProcess, people: People, word: str) -> Iterator[Person]:
    """Somebody new; nothing else waits."""
    people.run("DELETE FROM device_logins")
    people.user(word)
    made = Person(hub, word, PASSWORD)
    yield made
    made.browser.close()


def begin(http: httpx.Client, **form: str) -> Any:
    answer = http.post("/device_authorization", data={"client_id": "prog", "device_name": "box", **form})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def fetch(http: httpx.Client, begun: Any, **form: str) -> httpx.Response:
    asked = {"grant_type": DEVICE_CODE, "device_code": begun["device_code"], "client_id": "prog", **form}
    return http.post("/token", data=asked)


def refusal(answer: httpx.Response) -> str:
    assert answer.status_code == 400, answer.text
    said = answer.json()
    assert said["error_description"] == said["errors"][0]["message"]
    return str(said["error"])


def who(http: httpx.Client, token: str) -> httpx.Response:
    return http.get("/api/v1/user", headers={"Authorization": f"Bearer {token}"})


def test_a_program_gets_a_token_that_survives_the_session(
    http: httpx.Client, person: Person, people: People, word: str
) -> None:
    begun = begin(http)
    assert begun["verification_uri"].endswith("/device")
    assert begun["verification_uri_complete"] == f"{begun['verification_uri']}?user_code={begun['user_code']}"
    assert (begun["expires_in"], begun["interval"]) == (600, 2)
    assert re.fullmatch(rf"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", begun["user_code"])
    assert refusal(fetch(http, begun)) == "authorization_pending"
    person.approve(begun["user_code"], name="my box", days="3")
    person.sign_out()
    time.sleep(begun["interval"])
    got = fetch(http, begun)
    assert got.status_code == 200 and got.headers["cache-control"] == "no-store"
    reply = got.json()
    assert (reply["token_type"], reply["username"], reply["token_name"]) == ("Bearer", word, "my box")
    assert 3 * 86_400 - 60 < reply["expires_in"] <= 3 * 86_400 and reply["scope"] == ""
    assert who(http, reply["access_token"]).json()["name"] == word

    assert refusal(fetch(http, begun)) == "invalid_grant"  # single use
    listed = http.get("/api/v1/user/tokens", auth=(word, PASSWORD)).json()["tokens"]
    assert [(one["id"], one["name"]) for one in listed] == [(reply["token_id"], "my box")]
    assert http.delete(f"/api/v1/user/tokens/{reply['token_id']}", auth=(word, PASSWORD)).status_code == 204
    assert who(http, reply["access_token"]).status_code == 401
    rows = people.rows("SELECT action FROM events WHERE actor_name = :w ORDER BY id", w=word)
    actions = [action for (action,) in rows if not action.startswith("sign-in.")]
    assert actions == ["session.open", "device-login.approve", "session.close", "token.create", "token.delete"]


def test_scopes_are_asked_for_and_may_be_narrowed(http: httpx.Client, person: Person) -> None:
    begun = begin(http, scope="repository:shop/*:pull,push target:edge:deploy")
    page = person.send("find", begun["user_code"].lower().replace("-", " "))
    assert "repository:shop/*:pull,push\ntarget:edge:deploy,pull" in page.text
    person.approve(begun["user_code"], scopes="repository:shop/a:pull")
    reply = fetch(http, begun).json()
    assert reply["scope"] == "repository:shop/a:pull"
    assert who(http, reply["access_token"]).json()["scopes"] == ["repository:shop/a:pull"]
    for scope in ("nonsense", "repository:a:fly", " ".join(f"repository:a{n}:pull" for n in range(30))):
        asked = http.post("/device_authorization", data={"client_id": "prog", "scope": scope})
        assert refusal(asked) == "invalid_scope"


def test_the_api_approves_and_refuses_too(http: httpx.Client, person: Person, word: str) -> None:
    first, second = begin(http, scope="repository:shop/*:pull"), begin(http)
    auth = (word, PASSWORD)

    def ask(act: str, **body: Any) -> httpx.Response:
        return http.post(f"/api/v1/device-logins/{act}", json=body, auth=auth)

    shown = ask("show", user_code=first["user_code"]).json()
    assert (shown["client"], shown["device"], shown["address"]) == ("prog", "box", "127.0.0.1")
    assert shown["scopes"] == ["repository:shop/*:pull"]
    assert ask("approve", user_code=first["user_code"], expires_in_days=None, role="owner").status_code == 400
    assert ask("approve", user_code=first["user_code"], expires_in_days=None).status_code == 204
    reply = fetch(http, first).json()
    assert reply["token_name"] == "prog on box" and reply["scope"] == "repository:shop/*:pull"
    assert "expires_in" not in reply
    narrowed = http.post(
        "/api/v1/device-logins/approve",
        json={"user_code": second["user_code"]},
        headers={"Authorization": f"Bearer {reply['access_token']}"},
    )
    assert narrowed.status_code == 403  # else a narrow token would make a wide one
    assert ask("refuse", user_code=second["user_code"]).status_code == 204
    assert refusal(fetch(http, second)) == "access_denied"
    for act in ("show", "approve", "refuse"):
        assert ask(act, user_code=second["user_code"]).status_code == 404
        assert ask(act, user_code="abc").status_code == 400


def test_a_second_token_of_the_same_name_has_a_number(http: httpx.Client, person: Person) -> None:
    names = []
    for _ in range(3):
        begun = begin(http)
        person.approve(begun["user_code"], name="same")
        names.append(fetch(http, begun).json()["token_name"])
    assert names == ["same", "same (2)", "same (3)"]


def test_who_asks_too_often_is_told_to_slow_down(http: httpx.Client, person: Person) -> None:
    begun = begin(http)
    assert refusal(fetch(http, begun)) == "authorization_pending"
    person.approve(begun["user_code"])
    assert refusal(fetch(http, begun)) == "slow_down"
    time.sleep(begun["interval"])
    assert fetch(http, begun).status_code == 200


def test_a_code_expires(http: httpx.Client, person: Person, people: People) -> None:
    begun, approved = begin(http), begin(http)
    person.approve(approved["user_code"])
    people.run("UPDATE device_logins SET expires_at = expires_at - 600001")
    assert refusal(fetch(http, begun)) == "expired_token"
    assert refusal(fetch(http, approved)) == "expired_token"
    assert person.send("find", begun["user_code"]).status_code == 404
    people.run("UPDATE device_logins SET expires_at = expires_at - 600001")
    begin(http)
    assert len(people.rows("SELECT 1 FROM device_logins")) == 1  # who comes takes away what is over
    assert refusal(fetch(http, begun)) == "invalid_grant"


def test_a_code_is_its_clients_alone(http: httpx.Client, person: Person) -> None:
    begun = begin(http)
    person.approve(begun["user_code"])
    assert refusal(fetch(http, begun, client_id="other")) == "invalid_grant"
    assert refusal(fetch(http, begun, client_id="")) == "invalid_request"
    for wrong in ("", "x", "whd_" + "A" * 42, begun["user_code"], "\0"):
        assert refusal(fetch(http, begun, device_code=wrong)) in ("invalid_grant", "invalid_request")
    assert fetch(http, begun).status_code == 200


def test_rights_that_change_end_what_was_approved(
    http: httpx.Client, person: Person, people: People, word: str
) -> None:
    begun = begin(http)
    person.approve(begun["user_code"])
    set_password(people.database, SYSTEM, people.user(word), "x")
    assert refusal(fetch(http, begun)) == "access_denied"
    assert refusal(fetch(http, begun)) in ("invalid_grant", "slow_down")


def test_wrong_codes_are_counted_for_who_types_them(http: httpx.Client, person: Person) -> None:
    begun = begin(http)
    for number in range(10):
        code = "".join(ALPHABET[number] for _ in range(8))
        assert person.send("find", code).status_code == 404
    page = person.send("find", begun["user_code"])  # a right one is refused as well: no answer tells a right guess
    assert page.status_code == 429 and int(page.headers["retry-after"]) > 0
    assert "Too many wrong codes" in page.text and "calls itself" not in page.text
    assert person.send("approve", begun["user_code"], **NAMES).status_code == 429
    assert refusal(fetch(http, begun)) == "authorization_pending"


def test_right_codes_cost_nothing(http: httpx.Client, person: Person) -> None:
    begun = begin(http)
    for _ in range(15):
        assert person.send("find", begun["user_code"]).status_code == 200


def test_strangers_cannot_fill_the_table(http: httpx.Client, person: Person, people: People) -> None:
    for _ in range(MOST_OF_NETWORK):
        begin(http)
    full = http.post("/device_authorization", data={"client_id": "prog"})
    assert full.status_code == 429 and int(full.headers["retry-after"]) > 0
    assert "from this address" in full.json()["error_description"]
    people.run("UPDATE device_logins SET state = 'refused'")
    begun = begin(http)
    people.run("UPDATE device_logins SET state = 'pending', network = 'elsewhere'")
    assert person.send("find", begun["user_code"]).status_code == 200
    assert MOST_OF_NETWORK < MOST
    begin(http)
    answers = "('device-login.approve', 'device-login.refuse')"
    rows = people.rows(f"SELECT action FROM events WHERE action LIKE 'device%' AND action NOT IN {answers}")
    assert rows == []  # to wait is no event


def test_codes_are_not_in_the_database(embedded: None, http: httpx.Client, hub: HubProcess, person: Person) -> None:
    begun = begin(http)
    stored = b"".join(path.read_bytes() for path in hub.data.glob("hub.db*"))
    for secret in (begun["device_code"], begun["user_code"], begun["user_code"].replace("-", "")):
        assert secret.encode() not in stored


@pytest.mark.parametrize("form", [{}, {"client_id": ""}, {"client_id": "a\nb"}, {"client_id": "x" * 61}])
def test_what_a_program_says_is_bounded_and_printable(http: httpx.Client, form: dict[str, str]) -> None:
    assert refusal(http.post("/device_authorization", data=form)) == "invalid_request"
    long = http.post("/device_authorization", content=b"x" * 70_000)
    assert long.status_code == 413


def test_where_things_are(http: httpx.Client, hub: HubProcess) -> None:
    told = http.get("/.well-known/oauth-authorization-server").json()
    assert told["issuer"] == hub.url and DEVICE_CODE in told["grant_types_supported"]
    for name in ("token", "device_authorization", "revocation"):
        path = told[f"{name}_endpoint"].removeprefix(hub.url)
        assert http.put(path).status_code == 405 and http.put(path).headers["allow"]


def test_whoever_holds_a_token_may_end_it(http: httpx.Client, person: Person, people: People, word: str) -> None:
    kept, other = (people.token(people.user(word), f"{word}{n}") for n in range(2))
    reply = http.get("/token", params={"offline_token": "true"}, auth=(word, PASSWORD)).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": reply["refresh_token"]}
    for token in (kept, reply["refresh_token"], "whp_" + "A" * 42, "x", kept):
        answer = http.post("/revoke", data={"token": token})
        assert (answer.status_code, answer.json()) == (200, {})
    assert who(http, kept).status_code == 401 and who(http, other).status_code == 200
    assert http.post("/token", data=refresh).status_code == 401
    assert refusal(http.post("/revoke", data={})) == "invalid_request"
    said = people.rows("SELECT action FROM events WHERE actor_name = :w AND action LIKE '%.revoke' ORDER BY id", w=word)
    assert said == [("token.revoke",), ("refresh-token.revoke",)]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("BCDF-GHJK", "BCDFGHJK"),
        (" bcdf ghjk ", "BCDFGHJK"),
        ("bcdfghjk", "BCDFGHJK"),
        ("BCDF-GHJ", None),
        ("BCDF-GHJKL", None),
        ("AEIO-UAEI", None),
        ("BCDF_GHJK", None),
        ("", None),
        ("BCDF-GHJK" + " " * 100 + "B", "BCDFGHJK"),
    ],
)
def test_user_codes_are_read_leniently(typed: str, read: str | None) -> None:
    assert read_user_code(typed) == read
