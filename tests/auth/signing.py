"""Signs images as cosign does with a key: the same documents, the same places in a repository."""

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.oci import EMPTY, OCI_MANIFEST, Client, descriptor

SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BESIDE = "application/vnd.dev.cosign.artifact.sig.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
NOTHING = "application/vnd.oci.empty.v1+json"
STATEMENT = "application/vnd.in-toto+json"


class Signer:
    """Somebody with a key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
        self._key = key
        self.pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, content: bytes) -> str:
        """The signature in base64."""
        key = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            raw = key.sign(content)
        elif isinstance(key, rsa.RSAPrivateKey):
            raw = key.sign(content, padding.PKCS1v15(), SHA256())
        else:
            raw = key.sign(content, ec.ECDSA(SHA256()))
        return base64.b64encode(raw).decode()


def payload_of(digest: str) -> bytes:
    """What is signed of an image."""
    critical = {
        "identity": {"docker-reference": "hub.example.com/edge/filter"},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":")).encode()


def bundle_of(signer: Signer, digest: str, *, payload_type: str = STATEMENT, **change: Any) -> bytes:
    """A Sigstore bundle that says that the image is signed."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest.partition(":")[2]}, "annotations": {}}],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
        **change,
    }
    payload = json.dumps(statement).encode()
    signed = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"sig": signer.sign(signed)}],
    }
    material = {"publicKey": {"hint": "a-hint"}}
    return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


def push_signature(client: Client, name: str, digest: str, signer: Signer, *, beside: bool = False) -> None:
    """`cosign sign --key` in its older form: under a tag, or as a referrer."""
    payload = payload_of(digest)
    layer = {**descriptor(payload, SIMPLE), "annotations": {"dev.cosignproject.cosign/signature": signer.sign(payload)}}
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(EMPTY, OCI_CONFIG),
        "layers": [layer],
    }
    if beside:
        document |= {"artifactType": BESIDE, "subject": _subject(client, name, digest)}
    _push(client, name, document, payload, None if beside else f"{digest.replace(':', '-')}.sig")


def push_bundle(client: Client, name: str, digest: str, signer: Signer, **change: Any) -> None:
    """`cosign sign --key` in its newer form."""
    bundle = bundle_of(signer, digest, **change)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": BUNDLE,
        "config": descriptor(EMPTY, NOTHING),
        "layers": [descriptor(bundle, BUNDLE)],
        "subject": _subject(client, name, digest),
    }
    _push(client, name, document, bundle, None)


def _push(client: Client, name: str, document: dict[str, Any], blob: bytes, tag: str | None) -> None:
    for one in (blob, EMPTY):
        client.push_blob(name, one)
    content = json.dumps(document).encode()
    client.push_manifest(name, tag or descriptor(content, "")["digest"], content)


def _subject(client: Client, name: str, digest: str) -> dict[str, Any]:
    manifest = client.ask("GET", f"/v2/{name}/manifests/{digest}")
    return {"mediaType": manifest.headers["content-type"], "digest": digest, "size": len(manifest.content)}
