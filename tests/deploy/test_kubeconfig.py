"""Kubeconfigs as people paste them, and as who means harm writes them: read, or refused by one sentence, at once."""

import base64
import time
from typing import Any

import pytest
import yaml

from deploy.meshes.kubeconfig import LONGEST, access_json, access_of, read_kubeconfig
from deploy.targets.plan import BadPlacement

PEM = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
DATA = base64.b64encode(PEM.encode()).decode()


def config(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A kubeconfig of two contexts; the current one is `me@it`."""
    server = {"server": "https://it.example.com:6443/", "certificate-authority-data": DATA}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "other", "cluster": {"server": "https://other.example.com"}},
            {"name": "it", "cluster": server if cluster is None else cluster},
        ],
        "users": [{"name": "me", "user": {"token": " secret\n"} if user is None else user}],
        "contexts": [
            {"name": "you@other", "context": {"cluster": "other", "user": "you"}},
            {"name": "me@it", "context": {"cluster": "it", "user": "me"}},
        ],
        "current-context": "me@it",
        **more,
    }


def test_the_current_context_is_read_and_comes_back_from_its_seal() -> None:
    access = read_kubeconfig(yaml.safe_dump(config()))
    assert (access.url, access.token, access.ca) == ("https://it.example.com:6443", "secret", PEM)
    assert access_of(access_json(access)) == access
    assert "secret" not in repr(access)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (config(user={"exec": {"command": "aws"}}), "runs a program"),
        (config(user={"auth-provider": {"name": "gcp"}}), "auth-provider"),
        (config(user={"tokenFile": "/etc/passwd"}), "tokenFile"),
        (config(user={"client-certificate": "/etc/passwd", "client-key": "x"}), "names a file"),
        (config(user={}), "kubectl create token"),
        (config({"server": "https://a.example.com", "certificate-authority": "/etc/passwd"}), "names a file"),
        (config({"server": "https://a.example.com", "insecure-skip-tls-verify": True}), "certificate-authority-data"),
        (config({"server": "https://a.example.com", "proxy-url": "http://p"}), "proxy"),
        (config({"server": "file:///etc/passwd"}), "server"),
        (config({"server": ["https://a.example.com"]}), "server"),
        (config({"server": "https://a.example.com", "certificate-authority-data": "%%"}), "PEM"),
        (config({"server": "https://a.example.com", "tls-server-name": "a..b"}), "tls-server-name is no name"),
        (config({"server": "https://a.example.com", "tls-server-name": "a\0"}), "tls-server-name is no name"),
        (config(user={"token": "a\nb"}), "signs that no token has"),
        (config(**{"current-context": "nobody"}), "no context named 'nobody'"),
        (config(**{"current-context": None}), "no context that is the current one"),
        (config(contexts="me"), "no context"),
        (config(users=[[], "me", {"name": "me"}]), "no user"),
        (["clusters"], "this is no kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_way_out(given: Any, said: str) -> None:
    with pytest.raises(BadPlacement) as refusal:
        read_kubeconfig(yaml.safe_dump(given))
    assert said in str(refusal.value)


LAUGHS = "clusters: []\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "current-context: *j\n",
        "clusters: &a [*a]\n",
        "[" * LONGEST,
        '{"a":' * (LONGEST // 5),
        "clusters: !!python/object/apply:os.system [id]\n",
        "\x00",
        "clusters: [\n",
        "- " * (LONGEST // 2),
    ],
    ids=range(8),
)
def test_what_means_harm_is_no_kubeconfig(text: str) -> None:
    begun = time.monotonic()
    with pytest.raises(BadPlacement) as refusal:
        read_kubeconfig(text)
    assert "kubectl config view" in str(refusal.value)
    assert time.monotonic() - begun < 3
