"""Passwords, read where nobody else sees them: from a prompt, or from standard input; never from the arguments."""

import getpass
import sys

from wasmhub.cli.command import WrongUse

LONGEST = 4096  # characters of one line


def read_secret(what: str, *, twice: bool = False, longest: int = LONGEST) -> str:
    """A password that is there already, or (`twice`) a new one. Raises WrongUse if none comes."""
    if not sys.stdin.isatty():
        return _line(what, longest)
    try:
        first = getpass.getpass(f"{what}: ")
        if twice and getpass.getpass(f"{what} again: ") != first:
            raise WrongUse("the two are not the same")
    except EOFError:
        first = ""
    return _given(what, first, longest)


def _line(what: str, longest: int) -> str:
    try:
        line = sys.stdin.readline(longest + 1)
    except UnicodeDecodeError:
        raise WrongUse(f"the {what} on standard input is not valid UTF-8") from None
    return _given(what, line.rstrip("\r\n"), longest)


def _given(what: str, value: str, longest: int) -> str:
    if not value:
        raise WrongUse(f"no {what} came; type it at the prompt, or give it as a line on standard input")
    if len(value) > longest:
        raise WrongUse(f"the {what} is longer than {longest} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongUse(f"the {what} is not valid UTF-8") from None
    return value
