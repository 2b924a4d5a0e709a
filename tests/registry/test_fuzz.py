"""Random requests to every door: none may be answered with a 5xx, leave a traceback, or lead to another host."""

import json
import os
import time
from pathlib import Path

from tests.hub import ROOT, HubProcess
from tests.oci import Client, image
from tests.registry.raw import Raw, send
from tests.registry.requests import Request, Requests

COUNT = 2000


def wire(request: Request, authorization: str) -> bytes:
    """The request as bytes. Its own headers come first, so that what they say of the body counts."""
    given = {name for name, _ in request.headers}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    if "Host" not in given:
        lines.append("Host: hub.example")
    if authorization:
        lines.append(f"Authorization: {authorization}")
    body = request.body
    if "Transfer-Encoding" not in given:
        lines.append(f"Content-Length: {len(body)}")
    elif not body:
        body = b"0\r\n\r\n"  # else the hub waits for the first chunk, for a minute
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def test_random_requests(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", time.time_ns() % 10**9))
    print(f"SEED={seed} repeats the requests of this run")
    paths = json.loads((ROOT / "web" / "static" / "openapi.json").read_text())["paths"]
    documented = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    requests = Requests(seed, documented)
    with HubProcess(tmp_path / "data") as hub:
        client = Client(hub.url, "admin", hub.admin_password)
        for name in ("fuzz/one", "fuzz/two"):
            client.push_image(name, "v1", b"content")
        scopes = [f"repository:fuzz/{name}:pull,push,delete" for name in ("one", "two", "a/b", "none")]
        token = client.token(*scopes, "registry:catalog:*")
        made = client.http.post("/api/v1/user/tokens", json={"name": "fuzz"}, auth=("admin", hub.admin_password))
        assert made.status_code == 201, made.text
        personal = made.json()["token"]
        statuses: dict[int, int] = {}
        for number in range(COUNT):
            request = requests.next()
            authorization = (
                "" if number % 10 == 0 else f"Bearer {token if request.path.startswith('/v2') else personal}"
            )
            answer = send(hub.host, wire(request, authorization), timeout=10)
            status = answer.status if answer else 0
            statuses[status] = statuses.get(status, 0) + 1
            judge(request, answer)
        hub.check_log()
        print(dict(sorted(statuses.items())))
        assert sum(count for status, count in statuses.items() if 200 <= status < 300) > COUNT / 10
        client.push_image("fuzz/after", "v1", b"content")
        assert client.ask("GET", "/v2/fuzz/after/manifests/v1").content == image(b"content")
        client.close()


def judge(request: Request, answer: Raw | None) -> None:
    """What holds for every answer."""
    assert answer is not None, request
    assert answer.status < 500, (request, answer)
    location = answer.headers.get("location", "/")
    assert location.startswith("/") and not location.startswith("//"), (request, answer)
    assert "hub.example" not in answer.headers.get("link", ""), (request, answer)
