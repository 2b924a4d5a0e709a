"""The keys that an issuer publishes (RFC 7517): those that can verify a token, each read once."""

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

MOST_KEYS = 100  # that an issuer publishes
_LONGEST = 1366  # characters of a number in a key: 8192 bits
_SHORTEST_RSA = 2048  # bits
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

# Asymmetric ones alone: whoever knows an issuer's public keys could sign with HMAC's.
ALGORITHMS = {
    **{
        name: JWSRegistry.algorithms[name]
        for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
    },
    "EdDSA": JWSRegistry.algorithms["Ed25519"],  # the older name (RFC 8037), which RFC 9864 splits by curve
}


@dataclass(frozen=True)
class IssuerKey:
    """A public key of an issuer."""

    kid: str | None
    algorithm: str | None  # the only one that it is for, if it says so
    key: RSAKey | ECKey | OKPKey

    def fits(self, algorithm: str) -> bool:
        """Whether a token signed with one of ALGORITHMS may be verified by this key."""
        model = ALGORITHMS[algorithm]
        if self.algorithm is not None and ALGORITHMS.get(self.algorithm) is not model:
            return False
        try:
            model.check_key(self.key)  # its kind and curve
        except JoseError:
            return False
        return True


def read_jwks(document: Mapping[str, Any]) -> tuple[IssuerKey, ...]:
    """The keys that can verify a token, none of them twice. What else is published is passed over (section 5).

    Raises ValueError with the rest of a sentence about the issuer.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise ValueError("publishes no list of keys")
    if len(entries) > MOST_KEYS:
        raise ValueError(f"publishes {len(entries)} keys; at most {MOST_KEYS} are read")
    keys: dict[tuple[str | None, str | None, str], IssuerKey] = {}
    for entry in entries:
        key = _read_key(entry)
        if key is not None:
            keys.setdefault((key.kid, key.algorithm, key.key.thumbprint()), key)
    if not keys:
        raise ValueError("publishes no key that the hub can verify a token with")
    return tuple(keys.values())


def _read_key(entry: Any) -> IssuerKey | None:
    """A key that verifies signatures, else None. Secret ones that were published by mistake are anybody's: None."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    kid, algorithm, kind = entry.get("kid"), entry.get("alg"), entry.get("kty")
    operations = entry.get("key_ops", ["verify"])
    if not all(value is None or isinstance(value, str) for value in (kid, algorithm)):
        return None
    if not isinstance(kind, str) or kind not in _KINDS or not isinstance(operations, list):
        return None
    if "verify" not in operations:
        return None
    # Nothing but the numbers: certificates and addresses that stand beside them are not looked at.
    numbers = {name: entry[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in entry}
    if not all(isinstance(value, str) and len(value) <= _LONGEST for value in numbers.values()):
        return None
    if kind == "RSA" and len(numbers.get("n", "")) * 6 < _SHORTEST_RSA:
        return None
    try:
        key = _KINDS[kind].import_key(numbers)
    except (JoseError, ValueError, KeyError, TypeError, UnsupportedAlgorithm, binascii.Error):
        return None
    if isinstance(key, RSAKey) and key.raw_value.key_size < _SHORTEST_RSA:
        return None
    return IssuerKey(kid, algorithm, key)
