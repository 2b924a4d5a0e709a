"""Two indexes without which searches and filtered lists of referrers cost more and more as a hub grows."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whether a repository has a word becomes one look-up.
    op.create_index("ix_search_words_of", "search_words", ["repository_id", "word"], unique=False)
    op.drop_index("ix_search_words_repository_id", "search_words")
    # Most manifests refer to nothing and cost the index nothing.
    referring = sa.text("subject IS NOT NULL")
    op.create_index(
        "ix_manifests_kinds",
        "manifests",
        ["repository_id", "subject", "artifact_type", "id"],
        unique=False,
        sqlite_where=referring,
        postgresql_where=referring,
    )
