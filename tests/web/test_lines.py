"""The lines to copy, copied from the pages and typed into a shell with the real clients."""

import html
import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.hub import HubProcess
from tests.oci import OCI_MANIFEST, descriptor, digest_of
from tests.peers import built_filter, peer
from tests.web.catalogue import PASSWORD, configure, pushing
from tests.web.conftest import wait_until_read


class Shell:
    """A shell in a folder of its own, with the clients on its path and no sign-in of anybody's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "crane").symlink_to(peer("crane"))
        self._environment = {
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DOCKER_CONFIG": str(folder / "config"),
        }

    def type(self, line: str, stdin: str = "") -> None:
        """Runs what was copied."""
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._environment,
            input=stdin.encode(),
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, (line, done.stderr.decode())

    def file(self, name: str) -> Path:
        """A file in the shell's folder."""
        return self.folder / name


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def lines_of(page: httpx.Response, client: str) -> list[str]:
    """The lines for a client on a page, as the copy button copies them."""
    assert page.status_code == 200
    found = re.findall(r'<span class="client">([^<]+)</span>.*?<pre><code>(.*?)</code></pre>', page.text, re.DOTALL)
    return [html.unescape(text) for name, text in found if name == client]


def test_push_and_pull_with_crane(full: HubProcess, ann: httpx.Client, shell: Shell) -> None:
    module = built_filter("add-header").read_bytes() + b"\0\x03\x01lc"
    with pushing(full) as client:
        client.push_blob("zoo/lines", b"anything")  # makes the repository, whose page says how to push
    (push,) = lines_of(ann.get("/r/zoo/lines"), "crane")
    (login,) = [line for line in lines_of(ann.get("/r/ann/notes"), "crane") if "login" in line]
    shell.file("plugin.wasm").write_bytes(module)
    shell.type(login, stdin=PASSWORD)
    shell.type(push.replace(":TAG", ":1.0.0"))
    wait_until_read(full)

    pull = lines_of(ann.get("/r/zoo/lines"), "crane")[0]
    shell.file("plugin.wasm").unlink()
    shell.type(pull)
    assert shell.file("plugin.wasm").read_bytes() == module
    (curl,) = lines_of(ann.get("/r/zoo/lines"), "curl")
    shell.type(curl.replace("-u ann ", f"-u ann:{PASSWORD} "))
    assert shell.file("filter.wasm").read_bytes() == module


def test_pull_an_artifact_as_a_stranger(stranger: httpx.Client, shell: Shell) -> None:
    module = built_filter("add-header").read_bytes()
    page = stranger.get("/r/acme/add-header")
    for client in ("crane", "curl"):
        (line,) = lines_of(page, client)
        shell.type(line)
        assert shell.file("filter.wasm").read_bytes() == module
        shell.file("filter.wasm").unlink()


def test_wkg_finds_a_package_by_the_hub_s_own_word(full: HubProcess, shell: Shell) -> None:
    """wkg asks the host for its registry.json, lists the tags of `zoo/package` and fetches what `1.0.0` points to."""
    module = built_filter("add-header").read_bytes() + b"\0\x03\x01wk"
    config = b'{"architecture":"wasm","os":"wasip1","created":"2026-01-01T00:00:00Z","layerDigests":["%s"]}'
    config = config.replace(b"%s", digest_of(module).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, "application/vnd.wasm.config.v0+json"),
        "layers": [descriptor(module, "application/wasm")],
    }
    with pushing(full) as client:
        for blob in (config, module):
            client.push_blob("zoo/package", blob)
        client.push_manifest("zoo/package", "1.0.0", json.dumps(manifest).encode())
    configure(full, "zoo/package", visibility="public")

    registry = f"localhost:{full.host.rpartition(':')[2]}"  # wkg speaks plain HTTP to this name alone
    settings = f'default_registry = "{registry}"\n[registry."{registry}".oci]\nprotocol = "http"\n'
    shell.file("wkg.toml").write_text(settings)
    before = answered(full)
    shell.type(f"{peer('wkg')} get zoo:package@1.0.0 --config wkg.toml --format wasm -o ./package.wasm")
    assert shell.file("package.wasm").read_bytes() == module
    assert answered(full) > before


def answered(hub: HubProcess) -> int:
    """How many requests the pages and their API have answered with 200: where registry.json is asked for."""
    text = httpx.get(f"{hub.url}/metrics", trust_env=False).text
    found = re.search(r'door="web",status="200"} (\d+)', text)
    return int(found[1]) if found else 0
