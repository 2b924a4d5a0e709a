"""A body may take for ever to come: what counts is what its sender may do once it has."""

import json
import time
from collections.abc import Callable

import pytest

from storage.database import Conflict
from storage.events import SYSTEM
from storage.namespaces import create_namespace
from storage.users import deactivate_user
from tests.auth.people import ClientOf, People
from tests.hub import HubProcess
from tests.oci import OCI_INDEX, Client, digest_of
from tests.registry.raw import connect, receive

INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()


def _whole_blob(client: Client, name: str) -> tuple[str, str]:
    return "POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(INDEX)}"


def _last_chunk(client: Client, name: str) -> tuple[str, str]:
    begun = client.ask("POST", f"/v2/{name}/blobs/uploads/", scope=f"repository:{name}:pull,push")
    return "PUT", f"{begun.headers['location']}?digest={digest_of(INDEX)}"


def _manifest(client: Client, name: str) -> tuple[str, str]:
    return "PUT", f"/v2/{name}/manifests/v2"


@pytest.mark.parametrize("way", [_whole_blob, _last_chunk, _manifest])
def test_push_by_somebody_who_is_gone_when_the_body_has_come(
    way: Callable[[Client, str], tuple[str, str]], hub: HubProcess, client_of: ClientOf, people: People, word: str
) -> None:
    user, client, name = people.user(word), client_of(word), f"{word}/a"
    client.push_image(name, "v1", b"layer")
    token = client.token(f"repository:{name}:pull,push")
    method, path = way(client, name)
    head = f"{method} {path} HTTP/1.1\r\nHost: {hub.host}\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: {OCI_INDEX}\r\nContent-Length: {len(INDEX)}\r\nExpect: 100-continue\r\n\r\n"
    with connect(hub.host) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")  # So the hub has let the push in, and waits.
        deactivate_user(people.database, SYSTEM, user)
        connection.sendall(INDEX)
        answer = receive(connection)
    assert answer is not None
    assert answer.status == 401, answer.body
    assert people.rows("SELECT 1 FROM blobs WHERE digest = :d", d=digest_of(INDEX)) == []
    assert people.rows("SELECT 1 FROM manifests m JOIN repositories r ON r.id = m.repository_id"
                       " WHERE r.name = :n AND m.digest = :d", n=name, d=digest_of(INDEX)) == []  # fmt: skip


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/targets"])
def test_call_of_the_api_by_somebody_who_is_gone_when_the_body_has_come(
    path: str, hub: HubProcess, people: People, word: str
) -> None:
    chief = people.user(f"{word}-chief", role="administrator")
    body = json.dumps({"name": word}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {hub.host}\r\nAuthorization: Bearer {people.token(chief)}\r\n"
    head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with connect(hub.host) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        time.sleep(0.5)  # What is looked up before the body, if anything, has been by then.
        deactivate_user(people.database, SYSTEM, chief)
        connection.sendall(body)
        answer = receive(connection)
    assert answer is not None
    assert answer.status == 401, answer.body


def test_namespace_that_another_one_has_taken_meanwhile(people: People, word: str) -> None:
    first, second = people.user(f"{word}-first"), people.user(f"{word}-second")
    made = create_namespace(people.database, SYSTEM, word, user_id=first, exist_ok=True)
    assert create_namespace(people.database, SYSTEM, word, user_id=first, exist_ok=True) == made
    with pytest.raises(Conflict, match="taken"):
        create_namespace(people.database, SYSTEM, word, user_id=second, exist_ok=True)
