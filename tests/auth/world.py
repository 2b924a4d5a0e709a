"""The world of the matrix: a team with each role, people outside it, and a repository of each visibility."""

import re
import secrets
import time
from contextlib import ExitStack

import httpx

from auth.permissions import VISIBILITY
from tests.auth.people import PASSWORD, People
from tests.deploy.fleet import header_filter
from tests.hub import HubProcess
from tests.oci import OCI_MANIFEST, Client, digest_of, filter_manifest

ROLES = ("reader", "writer", "maintainer", "owner")
PERSONS = ("nobody", "stranger", *ROLES, "auditor", "administrator")
MOMENT = 60.0  # seconds
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class World:
    """A running hub with everybody in it. What is asked of a repository is asked of the one of `visibility`.

    While that is empty, nothing may be asked of a repository.
    """

    def __init__(self, hub: HubProcess, people: People) -> None:
        self.hub = hub
        self.people = people
        self.visibility = "private"
        self.team = f"crew-{secrets.token_hex(4)}"
        self.names = {person: f"{person}-{secrets.token_hex(4)}" for person in PERSONS} | {"administrator": "admin"}
        self.admin = Client(hub.url, "admin", hub.admin_password)
        self._open = ExitStack()
        self._clients: dict[tuple[str, str], httpx.Client] = {}
        self._signed_in: dict[str, float] = {}  # when, by a clock of this process
        for person in PERSONS[1:-1]:
            people.user(self.names[person], role="auditor" if person == "auditor" else "user")
        people.team(self.team, **{self.names[role]: role for role in ROLES})
        self._modules = {visibility: header_filter(secrets.token_hex(4)) for visibility in VISIBILITY}
        self._digests: dict[str, str] = {}
        for self.visibility in VISIBILITY:
            self._digests[self.visibility] = self.admin.push_filter(self.name, "v1", self._modules[self.visibility])
            subject = {"mediaType": OCI_MANIFEST, "digest": self.digest, "size": len(filter_manifest(self.layer))}
            self.admin.push_image(self.name, "signature", self.layer, subject=subject)
            self.see(self.visibility)
        self.run = self.api("administrator").post("/api/v1/garbage-collections", json={"dry_run": True}).json()["id"]
        page = self.api("nobody").get("/").text
        self.asset = page[page.index("/static/") :].partition('"')[0]

    def close(self) -> None:
        """Closes all connections."""
        self.admin.close()
        self._open.close()

    @property
    def name(self) -> str:
        """The repository that is meant."""
        assert self.visibility, "this asks for a repository: say so in OF_A_REPOSITORY"
        return f"{self.team}/{self.visibility}"

    @property
    def filter(self) -> str:
        """The reference of what can be deployed from it."""
        return f"{self.name}:v1"

    @property
    def digest(self) -> str:
        """Of its manifest."""
        return self._digests[self.visibility]

    @property
    def blob(self) -> str:
        """The digest of its module, as a blob."""
        return digest_of(self._modules[self.visibility])

    @property
    def module(self) -> str:
        """The SHA-256 of its module."""
        return self.blob.partition(":")[2]

    @property
    def layer(self) -> bytes:
        """The bytes of its module."""
        return self._modules[self.visibility]

    def see(self, visibility: str) -> None:
        """Gives the repository another visibility."""
        done = self.api("administrator").patch(f"/api/v1/repositories/{self.name}", json={"visibility": visibility})
        assert done.status_code == 200, done.text

    def join(self, person: str, role: str | None) -> None:
        """Gives somebody a role in the team, or none any more."""
        user = self.people.user(self.names[person])
        space = "(SELECT team_id FROM namespaces WHERE name = :team)"
        self.people.run(
            f"DELETE FROM memberships WHERE user_id = :user AND team_id = {space}", user=user, team=self.team
        )
        if role is not None:
            row = f"INSERT INTO memberships (team_id, user_id, role) VALUES ({space}, :user, :role)"
            self.people.run(row, user=user, team=self.team, role=role)

    def new_target(self, **settings: str) -> str:
        """A target of the team."""
        name = f"t-{secrets.token_hex(4)}"
        body = {"name": name, "namespace": self.team, "settings": settings}
        assert self.api("administrator").post("/api/v1/targets", json=body).status_code == 201
        return name

    def password(self, person: str) -> str:
        """Somebody's."""
        return self.hub.admin_password if person == "administrator" else PASSWORD

    def api(self, person: str) -> httpx.Client:
        """Asks as programs do, by name and password."""
        return self._client("api", person)

    def browser(self, person: str) -> httpx.Client:
        """Asks as somebody who has signed in on the page."""
        return self._client("page", person)

    def registry(self, person: str) -> httpx.Client:
        """Asks with a registry token for as much as the person gets of the repository and of the catalog."""
        client = self._client(self.name, person)
        if "authorization" not in client.headers:
            scopes = [f"repository:{self.name}:pull,push,delete", "registry:catalog:*"]
            given = self.api(person).get("/token", params={"service": "test", "scope": scopes})
            client.headers["Authorization"] = f"Bearer {given.json()['token']}"
        return client

    def sign_in_anew(self) -> None:
        """Forgets all tokens and sessions: some endpoints end them."""
        self._clients.clear()

    def forget(self, person: str) -> None:
        """Forgets a browser's session."""
        self._clients.pop(("page", person), None)

    def csrf(self, person: str) -> str:
        """What forms of a browser's session carry, of a session that was opened a moment ago and has not ended."""
        if person == "nobody":
            return ""
        browser = self.browser(person)
        # What was asked meanwhile may have ended the session, or have signed somebody else in.
        lately = time.monotonic() - self._signed_in[person] < MOMENT
        if lately and browser.get("/api/v1/user").json().get("name") == self.names[person]:
            found = CSRF.search(browser.get("/").text)
            if found is not None:
                return found[1]
        self._sign_in(browser, person)
        found = CSRF.search(browser.get("/").text)
        assert found is not None
        return found[1]

    def _client(self, kind: str, person: str) -> httpx.Client:
        if (kind, person) not in self._clients:
            named = kind == "api" and person != "nobody"
            auth = (self.names[person], self.password(person)) if named else None
            client = httpx.Client(base_url=self.hub.url, auth=auth, timeout=30, trust_env=False)
            self._clients[kind, person] = self._open.enter_context(client)
            if kind == "page" and person != "nobody":
                self._sign_in(client, person)
        return self._clients[kind, person]

    def _sign_in(self, client: httpx.Client, person: str) -> None:
        form = {"name": self.names[person], "password": self.password(person)}
        assert client.post("/sign-in", data=form).status_code == 303
        self._signed_in[person] = time.monotonic()
