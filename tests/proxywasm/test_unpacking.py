"""Modules taken out of layers as real tools pack them, and layers that want to harm whoever unpacks them."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc

import pytest

from proxywasm import ModuleError
from proxywasm.unpacking import MAX_UNPACKED, extract_module
from tests.proxywasm.cases import PLAIN


def tar(*entries: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT, kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            info.type = kind
            info.linkname = "elsewhere"
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def extract(data: bytes, wrapping: str, limit: int = 1 << 20) -> bytes | None:
    return extract_module(io.BytesIO(data), wrapping, limit)


LONG = "very-long-folder-name/" * 12
GNU, PAX = tarfile.GNU_FORMAT, tarfile.PAX_FORMAT


@pytest.mark.parametrize(
    "archive",
    [
        tar(("plugin.wasm", PLAIN)),
        tar(("./plugin.wasm", PLAIN)),
        tar(("opt/filters/plugin.wasm", PLAIN)),
        tar(("../../../plugin.wasm", PLAIN)),
        tar(("/plugin.wasm", PLAIN)),
        tar(("runtime-config.json", b"{}"), ("plugin.wasm", PLAIN)),
        tar(("plugin.wasm", PLAIN), ("plugin.wasm", b"second")),
        tar(("big", b"x" * 300_000), ("plugin.wasm", PLAIN)),
        tar((LONG + "plugin.wasm", PLAIN), form=GNU),
        tar((LONG + "plugin.wasm", PLAIN), form=PAX),
        tar((LONG + "other", b"x"), ("plugin.wasm", PLAIN), form=PAX),
        tar(("ü/plugin.wasm", PLAIN), form=PAX),
        tar(("ordner/ü", b""), ("plugin.wasm", PLAIN), form=GNU),
    ],
)
def test_module_in_an_archive(archive: bytes) -> None:
    assert extract(archive, "tar") == PLAIN
    assert extract(gzip.compress(archive), "tar+gzip") == PLAIN


def test_gzip_of_several_members() -> None:
    archive = tar(("other", b"x" * 5000), ("plugin.wasm", PLAIN))
    packed = b"".join(gzip.compress(archive[start : start + 512]) for start in range(0, len(archive), 512))
    assert extract(packed + b"\0" * 20, "tar+gzip") == PLAIN


def test_pieces_as_small_as_the_network_brings_them() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 7))

    archive = gzip.compress(tar(("other", b"x" * 5000), ("plugin.wasm", PLAIN)))
    assert extract_module(Trickle(archive), "tar+gzip") == PLAIN
    assert extract_module(Trickle(PLAIN), "raw") == PLAIN


@pytest.mark.parametrize(
    "archive",
    [
        tar(("etc/passwd", b"root")),
        tar(("plugin.wasm.txt", PLAIN)),
        tar(("myplugin.wasm", PLAIN)),
        tar(("plugin.wasm/readme", PLAIN)),
        tar(("plugin.wasm", b""), kind=tarfile.DIRTYPE),
        tar(("plugin.wasm", b""), kind=tarfile.SYMTYPE),
        tar(("plugin.wasm", b""), kind=tarfile.LNKTYPE),
        tar(),
        b"",
    ],
)
def test_archive_without_a_module_is_no_filter(archive: bytes) -> None:
    assert extract(archive, "tar") is None
    assert extract(gzip.compress(archive), "tar+gzip") is None


def test_raw_module() -> None:
    assert extract(PLAIN, "raw") == PLAIN
    assert extract(PLAIN, "raw", limit=len(PLAIN)) == PLAIN
    assert extract(b"", "raw") == b""


@pytest.mark.parametrize(
    ("data", "wrapping", "sentence"),
    [
        (PLAIN, "raw", "the module is larger than the 50 bytes that are read"),
        (tar(("plugin.wasm", PLAIN)), "tar", "more than the 50 that are read"),
        (tar(("plugin.wasm", PLAIN)), "tar+gzip", "the layer is not packed with gzip as it claims"),
        (gzip.compress(tar(("plugin.wasm", b"x" * 40)))[:40] + b"\xff" * 40, "tar+gzip", "is not packed with gzip"),
        (b"certainly no archive of any kind" * 40, "tar", "the layer is not a tar archive"),
        (tar(("plugin.wasm", b"x" * 40))[:520], "tar", "the layer ends within plugin.wasm: 8 of 40 bytes are there"),
        (tar(("plugin.wasm", PLAIN)), "tar+zstd", "packed as tar+zstd, which no proxy unpacks"),
    ],
    ids=("raw", "in tar", "no gzip", "broken gzip", "no tar", "cut", "zstd"),
)
def test_refused(data: bytes, wrapping: str, sentence: str) -> None:
    with pytest.raises(ModuleError, match="at byte") as caught:
        extract(data, wrapping, limit=50)
    assert sentence in caught.value.sentence


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    return (name.ljust(124, b"\0") + size.ljust(32, b"\0") + kind).ljust(512, b"\0")


@pytest.mark.parametrize(
    "archive",
    [
        header(b"plugin.wasm", b"77777777777"),
        header(b"plugin.wasm", b"\xff" * 12),
        header(b"other", b"77777777777"),
        header(b"long", b"77777777777", kind=b"L"),
        header(b"long", b"\x80" + b"\xff" * 11, kind=b"x"),
        header(b"empty", b"0") * 20_000 + header(b"plugin.wasm", b"\xff" * 12),
    ],
)
def test_lies_about_sizes_cost_no_memory(archive: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModuleError):
            extract(archive, "tar")
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_bomb_is_bounded_in_memory_and_size() -> None:
    """Half a gibibyte in half a mebibyte, as members of gzip, so that the test need not pack it all."""
    mebibyte = gzip.compress(bytes(1 << 20))
    start = gzip.compress(header(b"other", b"%o" % (MAX_UNPACKED - (1 << 20))))
    tracemalloc.start()
    try:
        with pytest.raises(ModuleError, match=f"holds no module in its first {MAX_UNPACKED} bytes"):
            extract(start + mebibyte * 511 + gzip.compress(header(b"more", b"4000000")), "tar+gzip")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
