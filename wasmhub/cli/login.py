"""`wasmhub login`: signs the command and the clients of the registry in, by a code that is approved in any browser."""

import argparse
import socket
import sys
import time
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wasmhub.cli.client import NOBODY, Hub, Refused, Unreachable, check_token, hub_url
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.printing import plain, show
from wasmhub.cli.registry_files import keep_login, registry_files
from wasmhub.cli.secret import read_secret
from wasmhub.cli.sign_ins import SignIn, find_sign_in, keep_sign_in, sign_ins_path
from wasmhub.cli.token import add_scopes

LONGEST_NAME = 60  # of the machine, as the hub takes it
SLOWER = 5  # seconds between two questions more, when the hub says so (RFC 8628, section 3.5)
LEAST, MOST = 1, 60  # seconds between two questions, whatever the hub says
LONGEST_LIFE = 10**10  # seconds that a token may be good
USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Got:
    """A token, and what the hub says of it."""

    sign_in: SignIn
    said: dict[str, Any]


def main(arguments: list[str]) -> int:
    """Runs it."""
    parser = new_parser(
        "login",
        "Sign in to a hub. It prints a code, which you type on the hub's page in any browser, and waits. Then this"
        " command is signed in, and so are docker, podman, crane, oras, skopeo and whoever else reads their files.",
        "wasmhub login https://hub.example.com\nwasmhub login --scope 'repository:shop/*:pull'"
        "\nwasmhub login https://hub.example.com --with-token < token",
        login,
    )
    parser.add_argument("url", metavar="URL", nargs="?", help="the hub (WASMHUB_URL, or the one of the last time)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--web", action="store_true", help="open the page in the browser of this machine")
    how.add_argument("--with-token", action="store_true", help="read a token from standard input, and ask nobody")
    add_scopes(parser)
    return run(parser, arguments)


def login(options: argparse.Namespace) -> int:
    """The token, kept where it is needed."""
    url = hub_url(options.url)
    host = registry_host(url)
    files, before = registry_files(host), find_sign_in(url)
    if options.with_token:
        got = _by_token(url, options)
    else:
        with Hub(NOBODY, url) as hub:
            got = _by_device(hub, options)
    keep_sign_in(url, got.sign_in)
    if before is not None and before.made and before.token != got.sign_in.token:
        with suppress(CommandFailed), Hub(NOBODY, url) as hub:
            hub.revoke(before.token)
    kept = _keep_all(files, host, got.sign_in)
    told = {"url": url, "registry": host, "user": got.sign_in.user, **got.said}
    told["files"] = [str(path) for path in (sign_ins_path(), *kept)]
    until = f", {_life(got.said)}" if got.said else ""
    text = (
        f"signed in to {url} as {plain(got.sign_in.user)}{until}\n{host} is known to docker, podman, crane, oras, ..."
    )
    return show(options, told, text)


def registry_host(url: str) -> str:
    """The hub as clients of the registry name it."""
    parts = urlsplit(url)
    name = parts.netloc
    return name.rpartition(":")[0] if parts.port == USUAL_PORTS[parts.scheme] else name


def _by_device(hub: Hub, options: argparse.Namespace) -> Got:
    """A token that somebody approves while we wait (RFC 8628)."""
    machine = "".join(letter for letter in socket.gethostname() if letter.isprintable())[:LONGEST_NAME]
    begun = hub.begin_login({"device_name": machine, "scope": " ".join(options.scope or [])})
    page, code, seconds = plain(begun["verification_uri"]), plain(begun["user_code"]), _number(begun, "expires_in")
    lines = ["", f"  Open   {page}", f"  type   {code}", ""]
    lines += [
        f"It is good for {max(1, seconds // 60)} minutes. Approve it only if it asks from this machine; waiting ..."
    ]
    print("\n".join(lines), file=sys.stderr, flush=True)
    there = plain(begun.get("verification_uri_complete", page))
    if options.web and there.startswith(("http://", "https://")):  # others are no pages, but programs of this machine
        webbrowser.open(there)
    made = _wait(hub, begun, seconds)
    token = check_token(str(made["access_token"]), "the hub's answer")
    said = {"token_id": made["token_id"], "token_name": made["token_name"]}
    life = _number(made, "expires_in", LONGEST_LIFE) if made.get("expires_in") is not None else None
    said |= {"expires_in": life, "scopes": str(made["scope"]).split() or None}
    return Got(SignIn(str(made["username"]), token, made=True), said)


def _wait(hub: Hub, begun: dict[str, Any], seconds: int) -> dict[str, Any]:
    end = time.monotonic() + seconds
    pause = max(LEAST, min(MOST, _number(begun, "interval")))
    while True:
        time.sleep(pause)
        try:
            made: dict[str, Any] = hub.fetch_token(str(begun["device_code"]))
        except Unreachable:
            if time.monotonic() > end:
                raise
        except Refused as refusal:
            if refusal.word == "slow_down":
                pause = min(MOST, pause + SLOWER)
            elif refusal.word != "authorization_pending" and refusal.status < 500:
                raise CommandFailed(f"{hub.url} gives no token: {plain(refusal)}") from None
            if time.monotonic() > end:
                raise CommandFailed("nobody approved the code in time; `wasmhub login` makes another") from None
        else:
            return made


def _by_token(url: str, options: argparse.Namespace) -> Got:
    """A token that somebody has already, if the hub takes it."""
    if options.scope:
        raise CommandFailed("a token that is there cannot be narrowed; --scope is for one that the hub makes now")
    token = check_token(read_secret("token").strip(), "standard input")
    with Hub(token, url) as hub:
        return Got(SignIn(str(hub.ask("GET", "user")["name"]), token), {})


def _keep_all(files: list[Path], host: str, sign_in: SignIn) -> list[Path]:
    """Signs the clients of the registry in; one sentence for those that could not be."""
    troubles = []
    kept = []
    for path in files:
        try:
            keep_login(path, host, sign_in.user, sign_in.token)
            kept.append(path)
        except CommandFailed as failure:
            troubles.append(str(failure))
    if troubles:
        raise CommandFailed(
            f"the wasmhub command is signed in, but not the clients that read {files[0]}: {troubles[0]}"
        )
    return kept


def _number(begun: dict[str, Any], name: str, most: int = 86_400) -> int:
    value = begun[name]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise CommandFailed(f"the hub's answer has {name} {str(value)[:50]!r}, which is no number of seconds")
    return value


def _life(said: dict[str, Any]) -> str:
    if said["expires_in"] is None:
        return "with a token without end"
    days = max(1, round(said["expires_in"] / 86_400))
    return f"with a token for {days} day{'' if days == 1 else 's'}"
