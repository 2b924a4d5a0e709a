"""The table of deployments that follow a tag, or a range of versions."""

from typing import Any

from sqlmodel import Field, SQLModel

from storage.columns import BYTEWISE, maybe_json, maybe_ref, maybe_time, no, number, ref, time, words


class Following(SQLModel, table=True):
    """What a deployment follows, and what was last made of what it found there.

    Of a range, `low` and `high` are ranks (`storage.versions`): versions from `low` on and below `high` are wanted, and
    `low` rises with each that was brought out.
    """

    __tablename__ = "followings"
    deployment_id: int = ref("deployments.id", "CASCADE", key=True)
    repository_id: int = ref("repositories.id", "CASCADE", index=True)
    tag: str = Field(sa_type=BYTEWISE)  # empty: a range
    versions: str  # the range as it was written; empty: a tag
    low: str = Field(sa_type=BYTEWISE)
    high: str = Field(sa_type=BYTEWISE)
    pre_releases: bool = no()
    rollout: Any = maybe_json()  # the waves in which it reaches the nodes; none: all at once
    user_id: int | None = maybe_ref("users.id", "SET NULL")  # who said so, and may still deploy it
    since: int = time()
    seen_tag: str = words()  # what was looked at last,
    seen_digest: str = words()  # and where it pointed
    state: str = words()  # empty: that runs | waiting | refused
    message: str = words()  # why
    said_at: int | None = maybe_time()
    tries: int = number()
    again_at: int | None = maybe_time()  # when it is tried again though nothing moved
