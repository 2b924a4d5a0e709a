"""What Envoy Gateway says of its policies: conditions, for each Gateway that one is for, on a generation of its spec.

Its controller gets the modules itself. So a condition tells that it has them, or why not, and never that an Envoy runs
one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.status import some_names
from deploy.targets.plan import Object

ACCEPTED, OVERRIDDEN = "Accepted", "Overridden"
_FETCHING = ("Wasm", "wasm")  # in the controller's message where a module was the trouble


@dataclass(frozen=True)
class Word:
    """What is said of a policy for one Gateway; `gateway` is its namespace and name."""

    gateway: tuple[str, str]
    accepted: bool
    reason: str
    message: str
    overridden: str = ""  # for what else another policy takes its place, in the controller's own words


@dataclass(frozen=True)
class Heard:
    """What Envoy Gateway says of all of a deployment's policies, as they are now."""

    words: Sequence[Word] = ()
    silent: Sequence[str] = ()  # policies of which it has not said anything since they were changed last
    unknown: Sequence[str] = ()  # what policies are attached to of which it never said anything

    @property
    def refusals(self) -> list[Word]:
        """The words that say no."""
        return [one for one in self.words if not one.accepted]

    @property
    def lacks_module(self) -> bool:
        """Whether it could not get a module, which it does not try again by itself."""
        return any(any(part in one.message for part in _FETCHING) for one in self.refusals)

    @property
    def overridden(self) -> str:
        """A sentence about what runs without these policies, though they are for it; empty if nothing is known to."""
        return " ".join(dict.fromkeys(one.overridden for one in self.words if one.overridden))

    @property
    def refusal(self) -> str:
        """Why it says no, in its own words."""
        return " ".join(dict.fromkeys(one.message for one in self.refusals))


def hear(policies: Sequence[Object]) -> Heard:
    """What is said of these policies."""
    words, silent, unknown = [], [], []
    for policy in policies:
        ancestors = (policy.get("status") or {}).get("ancestors") or []
        found = list(_words(policy, ancestors))
        words += found
        if not ancestors:
            unknown.append(_attached(policy))
        elif len(found) < len(ancestors):
            silent.append(str(policy["metadata"]["name"]))
    return Heard(words, silent, unknown)


def nobody(heard: Heard) -> str:
    """What it means that nothing at all is said of some policies, with the way out."""
    there = some_names(list(heard.unknown))
    return f"there is no {there} that an Envoy Gateway looks after; make it, or correct the placement"


def _words(policy: Object, ancestors: Sequence[Any]) -> Iterator[Word]:
    for one in ancestors:
        said = {
            condition.get("type"): condition
            for condition in one.get("conditions") or []
            if condition.get("observedGeneration") == policy["metadata"].get("generation")
        }
        if ACCEPTED not in said:
            continue
        accepted, over = said[ACCEPTED], said.get(OVERRIDDEN) or {}
        reference = one.get("ancestorRef") or {}
        place = str(reference.get("namespace") or policy["metadata"].get("namespace")), str(reference.get("name"))
        yield Word(
            place,
            accepted.get("status") == "True",
            str(accepted.get("reason") or ""),
            str(accepted.get("message") or ""),
            str(over.get("message") or "") if over.get("status") == "True" else "",
        )


def _attached(policy: Object) -> str:
    """What a policy is attached to, as sentences name it."""
    (reference,) = policy["spec"]["targetRefs"]
    section = f" with the section {reference['sectionName']}" if reference.get("sectionName") else ""
    return f"{reference['kind']} {policy['metadata']['namespace']}/{reference['name']}{section}"
