"""`wasmhub targets files`: puts a fleet's filters where Envoys that cannot reach the hub read them."""

import argparse
import hashlib
import json
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any

from wasmhub.cli.client import Hub, Refused, Unreachable, check_token
from wasmhub.cli.command import CommandFailed, add_action, seconds
from wasmhub.cli.printing import plain, show

KEY = "WASMHUB_FLEET_KEY"
EVERY = 5.0  # seconds between two looks, unless another number is given
_SHA256 = re.compile(r"[0-9a-f]{64}")


def add_files(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the action."""
    files = add_action(
        actions,
        "files",
        "write a fleet's filters into a folder, for proxies that cannot reach the hub",
        "wasmhub targets files edge --into /srv/filters --seen-as /etc/envoy/filters\n"
        f"{KEY}=whf_... wasmhub targets files edge --into /etc/envoy/filters --watch",
        write_files,
    )
    files.add_argument("target", metavar="TARGET", help=f"its key in {KEY} is enough; without it, your token is used")
    files.add_argument("--into", metavar="DIR", type=Path, required=True, help="the folder, which is made if need be")
    files.add_argument("--seen-as", metavar="PATH", help="the folder as the proxies see it, if that is another path")
    files.add_argument("--by", metavar="NAME", help="who you are in the status of deployments (this machine's name)")
    files.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=EVERY,
        metavar="SECONDS",
        help=f"go on, and look again after so long ({EVERY:g})",
    )


def write_files(options: argparse.Namespace) -> int:
    """Once, or again and again; a hub that is away for a while ends no watch."""
    key = os.environ.get(KEY, "").strip()
    folder: Path = options.into.absolute()
    with Hub(check_token(key, KEY) if key else None) as hub:
        while True:
            try:
                _say(options, _write_all(options, hub, folder))
            except (Unreachable, Refused) as error:
                lasts = isinstance(error, Refused) and error.status < 500 and error.status != 429
                if options.watch is None or lasts:
                    raise
                print(f"wasmhub: {plain(error)}; the files stay as they are", file=sys.stderr, flush=True)
            except OSError as error:
                raise CommandFailed(f"{error.filename or folder} cannot be written: {error.strerror}") from None
            if options.watch is None:
                return 0
            time.sleep(max(options.watch, 0.1))


def _write_all(options: argparse.Namespace, hub: Hub, folder: Path) -> list[dict[str, Any]]:
    """Writes what differs: modules first, then the files that name them. Returns the files that changed."""
    query = {"folder": options.seen_as or str(folder), "by": options.by or socket.gethostname()}
    found = hub.ask("GET", "targets", options.target, "files", query=query)["files"]
    for number, one in enumerate(found, 1):
        if one["name"] != f"slot-{number}.json":
            raise CommandFailed(f"the hub names a file {plain(one['name'])}, which is none of a fleet")
    (folder / "modules").mkdir(parents=True, exist_ok=True)
    named = {one["module"]["sha256"]: one["module"]["path"] for one in found if one["module"]}
    for sha256, path in named.items():
        _write_module(hub, folder, sha256, path)
    changed = [one for one in found if _text(one) != _read(folder / one["name"])]
    for one in _in_order(changed, {one["name"]: _deployment(folder / one["name"]) for one in found}):
        _put(folder / one["name"], _text(one).encode())
    for module in (folder / "modules").glob("*.wasm"):
        if _SHA256.fullmatch(module.stem) and module.stem not in named:
            module.unlink(missing_ok=True)
    return changed


def _in_order(changed: list[dict[str, Any]], held: dict[str, str]) -> list[dict[str, Any]]:
    """The files in such an order that a filter that moves stands in its new place before it leaves the old one.

    `held` are the deployments that the files name now. Of those that wait for each other any goes first.
    """
    left, order = list(changed), []
    while left:
        coming = {_deployment_of(one["version"]) for one in left}
        free = [one for one in left if not held[one["name"]] or held[one["name"]] not in _others(coming, one)]
        order.append((free or left)[0])
        left.remove(order[-1])
    return order


def _others(coming: set[str], one: dict[str, Any]) -> set[str]:
    return coming - {_deployment_of(one["version"])}


def _write_module(hub: Hub, folder: Path, sha256: str, path: str) -> None:
    """Fetches a module that is not there yet, and believes its bytes alone."""
    if not _SHA256.fullmatch(sha256):
        raise CommandFailed(f"the hub names a module {plain(sha256)}, which is no sha256")
    there = folder / "modules" / f"{sha256}.wasm"
    if there.is_file() and hashlib.sha256(there.read_bytes()).hexdigest() == sha256:
        return
    module = hub.fetch(path)
    if hashlib.sha256(module).hexdigest() != sha256:
        raise CommandFailed(f"the module {sha256} came with other bytes; try again")
    _put(there, module)


def _put(path: Path, content: bytes) -> None:
    """Puts the content there by one rename, which is what Envoy waits for; it never sees half a file."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with half.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _text(one: dict[str, Any]) -> str:
    return json.dumps(one["document"], indent=1) + "\n"


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""


def _deployment(path: Path) -> str:
    """The deployment that a file names, empty if none."""
    try:
        return _deployment_of(str(json.loads(_read(path) or "{}")["version_info"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _deployment_of(version: str) -> str:
    """`d7` of `d7.r2.1a2b3c4d`; empty for a slot that lets everything pass."""
    first = version.partition(".")[0]
    return first if re.fullmatch(r"d[0-9]+", first) else ""


def _say(options: argparse.Namespace, changed: list[dict[str, Any]]) -> None:
    if not changed and options.watch is not None:
        return
    shown = [{name: one[name] for name in ("name", "deployment", "version")} for one in changed]
    lines = [f"{plain(one['name'])}: {plain(one['deployment'] or 'empty')}" for one in changed]
    show(options, {"changed": shown}, "\n".join(lines) or "nothing has changed")
