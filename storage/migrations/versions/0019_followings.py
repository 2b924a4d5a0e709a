"""Deployments that follow a tag, or a range of versions."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "followings",
        sa.Column("deployment_id", ID, nullable=False),
        sa.Column("repository_id", ID, nullable=False),
        sa.Column("tag", BYTEWISE, nullable=False),
        sa.Column("versions", sa.String(), nullable=False),
        sa.Column("low", BYTEWISE, nullable=False),
        sa.Column("high", BYTEWISE, nullable=False),
        sa.Column("pre_releases", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("rollout", sa.JSON(), nullable=True),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("seen_tag", sa.String(), server_default="", nullable=False),
        sa.Column("seen_digest", sa.String(), server_default="", nullable=False),
        sa.Column("state", sa.String(), server_default="", nullable=False),
        sa.Column("message", sa.String(), server_default="", nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("again_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("deployment_id"),
    )
    op.create_index(op.f("ix_followings_repository_id"), "followings", ["repository_id"], unique=False)
