"""Teams, old names and grants over HTTP: what they mean at every door, from the next request on."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.auth.people import PASSWORD, ClientOf, People
from tests.deploy.fleet import header_filter
from tests.hub import HubProcess


class Team:
    """A team of ann's with bob as its reader; each of them asks the API."""

    def __init__(self, hub: HubProcess, people: People, word: str) -> None:
        self.name, self.ann, self.bob = word, f"ann-{word}", f"bob-{word}"
        for one in (self.ann, self.bob):
            people.user(one)
        self.api = {
            name: httpx.Client(base_url=f"{hub.url}/api/v1", auth=(name, PASSWORD), timeout=30, trust_env=False)
            for name in (self.ann, self.bob)
        }
        self.said(201, self.ann, "POST", "/teams", {"name": word})
        self.said(200, self.ann, "PUT", f"/teams/{word}/members/{self.bob}", {"role": "reader"})

    def said(self, status: int, who: str, method: str, path: str, body: Any = None) -> Any:
        """The answer, which must have this status."""
        answer = self.api[who].request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def rename(self, new: str) -> None:
        """Gives it another name."""
        said = self.said(200, self.ann, "PATCH", f"/namespaces/{self.name}", {"name": new})
        assert said["name"] == new and said["old_names"] == [self.name]


@pytest.fixture
def team(hub: HubProcess, people: People, word: str) -> Iterator[Team]:
    """A team of a test's own."""
    made = Team(hub, people, word)
    yield made
    for client in made.api.values():
        client.close()


def test_an_old_name_answers_at_the_registry(team: Team, client_of: ClientOf) -> None:
    ann, bob = client_of(team.ann), client_of(team.bob)
    old, new = f"{team.name}/a/b", f"{team.name}-2/a/b"
    digest = ann.push_image(old, "v1", b"a layer")
    blob = ann.push_blob(old, b"a blob")
    pull = bob.token(f"repository:{old}:pull")  # from before the renaming
    team.rename(f"{team.name}-2")

    for path in (f"/v2/{old}/manifests/v1", f"/v2/{old}/blobs/{blob}", f"/v2/{old}/tags/list"):
        for _ in range(3):  # cold and warm
            held = {"Authorization": f"Bearer {pull}"}
            assert bob.http.get(path, headers=held).status_code == 200, path
        assert bob.ask("GET", path, scope=f"repository:{old}:pull").status_code == 200
    assert bob.ask("GET", f"/v2/{new}/manifests/v1").headers["docker-content-digest"] == digest
    assert bob.ask("GET", f"/v2/{old}/tags/list").json()["tags"] == ["v1"]

    assert ann.push_image(old, "v2", b"another layer")
    assert bob.ask("GET", f"/v2/{new}/tags/list").json()["tags"] == ["v1", "v2"]
    fresh = ann.push_image(f"{team.name}/fresh", "v1", b"a layer")  # made under the name of today
    assert bob.ask("GET", f"/v2/{team.name}-2/fresh/manifests/v1").headers["docker-content-digest"] == fresh
    mounted = ann.ask(
        "POST",
        f"/v2/{new}/blobs/uploads/?mount={blob}&from={old}",
        scope=f"repository:{new}:push,pull repository:{old}:pull",
    )
    assert mounted.status_code == 201
    assert ann.ask("PUT", f"/v2/{old}/manifests/bad", content=b"{}").status_code == 400


def test_an_old_name_answers_on_pages_and_to_deployers(team: Team, http: httpx.Client, client_of: ClientOf) -> None:
    client_of(team.ann).push_filter(f"{team.name}/f", "v1", header_filter(secrets.token_hex(4)))
    target = f"t-{team.name}"
    team.said(201, team.ann, "POST", "/targets", {"name": target, "namespace": team.name})
    team.said(201, team.ann, "PUT", f"/targets/{target}/deployments/d", {"reference": f"{team.name}/f:v1"})
    team.rename(f"{team.name}-2")

    assert team.said(200, team.bob, "GET", f"/repositories/{team.name}/f")["name"] == f"{team.name}-2/f"
    assert team.said(200, team.bob, "GET", f"/teams/{team.name}")["name"] == f"{team.name}-2"
    shown = team.said(200, team.ann, "GET", f"/targets/{target}/deployments/d")
    assert http.get(shown["module_path"]).status_code == 200
    team.said(200, team.ann, "PUT", f"/targets/{target}/deployments/d", {"reference": f"{team.name}/f:v1", "order": 7})
    http.post("/sign-in", data={"name": team.bob, "password": PASSWORD})
    assert f"{team.name}-2/f" in http.get(f"/r/{team.name}/f").text


def test_an_old_name_is_nobody_elses_until_it_is_let_go(team: Team, client_of: ClientOf) -> None:
    client_of(team.ann).push_image(f"{team.name}/a", "v1", b"a layer")
    team.rename(f"{team.name}-2")
    refused = team.said(409, team.bob, "POST", "/teams", {"name": team.name})
    assert "old name" in refused["error"]["message"]
    team.said(403, team.bob, "DELETE", f"/namespaces/{team.name}/old-names/{team.name}")
    team.said(204, team.ann, "DELETE", f"/namespaces/{team.name}-2/old-names/{team.name}")
    team.said(409, team.ann, "DELETE", f"/namespaces/{team.name}-2/old-names/{team.name}")
    team.said(404, team.ann, "GET", f"/teams/{team.name}")
    assert client_of(team.ann).ask("GET", f"/v2/{team.name}/a/manifests/v1").status_code == 404
    team.said(201, team.bob, "POST", "/teams", {"name": team.name})
    for name, status in ((f"{team.name}-2", 409), ("V2", 400), ("api", 400), ("a" * 65, 400), (7, 400), ("", 400)):
        team.said(status, team.bob, "PATCH", f"/namespaces/{team.name}", {"name": name})


def test_somebody_renamed_signs_in_by_both_names(team: Team, http: httpx.Client) -> None:
    team.said(200, team.bob, "PATCH", f"/namespaces/{team.bob}", {"name": f"{team.bob}-2"})
    for name in (team.bob, f"{team.bob}-2"):
        answer = http.get("/api/v1/user", auth=(name, PASSWORD))
        assert answer.status_code == 200 and answer.json()["name"] == f"{team.bob}-2"
    members = team.said(200, team.ann, "GET", f"/teams/{team.name}/members")["members"]
    assert [one["name"] for one in members] == [team.ann, f"{team.bob}-2"]


def test_a_grant_is_good_from_the_next_request_on(team: Team, people: People, client_of: ClientOf) -> None:
    name, stranger = f"{team.name}/shared", f"eve-{team.name}"
    client_of(team.ann).push_image(name, "v1", b"a layer")
    people.user(stranger)
    eve, bob = client_of(stranger), client_of(team.bob)
    path, grant = f"/v2/{name}/manifests/v1", f"/repositories/{name}/grants/{stranger}"
    for _ in range(2):
        assert eve.ask("GET", path).status_code == 404
        team.said(200, team.ann, "PUT", grant, {"role": "reader"})
        held = {"Authorization": f"Bearer {eve.token(f'repository:{name}:pull')}"}
        for _ in range(3):
            assert eve.http.get(path, headers=held).status_code == 200
        assert eve.ask("POST", f"/v2/{name}/blobs/uploads/").status_code == 403
        assert name in eve.ask("GET", "/v2/_catalog", scope="registry:catalog:*").json()["repositories"]
        team.said(204, team.ann, "DELETE", grant)
        assert eve.http.get(path, headers=held).status_code == 404
    team.said(200, team.ann, "PUT", f"/repositories/{name}/grants/{team.bob}", {"role": "writer"})
    bob.push_image(name, "v2", b"by a reader of the team who may write here")
    assert bob.ask("POST", f"/v2/{team.name}/other/blobs/uploads/").status_code == 403
    team.said(403, team.bob, "GET", f"/repositories/{name}/grants")
    listed = team.said(200, team.ann, "GET", f"/repositories/{name}/grants")["grants"]
    assert [(one["name"], one["kind"], one["role"]) for one in listed] == [(team.bob, "user", "writer")]
    team.said(404, team.ann, "PUT", f"/repositories/{name}/grants/nobody-there", {"role": "reader"})
    team.said(400, team.ann, "PUT", f"/repositories/{name}/grants/{stranger}", {"role": "owner"})
    team.said(400, team.ann, "PUT", f"/repositories/{name}/grants/{stranger}", {"role": "reader", "x": 1})


def test_what_is_listed_can_be_taken_back_and_a_repository_may_be_named_grants(team: Team, client_of: ClientOf) -> None:
    name, other = f"{team.name}/grants", f"{team.name}-two"
    client_of(team.ann).push_image(name, "v1", b"a layer")
    assert team.said(200, team.ann, "GET", f"/repositories/{name}")["name"] == name
    team.said(201, team.ann, "POST", "/teams", {"name": other})
    team.said(200, team.ann, "PUT", f"/repositories/{name}/grants/{other}", {"role": "reader"})
    team.said(204, team.ann, "DELETE", f"/teams/{other}")
    assert len(team.said(200, team.ann, "GET", f"/repositories/{name}/grants")["grants"]) == 1
    team.said(204, team.ann, "DELETE", f"/repositories/{name}/grants/{other}")
    assert team.said(200, team.ann, "GET", f"/repositories/{name}/grants")["grants"] == []


def test_a_deleted_team_is_nowhere_and_comes_back(team: Team, client_of: ClientOf, people: People) -> None:
    name = f"{team.name}/a"
    ann, bob = client_of(team.ann), client_of(team.bob)
    ann.push_image(name, "v1", b"a layer")
    held = {"Authorization": f"Bearer {bob.token(f'repository:{name}:pull')}"}
    assert bob.http.get(f"/v2/{name}/manifests/v1", headers=held).status_code == 200
    team.said(204, team.ann, "DELETE", f"/teams/{team.name}")
    assert bob.http.get(f"/v2/{name}/manifests/v1", headers=held).status_code == 404
    assert ann.ask("POST", f"/v2/{name}/blobs/uploads/").status_code == 403
    for who in (team.bob, team.ann):
        team.said(404, who, "GET", f"/repositories/{name}")
        team.said(404, who, "GET", f"/teams/{team.name}/members")
    assert team.said(200, team.ann, "GET", "/teams")["teams"][0]["deleted_at"]
    assert team.said(200, team.bob, "GET", "/teams")["teams"] == []  # who cannot restore it is not told
    team.said(404, team.bob, "POST", f"/teams/{team.name}/restore")
    team.said(200, team.ann, "POST", f"/teams/{team.name}/restore")
    assert bob.http.get(f"/v2/{name}/manifests/v1", headers=held).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 3},
        {"name": "UPPER"},
        {"name": "sign-in"},
        {"name": "a/b"},
        {"name": "fine-name", "description": "\x00"},
        {"name": "fine-name", "default_visibility": "deleted"},
        {"name": "fine-name", "owner": "somebody"},
        {"name": "fine-name", "deleted_at": 1},
    ],
)
def test_bad_teams_are_refused_with_a_sentence(team: Team, body: dict[str, Any]) -> None:
    assert team.said(400, team.ann, "POST", "/teams", body)["error"]["message"]
