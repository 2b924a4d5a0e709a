"""What the hub made of a manifest stays as long as that one, or as somebody needs it for itself."""

import secrets
from collections.abc import Iterator

import pytest

from deploy.means import Means
from tests.deploy.deriving import derive, means_beside, push_cncf
from tests.deploy.fleet import Fleet, header_filter
from tests.garbage.yard import Yard
from tests.oci import OCI_INDEX


@pytest.fixture(scope="module")
def means(yard: Yard) -> Iterator[Means]:
    """The hub's stores, from beside it."""
    database = yard.hub.open_database()
    yield means_beside(database, yard.blobs())
    database.close()


def made_of(yard: Yard, means: Means, name: str) -> tuple[str, str, str]:
    """A pushed image of a new module, what was derived from it, and the layer of that."""
    source = push_cncf(yard.client, name, header_filter(secrets.token_hex(4)))
    made = derive(means, name, source)
    layer = yard.client.ask("GET", f"/v2/{name}/manifests/{made}").json()["layers"][0]["digest"]
    return source, made, layer


def delete(yard: Yard, name: str, digest: str) -> None:
    answer = yard.client.ask("DELETE", f"/v2/{name}/manifests/{digest}", scope=f"repository:{name}:delete")
    assert answer.status_code == 202, answer.text


def test_it_stays_while_its_source_does_and_goes_after_it(yard: Yard, means: Means, name: str) -> None:
    source, made, layer = made_of(yard, means, name)
    yard.client.ask("DELETE", f"/v2/{name}/manifests/1", scope=f"repository:{name}:delete")  # the tag
    assert yard.collect_after_leases()["derived"] == 0
    assert (yard.status(name, made, "manifests"), yard.status(name, layer)) == (200, 200)

    delete(yard, name, source)
    assert yard.collect(dry_run=True)["derived"] == 1
    assert yard.status(name, made, "manifests") == 200
    figures = yard.collect()

    assert figures["derived"] == 1 and figures["blobs"] >= 2
    assert (yard.status(name, made, "manifests"), yard.status(name, layer)) == (404, 404)


def test_what_somebody_tagged_listed_or_deployed_stays(yard: Yard, means: Means, name: str) -> None:
    tagged, listed, deployed = (made_of(yard, means, f"{name}-{number}") for number in range(3))
    names = [f"{name}-{number}" for number in range(3)]
    content = yard.client.ask("GET", f"/v2/{names[0]}/manifests/{tagged[1]}").content
    yard.client.push_manifest(names[0], "mine", content)
    child = f'{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{listed[1]}","size":1}}'
    index = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{child}]}}'.encode()
    yard.client.push_manifest(names[1], "all", index, OCI_INDEX)
    with Fleet(yard.hub, f"edge-{secrets.token_hex(4)}") as fleet:
        fleet.deploy("marks", f"{names[2]}@{deployed[1]}")
        for where, (source, *_) in zip(names, (tagged, listed, deployed), strict=True):
            if where != names[2]:
                delete(yard, where, source)
        yard.client.ask("DELETE", f"/v2/{names[2]}/manifests/1", scope=f"repository:{names[2]}:delete")
        delete(yard, names[2], deployed[0])
        yard.collect_after_leases()
        for where, (_, made, layer) in zip(names, (tagged, listed, deployed), strict=True):
            assert (yard.status(where, made, "manifests"), yard.status(where, layer)) == (200, 200), where
        fleet.undeploy("marks")
        assert yard.collect()["derived"] == 1
        assert yard.status(names[2], deployed[1], "manifests") == 404
