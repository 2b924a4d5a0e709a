"""Second factors of tests: people who have one, the codes that an app would show, and the requests of the matrix."""

import base64
import secrets
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from storage.database import now
from storage.events import SYSTEM
from storage.passkeys import Answered, NewPasskey
from storage.second_factors import add_passkey, begin_totp, confirm_totp, find_totp
from tests.auth.asking import Ask, Endpoint, at, filled, someone
from tests.auth.authenticator import Authenticator, options_of
from tests.auth.people import People
from tests.auth.world import World

PAGE = "/account/second-factor"
LOCAL = {"Host": "localhost"}  # where browsers make passkeys without https
ORIGIN = "http://localhost"
ME = "/api/v1/user/second-factor"


def code_of(secret: str, later: int = 0) -> str:
    """What an authenticator app with that secret shows now, or so many steps later."""
    key = base64.b32decode(secret.replace(" ", ""))
    return TOTP(key, 6, SHA1(), 30).generate((int(time.time()) // 30 + later) * 30).decode()


def forget_steps(people: People, name: str) -> None:
    """Lets the codes of somebody's app be good again, so that no test has to wait for the next one."""
    people.run("UPDATE totps SET last_step = 0 WHERE user_id = :user", user=people.user(name))


def give_app(people: People, name: str) -> None:
    """Gives somebody an authenticator app whose codes nobody knows, and no recovery codes."""
    user_id = people.user(name)
    begin_totp(people.database, SYSTEM, user_id, b"sealed by nobody")
    with people.database.read() as session:
        row = find_totp(session, user_id)
    assert row is not None
    confirm_totp(people.database, SYSTEM, user_id, begun_at=row.begun_at, step=1, codes=[])


def take_away(people: People, name: str) -> None:
    """Leaves somebody with the password alone, as if nothing had been."""
    user = people.user(name)
    for table in ("totps", "passkeys", "recovery_codes", "pending_sign_ins"):
        people.run(f"DELETE FROM {table} WHERE user_id = :user", user=user)
    people.run("UPDATE users SET second_factor = false WHERE id = :user", user=user)


def mine(how: str, *, form: bool, given: bool = False, begun: bool = False) -> Callable[[World, str], Ask]:
    """A request about somebody's own second factor: of who has been `given` one, or has `begun` to set one up."""

    def ask(world: World, person: str) -> Ask:
        if person == "nobody":
            return filled(world, person, PAGE, how) if form else Ask(f"{ME}/{how}", {"json": {}})
        name, csrf = world.names[person], world.csrf(person)
        more: dict[str, Any] = {"proof": world.password(person)}
        if begun:
            made = world.api(person).post(f"{ME}/totp", json=more)
            more = {"code": code_of(made.json()["secret"])}
        if given:
            give_app(world.people, name)

        def undo() -> None:
            take_away(world.people, name)

        if form:
            return Ask(PAGE, {"data": {"csrf": csrf, "form": how, **more}}, undo)
        return Ask(f"{ME}/{how}", {"json": more, "headers": {"X-CSRF-Token": csrf}}, undo)

    return ask


def passkey_form(form: str) -> Callable[[World, str], Ask]:
    """A form about a passkey of one's own, at a name for which there can be some."""

    def ask(world: World, person: str) -> Ask:
        name, csrf = world.names[person], world.csrf(person)
        typed = {
            "csrf": csrf,
            "form": form,
            "name": "key",
            "proof": "" if person == "nobody" else world.password(person),
        }
        if person != "nobody" and form == "passkey":
            begun = {**typed, "form": "passkey-begin"}
            page = world.browser(person).post(PAGE, data=begun, headers=LOCAL)
            typed["credential"] = Authenticator().make(options_of(page.text), ORIGIN)
        if person != "nobody" and form == "passkey-remove":
            typed["id"] = str(give_passkey(world.people, name))
        return Ask(PAGE, {"data": typed, "headers": LOCAL}, lambda: take_away(world.people, name))

    return ask


def passkey_removal(world: World, person: str) -> Ask:
    """The same of the API."""
    if person == "nobody":
        return Ask(f"{ME}/passkeys/1/remove", {"json": {}})
    name, csrf = world.names[person], world.csrf(person)
    path = f"{ME}/passkeys/{give_passkey(world.people, name)}/remove"
    more = {"json": {"proof": world.password(person)}, "headers": {"X-CSRF-Token": csrf}}
    return Ask(path, more, lambda: take_away(world.people, name))


def give_passkey(people: People, name: str) -> int:
    """Gives somebody a passkey that nobody holds; its number."""
    user_id, mark = people.user(name), secrets.token_hex(8)
    made = NewPasskey(mark, mark, b"no key", 0, ())
    add_passkey(people.database, SYSTEM, user_id, made, Answered(mark, now() + 60_000), [])
    return int(people.rows("SELECT id FROM passkeys WHERE credential_id = :mark", mark=mark)[0][0])


def someone_s(world: World, person: str) -> Ask:
    """The removal of the second factor of a user who is nobody of the table."""
    path = someone()(world, person).path
    give_app(world.people, path.rpartition("/")[2])
    return Ask(f"{path}/second-factor")


def someone_s_form(world: World, person: str) -> Ask:
    """The same on their page."""
    name = someone_s(world, person).path.split("/")[-2]
    return filled(world, person, f"/site/users/{name}", "free", confirm=name)


FORMS = {
    f"POST {PAGE} begin": Endpoint("signed in", "api", mine("begin", form=True), browser=True),
    f"POST {PAGE} confirm": Endpoint("signed in", "api", mine("confirm", form=True, begun=True), browser=True),
    f"POST {PAGE} passkey-begin": Endpoint("signed in", "api", passkey_form("passkey-begin"), browser=True),
    f"POST {PAGE} passkey": Endpoint("signed in", "api", passkey_form("passkey"), browser=True),
    f"POST {PAGE} passkey-remove": Endpoint("signed in", "api", passkey_form("passkey-remove"), browser=True),
    f"POST {PAGE} codes": Endpoint("signed in", "api", mine("codes", form=True, given=True), browser=True),
    f"POST {PAGE} remove": Endpoint("signed in", "api", mine("remove", form=True, given=True), browser=True),
}
API = {
    f"GET {ME}": Endpoint("signed in", "api", at(ME)),
    f"POST {ME}/totp": Endpoint("signed in", "api", mine("totp", form=False), browser=True),
    f"POST {ME}/totp/confirm": Endpoint("signed in", "api", mine("totp/confirm", form=False, begun=True), browser=True),
    f"POST {ME}/totp/remove": Endpoint("signed in", "api", mine("totp/remove", form=False, given=True), browser=True),
    f"POST {ME}/passkeys/{{id}}/remove": Endpoint("signed in", "api", passkey_removal, browser=True),
    f"POST {ME}/recovery-codes": Endpoint(
        "signed in", "api", mine("recovery-codes", form=False, given=True), browser=True
    ),
    "DELETE /api/v1/users/{name}/second-factor": Endpoint("administrator", "api", someone_s),
}
