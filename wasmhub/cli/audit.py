"""`wasmhub audit`: who did what, when and where from."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import plain, show, table

COLUMNS = {"AT": "at", "WHO": "actor", "FROM": "address", "WHAT": "action", "ABOUT": "subject", "RESULT": "result"}
FILTERS = {
    "actor": "who did it: a user or a robot",
    "action": "what was done, such as robot.create; robot. is all that begins so",
    "subject": "what it was about; a repository's name is all that was done in it",
    "address": "where it came from",
    "result": "done or refused",
    "since": "the first moment or day, such as 2026-11-21",
    "until": "the moment before which it ends, or the last day",
}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    examples = "wasmhub audit --team edge --action robot.\nwasmhub audit --result refused --since 2026-11-20"
    parser = new_parser("audit", "Who did what, when and where from: of the hub, or of one of your teams.", examples)
    actions = new_actions(parser)
    listed = add_action(actions, "list", "show rows of the log, newest first", examples, list_events)
    listed.add_argument("--limit", type=whole_number(1, 100_000), default=100, help="rows at most (100)")
    what = "write all rows that match to standard output, as JSON lines"
    example = "wasmhub audit export --since 2026-01-01 > audit.jsonl"
    exported = add_action(actions, "export", what, example, export_events)
    for action in (listed, exported):
        action.add_argument("--team", default="", help="of this team; else of the whole hub")
        for name, about in FILTERS.items():
            action.add_argument(f"--{name}", default="", help=about)
    return run(parser, or_list(arguments))


def list_events(options: argparse.Namespace) -> int:
    """Rows, newest first."""
    found: list[dict[str, Any]] = []
    after = ""
    with Hub() as hub:
        while len(found) < options.limit:
            asked = _asked(options) | {"limit": str(min(1000, options.limit - len(found)))}
            page = hub.ask("GET", *_path(options), query=asked | ({"after": after} if after else {}))
            found += page["events"]
            after = page["next"]
            if not after:
                break
    return show(options, found, table(found, COLUMNS, "nothing in the log matches"))


def export_events(options: argparse.Namespace) -> int:
    """All rows, one JSON object a line."""
    count = 0
    with Hub() as hub:
        for line in hub.lines(*_path(options), "export", query=_asked(options)):
            sys.stdout.write(f"{line}\n")
            count += 1
    sys.stdout.flush()
    print(f"{count} row{'' if count == 1 else 's'}", file=sys.stderr)
    return 0


def _asked(options: argparse.Namespace) -> dict[str, str]:
    return {name: plain(getattr(options, name)) for name in FILTERS if getattr(options, name)}


def _path(options: argparse.Namespace) -> tuple[str, ...]:
    return ("teams", options.team, "events") if options.team else ("events",)
