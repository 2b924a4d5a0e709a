"""`wasmhub share`: roles on one repository for people and teams who do not own it."""

import argparse

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, run
from wasmhub.cli.printing import plain, show, table

ROLES = ("reader", "writer", "maintainer")
COLUMNS = {"NAME": "name", "KIND": "kind", "ROLE": "role", "SINCE": "created_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    examples = "wasmhub share give edge/add-header ada reader\nwasmhub share list edge/add-header"
    parser = new_parser("share", "Roles on one repository for people and teams who do not own it.", examples)
    actions = new_actions(parser)
    what = "list whom a repository is shared with"
    listing = add_action(actions, "list", what, "wasmhub share list edge/add-header", list_grants)
    what = "give a user or a team a role on a repository"
    give = add_action(actions, "give", what, "wasmhub share give edge/add-header ada writer", give_grant)
    what = "take that role back"
    take = add_action(actions, "take", what, "wasmhub share take edge/add-header ada", take_grant)
    for action in (listing, give, take):
        action.add_argument("repository", metavar="REPOSITORY")
    for action in (give, take):
        action.add_argument("who", metavar="WHO", help="name of a user or a team")
    give.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    return run(parser, arguments)


def list_grants(options: argparse.Namespace) -> int:
    """Who has which role."""
    with Hub() as hub:
        found = hub.ask("GET", "repositories", options.repository, "grants")["grants"]
    return show(options, found, table(found, COLUMNS, "it is shared with nobody; those who own it have it"))


def give_grant(options: argparse.Namespace) -> int:
    """A role."""
    with Hub() as hub:
        body = {"role": options.role}
        found = hub.ask("PUT", "repositories", options.repository, "grants", options.who, body=body)
    return show(options, found, f"{plain(found['name'])} is {found['role']} of {plain(options.repository)}")


def take_grant(options: argparse.Namespace) -> int:
    """One role less."""
    with Hub() as hub:
        hub.ask("DELETE", "repositories", options.repository, "grants", options.who)
    said = f"{plain(options.repository)} is not shared with {plain(options.who)}"
    return show(options, {"taken_from": options.who}, said)
