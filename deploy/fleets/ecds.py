"""What one slot of one Envoy is answered, decided from what it was served and what it says it runs. Pure.

Over REST an Envoy never says why, or that, it refused: it only keeps naming the version that it had before. Over gRPC
it says both. And bytes equal to the last ones it was given are skipped and reported as taken, even when those were
refused. So what was served and refused is kept (and stored before it is served), and whatever is served a second time
is served in changed bytes, under a version of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from storage.nodes import SlotRow

EMPTY = "empty"  # the content, and the version, of a slot that lets everything pass
ATTEMPTS = 2  # after so many answers that changed nothing, content that never ran counts as refused
KEPT_REFUSALS = 32


@dataclass(frozen=True)
class Decision:
    """What to answer and what to store before that. `serve` is a version; None: answer that nothing changed."""

    record: SlotRow
    serve: str | None = None
    accepted: str | None = None  # content that the node was seen to take just now
    refused: str | None = None  # content that the node was seen to refuse just now


def content_key(deployment_id: int, revision: int, fingerprint: str) -> str:
    """The name of what one revision of one deployment puts into a slot.

    The fingerprint of its bytes keeps it apart from another revision of that number, as after a restored backup.
    """
    return f"d{deployment_id}.r{revision}.{fingerprint}"


def content_of(version: str) -> str:
    """The content that a version is an attempt at; the version itself where it tells no attempt."""
    content, _, attempt = version.rpartition(".a")
    return content if content and _is_number(attempt) else version


def deployment_of(version: str) -> int | None:
    """The row id of the deployment that a version belongs to, or None where it names none."""
    first = version.partition(".")[0]
    return int(first[1:]) if first[:1] == "d" and _is_number(first[1:]) else None


def revision_of(version: str) -> int:
    """The revision that a version of a deployment belongs to."""
    part = version.split(".")[1:2]
    return int(part[0][1:]) if part and _is_number(part[0][1:]) else 0


def attempt_of(version: str) -> int:
    """Which attempt a version is, counting from 1."""
    attempt = version.rpartition(".a")[2]
    return int(attempt) if _is_number(attempt) else 1


def salted(record: SlotRow, version: str) -> bool:
    """Whether the bytes of this version must differ from how its content looks by itself.

    So for a second attempt, and for content that this node refused under another revision.
    """
    fingerprint = content_of(version).rpartition(".")[2]
    return attempt_of(version) > 1 or any(old.rpartition(".")[2] == fingerprint for old in record.refused)


def decide(
    record: SlotRow, wanted: Sequence[str], echoed: str, *, hold: bool = False, why: str | None = None
) -> Decision:
    """One poll. `wanted` are contents in order of preference, `echoed` is what the node says it runs ("": nothing).

    With `hold` a slot that runs anything keeps it for now. `why` are the words in which the node refused what it was
    served last; None where it has not said so.
    """
    judged = _judge(record, echoed, why)
    if echoed and hold:
        return judged
    content = next((one for one in wanted if one not in judged.record.refused), None)
    if content is None or (echoed and content_of(echoed) == content):
        return judged
    version = _version(record, content)
    served = replace(judged.record, served=version, delivered=False)
    return replace(judged, record=served, serve=version)


def _judge(record: SlotRow, echoed: str, why: str | None) -> Decision:
    """What the echo says about the answer before it."""
    served, named = content_of(record.served), content_of(echoed)
    refused = tuple(one for one in record.refused if one != named)  # what it names it took, whatever was thought before
    news = named if echoed and (named in record.refused or content_of(record.running) != named) else None
    why_before = record.why if refused[-1:] == record.refused[-1:] else ""
    after = SlotRow(record.served, record.delivered, echoed or record.running, refused, why_before)
    if why is None and echoed and named == served:
        return Decision(replace(after, served=echoed), accepted=news)
    if served in ("", EMPTY) or (why is None and not _refused(record, echoed)):
        return Decision(after, accepted=news)
    kept = (*(one for one in refused if one != served), served)[-KEPT_REFUSALS:]
    return Decision(replace(after, served=after.running, refused=kept, why=why or ""), accepted=news, refused=served)


def _refused(record: SlotRow, echoed: str) -> bool:
    """Whether the last answer, which the node does not name, was refused rather than lost.

    A node that names nothing has refused it or has just been started; content that it ran before is given it again.
    """
    served = content_of(record.served)
    if served == content_of(record.running):
        return False
    return attempt_of(record.served) >= ATTEMPTS or bool(record.delivered and echoed)


def _version(record: SlotRow, content: str) -> str:
    if content == EMPTY:
        return EMPTY
    before = [attempt_of(one) for one in (record.served, record.running) if content_of(one) == content]
    return f"{content}.a{max(before, default=0) + 1}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
