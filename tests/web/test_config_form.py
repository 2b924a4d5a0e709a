"""A schema as the fields of a form: which field each property gets, and configs there and back."""

import json
from typing import Any

import pytest

from auth.door import ApiError
from tests.web.deploying import SCHEMA
from web.config_form import config_fields, read_config, write_config
from web.typed import ABSENT, Field, read, write

FIELDS = config_fields(SCHEMA)


def test_each_property_has_the_field_that_suits_it() -> None:
    assert {one.name: one.what for one in FIELDS} == {
        "name": "text",
        "level": "choice",
        "share": "number",
        "most": "whole",
        "quiet": "flag",
        "hosts": "list",
        "rules": "json",
    }
    by_name = {one.name: one for one in FIELDS}
    assert by_name["name"].required and not by_name["level"].required
    assert by_name["level"].words == ("debug", "info", "warn")
    assert by_name["level"].hint == 'What is written to the log. Left empty: "info".'
    assert by_name["share"].hint == "Of requests that get it. From 0 to 1."


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        [],
        {},
        {"type": "array", "properties": {}},
        {"properties": []},
        {"type": ["object", "null"], "properties": {"a": {}}},
        {"properties": {f"p{number}": {} for number in range(41)}},
    ],
)
def test_what_makes_no_form_is_filled_in_as_json(schema: Any) -> None:
    assert config_fields(schema) == []


def test_odd_properties_are_fields_of_json() -> None:
    schema = {
        "properties": {
            "any": True,
            "many": {"type": ["string", "null"]},
            "absent": {"$ref": "#/$defs/none"},
            "far": {"$ref": "https://example.com/x"},
            "deep": {"enum": [{"a": 1}]},
            "none": {"enum": []},
            "kept": {"$ref": "#/$defs/size", "description": "Its size"},
            "mixed": {"enum": [1, "1", None, "two"]},
            "words": {"enum": [1, True, "two"]},
        },
        "$defs": {"size": {"type": "integer"}},
    }
    found = {one.name: one for one in config_fields(schema)}
    assert {name: one.what for name, one in found.items()} == {
        **dict.fromkeys(("any", "many", "absent", "far", "deep", "none", "mixed"), "json"),
        "kept": "whole",
        "words": "choice",
    }
    assert found["kept"].hint == "Its size."
    assert read(found["words"], "true") is True and read(found["words"], "1") == 1
    assert write(found["words"], True) == "true" and write(found["words"], 1) == "1"


def test_a_config_goes_there_and_back() -> None:
    config = {"name": "x", "level": "warn", "share": 0.5, "most": 3, "quiet": False, "hosts": ["a", "b"], "rules": [{}]}
    typed = write_config(FIELDS, json.dumps(config))
    assert typed is not None and typed["c-hosts"] == "a\nb" and typed["c-quiet"] == "false"
    assert json.loads(read_config(FIELDS, typed) or "") == config
    assert write_config(FIELDS, "") == {} and read_config(FIELDS, {}) is None


@pytest.mark.parametrize(
    "config",
    [
        '{"other": 1}',
        '{"name": 1}',
        '{"name": ""}',
        '{"name": " x "}',
        '{"level": "loud"}',
        '{"share": true}',
        '{"most": 1.5}',
        '{"hosts": ["a\\nb"]}',
        '{"hosts": "a"}',
        '{"hosts": []}',
        '{"quiet": null}',
        "[1]",
        "x: 1",
        "[" * 100_000,
    ],
)
def test_what_fields_cannot_say_stays_json(config: str) -> None:
    assert write_config(FIELDS, config) is None


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("most", "3.5", "must be a whole number"),
        ("most", "٣", "must be a whole number"),
        ("share", "much", "must be a number, such as 3 or 0.5"),
        ("share", "1e999", "must be a number, such as 3 or 0.5"),
        ("share", "NaN", "must be a number, such as 3 or 0.5"),
        ("quiet", "yes", "must be true or false"),
        ("level", "loud", "must be one of debug, info, warn"),
        ("rules", "[{]", "must be JSON: "),
        ("rules", "[" * 100_000, ""),
    ],
)
def test_what_is_mistyped_is_named(name: str, typed: str, said: str) -> None:
    with pytest.raises(ApiError) as refusal:
        read_config(FIELDS, {f"c-{name}": typed})
    assert refusal.value.status == 400
    assert refusal.value.message.startswith(f"the field '{name}' {said}")


def test_fields_of_a_placement() -> None:
    def one(what: str) -> Field:
        return Field("f", "F", what)

    assert read(one("map"), " app = shop \n\ntier=web") == {"app": "shop", "tier": "web"}
    assert read(one("env"), "LEVEL=a=b\nHOST") == {"LEVEL": "a=b", "HOST": None}
    assert write(one("env"), {"LEVEL": "a", "HOST": None}) == "LEVEL=a\nHOST"
    places = [{"kind": "Gateway", "name": "edge"}, {"kind": "Gateway", "name": "edge", "section": "http"}]
    assert read(one("places"), "Gateway/edge\r\nGateway / edge / http") == places
    assert write(one("places"), places) == "Gateway/edge\nGateway/edge/http"
    assert read(one("ports"), "80, 8080 9090") == [80, 8080, 9090]
    assert read(one("text"), "  ") is ABSENT
    for what, typed in (("map", "app"), ("map", "a=1\na=2"), ("places", "edge"), ("places", "a/b/c/d"), ("ports", "x")):
        with pytest.raises(ApiError):
            read(one(what), typed)
