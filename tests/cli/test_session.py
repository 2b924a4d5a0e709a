"""`wasmhub session` at a real hub."""

import secrets

from tests.auth.people import PASSWORD
from tests.cli.commands import Commands
from tests.devices import Person
from tests.hub import HubProcess


def test_sessions_are_listed_and_ended(hub: HubProcess, admin: Commands) -> None:
    name = f"s-{secrets.token_hex(4)}"
    admin.text("user", "create", name, stdin=PASSWORD + "\n")
    made = Commands(hub.url).json("token", "create", "t", "--user", name, stdin=PASSWORD + "\n")
    mine = Commands(hub.url, made["token"])
    assert mine.text("session") == "there is no open session\n"
    people = [Person(hub, name, PASSWORD) for _ in range(3)]
    listed = mine.json("session", "list")
    assert len(listed) == 3 and listed == admin.json("session", "list", "--user", name)
    shown = mine.text("session", "list").splitlines()
    assert shown[0].split() == ["ID", "BROWSER", "FROM", "OPENED", "USED"] and "python-httpx" in shown[1]

    number = str(listed[0]["id"])
    assert mine.text("session", "end", number) == f"session {number} is signed out\n"
    assert "there is no session" in mine.refused("session", "end", number)
    assert mine.text("session", "end", "--all") == "signed out of 2 browsers\n"
    assert [one.browser.get("/api/v1/user").status_code for one in people] == [401] * 3
    for one in people:
        one.browser.close()
    again = Person(hub, name, PASSWORD)
    assert admin.text("session", "end", "--all", "--user", name) == "signed out of 1 browser\n"
    assert again.browser.get("/api/v1/user").status_code == 401
    again.browser.close()
    assert "there is no user" in mine.refused("session", "list", "--user", "admin")
    for arguments in (("end",), ("end", number, "--all")):
        assert "or all of them by --all" in mine.refused("session", *arguments, code=2)
