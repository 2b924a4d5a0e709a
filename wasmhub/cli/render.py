"""`wasmhub render`: prints the objects that a deployment would be, for a repository that another tool applies."""

import argparse
import sys
from typing import Any

import yaml

from wasmhub.cli.client import Hub
from wasmhub.cli.command import CommandFailed, new_parser, run
from wasmhub.cli.printing import plain, show
from wasmhub.cli.wish import add_wish, body_of, name_of

EXAMPLES = """wasmhub render shop/rate-limit:1.2.0 --target mesh --namespace shop --label app=web > rate-limit.yaml
wasmhub render --target mesh --as rate-limit --config limits.json --diff"""
FORM = {
    "--kube-namespace": ("NAME", "where the Deployment is"),
    "--workload": ("NAME", "the Deployment whose pods are annotated"),
    "--sidecar-image": ("IMAGE", "of the fork: the sidecar's image, in which the modules lie"),
    "--sidecar-base": ("IMAGE", "of the fork: what that image is built on"),
}
SECRET = "Secret"  # noqa: S105  (a kind of object)


def main(arguments: list[str]) -> int:
    """Renders and changes nothing."""
    parser = new_parser(
        "render",
        "Prints the objects that a deployment would be on a mesh, as YAML, and changes nothing. Secrets are left out:"
        " the hub makes those of what it applies itself.",
        EXAMPLES,
        render,
    )
    add_wish(parser)
    forms = parser.add_argument_group("of Consul on Kubernetes, as objects that the hub itself applies nowhere")
    forms.add_argument(
        "--form",
        choices=("service-defaults", "volume", "fork"),
        help="a ServiceDefaults resource; one with the module as a volume of the sidecar; or the annotations that the"
        " fork of 2020 reads",
    )
    for option, (shape, what) in FORM.items():
        forms.add_argument(option, metavar=shape, help=what)
    parser.add_argument("--diff", action="store_true", help="print what would change on the target instead")
    return run(parser, arguments)


def render(options: argparse.Namespace) -> int:
    """The objects, or what would change; what else is to be known goes to stderr."""
    name, body = name_of(options), body_of(options)
    fields = ("form", *(option.removeprefix("--").replace("-", "_") for option in FORM))
    query = {field: value for field in fields if (value := getattr(options, field)) is not None}
    with Hub() as hub:
        found = hub.ask("POST", "targets", options.target, "deployments", name, "preview", query=query, body=body)
    for note in found["notes"]:
        print(f"note: {plain(note)}", file=sys.stderr)
    if found["problems"]:
        raise CommandFailed(f"it cannot be on {plain(options.target)}: {' '.join(map(plain, found['problems']))}")
    if options.diff:
        return show(options, found, _changes(options, found["diff"]))
    secrets = [one for one in found["objects"] if one.get("kind") == SECRET]
    for one in secrets:
        where = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        print(f"note: the image is pulled with the secret {plain(where)}, which is left out", file=sys.stderr)
    shown = [one for one in found["objects"] if one not in secrets]
    return show(options, found, yaml.safe_dump_all(map(_bare, shown), sort_keys=False, allow_unicode=True).rstrip())


def _changes(options: argparse.Namespace, diff: list[dict[str, Any]] | None) -> str:
    """One line for each object, and below it one for each field that would differ. Raises CommandFailed."""
    if diff is None:
        raise CommandFailed(f"what would change on {plain(options.target)} is not known")
    lines = []
    for one in diff:
        lines.append(f"{one['change']} {plain(one['object'])}{': ' if one['message'] else ''}{plain(one['message'])}")
        lines += [
            f"  {plain(each['field'])}: {_said(each['before'])} -> {_said(each['after'])}" for each in one["fields"]
        ]
    return "\n".join(lines) or "nothing would change"


def _said(value: Any) -> str:
    """A value of a field on one line."""
    return plain(yaml.safe_dump(_bare(value), default_flow_style=True, width=2**20).removesuffix("\n...\n").strip())


def _bare(value: Any) -> Any:
    """The value as plain lists and dictionaries, which are all that is dumped."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items()}
    return [_bare(one) for one in value] if isinstance(value, list) else value
