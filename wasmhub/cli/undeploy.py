"""`wasmhub undeploy`: takes a filter off a target."""

import argparse

from wasmhub.cli.client import Hub
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.printing import plain, show


def main(arguments: list[str]) -> int:
    """Undeploys."""
    parser = new_parser(
        "undeploy",
        "Takes a filter off a target: its proxies drop it when they next ask, and lose no request.",
        "wasmhub undeploy rate-limit --target edge",
        undeploy,
    )
    parser.add_argument("deployment", metavar="ID", help="what it is called there; `wasmhub deployments` lists them")
    parser.add_argument("--target", metavar="TARGET", required=True, help="where it runs")
    return run(parser, arguments)


def undeploy(options: argparse.Namespace) -> int:
    """A deployment that was."""
    with Hub() as hub:
        hub.ask("DELETE", "targets", options.target, "deployments", options.deployment)
    gone = {"target": options.target, "name": options.deployment}
    text = f"{plain(options.target)}/{plain(options.deployment)} is undeployed; proxies drop it when they next ask"
    return show(options, {"undeployed": gone}, text)
