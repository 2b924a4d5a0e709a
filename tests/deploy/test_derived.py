"""What is made of an image that a target cannot fetch: by whom it can be fetched, and that it is the same module."""

import gzip
import hashlib
import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.images.derived import readable_manifest
from deploy.images.repacking import make_layer
from deploy.means import Means
from storage.database import Conflict
from storage.usage import Limits, Meter
from tests.auth.people import People
from tests.clients.home import Home
from tests.clients.image import module_in_layout
from tests.clients.programs import login_crane
from tests.deploy.deriving import (
    CNCF,
    DEPLOYER,
    DERIVED,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_LAYER,
    WASM_TO_OCI,
    archive,
    derive,
    found_in,
    means_beside,
    push,
    push_cncf,
)
from tests.deploy.fleet import Fleet, header_filter
from tests.garbage.yard import Yard
from tests.hub import HubProcess
from tests.oci import EMPTY, WASM_CONFIG, WASM_LAYER, Client, digest_of

MODULE, OTHER = header_filter("derived"), header_filter("another")
SOLO = ((EMPTY, WASM_CONFIG), (MODULE, WASM_LAYER))
MESHES = ("istio", "envoy-gateway")


@pytest.fixture(scope="module")
def means(hub: HubProcess) -> Iterator[Means]:
    """The shared hub's stores, from beside it."""
    database = hub.open_database()
    yield means_beside(database, Yard(hub).blobs())
    database.close()


@pytest.fixture(scope="module")
def client(hub: HubProcess) -> Iterator[Client]:
    """The administrator."""
    made = Client(hub.url, "admin", hub.admin_password)
    yield made
    made.close()


@pytest.fixture
def name() -> str:
    """A repository that no other test uses."""
    return f"admin/derived-{secrets.token_hex(4)}"


def test_crane_pulls_an_image_of_the_same_module(
    means: Means, client: Client, name: str, hub: HubProcess, tmp_path: Path
) -> None:
    digest = push_cncf(client, name, MODULE)
    made = derive(means, name, digest)
    assert made != digest

    home = Home(tmp_path, hub.host)
    login_crane(home, "admin", hub.admin_password)
    home.run("crane", "pull", "--format", "oci", f"{hub.host}/{name}@{made}", "pulled-by-crane")
    assert module_in_layout(home.path("pulled-by-crane")) == MODULE
    manifest = json.loads(home.run("crane", "manifest", f"{hub.host}/{name}@{made}"))
    assert [layer["mediaType"] for layer in manifest["layers"]] == [OCI_LAYER]
    assert manifest["subject"]["digest"] == digest and manifest["artifactType"] == DERIVED
    layer = home.run("crane", "blob", f"{hub.host}/{name}@{manifest['layers'][0]['digest']}")
    assert layer == b"".join(make_layer("compat-oci", MODULE))
    packed = gzip.decompress(layer)
    assert packed[512 : 512 + len(MODULE)] == MODULE
    config = json.loads(home.run("crane", "config", f"{hub.host}/{name}@{made}"))
    assert config["rootfs"]["diff_ids"] == [digest_of(packed)]
    assert (config["os"], config["architecture"], config["created"]) == ("linux", "amd64", "1970-01-01T00:00:00Z")


def test_the_archive_is_of_nobody_and_of_no_time() -> None:
    layer = b"".join(make_layer("compat-oci", MODULE))

    assert layer[4:8] == bytes(4)  # gzip's time
    header = gzip.decompress(layer)[:512]
    assert header[:12] == b"plugin.wasm\0" and header[100:108] == b"0000644\0"
    assert header[108:124] == b"0000000\0" * 2 and header[136:148] == b"00000000000\0"
    assert header[156:157] == b"0" and not header[265:329].strip(b"\0")  # a file; of no user and no group
    assert header[124:136] == b"%011o\0" % len(MODULE)
    assert len(gzip.decompress(layer)) % 512 == 0


def test_it_is_made_once(means: Means, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)

    made = derive(means, name, digest)

    assert [derive(means, name, digest, kind) for kind in MESHES] == [made, made]
    listed = client.ask("GET", f"/v2/{name}/referrers/{digest}", params={"artifactType": DERIVED}).json()["manifests"]
    assert [one["digest"] for one in listed] == [made]
    # The reader finds in it what was said to be in it.
    found = found_in(means.database, name, made)
    before = found_in(means.database, name, digest)
    assert found.reading is not None and before.reading is not None
    assert (found.reading.state, found.reading.format) == ("module", "compat-oci")
    assert found.reading.module_sha256 == before.reading.module_sha256 == hashlib.sha256(MODULE).hexdigest()


def test_the_same_module_gives_the_same_layer_and_config(means: Means, client: Client, name: str) -> None:
    blobs = []
    for tag, (config, layer) in (("1", CNCF), ("2", WASM_TO_OCI)):
        digest = push(client, name, (MODULE, layer), config=config, tag=tag)
        made = client.ask("GET", f"/v2/{name}/manifests/{derive(means, name, digest)}").json()
        blobs.append((made["config"], made["layers"]))
    assert blobs[0] == blobs[1]


def test_two_at_once_do_no_harm(hub: HubProcess, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)
    database = hub.open_database()
    blobs = Yard(hub).blobs()
    try:
        with ThreadPoolExecutor(4) as pool:
            made = set(pool.map(lambda _: derive(means_beside(database, blobs), name, digest), range(4)))
    finally:
        database.close()
    assert len(made) == 1
    listed = client.ask("GET", f"/v2/{name}/referrers/{digest}").json()["manifests"]
    assert len(listed) == 1


@pytest.mark.parametrize("kind", MESHES)
@pytest.mark.parametrize(
    ("layers", "more"),
    [
        (((archive(MODULE), OCI_LAYER),), {}),
        (((archive(OTHER), OCI_LAYER), (archive(MODULE), OCI_LAYER)), {}),
        (((archive(MODULE), DOCKER_LAYER),), {"media_type": DOCKER_MANIFEST}),
        (SOLO, {"config": WASM_CONFIG}),
    ],
    ids=["compat", "last layer", "docker", "solo"],
)
def test_what_a_mesh_can_fetch_is_fetched_as_it_was_pushed(
    means: Means, client: Client, name: str, kind: str, layers: tuple[tuple[bytes, str], ...], more: dict[str, str]
) -> None:
    digest = push(client, name, *layers, **more)

    assert derive(means, name, digest, kind) == digest


@pytest.mark.parametrize(
    ("layers", "more"),
    [
        (((MODULE, WASM_TO_OCI[1]),), {"config": WASM_TO_OCI[0]}),
        (((MODULE, WASM_LAYER),), {"config": WASM_CONFIG}),
        (((EMPTY, WASM_CONFIG), *SOLO), {"config": WASM_CONFIG}),
        (((gzip.decompress(archive(MODULE)), "application/vnd.oci.image.layer.v1.tar"),), {}),
        (((archive(MODULE), DOCKER_LAYER),), {}),
        (((archive(MODULE), OCI_LAYER),), {"algorithm": "sha512"}),
        # The reader takes the bare module, and Istio's agent would take the archive's.
        (((MODULE, WASM_LAYER), (archive(OTHER), OCI_LAYER)), {"config": WASM_CONFIG}),
        (((MODULE, WASM_LAYER), (OTHER, WASM_LAYER)), {"config": WASM_CONFIG}),
    ],
    ids=["wasm-to-oci", "one layer", "three", "plain tar", "docker layer in OCI", "sha512", "two modules", "two bare"],
)
def test_what_a_mesh_cannot_fetch_is_made_anew(
    means: Means, client: Client, name: str, layers: tuple[tuple[bytes, str], ...], more: dict[str, str]
) -> None:
    digest = push(client, name, *layers, **more)

    made = derive(means, name, digest)

    assert made != digest and made.startswith("sha256:")
    manifest = client.ask("GET", f"/v2/{name}/manifests/{made}").json()
    layer = client.ask("GET", f"/v2/{name}/blobs/{manifest['layers'][-1]['digest']}", follow_redirects=True).content
    assert gzip.decompress(layer)[512 : 512 + len(MODULE)] == MODULE


def test_gloo_gets_its_two_layers(means: Means, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)

    made = derive(means, name, digest, "gloo")

    manifest = client.ask("GET", f"/v2/{name}/manifests/{made}").json()
    assert [layer["mediaType"] for layer in manifest["layers"]] == [WASM_CONFIG, WASM_LAYER]
    assert manifest["layers"][1]["digest"] == digest_of(MODULE)  # the pushed layer itself
    config = client.ask("GET", f"/v2/{name}/blobs/{manifest['config']['digest']}", follow_redirects=True).json()
    assert config == {"type": "envoy_proxy", "abiVersions": ["v0.2.1"], "config": {"rootIds": []}}
    assert derive(means, name, digest, "gloo") == made
    assert derive(means, name, digest, "istio") == made  # Istio reads two layers too


@pytest.mark.parametrize("kind", ["consul", "kuma", "envoy-fleet"])
def test_targets_that_fetch_the_bare_module_need_no_image(means: Means, client: Client, name: str, kind: str) -> None:
    digest = push_cncf(client, name, MODULE)

    assert derive(means, name, digest, kind) == digest


@pytest.mark.parametrize("of_derived", [False, True])
def test_a_layer_that_was_taken_out_is_put_back(means: Means, client: Client, name: str, of_derived: bool) -> None:
    if of_derived:
        digest = push_cncf(client, name, MODULE)
        made = derive(means, name, digest)
        taken = client.ask("GET", f"/v2/{name}/manifests/{made}").json()["layers"][0]["digest"]
    else:
        digest = push(client, name, (archive(MODULE), OCI_LAYER))
        taken = digest_of(archive(MODULE))
    found_in(means.database, name, digest)
    gone = client.ask("DELETE", f"/v2/{name}/blobs/{taken}", scope=f"repository:{name}:delete")
    assert gone.status_code == 202

    again = derive(means, name, digest)

    assert (again == made) if of_derived else (again != digest)
    for layer in client.ask("GET", f"/v2/{name}/manifests/{again}").json()["layers"]:
        assert client.ask("HEAD", f"/v2/{name}/blobs/{layer['digest']}").status_code == 200


def test_it_is_in_use_while_its_source_is(means: Means, client: Client, name: str, fleet: Fleet) -> None:
    digest = push_cncf(client, name, MODULE)
    made = derive(means, name, digest)
    fleet.deploy("marks", f"{name}@{digest}")
    scope = f"repository:{name}:delete"

    answer = client.ask("DELETE", f"/v2/{name}/manifests/{made}", scope=scope)

    assert answer.status_code == 403 and f"{fleet.name}/marks" in answer.text
    fleet.undeploy("marks")
    assert client.ask("DELETE", f"/v2/{name}/manifests/{made}", scope=scope).status_code == 202


def test_it_says_who_had_it_made(means: Means, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)
    made = derive(means, name, digest)

    rows = People(means.database).rows(
        "SELECT actor_name, action FROM events WHERE subject = :subject", subject=f"{name}@{made}"
    )
    assert rows == [("deployer", "manifest.derive")]


def test_it_counts_and_needs_room(means: Means, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)
    found_in(means.database, name, digest)
    full = means_beside(means.database, means.blobs, meter=Meter(Limits(1, 0)))

    with pytest.raises(Conflict, match=r"cannot read .* as it was pushed, and there is no room.* delete what is not"):
        derive(full, name, digest)

    assert client.ask("GET", f"/v2/{name}/referrers/{digest}").json()["manifests"] == []
    assert People(means.database).rows("SELECT id FROM uploads WHERE repository_id = (SELECT id FROM repositories"
                                       " WHERE name = :name)", name=name) == []  # fmt: skip
    assert derive(means, name, digest) != digest


def test_of_what_was_deleted_nothing_is_made(means: Means, client: Client, name: str) -> None:
    digest = push_cncf(client, name, MODULE)
    found = found_in(means.database, name, digest)
    client.ask("DELETE", f"/v2/{name}/manifests/{digest}", scope=f"repository:{name}:delete")

    with pytest.raises(Conflict, match="was deleted meanwhile; push it again"):
        readable_manifest(means, DEPLOYER, found, "istio")


def test_an_image_that_says_it_was_derived_is_looked_at(means: Means, client: Client, name: str) -> None:
    """Who may push may also push something else as such an image: another module is never taken for this one."""
    digest = push_cncf(client, name, MODULE)
    content = client.ask("GET", f"/v2/{name}/manifests/{digest}").content
    forged = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": DERIVED,
            "config": {"mediaType": WASM_CONFIG, "digest": digest_of(EMPTY), "size": 2},
            "layers": [{"mediaType": OCI_LAYER, "digest": client.push_blob(name, archive(OTHER)),
                        "size": len(archive(OTHER))}],
            "subject": {"mediaType": "application/json", "digest": digest, "size": len(content)},
        }
    ).encode()  # fmt: skip
    client.push_manifest(name, "forged", forged)
    found_in(means.database, name, digest_of(forged))

    assert derive(means, name, digest) not in (digest, digest_of(forged))
