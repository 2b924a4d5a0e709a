"""`wasmhub convert`: turns wasme's FilterDeployments into the operator's, or into commands. Asks nobody."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from wasmhub.cli.command import CommandFailed, WrongUse, new_parser, run
from wasmhub.cli.printing import plain
from wasmhub.cli.wasme import API, KIND, Converted, convert
from wasmhub.cli.yaml_files import read_documents

EXAMPLES = """wasmhub convert filters.yaml > converted.yaml
kubectl get filterdeployments.wasme.io -A -o yaml | wasmhub convert - | kubectl apply -f -
wasmhub convert filters.yaml --to deploy --target mesh"""


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as one."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def main(arguments: list[str]) -> int:
    """Converts; 1 if something was not carried over."""
    parser = new_parser(
        "convert",
        "Turns wasme's FilterDeployments (wasme.io/v1) into those of `wasmhub operator`, or into `wasmhub deploy`"
        " commands. What is another way now, and what is not carried over, is said on standard error; where anything is"
        " not carried over, the exit code is 1.",
        EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", help="YAML or JSON, of several documents or lists; - is standard input")
    parser.add_argument("--to", choices=("operator", "deploy"), default="operator", help="as what (operator)")
    parser.add_argument("--target", metavar="TARGET", help="with --to deploy: where they run")
    parser.set_defaults(act=_act)
    return run(parser, arguments)


def _act(options: argparse.Namespace) -> int:
    if options.to == "deploy" and not options.target:
        raise WrongUse("--to deploy needs --target, the name of a target in the hub")
    if options.to == "operator" and options.target:
        raise WrongUse("--target belongs to --to deploy; the operator runs in the cluster itself")
    found, lost = [], False
    for document in _documents(options.file):
        one = convert(document)
        found.append(one)
        if options.to == "deploy" and "mesh" in one.body.get("spec", {}):
            form = f"wasmhub targets configure {options.target} --setting form=EnvoyFilter"
            one.notes.append(f"form is a setting of the target: {form}")
        for note in one.notes:
            print(f"note: {plain(one.name)}: {plain(note)}", file=sys.stderr)
        for each in one.lost:
            print(f"not carried over: {plain(one.name)}: {plain(each)}", file=sys.stderr)
        lost = lost or bool(one.lost)
    if not found:
        raise CommandFailed(f"{options.file} holds no FilterDeployment of {API}")
    made = [one for one in found if one.body]
    if options.to == "deploy":
        print("\n".join(_command(one, options.target) for one in made))
    elif made:
        bodies = [one.body for one in made]
        print(yaml.dump_all(bodies, Dumper=_Dumper, sort_keys=False, allow_unicode=True, explicit_start=True), end="")
    return 1 if lost else 0


def _documents(name: str) -> Iterator[Mapping[str, Any]]:
    """wasme's documents in a file, those in lists too. Raises WrongUse and CommandFailed."""
    for document in read_documents(name):
        items = document.get("items") if isinstance(document, Mapping) else None
        for one in items if isinstance(items, list) else [document]:
            if not isinstance(one, Mapping):
                raise WrongUse(f"{name} holds a document that is no object")
            if (one.get("apiVersion"), one.get("kind")) == (API, KIND):
                yield one
            else:
                named = one.get("metadata")
                said = named.get("name") if isinstance(named, Mapping) else None
                print(f"note: {plain(one.get('kind'))} {plain(said)} is none of wasme's; left out", file=sys.stderr)


def _command(one: Converted, target: str) -> str:
    """The same as `wasmhub deploy` is typed, with what it reads behind it."""
    spec, meta = one.body["spec"], one.body["metadata"]
    image = spec["image"]
    reference = (
        f"{image['repository']}@{image['digest']}" if "digest" in image else f"{image['repository']}:{image['tag']}"
    )
    words = ["wasmhub", "deploy", reference, "--target", target, "--as", meta["name"]]
    words += ["--namespace", meta.get("namespace", "default")]
    placement = dict(spec.get("placement") or {})
    for name, value in placement.pop("labels", {}).items():
        words += ["--label", f"{name}={value}"]
    if "rootID" in spec:
        words += ["--root-id", spec["rootID"]]
    behind = ""
    files = [("--config", 3, _text(spec["config"]))] if "config" in spec else []
    files += [("--placement", 4, json.dumps(placement))] if placement else []
    for option, number, text in files:
        words += [option, f"/dev/fd/{number}"]
        end = _end(text)
        behind += f" {number}<<'{end}'"
    bodies = "".join(f"\n{text}\n{_end(text)}" for _, _, text in files)
    return shlex.join(words) + behind + bodies


def _text(config: Any) -> str:
    return config if isinstance(config, str) else json.dumps(config, ensure_ascii=False)


def _end(text: str) -> str:
    """A line that is not in the text, and ends it."""
    end = "END"
    while end in text.splitlines():
        end += "_"
    return end
