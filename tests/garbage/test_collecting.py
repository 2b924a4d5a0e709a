"""What is collected and what stays, through the front door."""

import secrets
import time

import httpx
import pytest

from tests.garbage.yard import LEASE_IS_OVER, Yard, until
from tests.oci import EMPTY, OCI_INDEX, digest_of, image
from tests.peers import built_filter


def test_what_a_deleted_manifest_named_goes_and_can_be_pushed_again(yard: Yard, name: str) -> None:
    layer = secrets.token_bytes(5000)
    digest = yard.client.push_image(name, "v1", layer)
    yard.collect_after_leases()
    assert yard.status(name, digest_of(layer)) == 200

    before = yard.stored()
    yard.client.ask("DELETE", f"/v2/{name}/manifests/{digest}")
    figures = yard.collect()
    assert figures["blobs"] >= 1 and figures["bytes"] >= len(layer)
    assert yard.status(name, digest_of(layer)) == 404
    assert before - yard.stored() == set()  # readers have a while yet
    yard.collect_until_stored(len(before) - figures["blobs"])

    assert yard.client.push_image(name, "v1", layer) == digest
    got = yard.client.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}", follow_redirects=True)
    assert got.content == layer
    assert yard.stored() - before  # under a key that it never had


def test_a_dry_run_tells_and_leaves(yard: Yard, name: str) -> None:
    layer = secrets.token_bytes(700)
    digest = yard.client.push_image(name, "v1", layer)
    yard.collect_after_leases()
    yard.client.ask("DELETE", f"/v2/{name}/manifests/{digest}")
    told = yard.collect(dry_run=True)
    assert (told["blobs"] >= 1, told["links"] >= 2) == (True, True)
    assert yard.status(name, digest_of(layer)) == 200
    done = yard.collect()
    assert {key: done[key] for key in ("links", "blobs", "bytes")} == {
        key: told[key] for key in ("links", "blobs", "bytes")
    }
    assert yard.status(name, digest_of(layer)) == 404


def collected_later(yard: Yard, repository: str, layer: bytes) -> bool:
    """Whether a blob goes with one of the next collections, where a busy machine moved the hub's clock on too late."""
    for _ in range(5):
        yard.collect_after_leases()
        if yard.status(repository, digest_of(layer)) == 404:
            return True
    return False


def test_a_blob_that_two_repositories_hold_stays_until_both_are_done_with_it(yard: Yard, name: str) -> None:
    layer, other = secrets.token_bytes(800), f"{name}-other"
    digest = yard.client.push_image(name, "v1", layer)
    scope = f"repository:{other}:pull,push repository:{name}:pull"
    for blob in (layer, EMPTY):
        path = f"/v2/{other}/blobs/uploads/?mount={digest_of(blob)}&from={name}"
        assert yard.client.ask("POST", path, scope=scope).status_code == 201
    yard.client.push_manifest(other, "v1", image(layer))
    for repository, then in ((name, 200), (other, 404)):
        yard.client.ask("DELETE", f"/v2/{repository}/manifests/{digest}")
        yard.collect_after_leases()
        assert yard.status(other, digest_of(layer)) == then or (collected_later(yard, other, layer) and then == 404)
        assert yard.status(repository, digest_of(layer)) == 404 or collected_later(yard, repository, layer)


@pytest.mark.parametrize("untag", [True, False], ids=["untagged", "tagged"])
def test_manifests_stay_with_or_without_a_tag(yard: Yard, name: str, untag: bool) -> None:
    layer = secrets.token_bytes(600)
    digest = yard.client.push_image(name, "v1", layer)
    if untag:
        yard.client.ask("DELETE", f"/v2/{name}/manifests/v1")
    yard.collect_after_leases()
    assert yard.status(name, digest, "manifests") == 200
    assert yard.status(name, digest_of(layer)) == 200


def test_what_nested_indexes_and_referrers_name_stays(yard: Yard, name: str) -> None:
    layer, signature = secrets.token_bytes(600), secrets.token_bytes(100)
    child = image(layer)
    for blob in (layer, EMPTY, signature):
        yard.client.push_blob(name, blob)
    digest = yard.client.push_manifest(name, digest_of(child), child)
    for depth in range(3):
        size = len(child)
        body = (
            f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"a/b","digest":"{digest}",'
            f'"size":{size}}}],"annotations":{{"depth":"{depth}"}}}}'
        ).encode()
        digest, child = yard.client.push_manifest(name, "top", body, OCI_INDEX), body
    subject = {"mediaType": OCI_INDEX, "digest": digest, "size": len(child)}
    referrer = image(signature, subject=subject)
    yard.client.push_manifest(name, digest_of(referrer), referrer)
    yard.collect_after_leases()
    assert yard.status(name, digest_of(layer)) == 200
    assert yard.status(name, digest_of(signature)) == 200


def test_the_same_bytes_under_two_digests_are_two_blobs(yard: Yard, name: str) -> None:
    layer = secrets.token_bytes(600)
    yard.client.push_image(name, "v1", layer)
    by_sha512 = yard.client.push_blob(name, layer, "sha512")
    yard.collect_after_leases()
    assert (yard.status(name, digest_of(layer)), yard.status(name, by_sha512)) == (200, 404)


def test_whoever_may_push_and_is_told_that_a_blob_is_there_can_count_on_it(yard: Yard, name: str) -> None:
    layer = secrets.token_bytes(600)
    for blob in (layer, EMPTY):
        yard.client.push_blob(name, blob)
    end = time.monotonic() + 2 * LEASE_IS_OVER
    while time.monotonic() < end:
        for blob in (layer, EMPTY):
            assert yard.status(name, digest_of(blob), "blobs", "GET", "pull,push") == 200  # fills the cache
            assert yard.status(name, digest_of(blob), "blobs", "HEAD", "pull,push") == 200
        yard.collect()
    yard.client.push_manifest(name, "v1", image(layer))
    assert yard.status(name, digest_of(layer)) == 200


def test_asking_without_the_right_to_push_keeps_nothing(yard: Yard, name: str) -> None:
    digest = yard.client.push_blob(name, secrets.token_bytes(600))
    end = time.monotonic() + LEASE_IS_OVER
    while time.monotonic() < end:
        yard.status(name, digest, "blobs", "HEAD", "pull")
        time.sleep(0.1)
    yard.collect()
    assert yard.status(name, digest, "blobs", "HEAD", "pull") == 404


def test_what_a_deployment_runs_stays_when_it_is_taken_out_of_its_repository(yard: Yard, name: str) -> None:
    layer, where = _deployed(yard, name)
    assert yard.client.ask("DELETE", f"/v2/{name}/blobs/{layer}").status_code == 202
    key = _key_of(yard, layer)
    _have_read_again(yard)
    yard.collect_after_leases()
    assert _key_of(yard, layer) == key
    assert yard.api.delete(where).status_code == 204
    yard.collect()
    assert _key_of(yard, layer) is None


def test_what_a_deployment_runs_stays_when_it_cannot_be_read_again(yard: Yard, name: str) -> None:
    layer, _ = _deployed(yard, name)
    assert yard.client.ask("DELETE", f"/v2/{name}/blobs/{layer}").status_code == 202
    key, blobs = _key_of(yard, layer), yard.blobs()
    assert key is not None
    content = blobs.read(key)
    blobs.discard(key)  # the store has lost it for a while
    _have_read_again(yard)
    yard.put_back(key, content)
    yard.collect_after_leases()
    assert _key_of(yard, layer) == key


def test_what_a_crash_leaves_goes_and_what_is_named_stays(yard: Yard, name: str) -> None:
    layer = secrets.token_bytes(600)
    yard.client.push_image(name, "v1", layer)
    begun = yard.client.ask("POST", f"/v2/{name}/blobs/uploads/", scope=f"repository:{name}:pull,push")
    path = begun.headers["location"]
    scope = f"repository:{name}:pull,push"
    assert yard.client.ask("PATCH", path, content=layer[:100], scope=scope).status_code == 202
    left = _leave_copies(yard, 3)
    figures = yard.collect()
    assert figures["orphans"] >= 3
    until(lambda: yard.collect() and not left & yard.stored(), "the removal of what was left", pause=0.4)
    answer = yard.client.ask("PUT", f"{path}?digest={digest_of(layer)}", content=layer[100:], scope=scope)
    assert answer.status_code == 201, answer.text
    assert yard.status(name, digest_of(layer)) == 200


def _deployed(yard: Yard, name: str) -> tuple[str, str]:
    """A filter that a deployment runs: the digest of its layer, and the deployment's path."""
    module = built_filter("add-header").read_bytes() + b"\x00\x14\x03xyz" + secrets.token_bytes(16)
    yard.client.push_filter(name, "1", module)
    target = f"t{secrets.token_hex(4)}"
    made = yard.api.post("/targets", json={"name": target})
    assert made.status_code == 201, made.text
    where = f"/targets/{target}/deployments/one"

    def deploy() -> httpx.Response | None:
        answer = yard.api.put(where, json={"reference": f"{name}:1"})
        return answer if answer.status_code == 201 else None

    until(deploy, "the deployment")
    return digest_of(module), where


def _key_of(yard: Yard, digest: str) -> str | None:
    database = yard.hub.open_database()
    try:
        with database.read() as session:
            row = session.connection().exec_driver_sql(f"SELECT key FROM blobs WHERE digest = '{digest}'").first()
    finally:
        database.close()
    return None if row is None else str(row[0])


def _have_read_again(yard: Yard) -> None:
    """Has all modules read anew, as a newer reader does, and waits for it."""
    database = yard.hub.open_database()
    try:
        with database.write() as session:
            session.connection().exec_driver_sql("UPDATE inspections SET reader_version = 0 WHERE state = 'module'")

        def look() -> bool:
            asked = "SELECT COUNT(*) FROM inspections WHERE state = 'module' AND reader_version = 0"
            with database.read() as session:
                return session.connection().exec_driver_sql(asked).scalar() == 0

        until(look, "the reading of all modules")
    finally:
        database.close()


def _leave_copies(yard: Yard, count: int) -> set[str]:
    """Copies that were finished, but whose rows were never committed."""
    blobs = yard.blobs()
    left = set()
    for _ in range(count):
        with blobs.resume(blobs.new_key(), 0, None) as writer:
            writer.write([secrets.token_bytes(100)])
            left.add(writer.finish())
    return left


def test_metrics_tell_what_was_removed(yard: Yard, name: str) -> None:
    yard.client.push_blob(name, secrets.token_bytes(300))
    yard.collect_after_leases()
    lines = dict(
        line.rsplit(" ", 1) for line in httpx.get(f"{yard.hub.url}/metrics", trust_env=False).text.splitlines()
    )
    assert int(lines['wasmhub_gc_removed_total{kind="blobs"}']) >= 1
    assert int(lines["wasmhub_gc_freed_bytes_total"]) >= 300
    assert int(lines['wasmhub_gc_runs_total{result="finished"}']) >= 1


def test_only_administrators_may_ask_for_a_run(yard: Yard) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{yard.hub.url}/api/v1/garbage-collections", trust_env=False)
        assert answer.status_code == 401
    assert yard.api.get("/garbage-collections/nonsense").status_code == 404
    assert yard.api.get("/garbage-collections/999999999").status_code == 404
