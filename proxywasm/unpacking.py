"""Takes a module out of its layer, reading the layer once from front to back and never more than is allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from proxywasm.error import ModuleError
from proxywasm.images import RAW, TAR, TAR_GZIP

MAX_MODULE = 64 * 1024 * 1024  # bytes: three times what an Envoy takes inline, and a bound for memory
MAX_UNPACKED = 512 * 1024 * 1024  # bytes of a layer that are looked through for the module
PLUGIN = "plugin.wasm"

CHUNK = 64 * 1024
BLOCK = 512
MAX_HEADER = 64 * 1024  # bytes of a long name or of extended attributes; longer ones name nothing we look for

REGULAR = (b"0", b"\0", b"7")
LONG_NAME, EXTENDED = b"L", b"x"
ANY_GZIP = 16 + zlib.MAX_WBITS


class Readable(Protocol):
    """Anything with `read(size)`: a file, a response, bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end."""


def extract_module(stream: Readable, wrapping: str, limit: int = MAX_MODULE) -> bytes | None:
    """The module in a layer; None where an archive holds no file with the base name `plugin.wasm`.

    Raises ModuleError when the module is larger than `limit` bytes, when an archive is broken, packed in a way that
    proxies cannot unpack either, or goes on for MAX_UNPACKED bytes without a module.
    """
    if wrapping == RAW:
        return _read_whole(_Source(_pieces(stream), limit + 1), limit)
    if wrapping == TAR_GZIP:
        return _search(_Source(_unzip(stream), MAX_UNPACKED), limit)
    if wrapping == TAR:
        return _search(_Source(_pieces(stream), MAX_UNPACKED), limit)
    raise ModuleError(0, f"the layer is packed as {wrapping}, which no proxy unpacks: push it as {TAR_GZIP}")


class _Source:
    """Bytes in the pieces in which they come, given out in the sizes that are asked for."""

    def __init__(self, pieces: Iterator[bytes], limit: int) -> None:
        self.at = 0
        self._pieces = pieces
        self._limit = limit
        self._piece = b""
        self._used = 0

    def take(self, size: int, *, keep: bool = True) -> bytes:
        """The next `size` bytes, fewer at the end of the stream; none of them when they are not to be kept."""
        if self.at + size > self._limit:
            raise ModuleError(self.at, f"the layer holds no module in its first {self._limit} bytes")
        kept = []
        while size:
            if self._used == len(self._piece):
                self._piece, self._used = next(self._pieces, b""), 0
                if not self._piece:
                    break
            taken = min(size, len(self._piece) - self._used)
            if keep:
                kept.append(self._piece[self._used : self._used + taken])
            self._used += taken
            self.at += taken
            size -= taken
        return b"".join(kept)


def _pieces(stream: Readable) -> Iterator[bytes]:
    while piece := stream.read(CHUNK):
        yield piece


def _unzip(stream: Readable) -> Iterator[bytes]:
    """The content of a gzip stream in pieces of at most CHUNK bytes, whatever the packed bytes promise.

    A stream may consist of several members, as seekable layers do.
    """
    unpacker = zlib.decompressobj(ANY_GZIP)
    read = 0
    for packed in _pieces(stream):
        read += len(packed)
        while packed:
            try:
                piece = unpacker.decompress(packed, CHUNK)
            except zlib.error:
                raise ModuleError(read - len(packed), "the layer is not packed with gzip as it claims") from None
            if piece:
                yield piece
            packed = unpacker.unconsumed_tail
            if unpacker.eof:
                packed = unpacker.unused_data.lstrip(b"\0")
                unpacker = zlib.decompressobj(ANY_GZIP)
    if tail := unpacker.flush():
        yield tail


def _read_whole(source: _Source, limit: int) -> bytes:
    data = source.take(limit + 1)
    if len(data) > limit:
        raise ModuleError(limit, f"the module is larger than the {limit} bytes that are read")
    return data


def _search(source: _Source, limit: int) -> bytes | None:
    """Walks through the entries of a tar archive to the first regular file that has the module's name."""
    renamed: str | None = None
    while True:
        start = source.at
        header = source.take(BLOCK)
        if len(header) < BLOCK or not header.strip(b"\0"):
            return None
        size = _number(header[124:136], start)
        kind = header[156:157]
        if kind in (LONG_NAME, EXTENDED):
            renamed = _read_name(source, kind, size) or renamed
            continue
        name = renamed or header[:100].partition(b"\0")[0].decode(errors="replace")
        renamed = None
        if kind in REGULAR and name.rpartition("/")[2] == PLUGIN:
            return _take_module(source, size, limit)
        source.take(_padded(size), keep=False)


def _take_module(source: _Source, size: int, limit: int) -> bytes:
    start = source.at
    if size > limit:
        raise ModuleError(start, f"{PLUGIN} has {size} bytes, more than the {limit} that are read")
    data = source.take(size)
    if len(data) < size:
        raise ModuleError(start + len(data), f"the layer ends within {PLUGIN}: {len(data)} of {size} bytes are there")
    return data


def _read_name(source: _Source, kind: bytes, size: int) -> str | None:
    """The name that a header of GNU tar or of pax gives to the entry after it."""
    keep = size <= MAX_HEADER
    content = source.take(_padded(size), keep=keep)[:size]
    if kind == LONG_NAME:
        return content.partition(b"\0")[0].decode(errors="replace") or None
    for record in content.split(b"\n"):
        key, _, value = record.partition(b"=")
        if key.rpartition(b" ")[2] == b"path":
            return value.decode(errors="replace")
    return None


def _number(field: bytes, offset: int) -> int:
    """The size in a header: octal digits, or binary with the highest bit set for files of 8 GiB and more."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if not all(digit in b"01234567" for digit in digits):
        raise ModuleError(offset, "the layer is not a tar archive")
    return int(digits or b"0", 8)


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK
