"""What machines ask about the hub: /healthz (it runs), /readyz (it can serve, or what is missing), /metrics."""

import json

from starlette.types import Receive, Scope, Send

from wasmhub.counts import REMOVED, Counts
from wasmhub.readiness import Readiness

HEALTH_PATHS = ("/healthz", "/readyz", "/metrics")
PLAIN = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
JSON = (b"content-type", b"application/json")


class HealthDoor:
    """Answers what machines ask about the hub."""

    def __init__(self, readiness: Readiness, counts: Counts) -> None:
        self.readiness = readiness
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        status, text, kind = 404, "there is no such page\n", PLAIN
        if scope["path"] == "/healthz":
            status, text = 200, "ok\n"
        elif scope["path"] == "/readyz":
            ready, found = await self.readiness.look()
            status, text, kind = 200 if ready else 503, json.dumps(found) + "\n", JSON
        elif scope["path"] == "/metrics":
            status, text = 200, self._metrics()
        body = text.encode()
        headers = [kind, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _metrics(self) -> str:
        lines = ["# HELP wasmhub_requests_total Requests answered.", "# TYPE wasmhub_requests_total counter"]
        for (door, status), count in sorted(self._counts.totals().items()):
            lines.append(f'wasmhub_requests_total{{door="{door}",status="{status}"}} {count}')
        work = self._counts.work()
        lines += [
            *_collected(work),
            "# HELP wasmhub_scrubbed_blobs_total Blobs whose stored bytes were read and compared again.",
            "# TYPE wasmhub_scrubbed_blobs_total counter",
            f"wasmhub_scrubbed_blobs_total {work['scrubbed']}",
            "# HELP wasmhub_damaged_blobs_total Of these, blobs whose bytes were wrong or gone, mended ones too.",
            "# TYPE wasmhub_damaged_blobs_total counter",
            f"wasmhub_damaged_blobs_total {work['damaged']}",
            "# HELP process_start_time_seconds When the hub started, in seconds since 1970.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self._counts.started:.0f}",
        ]
        return "\n".join(lines) + "\n"


def _collected(work: dict[str, int]) -> list[str]:
    """What was done about garbage."""
    return [
        "# HELP wasmhub_gc_running Whether this hub is the one that collects garbage now.",
        "# TYPE wasmhub_gc_running gauge",
        f"wasmhub_gc_running {work['collecting']}",
        "# HELP wasmhub_gc_runs_total Garbage collections that ended in this hub.",
        "# TYPE wasmhub_gc_runs_total counter",
        *(f'wasmhub_gc_runs_total{{result="{result}"}} {work[result]}' for result in ("finished", "failed")),
        "# HELP wasmhub_gc_removed_total What garbage collection removed, or noted as left behind (orphans).",
        "# TYPE wasmhub_gc_removed_total counter",
        *(f'wasmhub_gc_removed_total{{kind="{kind}"}} {work[kind]}' for kind in REMOVED),
        "# HELP wasmhub_gc_freed_bytes_total Bytes of blobs that garbage collection deleted.",
        "# TYPE wasmhub_gc_freed_bytes_total counter",
        f"wasmhub_gc_freed_bytes_total {work['bytes']}",
    ]
