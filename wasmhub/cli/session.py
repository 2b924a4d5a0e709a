"""`wasmhub session`: the browsers in which somebody is signed in."""

import argparse

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import plain, show, table

COLUMNS = {"ID": "id", "BROWSER": "browser", "FROM": "address", "OPENED": "created_at", "USED": "seen_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "session",
        "The browsers in which you are signed in. Administrators may look at those of others.",
        "wasmhub session list\nwasmhub session end 12",
    )
    actions = new_actions(parser)
    listing = add_action(actions, "list", "list them", "wasmhub session list --user ada", list_sessions)
    end = add_action(
        actions,
        "end",
        "sign one of them out, or all",
        "wasmhub session end 12\nwasmhub session end --all\nwasmhub session end --all --user ada",
        end_sessions,
    )
    end.add_argument("id", type=whole_number(1, 2**53), metavar="ID", nargs="?", help="its number in the list")
    end.add_argument("--all", action="store_true", help="sign all of them out")
    for action in (listing, end):
        action.add_argument("--user", metavar="NAME", help="whose; for administrators")
    return run(parser, or_list(arguments))


def list_sessions(options: argparse.Namespace) -> int:
    """The sessions, the one seen last first."""
    with Hub() as hub:
        found = hub.ask("GET", *_whose(options))["sessions"]
    return show(options, found, table(found, COLUMNS, "there is no open session"))


def end_sessions(options: argparse.Namespace) -> int:
    """Sessions that were."""
    if options.all == (options.id is not None):
        raise WrongUse("name the session by its number, or all of them by --all")
    with Hub() as hub:
        if options.all:
            ended = hub.ask("DELETE", *_whose(options))["ended"]
            return show(options, {"ended": ended}, f"signed out of {plain(ended)} browser{'' if ended == 1 else 's'}")
        hub.ask("DELETE", *_whose(options), str(options.id))
    return show(options, {"ended": 1}, f"session {options.id} is signed out")


def _whose(options: argparse.Namespace) -> list[str]:
    return ["user", "sessions"] if options.user is None else ["users", options.user, "sessions"]
