"""Every client that people have, pushing to and pulling from the real hub: signed in, and as nobody in particular."""

import secrets
from collections.abc import Callable

import pytest

from tests.clients.home import ClientFailed, Home
from tests.clients.programs import PROGRAMS, Program
from tests.hub import HubProcess
from tests.peers import built_filter

each_program = pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
# Those that ask the hub about a password when it is typed; the others write it down and meet the refusal later.
asks_at_login = pytest.mark.parametrize(
    "program",
    [each for each in PROGRAMS if each.name in ("docker", "skopeo", "buildah", "regctl")],
    ids=lambda p: p.name,
)
REFUSED = r"(?i)unauthorized|denied|not authorized|authentication required|no basic auth"
LARGE = 9_000_000  # more than two of the chunks of 4 MiB that wkg sends


@pytest.fixture
def signed_in(open_home: Callable[[str], Home], program: Program, hub: HubProcess) -> Home:
    home = open_home(program.name)
    program.login(home, "admin", hub.admin_password)
    return home


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"clients/{secrets.token_hex(6)}"


def large_module() -> bytes:
    """A module that no registry has seen: a real one, grown by a custom section of noise."""
    noise = b"\x05noise" + secrets.token_bytes(LARGE)
    size = bytes((len(noise) >> shift & 127) | (128 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    return built_filter("add-header").read_bytes() + b"\x00" + size + noise


@each_program
def test_push_and_pull_signed_in(program: Program, signed_in: Home, hub: HubProcess, repository: str) -> None:
    module = large_module()
    reference = f"{hub.host}/{repository}:v1"

    program.push(signed_in, reference, module)

    assert program.pull(signed_in, reference) == module


@each_program
def test_anonymous_pull_of_public(
    program: Program,
    signed_in: Home,
    hub: HubProcess,
    repository: str,
    open_home: Callable[[str], Home],
    publish: Callable[[str], None],
) -> None:
    module = built_filter("add-header").read_bytes()
    reference = f"{hub.host}/{repository}:v1"
    program.push(signed_in, reference, module)
    publish(repository)

    assert program.pull(open_home(program.name), reference) == module


@each_program
def test_anonymous_is_refused_what_is_private(
    program: Program, signed_in: Home, hub: HubProcess, repository: str, open_home: Callable[[str], Home]
) -> None:
    reference = f"{hub.host}/{repository}:v1"
    program.push(signed_in, reference, built_filter("add-header").read_bytes())

    with pytest.raises(ClientFailed, match=REFUSED):
        program.pull(open_home(program.name), reference)


@each_program
def test_anonymous_push_is_refused(
    program: Program,
    signed_in: Home,
    hub: HubProcess,
    repository: str,
    open_home: Callable[[str], Home],
    publish: Callable[[str], None],
) -> None:
    module = built_filter("add-header").read_bytes()
    reference = f"{hub.host}/{repository}:v1"
    program.push(signed_in, reference, module)
    publish(repository)

    with pytest.raises(ClientFailed, match=REFUSED):
        program.push(open_home(program.name), reference, built_filter("c").read_bytes())

    assert program.pull(signed_in, reference) == module


@asks_at_login
def test_wrong_password_is_told_at_login(program: Program, open_home: Callable[[str], Home]) -> None:
    with pytest.raises(ClientFailed, match=r"(?i)unauthorized|incorrect|invalid"):
        program.login(open_home(program.name), "admin", "not the password")
