"""Whatever an answer to a pull rests on may change beside a hub that remembers it: the next answer knows."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from auth.passwords import hash_password
from storage.database import Database
from storage.events import SYSTEM
from storage.users import create_user
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess
from tests.oci import Client, digest_of, image

REPOSITORY = "(SELECT id FROM repositories WHERE name = :name)"
NAMESPACE = "(SELECT namespace_id FROM repositories WHERE name = :name)"
USER = "(SELECT n.user_id FROM namespaces n WHERE n.name = :user AND n.kind = 'user')"
TAG = f"(SELECT manifest_id FROM tags WHERE repository_id = {REPOSITORY} AND name = 'v1')"
OTHER = f"(SELECT id FROM manifests WHERE repository_id = {REPOSITORY} AND id <> {TAG})"
BLOB = "(SELECT id FROM blobs WHERE digest = :layer)"

# What changes, and what a reader of the team is told then of the tag, the digest and the layer.
CHANGES = {
    "the user's generation": (f"UPDATE users SET generation = generation + 1 WHERE id = {USER}", (401, 401, 401)),
    "the user is inactive": (f"UPDATE users SET active = false WHERE id = {USER}", (401, 401, 401)),
    "the membership": (f"DELETE FROM memberships WHERE user_id = {USER}", (404, 404, 404)),
    "the role in the team": (f"UPDATE memberships SET role = 'none' WHERE user_id = {USER}", (404, 404, 404)),
    "the owner": (f"UPDATE namespaces SET team_id = NULL WHERE id = {NAMESPACE}", (404, 404, 404)),
    "the name": ("UPDATE repositories SET name = 'z' || name WHERE name = :name", (404, 404, 404)),
    "the tag": (f"DELETE FROM tags WHERE manifest_id = {TAG}", (404, 200, 200)),
    "the manifest": (f"DELETE FROM manifests WHERE id = {TAG}", (404, 404, 200)),
    "the link of the blob": (f"DELETE FROM repository_blobs WHERE blob_id = {BLOB}", (200, 200, 404)),
    "the blob is damaged": (f"UPDATE blobs SET damaged_at = 1 WHERE id = {BLOB}", (200, 200, 404)),
}


@dataclass(frozen=True)
class Reader:
    """Somebody who pulls with one registry token that the hub has seen often."""

    people: People
    http: httpx.Client
    name: str
    user: str
    layer: bytes
    headers: dict[str, str]

    def paths(self) -> list[str]:
        """A tag, a digest and a layer."""
        manifest = digest_of(image(self.layer))
        references = ("manifests/v1", f"manifests/{manifest}", f"blobs/{digest_of(self.layer)}")
        return [f"/v2/{self.name}/{one}" for one in references]

    def told(self) -> tuple[int, ...]:
        """The status of each."""
        answers = (self.http.get(path, headers=self.headers, follow_redirects=True) for path in self.paths())
        return tuple(answer.status_code for answer in answers)

    def change(self, statement: str) -> None:
        """Commits beside the hub."""
        known = {"name": self.name, "user": self.user, "layer": digest_of(self.layer)}
        self.people.run(statement, **{key: value for key, value in known.items() if f":{key}" in statement})


@pytest.fixture(scope="module")
def database(hub: HubProcess) -> Iterator[Database]:
    """A way into the shared hub's database."""
    found = hub.open_database()
    yield found
    found.close()


@pytest.fixture
def reader(hub: HubProcess, database: Database) -> Iterator[Reader]:
    """A reader of a team that owns a private repository."""
    people, word, layer = People(database), f"n{secrets.token_hex(5)}", secrets.token_bytes(100)
    user = f"{word}-reader"
    create_user(database, SYSTEM, user, password_hash=hash_password(PASSWORD))
    people.team(word, **{user: "reader"})
    admin, client = Client(hub.url, "admin", hub.admin_password), Client(hub.url, user, PASSWORD)
    admin.push_image(f"{word}/a", "v1", layer)
    headers = {"Authorization": f"Bearer {client.token(f'repository:{word}/a:pull')}"}
    yield Reader(people, client.http, f"{word}/a", user, layer, headers)
    admin.close()
    client.close()


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_is_known_at_once(change: str, reader: Reader) -> None:
    statement, expected = CHANGES[change]
    for _ in range(3):
        assert reader.told() == (200, 200, 200)
        reader.change("UPDATE hub SET created_at = created_at")  # Something that matters to nobody is committed.
    reader.change(statement)
    assert reader.told() == expected
    assert reader.told() == expected


def test_a_tag_that_is_moved_beside_the_hub(hub: HubProcess, reader: Reader) -> None:
    client = Client(hub.url, "admin", hub.admin_password)
    other = image(reader.layer, annotations={"number": "2"})
    client.push_manifest(reader.name, "v2", other)
    path = reader.paths()[0]
    assert reader.http.get(path, headers=reader.headers).content == image(reader.layer)
    moved = f"UPDATE tags SET manifest_id = {OTHER} WHERE repository_id = {REPOSITORY} AND name = 'v1'"
    reader.change(moved)
    assert reader.http.get(path, headers=reader.headers).content == other
    client.close()


def test_a_module_that_is_found_not_to_run(reader: Reader) -> None:
    path = reader.paths()[0]
    assert "warning" not in reader.http.get(path, headers=reader.headers).headers
    reader.change(f"UPDATE inspections SET state = 'failed', reason = 'it is broken' WHERE manifest_id = {TAG}")
    assert reader.http.get(path, headers=reader.headers).headers["warning"] == '299 - "it is broken"'


def test_a_lease_that_fades_is_renewed_for_a_pusher_only(hub: HubProcess, reader: Reader) -> None:
    client = Client(hub.url, "admin", hub.admin_password)
    scope, path = f"repository:{reader.name}:pull,push", reader.paths()[2]

    def lease() -> int:
        asked = "SELECT leased_until FROM blobs WHERE digest = :layer"
        return int(reader.people.rows(asked, layer=digest_of(reader.layer))[0][0])

    for _ in range(3):
        assert client.ask("HEAD", path, scope=scope).status_code == 200
        reader.change(f"UPDATE blobs SET leased_until = 0 WHERE id = {BLOB}")
        assert reader.told() == (200, 200, 200)
        assert lease() == 0
        assert client.ask("HEAD", path, scope=scope).status_code == 200
        assert lease() > 0
    client.close()
