"""`wasmhub quota` at a real hub."""

import secrets

from tests.cli.commands import Commands


def test_limits_are_set_shown_and_taken_away(admin: Commands) -> None:
    team = f"team-{secrets.token_hex(4)}"
    admin.text("team", "create", team)
    shown = admin.text("quota", "show", team).splitlines()
    assert [line.split(maxsplit=1) for line in shown] == [
        ["namespace", team],
        ["bytes", "0, without limit"],
        ["repositories", "0, without limit"],
        ["used", "without limit"],
    ]
    made = admin.json("quota", "set", team, "--bytes", "10GiB", "--repositories", "5")
    assert made["quota"] == {"bytes": 10 * 2**30, "repositories": 5} and made["percent"] == 0
    assert "0 of 5" in admin.text("quota", "show", team)
    assert admin.json("quota", "set", team)["own_quota"] == {"bytes": None, "repositories": None}
    assert "is no size such as 10GiB" in admin.run("quota", "set", team, "--bytes", "much").stderr
    assert "there is no namespace" in admin.refused("quota", "show", f"{team}-2")
    assert isinstance(admin.json("quota", "list"), list)
