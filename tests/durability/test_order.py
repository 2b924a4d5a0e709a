"""An answer is written to its socket only after everything that it vouches for was synced, in the right order.

The page cache survives the end of a process, so killing the hub cannot show that; strace can.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.durability.copies import copy_source, hub_from
from tests.durability.traces import STRACE, requests_of
from tests.hub import HubProcess
from tests.oci import EMPTY, OCI_MANIFEST, Client, digest_of, image

pytestmark = pytest.mark.usefixtures("embedded")  # the order is that of a file system's calls
NAME = "order/pushes"
SCOPE = f"repository:{NAME}:pull,push,delete"
DATA = ["data write", "data fsync"]
COPY = ["rename", "folder fsync"]
ROW = ["database write", "database fsync"]
BEGIN = [*ROW, "answer 202"]
CHUNK = [*DATA, *ROW, "answer 202"]
WHOLE = [*DATA, *COPY, *ROW, "answer 201"]
LAST = ["data fsync", *COPY, *ROW, "answer 201"]  # all was written before; synced once more all the same


@pytest.fixture(autouse=True)
def _strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here: `apt-get install strace` brings it")


def push(hub: HubProcess) -> list[tuple[str, list[str]]]:
    """Pushes in each way, one request after the other; what each should have done."""
    client = Client(hub.url, "admin", hub.admin_password)
    client.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(EMPTY)}", content=EMPTY, scope=SCOPE)
    expected: list[tuple[str, list[str]]] = []

    def ask(label: str, steps: list[str], method: str, path: str, **more: object) -> str:
        answer = client.ask(method, path, scope=SCOPE, **more)
        expected.append((label, steps))
        return str(answer.headers.get("location", ""))

    uploads = f"/v2/{NAME}/blobs/uploads/"
    body = os.urandom(3 * 2**20 + 5)
    ask("single POST", WHOLE, "POST", f"{uploads}?digest={digest_of(body)}", content=body)
    body = os.urandom(5000)
    location = ask("POST, then PUT: begin", BEGIN, "POST", uploads)
    ask("POST, then PUT: end", WHOLE, "PUT", f"{location}?digest={digest_of(body)}", content=body)
    body = os.urandom(5000)
    location = ask("chunked: begin", BEGIN, "POST", uploads)
    for start, stop in ((0, 2000), (2000, 5000)):
        headers = {"Content-Range": f"{start}-{stop - 1}"}
        ask(f"chunked: from {start}", CHUNK, "PATCH", location, content=body[start:stop], headers=headers)
    ask("chunked: end", LAST, "PUT", f"{location}?digest={digest_of(body)}")
    body = os.urandom(2**21)
    location = ask("streamed: begin", BEGIN, "POST", uploads)
    ask("streamed", CHUNK, "PATCH", location, content=iter([body[: 2**20], body[2**20 :]]))
    ask("streamed: end", LAST, "PUT", f"{location}?digest={digest_of(body)}")
    ask("mount", [*ROW, "answer 201"], "POST", f"{uploads}?mount={digest_of(EMPTY)}&from={NAME}")
    manifest, headers = image(body), {"Content-Type": OCI_MANIFEST}
    ask("manifest", [*ROW, "answer 201"], "PUT", f"/v2/{NAME}/manifests/v1", content=manifest, headers=headers)
    ask("delete a tag", [*ROW, "answer 202"], "DELETE", f"/v2/{NAME}/manifests/v1")
    ask("delete a manifest", [*ROW, "answer 202"], "DELETE", f"/v2/{NAME}/manifests/{digest_of(manifest)}")
    ask("delete a blob", [*ROW, "answer 202"], "DELETE", f"/v2/{NAME}/blobs/{digest_of(body)}")
    client.close()
    return expected


def traced(hub: HubProcess, trace: Path) -> tuple[list[tuple[str, list[str]]], list[tuple[str, list[str]]]]:
    """What should have happened, and what did."""
    hub.start(wrapper=(*STRACE, str(trace)))
    try:
        expected = push(hub)
    finally:
        hub.stop()
    happened = requests_of(trace)[-len(expected) :]
    return expected, [(label, steps) for (label, _), steps in zip(expected, happened, strict=True)]


def test_every_answer_comes_after_what_it_vouches_for(tmp_path: Path) -> None:
    expected, happened = traced(HubProcess(tmp_path / "data"), tmp_path / "trace")
    assert happened == expected


FINISH = """            await anyio.to_thread.run_sync(_finish, means, caller, name, upload, intake, rest, digest)
    return _created(name, digest)


async def get_upload"""
LATER = """            import asyncio, contextlib, time
            kept = contextlib.ExitStack(); kept.push(writer.__exit__); writer.__class__.__exit__ = lambda *_: None
            def later(): time.sleep(0.2); _finish(means, caller, name, upload, intake, rest, digest); kept.close()
            asyncio.get_running_loop().run_in_executor(None, later)
    return _created(name, digest)


async def get_upload"""


@pytest.mark.parametrize(
    ("file", "old", "new", "label", "step"),
    [
        (
            "storage/blobs/files.py",
            "            os.fsync(self._opened())\n",
            "            self._opened()\n",
            "",
            "data fsync",
        ),
        (
            "storage/blobs/files.py",
            "                os.rename(self._upload, target)\n",
            "                target.write_bytes(self._upload.read_bytes())\n",
            "single POST",
            "rename",
        ),
        ("storage/blobs/files.py", "            _sync_folder(target.parent)\n", "", "single POST", "folder fsync"),
        ("storage/sqlite.py", '"synchronous = FULL"', '"synchronous = NORMAL"', "manifest", "database fsync"),
        ("registry/uploads.py", FINISH, LATER, "POST, then PUT: end", "rename"),
    ],
    ids=["data fsync", "rename", "folder fsync", "database fsync", "answer last"],
)
def test_leaving_one_step_out_is_noticed(tmp_path: Path, file: str, old: str, new: str, label: str, step: str) -> None:
    source = copy_source(tmp_path / "source", (file, old, new))
    expected, happened = traced(hub_from(source, tmp_path / "data"), tmp_path / "trace")

    for name in [label] if label else ["single POST", "chunked: from 0", "streamed"]:
        assert step in dict(expected)[name]
        assert step not in dict(happened)[name]
