"""The table of device logins: programs that wait for somebody to approve them elsewhere. See storage.tables."""

from typing import Any

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from storage.columns import NEVER_REUSED, maybe_json, maybe_ref, maybe_time, row_id, time, words


class DeviceLogin(SQLModel, table=True):
    """A program on a machine without a browser that asks for a token (RFC 8628); gone once it has it."""

    __tablename__ = "device_logins"
    __table_args__ = NEVER_REUSED
    id: int = row_id()
    device_sha256: str = Field(unique=True)  # of the code that the program keeps
    user_code_mac: str = Field(unique=True)  # of the code that people type, which is too short for a plain hash
    client: str  # what the program calls itself
    device: str  # what it calls the machine
    address: str  # that it asked from
    network: str = Field(index=True)  # the same as far as one person commands it
    scopes: Any = maybe_json()  # asked for, then given; none: all that the person may
    created_at: int = time()
    expires_at: int = Field(sa_type=BigInteger, index=True)
    state: str = words("pending")  # pending | approved | refused
    user_id: int | None = maybe_ref("users.id", "CASCADE", index=True)  # who approved it, and
    generation: int | None = None  # theirs at that moment
    token_name: str = words()  # as it was approved
    token_life: int | None = maybe_time()  # milliseconds; none: without end
