"""Load that remembers what was acknowledged: pushes, moves, deletes and pulls over several replicas, under faults.

Each pusher works in a repository of its own. For each thing `may_be` holds the contents that it may have: one if the
last command about it was done, more if one was refused or cut short, since that may have been done nevertheless.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from tests.faults.figures import Figures
from tests.hub import HubProcess
from tests.oci import EMPTY, OCI_MANIFEST, digest_of, image

Key = tuple[str, str]  # "blobs" | "manifests", and digest or tag
TAGS = ("v1", "v2", "v3", "latest")
SIZES = (30, 5_000, 200_000, 2_500_000, 9_000_000)
WEIGHTS = (4, 6, 6, 3, 1)
LONGEST = 120  # seconds after which a request counts as hanging for ever


class NotDone(Exception):
    """The hub said that it cannot do this now, or the connection ended."""


@dataclass
class Pusher:
    """One client. It goes on whatever happens, and notes what must not have happened in `wrong`."""

    name: str
    replicas: Sequence[HubProcess]
    seed: int
    sizes: tuple[int, ...] = SIZES
    may_fail: Callable[[], bool] = lambda: True  # whether connections may be refused or cut: a replica is killed
    may_be: dict[Key, set[bytes | None]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    manifests: int = 0  # pushed and acknowledged
    done: list[float] = field(default_factory=list)  # when commands were acknowledged
    figures: Figures = field(default_factory=lambda: Figures(""))  # its own share

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._scope = f"repository:{self.name}:pull,push,delete"
        self._token = ""
        self._http = httpx.Client(timeout=LONGEST, trust_env=False)

    def run(self, stop: threading.Event) -> None:
        """Works until it is told to stop."""
        ways: list[Callable[[], None]] = [self._push, self._push, self._push, self._pull, self._pull, self._delete]
        while not stop.is_set():
            try:
                self._random.choice(ways)()
            except NotDone:
                time.sleep(0.1)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def check(self, hub: HubProcess) -> int:
        """Asks that replica for everything; how many acknowledged things are lost or not what they were."""
        lost = 0
        with httpx.Client(base_url=hub.url, timeout=LONGEST, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {self._new_token(hub)}"}
            for (place, reference), contents in self.may_be.items():
                answer = client.get(f"/v2/{self.name}/{place}/{reference}", headers=headers)
                if answer.status_code not in (200, 404):
                    self.wrong.append(f"{place} {reference}: {answer.status_code} {answer.text[:200]}")
                elif (answer.content if answer.status_code == 200 else None) not in contents:
                    lost += 1
                    self.wrong.append(f"{place} {reference} of {self.name}: {answer.status_code}, but acknowledged")
        return lost

    def _push(self) -> None:
        """Some blobs and a manifest over them, under one tag or two."""
        layers = [self._random.randbytes(self._size()) for _ in range(self._random.randint(1, 2))]
        for content in (EMPTY, *layers):
            self._random.choice([self._whole, self._whole, self._in_chunks])(content)
        manifest = image(*layers, annotations={"n": str(self._random.random())})
        digest = digest_of(manifest)
        tags = self._random.sample(TAGS, self._random.randint(1, 2))
        path = f"/v2/{self.name}/manifests/{digest}?" + "&".join(f"tag={tag}" for tag in tags)
        change: dict[Key, bytes | None] = {("manifests", digest): manifest}
        change |= {("manifests", tag): manifest for tag in tags}
        self._command(change, "PUT", path, 201, content=manifest, headers={"Content-Type": OCI_MANIFEST})
        self.manifests += 1

    def _delete(self) -> None:
        """A tag, or a manifest with the tags that point to it."""
        there = sorted(key for key, known in self.may_be.items() if key[0] == "manifests" and None not in known)
        if len(there) < 5:
            return
        key = self._random.choice(there)
        gone: dict[Key, bytes | None] = {key: None}
        if ":" in key[1]:
            content = self.may_be[key]
            gone |= {other: None for other, known in self.may_be.items() if ":" not in other[1] and known & content}
        self._command(gone, "DELETE", f"/v2/{self.name}/manifests/{key[1]}", 202)

    def _pull(self) -> None:
        """Something that may be there, from any replica."""
        if not self.may_be:
            return
        place, reference = self._random.choice(sorted(self.may_be))
        answer = self._ask("GET", f"/v2/{self.name}/{place}/{reference}", 200, 404)
        content = answer.content if answer.status_code == 200 else None
        if content not in self.may_be[place, reference]:
            self.wrong.append(f"GET {place} {reference}: {answer.status_code}, {len(answer.content)} bytes")

    def _whole(self, content: bytes) -> None:
        digest = digest_of(content)
        path = f"/v2/{self.name}/blobs/uploads/?digest={digest}"
        self._command({("blobs", digest): content}, "POST", path, 201, content=content)

    def _in_chunks(self, content: bytes) -> None:
        """In two or three chunks, each to any replica; a chunk that was refused goes on where the upload says."""
        digest = digest_of(content)
        location = self._ask("POST", f"/v2/{self.name}/blobs/uploads/", 202).headers["location"]
        path = location.removeprefix(next((one.url for one in self.replicas if location.startswith(one.url)), ""))
        cuts = sorted({0, len(content), *(self._random.randint(2, len(content)) for _ in range(2))})
        for start, stop in pairwise(cuts):
            self._chunk(path, content, start, stop)
        self._command({("blobs", digest): content}, "PUT", f"{path}?digest={digest}", 201)

    def _chunk(self, path: str, content: bytes, start: int, stop: int) -> None:
        try:
            self._ask("PATCH", path, 202, content=content[start:stop])
        except NotDone:
            status = self._ask("GET", path, 204)
            at = int(status.headers["range"].partition("-")[2])
            at = at + 1 if at else 0
            if at not in (start, stop):
                self.wrong.append(f"an upload says {at} after a chunk from {start} to {stop}")
                raise
            if at != stop:
                self._ask("PATCH", path, 202, content=content[at:stop])

    def _command(self, change: dict[Key, bytes | None], method: str, path: str, status: int, **more: Any) -> None:
        """Notes what may be while the command is under way, and what is once it was acknowledged."""
        for key, content in change.items():
            self.may_be[key] = self.may_be.get(key, {None}) | {content}
        self._ask(method, path, status, **more)
        self.may_be.update({key: {content} for key, content in change.items()})
        self.figures.acknowledged += 1
        self.done.append(time.monotonic())

    def _ask(self, method: str, path: str, *good: int, **more: Any) -> httpx.Response:
        """Asks one of the replicas. Raises NotDone; what is neither good nor an honest refusal is noted first."""
        hub = self._random.choice(self.replicas)
        if not self._token:
            self._token = self._new_token(hub)
        headers = {"Authorization": f"Bearer {self._token}", **more.pop("headers", {})}
        answer = self._timed(lambda: self._http.request(method, hub.url + path, headers=headers, **more), path)
        if answer.status_code == 401:  # the token's time is over, or the hub's clock says so: a new one, once
            self._token = self._new_token(hub)
            headers["Authorization"] = f"Bearer {self._token}"
            answer = self._timed(lambda: self._http.request(method, hub.url + path, headers=headers, **more), path)
        if answer.status_code in good:
            return answer
        if not is_honest(answer):
            self.wrong.append(f"{method} {path[:80]}: {answer.status_code} {answer.text[:300]}")
        self.figures.refused += 1
        raise NotDone

    def _new_token(self, hub: HubProcess) -> str:
        auth = ("admin", hub.admin_password)
        query = {"scope": self._scope}
        answer = self._timed(lambda: self._http.get(f"{hub.url}/token", params=query, auth=auth), "/token")
        if answer.status_code != 200:
            if not is_honest(answer):
                self.wrong.append(f"/token: {answer.status_code} {answer.text[:300]}")
            raise NotDone
        return str(answer.json()["token"])

    def _timed(self, ask: Callable[[], httpx.Response], path: str) -> httpx.Response:
        self.figures.requests += 1
        began = time.monotonic()
        try:
            return ask()
        except httpx.TransportError as error:
            if isinstance(error, httpx.TimeoutException) or not self.may_fail():
                self.wrong.append(f"{path[:80]}: {error!r} after {time.monotonic() - began:.1f} s")
            raise NotDone from None
        finally:
            self.figures.longest = max(self.figures.longest, time.monotonic() - began)

    def _size(self) -> int:
        return self._random.choices(self.sizes, WEIGHTS[: len(self.sizes)])[0]


def is_honest(answer: httpx.Response) -> bool:
    """Whether an answer says, in the door's own words, that something is missing now and when to come again."""
    if answer.status_code not in (503, 507) or not answer.headers.get("retry-after", "").isdigit():
        return False
    errors = answer.json().get("errors", [])
    return len(errors) == 1 and errors[0]["code"] == "UNAVAILABLE" and len(errors[0]["message"]) > 10


class Load:
    """Pushers at work beside one another while a test breaks things. Afterwards all that was acknowledged is there."""

    def __init__(self, replicas: Sequence[HubProcess], figures: Figures, *, pushers: int = 3, **more: Any) -> None:
        self.seed = int(hashlib.sha256(figures.fault.encode()).hexdigest()[:6], 16) ^ time.time_ns() % 2**24
        self.figures = figures
        self.replicas = replicas
        names = [f"load{self.seed}/p{number}" for number in range(pushers)]
        self.pushers = [Pusher(name, replicas, self.seed + n, **more) for n, name in enumerate(names)]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one.run, args=(self._stop,), daemon=True) for one in self.pushers]
        print(f"SEED={self.seed}")

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Lets the pushers end what they are at."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=LONGEST)
            assert not thread.is_alive(), "a request hangs"

    def until(self, commands: int, seconds: float) -> None:
        """Waits until so many more commands were acknowledged; fails after those seconds."""
        wanted = self.acknowledged() + commands
        end = time.monotonic() + seconds
        while self.acknowledged() < wanted:
            assert time.monotonic() < end, f"only {self.acknowledged()} of {wanted} commands: {self.wrong()[:5]}"
            time.sleep(0.01)

    def acknowledged(self) -> int:
        """How many commands the hub said it had done."""
        return sum(one.figures.acknowledged for one in self.pushers)

    def refused(self) -> int:
        """How many requests were refused until now."""
        return sum(one.figures.refused for one in self.pushers)

    def pushed(self) -> int:
        """How many manifests were pushed and acknowledged."""
        return sum(one.manifests for one in self.pushers)

    def next_after(self, moment: float) -> float:
        """When the first command after that moment was acknowledged."""
        return min(
            next(one for one in pusher.done if one > moment)
            for pusher in self.pushers
            if pusher.done and pusher.done[-1] > moment
        )

    def recovered(self, since: float, seconds: float) -> None:
        """Waits until each pusher had a command acknowledged after that moment, and notes how long that took."""
        end = time.monotonic() + seconds
        while not all(one.done and one.done[-1] > since for one in self.pushers):
            assert time.monotonic() < end, f"no recovery within {seconds} s: {self.wrong()[:5]}"
            time.sleep(0.01)
        firsts = [next(moment for moment in one.done if moment > since) for one in self.pushers]
        self.figures.recovery = max(self.figures.recovery, *(moment - since for moment in firsts))

    def wrong(self) -> list[str]:
        """What must not have happened."""
        return [words for one in self.pushers for words in one.wrong]

    def check(self) -> None:
        """Asks each replica for everything that was acknowledged, and notes the figures. Fails if any is wrong."""
        self.figures.lost = sum(one.check(hub) for one in self.pushers for hub in self.replicas)
        self.figures.wrong = len(self.wrong())
        for one in self.pushers:
            self.figures.requests += one.figures.requests
            self.figures.acknowledged += one.figures.acknowledged
            self.figures.refused += one.figures.refused
            self.figures.longest = max(self.figures.longest, one.figures.longest)
            one.close()
        self.figures.note()
        assert not self.wrong(), self.wrong()[:10]
        assert self.figures.lost == 0
