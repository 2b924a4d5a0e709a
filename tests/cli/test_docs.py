"""docs/settings.md and docs/cli.md say what is so."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.cli.commands import Commands
from tests.hub import ROOT
from wasmhub.cli import VERBS
from wasmhub.settings import ELSEWHERE, PREFIX, Settings, load_settings, settings_fields

SETTINGS = (ROOT / "docs" / "settings.md").read_text()
CLI = (ROOT / "docs" / "cli.md").read_text()
README = (ROOT / "README.md").read_text()
ROWS = dict(re.findall(r"^\| `(WASMHUB_\w+)` \| (.*?) \| ", SETTINGS, re.MULTILINE))


def lines(page: str) -> list[str]:
    """What comes after `wasmhub` in the lines to copy of a page."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    return re.findall(r"(?:^|\()wasmhub ([a-z][^)\n>#]*)", blocks, re.MULTILINE)


def test_every_setting_is_described_and_no_other() -> None:
    assert {*ROWS} == {PREFIX + field.name.upper() for field in settings_fields()} | ELSEWHERE


@pytest.mark.parametrize("field", settings_fields(), ids=lambda field: field.name)
def test_defaults_are_as_described(field: object) -> None:
    name, default = getattr(field, "name", ""), getattr(Settings(), getattr(field, "name", ""))
    written = re.fullmatch(r"`([^`]*)`", ROWS[PREFIX + name.upper()])
    if default in (None, ()):
        assert written is None
    else:
        assert written is not None
        read = load_settings({PREFIX + name.upper(): written[1]})
        assert getattr(read, name) == (Path(default).absolute() if isinstance(default, Path) else default)


def test_words_that_a_setting_takes_are_all_named() -> None:
    for name in ("create_namespace_on_push", "create_teams", "sign_up", "log"):
        (line,) = [line for line in SETTINGS.splitlines() if line.startswith(f"| `{PREFIX}{name.upper()}`")]
        for word in re.findall(r"`(\w+)`", line)[1:]:
            assert getattr(load_settings({PREFIX + name.upper(): word}), name) == word


def test_the_file_that_is_shown_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text(re.findall(r"```toml\n(.*?)```", SETTINGS, re.DOTALL)[0])
    read = load_settings({"WASMHUB_CONFIG": str(tmp_path / "hub.toml")})
    assert (read.listen.port, read.blob_limit, str(read.data)) == (8080, 512 * 2**20, "/var/lib/wasmhub")


@cache
def usage(command: tuple[str, ...]) -> str:
    """The help of a command."""
    return Commands().text(*command, "--help")


@pytest.mark.parametrize("line", [*lines(CLI), *lines(README)])
def test_lines_of_the_pages_can_be_typed(line: str) -> None:
    words = line.split()
    command = [words[0]]
    while "\n  ACTION\n" in usage(tuple(command)) and len(words) > len(command):
        command.append(words[len(command)])
    for option in re.findall(r"--[a-z-]+", line):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", usage(tuple(command)))


def test_the_page_names_every_command() -> None:
    assert {line.split()[0] for line in lines(CLI)} == {*VERBS} - {"serve"}
    assert {line.split()[0] for line in lines(README)} == {"login", "targets", "deploy", "deployments"}
