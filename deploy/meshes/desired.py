"""What a target is to run, read before a pass, and what the pass made of it, written down after it."""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auth.secrets import ROBOT, SecretKey, fingerprint, hint, new_secret
from deploy.config_secrets import NotFilled, filled, secrets_of, without_values
from deploy.meshes.kinds import MESHES, plan_of, secret_for
from deploy.status import PROGRESSING, STALLED, UNOBSERVED
from deploy.targets.asked import REPORT
from deploy.targets.plan import Plan
from storage.database import Database, now
from storage.deployments import DeploymentRow, DeploymentSeen, target_deployments
from storage.meshes import forget_ended, running_facts, running_images, running_public, save_deployments_seen
from storage.modules import Facts
from storage.pullers import PullRow, give_pull_credentials, pull_credentials, take_unused_credentials
from storage.robots import NewSecret
from storage.targets import TargetRow

ROTATED = 24 * 3_600_000  # milliseconds after which a pull secret is replaced


FIRST_RETRY, LONGEST_RETRY = 4_000, 300_000  # milliseconds between two tries of what proxies could not fetch
AT_ONCE = 0.1  # seconds


@dataclass(frozen=True)
class Pull:
    """Whether the image can still be pulled, and when somebody last signed in for it; coarse, None: never."""

    there: bool
    used_at: int | None


@dataclass(frozen=True)
class Desired:
    """A deployment as it is to be on its target; `problems` say why it cannot be."""

    row: DeploymentRow
    plan: Plan | None = None  # None: it was undeployed
    problems: Sequence[str] = ()
    secret: str | None = None  # that its image is pulled with
    pull: Pull | None = None  # what the hub knows of that

    @property
    def is_applied(self) -> bool:
        """Whether this very revision was brought there before."""
        return self.row.seen is not None and self.row.seen.revision == self.row.current.number

    @property
    def tries(self) -> int:
        """How often what could not be pulled was tried again, of this revision."""
        return int(self.detail.get("tries") or 0)

    @property
    def tried_at(self) -> int | None:
        """When that was last, or begun to be waited for."""
        return self.detail.get("tried_at")

    @property
    def attempt(self) -> str:
        """What is being tried: this revision, and how often it was tried before."""
        current = self.row.current
        told = f".{current.secrets_at}" if current.secrets_at is not None else ""
        return f"{current.number}.{self.tries}{told}"

    @property
    def tried(self) -> str | None:
        """What was being tried when proxies were last looked at."""
        return self.detail.get("attempt")

    @property
    def baseline(self) -> dict[str, int]:
        """What sidecars counted before that."""
        return self.detail.get("baseline") or {}

    @property
    def sidecars(self) -> list[dict[str, Any]]:
        """What was known of sidecars at the last look."""
        return self.detail.get("sidecars") or []

    @property
    def reports(self) -> bool:
        """Whether what is done by hand is to be said and not mended, of what can be made."""
        return self.plan is not None and not self.problems and self.plan.placement.get("drift") == REPORT

    @property
    def wrote(self) -> str | None:
        """What it was made from when it was last as wanted, where that is kept."""
        return self.detail.get("wrote")

    @property
    def detail(self) -> dict[str, Any]:
        """What the last look has kept, of this revision."""
        seen = self.row.seen
        return (seen.detail or {}) if seen is not None and seen.revision == self.row.current.number else {}


@dataclass
class Done:
    """What a pass made of one deployment."""

    objects: list[str] = field(default_factory=list)  # of the hub's, that are there
    written: bool = False  # whether anything was, or taken away
    trouble: str | None = None  # why it could not be made as wanted, with the way out
    wrote: str | None = None  # what it was made from, as `Desires.mark` has it, where its target does not say who wrote


@dataclass(frozen=True)
class Observed:
    """What the proxies make of a deployment, and all that is to be known of them at the next look."""

    status: str
    message: str
    detail: dict[str, Any] | None = None


@dataclass(frozen=True)
class Desires:
    """Reads and writes what passes over one process's targets need. Its calls block."""

    database: Database
    secret_key: SecretKey
    hub_id: str

    def read(self, target: TargetRow) -> list[Desired]:
        """All deployments of a target, those that were undeployed too. Raises Conflict and StorageError."""
        with self.database.read() as session:
            rows = target_deployments(session, target.id)
            secrets = pull_credentials(session, target.id)
            modules, images = running_facts(session, target.id), running_images(session, target.id)
            public = running_public(session, target.id)
            told = any(row.current.secrets_at is not None for row in rows)
            named = secrets_of(session, self.secret_key, target.id) if told else {}
        used = {row.current.repository_id for row in rows if row.ended_at is None}
        needed = {one for one in used if secret_for(target, public=one in public)}
        secrets = self._renew(target, secrets, needed)
        found = []
        for row in rows:
            if row.ended_at is not None:
                found.append(Desired(row))
                continue
            repository = row.current.repository_id
            held = secrets[repository] if repository in needed else None
            facts = modules.get(row.current.module_sha256)
            one = self._desired(target, row, facts, held, named, public=repository in public)
            there = one.plan is not None and (repository, one.plan.manifest) in images
            found.append(replace(one, pull=Pull(there, held.used_at if held is not None else None)))
        return found

    def write_down(
        self, target: TargetRow, desired: Sequence[Desired], done: Mapping[str, Done], observed: Mapping[str, Observed]
    ) -> None:
        """Keeps what became of each deployment; one that was undeployed and is gone there goes here too."""
        news, secrets = [], self._named(target, [one.row for one in desired])
        for one in desired:
            made = done.get(one.row.name, Done())
            if one.row.ended_at is not None and not made.objects and not made.trouble and not made.written:
                forget_ended(self.database, one.row.id)
                continue
            seen = judge(one, made, observed.get(one.row.name))
            seen = replace(seen, message=without_values(seen.message, secrets), detail=_told(seen.detail, secrets))
            if _is_news(seen, one.row):
                news.append((one.row, seen))
        if news:
            save_deployments_seen(self.database, news)
        take_unused_credentials(self.database, target.id)

    def touched(self, one: Desired, stands: Any) -> bool:
        """Whether somebody did something by hand to what the hub wrote that is to be said and not mended.

        What the hub wrote last, and nobody has changed since, may be written otherwise by now.
        """
        return one.reports and one.wrote is not None and (stands is None or self.mark(stands) != one.wrote)

    def mark(self, made: Any) -> str:
        """Tells what was made from anything else that may be; it may hold secrets, so nothing follows from it."""
        said = json.dumps(made, sort_keys=True).encode()
        return hmac.digest(self.secret_key.derive("drift"), said, "sha256").hex()[:32]

    def _desired(
        self,
        target: TargetRow,
        row: DeploymentRow,
        facts: Facts | None,
        held: PullRow | None,
        named: Mapping[str, str],
        *,
        public: bool,
    ) -> Desired:
        plan = plan_of(target, row, facts, self.hub_id, held, public=public)
        secret = self.secret_key.unseal(held.sealed_secret).decode() if held is not None else None
        try:
            plan = replace(plan, config=filled(plan.config, named, target.name))
        except NotFilled as error:
            return Desired(row, plan, [str(error)], secret)
        return Desired(row, plan, MESHES[target.kind].problems(plan), secret)

    def _named(self, target: TargetRow, rows: Sequence[DeploymentRow]) -> dict[str, str]:
        """The values of the target's secrets, where a config may name one."""
        if not any(row.current.secrets_at is not None for row in rows):
            return {}
        with self.database.read() as session:
            return secrets_of(session, self.secret_key, target.id)

    def _renew(self, target: TargetRow, secrets: dict[int, PullRow], needed: set[int]) -> dict[int, PullRow]:
        """The target's secrets, new ones among them for repositories that have none, or an old one."""
        due = [one for one in needed if one not in secrets or secrets[one].created_at < now() - ROTATED]
        if not due:
            return secrets
        given = {}
        for repository_id in due:
            secret = new_secret(ROBOT)
            kept = NewSecret(hint(secret), fingerprint(secret))
            given[repository_id] = kept, self.secret_key.seal(secret.encode())
        return give_pull_credentials(self.database, target.id, given)


class Again:
    """When to look again at what a pass is not done with."""

    again: float | None = None  # seconds; None: nothing of it is waited for

    def look_in(self, seconds: float) -> None:
        """In that time at the latest."""
        self.again = seconds if self.again is None else min(self.again, seconds)

    def try_again(self, one: Desired) -> dict[str, int]:
        """How often an object was changed to have its reader try again, and when last; a little later each time."""
        since = one.tried_at or now()
        wait = min(LONGEST_RETRY, FIRST_RETRY * 2**one.tries) - (now() - since)
        self.look_in(max(AT_ONCE, wait / 1000))
        return {"tries": one.tries + 1, "tried_at": now()} if wait <= 0 else {"tries": one.tries, "tried_at": since}


def judge(desired: Desired, done: Done, observed: Observed | None) -> DeploymentSeen:
    """How a deployment stands, from what its pass has done and what its proxies say, if they were asked."""
    row, before = desired.row, desired.row.seen
    number = row.current.number
    base = DeploymentSeen(
        revision=before.revision if before is not None else 0,
        status=STALLED,
        message="",
        detail=before.detail if before is not None else None,
        objects=done.objects,
        applied_at=before.applied_at if before is not None else None,
        changed_at=now(),
    )
    if row.ended_at is not None:
        return replace(base, status=PROGRESSING, message=done.trouble or "its objects are being taken away")
    if desired.problems:
        return replace(base, message=" ".join(one if one.endswith(".") else f"{one}." for one in desired.problems))
    if done.trouble is not None:
        return replace(base, message=done.trouble)
    if base.revision != number or done.written:
        base = replace(base, revision=number, applied_at=now())
    wrote = {"wrote": done.wrote} if done.wrote is not None else None
    if observed is not None:
        detail = observed.detail if wrote is None else {**(observed.detail or {}), **wrote}
        return replace(base, status=observed.status, message=observed.message, detail=detail)
    said = f"revision {number} was applied; whether proxies run it was not looked at"
    return replace(base, status=UNOBSERVED, message=said, detail=wrote)


def _told(detail: dict[str, Any] | None, secrets: Mapping[str, str]) -> dict[str, Any] | None:
    """What is kept of a look, in which sidecars say in their own words why they refused something."""
    if detail is None or not secrets or "sidecars" not in detail:
        return detail
    said = [one | {"why": one["why"] and without_values(one["why"], secrets)} for one in detail["sidecars"]]
    return detail | {"sidecars": said}


def _is_news(seen: DeploymentSeen, row: DeploymentRow) -> bool:
    before = row.seen
    if before is None or before.changed_at < row.current.created_at:
        return True
    return replace(seen, changed_at=0) != replace(before, changed_at=0)
