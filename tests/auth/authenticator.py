"""An authenticator in software: makes passkeys and signs with them as a browser would bring it, or as an attacker."""

import base64
import hashlib
import html
import json
import re
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def options_of(page: str) -> dict[str, Any]:
    """What a page asks a browser for."""
    found = re.search(r'data-options="([^"]+)"', page)
    assert found is not None, page
    options: dict[str, Any] = json.loads(html.unescape(found[1]))
    return options


class Authenticator:
    """One passkey. `count` is what it says of its signatures; 0 says nothing."""

    def __init__(self, count: int = 0) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.count = count
        self.user: bytes | None = None

    def make(self, options: dict[str, Any], origin: str, *, rp_id: str | None = None) -> str:
        """The passkey that was asked for, without attestation."""
        self.user = read(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        data = self._data(rp_id or options["rp"]["id"], PRESENT | VERIFIED | ATTESTED)
        data += bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        said = self._said("webauthn.create", options["challenge"], origin)
        return self._brought({"clientDataJSON": write(said), "attestationObject": write(attestation)})

    def sign(
        self,
        options: dict[str, Any],
        origin: str,
        *,
        verified: bool = True,
        rp_id: str | None = None,
        user: bytes | None = None,
    ) -> str:
        """What was asked for, signed."""
        self.count += 1 if self.count else 0
        data = self._data(rp_id or options["rpId"], PRESENT | (VERIFIED if verified else 0))
        said = self._said("webauthn.get", options["challenge"], origin)
        signature = self.key.sign(data + hashlib.sha256(said).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": write(said), "authenticatorData": write(data), "signature": write(signature)}
        return self._brought(response | {"userHandle": write(user or self.user or b"")})

    def _data(self, rp_id: str, flags: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _said(self, kind: str, challenge: str, origin: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()

    def _brought(self, response: dict[str, str]) -> str:
        return json.dumps({"id": write(self.id), "rawId": write(self.id), "type": "public-key", "response": response})


def read(text: str) -> bytes:
    """Base64 without padding, as WebAuthn's JSON has bytes."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def write(data: bytes) -> str:
    """The other way."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
