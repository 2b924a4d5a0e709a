"""What a deployer asks for, as `deploy` and `render` take it: a filter, its config, its place."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from wasmhub.cli.command import WrongUse, whole_number

MOST_CONFIG = 256 * 1024  # characters, the hub's own limit
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")


def add_wish(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say what is to run where."""
    parser.add_argument(
        "reference",
        metavar="NAME[:TAG|@DIGEST]",
        nargs="?",
        help="the filter; a name alone is its newest version, nothing at all the version that runs there",
    )
    parser.add_argument("--target", metavar="TARGET", required=True, help="where it runs")
    parser.add_argument(
        "--as", dest="deployment", metavar="ID", help="what it is called there (the last part of the filter's name)"
    )
    config = parser.add_mutually_exclusive_group()
    config.add_argument(
        "--config",
        metavar="FILE",
        help="what the filter is configured with, handed on as it is but for a last line break; - reads standard input",
    )
    config.add_argument("--no-config", action="store_true", help="take its configuration away")
    parser.add_argument(
        "--order",
        type=whole_number(1, 9999),
        metavar="N",
        help="its place: requests pass filters in rising order (last)",
    )
    parser.add_argument("--root-id", metavar="ID", help="the plugin's root_id, for modules that hold several")
    parser.add_argument(
        "--failure-policy", choices=POLICIES, help="what happens to requests when the filter crashes (FAIL_CLOSED)"
    )
    _add_placement(parser)


def name_of(options: argparse.Namespace) -> str:
    """What the deployment is called. Raises WrongUse where that is not said."""
    return options.deployment or _usual_name(options.reference)


def body_of(options: argparse.Namespace) -> dict[str, Any]:
    """The wish as the hub takes it. Raises WrongUse for files that cannot be what was meant."""
    if options.config == "-" == options.placement:
        raise WrongUse("the config and the placement cannot both be read from standard input")
    body: dict[str, Any] = {} if options.reference is None else {"reference": options.reference}
    if options.config is not None:
        body["config"] = read_config(options.config)
    if options.no_config:
        body["config"] = None
    for field in ("order", "root_id", "failure_policy"):
        if getattr(options, field) is not None:
            body[field] = getattr(options, field)
    placement = _placement(options)
    return body if placement is None else {**body, "placement": placement}


def read_config(name: str) -> str:
    """The text of a config file. Raises WrongUse if it cannot be what was meant."""
    text = read_text(name, "config", MOST_CONFIG).removesuffix("\n").removesuffix("\r")
    if name.endswith(".json"):
        _json(name, "config", text)
    return text


def read_text(name: str, what: str, longest: int) -> str:
    """The text of a file, or of standard input (-). Raises WrongUse if it cannot be read, or is too long."""
    most = 4 * longest + 2  # bytes; a line break at the end may come on top
    try:
        with open(0 if name == "-" else Path(name), "rb", closefd=name != "-") as file:
            content = file.read(most + 1)
        text = content.decode() if len(content) <= most else ""
    except OSError as error:
        raise WrongUse(f"the {what} file {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"the {what} file {name} is not text in UTF-8 (byte {error.start})") from None
    except ValueError:
        raise WrongUse(f"{name!r} is no name of a file") from None
    if len(text) > longest + 2 or len(content) > most:
        raise WrongUse(f"the {what} file {name} is longer than {longest} characters")
    return text


def named_values(given: list[str] | None, what: str) -> dict[str, str]:
    """NAME=VALUE as it was typed, once or more often. Raises WrongUse."""
    found = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise WrongUse(f"{one!r} is no {what}; write NAME=VALUE")
        found[name] = value
    return found


def _add_placement(parser: argparse.ArgumentParser) -> None:
    place = parser.add_argument_group("on a mesh, for which workloads (given whole, or left as it is)")
    place.add_argument("--namespace", metavar="NAME", help="where the workloads are")
    place.add_argument(
        "--label", action="append", metavar="NAME=VALUE", help="of the workloads; may be given again (all of them)"
    )
    place.add_argument(
        "--attach",
        action="append",
        metavar="KIND/NAME",
        help="in the place of labels: a Gateway or route that it is attached to; may be given again (all of them)",
    )
    place.add_argument("--service", metavar="NAME", help="on Consul: whose sidecars run it")
    place.add_argument(
        "--placement", metavar="FILE", help="all that can be said of the place, as JSON; - reads standard input"
    )


def _placement(options: argparse.Namespace) -> dict[str, Any] | None:
    """For which workloads; None: as it is. What is typed goes before what the file says."""
    placement: dict[str, Any] = {}
    if options.placement is not None:
        found = _json(options.placement, "placement", read_text(options.placement, "placement", MOST_CONFIG))
        if not isinstance(found, dict):
            raise WrongUse(f"the placement file {options.placement} must hold a JSON object")
        placement = found
    for field in ("namespace", "service"):
        if getattr(options, field) is not None:
            placement[field] = getattr(options, field)
    if options.label:
        placement["labels"] = named_values(options.label, "label")
    if options.attach:
        placement["targets"] = [_attached(one) for one in options.attach]
    return placement or None


def _attached(given: str) -> dict[str, str]:
    kind, _, name = given.partition("/")
    if not kind or not name:
        raise WrongUse(f"{given!r} says not what it is attached to; write KIND/NAME, such as HTTPRoute/web")
    return {"kind": kind, "name": name}


def _json(name: str, what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise WrongUse(
            f"the {what} file {name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except (RecursionError, ValueError):
        raise WrongUse(f"the {what} file {name} is nested too deeply, or holds a number of too many digits") from None


def _usual_name(reference: str | None) -> str:
    """The last part of the repository's name. Raises WrongUse where that is no name for a deployment."""
    if reference is None:
        raise WrongUse("name a filter to deploy, or with --as ID the deployment to change")
    last = re.split("[:@]", reference.rpartition("/")[2])[0]
    # A digest holds no slash, so what follows the last one begins with the name.
    if not NAME.fullmatch(last):
        raise WrongUse(f"{last!r} is no name for a deployment; give one with --as, such as --as my-filter")
    return last
