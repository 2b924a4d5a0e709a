"""What the demo prints, and how it says that something was not as it should be."""

import sys
import textwrap

WIDTH = 110


class DemoFailed(Exception):
    """A step did not go as described; the text says how."""


def step(title: str, text: str = "") -> None:
    """Opens a step: what is done, and in a few words why."""
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)
    tell(text)


def tell(text: str) -> None:
    """A few words in between."""
    for line in textwrap.wrap(text, WIDTH):
        print(f"  {line}", flush=True)


def typed(line: str) -> None:
    """A line as a reader would type it."""
    print(f"  $ {line}", flush=True)


def answered(line: str) -> None:
    """A line of what came back."""
    print(f"    {line}", flush=True)


def check(condition: object, otherwise: str) -> None:
    """Ends the demo with exit code 1 unless the condition holds."""
    if not condition:
        raise DemoFailed(otherwise)
