"""Load: many requests at once from wrk (GET) or hey (HEAD), and how much of its core the server had meanwhile."""

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.servers import Server

CONNECTIONS = 16
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Round:
    """What one round of load on one server showed."""

    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float  # milliseconds
    share: float  # of one core that the server had: below 1 others, or the load itself, held it up


def drive(
    server: Server, method: str, path: str, headers: Mapping[str, str], *, seconds: float, core: int | None
) -> Round:
    """Loads one path for that long over 16 connections, from `core`. Raises RuntimeError if an answer was not 2xx."""
    url = f"http://127.0.0.1:{server.port}{path}"
    lines = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    if method == "GET":
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            "--timeout",
            "30s",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            *lines,
            url,
        ]
        read = _read_wrk
    else:
        command = ["hey", "-z", f"{seconds}s", "-c", str(CONNECTIONS), "-m", method, *lines, url]
        read = _read_hey
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    used, began = server.processor(), time.monotonic()
    done = subprocess.run([*pinned, *command], capture_output=True, text=True, check=True)
    share = (server.processor() - used) / (time.monotonic() - began)
    return Round(*read(done.stdout, f"{server.name} {method} {path}"), share)


def _read_wrk(said: str, what: str) -> tuple[float, float, float]:
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", said)
    if refused:
        raise RuntimeError(f"{what}: {refused[0]}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return float(rate[1]), _percentile(said, 50), _percentile(said, 99)


def _percentile(said: str, which: int) -> float:
    found = re.search(rf"^\s*{which}%\s+([\d.]+)(us|ms|s)", said, re.MULTILINE)
    assert found is not None, said
    return float(found[1]) * _UNITS[found[2]]


def _read_hey(said: str, what: str) -> tuple[float, float, float]:
    codes = set(re.findall(r"\[(\d+)\]\s+\d+ responses", said))
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if codes != {"200"} or rate is None:
        raise RuntimeError(f"{what}: answers were {sorted(codes)}:\n{said[-1000:]}")
    p50, p99 = (re.search(rf"{which}%+ in ([\d.]+) secs", said) for which in (50, 99))
    return float(rate[1]), float(p50[1]) * 1000 if p50 else 0.0, float(p99[1]) * 1000 if p99 else 0.0
