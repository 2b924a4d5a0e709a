"""Staged rollouts, their timelines, and what proxies count while one is under way."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", ID, nullable=False),
        sa.Column("deployment_id", ID, nullable=False),
        sa.Column("from_revision", sa.Integer(), nullable=False),
        sa.Column("to_revision", sa.Integer(), nullable=False),
        sa.Column("waves", sa.JSON(), nullable=False),
        sa.Column("bake", sa.BigInteger(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("cut", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("baking_since", sa.BigInteger(), nullable=True),
        sa.Column("back_revision", sa.Integer(), nullable=True),
        sa.Column("why", sa.String(), server_default="", nullable=False),
        sa.Column("created_by", ID, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollouts_deployment", "rollouts", ["deployment_id", "id"], unique=False)
    running = sa.text("state IN ('running', 'paused')")
    op.create_index(
        "ix_rollouts_open", "rollouts", ["deployment_id"], unique=True, sqlite_where=running, postgresql_where=running
    )
    watched = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_rollouts_watched", "rollouts", ["id"], unique=False, sqlite_where=watched, postgresql_where=watched
    )
    op.create_table(
        "rollout_events",
        sa.Column("id", ID, nullable=False),
        sa.Column("rollout_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollout_events_rollout", "rollout_events", ["rollout_id", "id"], unique=False)
    op.create_table(
        "rollout_figures",
        sa.Column("rollout_id", ID, nullable=False),
        sa.Column("node_id", ID, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("rollout_id", "node_id", "wave", "changed"),
    )
    op.create_index(op.f("ix_rollout_figures_node_id"), "rollout_figures", ["node_id"], unique=False)
