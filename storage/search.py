"""Search: the words by which a repository is found, kept whenever something that it says changes.

A word is found by its beginning, a word of the name also by any part of three characters or more. Each write touches
one repository's words alone; a search costs what its words find, not what the hub holds.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from storage.statements import Statement

SHORTEST_PART = 3
LONGEST_WORD = 64
WORDS_KEPT = 400  # of one repository: enough for any honest description
WORDS_ASKED = 8  # of one search; more are left out
TEXT_READ = 4000  # characters of one annotation or description
ANNOTATIONS = tuple(f"org.opencontainers.image.{name}" for name in ("title", "description", "vendor", "authors"))

# Dots stay inside a word, so that 0.2.1 and example.com are one.
_WORD = re.compile(r"\w+(?:\.\w+)*")
_TURN = Statement("SELECT id FROM repositories WHERE id = :repo", lock="FOR NO KEY UPDATE")
_SAID = Statement("SELECT name, description FROM repositories WHERE id = :repo")
_NEWEST = Statement(
    "SELECT m.id, m.annotations FROM tags t JOIN manifests m ON m.id = t.manifest_id"
    " WHERE t.repository_id = :repo AND t.rank > '' ORDER BY t.rank DESC, t.updated_at DESC, t.name DESC LIMIT 1"
)
# Of the manifest itself or, where it is an index, of what it lists.
_FACTS = Statement(
    "SELECT facts FROM modules WHERE sha256 IN (SELECT module_sha256 FROM inspections WHERE manifest_id = :id"
    " UNION ALL SELECT i.module_sha256 FROM links l"
    " JOIN manifests c ON c.repository_id = :repo AND c.digest = l.digest"
    " JOIN inspections i ON i.manifest_id = c.id WHERE l.manifest_id = :id AND l.kind = 'manifest') LIMIT 1"
)
_KEPT = Statement("SELECT word FROM search_words WHERE repository_id = :repo")
_KEEP = Statement("INSERT INTO search_words (word, repository_id) VALUES (:word, :repo)")
_FORGET = Statement("DELETE FROM search_words WHERE word = :word AND repository_id = :repo")


def take_turn(session: Session, repository_id: int) -> bool:
    """Waits until no other command changes what the repository says, to the end of this one. False: it is gone.

    For commands that run beside others and change manifests, tags or words of a repository: before anything else, so
    that two of them never wait for each other.
    """
    return _TURN.first(session, {"repo": repository_id}) is not None


def find_words(asked: str) -> list[str]:
    """The words of what somebody typed into a search box, at most WORDS_ASKED."""
    return list(_split(asked[:TEXT_READ]))[:WORDS_ASKED]


def index_words(session: Session, repository_id: int) -> None:
    """Brings a repository's words up to date, as part of the command that changed what it says."""
    session.flush()
    asked = {"repo": repository_id}
    said = _SAID.first(session, asked)
    if said is None:
        return
    name, description = said
    newest, annotations = _NEWEST.first(session, asked) or (None, None)
    facts = _FACTS.value(session, {**asked, "id": newest})
    wanted = words_to_keep(name, description, _json(annotations), _json(facts))
    kept = {row[0] for row in _KEPT.all(session, asked)}
    _FORGET.run_each(session, [{**asked, "word": word} for word in kept - wanted])
    _KEEP.run_each(session, [{**asked, "word": word} for word in sorted(wanted - kept)])


def words_to_keep(name: str, description: str, annotations: Any, facts: Any) -> set[str]:
    """The words of a repository: of what it says itself, of its newest version's annotations and module's facts."""
    wanted: set[str] = set()
    for word in _all_words(name, description, annotations, facts):
        if len(wanted) == WORDS_KEPT:
            break
        wanted.add(word)
    return wanted


def _all_words(name: str, description: str, annotations: Any, facts: Any) -> Iterator[str]:
    """Everything that the repository says, what names it first."""
    for word in _split(name):
        yield word
        yield from (word[start:] for start in range(1, len(word) - SHORTEST_PART + 1))
    if isinstance(facts, dict):
        yield from _split(_fact_text(facts))
    yield from _split(description[:TEXT_READ])
    if isinstance(annotations, dict):
        for key in ANNOTATIONS:
            yield from _split(str(annotations.get(key, ""))[:TEXT_READ])


def _fact_text(facts: dict[str, Any]) -> str:
    """What a module says of itself that people search for: its SDK and its ABI version."""
    sdk = facts.get("sdk") or {}
    return f"{sdk.get('name', '')} {facts.get('abi_version') or ''} {facts.get('module_name') or ''}"[:TEXT_READ]


def _split(said: str) -> Iterator[str]:
    """Words in small letters; the parts of a word joined by underscores or dots count too."""
    for found in _WORD.finditer(said.casefold()):
        word = found[0][:LONGEST_WORD]
        yield word
        yield from (part for part in re.split(r"[._]", word) if 1 < len(part) < len(word))


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
