"""Configs that name secrets: `{"$secret": "NAME"}` anywhere in a JSON config stands for that secret's value, a text.

A revision keeps the name, so no history, page or difference shows the value; it is put in right before a proxy or a
cluster is told.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from math import ceil
from typing import Any

from sqlalchemy.orm import Session

from auth.secrets import SecretKey
from storage.config_secrets import sealed_secrets

MARK = "$secret"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
NAMES = "use lower-case letters, digits, dots, dashes, at most 63"
HIDDEN = "(secret {})"  # what is shown in the place of a value
SHORTEST = 4  # characters of a value that are looked for in sentences: fewer are in any
LONGEST_WORD = 12  # letters of a value that may be an ordinary word
DEEPEST = 100  # levels of a config that names secrets
LONGEST = 1024 * 1024  # characters of all values that are put into one config


class NotFilled(ValueError):
    """A config cannot be told to anybody with its secrets; the text says why, with the way out."""


class MissingSecret(NotFilled):
    """A config names a secret that the target does not have; the text says which, with the way out.

    `target` is None for a place that is none of the hub's targets.
    """

    def __init__(self, name: str, target: str | None) -> None:
        named = f"the config names the secret {name[:64]!r}"
        if target is None:
            said = (
                f"{named}, and only targets of the hub have secrets; take the value from the proxy's environment, or"
                " deploy by the hub itself"
            )
        elif not NAME.fullmatch(name):
            said = f"{named}, which no secret can be called; {NAMES}"
        else:
            way = f"`wasmhub targets secrets set {target} {name}`"
            said = f"{named}, which target {target} does not have; who may configure it gives it one with {way}"
        super().__init__(said)


def names_in(config: str | None) -> set[str]:
    """The secrets that a config names."""
    found: set[str] = set()

    def note(name: str) -> str:
        found.add(name)
        return ""

    with suppress(NotFilled):  # it was said to whoever deployed it
        _filled(config, note)
    return found


def shown(config: str | None) -> str | None:
    """A config that may be looked at: words in the places of values."""
    try:
        return _filled(config, HIDDEN.format)
    except NotFilled:
        return config  # no value is in it


def filled(config: str | None, secrets: Mapping[str, str], target: str | None) -> str | None:
    """The config as the filter gets it; as it was written where it names none. Raises NotFilled.

    `target` is the name of the target whose secrets they are, None for a place that is none.
    """
    room = LONGEST

    def value_of(name: str) -> str:
        nonlocal room
        if name not in secrets:
            raise MissingSecret(name, target)
        room -= len(secrets[name])
        if room < 0:
            raise NotFilled(
                f"the config names secrets so often that their values are more than {LONGEST:,} characters in it;"
                " name each once"
            )
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


def without_values(sentence: str, secrets: Mapping[str, str]) -> str:
    """What a proxy or a cluster said of a config, in which they may have quoted it: a value, a part of one, or one that
    was cut off.

    Of a value any SHORTEST characters that follow one another are taken out; of one that may be an ordinary word three
    quarters, so that `default` does not take `fault` with it; one that is shorter, where it stands alone. Capitals are
    taken for small letters. What a message says otherwise in the same letters goes with it.
    """
    written = [(_small(form), name, _least(form)) for name, value in secrets.items() for form in _forms(value)]
    written.sort(key=lambda one: -len(one[0]))
    whole = {form: name for form, name, _ in reversed(written)}
    hides, small = [""] * len(sentence), _small(sentence)
    for length in sorted({least for _, _, least in written}, reverse=True):
        parts = _parts_in(small, [(form, name) for form, name, least in written if least == length], length)
        for start in range(len(sentence)):
            name = parts.get(small[start : start + length])
            if name is not None:
                hides[start : start + length] = [one or name for one in hides[start : start + length]]
    short = [re.escape(form) for form, _, _ in written if len(form) < SHORTEST]
    alone = re.compile(rf"(?<!\w)(?:{'|'.join(short)})(?!\w)", re.IGNORECASE) if short else None
    found = []
    for hidden, letters in groupby(zip(hides, sentence, strict=True), lambda one: bool(one[0])):
        run = [*letters]
        text = "".join(letter for _, letter in run)
        if hidden:
            text = HIDDEN.format(whole.get(_small(text), run[0][0]))
        elif alone is not None:
            text = alone.sub(lambda match: HIDDEN.format(whole.get(_small(match[0]), "")), text)
        found.append(text)
    return "".join(found)


def _small(text: str) -> str:
    """The text in small letters, as long as it was."""
    return "".join(one if len(one.lower()) > 1 else one.lower() for one in text)


def _forms(value: str) -> set[str]:
    """A value as it may be written in a sentence."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]} - {""}


def _least(form: str) -> int:
    """How many characters of a value that follow one another are taken out. A word's own parts are in other words."""
    one_case = form.islower() or form.isupper() or form.istitle()
    is_word = form.isascii() and form.isalpha() and one_case and len(form) <= LONGEST_WORD
    return max(SHORTEST, ceil(len(form) * 3 / 4)) if is_word else SHORTEST


def _parts_in(sentence: str, written: Sequence[tuple[str, str]], length: int) -> dict[str, str]:
    """The parts of values that a sentence holds, each that long, with the name of the longest value it is in."""
    there = {part for part in _parts(sentence, length) if not part.isspace()}
    found: dict[str, str] = {}
    for form, name in written:
        for part in there.intersection(_parts(form, length)):
            found.setdefault(part, name)
    return found


def _parts(text: str, length: int) -> Iterator[str]:
    return (text[start : start + length] for start in range(len(text) - length + 1))


def _may_name(config: str | None) -> bool:
    return config is not None and f'"{MARK}"' in config


def _filled(config: str | None, value_of: Callable[[str], str]) -> str | None:
    if config is None or not _may_name(config):
        return config
    try:
        value = json.loads(config)
    except ValueError:
        return config  # a text, which the filter gets as it is
    except RecursionError:
        raise _too_deep() from None
    put = _put(value, value_of, 1)
    if put == value:
        return config
    whole = json.dumps(put, ensure_ascii=False)
    try:
        whole.encode()
    except UnicodeEncodeError:  # halves of characters, which only stay one text as they were written: escaped
        return json.dumps(put)
    return whole


def _put(value: Any, value_of: Callable[[str], str], level: int) -> Any:
    if level > DEEPEST:
        raise _too_deep()
    if isinstance(value, dict):
        if value.keys() == {MARK} and isinstance(value[MARK], str):
            return value_of(value[MARK])
        return {name: _put(one, value_of, level + 1) for name, one in value.items()}
    return [_put(one, value_of, level + 1) for one in value] if isinstance(value, list) else value


def _too_deep() -> NotFilled:
    return NotFilled(f"a config that names secrets may be nested {DEEPEST} deep, no more; make it flatter")
