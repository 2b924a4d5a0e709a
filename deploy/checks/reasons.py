"""Would it work there, and is it wanted there? Everything that speaks against a deployment, found before it happens.

Pure: what is known of the filter and of the target comes in, all reasons come out, each with the way out.
"""

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.checks.rules import DENY, WARN
from deploy.checks.windows import Closed
from deploy.targets.envoy_fleet import MAX_MODULE_BYTES
from proxywasm.releases import OLDEST

_RELEASE = re.compile(r"(\d{1,4})\.(\d{1,4})")
MOST_PROBLEMS = 3  # of one module that are told


class Signed(enum.Enum):
    """Whether an image is signed by a key that is asked for."""

    YES = "yes"
    OTHERWISE = "otherwise"  # by others alone
    NO = "no"


@dataclass(frozen=True)
class Reason:
    """Why it is refused: a word for programs, a sentence for people, and whether those who may can have it anyway."""

    code: str
    message: str
    forcible: bool = False


@dataclass(frozen=True)
class Verdict:
    """Everything that speaks against a deployment, and what its deployer should know."""

    reasons: tuple[Reason, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """What is known of a filter that is to run on a target, and of the target.

    `unread` says why there are no facts; `facts` are the module's (`proxywasm.facts`), and `size` is its bytes. `bare`
    is whether the proxies are given the bare module by the hub. `config_problem` is the whole reason why the config
    cannot be. `beside` is how many other filters the workload runs. `oldest` is the oldest proxy that was seen there:
    its name, and what it is.
    """

    target: str
    namespace: str
    settings: Mapping[str, Any]
    reference: str
    unread: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    bare: bool = True
    config_problem: str | None = None
    signed: Signed | None = None  # None: the target names no keys
    beside: int = 0
    oldest: tuple[str, str] | None = None
    closed: Closed | None = None  # the target takes no change now

    @property
    def ask(self) -> str:
        """Whom to ask."""
        return f"ask an owner or maintainer of {self.namespace}"


def release_of(text: str) -> tuple[int, int] | None:
    """Major and minor of the first release that a text names, such as `envoy 1.40.0`."""
    found = _RELEASE.search(text)
    return (int(found[1]), int(found[2])) if found else None


def judge(candidate: Candidate) -> Verdict:
    """All reasons at once: first what cannot work, then what the target does not want."""
    reasons = [*_loads(candidate)]
    if candidate.config_problem is not None:
        reasons.append(Reason("config", candidate.config_problem))
    older, notes = _releases(candidate)
    reasons += older
    reasons += [Reason("capability", f"{said}; {way}", True) for said, way in _capabilities(candidate, DENY)]
    reasons += _signature(candidate)
    reasons += _room(candidate)
    if candidate.closed is not None:
        way = f"deploy it then, or {candidate.ask} to force it; going back and undeploying are always possible"
        said = f"target {candidate.target} {candidate.closed.message}"
        reasons.append(Reason(candidate.closed.code, f"{said}; {way}", True))
    warnings = [*notes, *(said for said, _ in _capabilities(candidate, WARN))]
    return Verdict(tuple(reasons), tuple(warnings))


def _loads(candidate: Candidate) -> Iterator[Reason]:
    """What keeps any proxy of this target from running it."""
    if candidate.unread is not None:
        yield Reason("unreadable", candidate.unread)
        return
    facts = candidate.facts
    sentences = [str(problem["sentence"]) for problem in facts.get("problems", ())][:MOST_PROBLEMS]
    if facts.get("kind") == "component":
        sentences = sentences or ["It is a component, and Envoy runs core modules; build it for wasm32-wasip1."]
    for sentence in sentences:
        yield Reason("module", f"an Envoy would not run {candidate.reference}: {sentence}")
    if candidate.bare and candidate.size > MAX_MODULE_BYTES:
        yield Reason(
            "size",
            f"{candidate.reference} holds a module of {candidate.size} bytes, and an Envoy takes at most"
            f" {MAX_MODULE_BYTES} from the hub; build it smaller, without debugging information",
        )


def _releases(candidate: Candidate) -> tuple[list[Reason], list[str]]:
    """Whether the proxies are new enough, by what the target's settings say, else by what was seen; else a note."""
    needed = candidate.facts.get("envoy") or OLDEST
    if not _older(OLDEST, needed):
        return [], []
    what = f"{candidate.reference} needs Envoy {needed} or newer"
    told, settings = False, candidate.settings
    reasons, notes = [], []
    way = f"upgrade them, correct the setting or build with an older SDK, or {candidate.ask} to force it"
    if settings.get("istio_version"):
        told, since = True, _first_istio(candidate.facts)
        if since is None:
            notes.append(f"{what}; which release of Istio has that is not known here")
        elif _older(settings["istio_version"], since):
            have = f"the setting istio_version of target {candidate.target} says {settings['istio_version']}"
            reasons.append(Reason("version", f"{what}, as Istio {since} has it, and {have}; {way}", True))
    if settings.get("envoy_version"):
        told = True
        if _older(settings["envoy_version"], needed):
            have = f"the setting envoy_version of target {candidate.target} says {settings['envoy_version']}"
            reasons.append(Reason("version", f"{what}, and {have}; {way}", True))
    elif candidate.oldest is not None:
        told, (name, version) = True, candidate.oldest
        if _older(version, needed):
            text = f"{what}, and {name} on target {candidate.target} is {version}; upgrade it, or {candidate.ask}"
            reasons.append(Reason("version", f"{text} to force it", True))
    if not told:
        notes.append(
            f"{what}, and the hub does not know what target {candidate.target} runs; its setting envoy_version or"
            " istio_version would tell"
        )
    return reasons, notes


def _capabilities(candidate: Candidate, word: str) -> Iterator[tuple[str, str]]:
    """What the module may do that the target's policy has this word for, and the way out."""
    policy = candidate.settings.get("policy", {}).get("capabilities", {})
    for capability in candidate.facts.get("capabilities", ()):
        name = capability["name"]
        if policy.get(name) == word:
            said = f"{candidate.reference} {capability['words']} ({name})"
            said += f", which target {candidate.target} {'denies' if word == DENY else 'warns of'}"
            yield said, f"deploy a build that does not, or {candidate.ask} to allow or force it"


def _signature(candidate: Candidate) -> Iterator[Reason]:
    if candidate.signed is None or candidate.signed is Signed.YES:
        return
    found = "is not signed" if candidate.signed is Signed.NO else "is signed, but not"
    yield Reason(
        "signature",
        f"{candidate.reference} {found} by a key that target {candidate.target} names (cosign_keys); sign its digest"
        f" with `cosign sign --key`, or {candidate.ask} to name your key or to force it",
        True,
    )


def _room(candidate: Candidate) -> Iterator[Reason]:
    most = candidate.settings.get("max_filters")
    if most is not None and candidate.beside >= most:
        yield Reason(
            "max_filters",
            f"target {candidate.target} runs {candidate.beside} filters there and may run {most} (max_filters);"
            f" undeploy one, or {candidate.ask} to raise or force it",
            True,
        )


def _first_istio(facts: Mapping[str, Any]) -> str | None:
    """Istio's first release that runs the module, where it is known."""
    for release in facts.get("releases", ()):
        if release["product"] == "Istio" and _RELEASE.search(release["since"]):
            return str(release["since"])
    return None


def _older(one: str, other: str) -> bool:
    """Whether a release comes before another; what names no release comes before none."""
    return (release_of(one) or (0, 0)) < (release_of(other) or (0, 0))
