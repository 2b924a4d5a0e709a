"""Nodes: the proxies of a target, and what each was served, runs and refused in each slot."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Database, now
from storage.events import Actor, record
from storage.statements import Statement
from storage.tables import Node, NodeSlot
from storage.targets import namespace_of_target

_COUNT = text("SELECT count(*) FROM nodes WHERE target_id = :target")
_YIELD = Statement(
    "DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE target_id = :target AND seen_at < :before"
    " ORDER BY seen_at LIMIT 1)"
)
# Commands about the nodes of one target, or about one node, take turns.
_TARGET = Statement("SELECT id FROM targets WHERE id = :id", lock="FOR NO KEY UPDATE")
_NODE = Statement("SELECT id FROM nodes WHERE id = :id", lock="FOR NO KEY UPDATE")
_IN_SLOT = Statement(
    "SELECT n.id, n.name, n.version, n.seen_at, s.served, s.delivered, s.running, s.refused, s.why FROM nodes n"
    " LEFT JOIN node_slots s ON s.node_id = n.id AND s.slot = :slot WHERE n.target_id = :target ORDER BY n.name"
)


@dataclass(frozen=True)
class SlotRow:
    """What is known of one slot of one node. Versions are texts of the deploy door; empty: none yet."""

    served: str = ""  # the version last served
    delivered: bool = False  # that answer left in full
    running: str = ""  # the version last named by the node
    refused: tuple[str, ...] = ()  # contents, not versions; the newest last
    why: str = ""  # the node's own words on the newest of them, where its transport carries any


@dataclass(frozen=True)
class NodeRow:
    """A proxy, when it last asked (coarsely), and its slots by number."""

    id: int
    name: str
    version: str
    seen_at: int
    slots: dict[int, SlotRow] = field(default_factory=dict)


def find_node(session: Session, target_id: int, name: str) -> NodeRow | None:
    """The node of that name with its slots."""
    node = session.execute(
        select(Node).where(col(Node.target_id) == target_id, col(Node.name) == name)
    ).scalar_one_or_none()
    if node is None:
        return None
    slots = session.execute(select(NodeSlot).where(col(NodeSlot.node_id) == node.id)).scalars()
    return NodeRow(node.id, node.name, node.version, node.seen_at, {row.slot: _slot(row) for row in slots})


def nodes(session: Session, target_id: int) -> list[NodeRow]:
    """All nodes of a target with their slots, by name."""
    found = session.execute(select(Node).where(col(Node.target_id) == target_id).order_by(col(Node.name))).scalars()
    rows = {node.id: NodeRow(node.id, node.name, node.version, node.seen_at, {}) for node in found}
    joined = select(NodeSlot).join(Node, col(Node.id) == col(NodeSlot.node_id)).where(col(Node.target_id) == target_id)
    for slot in session.execute(joined).scalars():
        if slot.node_id in rows:
            rows[slot.node_id].slots[slot.slot] = _slot(slot)
    return list(rows.values())


def slot_nodes(session: Session, target_id: int, slot: int) -> list[NodeRow]:
    """All nodes of a target with that one slot alone, by name: for who asks again and again."""
    found = []
    for id_, name, version, seen_at, *row in _IN_SLOT.all(session, {"target": target_id, "slot": slot}):
        slots = {}
        if row[0] is not None:
            served, delivered, running, refused, why = row
            contents = json.loads(refused) if isinstance(refused, str) else refused
            slots[slot] = SlotRow(served, bool(delivered), running, tuple(contents or ()), why)
        found.append(NodeRow(id_, name, version, seen_at, slots))
    return found


def add_node(
    database: Database, target_id: int, name: str, version: str, *, limit: int, forget_before: int, yield_before: int
) -> NodeRow | None:
    """Notes a node that asks for the first time; the one there is if two requests come at once.

    Forgets nodes of the target not seen since `forget_before` and, where there are `limit` nodes nevertheless, the one
    not seen for longest if that was before `yield_before`. None if there is none such, or if the target is gone.
    Bookkeeping, not a command: no event.
    """
    with database.write(beside=True) as session:
        if _TARGET.first(session, {"id": target_id}) is None:
            return None
        there = find_node(session, target_id, name)
        if there is not None:
            return there
        session.execute(delete(Node).where(col(Node.target_id) == target_id, col(Node.seen_at) < forget_before))
        count = session.execute(_COUNT, {"target": target_id}).scalar_one()
        if count >= limit and not _YIELD.run(session, {"target": target_id, "before": yield_before}):
            return None
        node = Node(target_id=target_id, name=name, version=version, seen_at=now())
        session.add(node)
        session.flush()
        return NodeRow(node.id, node.name, node.version, node.seen_at)


def touch_node(database: Database, node_id: int, version: str) -> None:
    """Notes that a node was seen just now. Bookkeeping: no event."""
    with database.write(beside=True) as session:
        session.execute(update(Node).where(col(Node.id) == node_id).values(seen_at=now(), version=version))


def touch_nodes(database: Database, node_ids: Collection[int]) -> None:
    """Notes that nodes were seen just now. Bookkeeping: no event."""
    with database.write(beside=True) as session:
        session.execute(update(Node).where(col(Node.id).in_(node_ids)).values(seen_at=now()))


def save_slot(
    database: Database, node_id: int, slot: int, before: SlotRow, after: SlotRow, *, refusal: tuple[Actor, str] | None
) -> bool:
    """Replaces what is known of a slot, unless somebody else did meanwhile or the node is gone: then False.

    `refusal` is the node as an actor and the name of the deployment that it was just seen to refuse: that is an event.
    """
    with database.write(beside=True) as session:
        if _NODE.first(session, {"id": node_id}) is None:
            return False
        row = session.get(NodeSlot, (node_id, slot))
        if (_slot(row) if row else SlotRow()) != before:
            return False
        row = row or NodeSlot(node_id=node_id, slot=slot)
        row.served, row.delivered, row.running = after.served, after.delivered, after.running
        row.refused, row.why, row.updated_at = list(after.refused) or None, after.why, now()
        session.add(row)
        if refusal is not None:
            actor, deployment = refusal
            node = session.get_one(Node, node_id)
            place = namespace_of_target(session, node.target_id)
            detail = {"slot": slot} | ({"why": after.why} if after.why else {})
            record(session, actor, "deployment.refused", deployment, namespace_id=place, detail=detail)
        return True


def mark_delivered(database: Database, node_id: int, slot: int, served: str) -> None:
    """Notes that the answer with this version left in full."""
    with database.write(beside=True) as session:
        session.execute(
            update(NodeSlot)
            .where(col(NodeSlot.node_id) == node_id, col(NodeSlot.slot) == slot, col(NodeSlot.served) == served)
            .values(delivered=True)
        )


def _slot(row: NodeSlot) -> SlotRow:
    return SlotRow(row.served, row.delivered, row.running, tuple(row.refused or ()), row.why)
