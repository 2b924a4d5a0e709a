"""Targets that the hub reaches out to: how it gets in there, how they and their deployments stand."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("targets", sa.Column("sealed_access", sa.LargeBinary(), nullable=True))
    op.add_column("targets", sa.Column("puller_id", ID, nullable=True))
    op.add_column("deployments", sa.Column("ended_at", sa.BigInteger(), nullable=True))
    op.add_column("revisions", sa.Column("placement", sa.JSON(), nullable=True))
    op.add_column("revisions", sa.Column("image_digest", sa.String(), nullable=True))
    op.create_table(
        "target_states",
        sa.Column("target_id", ID, nullable=False),
        sa.Column("wanted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("status", sa.String(), server_default="new", nullable=False),
        sa.Column("message", sa.String(), server_default="", nullable=False),
        sa.Column("facts", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("target_id"),
    )
    op.create_table(
        "deployment_states",
        sa.Column("deployment_id", ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.Column("objects", sa.JSON(), nullable=True),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("deployment_id"),
    )
    op.create_table(
        "pull_credentials",
        sa.Column("id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["target_id"], ["targets.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("target_id", "repository_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_pull_credentials_repository_id"), "pull_credentials", ["repository_id"], unique=False)
