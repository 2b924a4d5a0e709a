"""How a deployment stands: each row its nodes, and the word and sentence that follow from them."""

import pytest

from deploy.fleets.ecds import content_key
from deploy.status import judge
from storage.deployments import DeploymentRow, RevisionRow
from storage.nodes import NodeRow, SlotRow

OLD, NEW = content_key(7, 1, "old"), content_key(7, 2, "new")
AT, LIVE = 1_000_000, 60_000
REVISION = RevisionRow(2, 1, "a/b:2", "sha256:2", "2", None, "", "FAIL_CLOSED", 1, "deploy", AT - 5_000, "a/b", "me")
RUNS = SlotRow(served=f"{NEW}.a1", delivered=True, running=f"{NEW}.a1")
AGAIN = SlotRow(served=f"{NEW}.a2", delivered=True, running=f"{NEW}.a1")
GIVEN = SlotRow(served=f"{NEW}.a1", delivered=True, running=f"{OLD}.a1")
BEFORE = SlotRow(served=f"{OLD}.a1", delivered=True, running=f"{OLD}.a1")
REFUSED = SlotRow(served=f"{OLD}.a1", delivered=True, running=f"{OLD}.a1", refused=(NEW,))
TOLD = SlotRow(served=f"{OLD}.a1", delivered=True, running=f"{OLD}.a1", refused=(NEW,), why="no such root")


def node(name: str, slot: SlotRow | None, *, seen: int = AT, number: int = 3) -> NodeRow:
    """A node with that in the deployment's slot."""
    return NodeRow(1, name, "envoy 1.40.0", seen, {number: slot} if slot else {})


@pytest.mark.parametrize(
    ("nodes", "age", "status", "message"),
    [
        ([], 5_000, "waiting", "no proxy of edge has asked for it yet"),
        ([node("a", RUNS, seen=0)], 5_000, "waiting", "no proxy of edge has asked for it lately"),
        ([node("a", RUNS)], 5_000, "ready", "1 of 1 proxies run revision 2"),
        ([node("a", RUNS), node("b", None, seen=0)], 5_000, "ready", "1 of 1 proxies run revision 2"),
        ([node("a", RUNS), node("b", AGAIN)], 5_000, "ready", "2 of 2 proxies run revision 2"),
        ([node("a", RUNS), node("b", BEFORE)], 5_000, "progressing", "1 of 2 proxies run revision 2"),
        ([node("a", GIVEN)], 5_000, "progressing", "0 of 1 proxies run revision 2"),
        ([node("a", None)], 5_000, "progressing", "0 of 1 proxies run revision 2"),
        ([node("a", RUNS, number=4)], 5_000, "progressing", "0 of 1 proxies run revision 2"),
        ([node("a", GIVEN)], 70_000, "applied-not-observed", "node a was given revision 2 and does not say"),
        ([node("a", RUNS), node("b", REFUSED)], 5_000, "stalled", "node b refused revision 2; see the proxy's log"),
        ([node("b", TOLD)], 5_000, "stalled", "node b refused revision 2: no such root"),
        ([node(n, REFUSED) for n in "abcde"], 5_000, "stalled", "nodes a, b, c and 2 more refused revision 2"),
        ([node("a", REFUSED, seen=0), node("b", RUNS)], 5_000, "ready", "1 of 1 proxies run revision 2"),
    ],
)
def test_standing(nodes: list[NodeRow], age: int, status: str, message: str) -> None:
    revision = RevisionRow(**{**vars(REVISION), "created_at": AT - age})
    deployment = DeploymentRow(7, 1, "edge", "limits", 3, "grant", 0, None, None, revision)

    standing = judge(deployment, NEW, nodes, at=AT, live=LIVE)

    assert standing.status == status
    assert standing.message.startswith(message), standing.message


def test_each_node_is_told() -> None:
    deployment = DeploymentRow(7, 1, "edge", "limits", 3, "grant", 0, None, None, REVISION)
    nodes = [node("a", RUNS), node("b", REFUSED), node("c", BEFORE, number=1), node("d", RUNS, seen=0), node("e", None)]

    seen = judge(deployment, NEW, nodes, at=AT, live=LIVE).nodes

    assert [(one.name, one.state, one.revision) for one in seen] == [
        ("a", "runs", 2),
        ("b", "refused", 1),
        ("c", "pending", 1),
        ("d", "away", 2),
        ("e", "pending", None),
    ]
