"""wasme's `FilterDeployment` (wasme.io/v1) as the operator's, with what is not carried over. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

API, KIND = "wasme.io/v1", "FilterDeployment"
OURS = "wasmhub.io/v1alpha1"
_TYPE = "type.googleapis.com/google.protobuf."
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(
    r"(?P<path>[^@:]+(?::[0-9]+/[^@:]+)?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MODES = {"": "SERVER", "inbound": "SERVER", "outbound": "CLIENT", "any": None, "gateway": None}
_CONTEXTS = {
    "": "SIDECAR_INBOUND",
    "inbound": "SIDECAR_INBOUND",
    "outbound": "SIDECAR_OUTBOUND",
    "any": "ANY",
    "gateway": "GATEWAY",
}
_KEPT_META = ("name", "namespace", "labels", "annotations")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass
class Converted:
    """One of ours. `notes` say what is another way now; `lost` what is not carried over, with the way out."""

    name: str  # namespace/name, as it was
    body: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def convert(document: Mapping[str, Any]) -> Converted:
    """wasme's as ours. Where it cannot even be begun, `body` is empty and `lost` says why."""
    meta = _part(document, "metadata")
    spec, made = _part(document, "spec"), Converted(f"{meta.get('namespace', 'default')}/{meta.get('name', '')}")
    wanted, istio = _part(spec, "filter"), _part(_part(spec, "deployment"), "istio")
    image = _image(made, str(wanted.get("image") or ""))
    if image is None:
        return made
    ours: dict[str, Any] = {"image": image}
    _config(made, ours, wanted.get("config"))
    if wanted.get("rootID"):
        ours["rootID"] = str(wanted["rootID"])
    else:
        made.notes.append(
            "rootID is empty, and wasme took the first one of the image; set rootID if the module registers its root by"
            " a name (wasme's runtime-config.json has it under rootIds)"
        )
    placement = _placement(made, str(wanted.get("patchContext") or ""), istio, plugin="mesh" not in ours)
    if placement:
        ours["placement"] = placement
    _pull(made, ours, _part(wanted, "imagePullOptions"))
    _rest(made, spec, wanted, istio)
    made.body = {"apiVersion": OURS, "kind": KIND, "metadata": _meta(made, meta), "spec": ours}
    return made


def _image(made: Converted, image: str) -> dict[str, str] | None:
    found = _IMAGE.fullmatch(image)
    if found is None:
        made.lost.append(f"image {image!r} is no reference; write HOST/NAMESPACE/NAME:TAG")
        return None
    host, _, path = found["path"].partition("/")
    if not path or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", found["path"]
    if "/" not in path:
        made.lost.append(
            f"image {image} has no namespace, and the hub's have one; name it NAMESPACE/{path} and push it"
        )
        return None
    at = {"digest": found["digest"]} if found["digest"] else {"tag": found["tag"] or "latest"}
    (told,) = at.values()
    made.notes.append(
        f"image is asked of the hub as {path}{'@' if found['digest'] else ':'}{told}, not of {host}; push it there,"
        f" such as by crane copy {image} HUB/{path}"
    )
    return {"repository": path, **at}


def _config(made: Converted, ours: dict[str, Any], config: Any) -> None:
    """A text stays the text that it is; wasme hands the filter the text of a Struct too."""
    if config in (None, {}, ""):
        return
    kind = str(config.get("@type", "")) if isinstance(config, Mapping) else ""
    value = config.get("value") if isinstance(config, Mapping) else config
    if kind == _TYPE + "Struct":
        ours["config"] = value if isinstance(value, Mapping) else {}
        return
    if kind == _TYPE + "BytesValue":
        try:
            value = base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            value = None
    elif kind not in (_TYPE + "StringValue", ""):
        value = None
    if not isinstance(value, str):
        made.lost.append(
            f"config of the type {kind or type(config).__name__} is no text; write the filter's text as spec.config"
        )
        return
    ours["config"] = value
    if not _is_object(value):
        ours["mesh"] = {"form": "EnvoyFilter"}
        made.notes.append(
            "config is no JSON object, and a WasmPlugin carries nothing else, so form is EnvoyFilter; it needs a public"
            " repository, or have the filter read an object"
        )


def _placement(made: Converted, context: str, istio: Mapping[str, Any], *, plugin: bool) -> dict[str, Any]:
    """Which pods, and which of their traffic."""
    placement: dict[str, Any] = {}
    labels, context = _part(istio, "labels"), context.lower()
    if istio.get("labels") and not labels:
        made.lost.append("spec.deployment.istio.labels is no object; write the labels of the pods as NAME: VALUE")
    if labels:
        placement["labels"] = {str(name): str(value) for name, value in labels.items()}
        made.notes.append("labels choose pods now, and chose Deployments and the like; see that the pods have them")
    if context not in _MODES:
        made.lost.append(f"patchContext {context!r} is none that wasme knows; choose placement.mode SERVER or CLIENT")
    elif not plugin:
        placement["context"] = _CONTEXTS[context]
    elif _MODES[context]:
        placement["mode"] = _MODES[context]
    elif context == "gateway" and not labels:
        made.notes.append("patchContext gateway without labels: sidecars of the namespace run it too; set labels")
    return placement


def _pull(made: Converted, ours: dict[str, Any], options: Mapping[str, Any]) -> None:
    secret = options.get("pullSecret")
    if secret and "mesh" in ours:
        made.lost.append("pullSecret does nothing for an EnvoyFilter; make the repository public")
    elif secret:
        ours["pullSecret"] = {"name": str(secret)}
        made.notes.append(
            f"pullSecret {secret} must be of the type kubernetes.io/dockerconfigjson, and hold a robot's token of the"
            " hub; kubectl create secret docker-registry makes one"
        )
    for name in ("insecureSkipVerify", "plainHttp"):
        if options.get(name):
            made.lost.append(
                f"imagePullOptions.{name} is the mesh's to say; name the hub in WASM_INSECURE_REGISTRIES of its agents"
            )


def _rest(made: Converted, spec: Mapping[str, Any], wanted: Mapping[str, Any], istio: Mapping[str, Any]) -> None:
    """What has no place in ours."""
    if wanted.get("id"):
        made.notes.append(f"id {wanted['id']} goes: the object is named after the FilterDeployment")
    kind = str(istio.get("kind") or "")
    if kind and kind.lower() != "deployment":
        made.notes.append(f"kind {kind} goes: pods are chosen by labels, whatever made them")
    if istio.get("istioNamespace") not in (None, "", "istio-system"):
        made.lost.append(
            f"istioNamespace {istio['istioNamespace']} is the same for all filters; set root_namespace in the"
            " operator's settings"
        )
    known = {
        "spec": (spec, ("filter", "deployment")),
        "spec.filter": (wanted, ("id", "image", "config", "rootID", "imagePullOptions", "patchContext")),
        "spec.deployment": (_part(spec, "deployment"), ("istio",)),
        "spec.deployment.istio": (istio, ("kind", "labels", "istioNamespace")),
    }
    for where, (part, names) in known.items():
        made.lost += [
            f"{where}.{name} is no field of wasme's; see what it was meant to do" for name in part if name not in names
        ]


def _meta(made: Converted, meta: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: meta[name] for name in _KEPT_META if meta.get(name)}
    if isinstance(found.get("annotations"), Mapping):
        found["annotations"] = {name: one for name, one in found["annotations"].items() if name != _LAST_APPLIED}
        if not found["annotations"]:
            del found["annotations"]
    if "namespace" in found:
        found["namespace"] = str(found["namespace"])
    name = str(found.get("name") or "")
    if not _NAME.fullmatch(name):
        found["name"] = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "filter"
        made.lost.append(f"name {name!r} is more than one label; it is {found['name']} now")
    return found


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within another; an empty one where there is none."""
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
