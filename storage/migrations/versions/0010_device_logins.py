"""Programs that wait until somebody who is signed in elsewhere approves them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "device_logins",
        sa.Column("id", ID, nullable=False),
        sa.Column("device_sha256", sa.String(), nullable=False),
        sa.Column("user_code_mac", sa.String(), nullable=False),
        sa.Column("client", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("user_id", ID, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("token_name", sa.String(), server_default="", nullable=False),
        sa.Column("token_life", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device_sha256"),
        sa.UniqueConstraint("user_code_mac"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_device_logins_network"), "device_logins", ["network"], unique=False)
    op.create_index(op.f("ix_device_logins_expires_at"), "device_logins", ["expires_at"], unique=False)
    op.create_index(op.f("ix_device_logins_user_id"), "device_logins", ["user_id"], unique=False)
