"""One pure function, `may`, and the table of roles and actions that it reads, which people are shown too."""

from dataclasses import dataclass

from auth.identity import Identity
from storage.namespaces import DELETED
from storage.scopes import within

# Every action, and what it lets somebody do with a repository or a target.
ACTIONS: dict[str, str] = {
    "pull": "see it and pull from it; see a target, its proxies and what runs there",
    "push": "push manifests, blobs and tags",
    "delete": "delete manifests, blobs and tags",
    "deploy": "put filters to work on a target, change, roll back and take them off",
    "configure": "change its description and visibility; make and remove targets and their keys",
    "audit": "read the audit log of a team: who did what, when and where from",
    "administer": "share it with people and teams; change a team's members, a namespace's name, and end a team",
}
ALL = frozenset(ACTIONS)
# What a role in the whole hub allows, whoever owns a thing.
SITE_ROLES: dict[str, frozenset[str]] = {
    "user": frozenset(),
    "auditor": frozenset({"pull", "audit"}),
    "administrator": ALL,
}
# What a role in the owning team allows. The owner of a namespace of their own has the role `owner` in it.
TEAM_ROLES: dict[str, frozenset[str]] = {
    "reader": frozenset({"pull"}),
    "writer": frozenset({"pull", "push", "delete"}),
    "maintainer": frozenset({"pull", "push", "delete", "deploy", "configure"}),
    "owner": ALL,
}
# What the visibility of a repository adds for everybody who is signed in, and for everybody.
VISIBILITY: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "private": (frozenset(), frozenset()),
    "internal": (frozenset({"pull"}), frozenset()),
    "public": (frozenset({"pull"}), frozenset({"pull"})),
}
REGISTRY_ACTIONS = frozenset({"pull", "push", "delete"})  # those that a registry token can carry


@dataclass(frozen=True)
class Resource:
    """What permissions ask of a repository, a target, a team or a namespace: who owns it and how visible it is.

    `roles` are those that the asker has there: in the team that owns it, and by grants on the repository itself. `kind`
    and `name` are for the scopes of a token: those of no kind that scopes know are for tokens without any.
    """

    owner_user_id: int | None = None
    roles: frozenset[str] = frozenset()
    visibility: str = "private"
    kind: str = ""
    name: str = ""


def allowed(identity: Identity, resource: Resource) -> frozenset[str]:
    """All actions that the identity may take on the resource. Whatever everybody may, every token may."""
    if resource.visibility == DELETED:
        return frozenset()
    signed_in, everybody = VISIBILITY[resource.visibility]
    if identity.anonymous:
        return everybody
    actions = signed_in | everybody | SITE_ROLES[identity.role]
    if resource.owner_user_id == identity.user_id:
        actions |= TEAM_ROLES["owner"]
    actions = actions.union(*(TEAM_ROLES.get(role, ()) for role in resource.roles))
    if identity.scopes is not None:
        actions = actions & within(identity.scopes, resource.kind, resource.name) | everybody
    return actions


def may(identity: Identity, action: str, resource: Resource) -> bool:
    """Whether the identity may take the action (`pull`, `push`, `delete`, `deploy`, `configure`, `administer`)."""
    return action in allowed(identity, resource)


def table() -> list[tuple[str, list[str]]]:
    """The table as people read it: who somebody is to a thing, and all actions that this lets them take."""
    rows = [(f"anybody, where it is {name}", everybody) for name, (_, everybody) in VISIBILITY.items()]
    rows += [
        (f"anybody signed in, where it is {name}", signed_in | everybody)
        for name, (signed_in, everybody) in VISIBILITY.items()
    ]
    rows += [(f"{role} in the team that owns it", actions) for role, actions in TEAM_ROLES.items()]
    rows += [("the user who owns it", TEAM_ROLES["owner"])]
    rows += [(f"{role} of the hub", actions) for role, actions in SITE_ROLES.items() if actions]
    return [(who, [action for action in ACTIONS if action in actions]) for who, actions in rows]
