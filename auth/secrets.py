"""Secrets: the hub's secret key, which seals what must not lie open at rest, and random secrets that people carry."""

import hashlib
import hmac
import os
import re
import secrets
import zlib
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.database import StorageError

PERSONAL = "whp"  # a personal access token, `whp_...`
ROBOT = "whb"  # the same of a robot
REFRESH = "whr"  # what `docker login` keeps
SESSION = "whs"  # a browser's cookie
INVITATION = "whi"  # in the link of an invitation
RESET = "whn"  # in the link by which somebody sets a new password
PENDING = "whc"  # a browser's cookie between the password and the second factor
DEVICE = "whd"  # with which a program fetches the token that somebody approved
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 36, 6
_SECRET = re.compile(rf"(wh[pbrsincd])_([0-9A-Za-z]{{{_BODY}}})([0-9A-Za-z]{{{_CHECK}}})")
_FIRST = b"\x01"  # the head of what was sealed before keys could follow one another
_VERSION = b"\x02"  # the head goes on with the first bytes of the key's check; storage.sealing compares them
_NAME = 4
_NONCE = 12


class SecretKey:
    """The key from the settings or the data folder. Everything secret at rest hangs on it.

    While one key follows another, two are known: what the `old` one or the `coming` one sealed is opened too.
    """

    def __init__(self, text: str, old: "SecretKey | None" = None, coming: "SecretKey | None" = None) -> None:
        self._root = hashlib.sha256(text.encode()).digest()
        self._cipher = AESGCM(self.derive("seal"))
        self.old = old
        self.coming = coming

    def derive(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose; those of other purposes do not follow from it."""
        return hmac.digest(self._root, b"wasmhub " + purpose.encode(), "sha256")

    @property
    def check(self) -> str:
        """Tells this key from others, and nothing else."""
        return self.derive("check").hex()

    @property
    def known(self) -> "tuple[SecretKey, ...]":
        """This key, and those that count beside it for now."""
        return (self, *(key for key in (self.old, self.coming) if key is not None))

    def seal(self, data: bytes) -> bytes:
        """The data, encrypted and authenticated (AES-256-GCM, a fresh nonce), with the first bytes of `check`."""
        head, nonce = self._head(), os.urandom(_NONCE)
        return head + nonce + self._cipher.encrypt(nonce, data, head)

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed. Raises ValueError if it was changed or sealed with another key."""
        for key in self.known:
            with suppress(InvalidTag, ValueError):
                return key._open(sealed)
        raise ValueError("sealed with another secret key, or damaged")

    def _open(self, sealed: bytes) -> bytes:
        head = _FIRST if sealed[:1] == _FIRST else self._head()
        nonce, data = sealed[len(head) : len(head) + _NONCE], sealed[len(head) + _NONCE :]
        if not sealed.startswith(head):
            raise ValueError("another key's")
        return self._cipher.decrypt(nonce, data, head)

    def _head(self) -> bytes:
        return _VERSION + bytes.fromhex(self.check)[:_NAME]


def load_secret_key(text: str | None, folder: Path, *, old: str | None = None, coming: str | None = None) -> SecretKey:
    """The secret key of the settings, else that of the file `secret.key` in the data folder, made if it is not there.

    `old` and `coming` are those of the settings that it follows, or that is to follow it.
    Raises StorageError with a sentence that names the file if it holds no key or cannot be read or made.
    """
    others = [SecretKey(one) if one else None for one in (old, coming)]
    if text:
        return SecretKey(text, *others)
    path = folder / "secret.key"
    try:
        if not path.exists():
            _make(path)
        kept = path.read_text("ascii", errors="replace").strip()
    except OSError as error:
        raise StorageError(f"the secret key {path} cannot be read or made: {error.strerror}") from None
    if len(kept) < 32:
        raise StorageError(f"{path} holds no secret key; put the right file back, or remove it to have a new one made")
    return SecretKey(kept, *others)


def new_secret(prefix: str) -> str:
    """A new random secret that scanners can find: prefix, 36 random characters, 6 of checksum over both."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_BODY))
    return f"{prefix}_{body}{_checksum(prefix, body)}"


def is_secret(text: str, prefix: str) -> bool:
    """Whether the text has the form of such a secret, checksum and all; says nothing of whether it is valid."""
    found = _SECRET.fullmatch(text)
    return found is not None and found[1] == prefix and found[3] == _checksum(prefix, found[2])


def fingerprint(secret: str) -> str:
    """What is stored of a random secret: its sha256 in hex. (Random enough that a slow hash adds nothing.)"""
    return hashlib.sha256(secret.encode()).hexdigest()


def hint(secret: str) -> str:
    """The first characters of a secret, to tell one from another in a list."""
    return secret[:8]


def _checksum(prefix: str, body: str) -> str:
    number, digits = zlib.crc32(f"{prefix}_{body}".encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _make(path: Path) -> None:
    """Writes a new key beside the path and links it there, so that whoever comes second finds a whole file."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(48).encode() + b"\n")
        os.fsync(descriptor)
        with suppress(FileExistsError):  # another process was first; its key counts
            os.link(draft, path)
    finally:
        os.close(descriptor)
        os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
