"""A hub whose leases are short, and what lies in its blob store."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import httpx

from storage.blobs.files import FileBlobs
from storage.blobs.opening import open_blobs
from storage.blobs.s3_writer import COPIES
from storage.blobs.store import BlobStore, Bucket
from tests.hub import HubProcess
from tests.oci import Client
from wasmhub.settings import load_settings

SHORT = {
    "WASMHUB_GC_INTERVAL": "0",
    "WASMHUB_GC_LEASE": "1",
    "WASMHUB_GC_GRACE": "1",
    "WASMHUB_GC_ORPHANS": "2",
}
LEASE_IS_OVER = 1.9  # seconds: a lease, and the steps of the hub's clock


class Yard:
    """A hub with an administrator who pushes, and collects when told to."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub = hub
        self.client = Client(hub.url, "admin", hub.admin_password)
        self.api = httpx.Client(
            base_url=f"{hub.url}/api/v1", auth=("admin", hub.admin_password), timeout=30, trust_env=False
        )

    def close(self) -> None:
        """Closes its connections."""
        self.client.close()
        self.api.close()

    def collect(self, *, dry_run: bool = False) -> dict[str, int]:
        """Has garbage collected, and says what was done."""
        asked = self.api.post("/garbage-collections", json={"dry_run": dry_run})
        assert asked.status_code == 202, asked.text
        ended = self.ended(asked.json()["id"])
        assert ended["state"] == "finished", ended
        figures: dict[str, int] = ended["figures"]
        return figures

    def ended(self, number: int) -> dict[str, Any]:
        """A run once it has ended."""

        def look() -> dict[str, Any] | None:
            run: dict[str, Any] = self.api.get(f"/garbage-collections/{number}").json()
            return run if run["state"] in ("finished", "failed") else None

        return until(look, "the end of a garbage collection")

    def collect_after_leases(self) -> dict[str, int]:
        """Has garbage collected once no lease that was given so far can hold anything."""
        time.sleep(LEASE_IS_OVER)
        return self.collect()

    def collect_until_stored(self, count: int) -> None:
        """Has garbage collected until that many things lie in the blob store."""

        def look() -> bool:
            self.collect()
            return len(self.stored()) == count

        until(look, f"{count} copies in the blob store", pause=0.4)

    def blobs(self) -> BlobStore:
        """The hub's blob store, from beside it."""
        return open_blobs(self._place())

    def put_back(self, key: str, content: bytes) -> None:
        """Puts bytes where a copy of that key was."""
        place = self._place()
        if isinstance(place, Path):
            with FileBlobs(place).resume(key, 0, None) as writer:
                writer.write([content])
                assert writer.finish() == key
                writer.done()
            return
        client = boto3.client("s3", endpoint_url=place.endpoint, region_name="us-east-1")
        client.put_object(Bucket=place.name, Key=f"{place.prefix}{COPIES}{key}", Body=content)
        client.close()

    def _place(self) -> Path | Bucket:
        """Where the hub keeps bytes; this process gets the credentials for it."""
        told = self.hub.told()
        os.environ.update({name: value for name, value in told.items() if name.startswith("AWS_")})
        return load_settings({name: value for name, value in told.items() if "AWS" not in name}).blob_place

    def stored(self) -> set[str]:
        """Keys of what lies in the blob store."""
        return {one.key for one in self.blobs().list("", 1000)}

    def status(self, name: str, digest: str, kind: str = "blobs", method: str = "GET", scope: str = "pull") -> int:
        """What the hub answers to who asks for a blob or a manifest."""
        path = f"/v2/{name}/{kind}/{digest}"
        return self.client.ask(method, path, scope=f"repository:{name}:{scope}", follow_redirects=True).status_code


def until(look: Callable[[], Any], what: str, *, seconds: float = 30, pause: float = 0.1) -> Any:
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"{what} did not come within {seconds} s")
