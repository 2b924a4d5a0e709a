"""What machines need: tokens that are narrowed to scopes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("scopes", sa.JSON(), nullable=True))
