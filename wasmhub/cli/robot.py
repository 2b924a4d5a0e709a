"""`wasmhub robot`: what signs in for the machines of a team."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, run, whole_number
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.token import MOST_DAYS, add_scopes, with_scopes

COLUMNS = {
    "NAME": "login",
    "ROLE": "role",
    "ACTIVE": "active",
    "EXPIRES": "expires_at",
    "USED": "used_at",
    "SCOPES": "scopes",
    "DESCRIPTION": "description",
}
ROLES = ("reader", "writer", "maintainer")
MOST_HOURS = 30 * 24


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "robot",
        "The robots of a team: each has a role in it, and tokens for one machine. Owners of the team make them.",
        "wasmhub robot create shop ci --role writer --scope 'repository:shop/*:push'\nwasmhub robot list shop",
    )
    actions = new_actions(parser)
    listing = add_action(actions, "list", "list a team's robots", "wasmhub robot list shop", list_robots)
    create = add_action(
        actions,
        "create",
        "make a robot and print its token, once",
        "wasmhub robot create shop ci --role writer > token\n"
        "wasmhub robot create shop cluster --scope 'repository:shop/*:pull' --days 365",
        create_robot,
    )
    rotate = add_action(
        actions,
        "rotate",
        "give a robot a new token and print it, once; the others end a while later",
        "wasmhub robot rotate shop ci > token\nwasmhub robot rotate shop ci --overlap 0",
        rotate_robot,
    )
    delete = add_action(actions, "delete", "remove a robot at once", "wasmhub robot delete shop ci", delete_robot)
    for parser_of_action in (listing, create, rotate, delete):
        parser_of_action.add_argument("team", metavar="TEAM", help="the team that it belongs to")
    for parser_of_action in (create, rotate, delete):
        parser_of_action.add_argument("name", metavar="NAME", help="what it is called in the team")
    create.add_argument("--role", choices=ROLES, default="reader", help="in the team (reader)")
    create.add_argument("--description", metavar="TEXT", default="", help="what it is for")
    create.add_argument("--days", type=whole_number(1, MOST_DAYS), metavar="N", help="how long it is good (for ever)")
    add_scopes(create)
    create.add_argument("--no-token", action="store_true", help="let it in by trust rules alone (wasmhub trust)")
    rotate.add_argument(
        "--overlap",
        type=whole_number(0, MOST_HOURS),
        metavar="HOURS",
        default=24,
        help="how long its other tokens are good beside the new one (24)",
    )
    return run(parser, arguments)


def list_robots(options: argparse.Namespace) -> int:
    """All robots of a team."""
    with Hub() as hub:
        found = hub.pages("robots", "teams", options.team, "robots")
    empty = f"{options.team} has no robots; `wasmhub robot create {options.team} NAME` makes one"
    return show(options, found, table(with_scopes(found), COLUMNS, plain(empty)))


def create_robot(options: argparse.Namespace) -> int:
    """A new robot: its token alone on stdout, so that a shell can take it from there."""
    body: dict[str, Any] = {"name": options.name, "role": options.role, "description": options.description}
    if options.no_token:
        body["with_token"] = False
    if options.days:
        body["expires_in_days"] = options.days
    if options.scope:
        body["scopes"] = options.scope
    with Hub() as hub:
        made = hub.ask("POST", "teams", options.team, "robots", body=body)
    if options.no_token:
        return show(options, made, f"made {plain(made['login'])}, which has no token")
    return _show_token(options, made, "made")


def rotate_robot(options: argparse.Namespace) -> int:
    """A new token of a robot."""
    body = {"overlap_hours": options.overlap}
    with Hub() as hub:
        made = hub.ask("POST", "teams", options.team, "robots", options.name, "rotate", body=body)
    return _show_token(options, made, "rotated")


def delete_robot(options: argparse.Namespace) -> int:
    """A robot that was."""
    with Hub() as hub:
        hub.ask("DELETE", "teams", options.team, "robots", options.name)
    login = f"{options.team}+{options.name}"
    return show(options, {"deleted": login}, f"{plain(login)} signs in no more")


def _show_token(options: argparse.Namespace, made: dict[str, Any], what: str) -> int:
    if options.output == "text":
        print(f"{what} {plain(made['login'])}, its token is shown only now:", file=sys.stderr)
    return show(options, made, made["token"])
