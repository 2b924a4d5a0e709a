"""Every client signed in as machines are: by a personal token, a robot's, and one that a job's own token was exchanged
for. Each is narrowed to one namespace, pushes and pulls there, and nowhere else. (By password: test_push_and_pull.)

And every client signed in by `wasmhub login`, whose token outlives the session in which somebody approved it."""

import asyncio
import base64
import json
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from tests.auth.issuer import Issuer, public
from tests.clients.home import ClientFailed, Home
from tests.clients.programs import PROGRAMS, Program
from tests.clients.test_push_and_pull import REFUSED
from tests.devices import CODE, Person
from tests.hub import ROOT, WASMHUB, HubProcess
from tests.peers import built_filter

KEY = ECKey.generate_key("P-256", {"kid": "ec"})
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SCOPES = ["repository:shop/*:pull,push"]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """A CI system's issuer."""
    loop, made = asyncio.new_event_loop(), Issuer()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.__aenter__(), loop).result(10)
    made.publish(public(KEY))
    yield made
    asyncio.run_coroutine_threadsafe(made.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[HubProcess]:
    """A hub with the team `shop`, whose robot `ci` the jobs of `acme` stand for."""
    data = tmp_path_factory.mktemp("ways") / "data"
    with HubProcess(data, WASMHUB_OUTGOING_NETWORKS="127.0.0.1/32") as running:
        rule = {"issuer": issuer.url, "audience": "hub", "claims": {"sub": "repo:acme/*"}}
        ask(running, "/teams", name="shop")
        ask(running, "/teams/shop/robots", name="ci", role="writer", scopes=SCOPES)
        ask(running, "/teams/shop/robots/ci/trust-rules", **rule)
        yield running
        running.check_log()


def ask(hub: HubProcess, path: str, **body: Any) -> Any:
    """What the API makes for the administrator."""
    auth = ("admin", hub.admin_password)
    made = httpx.post(f"{hub.url}/api/v1{path}", json=body, auth=auth, trust_env=False, timeout=30)
    assert made.status_code == 201, made.text
    return made.json()


def personal(hub: HubProcess, issuer: Issuer) -> tuple[str, str]:
    return "admin", ask(hub, "/user/tokens", name=secrets.token_hex(8), scopes=SCOPES)["token"]


def robot(hub: HubProcess, issuer: Issuer) -> tuple[str, str]:
    return "shop+ci", ask(hub, "/teams/shop/robots/ci/rotate", overlap_hours=0)["token"]


def workload(hub: HubProcess, issuer: Issuer) -> tuple[str, str]:
    token = issuer.token(KEY, sub="repo:acme/shop")
    form = {"grant_type": EXCHANGE, "subject_token_type": JWT, "subject_token": token, "robot": "shop+ci"}
    made = httpx.post(f"{hub.url}/token", data=form, trust_env=False, timeout=30)
    assert made.status_code == 200, made.text
    return made.json()["username"], made.json()["access_token"]


@pytest.mark.parametrize("way", [personal, robot, workload], ids=lambda way: way.__name__)
@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_a_machine_pushes_where_it_may(
    program: Program,
    way: Callable[[HubProcess, Issuer], tuple[str, str]],
    hub: HubProcess,
    issuer: Issuer,
    open_home: Callable[[str], Home],
) -> None:
    home, module = open_home(program.name), built_filter("add-header").read_bytes()
    program.login(home, *way(hub, issuer))
    reference = f"{hub.host}/shop/{secrets.token_hex(6)}:v1"

    program.push(home, reference, module)
    assert program.pull(home, reference) == module

    if not program.name.startswith("oras-py"):  # which repeats for minutes what was refused
        with pytest.raises(ClientFailed, match=REFUSED):
            program.push(home, f"{hub.host}/admin/{secrets.token_hex(6)}:v1", module)


def by_device(hub: HubProcess, home: Home, config: str) -> str:
    """Types `wasmhub login` in the home of a client, has it approved in a browser that is closed then; the token."""
    home.prepare()
    command, environment = [str(WASMHUB), "login", hub.url], home.environment() | {"PYTHONPATH": str(ROOT)}
    environment["DOCKER_CONFIG"] = str(home.path(config))
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert running.stderr is not None
        lines = iter(running.stderr.readline, b"")
        code = next(found[0] for line in lines if (found := CODE.search(line.decode())))
        person = Person(hub, "admin", hub.admin_password)
        person.approve(code, name=secrets.token_hex(8), scopes=SCOPES[0])
        person.sign_out()
        assert running.wait(30) == 0, running.stderr.read()
    kept = json.loads(home.path(f"{config}/config.json").read_text())["auths"][hub.host]["auth"]
    return base64.b64decode(kept).decode().partition(":")[2]


@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_a_client_is_signed_in_by_a_device_login(
    program: Program, hub: HubProcess, open_home: Callable[[str], Home]
) -> None:
    home, module = open_home(program.name), built_filter("add-header").read_bytes()
    # oras in Python looks for docker's file where it usually is, whatever DOCKER_CONFIG says.
    token = by_device(hub, home, ".docker" if program.name.startswith("oras-py") else "config")
    if program.name == "oras-go":  # it reads no file of sign-ins: whoever runs it hands them over
        program.login(home, "admin", token)
    reference = f"{hub.host}/shop/{secrets.token_hex(6)}:v1"

    program.push(home, reference, module)
    assert program.pull(home, reference) == module

    mine = httpx.get(f"{hub.url}/api/v1/user/tokens", auth=("admin", hub.admin_password), trust_env=False).json()
    number = next(one["id"] for one in mine["tokens"] if token.startswith(one["hint"]))
    ended = httpx.delete(f"{hub.url}/api/v1/user/tokens/{number}", auth=("admin", hub.admin_password), trust_env=False)
    assert ended.status_code == 204
    if not program.name.startswith("oras-py"):  # which repeats for minutes what was refused
        with pytest.raises(ClientFailed, match=REFUSED):
            program.push(home, reference, module)
