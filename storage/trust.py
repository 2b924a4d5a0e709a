"""Trust rules: whose tokens stand for a robot of a team, so that no machine needs a stored secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import col, select

from storage.database import Conflict, Database, now
from storage.errors import Gone
from storage.events import Actor, record
from storage.namespaces import new_name
from storage.people_tables import AccessToken, Namespace, Robot, Team, TrustRule, User

MOST = 50  # of one robot
TIDIED = 100  # expired tokens that go when a new one comes


@dataclass(frozen=True)
class Trust:
    """What a rule wants of a token, and for how long the hub's own token is good that it is exchanged for."""

    issuer: str
    audience: str
    claims: Mapping[str, str]  # name -> pattern
    minutes: int


@dataclass(frozen=True)
class TrustRuleRow:
    """A rule as the robot's team sees it."""

    id: int
    trust: Trust
    created_at: int
    used_at: int | None


@dataclass(frozen=True)
class Candidate:
    """A rule that a token of its issuer and audience may meet, and the robot that the token then stands for."""

    rule_id: int
    trust: Trust
    robot_id: int
    login: str
    expires_at: int | None  # the robot


def trust_rules(session: OrmSession, robot_id: int) -> list[TrustRuleRow]:
    """A robot's rules, oldest first."""
    rows = session.execute(select(TrustRule).where(col(TrustRule.robot_id) == robot_id).order_by(col(TrustRule.id)))
    return [TrustRuleRow(row.id, _trust(row), row.created_at, row.used_at) for row in rows.scalars()]


def candidates(session: OrmSession, robot: str, issuer: str, audiences: Sequence[str]) -> list[Candidate]:
    """A robot's rules that want tokens of this issuer for one of these audiences, if it may sign in now.

    `robot` is its whole name, or has an old name of its team.
    """
    team, _, name = robot.partition("+")
    login = f"{new_name(session, team) or team}+{name}"
    query = (
        select(TrustRule, Namespace.name, Robot.expires_at)
        .join(Robot, col(Robot.user_id) == col(TrustRule.robot_id))
        .join(User, col(User.id) == col(Robot.user_id))
        .join(Team, col(Team.id) == col(Robot.team_id))
        .join(Namespace, col(Namespace.user_id) == col(User.id))
        .where(col(Namespace.name) == login)
        .where(col(TrustRule.issuer) == issuer, col(TrustRule.audience).in_(audiences))
        .where(col(User.active).is_(True), col(Team.deleted_at).is_(None), col(Namespace.kind) == "robot")
        .where(col(Robot.expires_at).is_(None) | (col(Robot.expires_at) > now()))
        .order_by(col(TrustRule.id))
    )
    return [
        Candidate(row.id, _trust(row), row.robot_id, login, expires_at)
        for row, login, expires_at in session.execute(query).all()
    ]


def add_trust_rule(database: Database, actor: Actor, robot_id: int, trust: Trust) -> int:
    """Lets tokens of an issuer stand for a robot; answers the rule's id. Raises Conflict if the robot is gone.

    Raises Conflict too if it has MOST of them, or this one.
    """
    with database.write() as session:
        login, team_id = _login(session, robot_id)
        there = trust_rules(session, robot_id)
        if trust in [row.trust for row in there]:  # a form that was sent twice
            raise Conflict(f"{login} has this trust rule already")
        if len(there) >= MOST:
            raise Conflict(f"{login} has {MOST} trust rules already; remove one first")
        row = TrustRule(
            robot_id=robot_id,
            issuer=trust.issuer,
            audience=trust.audience,
            claims=dict(trust.claims),
            minutes=trust.minutes,
            created_at=now(),
        )
        session.add(row)
        session.flush()
        record(session, actor, "trust-rule.create", login, team_id=team_id, detail=_said(trust))
        return row.id


def remove_trust_rule(database: Database, actor: Actor, robot_id: int, rule_id: int) -> None:
    """Ends a rule, and at once every token that was got by it. Raises Conflict if the robot has no such rule."""
    with database.write() as session:
        login, team_id = _login(session, robot_id)
        row = session.get(TrustRule, rule_id)
        if row is None or row.robot_id != robot_id:
            raise Conflict(f"{login} has no trust rule {rule_id}")
        said = _said(_trust(row))
        session.execute(delete(AccessToken).where(col(AccessToken.rule_id) == rule_id))
        session.execute(delete(TrustRule).where(col(TrustRule.id) == rule_id))
        session.execute(update(User).where(col(User.id) == robot_id).values(generation=User.generation + 1))
        record(session, actor, "trust-rule.delete", login, team_id=team_id, detail=said)


def exchange(
    database: Database, candidate: Candidate, subject: str, address: str, *, hint: str, secret_sha256: str, until: int
) -> None:
    """Keeps the token that a robot got by a rule, good `until` then. `subject` is whose token was exchanged.

    Raises Gone if the rule was removed in the same moment.
    """
    with database.write(beside=True) as session:
        mine = col(AccessToken.rule_id) == candidate.rule_id
        old = select(AccessToken.id).where(mine, col(AccessToken.expires_at) <= now()).limit(TIDIED)
        session.execute(delete(AccessToken).where(col(AccessToken.id).in_(old)))
        robot = session.get(Robot, candidate.robot_id)
        session.add(
            AccessToken(
                user_id=candidate.robot_id,
                rule_id=candidate.rule_id,
                name=hint,
                hint=hint,
                secret_sha256=secret_sha256,
                scopes=robot.scopes if robot is not None else None,
                created_at=now(),
                expires_at=until,
            )
        )
        there = update(TrustRule).where(col(TrustRule.id) == candidate.rule_id).values(used_at=now())
        if not session.execute(there.returning(col(TrustRule.id))).all():
            raise Gone
        actor = Actor("robot", candidate.robot_id, candidate.login, address)
        detail = {"rule": candidate.rule_id, "issuer": candidate.trust.issuer, "subject": subject[:500]}
        team_id = robot.team_id if robot is not None else None
        record(session, actor, "token.exchange", candidate.login, team_id=team_id, detail=detail)


def _login(session: OrmSession, robot_id: int) -> tuple[str, int]:
    """A robot's whole name, and its team."""
    found = session.execute(
        select(Namespace.name, Robot.team_id)
        .join(Robot, col(Robot.user_id) == col(Namespace.user_id))
        .where(col(Robot.user_id) == robot_id, col(Namespace.kind) == "robot")
    ).one_or_none()
    if found is None:
        raise Conflict("the robot was deleted meanwhile")
    return found[0], found[1]


def _trust(row: TrustRule) -> Trust:
    return Trust(row.issuer, row.audience, row.claims, row.minutes)


def _said(trust: Trust) -> dict[str, Any]:
    """What an event says of a rule."""
    return {"issuer": trust.issuer, "audience": trust.audience, "claims": dict(trust.claims), "minutes": trust.minutes}
