"""`wasmhub targets secrets`: values that configs of a target's deployments name."""

import argparse
from pathlib import Path

from wasmhub.cli.client import Hub
from wasmhub.cli.command import CommandFailed, add_action, new_actions
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.secret import read_secret

LONGEST = 16 * 1024  # characters
COLUMNS = {"NAME": "name", "CHANGED": "changed_at", "USED BY": "used_by"}
USE = """wasmhub targets secrets set edge api-key < api-key.txt
echo '{"key": {"$secret": "api-key"}}' > auth.json
wasmhub deploy filters/auth:1.2.0 --target edge --config auth.json"""


def add_secrets(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `secrets` to the actions of `wasmhub targets`."""
    secrets = add_action(actions, "secrets", "list, set and remove the secrets that configs name", USE, None)
    inner = new_actions(secrets)
    listing = add_action(
        inner,
        "list",
        "list a target's secrets, without their values",
        "wasmhub targets secrets list edge",
        list_secrets,
    )
    setting = add_action(
        inner, "set", "give a secret a value: typed, or a line on stdin; what names it gets it at once", USE, set_secret
    )
    delete = add_action(
        inner,
        "delete",
        "remove a secret that no deployment's config names",
        "wasmhub targets secrets delete edge api-key",
        delete_secret,
    )
    for action in (listing, setting, delete):
        action.add_argument("target", metavar="TARGET")
    for action in (setting, delete):
        action.add_argument("secret", metavar="NAME")
    setting.add_argument("--file", type=Path, metavar="PATH", help="take the whole text of this file instead")


def list_secrets(options: argparse.Namespace) -> int:
    """A target's secrets."""
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target, "secrets")["secrets"]
    rows = [{**one, "used_by": ", ".join(one["used_by"]) or "-"} for one in found]
    empty = f"no secrets yet; `wasmhub targets secrets set {plain(options.target)} NAME` makes one"
    return show(options, found, table(rows, COLUMNS, empty))


def set_secret(options: argparse.Namespace) -> int:
    """A secret's new value."""
    value = (
        read_secret(f"value of {plain(options.secret)}", longest=LONGEST)
        if options.file is None
        else _read(options.file)
    )
    with Hub() as hub:
        made = hub.ask("PUT", "targets", options.target, "secrets", options.secret, body={"value": value})
    name = plain(made["name"])
    return show(options, made, f'{name} is set; a config names it as {{"$secret": "{name}"}}')


def delete_secret(options: argparse.Namespace) -> int:
    """A secret that was."""
    with Hub() as hub:
        hub.ask("DELETE", "targets", options.target, "secrets", options.secret)
    return show(options, {"deleted": options.secret}, f"{plain(options.secret)} of {plain(options.target)} is gone")


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        raise CommandFailed(f"{path} cannot be read: {why}") from None
