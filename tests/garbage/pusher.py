"""Clients of a soak: what each was told by a hub it holds the hubs to."""

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import httpx

from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

LEASE = 6  # seconds
POOL = 30  # contents that several repositories have in common
WAYS_TO_REFUSE = (429, 503)  # a hub may be busy; it may not be wrong


class Away(Exception):
    """No answer came, or that the hub is busy: what was asked for may have happened or not."""


class Shared:
    """What all clients know."""

    def __init__(self, urls: list[str], password: str) -> None:
        self.urls = urls
        self.password = password
        self.ending = threading.Event()
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()

    def violate(self, sentence: str) -> None:
        """Notes that something is not as it should be."""
        self.violations.append(sentence)


class Pusher:
    """Pushes to, and deletes from, a repository of its own; a second thread pulls from it."""

    def __init__(self, shared: Shared, name: str, seed: int) -> None:
        self.name = name
        self._shared = shared
        self._dice = random.Random(seed)
        self._clients = {
            side: [Client(url, "admin", shared.password) for url in shared.urls] for side in ("push", "pull")
        }
        self._held: dict[str, bytes] = {}  # manifests for certain there, by digest
        self._layers: dict[str, list[bytes]] = {}  # of each manifest that was ever pushed

    def push(self) -> None:
        """Pushes, mounts and deletes until the soak ends."""
        ways: list[Callable[[], None]] = [self._publish] * 6 + [self._delete] * 3 + [self._leave, self._untag]
        self._work(lambda: self._dice.choice(ways)())

    def pull(self) -> None:
        """Pulls what is for certain there, and compares it byte for byte."""
        dice = random.Random(self.name)
        self._work(lambda: self._pull_some(dice))

    def _work(self, act: Callable[[], None]) -> None:
        while not self._shared.ending.is_set() and not self._shared.violations:
            try:
                act()
            except Away as away:
                self._shared.counts[f"unanswered: {away}"] += 1
                time.sleep(0.2)
            except Exception as error:
                self._shared.violate(f"{self.name}: {error!r}")

    def check_all(self) -> None:
        """Pulls everything that is for certain there."""
        for digest in sorted(self._held):
            self._again(lambda digest=digest: self._pull(digest))

    def delete_all(self) -> None:
        """Deletes every manifest that may be there, and every tag with them."""
        self._held.clear()
        for digest in self._layers:
            self._again(lambda digest=digest: self._ask("DELETE", f"manifests/{digest}", (202, 404)))

    def close(self) -> None:
        """Closes its connections."""
        for client in [one for clients in self._clients.values() for one in clients]:
            client.close()

    def _again(self, act: Callable[[], object]) -> None:
        """Does something that must be answered in the end, now that no hub is killed any more."""
        for _ in range(50):
            try:
                act()
                return
            except Away:
                time.sleep(0.2)
        self._shared.violate(f"{self.name}: no hub answers any more")

    def _publish(self) -> None:
        """Some layers, those that are not there yet, and a manifest over them."""
        layers = [self._content() for _ in range(self._dice.randint(1, 3))]
        relied: dict[str, float] = {}  # until when each blob can be counted on
        for layer in {*layers, EMPTY}:
            relied[digest_of(layer)] = self._provide(layer)
            if self._dice.random() < 0.1:
                time.sleep(self._dice.uniform(0, LEASE / 3))
        manifest = image(*layers, annotations={"n": str(self._dice.random())})
        digest = digest_of(manifest)
        self._layers[digest] = [*layers, EMPTY]
        path = f"manifests/{digest}?tag=t{self._dice.randint(0, 5)}"
        answer = self._ask("PUT", path, (201, 404, 400), content=manifest, headers={"Content-Type": OCI_MANIFEST})
        if answer.status_code == 201:
            self._held[digest] = manifest
            self._shared.counts["manifests"] += 1
            return
        missing = [one["digest"] for one in answer.json()["errors"][0]["detail"]]
        wrongly = [one for one in missing if relied[one] > time.monotonic()]
        if wrongly:
            self._shared.violate(f"{self.name}: {wrongly} were there, and are not")
        self._shared.counts["too_late"] += 1

    def _provide(self, layer: bytes) -> float:
        """Sees to it that a blob is there; until when that can be counted on."""
        digest, began = digest_of(layer), time.monotonic()
        if self._ask("HEAD", f"blobs/{digest}", (200, 404)).status_code == 200:
            self._shared.counts["skipped"] += 1
            return began + LEASE / 2
        began = time.monotonic()
        if self._dice.random() < 0.3:
            source = f"soak/p{self._dice.randrange(4)}"
            scope = f"repository:{self.name}:pull,push repository:{source}:pull"
            path = f"blobs/uploads/?mount={digest}&from={source}"
            if self._ask("POST", path, (201, 202), scope=scope).status_code == 201:
                self._shared.counts["mounts"] += 1
                return began + LEASE
        began = time.monotonic()
        if self._dice.random() < 0.5:
            self._ask("POST", f"blobs/uploads/?digest={digest}", (201,), content=layer)
        else:
            place = self._ask("POST", "blobs/uploads/", (202,)).headers["location"]
            half = len(layer) // 2
            self._ask("PATCH", place, (202,), content=layer[:half])
            began = time.monotonic()
            self._ask("PUT", f"{place}?digest={digest}", (201,), content=layer[half:])
        self._shared.counts["blobs"] += 1
        return began + LEASE

    def _leave(self) -> None:
        """An upload that nobody goes on with, given up on so that nothing is left in the end."""
        place = self._ask("POST", "blobs/uploads/", (202,)).headers["location"]
        self._ask("PATCH", place, (202,), content=self._content())
        self._ask("DELETE", place, (204,))

    def _delete(self) -> None:
        """A manifest; it is not for certain there from the moment on when somebody asks."""
        if len(self._held) < 3:
            return
        digest = self._dice.choice(sorted(self._held))
        del self._held[digest]
        self._ask("DELETE", f"manifests/{digest}", (202, 404))
        self._shared.counts["deletes"] += 1

    def _untag(self) -> None:
        self._ask("DELETE", f"manifests/t{self._dice.randint(0, 5)}", (202, 404))

    def _pull_some(self, dice: random.Random) -> None:
        held = sorted(self._held)
        if not held:
            time.sleep(0.1)
            return
        self._pull(dice.choice(held))
        time.sleep(0.01)

    def _pull(self, digest: str) -> None:
        """A manifest and its blobs, which must be there as long as nobody begins to delete it."""
        wanted = [(f"manifests/{digest}", self._held.get(digest))]
        wanted += [(f"blobs/{digest_of(layer)}", layer) for layer in self._layers[digest]]
        for path, content in wanted:
            answer = self._ask("GET", path, (200, 404), side="pull")
            if digest not in self._held:
                return
            if answer.status_code != 200 or answer.content != content:
                self._shared.violate(
                    f"{self.name}: {path} of {digest} answers {answer.status_code} {answer.text[:200]}"
                )
        self._shared.counts["pulls"] += 1

    def _ask(
        self, method: str, path: str, statuses: tuple[int, ...], *, side: str = "push", scope: str = "", **more: object
    ) -> httpx.Response:
        """One of the hubs, by chance. Raises Away without an answer; another answer than those is a violation."""
        scope = scope or f"repository:{self.name}:pull,push,delete"
        where = path if path.startswith("/") else f"/v2/{self.name}/{path}"
        client = random.choice(self._clients[side])
        try:
            answer = client.ask(method, where, scope=scope, follow_redirects=method == "GET", **more)
        except (httpx.TransportError, AssertionError) as error:  # the latter: no token from a hub that is away
            raise Away(type(error).__name__) from error
        if answer.status_code == 401:  # the token has expired
            client._tokens.clear()
            raise Away(answer.status_code)
        if answer.status_code in WAYS_TO_REFUSE:
            raise Away(answer.status_code)
        if answer.status_code not in statuses:
            self._shared.violate(f"{method} {where}: {answer.status_code} {answer.text[:300]}")
            raise Away(answer.status_code)
        return answer

    def _content(self) -> bytes:
        """A content of the pool, or one that is new."""
        if self._dice.random() < 0.7:
            number = self._dice.randrange(POOL)
            return hashlib.sha512(b"pool %d" % number).digest() * (1 + number * number)
        return self._dice.randbytes(self._dice.choice([100, 20_000, 300_000]))
