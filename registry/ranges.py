"""Byte ranges: of a request's Range header (RFC 9110, 14.1.2) and of an upload's Content-Range."""

import re

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,19})-(\d{1,19})(?:/(?:\d+|\*))?")


class Unsatisfiable(Exception):
    """The range lies outside what there is."""


def parse_range(header: bytes, size: int) -> tuple[int, int] | None:
    """Start and stop (exclusive) of the asked part; None for several ranges or another unit: send all.

    Raises Unsatisfiable for the 416.
    """
    match = _RANGE.fullmatch(header.decode("latin-1").replace(" ", ""))
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        if not last:
            return None
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(last)), size
    start = int(first)
    stop = min(size, int(last) + 1) if last else size
    if start >= stop:
        raise Unsatisfiable
    return start, stop


def parse_content_range(header: str) -> tuple[int, int] | None:
    """First byte and count of an upload's chunk (`0-1023`, as the specification has it); None if it is malformed."""
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last - first + 1) if last >= first - 1 else None
