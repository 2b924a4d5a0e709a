"""Identities: who a request comes from, as far as permissions go."""

from dataclasses import dataclass

from storage.events import Actor
from storage.repositories import Viewer
from storage.users import IdentityRow


@dataclass(frozen=True)
class Identity:
    """A signed-in person, or nobody. What it holds is read from the database for each request, never from a token."""

    user_id: int | None = None
    name: str = ""
    role: str = "user"  # user | auditor | administrator, of the whole hub
    generation: int = 0
    address: str = ""  # where the request came from

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
        return Viewer(self.user_id, self.administrator or self.role == "auditor")

    def actor(self) -> Actor:
        """The name under which this identity's commands are recorded."""
        if self.user_id is None:
            return Actor("anonymous", None, "anonymous", self.address)
        return Actor("user", self.user_id, self.name, self.address)


ANONYMOUS = Identity()


def identity_of(row: IdentityRow, address: str = "") -> Identity:
    """The identity of a user as the database has it now, coming from that address."""
    return Identity(row.user_id, row.name, row.role, row.generation, address)
