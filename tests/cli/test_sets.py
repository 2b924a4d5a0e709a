"""`wasmhub sets` at a real hub: a set is applied from a file, followed, held, taken back and away."""

import secrets
from collections.abc import Iterator

import pytest
import yaml

from tests.cli.commands import Commands, Proxy


@pytest.fixture
def proxy(admin: Commands, target: str) -> Iterator[Proxy]:
    """A proxy of the target."""
    with Proxy(admin.url, target, admin.text("targets", "keys", "create", target).strip()) as running:
        yield running


def written(name: str, target: str, reference: str, **more: object) -> str:
    """A file of a set with two waves on one target."""
    members = [{"target": target}, {"target": target, "deployment": "second", "wave": 2}]
    return yaml.safe_dump({"set": f"admin/{name}", "reference": reference, "bake": "0s", "members": members, **more})


def test_a_set_is_applied_followed_shown_rolled_back_and_deleted(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    name = f"set-{secrets.token_hex(4)}"
    full, apply = f"admin/{name}", ("sets", "apply", "-f", "-")
    said = admin.text(*apply, stdin=written(name, target, f"{reference}:1")).splitlines()
    assert said[0].startswith(f"{full}: revision 1 is {reference}:1 (sha256:")
    waves = ("wave", "changed", "baking", "passed")
    assert [line.split()[1] for line in said[1:]] == ["started", *waves, *waves, "done"]

    proxy.takes = False
    failed = admin.run(*apply, "--reference", f"{reference}:2", stdin=written(name, target, "a/b:1", on_failure="stop"))
    assert (
        failed.returncode == 1 and f"wasmhub: {full}: revision 2 stopped: {target}/{name} is stalled" in failed.stderr
    )
    assert f"`wasmhub sets abort {full}` takes it back" in failed.stderr
    proxy.takes = True
    assert f"{full} is aborted: aborted by admin: enough" in admin.text("sets", "abort", full, "--why", "enough")
    ended = admin.run("sets", "follow", full)
    assert ended.returncode == 1 and f"{full}: revision 2 was taken back: aborted by admin: enough" in ended.stderr

    rows = {line.split()[0]: line.split()[1:] for line in admin.text("sets").splitlines()}
    assert rows[full][:3] == [f"{reference}:2", "2", "ready"]
    made = admin.json(*apply, "--no-wait", stdin=written(name, target, f"{reference}:2", bake="1h"))
    assert (made["revision"], made["state"]) == (3, "running")
    assert "is paused" in admin.text("sets", "pause", full)
    assert "is running" in admin.text("sets", "resume", full)
    waited = admin.run("sets", "follow", full, "--wait", "0")
    assert waited.returncode == 1 and "is not done" in waited.stderr
    admin.text("sets", "abort", full)
    shown = admin.text("sets", "show", full)
    assert f"set           {full}" in shown and "second" in shown and "aborted by admin" in shown

    assert admin.run("sets", "rollback", full, "--to", "1").returncode == 0
    assert admin.json("sets", "show", full)["state"] == "done"

    by_itself = ("--target", target, "--as", name, "--follow", "tag", "--no-wait")
    admin.text("deploy", f"{reference}:1", *by_itself)
    follows = f"follows the tag {reference}:1"
    assert f"it {follows}" in admin.text("sets", "show", full)
    again = written(name, target, f"{reference}:2", bake="1h")
    assert f"it {follows}, which a set ends" in admin.refused(*apply, "--no-wait", stdin=again)
    forced = admin.run(*apply, "--force", "--no-wait", stdin=again)
    assert forced.returncode == 0 and f"warning: {target}/{name} {follows} until" in forced.stderr, forced.stderr
    admin.text("sets", "abort", full)
    assert f"{full} is gone" in admin.text("sets", "delete", full)
    assert admin.json("deployments", "--target", target) == []
    assert f"there is no deployment set '{full}'" in admin.refused("sets", "show", full)


def test_what_speaks_against_a_set_is_one_sentence_for_each_member(
    admin: Commands, target: str, reference: str
) -> None:
    text = (
        written("bad", target, f"{reference}:1")
        .replace("second", "third")
        .replace("wave: 2", "wave: 2\n  placement: {namespace: web}")
    )
    said = admin.refused("sets", "apply", "-f", "-", stdin=text)
    assert said.startswith(f"{target}/third: ") and "there is no field 'namespace'" in said
    assert admin.json("deployments", "--target", target) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reference: a/b:1", "write `set: NAMESPACE/SET`"),
        ("set: shop", "write `set: NAMESPACE/SET`"),
        ("[]", "must hold one set"),
        ("set: a/b\n---\nset: c/d", "must hold one set"),
        ("set: a/b\nconfig: {since: 2026-01-01}", "holds what JSON cannot say"),
        ("set: [", "is no YAML"),
    ],
)
def test_a_file_that_is_none_is_said_before_anything_is_asked(admin: Commands, text: str, says: str) -> None:
    assert says in admin.refused("sets", "apply", "-f", "-", code=2, stdin=text)
    assert "NAMESPACE/SET" in admin.run("sets", "show", "limits").stderr
