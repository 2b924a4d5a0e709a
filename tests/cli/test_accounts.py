"""`wasmhub user` and `wasmhub token` at a real hub."""

import os
import pty
import select
import subprocess
import sys
import time

import httpx
import pytest

from tests.auth.factors import ME, code_of
from tests.cli.commands import Commands
from tests.hub import WASMHUB, HubProcess
from tests.oci import Client


def test_users_are_made_listed_and_ended(admin: Commands) -> None:
    assert admin.text("user", "create", "dora", stdin="a-long-password\n") == "made dora (user)\n"
    made = admin.json("user", "create", "emil", "--role", "auditor", "--generate")
    assert made["role"] == "auditor" and len(made["password"]) >= 16

    listed = {one["name"]: one for one in admin.json("user", "list")}
    assert listed["dora"]["active"] and listed["emil"]["role"] == "auditor" and "admin" in listed
    shown = admin.text("user").splitlines()
    assert shown[0].split() == ["NAME", "ROLE", "ACTIVE", "CREATED"]
    assert any(line.split()[:3] == ["emil", "auditor", "yes"] for line in shown)

    assert admin.text("user", "deactivate", "dora") == "dora can sign in no more\n"
    assert not {one["name"]: one for one in admin.json("user")}["dora"]["active"]
    assert "wrong user name or password" in admin.refused("token", "list", "--user", "dora", stdin="a-long-password\n")
    assert admin.json("user", "activate", "dora")["active"]
    admin.text("token", "list", "--user", "dora", stdin="a-long-password\n")


def test_an_heir_gets_what_a_removed_user_owned(hub: HubProcess, admin: Commands) -> None:
    admin.text("user", "create", "kate", stdin="a-long-password\n")
    assert admin.json("user", "delete", "kate") == {"deleted": "kate", "heir": None}

    admin.text("user", "create", "lars", stdin="a-long-password\n")
    client = Client(hub.url, "lars", "a-long-password")
    client.push_image("lars/thing", "v1", b"layer")
    client.close()
    assert "name an heir" in admin.refused("user", "delete", "lars")
    said = admin.text("user", "delete", "lars", "--heir", "admin")
    assert said == "lars is removed; what they owned belongs to admin now\n"
    assert not {"kate", "lars"} & {one["name"] for one in admin.json("user")}


def test_people_are_invited_and_uninvited(hub: HubProcess, admin: Commands) -> None:
    done = admin.run("user", "invite", "--note", "for Mia", "--role", "auditor", "--days", "2")
    assert done.returncode == 0 and done.stdout.startswith(f"{hub.url}/invitations/whi_")
    assert done.stdout.count("\n") == 1 and "shown only now" in done.stderr and "auditor" in done.stderr
    body = {"name": "mia", "password": "a-long-password", "invitation": done.stdout.strip().rpartition("/")[2]}
    assert httpx.post(f"{hub.url}/api/v1/sign-up", json=body, trust_env=False).status_code == 201
    assert {one["name"]: one["role"] for one in admin.json("user")}["mia"] == "auditor"

    made = admin.json("user", "invite", "--note", "for Nils")
    listed = {one["id"]: one for one in admin.json("user", "invitations")}
    assert listed[made["id"]]["note"] == "for Nils" and "secret" not in listed[made["id"]]
    shown = admin.text("user", "invitations")
    assert shown.split()[:5] == ["ID", "ROLE", "NOTE", "BY", "EXPIRES"] and "for Nils" in shown
    assert made["secret"] not in shown and "for Mia" not in shown
    admin.text("user", "uninvite", str(made["id"]))
    assert "there is no invitation" in admin.refused("user", "uninvite", str(made["id"]))


def test_a_forgotten_password_is_set_anew_by_a_link(hub: HubProcess, admin: Commands) -> None:
    admin.text("user", "create", "olga", stdin="a-long-password\n")
    done = admin.run("user", "reset-password", "olga")
    assert done.returncode == 0 and done.stdout.startswith(f"{hub.url}/password-reset/whn_")
    assert done.stdout.count("\n") == 1 and "olga" in done.stderr and "shown only now" in done.stderr
    body = {"secret": done.stdout.strip().rpartition("/")[2], "password": "another-password"}
    assert httpx.post(f"{hub.url}/api/v1/password-reset", json=body, trust_env=False).status_code == 200
    admin.text("token", "list", "--user", "olga", stdin="another-password\n")


def test_people_say_who_they_are(admin: Commands) -> None:
    admin.text("user", "create", "pia", stdin="a-long-password\n")
    token = Commands(admin.url).json("token", "create", "t", "--user", "pia", stdin="a-long-password\n")["token"]
    pia = Commands(admin.url, token)
    assert pia.json("user", "profile", "--full-name", "Pia Plain")["full_name"] == "Pia Plain"
    assert pia.json("user", "profile", "--email", "pia@example.com")["full_name"] == "Pia Plain"
    shown = [line.split(maxsplit=1) for line in pia.text("user", "profile", "--full-name", "").splitlines()]
    assert ["e-mail", "pia@example.com"] in shown and ["name", "pia"] in shown
    assert pia.json("user", "profile")["full_name"] == ""


def test_a_password_is_changed_by_oneself_and_by_an_administrator(admin: Commands) -> None:
    admin.text("user", "create", "fred", stdin="first-password\n")
    token = Commands(admin.url).json("token", "create", "t", "--user", "fred", stdin="first-password\n")["token"]
    fred = Commands(admin.url, token)

    assert "current password is wrong" in fred.refused("user", "password", "fred", stdin="wrong\nsecond-password\n")
    fred.text("user", "password", "fred", stdin="first-password\nsecond-password\n")
    assert fred.json("token", "list", "--user", "fred", stdin="second-password\n")[0]["name"] == "t"

    assert admin.text("user", "password", "fred", stdin="third-password\n") == "fred has the new password\n"
    fred.text("token", "list", "--user", "fred", stdin="third-password\n")


def test_a_second_factor_is_shown_and_taken_away(hub: HubProcess, admin: Commands) -> None:
    admin.text("user", "create", "rosa", stdin="a-long-password\n")
    made = Commands(hub.url).json("token", "create", "t", "--user", "rosa", stdin="a-long-password\n")
    rosa = Commands(hub.url, made["token"])
    assert rosa.text("user", "second-factor").splitlines()[0].split() == ["second", "factor", "off"]
    headers = {"Authorization": f"Bearer {rosa.token}"}
    with httpx.Client(base_url=f"{hub.url}{ME}", headers=headers, trust_env=False) as client:
        secret = client.post("/totp", json={"proof": "a-long-password"}).json()["secret"]
        assert client.post("/totp/confirm", json={"code": code_of(secret)}).status_code == 200
    shown = rosa.text("user", "second-factor")
    assert shown.split()[:3] == ["second", "factor", "on"] and shown.split()[-1] == "10"
    refused = Commands(hub.url).refused("token", "list", "--user", "rosa", stdin="a-long-password\n")
    assert "use a personal token" in refused
    assert "needs an administrator" in rosa.refused("user", "remove-second-factor", "admin")
    assert "password alone" in admin.text("user", "remove-second-factor", "rosa")
    Commands(hub.url).text("token", "list", "--user", "rosa", stdin="a-long-password\n")


def test_tokens_are_made_listed_and_ended(hub: HubProcess, admin: Commands) -> None:
    done = admin.run("token", "create", "laptop", "--days", "3")
    assert done.returncode == 0 and done.stdout.startswith("whp_") and done.stdout.count("\n") == 1
    assert "laptop" in done.stderr and "shown only now" in done.stderr
    other = Commands(hub.url, done.stdout.strip())
    assert other.json("token", "create", "endless", "--no-expiry")["expires_at"] is None

    listed = {one["name"]: one for one in other.json("token", "list")}
    assert "token" not in listed["laptop"] and listed["laptop"]["hint"] in done.stdout
    assert "laptop" in other.text("token") and done.stdout.strip() not in other.text("token")

    scopes = ("--scope", "repository:shop/*:push", "--scope", "target:edge:deploy")
    narrow = other.json("token", "create", "narrow", *scopes)
    assert narrow["scopes"] == ["repository:shop/*:pull,push", "target:edge:deploy,pull"]
    assert "repository:shop/*:pull,push target:edge:deploy,pull" in other.text("token", "list")
    assert "narrowed by scopes" in Commands(hub.url, narrow["token"]).refused("token", "list")

    assert "is good no more" in admin.text("token", "delete", str(listed["laptop"]["id"]))
    assert "does not accept the token" in other.refused("targets")


def test_robots_are_made_rotated_listed_and_ended(hub: HubProcess, admin: Commands) -> None:
    auth = ("admin", hub.admin_password)
    httpx.post(f"{hub.url}/api/v1/teams", json={"name": "shop"}, auth=auth).raise_for_status()
    assert admin.text("robot", "list", "shop").startswith("shop has no robots")
    scope = ("--scope", "repository:shop/*:push")
    done = admin.run("robot", "create", "shop", "ci", "--role", "writer", "--description", "the pipeline", *scope)
    assert done.returncode == 0 and done.stdout.startswith("whb_") and done.stdout.count("\n") == 1
    assert "made shop+ci" in done.stderr and "shown only now" in done.stderr
    assert "robots look after no accounts" in Commands(hub.url, done.stdout.strip()).refused("token", "list")
    assert Commands(hub.url, done.stdout.strip()).json("targets") == []

    assert admin.run("robot", "rotate", "shop", "ci", "--overlap", "2").stdout.startswith("whb_")
    assert len(admin.json("robot", "rotate", "shop", "ci", "--overlap", "0")["tokens"]) == 1
    assert "does not accept the token" in Commands(hub.url, done.stdout.strip()).refused("targets")
    ends = admin.json("robot", "create", "shop", "short", "--days", "3")
    assert ends["expires_at"] is not None and ends["role"] == "reader"
    shown = admin.text("robot", "list", "shop").splitlines()
    assert shown[1].split()[:3] == ["shop+ci", "writer", "yes"] and "repository:shop/*:pull,push" in shown[1]
    assert [one["name"] for one in admin.json("robot", "list", "shop")] == ["ci", "short"]

    assert admin.text("robot", "delete", "shop", "ci") == "shop+ci signs in no more\n"
    assert "has no robot 'ci'" in admin.refused("robot", "rotate", "shop", "ci")


REFUSED = [
    (("user", "create", "gina"), "short\n", 1, "at least 8"),
    (("user", "create", "gina"), "", 2, "no password for gina came"),
    (("user", "create", "gina"), b"\xff\xfe\n", 2, "not valid UTF-8"),
    (("user", "create", "gina"), "x" * 5000 + "\n", 2, "longer than 4096"),
    (("user", "create", "ADMIN"), "a-long-password\n", 1, "ADMIN"),
    (("user", "create", "admin"), "a-long-password\n", 1, "admin"),
    (("user", "delete", "admin", "--heir", "nobody-here"), "", 1, "there is none of the name 'nobody-here'"),
    (("user", "deactivate", "nobody-here"), "", 1, "there is no user 'nobody-here'"),
    (("user", "reset-password", "admin"), "", 1, "with the current one"),
    (("user", "profile", "--email", "nowhere"), "", 1, "'email' must look like"),
    (("user", "invite", "--note", "x" * 2000), "", 1, "'note' must be"),
    (("user", "delete", "nobody-here"), "", 1, "there is no user 'nobody-here'"),
    (("user", "delete", ".."), "", 2, "'..' is no name"),
    (("user", "password", "nobody-here"), "a-long-password\n", 1, "there is no user 'nobody-here'"),
    (("robot", "list", "no-such-team"), "", 1, "there is no team 'no-such-team'"),
    (("token", "create", "x", "--scope", "everything"), "", 1, "'everything' is no scope"),
    (("token", "delete", "999999"), "", 1, "you have no token '999999'"),
    (("token", "list", "--user", "admin"), "wrong-password\n", 1, "wrong user name or password"),
    (("token", "list", "--user", "a:b"), "wrong-password\n", 2, "'a:b' is no name of a user"),
]


@pytest.mark.parametrize(("arguments", "stdin", "code", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_refused(
    admin: Commands, arguments: tuple[str, ...], stdin: str | bytes, code: int, words: str
) -> None:
    assert words in admin.refused(*arguments, code=code, stdin=stdin)


def test_only_administrators_see_users(admin: Commands) -> None:
    admin.text("user", "create", "hans", stdin="hans-password\n")
    token = Commands(admin.url).json("token", "create", "t", "--user", "hans", stdin="hans-password\n")["token"]
    assert "administrator" in Commands(admin.url, token).refused("user", "list")


def test_a_password_is_asked_for_at_a_terminal_and_not_shown(admin: Commands) -> None:
    typed = ["typed-password\n", "typed-password\n"]
    said, code = _at_a_terminal(admin, ["user", "create", "ida"], typed)
    assert code == 0 and "password for ida: " in said and "password for ida again: " in said
    assert "made ida" in said and "typed-password" not in said

    said, code = _at_a_terminal(admin, ["user", "create", "jo"], ["typed-password\n", "another-password\n"])
    assert code == 2 and "the two are not the same" in said


def _at_a_terminal(commands: Commands, arguments: list[str], typed: list[str]) -> tuple[str, int]:
    """Runs a command in a terminal of its own, where each line is typed after a prompt."""
    ours, theirs = pty.openpty()
    # The child makes the terminal its own before it becomes the command: that is where passwords are asked for.
    become = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", become, str(WASMHUB), *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=commands.environment(),
        start_new_session=True,
    )
    os.close(theirs)
    said, end, lines = "", time.monotonic() + 60, list(typed)
    while time.monotonic() < end:
        ready, _, _ = select.select([ours], [], [], 0.2)
        try:
            said += os.read(ours, 4096).decode() if ready else ""
        except OSError:
            break  # the terminal's other side is closed
        if lines and said.endswith(": "):
            os.write(ours, lines.pop(0).encode())
            said += "\n"
    os.close(ours)
    return said, process.wait(30)
