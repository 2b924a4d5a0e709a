"""Two at once: on one upload, on one tag, on one blob. One wins, whole, and what was acknowledged stays."""

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

T = TypeVar("T")
ROUNDS = 50
WRITERS = 4


def at_once(pool: ThreadPoolExecutor, calls: list[Callable[[], T]]) -> list[T]:
    """Makes the calls at the same moment; what each returned."""
    together = threading.Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        together.wait(timeout=20)
        return one()

    return [future.result(timeout=60) for future in [pool.submit(call, one) for one in calls]]


def test_two_who_finish_one_upload(admin: Client, name: str) -> None:
    scope = f"repository:{name}:pull,push"
    admin.push_blob(name, EMPTY)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(ROUNDS):
            body = os.urandom(3000)
            location = admin.ask("POST", f"/v2/{name}/blobs/uploads/", scope=scope).headers["location"]
            assert admin.ask("PATCH", location, content=body[:2000], scope=scope).status_code == 202

            def put(location: str = location, body: bytes = body) -> int:
                path = f"{location}?digest={digest_of(body)}"
                try:
                    return admin.ask("PUT", path, content=body[2000:], scope=scope).status_code
                except httpx.RemoteProtocolError:
                    # nginx closes a connection on which it passed on a refusal before all of a body had come; who was
                    # refused so sends the next request in vain.
                    return 409

            answers = at_once(pool, [put] * WRITERS)
            assert sorted(answers)[0] == 201, answers
            assert set(answers) <= {201, 404, 409}, answers
            assert answers.count(201) == 1, answers
            read = admin.ask("GET", f"/v2/{name}/blobs/{digest_of(body)}", scope=scope)
            assert (read.status_code, read.content) == (200, body)


def test_two_who_write_to_one_upload(admin: Client, name: str) -> None:
    scope = f"repository:{name}:pull,push"
    admin.push_blob(name, EMPTY)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(ROUNDS):
            location = admin.ask("POST", f"/v2/{name}/blobs/uploads/", scope=scope).headers["location"]
            bodies = [os.urandom(1000 + number) for number in range(WRITERS)]

            def patch(body: bytes, location: str = location) -> tuple[int, bytes]:
                headers = {"Content-Range": f"0-{len(body) - 1}"}
                try:
                    answer = admin.ask("PATCH", location, content=body, headers=headers, scope=scope)
                except httpx.RemoteProtocolError:  # as above
                    return 409, body
                return answer.status_code, body

            answers = at_once(pool, [lambda body=body: patch(body) for body in bodies])
            won = [body for status, body in answers if status == 202]
            assert {status for status, _ in answers} <= {202, 409, 416}, [status for status, _ in answers]
            assert len(won) == 1
            put = admin.ask("PUT", f"{location}?digest={digest_of(won[0])}", scope=scope)
            assert put.status_code == 201, put.text


def test_two_who_push_one_blob(admin: Client, name: str) -> None:
    scope = f"repository:{name}:pull,push"
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(ROUNDS):
            body = os.urandom(2000)

            def post(body: bytes = body) -> int:
                path = f"/v2/{name}/blobs/uploads/?digest={digest_of(body)}"
                return admin.ask("POST", path, content=body, scope=scope).status_code

            assert at_once(pool, [post] * WRITERS) == [201] * WRITERS
            assert admin.ask("GET", f"/v2/{name}/blobs/{digest_of(body)}", scope=scope).content == body


def test_two_who_push_one_tag(admin: Client, name: str) -> None:
    scope = f"repository:{name}:pull,push"
    admin.push_blob(name, EMPTY)
    headers = {"Content-Type": OCI_MANIFEST}
    with ThreadPoolExecutor(WRITERS) as pool:
        for turn in range(ROUNDS):
            manifests = [image(annotations={"who": f"{turn} {number}"}) for number in range(WRITERS)]

            def put(content: bytes) -> int:
                path = f"/v2/{name}/manifests/latest"
                return admin.ask("PUT", path, content=content, headers=headers, scope=scope).status_code

            assert at_once(pool, [lambda m=m: put(m) for m in manifests]) == [201] * WRITERS
            read = admin.ask("GET", f"/v2/{name}/manifests/latest", scope=scope)
            assert read.content in manifests
            assert read.headers["docker-content-digest"] == digest_of(read.content)
            for content in manifests:
                path = f"/v2/{name}/manifests/{digest_of(content)}"
                assert admin.ask("GET", path, scope=scope).content == content
    tags = json.loads(admin.ask("GET", f"/v2/{name}/tags/list", scope=scope).content)["tags"]
    assert tags == ["latest"]
