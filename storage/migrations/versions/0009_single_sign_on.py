"""What single sign-on needs: providers, identities that are linked to users, what groups give, what is spent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "providers",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=True),
        sa.Column("scopes", sa.String(), nullable=False),
        sa.Column("name_claim", sa.String(), nullable=False),
        sa.Column("groups_claim", sa.String(), nullable=False),
        sa.Column("makes_users", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "group_roles",
        sa.Column("id", ID, nullable=False),
        sa.Column("provider_id", ID, nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("team_id", ID, nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider_id", "group_name", "team_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_group_roles_provider_id"), "group_roles", ["provider_id"], unique=False)
    op.create_index(op.f("ix_group_roles_team_id"), "group_roles", ["team_id"], unique=False)
    op.create_table(
        "identities",
        sa.Column("id", ID, nullable=False),
        sa.Column("provider_id", ID, nullable=False),
        sa.Column("subject", BYTEWISE, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["provider_id"], ["providers.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider_id", "subject"),
        sa.UniqueConstraint("provider_id", "user_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"], unique=False)
    op.create_table(
        "spent_marks",
        sa.Column("mark", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
    op.create_index(op.f("ix_spent_marks_until"), "spent_marks", ["until"], unique=False)
    # Numbers of providers, which are never given twice: what they gave goes by a command, before they do.
    op.add_column("memberships", sa.Column("provider_id", ID, nullable=True))
    op.create_index(op.f("ix_memberships_provider_id"), "memberships", ["provider_id"], unique=False)
    op.add_column("users", sa.Column("role_provider_id", ID, nullable=True))
    op.add_column("sessions", sa.Column("provider_id", ID, nullable=True))
    op.add_column("sessions", sa.Column("provider_sid", sa.String(), nullable=True))
    op.create_index("ix_sessions_of_provider", "sessions", ["provider_id", "provider_sid"], unique=False)
