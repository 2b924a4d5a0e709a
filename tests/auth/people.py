"""People and their secrets, put into a hub's database from a process beside it, as its own commands would."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import text

from auth.secrets import PERSONAL, fingerprint, hint, new_secret
from storage.database import Database
from storage.events import SYSTEM
from storage.namespaces import create_namespace, find_namespace
from storage.scopes import read_scopes
from storage.teams import create_team, set_member
from storage.tokens import create_access_token
from storage.users import create_user, find_user
from tests.oci import Client

ClientOf = Callable[[str], Client]
PASSWORD = "a-long-enough-password"
# A hub checks what was hashed with whatever effort: with the least, since it checks this one at most sign-ins of tests.
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@dataclass(frozen=True)
class People:
    """Makes users, tokens and repositories in a database that a running hub uses too."""

    database: Database

    def user(self, name: str, *, role: str = "user") -> int:
        """The user of that name, with PASSWORD; made if not there."""
        with self.database.read() as session:
            row = find_user(session, name)
        made = row.id if row else create_user(self.database, SYSTEM, name, password_hash=_HASH, role=role)
        assert made is not None
        return made

    def token(
        self, user_id: int, name: str = "test", *, expires_at: int | None = None, scopes: Sequence[str] = ()
    ) -> str:
        """A new personal token of the user; without scopes for all that they may."""
        secret = new_secret(PERSONAL)
        create_access_token(
            self.database,
            SYSTEM,
            user_id,
            name=name,
            hint=hint(secret),
            secret_sha256=fingerprint(secret),
            expires_at=expires_at,
            scopes=read_scopes(scopes) if scopes else None,
        )
        return secret

    def team(self, name: str, **members: str) -> int:
        """A team with members by role; `admin` owns it too."""
        team_id = create_team(self.database, SYSTEM, name, owner_id=self.user("admin"))
        for member, role in members.items():
            set_member(self.database, SYSTEM, team_id, self.user(member), role)
        return team_id

    def team_role(self, team: str, user_id: int, role: str) -> None:
        """Gives a member another role."""
        with self.database.read() as session:
            row = find_namespace(session, team)
        assert row is not None and row.team_id is not None
        set_member(self.database, SYSTEM, row.team_id, user_id, role)

    def namespace(self, name: str, owner: int | None = None) -> int:
        """The namespace of that name; made if not there."""
        with self.database.read() as session:
            row = find_namespace(session, name)
        return row.id if row else create_namespace(self.database, SYSTEM, name, user_id=owner)

    def run(self, statement: str, **values: Any) -> None:
        """One statement, committed: for what has no command yet."""
        with self.database.write() as session:
            session.execute(text(statement), values)

    def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What the database has."""
        with self.database.read() as session:
            return [tuple(row) for row in session.execute(text(statement), values)]


def claims_of(token: str) -> dict[str, Any]:
    """What a registry token says, unverified."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def access_of(token: str) -> dict[str, set[str]]:
    """What a registry token gives access to."""
    return {entry["name"]: set(entry["actions"]) for entry in claims_of(token)["access"]}
