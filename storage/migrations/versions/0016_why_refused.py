"""Why a node refused what it was given, in its own words, where its transport carries them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("node_slots", sa.Column("why", sa.String(), server_default="", nullable=False))
