"""With what a target's proxies pull: one user for each target, and for each repository a secret that reads it alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import SYSTEM, record
from storage.mesh_tables import PullCredential
from storage.people_tables import AccessToken, Grant, Namespace, User
from storage.robots import JOINT, NewSecret
from storage.sealing import refuse_old_seal
from storage.statements import Statement
from storage.tables import Repository, Target

OVERLAP = 2 * 3_600_000  # milliseconds that a secret is good after another has taken its place

_UNUSED = Statement(
    "SELECT c.repository_id FROM pull_credentials c WHERE c.target_id = :target AND NOT EXISTS (SELECT 1"
    " FROM deployments d JOIN revisions v ON v.deployment_id = d.id"
    " WHERE d.target_id = c.target_id AND v.repository_id = c.repository_id)"
)
_CREDENTIALS = Statement(
    "SELECT c.repository_id, r.name, t.name, c.sealed_secret, c.created_at, (SELECT max(a.used_at) FROM access_tokens a"
    " WHERE a.user_id = t.puller_id AND a.name = CAST(c.repository_id AS TEXT)) FROM pull_credentials c"
    " JOIN repositories r ON r.id = c.repository_id JOIN targets t ON t.id = c.target_id WHERE c.target_id = :target"
)
_NAME = Statement("SELECT name FROM repositories WHERE id = :repo")
_GRANT = Statement(
    "INSERT INTO grants (repository_id, user_id, role, created_at) VALUES (:repo, :puller, 'reader', :at)"
    " ON CONFLICT (repository_id, user_id) DO NOTHING"
)
_CHANGED = Statement("UPDATE repositories SET generation = generation + 1 WHERE id = :repo")
# The secrets for a repository that have ended, and those that go on without an end.
_FORGET = Statement("DELETE FROM access_tokens WHERE user_id = :puller AND name = :name AND expires_at <= :at")
_END = Statement(
    "UPDATE access_tokens SET expires_at = :end WHERE user_id = :puller AND name = :name AND expires_at IS NULL"
)
_TOKEN = Statement(
    "INSERT INTO access_tokens (user_id, name, hint, secret_sha256, scopes, created_at)"
    " VALUES (:puller, :name, :hint, :sha256, :scopes, :at)"
)
_KEEP = Statement(
    "INSERT INTO pull_credentials (target_id, repository_id, sealed_secret, created_at)"
    " VALUES (:target, :repo, :sealed, :at) ON CONFLICT (target_id, repository_id)"
    " DO UPDATE SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at"
)


@dataclass(frozen=True)
class PullRow:
    """The secret of a target for one repository, sealed, and when it was made."""

    repository_id: int
    repository: str
    login: str
    sealed_secret: bytes
    created_at: int
    used_at: int | None  # when somebody last signed in with it; written at most once a minute


def login_of(target: str) -> str:
    """The name by which a target's proxies sign in; no user, team or robot has one that begins so."""
    return f"{JOINT}{target}"


def is_public(session: Session, repository_id: int) -> bool:
    """Whether anybody may read the repository."""
    found = session.execute(select(Repository.visibility).where(col(Repository.id) == repository_id))
    return found.scalar_one_or_none() == "public"


def pull_credentials(session: Session, target_id: int) -> dict[int, PullRow]:
    """A target's secrets by repository."""
    rows = _CREDENTIALS.all(session, {"target": target_id})
    return {row[0]: PullRow(row[0], row[1], login_of(row[2]), bytes(row[3]), row[4], row[5]) for row in rows}


def give_pull_credentials(
    database: Database, target_id: int, secrets: Mapping[int, tuple[NewSecret, bytes]]
) -> dict[int, PullRow]:
    """Lets a target's proxies read repositories, each with a new secret, which is given sealed too; old ones end after
    OVERLAP. Answers all secrets of the target, as `pull_credentials` does.

    Raises Conflict if the target or a repository is gone.
    """
    with database.write() as session:
        target = session.get(Target, target_id)
        if target is None:
            raise Conflict("the target was removed meanwhile")
        puller = target.puller_id or _make_puller(session, target)
        for sealed in [one[1] for one in secrets.values()][:1]:  # all are sealed with the one key
            refuse_old_seal(session, sealed)
        for repository_id, (secret, sealed) in sorted(secrets.items()):
            _give(session, target, puller, repository_id, secret, sealed)
        return pull_credentials(session, target_id)


def take_unused_credentials(database: Database, target_id: int) -> None:
    """Ends the secrets of a target for repositories that nothing on it runs, or could be rolled back to."""
    with database.read() as session:
        unused = [row[0] for row in _UNUSED.all(session, {"target": target_id})]
    if not unused:
        return
    with database.write() as session:
        target = session.get(Target, target_id)
        if target is None:
            return
        for row in _UNUSED.all(session, {"target": target_id}):
            _take(session, target, row[0])


def end_puller(session: Session, target_id: int) -> None:
    """Removes the user of a target's proxies with all that it may, as part of a larger command."""
    target = session.get(Target, target_id)
    if target is None or target.puller_id is None:
        return
    session.execute(delete(Namespace).where(col(Namespace.user_id) == target.puller_id))
    session.execute(delete(User).where(col(User.id) == target.puller_id))


def _make_puller(session: Session, target: Target) -> int:
    user = User(kind="puller", created_at=now())
    session.add(user)
    session.flush()
    session.add(Namespace(name=login_of(target.name), kind="robot", user_id=user.id, created_at=now()))
    target.puller_id = user.id
    return user.id


def _give(session: Session, target: Target, puller: int, repository_id: int, secret: NewSecret, sealed: bytes) -> None:
    name = _NAME.value(session, {"repo": repository_id})
    if name is None:
        raise Conflict("the repository was removed meanwhile")
    moment = now()
    mine = {"repo": repository_id, "puller": puller, "at": moment}
    if _GRANT.run(session, mine):
        _CHANGED.run(session, {"repo": repository_id})
    tokens = {"puller": puller, "name": str(repository_id), "at": moment}
    _FORGET.run(session, tokens)
    _END.run(session, {**tokens, "end": moment + OVERLAP})
    scopes = json.dumps([f"repository:{name}:pull"])
    _TOKEN.run(session, {**tokens, "hint": secret.hint, "sha256": secret.sha256, "scopes": scopes})
    _KEEP.run(session, {"target": target.id, "repo": repository_id, "sealed": sealed, "at": moment})
    detail = {"repository": name, "hint": secret.hint}
    record(session, SYSTEM, "pull-secret.give", target.name, namespace_id=target.namespace_id, detail=detail)


def _take(session: Session, target: Target, repository_id: int) -> None:
    session.execute(delete(PullCredential).where(*_of(target.id, repository_id)))
    mine = (col(Grant.repository_id) == repository_id) & (col(Grant.user_id) == target.puller_id)
    session.execute(delete(Grant).where(mine))
    of_it = (col(AccessToken.user_id) == target.puller_id) & (col(AccessToken.name) == str(repository_id))
    session.execute(delete(AccessToken).where(of_it))
    repository = session.get(Repository, repository_id)
    name = repository.name if repository is not None else str(repository_id)
    if repository is not None:
        repository.generation += 1
    detail = {"repository": name}
    record(session, SYSTEM, "pull-secret.take", target.name, namespace_id=target.namespace_id, detail=detail)


def _of(target_id: int, repository_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(PullCredential.target_id) == target_id, col(PullCredential.repository_id) == repository_id
