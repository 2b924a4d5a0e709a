"""What the audit log needs: how an act ended, whose team it concerns, and an index for each way to search."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WALKS = {"at": (), "actor": ("actor_name",), "action": ("action",), "subject": ("subject",), "address": ("address",)}
WALKS_OF_SOME = {"team": "team_id", "repository": "repository_id"}
# Rows from before are filed under the team that has the repository, or the name, today.
OF_REPOSITORIES = (
    "UPDATE events SET team_id = (SELECT n.team_id FROM repositories r JOIN namespaces n ON n.id = r.namespace_id"
    " WHERE r.id = events.repository_id) WHERE repository_id IS NOT NULL"
)
OF_TEAMS = (
    "UPDATE events SET team_id = (SELECT n.team_id FROM namespaces n WHERE n.name = events.subject AND n.kind = 'team')"
    " WHERE action LIKE 'team.%' OR action LIKE 'member.%' OR action = 'invitation.create'"
)


def upgrade() -> None:
    op.add_column("events", sa.Column("team_id", ID, nullable=True))
    op.add_column("events", sa.Column("result", sa.String(), server_default="done", nullable=False))
    op.execute(OF_REPOSITORIES)
    op.execute(OF_TEAMS)
    for column in ("at", "actor_id", "repository_id"):
        op.drop_index(f"ix_events_{column}", "events")
    for name, columns in WALKS.items():
        op.create_index(f"ix_events_{name}", "events", [*columns, "at", "id"], unique=False)
    for name, column in WALKS_OF_SOME.items():
        some = sa.text(f"{column} IS NOT NULL")
        walk = [column, "at", "id"]
        op.create_index(f"ix_events_{name}", "events", walk, sqlite_where=some, postgresql_where=some)
