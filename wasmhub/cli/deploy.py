"""`wasmhub deploy`: puts a filter to work on a target, or changes what runs."""

import argparse
from typing import Any

from wasmhub.cli.client import Hub
from wasmhub.cli.command import WrongUse, new_parser, run
from wasmhub.cli.rollout import LIMITS, read_limit, read_waves, watch_rollout
from wasmhub.cli.waiting import add_waiting, follow
from wasmhub.cli.wish import add_wish, body_of, name_of

FORCE = "override what the target's rules say against it; for those who may configure the target, and written down"
EXAMPLES = """wasmhub deploy shop/rate-limit:1.2.0 --target edge
wasmhub deploy shop/rate-limit@sha256:... --target edge --as limits --config limits.json --order 10
wasmhub deploy --target edge --as limits --order 5
wasmhub deploy shop/rate-limit:1.3.0 --target edge --as limits --waves 20,50,100 --bake 10m
wasmhub deploy shop/rate-limit:1 --target edge --follow tag
wasmhub deploy shop/rate-limit --target edge --follow '^1.2'
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
    parser.add_argument(
        "--follow",
        metavar="tag|RANGE|none",
        help="run what is pushed from now on too, after the same checks: what the tag points to, or the highest version"
        " in a range such as '^1.2' or '>=1.2 <2'; a deploy without it, or with none, ends that",
    )
    waves = parser.add_argument_group("in waves, on a fleet whose proxies ask the hub")
    waves.add_argument(
        "--waves", type=read_waves, metavar="N,N,100", help="shares of the proxies in percent, such as 20,50,100"
    )
    waves.add_argument("--bake", metavar="TIME", help="how long each wave is watched, such as 30s, 10m or 2h (60s)")
    waves.add_argument(
        "--limit",
        action="append",
        type=read_limit,
        metavar="NAME=N",
        help=f"when health counts as worse: {', '.join(f'{name} ({what})' for name, what in LIMITS.items())}",
    )
    add_waiting(parser)
    return run(parser, arguments)


def deploy(options: argparse.Namespace) -> int:
    """Sends the deployment as wished and follows it."""
    name, body = name_of(options), body_of(options)
    if options.force:
        body["force"] = True
    if options.follow is not None:
        body["follow"] = None if options.follow == "none" else options.follow
    rollout = _rollout(options)
    if rollout is not None:
        body["rollout"] = rollout
    with Hub() as hub:
        made = hub.ask("PUT", "targets", options.target, "deployments", name, body=body)
        return follow(options, hub, made) if rollout is None else watch_rollout(options, hub, made)


def _rollout(options: argparse.Namespace) -> dict[str, Any] | None:
    """How it is to reach the proxies; None: all at once. Raises WrongUse."""
    if options.waves is None:
        if options.bake is not None or options.limit:
            raise WrongUse("--bake and --limit are for a rollout; say --waves too, such as --waves 20,50,100")
        return None
    rollout: dict[str, Any] = {"waves": options.waves}
    if options.bake is not None:
        rollout["bake"] = options.bake
    return rollout | ({"limits": dict(options.limit)} if options.limit else {})
