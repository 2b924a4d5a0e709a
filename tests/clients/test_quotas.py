"""What each client prints when a namespace is full: the sentence with the way out, not a code alone."""

from collections.abc import Callable

import httpx
import pytest

from tests.clients.home import ClientFailed, Home
from tests.clients.programs import PROGRAMS, Program
from tests.hub import HubProcess
from tests.oci import Client
from tests.peers import built_filter

# oras-py asks several times, each time after a longer wait, before it prints the sentence.
PROMPT = [each for each in PROGRAMS if not each.name.startswith("oras-py")]


@pytest.mark.parametrize("program", PROMPT, ids=[each.name for each in PROMPT])
def test_a_full_namespace_is_told(
    program: Program, open_home: Callable[[str], Home], hub: HubProcess, repository: str
) -> None:
    home, namespace = open_home(program.name), repository.partition("/")[0]
    program.login(home, "admin", hub.admin_password)
    auth = ("admin", hub.admin_password)
    with httpx.Client(base_url=f"{hub.url}/api/v1", auth=auth, timeout=30, trust_env=False) as admin:
        pusher = Client(hub.url, *auth)
        pusher.push_blob(repository, b"full")
        pusher.close()
        admin.put(f"/namespaces/{namespace}/quota", json={"bytes": 1}).raise_for_status()
        try:
            with pytest.raises(ClientFailed, match="delete what is not needed"):
                program.push(home, f"{hub.host}/{repository}:v1", built_filter("add-header").read_bytes())
        finally:
            admin.put(f"/namespaces/{namespace}/quota", json={}).raise_for_status()
