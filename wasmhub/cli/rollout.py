"""`wasmhub rollout`: revisions on their way to a fleet, wave by wave."""

import argparse
import sys
import time
from typing import Any

from wasmhub.cli.client import Hub, Unreachable
from wasmhub.cli.command import CommandFailed, add_action, new_actions, new_parser, or_list, run, seconds
from wasmhub.cli.printing import facts, plain, short, show, table

COLUMNS = {
    "ID": "id",
    "TARGET": "target",
    "DEPLOYMENT": "deployment",
    "REVISION": "to_revision",
    "STATE": "state",
    "WAVE": "waves",
    "BY": "created_by",
    "AT": "created_at",
}
LIMITS = {  # name -> what it says
    "errors": "points more of 5xx answers",
    "reloads": "times that its VM breaks",
    "latency": "percent longer at the 95th percentile",
    "requests": "requests from which on health is known",
}
EVERY = 1.0  # seconds between two looks
DONE, OPEN = "done", ("running", "paused", "halted")


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "rollout",
        "Rollouts bring a new revision to the proxies of a fleet in waves. Each wave is watched, and a revision that a"
        " proxy refuses, or with which proxies do worse, is taken back by the hub itself. `wasmhub deploy --waves`"
        " begins one.",
        "wasmhub rollout\nwasmhub rollout watch 7\nwasmhub rollout abort 7 --why 'the shop is open'",
    )
    actions = new_actions(parser)
    listing = add_action(
        actions, "list", "list rollouts, newest first", "wasmhub rollout list --target edge --open", list_rollouts
    )
    listing.add_argument("--target", metavar="TARGET", help="those of one target alone")
    listing.add_argument("--open", action="store_true", help="those under way alone")
    one = {
        "show": ("show one rollout with its timeline", show_rollout),
        "watch": ("print the timeline as it grows, until the rollout is over", watch),
        "pause": ("begin no further wave until it is resumed", turn("pause")),
        "resume": ("go on where it was paused", turn("resume")),
        "abort": ("have every proxy run the revision before again, or nothing where nothing was", turn("abort")),
    }
    for name, (what, act) in one.items():
        action = add_action(actions, name, what, f"wasmhub rollout {name} 7", act)
        action.add_argument("rollout", metavar="ID", help="its number; `wasmhub rollout` lists them")
        if name == "watch":
            action.add_argument("--wait", type=seconds, metavar="SECONDS", help="for how long (until it is over)")
        if name == "abort":
            action.add_argument("--why", metavar="TEXT", help="a sentence for the timeline and the audit log")
    return run(parser, or_list(arguments))


def list_rollouts(options: argparse.Namespace) -> int:
    """Rollouts, newest first."""
    query = {} if options.target is None else {"target": options.target}
    if options.open:
        query["open"] = "true"
    with Hub() as hub:
        found = hub.ask("GET", "rollouts", query=query)["rollouts"]
    rows = [{**one, "waves": _wave(one)} for one in found]
    empty = "no rollouts; `wasmhub deploy NAME:TAG --target TARGET --waves 20,50,100` begins one"
    return show(options, found, table(rows, COLUMNS, empty))


def show_rollout(options: argparse.Namespace) -> int:
    """One rollout."""
    with Hub() as hub:
        found = hub.ask("GET", "rollouts", options.rollout)
    head = {
        "rollout": found["id"],
        "deployment": f"{found['target']}/{found['deployment']}",
        "revision": f"{found['from_revision'] or 'nothing'} -> {found['to_revision']}",
        "state": found["state"],
        "wave": _wave(found),
        "each watched": f"{found['bake_seconds']:g} s",
        "now": found["message"] or None,
    }
    return show(options, found, "\n\n".join([facts(head), "\n".join(map(line_of, found["events"]))]))


def watch(options: argparse.Namespace) -> int:
    """A rollout until it is over. Raises CommandFailed if it was halted or aborted."""
    with Hub() as hub:
        return _watch(options, hub, options.rollout, options.wait)


def turn(verb: str) -> Any:
    """Pauses, resumes or aborts."""

    def act(options: argparse.Namespace) -> int:
        body = {"why": options.why} if verb == "abort" and options.why else {}
        with Hub() as hub:
            made = hub.ask("POST", "rollouts", options.rollout, verb, body=body)
        name = f"{plain(made['target'])}/{plain(made['deployment'])}"
        return show(options, made, f"rollout {made['id']} of {name} is {plain(made['state'])}")

    return act


def watch_rollout(options: argparse.Namespace, hub: Hub, made: dict[str, Any]) -> int:
    """Says what was deployed in waves, and how that goes on until it is over, or until `--wait` is."""
    revision = made["revision"]
    out = sys.stderr if options.output == "json" else sys.stdout
    name = f"{plain(made['target'])}/{plain(made['name'])}"
    what = f"revision {revision['number']} is {plain(revision['reference'])} ({short(revision['digest'])})"
    print(f"{name}: {what}, by rollout {made['rollout']}", file=out, flush=True)
    for warning in made.get("warnings", ()):
        print(f"warning: {plain(warning)}", file=sys.stderr)
    if options.no_wait:
        return show(options, made, f"`wasmhub rollout watch {made['rollout']}` tells how it goes on")
    return _watch(options, hub, str(made["rollout"]), options.wait)


def read_waves(text: str) -> list[int]:
    """A reader of arguments: shares, rising to 100."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} are no shares in percent; write them like 20,50,100")
    return [int(part) for part in parts]


def read_limit(text: str) -> tuple[str, float]:
    """A reader of arguments: NAME=NUMBER."""
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if name not in LIMITS or not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no limit; write one of {', '.join(LIMITS)} as NAME=NUMBER")
    return name, value


def line_of(event: dict[str, Any]) -> str:
    """A line of a timeline."""
    return f"{plain(event['at'])}  {plain(event['kind']):<11}  {plain(event['message'])}"


def _watch(options: argparse.Namespace, hub: Hub, number: str, wait: float | None) -> int:
    """Prints the timeline as it grows. Raises CommandFailed if the revision did not stay."""
    end = None if wait is None else time.monotonic() + wait
    out = sys.stderr if options.output == "json" else sys.stdout
    last = 0
    while True:
        try:
            found = hub.ask("GET", "rollouts", number)
        except Unreachable as error:
            if last == 0:
                raise
            print(f"wasmhub: {plain(error)}", file=sys.stderr)
            time.sleep(EVERY)
            continue
        for event in found["events"]:
            if event["id"] > last:
                print(line_of(event), file=out, flush=True)
                last = event["id"]
        if found["state"] not in OPEN or (end is not None and time.monotonic() >= end):
            break
        time.sleep(EVERY)
    if options.output == "json":
        show(options, found, "")
    if found["state"] == DONE:
        return 0
    name = f"{plain(found['target'])}/{plain(found['deployment'])}"
    if found["state"] in OPEN:
        raise CommandFailed(f"{name} is not done: {plain(found['message'])}; `wasmhub rollout watch {number}` goes on")
    now = "runs what it ran before" if found["from_revision"] else "runs nowhere, as before"
    raise CommandFailed(f"{name} {now}: {plain(found['message'])}")


def _wave(rollout: dict[str, Any]) -> str:
    """`2 of 3 (50%)`."""
    return f"{rollout['wave']} of {len(rollout['waves'])} ({rollout['share']}%)"
