"""How commands are typed, how they start, and how they fail before or without a hub's word."""

import json
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cli.commands import Commands
from tests.hub import HubProcess

VERBS = (
    "login",
    "logout",
    "whoami",
    "user",
    "team",
    "share",
    "robot",
    "trust",
    "token",
    "targets",
    "deploy",
    "render",
    "undeploy",
    "deployments",
    "rollout",
    "sets",
)
ACTIONS = {
    "user": ("list", "create", "delete", "password"),
    "team": (
        *("list", "create", "rename", "forget-name", "delete", "restore", "members", "set", "remove"),
        *("invite", "invitations", "uninvite", "join"),
    ),
    "share": ("list", "give", "take"),
    "robot": ("list", "create", "rotate", "delete"),
    "trust": ("list", "add", "remove"),
    "session": ("list", "end"),
    "token": ("list", "create", "delete", "exchange"),
    "targets": ("list", "create", "show", "configure", "delete", "bootstrap", "nodes"),
    "targets keys": ("list", "create", "delete"),
    "deployments": ("list", "show", "rollback"),
    "rollout": ("list", "show", "watch", "pause", "resume", "abort"),
    "sets": ("list", "apply", "show", "follow", "pause", "resume", "abort", "rollback", "delete"),
}
LEAVES = [("login",), ("logout",), ("whoami",), ("deploy",), ("render",), ("undeploy",)] + [
    (*verb.split(), name) for verb, names in ACTIONS.items() for name in names
]
NOBODY = Commands()


@pytest.mark.parametrize("leaf", LEAVES, ids=" ".join)
def test_help_shows_examples_and_takes_an_output(leaf: tuple[str, ...]) -> None:
    said = NOBODY.text(*leaf, "--help")
    assert said.startswith(f"usage: wasmhub {' '.join(leaf)} ")
    for words in ("--output {text,json}", "examples:\n  ", "WASMHUB_URL", "WASMHUB_TOKEN"):
        assert words in said


def test_help_of_all_names_each_command() -> None:
    said = NOBODY.text("--help")
    assert all(f"\n  {verb} " in said for verb in (*VERBS, "serve"))
    for verb in ACTIONS.keys() & {*VERBS}:
        said = NOBODY.text(verb, "--help")
        assert all(f"\n    {name}" in said for name in ACTIONS[verb]) and "examples:" in said
    assert NOBODY.text("--version").startswith("wasmhub 0.")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_commands_start_quickly(verb: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    NOBODY.text(*([verb] if verb else []), "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # The processor's time: a busy machine makes the wall's clock say nothing.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


WRONG = [
    ((), "usage: wasmhub"),
    (("desploy",), "there is no command 'desploy'"),
    (("deploy", "a/b"), "--target"),
    (("deploy", "a/b", "--target", "t", "--order", "0"), "'0' is no whole number from 1 to 9999"),
    (("deploy", "a/b", "--target", "t", "--order", "²"), "is no whole number"),
    (("deploy", "a/b", "--target", "t", "--wait", "soon"), "'soon' is no number of seconds"),
    (("deploy", "a/b", "--target", "t", "--wait", "nan"), "'nan' is no number of seconds"),
    (("deploy", "a/b", "--target", "t", "--wait", "1", "--no-wait"), "not allowed with"),
    (("deploy", "a/b", "--target", "t", "--failure-policy", "never"), "invalid choice"),
    (("deploy", "a/b", "--target", "t", "--output", "yaml"), "invalid choice"),
    (("deploy", "a/b", "--tar", "t"), "--target"),
    (("deploy", "a/b", "--target", "t", "--label", "web"), "'web' is no label; write NAME=VALUE"),
    (("deploy", "a/b", "--target", "t", "--attach", "web"), "write KIND/NAME, such as HTTPRoute/web"),
    (("deploy", "a/b", "--target", "t", "--placement", "nowhere.json"), "nowhere.json cannot be read"),
    (("deploy", "a/b", "--target", "t", "--placement", "-", "--config", "-"), "cannot both be read"),
    (("deploy", "a/b", "--target", "t", "--placement", "-"), "is not valid JSON"),
    (("render", "a/b"), "--target"),
    (("undeploy", "x"), "--target"),
    (("undeploy", "x", "--target", "t", "--wait", "1", "--no-wait"), "not allowed with"),
    (("targets", "create", "t", "--kind", "linkerd"), "invalid choice"),
    (("targets", "create", "t", "--hub", "https://hub.example.com"), "say --kind istio or consul"),
    (("targets", "create", "t", "--kind", "istio", "--slots", "3"), "--slots is for a fleet"),
    (("targets", "create", "t", "--kind", "istio", "--kubeconfig", "nowhere"), "nowhere cannot be read"),
    (("targets", "create", "t", "--kind", "consul", "--token", "-", "--ca", "-"), "only one of the files"),
    (("targets", "configure", "t"), "name what is to be another"),
    (("targets", "configure", "t", "--setting", "observe"), "'observe' is no setting"),
    (("deployments", "shwo"), "invalid choice"),
    (("targets", "keys"), "ACTION"),
    (("targets", "keys", "delete", "t", "first"), "'first' is no whole number"),
    (("targets", "create", "t", "--slots", "99"), "'99' is no whole number from 1 to 32"),
    (("user", "create", "x", "--role", "king"), "invalid choice"),
    (("token", "create", "x", "--days", "1", "--no-expiry"), "not allowed with"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:50])
def test_what_is_typed_wrongly_ends_with_2(arguments: tuple[str, ...], words: str) -> None:
    done = NOBODY.run(*arguments)
    assert done.returncode == 2 and words in done.stdout + done.stderr and "Traceback" not in done.stderr


ENVIRONMENTS = [
    ({"WASMHUB_TOKEN": ""}, 2, "; `wasmhub login` signs you in, or set WASMHUB_TOKEN"),
    ({"WASMHUB_TOKEN": "two words"}, 2, "WASMHUB_TOKEN holds something other than a token"),
    ({"WASMHUB_TOKEN": "tökén"}, 2, "WASMHUB_TOKEN holds something other than a token"),
    ({"WASMHUB_TOKEN": "whp_" + "0" * 42}, 1, "does not accept the token: "),
    ({"WASMHUB_URL": "hub.example.com"}, 2, "WASMHUB_URL is 'hub.example.com'; it must be a scheme and a host"),
    ({"WASMHUB_URL": "ftp://hub"}, 2, "it must be a scheme and a host"),
    ({"WASMHUB_URL": "http://hub:port"}, 2, "it must be a scheme and a host"),
    ({"WASMHUB_URL": "http://hub/path"}, 2, "it must be a scheme and a host"),
    ({"WASMHUB_URL": "http://user:word@hub"}, 2, "it must be a scheme and a host"),
    ({"WASMHUB_URL": "http://[::1"}, 2, "it must be a scheme and a host"),
]


@pytest.mark.parametrize(("variables", "code", "words"), ENVIRONMENTS, ids=lambda value: str(value)[:40])
def test_an_environment_that_cannot_be_meant_is_named(
    hub: HubProcess, variables: dict[str, str], code: int, words: str
) -> None:
    assert words in Commands(hub.url, "whp_x").refused("targets", "list", code=code, **variables)


@pytest.mark.parametrize("verb", ["user", "token", "session", "targets", "deployments"])
def test_a_hub_that_is_not_there_is_said_so(verb: str) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        sentence = Commands(url, "whp_x").refused(verb)
    assert sentence.startswith(f"no hub answers at {url} (") and "`wasmhub serve`" in sentence


# What some other server answers, by the target that is asked for.
STRANGE = {
    "page": (200, b"<html>"),
    "gone": (404, b"not here"),
    "moved": (302, b""),
    "list": (200, b"[]"),
    "other": (200, b'{"name": "something else"}'),
    "deep": (500, b"[" * 100_000),
    "large": (200, b" " * (33 * 1024 * 1024)),
}


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = STRANGE[self.path.split("=")[-1]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("page", "answered 200 to /api/v1/deployments, not as a wasmhub does; check WASMHUB_URL"),
        ("gone", "answered 404 to /api/v1/deployments, not as a wasmhub does; check WASMHUB_URL"),
        ("moved", "answered 302 to /api/v1/deployments, not as a wasmhub does; check WASMHUB_URL"),
        ("list", "not as a wasmhub does"),
        ("other", "the hub's answer has no deployments; it may be older or newer than this command"),
        ("deep", "answered 500"),
        ("large", "is larger than"),
    ],
)
def test_a_server_that_is_no_hub_is_said_so(stranger: str, answer: str, words: str) -> None:
    assert words in Commands(stranger, "whp_x").refused("deployments", "--target", answer)


def test_a_hub_that_breaks_off_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert f"the way to {url} broke" in Commands(url, "whp_x").refused("targets")


def test_a_reader_that_goes_away_ends_the_command_quietly(admin: Commands, target: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [*admin.program, "targets", "bootstrap", target],
        env=admin.environment(),
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(theirs)
    assert done.returncode == 1 and done.stderr == b""


def test_every_list_is_json_when_asked(admin: Commands) -> None:
    for verb in ("user", "token", "targets", "deployments"):
        assert isinstance(admin.json(verb), list)
        assert json.loads(admin.text(verb, "list", "--output=json")) == admin.json(verb, "list")
