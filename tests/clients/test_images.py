"""What each client makes of a module, read back as a filter: the image differs, the module inside is the same."""

import hashlib
import time
from typing import Any

import httpx
import pytest

from tests.clients.home import Home
from tests.clients.programs import PROGRAMS, Program
from tests.hub import HubProcess
from tests.peers import built_filter

FORMATS = {
    "docker": "compat-docker",
    "crane": "compat-oci",
    "skopeo": "compat-oci",
    "buildah": "compat-oci",
    "regctl": "solo",
    "wkg": "cncf",
    "oras-go": "solo",
    "oras-py": "solo",
    "oras-py-chunked": "solo",
}
SECONDS_TO_READ = 20  # the hub reads a module within two; these tests run beside others


@pytest.mark.parametrize("program", PROGRAMS, ids=[each.name for each in PROGRAMS])
def test_pushed_module_is_read_as_filter(program: Program, signed_in: Home, hub: HubProcess, repository: str) -> None:
    module = built_filter("add-header").read_bytes()
    sha256 = hashlib.sha256(module).hexdigest()

    program.push(signed_in, f"{hub.host}/{repository}:v1", module)

    with httpx.Client(base_url=hub.url, auth=("admin", hub.admin_password), trust_env=False) as http:
        version = read_version(http, repository)
        assert (version["module"]["format"], version["module"]["sha256"]) == (FORMATS[program.name], sha256)
        said = http.get(f"/api/v1/modules/{sha256}").json()
        assert repository in said["repositories"]
        assert (said["facts"]["abi_version"], said["facts"]["sdk"]["name"]) == ("0.2.1", "hand-written")
        assert http.get(f"/modules/{sha256}.wasm").content == module


def read_version(http: httpx.Client, repository: str) -> Any:
    """The repository's one version, once the hub has read its module."""
    deadline = time.monotonic() + SECONDS_TO_READ
    while True:
        versions = http.get(f"/api/v1/repositories/{repository}/versions").json()["versions"]
        if versions[0]["module"]["state"] == "module":
            return versions[0]
        if time.monotonic() > deadline:
            pytest.fail(f"the module was not read: {versions}")
        time.sleep(0.1)
