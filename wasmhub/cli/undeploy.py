"""`wasmhub undeploy`: takes a filter off a target."""

import argparse

from wasmhub.cli.client import Hub
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.printing import plain, show
from wasmhub.cli.waiting import add_waiting, await_end


def main(arguments: list[str]) -> int:
    """Undeploys."""
    parser = new_parser(
        "undeploy",
        "Takes a filter off a target: the proxies of a fleet drop it when they next ask, and lose no request. On a mesh"
        " it waits until none of its objects is left.",
        "wasmhub undeploy rate-limit --target edge\nwasmhub undeploy rate-limit --target mesh --no-wait",
        undeploy,
    )
    parser.add_argument("deployment", metavar="ID", help="what it is called there; `wasmhub deployments` lists them")
    parser.add_argument("--target", metavar="TARGET", required=True, help="where it runs")
    add_waiting(parser, "until none of its objects is left (60)", "return once the hub knows of it")
    return run(parser, arguments)


def undeploy(options: argparse.Namespace) -> int:
    """A deployment that was."""
    with Hub() as hub:
        hub.ask("DELETE", "targets", options.target, "deployments", options.deployment)
        waited = not options.no_wait and await_end(options, hub)
    gone = {"target": options.target, "name": options.deployment}
    how = "none of its objects is left" if waited else "proxies drop it when they next ask"
    text = f"{plain(options.target)}/{plain(options.deployment)} is undeployed; {how}"
    return show(options, {"undeployed": gone}, text)
