"""Teams that were deleted and whose time to be restored is over: removed for good, a bounded piece at a time."""

from sqlalchemy import delete
from sqlalchemy.orm import Session
from sqlmodel import col, select

from storage.clock import READING
from storage.database import Database
from storage.events import SYSTEM, record
from storage.garbage import AT_ONCE, Cursor, Step
from storage.people_tables import Namespace, Robot, Team, User
from storage.statements import Statement
from storage.tables import Repository
from storage.usage import give_back

_DUE = Statement(f"SELECT id FROM teams WHERE id > :team AND remove_at <= {READING} ORDER BY id LIMIT 1")
_STILL_DUE = Statement(f"SELECT 1 FROM teams WHERE id = :team AND remove_at <= {READING}")
_REPOSITORIES = "FROM repositories r JOIN namespaces n ON n.id = r.namespace_id WHERE n.team_id = :team"
# What another team's target runs stays until it does not: its revisions need it.
_UNUSED = "NOT EXISTS (SELECT 1 FROM revisions v WHERE v.repository_id = r.id)"
_REPOSITORY = Statement(f"SELECT r.id {_REPOSITORIES} AND r.id > :repo AND {_UNUSED} ORDER BY r.id LIMIT 1")
_IS_UNUSED = Statement(f"SELECT 1 FROM repositories r WHERE r.id = :repo AND {_UNUSED}")
_ANY_LEFT = Statement(
    f"SELECT 1 {_REPOSITORIES} UNION ALL SELECT 1 FROM targets t JOIN namespaces n ON n.id = t.namespace_id"
    " WHERE n.team_id = :team LIMIT 1"
)
_DOOM_UPLOADS = Statement(
    f"INSERT INTO doomed_copies (key, state, doomed_at) SELECT key, state, {READING} FROM uploads"
    " WHERE repository_id = :repo ON CONFLICT (key) DO NOTHING"
)
_SOME = "(SELECT {key} FROM {table} WHERE repository_id = :repo ORDER BY {key} LIMIT :limit)"
_MANIFESTS = Statement(f"DELETE FROM manifests WHERE id IN {_SOME.format(key='id', table='manifests')}")
_BLOBS = Statement(
    "DELETE FROM repository_blobs WHERE repository_id = :repo"
    f" AND blob_id IN {_SOME.format(key='blob_id', table='repository_blobs')} RETURNING blob_id"
)
_NAME = Statement("SELECT name FROM namespaces WHERE team_id = :team AND kind = 'team'")


def remove_teams(database: Database, cursor: Cursor, dry_run: bool) -> Step:
    """Removes a piece of a team that can be restored no more: some manifests, a repository, at the end the team.

    What it held is then nobody's, and the steps after this one collect it. A team that is restored in the meantime
    keeps what is left of it.
    """
    team, repo = cursor or (0, 0)
    with database.read() as session:
        found = _DUE.value(session, {"team": team})
        if found is None:
            return Step(None)
        repository = _REPOSITORY.value(session, {"team": found, "repo": repo})
    if dry_run:
        return Step([found, 0], {"teams": 1})
    with database.write() as session:
        if _STILL_DUE.first(session, {"team": found}) is None:
            return Step([found, 0])
        if repository is not None:
            gone = _remove_some(session, repository)
            return Step([team, repository if gone else repo])
        return Step([found, 0], {"teams": _remove_team(session, found)})


def _remove_some(session: Session, repository_id: int) -> bool:
    """Removes a piece of a repository; says whether that was the last, or whether something began to need it."""
    asked = {"repo": repository_id}
    if _IS_UNUSED.first(session, asked) is None:
        return True
    if _MANIFESTS.run(session, {**asked, "limit": AT_ONCE}) == AT_ONCE:
        return False
    blobs = _BLOBS.all(session, {**asked, "limit": AT_ONCE})
    for row in blobs:
        give_back(session, repository_id, row[0])
    if len(blobs) == AT_ONCE:
        return False
    _DOOM_UPLOADS.run(session, asked)
    row = session.get_one(Repository, repository_id)
    session.execute(delete(Repository).where(col(Repository.id) == repository_id))
    place = row.namespace_id
    record(session, SYSTEM, "repository.remove", row.name, repository_id=repository_id, namespace_id=place)
    return True


def _remove_team(session: Session, team_id: int) -> int:
    """Removes a team with its names, if nothing of it is needed; how many that were."""
    if _ANY_LEFT.first(session, {"team": team_id}) is not None:
        return 0
    name = _NAME.value(session, {"team": team_id})
    robots = list(session.execute(select(Robot.user_id).where(col(Robot.team_id) == team_id)).scalars())
    session.execute(delete(Namespace).where(col(Namespace.user_id).in_(robots)))
    session.execute(delete(User).where(col(User.id).in_(robots)))
    session.execute(delete(Namespace).where(col(Namespace.team_id) == team_id))
    session.execute(delete(Team).where(col(Team.id) == team_id))
    record(session, SYSTEM, "team.remove", str(name), team_id=team_id)
    return 1
