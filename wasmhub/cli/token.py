"""`wasmhub token`: one's own personal access tokens."""

import argparse
import sys
from typing import Any

from wasmhub.cli.client import NOBODY, Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.secret import read_secret

COLUMNS = {
    "ID": "id",
    "NAME": "name",
    "HINT": "hint",
    "CREATED": "created_at",
    "EXPIRES": "expires_at",
    "USED": "used_at",
    "SCOPES": "scopes",
}
MOST_DAYS = 3650
SUBJECT = "urn:ietf:params:oauth:token-type:jwt"
LONGEST_SUBJECT = 16384


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "token",
        "Your personal access tokens. One stands for you in commands, in the JSON API and in `docker login`.",
        "wasmhub token create laptop --user ada\nwasmhub token list",
    )
    actions = new_actions(parser)
    listing = add_action(actions, "list", "list your tokens, without their secrets", "wasmhub token list", list_tokens)

    create = add_action(
        actions,
        "create",
        "make a token and print it, once",
        "export WASMHUB_TOKEN=$(wasmhub token create laptop --user ada)\nwasmhub token create ci --days 30"
        "\nwasmhub token create ci --scope 'repository:shop/*:pull,push' --scope target:edge:deploy",
        create_token,
    )
    create.add_argument("name", metavar="NAME", help="what you will know it by")
    life = create.add_mutually_exclusive_group()
    life.add_argument("--days", type=whole_number(1, MOST_DAYS), metavar="N", help="how long it is good (365)")
    life.add_argument("--no-expiry", action="store_true", help="it is good until it is deleted")
    add_scopes(create)

    delete = add_action(actions, "delete", "end a token at once", "wasmhub token delete 3", delete_token)
    delete.add_argument("id", type=whole_number(1, 2**53), metavar="ID", help="its number in the list")
    exchange = add_action(
        actions,
        "exchange",
        "exchange a CI job's or service account's token for a robot's, and print that",
        "WASMHUB_TOKEN=$(wasmhub token exchange shop+ci < /var/run/secrets/tokens/hub)",
        exchange_token,
    )
    exchange.add_argument("robot", metavar="ROBOT", help="whose: its team and its name there, such as shop+ci")
    for parser_of_action in (listing, create, delete):
        parser_of_action.add_argument(
            "--user", metavar="NAME", help="sign in as NAME with a password, which is asked for; not WASMHUB_TOKEN"
        )
    return run(parser, or_list(arguments))


def add_scopes(parser: argparse.ArgumentParser) -> None:
    """Adds `--scope`."""
    parser.add_argument(
        "--scope",
        action="append",
        metavar="KIND:NAME:ACTIONS",
        help="narrows it: repository:shop/*:pull,push or target:edge:deploy; may be given several times",
    )


def with_scopes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose scopes read on one line."""
    return [row | {"scopes": " ".join(row["scopes"]) if row["scopes"] else None} for row in rows]


def list_tokens(options: argparse.Namespace) -> int:
    """One's tokens."""
    with _hub(options) as hub:
        found = hub.ask("GET", "user", "tokens")["tokens"]
    shown = with_scopes(found)
    return show(options, found, table(shown, COLUMNS, "you have no tokens; `wasmhub token create NAME` makes one"))


def create_token(options: argparse.Namespace) -> int:
    """A new token: alone on stdout, so that a shell can take it from there; what people want to know on stderr."""
    body: dict[str, Any] = {"name": options.name}
    if options.scope:
        body["scopes"] = options.scope
    if options.no_expiry:
        body["expires_in_days"] = None
    elif options.days:
        body["expires_in_days"] = options.days
    with _hub(options) as hub:
        made = hub.ask("POST", "user", "tokens", body=body)
    if options.output == "text":
        until = f"good until {made['expires_at']}" if made["expires_at"] else "good until it is deleted"
        print(f"token {made['id']} ({plain(made['name'])}), {until}, shown only now:", file=sys.stderr)
    return show(options, made, made["token"])


def delete_token(options: argparse.Namespace) -> int:
    """A token that was."""
    with _hub(options) as hub:
        hub.ask("DELETE", "user", "tokens", str(options.id))
    return show(options, {"deleted": options.id}, f"token {options.id} is good no more")


def exchange_token(options: argparse.Namespace) -> int:
    """A robot's token: alone on stdout."""
    subject = read_secret("token to exchange", longest=LONGEST_SUBJECT)
    form = {"subject_token": subject, "subject_token_type": SUBJECT, "robot": options.robot}
    with Hub(NOBODY) as hub:
        made = hub.exchange(form)
    if options.output == "text":
        print(f"token of {plain(made['username'])}, good for {made['expires_in']} s:", file=sys.stderr)
    return show(options, made, made["access_token"])


def _hub(options: argparse.Namespace) -> Hub:
    if options.user is None:
        return Hub()
    return Hub((options.user, read_secret(f"password of {plain(options.user)}")))
