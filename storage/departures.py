"""Users who leave for good: what they own goes to somebody else, and only their name stays in what they did."""

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col

from storage.database import Conflict, Database
from storage.events import Actor, record
from storage.namespaces import NamespaceRow
from storage.people_tables import Namespace, User
from storage.statements import Statement
from storage.teams import sole_owner_of
from storage.users import end_links_of_administrator, find_row, refuse_last_administrator

# Of the user's namespaces one that holds a repository, a target or a deployment set.
_OWNS = Statement(
    "SELECT n.name FROM namespaces n WHERE n.user_id = :user"
    " AND (EXISTS (SELECT 1 FROM repositories r WHERE r.namespace_id = n.id)"
    " OR EXISTS (SELECT 1 FROM targets t WHERE t.namespace_id = n.id)"
    " OR EXISTS (SELECT 1 FROM deployment_sets s WHERE s.namespace_id = n.id)) LIMIT 1"
)

_TEAMS = Statement(
    "SELECT m.team_id, n.name, m.role FROM (SELECT team_id, role FROM memberships WHERE user_id = :user"
    " UNION ALL SELECT team_id, role FROM waiting_memberships WHERE user_id = :user) m"
    " JOIN namespaces n ON n.team_id = m.team_id AND n.kind = 'team' ORDER BY n.name"
)

# The heir is somebody who can look after it: not a plain namespace, and there still.
_CAN_INHERIT = Statement(
    "SELECT 1 FROM namespaces n LEFT JOIN users u ON u.id = n.user_id LEFT JOIN teams w ON w.id = n.team_id"
    " WHERE n.id = :heir AND ((n.kind = 'user' AND u.active) OR (n.kind = 'team' AND w.deleted_at IS NULL))"
)


def delete_user(database: Database, actor: Actor, user_id: int, heir: NamespaceRow | None) -> None:
    """Removes a user with their sessions, tokens, memberships and grants.

    Their namespaces, their own one too, go with all that they hold to the heir (a user or a team); the names go on
    answering. Without an heir there must be nothing in them, and the names are free again. Raises Conflict if that is
    not so, if the heir is no active user or team, if the user is the last administrator or the only owner of a team,
    or is gone.
    """
    with database.write() as session:
        user, name = find_row(session, user_id)
        if user.role == "administrator":
            refuse_last_administrator(session, user, name)
            end_links_of_administrator(session, user_id)
        alone = sole_owner_of(session, user_id)
        if alone:
            raise Conflict(f"{name} is the only owner of {', '.join(alone)}; make somebody else owner first")
        _hand_over(session, user_id, name, heir)
        for team_id, team, role in _TEAMS.all(session, {"user": user_id}):  # else their logs would not tell of it
            record(session, actor, "member.remove", team, team_id=team_id, detail={"user": name, "role": role})
        session.execute(delete(User).where(col(User.id) == user_id))
        detail = {"heir": heir.name if heir is not None else None}
        record(session, actor, "user.delete", name, team_id=heir.team_id if heir is not None else None, detail=detail)


def _hand_over(session: OrmSession, user_id: int, name: str, heir: NamespaceRow | None) -> None:
    if heir is None:
        full = _OWNS.value(session, {"user": user_id})
        if full is not None:
            raise Conflict(f"{name} owns what is in {full}; name an heir, a user or a team, who gets it")
        session.execute(delete(Namespace).where(col(Namespace.user_id) == user_id))
        return
    if heir.user_id == user_id:
        raise Conflict(f"{name} cannot be their own heir; name another user or a team")
    if _CAN_INHERIT.first(session, {"heir": heir.id}) is None:
        raise Conflict(f"{heir.name} cannot inherit; name a user who may sign in, or a team")
    mine = update(Namespace).where(col(Namespace.user_id) == user_id)
    session.execute(mine.values(kind="plain", user_id=heir.user_id, team_id=heir.team_id))
