"""Targets: places that filters can be deployed to, and the keys by which their proxies know themselves."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, delete, text
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.mesh_tables import TargetState
from storage.namespaces import refuse_deleted
from storage.people_tables import Namespace
from storage.pullers import end_puller
from storage.repositories import OWNS, Viewer, within_scopes
from storage.sealing import refuse_old_seal
from storage.statements import Statement
from storage.tables import Deployment, Target, TargetKey

KEYS_AT_ONCE = 2  # the one in use and, during a rotation, the next


class SettingsMoved(Conflict):
    """A target's settings are no longer those that a change of them was made from."""


@dataclass(frozen=True)
class TargetRow:
    """A target and who owns its namespace."""

    id: int
    name: str
    kind: str
    settings: dict[str, Any]
    created_at: int
    namespace: str
    owner_user_id: int | None
    role: str | None  # the asker's in the team that owns it
    sealed_access: bytes | None = None  # how the hub gets in there, if it has to


@dataclass(frozen=True)
class TargetKeyRow:
    """A target's key as its owner sees it; the secret itself is nowhere."""

    id: int
    hint: str
    created_at: int


_ROWS = (
    "SELECT t.id, t.name, t.kind, t.settings, t.created_at, n.name, n.user_id, m.role, t.sealed_access"
    " FROM targets t JOIN namespaces n ON n.id = t.namespace_id"
    " LEFT JOIN memberships m ON m.team_id = n.team_id AND m.user_id = :viewer"
)
_MAY_SEE = f"(:sees_all OR (CAST(:viewer AS BIGINT) IS NOT NULL AND {OWNS}))"
_FIND = text(f"{_ROWS} WHERE t.name = :name").columns(settings=JSON())
_BY_ID = text(f"{_ROWS} WHERE t.id = :id").columns(settings=JSON())
_BY_KEY = text(f"{_ROWS} JOIN target_keys k ON k.target_id = t.id WHERE k.secret_sha256 = :secret").columns(
    settings=JSON()
)
_LIST = f"{_ROWS} WHERE t.name > :after AND {_MAY_SEE} AND {{}} ORDER BY t.name LIMIT :limit"


_TOUCH = Statement("UPDATE target_states SET wanted = wanted + 1 WHERE target_id = :target")
_FOLLOW_AGAIN = Statement(
    "UPDATE followings SET again_at = 0 WHERE state <> '' AND deployment_id IN"
    " (SELECT id FROM deployments WHERE target_id = :target)"
)


def find_target(session: Session, name: str, user_id: int | None = None) -> TargetRow | None:
    """The target of that name, as `user_id` asks for it."""
    found = session.execute(_FIND, {"name": name, "viewer": user_id}).first()
    return TargetRow(*found) if found else None


def find_target_by_id(session: Session, target_id: int) -> TargetRow | None:
    """The target of that id."""
    found = session.execute(_BY_ID, {"id": target_id, "viewer": None}).first()
    return TargetRow(*found) if found else None


def find_target_by_key(session: Session, secret_sha256: str) -> TargetRow | None:
    """The target that a key belongs to."""
    found = session.execute(_BY_KEY, {"secret": secret_sha256, "viewer": None}).first()
    return TargetRow(*found) if found else None


def live_keys(session: Session, secrets_sha256: Collection[str]) -> set[str]:
    """Those of some keys that are still good."""
    query = select(TargetKey.secret_sha256).where(col(TargetKey.secret_sha256).in_(secrets_sha256))
    return {row[0] for row in session.execute(query)}


def targets(session: Session, viewer: Viewer, *, after: str = "", limit: int = 1000) -> list[TargetRow]:
    """The targets whose namespace the viewer belongs to and that their token is for, by name, after `after`."""
    asked = {"after": after, "limit": limit, **viewer.parameters("target")}
    query = text(_LIST.format(within_scopes(viewer, "target", "t"))).columns(settings=JSON())
    return [TargetRow(*row) for row in session.execute(query, asked)]


def create_target(
    database: Database,
    actor: Actor,
    name: str,
    *,
    kind: str,
    namespace_id: int,
    settings: dict[str, Any],
    sealed_access: bytes | None = None,
) -> TargetRow:
    """Makes a target; with `sealed_access` one that the hub reaches out to.

    Raises Conflict if the name is taken, or if the namespace is gone.
    """
    with database.write() as session:
        namespace = session.get(Namespace, namespace_id)
        if namespace is None:
            raise Conflict(f"the namespace of {name!r} was removed meanwhile")
        refuse_deleted(session, namespace.team_id)
        if find_target(session, name) is not None:
            raise Conflict(f"there is a target named {name!r} already; choose another name")
        target = Target(
            name=name,
            kind=kind,
            namespace_id=namespace_id,
            settings=settings,
            created_at=now(),
            sealed_access=sealed_access,
        )
        session.add(target)
        session.flush()
        if sealed_access is not None:
            refuse_old_seal(session, sealed_access)
            session.add(TargetState(target_id=target.id, wanted=1))
        detail = {"kind": kind, "settings": settings}
        record(session, actor, "target.create", name, namespace_id=namespace_id, detail=detail)
        made = find_target(session, name)
        assert made is not None
        return made


def delete_target(database: Database, actor: Actor, target: TargetRow, *, abandon: bool = False) -> None:
    """Removes a target with its keys and nodes. Raises Conflict while something is deployed on it.

    With `abandon` also one where objects of what was undeployed are left, as in a cluster that is gone for ever.
    """
    with database.write() as session:
        query = select(Deployment.name).where(col(Deployment.target_id) == target.id).order_by(col(Deployment.name))
        live = [row[0] for row in session.execute(query.where(col(Deployment.ended_at).is_(None)))]
        if live:
            raise Conflict(f"{', '.join(live[:5])} is deployed on target {target.name}; undeploy it first")
        ending = [row[0] for row in session.execute(query)] if target.sealed_access is not None else []
        if ending and not abandon:
            raise Conflict(
                f"the objects of {', '.join(ending[:5])} are still being taken away from target {target.name};"
                " try again when they are gone, or with abandon=true, which leaves them where they are"
            )
        namespace_id = namespace_of_target(session, target.id)
        end_puller(session, target.id)
        session.execute(delete(Deployment).where(col(Deployment.target_id) == target.id))
        session.execute(delete(Target).where(col(Target.id) == target.id))
        detail = {"abandoned": ending} if ending else None
        record(session, actor, "target.delete", target.name, namespace_id=namespace_id, detail=detail)


def configure_target(
    database: Database, actor: Actor, target: TargetRow, *, settings: dict[str, Any], sealed_access: bytes | None
) -> TargetRow:
    """Gives a target other settings and, if there is any, another access.

    Raises SettingsMoved if they are no longer those of `target` as it was read, and Conflict if it is gone.
    """
    with database.write() as session:
        row = session.get(Target, target.id)
        if row is None:
            raise Conflict(f"the target {target.name} was removed meanwhile")
        if row.settings != target.settings:
            raise SettingsMoved(f"the settings of {target.name} were changed meanwhile; look at them and try again")
        before, row.settings = row.settings, settings
        if sealed_access is not None:
            refuse_old_seal(session, sealed_access)
            row.sealed_access = sealed_access
        touch_target(session, target.id)
        _FOLLOW_AGAIN.run(session, {"target": target.id})  # what it refused, it may take now
        detail = {"settings": settings, "before": before, "access": sealed_access is not None}
        record(session, actor, "target.configure", target.name, namespace_id=row.namespace_id, detail=detail)
        session.flush()
        made = find_target(session, target.name)
        assert made is not None
        return made


def touch_target(session: Session, target_id: int) -> None:
    """Has a pass over the target follow, if it is one that the hub reaches out to."""
    _TOUCH.run(session, {"target": target_id})


def target_keys(session: Session, target_id: int) -> list[TargetKeyRow]:
    """A target's keys, oldest first."""
    query = select(TargetKey).where(col(TargetKey.target_id) == target_id).order_by(col(TargetKey.id))
    return [TargetKeyRow(row.id, row.hint, row.created_at) for row in session.execute(query).scalars()]


def create_target_key(
    database: Database, actor: Actor, target: TargetRow, *, hint: str, secret_sha256: str
) -> TargetKeyRow:
    """Keeps a new key beside the one in use. Raises Conflict if there are two already, or if the target is gone."""
    with database.write() as session:
        if session.get(Target, target.id) is None:
            raise Conflict(f"the target {target.name} was removed meanwhile")
        if len(target_keys(session, target.id)) >= KEYS_AT_ONCE:
            raise Conflict(f"target {target.name} has two keys already; delete the one that is no longer in use")
        key = TargetKey(target_id=target.id, hint=hint, secret_sha256=secret_sha256, created_at=now())
        session.add(key)
        session.flush()
        place = namespace_of_target(session, target.id)
        record(session, actor, "target-key.create", target.name, namespace_id=place, detail={"hint": hint})
        return TargetKeyRow(key.id, key.hint, key.created_at)


def delete_target_key(database: Database, actor: Actor, target: TargetRow, key_id: int) -> bool:
    """Ends a key at once. Returns whether the target had it."""
    with database.write() as session:
        key = session.get(TargetKey, key_id)
        if key is None or key.target_id != target.id:
            return False
        session.delete(key)
        place = namespace_of_target(session, target.id)
        record(session, actor, "target-key.delete", target.name, namespace_id=place, detail={"hint": key.hint})
        return True


def namespace_of_target(session: Session, target_id: int) -> int | None:
    """The namespace that a target is in; None if it is gone."""
    row = session.get(Target, target_id)
    return row.namespace_id if row is not None else None
