"""`wasmhub user`: the hub's users, and what you say of yourself."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run
from wasmhub.cli.invitations import ROLES, add_invitations
from wasmhub.cli.printing import facts, plain, show, table
from wasmhub.cli.secret import read_secret

COLUMNS = {"NAME": "name", "ROLE": "role", "ACTIVE": "active", "CREATED": "created_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "user",
        "The hub's users. `password`, `profile` and `second-factor` are for everybody, all else is for administrators.",
        "wasmhub user list\nwasmhub user invite --note Bob\nwasmhub user create ada",
    )
    actions = new_actions(parser)
    add_action(actions, "list", "list all users", "wasmhub user list --output json", list_users)
    add_invitations(actions)
    _add_create(actions)
    _add_passwords(actions)
    _add_ends(actions)

    profile = add_action(
        actions,
        "profile",
        "show or change what you say of yourself; an empty text takes it away",
        'wasmhub user profile\nwasmhub user profile --full-name "Ada Lovelace" --email ada@example.com',
        change_profile,
    )
    profile.add_argument("--full-name", metavar="TEXT", help="what members of your teams see beside your name")
    profile.add_argument("--email", metavar="ADDRESS", help="what administrators see; the hub sends no mail")
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


def deactivate_user(options: argparse.Namespace) -> int:
    """A user who may not sign in."""
    with Hub() as hub:
        user = hub.ask("PATCH", "users", options.name, body={"active": False})
    return show(options, user, f"{plain(options.name)} can sign in no more")


def activate_user(options: argparse.Namespace) -> int:
    """A user who may again."""
    with Hub() as hub:
        user = hub.ask("PATCH", "users", options.name, body={"active": True})
    return show(options, user, f"{plain(options.name)} can sign in again, with the password that they had")


def delete_user(options: argparse.Namespace) -> int:
    """A user who was."""
    with Hub() as hub:
        query = None if options.heir is None else {"heir": options.heir}
        hub.ask("DELETE", "users", options.name, query=query)
    shown = f"{plain(options.name)} is removed"
    if options.heir is not None:
        shown += f"; what they owned belongs to {plain(options.heir)} now"
    return show(options, {"deleted": options.name, "heir": options.heir}, shown)


def set_password(options: argparse.Namespace) -> int:
    """Another password."""
    with Hub() as hub:
        body = {}
        if hub.ask("GET", "user")["name"] == options.name:
            body["current"] = read_secret("current password")
        body["password"] = read_secret(f"new password for {plain(options.name)}", twice=True)
        hub.ask("PUT", "users", options.name, "password", body=body)
    return show(options, {"changed": options.name}, f"{plain(options.name)} has the new password")


def reset_password(options: argparse.Namespace) -> int:
    """A link by which somebody sets a new password: alone on stdout, what people want to know on stderr."""
    with Hub() as hub:
        made = hub.ask("POST", "users", options.name, "password-reset")
    if options.output == "text":
        print(
            f"a new password for {plain(options.name)}, by a link that is good once until {plain(made['expires_at'])},"
            " shown only now:",
            file=sys.stderr,
        )
    return show(options, made, plain(made["link"]))


def remove_second_factor(options: argparse.Namespace) -> int:
    """A user whom the password alone lets in again."""
    with Hub() as hub:
        hub.ask("DELETE", "users", options.name, "second-factor")
    return show(options, {"removed": options.name}, f"{plain(options.name)} signs in with the password alone again")


def show_second_factor(options: argparse.Namespace) -> int:
    """What one signs in with beside the password."""
    with Hub() as hub:
        has = hub.ask("GET", "user", "second-factor")
    since = None if has["totp"] is None else f"since {has['totp']['created_at']}"
    left = has["recovery_codes"] if has["enabled"] else None
    said = {"second factor": "on" if has["enabled"] else "off", "authenticator app": since}
    said |= {"passkeys": ", ".join(one["name"] for one in has["passkeys"]) or None, "recovery codes left": left}
    return show(options, has, facts(said))


def change_profile(options: argparse.Namespace) -> int:
    """What one says of oneself."""
    given = {"full_name": options.full_name, "email": options.email}
    body = {name: value for name, value in given.items() if value is not None}
    with Hub() as hub:
        me = hub.ask("PATCH", "user", body=body) if body else hub.ask("GET", "user")
    said = {"full name": me["full_name"] or None, "e-mail": me["email"] or None}
    return show(options, me, facts({"name": me["name"], "role": me["role"], **said}))


def _add_create(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _add_passwords(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    password = add_action(
        actions,
        "password",
        "set a user's password; your own asks for the current one first",
        "wasmhub user password ada\nwasmhub user password ada < new-password.txt",
        set_password,
    )
    reset = add_action(
        actions,
        "reset-password",
        "make a link by which a user sets a new password, and print it once",
        "wasmhub user reset-password ada",
        reset_password,
    )
    lost = add_action(
        actions,
        "remove-second-factor",
        "let a user who lost it sign in with the password alone again",
        "wasmhub user remove-second-factor ada",
        remove_second_factor,
    )
    for action in (password, reset, lost):
        action.add_argument("name", metavar="NAME")
    add_action(
        actions,
        "second-factor",
        "show what you sign in with beside the password; it is set up on the hub's page",
        "wasmhub user second-factor",
        show_second_factor,
    )


def _add_ends(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    deactivate = add_action(
        actions,
        "deactivate",
        "end a user's tokens and sessions; what they own stays",
        "wasmhub user deactivate ada",
        deactivate_user,
    )
    activate = add_action(
        actions, "activate", "let a deactivated user sign in again", "wasmhub user activate ada", activate_user
    )
    delete = add_action(
        actions,
        "delete",
        "remove a user for good; what they own goes to an heir",
        "wasmhub user delete ada\nwasmhub user delete ada --heir platform",
        delete_user,
    )
    for action in (deactivate, activate, delete):
        action.add_argument("name", metavar="NAME")
    delete.add_argument("--heir", metavar="NAME", help="the user or team who gets what they own; needed if it is any")
