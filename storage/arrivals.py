"""People who come in without being signed in: they make their own account, or set a new password by a link."""

from dataclasses import dataclass

from storage.database import Database
from storage.events import Actor, record
from storage.invitations import use_invitation, use_password_reset
from storage.teams import join
from storage.users import Profile, add_user, change_password, find_row


@dataclass(frozen=True)
class Newcomer:
    """What somebody chose who makes their own account, and where they come from."""

    name: str
    password_hash: str
    profile: Profile
    address: str


def sign_up(database: Database, newcomer: Newcomer, invitation_sha256: str | None) -> int | None:
    """Makes an account for somebody; answers the user's id.

    An invitation is used up: one to the hub gives its role there, one into a team lets the user into it. Answers None,
    and does nothing, if it is not good any more. Raises InvalidName and Conflict as `create_user`.
    """
    with database.write() as session:
        found = use_invitation(session, invitation_sha256) if invitation_sha256 is not None else None
        if found is None and invitation_sha256 is not None:
            return None
        role = found.role if found is not None and found.team_id is None else "user"
        nobody = Actor("anonymous", None, "anonymous", newcomer.address)
        user_id = add_user(session, nobody, newcomer.name, newcomer.password_hash, role, newcomer.profile)
        themselves = Actor("user", user_id, newcomer.name, newcomer.address)
        invited = {"invited_by": found.created_by, "team": found.team} if found is not None else None
        record(session, themselves, "user.sign-up", newcomer.name, detail=invited)
        if found is not None and found.team_id is not None and found.team is not None:
            join(session, themselves, found.team_id, found.team, user_id, found.role)
        return user_id


def reset_password(database: Database, reset_sha256: str, password_hash: str, address: str) -> str | None:
    """Gives the user whom a link was made for a new password, as `set_password` does; answers their name.

    The link is used up. Answers None, and does nothing, if it is not good any more.
    """
    with database.write() as session:
        user_id = use_password_reset(session, reset_sha256)
        if user_id is None:
            return None
        _, name = find_row(session, user_id)
        change_password(session, Actor("user", user_id, name, address), user_id, password_hash)
        return name
