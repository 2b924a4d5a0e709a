"""Nodes that poll in the background, as proxies of a fleet do, and deployment sets as their owner drives them."""

import threading
from typing import Any

import httpx

from tests.deploy.fleet import Fleet, until
from tests.deploy.test_polls import Node


class Polling:
    """A node that polls its first slots until the block ends; it refuses the revisions of those numbers."""

    def __init__(self, fleet: Fleet, name: str = "edge-1", slots: int = 2) -> None:
        self.node = Node(fleet, fleet.new_key()["key"], name)
        self.refuses: set[int] = set()
        self._slots = range(1, slots + 1)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Polling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.1):
            for slot in self._slots:
                served = self.node.poll(slot, takes=False)
                if served is not None and not any(f".r{one}." in served["version"] for one in self.refuses):
                    self.node.version[slot] = served["version"]


class Set:
    """A deployment set over the API, as whoever `http` is signed in as drives it."""

    def __init__(self, http: httpx.Client, name: str, namespace: str = "admin") -> None:
        self.http = http
        self.path = f"/api/v1/sets/{namespace}/{name}"

    def put(self, *members: dict[str, Any], **body: Any) -> httpx.Response:
        """Makes or changes it."""
        return self.http.put(self.path, json={"bake": "0s", "members": [*members], **body})

    def apply(self, *members: dict[str, Any], **body: Any) -> dict[str, Any]:
        """The same, which must be taken."""
        made = self.put(*members, **body)
        assert made.status_code in (200, 201), made.text
        return dict(made.json())

    def get(self) -> dict[str, Any]:
        """The set; its `status` and `state` are 404 where there is none."""
        answer = self.http.get(self.path)
        if answer.status_code == 404:
            return {"state": 404, "status": 404}
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, verb: str, **body: Any) -> httpx.Response:
        """Pauses, resumes, aborts, rolls back."""
        return self.http.post(f"{self.path}/{verb}", json=body)

    def becomes(self, state: Any, seconds: float = 30) -> dict[str, Any]:
        """The set once it is in that state and nothing of it is under way."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.get()
            return last if last["state"] == state and (last.get("ended_at") or state not in OVER) else None

        try:
            found: dict[str, Any] = until(look, f"{self.path} is {state}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None
        return found

    def says(self, words: str, seconds: float = 30) -> dict[str, Any]:
        """The set once its sentence has those words."""
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            nonlocal last
            last = self.get()
            return last if words in last["message"] else None

        try:
            found: dict[str, Any] = until(look, words, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {last}") from None
        return found

    def kinds(self, revision: int) -> list[tuple[str, int]]:
        """What its timeline has of that revision: kind and wave."""
        return [(one["kind"], one["wave"]) for one in self.get()["events"] if one["revision"] == revision]


OVER = ("done", "rolled-back", "aborted", "stopped")
