"""A hub with a catalog to look at: filters of each kind, in each state, with everything that a page can show."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx

from tests.hub import HubProcess
from tests.oci import EMPTY, OCI_MANIFEST, Client, descriptor, digest_of, filter_manifest
from tests.peers import built_filter, kept
from web.readme import ARTIFACT_TYPE

PASSWORD = "a-password-of-ann"
SPARE = "zoo"  # a namespace of ann's for what single tests push
README = """# Adds a header

Adds one response header to **every** answer, and says so in its `x-filter` header. Keep it *behind* `jwt_authn`.

| setting | default | meaning |
|---|---|---|
| `name`  | `x-filter` | the header's name |
| `value` | `v2` | what it says |

## Configuration

```json
{"name": "x-served-by", "value": "blue"}
```

- no outbound calls
- one allocation a request

<script>alert("no")</script>

![a diagram](https://example.com/diagram.png) and [a link](javascript:alert(1)).
"""
TITLES = {
    "add-header": "Adds one response header, named and valued by its configuration",
    "jwt-claims": "Copies claims of a verified token into request headers",
    "request-log": "One line of JSON for each request, with the fields that you choose",
    "body-size": "Counts bytes of bodies and refuses the ones that are too large",
    "edge-guard": "Answers requests that carry a banned header itself",
    "legacy-auth": "Asks the old session service about each cookie; being replaced",
}


@contextmanager
def pushing(hub: HubProcess) -> Iterator[Client]:
    """ann with a client that pushes."""
    client = Client(hub.url, "ann", PASSWORD)
    with closing(client.http):
        yield client


def fill(hub: HubProcess) -> None:
    """Makes the user ann, the namespace acme which she owns, and what they hold."""
    make_people(hub)
    with pushing(hub) as ann:
        push_all(ann)
    for name in TITLES:
        configure(hub, f"acme/{name}", visibility="public")
    configure(hub, "acme/body-size", visibility="internal")


def push_all(ann: Client) -> None:
    """Pushes everything."""
    header = built_filter("add-header").read_bytes()
    for tag in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
        push_filter(ann, "acme/add-header", tag, header + section(tag))
    subject = push_filter(ann, "acme/add-header", "2.0.0", header, title=TITLES["add-header"])
    ann.push_manifest("acme/add-header", "latest", filter_manifest(header, annotations=notes(TITLES["add-header"])))
    push_readme(ann, "acme/add-header", subject, len(filter_manifest(header, annotations=notes(TITLES["add-header"]))))
    ann.push_filter("acme/add-header", f"sha256-{'a' * 64}", b"a signature")
    for name, source in (
        ("jwt-claims", "rust"),
        ("request-log", "go"),
        ("body-size", "assemblyscript"),
        ("edge-guard", "c"),
    ):
        # What no toolchain has built here is shown with the module that every machine can build.
        path = kept(f"filters/{source}")
        module = path.read_bytes() if path.is_file() else header + section(source)
        push_filter(ann, f"acme/{name}", "0.3.1", module, title=TITLES[name])
    refused = built_filter("unknown-import").read_bytes()
    push_filter(ann, "acme/legacy-auth", "0.9.0", refused, title=TITLES["legacy-auth"])
    ann.push_image("ann/notes", "1.0.0", b"no module at all")
    push_filter(ann, "ann/scratch", "0.1.0", b"\0asm but not for long")
    ann.push_blob("ann/nothing-yet", EMPTY)


def make_people(hub: HubProcess) -> None:
    """The user ann, and the namespaces that she owns beside her own."""
    with httpx.Client(base_url=hub.url, auth=("admin", hub.admin_password), trust_env=False) as admin:
        assert admin.post("/api/v1/users", json={"name": "ann", "password": PASSWORD}).status_code == 201
        for name in ("acme", SPARE):
            assert admin.post("/api/v1/namespaces", json={"name": name, "owner": "ann"}).status_code == 201


def configure(hub: HubProcess, name: str, **changes: str) -> None:
    """Changes a repository as ann."""
    answer = httpx.patch(f"{hub.url}/api/v1/repositories/{name}", json=changes, auth=("ann", PASSWORD), trust_env=False)
    assert answer.status_code == 200, answer.text


def section(text: str) -> bytes:
    """A custom section that makes a module another one without changing what it does."""
    body = b"\x04note" + text.encode()
    return bytes([0, len(body)]) + body


def notes(title: str) -> dict[str, str]:
    """Annotations as authors write them."""
    return {
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.source": "https://git.example.com/acme/filters",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.documentation": "javascript:alert(1)",
    }


def push_filter(client: Client, name: str, tag: str, module: bytes, title: str = "") -> str:
    """Pushes a filter, annotated if it has a title."""
    more: dict[str, Any] = {"annotations": notes(title)} if title else {}
    return client.push_filter(name, tag, module, **more)


def push_readme(client: Client, name: str, subject: str, size: int, text: str = README) -> None:
    """Pushes a README as a referrer."""
    content = text.encode()
    for blob in (EMPTY, content):
        client.push_blob(name, blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(EMPTY, "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(content, "text/markdown")],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject, "size": size},
    }
    document = json.dumps(manifest).encode()
    client.push_manifest(name, digest_of(document), document)
