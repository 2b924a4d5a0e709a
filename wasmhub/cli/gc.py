"""`wasmhub gc`: has the hub collect garbage now, and follows it."""

import argparse
import sys
import time
from typing import Any

from wasmhub.cli.client import Hub, Unreachable
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.printing import plain, show

EVERY = 0.5  # seconds between two looks
PATIENCE = 60.0  # seconds without an answer, or without any hub that begins, after which it gives up
DID = {
    "teams": "deleted teams removed for good",
    "derived": "images removed that were made of others which are deleted",
    "uploads": "unfinished uploads ended",
    "links": "blobs taken out of repositories without a manifest for them",
    "blobs": "blobs deleted",
    "bytes": "bytes freed",
    "copies": "copies removed from the blob store",
    "orphans": "leftovers found in the blob store",
    "expired": "expired sign-ins forgotten",
    "events": "rows of the audit log that are older than WASMHUB_AUDIT_DAYS removed",
}


def main(arguments: list[str]) -> int:
    """Runs it."""
    parser = new_parser(
        "gc",
        "Removes what nothing refers to any more, beside pushes and pulls; for administrators. Bytes go a while after"
        " their blobs, see WASMHUB_GC_GRACE.",
        "wasmhub gc --dry-run\nwasmhub gc\nwasmhub gc --no-wait --output json",
        collect,
    )
    parser.add_argument("--dry-run", action="store_true", help="count what would be removed, and remove nothing")
    parser.add_argument("--no-wait", action="store_true", help="return once the hub knows of it")
    return run(parser, arguments)


def collect(options: argparse.Namespace) -> int:
    """A run that has ended, and what it did."""
    with Hub() as hub:
        asked = hub.ask("POST", "garbage-collections", body={"dry_run": options.dry_run})
        ended = asked if options.no_wait else _follow(options, hub, asked)
    if ended["state"] == "failed":
        if options.output == "json":
            show(options, ended, "")
        raise CommandFailed(f"garbage collection {ended['id']} failed: {plain(ended['reason'])}; the next one goes on")
    return show(options, ended, _text(ended))


def _follow(options: argparse.Namespace, hub: Hub, asked: dict[str, Any]) -> dict[str, Any]:
    seen, patience = "", time.monotonic() + PATIENCE
    while True:
        try:
            last: dict[str, Any] = hub.ask("GET", "garbage-collections", str(asked["id"]))
        except Unreachable:
            if time.monotonic() > patience:
                raise
            time.sleep(EVERY)
            continue
        if last["state"] in ("finished", "failed"):
            return last
        line = f"{last['state']}: {plain(last['phase'])}, {last['figures'].get('looked_at', 0)} looked at"
        if line != seen or last["state"] == "running":
            patience = time.monotonic() + PATIENCE
        elif time.monotonic() > patience:
            raise CommandFailed(
                f"no hub has begun garbage collection {asked['id']} within {PATIENCE:g} s; it stays asked for"
            )
        if line != seen and options.output == "text":
            print(line, file=sys.stderr, flush=True)
        seen = line
        time.sleep(EVERY)


def _text(run_: dict[str, Any]) -> str:
    """What was done, one line each."""
    if run_["state"] == "waiting":
        return f"asked for garbage collection {run_['id']}"
    figures = run_["figures"]
    title = "would be done" if run_["dry_run"] else "done"
    lines = [f"{figures[name]:>12}  {what}" for name, what in DID.items() if figures.get(name)]
    return "\n".join([f"garbage collection {run_['id']}: {title}", *(lines or ["nothing to remove"])])
