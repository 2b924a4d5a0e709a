"""What a deployment set is to be: as it was asked for, and as its revision keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploy.api.rollout_fields import read_rollout
from deploy.commands import Wish

TAKE_BACK, STOP = "roll-back", "stop"


@dataclass(frozen=True)
class WantedMember:
    """One deployment of a set."""

    target: str
    name: str
    wave: int
    placement: dict[str, Any] | None
    own_config: bool  # whether it has another than the set's
    config: str | None
    rollout: dict[str, Any] | None  # how it reaches the nodes, as `deploy.api.rollout_fields` reads it

    @property
    def full_name(self) -> str:
        """As people write it."""
        return f"{self.target}/{self.name}"


@dataclass(frozen=True)
class WantedSet:
    """A set as it was asked for. `pinned` is what `reference` came to, once it is resolved: its members run that."""

    reference: str
    config: str | None
    root_id: str
    failure_policy: str
    order: int | None
    bake: int  # milliseconds
    on_failure: str  # roll-back | stop
    force: bool
    members: tuple[WantedMember, ...]
    pinned: str = ""
    of: int | None = None  # the revision that it goes back to

    @property
    def going_back(self) -> bool:
        """Whether it has run before, so that what came since does not keep it from running."""
        return self.of is not None

    def spec(self) -> dict[str, Any]:
        """As a revision keeps it."""
        return asdict(self)

    def wish(self, member: WantedMember, *, mesh: bool) -> Wish:
        """What a member is to become. Nothing is as it was before: also what is left out is said."""
        return Wish(
            reference=self.pinned,
            keeps_config=False,
            config=member.config if member.own_config else self.config,
            order=self.order,
            root_id=self.root_id,
            failure_policy=self.failure_policy,
            force=self.force,
            placement=member.placement if member.placement is not None else {} if mesh else None,
            rollout=None if member.rollout is None else read_rollout(member.rollout),
            ran=self.going_back,
        )

    def member(self, target: str, name: str) -> WantedMember | None:
        """The member of that name there."""
        return next((one for one in self.members if (one.target, one.name) == (target, name)), None)


def still_follows(member: WantedMember, what: str) -> str:
    """Why a member that follows something by itself is not given a revision of the set, and the way out."""
    way = f"`wasmhub deploy --target {member.target} --as {member.name} --follow none`"
    return f"it follows {what}, which a set ends; end that first ({way}), or force the set"


def wanted_of(spec: Mapping[str, Any]) -> WantedSet:
    """What a revision keeps."""
    return WantedSet(**{**spec, "members": tuple(WantedMember(**one) for one in spec["members"])})
