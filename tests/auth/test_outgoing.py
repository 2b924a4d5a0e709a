"""Calls out: which hosts are called, and what of their answers is taken."""

import asyncio
import gc
import gzip
import json
import socket
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from auth.addresses import is_allowed, is_public
from auth.outgoing import Outgoing, OutgoingRefused
from tests.auth.issuer import Answer, Issuer, document, whole

pytestmark = pytest.mark.once("calls to others know of no engines")
LOOPBACK = [ip_network("127.0.0.1/32")]
INTERNAL = (
    "127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 100.100.100.200 "
    "192.0.0.192 168.63.129.16 192.88.99.1 198.18.0.1 192.0.2.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 "
    ":: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 "
    "2002:7f00:1:: 2002:a9fe:a9fe:: 2001:0:808:808:: fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1 "
    "2001:db8::1 3fff::1 5f00::1 100::1"
)


@pytest.mark.parametrize("address", INTERNAL.split())
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "140.82.112.3", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "100.128.0.1"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_an_allowed_network_holds_what_stands_for_its_addresses() -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"):
        assert is_allowed(ip_address(address), networks)
    for address in ("11.1.2.3", "::ffff:11.1.2.3", "fe80::1", "::a01:203"):
        assert not is_allowed(ip_address(address), networks)


async def refusal(outgoing: Outgoing, url: str) -> str:
    """The sentence with which a call is refused."""
    with pytest.raises(OutgoingRefused) as refused:
        await outgoing.get_json(url)
    return str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h/", "file:///etc/passwd", "https://", "https:///x", "//h/x", "https://h:0/", "https://h:99999/",
     "https://h\\x/", "https://h /x", "https://h\n/x", "https://hö/", "https://[::1", "https://[::1%25lo]/",
     "https://a..b/", "https://.h/", f"https://{'a' * 64}/", f"https://h/{'x' * 1000}", "https://h/#x", "https://h%00/",
     "gopher://127.0.0.1:6379/_FLUSHALL", "https://h:port/", "https://[v1.x]/"],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    assert "is no URL that the hub calls" in asyncio.run(refusal(Outgoing(), url))


@pytest.mark.parametrize("url", ["https://ann:secret@h/", "https://ann@h/", "https://ann:secret@ h/"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    sentence = asyncio.run(refusal(Outgoing(), url))
    assert "user name or a password" in sentence and "ann" not in sentence


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "0", "10.0.0.1",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "169.254.169.254", "[fd00:ec2::254]"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_within_is_not_called(scheme: str, host: str) -> None:
    async def ask() -> str:
        async with Issuer() as issuer:
            sentence = await refusal(Outgoing(), f"{scheme}://{host}:{issuer.port}/x")
            assert not issuer.heads
            return sentence

    assert "leads into a network that is not public; the hub's operator has to allow" in asyncio.run(ask())


def test_http_is_for_allowed_networks_alone() -> None:
    assert "must begin with https://" in asyncio.run(refusal(Outgoing(LOOPBACK), "http://8.8.8.8/x"))


def test_a_host_that_nobody_knows() -> None:
    assert "is not known" in asyncio.run(refusal(Outgoing(), "https://nowhere.invalid/x"))


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Makes each look-up give the next of these answers; the names asked for are in the list."""
    asked: list[str] = []

    def look(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = answers[len(asked)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return asked


def test_a_name_is_looked_up_once_and_the_checked_address_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.answers["/x"] = document({"a": 1})
            asked = resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
            assert await Outgoing(LOOPBACK).get_json(f"http://rebinds.example:{issuer.port}/x") == {"a": 1}
            assert asked == ["rebinds.example"]
            assert f"\r\nHost: rebinds.example:{issuer.port}\r\n" in issuer.heads[0]

    asyncio.run(ask())


def test_one_address_within_spoils_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    assert "not public" in asyncio.run(refusal(Outgoing(LOOPBACK), "https://both.example/x"))


def test_the_second_address_is_called_when_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.answers["/x"] = document({})
            resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
            networks = [ip_network("127.0.0.0/8")]
            assert await Outgoing(networks).get_json(f"http://two.example:{issuer.port}/x") == {}

    asyncio.run(ask())


def test_a_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1))
    began = time.monotonic()
    assert "did not answer within 0.2 s" in asyncio.run(timed(Outgoing(patience=0.2), "https://slow.example/", began))


async def timed(outgoing: Outgoing, url: str, began: float) -> str:
    sentence = await refusal(outgoing, url)
    assert time.monotonic() - began < 0.8
    return sentence


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_https_by_an_authority_of_ones_own(tmp_path: Path, host: str) -> None:
    async def ask() -> None:
        async with Issuer(tmp_path, host) as issuer:
            issuer.answers["/x?y=1"] = document({"a": [1]})
            outgoing = Outgoing(LOOPBACK, ca_bundle=tmp_path / "cert.pem")
            assert await outgoing.get_json(f"{issuer.url}/x?y=1") == {"a": [1]}
            assert "no certificate that the hub trusts" in await refusal(Outgoing(LOOPBACK), f"{issuer.url}/x?y=1")

    asyncio.run(ask())


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    async def ask() -> str:
        async with Issuer(tmp_path, "localhost", certified="hub.example.com") as issuer:
            return await refusal(Outgoing(LOOPBACK, ca_bundle=tmp_path / "cert.pem"), f"{issuer.url}/x")

    assert "no certificate that the hub trusts for this host" in asyncio.run(ask())


def test_a_ca_bundle_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match=name):
            Outgoing(ca_bundle=tmp_path / name)


def test_the_environment_sends_no_call_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def ask() -> list[str]:
        async with Issuer() as issuer:
            issuer.answers["/x"] = whole(b"{}", "Set-Cookie: a=b; Path=/")
            outgoing = Outgoing(LOOPBACK)
            for _ in range(2):
                assert await outgoing.get_json(f"{issuer.url}/x") == {}
            return issuer.heads

    for head in asyncio.run(ask()):
        assert "cookie" not in head.lower() and "Accept-Encoding: identity" in head


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def _drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


def endless(start: bytes, piece: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()

    return answer


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HOSTILE: dict[str, tuple[Answer, str]] = {
    "redirect within": (
        whole(b"", "Location: http://169.254.169.254/latest/meta-data/", status="302 Found"),
        "redirects to another address, and the hub follows no redirect",
    ),
    "redirect to itself": (whole(b"{}", "Location: /x", status="308 Permanent Redirect"), "follows no redirect"),
    "not found": (whole(b"secret", status="404 Not Found"), "answered with status 404"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "answered with status 204"),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "HTTP"),
    "slow body": (_drip, "did not answer within 0.5 s"),
    "slow headers": (_drip_headers, "did not answer within 0.5 s"),
    "huge body that says so": (whole(b" " * 2**21), "more than 1 MiB"),
    "huge body that does not": (endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536), "more than 1 MiB"),
    "huge chunks": (endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"), "more than 1 MiB"),
    "small chunks": (endless(CHUNKED, b"1\r\n \r\n" * 1000), "too many pieces"),
    "huge headers": (endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"), "does not speak HTTP"),
    "endless header": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536), "does not speak HTTP"),
    "endless hints": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), "more than 1 MiB"),
    "gzip": (whole(gzip.compress(b"{}"), "Content-Encoding: gzip"), "compressed its answer"),
    "gzip that does not say so": (whole(gzip.compress(b"{}")), "did not answer with a JSON object"),
    "a page": (whole(b"<html>"), "did not answer with a JSON object"),
    "a list": (document([]), "did not answer with a JSON object"),
    "nothing": (whole(b""), "did not answer with a JSON object"),
    "deep": (whole(b'{"a":' + b"[" * 500_000), "did not answer with a JSON object"),
    "deep and closed": (whole(b"[" * 100_000 + b"]" * 100_000), "did not answer with a JSON object"),
    "long number": (whole(b'{"a":' + b"9" * 100_000 + b"}"), "did not answer with a JSON object"),
    "no text": (whole(b'{"a":"\xff"}'), "did not answer with a JSON object"),
    "cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "broke off its answer"),
    "closed": (b"", "broke off its answer"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_answers_that_are_not_taken(name: str) -> None:
    answer, said = HOSTILE[name]

    async def ask() -> str:
        async with Issuer() as issuer:
            issuer.answers["/x"] = answer
            sentence = await refusal(
                Outgoing(LOOPBACK, patience=0.5 if name.startswith("slow") else 10), issuer.url + "/x"
            )
            assert issuer.heads == issuer.heads[:1]
            return sentence

    sentence = asyncio.run(ask())
    assert said in sentence and "secret" not in sentence and "169.254" not in sentence


def test_http_where_tls_is_expected_and_a_port_that_is_shut() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            outgoing = Outgoing(LOOPBACK, patience=0.5)
            assert "did not answer" in await refusal(outgoing, f"https://127.0.0.1:{issuer.port}/x")
            gc.collect()  # a connection that was not closed warns here
            issuer.stop()
            assert "cannot be reached" in await refusal(outgoing, f"{issuer.url}/x")

    asyncio.run(ask())


def test_so_many_calls_at_once_and_all_in_time() -> None:
    under_way, most = 0, 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        under_way -= 1
        writer.write(document({}))

    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.answers["/x"] = answer
            outgoing = Outgoing(LOOPBACK, at_once=2)
            assert await asyncio.gather(*(outgoing.get_json(f"{issuer.url}/x") for _ in range(6))) == [{}] * 6
            assert most == 2
            issuer.answers["/x"] = _drip
            hasty = Outgoing(LOOPBACK, at_once=1, patience=0.3)
            began = time.monotonic()
            await asyncio.gather(*(refusal(hasty, f"{issuer.url}/x") for _ in range(3)))
            assert time.monotonic() - began < 1
            issuer.answers["/x"] = document({})
            assert await hasty.get_json(f"{issuer.url}/x") == {}

    asyncio.run(ask())


def test_an_answer_as_large_as_may_be() -> None:
    async def ask() -> None:
        async with Issuer() as issuer:
            issuer.answers["/x"] = whole(json.dumps({"a": "x" * (2**20 - 200)}).encode())
            assert len((await Outgoing(LOOPBACK).get_json(f"{issuer.url}/x"))["a"]) == 2**20 - 200

    asyncio.run(ask())
