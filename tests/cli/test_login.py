"""`wasmhub login`, `logout` and `whoami`, as they are typed on a terminal, with somebody who approves in a browser."""

import base64
import json
import os
import secrets
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.cli.commands import Commands
from tests.devices import CODE, Person
from tests.hub import HubProcess


@dataclass
class Terminal:
    """A machine of its own on which somebody types."""

    hub: HubProcess
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        places = {"XDG_CONFIG_HOME": str(self.folder / "config"), "DOCKER_CONFIG": str(self.folder / "docker")}
        path = f"{self.folder}:{os.environ['PATH']}"  # where a test puts a credential helper
        return Commands().environment(**places, PATH=path, REGISTRY_AUTH_FILE="") | more

    def run(self, *arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        command = [*Commands().program, *arguments]
        environment = self.environment(**more)
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=60)

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen([*Commands().program, *arguments], env=self.environment(**more), text=True, **pipes)

    def login(self, person: Person, *arguments: str, **typed: str) -> tuple[str, str]:
        """Logs in and has it approved; what came on stdout, and on stderr."""
        running = self.start("login", self.hub.url, *arguments)
        code, said = code_of(running)
        person.approve(code, **typed)
        out, rest = running.communicate(timeout=30)
        assert running.returncode == 0, said + rest
        return out, said + rest

    def kept(self) -> Any:
        """The token that the command keeps for the hub."""
        return json.loads((self.folder / "config/wasmhub/hubs.json").read_text())["hubs"][self.hub.url]

    def docker(self) -> Any:
        """docker's configuration."""
        return json.loads((self.folder / "docker/config.json").read_text())


def code_of(running: "subprocess.Popen[str]") -> tuple[str, str]:
    """The code that a login prints, and all that it said until then."""
    assert running.stderr is not None
    said = ""
    while "waiting" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    found = CODE.search(said)
    assert found is not None, said
    return found[0], said


def end_of(running: "subprocess.Popen[str]") -> tuple[int, str]:
    """The exit code of a login, and what else it said on stderr."""
    _, said = running.communicate(timeout=30)
    return running.returncode, said


@pytest.fixture
def terminal(hub: HubProcess, tmp_path: Path) -> Terminal:
    return Terminal(hub, tmp_path)


@pytest.fixture(scope="module")
def person(hub: HubProcess) -> Iterator[Person]:
    made = Person(hub, "admin", hub.admin_password)
    yield made
    made.browser.close()


def accepts(hub: HubProcess, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{hub.url}/api/v1/user", headers=headers, trust_env=False).status_code == 200


def test_a_terminal_signs_in_and_out(hub: HubProcess, terminal: Terminal, person: Person) -> None:
    (terminal.folder / "docker").mkdir()
    before = {"auths": {"elsewhere": {"auth": "eDp5"}}, "psFormat": "table \ud800", "proxies": {"default": {}}}
    (terminal.folder / "docker/config.json").write_text(json.dumps(before))
    out, said = terminal.login(person, days="30", name=secrets.token_hex(4))
    assert f"{hub.url}/device" in said and "good for 10 minutes" in said
    assert out.startswith(f"signed in to {hub.url} as admin, with a token for 30 days\n{hub.host} is known to docker")
    kept = terminal.kept()
    assert kept["user"] == "admin" and kept["token"].startswith("whp_") and accepts(hub, kept["token"])
    assert kept["token"] not in out + said
    for path in (terminal.folder / "config/wasmhub/hubs.json", terminal.folder / "docker/config.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    entry = {"auth": base64.b64encode(f"admin:{kept['token']}".encode()).decode()}
    assert terminal.docker() == {**before, "auths": {**before["auths"], hub.host: entry}}  # type: ignore[dict-item]

    told = json.loads(terminal.run("whoami", "--output", "json").stdout)
    assert told == {"hub": hub.url, "name": "admin", "role": "administrator", "scopes": None, "token": "wasmhub login"}
    assert terminal.run("token", "list").returncode == 0
    elsewhere = terminal.run("whoami", WASMHUB_URL=hub.url.replace("127.0.0.1", "localhost"))
    assert elsewhere.returncode == 2 and "not signed in" in elsewhere.stderr  # a token goes to its own hub alone
    assert "does not accept" in terminal.run("whoami", WASMHUB_TOKEN="whp_x").stderr  # the variable wins

    done = terminal.run("logout")
    assert (done.returncode, done.stdout) == (0, f"signed out of {hub.url}\n")
    assert not accepts(hub, kept["token"]) and terminal.docker() == before
    assert "you are not signed in" in terminal.run("whoami", WASMHUB_URL=hub.url).stderr
    assert "you are not signed in" in terminal.run("logout", hub.url).stderr


def test_a_second_login_ends_the_first(hub: HubProcess, terminal: Terminal, person: Person) -> None:
    terminal.login(person)
    first = terminal.kept()["token"]
    out, said = terminal.login(
        person, "--output", "json", "--scope", "repository:a/*:pull", scopes="repository:a/*:pull"
    )
    told, second = json.loads(out), terminal.kept()["token"]
    assert not accepts(hub, first) and accepts(hub, second) and second not in out + said
    assert (told["url"], told["registry"], told["user"]) == (hub.url, hub.host, "admin")
    assert told["scopes"] == ["repository:a/*:pull"] and told["expires_in"] > 86_000
    assert told["files"] == [
        str(terminal.folder / "config/wasmhub/hubs.json"),
        str(terminal.folder / "docker/config.json"),
    ]
    assert terminal.run("logout").returncode == 0 and not accepts(hub, second)  # a narrowed one ends too


HELPER = """#!/bin/sh
# A credential helper that keeps what it is given in a file.
case "$1" in
  store) cat > "{folder}/stored" ;;
  get) cat "{folder}/stored" ;;
  erase) cat > "{folder}/erased"; rm "{folder}/stored" ;;
esac
"""


@pytest.mark.parametrize("place", ["credsStore", "credHelpers"])
def test_a_credential_helper_is_asked(hub: HubProcess, terminal: Terminal, person: Person, place: str) -> None:
    helper = terminal.folder / "docker-credential-test"
    helper.write_text(HELPER.replace("{folder}", str(terminal.folder)))
    helper.chmod(0o755)
    (terminal.folder / "docker").mkdir()
    config = {"credsStore": "test"} if place == "credsStore" else {"credHelpers": {hub.host: "test"}}
    (terminal.folder / "docker/config.json").write_text(json.dumps(config))
    terminal.login(person)
    token = terminal.kept()["token"]
    stored = json.loads((terminal.folder / "stored").read_text())
    assert stored == {"ServerURL": hub.host, "Username": "admin", "Secret": token}
    assert terminal.docker() == {**config, "auths": {hub.host: {}}}
    assert terminal.run("logout").returncode == 0
    assert (terminal.folder / "erased").read_text() == hub.host and not (terminal.folder / "stored").exists()


def test_a_helper_that_is_missing_is_named(hub: HubProcess, terminal: Terminal, person: Person) -> None:
    (terminal.folder / "docker").mkdir()
    (terminal.folder / "docker/config.json").write_text('{"credsStore": "absent"}')
    running = terminal.start("login", hub.url)
    person.approve(code_of(running)[0])
    code, said = end_of(running)
    assert code == 1 and "docker-credential-absent is not installed" in said
    assert accepts(hub, terminal.kept()["token"])


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": {}} x', "\0"])
def test_a_file_that_is_broken_is_found_before_anybody_is_asked(terminal: Terminal, content: str) -> None:
    (terminal.folder / "docker").mkdir()
    (terminal.folder / "docker/config.json").write_text(content)
    done = terminal.run("login", terminal.hub.url)
    assert done.returncode == 1 and "is not valid JSON" in done.stderr and done.stderr.count("\n") == 1
    assert (terminal.folder / "docker/config.json").read_text() == content


def test_podmans_file_and_one_behind_a_link(hub: HubProcess, terminal: Terminal, person: Person) -> None:
    (terminal.folder / "docker").mkdir()
    (terminal.folder / "real.json").write_text("")
    (terminal.folder / "docker/config.json").symlink_to(terminal.folder / "real.json")
    auth = str(terminal.folder / "new" / "auth.json")
    running = terminal.start("login", hub.url, REGISTRY_AUTH_FILE=auth)
    person.approve(code_of(running)[0])
    assert end_of(running)[0] == 0
    entries = [json.loads(path.read_text())["auths"][hub.host] for path in (terminal.folder / "real.json", Path(auth))]
    assert entries[0] == entries[1] and (terminal.folder / "docker/config.json").is_symlink()
    Path(auth).write_text(json.dumps({"auths": {hub.host: {"auth": "b3RoZXI6b25l"}}}))  # signed in anew by hand
    assert terminal.run("logout", REGISTRY_AUTH_FILE=auth).returncode == 0
    assert hub.host in json.loads(Path(auth).read_text())["auths"] and terminal.docker()["auths"] == {}


def test_who_refuses_ends_it(terminal: Terminal, person: Person) -> None:
    running = terminal.start("login", terminal.hub.url)
    assert person.send("refuse", code_of(running)[0]).status_code == 303
    code, said = end_of(running)
    assert code == 1 and "gives no token: this was refused" in said
    assert not (terminal.folder / "config").exists()


def test_ctrl_c_ends_it_quietly(terminal: Terminal) -> None:
    running = terminal.start("login", terminal.hub.url)
    code_of(running)
    running.send_signal(signal.SIGINT)
    assert end_of(running) == (130, "")


def test_the_hub_may_be_away_for_a_moment(
    tmp_path_factory: pytest.TempPathFactory, embedded: None, tmp_path: Path
) -> None:
    with HubProcess(tmp_path_factory.mktemp("away") / "data") as hub:
        running = Terminal(hub, tmp_path).start("login", hub.url)
        person = Person(hub, "admin", hub.admin_password)
        code, _ = code_of(running)
        hub.stop()
        time.sleep(2.5)  # in which it asks
        hub.start()
        person.approve(code)
        assert end_of(running)[0] == 0
        person.browser.close()


def test_a_token_that_is_there(hub: HubProcess, terminal: Terminal, admin: Commands) -> None:
    token = admin.json("token", "create", secrets.token_hex(4))["token"]
    done = terminal.run("login", hub.url, "--with-token", stdin=token + "\n")
    assert (done.returncode, done.stderr) == (0, "") and f"signed in to {hub.url} as admin\n" in done.stdout
    assert terminal.kept()["token"] == token
    assert base64.b64decode(terminal.docker()["auths"][hub.host]["auth"]) == f"admin:{token}".encode()
    assert terminal.run("logout").returncode == 0 and accepts(hub, token)  # who made it ends it
    for wrong, sentence in (
        ("whp_x", "does not accept the token"),
        ("", "no token came"),
        ("a b", "other than a token"),
    ):
        done = terminal.run("login", hub.url, "--with-token", stdin=wrong)
        assert done.returncode in (1, 2) and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_sign_out_works_without_the_hub(terminal: Terminal) -> None:
    path = terminal.folder / "config/wasmhub/hubs.json"
    path.parent.mkdir(parents=True)
    gone = {"user": "a", "token": "whp_x", "made": True}
    path.write_text(json.dumps({"current": "http://127.0.0.1:1", "hubs": {"http://127.0.0.1:1": gone}}))
    done = terminal.run("logout")
    assert done.returncode == 1 and "signed out here; the token is still good at the hub" in done.stderr
    assert json.loads(path.read_text()) == {"current": None, "hubs": {}}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"hubs": []}', '{"current": "http://127.0.0.1:1", "hubs": {"http://127.0.0.1:1": 3}}']
)
def test_a_file_of_ours_that_is_broken(terminal: Terminal, content: str) -> None:
    path = terminal.folder / "config/wasmhub/hubs.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    done = terminal.run("whoami", WASMHUB_URL="http://127.0.0.1:1")
    assert done.returncode == 1 and "is not what `wasmhub login` wrote" in done.stderr


@pytest.mark.parametrize("url", ["ftp://a", "https://", "http://a b", "https://user@hub", "http://a:0", "a/b"])
def test_what_is_no_hub(terminal: Terminal, url: str) -> None:
    done = terminal.run("login", url)
    assert done.returncode == 2 and "must be a scheme and a host" in done.stderr


def told(answers: dict[str, tuple[int, Any]]) -> ThreadingHTTPServer:
    """What claims to be a hub, and answers a path with that status and document."""

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, value = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


BEGUN = {"device_code": "d", "user_code": "BCDF-GHJK", "expires_in": 600, "interval": 1}
MADE = {"access_token": "t", "username": "u", "token_id": 1, "token_name": "n", "scope": ""}


@pytest.mark.parametrize("life", ["soon", 10**400, -1, True])
def test_a_hub_commands_neither_the_terminal_nor_the_browser(terminal: Terminal, life: Any) -> None:
    browser = terminal.folder / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 >> {terminal.folder}/opened\n")
    browser.chmod(0o700)
    pages = {"verification_uri": "http://x/\x1b[2J", "verification_uri_complete": "file:///etc/passwd"}
    answers: dict[str, tuple[int, Any]] = {
        "/device_authorization": (200, BEGUN | pages),
        "/token": (200, MADE | {"expires_in": life}),
    }
    with told(answers) as server:
        where = f"http://127.0.0.1:{server.server_port}"
        done = terminal.run("login", where, "--web", BROWSER=f"{browser} %s")
        assert done.returncode == 1 and "which is no number of seconds" in done.stderr, done.stderr
        assert "\x1b" not in done.stderr and not (terminal.folder / "opened").exists()
        answers["/device_authorization"] = (429, {"errors": [{"message": "\x1b]0;x\x07too many"}]})
        done = terminal.run("login", where)
        assert (done.returncode, done.stderr) == (1, "wasmhub: ?]0;x?too many\n")
        server.shutdown()
