"""What machines need: tokens that are narrowed to scopes, robots of a team, rules whose tokens are theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("scopes", sa.JSON(), nullable=True))
    op.add_column("users", sa.Column("kind", sa.String(), server_default="person", nullable=False))
    op.create_table(
        "robots",
        sa.Column("user_id", ID, autoincrement=False, nullable=False),
        sa.Column("team_id", ID, nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_index(op.f("ix_robots_team_id"), "robots", ["team_id"], unique=False)
    op.create_table(
        "trust_rules",
        sa.Column("id", ID, nullable=False),
        sa.Column("robot_id", ID, nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["robot_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_trust_rules_wanted", "trust_rules", ["issuer", "audience"], unique=False)
    op.create_index(op.f("ix_trust_rules_robot_id"), "trust_rules", ["robot_id"], unique=False)
    op.add_column("access_tokens", sa.Column("rule_id", ID, nullable=True))
    op.create_index(op.f("ix_access_tokens_rule_id"), "access_tokens", ["rule_id"], unique=False)
