"""`wasmhub deployments`: what runs where, and how it does."""

import argparse
import json
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import add_action, new_actions, new_parser, or_list, run, whole_number
from wasmhub.cli.deploy import FORCE
from wasmhub.cli.printing import facts, plain, short, show, table
from wasmhub.cli.waiting import add_waiting, follow

COLUMNS = {
    "TARGET": "target",
    "ORDER": "order",
    "ID": "name",
    "FILTER": "reference",
    "REVISION": "number",
    "STATUS": "status",
    "MESSAGE": "message",
}
NODE_COLUMNS = {"NODE": "name", "STATE": "state", "REVISION": "revision", "PROXY": "proxy", "SEEN": "seen_at"}
REVISION_COLUMNS = {
    "REVISION": "number",
    "ACTION": "action",
    "FILTER": "reference",
    "DIGEST": "digest",
    "BY": "created_by",
    "AT": "created_at",
}


def main(arguments: list[str]) -> int:
    """Runs one action."""
    parser = new_parser(
        "deployments",
        "What runs where, and how it does: ready, progressing, waiting (no proxy asks), stalled (a proxy or the mesh"
        " refused it), applied-not-observed (nobody tells whether proxies run it).",
        "wasmhub deployments\nwasmhub deployments show rate-limit --target edge",
    )
    actions = new_actions(parser)
    listing = add_action(
        actions,
        "list",
        "list deployments, on each target in the order in which requests pass them",
        "wasmhub deployments list\nwasmhub deployments --target edge --output json",
        list_deployments,
    )
    listing.add_argument("--target", metavar="TARGET", help="those on one target alone")
    listing.add_argument("--repository", metavar="NAME", help="those of one filter alone")

    detail = add_action(
        actions,
        "show",
        "show one deployment with its proxies and its history",
        "wasmhub deployments show rate-limit --target edge",
        show_deployment,
    )
    rollback = add_action(
        actions,
        "rollback",
        "run an earlier revision again, as a new one; the one before this if none is named",
        "wasmhub deployments rollback rate-limit --target edge\n"
        "wasmhub deployments rollback rate-limit --target edge --revision 3",
        roll_back,
    )
    for action in (detail, rollback):
        action.add_argument("deployment", metavar="ID")
        action.add_argument("--target", metavar="TARGET", required=True)
    rollback.add_argument("--revision", type=whole_number(1, 2**31), metavar="N")
    rollback.add_argument("--force", action="store_true", help=FORCE)
    add_waiting(rollback)
    return run(parser, or_list(arguments))


def list_deployments(options: argparse.Namespace) -> int:
    """Deployments, by target and order."""
    wanted = {"target": options.target, "repository": options.repository}
    query = {name: value for name, value in wanted.items() if value is not None}
    with Hub() as hub:
        found = hub.ask("GET", "deployments", query=query)["deployments"]
    rows = [{**one["revision"], **one} for one in found]
    empty = "nothing is deployed here; `wasmhub deploy NAME:TAG --target TARGET` deploys a filter"
    return show(options, found, table(rows, COLUMNS, empty))


def show_deployment(options: argparse.Namespace) -> int:
    """One deployment."""
    with Hub() as hub:
        found = hub.ask("GET", "targets", options.target, "deployments", options.deployment)
    return show(options, found, _detail(found))


def roll_back(options: argparse.Namespace) -> int:
    """An earlier revision, again."""
    body: dict[str, Any] = {} if options.revision is None else {"revision": options.revision}
    if options.force:
        body["force"] = True
    with Hub() as hub:
        made = hub.ask("POST", "targets", options.target, "deployments", options.deployment, "rollback", body=body)
        return follow(options, hub, made)


def _detail(found: dict[str, Any]) -> str:
    now = found["revision"]
    head = {
        "deployment": f"{found['target']}/{found['name']}",
        "status": f"{found['status']}: {found['message']}",
        "filter": now["reference"],
        "digest": now["digest"],
        "module": f"sha256:{now['module']}",
        "config": now["config"],
        "order": now["order"] if found["slot"] is None else f"{now['order']} (slot {found['slot']})",
        "on failure": now["failure_policy"],
    }
    if found["follow"]:
        head["follows"] = _follows(found["follow"])
    if now["placement"]:
        head["placement"] = json.dumps({name: value for name, value in now["placement"].items() if value})
    parts = [facts(head)]
    if found["nodes"] or found["slot"] is not None:  # a mesh's proxies do not ask
        parts.append(table(found["nodes"], NODE_COLUMNS, f"no proxy of {plain(found['target'])} has asked for it yet"))
    revisions = [{**one, "digest": short(one["digest"])} for one in found["revisions"]]
    return "\n\n".join([*parts, table(revisions, REVISION_COLUMNS, "no revisions")])


def _follows(follow: dict[str, Any]) -> str:
    """What a deployment follows, and why it does not run what was found there."""
    what = f"the tag {follow['tag']}" if follow["tag"] else f"the versions {follow['range']}"
    said = f"; {follow['message']}" if follow["message"] else ""
    return (
        f"{what} of {follow['repository']}, as {follow['by'] or 'somebody who is gone'} said on {follow['since']}{said}"
    )
