"""Codes of second factors: those that an authenticator app shows (TOTP, RFC 6238), and recovery codes."""

import base64
import hmac
import os
import re
import secrets
import time

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP = 30  # seconds that a code is shown
WINDOW = 1  # steps that the clocks may differ by, either way
RECOVERY_CODES = 10
_DIGITS = 6
_ISSUER = "wasmhub"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_CODE = re.compile(rf"[0-9]{{{_DIGITS}}}")
_RECOVERY = re.compile(r"[a-z2-7]{16}|(?:[a-z2-7]{4}-){3}[a-z2-7]{4}")


def new_totp_secret() -> bytes:
    """The secret of a new authenticator app, as long as RFC 4226 recommends."""
    return os.urandom(20)


def totp_uri(secret: bytes, account: str, hub: str) -> str:
    """What authenticator apps read from a QR code; `hub` tells accounts of the same name at several hubs apart."""
    return _totp(secret).get_provisioning_uri(account, f"{_ISSUER} {hub}".replace(":", " "))


def totp_text(secret: bytes) -> str:
    """The secret as people type it into an app, in groups of four."""
    return _grouped(base64.b32encode(secret).decode(), " ")


def matching_step(secret: bytes, code: str) -> int | None:
    """The step, within the window around now, whose code this is; None if it is none's."""
    totp, now = _totp(secret), int(time.time()) // STEP
    steps = range(now - WINDOW, now + WINDOW + 1)
    right = [step for step in steps if hmac.compare_digest(totp.generate(step * STEP), code.encode(errors="replace"))]
    return right[-1] if right else None


def new_recovery_codes() -> list[str]:
    """Ten new ones of 80 random bits each, such as `k3fe-72ab-qq5x-mzb4`."""
    return [_grouped("".join(secrets.choice(_ALPHABET) for _ in range(16)), "-") for _ in range(RECOVERY_CODES)]


def read_totp_code(typed: str) -> str | None:
    """The six digits that were typed, with spaces or without; None for what is no such code."""
    code = "".join(typed.split())
    return code if _CODE.fullmatch(code) else None


def read_recovery_code(typed: str) -> str | None:
    """A recovery code as it was given out; None for what has not its form."""
    code = "".join(typed.split()).lower()
    if not _RECOVERY.fullmatch(code):
        return None
    return _grouped(code.replace("-", ""), "-")


def _grouped(text: str, between: str) -> str:
    return between.join(text[at : at + 4] for at in range(0, len(text), 4))


def _totp(secret: bytes) -> TOTP:
    # SHA-1, six digits and 30 s are what every app takes; the hash's weakness is none here (RFC 6238, section 1.2).
    return TOTP(secret, _DIGITS, SHA1(), STEP)  # noqa: S303
