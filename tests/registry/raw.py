"""Requests that no HTTP library would send: bytes on a socket, and what came back."""

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(host: str, *pieces: bytes, timeout: float = 20) -> Raw | None:
    """Sends the pieces on a connection of their own; the first answer, or None if it was closed without one."""
    with connect(host, timeout) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # The hub has answered and closed already.
        return receive(connection, head_only=b"".join(pieces)[:5] == b"HEAD ")


def connect(host: str, timeout: float = 20) -> socket.socket:
    """A connection to `host:port`."""
    name, _, port = host.rpartition(":")
    return socket.create_connection((name, int(port)), timeout=timeout)


def receive(connection: socket.socket, *, head_only: bool = False, data: bytes = b"") -> Raw | None:
    """The next answer on a connection, but for those of status 100; `data` was read from it already."""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    if status == 100:
        return receive(connection, head_only=head_only, data=body)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = 0 if head_only or status in (204, 304) else int(headers.get("content-length", "0"))
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    return Raw(status, headers, body)
