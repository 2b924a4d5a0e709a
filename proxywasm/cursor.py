"""A position in a module's bytes that reads WebAssembly's primitive values and never passes its end."""

from __future__ import annotations

from proxywasm.error import ModuleError

MAX_ITEMS = 1_000_000  # V8 and other engines refuse longer lists of types, functions or exports too.


class Cursor:
    """Reads forward through `data[at:end]`; every method raises ModuleError instead of passing `end`.

    `data` is indexed and sliced only, so that bytes and memory maps serve equally well.
    """

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def byte(self, what: str) -> int:
        """The next byte; `what` names it in the sentence of the error."""
        at = self.at
        if at >= self.end:
            raise ModuleError(at, f"the bytes end where {what} should be")
        self.at = at + 1
        return self.data[at]

    def u32(self, what: str) -> int:
        """An unsigned LEB128 number of at most 32 bits (core specification, 5.2.2)."""
        at = self.at
        if at < self.end:
            value = self.data[at]
            if value < 0x80:
                self.at = at + 1
                return value
        return self._long(what, 32)

    def u64(self, what: str) -> int:
        """An unsigned LEB128 number of at most 64 bits: limits of memories addressed with i64."""
        return self._long(what, 64)

    def _long(self, what: str, bits: int) -> int:
        start = self.at
        value = shift = 0
        while True:
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise ModuleError(start, f"the number for {what} is longer than {bits} bits")
        if value >> bits:
            raise ModuleError(start, f"the number for {what} is larger than {bits} bits")
        return value

    def signed(self, what: str, bits: int) -> int:
        """A signed LEB128 number: 32 and 64 bits in constants, 33 bits in heap types."""
        start = self.at
        value = shift = 0
        while True:
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise ModuleError(start, f"the number for {what} is longer than {bits} bits")
        if byte & 0x40:
            value -= 1 << shift
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise ModuleError(start, f"the number for {what} is larger than {bits} bits")
        return value

    def skip(self, size: int, what: str) -> int:
        """Passes `size` bytes and gives the offset where they began."""
        at = self.at
        if size > self.end - at:
            raise ModuleError(at, f"{what} is {size} bytes long but only {self.end - at} are left")
        self.at = at + size
        return at

    def raw(self, what: str) -> bytes:
        """A byte string with its length before it."""
        size = self.u32(f"the length of {what}")
        at = self.skip(size, what)
        return self.data[at : at + size]

    def name(self, what: str) -> str:
        """A name: a byte string that must be UTF-8 (core specification, 5.2.4)."""
        at = self.at
        raw = self.raw(what)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise ModuleError(at, f"{what} is not valid UTF-8") from None

    def count(self, what: str, limit: int = MAX_ITEMS) -> int:
        """The length of a vector; each element takes at least one byte, which bounds what may follow."""
        at = self.at
        count = self.u32(f"the number of {what}")
        if count > limit:
            raise ModuleError(at, f"{count} {what} are more than the {limit} that this reader takes")
        if count > self.end - self.at:
            raise ModuleError(at, f"{count} {what} are announced but only {self.end - self.at} bytes are left")
        return count
