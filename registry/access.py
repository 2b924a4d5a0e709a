"""Who may do what at this door: the table of answers to those who may not, in one function."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from auth.bearer import Claims, known_identity, load_identity
from auth.identity import Identity
from auth.namespaces import rights
from registry.errors import OCIError
from registry.names import is_name
from storage.namespaces import DELETED, Holding, find_holding
from storage.pulls import Facts
from storage.repositories import Viewer
from storage.users import IdentityRow

# What a client is told to ask for when its token does not cover an action.
SCOPES = {"pull": "pull", "push": "pull,push", "delete": "delete"}


@dataclass(frozen=True)
class Caller:
    """Who calls, as the request says: verified claims, or why there are none."""

    claims: Claims | None
    presented: bool  # whether any token was sent
    address: str
    realm: str  # URL of the token service, as this caller reaches it
    service: str

    def challenge(self, *scopes: str, error: str | None = None) -> OCIError:
        """The 401 that tells the caller where to get a token and for what."""
        parts = [f'realm="{self.realm}"', f'service="{self.service}"']
        if scopes:
            parts.append(f'scope="{" ".join(scopes)}"')
        if error is None and self.presented and self.claims is None:
            error = "invalid_token"
        if error is not None:
            parts.append(f'error="{error}"')
        return OCIError("UNAUTHORIZED", headers={"WWW-Authenticate": "Bearer " + ",".join(parts)})


@dataclass(frozen=True)
class Entry:
    """A caller who may do what they asked: who they are, and the repository if it is there for them."""

    identity: Identity
    claims: Claims
    repository_id: int | None = None
    namespace_id: int | None = None
    name: str = ""  # of the repository, as it is now

    @property
    def narrowed(self) -> bool:
        """Whether the caller came with an access token that has scopes."""
        return self.identity.scopes is not None

    def viewer(self) -> Viewer:
        """The caller as lists see them."""
        return self.identity.viewer()

    def may_pull(self, session: Session, name: str) -> bool:
        """Whether the person may pull from another repository, whatever the token says."""
        holding = find_holding(session, name, self.identity.user_id) if is_name(name) else None
        there = holding is not None and holding.repository_id is not None
        return there and "pull" in rights(self.identity, name, holding, "nobody")

    def covers(self, name: str, action: str) -> bool:
        """Whether the token covers an action on another repository."""
        return covers(self.claims.access, name, action)


def covers(access: Mapping[str, frozenset[str]], name: str, action: str) -> bool:
    """Whether a token's access names the action on the repository, or on all (`*`)."""
    return action in access.get(name, ()) or action in access.get("*", ())


def identify(session: Session, caller: Caller, *scopes: str) -> tuple[Identity, Claims]:
    """Who calls, as the database knows them now. Raises the 401 without a valid token."""
    identity = None if caller.claims is None else load_identity(session, caller.claims, caller.address)
    return _known(caller, identity, scopes)


def allow(
    session: Session,
    caller: Caller,
    action: str,
    name: str,
    *,
    rule: str = "nobody",
    also: tuple[str, ...] = (),
    ask_for: str = "",
) -> Entry:
    """The first line of every handler: lets the caller through or raises what the table says.

    `action` is pull, push or delete; `rule` says who may make a namespace by pushing. A challenge names the action's
    own scope, or that of `ask_for` instead, and those of `also`. Without a token, or anonymous without the right: 401,
    the same whether or not the repository exists. Signed in but not allowed to read: what a repository that does not
    exist answers. Push without the right: 403 either way. Allowed, but with a token of too narrow a scope: 401
    `insufficient_scope`.
    """
    check_name(name)
    scopes = (f"repository:{name}:{SCOPES[ask_for or action]}", *also)
    who = identify(session, caller, *scopes)
    holding = find_holding(session, name, who[0].user_id)
    return _decide(caller, who, holding, rights(who[0], name, holding, rule), action, name, scopes)


def allow_pull(facts: Facts, caller: Caller, name: str, ask_for: str) -> Entry:
    """What `allow` says to a pull, by facts that were asked for together with what is to be pulled."""
    scopes = (f"repository:{name}:{SCOPES[ask_for]}",)
    who = _known(caller, None if caller.claims is None else _identity(facts, caller.claims, caller.address), scopes)
    # Who may pull where nothing is finds nothing there: then it does not matter who holds the name.
    holding = _holding(facts)
    return _decide(caller, who, holding, rights(who[0], name, holding, "nobody"), "pull", name, scopes)


def check_name(name: str) -> None:
    """Raises the answer to a name that no repository can have."""
    if not is_name(name):
        raise OCIError("NAME_INVALID", detail={"name": name[:300]})


def _known(caller: Caller, identity: Identity | None, scopes: tuple[str, ...]) -> tuple[Identity, Claims]:
    if caller.claims is None:
        raise caller.challenge(*scopes)
    if identity is None:
        raise caller.challenge(*scopes, error="invalid_token")
    return identity, caller.claims


def _decide(
    caller: Caller,
    who: tuple[Identity, Claims],
    holding: Holding | None,
    actions: frozenset[str],
    action: str,
    name: str,
    scopes: tuple[str, ...],
) -> Entry:
    identity, claims = who
    there = holding is not None and holding.repository_id is not None

    if action not in actions:
        if identity.anonymous:
            raise caller.challenge(*scopes)
        if action == "push" or "pull" in actions:
            raise OCIError("DENIED", f"you may not {action} {'to' if action == 'push' else 'from'} {name}")
        return Entry(identity, claims)
    if not covers(claims.access, name, action) and (there or action == "push"):
        raise caller.challenge(*scopes, error="insufficient_scope")
    if holding is None:
        return Entry(identity, claims)
    return Entry(identity, claims, holding.repository_id, holding.namespace_id, holding.name)


def _identity(facts: Facts, claims: Claims, address: str) -> Identity | None:
    """The subject of a token; a pull is recorded nowhere and needs no name."""
    row = None
    if claims.user_id is not None and facts.role is not None and facts.user_generation is not None:
        row = IdentityRow(claims.user_id, "", facts.role, facts.user_generation)
    return known_identity(claims, row, address)


def _holding(facts: Facts) -> Holding | None:
    """Who holds the repository. Each role allows to pull, so that it does not matter which one was granted."""
    if facts.namespace_id is None or facts.name is None or facts.visibility is None or facts.visibility == DELETED:
        return None
    roles = frozenset(role for role in (facts.team_role, "reader" if facts.granted else None) if role)
    return Holding(facts.namespace_id, facts.name, facts.owner_user_id, roles, facts.repository_id, facts.visibility)
