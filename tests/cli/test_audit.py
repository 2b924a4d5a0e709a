"""`wasmhub audit` at a real hub."""

import json
import secrets

from tests.cli.commands import Commands


def test_the_log_is_searched_and_written_out(admin: Commands) -> None:
    team = f"team-{secrets.token_hex(4)}"
    admin.text("team", "create", team)
    admin.text("team", "invite", team, "--note", "bob")
    shown = admin.text("audit", "list", "--team", team)
    assert shown.splitlines()[0].split() == ["AT", "WHO", "FROM", "WHAT", "ABOUT", "RESULT"]
    assert [line.split()[3] for line in shown.splitlines()[1:]] == [
        "invitation.create",
        "team.create",
        "namespace.create",
    ]
    found = admin.json("audit", "--team", team, "--action", "team.", "--limit", "1")
    assert [(one["action"], one["subject"], one["actor"]) for one in found] == [("team.create", team, "admin")]
    assert "nothing in the log" in admin.text("audit", "list", "--team", team, "--result", "refused")
    assert "must be a time" in admin.refused("audit", "list", "--since", "yesterday")
    assert "there is no team" in admin.refused("audit", "export", "--team", f"{team}-2")

    written = admin.run("audit", "export", "--subject", team)
    assert written.returncode == 0 and written.stderr == "3 rows\n"
    assert [json.loads(line)["action"] for line in written.stdout.splitlines()] == [
        "invitation.create",
        "team.create",
        "namespace.create",
    ]
