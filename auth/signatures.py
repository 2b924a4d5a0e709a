"""Signatures of images by a key, as cosign makes them (its SIGNATURE_SPEC and BUNDLE_SPEC; DSSE; in-toto Statement).

Two forms: the older one signs a *simple signing* payload, the newer a statement in a DSSE envelope. Only keys count:
certificates and transparency logs are not looked at.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

LONGEST_PEM = 4096  # characters
RSA_BITS = range(2048, 8193)
_SIMPLE = "cosign container image signature"
_STATEMENT = "application/vnd.in-toto+json"
_SIGNED = "https://sigstore.dev/cosign/sign/v1"  # what tells a signature from attestations, which are stored alike
_KINDS = "an ECDSA key on P-256, an Ed25519 key, or an RSA key of 2048 to 8192 bits"


@dataclass(frozen=True)
class SigningKey:
    """The public part of a key that images are signed with."""

    public: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

    def verifies(self, signature: bytes, content: bytes) -> bool:
        """Whether the signature is this key's of that content."""
        try:
            if isinstance(self.public, ed25519.Ed25519PublicKey):
                self.public.verify(signature, content)
            elif isinstance(self.public, rsa.RSAPublicKey):
                self.public.verify(signature, content, padding.PKCS1v15(), SHA256())
            else:
                self.public.verify(signature, content, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def read_signing_key(pem: str) -> SigningKey:
    """A public key in PEM (`cosign.pub`). Raises ValueError with the rest of a sentence about it."""
    if len(pem) > LONGEST_PEM:
        raise ValueError(f"is longer than {LONGEST_PEM} characters")
    if "PRIVATE KEY" in pem:
        raise ValueError("is a private key: give its public part, which `cosign public-key` prints, and make a new one")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is no public key in PEM, which begins with -----BEGIN PUBLIC KEY-----") from None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return SigningKey(key)
    if isinstance(key, ed25519.Ed25519PublicKey) or (isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS):
        return SigningKey(key)
    raise ValueError(f"must be {_KINDS}")


def signs_payload(keys: Sequence[SigningKey], payload: bytes, signature: str, digest: str) -> bool:
    """Whether one of the keys signed that payload (`signature` in base64), and it is about the image of that digest."""
    raw = _decode(signature)
    if raw is None or not any(key.verifies(raw, payload) for key in keys):
        return False
    critical = _object(_parse(payload).get("critical"))
    image = _object(critical.get("image"))
    return critical.get("type") == _SIMPLE and image.get("docker-manifest-digest") == digest


def signs_bundle(keys: Sequence[SigningKey], bundle: bytes, digest: str) -> bool:
    """Whether one of the keys signed the statement in a Sigstore bundle, and it says that the image is signed."""
    envelope = _object(_parse(bundle).get("dsseEnvelope"))
    kind, payload, signatures = (
        envelope.get("payloadType"),
        _decode(envelope.get("payload")),
        envelope.get("signatures"),
    )
    if kind != _STATEMENT or payload is None or not isinstance(signatures, list) or len(signatures) != 1:
        return False
    raw = _decode(_object(signatures[0]).get("sig"))
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)
    if raw is None or not any(key.verifies(raw, signed) for key in keys):
        return False
    statement = _parse(payload)
    subjects = statement.get("subject")
    algorithm, _, value = digest.partition(":")
    return statement.get("predicateType") == _SIGNED and any(
        _object(_object(subject).get("digest")).get(algorithm) == value
        for subject in (subjects if isinstance(subjects, list) else ())
    )


def _decode(text: Any) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        return None


def _parse(content: bytes) -> dict[str, Any]:
    try:
        return _object(json.loads(content))
    except (ValueError, RecursionError):
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
