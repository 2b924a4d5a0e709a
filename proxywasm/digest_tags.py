"""A digest in the form of a tag, for fetchers that drop a digest from a reference and pull `latest` instead.

Such a tag is nobody's to push: under it is always the manifest of that digest. It is not `sha256-<hex>`, which means
the referrers of a digest (distribution-spec, "Referrers Tag Schema").
"""

import re

_TAG = re.compile(r"digest-sha256-([0-9a-f]{64})")  # of a sha512 none is short enough for a tag


def tag_of(digest: str) -> str:
    """The tag under which the hub has the manifest of a sha256 digest."""
    return f"digest-sha256-{digest.removeprefix('sha256:')}"


def digest_of_tag(tag: str) -> str | None:
    """The digest that a tag says; None for all other tags."""
    found = _TAG.fullmatch(tag)
    return f"sha256:{found[1]}" if found else None
