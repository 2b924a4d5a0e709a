"""Kubeconfigs as people paste them: what of one the hub can use, and why it cannot use the rest."""

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from auth.control_plane import Access
from auth.outgoing import OutgoingRefused, check_url, read_place
from deploy.targets.plan import BadPlacement

LONGEST = 64 * 1024  # characters; reading YAML is slow, and what kubectl prints of one context has a tenth of it
MOST_BRACKETS = 500  # one after the other they cost PyYAML seconds
_PROGRAMS = {"exec": "runs a program to sign in", "auth-provider": "signs in by a provider of old"}


class _Plain(yaml.SafeLoader):
    """Reads YAML without references, with which a few characters make a value that never ends."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses references."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a kubeconfig has no references")
        return super().compose_node(parent, index)


def read_kubeconfig(text: str) -> Access:
    """How to get into the cluster of a kubeconfig's current context. Raises BadPlacement with the way out.

    Everything must stand in the text itself: the hub reads no file of a kubeconfig and runs no program of one.
    """
    document = _parse(text)
    context = _named(document, "contexts", "context", document.get("current-context"))
    cluster = _named(document, "clusters", "cluster", context.get("cluster"))
    user = _named(document, "users", "user", context.get("user"))
    _refuse_unusable(cluster, user)
    server = str(cluster.get("server") or "").rstrip("/")
    try:
        check_url(server)
    except OutgoingRefused as error:
        raise BadPlacement(f"the kubeconfig's server: {error}") from None
    token, certificate, key = user.get("token"), _pem(user, "client-certificate-data"), _pem(user, "client-key-data")
    if not isinstance(token, str) and (certificate is None or key is None):
        raise BadPlacement(
            "the kubeconfig's user has no token and no client-certificate-data; make a token for a service account,"
            " such as by kubectl create token"
        )
    if isinstance(token, str) and not re.fullmatch(r"[!-~]+", token.strip()):
        raise BadPlacement("the kubeconfig's token has signs that no token has; kubectl create token prints one")
    return Access(
        url=server,
        ca=_pem(cluster, "certificate-authority-data"),
        token=token.strip() if isinstance(token, str) else None,
        certificate=certificate,
        key=key,
        server_name=_server_name(cluster),
    )


def access_json(access: Access) -> bytes:
    """An access as it is sealed."""
    return json.dumps(vars(access)).encode()


def access_of(stored: bytes) -> Access:
    """The access that was sealed."""
    return Access(**json.loads(stored))


def _parse(text: str) -> Mapping[str, Any]:
    if len(text) > LONGEST:
        raise BadPlacement(f"the kubeconfig is longer than {LONGEST} characters; give one with a single context")
    try:
        if text.count("[") + text.count("{") > MOST_BRACKETS:
            raise ValueError("nested for ever")
        document = yaml.load(text, _Plain)  # noqa: S506  (it makes nothing but plain values)
    except (yaml.YAMLError, ValueError, RecursionError):
        document = None
    if not isinstance(document, Mapping) or "clusters" not in document:
        raise BadPlacement("this is no kubeconfig; kubectl config view --minify --flatten --raw prints one")
    return document


def _named(document: Mapping[str, Any], many: str, one: str, name: Any) -> Mapping[str, Any]:
    entries = document.get(many)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(one), Mapping):
            found: Mapping[str, Any] = entry[one]
            return found
    said = f"named {str(name)[:100]!r}" if name is not None else "that is the current one"
    raise BadPlacement(f"the kubeconfig has no {one} {said}; kubectl config view --minify --flatten --raw prints one")


def _refuse_unusable(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    for field, what in _PROGRAMS.items():
        if field in user:
            raise BadPlacement(
                f"the kubeconfig's user {what} ({field}), which the hub does not do; give one with a token, such as"
                " kubectl create token prints"
            )
    for part, field in ((cluster, "certificate-authority"), (user, "client-certificate"), (user, "client-key")):
        if field in part:
            raise BadPlacement(
                f"the kubeconfig names a file ({field}); kubectl config view --flatten --raw has its text"
            )
    if user.get("tokenFile"):
        raise BadPlacement("the kubeconfig names a file (tokenFile); put the token itself into it")
    if cluster.get("insecure-skip-tls-verify"):
        raise BadPlacement(
            "the kubeconfig does not check the server's certificate (insecure-skip-tls-verify); give its"
            " certificate-authority-data instead"
        )
    if cluster.get("proxy-url"):
        raise BadPlacement("the kubeconfig goes through a proxy (proxy-url), which the hub does not do")


def _server_name(cluster: Mapping[str, Any]) -> str | None:
    name = cluster.get("tls-server-name")
    if name is None or name == "":
        return None
    with contextlib.suppress(OutgoingRefused):
        if read_place(f"https://{f'[{name}]' if ':' in str(name) else name}/").target == "/":
            return str(name)
    raise BadPlacement("the kubeconfig's tls-server-name is no name of a host; give one, or leave it out")


def _pem(part: Mapping[str, Any], field: str) -> str | None:
    value = part.get(field)
    if value is None:
        return None
    try:
        return base64.b64decode(str(value), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise BadPlacement(f"the kubeconfig's {field} is not what it should be, a PEM text in base64") from None
