"""Tables of what namespaces hold and may hold, described as those in storage.tables are. See storage.usage."""

from sqlalchemy import BigInteger, Index, Integer
from sqlmodel import Field, SQLModel

from storage.columns import ID, NEVER_REUSED, number, ref, row_id


class Usage(SQLModel, table=True):
    """What a namespace held when its changes were last folded in."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_most", "bytes", "namespace_id"),)
    namespace_id: int = ref("namespaces.id", "CASCADE", key=True)
    bytes: int = number()
    level: int = number(Integer)  # of its quota, in percent, that was last told in an event: 0, 80 or 100


class UsageChange(SQLModel, table=True):
    """Bytes by which a namespace came to hold more or less: added by each push, taken away when folded in."""

    __tablename__ = "usage_changes"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    namespace_id: int = Field(sa_type=ID, index=True)
    bytes: int = Field(sa_type=BigInteger)


class Quota(SQLModel, table=True):
    """What a namespace may hold, where it is not what the settings say; 0 is without limit, NULL as the settings."""

    __tablename__ = "quotas"
    namespace_id: int = ref("namespaces.id", "CASCADE", key=True)
    bytes: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
    repositories: int | None = Field(default=None, sa_type=BigInteger, nullable=True)
