"""Targets that the hub reaches out to, as `wasmhub targets` makes, configures and shows them."""

import argparse
import re
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, add_action
from wasmhub.cli.printing import facts, plain, show
from wasmhub.cli.target_rules import in_words
from wasmhub.cli.wish import named_values, read_text

KINDS = ("istio", "consul", "envoy-gateway", "kuma", "gloo")
MOST = 64 * 1024  # characters of a file that says how to get in there
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_WORDS = {"null": None, "true": True, "false": False}


def add_meshes(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `show` and `configure` to the actions of `wasmhub targets`."""
    detail = add_action(
        actions,
        "show",
        "show one target with its settings, and how the hub last met it",
        "wasmhub targets show mesh",
        show_target,
    )
    configure = add_action(
        actions,
        "configure",
        "give a mesh other settings, or another way in; settings that are not named stay",
        "wasmhub targets configure mesh --setting istio_version=1.27\n"
        "wasmhub targets configure mesh --kubeconfig hub.kubeconfig",
        configure_target,
    )
    for action in (detail, configure):
        action.add_argument("target", metavar="TARGET")
    add_access(configure)


def add_access(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say what a mesh is and how the hub gets in there."""
    mesh = parser.add_argument_group("of a mesh")
    mesh.add_argument("--hub", metavar="URL", help="the hub as the mesh's proxies reach it: by a DNS name")
    mesh.add_argument(
        "--setting",
        action="append",
        metavar="NAME=VALUE",
        help="any setting, null for none; may be given again",
    )
    mesh.add_argument("--kubeconfig", metavar="FILE", help="how the hub gets into the cluster; - reads standard input")
    mesh.add_argument("--token", metavar="FILE", help="Consul's ACL token, in a file; - reads standard input")
    mesh.add_argument("--ca", metavar="FILE", help="the authority that Consul's certificate is by, as PEM")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were typed; null, true, false and whole numbers are meant as such. Raises WrongUse."""
    found: dict[str, Any] = {}
    for name, value in named_values(options.setting, "setting").items():
        found[name] = int(value) if _NUMBER.fullmatch(value) else _WORDS.get(value, value)
    return found if options.hub is None else {**found, "hub": options.hub}


def access_of(options: argparse.Namespace) -> dict[str, str]:
    """How the hub gets in there, as far as it was given. Raises WrongUse."""
    files = {name: getattr(options, name) for name in ("kubeconfig", "token", "ca")}
    given = {name: file for name, file in files.items() if file is not None}
    if list(given.values()).count("-") > 1:
        raise WrongUse("only one of the files can be read from standard input")
    found = {name: read_text(file, name, MOST) for name, file in given.items()}
    return found | ({"token": found["token"].strip()} if "token" in found else {})


def reach_of(made: dict[str, Any]) -> str:
    """What the hub met with the access that it was given, one a line; empty if it was given none."""
    reach = made.get("reach")
    if reach is None:
        return ""
    lines = [f"reached: {plain(reach['version']) or 'of no version that it tells'}"]
    for right in reach["rights"]:
        otherwise = "" if right["allowed"] else f" ({plain(right['else'])})"
        lines.append(f"  {plain(right['may'])}: {plain(right['allowed'])}{otherwise}")
    return "\n".join(lines)


def show_target(options: argparse.Namespace) -> int:
    """One target."""
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target)
    head = {name: found[name] for name in ("name", "kind", "namespace")} | {"created": found["created_at"]}
    head |= {name: None if value == "" else value for name, value in in_words(found["settings"]).items()}
    state = found.get("state")
    if state is not None:
        head["state"] = f"{state['status']}{': ' if state['message'] else ''}{state['message']}"
        head["checked"] = state["checked_at"]
    return show(options, found, facts(head))


def configure_target(options: argparse.Namespace) -> int:
    """Other settings, another way in, or both."""
    settings, body = settings_of(options), dict[str, Any](access_of(options))
    if not settings and not body:
        raise WrongUse("name what is to be another: --setting NAME=VALUE, --hub URL, --kubeconfig FILE, --token FILE")
    if settings:
        body["change"] = settings
    with Hub() as hub:
        made = hub.ask("PATCH", "targets", options.target, body=body)
    text = f"{plain(made['name'])} is configured\n{reach_of(made)}".rstrip()
    return show(options, made, text)
