"""Keeps a listener from hearing of new clients, so that it can be closed with nobody halfway in."""

import contextlib
import ctypes
import socket
import struct
import sys

# Linux: <asm-generic/socket.h>; Python knows neither.
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
# A classic BPF program (code, jump if true, jump if false, operand) that sees a packet from its TCP header on:
_DROP_FIRST_PACKETS = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # leave SYN and ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then it is dropped: the client tries again in a second, and finds another replica or nobody
    (0x06, 0, 0, 0xFFFFFFFF),  # else it is taken: those who are halfway in come in
)


def deafen(listener: socket.socket) -> None:
    """Lets nobody begin to connect any more; who has begun can end it. Does nothing where the system cannot do it."""
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *one) for one in _DROP_FIRST_PACKETS)
    kept = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_FIRST_PACKETS), ctypes.addressof(kept))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def hear(listener: socket.socket) -> None:
    """Lets clients connect again, if a process that had the listener before deafened it."""
    with contextlib.suppress(OSError):  # nobody did
        listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
