"""With what a target's proxies pull: one user for each target, and for each repository a secret that reads it alone."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, String, cast, delete, func, update
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
    used = select(func.max(AccessToken.used_at)).where(
        col(AccessToken.user_id) == col(Target.puller_id),
        col(AccessToken.name) == cast(col(PullCredential.repository_id), String),
    )
    query = (
        select(PullCredential, Repository.name, Target.name, used.scalar_subquery())
        .join(Repository, col(Repository.id) == col(PullCredential.repository_id))
        .join(Target, col(Target.id) == col(PullCredential.target_id))
        .where(col(PullCredential.target_id) == target_id)
    )
    return {
        row.repository_id: PullRow(
            row.repository_id, name, login_of(target), row.sealed_secret, row.created_at, used_at
        )
        for row, name, target, used_at in session.execute(query)
    }


def give_pull_credential(
    database: Database, target_id: int, repository_id: int, secret: NewSecret, sealed: bytes
) -> None:
    """Lets a target's proxies read a repository with a new secret; an old one ends after OVERLAP.

    Raises Conflict if the target or the repository is gone.
    """
    with database.write() as session:
        target, repository = session.get(Target, target_id), session.get(Repository, repository_id)
        if target is None or repository is None:
            raise Conflict("the target or the repository was removed meanwhile")
        refuse_old_seal(session, sealed)
        puller = target.puller_id or _make_puller(session, target)
        of_it = (col(Grant.repository_id) == repository_id) & (col(Grant.user_id) == puller)
        if session.execute(select(Grant.id).where(of_it)).first() is None:
            session.add(Grant(repository_id=repository_id, user_id=puller, role="reader", created_at=now()))
            repository.generation += 1
        _end_tokens(session, puller, repository_id, at=now() + OVERLAP)
        token = AccessToken(
            user_id=puller,
            name=str(repository_id),
            hint=secret.hint,
            secret_sha256=secret.sha256,
            scopes=[f"repository:{repository.name}:pull"],
            created_at=now(),
        )
        row = session.execute(select(PullCredential).where(*_of(target_id, repository_id))).scalar_one_or_none()
        if row is None:
            session.add(
                PullCredential(target_id=target_id, repository_id=repository_id, sealed_secret=sealed, created_at=now())
            )
        else:
            row.sealed_secret, row.created_at = sealed, now()
        session.add(token)
        detail = {"repository": repository.name, "hint": secret.hint}
        record(session, SYSTEM, "pull-secret.give", target.name, namespace_id=target.namespace_id, detail=detail)


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


def _end_tokens(session: Session, puller: int, repository_id: int, *, at: int) -> None:
    """Has the secrets for a repository end that go on without an end, and forgets those that have ended."""
    of_it = (col(AccessToken.user_id) == puller) & (col(AccessToken.name) == str(repository_id))
    session.execute(delete(AccessToken).where(of_it, col(AccessToken.expires_at) <= now()))
    session.execute(update(AccessToken).where(of_it, col(AccessToken.expires_at).is_(None)).values(expires_at=at))


def _of(target_id: int, repository_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return col(PullCredential.target_id) == target_id, col(PullCredential.repository_id) == repository_id
