"""Requests that a proxy before the hub may read differently are refused, and what hides in them is not answered."""

import pytest

from tests.hub import HubProcess
from tests.registry.raw import connect

HIDDEN = b"GET /healthz?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"0\r\n\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /token HTTP/1.1\r\nHost: x\r\n" + b"".join(one + b"\r\n" for one in headers) + b"\r\n" + body


LENGTH = b"Content-Length: %d" % len(CHUNKED + HIDDEN)
AMBIGUOUS = {
    "length and chunks": post(LENGTH, b"Transfer-Encoding: chunked", body=CHUNKED + HIDDEN),
    "chunks and length": post(b"Transfer-Encoding: chunked", LENGTH, body=CHUNKED + HIDDEN),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
    "a list of lengths": post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a length with a sign": post(b"Content-Length: +%d" % len(HIDDEN), body=HIDDEN),
    "a length in hex": post(b"Content-Length: 0x10", body=HIDDEN),
    "a length with a space in it": post(b"Content-Length: 1 0", body=HIDDEN),
    "a length that is negative": post(b"Content-Length: -1", body=HIDDEN),
    "chunks that are not last": post(b"Transfer-Encoding: chunked, identity", body=CHUNKED + HIDDEN),
    "chunks of another name": post(b"Transfer-Encoding: xchunked", body=CHUNKED + HIDDEN),
    "chunks after a tab": post(b"Transfer-Encoding:\x0bchunked", LENGTH, body=CHUNKED + HIDDEN),
    "a space before the colon": post(b"Transfer-Encoding : chunked", LENGTH, body=CHUNKED + HIDDEN),
    "a length with a space before the colon": post(b"Content-Length : 5", body=b"12345" + HIDDEN),
    "a folded line": post(b"X: a\r\n Transfer-Encoding: chunked", LENGTH, body=CHUNKED + HIDDEN),
    "a folded coding": post(b"Transfer-Encoding:\r\n chunked", LENGTH, body=CHUNKED + HIDDEN),
    "a first line that is folded": b"POST /token HTTP/1.1\r\n Host: x\r\n\r\n" + HIDDEN,
    "a break without a return": b"POST /token HTTP/1.1\nHost: x\nContent-Length: 0\n\n" + HIDDEN,
    "a return without a break": post(b"X: a\rTransfer-Encoding: chunked", LENGTH, body=CHUNKED + HIDDEN),
    "a header without a colon": post(b"Transfer-Encoding", LENGTH, body=CHUNKED + HIDDEN),
    "a name with a null": post(b"Content-Length\x00: 0", LENGTH, body=CHUNKED + HIDDEN),
    "a value with a null": post(b"Content-Length: 5\x00", body=b"12345" + HIDDEN),
    "a chunk's size with a sign": post(b"Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + HIDDEN),
    "a chunk's size in hex by name": post(b"Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + HIDDEN),
    "a chunk's size with spaces": post(b"Transfer-Encoding: chunked", body=b" 0 \r\n\r\n" + HIDDEN),
    "a chunk that is too large": post(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\n" + HIDDEN),
    "a chunk without its end": post(b"Transfer-Encoding: chunked", body=b"1\r\na0\r\n\r\n" + HIDDEN),
    "chunks with bare breaks": post(b"Transfer-Encoding: chunked", body=b"0\n\n" + HIDDEN),
    "an extension with a break": post(b"Transfer-Encoding: chunked", body=b"0;a\nb\r\n\r\n" + HIDDEN),
}


def all_answers(hub: HubProcess, sent: bytes, wanted: int = 100) -> bytes:
    """What comes back until so many answers are there, or the hub closes the connection or says nothing more."""
    with connect(hub.host, 2) as connection:
        came = b""
        try:
            connection.sendall(sent)
            while came.count(b"HTTP/1.1 ") < wanted and (piece := connection.recv(65536)):
                came += piece
        except (TimeoutError, ConnectionError):
            pass
    return came


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_nothing_hides_in_a_request(hub: HubProcess, kind: str) -> None:
    came = all_answers(hub, AMBIGUOUS[kind])
    assert came.count(b"HTTP/1.1 ") == 1 and b" 200 OK" not in came, came
    # Refused by who reads the connection, not by who is asked: it closes, so that nothing comes after it.
    assert came.startswith(b"HTTP/1.1 400 ") and b"This is no HTTP request" in came and b"connection: close" in came, (
        came
    )


OLD = [b"GET /healthz\r\n\r\n", b"POST /token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED]


@pytest.mark.parametrize("sent", OLD)
def test_old_versions_are_answered_once(hub: HubProcess, sent: bytes) -> None:
    assert all_answers(hub, sent + HIDDEN).count(b"HTTP/1.1 ") == 1


def test_requests_after_each_other_are_not_refused(hub: HubProcess) -> None:
    chunked = post(b"Transfer-Encoding: chunked", body=CHUNKED)
    came = all_answers(hub, post(b"Content-Length: 0") + HIDDEN + chunked + HIDDEN, 4)
    assert came.count(b"HTTP/1.1 400") == 2 and came.count(b"HTTP/1.1 200 OK") == 2, came
