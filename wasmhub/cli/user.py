"""`wasmhub user`: the hub's users."""

import argparse
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.secret import read_secret

ROLES = ("user", "auditor", "administrator")
COLUMNS = {"NAME": "name", "ROLE": "role", "ACTIVE": "active", "CREATED": "created_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser("user", "The hub's users; for administrators.", "wasmhub user list\nwasmhub user create ada")
    actions = new_actions(parser)
    add_action(actions, "list", "list all users", "wasmhub user list --output json", list_users)

    create = add_action(
        actions,
        "create",
        "make a user, who owns the namespace of the same name",
        "wasmhub user create ada\nwasmhub user create ada --generate\n"
        "wasmhub user create ci --role auditor < password.txt",
        create_user,
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=ROLES, default="user", help="what they may do everywhere (user)")
    create.add_argument(
        "--generate", action="store_true", help="let the hub make a password and show it once; else it is asked for"
    )

    delete = add_action(
        actions,
        "delete",
        "end a user's tokens and sessions; the name stays taken",
        "wasmhub user delete ada",
        delete_user,
    )
    delete.add_argument("name", metavar="NAME")

    password = add_action(
        actions,
        "password",
        "set a user's password; your own asks for the current one first",
        "wasmhub user password ada\nwasmhub user password ada < new-password.txt",
        set_password,
    )
    password.add_argument("name", metavar="NAME")
    return run(parser, or_list(arguments))


def list_users(options: argparse.Namespace) -> int:
    """All users, by name."""
    with Hub() as hub:
        found = hub.pages("users", "users")
    return show(options, found, table(found, COLUMNS, "there are no users"))


def create_user(options: argparse.Namespace) -> int:
    """A new user, with the password that is typed or made up."""
    with Hub() as hub:
        body: dict[str, Any] = {"name": options.name, "role": options.role}
        if not options.generate:
            body["password"] = read_secret(f"password for {plain(options.name)}", twice=True)
        made = hub.ask("POST", "users", body=body)
    shown = f"made {plain(made['name'])} ({made['role']})"
    if "password" in made:
        shown += f"; the password, shown only now: {made['password']}"
    return show(options, made, shown)


def delete_user(options: argparse.Namespace) -> int:
    """A user who was."""
    with Hub() as hub:
        hub.ask("DELETE", "users", options.name)
    return show(options, {"deleted": options.name}, f"{plain(options.name)} can sign in no more")


def set_password(options: argparse.Namespace) -> int:
    """Another password."""
    with Hub() as hub:
        body = {}
        if hub.ask("GET", "user")["name"] == options.name:
            body["current"] = read_secret("current password")
        body["password"] = read_secret(f"new password for {plain(options.name)}", twice=True)
        hub.ask("PUT", "users", options.name, "password", body=body)
    return show(options, {"changed": options.name}, f"{plain(options.name)} has the new password")
