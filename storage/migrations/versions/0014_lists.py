"""A way to walk the names of one kind, such as those of teams among a hundred thousand users."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_namespaces_kind", "namespaces", ["kind", "name"], unique=False)
