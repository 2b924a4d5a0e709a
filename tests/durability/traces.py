"""Reads what strace saw of a hub: in which order it wrote, synced, renamed and answered."""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

CALLS = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2"
STRACE = ("strace", "-D", "-f", "-y", "-s", "32", "-e", f"trace={CALLS}", "-e", "signal=none", "-o")

_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_ON_FILE = re.compile(r"(\w+)\(\d+<([^>]*)>")
_RENAME = re.compile(r'rename\w*\(.*?"([^"]+)".*?"([^"]+)"')
_ANSWER = re.compile(r'"HTTP/1\.1 (\d\d\d) ')


def requests_of(trace: Path) -> list[list[str]]:
    """What happened for each answer, ending with the answer, such as `data write`, `data fsync`, `answer 201`.

    Repetitions are left out. Requests must have come one after the other.
    """
    found: list[list[str]] = []
    steps: list[str] = []
    for step in _steps(trace):
        steps.append(step)
        if step.startswith("answer"):
            found.append([name for name, _ in groupby(steps)])
            steps = []
    return found


def _steps(trace: Path) -> Iterator[str]:
    """One step a line. A call counts when it returns; an answer, which others may see at once, when it begins."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call = match.groups()
        resumed = _RESUMED.match(call)
        if resumed:
            call = begun.pop(thread, "") + resumed[1]
            if _ANSWER.search(call):
                continue
        elif call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>")
            if not _ANSWER.search(call):
                continue
        step = _step(call)
        if step is not None:
            yield step


def _step(call: str) -> str | None:
    answer = _ANSWER.search(call)
    if answer:
        return f"answer {answer[1]}"
    renamed = _RENAME.match(call)
    if renamed:
        return "rename" if "/uploads/" in renamed[1] and "/copies/" in renamed[2] else None
    on_file = _ON_FILE.match(call)
    what = _thing(on_file[2]) if on_file else None
    if on_file is None or what is None:
        return None
    return f"{what} {'fsync' if 'sync' in on_file[1] else 'write'}"


def _thing(path: str) -> str | None:
    if "/blobs/uploads/" in path:
        return "data"
    if path.endswith("/hub.db-wal"):
        return "database"
    return "folder" if re.search(r"/copies/[0-9a-f]{2}$", path) else None
