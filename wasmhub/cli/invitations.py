"""`wasmhub user invite` and its like: links by which people make their own account."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, whole_number
from wasmhub.cli.printing import plain, show, table

ROLES = ("user", "auditor", "administrator")
MOST_DAYS = 30
COLUMNS = {"ID": "id", "ROLE": "role", "NOTE": "note", "BY": "created_by", "EXPIRES": "expires_at"}


def add_invitations(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds what is done with invitations to the actions of `wasmhub user`."""
    create = add_action(
        actions,
        "invite",
        "make a link by which one person signs up, and print it once",
        "wasmhub user invite --note Bob\nwasmhub user invite --role auditor --days 3",
        invite,
    )
    create.add_argument("--role", choices=ROLES, help="what they may do everywhere (user)")
    create.add_argument("--note", metavar="TEXT", help="whom it is meant for, as the list shows it")
    create.add_argument("--days", type=whole_number(1, MOST_DAYS), metavar="N", help="how long it is good (7)")

    add_action(
        actions,
        "invitations",
        "list the links that nobody has used, without their secrets",
        "wasmhub user invitations",
        list_invitations,
    )
    take_back = add_action(
        actions, "uninvite", "take a link back: nobody signs up by it", "wasmhub user uninvite 3", uninvite
    )
    take_back.add_argument("id", type=whole_number(1, 2**53), metavar="ID", help="its number in the list")


def invite(options: argparse.Namespace) -> int:
    """A new link: alone on stdout, so that a shell can take it from there; what people want to know on stderr."""
    given = {"role": options.role, "note": options.note, "expires_in_days": options.days}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    with Hub() as hub:
        made = hub.ask("POST", "invitations", body=body)
    if options.output == "text":
        print(
            f"invitation {made['id']} ({plain(made['role'])}), good once until {plain(made['expires_at'])}, shown only"
            " now:",
            file=sys.stderr,
        )
    return show(options, made, plain(made["link"]))


def list_invitations(options: argparse.Namespace) -> int:
    """The links to the hub itself; those of teams are the teams' own."""
    with Hub() as hub:
        found = hub.ask("GET", "invitations")["invitations"]
    empty = "there are no open invitations; `wasmhub user invite` makes one"
    return show(options, found, table(found, COLUMNS, empty))


def uninvite(options: argparse.Namespace) -> int:
    """A link that was."""
    with Hub() as hub:
        hub.ask("DELETE", "invitations", str(options.id))
    return show(options, {"deleted": options.id}, f"invitation {options.id} is good for nothing any more")
