"""Each replica is stopped and started in turn under load through the balancer, and no request fails."""

import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from tests.balancer import Replicas, wait_until_ready
from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

ROUNDS = 2
CHUNK = 400_000


@dataclass
class Load:
    """Pushes in chunks and at once, pulls and deletions of one client, until it is told to end."""

    url: str
    password: str
    name: str
    end: threading.Event
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Goes on until the end."""
        self._client = Client(self.url, "admin", self.password)
        self._scope = f"repository:{self.name}:pull,push,delete"
        try:
            self._expect("POST", f"/v2/{self.name}/blobs/uploads/?digest={digest_of(EMPTY)}", 201, content=EMPTY)
            while not self.end.is_set():
                self._round()
        except httpx.TransportError as error:
            self.failures.append(repr(error))
        self._client.close()

    def _round(self) -> None:
        body = os.urandom(2 * CHUNK)
        digest = digest_of(body)
        begun = self._expect("POST", f"/v2/{self.name}/blobs/uploads/", 202)
        location = begun.headers.get("location", "")
        for start in (0, CHUNK):
            self._expect("PATCH", location, 202, content=body[start : start + CHUNK])
        self._expect("PUT", f"{location}?digest={digest}", 201)
        manifest = image(body)
        headers = {"Content-Type": OCI_MANIFEST}
        self._expect("PUT", f"/v2/{self.name}/manifests/v1", 201, content=manifest, headers=headers)
        got = self._expect("GET", f"/v2/{self.name}/manifests/v1", 200)
        layer = self._expect("GET", f"/v2/{self.name}/blobs/{digest}", 200, follow_redirects=True)
        if got.content != manifest or layer.content != body:
            self.failures.append("other bytes came back")
        for _ in range(10):
            self._expect("HEAD", f"/v2/{self.name}/manifests/v1", 200)
        self._expect("DELETE", f"/v2/{self.name}/manifests/{digest_of(manifest)}", 202)

    def _expect(self, method: str, path: str, status: int, **more: object) -> httpx.Response:
        answer = self._client.ask(method, path, scope=self._scope, **more)
        self.answers[method, answer.status_code] += 1
        if answer.status_code != status:
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def test_no_request_fails(replicas: Replicas) -> None:
    end = threading.Event()
    loads = [Load(replicas.url, replicas.admin_password, f"rolling/n{number}", end) for number in range(4)]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    time.sleep(2)
    for _ in range(ROUNDS):
        for hub in replicas.hubs:
            assert hub.stop() == 0
            hub.check_log()
            hub.start()
            wait_until_ready(hub)
            time.sleep(1)
    end.set()
    for thread in threads:
        thread.join(timeout=120)
    answers = sum((load.answers for load in loads), Counter[tuple[str, int]]())
    print(f"{sum(answers.values())} requests in {2 * ROUNDS} restarts: {dict(answers)}")
    assert [failure for load in loads for failure in load.failures] == []
    assert sum(answers.values()) > 200
