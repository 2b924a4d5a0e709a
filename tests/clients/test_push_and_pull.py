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
def test_anonymous_pulls_what_is_public_and_nothing_else(
    program: Program,
    signed_in: Home,
    hub: HubProcess,
    repository: str,
    open_home: Callable[[str], Home],
    publish: Callable[[str], None],
) -> None:
    module, other = built_filter("add-header").read_bytes(), built_filter("refuses-config").read_bytes()
    reference = f"{hub.host}/{repository}:v1"
    program.push(signed_in, reference, module)
    with pytest.raises(ClientFailed, match=REFUSED):
        program.pull(open_home(program.name), reference)

    publish(repository)

    assert program.pull(open_home(program.name), reference) == module
    with pytest.raises(ClientFailed, match=REFUSED):
        program.push(open_home(program.name), reference, other)
    assert program.pull(open_home(program.name), reference) == module


@asks_at_login
def test_wrong_password_is_told_at_login(program: Program, open_home: Callable[[str], Home]) -> None:
    with pytest.raises(ClientFailed, match=r"(?i)unauthorized|incorrect|invalid"):
        program.login(open_home(program.name), "admin", "not the password")
