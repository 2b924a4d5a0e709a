"""The token protocol: what clients send, and what they are given."""

from typing import Any

import httpx
import pytest

from storage.database import now
from tests.auth.people import PASSWORD, People, access_of, claims_of
from tests.hub import HubProcess

ALL = {"pull", "push", "delete"}


@pytest.fixture
def ann(people: People) -> int:
    return people.user("ann")


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["repository:ann/a:pull"], {"ann/a": {"pull"}}),
        (["repository:ann/a:pull,push"], {"ann/a": {"pull", "push"}}),
        (["repository:ann/a:push"], {"ann/a": {"pull", "push"}}),
        (["repository:ann/a:delete"], {"ann/a": {"delete"}}),
        (["repository:ann/a:*"], {"ann/a": ALL}),
        (["repository:ann/a:pull", "repository:ann/b:push,pull"], {"ann/a": {"pull"}, "ann/b": {"pull", "push"}}),
        (["repository:ann/a:pull repository:ann/b:pull"], {"ann/a": {"pull"}, "ann/b": {"pull"}}),
        (["repository:ann/a:pull", "repository:ann/a:push"], {"ann/a": {"pull", "push"}}),
        (["repository(plugin):ann/a:pull"], {"ann/a": {"pull"}}),
        (["registry:catalog:*"], {"catalog": {"*"}}),
        (["registry:catalog:* repository:ann/a:pull"], {"catalog": {"*"}, "ann/a": {"pull"}}),
        (["repository:ben/a:pull,push"], {}),
        (["repository:ben/a:pull", "repository:ann/a:pull"], {"ann/a": {"pull"}}),
        (["repository:nobody-there/a:push"], {}),
        (["repository:host:5000/ann/a:pull"], {}),
        (["repository:ann/a:deploy,configure,administer"], {}),
        (["repository:ann/a:", "repository::pull", "ann/a", ":::", "registry:catalog:pull", ""], {}),
        (["repository:ann/a" + "x" * 300 + ":pull"], {}),
        ([], {}),
    ],
)
def test_scopes(http: httpx.Client, people: People, ann: int, asked: list[str], given: dict[str, set[str]]) -> None:
    people.user("ben")
    answer = http.get("/token", params={"scope": asked, "service": "any"}, auth=("ann", PASSWORD))

    assert answer.status_code == 200
    reply = answer.json()
    assert access_of(reply["token"]) == given
    assert reply["access_token"] == reply["token"]
    assert reply["expires_in"] == 300
    assert reply["issued_at"].endswith("Z") and len(reply["issued_at"]) == 20
    assert "refresh_token" not in reply
    assert answer.headers["cache-control"] == "no-store"
    named = {word.split(":")[1]: set(word.split(":")[2].split(",")) for word in reply["scope"].split()}
    assert named == given


def test_claims(http: httpx.Client, ann: int) -> None:
    claims = claims_of(http.get("/token", auth=("ann", PASSWORD)).json()["token"])
    assert {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access", "gen"} == set(claims)
    assert claims["sub"] == str(ann)
    assert claims["nbf"] <= claims["iat"] < claims["exp"]


def test_many_scopes_make_no_large_token(http: httpx.Client, ann: int) -> None:
    scopes = [f"repository:ann/{'x' * 200}{number}:pull" for number in range(40)]
    token = http.get("/token", params={"scope": scopes}, auth=("ann", PASSWORD)).json()["token"]
    assert 1 <= len(access_of(token)) < 40
    assert len(token) < 8192


@pytest.mark.parametrize("header", [None, "Basic Og==", "basic Og=="], ids=str)
def test_nobody_gets_an_anonymous_token(http: httpx.Client, ann: int, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    answer = http.get("/token", params={"scope": "repository:ann/a:pull", "offline_token": "true"}, headers=headers)
    assert answer.status_code == 200
    assert claims_of(answer.json()["token"])["sub"] == ""
    assert access_of(answer.json()["token"]) == {}
    assert "refresh_token" not in answer.json()


@pytest.mark.parametrize(
    "credentials",
    [
        ("ann", "wrong-password"),
        ("ann", ""),
        ("nobody-there", PASSWORD),
        ("admins", PASSWORD),
        ("ANN", PASSWORD),
        ("", PASSWORD),
        ("ann", "x" * 5000),
        ("ann", "whp_" + "A" * 42),
        ("<token>", "whr_" + "A" * 42),
        ("an\x00n", PASSWORD),
    ],
)
def test_bad_credentials(http: httpx.Client, ann: int, credentials: tuple[str, str]) -> None:
    name, password = credentials
    by_get = http.get("/token", auth=credentials)
    by_post = http.post("/token", data={"grant_type": "password", "username": name, "password": password})
    for answer in (by_get, by_post):
        assert answer.status_code == 401
        assert [error["code"] for error in answer.json()["errors"]] == ["UNAUTHORIZED"]
        assert answer.headers["www-authenticate"].startswith('Basic realm="http')


@pytest.mark.parametrize("header", ["Basic !!!", "Basic", "Basic /w==", "Bearer x", "Bearer", "Digest a=b", "é"])
def test_malformed_authorization(http: httpx.Client, header: str) -> None:
    answer = http.get("/token", headers={b"Authorization": header.encode()})
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize("name", ["ann", "<token>", "oauth2accesstoken", "00000000-0000-0000-0000-000000000000", ""])
def test_personal_token_as_password(http: httpx.Client, people: People, ann: int, word: str, name: str) -> None:
    secret = people.token(ann, word)
    token = http.get("/token", params={"scope": "repository:ann/a:pull"}, auth=(name, secret)).json()["token"]
    assert claims_of(token)["sub"] == str(ann)
    assert access_of(token) == {"ann/a": {"pull"}}

    form = {"grant_type": "password", "username": name, "password": secret, "scope": "repository:ann/a:pull"}
    assert access_of(http.post("/token", data=form).json()["token"]) == {"ann/a": {"pull"}}
    as_bearer = http.get("/token", headers={"Authorization": f"Bearer {secret}"})
    assert claims_of(as_bearer.json()["token"])["sub"] == str(ann)
    assert people.rows("SELECT used_at IS NOT NULL FROM access_tokens WHERE name = :n", n=word) == [(1,)]


def test_a_token_does_not_outlive_the_personal_token(http: httpx.Client, people: People, ann: int, word: str) -> None:
    short = people.token(ann, word, expires_at=now() + 90_000)
    reply = http.get("/token", params={"offline_token": "true"}, auth=("ann", short)).json()
    assert 80 <= reply["expires_in"] <= 90
    claims = claims_of(reply["token"])
    assert claims["exp"] - claims["iat"] == reply["expires_in"]
    (row,) = people.rows(
        "SELECT r.expires_at - a.expires_at FROM refresh_tokens r JOIN access_tokens a ON a.id = r.access_token_id"
        " WHERE a.name = :n",
        n=word,
    )
    assert row == (0,)
    gone = people.token(ann, f"{word}-gone", expires_at=now() - 1)
    assert http.get("/token", auth=("ann", gone)).status_code == 401


def refresh_token(http: httpx.Client, *, post: bool) -> str:
    """What `docker login` gets: by GET with Basic, or (other clients) by POST."""
    if post:
        form = {"grant_type": "password", "username": "ann", "password": PASSWORD, "access_type": "offline"}
        answer = http.post("/token", data={**form, "client_id": "c", "service": "s"})
    else:
        query = {"offline_token": "true", "client_id": "docker", "account": "ann", "service": "s"}
        answer = http.get("/token", params=query, auth=("ann", PASSWORD))
    assert answer.status_code == 200
    secret: str = answer.json()["refresh_token"]
    assert secret.startswith("whr_")
    return secret


@pytest.mark.parametrize("post", [False, True])
def test_refresh_token(http: httpx.Client, ann: int, post: bool) -> None:
    secret = refresh_token(http, post=post)
    form: dict[str, Any] = {"grant_type": "refresh_token", "refresh_token": secret, "service": "s", "client_id": "c"}
    scopes = ["repository:ann/a:pull", "repository:ann/b:pull"]
    for scope in (scopes, " ".join(scopes)):
        reply = http.post("/token", data={**form, "scope": scope}).json()
        assert access_of(reply["access_token"]) == {"ann/a": {"pull"}, "ann/b": {"pull"}}
        assert reply["refresh_token"] == secret
        assert reply["expires_in"] == 300
    for name in ("<token>", "ann"):
        as_password = http.get("/token", params={"scope": scopes, "offline_token": "true"}, auth=(name, secret))
        assert access_of(as_password.json()["token"]) == {"ann/a": {"pull"}, "ann/b": {"pull"}}
        assert "refresh_token" not in as_password.json()


def test_refresh_tokens_are_kept_hashed_and_bounded(http: httpx.Client, people: People, ann: int) -> None:
    secrets = [refresh_token(http, post=False) for _ in range(103)]
    by_password = "user_id = :u AND access_token_id IS NULL"
    rows = people.rows(f"SELECT secret_sha256 FROM refresh_tokens WHERE {by_password}", u=ann)
    assert len(rows) == 100
    assert not {secret for (secret,) in rows} & set(secrets)
    form = {"grant_type": "refresh_token"}
    assert http.post("/token", data={**form, "refresh_token": secrets[0]}).status_code == 401
    assert http.post("/token", data={**form, "refresh_token": secrets[-1]}).status_code == 200

    narrowed = people.token(ann, "narrowed", scopes=["repository:x/*:pull"])
    for _ in range(101):  # what is made with a token ends nothing but its own
        assert http.get("/token", params={"offline_token": "true"}, auth=("ann", narrowed)).status_code == 200
    assert http.post("/token", data={**form, "refresh_token": secrets[-1]}).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "UNSUPPORTED"),
        (b"grant_type=authorization_code", 400, "UNSUPPORTED"),
        (b"grant_type=password", 401, "UNAUTHORIZED"),
        (b"grant_type=password&username=ann", 401, "UNAUTHORIZED"),
        (b"grant_type=refresh_token", 401, "UNAUTHORIZED"),
        (b"grant_type=refresh_token&refresh_token=nonsense", 401, "UNAUTHORIZED"),
        (b"\xff\xfe", 400, "UNSUPPORTED"),
        (b"&".join(b"a=b" for _ in range(300)), 400, "UNSUPPORTED"),
        (b"x" * 70_000, 413, "SIZE_INVALID"),
    ],
)
def test_bad_forms(http: httpx.Client, ann: int, content: bytes, status: int, code: str) -> None:
    answer = http.post("/token", content=content, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


def test_other_methods(http: httpx.Client) -> None:
    answer = http.put("/token")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert answer.json()["errors"][0]["code"] == "UNSUPPORTED"


def test_public_repositories_are_pulled_without_a_name(http: httpx.Client, people: People, ann: int) -> None:
    namespace = people.namespace("ann")
    for visibility in ("public", "internal", "private"):
        people.run(
            "INSERT INTO repositories (namespace_id, name, visibility, description, generation, created_at)"
            " VALUES (:s, :n, :v, '', 0, 0) ON CONFLICT (name) DO NOTHING",
            s=namespace,
            n=f"ann/{visibility}",
            v=visibility,
        )
    people.user("ben")
    scopes = [f"repository:ann/{visibility}:pull,push" for visibility in ("public", "internal", "private")]
    anonymous = http.get("/token", params={"scope": scopes}).json()["token"]
    ben = http.get("/token", params={"scope": scopes}, auth=("ben", PASSWORD)).json()["token"]
    assert access_of(anonymous) == {"ann/public": {"pull"}}
    assert access_of(ben) == {"ann/public": {"pull"}, "ann/internal": {"pull"}}


def test_administrators_make_namespaces_by_pushing(http: httpx.Client, hub: HubProcess, ann: int) -> None:
    scopes = ["repository:brand-new/a:pull,push", "repository:v2/a:pull,push"]
    admin = http.get("/token", params={"scope": scopes}, auth=("admin", hub.admin_password)).json()["token"]
    assert access_of(admin) == {"brand-new/a": {"pull", "push"}}
    other = http.get("/token", params={"scope": scopes}, auth=("ann", PASSWORD)).json()["token"]
    assert access_of(other) == {}
