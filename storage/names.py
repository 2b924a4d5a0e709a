"""Names of namespaces that change: a new one is taken, the old one goes on answering until its owner lets it go."""

from sqlalchemy.orm import Session as OrmSession

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import refuse_taken
from storage.people_tables import Alias, Namespace
from storage.search import index_words
from storage.statements import Statement
from storage.tokens import rename_in_scopes

LONGEST_REPOSITORY = 255  # characters of a repository's whole name, as clients have it
_OLD = Statement("SELECT name FROM aliases WHERE namespace_id = :namespace ORDER BY name")
_LONGEST = Statement("SELECT name FROM repositories WHERE namespace_id = :namespace ORDER BY length(name) DESC LIMIT 1")
_FORGET = Statement("DELETE FROM aliases WHERE namespace_id = :namespace AND name = :name")
_REPOSITORIES = Statement("SELECT id FROM repositories WHERE namespace_id = :namespace ORDER BY id")
_RENAME = Statement(
    "UPDATE repositories SET name = :new || substr(name, length(:old) + 1) WHERE namespace_id = :namespace"
)

# Those of the team whose own namespace it is.
_RENAME_ROBOTS = Statement(
    "UPDATE namespaces SET name = :new || substr(name, length(:old) + 1) WHERE kind = 'robot' AND user_id IN"
    " (SELECT b.user_id FROM robots b JOIN namespaces n ON n.team_id = b.team_id AND n.kind = 'team'"
    " WHERE n.id = :namespace)"
)


def old_names(session: OrmSession, namespace_id: int) -> list[str]:
    """The names that a namespace had and that go on answering."""
    return [row[0] for row in _OLD.all(session, {"namespace": namespace_id})]


def rename_namespace(database: Database, actor: Actor, namespace_id: int, new: str) -> None:
    """Gives a namespace (a user's, a team's or a plain one) another name, and with it all its repositories.

    The old name goes on answering and nobody else can take it. Scopes of tokens follow. Takes a moment for each
    repository, while which nothing else is written. Raises InvalidName and Conflict for a name that cannot be had, and
    Conflict if it is gone.
    """
    with database.write() as session:
        namespace = session.get(Namespace, namespace_id)
        if namespace is None:
            raise Conflict("the namespace was removed meanwhile")
        old = namespace.name
        if new == old:
            return
        if not _FORGET.run(session, {"namespace": namespace_id, "name": new}):  # else it had that name before
            refuse_taken(session, new)
        longest = _LONGEST.value(session, {"namespace": namespace_id}) or ""
        if len(longest) - len(old) + len(new) > LONGEST_REPOSITORY:
            raise Conflict(f"the name of {longest} would be longer than {LONGEST_REPOSITORY} characters")
        namespace.name = new
        session.flush()
        _RENAME.run(session, {"new": new, "old": old, "namespace": namespace_id})
        _RENAME_ROBOTS.run(session, {"new": new, "old": old, "namespace": namespace_id})
        rename_in_scopes(session, old, new)
        session.add(Alias(name=old, namespace_id=namespace_id, created_at=now()))
        for row in _REPOSITORIES.all(session, {"namespace": namespace_id}):
            index_words(session, row[0])
        record(session, actor, "namespace.rename", new, namespace_id=namespace_id, detail={"before": old})


def forget_name(database: Database, actor: Actor, namespace_id: int, old: str) -> None:
    """Lets an old name go: it answers no more, and anybody may take it. Raises Conflict if it is no such name."""
    with database.write() as session:
        if not _FORGET.run(session, {"namespace": namespace_id, "name": old}):
            raise Conflict(f"{old!r} is not an old name of this namespace")
        namespace = session.get(Namespace, namespace_id)
        name = namespace.name if namespace else old
        record(session, actor, "namespace.forget-name", name, namespace_id=namespace_id, detail={"name": old})
