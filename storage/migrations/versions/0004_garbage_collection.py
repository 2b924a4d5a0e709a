"""The hub's own clock, by which garbage collection keeps its promises, and the collector's runs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DAY = 86_400_000


def upgrade() -> None:
    op.create_table(
        "hub_clock",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("reading", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("step", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(f"INSERT INTO hub_clock (id, reading, lease, step) VALUES (1, 0, {DAY}, 0)")
    op.create_table(
        "garbage_collections",
        sa.Column("id", ID, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("cursor", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("began_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    # These times were read from clocks that the hub's own knows nothing of: all begin anew, each with a whole day.
    op.execute(f"UPDATE blobs SET leased_until = {DAY}")
    op.execute("UPDATE uploads SET touched_at = 0")
