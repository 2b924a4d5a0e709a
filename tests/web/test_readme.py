"""READMEs that were written to take long."""

import time

import pytest

from web.readme import LIMIT, render_markdown

TABLE = "|".join("a" * 1000) + "\n" + "|".join("-" * 1000) + "\n"


@pytest.mark.parametrize("size", [LIMIT, 60_000])
@pytest.mark.parametrize(
    "piece",
    ["![", "[", "[a](", "[a]: b\n", "# a\n", "*a ", "**a", "`a", "> ", "- ", "<a ", "&#x", TABLE + "x\n" * 4000],
)
def test_no_readme_takes_long(piece: str, size: int) -> None:
    text = (piece * (size // len(piece) + 1))[:size]
    begun = time.process_time()
    render_markdown(text)
    assert time.process_time() - begun < 4


def test_what_is_shown_as_it_was_written_is_escaped() -> None:
    assert render_markdown("<script>" + "[" * 5000).startswith("<pre>&lt;script&gt;[[")


def test_long_readmes_of_honest_people_are_rendered() -> None:
    text = "".join(f"- [link {number}](https://example.com/{number}) says *this*\n" for number in range(900))
    text += "\n|a|b|c|\n|-|-|-|\n" + "|1|2|3|\n" * 500
    shown = render_markdown(text)
    assert (shown.count("<a href="), shown.count("<tr>")) == (900, 501)
