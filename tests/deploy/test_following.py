"""Deployments that follow a tag or a range: what a push makes of them, what ends it, and what is not followed."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from proxywasm.images import OCI_INDEX, OCI_MANIFEST
from tests.auth.people import People
from tests.auth.signing import push_signature
from tests.deploy.fleet import Fleet, header_filter, until
from tests.deploy.polling import Polling
from tests.deploy.test_checks import SIGNER
from tests.deploy.test_deployments_api import push_schema
from tests.oci import EMPTY, filter_manifest

FREEZE = {"why": "the shop is open"}


@pytest.fixture
def repository(fleet: Fleet) -> str:
    """A repository of its own, with version 1.0.0; the part of its name that pushes take."""
    name = f"followed-{secrets.token_hex(4)}"
    fleet.push(name, "1.0.0", header_filter("one"))
    return name


def once(fleet: Fleet, holds: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
    """The deployment `marks` once that holds."""
    last: dict[str, Any] = {}

    def look() -> Any:
        last.update(fleet.deployment("marks"))
        return holds(last)

    try:
        until(look, what)
    except AssertionError:
        raise AssertionError(f"not {what}: {last['revision']} {last['follow']}") from None
    return last


def runs(fleet: Fleet, number: int) -> dict[str, Any]:
    """The deployment once that is its revision."""
    return once(fleet, lambda one: one["revision"]["number"] == number, f"revision {number}")


def stays(fleet: Fleet, number: int, seconds: float = 2.5) -> dict[str, Any]:
    """The deployment, after a time in which a look at what moved has come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = fleet.deployment("marks")
        assert found["revision"]["number"] == number, (found["revision"], found["follow"])
        time.sleep(0.1)
    return found


def said(fleet: Fleet, state: str) -> dict[str, Any]:
    """The deployment once what it follows stands so."""
    return once(fleet, lambda one: one["follow"]["state"] == state, state)


def events(fleet: Fleet) -> list[dict[str, Any]]:
    """What the audit log has on it, newest first."""
    found: list[dict[str, Any]] = fleet.http.get(f"/api/v1/events?subject={fleet.name}/marks").json()["events"]
    return found


def configure(fleet: Fleet, **settings: Any) -> None:
    """Other settings of the target."""
    answer = fleet.http.patch(fleet.path, json={"settings": {"refresh_seconds": 0.2, **settings}})
    assert answer.status_code == 200, answer.text


def test_a_tag_that_moves_is_one_revision_each_time(fleet: Fleet, repository: str) -> None:
    fleet.push(repository, "1", header_filter("one"))
    made = fleet.deploy("marks", f"admin/{repository}:1", follow="tag", config={"a": 1}, order=7)
    follow = made["follow"]
    assert (follow["tag"], follow["range"], follow["state"], follow["by"]) == ("1", None, "follows", "admin")
    for number, mark in enumerate(("two", "three", "one"), 2):
        fleet.push(repository, "1", header_filter(mark))
        began = time.monotonic()
        found = runs(fleet, number)
        assert time.monotonic() - began < 10
        now = found["revision"]
        assert (now["action"], now["reference"], now["created_by"]) == ("follow", f"admin/{repository}:1", "admin")
        assert (now["config"], now["order"]) == ('{"a": 1}', 7)
    fleet.push(repository, "1", header_filter("one"))
    fleet.push(repository, "2", header_filter("else"))
    found = stays(fleet, 4)
    assert [one["action"] for one in found["revisions"]] == ["follow", "follow", "follow", "deploy"]
    assert [one["action"] for one in events(fleet)] == ["deployment.follow"] * 3 + ["deployment.deploy"]
    assert found["follow"]["since"] == follow["since"] and found["follow"]["message"] == ""


def test_a_first_version_goes_out_in_waves_before_what_the_tag_brings_next(fleet: Fleet, repository: str) -> None:
    """What is followed and the first rollout are begun by one call; the tag moves in the middle of it."""

    def begin() -> int:
        fleet.push(repository, "1", header_filter("one"))
        waves = {"waves": [50, 100], "bake": "1s"}
        number: int = fleet.deploy("marks", f"admin/{repository}:1", follow="tag", rollout=waves)["rollout"]
        fleet.push(repository, "1", header_filter("two"))
        return number

    with Polling(fleet):
        first = begin()
        found = runs(fleet, 2)
        assert found["revision"]["action"] == "follow" and found["follow"]["waves"] == [50, 100]
        one, two = (fleet.http.get(f"/api/v1/rollouts/{number}").json() for number in (first, found["rollout"]))
        assert (one["from_revision"], one["state"]) == (0, "done")
        assert (two["from_revision"], two["to_revision"]) == (1, 2)
        assert fleet.http.post(f"/api/v1/rollouts/{two['id']}/abort").json()["back_revision"] == 3
        left = stays(fleet, 3, 1)
        assert left["slot"] == 1 and left["follow"]["state"] == "refused", "one runs on, and two does not come again"
        fleet.undeploy("marks")
    assert fleet.http.post(f"/api/v1/rollouts/{begin()}/abort").status_code == 200
    left = stays(fleet, 1)
    assert (left["slot"], left["follow"]) == (None, None), "nothing runs, so nothing is followed"


def test_a_range_takes_the_highest_version_and_never_goes_down(fleet: Fleet, repository: str) -> None:
    fleet.push(repository, "1.1.0", header_filter("1.1"))
    fleet.push(repository, "2.0.0", header_filter("2.0"))
    made = fleet.deploy("marks", f"admin/{repository}", follow=" ^1.0 ")
    assert made["revision"]["reference"] == f"admin/{repository}:1.1.0", "the highest that is there"
    assert (made["follow"]["tag"], made["follow"]["range"]) == (None, "^1.0")
    for tag in ("1.0.9", "1.2.0-rc.1", "2.1.0", "latest"):
        fleet.push(repository, tag, header_filter(tag))
    stays(fleet, 1)
    fleet.push(repository, "v1.10.0", header_filter("1.10"))
    assert runs(fleet, 2)["revision"]["reference"] == f"admin/{repository}:v1.10.0"
    fleet.push(repository, "v1.10.0", header_filter("1.10 anew"))
    runs(fleet, 3)
    fleet.push(repository, "1.9.0", header_filter("1.9"))
    gone = fleet.oci.ask("DELETE", f"/v2/admin/{repository}/manifests/v1.10.0")
    assert gone.status_code == 202, gone.text
    found = stays(fleet, 3)
    assert found["revision"]["reference"] == f"admin/{repository}:v1.10.0"
    fleet.push(repository, "1.11.0", header_filter("1.11"))
    assert runs(fleet, 4)["revision"]["reference"] == f"admin/{repository}:1.11.0"


def test_whatever_a_person_deploys_ends_it_and_says_so(fleet: Fleet, repository: str) -> None:
    name = f"admin/{repository}"
    fleet.deploy("marks", f"{name}:1.0.0", follow="tag")
    kept = fleet.put("marks", config={"b": 2}).json()
    assert kept["follow"]["tag"] == "1.0.0" and kept["warnings"] == [], "a change of the config alone keeps it"
    turned = fleet.put("marks", follow=">=1.0 <3").json()
    assert (turned["follow"]["range"], turned["revision"]["reference"]) == (">=1.0 <3", f"{name}:1.0.0")
    ended = fleet.put("marks", reference=f"{name}:1.0.0").json()
    assert ended["follow"] is None
    assert ended["warnings"] == [f"it no longer follows {name} >=1.0 <3"]
    fleet.push(repository, "1.0.0", header_filter("moved"))
    assert stays(fleet, 4)["follow"] is None
    fleet.put("marks", follow="tag")
    runs(fleet, 6)  # the tag had moved since
    back = fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={"revision": 1}).json()
    assert back["follow"] is None and "no longer follows the tag" in back["warnings"][0]
    stays(fleet, 7)
    fleet.deploy("marks", f"{name}:1.0.0", follow="tag")
    assert fleet.put("marks", follow=None).json()["follow"] is None
    fleet.deploy("marks", f"{name}:1.0.0", follow="tag")
    fleet.undeploy("marks")
    assert fleet.deploy("marks", f"{name}:1.0.0")["follow"] is None


@pytest.mark.parametrize(
    ("reference", "follow", "status", "says"),
    [
        ("{}:1.0.0", 7, 400, 'follow must be "tag", a range of versions such as "^1.2", or null'),
        ("{}:1.0.0", "latest", 400, "follow must be \"tag\", or a range of versions: 'latest' is no range"),
        ("{}", "tag", 400, 'follow "tag" needs a reference with a tag'),
        ("{}@sha256:" + "0" * 64, "tag", 400, "names a digest, which never moves"),
        ("{}:1.0.0", "^2", 400, "is no version in ^2"),
        ("{}", "^2", 404, "has no version in ^2; push one first"),
        (None, "tag", 400, "the field reference is missing"),
    ],
)
def test_what_cannot_be_followed_is_said(
    fleet: Fleet, repository: str, reference: str | None, follow: Any, status: int, says: str
) -> None:
    body = {} if reference is None else {"reference": reference.format(f"admin/{repository}")}
    answer = fleet.put("marks", follow=follow, **body)
    assert answer.status_code == status and says in answer.json()["error"]["message"], answer.text
    assert fleet.http.get(f"{fleet.path}/deployments/marks").status_code == 404


def test_what_is_refused_is_said_once_and_leaves_what_runs(fleet: Fleet, repository: str) -> None:
    name = f"admin/{repository}"
    fleet.deploy("marks", name, follow="^1", config={"old": 1})
    module = header_filter("strict")
    for blob in (EMPTY, module):
        fleet.oci.push_blob(name, blob)
    manifest = filter_manifest(module)
    digest = fleet.oci.push_manifest(name, "strict", manifest)
    push_schema(fleet, name, b'{"required": ["new"]}', tag="strict")
    fleet.oci.push_manifest(name, "1.1.0", manifest, OCI_MANIFEST)
    found = said(fleet, "refused")
    why = f"the config does not fit the schema of {name}: 'new' is a required property"
    assert found["follow"]["message"] == f"does not follow {name}:1.1.0: {why}"
    assert found["revision"]["reference"] == f"{name}:1.0.0" and found["follow"]["again_at"] is not None
    stays(fleet, 1, seconds=5)  # it was tried again meanwhile
    refused = [one for one in events(fleet) if one["action"] == "deployment.follow"]
    assert [(one["result"], one["detail"]["manifest"]) for one in refused] == [("refused", digest)]
    assert refused[0]["detail"]["why"] == why and refused[0]["actor"] == "system"
    assert fleet.put("marks", config={"new": 1}).status_code == 200
    assert runs(fleet, 3)["follow"]["state"] == "follows", "what was refused is looked at beside the new config"


def test_a_closed_target_holds_it_until_it_opens(fleet: Fleet, repository: str) -> None:
    fleet.push(repository, "1", header_filter("one"))
    fleet.deploy("marks", f"admin/{repository}:1", follow="tag")
    configure(fleet, freeze=FREEZE)
    fleet.push(repository, "1", header_filter("two"))
    held = said(fleet, "waiting")["follow"]
    assert held["message"] == f"waits to follow admin/{repository}:1: {fleet.name} is frozen: the shop is open"
    assert held["again_at"] is None
    stays(fleet, 1)
    configure(fleet)
    assert runs(fleet, 2)["follow"]["state"] == "follows"
    until_soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    configure(fleet, freeze={**FREEZE, "until": until_soon})
    fleet.push(repository, "1", header_filter("three"))
    assert said(fleet, "waiting")["follow"]["again_at"] == until_soon
    runs(fleet, 3)


def test_it_goes_by_what_the_person_may_who_said_so(fleet: Fleet, repository: str, people: People) -> None:
    team, ann = f"team-{secrets.token_hex(3)}", f"ann-{secrets.token_hex(3)}"
    user = people.user(ann)
    people.team(team, **{ann: "maintainer"})
    token = people.token(user)
    name = f"{fleet.name}-team"
    with httpx.Client(base_url=fleet.hub.url, trust_env=False, verify=fleet.hub.trust) as http:
        http.headers["Authorization"] = f"Bearer {token}"
        made = http.post("/api/v1/targets", json={"name": name, "namespace": team})
        assert made.status_code == 201, made.text
    path, oci = f"/api/v1/targets/{name}/deployments/marks", fleet.oci
    oci.push_filter(f"{team}/waf", "1", header_filter("one"))
    headers = {"Authorization": f"Bearer {token}"}
    body = {"reference": f"{team}/waf:1", "follow": "tag"}
    with httpx.Client(base_url=fleet.hub.url, trust_env=False, verify=fleet.hub.trust) as http:
        assert http.put(path, json=body, headers=headers).status_code == 201

    def look(holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return dict(until(lambda: holds(one := fleet.http.get(path).json()) and one, "so"))

    oci.push_filter(f"{team}/waf", "1", header_filter("two"))
    assert look(lambda one: one["revision"]["number"] == 2)["revision"]["created_by"] == ann
    people.team_role(team, user, "reader")
    oci.push_filter(f"{team}/waf", "1", header_filter("three"))
    found = look(lambda one: one["follow"]["state"] == "refused")
    assert f"{ann}, who said that it follows, may not deploy to {name} any more" in found["follow"]["message"]
    people.team_role(team, user, "maintainer")
    assert look(lambda one: one["revision"]["number"] == 3)["follow"]["state"] == "follows", "tried again after a while"
    people.run("UPDATE users SET active = :no WHERE id = :id", no=False, id=user)
    oci.push_filter(f"{team}/waf", "1", header_filter("four"))
    found = look(lambda one: one["follow"]["state"] == "refused")
    assert "whoever said that it follows may not sign in any more" in found["follow"]["message"]
    assert found["revision"]["number"] == 3


def test_what_became_unreadable_is_not_named(fleet: Fleet, repository: str, people: People) -> None:
    ann = f"ann-{secrets.token_hex(3)}"
    token, full = people.token(people.user(ann)), f"admin/{repository}"
    fleet.push(repository, "1.0.0", header_filter("one"))
    grants = f"/api/v1/repositories/{full}/grants"
    granted = fleet.http.put(f"{grants}/{ann}", json={"role": "reader"})
    assert granted.status_code in (200, 201, 204), granted.text
    path = f"/api/v1/targets/{ann}-fleet/deployments/marks"
    with httpx.Client(base_url=fleet.hub.url, trust_env=False, verify=fleet.hub.trust) as http:
        http.headers["Authorization"] = f"Bearer {token}"
        made = http.post("/api/v1/targets", json={"name": f"{ann}-fleet"})
        assert made.status_code == 201, made.text
        put = http.put(path, json={"reference": f"{full}:1.0.0", "follow": "*"})
        assert put.status_code == 201, put.text
        assert fleet.http.delete(f"{grants}/{ann}").status_code in (200, 204)
        for tag in ("1.1.0", "1.2.0"):
            digest = fleet.oci.push_filter(full, tag, header_filter(f"secret-{tag}"))
        found = until(lambda: (one := http.get(path).json())["follow"]["state"] == "refused" and one, "it is refused")
        assert f"does not follow {full}: {ann}, who said that it follows, may not read" in found["follow"]["message"]
        time.sleep(2.5)
        told = http.get(path).text + http.get("/api/v1/events", params={"action": "deployment.follow"}).text
        assert "1.1.0" not in told and "1.2.0" not in told and digest not in told


def test_a_version_that_is_signed_later_comes_then(fleet: Fleet, repository: str) -> None:
    fleet.push(repository, "1", header_filter("one"))
    fleet.deploy("marks", f"admin/{repository}:1", follow="tag")
    configure(fleet, cosign_keys=[SIGNER.pem])
    digest = fleet.oci.push_filter(f"admin/{repository}", "1", header_filter("two"))
    assert "is not signed by a key that target" in said(fleet, "refused")["follow"]["message"]
    push_signature(fleet.oci, f"admin/{repository}", digest, SIGNER)
    assert runs(fleet, 2)["revision"]["digest"] == digest, "tried again by itself"


def test_an_index_is_followed_by_what_it_lists(fleet: Fleet, repository: str) -> None:
    name = f"admin/{repository}"

    def push_index(mark: str, **more: Any) -> str:
        content = filter_manifest(header_filter(mark))
        child = fleet.oci.push_filter(name, f"{mark}-alone", header_filter(mark))
        entry = {"mediaType": OCI_MANIFEST, "digest": child, "size": len(content)}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry], **more}
        fleet.oci.push_manifest(name, "1", json.dumps(index).encode(), OCI_INDEX)
        return child

    first = push_index("one")
    assert fleet.deploy("marks", f"{name}:1", follow="tag")["revision"]["digest"] == first
    push_index("one", annotations={"a": "b"})
    stays(fleet, 1)  # another index of the same image
    second = push_index("two")
    assert runs(fleet, 2)["revision"]["digest"] == second


def test_a_tag_that_is_deleted_changes_nothing_until_it_is_there_again(fleet: Fleet, repository: str) -> None:
    fleet.push(repository, "1", header_filter("one"))
    fleet.deploy("marks", f"admin/{repository}:1", follow="tag")
    gone = fleet.oci.ask("DELETE", f"/v2/admin/{repository}/manifests/1")
    assert gone.status_code == 202
    assert stays(fleet, 1)["follow"]["state"] == "follows", "a tag that is gone changes nothing"
    fleet.push(repository, "1", header_filter("two"))
    runs(fleet, 2)
