"""Signatures by keys, of every kind that cosign makes, and what is not one."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from auth.signatures import read_signing_key, signs_bundle, signs_payload
from tests.auth.signing import Signer, bundle_of, payload_of

DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
SIGNERS = {
    "p256": Signer(ec.generate_private_key(ec.SECP256R1())),
    "ed25519": Signer(ed25519.Ed25519PrivateKey.generate()),
    "rsa": Signer(rsa.generate_private_key(65537, 2048)),
}
STRANGER = Signer(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize("kind", SIGNERS)
def test_what_a_key_signed_is_signed_by_it_alone(kind: str) -> None:
    signer = SIGNERS[kind]
    keys, strangers = [read_signing_key(signer.pem)], [read_signing_key(STRANGER.pem)]
    payload, bundle = payload_of(DIGEST), bundle_of(signer, DIGEST)
    signature = signer.sign(payload)

    assert signs_payload(keys, payload, signature, DIGEST) and signs_bundle(keys, bundle, DIGEST)
    assert signs_payload([*strangers, *keys], payload, signature, DIGEST)
    assert not signs_payload(strangers, payload, signature, DIGEST)
    assert not signs_bundle(strangers, bundle, DIGEST)
    assert not signs_payload([], payload, signature, DIGEST)
    assert not signs_payload(keys, payload, signature, OTHER) and not signs_bundle(keys, bundle, OTHER)
    assert not signs_payload(keys, payload_of(OTHER), signature, OTHER)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "something else"},
        {"image": {}},
        {"image": "x"},
        {"image": {"docker-manifest-digest": [DIGEST]}},
    ],
)
def test_a_payload_about_something_else_is_no_signature(change: dict[str, Any]) -> None:
    signer = SIGNERS["p256"]
    document = json.loads(payload_of(DIGEST))
    document["critical"] |= change
    payload = json.dumps(document).encode()

    assert not signs_payload([read_signing_key(signer.pem)], payload, signer.sign(payload), DIGEST)


def test_an_attestation_is_no_signature() -> None:
    """Attestations are stored like signatures: that somebody attested how it was built does not say that it is good."""
    signer = SIGNERS["p256"]
    keys = [read_signing_key(signer.pem)]

    assert signs_bundle(keys, bundle_of(signer, DIGEST), DIGEST)
    for change in (
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"subject": []},
        {"subject": {"digest": {"sha256": "a" * 64}}},
        {"subject": [{"digest": "a" * 64}]},
    ):
        assert not signs_bundle(keys, bundle_of(signer, DIGEST, **change), DIGEST)
    assert not signs_bundle(keys, bundle_of(signer, DIGEST, payload_type="text/plain"), DIGEST)


@pytest.mark.parametrize("signature", ["", "x", "é", "AAAA", base64.b64encode(bytes(5000)).decode()])
def test_what_is_no_signature_at_all(signature: str) -> None:
    payload = payload_of(DIGEST)
    for signer in SIGNERS.values():
        assert not signs_payload([read_signing_key(signer.pem)], payload, signature, DIGEST)


@pytest.mark.parametrize(
    "bundle",
    [b"", b"[]", b"{}", b'{"dsseEnvelope": 1}', b'{"dsseEnvelope": {"payloadType": "application/vnd.in-toto+json"}}',
     b"[" * 100_000, b"\xff"],
)  # fmt: skip
def test_what_is_no_bundle(bundle: bytes) -> None:
    assert not signs_bundle([read_signing_key(SIGNERS["p256"].pem)], bundle, DIGEST)


@pytest.mark.parametrize(
    ("pem", "text"),
    [
        ("", "is no public key in PEM"),
        ("é", "is no public key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "is no public key in PEM"),
        ("x" * 5000, "is longer than 4096"),
        ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "is a private key"),
        (Signer(ec.generate_private_key(ec.SECP384R1())).pem, "must be an ECDSA key on P-256"),
        (Signer(rsa.generate_private_key(65537, 1024)).pem, "must be an ECDSA key on P-256"),
    ],
)
def test_keys_that_are_not_taken(pem: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_signing_key(pem)
