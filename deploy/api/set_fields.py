"""How a deployment set is asked for: a filter, and the places where it is to run, each in a wave."""

from typing import Any

from deploy.api.rollout_fields import read_bake, read_rollout
from deploy.fields import bad, number_field, only, text_field, word_field
from deploy.sets.wanted import STOP, TAKE_BACK, WantedMember, WantedSet
from deploy.wishes import MAX_ORDER, POLICIES, new_name, read_config, read_force

MOST_MEMBERS = 100
MOST_WAVES = 20
_FIELDS = ("reference", "config", "root_id", "failure_policy", "order", "bake", "on_failure", "members", "force")


def read_set(body: dict[str, Any], name: str) -> WantedSet:
    """A set, complete; what is left out is as usual. `name` is what deployments are called. Raises ApiError."""
    only(body, *_FIELDS)
    return WantedSet(
        reference=text_field(body, "reference", longest=600),
        config=read_config(body.get("config")),
        root_id=text_field(body, "root_id", ""),
        failure_policy=word_field(body, "failure_policy", "FAIL_CLOSED", POLICIES),
        order=number_field(body, "order", 0, 1, MAX_ORDER) if "order" in body else None,
        bake=read_bake(body.get("bake", "60s"), least=0),
        on_failure=word_field(body, "on_failure", TAKE_BACK, (TAKE_BACK, STOP)),
        force=read_force(body),
        members=_members(body.get("members"), name),
    )


def _members(given: Any, name: str) -> tuple[WantedMember, ...]:
    if not isinstance(given, list) or not 0 < len(given) <= MOST_MEMBERS:
        raise bad(
            f"members must be a list of 1 to {MOST_MEMBERS} members, such as"
            ' [{"target": "edge", "wave": 1}, {"target": "shop", "placement": {"namespace": "web"}, "wave": 2}]'
        )
    found = tuple(_member(one, number, name) for number, one in enumerate(given, 1))
    names = [one.full_name for one in found]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise bad(f"{twice[0]} is there twice; give one of them another name with its field deployment")
    waves = {one.wave for one in found}
    missing = [number for number in range(1, max(waves)) if number not in waves]
    if missing:
        raise bad(f"no member is in wave {missing[0]}; number the waves from 1 on without a gap")
    return found


def _member(given: Any, number: int, name: str) -> WantedMember:
    if not isinstance(given, dict):
        raise bad(f'member {number} must be an object, such as {{"target": "edge", "wave": 1}}')
    only(given, "target", "deployment", "placement", "config", "wave", "rollout")
    placement = given.get("placement")
    if placement is not None and not isinstance(placement, dict):
        raise bad(f"the placement of member {number} must be a JSON object")
    if given.get("rollout") is not None:
        read_rollout(given["rollout"])
    return WantedMember(
        target=text_field(given, "target", longest=63),
        name=new_name(text_field(given, "deployment", name)),
        wave=number_field(given, "wave", 1, 1, MOST_WAVES),
        placement=placement,
        own_config="config" in given,
        config=read_config(given.get("config")),
        rollout=given.get("rollout"),
    )
