"""The command `wasmhub`: one file a verb."""

import importlib
import importlib.metadata
import sys

# verb -> what it does; each is a module of this package with `main(arguments) -> exit code`. Only the verb that was
# typed is imported, so that a client command does not wait for the server's libraries.
VERBS = {
    "serve": "start the hub",
    "user": "list, add and remove users",
    "token": "list, make and remove personal access tokens",
    "targets": "list, add and remove targets; write a fleet's bootstrap",
    "deploy": "put a filter to work on a target",
    "undeploy": "take a filter off a target",
    "deployments": "list deployments and see how they do",
}


def main() -> int:
    """Runs the verb that was typed; the exit code is 0, 1 (it failed) or 2 (it was typed wrongly)."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"wasmhub {importlib.metadata.version('wasmhub')}")
        return 0
    if arguments[0] not in VERBS:
        print(f"wasmhub: there is no command {arguments[0]!r}; wasmhub --help lists them", file=sys.stderr)
        return 2
    verb = importlib.import_module(f"wasmhub.cli.{arguments[0]}")
    code: int = verb.main(arguments[1:])
    return code


def _help() -> str:
    lines = ["usage: wasmhub COMMAND [ARGUMENTS]", "", "commands:"]
    lines += [f"  {verb:<12} {what}" for verb, what in VERBS.items()]
    lines += ["", "wasmhub COMMAND --help tells more. Commands other than serve talk to the hub named by"]
    lines += ["WASMHUB_URL (http://127.0.0.1:8080) with the personal access token in WASMHUB_TOKEN."]
    return "\n".join(lines)
