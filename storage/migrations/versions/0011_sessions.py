"""Where a session was opened from and with what, and when it was last used."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("address", sa.String(), server_default="", nullable=False))
    op.add_column("sessions", sa.Column("agent", sa.String(), server_default="", nullable=False))
    op.add_column("sessions", sa.Column("seen_at", sa.BigInteger(), server_default="0", nullable=False))
    # Those that are open go on: when they were last used is not known.
    op.execute(sa.text("UPDATE sessions SET seen_at = :now").bindparams(now=time.time_ns() // 1_000_000))
