"""`wasmhub logout`: forgets what `wasmhub login` kept, here and at the hub."""

import argparse

from wasmhub.cli.client import NOBODY, Hub, hub_url
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.login import registry_host
from wasmhub.cli.printing import show
from wasmhub.cli.registry_files import forget_login, registry_files
from wasmhub.cli.sign_ins import find_sign_in, forget_sign_in


def main(arguments: list[str]) -> int:
    """Runs it."""
    parser = new_parser(
        "logout",
        "Sign out of a hub: this command, and the clients of the registry that `wasmhub login` signed in. A token that"
        " was made by `wasmhub login` ends at the hub too; one that was read from standard input stays good.",
        "wasmhub logout\nwasmhub logout https://hub.example.com",
        logout,
    )
    parser.add_argument("url", metavar="URL", nargs="?", help="the hub (WASMHUB_URL, or the one of the last login)")
    return run(parser, arguments)


def logout(options: argparse.Namespace) -> int:
    """A sign-in that was. All that can be forgotten is, whatever else fails."""
    url = hub_url(options.url)
    kept = find_sign_in(url)
    if kept is None:
        raise CommandFailed(f"you are not signed in to {url} by `wasmhub login`")
    troubles, host = [], registry_host(url)
    if kept.made:
        try:
            with Hub(NOBODY, url) as hub:
                hub.revoke(kept.token)
        except CommandFailed as failure:
            troubles.append(f"the token is still good at the hub ({failure}); delete it at {url}/account")
    try:
        for path in registry_files(host):
            forget_login(path, host, kept.token)
    except CommandFailed as failure:
        troubles.append(str(failure))
    forget_sign_in(url)
    if troubles:
        raise CommandFailed("; ".join(["signed out here", *troubles]))
    return show(options, {"url": url, "ended": kept.made}, f"signed out of {url}")
