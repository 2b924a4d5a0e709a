"""`wasmhub targets`: the fleets and meshes that filters are deployed to."""

import argparse
import json
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.config_secrets import add_secrets
from wasmhub.cli.fleet_files import add_files
from wasmhub.cli.keys import add_keys
from wasmhub.cli.meshes import KINDS, access_of, add_access, add_meshes, reach_of, settings_of
from wasmhub.cli.printing import plain, show, table
from wasmhub.cli.target_rules import add_rules

COLUMNS = {"NAME": "name", "KIND": "kind", "NAMESPACE": "namespace", "SLOTS": "slots", "CREATED": "created_at"}
NODE_COLUMNS = {"NODE": "name", "PROXY": "proxy", "SEEN": "seen_at", "RUNS": "runs"}
KIND = "envoy-fleet"
# Settings of a fleet, as options name them.
FLEET = ("slots", "without_hub", "refresh_seconds", "node_limit", "transport")
# option of `bootstrap` -> the field of the query, what it is
BOOTSTRAP = {
    "--listen": ("listen", "HOST:PORT", "where the proxy takes traffic (0.0.0.0:10000)"),
    "--upstream": ("upstream", "HOST:PORT", "where the proxy sends traffic (127.0.0.1:8000)"),
    "--admin": ("admin", "HOST:PORT", "where the proxy's own admin pages are (127.0.0.1:9901)"),
    "--node": ("node", "NAME", "the proxy's name; without it, start Envoy with --service-node NAME"),
    "--key-env": ("key_env", "VARIABLE", "the variable that holds the fleet's key (WASMHUB_FLEET_KEY)"),
    "--key-file": ("key_file", "PATH", "the file that holds it instead; one ending in .json is followed as it changes"),
    "--ca-file": ("ca_file", "PATH", "the authorities that the proxy trusts, where the hub speaks HTTPS"),
    "--cert-file": ("cert_file", "PATH", "the proxy's own certificate, where the hub asks for one"),
    "--cert-key-file": ("cert_key_file", "PATH", "the key of that certificate"),
    "--hub": ("hub", "URL", "the hub as proxies reach it (its public URL, else the one in WASMHUB_URL)"),
    "--xds": ("xds", "URL", "the hub's port for gRPC as proxies reach it, where the target is served over that"),
    "--files": ("files", "DIR", "the folder of the fleet's files as the proxy sees it, where it reads them"),
}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "targets",
        "Targets are what filters are deployed to: fleets of Envoy proxies, and meshes.",
        "wasmhub targets create edge\n"
        "export WASMHUB_FLEET_KEY=$(wasmhub targets keys create edge)\n"
        "wasmhub targets bootstrap edge > bootstrap.json\n"
        "envoy -c bootstrap.json --service-node edge-1",
    )
    actions = new_actions(parser)
    add_action(actions, "list", "list the targets that you may see", "wasmhub targets list", list_targets)
    _add_create(actions)
    delete = add_action(
        actions, "delete", "remove a target that nothing is deployed on", "wasmhub targets delete edge", delete_target
    )
    delete.add_argument("target", metavar="TARGET")
    delete.add_argument(
        "--abandon", action="store_true", help="leave the objects of what was undeployed in a cluster that is gone"
    )

    bootstrap = add_action(
        actions,
        "bootstrap",
        "write the configuration that an Envoy of the fleet starts with, as JSON; it holds no secret",
        "wasmhub targets bootstrap edge --listen 0.0.0.0:8000 --upstream app:80 > bootstrap.json\n"
        "envoy -c bootstrap.json --service-node edge-1",
        print_bootstrap,
    )
    bootstrap.add_argument("target", metavar="TARGET")
    for option, (field, shape, what) in BOOTSTRAP.items():
        bootstrap.add_argument(option, dest=field, metavar=shape, help=what)

    add_meshes(actions)
    add_rules(actions)
    add_keys(actions)
    add_secrets(actions)
    add_files(actions)
    nodes = add_action(
        actions, "nodes", "list the proxies of a target and what each runs", "wasmhub targets nodes edge", list_nodes
    )
    nodes.add_argument("target", metavar="TARGET")
    return run(parser, or_list(arguments))


def list_targets(options: argparse.Namespace) -> int:
    """All targets, by name."""
    with Hub() as hub:
        found = hub.pages("targets", "targets")
    rows = [{**one, "slots": one["settings"].get("slots")} for one in found]
    return show(options, found, table(rows, COLUMNS, "no targets yet; `wasmhub targets create NAME` makes one"))


def create_target(options: argparse.Namespace) -> int:
    """A new fleet, or a mesh that the hub has just reached."""
    settings = {name: value for name in FLEET if (value := getattr(options, name)) is not None}
    typed, access = settings_of(options), access_of(options)
    if options.kind == KIND and (typed or access):
        raise WrongUse(f"what was typed is for a mesh; say --kind {' or '.join(KINDS)}")
    if options.kind != KIND and settings:
        raise WrongUse(f"--{next(iter(settings)).replace('_', '-')} is for a fleet of Envoys, whose kind is {KIND}")
    body: dict[str, Any] = {"name": options.target, "kind": options.kind, "settings": settings | typed, **access}
    if options.namespace is not None:
        body["namespace"] = options.namespace
    with Hub() as hub:
        made = hub.ask("POST", "targets", body=body)
    name = plain(made["name"])
    if options.kind == KIND:
        return show(options, made, f"made {name}; `wasmhub targets keys create {name}` makes a key for its proxies")
    return show(options, made, f"made {name}\n{reach_of(made)}".rstrip())


def delete_target(options: argparse.Namespace) -> int:
    """A target that was."""
    with Hub() as hub:
        hub.ask("DELETE", "targets", options.target, query={"abandon": "true"} if options.abandon else {})
    return show(options, {"deleted": options.target}, f"{plain(options.target)} is gone")


def print_bootstrap(options: argparse.Namespace) -> int:
    """The bootstrap; JSON either way."""
    fields = [field for field, _, _ in BOOTSTRAP.values()]
    query = {field: value for field in fields if (value := getattr(options, field)) is not None}
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target, "bootstrap", query=query)
    return show(options, found, json.dumps(found, indent=2))


def list_nodes(options: argparse.Namespace) -> int:
    """The proxies that asked the hub."""
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target, "nodes")["nodes"]
        deployed = hub.ask("GET", "deployments", query={"target": options.target})["deployments"]
    names = {one["slot"]: one["name"] for one in deployed}
    rows = [{**node, "runs": _running(node["slots"], names)} for node in found]
    empty = f"no proxy of {plain(options.target)} has asked for its filters yet"
    return show(options, found, table(rows, NODE_COLUMNS, empty))


def _running(slots: list[dict[str, Any]], names: dict[int, str]) -> str:
    """The deployments that a node runs, by the names of those that have the slots now."""
    return ", ".join(names[one["slot"]] for one in slots if one["slot"] in names and one["runs"]) or "-"


def _add_create(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    create = add_action(
        actions,
        "create",
        "make a target",
        "wasmhub targets create edge\nwasmhub targets create edge --namespace shop --without-hub open\n"
        "wasmhub targets create mesh --kind istio --hub https://hub.example.com --kubeconfig hub.kubeconfig\n"
        "wasmhub targets create dc1 --kind consul --setting address=https://consul.example.com:8501 --token token",
        create_target,
    )
    create.add_argument("target", metavar="NAME")
    create.add_argument("--kind", choices=(KIND, *KINDS), default=KIND, help=f"what runs there ({KIND})")
    create.add_argument("--namespace", metavar="NAME", help="who owns it (your own)")
    create.add_argument(
        "--slots", type=whole_number(1, 32), metavar="N", help="how many filters it can run at once (8)"
    )
    create.add_argument(
        "--without-hub",
        choices=("wait", "open"),
        help="what a proxy does that starts while the hub is away: wait for its filters, or pass traffic (wait)",
    )
    create.add_argument(
        "--refresh-seconds", type=float, metavar="N", help="a proxy asks at a random moment between N and twice N (5)"
    )
    create.add_argument(
        "--transport",
        choices=("rest", "grpc", "delta-grpc", "ads", "delta-ads", "file"),
        help="how its proxies are served: they ask, are told at once over gRPC, or read files (rest)",
    )
    create.add_argument(
        "--node-limit", type=whole_number(1, 10_000), metavar="N", help="how many proxies it may have (1000)"
    )
    add_access(create)
