"""Configs that name secrets: what a filter gets, what nobody else is shown, and what happens as they change."""

import json
import queue
import random
import re
import secrets
from pathlib import Path

import grpc
import httpx
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from deploy.config_secrets import MissingSecret, NotFilled, filled, names_in, shown, without_values
from deploy.targets.envoy_fleet import EXTENSION_TYPE
from tests.deploy.fleet import Envoy, Fleet, Upstream, header_filter, xds_of
from tests.deploy.test_deployments_api import push_schema
from tests.deploy.test_targets_api import says
from tests.hub import HubProcess
from tests.peers import built_filter

NAMED = {"key": {"$secret": "api-key"}}


def put(fleet: Fleet, name: str, value: str) -> int:
    """Gives a secret of the target a value; the status."""
    answer = fleet.http.put(f"{fleet.path}/secrets/{name}", json={"value": value})
    assert value not in answer.text
    return answer.status_code


@pytest.mark.parametrize("config", [None, "", "x", "7", '{"a": 1}', "{", '{"$secret": 7}', '{"$secret": "a", "b": 1}'])
def test_what_names_no_secret_stays_as_it_was_written(config: str | None) -> None:
    assert filled(config, {}, "edge") == shown(config) == config
    assert names_in(config) == set()


def test_names_stand_for_values_wherever_they_are() -> None:
    config = '{"a": [{"$secret": "one"}, 2], "b": {"c": {"$secret": "two"}}, "d": "ü"}'
    assert names_in(config) == {"one", "two"}
    assert filled(config, {"one": '"\n', "two": ""}, "edge") == '{"a": ["\\"\\n", 2], "b": {"c": ""}, "d": "ü"}'
    assert shown(config) == '{"a": ["(secret one)", 2], "b": {"c": "(secret two)"}, "d": "ü"}'
    assert filled('{"$secret": "one"}', {"one": "v"}, "edge") == '"v"'
    with pytest.raises(MissingSecret, match="names the secret 'two', which target edge does not have"):
        filled(config, {"one": "v"}, "edge")
    for name, target, way in (
        ("api-key", "edge", "`wasmhub targets secrets set edge api-key`$"),
        ("API key", "edge", "names the secret 'API key', which no secret can be called; use lower-case letters"),
        ("api-key", None, "only targets of the hub have secrets; take the value from the proxy's environment"),
    ):
        with pytest.raises(MissingSecret, match=way):
            filled(json.dumps({"a": {"$secret": name}}), {}, target)


def test_a_config_with_secrets_can_be_encoded_and_is_neither_too_deep_nor_too_long() -> None:
    halves = filled('{"a": "\\ud800", "b": {"$secret": "one"}}', {"one": "ü"}, "edge")
    assert halves is not None and json.loads(halves.encode()) == {"a": "\ud800", "b": "ü"}
    for depth in (101, 600, 20_000):
        deep = "[" * depth + '{"$secret": "one"}' + "]" * depth
        with pytest.raises(NotFilled, match="may be nested 100 deep, no more"):
            filled(deep, {"one": "v"}, "edge")
        assert shown(deep) == deep and names_in(deep) == set()
    often = json.dumps([{"$secret": "one"}] * 2000)
    with pytest.raises(NotFilled, match="more than 1,048,576 characters"):
        filled(often, {"one": "x" * 1000}, "edge")
    assert names_in(often) == {"one"}


def test_what_others_say_of_a_config_holds_no_value() -> None:
    values = {"q": 'a"bc', "l": "longer", "m": "longer-one", "s": "7"}
    said = without_values('no a\\"bc, nor a"bc, nor longer-one, nor longer, at 7', values)
    assert said == "no (secret q), nor (secret q), nor (secret m), nor (secret l), at (secret s)"
    assert without_values("at 17, or 7th", values) == "at 17, or 7th", "it does not stand alone"
    assert without_values("as it is", {}) == "as it is" == without_values("as it is", {"e": ""})


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("cannot load correct horse batt", "cannot load (secret k)"),
        ("at 'rect hor' of it", "at '(secret k)' of it"),
        ("near ...tery staple and cor", "near ...(secret k) and cor"),
        ("first corr, then aple", "first (secret k), then (secret k)"),
        ("correct horse battery staple!", "(secret k)!"),
        ("path \\\\Users\\\\me\\\\k is no path", "path (secret p) is no path"),
        ("nothing of it: cor rec", "nothing of it: cor rec"),
        ("    ", "    "),
    ],
)
def test_parts_of_a_value_are_kept_no_more_than_the_whole(said: str, kept: str) -> None:
    values = {"k": "correct horse battery staple", "p": "C:\\Users\\me\\key", "w": "a        b"}
    assert without_values(said, values) == kept


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a fault of the defaults: default, DEFAULT", "a fault of the (secret d)s: (secret d), (secret d)"),
        ("it must be true, not untr", "it must be (secret t), not untr"),
        ("cut off at defaul", "cut off at (secret d)"),
        ("production, of a product: roduction", "(secret p), of a product: (secret p)"),
        ("a passphrase pass", "a (secret l) (secret l)"),
        ("Pa55, toSSword", "(secret m), to(secret m)"),
        ("xpa55sSWORD, İtrue", "(secret m), İ(secret t)"),
    ],
)
def test_an_ordinary_word_does_not_take_others_with_it(said: str, kept: str) -> None:
    values = {"d": "default", "t": "true", "p": "production", "l": "passphraselong", "m": "xPa55SSword"}
    assert without_values(said, values) == kept


@pytest.mark.parametrize("seed", range(20))
def test_no_four_characters_of_any_value_are_left(seed: int) -> None:
    chance = random.Random(seed)
    values = {f"s{n}": "".join(chance.choices('ab"\\ü7-', k=chance.randint(4, 30))) for n in range(3)}
    told = ""
    for _ in range(6):
        value = chance.choice([*values.values()])
        start = chance.randrange(len(value))
        told += f" said {value[start : start + chance.randint(1, 20)]},"
    rest = re.sub(r"\(secret s[0-9]\)", "\0", without_values(told, values))
    parts = {value[at : at + 4] for value in values.values() for at in range(len(value) - 3)}
    assert not [part for part in parts if part in rest], (told, rest, values)


def test_what_a_proxy_says_as_it_refuses_is_kept_without_values(tmp_path: Path) -> None:
    value, asked = secrets.token_hex(8), queue.Queue[DiscoveryRequest | None]()
    with HubProcess(tmp_path / "data", WASMHUB_XDS_LISTEN="127.0.0.1:0") as hub, Fleet(hub, "edge") as fleet:
        assert put(fleet, "quoted", value) == 201
        fleet.deploy("marks", fleet.push("quoted", "1", header_filter("one")), config={"key": {"$secret": "quoted"}})
        first = DiscoveryRequest(resource_names=["edge/slot-1"], type_url=EXTENSION_TYPE)
        first.node.id = "edge-1"
        asked.put(first)
        with grpc.insecure_channel(xds_of(hub).partition("://")[2]) as channel:
            call = channel.stream_stream(
                "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs",
                request_serializer=DiscoveryRequest.SerializeToString,
                response_deserializer=DiscoveryResponse.FromString,
            )
            answers = call(iter(asked.get, None), metadata=(("authorization", f"Bearer {fleet.new_key()['key']}"),))
            given = next(answers)
            assert value.encode() in given.SerializeToString()
            first.response_nonce, first.error_detail.message = given.nonce, f"cannot parse {value}"
            asked.put(first)
            stalled = fleet.becomes("marks", "stalled")
            asked.put(None)
        assert "cannot parse (secret quoted)" in stalled["message"]
        events = fleet.http.get("/api/v1/events?subject=edge/marks").text
        assert "deployment.refused" in events and value not in events + json.dumps(stalled)


def test_files_with_values_are_for_keys_and_for_those_who_may_configure(fleet: Fleet) -> None:
    name = f"{fleet.name}-files"
    made = fleet.http.post("/api/v1/targets", json={"name": name, "settings": {"transport": "file"}})
    assert made.status_code == 201, made.text
    scope = {"name": name, "scopes": [f"target:{name}:pull,deploy"]}
    token = fleet.http.post("/api/v1/user/tokens", json=scope).json()["token"]
    path, value = f"/api/v1/targets/{name}", secrets.token_hex(8)
    assert fleet.http.put(f"{path}/secrets/key", json={"value": value}).status_code == 201
    reference = fleet.push("filed", "1", header_filter("one"))
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=fleet.hub.url, headers=bearer, trust_env=False, timeout=30) as deployer:
        assert fleet.http.put(f"{path}/deployments/d", json={"reference": reference}).status_code == 201
        assert deployer.get(f"{path}/files?folder=/etc/envoy&by=me").status_code == 200
        named = {"reference": reference, "config": {"key": {"$secret": "key"}}}
        assert fleet.http.put(f"{path}/deployments/d", json=named).status_code == 200
        refused = deployer.get(f"{path}/files?folder=/etc/envoy&by=me")
        says(refused, 403, "hold secrets; fetch them with the fleet's key, or with a token that may")
        says(deployer.get(f"{path}/files?folder=/etc/envoy&by="), 403, "hold secrets")
    assert value in fleet.http.get(f"{path}/files?folder=/etc/envoy&by=me").text
    says(fleet.http.get(f"{path}/files?folder=/etc/envoy&by="), 400, "by must be a name of at most")


def test_secrets_are_listed_without_values_and_kept_while_they_are_named(fleet: Fleet) -> None:
    reference = fleet.push("named", "1", header_filter("named"))
    says(fleet.put("marks", reference=reference, config=NAMED), 422, "names the secret 'api-key', which target")
    deep = "[" * 600 + '{"$secret": "api-key"}' + "]" * 600
    says(fleet.put("marks", reference=reference, config=deep), 422, "may be nested 100 deep, no more")
    assert put(fleet, "api-key", "first") == 201
    assert put(fleet, "api-key", "second") == 200
    assert put(fleet, "other", "value") == 201
    fleet.deploy("marks", reference, config=NAMED)

    listed = fleet.http.get(f"{fleet.path}/secrets").json()["secrets"]
    assert [(one["name"], one["used_by"]) for one in listed] == [("api-key", ["marks"]), ("other", [])]
    detail = fleet.deployment("marks")
    assert json.loads(detail["revision"]["config"]) == NAMED and "second" not in json.dumps(detail)
    says(fleet.http.delete(f"{fleet.path}/secrets/api-key"), 409, "the config of marks names the secret api-key")
    assert fleet.http.delete(f"{fleet.path}/secrets/other").status_code == 204
    says(fleet.http.delete(f"{fleet.path}/secrets/other"), 404, "has no secret 'other'")
    fleet.deploy("marks", reference, config=None)
    assert fleet.http.delete(f"{fleet.path}/secrets/api-key").status_code == 204


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("Key", {"value": "v"}, "is no name for a secret"),
        ("key", {}, "the field value is missing"),
        ("key", {"value": 7}, "value must be a text of at most 16384 characters"),
        ("key", {"value": "x" * 16_385}, "value must be a text of at most 16384 characters"),
        ("key", {"value": "a\0b"}, "value must be a text without NUL"),
        ("key", {"value": "v", "more": 1}, "there is no field 'more' here"),
    ],
)
def test_what_is_no_secret_is_refused(fleet: Fleet, name: str, body: dict[str, object], sentence: str) -> None:
    says(fleet.http.put(f"{fleet.path}/secrets/{name}", json=body), 400, sentence)


def test_a_schema_judges_the_value_and_does_not_tell_it(fleet: Fleet) -> None:
    name = f"admin/judged-{secrets.token_hex(4)}"
    fleet.oci.push_filter(name, "1.0.0", header_filter("judged"))
    schema = {"properties": {"key": {"type": "string", "minLength": 8}}}
    push_schema(fleet, name, json.dumps(schema).encode())
    put(fleet, "api-key", "hush7")
    refused = fleet.put("marks", reference=f"{name}:1.0.0", config=NAMED)
    says(refused, 422, "the value of secret api-key is not as the schema wants it")
    assert "hush7" not in refused.text
    put(fleet, "api-key", "hush7-and-more")
    assert fleet.put("marks", reference=f"{name}:1.0.0", config=NAMED).status_code == 201


def test_a_filter_gets_the_value_and_its_successor_without_a_new_revision(
    fleet: Fleet, tmp_path: Path, upstream: Upstream
) -> None:
    reference = fleet.push("shows-config", "1", built_filter("add-header").read_bytes())
    put(fleet, "mark", "first-value")
    with Envoy(fleet, tmp_path / "envoy", upstream, key=fleet.new_key()["key"]) as envoy:
        fleet.deploy("marks", reference, config={"$secret": "mark"})
        envoy.shows('"first-value"')
        fleet.becomes("marks", "ready")

        put(fleet, "mark", "second-value")

        envoy.shows('"second-value"')
        found = fleet.becomes("marks", "ready")
        assert found["revision"]["number"] == 1 and "-value" not in json.dumps(found)
        assert "-value" not in fleet.hub.log()
