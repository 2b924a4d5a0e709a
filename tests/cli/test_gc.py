"""`wasmhub gc` against a running hub."""

import json

import pytest

from tests.cli.commands import Commands
from tests.hub import HubProcess
from tests.oci import Client


def test_it_follows_a_run_to_its_end(admin: Commands, hub: HubProcess) -> None:
    client = Client(hub.url, "admin", hub.admin_password)
    client.push_blob("admin/cli-gc", b"waits for its manifest")
    client.close()
    told = admin.text("gc", "--dry-run")
    assert told.startswith("garbage collection ") and "would be done" in told.splitlines()[0]
    done = admin.json("gc")
    assert (done["state"], done["dry_run"], done["asked_by"]) == ("finished", False, "admin")
    assert done["figures"]["looked_at"] > 0


def test_it_need_not_wait(admin: Commands) -> None:
    assert json.loads(admin.text("gc", "--no-wait", "--output", "json"))["state"] in ("waiting", "running")


@pytest.mark.parametrize("words", [("gc", "now"), ("gc", "--dry")])
def test_what_cannot_be_meant_is_no_run(admin: Commands, words: tuple[str, ...]) -> None:
    assert admin.run(*words).returncode == 2


def test_only_administrators_may(admin: Commands, hub: HubProcess) -> None:
    assert "token" in Commands(hub.url, "whp_nothing").refused("gc")
