"""Lines to copy: how to pull, push and deploy with the clients that people have, made for this hub and this person."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.catalog import Version
from web.visitor import Visitor

CONFIG_TYPE = "application/vnd.module.wasm.config.v1+json"
LAYER_TYPE = "application/vnd.module.wasm.content.layer.v1+wasm"
IMAGES = ("compat-oci", "compat-docker")
# Clients speak plain HTTP with these by themselves.
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")


@dataclass(frozen=True)
class Lines:
    """What to type for one purpose with one client."""

    client: str
    text: str
    note: str = ""


def pull_lines(visitor: Visitor, name: str, version: Version) -> list[Lines]:
    """How to fetch a version, by its tag or, without one, by its digest."""
    host = visitor.origin.host
    image = f"{host}/{name}:{version.tag}" if version.tag else f"{host}/{name}@{version.digest}"
    view = version.reading
    lines = []
    if view.format in IMAGES:
        lines.append(Lines("docker", f"docker pull {image}"))
        lines.append(Lines("crane", f"crane export{_insecure(visitor)} {image} - | tar -xO plugin.wasm > plugin.wasm"))
    elif view.layer:
        layer = f"{host}/{name}@{view.layer}"
        lines.append(Lines("crane", f"crane blob{_insecure(visitor)} {layer} > filter.wasm"))
        lines.append(Lines("oras", f"oras pull{_plain(visitor)} {image}"))
    else:
        lines.append(Lines("crane", f"crane manifest{_insecure(visitor)} {image}"))
        lines.append(Lines("oras", f"oras pull{_plain(visitor)} {image}"))
    if view.sha256:
        who = "" if visitor.identity.anonymous else f"-u {shlex.quote(visitor.identity.name)} "
        url = f"{visitor.origin.url}/modules/{view.sha256}.wasm"
        lines.append(Lines("curl", f"curl -f {who}-o filter.wasm {url}", "the module alone, out of its layer"))
    return lines


def push_lines(visitor: Visitor, name: str, tag: str) -> list[Lines]:
    """How to push a module from a file."""
    image = f"{visitor.origin.host}/{name}:{tag}"
    config = f"runtime-config.json:{CONFIG_TYPE}"
    return [
        Lines(
            "docker",
            "printf 'FROM scratch\\nCOPY plugin.wasm ./plugin.wasm\\n' > Dockerfile\n"
            f"BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build -t {image} .\n"
            f"docker push {image}",
            "an image, for Istio and Envoy Gateway",
        ),
        Lines(
            "crane",
            "tar -czf plugin.tar.gz plugin.wasm\n"
            f"crane append{_insecure(visitor)} --oci-empty-base -f plugin.tar.gz -t {image}",
            "the same image without a daemon",
        ),
        Lines(
            "oras",
            "echo '{}' > runtime-config.json\n"
            f"oras push{_plain(visitor)} {image} \\\n"
            f"  --config {config} \\\n"
            f"  {config} \\\n"
            f"  filter.wasm:{LAYER_TYPE}",
            "an artifact of two layers, for Gloo too",
        ),
    ]


def login_lines(visitor: Visitor) -> list[Lines]:
    """How to sign in with each client, once."""
    user = "USER" if visitor.identity.anonymous else shlex.quote(visitor.identity.name)
    host = visitor.origin.host
    return [
        Lines("docker", f"docker login -u {user} {host}"),
        Lines(
            "crane",
            f"crane auth login{_insecure(visitor)} -u {user} --password-stdin {host}",
            "then the password, and Ctrl-D",
        ),
        Lines("oras", f"oras login{_plain(visitor)} -u {user} {host}"),
    ]


def deploy_line(name: str, version: Version) -> str:
    """How to put a version to work, with the hub's own command."""
    reference = f"{name}:{version.tag}" if version.tag else f"{name}@{version.digest}"
    return f"wasmhub deploy {reference} --target TARGET --as {name.rpartition('/')[2]}"


def fleet_lines(visitor: Visitor, target: Mapping[str, Any]) -> list[Lines]:
    """How an Envoy joins a fleet, with the hub's own command; its key is shown to who types that, and nowhere else."""
    name = target["name"]
    over_grpc = target["settings"].get("transport", "rest") != "rest"
    xds = f" --xds http://{visitor.origin.host.partition(':')[0]}:18000" if over_grpc else ""
    where = "--xds is the hub's port for gRPC (WASMHUB_XDS_LISTEN) as proxies reach it; " if over_grpc else ""
    return [
        Lines("key", f"export WASMHUB_FLEET_KEY=$(wasmhub targets keys create {name})", "needs a maintainer or owner"),
        Lines(
            "config",
            f"wasmhub targets bootstrap {name}{xds} > bootstrap.json",
            f"{where}--listen and --upstream say where the proxy takes and sends traffic",
        ),
        Lines("envoy", "envoy -c bootstrap.json --service-node edge-1", "each proxy with a name of its own"),
    ]


def _plain(visitor: Visitor) -> str:
    """What oras must be told to speak HTTP; with `localhost` alone it does so by itself."""
    secure = visitor.origin.secure or visitor.origin.host.partition(":")[0] == "localhost"
    return "" if secure else " --plain-http"


def _insecure(visitor: Visitor) -> str:
    return "" if visitor.origin.secure or _LOOPBACK.fullmatch(visitor.origin.host) else " --insecure"
