"""The hub dies at each step of a push, and goes on after the restart as if that push had not begun, or had ended."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.durability.copies import copy_source, hub_from
from tests.durability.folders import check_folders
from tests.hub import HubProcess
from tests.oci import EMPTY, Client, digest_of

pytestmark = pytest.mark.usefixtures("embedded")  # the steps are those of a push to files
NAME = "crash/points"
SCOPE = f"repository:{NAME}:pull,push"
# Where the hub dies: the line before which that is, and whether the blob is there after the restart.
POINTS = {
    "bytes written": ("storage/blobs/files.py", "            os.fsync(self._opened())\n", False),
    "bytes synced": ("storage/blobs/files.py", "                os.rename(self._upload, target)\n", False),
    "renamed": ("storage/blobs/files.py", "            _sync_folder(target.parent)\n", False),
    "folder synced": ("registry/uploads.py", "        ours = save_blob(", False),
    "row written": ("storage/database.py", '            session.info["driver"].execute("COMMIT")\n', False),
    "row committed": ("registry/uploads.py", "        intake.writer.done()\n", True),
}
# The file named by DIE names the point at which the hub dies.
DIE = '(lambda o: o.path.exists(o.environ["DIE"]) and open(o.environ["DIE"]).read() == "{}" and o.kill(o.getpid(), 9))'


def deadly(point: str) -> tuple[str, str, str]:
    """The change to the source that makes it die there when it is told to."""
    file, line, _ = POINTS[point]
    indent = line[: len(line) - len(line.lstrip())]
    return file, line, f'{indent}{DIE.format(point)}(__import__("os"))\n{line}'


@pytest.fixture(scope="module")
def die(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says where to die."""
    return tmp_path_factory.mktemp("die") / "here"


@pytest.fixture(scope="module")
def deadly_hub(tmp_path_factory: pytest.TempPathFactory, die: Path) -> Iterator[HubProcess]:
    """A hub that dies where it is told to."""
    folder = tmp_path_factory.mktemp("crash")
    source = copy_source(folder / "source", *map(deadly, POINTS))
    with hub_from(source, folder / "data", DIE=str(die)) as hub:
        yield hub


@pytest.fixture(scope="module")
def client(deadly_hub: HubProcess) -> Iterator[Client]:
    """The administrator, who has pushed there before."""
    client = Client(deadly_hub.url, "admin", deadly_hub.admin_password)
    client.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(EMPTY)}", content=EMPTY, scope=SCOPE)
    yield client
    client.close()


@pytest.mark.parametrize("point", POINTS)
def test_dying_in_a_push_by_chunks(deadly_hub: HubProcess, client: Client, die: Path, point: str) -> None:
    """The upload goes on at the offset that was acknowledged, or has become the blob."""
    client.push_blob(NAME, EMPTY)
    body = os.urandom(100_000)
    digest = digest_of(body)
    location = client.ask("POST", f"/v2/{NAME}/blobs/uploads/", scope=SCOPE).headers["location"]
    chunk = client.ask("PATCH", location, content=body[:40_000], scope=SCOPE)
    assert chunk.status_code == 202

    die.write_text(point)
    with pytest.raises(httpx.TransportError):
        client.ask("PUT", f"{location}?digest={digest}", content=body[40_000:], scope=SCOPE)
    deadly_hub.kill()
    die.unlink()
    deadly_hub.start()
    before = check_folders(deadly_hub.data)
    read = client.ask("GET", f"/v2/{NAME}/blobs/{digest}", scope=SCOPE)
    status = client.ask("GET", location, scope=SCOPE)
    if POINTS[point][2]:
        assert (read.status_code, read.content, status.status_code) == (200, body, 404)
    else:
        assert (read.status_code, status.status_code, status.headers["range"]) == (404, 204, "0-39999")
        put = client.ask("PUT", f"{location}?digest={digest}", content=body[40_000:], scope=SCOPE)
        assert put.status_code == 201
    # A copy that the dead hub had finished and not committed is left, for garbage collection to find.
    left = check_folders(deadly_hub.data) - before
    assert len(left) == (point in ("renamed", "folder synced", "row written"))
    assert client.ask("GET", f"/v2/{NAME}/blobs/{digest}", scope=SCOPE).content == body


@pytest.mark.parametrize("point", ["renamed", "folder synced", "row written", "row committed"])
def test_dying_in_a_push_at_once(deadly_hub: HubProcess, client: Client, die: Path, point: str) -> None:
    """The blob is there, or nothing at all is."""
    die.write_text(point)
    whole = os.urandom(1000)
    with pytest.raises(httpx.TransportError):
        client.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(whole)}", content=whole, scope=SCOPE)
    deadly_hub.kill()
    die.unlink()
    before = check_folders(deadly_hub.data)
    deadly_hub.start()
    assert check_folders(deadly_hub.data) == before
    assert not list((deadly_hub.data / "blobs" / "uploads").iterdir())
    head = client.ask("HEAD", f"/v2/{NAME}/blobs/{digest_of(whole)}", scope=SCOPE)
    assert head.status_code == (200 if POINTS[point][2] else 404)
