"""`wasmhub team`: teams, their members, and links by which people join."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.secret import read_secret

ROLES = ("reader", "writer", "maintainer", "owner")
VISIBILITIES = ("private", "internal", "public")
TEAMS = {"NAME": "name", "YOUR ROLE": "role", "NEW ONES ARE": "default_visibility", "DELETED": "deleted_at"}
MEMBERS = {"NAME": "name", "ROLE": "role", "ACTIVE": "active", "BY": "provider", "WAITS": "waits"}
LINKS = {"ID": "id", "ROLE": "role", "FOR": "note", "BY": "created_by", "UNTIL": "expires_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    examples = "wasmhub team create edge\nwasmhub team set edge ada writer\nwasmhub team invite edge --role reader"
    parser = new_parser("team", "Teams: who is in them, and how people join.", examples)
    actions = new_actions(parser)
    _add_team_actions(actions)
    _add_member_actions(actions)
    return run(parser, or_list(arguments))


def _add_team_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add_action(actions, "list", "list your teams", "wasmhub team list --output json", list_teams)
    what = "make a team, which owns the namespace of the same name; you own the team"
    create = add_action(actions, "create", what, "wasmhub team create edge --visibility internal", create_team)
    create.add_argument("team", metavar="TEAM")
    create.add_argument("--description", default="", help="what it is for")
    create.add_argument(
        "--visibility", choices=VISIBILITIES, default="private", help="of repositories that pushes make (private)"
    )
    what = "give a team another name; the old one goes on answering"
    rename = add_action(actions, "rename", what, "wasmhub team rename edge gateway", rename_team)
    rename.add_argument("team", metavar="TEAM")
    rename.add_argument("name", metavar="NAME")
    what = "let an old name of a team go, so that anybody may take it"
    forget = add_action(actions, "forget-name", what, "wasmhub team forget-name gateway edge", forget_name)
    forget.add_argument("team", metavar="TEAM")
    forget.add_argument("name", metavar="OLD-NAME")
    what = "ask every member of a team for a second factor; who has none holds nothing there until they have one"
    require = add_action(
        actions, "require-second-factor", what, "wasmhub team require-second-factor edge", require_second_factor
    )
    require.add_argument("team", metavar="TEAM")
    require.add_argument("--off", action="store_true", help="ask for none any more")
    what = "hide a team and all that it owns; after seven days it is removed"
    _one(actions, "delete", what, "wasmhub team delete edge", delete_team)
    _one(actions, "restore", "give a deleted team back", "wasmhub team restore edge", restore_team)


def _add_member_actions(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _one(actions, "members", "list who is in a team", "wasmhub team members edge", list_members)
    what = "give a user a role in a team"
    member = add_action(actions, "set", what, "wasmhub team set edge ada maintainer", set_member)
    member.add_argument("team", metavar="TEAM")
    member.add_argument("user", metavar="USER")
    member.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    what = "take a user out of a team; everybody may leave"
    remove = add_action(actions, "remove", what, "wasmhub team remove edge ada", remove_member)
    remove.add_argument("team", metavar="TEAM")
    remove.add_argument("user", metavar="USER")
    what = "make a link by which one person joins a team"
    invite = add_action(actions, "invite", what, "wasmhub team invite edge --role writer --note bob", invite_person)
    invite.add_argument("team", metavar="TEAM")
    invite.add_argument("--role", choices=ROLES, default="reader", help="what they may do (reader)")
    invite.add_argument("--note", default="", help="whom it is meant for")
    invite.add_argument("--days", type=whole_number(1, 30), default=7, help="how long it is good (7)")
    what = "list the open links into a team"
    _one(actions, "invitations", what, "wasmhub team invitations edge", list_invitations)
    what = "take a link back"
    cancel = add_action(actions, "uninvite", what, "wasmhub team uninvite edge 3", take_back_invitation)
    cancel.add_argument("team", metavar="TEAM")
    cancel.add_argument("id", metavar="ID", type=whole_number(1, 2**63 - 1))
    what = "join the team that an invitation leads to; it is asked for"
    add_action(actions, "join", what, "wasmhub team join < invitation.txt", join_team)


def list_teams(options: argparse.Namespace) -> int:
    """Teams by name."""
    with Hub() as hub:
        found = hub.pages("teams", "teams")
    return show(options, found, table(found, TEAMS, "you are in no team; make one: wasmhub team create NAME"))


def create_team(options: argparse.Namespace) -> int:
    """A new team."""
    body = {"name": options.team, "description": options.description, "default_visibility": options.visibility}
    with Hub() as hub:
        made = hub.ask("POST", "teams", body=body)
    return show(options, made, f"made {plain(made['name'])}, which you own")


def rename_team(options: argparse.Namespace) -> int:
    """Another name."""
    with Hub() as hub:
        hub.ask("GET", "teams", options.team)  # it is a team's name, not somebody's
        found = hub.ask("PATCH", "namespaces", options.team, body={"name": options.name})
    said = f"{plain(options.team)} is {plain(found['name'])} now; the old name goes on answering"
    return show(options, found, said)


def forget_name(options: argparse.Namespace) -> int:
    """An old name that anybody may take."""
    with Hub() as hub:
        hub.ask("GET", "teams", options.team)
        hub.ask("DELETE", "namespaces", options.team, "old-names", options.name)
    return show(options, {"forgotten": options.name}, f"{plain(options.name)} answers no more")


def require_second_factor(options: argparse.Namespace) -> int:
    """What is asked of members."""
    with Hub() as hub:
        found = hub.ask("PATCH", "teams", options.team, body={"second_factor_required": not options.off})
    asks = "asks its members for a second factor" if found["second_factor_required"] else "asks for no second factor"
    return show(options, found, f"{plain(found['name'])} {asks}")


def delete_team(options: argparse.Namespace) -> int:
    """A team that nobody finds."""
    with Hub() as hub:
        hub.ask("DELETE", "teams", options.team)
    said = f"nobody finds {plain(options.team)} any more; for seven days `wasmhub team restore` gives it back"
    return show(options, {"deleted": options.team}, said)


def restore_team(options: argparse.Namespace) -> int:
    """A team that is back."""
    with Hub() as hub:
        found = hub.ask("POST", "teams", options.team, "restore")
    return show(options, found, f"{plain(found['name'])} is back")


def list_members(options: argparse.Namespace) -> int:
    """Members, in the order in which they came to the hub."""
    with Hub() as hub:
        found = hub.pages("members", "teams", options.team, "members")
    return show(options, found, table(found, MEMBERS, "nobody is in it"))


def set_member(options: argparse.Namespace) -> int:
    """A role."""
    with Hub() as hub:
        found = hub.ask("PUT", "teams", options.team, "members", options.user, body={"role": options.role})
    return show(options, found, f"{plain(found['name'])} is {found['role']} of {plain(options.team)}")


def remove_member(options: argparse.Namespace) -> int:
    """One member less."""
    with Hub() as hub:
        hub.ask("DELETE", "teams", options.team, "members", options.user)
    return show(options, {"removed": options.user}, f"{plain(options.user)} is not in {plain(options.team)}")


def invite_person(options: argparse.Namespace) -> int:
    """A link, which is alone on stdout."""
    body: dict[str, Any] = {"role": options.role, "note": options.note, "expires_in_days": options.days}
    with Hub() as hub:
        made = hub.ask("POST", "teams", options.team, "invitations", body=body)
    if options.output == "text":
        said = f"invitation {made['id']} into {plain(options.team)} as {made['role']}, good until {made['expires_at']}"
        print(f"{said}, shown only now:", file=sys.stderr)
    return show(options, made, plain(made["link"]))


def list_invitations(options: argparse.Namespace) -> int:
    """Open links."""
    with Hub() as hub:
        found = hub.ask("GET", "teams", options.team, "invitations")["invitations"]
    return show(options, found, table(found, LINKS, "there are no open invitations"))


def take_back_invitation(options: argparse.Namespace) -> int:
    """A link that is good for nothing."""
    with Hub() as hub:
        hub.ask("DELETE", "teams", options.team, "invitations", str(options.id))
    return show(options, {"deleted": options.id}, f"invitation {options.id} is good no more")


def join_team(options: argparse.Namespace) -> int:
    """A team that one is in."""
    with Hub() as hub:
        given = read_secret("invitation").rstrip("/").rpartition("/")[2]
        found = hub.ask("POST", "invitations", "accept", body={"secret": given})
    said = f"you are {found['role'] or found['waits_for']} of {plain(found['name'])}"
    said += " once you have a second factor" if found["waits_for"] else ""
    return show(options, found, said)


def _one(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, example: str, act: Any
) -> None:
    add_action(actions, name, what, example, act).add_argument("team", metavar="TEAM")
