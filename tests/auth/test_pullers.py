"""With what a target's proxies pull: seen by nobody as a user, and good through whatever happens to the repository."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from auth.secrets import ROBOT, fingerprint, hint, load_secret_key, new_secret
from deploy.meshes.kinds import MESHES
from storage.events import SYSTEM
from storage.namespaces import InvalidName, name_problem
from storage.pullers import give_pull_credentials, login_of, take_unused_credentials
from storage.robots import NewSecret
from storage.targets import create_target
from storage.users import create_user
from tests.auth.people import PASSWORD, People
from tests.hub import HubProcess
from tests.oci import Client

DENIED = (401, 403, 404)


@dataclass
class Mesh:
    """A target of `owner` whose proxies may pull the repository `name` with `secret`."""

    hub: HubProcess
    people: People
    owner: str
    target: str
    name: str
    digest: str
    secret: str

    @property
    def login(self) -> str:
        """The name by which the proxies sign in."""
        return login_of(self.target)

    def pull(self, name: str, secret: str = "") -> int:
        """The status of a pull of the image by that name."""
        with httpx.Client(base_url=self.hub.url, timeout=30, trust_env=False) as http:
            asked = {"service": "agent", "scope": f"repository:{name}:pull"}
            given = http.get("/token", params=asked, auth=(self.login, secret or self.secret))
            if given.status_code != 200:
                return given.status_code
            bearer = {"Authorization": f"Bearer {given.json()['token']}"}
            return http.get(f"/v2/{name}/manifests/{self.digest}", headers=bearer).status_code

    def api(self, name: str = "admin") -> httpx.Client:
        """Asks as somebody does by name and password."""
        auth = (name, self.hub.admin_password if name == "admin" else PASSWORD)
        return httpx.Client(base_url=f"{self.hub.url}/api/v1", auth=auth, timeout=30, trust_env=False)

    def give(self) -> str:
        """A new secret in the place of the one before."""
        repository = self.people.rows("SELECT id FROM repositories WHERE name = :name", name=self.name)[0][0]
        secret = new_secret(ROBOT)
        sealed = load_secret_key(self.hub.told().get("WASMHUB_SECRET_KEY"), self.hub.data).seal(secret.encode())
        target = self.people.rows("SELECT id FROM targets WHERE name = :name", name=self.target)[0][0]
        kept = NewSecret(hint(secret), fingerprint(secret))
        give_pull_credentials(self.people.database, target, {repository: (kept, sealed)})
        return secret


@pytest.fixture
def mesh(hub: HubProcess, people: People, word: str) -> Iterator[Mesh]:
    """A mesh of somebody's own, with a private image."""
    owner, target = people.user(word), f"t-{secrets.token_hex(4)}"
    client = Client(hub.url, word, PASSWORD)
    digest = client.push_image(f"{word}/image", "v1", word.encode())
    client.close()
    create_target(
        people.database,
        SYSTEM,
        target,
        kind="istio",
        namespace_id=people.rows("SELECT id FROM namespaces WHERE user_id = :id", id=owner)[0][0],
        settings=MESHES["istio"].read_settings({"hub": "https://hub.example.com"}),
        sealed_access=load_secret_key(hub.told().get("WASMHUB_SECRET_KEY"), hub.data).seal(
            b'{"url": "https://127.0.0.1:9"}'
        ),
    )
    made = Mesh(hub, people, word, target, f"{word}/image", digest, "")
    made.secret = made.give()
    yield made
    with made.api() as api:
        assert api.delete(f"/targets/{target}").status_code in (204, 404)


def test_nobody_can_have_the_name_that_proxies_sign_in_with(mesh: Mesh) -> None:
    assert name_problem(mesh.login) is not None
    with pytest.raises(InvalidName):
        create_user(mesh.people.database, SYSTEM, mesh.login, password_hash=None)
    with mesh.api() as api:
        assert api.post("/users", json={"name": mesh.login}).status_code == 400
        assert api.post("/teams", json={"name": mesh.login}).status_code == 400
        assert api.post("/namespaces", json={"name": mesh.login}).status_code == 400


def test_proxies_are_no_users_wherever_users_are_shown(mesh: Mesh) -> None:
    with mesh.api() as api:
        assert api.get(f"/users/{mesh.login}").status_code == 404
        assert api.get(f"/namespaces/{mesh.login}").status_code == 404
        for path in ("/users", "/namespaces", "/usage", f"/repositories/{mesh.name}/grants"):
            assert mesh.login not in api.get(path, params={"limit": 1000}).text, path
        shared = api.put(f"/repositories/{mesh.name}/grants/{mesh.login}", json={"role": "writer"})
        assert shared.status_code == 404
    with httpx.Client(base_url=mesh.hub.url, timeout=30, trust_env=False) as browser:
        signed_in = browser.post("/sign-in", data={"name": "admin", "password": mesh.hub.admin_password})
        assert signed_in.status_code == 303
        for path in ("/site/users", "/site/usage", f"/r/{mesh.name}"):
            page = browser.get(path)
            assert page.status_code == 200 and mesh.login not in page.text, path


def test_proxies_read_one_repository_and_do_nothing_else(mesh: Mesh) -> None:
    mine = Client(mesh.hub.url, mesh.owner, PASSWORD)
    mine.push_image(f"{mesh.owner}/other", "v1", b"another")
    mine.close()
    assert mesh.pull(mesh.name) == 200
    assert mesh.pull(f"{mesh.owner}/other") in DENIED
    proxy = Client(mesh.hub.url, mesh.login, mesh.secret)
    assert proxy.ask("POST", f"/v2/{mesh.name}/blobs/uploads/").status_code in DENIED
    proxy.close()
    bearer = {"Authorization": f"Bearer {mesh.secret}"}
    with httpx.Client(base_url=f"{mesh.hub.url}/api/v1", headers=bearer, timeout=30, trust_env=False) as api:
        for path, body in (("/user/tokens", {"name": "x"}), ("/teams", {"name": f"x-{mesh.owner}"}), ("/targets", {})):
            answer = api.post(path, json={"name": f"x-{mesh.owner}", **body})
            assert answer.status_code in DENIED, (path, answer.text)
        assert api.get(f"/targets/{mesh.target}").status_code == 404


def test_the_secret_goes_on_working_when_the_namespace_is_renamed(mesh: Mesh) -> None:
    new = f"{mesh.owner}-2"
    with mesh.api(mesh.owner) as api:
        assert api.patch(f"/namespaces/{mesh.owner}", json={"name": new}).status_code == 200
    assert mesh.pull(f"{new}/image") == 200
    assert mesh.pull(mesh.name) == 200, "objects in the cluster have the old name until the next pass"
    mesh.name = f"{new}/image"
    assert mesh.pull(mesh.name, mesh.give()) == 200


def test_an_owner_can_leave_and_what_their_mesh_pulls_goes_on(mesh: Mesh) -> None:
    heir = f"{mesh.owner}-heir"
    mesh.people.user(heir)
    with mesh.api() as api:
        assert api.delete(f"/users/{mesh.owner}", params={"heir": heir}).status_code == 204
        assert mesh.pull(mesh.name) == 200
        assert api.get(f"/targets/{mesh.target}").json()["state"]["status"] in ("new", "away")


def test_the_secret_before_is_good_for_a_while_and_all_end_with_the_target(mesh: Mesh) -> None:
    before, mesh.secret = mesh.secret, mesh.give()
    assert (mesh.pull(mesh.name, before), mesh.pull(mesh.name)) == (200, 200)
    mesh.people.run("UPDATE access_tokens SET expires_at = 1 WHERE secret_sha256 = :one", one=fingerprint(before))
    assert mesh.pull(mesh.name, before) == 401
    with mesh.api() as api:
        assert api.delete(f"/targets/{mesh.target}").status_code == 204
    assert mesh.pull(mesh.name) == 401
    assert not mesh.people.rows("SELECT 1 FROM namespaces WHERE name = :name", name=mesh.login)


def test_what_no_revision_needs_is_taken_back(mesh: Mesh) -> None:
    target = mesh.people.rows("SELECT id FROM targets WHERE name = :name", name=mesh.target)[0][0]
    take_unused_credentials(mesh.people.database, target)
    assert mesh.pull(mesh.name) == 401
    assert mesh.people.rows("SELECT 1 FROM events WHERE action = 'pull-secret.take' AND subject = :t", t=mesh.target)
