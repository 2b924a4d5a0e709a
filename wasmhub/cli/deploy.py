"""`wasmhub deploy`: puts a filter to work on a target, or changes what runs."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, new_parser, run, whole_number
from wasmhub.cli.waiting import add_waiting, follow

MOST_CONFIG = 256 * 1024  # characters, the hub's own limit
MOST_BYTES = 4 * MOST_CONFIG
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
POLICIES = ("FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD")
EXAMPLES = """wasmhub deploy shop/rate-limit:1.2.0 --target edge
wasmhub deploy shop/rate-limit@sha256:... --target edge --as limits --config limits.json --order 10
wasmhub deploy --target edge --as limits --order 5
wasmhub deploy shop/rate-limit --target edge --no-wait --output json"""


def main(arguments: list[str]) -> int:
    """Deploys, and waits until proxies run it."""
    parser = new_parser(
        "deploy",
        "Puts a filter to work on a target, or changes what runs there under the same name. What is left out stays as"
        " it is.",
        EXAMPLES,
        deploy,
    )
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
    add_waiting(parser)
    return run(parser, arguments)


def deploy(options: argparse.Namespace) -> int:
    """Sends the deployment as wished and follows it."""
    name = options.deployment or _usual_name(options.reference)
    body: dict[str, Any] = {} if options.reference is None else {"reference": options.reference}
    if options.config is not None:
        body["config"] = read_config(options.config)
    if options.no_config:
        body["config"] = None
    for field in ("order", "root_id", "failure_policy"):
        if getattr(options, field) is not None:
            body[field] = getattr(options, field)
    with Hub() as hub:
        made = hub.ask("PUT", "targets", options.target, "deployments", name, body=body)
        return follow(options, hub, made)


def read_config(name: str) -> str:
    """The text of a config file. Raises WrongUse if it cannot be what was meant."""
    try:
        with open(0 if name == "-" else Path(name), "rb", closefd=name != "-") as file:
            content = file.read(MOST_BYTES + 1)
        text = "" if len(content) > MOST_BYTES else content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise WrongUse(f"the config file {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"the config file {name} is not text in UTF-8 (byte {error.start})") from None
    except ValueError:
        raise WrongUse(f"{name!r} is no name of a file") from None
    if len(text) > MOST_CONFIG or len(content) > MOST_BYTES:
        raise WrongUse(f"the config file {name} is longer than {MOST_CONFIG} characters")
    if name.endswith(".json"):
        _check_json(name, text)
    return text


def _check_json(name: str, text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise WrongUse(
            f"the config file {name} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise WrongUse(f"the config file {name} is nested too deeply") from None


def _usual_name(reference: str | None) -> str:
    """The last part of the repository's name. Raises WrongUse where that is no name for a deployment."""
    if reference is None:
        raise WrongUse("name a filter to deploy, or with --as ID the deployment to change")
    last = re.split("[:@]", reference.rpartition("/")[2])[0]
    # A digest holds no slash, so what follows the last one begins with the name.
    if not NAME.fullmatch(last):
        raise WrongUse(f"{last!r} is no name for a deployment; give one with --as, such as --as my-filter")
    return last
