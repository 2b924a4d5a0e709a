"""`wasmhub deploy`: puts a filter to work on a target, or changes what runs."""

import argparse

from wasmhub.cli.client import Hub
from wasmhub.cli.command import new_parser, run
from wasmhub.cli.waiting import add_waiting, follow
from wasmhub.cli.wish import add_wish, body_of, name_of

FORCE = "override what the target's rules say against it; for those who may configure the target, and written down"
EXAMPLES = """wasmhub deploy shop/rate-limit:1.2.0 --target edge
wasmhub deploy shop/rate-limit@sha256:... --target edge --as limits --config limits.json --order 10
wasmhub deploy --target edge --as limits --order 5
wasmhub deploy shop/rate-limit:1.2.0 --target mesh --namespace shop --label app=web
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
    add_wish(parser)
    parser.add_argument("--force", action="store_true", help=FORCE)
    add_waiting(parser)
    return run(parser, arguments)


def deploy(options: argparse.Namespace) -> int:
    """Sends the deployment as wished and follows it."""
    name, body = name_of(options), body_of(options)
    if options.force:
        body["force"] = True
    with Hub() as hub:
        made = hub.ask("PUT", "targets", options.target, "deployments", name, body=body)
        return follow(options, hub, made)
