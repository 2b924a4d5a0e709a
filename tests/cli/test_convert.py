"""wasme's FilterDeployments become the operator's, or commands; what is lost on the way is said by name."""

import base64
import json
import shlex
from typing import Any

import pytest
import yaml

from tests.cli.commands import Commands

TYPES = "type.googleapis.com/google.protobuf."
IMAGE = "webassemblyhub.io/shop/limits:1.5"


def old(name: str = "limits", **wanted: Any) -> dict[str, Any]:
    """One of wasme's."""
    istio = wanted.pop("istio", {"kind": "Deployment", "labels": {"app": "web"}})
    config = wanted.pop("config", {"@type": TYPES + "StringValue", "value": '{"a": 1}'})
    wish = {"image": IMAGE, "rootID": "limits_root", "config": config, **wanted}
    spec = {"filter": {key: value for key, value in wish.items() if value is not None}, "deployment": {"istio": istio}}
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "wasme.io/v1", "kind": "FilterDeployment", "metadata": meta, "spec": spec}


def converted(*documents: Any, code: int = 0) -> tuple[list[dict[str, Any]], list[str]]:
    """What comes out, and what is said of it."""
    done = Commands().run("convert", "-", stdin=yaml.safe_dump_all(documents))
    assert done.returncode == code, done.stderr
    return list(yaml.safe_load_all(done.stdout)), done.stderr.splitlines()


def test_what_wasme_says_is_carried_over() -> None:
    (made,), said = converted(old())
    assert made == {
        "apiVersion": "wasmhub.io/v1alpha1",
        "kind": "FilterDeployment",
        "metadata": {"name": "limits", "namespace": "shop"},
        "spec": {
            "image": {"repository": "shop/limits", "tag": "1.5"},
            "config": '{"a": 1}',
            "rootID": "limits_root",
            "placement": {"labels": {"app": "web"}, "mode": "SERVER"},
        },
    }
    assert len(said) == 2
    assert said[0].startswith(
        "note: shop/limits: image is asked of the hub as shop/limits:1.5, not of webassemblyhub.io"
    )
    assert "crane copy" in said[0] and "labels choose pods now" in said[1]


@pytest.mark.parametrize(
    ("config", "spec"),
    [
        ({"@type": TYPES + "StringValue", "value": "plain"}, {"config": "plain", "mesh": {"form": "EnvoyFilter"}}),
        ({"@type": TYPES + "BytesValue", "value": base64.b64encode(b"{}").decode()}, {"config": "{}"}),
        ({"@type": TYPES + "Struct", "value": {"a": [1, "b"]}}, {"config": {"a": [1, "b"]}}),
        ("", {}),
        (None, {}),
    ],
)
def test_configs(config: Any, spec: dict[str, Any]) -> None:
    (made,), _ = converted(old(config=config))
    assert {name: made["spec"][name] for name in ("config", "mesh") if name in made["spec"]} == spec


@pytest.mark.parametrize(
    ("context", "placement"),
    [
        ("inbound", {"mode": "SERVER"}),
        ("outbound", {"mode": "CLIENT"}),
        ("any", {}),
        ("gateway", {}),
    ],
)
def test_contexts(context: str, placement: dict[str, str]) -> None:
    (made,), _ = converted(old(patchContext=context))
    assert made["spec"]["placement"] == {"labels": {"app": "web"}, **placement}


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ("hub.test:5000/a/b/c:1", {"repository": "a/b/c", "tag": "1"}),
        ("hub.test/a/b", {"repository": "a/b", "tag": "latest"}),
        ("a/b:2", {"repository": "a/b", "tag": "2"}),
        ("hub.test/a/b@sha256:" + "0" * 64, {"repository": "a/b", "digest": "sha256:" + "0" * 64}),
    ],
)
def test_images(image: str, found: dict[str, str]) -> None:
    (made,), _ = converted(old(image=image))
    assert made["spec"]["image"] == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"imagePullOptions": {"plainHttp": True}}, "imagePullOptions.plainHttp is the mesh's to say; name the hub in"),
        (
            {"imagePullOptions": {"insecureSkipVerify": True}},
            "imagePullOptions.insecureSkipVerify is the mesh's to say",
        ),
        ({"istio": {"istioNamespace": "mesh"}}, "istioNamespace mesh is the same for all filters; set root_namespace"),
        (
            {"config": {"@type": "type.googleapis.com/x.Y", "a": 1}},
            "config of the type type.googleapis.com/x.Y is no text",
        ),
        ({"patchContext": "sideways"}, "patchContext 'sideways' is none that wasme knows"),
        ({"istio": {"labels": ["a"]}}, "spec.deployment.istio.labels is no object; write the labels"),
        ({"weight": 1}, "spec.filter.weight is no field of wasme's"),
        ({"image": "alone:1"}, "image alone:1 has no namespace"),
        ({"image": ""}, "image '' is no reference"),
        ({"name": "a.b"}, "name 'a.b' is more than one label; it is a-b now"),
        (
            {"imagePullOptions": {"pullSecret": "s"}, "config": {"@type": TYPES + "StringValue", "value": "x"}},
            "pullSecret does nothing for an EnvoyFilter; make the repository public",
        ),
    ],
)
def test_what_is_lost_is_said_by_name(wanted: dict[str, Any], said: str) -> None:
    _, lines = converted(old(**wanted), code=1)
    lost = [line for line in lines if line.startswith("not carried over: ")]
    assert len(lost) == 1 and said in lost[0]


def test_what_is_another_way_is_noted() -> None:
    wanted = {"id": "x", "rootID": None, "imagePullOptions": {"pullSecret": "pull"}}
    (made,), lines = converted(old(**wanted, istio={"kind": "statefulset"}))
    assert made["spec"]["pullSecret"] == {"name": "pull"}
    for one in ("id x goes", "kind statefulset goes", "rootID is empty", "kubernetes.io/dockerconfigjson"):
        assert any(one in line for line in lines), one


def test_several_documents_lists_and_those_of_others() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [old("one"), old("two")]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    made, lines = converted(listed, service, None, old("three"))
    assert [one["metadata"]["name"] for one in made] == ["one", "two", "three"]
    assert "note: Service web is none of wasme's; left out" in lines


def test_a_namespace_that_yaml_takes_for_a_number_is_a_text() -> None:
    document = old()
    document["metadata"]["namespace"] = 7
    done = Commands().run("convert", "-", "--to", "deploy", "--target", "mesh", stdin=json.dumps(document))
    assert done.returncode == 0 and " --namespace 7 " in done.stdout, done.stderr
    (made,), _ = converted(document)
    assert made["metadata"]["namespace"] == "7"


def test_as_commands() -> None:
    document = old(patchContext="outbound", config={"@type": TYPES + "StringValue", "value": 'a: "b"\nEND\n'})
    done = Commands().run("convert", "-", "--to", "deploy", "--target", "mesh", stdin=json.dumps(document))
    assert done.returncode == 0, done.stderr
    command, *rest = done.stdout.splitlines()
    words = shlex.split(command.partition(" 3<<")[0])
    assert words[:7] == ["wasmhub", "deploy", "shop/limits:1.5", "--target", "mesh", "--as", "limits"]
    place = ["--namespace", "shop", "--label", "app=web", "--root-id", "limits_root"]
    assert words[7:] == [*place, "--config", "/dev/fd/3", "--placement", "/dev/fd/4"]
    assert command.endswith(" 3<<'END_' 4<<'END'")
    assert rest == ['a: "b"', "END", "", "END_", '{"context": "SIDECAR_OUTBOUND"}', "END"]
    assert "wasmhub targets configure mesh --setting form=EnvoyFilter" in done.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("a: [", (), "- is no YAML"),
        ("a: &a [1]\nb: *a", (), "references"),
        ('a: "\\ud800"', (), "- is no YAML: it holds half of a character in line 1"),
        ("- 1", (), "- holds a document that is no object"),
        ("a: 1", ("--to", "deploy"), "--to deploy needs --target"),
        ("a: 1", ("--target", "x"), "--target belongs to --to deploy"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, arguments: tuple[str, ...], said: str) -> None:
    done = Commands().run("convert", "-", *arguments, stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_file_without_any_is_refused() -> None:
    done = Commands().run("convert", "-", stdin="a: 1")
    assert done.returncode == 1
    assert "holds no FilterDeployment of wasme.io/v1" in done.stderr
