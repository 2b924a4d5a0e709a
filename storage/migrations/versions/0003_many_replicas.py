"""What several replicas and the garbage collector need: leases, claims, doomed copies, and links by repository."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "hub",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hub_id", sa.String(), nullable=False),
        sa.Column("secret_check", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "doomed_copies",
        sa.Column("id", ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("state", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("doomed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_doomed_copies_doomed_at"), "doomed_copies", ["doomed_at"], unique=False)
    op.add_column("uploads", sa.Column("state", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("blobs", sa.Column("checked_at", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("blobs", sa.Column("damaged_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_blobs_checked_at"), "blobs", ["checked_at"], unique=False)
    op.add_column("inspections", sa.Column("claimed_until", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(op.f("ix_inspections_blob_digest"), "inspections", ["blob_digest"], unique=False)
    op.create_index(op.f("ix_revisions_module_sha256"), "revisions", ["module_sha256"], unique=False)

    op.add_column("links", sa.Column("repository_id", ID, server_default="0", nullable=False))
    op.execute(
        "UPDATE links SET repository_id = (SELECT m.repository_id FROM manifests m WHERE m.id = links.manifest_id)"
    )
    op.create_index("ix_links_holding", "links", ["repository_id", "digest"], unique=False)
    op.drop_index("ix_links_digest", "links")
