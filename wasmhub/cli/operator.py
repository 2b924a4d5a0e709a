"""`wasmhub operator`: makes FilterDeployments of a cluster true, in a pod of that cluster."""

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

from auth.control_plane import ControlPlane
from auth.door import ApiError
from auth.outgoing import Outgoing
from deploy.meshes.kinds import ENVOY_GATEWAY, ISTIO
from deploy.meshes.kubernetes import Cluster
from deploy.meshes.settings import read_mesh_target
from deploy.operator.election import Election
from deploy.operator.hub import Hub
from deploy.operator.inside import FOLDER, NotInside, access_inside, namespace_inside
from deploy.operator.loop import Operator
from deploy.operator.reconcile import Reconciler
from wasmhub.logs import configure_logs

log = logging.getLogger("wasmhub.operator")
OPERATED = (ISTIO, ENVOY_GATEWAY)  # the kinds of mesh that an operator can look after
EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))  # both addresses are the cluster's keeper's own
EXAMPLES = """examples:
  WASMHUB_URL=https://hub.example.com wasmhub operator --token-file /etc/wasmhub/token
  WASMHUB_URL=https://hub.example.com wasmhub operator --namespace shop --settings /etc/wasmhub/settings.yaml
  WASMHUB_URL=https://hub.example.com wasmhub operator --mesh istio --mesh envoy-gateway

environment:
  WASMHUB_URL                the hub, as this pod and the mesh reach it
  WASMHUB_TOKEN              a token that may read there; --token-file is read again when it changes
  WASMHUB_LOG                text or json
  KUBERNETES_SERVICE_HOST    the API server, as every pod is told it
  SSL_CERT_FILE              authorities that the hub's certificate is checked by"""


class CannotStart(Exception):
    """Why the operator does not start, as one sentence."""


def main(arguments: list[str]) -> int:
    """Runs until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="wasmhub operator",
        description="Makes the FilterDeployments of a cluster true. Runs in a pod, with its service account.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--namespace", action="append", metavar="NAME", help="look after this one; may be given again")
    parser.add_argument(
        "--mesh",
        action="append",
        choices=OPERATED,
        help=f"look after filters for this kind of mesh; may be given again ({ISTIO})",
    )
    parser.add_argument("--settings", metavar="FILE", type=Path, help="settings of a target, as YAML or JSON")
    parser.add_argument("--token-file", metavar="FILE", type=Path, help="holds a token that may read at the hub")
    parser.add_argument(
        "--service-account",
        metavar="FOLDER",
        type=Path,
        default=FOLDER,
        help=f"holds token, ca.crt, namespace ({FOLDER})",
    )
    options = parser.parse_args(arguments)
    configure_logs(os.environ.get("WASMHUB_LOG", "text"))
    try:
        asyncio.run(_run(options))
    except (CannotStart, NotInside) as error:
        print(f"wasmhub: {error}", file=sys.stderr)
        return 2
    return 0


async def _run(options: argparse.Namespace) -> None:
    url = os.environ.get("WASMHUB_URL", "").rstrip("/")
    if not url:
        raise CannotStart("WASMHUB_URL must name the hub, such as https://hub.example.com")
    settings = _settings(options.settings, url, options.mesh or [ISTIO])
    outgoing = Outgoing(EVERYWHERE)
    try:
        plane = ControlPlane(outgoing, access_inside(options.service_account))
    except ValueError:
        raise CannotStart(f"{options.service_account / 'ca.crt'} holds no certificates in PEM") from None
    hub = Hub(outgoing, url, options.token_file, os.environ.get("WASMHUB_TOKEN", ""))
    holder = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    election = Election(Cluster(plane), namespace_inside(options.service_account), holder)
    reconciler = Reconciler(Cluster(plane), hub, settings)
    operator = Operator(plane, options.service_account, election, reconciler, options.namespace or ())
    task = asyncio.create_task(operator.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    places, kinds = ", ".join(options.namespace or ["all namespaces"]), " and ".join(sorted(settings))
    log.info("the operator of %s looks after %s in %s", url, kinds, places)
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await hub.close()
    await plane.close()


def _settings(path: Path | None, url: str, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The settings of a target of each kind, checked as the hub checks them. Raises CannotStart.

    `meshes` of the file has those of one kind alone, by its name; what else is there is for all kinds.
    """
    found: Any = {}
    if path is not None:
        try:
            found = yaml.safe_load(path.read_text()) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise CannotStart(f"the settings {path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise CannotStart(f"the settings {path} must be an object, such as form: WasmPlugin")
    own = found.pop("meshes", None) or {}
    if not isinstance(own, dict) or not own.keys() <= set(OPERATED):
        raise CannotStart(f"meshes of the settings {path} must be an object by kind: {', '.join(OPERATED)}")
    return {kind: _settings_of(kind, {"hub": url, **found}, own.get(kind) or {}) for kind in kinds}


def _settings_of(kind: str, common: Mapping[str, Any], own: Any) -> dict[str, Any]:
    if not isinstance(own, dict):
        raise CannotStart(f"the settings for {kind} must be an object, such as observe: nothing")
    found = {**common, **own}
    if "max_filters" in found:
        raise CannotStart("the settings hold max_filters, which only a hub that deploys itself knows to count")
    try:
        read_mesh_target(kind, found, {})
    except ApiError as error:
        raise CannotStart(f"the settings for {kind}: {error.message}") from None
    return found
