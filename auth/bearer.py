"""Registry tokens: signed by the newest key, verified by all keys whose tokens may still live."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from sqlalchemy.orm import Session as OrmSession

from auth.identity import ANONYMOUS, Identity, identity_of
from auth.secret_rotation import keep_sealed
from auth.secrets import SecretKey
from storage.database import Database, now
from storage.events import SYSTEM
from storage.keys import SigningKeyRow, forget_retired_keys, rotate_signing_key, signing_keys
from storage.scopes import Scopes, stored_scopes, write_scopes
from storage.users import IdentityRow, identity_row

LIFETIME = 300  # seconds that a token lives
AUDIENCE = "wasmhub"
LONGEST = 8192  # characters; what is issued stays well below
VERIFIED = 4096  # tokens whose signature is remembered
ROTATE_AFTER = 30 * 86_400_000  # milliseconds that a key signs
LOOK_AGAIN = 30.0  # seconds after which a signing process looks whether another one has rotated
# A retired key verifies what was signed with it, also by a process that had not yet seen the rotation.
GRACE = int(LIFETIME + LOOK_AGAIN + 30) * 1000
_ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token allows at most. It narrows what its subject may do now and never adds to it."""

    user_id: int | None  # None: anonymous
    generation: int  # the subject's, when the token was issued
    access: Mapping[str, frozenset[str]]  # repository name -> actions
    catalog: bool
    expires_at: int  # seconds since 1970
    scopes: Scopes | None = None  # of the access token that it was got with; None: of none, or one without scopes


@dataclass(frozen=True)
class _Keys:
    """The keys as the database had them at one moment, found by the exact header of the tokens that they sign."""

    loaded_at: float  # by the monotonic clock
    current: SigningKeyRow | None  # the one that is not retired
    signing: ECKey | None  # its private half; None if it was sealed with another secret key
    verifying: Mapping[str, ECKey]  # a token's first part, as signed -> key


class BearerTokens:
    """Issues and verifies registry tokens. One for each process; safe to use from many threads.

    A token's header is compared as a whole with those that the known keys write, so that no other algorithm, key or
    header field is ever looked at.
    """

    def __init__(self, database: Database, secret_key: SecretKey) -> None:
        self._database = database
        self._secret_key = secret_key
        self._lock = threading.Lock()
        self._keys = _Keys(-LOOK_AGAIN, None, None, {})
        self._verified: dict[str, Claims] = {}  # oldest first: they are also the first to expire

    def issue(
        self,
        identity: Identity,
        access: Mapping[str, frozenset[str]],
        *,
        catalog: bool = False,
        lifetime: int = LIFETIME,
    ) -> str:
        """A token for the identity, good for `lifetime` seconds (at most LIFETIME). Looks at the database at times."""
        kid, key = self._signing()
        issued = int(time.time())
        entries = [{"type": "repository", "name": name, "actions": sorted(access[name])} for name in access]
        if catalog:
            entries.append({"type": "registry", "name": "catalog", "actions": ["*"]})
        claims = {
            "iss": AUDIENCE,
            "aud": AUDIENCE,
            "sub": "" if identity.user_id is None else str(identity.user_id),
            "gen": identity.generation,
            "iat": issued,
            "nbf": issued - 10,
            "exp": issued + min(lifetime, LIFETIME),
            "jti": f"{time.time_ns():x}",
            "access": entries,
        }
        if identity.scopes is not None:
            claims["scopes"] = write_scopes(tuple(one for one in identity.scopes if one.kind == "repository"))
        return jwt.encode({"alg": _ALGORITHM, "kid": kid}, claims, key, algorithms=[_ALGORITHM])

    def cached(self, token: str) -> Claims | None:
        """The claims of a token whose signature was checked before and that has not expired: one look at a dict."""
        claims = self._verified.get(token)
        return claims if claims is not None and claims.expires_at > time.time() else None

    def verify(self, token: str) -> Claims | None:
        """The claims of a token that this hub signed and that has not expired, else None.

        Looks at the database when it meets a key that it does not know, at most once a second.
        """
        claims = self.cached(token)
        if claims is not None or len(token) > LONGEST:
            return claims
        claims = self._check(token)
        if claims is not None:
            with self._lock:
                self._verified[token] = claims
                while len(self._verified) > VERIFIED:
                    del self._verified[next(iter(self._verified))]
        return claims

    def rotate(self) -> None:
        """Makes a new signing key now. Tokens that the old one signed stay good until they expire."""
        with self._lock:
            self._rotate(self._load())

    def _check(self, token: str) -> Claims | None:
        header = token.partition(".")[0]
        key = self._keys.verifying.get(header) or self._known(1.0).verifying.get(header)
        if key is None:
            return None
        try:
            claims = _claims(jwt.decode(token, key, algorithms=[_ALGORITHM]).claims)
        except (JoseError, ValueError):
            return None
        return claims if claims.expires_at > time.time() else None

    def _known(self, oldest: float) -> _Keys:
        """The keys, read anew if that was more than `oldest` seconds ago."""
        with self._lock:
            if time.monotonic() - self._keys.loaded_at >= oldest:
                self._load()
            return self._keys

    def _signing(self) -> tuple[str, ECKey]:
        keys = self._known(LOOK_AGAIN)
        if keys.current is None or keys.signing is None or keys.current.created_at < now() - ROTATE_AFTER:
            with self._lock:
                keys = self._rotate(keys)
        assert keys.current is not None and keys.signing is not None
        return keys.current.kid, keys.signing

    def _rotate(self, keys: _Keys) -> _Keys:
        key = ECKey.generate_key("P-256", auto_kid=True)

        def keep(sealed: bytes) -> None:
            rotate_signing_key(
                self._database,
                SYSTEM,
                kid=str(key.kid),
                public_jwk=key.as_dict(private=False),
                sealed_private=sealed,
                replaces=keys.current.kid if keys.current else None,
            )

        keep_sealed(self._secret_key, key.as_pem(private=True), keep)
        forget_retired_keys(self._database, grace=GRACE)
        return self._load()

    def _load(self) -> _Keys:
        """Reads the keys. The caller holds the lock."""
        with self._database.read() as session:
            rows = signing_keys(session, grace=GRACE)
        verifying = {_header(row.kid): ECKey.import_key(row.public_jwk) for row in rows}
        if not verifying.keys() >= self._keys.verifying.keys():
            self._verified.clear()  # a key is gone, and with it what it had vouched for
        current = next((row for row in rows if row.retired_at is None), None)
        self._keys = _Keys(time.monotonic(), current, self._unseal(current), verifying)
        return self._keys

    def _unseal(self, row: SigningKeyRow | None) -> ECKey | None:
        """A key's private half; None if it cannot be had: then a new key is made, while this one still verifies."""
        if row is None:
            return None
        with suppress(ValueError):
            return ECKey.import_key(self._secret_key.unseal(row.sealed_private))
        return None


def load_identity(session: OrmSession, claims: Claims, address: str) -> Identity | None:
    """The subject of a token as the database has it now; None if it is gone, inactive, or changed since."""
    row = None if claims.user_id is None else identity_row(session, claims.user_id)
    return known_identity(claims, row, address)


def known_identity(claims: Claims, row: IdentityRow | None, address: str) -> Identity | None:
    """The same by the row of its subject, as the database has it now."""
    if claims.user_id is None:
        return replace(ANONYMOUS, address=address)
    return None if row is None or row.generation != claims.generation else identity_of(row, address, claims.scopes)


def _header(kid: str) -> str:
    """The first part of every token that this key signs."""
    probe = ECKey.generate_key("P-256")
    return jwt.encode({"alg": _ALGORITHM, "kid": kid}, {}, probe, algorithms=[_ALGORITHM]).partition(".")[0]


def _claims(claims: Mapping[str, Any]) -> Claims:
    """The claims as this hub wrote them. Raises ValueError for what it did not write."""
    if claims.get("aud") != AUDIENCE or claims.get("iss") != AUDIENCE or claims["nbf"] > time.time():
        raise ValueError("not a registry token")
    entries = claims["access"]
    return Claims(
        user_id=int(claims["sub"]) if claims["sub"] else None,
        generation=claims["gen"],
        access={entry["name"]: frozenset(entry["actions"]) for entry in entries if entry["type"] == "repository"},
        catalog=any(entry["type"] == "registry" for entry in entries),
        expires_at=claims["exp"],
        scopes=stored_scopes(claims.get("scopes")),
    )
