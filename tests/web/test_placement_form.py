"""The fields of a placement against the targets' own readers: each may be typed, and stands in the form again."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from deploy.desk import STATUSES
from deploy.status import AWAY, FETCHED, PENDING, REFUSED, RUNS
from deploy.targets import consul, envoy_gateway, gloo, istio
from deploy.views.placing import placement_fields
from web.deploy_body import read_body, typed_from
from web.standing import NODE, STANDING
from web.typed import Field

HUB = {"hub": "https://hub.example.com"}
TYPED = {
    "text": "shop",
    "map": "app=web\ntier=front",
    "places": "Gateway/edge",
    "ports": "80, 8080",
    "env": "HOST\nLEVEL=debug",
    "json": '{"file": "/filters/marks.wasm"}',
}
Read = Callable[[Mapping[str, Any]], dict[str, Any]]
Place = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("kind", "read_settings", "read_placement", "settings", "left_out"),
    [
        ("istio", istio.read_settings, istio.read_placement, HUB, "targets"),
        ("istio", istio.read_settings, istio.read_placement, HUB, "labels"),
        ("istio", istio.read_settings, istio.read_placement, {**HUB, "form": "EnvoyFilter"}, "targets"),
        ("consul", consul.read_settings, consul.read_placement, {"address": "https://consul.example.com"}, ""),
        ("envoy-gateway", envoy_gateway.read_settings, envoy_gateway.read_placement, HUB, ""),
        ("gloo", gloo.read_settings, gloo.read_placement, HUB, ""),
    ],
)
def test_what_is_typed_is_a_placement_and_stands_there_again(
    kind: str, read_settings: Read, read_placement: Place, settings: dict[str, Any], left_out: str
) -> None:
    read = read_settings(settings)
    said = placement_fields(kind, read)
    fields = [Field(one["name"], one["label"], one["is"], one["required"], one["words"]) for one in said]
    form = {f"p-{one.name}": one.words[-1] if one.words else TYPED[one.what] for one in fields if one.name != left_out}

    placement = read_placement(read_body([], fields, form)["placement"], read)

    for one in fields:
        assert (placement[one.name] in ("", [], {}, None)) == (one.name == left_out), one.name
    assert placement.keys() == {one.name for one in fields}, "a field of the placement has none in the form"
    current = {"repository": "a/b", "reference": "a/b:1", "placement": placement}
    again = typed_from({"current": current, "repository": "a/b", "fields": said}, [])
    assert {name: value for name, value in again.items() if name.startswith("p-")} == form


def test_the_version_that_was_asked_for_stays() -> None:
    for reference, version in (("a/b:1", "1"), ("a/b@sha256:12", "sha256:12"), ("a/b", "sha256:34")):
        current = {"repository": "a/b", "reference": reference, "digest": "sha256:34"}
        assert typed_from({"current": current, "repository": "a/b"}, [])["version"] == version
        assert "version" not in typed_from({"current": current, "repository": "a/c"}, [])


def test_every_state_has_words() -> None:
    assert STANDING.keys() == set(STATUSES)
    assert {RUNS, REFUSED, PENDING, AWAY, FETCHED, "got"} == NODE.keys()
