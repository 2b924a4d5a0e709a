"""`wasmhub targets` at a real hub."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.commands import Commands, Proxy


def test_targets_are_made_listed_and_removed(admin: Commands) -> None:
    assert "made cli-fleet" in admin.text("targets", "create", "cli-fleet", "--slots", "3", "--without-hub", "open")
    (made,) = [one for one in admin.json("targets", "list") if one["name"] == "cli-fleet"]
    assert made["kind"] == "envoy-fleet" and made["namespace"] == "admin"
    assert made["settings"]["slots"] == 3 and made["settings"]["without_hub"] == "open"
    shown = admin.text("targets")
    assert shown.splitlines()[0].split() == ["NAME", "KIND", "NAMESPACE", "SLOTS", "CREATED"]
    assert [line.split()[:4] for line in shown.splitlines() if "cli-fleet" in line] == [
        ["cli-fleet", "envoy-fleet", "admin", "3"]
    ]

    assert "already" in admin.refused("targets", "create", "cli-fleet")
    assert admin.text("targets", "delete", "cli-fleet") == "cli-fleet is gone\n"
    assert admin.json("targets", "create", "cli-fleet", "--node-limit", "5")["settings"]["node_limit"] == 5
    admin.text("targets", "delete", "cli-fleet")


def test_a_bootstrap_is_written_as_json_and_holds_what_was_asked_for(admin: Commands, target: str) -> None:
    options = ["--listen", "127.0.0.1:10001", "--upstream", "app:80", "--admin", "127.0.0.1:9902"]
    options += ["--node", "edge-7", "--key-env", "KEY", "--hub", "https://hub.example.com"]
    text = admin.text("targets", "bootstrap", target, *options)
    assert json.loads(text) == admin.json("targets", "bootstrap", target, *options)
    assert json.loads(text)["node"] == {"cluster": target, "id": "edge-7"}
    for words in ('"port_value": 10001', '"port_value": 9902', '"address": "app"', '"KEY"', '"hub.example.com"'):
        assert words in text
    assert "whf_" not in text and admin.url.removeprefix("http://") in admin.text("targets", "bootstrap", target)
    followed = admin.text("targets", "bootstrap", target, "--key-file", "/etc/envoy/key.json")
    assert "/etc/envoy/key.json" in followed and "WASMHUB_FLEET_KEY" not in followed


def test_keys_are_made_listed_and_ended(admin: Commands, target: str, tmp_path: Path) -> None:
    assert "no keys yet" in admin.text("targets", "keys", "list", target)
    key = admin.text("targets", "keys", "create", target)
    assert key.startswith("whf_") and key.count("\n") == 1
    file = tmp_path / "key.json"
    shown = admin.text("targets", "keys", "create", target, "--file", str(file))
    assert "whf_" not in shown and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert '"inline_string": "whf_' in file.read_text() and json.loads(file.read_text())["resources"]
    assert list(tmp_path.iterdir()) == [file]

    listed = admin.json("targets", "keys", "list", target)
    assert len(listed) == 2 and listed[0]["hint"] in key and "key" not in listed[0]
    assert "two keys" in admin.refused("targets", "keys", "create", target)
    first = str(listed[0]["id"])
    assert f"key {first} of {target} is good no more" in admin.text("targets", "keys", "delete", target, first)
    assert "has no key" in admin.refused("targets", "keys", "delete", target, first)


def test_secrets_are_set_listed_and_removed(admin: Commands, target: str, reference: str, tmp_path: Path) -> None:
    assert "no secrets yet" in admin.text("targets", "secrets", "list", target)
    assert 'a config names it as {"$secret": "api-key"}' in admin.text(
        "targets", "secrets", "set", target, "api-key", stdin="hush\n"
    )
    pem = tmp_path / "key.pem"
    pem.write_text("-----BEGIN\nKEY-----\n")
    assert admin.json("targets", "secrets", "set", target, "pem", "--file", str(pem)) == {"name": "pem"}
    config = tmp_path / "config.json"
    config.write_text('{"key": {"$secret": "api-key"}}')
    words = ["--target", target, "--as", "marks", "--config", str(config), "--no-wait"]
    admin.text("deploy", f"{reference}:1", *words)
    rows = admin.text("targets", "secrets", "list", target).splitlines()
    assert [row.split()[0::2] for row in rows[1:]] == [["api-key", "marks"], ["pem", "-"]], rows
    assert "names the secret api-key" in admin.refused("targets", "secrets", "delete", target, "api-key")
    assert admin.text("targets", "secrets", "delete", target, "pem") == f"pem of {target} is gone\n"
    missing = admin.refused("targets", "secrets", "set", target, "x", "--file", str(tmp_path / "none"))
    assert "none cannot be read: No such file" in missing


def test_a_target_is_frozen_and_given_windows(admin: Commands, target: str, reference: str) -> None:
    before = admin.json("targets", "show", target)["settings"]
    assert admin.text("targets", "windows", target) == f"{target} takes changes at any time\n"
    shown = admin.text("targets", "freeze", target, "the shop is open", "--until", "2099-01-01T00:00:00Z")
    assert shown == f"{target} is frozen: the shop is open (until 2099-01-01T00:00:00Z)\n"
    deploy = ("deploy", f"{reference}:1", "--target", target, "--as", "marks", "--no-wait")
    assert f"target {target} is frozen until 2099-01-01 00:00 UTC: the shop is open" in admin.refused(*deploy)
    assert "the shop is open" in admin.text("targets", "windows", target)

    week = ("--set", "mon,tue 22:00-04:00 Europe/Berlin", "--set", "00:00-00:00")
    admin.text("targets", "windows", target, *week)
    (nights, always) = admin.json("targets", "windows", target)["windows"]
    assert nights == {"days": ["mon", "tue"], "from": "22:00", "to": "04:00", "zone": "Europe/Berlin"}
    assert (always["zone"], len(always["days"])) == ("UTC", 7)
    assert "mon,tue 22:00-04:00 Europe/Berlin; 00:00-00:00 UTC" in admin.text("targets", "show", target)
    assert "in its windows alone" in admin.text("targets", "unfreeze", target)
    admin.text(*deploy)

    for typed, code, words in (("at night", 2, "is no window"), ("fri 25:00-26:00", 1, "must be a time of the day")):
        assert words in admin.refused("targets", "windows", target, "--set", typed, code=code)
    assert "with its zone" in admin.refused("targets", "freeze", target, "x", "--until", "soon")
    assert "has passed" in admin.refused("targets", "freeze", target, "x", "--until", "2020-01-01T00:00:00Z", code=2)
    assert "at any time" in admin.text("targets", "windows", target, "--always")
    assert admin.json("targets", "configure", target, "--setting", "max_filters=3")["settings"]["max_filters"] == 3
    admin.text("targets", "configure", target, "--setting", "max_filters=null")
    assert admin.json("targets", "show", target)["settings"] == before


def test_a_key_that_cannot_be_written_down_is_no_key(admin: Commands, target: str, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no" / "key")
    assert "no key was made" in admin.refused("targets", "keys", "create", target, "--file", nowhere)
    assert admin.json("targets", "keys", "list", target) == []
    file = tmp_path / "key"
    assert "key" not in admin.json("targets", "keys", "create", target, "--file", str(file))
    assert file.read_text().startswith("whf_")


def test_nodes_are_listed_with_what_they_run(admin: Commands, target: str, reference: str) -> None:
    assert f"no proxy of {target}" in admin.text("targets", "nodes", target)
    key = admin.text("targets", "keys", "create", target).strip()
    with Proxy(admin.url, target, key):
        admin.text("deploy", f"{reference}:1", "--target", target, "--as", "header", "--wait", "30")
        shown = admin.text("targets", "nodes", target).splitlines()
    assert shown[0].split() == ["NODE", "PROXY", "SEEN", "RUNS"]
    assert shown[1].startswith("edge-1 ") and shown[1].endswith("header")
    assert admin.json("targets", "nodes", target)[0]["name"] == "edge-1"
    assert "deployed" in admin.refused("targets", "delete", target)


REFUSED = [
    (("targets", "create", "Not-A-Name"), 1, "'Not-A-Name' is no name for a target"),
    (("targets", "create", "x", "--namespace", "nowhere"), 1, "namespace 'nowhere'"),
    (("targets", "create", "x", "--refresh-seconds", "nan"), 1, "refresh_seconds"),
    (("targets", "delete", "not-there"), 1, "there is no target 'not-there'"),
    (("targets", "bootstrap", "not-there"), 1, "there is no target 'not-there'"),
    (("targets", "keys", "list", "not-there"), 1, "there is no target 'not-there'"),
    (("targets", "keys", "create", "not-there"), 1, "there is no target 'not-there'"),
    (("targets", "nodes", "not/there"), 1, "there is nothing at this path"),
    (("targets", "delete", ""), 2, "'' is no name"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_cannot_be_is_refused(admin: Commands, arguments: tuple[str, ...], code: int, words: str) -> None:
    assert words in admin.refused(*arguments, code=code)
