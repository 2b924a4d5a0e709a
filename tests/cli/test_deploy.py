"""`wasmhub deploy`, `undeploy` and `deployments` at a real hub, with proxies that take filters or refuse them."""

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import FILTER, Commands, Proxy, push_filters
from tests.hub import ADMIN_PASSWORD, HubProcess


@pytest.fixture
def proxy(admin: Commands, target: str) -> Iterator[Proxy]:
    """A proxy of the target."""
    with Proxy(admin.url, target, admin.text("targets", "keys", "create", target).strip()) as running:
        yield running


def test_a_filter_is_deployed_followed_shown_and_undeployed(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    said = admin.text("deploy", f"{reference}:1", "--target", target, "--as", "header").splitlines()
    assert said[0].startswith(f"{target}/header: revision 1 is {reference}:1 (sha256:")
    assert said[-1] == "ready: 1 of 1 proxies run revision 1"

    table = admin.text("deployments", "--target", target).splitlines()
    assert table[0].split() == ["TARGET", "ORDER", "ID", "FILTER", "REVISION", "STATUS", "MESSAGE"]
    assert table[1].split()[:6] == [target, "1", "header", f"{reference}:1", "1", "ready"]
    assert admin.json("deployments", "list", "--repository", reference, "--target", target)[0]["status"] == "ready"

    shown = admin.text("deployments", "show", "header", "--target", target)
    assert f"deployment  {target}/header" in shown and "edge-1" in shown and "admin" in shown
    found = admin.json("deployments", "show", "header", "--target", target)
    assert found["nodes"][0]["state"] == "runs" and [one["number"] for one in found["revisions"]] == [1]

    assert f"{target}/header is undeployed" in admin.text("undeploy", "header", "--target", target)
    assert admin.json("deployments", "--target", target) == []
    assert "nothing is deployed here" in admin.text("deployments", "--target", target)
    assert "no deployment 'header'" in admin.refused("undeploy", "header", "--target", target)


def test_a_deployment_as_json_is_one_document_with_progress_beside_it(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    done = admin.run("deploy", f"{reference}:1", "--target", target, "--output", "json")
    assert done.returncode == 0 and "ready: 1 of 1 proxies run revision 1" in done.stderr
    made = json.loads(done.stdout)
    assert made["name"] == "cli-filter" and made["status"] == "ready" and len(made["revisions"]) == 1


def test_a_refusal_ends_with_the_reason_and_the_way_back(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    admin.text("deploy", f"{reference}:1", "--target", target, "--as", "header")
    proxy.takes = False
    sentence = admin.refused("deploy", f"{reference}:2", "--target", target, "--as", "header")
    assert sentence.startswith(f"{target}/header stalled: node edge-1 refused revision 2")
    assert f"`wasmhub deployments rollback header --target {target}` goes back" in sentence
    assert "stalled" in admin.text("deployments", "--target", target)

    proxy.takes = True
    said = admin.text("deployments", "rollback", "header", "--target", target).splitlines()
    assert f"revision 3 is {reference}:1" in said[0] and said[-1] == "ready: 1 of 1 proxies run revision 3"
    shown = admin.json("deployments", "rollback", "header", "--target", target, "--revision", "2")
    assert shown["revision"]["number"] == 4 and shown["revision"]["reference"] == f"{reference}:2"
    assert "cannot go back to 9" in admin.refused(
        "deployments", "rollback", "header", "--target", target, "--revision", "9"
    )


def test_a_first_revision_that_is_refused_can_be_taken_off(admin: Commands, target: str, reference: str) -> None:
    key = admin.text("targets", "keys", "create", target).strip()
    with Proxy(admin.url, target, key, takes=False):
        done = admin.run("deploy", f"{reference}:1", "--target", target, "--output", "json")
    assert done.returncode == 1 and json.loads(done.stdout)["status"] == "stalled"
    assert done.stderr.endswith(f"`wasmhub undeploy cli-filter --target {target}` takes it off\n")


def test_what_it_follows_is_said_shown_and_ended(admin: Commands, target: str, reference: str) -> None:
    here = ("--target", target, "--as", "header")
    admin.text("deploy", f"{reference}:1", *here, "--follow", "tag")
    shown = admin.text("deployments", "show", "header", "--target", target)
    assert f"follows     the tag 1 of {reference}, as admin said on 20" in shown
    assert "is no range of versions" in admin.refused("deploy", f"{reference}:1", *here, "--follow", "newest")
    kept = admin.json("deploy", *here, "--order", "7")
    assert kept["follow"]["tag"] == "1" and kept["revision"]["order"] == 7
    done = admin.run("deploy", f"{reference}:2", *here)
    assert done.stderr == f"warning: it no longer follows the tag {reference}:1\n"
    assert admin.json("deploy", *here, "--follow", "tag")["follow"]["tag"] == "2"
    assert admin.json("deploy", *here, "--follow", "none")["follow"] is None


def test_where_no_proxy_asks_the_command_waits_on_request_alone(admin: Commands, target: str, reference: str) -> None:
    began = time.monotonic()
    said = admin.text("deploy", f"{reference}:1", "--target", target, "--as", "header")
    assert f"waiting: no proxy of {target} has asked for it yet" in said and time.monotonic() - began < 20
    sentence = admin.refused("deploy", f"{reference}:1", "--target", target, "--as", "header", "--wait", "0.5")
    assert "is not ready after 0.5 s: no proxy" in sentence and "`wasmhub deployments show header" in sentence
    said = admin.text("deploy", f"{reference}:2", "--target", target, "--as", "header", "--no-wait")
    assert said.count("\n") == 1 and f"is {reference}:2" in said


def test_who_waits_is_told_when_another_revision_comes(admin: Commands, target: str, reference: str) -> None:
    with _waiting(admin, reference, "--target", target, "--as", "header") as waiting:
        admin.text("deploy", f"{reference}:2", "--target", target, "--as", "header", "--no-wait")
        _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 1 and "revision 2 by admin has replaced this one" in errors


def test_ctrl_c_ends_the_waiting_and_not_the_deployment(admin: Commands, target: str, reference: str) -> None:
    with _waiting(admin, reference, "--target", target, "--as", "header") as waiting:
        waiting.send_signal(signal.SIGINT)
        _, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 130 and errors == ""
    assert admin.json("deployments", "--target", target)[0]["status"] == "waiting"


def test_waiting_outlives_a_hub_that_is_away_for_a_moment(tmp_path: Path) -> None:
    with HubProcess(tmp_path / "data") as hub:
        made = Commands(hub.url).json("token", "create", "t", "--user", "admin", stdin=hub.admin_password)
        admin = Commands(hub.url, made["token"])
        push_filters(hub)
        admin.text("targets", "create", "edge", "--refresh-seconds", "0.2")
        key = admin.text("targets", "keys", "create", "edge").strip()
        with _waiting(admin, FILTER, "--target", "edge") as waiting:
            assert waiting.stdout is not None
            hub.stop()
            assert waiting.stdout.readline().startswith("unknown: ")
            hub.start()
            with Proxy(hub.url, "edge", key):
                said, errors = waiting.communicate(timeout=90)
    assert waiting.returncode == 0 and said.splitlines()[-1].startswith("ready: "), errors


def test_config_order_and_policy_are_set_kept_and_taken_away(
    admin: Commands, target: str, reference: str, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"greeting":  "hello"}\n')
    options = ["--target", target, "--as", "header", "--no-wait"]
    more = ["--config", str(config), "--order", "7", "--root-id", "r", "--failure-policy", "FAIL_OPEN"]
    revision = admin.json("deploy", f"{reference}:1", *options, *more)["revision"]
    assert revision["config"] == '{"greeting":  "hello"}', "as it is, but for the last line break"
    assert (revision["order"], revision["root_id"], revision["failure_policy"]) == (7, "r", "FAIL_OPEN")

    revision = admin.json("deploy", f"{reference}:2", *options)["revision"]
    assert revision["config"] == '{"greeting":  "hello"}' and revision["order"] == 7
    moved = admin.json("deploy", *options, "--order", "6")["revision"]
    assert moved == {**revision, "number": 3, "order": 6, "created_at": moved["created_at"]}
    revision = admin.json("deploy", f"{reference}:2", *options, "--config", "-", stdin="plain text\r\n")["revision"]
    assert revision["config"] == "plain text"
    assert admin.json("deploy", f"{reference}:2", *options, "--no-config")["revision"]["config"] is None


CONFIGS = [
    ("config.json", b'{"a": 1,\n "b"', "is not valid JSON: line 2, column 5"),
    ("config.json", b"[" * 100_000, "is nested too deeply"),
    ("config.txt", b"\xff\xfe", "is not text in UTF-8 (byte 0)"),
    ("config.txt", b"x" * 300_000, "is longer than 262144 characters"),
    ("config.txt", "ä".encode() * 600_000, "is longer than 262144 characters"),
    ("config.txt", None, "cannot be read: No such file or directory"),
    (".", None, "cannot be read: Is a directory"),
]


@pytest.mark.parametrize(("name", "content", "words"), CONFIGS, ids=[words[:30] for _, _, words in CONFIGS])
def test_a_config_that_cannot_be_meant_is_refused_at_once(
    admin: Commands, tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    sentence = admin.refused("deploy", "a/b", "--target", "t", "--config", str(tmp_path / name), code=2)
    assert sentence.startswith(f"the config file {tmp_path / name} ") and words in sentence


def test_what_the_hub_refuses_is_said_in_its_words(admin: Commands, target: str, reference: str) -> None:
    rows = [
        (("deploy", "admin/cli-unknown:1"), "The import env.proxy_read_the_future is missing in Envoy."),
        (("deploy", f"{reference}:9"), "has no 9; push it first"),
        (("deploy", "admin/not-there:1"), "there is no repository admin/not-there"),
        (("deploy", "NOT A NAME", "--as", "x"), "is no reference"),
        (("deploy", f"{reference}:1", "--as", "Not-A-Name"), "'Not-A-Name' is no name for a deployment"),
        (("deployments", "show", "not-there"), "there is no deployment 'not-there'"),
        (("deployments", "rollback", "not-there"), "there is no deployment 'not-there'"),
    ]
    for arguments, words in rows:
        assert words in admin.refused(*arguments, "--target", target)
    assert "there is no target 'nope'" in admin.refused("deploy", f"{reference}:1", "--target", "nope")
    assert "there is no target 'nope'" in admin.refused("deployments", "--target", "nope")
    assert admin.json("deployments", "--target", target) == []


def test_a_name_that_makes_no_name_asks_for_one(admin: Commands) -> None:
    for reference in ("admin/with_underscore:1", "admin/with.dot@sha256:" + "0" * 64, ""):
        assert "give one with --as" in admin.refused("deploy", reference, "--target", "t", code=2)
    assert "name a filter to deploy" in admin.refused("deploy", "--target", "t", code=2)


@contextmanager
def _waiting(commands: Commands, reference: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A `wasmhub deploy` that has said that no proxy asks, and waits."""
    arguments = [*commands.program, "deploy", f"{reference}:1", *options, "--wait", "90"]
    environment = commands.environment()
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        try:
            assert waiting.stdout is not None
            assert "revision 1" in waiting.stdout.readline()
            assert waiting.stdout.readline().startswith("waiting: ")
            yield waiting
        finally:
            waiting.kill()


def test_what_a_target_refuses_is_forced_with_a_warning(admin: Commands, reference: str) -> None:
    name = f"strict-{secrets.token_hex(4)}"
    settings = {"policy": {"capabilities": {"change_headers": "deny"}}}
    made = httpx.post(
        f"{admin.url}/api/v1/targets",
        json={"name": name, "settings": settings},
        auth=("admin", ADMIN_PASSWORD),
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    words = ("deploy", f"{reference}:1", "--target", name, "--as", "header", "--no-wait")

    assert f"changes headers and trailers (change_headers), which target {name} denies" in admin.refused(*words)

    done = admin.run(*words, "--force")
    assert done.returncode == 0 and f"warning: forced: {reference}:1 changes headers" in done.stderr
    assert admin.run(*words, "--force").returncode == 0
    back = ("deployments", "rollback", "header", "--target", name, "--no-wait")
    assert "(change_headers)" in admin.refused(*back)
    assert "warning: forced: " in admin.run(*back, "--force").stderr


def test_a_rollout_is_begun_followed_paused_and_aborted(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    where = ("--target", target, "--as", "header")
    admin.text("deploy", f"{reference}:1", *where)
    said = admin.text("deploy", f"{reference}:2", *where, "--waves", "50,100", "--bake", "1s").splitlines()
    assert f"{target}/header: revision 2 is {reference}:2" in said[0] and ", by rollout " in said[0]
    assert [line.split()[1] for line in said[1:]] == ["started", *("wave", "baking", "unknown") * 2, "done"]
    assert said[-1].endswith("revision 2 runs on all 1 proxies")

    more = ("--waves", "100", "--bake", "1h", "--limit", "errors=5", "--limit", "latency=50")
    made = admin.json("deploy", f"{reference}:1", *where, *more, "--no-wait")
    number = str(made["rollout"])
    table = admin.text("rollout", "--target", target, "--open").splitlines()
    assert len(table) == 2 and table[1].split()[:5] == [number, target, "header", "3", "running"]
    assert len(admin.json("rollout", "list", "--target", target)) == 2
    assert admin.json("rollout", "show", number)["limits"] == {
        "errors": 5.0,
        "latency": 50.0,
        "reloads": 0,
        "requests": 50,
    }
    assert "is paused" in admin.text("rollout", "pause", number)
    assert "is running" in admin.text("rollout", "resume", number)
    busy = admin.refused("deploy", f"{reference}:2", *where)
    assert f"`wasmhub rollout abort {number}`" in busy
    waited = admin.run("rollout", "watch", number, "--wait", "0")
    assert waited.returncode == 1 and "is not done: revision 3" in waited.stderr
    assert "is aborted" in admin.text("rollout", "abort", number, "--why", "enough")
    shown = admin.text("rollout", "show", number)
    assert "aborted by admin: enough" in shown and f"{target}/header" in shown and "2 -> 3" in shown
    failed = admin.run("rollout", "watch", number)
    assert failed.returncode == 1 and failed.stderr.rstrip().endswith(
        "runs what it ran before: aborted by admin: enough"
    )


def test_a_rollout_that_a_proxy_refuses_fails_with_the_reason(
    admin: Commands, target: str, reference: str, proxy: Proxy
) -> None:
    proxy.takes = False
    first = admin.run("deploy", f"{reference}:1", "--target", target, "--as", "header", "--waves", "100")
    assert first.returncode == 1
    assert first.stderr.startswith(f"wasmhub: {target}/header runs nowhere, as before: edge-1 refused revision 1")
    left = admin.json("deployments", "show", "header", "--target", target)
    assert left["status"] == "stalled" and "nothing of it runs: deploy it anew, or undeploy it" in left["message"]
    proxy.takes = True
    admin.text("deploy", f"{reference}:1", "--target", target, "--as", "header")
    proxy.takes = False
    done = admin.run("deploy", f"{reference}:2", "--target", target, "--as", "header", "--waves", "100")
    assert done.returncode == 1
    assert done.stderr.startswith(f"wasmhub: {target}/header runs what it ran before: edge-1 refused revision 3")
    shown = admin.json("rollout", "list", "--target", target)
    assert [(one["from_revision"], one["to_revision"]) for one in shown] == [(2, 3), (0, 1)]
    assert "nothing -> 1" in admin.text("rollout", "show", str(shown[1]["id"]))
    assert [line.split()[1] for line in done.stdout.splitlines()[1:]][:3] == ["started", "wave", "halted"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("--bake", "60s"), "say --waves too"),
        (("--limit", "errors=1"), "say --waves too"),
        (("--waves", "20,x"), "are no shares in percent"),
        (("--waves", "100", "--limit", "mood=1"), "is no limit"),
    ],
)
def test_what_cannot_be_a_rollout_is_said(admin: Commands, target: str, typed: tuple[str, ...], says: str) -> None:
    done = admin.run("deploy", "a/b:1", "--target", target, *typed)
    assert done.returncode == 2 and says in done.stderr
