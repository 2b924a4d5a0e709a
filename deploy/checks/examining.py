"""Looks up what the checks want to know of a filter and a target, and refuses what they refuse."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from auth.door import ApiError
from auth.identity import Identity
from deploy.checks.reasons import Candidate, Verdict, judge, release_of
from deploy.checks.schema import config_problem
from deploy.checks.signed import find_signed
from deploy.checks.windows import closed
from deploy.config_secrets import HIDDEN, NotFilled, filled, secrets_of, without_values
from deploy.images.filters import Found, find_module, find_schema
from deploy.means import Means, may_with
from deploy.meshes.kinds import pulls_images
from storage.database import now
from storage.deployments import target_deployments
from storage.nodes import nodes
from storage.targets import TargetRow

WORKLOAD = ("namespace", "partition", "labels", "targets", "service")
NO_TARGET = 0  # the id of a place that is none of the hub's targets
SEEN_WITHIN = 600_000  # milliseconds within which a proxy asked whose release counts


@dataclass(frozen=True)
class Examined:
    """A filter for a target, with what speaks against it; `module_sha256` is empty where none could be read."""

    module_sha256: str
    config: str | None
    verdict: Verdict


@dataclass(frozen=True)
class Taken:
    """A filter that is to run: its module and config, what was overridden, and what its deployer should know."""

    module_sha256: str
    config: str | None
    forced: tuple[str, ...]
    warnings: tuple[str, ...]


def refuse_force(identity: Identity, target: TargetRow, force: bool) -> None:
    """Raises ApiError 403 for those who ask to override a target's rules, and may not configure it."""
    if force and not may_with(identity, "configure", target):
        raise ApiError(
            403,
            "denied",
            f"you may not force what {target.name} refuses; ask an owner or maintainer of {target.namespace}",
        )


def examine(
    means: Means,
    target: TargetRow,
    name: str,
    reference: str,
    found: Found,
    config: str | None,
    placement: Mapping[str, Any] | None,
    *,
    ran: bool = False,
) -> Examined:
    """Checks a filter that is to run on the target as the deployment `name`.

    `ran` is for a revision that ran there with its config: a schema that came since is worth a warning, no more. Raises
    ApiError 503 where the reader has not read it yet.
    """
    with means.database.read() as session:
        module, unread = find_module(session, found, reference)
        there = [one for one in target_deployments(session, target.id) if not one.taken_back]
        others = [one.current for one in there if one.name != name]
        oldest = _oldest(session, target)
    facts: Mapping[str, Any] = module.facts if module is not None else {}
    if not config and facts.get("needs_config"):
        config = "{}"  # the SDK for AssemblyScript traps when there is none
    problem = _config_problem(means, target, found, config)
    keys = target.settings.get("cosign_keys")
    candidate = Candidate(
        target=target.name,
        namespace=target.namespace,
        settings=target.settings,
        reference=reference,
        unread=unread,
        facts=facts,
        size=module.size if module is not None else 0,
        bare=not pulls_images(target),
        config_problem=None if ran else problem,
        signed=find_signed(means.database, means.blobs, found, keys) if keys else None,
        beside=sum(_workload(one.placement) == _workload(placement) for one in others),
        oldest=oldest,
        closed=None if ran else closed(target.settings, now()),
    )
    verdict = judge(candidate)
    if ran and problem is not None:
        verdict = replace(verdict, warnings=(*verdict.warnings, problem))
    return Examined(module.sha256 if module is not None else "", config, verdict)


def take(examined: Examined, force: bool) -> Taken:
    """What is to run. Raises ApiError 422 with all that speaks against it, but for what is overridden."""
    verdict = examined.verdict
    against = [one for one in verdict.reasons if not (force and one.forcible)]
    if against:
        reasons = [{"code": one.code, "message": one.message, "forcible": one.forcible} for one in against]
        raise ApiError(422, "refused", "; ".join(one.message for one in against), reasons=reasons)
    overridden = tuple(one.message for one in verdict.reasons)
    warnings = (*(f"forced: {one}" for one in overridden), *verdict.warnings)
    return Taken(examined.module_sha256, examined.config, overridden, warnings)


def _config_problem(means: Means, target: TargetRow, found: Found, config: str | None) -> str | None:
    """Why the config cannot be, whole."""
    try:
        with means.database.read() as session:
            secrets = secrets_of(session, means.gate.secret_key, target.id)
            whole = filled(config, secrets, target.name if target.id != NO_TARGET else None)
            schema = find_schema(session, found)
    except ApiError as error:
        return error.message
    except NotFilled as error:
        return str(error)
    problem = config_problem(means.blobs.read(schema[0]), whole or "{}") if schema else None
    if problem is not None and whole != config:
        problem = _without(secrets, problem)
    return None if problem is None else f"the config does not fit the schema of {found.repository}: {problem}"


def _without(secrets: Mapping[str, str], sentence: str) -> str:
    """The sentence, in which a schema's words on a value may hold the value."""
    for name, value in secrets.items():
        if value and (value in sentence or repr(value)[1:-1] in sentence):
            return f"the value of {HIDDEN.format(name)[1:-1]} is not as the schema wants it"
    return without_values(sentence, secrets)  # it may be cut off in the middle of one


def _workload(placement: Mapping[str, Any] | None) -> list[Any]:
    """What of a placement says which proxies it is for; on a fleet it is for all."""
    return [(placement or {}).get(name) or None for name in WORKLOAD]


def _oldest(session: Session, target: TargetRow) -> tuple[str, str] | None:
    """The proxy of the oldest release among those that asked lately: its name, and what it is."""
    seen = [one for one in nodes(session, target.id) if one.seen_at >= now() - SEEN_WITHIN and release_of(one.version)]
    oldest = min(seen, key=lambda one: release_of(one.version) or (0, 0), default=None)
    return (oldest.name, oldest.version) if oldest is not None else None
