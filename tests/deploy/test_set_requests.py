"""What a request for a deployment set may hold."""

from typing import Any

import pytest

from tests.deploy.fleet import Fleet


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "the field reference is missing"),
        ({"reference": "a/b:1", "members": []}, "members must be a list of 1 to 100"),
        ({"reference": "a/b:1", "members": ["edge"]}, "member 1 must be an object"),
        ({"reference": "a/b:1", "members": [{}]}, "the field target is missing"),
        ({"reference": "a/b:1", "members": [{"target": "e", "wave": 2}]}, "no member is in wave 1"),
        ({"reference": "a/b:1", "members": [{"target": "e", "wave": 0}]}, "wave must be a whole number"),
        ({"reference": "a/b:1", "members": [{"target": "e"}, {"target": "e"}]}, "is there twice"),
        ({"reference": "a/b:1", "members": [{"target": "e", "placement": []}]}, "placement of member 1"),
        ({"reference": "a/b:1", "members": [{"target": "e", "rollout": []}]}, "rollout must be an object"),
        ({"reference": "a/b:1", "members": [{"target": "e"}], "bake": "0"}, "bake must be a time"),
        ({"reference": "a/b:1", "members": [{"target": "e"}], "on_failure": "pray"}, "on_failure must be one of"),
        ({"reference": "a/b:1", "members": [{"target": "e"}], "waves": []}, "there is no field 'waves'"),
    ],
)
def test_what_cannot_be_meant_is_refused(fleet: Fleet, body: dict[str, Any], says: str) -> None:
    answer = fleet.http.put("/api/v1/sets/admin/limits", json=body)
    assert answer.status_code == 400 and says in answer.text, answer.text
