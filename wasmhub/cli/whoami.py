"""`wasmhub whoami`: who one is at the hub, and by what."""

import argparse

from wasmhub.cli.client import Hub, token_in_use
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.printing import facts, show


def main(arguments: list[str]) -> int:
    """Runs it."""
    parser = new_parser(
        "whoami",
        "Who you are at the hub, and by what: the token of WASMHUB_TOKEN, or of `wasmhub login`.",
        "wasmhub whoami\nwasmhub whoami --output json",
        tell,
    )
    return run(parser, arguments)


def tell(options: argparse.Namespace) -> int:
    """The caller."""
    with Hub() as hub:
        me = hub.ask("GET", "user")
    _, source = token_in_use(hub.url)
    said = {"hub": hub.url, "name": me["name"], "role": me["role"], "scopes": me["scopes"], "token": source}
    return show(options, said, facts({**said, "scopes": " ".join(me["scopes"]) if me["scopes"] else None}))
