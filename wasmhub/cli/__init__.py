"""The command `wasmhub`: one file a verb."""

import gc as rubbish  # `gc` is the name of one of the verbs' modules here
import importlib
import sys
from pathlib import Path

# verb -> what it does; each is a module of this package with `main(arguments) -> exit code`. Only the verb that was
# typed is imported, so that a client command does not wait for the server's libraries.
VERBS = {
    "serve": "start the hub",
    "login": "sign in to a hub, with docker, podman, crane, oras and the like",
    "logout": "sign out of a hub, and end the token",
    "whoami": "who you are at the hub, and by what",
    "check": "compare what the hub's database says with the bytes that are stored; mend what differs",
    "backup": "write a consistent copy of the hub to a folder while it runs",
    "restore": "bring a backup to the engines that the settings name",
    "migrate": "move the hub to other engines, such as PostgreSQL and S3",
    "user": "list, invite, make and remove users; set passwords",
    "team": "teams, their members, and links by which people join",
    "provider": "the providers that people sign in with, and what their groups give",
    "share": "give people and teams a role on one repository",
    "trust": "whose tokens stand for a robot, so that its machine keeps no secret",
    "token": "list, make and remove personal access tokens",
    "session": "list and end the browsers in which somebody is signed in",
    "robot": "list, make and remove the robots of a team; rotate their tokens",
    "targets": "list, make, configure and remove targets; write a fleet's bootstrap",
    "deploy": "put a filter to work on a target",
    "render": "print the objects that a deployment would be on a mesh, and what they would change",
    "undeploy": "take a filter off a target",
    "deployments": "list deployments, see how they do, go back to an earlier revision",
    "rollout": "staged rollouts: watch, pause, resume or abort them",
    "sets": "one filter on several targets, wave by wave: apply, follow, pause, abort, go back",
    "operator": "make the FilterDeployments of a cluster true, in a pod there",
    "convert": "turn wasme's FilterDeployments into the operator's, or into commands",
    "audit": "who did what, when and where from: search it, write it to a file",
    "quota": "what namespaces hold and may hold; set limits",
    "gc": "remove bytes that nothing refers to any more",
}
# These work on the hub's own stores and run where it does; the others talk to it over HTTP.
AT_THE_HUB = ("serve", "check", "backup", "restore", "migrate", "operator")
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended


def main() -> int:
    """Runs the verb that was typed; the exit code is 0, 1 (it failed) or 2 (it was typed wrongly)."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    name = "version" if arguments[0] == "--version" else arguments[0]
    if name not in VERBS and name != "version":
        print(f"wasmhub: there is no command {arguments[0]!r}; wasmhub --help lists them", file=sys.stderr)
        return 2
    if name in AT_THE_HUB and not _has_server():
        print(
            "wasmhub: this installation holds the commands alone; the hub runs from its checkout (make run) or its"
            " image",
            file=sys.stderr,
        )
        return 1
    try:
        rubbish.disable()  # what is imported stays: looking through it for what does not takes a fifth of a hub's start
        verb = importlib.import_module(f"wasmhub.cli.{name}")
        rubbish.enable()
        code: int = verb.main(arguments[1:])
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _has_server() -> bool:
    """Whether the server's rooms lie beside this package: they do in a checkout and in the image, not in a wheel."""
    return (Path(__file__).resolve().parents[2] / "registry" / "door.py").is_file()


def _help() -> str:
    lines = ["usage: wasmhub COMMAND [ARGUMENTS]", "", "commands:"]
    lines += [f"  {verb:<12} {what}" for verb, what in VERBS.items()]
    lines += ["", "wasmhub COMMAND --help tells more. serve, check, backup, restore and migrate run where the"]
    lines += ["hub runs, with its settings, and operator in a cluster; convert asks nobody. The others talk to"]
    lines += ["the hub that `wasmhub login` signed in to, or to that of WASMHUB_URL (http://127.0.0.1:8080)"]
    lines += ["with the personal access token in WASMHUB_TOKEN."]
    return "\n".join(lines)
