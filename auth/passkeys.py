"""Passkeys (WebAuthn): what a browser is asked to make or sign, and whether what it brings is good.

A challenge is not kept until it was answered: it carries its end and a mark that only this hub makes, for one purpose
and one person. Answered rightly it is kept until that end, and refused from then on.
"""

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from auth.challenge import Origin
from auth.secrets import SecretKey
from storage.database import now
from storage.passkeys import Answered, NewPasskey, PasskeyRow, Signed

GOOD_FOR = 600_000  # milliseconds in which a challenge is answered
REGISTER, SECOND, ALONE = "register", "second factor", "sign in"  # the purposes
_NONCE, _END = 16, 8  # bytes
_WORDS = frozenset({"usb", "nfc", "ble", "smart-card", "hybrid", "internal"})


class BadPasskey(Exception):
    """What a browser brought is not good; the text is fit for a user."""


@dataclass(frozen=True)
class Party:
    """The hub as passkeys know it: `id` is the host that they are made for, and good for alone."""

    id: str
    origin: str


def party_of(origin: Origin) -> Party | None:
    """The hub as its caller reaches it; None where browsers make no passkeys: without https, or by an address."""
    host = urlsplit(origin.url).hostname or ""
    local = host == "localhost" or host.endswith(".localhost")
    if not host or _is_address(host) or not (origin.secure or local):
        return None
    return Party(host, origin.url)


def registration_options(
    key: SecretKey, party: Party, user_id: int, name: str, known: list[PasskeyRow]
) -> dict[str, Any]:
    """What a browser is asked to make for that user, as JSON has it."""
    options = generate_registration_options(
        rp_id=party.id,
        rp_name="wasmhub",
        user_name=name,
        user_id=str(user_id).encode(),
        challenge=_challenge(key, REGISTER, str(user_id)),
        exclude_credentials=_described(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )
    return _json(options)


def read_registration(
    key: SecretKey, party: Party, user_id: int, name: str, brought: str
) -> tuple[NewPasskey, Answered]:
    """The passkey that a browser has made, and the challenge that it answered. Raises BadPasskey."""
    credential, challenge, answered = _read(key, brought, REGISTER, str(user_id))
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
        )
    except Exception:  # whatever the library trips over in a stranger's bytes: they are no passkey
        raise BadPasskey("the browser brought no passkey that this hub could use; try again") from None
    said = credential["response"].get("transports")
    transports = tuple(one for one in said if one in _WORDS) if isinstance(said, list) else ()
    made = NewPasskey(
        name, bytes_to_base64url(found.credential_id), found.credential_public_key, found.sign_count, transports
    )
    return made, answered


def sign_in_options(
    key: SecretKey, party: Party, purpose: str, subject: str, known: list[PasskeyRow]
) -> dict[str, Any]:
    """What a browser is asked to sign with one of these passkeys; without any, with one that it finds itself."""
    verification = UserVerificationRequirement.REQUIRED if purpose == ALONE else UserVerificationRequirement.PREFERRED
    options = generate_authentication_options(
        rp_id=party.id,
        challenge=_challenge(key, purpose, subject),
        allow_credentials=_described(known),
        user_verification=verification,
    )
    return _json(options)


def credential_of(brought: str) -> str:
    """The id of the passkey with which something was signed. Raises BadPasskey for what says none."""
    found = _object(brought).get("id")
    if not isinstance(found, str) or not 0 < len(found) <= 1400:  # of 1023 bytes at most
        raise _unreadable()
    return found


def read_signature(
    key: SecretKey, party: Party, purpose: str, subject: str, passkey: PasskeyRow, brought: str
) -> Signed:
    """What that passkey has signed; alone it must have checked who its user is, too. Raises BadPasskey."""
    credential, challenge, answered = _read(key, brought, purpose, subject)
    handle = credential["response"].get("userHandle")
    try:
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=0,  # compared where it is written: another replica may be first
            require_user_verification=purpose == ALONE,
        )
        owned = not handle or base64url_to_bytes(handle) == str(passkey.user_id).encode()
    except Exception:  # as above
        owned = False
    if not owned:
        raise BadPasskey("the passkey's signature is not good; try again")
    return Signed(passkey.credential_id, found.new_sign_count, answered)


def _challenge(key: SecretKey, purpose: str, subject: str) -> bytes:
    said = os.urandom(_NONCE) + (now() + GOOD_FOR).to_bytes(_END, "big")
    return said + _mark(key, purpose, subject, said)


def _mark(key: SecretKey, purpose: str, subject: str, said: bytes) -> bytes:
    return hmac.digest(key.derive("passkey challenge"), said + f"{purpose}\n{subject}".encode(), "sha256")


def _read(key: SecretKey, brought: str, purpose: str, subject: str) -> tuple[dict[str, Any], bytes, Answered]:
    """What a browser brought, with the challenge in it, which must be one of ours for that purpose and person."""
    credential = _object(brought)
    try:
        client = json.loads(base64url_to_bytes(credential["response"]["clientDataJSON"]))
        challenge = base64url_to_bytes(client["challenge"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unreadable() from None
    said, mark = challenge[: _NONCE + _END], challenge[_NONCE + _END :]
    expires_at = int.from_bytes(said[_NONCE:], "big")
    ours = any(hmac.compare_digest(mark, _mark(one, purpose, subject, said)) for one in key.known)
    if not ours or expires_at <= now():
        raise BadPasskey("this page was open for too long, or is not yours; reload it and try again")
    return credential, challenge, Answered(hashlib.sha256(challenge).hexdigest(), expires_at)


def _object(brought: str) -> dict[str, Any]:
    try:
        credential = json.loads(brought)
    except (ValueError, RecursionError):
        raise _unreadable() from None
    if not isinstance(credential, dict) or not isinstance(credential.get("response"), dict):
        raise _unreadable()
    return credential


def _unreadable() -> BadPasskey:
    return BadPasskey("the browser brought no passkey; it needs JavaScript and an authenticator")


def _described(known: list[PasskeyRow]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(one.credential_id)) for one in known]


def _json(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
