"""`wasmhub trust`: whose tokens stand for a robot, so that its machine keeps no secret."""

import argparse
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, add_action, new_actions, new_parser, run, whole_number
from wasmhub.cli.printing import plain, show, table

COLUMNS = {"ID": "id", "ISSUER": "issuer", "AUDIENCE": "audience", "CLAIMS": "claims", "USED": "used_at"}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    example = "wasmhub trust add shop ci --issuer https://ci.example.com --claim 'sub=repo:acme/shop:*'"
    parser = new_parser(
        "trust",
        "Whose tokens stand for a robot of a team: a CI job's or a Kubernetes service account's. Owners of the team"
        " make these rules; `wasmhub token exchange` uses them.",
        f"{example}\nwasmhub trust list shop ci",
    )
    actions = new_actions(parser)
    listing = add_action(actions, "list", "list a robot's trust rules", "wasmhub trust list shop ci", list_rules)
    add = add_action(actions, "add", "let tokens of an issuer stand for a robot", example, add_rule)
    remove = add_action(
        actions,
        "remove",
        "end a trust rule, and at once what was got by it",
        "wasmhub trust remove shop ci 3",
        remove_rule,
    )
    for action in (listing, add, remove):
        action.add_argument("team", metavar="TEAM", help="the team that the robot belongs to")
        action.add_argument("robot", metavar="ROBOT", help="what it is called in the team")
    add.add_argument("--issuer", required=True, metavar="URL", help="whose tokens: what stands in them as `iss`")
    add.add_argument("--audience", metavar="TEXT", help="for whom they must be made (wasmhub)")
    add.add_argument(
        "--claim",
        action="append",
        required=True,
        metavar="NAME=PATTERN",
        help="what they must claim, * stands for any text; several must all be met",
    )
    add.add_argument(
        "--minutes", type=whole_number(1, 60), metavar="N", help="how long a token is good that was got so (15)"
    )
    remove.add_argument("id", metavar="ID", type=whole_number(1, 2**53))
    return run(parser, arguments)


def list_rules(options: argparse.Namespace) -> int:
    """A robot's rules."""
    with Hub() as hub:
        found = hub.ask("GET", "teams", options.team, "robots", options.robot, "trust-rules")["trust_rules"]
    rows = [
        {**one, "claims": ", ".join(f"{name}={pattern}" for name, pattern in one["claims"].items())} for one in found
    ]
    return show(options, found, table(rows, COLUMNS, "nobody's tokens stand for it"))


def add_rule(options: argparse.Namespace) -> int:
    """A new rule."""
    body: dict[str, Any] = {"issuer": options.issuer, "claims": _claims(options.claim)}
    if options.audience:
        body["audience"] = options.audience
    if options.minutes:
        body["minutes"] = options.minutes
    with Hub() as hub:
        made = hub.ask("POST", "teams", options.team, "robots", options.robot, "trust-rules", body=body)
    said = f"tokens of {plain(made['issuer'])} for {plain(made['audience'])} stand for"
    return show(options, made, f"{said} {plain(options.team)}+{plain(options.robot)}")


def remove_rule(options: argparse.Namespace) -> int:
    """A rule that was."""
    with Hub() as hub:
        hub.ask("DELETE", "teams", options.team, "robots", options.robot, "trust-rules", str(options.id))
    return show(options, {"deleted": options.id}, f"trust rule {options.id} is no more")


def _claims(texts: list[str]) -> dict[str, str]:
    claims: dict[str, str] = {}
    for text in texts:
        name, pattern = _claim(text)
        if name in claims:
            raise WrongUse(f"the claim {name!r} is there twice")
        claims[name] = pattern
    return claims


def _claim(text: str) -> tuple[str, str]:
    name, sign, pattern = text.partition("=")
    if not name or not sign:
        raise WrongUse(f"{text!r} is no claim; write it as NAME=PATTERN, such as sub=repo:acme/shop:*")
    return name, pattern
