"""`wasmhub quota`: what namespaces hold and may hold."""

import argparse
import re
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import facts, plain, show, table

COLUMNS = {"NAMESPACE": "namespace", "BYTES": "bytes", "REPOSITORIES": "repositories", "OF QUOTA": "share"}
UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser("quota", "What namespaces hold and may hold.", "wasmhub quota\nwasmhub quota show edge")
    actions = new_actions(parser)
    what = "list what namespaces hold, those that hold most first; for administrators and auditors"
    add_action(actions, "list", what, "wasmhub quota list", list_usage)
    what = "show what one namespace holds and may hold"
    shown = add_action(actions, "show", what, "wasmhub quota show edge", show_usage)
    shown.add_argument("namespace", metavar="NAMESPACE")
    what = "give a namespace limits of its own; what is not given is as the hub's settings say"
    example = "wasmhub quota set edge --bytes 10GiB --repositories 50\nwasmhub quota set edge"
    made = add_action(actions, "set", what, example, set_quota)
    made.add_argument("namespace", metavar="NAMESPACE")
    made.add_argument("--bytes", type=size, help="that it may hold, such as 10GiB; 0 is without limit")
    made.add_argument("--repositories", type=whole_number(0, 10**9), help="that it may have; 0 is without limit")
    return run(parser, or_list(arguments))


def list_usage(options: argparse.Namespace) -> int:
    """Namespaces, those that hold most first."""
    with Hub() as hub:
        found = hub.pages("usage", "usage")
    rows = [{**one, "share": _share(one)} for one in found]
    return show(options, found, table(rows, COLUMNS, "nothing was pushed yet"))


def show_usage(options: argparse.Namespace) -> int:
    """One namespace."""
    with Hub() as hub:
        found = hub.ask("GET", "namespaces", options.namespace, "usage")
    return show(options, found, _text(found))


def set_quota(options: argparse.Namespace) -> int:
    """Its own limits."""
    body = {"bytes": options.bytes, "repositories": options.repositories}
    with Hub() as hub:
        found = hub.ask("PUT", "namespaces", options.namespace, "quota", body=body)
    return show(options, found, _text(found))


def size(text: str) -> int:
    """A reader of arguments: a number of bytes, or with a unit."""
    match = re.fullmatch(r"([0-9]{1,15})(|B|KiB|MiB|GiB|TiB)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 10GiB, 512MiB or a number of bytes")
    return int(match[1]) * UNITS[match[2]]


def _text(found: dict[str, Any]) -> str:
    quota = found["quota"]
    return facts(
        {
            "namespace": found["namespace"],
            "bytes": _of(found["bytes"], quota["bytes"]),
            "repositories": _of(found["repositories"], quota["repositories"]),
            "used": _share(found),
        }
    )


def _of(count: int, limit: int | None) -> str:
    return f"{count}, without limit" if limit is None else f"{count} of {limit}"


def _share(found: dict[str, Any]) -> str:
    return "without limit" if found["percent"] is None else f"{plain(found['percent'])}%"
