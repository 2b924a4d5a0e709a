"""Configs that name secrets: `{"$secret": "NAME"}` anywhere in a JSON config stands for that secret's value, a text.

A revision keeps the name, so no history, page or difference shows the value; it is put in right before a proxy or a
cluster is told.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from auth.secrets import SecretKey
from storage.config_secrets import sealed_secrets
from storage.deployments import RevisionRow

MARK = "$secret"
HIDDEN = "(secret {})"  # what is shown in the place of a value


class MissingSecret(ValueError):
    """A config names a secret that the target does not have; the text says which, with the way out."""

    def __init__(self, name: str, target: str) -> None:
        super().__init__(
            f"the config names the secret {name[:64]!r}, which target {target} does not have; give it one with"
            f" `wasmhub targets secrets set {target} {name[:64]}`"
        )


def names_in(config: str | None) -> set[str]:
    """The secrets that a config names."""
    found: set[str] = set()

    def note(name: str) -> str:
        found.add(name)
        return ""

    _filled(config, note)
    return found


def shown(config: str | None) -> str | None:
    """A config that may be looked at: words in the places of values."""
    return _filled(config, HIDDEN.format)


def filled(config: str | None, secrets: Mapping[str, str], target: str) -> str | None:
    """The config as the filter gets it; as it was written where it names none. Raises MissingSecret."""

    def value_of(name: str) -> str:
        if name not in secrets:
            raise MissingSecret(name, target)
        return secrets[name]

    return _filled(config, value_of)


def secrets_of(session: Session, key: SecretKey, target_id: int) -> dict[str, str]:
    """The values of a target's secrets; one that is sealed with another key is as if it were not there."""
    found = {}
    for name, sealed in sealed_secrets(session, target_id).items():
        try:
            found[name] = key.unseal(sealed).decode()
        except ValueError:
            continue
    return found


def fill_revisions(
    session: Session, key: SecretKey, target_id: int, target: str, rows: Sequence[RevisionRow]
) -> list[RevisionRow]:
    """Revisions, newest first, with the values in their configs. Older ones whose secrets are gone are left out.

    Raises MissingSecret for the newest.
    """
    if not any(_may_name(one.config) for one in rows):
        return list(rows)
    secrets, found = secrets_of(session, key, target_id), []
    for index, one in enumerate(rows):
        try:
            found.append(replace(one, config=filled(one.config, secrets, target)))
        except MissingSecret:
            if not index:
                raise
    return found


def _may_name(config: str | None) -> bool:
    return config is not None and f'"{MARK}"' in config


def _filled(config: str | None, value_of: Callable[[str], str]) -> str | None:
    if config is None or not _may_name(config):
        return config
    try:
        value = json.loads(config)
    except (ValueError, RecursionError):
        return config  # a text, which the filter gets as it is
    put = _put(value, value_of)
    return config if put == value else json.dumps(put, ensure_ascii=False)


def _put(value: Any, value_of: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {MARK} and isinstance(value[MARK], str):
            return value_of(value[MARK])
        return {name: _put(one, value_of) for name, one in value.items()}
    return [_put(one, value_of) for one in value] if isinstance(value, list) else value
