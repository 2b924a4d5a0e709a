"""The files in which docker, podman and their kin keep sign-ins to registries, and helpers that they leave it to."""

import base64
import json
import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from wasmhub.cli.command import CommandFailed
from wasmhub.cli.sign_ins import write_private

SECONDS = 60  # that a helper may take: some ask for a password to unlock what they keep
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def registry_files(host: str) -> list[Path]:
    """The files that clients of a registry will look into: docker's, which most read, and that of podman and skopeo.

    Theirs counts if it is named, or if it knows the registry: it would win over docker's. Raises CommandFailed for
    one that is there and cannot be read, so that nobody is asked for anything in vain.
    """
    home = os.environ.get("DOCKER_CONFIG") or "~/.docker"
    files = [Path(home).expanduser() / "config.json"]
    named, run = os.environ.get("REGISTRY_AUTH_FILE"), os.environ.get("XDG_RUNTIME_DIR")
    if named:
        files.append(Path(named).expanduser())
    elif run and host in _auths(_read(Path(run) / "containers" / "auth.json")):
        files.append(Path(run) / "containers" / "auth.json")
    for path in files:
        _auths(_read(path))
    return files


def keep_login(path: Path, host: str, user: str, secret: str) -> None:
    """Signs the clients that read this file in to a registry, by a helper if the file says so. Raises CommandFailed."""
    config = _read(path)
    helper = _helper(config, host)
    entry = {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}
    if helper:
        _call(helper, "store", json.dumps({"ServerURL": host, "Username": user, "Secret": secret}))
        entry = {}  # as docker writes it: who looks is told that the helper knows
    write_private(path, {**config, "auths": {**_auths(config), host: entry}})


def forget_login(path: Path, host: str, secret: str) -> None:
    """Takes back what `keep_login` did, if it is still that secret. Raises CommandFailed."""
    config = _read(path)
    helper = _helper(config, host)
    if helper:
        if _kept(helper, host) != secret:
            return
        _call(helper, "erase", host)
    elif _secret(_auths(config).get(host)) != secret:
        return
    auths = {name: entry for name, entry in _auths(config).items() if name != host}
    write_private(path, {**config, "auths": auths})


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
        found = json.loads(text) if text.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CommandFailed(f"{path} is not valid JSON; mend it or move it away, then sign in again")
    return found


def _auths(config: dict[str, Any]) -> dict[str, Any]:
    found = config.get("auths") or {}
    return found if isinstance(found, dict) else {}


def _helper(config: dict[str, Any], host: str) -> str:
    """The program that keeps sign-ins to this registry; empty if the file itself does."""
    single = config.get("credHelpers")
    name = (single.get(host) if isinstance(single, dict) else None) or config.get("credsStore") or ""
    if name and not (isinstance(name, str) and _HELPER.fullmatch(name)):
        raise CommandFailed(f"docker's configuration names {str(name)[:50]!r} as a credential helper, which is no name")
    return f"docker-credential-{name}" if name else ""


def _call(helper: str, act: str, said: str) -> bytes:
    try:
        done = subprocess.run([helper, act], input=said.encode(), capture_output=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise CommandFailed(f"{helper} is not installed, and docker's configuration leaves sign-ins to it") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{helper} cannot be asked: {error}") from None
    if done.returncode:
        words = (done.stdout + done.stderr).decode(errors="replace").split()
        raise CommandFailed(f"{helper} {act} failed: {' '.join(words)[:300] or 'it does not say why'}")
    return done.stdout


def _kept(helper: str, host: str) -> str | None:
    """The secret that a helper has for a registry."""
    with suppress(CommandFailed, ValueError, KeyError, TypeError):
        return str(json.loads(_call(helper, "get", host))["Secret"])
    return None


def _secret(entry: Any) -> str | None:
    """The secret in an entry of the file."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        return base64.b64decode(entry["auth"]).decode().partition(":")[2]
    return None
