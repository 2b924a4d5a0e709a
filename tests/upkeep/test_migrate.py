"""A hub moves from the embedded engines to the scaled-out ones and back, in steps that can be interrupted."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.engines import engines
from tests.hub import HubProcess
from tests.oci import Client
from tests.upkeep.stocked import run, stock, succeed
from tests.upkeep.test_backup import Embedded

pytestmark = pytest.mark.once("it chooses its engines itself")


def settings_file(path: Path, hub: HubProcess) -> Path:
    """The settings of a hub as a file; what S3 wants in the environment stays there."""
    told = {name: value for name, value in hub.told().items() if name.startswith("WASMHUB_")}
    path.write_text("".join(f'{name} = "{value}"\n' for name, value in told.items() if name != "WASMHUB_LISTEN"))
    return path


def scaled(folder: Path, secret: str) -> HubProcess:
    """A hub to be on the scaled-out engines, with the secret key of the one that moves."""
    hub = Embedded(folder)
    hub.settings = engines("scaled").settings(folder) | {"WASMHUB_SECRET_KEY": secret}
    return hub


def test_a_hub_moves_there_and_back(tmp_path: Path) -> None:
    old = Embedded(tmp_path / "old")
    with old:
        kept = stock(old)
        secret = (old.data / "secret.key").read_text().strip()
        new = scaled(tmp_path / "new", secret)
        keys = {name: value for name, value in new.settings.items() if name.startswith("AWS_")}
        arguments = ("migrate", "--to", str(settings_file(tmp_path / "new.toml", new)))
        first = run(old, *arguments, **keys)
        assert first.returncode == 3 and "stop it" in first.stderr, first.stderr
        client = Client(old.url, "admin", old.admin_password)
        kept.push(client, "admin/late", "v1", b"pushed between the two steps")
        client.close()
    done = succeed(old, *arguments, **keys)
    assert done["blobs"] == 1  # the others had gone before
    with new:
        kept.check(new)

    back = Embedded(tmp_path / "back", WASMHUB_SECRET_KEY=secret)
    succeed(new, "migrate", "--to", str(settings_file(tmp_path / "back.toml", back)))
    with back:
        kept.check(back)


def test_an_interrupted_move_goes_on(tmp_path: Path) -> None:
    old = Embedded(tmp_path / "old")
    with old:
        kept = stock(old)
        secret = (old.data / "secret.key").read_text().strip()
    new = scaled(tmp_path / "new", secret)
    keys = {name: value for name, value in new.settings.items() if name.startswith("AWS_")}
    arguments = ("migrate", "--to", str(settings_file(tmp_path / "new.toml", new)))
    for seconds in (1.0, 1.4, 1.8, 2.2):
        with suppress(subprocess.TimeoutExpired):
            run(old, *arguments, kill_after=seconds, **keys)
    said = run(old, *arguments, **keys)
    assert said.returncode == 0 or "holds a hub already" in said.stderr, said.stderr
    with new:
        kept.check(new)


def test_another_secret_key_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    old = Embedded(tmp_path / "old")
    with old:
        stock(old)
    new = scaled(tmp_path / "new", "quite another secret key")
    keys = {name: value for name, value in new.settings.items() if name.startswith("AWS_")}
    said = run(old, "migrate", "--to", str(settings_file(tmp_path / "new.toml", new)), **keys)
    assert said.returncode in (1, 2) and "WASMHUB_SECRET_KEY" in said.stderr, said.stderr
