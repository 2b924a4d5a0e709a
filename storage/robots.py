"""Robots: what signs in for a machine. Each belongs to a team, has a role in it, and tokens and no password."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.events import Actor, record
from storage.namespaces import InvalidName, present_scopes, well_formed
from storage.people_tables import AccessToken, Membership, Namespace, Robot, User
from storage.scopes import Scopes, stored_scopes, write_scopes
from storage.statements import Statement

ROLES = ("reader", "writer", "maintainer")  # never owner: teams are people's
MOST = 200  # of one team
MOST_TOKENS = 10  # of one robot at once
OVERLAP = 24 * 3_600_000  # milliseconds that a rotated token is good beside the new one, unless they are given
LONGEST_OVERLAP = 30 * 86_400_000
JOINT = "+"  # between the team's name and the robot's; nothing else that has a name has one in it

_ROBOTS = (
    "SELECT u.id, n.name, m.role, b.description, u.active, u.created_at, b.expires_at,"
    " (SELECT MAX(t.used_at) FROM access_tokens t WHERE t.user_id = u.id),"
    " b.scopes"
    " FROM robots b JOIN users u ON u.id = b.user_id JOIN namespaces n ON n.user_id = u.id AND n.kind = 'robot'"
    " JOIN memberships m ON m.user_id = u.id AND m.team_id = b.team_id WHERE b.team_id = :team"
)
_LIST = Statement(f"{_ROBOTS} AND n.name > :after ORDER BY n.name LIMIT :limit")
_FIND = Statement(f"{_ROBOTS} AND n.name = :name")
_COUNT = Statement("SELECT count(*) FROM robots WHERE team_id = :team")
_TEAM_NAME = Statement(
    "SELECT n.name FROM namespaces n JOIN teams w ON w.id = n.team_id AND w.deleted_at IS NULL"
    " WHERE n.team_id = :team AND n.kind = 'team'"
)


@dataclass(frozen=True)
class RobotRow:
    """A robot as its team sees it."""

    id: int
    login: str  # whole: `team+name`
    role: str  # in the team
    description: str
    active: bool
    created_at: int
    expires_at: int | None
    used_at: int | None  # when one of its tokens last was
    scopes: Scopes | None  # of its tokens; None: all that its role allows

    @property
    def name(self) -> str:
        """What it is called in its team."""
        return self.login.partition(JOINT)[2]


@dataclass(frozen=True)
class Nature:
    """What a robot is for, and what it may do."""

    role: str
    description: str = ""
    active: bool = True
    expires_at: int | None = None
    scopes: Scopes | None = None


@dataclass(frozen=True)
class NewSecret:
    """A token's secret as it is kept."""

    hint: str
    sha256: str


def robots(session: OrmSession, team_id: int, team: str, *, after: str = "", limit: int = 100) -> list[RobotRow]:
    """A team's robots by name, after the one of that name in the team."""
    asked = {"team": team_id, "after": f"{team}{JOINT}{after}", "limit": limit}
    return [_row(row) for row in _LIST.all(session, asked)]


def find_robot(session: OrmSession, team_id: int, team: str, name: str) -> RobotRow | None:
    """The robot of that name in the team."""
    row = _FIND.first(session, {"team": team_id, "name": f"{team}{JOINT}{name}"})
    return None if row is None else _row(row)


def create_robot(
    database: Database, actor: Actor, team_id: int, name: str, nature: Nature, secret: NewSecret | None
) -> None:
    """Makes a robot with its first token, or with none. Raises InvalidName for what cannot be its name.

    Raises Conflict if the team has one of that name or MOST of them already, or is gone.
    """
    if not well_formed(name):
        raise InvalidName(
            f"{name[:64]!r} is no name for a robot: use lower-case letters and digits, joined by single dots, dashes or"
            " underscores, at most 64 characters"
        )
    with database.write() as session:
        team = _TEAM_NAME.value(session, {"team": team_id})
        if team is None:
            raise Conflict("the team was deleted meanwhile")
        if find_robot(session, team_id, team, name) is not None:
            raise Conflict(f"{team} has a robot named {name!r} already; rotate its token, or choose another name")
        if _COUNT.value(session, {"team": team_id}) >= MOST:
            raise Conflict(f"{team} has {MOST} robots already; delete one first")
        login = f"{team}{JOINT}{name}"
        user = User(kind="robot", active=nature.active, created_at=now())
        session.add(user)
        session.flush()
        session.add(Namespace(name=login, kind="robot", user_id=user.id, created_at=now()))
        session.add(Membership(team_id=team_id, user_id=user.id, role=nature.role))
        robot = Robot(user_id=user.id, team_id=team_id, description=nature.description, expires_at=nature.expires_at)
        robot.scopes = write_scopes(present_scopes(session, nature.scopes))
        session.add(robot)
        if secret is not None:
            _add_token(session, robot, secret)
        detail = {**_said(nature), "hint": secret.hint if secret is not None else None}
        record(session, actor, "robot.create", login, team_id=team_id, detail=detail)


def configure_robot(database: Database, actor: Actor, robot_id: int, nature: Nature) -> None:
    """Makes a robot what `nature` says; its tokens get the scopes. Registry tokens that it has now end.

    Raises Conflict if it is gone.
    """
    with database.write() as session:
        user, robot, login = _robot(session, robot_id)
        membership = session.get(Membership, (robot.team_id, robot_id))
        assert membership is not None
        membership.role = nature.role
        robot.description, robot.expires_at = nature.description, nature.expires_at
        user.active = nature.active
        user.generation += 1
        robot.scopes = write_scopes(present_scopes(session, nature.scopes))
        session.execute(update(AccessToken).where(col(AccessToken.user_id) == robot_id).values(scopes=robot.scopes))
        record(session, actor, "robot.configure", login, team_id=robot.team_id, detail=_said(nature))


def rotate_robot(database: Database, actor: Actor, robot_id: int, secret: NewSecret, *, overlap: int) -> None:
    """Gives a robot a new token; its others end after `overlap` milliseconds, but for those that it got by trust rules.

    Without an overlap they end at once, and all that was signed in with them. Raises Conflict if the robot is gone, or
    if MOST_TOKENS have not ended yet.
    """
    with database.write() as session:
        user, robot, login = _robot(session, robot_id)
        mine = (col(AccessToken.user_id) == robot_id) & col(AccessToken.rule_id).is_(None)
        end = now() + overlap
        later = col(AccessToken.expires_at).is_(None) | (col(AccessToken.expires_at) > end)
        session.execute(update(AccessToken).where(mine, later).values(expires_at=end))
        session.execute(delete(AccessToken).where(mine, col(AccessToken.expires_at) <= now()))
        if len(session.execute(select(AccessToken.id).where(mine)).all()) >= MOST_TOKENS:
            raise Conflict(f"{login} has {MOST_TOKENS} tokens that are still good; rotate without an overlap")
        if overlap == 0:
            user.generation += 1
        _add_token(session, robot, secret)
        detail = {"hint": secret.hint, "others_end_at": end}
        record(session, actor, "robot.rotate", login, team_id=robot.team_id, detail=detail)


def delete_robot(database: Database, actor: Actor, robot_id: int) -> None:
    """Removes a robot with its tokens, at once. What it pushed stays. Raises Conflict if it is gone."""
    with database.write() as session:
        _, robot, login = _robot(session, robot_id)
        team_id = robot.team_id
        session.execute(delete(Namespace).where(col(Namespace.user_id) == robot_id))
        session.execute(delete(User).where(col(User.id) == robot_id))
        record(session, actor, "robot.delete", login, team_id=team_id)


def _robot(session: OrmSession, robot_id: int) -> tuple[User, Robot, str]:
    user, robot = session.get(User, robot_id), session.get(Robot, robot_id)
    if user is None or robot is None:
        raise Conflict("the robot was deleted meanwhile")
    name = select(Namespace.name).where(col(Namespace.user_id) == robot_id)
    return user, robot, session.execute(name).scalar_one()


def _add_token(session: OrmSession, robot: Robot, secret: NewSecret) -> None:
    session.add(
        AccessToken(
            user_id=robot.user_id,
            name=secret.hint,
            hint=secret.hint,
            secret_sha256=secret.sha256,
            scopes=robot.scopes,
            created_at=now(),
        )
    )


def _said(nature: Nature) -> dict[str, Any]:
    """What an event says of a robot."""
    return {
        "role": nature.role,
        "active": nature.active,
        "expires_at": nature.expires_at,
        "scopes": write_scopes(nature.scopes),
    }


def _row(row: Any) -> RobotRow:
    robot_id, login, role, description, active, created_at, expires_at, used_at, scopes = row
    texts = json.loads(scopes) if isinstance(scopes, str) else scopes
    times = (created_at, expires_at, used_at)
    return RobotRow(robot_id, login, role, description, bool(active), *times, stored_scopes(texts))
