"""What namespaces hold and may hold: counted by rows that nobody waits for, and folded a moment later."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNT = (
    "INSERT INTO usage (namespace_id, bytes) SELECT r.namespace_id, SUM(b.size) FROM repositories r"
    " JOIN repository_blobs rb ON rb.repository_id = r.id JOIN blobs b ON b.id = rb.blob_id GROUP BY r.namespace_id"
)


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("namespace_id", ID, autoincrement=False, nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("namespace_id"),
    )
    op.create_index("ix_usage_most", "usage", ["bytes", "namespace_id"], unique=False)
    op.create_table(
        "usage_changes",
        sa.Column("id", ID, nullable=False),
        sa.Column("namespace_id", ID, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_usage_changes_namespace_id"), "usage_changes", ["namespace_id"], unique=False)
    op.create_table(
        "quotas",
        sa.Column("namespace_id", ID, autoincrement=False, nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("repositories", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["namespace_id"], ["namespaces.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("namespace_id"),
    )
    op.execute(COUNT)
