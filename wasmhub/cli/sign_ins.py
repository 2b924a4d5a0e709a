"""The hubs that one is signed in to: a file of one's own, in which `wasmhub login` keeps their tokens."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from wasmhub.cli.command import CommandFailed


@dataclass(frozen=True)
class SignIn:
    """A token for one hub. `made` is whether `wasmhub login` had the hub make it, and so may end it."""

    user: str
    token: str = field(repr=False)
    made: bool = False


def sign_ins_path() -> Path:
    """Where they are kept: below XDG_CONFIG_HOME, as its specification has it."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.config").expanduser()) / "wasmhub" / "hubs.json"


def current_hub() -> str | None:
    """The hub that one signed in to last."""
    found = _read()["current"]
    return found if isinstance(found, str) else None


def find_sign_in(url: str) -> SignIn | None:
    """How one is signed in to that hub."""
    found = _read()["hubs"].get(url)
    try:
        return None if found is None else SignIn(str(found["user"]), str(found["token"]), found["made"] is True)
    except (KeyError, TypeError):
        raise _broken() from None


def keep_sign_in(url: str, sign_in: SignIn) -> None:
    """Keeps a token for a hub, in place of another, and has commands mean this hub. Raises CommandFailed."""
    known = _read()
    write_private(sign_ins_path(), {"current": url, "hubs": {**known["hubs"], url: asdict(sign_in)}})


def forget_sign_in(url: str) -> None:
    """Forgets the token for a hub. Raises CommandFailed."""
    known = _read()
    hubs = {name: one for name, one in known["hubs"].items() if name != url}
    current = None if known["current"] == url else known["current"]
    write_private(sign_ins_path(), {"current": current, "hubs": hubs})


def write_private(path: Path, value: Mapping[str, Any]) -> None:
    """Puts JSON in the place of a file, whole or not at all, for nobody else to read. Raises CommandFailed."""
    path = Path(os.path.realpath(path))  # who keeps it elsewhere by a link goes on doing so
    draft = ""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # which only we may read
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, indent="\t")  # in ASCII, which takes whatever another program's file held
            file.write("\n")
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        raise CommandFailed(f"{path} cannot be written: {error.strerror}") from None


def _read() -> dict[str, Any]:
    try:
        found = json.loads(sign_ins_path().read_bytes())
    except FileNotFoundError:
        return {"current": None, "hubs": {}}
    except OSError as error:
        raise CommandFailed(f"{sign_ins_path()} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise _broken() from None
    if not isinstance(found, dict) or not isinstance(found.get("hubs"), dict):
        raise _broken()
    return {"current": None, **found}


def _broken() -> CommandFailed:
    return CommandFailed(f"{sign_ins_path()} is not what `wasmhub login` wrote; remove it and sign in again")
