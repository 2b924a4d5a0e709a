"""One pure function, `may`, and the table of roles and actions that it reads."""

from dataclasses import dataclass

from auth.identity import Identity

# What a role in the owning team allows. The owner of a namespace of their own has the role `owner` in it.
TEAM_ROLES: dict[str, frozenset[str]] = {
    "reader": frozenset({"pull"}),
    "writer": frozenset({"pull", "push", "delete"}),
    "maintainer": frozenset({"pull", "push", "delete", "deploy", "configure"}),
    "owner": frozenset({"pull", "push", "delete", "deploy", "configure", "administer"}),
}
# What the visibility of a repository adds for everybody who is signed in, and for everybody.
VISIBILITY: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "private": (frozenset(), frozenset()),
    "internal": (frozenset({"pull"}), frozenset()),
    "public": (frozenset({"pull"}), frozenset({"pull"})),
}
ACTIONS = TEAM_ROLES["owner"]
REGISTRY_ACTIONS = frozenset({"pull", "push", "delete"})  # those that a registry token can carry


@dataclass(frozen=True)
class Resource:
    """What permissions ask of a repository, a target or a namespace: who owns it and how visible it is."""

    owner_user_id: int | None = None
    owner_team_id: int | None = None
    visibility: str = "private"


def allowed(identity: Identity, resource: Resource) -> frozenset[str]:
    """All actions that the identity may take on the resource."""
    if identity.administrator:
        return ACTIONS
    signed_in, everybody = VISIBILITY[resource.visibility]
    if identity.anonymous:
        return everybody
    actions = signed_in | everybody
    if identity.role == "auditor":
        actions |= TEAM_ROLES["reader"]
    if resource.owner_user_id == identity.user_id:
        actions |= TEAM_ROLES["owner"]
    if resource.owner_team_id is not None:
        actions |= TEAM_ROLES.get(identity.teams.get(resource.owner_team_id, ""), frozenset())
    return actions


def may(identity: Identity, action: str, resource: Resource) -> bool:
    """Whether the identity may take the action (`pull`, `push`, `delete`, `deploy`, `configure`, `administer`)."""
    return action in allowed(identity, resource)
