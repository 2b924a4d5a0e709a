"""Secrets that configs of a target's deployments name: kept sealed, told to proxies alone."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.mesh_tables import ConfigSecret
from storage.sealing import refuse_old_seal
from storage.tables import Deployment, Revision, Target
from storage.targets import TargetRow, namespace_of_target, touch_target

MOST = 100  # secrets of one target

# Says which secrets a config names.
NamesIn = Callable[[str | None], Collection[str]]


@dataclass(frozen=True)
class ConfigSecretRow:
    """A secret without its value, and the deployments whose current config names it."""

    name: str
    changed_at: int
    used_by: list[str]


def sealed_secrets(session: Session, target_id: int) -> dict[str, bytes]:
    """The sealed values of a target's secrets by name."""
    query = select(ConfigSecret.name, ConfigSecret.sealed_value).where(col(ConfigSecret.target_id) == target_id)
    return {row[0]: row[1] for row in session.execute(query)}


def config_secrets(session: Session, target_id: int, names_in: NamesIn) -> list[ConfigSecretRow]:
    """A target's secrets by name."""
    used = _used(session, target_id, names_in)
    query = select(ConfigSecret).where(col(ConfigSecret.target_id) == target_id).order_by(col(ConfigSecret.name))
    return [
        ConfigSecretRow(one.name, one.changed_at, used.get(one.name, [])) for one in session.execute(query).scalars()
    ]


def save_config_secret(database: Database, actor: Actor, target: TargetRow, name: str, sealed: bytes) -> bool:
    """Gives a secret a value, which proxies are told as soon as they can be; whether it is new.

    Raises Conflict if the target is gone, or has as many secrets as it may have.
    """
    with database.write() as session:
        if session.get(Target, target.id) is None:
            raise Conflict(f"the target {target.name} was removed meanwhile")
        refuse_old_seal(session, sealed)
        row = _find(session, target.id, name)
        if row is None and len(sealed_secrets(session, target.id)) >= MOST:
            raise Conflict(f"target {target.name} has {MOST} secrets, which is the most; delete one first")
        new = row is None
        if row is None:
            session.add(ConfigSecret(target_id=target.id, name=name, sealed_value=sealed, changed_at=now()))
        else:
            row.sealed_value, row.changed_at = sealed, max(now(), row.changed_at + 1)
        touch_target(session, target.id)
        place = namespace_of_target(session, target.id)
        record(session, actor, "config-secret.save", target.name, namespace_id=place, detail={"secret": name})
        return new


def delete_config_secret(database: Database, actor: Actor, target: TargetRow, name: str, names_in: NamesIn) -> bool:
    """Removes a secret; whether there was one. Raises Conflict while a current config names it."""
    with database.write() as session:
        row = _find(session, target.id, name)
        if row is None:
            return False
        used = _used(session, target.id, names_in).get(name)
        if used:
            raise Conflict(
                f"the config of {', '.join(used[:5])} names the secret {name}; deploy with another config first"
            )
        session.delete(row)
        place = namespace_of_target(session, target.id)
        record(session, actor, "config-secret.delete", target.name, namespace_id=place, detail={"secret": name})
        return True


def _find(session: Session, target_id: int, name: str) -> ConfigSecret | None:
    query = select(ConfigSecret).where(col(ConfigSecret.target_id) == target_id, col(ConfigSecret.name) == name)
    return session.execute(query).scalar_one_or_none()


def _used(session: Session, target_id: int, names_in: NamesIn) -> dict[str, list[str]]:
    """The deployments by the secrets that their current configs name."""
    query = (
        select(Deployment.name, Revision.config)
        .join(Revision, col(Revision.id) == col(Deployment.revision_id))
        .where(col(Deployment.target_id) == target_id, col(Deployment.ended_at).is_(None))
        .order_by(col(Deployment.name))
    )
    found: dict[str, list[str]] = {}
    for deployment, config in session.execute(query):
        for name in names_in(config):
            found.setdefault(name, []).append(deployment)
    return found
