"""What a person may do with a repository's name, there or not: the rule about pushes that make namespaces."""

from auth.identity import Identity
from auth.permissions import ALL, Resource, allowed
from storage.namespaces import Holding, name_problem
from storage.scopes import within


def may_create_namespace(identity: Identity, rule: str) -> bool:
    """Whether a push by the identity makes a namespace that is not there; `rule` is admins, everyone or nobody.

    A robot's never does: it would own it.
    """
    if rule == "everyone":
        return not identity.anonymous and not identity.robot
    return rule == "admins" and identity.administrator


def resource_of(holding: Holding) -> Resource:
    """What permissions ask of a repository that is held so."""
    return Resource(holding.owner_user_id, holding.roles, holding.visibility, "repository", holding.name)


def rights(identity: Identity, name: str, holding: Holding | None, rule: str) -> frozenset[str]:
    """All actions that the identity may take on the repository of that name, whether or not it is there.

    One that is not there is judged as the one that a push would make: by its namespace's owner or, where there is no
    namespace either, by whether the push would make that too.
    """
    if holding is not None:
        return allowed(identity, resource_of(holding))
    if may_create_namespace(identity, rule) and name_problem(name.partition("/")[0]) is None:
        return ALL if identity.scopes is None else within(identity.scopes, "repository", name)
    return frozenset()
