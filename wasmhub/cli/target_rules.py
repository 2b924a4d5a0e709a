"""`wasmhub targets freeze`, `unfreeze` and `windows`: when a target takes changes."""

import argparse
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, add_action
from wasmhub.cli.printing import plain, show

WINDOW = re.compile(r"(?:(?P<days>[a-z]{3}(?:,[a-z]{3})*) +)?(?P<from>[0-9:]{5})-(?P<to>[0-9:]{5})(?: +(?P<zone>\S+))?")
SHAPE = "[DAYS] FROM-TO [ZONE]"


def add_rules(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds them to the actions of `wasmhub targets`."""
    freeze = add_action(
        actions,
        "freeze",
        "have a target take no change; going back and undeploying stay possible",
        'wasmhub targets freeze edge "the shop is open" --until 2026-12-27T06:00:00Z',
        freeze_target,
    )
    unfreeze = add_action(
        actions, "unfreeze", "have a target take changes again", "wasmhub targets unfreeze edge", unfreeze_target
    )
    windows = add_action(
        actions,
        "windows",
        "show when a target takes changes, or say when: all windows at once",
        'wasmhub targets windows edge --set "mon,tue,wed,thu 22:00-04:00 Europe/Berlin" --set "sun 00:00-00:00"\n'
        "wasmhub targets windows edge --always",
        target_windows,
    )
    for action in (freeze, unfreeze, windows):
        action.add_argument("target", metavar="TARGET")
    freeze.add_argument("why", metavar="WHY", help="what whoever is refused is told")
    freeze.add_argument("--until", metavar="TIME", help="when it ends, with its zone; without it, when it is unfrozen")
    which = windows.add_mutually_exclusive_group()
    which.add_argument(
        "--set", action="append", metavar=f'"{SHAPE}"', help="a window; may be given again, and those are all"
    )
    which.add_argument("--always", action="store_true", help="take the windows away: it is always open")


def in_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those on one line each that say when a target takes changes."""
    found = dict(settings)
    if "freeze" in found:
        found["freeze"] = _frozen(found["freeze"])
    if "windows" in found:
        found["windows"] = "; ".join(map(_window, found["windows"]))
    return found


def freeze_target(options: argparse.Namespace) -> int:
    """No change from now on. Raises WrongUse for an end that has passed."""
    if options.until is not None and _has_passed(options.until):
        raise WrongUse(f"{options.until} has passed; name a time to come, or leave --until out")
    freeze = {"why": options.why} | ({} if options.until is None else {"until": options.until})
    made = _change(options.target, {"freeze": freeze})
    return show(options, made, f"{plain(made['name'])} is frozen: {plain(_frozen(made['settings']['freeze']))}")


def unfreeze_target(options: argparse.Namespace) -> int:
    """Changes again, in its windows if it has any."""
    made = _change(options.target, {"freeze": None})
    return show(options, made, f"{plain(made['name'])} takes changes {_when(made['settings'])}")


def target_windows(options: argparse.Namespace) -> int:
    """The windows, or others."""
    if options.set or options.always:
        made = _change(options.target, {"windows": [*map(_read, options.set)] if options.set else None})
        return show(options, made, f"{plain(made['name'])} takes changes {_when(made['settings'])}")
    with Hub() as hub:
        settings = hub.ask("GET", "targets", options.target)["settings"]
    frozen = f"\nit is frozen: {plain(_frozen(settings['freeze']))}" if "freeze" in settings else ""
    said = f"{plain(options.target)} takes changes {_when(settings)}{frozen}"
    return show(options, {name: settings.get(name) for name in ("windows", "freeze")}, said)


def _change(target: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    """The target with other rules; None takes one away."""
    with Hub() as hub:
        made: dict[str, Any] = hub.ask("PATCH", "targets", target, body={"change": rules})
    return made


def _has_passed(time: str) -> bool:
    """Whether a time with its zone has; whether it is one at all is the hub's to say."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment <= datetime.now(UTC)


def _read(text: str) -> dict[str, Any]:
    """A window as it was typed; whether its days, times and zone are any is the hub's to say. Raises WrongUse."""
    found = WINDOW.fullmatch(text.strip())
    if found is None:
        raise WrongUse(f'{text[:100]!r} is no window; write "{SHAPE}", such as "mon,tue 22:00-04:00 Europe/Berlin"')
    named = {name: value for name, value in found.groupdict().items() if value is not None}
    return named | ({"days": named["days"].split(",")} if "days" in named else {})


def _when(settings: Mapping[str, Any]) -> str:
    windows = settings.get("windows")
    return (
        "at any time" if not windows else f"in its windows alone: {'; '.join(plain(_window(one)) for one in windows)}"
    )


def _window(window: Mapping[str, Any]) -> str:
    days = "" if len(window["days"]) == 7 else f"{','.join(window['days'])} "
    return f"{days}{window['from']}-{window['to']} {window['zone']}"


def _frozen(freeze: Mapping[str, Any]) -> str:
    return f"{freeze['why']} (until {freeze['until']})" if "until" in freeze else str(freeze["why"])
