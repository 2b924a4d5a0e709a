"""What was typed into the form that deploys, as a body of the JSON API, and what stands in it at first."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from auth.door import ApiError
from web.config_form import PREFIX as CONFIG
from web.config_form import read_config, write_config
from web.forms import whole
from web.staged import read_rollout
from web.typed import ABSENT, Field, read, write

PLACEMENT = "p-"
TAG, RANGE = "tag", "range"  # what may be followed


def read_body(fields: Sequence[Field], places: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """The body without its reference. Raises ApiError that names the field that is wrong."""
    body: dict[str, Any] = {"config": config_of(fields, form) or None, "root_id": form.get("root_id", "").strip()}
    if form.get("failure_policy"):
        body["failure_policy"] = form["failure_policy"]
    if form.get("order", "").strip():
        body["order"] = whole({**form}, "order")
    if places:
        body["placement"] = _placement(places, form)
    if "force" in form:
        body["force"] = True
    rollout = read_rollout(form)
    if rollout is not None:
        body["rollout"] = rollout
    body["follow"] = read_follow(form)
    return body


def read_follow(form: Mapping[str, str]) -> str | None:
    """What the form says that is followed, as a body has it; None: nothing."""
    return form.get("versions", "").strip() if form.get("follow") == RANGE else form.get("follow") or None


def config_of(fields: Sequence[Field], form: Mapping[str, str], *, pretty: bool = False) -> str:
    """The config that was typed, as text or in fields. Raises ApiError unless `pretty`, which is for people."""
    if not fields or form.get("config_as") == "text":
        return form.get("config", "").replace("\r\n", "\n").strip()
    if not pretty:
        return read_config(fields, form) or ""
    found: dict[str, Any] = {}
    for one in fields:
        typed = form.get(CONFIG + one.name, "")
        try:
            value = read(one, typed)
        except ApiError:
            value = typed  # what is wrong with it is said when it is read as a config
        if value is not ABSENT:
            found[one.name] = value
    return json.dumps(found, ensure_ascii=False, indent=2) if found else ""


def typed_from(opened: Mapping[str, Any], fields: Sequence[Field], config: str | None = None) -> dict[str, str]:
    """What stands in the form for the revision that runs, or for a deployment that is new; with another `config`."""
    current = opened["current"] or {}
    config = str(current.get("config") or "") if config is None else config
    typed = write_config(fields, config) if fields else None
    found = {"config_as": "text", "config": _indented(config)} if typed is None else {"config_as": "fields", **typed}
    found |= {name: str(current[name]) for name in ("order", "root_id", "failure_policy") if current.get(name)}
    if current and current["repository"] == opened["repository"]:
        found["version"] = _version(current)  # a change of the config is none of the version
    follow = opened.get("follow")
    if follow:
        found |= {"follow": TAG if follow["tag"] else RANGE, "versions": follow["range"] or ""}
    placement = current.get("placement") or {}
    for said in opened.get("fields", ()):
        one = Field(said["name"], said["label"], said["is"], words=said["words"])
        value = placement if not one.name else _plain(placement.get(one.name))
        if value not in (None, "", [], {}):
            found[PLACEMENT + one.name] = write(one, value) or ""
    return found


def _placement(places: Sequence[Field], form: Mapping[str, str]) -> Any:
    found = {
        one.name: value for one in places if (value := read(one, form.get(PLACEMENT + one.name, ""))) is not ABSENT
    }
    return found.get("", found)  # a field without a name is all of it


def _version(current: Mapping[str, Any]) -> str:
    """The version that a revision was asked for by; its digest where that was the newest."""
    rest = str(current["reference"]).removeprefix(current["repository"])
    return rest[1:] if rest[:1] in (":", "@") else str(current["digest"])


def _plain(value: Any) -> Any:
    """A part of a placement without what was left open in it."""
    if isinstance(value, list):
        return [{name: one for name, one in part.items() if one} if isinstance(part, dict) else part for part in value]
    return value


def _indented(config: str) -> str:
    try:
        return json.dumps(json.loads(config), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return config
