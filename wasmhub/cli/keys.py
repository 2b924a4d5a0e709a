"""`wasmhub targets keys`: the keys with which a fleet's proxies ask the hub."""

import argparse
import json
import os
from pathlib import Path

from wasmhub.cli.client import Hub
from wasmhub.cli.command import CommandFailed, add_action, new_actions, whole_number
from wasmhub.cli.printing import plain, show, table

COLUMNS = {"ID": "id", "HINT": "hint", "CREATED": "created_at"}
ROTATION = """wasmhub targets keys create edge --file new.json && mv new.json /etc/envoy/fleet-key.json
wasmhub targets keys delete edge 1"""


def add_keys(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `keys` to the actions of `wasmhub targets`."""
    keys = add_action(actions, "keys", "list, make and remove the keys of a target's proxies", ROTATION, None)
    inner = new_actions(keys)
    listing = add_action(
        inner,
        "list",
        "list a target's keys, at most two, without their secrets",
        "wasmhub targets keys list edge",
        list_keys,
    )
    create = add_action(
        inner,
        "create",
        "make a key beside the one in use, and print it once",
        f"export WASMHUB_FLEET_KEY=$(wasmhub targets keys create edge)\n{ROTATION}",
        create_key,
    )
    delete = add_action(
        inner, "delete", "end a key: no proxy gets anything with it", "wasmhub targets keys delete edge 1", delete_key
    )
    for action in (listing, create, delete):
        action.add_argument("target", metavar="TARGET")
    create.add_argument(
        "--file",
        type=Path,
        metavar="PATH",
        help="write it there, for its owner alone, and do not print it; a name ending in .json makes it the document"
        " that an Envoy follows",
    )
    delete.add_argument("id", type=whole_number(1, 2**53), metavar="ID", help="its number in the list")


def list_keys(options: argparse.Namespace) -> int:
    """A target's keys."""
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target, "keys")["keys"]
    empty = f"no keys yet; `wasmhub targets keys create {plain(options.target)}` makes one"
    return show(options, found, table(found, COLUMNS, empty))


def create_key(options: argparse.Namespace) -> int:
    """A new key: alone on stdout, or in a file."""
    with Hub() as hub:
        made = hub.ask("POST", "targets", options.target, "keys")
        if options.file is None:
            return show(options, made, made["key"])
        content = json.dumps(made["document"]) if options.file.suffix == ".json" else made["key"]
        try:
            _write(options.file, content)
        except OSError as error:
            hub.ask("DELETE", "targets", options.target, "keys", str(made["id"]))
            raise CommandFailed(f"{options.file} cannot be written: {error.strerror}; no key was made") from None
    shown = {name: value for name, value in made.items() if name not in ("key", "document")}
    return show(options, {**shown, "file": str(options.file)}, f"key {made['id']} lies in {options.file}")


def delete_key(options: argparse.Namespace) -> int:
    """A key that was."""
    with Hub() as hub:
        hub.ask("DELETE", "targets", options.target, "keys", str(options.id))
    return show(options, {"deleted": options.id}, f"key {options.id} of {plain(options.target)} is good no more")


def _write(path: Path, content: str) -> None:
    """Puts the content there in one step: an Envoy that follows the file never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(handle, "w") as out:
            out.write(content)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise
