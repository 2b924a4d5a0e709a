"""Polls as an Envoy sends them, by hand: what is served, kept and refused, and what is no poll at all."""

import base64
import json
import re
import secrets
import socket
from typing import Any

import httpx
import pytest

from tests.auth.people import People
from tests.deploy.fleet import Fleet, header_filter
from tests.hub import HubProcess

PATH = "/v3/discovery:extension_configs"
TYPE = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
USES = ("proxy_add_header_map_value", "proxy_on_configure", "proxy_on_response_headers")  # all that a filter here does


class Node:
    """Polls one slot as a node of the fleet, naming the version it was given last if it `takes` it."""

    def __init__(self, fleet: Fleet, key: str, name: str = "edge-1") -> None:
        self.fleet = fleet
        self.key = key
        self.name = name
        self.version: dict[int, str] = {}

    def body(self, slot: int = 1) -> dict[str, Any]:
        """A DiscoveryRequest."""
        body: dict[str, Any] = {
            "node": {"id": self.name, "cluster": self.fleet.name, "user_agent_name": "envoy"},
            "resource_names": [f"{self.fleet.name}/slot-{slot}"],
            "type_url": TYPE,
        }
        return body | ({"version_info": self.version[slot]} if slot in self.version else {})

    def poll(self, slot: int = 1, *, takes: bool = True) -> dict[str, Any] | None:
        """What is served, if anything: the resource's typed_config with `version`."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.fleet.hub.url}{PATH}", json=self.body(slot), headers=headers, trust_env=False)
        if answer.status_code == 304:
            return None
        assert answer.status_code == 200, answer.text
        document = answer.json()
        (resource,) = document["resources"]
        assert resource["name"] == f"{self.fleet.name}/slot-{slot}"
        if takes:
            self.version[slot] = document["version_info"]
        return dict(resource["typed_config"]) | {"version": document["version_info"]}


@pytest.fixture
def node(fleet: Fleet) -> Node:
    return Node(fleet, fleet.new_key()["key"])


def is_empty(served: dict[str, Any] | None) -> bool:
    """Whether an answer lets everything pass."""
    return served is not None and served["@type"].endswith(".rbac.v3.RBAC")


def vm_id(served: dict[str, Any] | None) -> str:
    """The id of the machine that a served filter runs in."""
    assert served is not None
    return str(served["config"]["vm_config"]["vm_id"])


def test_an_empty_slot_is_served_once(node: Node) -> None:
    assert is_empty(node.poll())
    assert node.poll() is None


def test_a_filter_is_served_with_its_bytes(fleet: Fleet, node: Node) -> None:
    module = header_filter("poll")
    fleet.deploy(
        "marks", fleet.push("polls", "bytes", module), config={"a": "ü"}, root_id="r", failure_policy="FAIL_OPEN"
    )

    served = node.poll()

    assert served is not None
    config = served["config"]
    code = config.pop("vm_config")
    assert config == {
        "name": "marks",
        "root_id": "r",
        "failure_policy": "FAIL_OPEN",
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": '{"a": "ü"}'},
        "capability_restriction_config": {"allowed_capabilities": {name: {} for name in USES}},
    }
    assert base64.b64decode(code["code"]["local"]["inline_bytes"]) == module
    assert node.poll() is None
    assert fleet.deployment("marks")["status"] == "ready"


def test_a_refusal_keeps_the_last_good_one(fleet: Fleet, node: Node) -> None:
    fleet.deploy("marks", fleet.push("polls", "1", header_filter("one")))
    good = node.poll()
    node.poll()
    fleet.deploy("marks", fleet.push("polls", "2", header_filter("two")))

    assert vm_id(node.poll(takes=False)) != vm_id(good)
    assert node.poll() is None
    assert fleet.deployment("marks")["status"] == "stalled"
    node.version.clear()  # restarted
    assert vm_id(node.poll()).startswith(vm_id(good))
    assert node.poll() is None


def test_the_same_module_is_tried_again_in_changed_bytes_when_it_is_deployed_again(fleet: Fleet, node: Node) -> None:
    node.poll()
    reference = fleet.push("polls", "again", header_filter("again"))
    fleet.deploy("marks", reference)
    first = node.poll(takes=False)
    assert node.poll() is None

    fleet.deploy("marks", reference)

    second = node.poll()
    assert vm_id(second) != vm_id(first)
    assert node.poll() is None
    assert fleet.deployment("marks")["status"] == "ready"


def test_an_answer_that_was_cut_off_is_no_refusal(fleet: Fleet, node: Node) -> None:
    node.poll()
    padding = b"\x00" + leb(4_000_001) + b"\x00" + secrets.token_bytes(4_000_000)
    fleet.deploy("marks", fleet.push("polls", "big", header_filter("big") + padding))
    hang_up(node)

    served = node.poll()

    assert served is not None and served["version"].endswith(".a2")
    assert node.poll() is None
    assert fleet.deployment("marks")["status"] == "ready"
    fleet.hub.check_log()


def test_a_second_answer_that_is_not_taken_is_a_refusal(fleet: Fleet, node: Node) -> None:
    node.poll()
    padding = b"\x00" + leb(4_000_001) + b"\x00" + secrets.token_bytes(4_000_000)
    fleet.deploy("marks", fleet.push("polls", "bigger", header_filter("bigger") + padding))
    hang_up(node)
    hang_up(node)

    assert node.poll() is None
    assert fleet.deployment("marks")["status"] == "stalled"


def test_a_moved_filter_leaves_its_old_slot_only_once_it_runs_in_the_new(fleet: Fleet, node: Node) -> None:
    for name in ("a", "b"):
        fleet.deploy(name, fleet.push(f"polls-{name}", "1", header_filter(name)))
    for slot in (1, 2, 3, 1, 2, 3):
        node.poll(slot)

    fleet.put("a", order=3)

    assert fleet.deployment("a")["slot"] == 3
    assert node.poll(1) is None, "it is not in slot 3 yet"
    assert vm_id(node.poll(3))
    assert node.poll(1) is None, "slot 3 has not said that it took it"
    assert node.poll(3) is None
    assert is_empty(node.poll(1))
    assert node.poll(2) is None


def test_a_node_that_comes_first_gets_the_revision_before_a_bad_one(fleet: Fleet, node: Node) -> None:
    fleet.deploy("marks", fleet.push("polls", "old", header_filter("old")))
    fleet.deploy("marks", fleet.push("polls", "bad", header_filter("bad")))
    versions = [served["version"] if (served := node.poll(takes=False)) else None for _ in range(6)]

    parts = [re.sub(r"d\d+\.(r\d)\.\w+\.(a\d)", r"\1 \2", version) if version else None for version in versions]

    assert parts == ["r2 a1", "r2 a2", "r1 a1", "r1 a2", None, None]
    assert fleet.deployment("marks")["status"] == "stalled"


def test_a_filter_that_nobody_takes_gives_way_where_it_may_fail_open(fleet: Fleet, node: Node) -> None:
    fleet.deploy("marks", fleet.push("polls", "open", header_filter("open")), failure_policy="FAIL_OPEN")

    assert [is_empty(node.poll(takes=False)) for _ in range(3)] == [False, False, True]


def _row_of(people: People, fleet: Fleet, node: str) -> int:
    query = "SELECT n.id FROM nodes n JOIN targets t ON t.id = n.target_id WHERE t.name = :target AND n.name = :node"
    found: int = people.rows(query, target=fleet.name, node=node)[0][0]
    return found


def test_only_so_many_nodes_have_a_place(hub: HubProcess, people: People) -> None:
    with Fleet(hub, f"edge-{secrets.token_hex(4)}", node_limit=2) as fleet:
        key = fleet.new_key()["key"]
        for name in ("one", "two", "one"):
            Node(fleet, key, name).poll()
        refused = httpx.post(
            f"{hub.url}{PATH}", json=Node(fleet, key, "three").body(), headers={"Authorization": f"Bearer {key}"}
        )

        assert refused.status_code == 429 and "node_limit" in refused.text
        nodes = fleet.http.get(f"{fleet.path}/nodes").json()["nodes"]
        assert [one["name"] for one in nodes] == ["one", "two"]
        assert nodes[0]["slots"][0] | {"served": ""} == {"slot": 1, "runs": "", "served": "", "refused": [], "why": ""}
        people.run("UPDATE nodes SET seen_at = seen_at - 3700000 WHERE id = :id", id=_row_of(people, fleet, "one"))
        Node(fleet, key, "three").poll()
        nodes = fleet.http.get(f"{fleet.path}/nodes").json()["nodes"]
        assert [one["name"] for one in nodes] == ["three", "two"]


GOOD: dict[str, Any] = {"node": {"id": "n"}, "resource_names": ["{fleet}/slot-1"], "type_url": TYPE}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"[]", 400, "exactly one resource"),
        (b"\xff", 400, "not JSON"),
        (b"x" * (1024 * 1024 + 1), 413, "larger than 1048576"),
        (GOOD | {"type_url": "type.googleapis.com/envoy.config.listener.v3.Listener"}, 400, "only type.googleapis.com"),
        (GOOD | {"resource_names": []}, 400, "exactly one resource"),
        (GOOD | {"resource_names": ["{fleet}/slot-1", "{fleet}/slot-2"]}, 400, "exactly one resource"),
        (GOOD | {"resource_names": [7]}, 400, "exactly one resource"),
        (GOOD | {"resource_names": ["what"]}, 404, "fleet/slot-N"),
        (GOOD | {"resource_names": ["{fleet}/slot-0"]}, 404, "no such slot"),
        (GOOD | {"resource_names": ["{fleet}/slot-9"]}, 404, "no such slot"),
        (GOOD | {"resource_names": ["other/slot-1"]}, 404, "no such slot"),
        (GOOD | {"node": {}}, 400, "must have an id"),
        (GOOD | {"node": []}, 400, "must have an id"),
        (GOOD | {"node": {"id": "x" * 257}}, 400, "must have an id"),
        (GOOD | {"node": {"id": "a\u0000"}}, 400, "must have an id"),
        (GOOD | {"node": {"id": "\ud800"}}, 400, "must have an id"),
        (GOOD | {"version_info": 1}, 400, "version_info"),
        (GOOD | {"version_info": "\ud800"}, 400, "version_info"),
        (GOOD | {"version_info": "v" * 100_000}, 200, "typed_config"),
        (GOOD | {"node": {"id": "n", "user_agent_build_version": {"version": 3}}}, 200, "typed_config"),
        (GOOD | {"node": {"id": "n", "user_agent_build_version": {"version": {"patch": "x"}}}}, 200, "typed_config"),
        (
            GOOD | {"node": {"id": "m", "user_agent_name": "\ud800", "user_agent_build_version": {"version": {}}}},
            200,
            "typed_config",
        ),
    ],
)
def test_what_is_no_poll(fleet: Fleet, body: bytes | dict[str, Any], status: int, says: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).replace("{fleet}", fleet.name).encode()
    headers = {"Authorization": f"Bearer {fleet.new_key()['key']}"}

    answer = httpx.post(f"{fleet.hub.url}{PATH}", content=content, headers=headers)

    assert (answer.status_code, says in answer.text) == (status, True), answer.text


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer whf_none", "Basic YWRtaW46eA==", "Bearer ü"])
def test_without_a_key(fleet: Fleet, header: str | None) -> None:
    fleet.new_key()
    headers = {} if header is None else {b"Authorization": header.encode()}

    answer = httpx.post(f"{fleet.hub.url}{PATH}", json=Node(fleet, "").body(), headers=headers)

    assert answer.status_code == 401 and "key" in answer.text


@pytest.mark.parametrize("path", ["/modules/x/y.wasm", f"/modules/x/{'0' * 64}.wasm", "/modules//.wasm"])
def test_modules_without_a_grant(hub: HubProcess, path: str) -> None:
    assert httpx.get(f"{hub.url}{path}").status_code == 404


def leb(number: int) -> bytes:
    """An unsigned number as WebAssembly writes it."""
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def hang_up(node: Node) -> None:
    """Polls, and goes away in the middle of the answer."""
    body = json.dumps(node.body()).encode()
    host, _, port = node.fleet.hub.host.rpartition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.key}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
