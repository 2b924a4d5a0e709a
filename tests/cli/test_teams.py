"""`wasmhub team` and `wasmhub share` at a real hub."""

import secrets

import httpx
import pytest

from tests.auth.factors import ME, code_of
from tests.cli.commands import Commands


@pytest.fixture
def people(admin: Commands) -> tuple[Commands, str, Commands, str]:
    """Two users with their tokens: ada and bob, with their names."""
    made: list[Commands | str] = []
    for kind in ("ada", "bob"):
        name = f"{kind}-{secrets.token_hex(4)}"
        admin.text("user", "create", name, stdin="a-long-password\n")
        token = Commands(admin.url).text("token", "create", "t", "--user", name, stdin="a-long-password\n").strip()
        made += [Commands(admin.url, token), name]
    return tuple(made)  # type: ignore[return-value]


def test_a_team_from_its_making_to_its_end(people: tuple[Commands, str, Commands, str]) -> None:
    ada, ada_name, bob, bob_name = people
    team = f"team-{secrets.token_hex(4)}"
    assert "no team" in ada.text("team")
    assert ada.text("team", "create", team, "--visibility", "internal") == f"made {team}, which you own\n"
    assert ada.text("team").splitlines()[1].split() == [team, "owner", "internal", "-"]
    assert "there is no team" in bob.refused("team", "members", team)

    invited = ada.run("team", "invite", team, "--role", "writer", "--note", "bob")
    assert invited.returncode == 0 and invited.stdout.count("\n") == 1 and "shown only now" in invited.stderr
    listed = ada.text("team", "invitations", team)
    assert "bob" in listed and invited.stdout.strip().rpartition("/")[2] not in listed
    assert bob.text("team", "join", stdin=invited.stdout) == f"you are writer of {team}\n"
    assert "ask for a new one" in bob.refused("team", "join", stdin=invited.stdout)
    assert [one["name"] for one in ada.json("team", "members", team)] == [ada_name, bob_name]

    assert "you may not" in bob.refused("team", "set", team, ada_name, "reader")
    assert "last owner" in ada.refused("team", "remove", team, ada_name)
    assert ada.text("team", "set", team, bob_name, "owner") == f"{bob_name} is owner of {team}\n"
    assert bob.text("team", "remove", team, bob_name) == f"{bob_name} is not in {team}\n"

    made = ada.json("team", "invite", team)
    assert ada.text("team", "uninvite", team, str(made["id"])) == f"invitation {made['id']} is good no more\n"
    assert "ask for a new one" in bob.refused("team", "join", stdin=made["link"] + "\n")

    assert "goes on answering" in ada.text("team", "rename", team, f"{team}-2")
    assert ada.json("team", "members", team)[0]["name"] == ada_name
    assert "is taken" in bob.refused("team", "create", team)
    ada.text("team", "forget-name", f"{team}-2", team)
    assert "there is no team" in ada.refused("team", "members", team)

    ada.text("team", "delete", f"{team}-2")
    assert "there is no team" in ada.refused("team", "members", f"{team}-2")
    assert ada.text("team", "restore", f"{team}-2") == f"{team}-2 is back\n"


def test_a_team_asks_for_a_second_factor(people: tuple[Commands, str, Commands, str]) -> None:
    ada, _, bob, bob_name = people
    team = f"team-{secrets.token_hex(4)}"
    ada.text("team", "create", team)
    assert "of your own first" in ada.refused("team", "require-second-factor", team)
    assert ada.text("team", "require-second-factor", team, "--off") == f"{team} asks for no second factor\n"
    headers = {"Authorization": f"Bearer {ada.token}"}
    with httpx.Client(base_url=f"{ada.url}{ME}", headers=headers, trust_env=False) as client:
        secret = client.post("/totp", json={"proof": "a-long-password"}).json()["secret"]
        assert client.post("/totp/confirm", json={"code": code_of(secret)}).status_code == 200
    said = ada.text("team", "require-second-factor", team)
    assert said == f"{team} asks its members for a second factor\n"
    link = ada.text("team", "invite", team, "--role", "writer")
    assert bob.text("team", "join", stdin=link) == f"you are writer of {team} once you have a second factor\n"
    assert "asks its members for a second factor" in bob.refused("team", "members", team)
    assert {one["name"]: one["waits"] for one in ada.json("team", "members", team)}[bob_name]


def test_only_a_team_is_renamed_as_one(people: tuple[Commands, str, Commands, str]) -> None:
    ada, name, _, _ = people
    assert "there is no team" in ada.refused("team", "rename", name, f"{name}-2")


def test_a_repository_is_shared(admin: Commands, reference: str, people: tuple[Commands, str, Commands, str]) -> None:
    _, _, bob, name = people
    assert "shared with nobody" in admin.text("share", "list", reference)
    assert "there is no repository" in bob.refused("share", "list", reference)
    assert admin.text("share", "give", reference, name, "maintainer") == f"{name} is maintainer of {reference}\n"
    assert "you may not share" in bob.refused("share", "list", reference)
    assert admin.text("share", "list", reference).splitlines()[1].split()[:3] == [name, "user", "maintainer"]
    assert "there is no user and no team" in admin.refused("share", "give", reference, "nobody-here", "reader")
    admin.text("share", "take", reference, name)
    assert "there is no repository" in bob.refused("share", "list", reference)
