"""The wheel: it carries the command alone, under names that are clearly ours, and works without the server's rooms."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.cli.commands import Commands
from tests.hub import ROOT, HubProcess

RUN = "import sys; from wasmhub.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> tuple[str, ...]:
    """The command as it runs from the wheel and its libraries, with the checkout out of sight."""
    folder = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    paths = f"sys.path[1:1] = [{str(folder)!r}, {sysconfig.get_path('purelib')!r}]"
    # Without `site`, the file that puts the checkout on the path is not read.
    return (sys.executable, "-S", "-P", "-c", f"import sys; {paths}; {RUN}")


def test_a_wheel_carries_import_names_that_are_clearly_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        points = next(archive.read(name) for name in names if name.endswith("entry_points.txt"))
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"wasmhub"}
    assert b"wasmhub = wasmhub.cli:main" in points
    assert {"wasmhub/cli/deploy.py", "wasmhub/cli/client.py"} <= set(names)


def test_the_command_works_from_a_wheel(unpacked: tuple[str, ...], hub: HubProcess, admin: Commands) -> None:
    ours = Commands(hub.url, admin.token, unpacked)
    for verb in ("user", "token", "targets", "deployments"):
        assert ours.json(verb) == admin.json(verb)
    for verb in ("deploy", "undeploy"):
        assert "usage: wasmhub" in ours.text(verb, "--help")


def test_the_server_says_that_a_wheel_does_not_hold_it(unpacked: tuple[str, ...]) -> None:
    sentence = Commands(program=unpacked).refused("serve")
    assert "holds the commands alone" in sentence and "checkout" in sentence and "image" in sentence
