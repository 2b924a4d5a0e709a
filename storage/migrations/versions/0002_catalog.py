"""What the catalog needs to stay fast: words, the rank of tags, and repositories by who may see them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "search_words",
        sa.Column("word", BYTEWISE, nullable=False),
        sa.Column("repository_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["repository_id"], ["repositories.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("word", "repository_id"),
    )
    op.create_index(op.f("ix_search_words_repository_id"), "search_words", ["repository_id"], unique=False)
    op.add_column("tags", sa.Column("rank", BYTEWISE, server_default="", nullable=False))
    op.create_index("ix_tags_newest", "tags", ["repository_id", "rank", "updated_at", "name"], unique=False)
    op.create_index("ix_repositories_visible", "repositories", ["visibility", "name"], unique=False)
    op.create_index("ix_repositories_owned", "repositories", ["namespace_id", "name"], unique=False)
    op.drop_index(op.f("ix_repositories_namespace_id"), "repositories")
