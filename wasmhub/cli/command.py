"""What the verbs that talk to a hub have in common: how they are typed, how they fail, how they end."""

import argparse
import os
import sys
from collections.abc import Callable

from wasmhub.cli.printing import plain

Act = Callable[[argparse.Namespace], int]
ENVIRONMENT = """environment:
  WASMHUB_URL    the hub (the one that `wasmhub login` signed in to last, else http://127.0.0.1:8080)
  WASMHUB_TOKEN  a token for it (the one that `wasmhub login` keeps)"""


class CommandFailed(Exception):
    """The hub, or the way to it, said no; the text is one sentence with the way out."""

    code = 1


class WrongUse(CommandFailed):
    """What was typed, or lies in the environment, cannot be meant; nothing was asked of the hub."""

    code = 2


def new_parser(command: str, description: str, examples: str, act: Act | None = None) -> argparse.ArgumentParser:
    """A parser of `wasmhub COMMAND`; with `act` it takes --output and does that."""
    parser = argparse.ArgumentParser(
        prog=f"wasmhub {command}",
        description=description,
        epilog=_epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if act is not None:
        _acts(parser, act)
    return parser


def new_actions(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Makes the parser one of several actions, to be added by `add_action`."""
    return parser.add_subparsers(title="actions", metavar="ACTION", required=True)


def add_action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, examples: str, act: Act | None
) -> argparse.ArgumentParser:
    """A parser of `wasmhub COMMAND NAME`; `what` begins with a small letter and needs no full stop."""
    parser = actions.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=_epilog(examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if act is not None:
        _acts(parser, act)
    return parser


def run(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Parses the arguments and acts; every failure is one sentence on stderr."""
    options = parser.parse_args(arguments)
    try:
        code: int = options.act(options)
        sys.stdout.flush()
    except CommandFailed as failure:
        print(f"wasmhub: {plain(failure)}", file=sys.stderr)  # hubs choose words too
        return failure.code
    except BrokenPipeError:
        # Who read the output has gone; Python must not try to write the rest when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def or_list(arguments: list[str]) -> list[str]:
    """The arguments of a verb with several actions: without one, the action is `list`."""
    asks_help = arguments[:1] in (["-h"], ["--help"])
    named = arguments and not arguments[0].startswith("-")
    return arguments if asks_help or named else ["list", *arguments]


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A reader of arguments: a whole number within limits."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}")
        return int(text)

    return read


def seconds(text: str) -> float:
    """A reader of arguments: some seconds, at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return value


def _acts(parser: argparse.ArgumentParser, act: Act) -> None:
    parser.add_argument("--output", choices=("text", "json"), default="text", help="for people (text) or programs")
    parser.set_defaults(act=act)


def _epilog(examples: str) -> str:
    lines = "\n".join(f"  {line}" for line in examples.splitlines())
    return f"examples:\n{lines}\n\n{ENVIRONMENT}"
