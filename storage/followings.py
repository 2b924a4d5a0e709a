"""Deployments that follow a tag, or a range of versions: what has moved, and what was made of it.

A move becomes a revision in one transaction with the row that says so, which looks that nobody was faster: so it is one
revision, however many processes see it and whenever one dies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.following_tables import Following
from storage.rollout_rows import ABORTED, BACK, HALTED, NewRollout, as_json
from storage.statements import Statement
from storage.targets import namespace_of_target
from storage.versions import rank

RUNS, WAITING, REFUSED = "", "waiting", "refused"
UNREADABLE = "unreadable"  # refused too; what the repository holds is for nobody to know who may see the deployment
LONGEST_MESSAGE = 2000  # characters that are kept of why


@dataclass(frozen=True)
class NewFollowing:
    """What a deployment is to follow from now on: a tag, or a range of versions from `low` on and below `high`."""

    repository_id: int
    tag: str
    versions: str
    low: str
    high: str
    pre_releases: bool
    rollout: NewRollout | None
    user_id: int | None


@dataclass(frozen=True)
class Follows:
    """What a deployment follows, and why it does not run what was found there last; empty where it does."""

    repository: str
    tag: str  # empty: a range
    versions: str
    since: int
    by: str | None
    rollout: NewRollout | None
    seen_tag: str
    state: str
    message: str
    said_at: int | None
    again_at: int | None


@dataclass(frozen=True)
class Moved:
    """A deployment that is to be looked at: `tag` is what it follows by now, and points to `digest`."""

    deployment_id: int
    target_id: int
    target: str
    deployment: str
    revision_id: int
    repository: str
    tag: str
    digest: str
    versions: str
    since: int
    user_id: int | None
    rollout: NewRollout | None
    seen_tag: str
    seen_digest: str
    state: str
    message: str
    tries: int
    said_at: int | None

    @property
    def reference(self) -> str:
        """What it would run."""
        return f"{self.repository}:{self.tag}"

    @property
    def fresh(self) -> bool:
        """Whether it moved; else it is tried again."""
        return (self.tag, self.digest) != (self.seen_tag, self.seen_digest)


class Overtaken(Conflict):
    """Somebody else has changed the deployment, or followed, meanwhile."""


# Says within the transaction of a new revision, before it is written, what its deployment follows from now on.
Settle = Callable[[Session, int], None]

# The highest version first, so that a range costs one step along an index.
_TOP = (
    "SELECT h.name FROM tags h WHERE h.repository_id = f.repository_id AND h.rank >= f.low AND h.rank < f.high"
    " AND (f.pre_releases OR h.rank LIKE '%~') ORDER BY h.rank DESC, h.updated_at DESC, h.name DESC LIMIT 1"
)
_HIGHEST = Statement(
    "SELECT name FROM tags WHERE repository_id = :repo AND rank >= :low AND rank < :high"
    " AND (:pre_releases OR rank LIKE '%~') ORDER BY rank DESC, updated_at DESC, name DESC LIMIT 1"
)
_MOVED = Statement(
    f"WITH wanted AS MATERIALIZED (SELECT f.*, CASE WHEN f.versions = '' THEN f.tag ELSE ({_TOP}) END AS found"
    " FROM followings f)"
    " SELECT w.deployment_id, d.target_id, g.name, d.name, d.revision_id, r.name, t.name, m.digest, w.versions,"
    " w.since, w.user_id, w.rollout, w.seen_tag, w.seen_digest, w.state, w.message, w.tries, w.said_at"
    " FROM wanted w JOIN tags t ON t.repository_id = w.repository_id AND t.name = w.found"
    " JOIN manifests m ON m.id = t.manifest_id JOIN deployments d ON d.id = w.deployment_id"
    " JOIN targets g ON g.id = d.target_id JOIN repositories r ON r.id = w.repository_id"
    " WHERE d.ended_at IS NULL AND (m.digest <> w.seen_digest OR t.name <> w.seen_tag OR w.again_at <= :now)"
    " AND NOT EXISTS (SELECT 1 FROM rollouts o WHERE o.deployment_id = w.deployment_id"
    " AND o.state IN ('running', 'paused')) ORDER BY w.deployment_id LIMIT :limit"
)
_NOTE = Statement(
    "UPDATE followings SET seen_tag = :tag, seen_digest = :digest, low = COALESCE(:low, low), state = :state,"
    " message = :message, said_at = :said_at, tries = :tries, again_at = :again_at"
    " WHERE deployment_id = :id AND since = :since AND seen_tag = :seen_tag AND seen_digest = :seen_digest"
    " AND EXISTS (SELECT 1 FROM deployments d WHERE d.id = :id AND d.revision_id = :revision AND d.ended_at IS NULL)"
)
_WHAT = Statement("SELECT CASE WHEN tag = '' THEN versions ELSE tag END FROM followings WHERE deployment_id = :id")
_END = Statement("DELETE FROM followings WHERE deployment_id = :id")
_AGAIN = Statement("UPDATE followings SET again_at = 0 WHERE deployment_id = :id AND state <> ''")
_REFUSE = Statement(
    f"UPDATE followings SET state = '{REFUSED}', message = :message, said_at = :now, tries = 0, again_at = NULL"
    " WHERE deployment_id = :id"
)
_TAKEN_BACK = Statement(
    "SELECT o.id, o.state, o.why FROM revisions v"
    " LEFT JOIN rollouts o ON o.deployment_id = v.deployment_id AND o.to_revision = v.number"
    " WHERE v.deployment_id = :id AND v.manifest_digest = :digest ORDER BY v.number DESC LIMIT 1"
)


def moved_followings(session: Session, at: int, *, limit: int = 1000) -> list[Moved]:
    """What follows something that has moved, or is to be tried again by that time, but for what is being rolled out."""
    return [_moved(row) for row in _MOVED.all(session, {"now": at, "limit": limit})]


def highest_version(session: Session, repository_id: int, low: str, high: str, pre_releases: bool) -> str | None:
    """The tag of the highest version in a range, as `NewFollowing` has it."""
    asked = {"repo": repository_id, "low": low, "high": high, "pre_releases": pre_releases}
    found: str | None = _HIGHEST.value(session, asked)
    return found


def was_taken_back(session: Session, deployment_id: int, digest: str) -> str:
    """Why a version that a deployment ran is not to come by itself: its rollout was taken back. Empty if it was not."""
    found = _TAKEN_BACK.first(session, {"id": deployment_id, "digest": digest})
    if found is None or found[1] not in (HALTED, BACK, ABORTED):
        return ""
    return _taken_back(found[0], found[2])


def followed_there(session: Session, deployment_id: int) -> str | None:
    """The tag or the range that a deployment follows; None if it follows nothing."""
    found: str | None = _WHAT.value(session, {"id": deployment_id})
    return found


def begin_following(new: NewFollowing) -> Settle:
    """From now on it follows this."""

    def settle(session: Session, deployment_id: int) -> None:
        _END.run(session, {"id": deployment_id})
        values = {name: value for name, value in vars(new).items() if name != "rollout"}
        waves = None if new.rollout is None else {**vars(new.rollout), "limits": dict(new.rollout.limits)}
        session.add(Following(deployment_id=deployment_id, since=now(), rollout=waves, **values))
        session.flush()

    return settle


def end_following(session: Session, deployment_id: int) -> None:
    """From now on it follows nothing."""
    _END.run(session, {"id": deployment_id})


def keep_following(session: Session, deployment_id: int) -> None:
    """It follows what it followed, if it did; what was refused is looked at again beside what has changed."""
    _AGAIN.run(session, {"id": deployment_id})


def follow_moved(before: Moved) -> Settle:
    """It follows as before, and the new revision is what was found. Raises Overtaken if that is no more so."""

    def settle(session: Session, deployment_id: int) -> None:
        if deployment_id != before.deployment_id or not _note(session, before, RUNS, "", None):
            raise Overtaken(f"{before.target}/{before.deployment} was changed meanwhile")

    return settle


def note_following(
    database: Database, actor: Actor, before: Moved, state: str, message: str = "", again_at: int | None = None
) -> bool:
    """Keeps what was made of a move without a new revision; a refusal has an event, once. False: it was overtaken."""
    with database.write() as session:
        message = message[:LONGEST_MESSAGE]
        if not _note(session, before, state, message, again_at):
            return False
        found = {"reference": before.reference, "manifest": before.digest} if state == REFUSED else {}
        changed = (state, message) != (before.state, before.message)
        if (changed and state in (REFUSED, UNREADABLE)) or (before.fresh and state == REFUSED):
            record(
                session,
                actor,
                "deployment.follow",
                f"{before.target}/{before.deployment}",
                namespace_id=namespace_of_target(session, before.target_id),
                detail={**found, "why": message},
                result="refused",
            )
        return True


def settle_taken_back(session: Session, deployment_id: int, rollout_id: int, action: str, why: str) -> None:
    """A rollout is taken back: of a version that came by following, that one is not followed; what a person brought out
    ends what it was to follow.
    """
    if action == "follow":
        message = _taken_back(rollout_id, why)[:LONGEST_MESSAGE]
        _REFUSE.run(session, {"id": deployment_id, "message": message, "now": now()})
    else:
        end_following(session, deployment_id)


def _note(session: Session, before: Moved, state: str, message: str, again_at: int | None) -> bool:
    again = not before.fresh and (state, message) == (before.state, before.message)
    values: dict[str, Any] = {"tag": before.tag, "digest": before.digest, "state": state, "message": message}
    values |= {"low": rank(before.tag) if before.versions and state == RUNS else None}
    values |= {"said_at": now() if state != RUNS else None, "again_at": again_at}
    values |= {"tries": 0 if state == RUNS or before.fresh else before.tries + 1}
    if again:
        values["said_at"] = before.said_at
    values |= {"id": before.deployment_id, "revision": before.revision_id, "since": before.since}
    return _NOTE.run(session, values | {"seen_tag": before.seen_tag, "seen_digest": before.seen_digest}) == 1


def _taken_back(rollout_id: int, why: str) -> str:
    return f"rollout {rollout_id} of it was taken back: {why}; it comes again when somebody deploys it"


def follows_of(columns: Sequence[Any]) -> Follows | None:
    """What a deployment follows, from the columns of a look-up of deployments."""
    repository, tag, versions, since, by, rollout, *said = columns
    return None if repository is None else Follows(repository, tag, versions, since, by, _waves(rollout), *said)


def _moved(row: Any) -> Moved:
    values = [*row]
    values[11] = _waves(values[11])
    return Moved(*values)


def _waves(value: Any) -> NewRollout | None:
    """The waves of a JSON column."""
    found: Mapping[str, Any] | None = as_json(value)
    return None if found is None else NewRollout(tuple(found["waves"]), found["bake"], found["limits"])
