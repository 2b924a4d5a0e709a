"""The tables of targets that the hub reaches out to: how each stands, and what their proxies pull with."""

from typing import Any

from sqlalchemy import LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.columns import BYTEWISE, NEVER_REUSED, maybe_json, maybe_time, number, ref, row_id, time, words


class TargetState(SQLModel, table=True):
    """How a target stands that the hub writes objects to. Each command on it raises `wanted`; a whole pass follows."""

    __tablename__ = "target_states"
    target_id: int = ref("targets.id", "CASCADE", key=True)
    wanted: int = number()
    done: int = number()  # what `wanted` was when the last whole pass began
    status: str = words("new")  # new | reached | away
    message: str = words()
    facts: Any = maybe_json()  # what was seen there: version, rights
    checked_at: int | None = maybe_time()


class DeploymentState(SQLModel, table=True):
    """What became of a deployment on such a target, as the last pass saw it; or on a fleet, why nothing of it runs."""

    __tablename__ = "deployment_states"
    deployment_id: int = ref("deployments.id", "CASCADE", key=True)
    revision: int  # that was applied last; 0: none yet
    status: str
    message: str
    detail: Any = maybe_json()  # what the proxies say, one by one, as far as they were asked
    objects: Any = maybe_json()  # what the hub owns there for it
    applied_at: int | None = maybe_time()
    changed_at: int = time()


class PullCredential(SQLModel, table=True):
    """With what a target's proxies pull one repository, and nothing else."""

    __tablename__ = "pull_credentials"
    __table_args__ = (UniqueConstraint("target_id", "repository_id"), NEVER_REUSED)
    id: int = row_id()
    target_id: int = ref("targets.id", "CASCADE")
    repository_id: int = ref("repositories.id", "CASCADE", index=True)
    sealed_secret: bytes = Field(sa_type=LargeBinary)
    created_at: int = time()  # of the secret


class ConfigSecret(SQLModel, table=True):
    """A value that configs of a target's deployments name, and that nobody but its proxies is told."""

    __tablename__ = "config_secrets"
    __table_args__ = (UniqueConstraint("target_id", "name"), NEVER_REUSED)
    id: int = row_id()
    target_id: int = ref("targets.id", "CASCADE")
    name: str = Field(sa_type=BYTEWISE)
    sealed_value: bytes = Field(sa_type=LargeBinary)
    changed_at: int = time()
