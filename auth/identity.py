"""Identities: who a request comes from, as far as permissions go."""

from dataclasses import dataclass

from storage.events import Actor
from storage.repositories import Viewer
from storage.scopes import Scopes
from storage.users import IdentityRow


@dataclass(frozen=True)
class Identity:
    """A signed-in person or robot, or nobody. What they may is read from the database each time; tokens only narrow."""

    user_id: int | None = None
    name: str = ""
    role: str = "user"  # user | auditor | administrator, of the whole hub
    generation: int = 0
    address: str = ""  # where the request came from
    robot: bool = False  # of a team
    scopes: Scopes | None = None  # of the access token that was shown; None: it is good for all that its owner may
    by_token: bool = False  # whether a token was shown for it, which whoever finds it has, and no password or session

    @property
    def anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return self.user_id is None

    @property
    def administrator(self) -> bool:
        """Whether the person runs the hub."""
        return self.role == "administrator"

    def viewer(self) -> Viewer:
        """This identity as lists see it: auditors and administrators see everything."""
        return Viewer(self.user_id, self.administrator or self.role == "auditor", self.scopes)

    def actor(self) -> Actor:
        """The name under which this identity's commands are recorded."""
        if self.user_id is None:
            return Actor("anonymous", None, "anonymous", self.address)
        return Actor("robot" if self.robot else "user", self.user_id, self.name, self.address)


ANONYMOUS = Identity()


def identity_of(row: IdentityRow, address: str = "", scopes: Scopes | None = None) -> Identity:
    """The identity of a user as the database has it now, coming from that address with a token of those scopes."""
    return Identity(row.user_id, row.name, row.role, row.generation, address, row.kind != "person", scopes)
