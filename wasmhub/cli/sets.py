"""`wasmhub sets`: one filter on several targets, across meshes and clusters, wave by wave."""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from wasmhub.cli.client import Hub, Refused, Unreachable
from wasmhub.cli.command import CommandFailed, WrongUse, add_action, new_actions, new_parser, or_list, run, seconds
from wasmhub.cli.command import whole_number as whole
from wasmhub.cli.printing import facts, plain, short, show, table
from wasmhub.cli.rollout import line_of
from wasmhub.cli.yaml_files import read_documents

COLUMNS = {
    "SET": "full_name",
    "FILTER": "reference",
    "REVISION": "revision",
    "STATUS": "status",
    "WAVE": "in_wave",
    "MEMBERS": "count",
    "MESSAGE": "message",
}
MEMBERS = {
    "WAVE": "wave",
    "TARGET": "target",
    "DEPLOYMENT": "deployment",
    "REVISION": "revision",
    "STATUS": "status",
    "MESSAGE": "said",
}
EVERY = 1.0  # seconds between two looks
DONE, STOPPED = "done", "stopped"
EXAMPLES = """wasmhub sets apply -f limits.yaml
wasmhub sets apply -f limits.yaml --reference shop/rate-limit:1.4.0
wasmhub sets show shop/limits
wasmhub sets abort shop/limits --why 'the shop is open'"""


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "sets",
        "A deployment set has one filter run on several targets, whatever their kind, one wave after the other. A wave"
        " begins when the one before was ready for a while. Where one is refused, all that was changed is taken back.",
        EXAMPLES,
    )
    actions = new_actions(parser)
    add_action(actions, "list", "list the sets and how each stands", "wasmhub sets list", list_sets)
    applying = add_action(actions, "apply", "make a set, or change it, and follow it", EXAMPLES, apply)
    applying.add_argument("-f", "--file", required=True, metavar="FILE", help="the set as YAML; - is standard input")
    applying.add_argument("--reference", metavar="NAME:TAG", help="another version than the file names")
    applying.add_argument(
        "--force", action="store_true", help="whatever speaks against it, as far as that can be forced"
    )
    one = {
        "show": ("show one set: its members, its revisions, its timeline", show_set),
        "follow": ("print the timeline as it grows, until nothing is under way", follow),
        "pause": ("change nothing more until it is resumed", turn("pause")),
        "resume": ("go on where it was paused, or where it stopped", turn("resume")),
        "abort": ("have all that it changed be as it was before", turn("abort")),
        "rollback": ("bring an earlier revision out again, in the same waves", roll_back),
        "delete": ("undeploy all of it", delete),
    }
    for name, (what, act) in one.items():
        action = add_action(actions, name, what, f"wasmhub sets {name} shop/limits", act)
        action.add_argument("set", metavar="NAMESPACE/SET", type=_name, help="its name; `wasmhub sets` lists them")
        if name == "follow":
            action.add_argument("--wait", type=seconds, metavar="SECONDS", help="for how long (until it is over)")
        if name == "abort":
            action.add_argument("--why", metavar="TEXT", help="a sentence for the timeline and the audit log")
        if name == "rollback":
            action.add_argument("--to", type=whole(1, 2**31), metavar="N", help="the revision (the one before)")
        if name in ("rollback", "delete"):
            _add_waiting(action)
    _add_waiting(applying)
    return run(parser, or_list(arguments))


def list_sets(options: argparse.Namespace) -> int:
    """Sets by name."""
    with Hub() as hub:
        found = hub.pages("sets", "sets")
    rows = [
        {**one, "full_name": _full(one), "in_wave": f"{one['wave']} of {one['waves']}", "count": len(one["members"])}
        for one in found
    ]
    return show(options, found, table(rows, COLUMNS, "no sets; `wasmhub sets apply -f FILE` makes one"))


def apply(options: argparse.Namespace) -> int:
    """Makes a set or changes it. Raises CommandFailed if it does not go through."""
    (space, name), body = _read(options.file)
    if options.reference is not None:
        body["reference"] = options.reference
    if options.force:
        body["force"] = True
    with Hub() as hub:
        made = hub.ask("PUT", "sets", space, name, body=body)
        return _begun(options, hub, made)


def show_set(options: argparse.Namespace) -> int:
    """One set."""
    with Hub() as hub:
        found = hub.ask("GET", "sets", *options.set)
    head = {
        "set": _full(found),
        "filter": f"{plain(found['reference'])} ({short(found['runs'].partition('@')[2])})",
        "revision": f"{found['revision']} ({plain(found['state'])})",
        "wave": f"{found['wave']} of {found['waves']}",
        "each watched": f"{found['bake_seconds']:g} s",
        "status": found["status"],
        "now": found["message"],
    }
    members = [{**one, "said": _said(one)} for one in found["members"]]
    parts = [facts(head), table(members, MEMBERS, "it has no members"), "\n".join(map(line_of, found["events"]))]
    return show(options, found, "\n\n".join(parts))


def follow(options: argparse.Namespace) -> int:
    """A set until nothing of it is under way. Raises CommandFailed if it does not go through."""
    with Hub() as hub:
        found = hub.ask("GET", "sets", *options.set)
        return _follow(options, hub, found, options.wait)


def turn(verb: str) -> Any:
    """Pauses, resumes or aborts."""

    def act(options: argparse.Namespace) -> int:
        body = {"why": options.why} if verb == "abort" and options.why else {}
        with Hub() as hub:
            made = hub.ask("POST", "sets", *options.set, verb, body=body)
        return show(options, made, f"{_full(made)} is {plain(made['state'])}: {plain(made['message'])}")

    return act


def roll_back(options: argparse.Namespace) -> int:
    """Brings an earlier revision out again. Raises CommandFailed if it does not go through."""
    body = {"revision": options.to} if options.to is not None else {}
    with Hub() as hub:
        made = hub.ask("POST", "sets", *options.set, "rollback", body=body)
        return _begun(options, hub, made)


def delete(options: argparse.Namespace) -> int:
    """Undeploys all of a set. Raises CommandFailed if some of it is left when the time is over."""
    name = "/".join(options.set)
    end = None if options.wait is None else time.monotonic() + options.wait
    said = ""
    with Hub() as hub:
        left = hub.ask("DELETE", "sets", *options.set)
        while left is not None and not options.no_wait:
            if left["message"] != said:
                print(plain(left["message"]), file=_out(options), flush=True)
            said = left["message"]
            if end is not None and time.monotonic() >= end:
                raise CommandFailed(f"{name} is not gone yet: {plain(said)}; the hub goes on with it")
            time.sleep(EVERY)
            left = _look(hub, options.set, left)
    return show(options, left, f"{name} is {'gone' if left is None else 'being taken away'}")


def _begun(options: argparse.Namespace, hub: Hub, made: Mapping[str, Any]) -> int:
    what = f"revision {made['revision']} is {plain(made['reference'])} ({short(made['runs'].partition('@')[2])})"
    print(f"{_full(made)}: {what}", file=_out(options), flush=True)
    for one in made["members"]:
        if one["follows"] and one["wanted"]:
            ends = f"{one['target']}/{one['deployment']} follows {one['follows']} until the set changes it"
            print(f"warning: {plain(ends)}", file=sys.stderr)
    if options.no_wait:
        return show(options, made, f"`wasmhub sets follow {_full(made)}` tells how it goes on")
    return _follow(options, hub, made, options.wait)


def _follow(options: argparse.Namespace, hub: Hub, made: Mapping[str, Any], wait: float | None) -> int:
    """Prints the timeline of that revision as it grows. Raises CommandFailed if it did not stay."""
    end = None if wait is None else time.monotonic() + wait
    where, name, number = (made["namespace"], made["name"]), _full(made), made["revision"]
    last, found = 0, None
    while True:
        try:
            found = hub.ask("GET", "sets", *where)
        except Unreachable as error:
            print(f"wasmhub: {plain(error)}", file=sys.stderr)
        for event in found["events"] if found is not None else ():
            if event["id"] > last and event["revision"] == number:
                print(line_of(event), file=_out(options), flush=True)
                last = event["id"]
        if found is not None and (found["revision"] != number or found["ended_at"] is not None):
            break
        if end is not None and time.monotonic() >= end:
            break
        time.sleep(EVERY)
    if found is None:
        raise CommandFailed(f"the hub does not answer; `wasmhub sets follow {name}` tells how {name} goes on")
    return _ended(options, found, number)


def _ended(options: argparse.Namespace, found: Mapping[str, Any], number: int) -> int:
    """The exit code of what became of a revision. Raises CommandFailed if that is nothing good."""
    if options.output == "json":
        show(options, found, "")
    name, said = _full(found), plain(found["message"])
    if found["revision"] != number:
        raise CommandFailed(f"{name} was changed by somebody else: revision {found['revision']} is under way")
    if found["ended_at"] is None:
        raise CommandFailed(f"{name} is not done: {said}; `wasmhub sets follow {name}` goes on")
    if found["state"] == DONE:
        return 0
    if found["state"] == STOPPED:
        way = f"`wasmhub sets resume {name}` tries again, `wasmhub sets abort {name}` takes it back"
        raise CommandFailed(f"{name}: {said}; {way}")
    raise CommandFailed(f"{name}: {said}")


def _read(file: str) -> tuple[tuple[str, str], dict[str, Any]]:
    """The name of a set and its body, as a file has it. Raises WrongUse."""
    documents = read_documents(file)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise WrongUse(f"{file} must hold one set: an object with set, reference and members")
    body = dict(documents[0])
    try:
        name = _name(str(body.pop("set", "")))
        json.dumps(body, allow_nan=False)
    except argparse.ArgumentTypeError:
        raise WrongUse(f"{file} does not say which set it is; write `set: NAMESPACE/SET`") from None
    except (TypeError, ValueError):
        raise WrongUse(f"{file} holds what JSON cannot say, such as a date; write it in quotes") from None
    return name, body


def _look(hub: Hub, where: tuple[str, str], before: Any) -> Any:
    """The set, as before where the hub does not answer; None if it is gone. Raises CommandFailed."""
    try:
        return hub.ask("GET", "sets", *where)
    except Unreachable:
        return before
    except Refused as refusal:
        if refusal.status == 404:
            return None
        raise


def _name(text: str) -> tuple[str, str]:
    """A reader of arguments: NAMESPACE/SET."""
    space, _, name = text.partition("/")
    if not space or not name or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a set; write NAMESPACE/SET")
    return space, name


def _said(member: Mapping[str, Any]) -> str:
    said: str = member["waits_for"] or member["message"]
    return f"{said}; it follows {member['follows']} by itself" if member["follows"] else said


def _full(one: Mapping[str, Any]) -> str:
    return plain(f"{one['namespace']}/{one['name']}")


def _out(options: argparse.Namespace) -> Any:
    return sys.stderr if options.output == "json" else sys.stdout


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", type=seconds, metavar="SECONDS", help="for how long to wait (until it is over)")
    how.add_argument("--no-wait", action="store_true", help="return once the hub has taken it")
