"""The repository that a push goes to: made by its first push, with its namespace if the caller may make one."""

from registry.access import Caller, Entry, allow
from registry.errors import OCIError
from registry.means import Means
from storage.namespaces import InvalidName, create_namespace
from storage.repositories import make_repository


def enter_for_push(means: Means, caller: Caller, name: str) -> Entry:
    """Lets a push in. Asked again once a body has come: it may take for ever, and rights go meanwhile. Blocks."""
    with means.database.read() as session:
        return allow(session, caller, "push", name, rule=means.namespace_rule)


def repository_for_push(means: Means, entry: Entry, name: str) -> int:
    """The id of the repository that an allowed push goes to. Blocks on the database."""
    if entry.repository_id is not None:
        return entry.repository_id
    actor, namespace_id = entry.identity.actor(), entry.namespace_id
    if entry.name:
        name = entry.name  # where it was asked for by an old one
    if namespace_id is None:
        first = name.partition("/")[0]
        try:
            namespace_id = create_namespace(means.database, actor, first, user_id=entry.identity.user_id, exist_ok=True)
        except InvalidName as error:
            raise OCIError("NAME_INVALID", str(error)) from None
    return make_repository(means.database, name, namespace_id, actor, means.meter)
