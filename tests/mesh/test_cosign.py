"""What the real cosign signs with a key, a target that names that key takes, and nothing else."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.home import Home
from tests.deploy.fleet import Fleet, header_filter
from tests.hub import HubProcess
from tests.peers import built_beside

OFFLINE = ("--tlog-upload=false", "--yes")
FORMS = {"beside": ("--new-bundle-format=false",), "bundle": ("--new-bundle-format", "--use-signing-config=false")}


@pytest.fixture
def cosign(hub: HubProcess, tmp_path: Path) -> Home:
    """A folder with a key pair, signed in to the hub."""
    home = Home(tmp_path, hub.url.removeprefix("http://"))
    run(home, "generate-key-pair")
    run(home, "login", home.host, "-u", "admin", "-p", hub.admin_password)
    return home


@pytest.fixture
def strict(hub: HubProcess, cosign: Home) -> Iterator[Fleet]:
    """A target that wants that key's signature."""
    keys = [cosign.path("cosign.pub").read_text()]
    with Fleet(hub, f"signed-{secrets.token_hex(4)}", cosign_keys=keys) as made:
        yield made


def run(home: Home, *words: str) -> None:
    home.run(str(built_beside("cosign")), *words, COSIGN_PASSWORD="", COSIGN_YES="true")


@pytest.mark.parametrize("form", FORMS)
def test_what_cosign_signed_is_taken(strict: Fleet, cosign: Home, form: str) -> None:
    name = f"admin/signed-{secrets.token_hex(4)}"
    digest = strict.oci.push_filter(name, "1.0.0", header_filter(form))
    refused = strict.put("marks", reference=f"{name}:1.0.0")
    assert [one["code"] for one in refused.json()["error"]["reasons"]] == ["signature"]

    image = f"{cosign.host}/{name}@{digest}"
    run(cosign, "sign", "--key", "cosign.key", *FORMS[form], *OFFLINE, "--allow-insecure-registry", image)

    strict.deploy("marks", f"{name}:1.0.0")
    other = strict.oci.push_filter(name, "1.0.1", header_filter(f"{form}, changed"))
    refused = strict.put("marks", reference=f"{name}@{other}")
    assert [one["code"] for one in refused.json()["error"]["reasons"]] == ["signature"]


def test_what_cosign_attested_is_not_signed(strict: Fleet, cosign: Home) -> None:
    name = f"admin/attested-{secrets.token_hex(4)}"
    digest = strict.oci.push_filter(name, "1.0.0", header_filter("attested"))
    cosign.path("said.json").write_text("{}")
    image = f"{cosign.host}/{name}@{digest}"
    words = ["--predicate", "said.json", "--type", "custom", "--new-bundle-format", *OFFLINE]
    run(cosign, "attest", "--key", "cosign.key", *words, "--allow-insecure-registry", image)

    refused = strict.put("marks", reference=f"{name}:1.0.0")
    assert [one["code"] for one in refused.json()["error"]["reasons"]] == ["signature"]
