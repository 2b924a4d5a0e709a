"""The grammar of repository names, tags and digests (distribution-spec, "Pulling manifests")."""

import hashlib
import re

NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+")
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
ALGORITHMS = ("sha256", "sha512")
NAME_LIMIT = 255


def is_name(text: str) -> bool:
    """Whether this names a repository: `namespace/name`, at most 255 characters."""
    return len(text) <= NAME_LIMIT and NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether this is a tag."""
    return TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether this is a sha256 or sha512 digest in its canonical form."""
    return DIGEST.fullmatch(text) is not None


def digest_of(content: bytes, algorithm: str) -> str:
    """The digest of the bytes; `algorithm` is one of ALGORITHMS."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
