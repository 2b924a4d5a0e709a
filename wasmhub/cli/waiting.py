"""Watches a deployment until its proxies run it or refuse it, one line whenever something changes."""

import argparse
import sys
import time
from typing import Any

from wasmhub.cli.client import Hub, Refused, Unreachable
from wasmhub.cli.command import CommandFailed, seconds
from wasmhub.cli.printing import plain, short, show

USUAL_SECONDS = 60.0
EVERY = 0.4  # seconds between two looks
READY, WAITING, STALLED, UNOBSERVED = "ready", "waiting", "stalled", "applied-not-observed"
FETCHED = "fetched"  # of a node that is no proxy


def add_waiting(
    parser: argparse.ArgumentParser,
    until: str = "until proxies run it (60; without this, not at all where no proxy asks)",
    at_once: str = "return once the hub has taken it",
) -> None:
    """Adds `--wait SECONDS` and `--no-wait`."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--wait", type=seconds, metavar="SECONDS", help=f"how long to wait {until}")
    how.add_argument("--no-wait", action="store_true", help=at_once)


def follow(options: argparse.Namespace, hub: Hub, made: dict[str, Any]) -> int:
    """Says what was made and how it goes on; the exit code. Raises CommandFailed if it does not get ready."""
    revision = made["revision"]
    _say(
        options,
        f"{_name(made)}: revision {revision['number']} is {plain(revision['reference'])} ({short(revision['digest'])})",
    )
    for warning in made.get("warnings", ()):
        print(f"warning: {plain(warning)}", file=sys.stderr)
    last = _look(hub, made) if options.no_wait else _watch(options, hub, made)
    if options.output == "json":
        show(options, last, "")
    if last["status"] == STALLED:
        raise CommandFailed(f"{_name(made)} stalled: {plain(last['message'])}{_way_out(last)}")
    if options.no_wait or _settled(options, last):
        return 0
    raise CommandFailed(
        f"{_name(made)} is not ready after {_seconds(options):g} s: {plain(last['message'])};"
        f" `wasmhub deployments show {plain(made['name'])} --target {plain(made['target'])}` tells how it goes on"
    )


def await_end(options: argparse.Namespace, hub: Hub) -> bool:
    """Waits until a deployment that was undeployed has no object left; whether there was anything to wait for.

    Raises CommandFailed if some are still there when the time is over.
    """
    end = time.monotonic() + _seconds(options)
    waited, seen, last = False, "", "the hub does not answer"
    while True:
        try:
            last = str(hub.ask("GET", "targets", options.target, "deployments", options.deployment)["message"])
        except Refused as refusal:
            if refusal.status == 404:
                return waited
            raise
        except Unreachable:
            pass
        waited = True
        if last != seen:
            _say(options, plain(last))
        seen = last
        if time.monotonic() >= end:
            name = plain(f"{options.target}/{options.deployment}")
            raise CommandFailed(
                f"{name} is undeployed, and not all of it is gone after {_seconds(options):g} s: {plain(last)}; the hub"
                " goes on with it"
            )
        time.sleep(min(EVERY, max(0.0, end - time.monotonic())))


def _watch(options: argparse.Namespace, hub: Hub, made: dict[str, Any]) -> dict[str, Any]:
    """The deployment as it stands when there is nothing more to wait for, or no time."""
    end = time.monotonic() + _seconds(options)
    seen, last = "", _look(hub, made)
    while True:
        line = f"{last['status']}: {plain(last['message'])}"
        if line != seen and last["status"] != STALLED:  # that is the error with which the command ends
            _say(options, line)
        seen = line
        if _settled(options, last) or time.monotonic() >= end:
            return last
        time.sleep(min(EVERY, max(0.0, end - time.monotonic())))
        last = _look(hub, last)
        if last["revision"]["number"] != made["revision"]["number"]:
            by = plain(last["revision"]["created_by"])
            raise CommandFailed(f"{_name(made)}: revision {last['revision']['number']} by {by} has replaced this one")


def _settled(options: argparse.Namespace, last: dict[str, Any]) -> bool:
    """Whether waiting longer changes nothing. A proxy that nobody started yet is waited for on request alone.

    On a mesh, whose deployments have no slot, and where proxies read files what cannot be observed stays so; another
    Envoy of a fleet may still tell.
    """
    if last["status"] == UNOBSERVED:
        return last["slot"] is None or any(node["state"] == FETCHED for node in last["nodes"])
    return last["status"] in (READY, STALLED) or (options.wait is None and last["status"] == WAITING)


def _look(hub: Hub, last: dict[str, Any]) -> dict[str, Any]:
    """The deployment now; as it was, while the hub is away for a moment."""
    try:
        found: dict[str, Any] = hub.ask("GET", "targets", last["target"], "deployments", last["name"])
    except Unreachable as error:
        return {**last, "status": "unknown", "message": str(error)}
    return found


def _say(options: argparse.Namespace, line: str) -> None:
    """Progress; beside the output where that is for programs."""
    print(line, file=sys.stderr if options.output == "json" else sys.stdout, flush=True)


def _seconds(options: argparse.Namespace) -> float:
    return USUAL_SECONDS if options.wait is None else float(options.wait)


def _name(deployment: dict[str, Any]) -> str:
    return plain(f"{deployment['target']}/{deployment['name']}")


def _way_out(deployment: dict[str, Any]) -> str:
    what = f"{plain(deployment['name'])} --target {plain(deployment['target'])}"
    if deployment["revision"]["number"] > 1:
        return f"; `wasmhub deployments rollback {what}` goes back"
    return f"; `wasmhub undeploy {what}` takes it off"
