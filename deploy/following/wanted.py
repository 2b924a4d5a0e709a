"""What a deployment is asked to follow: its tag, or a range of versions; and what that makes it run now."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from deploy.fields import bad
from deploy.following.ranges import NoRange, Range, read_range
from deploy.images.filters import find_readable_repository, read_reference
from storage.deployments import NewRevision, RevisionRow
from storage.followings import (
    Follows,
    NewFollowing,
    Settle,
    begin_following,
    highest_version,
)
from storage.rollout_rows import NewRollout
from storage.versions import rank

TAG = "tag"  # the word for the tag that is deployed


@dataclass(frozen=True)
class Follow:
    """What is to be followed: a range of versions; None: the tag that is deployed."""

    versions: Range | None = None


def read_follow(value: Any) -> Follow | None:
    """What is to be followed; None: nothing. Raises ApiError."""
    if value is None:
        return None
    if value == TAG:
        return Follow()
    if not isinstance(value, str):
        raise bad('follow must be "tag", a range of versions such as "^1.2", or null')
    try:
        return Follow(read_range(value))
    except NoRange as error:
        raise bad(f'follow must be "tag", or a range of versions: {error}') from None


def begins_with(
    session: Session, identity: Identity, follow: Follow, reference: str | None, before: RevisionRow | None
) -> str | None:
    """The reference that is to be deployed now, with its tag; None: what runs stays. Raises ApiError."""
    if reference is not None:
        parts = read_reference(reference)
        name, tag = parts.name, parts.tag
        if parts.digest:
            raise bad(f"{reference} names a digest, which never moves; name a tag, or follow a range of versions")
    elif before is not None:
        parts = read_reference(before.reference)
        name, tag = before.repository, "" if parts.digest else parts.tag
    else:
        return None  # there is nothing to deploy, as is said elsewhere
    if follow.versions is None:
        if not tag:
            raise bad(f'follow "tag" needs a reference with a tag, such as {name}:1; or name a range, such as "^1.2"')
        return reference
    if tag and tag in follow.versions:
        return reference
    if tag and reference is not None:
        raise bad(f"{reference} is no version in {follow.versions.text}; name another, or {name} alone for the highest")
    repository_id, name = find_readable_repository(session, identity, name)
    wanted = follow.versions
    highest = highest_version(session, repository_id, wanted.low, wanted.high, wanted.pre_releases)
    if highest is None:
        raise ApiError(404, "not_found", f"{name} has no version in {wanted.text}; push one first")
    return f"{name}:{highest}"


def following_of(follow: Follow, revision: NewRevision, rollout: NewRollout | None, user_id: int | None) -> Settle:
    """What keeps in mind that it is followed, beside the first revision."""
    tag, wanted = read_reference(revision.reference).tag, follow.versions
    if wanted is None:
        new = NewFollowing(revision.repository_id, tag, "", "", "", False, rollout, user_id)
    else:
        low = max(wanted.low, rank(tag))
        new = NewFollowing(
            revision.repository_id, "", wanted.text, low, wanted.high, wanted.pre_releases, rollout, user_id
        )
    return begin_following(new)


def followed(follow: Follow | None) -> str | None:
    """What is to be followed, as it is asked for."""
    return None if follow is None else TAG if follow.versions is None else follow.versions.text


def in_words(follows: Follows) -> str:
    """What is followed, as a part of a sentence."""
    return f"the tag {follows.repository}:{follows.tag}" if follows.tag else f"{follows.repository} {follows.versions}"
