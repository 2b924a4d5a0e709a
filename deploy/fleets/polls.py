"""One poll of an Envoy: read, decided with what is stored, stored, and then answered."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from auth.secrets import SecretKey
from deploy.config_secrets import NotFilled, filled, secrets_of, without_values
from deploy.fleets.ecds import EMPTY, Decision, content_key, content_of, decide, deployment_of, salted
from deploy.fleets.slots import must_hold
from deploy.images.modules import Modules
from deploy.rollouts.waves import place_of
from deploy.targets.capabilities import allowed
from deploy.targets.envoy_fleet import EXTENSION_TYPE, Filter, discovery_answer, parse_slot
from storage.database import Database, StorageError, now
from storage.deployments import DeploymentRow, RevisionRow, Staged, revisions, target_deployments
from storage.events import Actor
from storage.modules import find_facts
from storage.nodes import NodeRow, SlotRow, add_node, find_node, save_slot, touch_node
from storage.targets import TargetRow

SEEN_EVERY = 15_000  # milliseconds between two writes of when a node was last seen
FORGOTTEN_AFTER = 7 * 86_400_000  # milliseconds after which a node that is not seen is forgotten
YIELDS_AFTER = 3_600_000  # milliseconds after which it gives its place to a new one, if there is no other place
NODE_LIMIT = 1000  # nodes of one target, unless its settings say otherwise
FALLBACKS = 4  # revisions of a deployment that are tried, newest first
# Answers (node, slot, version) that left in full, until that is stored too: the next poll may be faster than the disk.
Left = set[tuple[int, int, str]]
LONGEST = 256  # characters of a node's id and of a version
_TRIES = 5


class BadPoll(Exception):
    """A request that is no poll of this fleet; the text says why, the status is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Poll:
    """What an Envoy asks for, and what it says it runs there ("" : nothing)."""

    node: str
    proxy: str  # its kind and version
    resource: str
    fleet: str
    slot: int
    echoed: str
    refuses: str = ""  # the version that it has just said it refused
    why: str = ""  # its words on that


@dataclass(frozen=True)
class Answer:
    """What is to be sent: nothing (`version` empty: unchanged), or a head, a module in base64 and a tail."""

    node_id: int
    slot: int
    version: str = ""
    head: bytes = b""
    module: bytes = b""
    tail: bytes = b""
    held: Filter | None = None  # what the head and the tail say; None: nothing, or an empty slot


@dataclass(frozen=True)
class _View:
    """What is stored, at one moment, of everything that an answer depends on."""

    node: NodeRow
    deployments: Sequence[DeploymentRow]
    placed: DeploymentRow | None  # the one that belongs into the slot
    history: Sequence[RevisionRow]  # its revisions, newest first
    slot: int

    @property
    def before(self) -> SlotRow:
        """The slot as it is stored."""
        return self.node.slots.get(self.slot, SlotRow())


def read_poll(body: bytes) -> Poll:
    """Reads a DiscoveryRequest. Raises BadPoll for anything that is not a poll of one slot."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise BadPoll(400, "the body is not JSON") from None
    request = request if isinstance(request, dict) else {}
    node, names = request.get("node"), request.get("resource_names")
    node = node if isinstance(node, dict) else {}
    if request.get("type_url", EXTENSION_TYPE) != EXTENSION_TYPE:
        raise BadPoll(400, f"only {EXTENSION_TYPE} can be asked for here")
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise BadPoll(400, "exactly one resource must be named")
    slot = parse_slot(names[0])
    if slot is None:
        raise BadPoll(404, "the resource must be named fleet/slot-N")
    name, echoed = node.get("id"), request.get("version_info", "")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not name.isprintable():
        raise BadPoll(400, f"the node must have an id of at most {LONGEST} characters")
    if not isinstance(echoed, str) or not echoed.isprintable():
        raise BadPoll(400, "version_info must be a printable text")
    return Poll(name, proxy_of(node), names[0], *slot, echoed[:LONGEST])


def answer_poll(
    database: Database, modules: Modules, key: SecretKey, target: TargetRow, poll: Poll, *, left: Left
) -> Answer:
    """Decides and stores what the node is answered. Raises BadPoll, and StorageError where the store cannot."""
    if poll.fleet != target.name or not 0 < poll.slot <= target.settings["slots"]:
        raise BadPoll(404, f"this key belongs to target {target.name}, which has no such slot")
    if poll.why:
        poll = replace(poll, why=_without_values(database, key, target, poll.why))
    for _ in range(_TRIES):
        view = _look(database, target, poll)
        delivered = view.before.delivered or (view.node.id, poll.slot, view.before.served) in left
        decision = _decide(view, poll, replace(view.before, delivered=delivered))
        answer = _render(database, modules, key, view, poll, decision)
        if decision.record == view.before or save_slot(
            database, view.node.id, poll.slot, view.before, decision.record, refusal=_refusal(view, poll, decision)
        ):
            # The first slot's poll notes for all of them that the node was seen.
            if view.node.seen_at < now() - SEEN_EVERY * (1 if poll.slot == 1 else 2):
                touch_node(database, view.node.id, poll.proxy)
            return answer
    raise StorageError(f"several Envoys ask as node {poll.node} at once; give each a name of its own")


def contents(deployment: DeploymentRow, history: Sequence[RevisionRow]) -> list[str]:
    """The contents of a deployment's revisions, in their order."""
    return [content_key(deployment.id, one.number, _fingerprint(one)) for one in history]


def held_of(database: Database, key: SecretKey, placed: DeploymentRow, revision: RevisionRow) -> Filter:
    """The filter that a revision of a deployment puts into its slot. Raises StorageError where a secret is lost."""
    with database.read() as session:
        facts = find_facts(session, revision.module_sha256)
        secrets = secrets_of(session, key, placed.target_id) if revision.secrets_at is not None else {}
    try:
        config = filled(revision.config, secrets, placed.target)
    except NotFilled as error:  # the hub's secret key is another one than it was sealed with
        raise StorageError(str(error)) from None
    limits = tuple(allowed(facts.facts)) if facts else ()
    vm_id = f"{placed.id}-{revision.module_sha256}"
    return Filter(placed.name, vm_id, revision.root_id, config, revision.failure_policy, limits)


def _look(database: Database, target: TargetRow, poll: Poll) -> _View:
    with database.read() as session:
        node = find_node(session, target.id, poll.node)
        deployments = target_deployments(session, target.id)
        placed = next((one for one in deployments if one.slot == poll.slot), None)
        history = revisions(session, placed.id, limit=FALLBACKS) if placed else []
    return _View(node or _new_node(database, target, poll), deployments, placed, history, poll.slot)


def _decide(view: _View, poll: Poll, known: SlotRow) -> Decision:
    runs, why = deployment_of(poll.echoed), poll.why if poll.refuses and poll.refuses == known.served else None
    name = view.node.name
    places = {one.id: one.slot for one in view.deployments if one.slot is not None and not _yet_nothing(one, name)}
    running = {slot: _settled(row) for slot, row in view.node.slots.items()} | {poll.slot: runs}
    hold = must_hold(poll.slot, runs, places, running)
    if view.placed is None:
        return decide(known, [EMPTY], poll.echoed, hold=hold, why=why)
    placed = view.placed
    wanted = contents(placed, _due(placed, view.history, name))
    # Where nothing of the deployment can be run, another's filter gives way; a node that runs nothing yet stays closed,
    # unless the fleet may do without it: then it has what a slot has where nothing was ever deployed.
    spared = placed.current.failure_policy == "FAIL_OPEN" or (placed.staged is not None and placed.staged.first)
    if spared or (poll.echoed and runs != placed.id):
        wanted.append(EMPTY)
    return decide(known, wanted, poll.echoed, hold=hold, why=why)


def _due(deployment: DeploymentRow, history: Sequence[RevisionRow], node: str) -> Sequence[RevisionRow]:
    """The revisions that a node may have: not the newest, as long as a rollout has not come to it."""
    staged = deployment.staged
    if staged is None or _come_to(staged, node):
        return history
    return [one for one in history if one.number != staged.revision]


def _yet_nothing(deployment: DeploymentRow, node: str) -> bool:
    """Whether a node is to have nothing of a deployment, because its first rollout has not come to it."""
    staged = deployment.staged
    return staged is not None and staged.first and not _come_to(staged, node)


def _come_to(staged: Staged, node: str) -> bool:
    return place_of(staged.id, node) < staged.cut


def _settled(row: SlotRow) -> int | None:
    """The deployment that a slot runs, unless it was just served another one."""
    runs = deployment_of(row.running)
    return runs if deployment_of(row.served) == runs else None


def _render(
    database: Database, modules: Modules, key: SecretKey, view: _View, poll: Poll, decision: Decision
) -> Answer:
    if decision.serve is None:
        return Answer(view.node.id, poll.slot)
    if decision.serve == EMPTY or view.placed is None:
        head, tail = discovery_answer(poll.resource, decision.serve, None)
        return Answer(view.node.id, poll.slot, decision.serve, head, b"", tail)
    placed = view.placed
    revision = view.history[contents(placed, view.history).index(content_of(decision.serve))]
    module = modules.read(revision.module_sha256)
    if module is None:
        raise StorageError(f"the module of {poll.fleet}/{placed.name} cannot be read")
    held = held_of(database, key, placed, revision)
    if salted(decision.record, decision.serve):
        held = replace(held, vm_id=f"{held.vm_id}-{decision.serve}")
    head, tail = discovery_answer(poll.resource, decision.serve, held)
    return Answer(view.node.id, poll.slot, decision.serve, head, module, tail, held)


def _new_node(database: Database, target: TargetRow, poll: Poll) -> NodeRow:
    node = add_node(
        database,
        target.id,
        poll.node,
        poll.proxy,
        limit=target.settings.get("node_limit", NODE_LIMIT),
        forget_before=now() - FORGOTTEN_AFTER,
        yield_before=now() - YIELDS_AFTER,
    )
    if node is None:
        raise BadPoll(
            429,
            f"target {target.name} has as many nodes as its node_limit; one gives way when away for an hour",
        )
    return node


def _without_values(database: Database, key: SecretKey, target: TargetRow, why: str) -> str:
    with database.read() as session:
        return without_values(why, secrets_of(session, key, target.id))


def _refusal(view: _View, poll: Poll, decision: Decision) -> tuple[Actor, str] | None:
    if decision.refused is None:
        return None
    refused = deployment_of(decision.refused)
    name = next((one.name for one in view.deployments if one.id == refused), decision.refused)
    return Actor("node", None, poll.node), f"{poll.fleet}/{name}"


def _fingerprint(revision: RevisionRow) -> str:
    parts: list[Any] = [revision.module_sha256, revision.config, revision.root_id, revision.failure_policy]
    if revision.secrets_at is not None:
        parts.append(revision.secrets_at)  # what its config stands for may be other bytes since then
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def proxy_of(node: Mapping[str, Any]) -> str:
    """`envoy 1.40.0`, from what a node says about itself."""
    version: Any = node
    for key in ("user_agent_build_version", "version"):
        version = version.get(key) if isinstance(version, dict) else None
    if not isinstance(version, dict):
        return ""
    numbers = [version.get(key, 0) for key in ("major_number", "minor_number", "patch")]
    kind = str(node.get("user_agent_name", "")).encode(errors="replace").decode()
    return f"{kind} {'.'.join(map(str, numbers))}"[:64] if all(isinstance(n, int) for n in numbers) else kind[:64]
