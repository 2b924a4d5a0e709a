"""What a target refuses before anything happens: all reasons at once, what can be forced, and who may."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from auth.door import ApiError
from deploy.checks.reasons import Candidate, Verdict, judge
from deploy.meshes.settings import read_mesh_target
from tests.auth.people import PASSWORD, People
from tests.auth.signing import Signer, push_bundle, push_signature
from tests.deploy.fleet import Fleet, header_filter
from tests.deploy.test_deployments_api import push_schema
from tests.deploy.test_targets_api import says
from tests.hub import HubProcess
from tests.oci import OCI_INDEX, OCI_MANIFEST, descriptor
from tests.peers import built_filter

MODULE = header_filter("checked")
SIGNER, STRANGER = Signer(ec.generate_private_key(ec.SECP256R1())), Signer(ed25519.Ed25519PrivateKey.generate())
STRICT: dict[str, Any] = {
    "policy": {"capabilities": {"http_calls": "deny", "shared_data": "warn", "timer": "allow"}},
    "cosign_keys": [SIGNER.pem],
    "max_filters": 1,
}


@pytest.fixture
def strict(hub: HubProcess) -> Iterator[Fleet]:
    """A target that wants much."""
    with Fleet(hub, f"strict-{secrets.token_hex(4)}", **STRICT) as made:
        yield made


def pushed(fleet: Fleet, module: bytes, *, signer: Signer | None = None, tag: str = "1.0.0") -> tuple[str, str]:
    """A repository with the module as that version, signed if a signer is given, and the digest."""
    name = f"admin/strict-{secrets.token_hex(4)}"
    digest = fleet.oci.push_filter(name, tag, module)
    if signer is not None:
        push_signature(fleet.oci, name, digest, signer)
    return name, digest


def reasons(answer: httpx.Response) -> list[tuple[str, bool]]:
    """The reasons of a refusal: each a word, and whether it can be forced."""
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["message"] == "; ".join(one["message"] for one in error["reasons"])
    return [(one["code"], one["forcible"]) for one in error["reasons"]]


def test_all_reasons_come_at_once_with_the_way_out(strict: Fleet) -> None:
    first, digest = pushed(strict, MODULE, signer=SIGNER)
    strict.deploy("first", f"{first}@{digest}")
    name, _ = pushed(strict, built_filter("rust").read_bytes())
    push_schema(strict, name, b'{"required": ["limit"]}')

    answer = strict.put("calls", reference=f"{name}:1.0.0", config={})

    assert reasons(answer) == [("config", False), ("capability", True), ("signature", True), ("max_filters", True)]
    config, capability, signature, room = (one["message"] for one in answer.json()["error"]["reasons"])
    assert config == f"the config does not fit the schema of {name}: 'limit' is a required property"
    assert capability == (
        f"{name}:1.0.0 sends HTTP requests of its own to the proxy's clusters (http_calls), which target {strict.name}"
        " denies; deploy a build that does not, or ask an owner or maintainer of admin to allow or force it"
    )
    assert signature.startswith(f"{name}:1.0.0 is not signed by a key that target {strict.name} names (cosign_keys)")
    assert room.startswith(f"target {strict.name} runs 1 filters there and may run 1 (max_filters); undeploy one")
    assert strict.http.get(f"{strict.path}/deployments/calls").status_code == 404


def test_what_is_forced_runs_and_is_written_down(strict: Fleet, people: People) -> None:
    name, _ = pushed(strict, built_filter("rust").read_bytes())
    reference = f"{name}:1.0.0"
    assert reasons(strict.put("calls", reference=reference)) == [("capability", True), ("signature", True)]

    made = strict.deploy("calls", reference, force=True)

    forced = [one for one in made["warnings"] if one.startswith("forced: ")]
    assert len(forced) == 2
    assert [one for one in made["warnings"] if one not in forced] == [
        f"{reference} keeps data that all workers and filters with its VM id share (shared_data), which target"
        f" {strict.name} warns of"
    ]
    rows = people.rows("SELECT detail FROM events WHERE subject = :subject", subject=f"{strict.name}/calls")
    detail = json.loads(rows[0][0]) if isinstance(rows[0][0], str) else rows[0][0]
    assert [f"forced: {one}" for one in detail["forced"]] == forced
    assert "warnings" not in strict.deployment("calls")


def test_what_cannot_work_cannot_be_forced(strict: Fleet) -> None:
    name, _ = pushed(strict, b"not a module")
    answer = strict.put("marks", reference=f"{name}:1.0.0", force=True)
    assert reasons(answer) == [("module", False)]

    name, _ = pushed(strict, MODULE)
    push_schema(strict, name, b'{"required": ["limit"]}')
    assert reasons(strict.put("marks", reference=f"{name}:1.0.0", force=True)) == [("config", False)]
    says(strict.put("marks", reference=f"{name}:1.0.0", force="yes"), 400, "force must be true or false")


def test_what_is_not_forced_leaves_no_trace_of_it(strict: Fleet, people: People) -> None:
    name, _ = pushed(strict, MODULE, signer=SIGNER)

    assert strict.deploy("marks", name, force=True)["warnings"] == []

    rows = people.rows("SELECT detail FROM events WHERE subject = :subject", subject=f"{strict.name}/marks")
    assert "forced" not in str(rows[0][0])


def test_only_those_who_may_configure_may_force(strict: Fleet, people: People) -> None:
    admin = people.user("admin")
    token = people.token(admin, f"deploys-{secrets.token_hex(3)}", scopes=["target:*:pull,deploy", "repository:*:pull"])
    name, _ = pushed(strict, built_filter("rust").read_bytes())
    path = f"{strict.hub.url}{strict.path}/deployments/calls"
    headers = {"Authorization": f"Bearer {token}"}

    for force, status, text in ((True, 403, "you may not force what"), (False, 422, "which target")):
        body = {"reference": f"{name}:1.0.0", "force": force}
        says(httpx.put(path, json=body, headers=headers, trust_env=False), status, text)


@pytest.mark.parametrize("where", ["tag", "referrer", "bundle"])
def test_a_signature_by_a_key_that_the_target_names(strict: Fleet, where: str) -> None:
    name, digest = pushed(strict, MODULE)

    def sign(signer: Signer) -> None:
        if where == "bundle":
            push_bundle(strict.oci, name, digest, signer)
        else:
            push_signature(strict.oci, name, digest, signer, beside=where == "referrer")

    sign(STRANGER)
    answer = strict.put("marks", reference=f"{name}:1.0.0")
    assert reasons(answer) == [("signature", True)]
    assert "is signed, but not by a key that" in answer.text
    sign(SIGNER)
    strict.deploy("marks", f"{name}:1.0.0")


def test_a_signature_of_another_image_does_not_count(strict: Fleet) -> None:
    name, digest = pushed(strict, MODULE, signer=SIGNER)
    other = strict.oci.push_filter(name, "2.0.0", header_filter("other"))
    signature = strict.oci.ask("GET", f"/v2/{name}/manifests/{digest.replace(':', '-')}.sig").content
    strict.oci.push_manifest(name, f"{other.replace(':', '-')}.sig", signature)

    assert reasons(strict.put("marks", reference=f"{name}:2.0.0")) == [("signature", True)]


def test_an_attestation_by_the_key_does_not_count(strict: Fleet) -> None:
    name, digest = pushed(strict, MODULE)
    push_bundle(strict.oci, name, digest, SIGNER, predicateType="https://slsa.dev/provenance/v1")

    assert reasons(strict.put("marks", reference=f"{name}:1.0.0")) == [("signature", True)]


def test_odd_documents_in_the_place_of_a_signature(strict: Fleet) -> None:
    name, digest = pushed(strict, MODULE)
    tag = f"{digest.replace(':', '-')}.sig"
    simple = "application/vnd.dev.cosign.simplesigning.v1+json"
    for layers in (None, [1], [{}], [{"mediaType": simple}], [{"mediaType": simple, "digest": "\0", "annotations": 7}],
                   [{"mediaType": simple, "digest": "sha256:\0", "annotations": {
                       "dev.cosignproject.cosign/signature": "AAAA"}}]):  # fmt: skip
        strict.oci.push_manifest(name, tag, json.dumps({"layers": layers}).encode(), "application/x-odd")
        assert reasons(strict.put("marks", reference=f"{name}:1.0.0")) == [("signature", True)]


def test_an_index_is_signed_for_its_child_also_later(strict: Fleet) -> None:
    name, child = pushed(strict, MODULE)
    manifest = strict.oci.ask("GET", f"/v2/{name}/manifests/{child}").content
    entry = {**descriptor(manifest, OCI_MANIFEST), "platform": {"os": "linux", "architecture": "amd64"}}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    push_signature(strict.oci, name, strict.oci.push_manifest(name, "all", index, OCI_INDEX), SIGNER)

    made = strict.deploy("marks", f"{name}:all")

    assert made["revision"]["digest"] == child
    assert strict.put("marks", config="other").status_code == 200  # what runs there, named by its own digest
    assert strict.http.post(f"{strict.path}/deployments/marks/rollback").status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"envoy_version": "1.32"}, "needs Envoy 1.33 or newer, and the setting envoy_version of target"),
        ({"istio_version": "1.24.3"}, "needs Envoy 1.33 or newer, as Istio 1.25 has it, and the setting istio_version"),
        ({"envoy_version": "1.33"}, None),
        ({"istio_version": "1.25.0"}, None),
    ],
)
def test_proxies_that_are_too_old(hub: HubProcess, settings: dict[str, str], said: str | None) -> None:
    with Fleet(hub, f"old-{secrets.token_hex(4)}", **settings) as fleet:
        name, _ = pushed(fleet, built_filter("go").read_bytes())
        answer = fleet.put("go", reference=name)
        if said is None:
            assert (answer.status_code, answer.json()["warnings"]) == (201, [])
        else:
            assert reasons(answer) == [("version", True)] and said in answer.text
            assert fleet.put("go", reference=name, force=True).status_code == 201


def test_proxies_that_were_seen_count_and_unknown_ones_are_a_note(fleet: Fleet) -> None:
    name, _ = pushed(fleet, built_filter("go").read_bytes())
    key = fleet.new_key()["key"]
    assert "the hub does not know what target" in fleet.deploy("go", name)["warnings"][0]

    def seen(node: str, minor: int) -> None:
        version = {"version": {"major_number": 1, "minor_number": minor, "patch": 0}}
        about = {"id": node, "user_agent_name": "envoy", "user_agent_build_version": version}
        body = {"node": about, "resource_names": [f"{fleet.name}/slot-1"]}
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{fleet.hub.url}/v3/discovery:extension_configs"
        assert httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False).status_code == 200

    seen("edge-2", 40)
    assert fleet.deploy("go", name)["warnings"] == []
    seen("edge-1", 30)
    answer = fleet.put("go", reference=name)
    assert reasons(answer) == [("version", True)]
    assert f"edge-1 on target {fleet.name} is envoy 1.30.0; upgrade it" in answer.text


def test_a_rollback_is_checked_too(hub: HubProcess, people: People) -> None:
    user = f"deployer-{secrets.token_hex(4)}"
    people.user(user)
    with Fleet(hub, f"edge-{secrets.token_hex(4)}") as fleet, httpx.Client(
        base_url=hub.url, auth=(user, PASSWORD), timeout=30, trust_env=False
    ) as theirs:  # fmt: skip
        name, first = pushed(fleet, MODULE)
        public = {"visibility": "public"}
        assert fleet.http.patch(f"/api/v1/repositories/{name}", json=public).status_code == 200
        theirs.post("/api/v1/targets", json={"name": user})
        path = f"/api/v1/targets/{user}/deployments/marks"
        for config in ("a", "b"):
            made = theirs.put(path, json={"reference": f"{name}@{first}", "config": config})
            assert made.status_code in (200, 201), made.text
        assert theirs.post(f"{path}/rollback").status_code == 200

        assert fleet.http.patch(f"/api/v1/repositories/{name}", json={"visibility": "private"}).status_code == 200

        says(theirs.post(f"{path}/rollback"), 404, f"there is no repository {name}, or you may not read it")
        says(theirs.put(path, json={"config": "c"}), 404, f"there is no repository {name}, or you may not read it")


def test_a_schema_that_came_later_is_a_warning_for_a_rollback(fleet: Fleet) -> None:
    name, _ = pushed(fleet, MODULE)
    fleet.deploy("marks", name, config={"old": 1})
    push_schema(fleet, name, b'{"required": ["new"]}')
    fleet.deploy("marks", name, config={"new": 1})

    answer = fleet.http.post(f"{fleet.path}/deployments/marks/rollback")

    assert answer.status_code == 200
    said = f"the config does not fit the schema of {name}: 'new' is a required property"
    assert answer.json()["warnings"] == [said]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"policy": 1}, "policy must be a JSON object"),
        ({"policy": {"deny": []}}, "there is no field 'deny' here"),
        ({"policy": {"capabilities": []}}, "policy.capabilities must be a JSON object"),
        (
            {"policy": {"capabilities": {"telepathy": "deny"}}},
            "there is no capability 'telepathy'; they are http_calls",
        ),
        ({"policy": {"capabilities": {"http_calls": "no"}}}, "policy.capabilities.http_calls must be allow, warn"),
        ({"policy": {"capabilities": {"http_calls": []}}}, "policy.capabilities.http_calls must be allow, warn"),
        ({"cosign_keys": "x"}, "cosign_keys must be a list of at most 20"),
        ({"cosign_keys": [SIGNER.pem] * 21}, "cosign_keys must be a list of at most 20"),
        ({"cosign_keys": [SIGNER.pem, "x"]}, "cosign_keys: key 2 is no public key in PEM"),
        ({"max_filters": 0}, "max_filters must be a whole number from 1 to 1000"),
        ({"envoy_version": "new"}, "envoy_version must be a release, such as 1.33"),
        ({"istio_version": 1.2}, "istio_version must be a text"),
    ],
)
def test_rules_that_are_none(fleet: Fleet, settings: dict[str, Any], text: str) -> None:
    says(fleet.http.post("/api/v1/targets", json={"name": "never-made", "settings": settings}), 400, text)


def test_rules_are_shown_as_they_were_given(strict: Fleet) -> None:
    shown = strict.http.get(strict.path).json()["settings"]

    assert {name: shown[name] for name in STRICT} == STRICT


def test_a_fleets_rules_change_and_its_other_settings_do_not(strict: Fleet, people: People) -> None:
    before = strict.http.get(strict.path).json()["settings"]
    name, _ = pushed(strict, MODULE)
    assert reasons(strict.put("marks", reference=name)) == [("signature", True)]

    changed = strict.http.patch(strict.path, json={"settings": {"max_filters": 3}})

    assert changed.status_code == 200, changed.text
    own = {key: value for key, value in before.items() if key not in STRICT}
    assert changed.json()["settings"] == own | {"max_filters": 3}
    strict.deploy("marks", name)
    for settings, status, text in (
        ({"slots": 3}, 409, "only its rules can be changed, which are policy"),
        ({"max_filters": 0}, 400, "max_filters must be"),
        ([], 400, "settings must be a JSON object"),
    ):
        says(strict.http.patch(strict.path, json={"settings": settings}), status, text)
    says(strict.http.patch(strict.path, json={"kubeconfig": "x"}), 400, "there is no field 'kubeconfig'")
    assert strict.http.patch(strict.path, json={"settings": {}}).json()["settings"] == own
    rows = people.rows("SELECT action FROM events WHERE subject = :subject ORDER BY id", subject=strict.name)
    assert [row[0] for row in rows][-2:] == ["target.configure", "target.configure"]


def test_meshes_have_the_same_rules() -> None:
    read = read_mesh_target("istio", {"hub": "https://hub.test", "istio_version": "v1.24", **STRICT}, {})
    assert {name: read.settings[name] for name in STRICT} == STRICT
    assert (read.settings["istio_version"], read.access) == ("v1.24", None)
    consul = read_mesh_target("consul", {"address": "http://consul.test", "envoy_version": "1.33"}, {})
    assert consul.settings["envoy_version"] == "1.33"
    with pytest.raises(ApiError, match="there is no capability"):
        read_mesh_target("istio", {"hub": "https://hub.test", "policy": {"capabilities": {"x": "deny"}}}, {})


def test_where_images_are_pulled_a_larger_module_will_do() -> None:
    large = Candidate(target="mesh", namespace="edge", settings={}, reference="edge/large", size=30 * 2**20)

    assert [one.code for one in judge(large).reasons] == ["size"]
    assert judge(replace(large, bare=False)) == Verdict()


def test_a_release_of_istio_that_is_not_known_is_a_note() -> None:
    facts = {"envoy": "1.36", "releases": [{"product": "Envoy", "since": "1.36"}]}
    new = Candidate(
        target="mesh", namespace="edge", settings={"istio_version": "v1.29"}, reference="edge/new", facts=facts
    )

    assert judge(new) == Verdict((), ("edge/new needs Envoy 1.36 or newer; which release of Istio has that is not known"
                                      " here",))  # fmt: skip
    old = replace(new, facts=facts | {"envoy": "1.33", "releases": [{"product": "Istio", "since": "1.25"}]})
    assert judge(replace(old, settings={"istio_version": "v1.24.1"})).reasons[0].code == "version"
    assert judge(replace(old, settings={"istio_version": ""})).warnings[0].endswith("would tell")
