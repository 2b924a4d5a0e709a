"""The API server as a pod is let into it: by its service account's own files."""

import os
from pathlib import Path

from auth.control_plane import Access

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NotInside(Exception):
    """This is no pod, or one without a service account; the text says what is missing."""


def access_inside(folder: Path) -> Access:
    """How to get in. Raises NotInside."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise NotInside("the operator runs in a pod: KUBERNETES_SERVICE_HOST is not set")
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", ca=_read(folder / "ca.crt"), token=_read(folder / "token"))


def token_inside(folder: Path) -> str:
    """The token as it is now: the kubelet puts a new one there in time. Raises NotInside."""
    return _read(folder / "token").strip()


def namespace_inside(folder: Path) -> str:
    """The pod's own namespace. Raises NotInside."""
    return _read(folder / "namespace").strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NotInside(f"the operator runs in a pod with a service account: {path} cannot be read ({error})") from None
