"""Where the hub says that tokens are had: by the request's Host, never by what somebody put into it."""

import ipaddress
import socket
from collections.abc import Iterator

import httpx
import pytest

from auth.challenge import Origins
from tests.hub import HubProcess

TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"host": "hub.example.com"}, "http://hub.example.com"),
        ({"host": "hub.example.com:8080"}, "http://hub.example.com:8080"),
        ({"host": "wasm_hub:80"}, "http://wasm_hub:80"),
        ({"host": "[::1]:8080"}, "http://[::1]:8080"),
        ({"host": "127.0.0.1"}, "http://127.0.0.1"),
        ({}, "http://192.0.2.9:8080"),
        ({"host": ""}, "http://192.0.2.9:8080"),
        ({"host": 'evil",error="x'}, "http://192.0.2.9:8080"),
        ({"host": "evil/path"}, "http://192.0.2.9:8080"),
        ({"host": "user@evil"}, "http://192.0.2.9:8080"),
        ({"host": "evil\r\nX-Bad: 1"}, "http://192.0.2.9:8080"),
        ({"host": "evil?x"}, "http://192.0.2.9:8080"),
        ({"host": "a" * 300}, "http://192.0.2.9:8080"),
        ({"host": "hub:123456"}, "http://192.0.2.9:8080"),
        ({"host": "hüb"}, "http://192.0.2.9:8080"),
        ({"host": "hub", "x-forwarded-host": "evil", "x-forwarded-proto": "https"}, "http://hub"),
    ],
)
def test_url(headers: dict[str, str], url: str) -> None:
    origin = Origins(None, TRUSTED).of(scope("192.0.2.1", headers))
    assert origin.url == url
    assert origin.host == url.partition("://")[2]
    assert Origins("https://public.example.com").of(scope("192.0.2.1", headers)).url == "https://public.example.com"


@pytest.mark.parametrize(
    ("client", "headers", "url", "address"),
    [
        ("10.1.1.1", {"x-forwarded-proto": "https"}, "https://hub", "10.1.1.1"),
        ("10.1.1.1", {"x-forwarded-host": "pub.example:444"}, "http://pub.example:444", "10.1.1.1"),
        ("10.1.1.1", {"x-forwarded-host": "pub, other"}, "http://pub", "10.1.1.1"),
        ("10.1.1.1", {"x-forwarded-host": 'evil"'}, "http://192.0.2.9:8080", "10.1.1.1"),
        ("10.1.1.1", {"x-forwarded-proto": "gopher"}, "http://hub", "10.1.1.1"),
        ("10.1.1.1", {"x-forwarded-for": "198.51.100.7"}, "http://hub", "198.51.100.7"),
        ("10.1.1.1", {"x-forwarded-for": "1.2.3.4, 198.51.100.7"}, "http://hub", "198.51.100.7"),
        ("10.1.1.1", {"x-forwarded-for": "198.51.100.7, 10.2.2.2"}, "http://hub", "198.51.100.7"),
        ("10.1.1.1", {"x-forwarded-for": "1.2.3.4, junk, 10.2.2.2"}, "http://hub", "10.2.2.2"),
        ("10.1.1.1", {"x-forwarded-for": "198.51.100.7:5000"}, "http://hub", "198.51.100.7"),
        ("10.1.1.1", {"x-forwarded-for": "[2001:db8::1]:5000"}, "http://hub", "2001:db8::1"),
        ("::ffff:10.1.1.1", {"x-forwarded-for": "2001:db8::1"}, "http://hub", "2001:db8::1"),
        ("fd00::1", {"x-forwarded-for": ""}, "http://hub", "fd00::1"),
        ("192.0.2.1", {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"}, "http://hub", "192.0.2.1"),
        ("", {"x-forwarded-for": "198.51.100.7"}, "http://hub", ""),
    ],
)
def test_proxies(client: str, headers: dict[str, str], url: str, address: str) -> None:
    origin = Origins(None, TRUSTED).of(scope(client, {"host": "hub", **headers}))
    assert (origin.url, origin.address, origin.secure) == (url, address, url.startswith("https"))


def scope(client: str, headers: dict[str, str]) -> dict[str, object]:
    """An ASGI scope, as the server writes it."""
    return {
        "type": "http",
        "scheme": "http",
        "client": (client, 1) if client else None,
        "server": ("192.0.2.9", 8080),
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
    }


def raw(hub: HubProcess, path: str, *headers: bytes) -> bytes:
    """The head of the answer to a request written byte by byte."""
    host, _, port = hub.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = [f"GET {path} HTTP/1.1".encode(), *headers, b"Connection: close", b"", b""]
        connection.sendall(b"\r\n".join(lines))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.partition(b"\r\n\r\n")[0].lower()


@pytest.mark.parametrize("path", ["/v2/", "/token"])
def test_realm_over_the_wire(hub: HubProcess, path: str) -> None:
    basic = b"Authorization: Basic bm9ib2R5Ondyb25n"
    good = raw(hub, path, b"Host: hub.example.com:81", basic)
    assert b'realm="http://hub.example.com:81/token"' in good
    here = f'realm="{hub.url}/token"'.encode()
    for evil in (b'evil",error="x', b"evil/x", b"evil x", b"\xff", b"a@b"):
        answer = raw(hub, path, b"Host: " + evil, basic)
        assert here in answer or answer.startswith(b"http/1.1 400"), answer
        assert b"evil" not in answer
    assert here in raw(hub, path, f"Host: {hub.host}".encode(), b"X-Forwarded-Host: evil", basic)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(tmp_path_factory.mktemp("proxied") / "data", WASMHUB_TRUSTED_PROXIES="127.0.0.0/8") as hub:
        yield hub


def test_behind_a_proxy(proxied: HubProcess) -> None:
    headers = {"X-Forwarded-Host": "hub.example.com", "X-Forwarded-Proto": "https"}
    answer = httpx.get(f"{proxied.url}/v2/", headers=headers, trust_env=False)
    assert 'realm="https://hub.example.com/token"' in answer.headers["www-authenticate"]
    assert 'service="hub.example.com"' in answer.headers["www-authenticate"]
