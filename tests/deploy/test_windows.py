"""When a target takes changes: windows and freezes, and what they keep from happening."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auth.door import ApiError
from deploy.checks.windows import closed, read_freeze, read_windows
from tests.deploy.fleet import Fleet, header_filter
from tests.deploy.test_checks import reasons

NIGHTS = {"days": ["mon", "fri"], "from": "22:00", "to": "04:00", "zone": "Europe/Berlin"}


def at(text: str) -> int:
    """A time in milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-23T20:59:59Z", "2026-11-23T21:00:00Z"),  # a Monday, 22:00 in Berlin
        ("2026-11-23T21:00:00Z", None),
        ("2026-11-24T02:59:59Z", None),
        ("2026-11-24T03:00:00Z", "2026-11-27T21:00:00Z"),
        ("2026-11-24T21:30:00Z", "2026-11-27T21:00:00Z"),
        ("2026-11-28T03:00:00Z", "2026-11-30T21:00:00Z"),
        ("2026-07-06T20:00:00Z", None),  # in summer 22:00 is earlier
        ("2026-07-06T19:59:00Z", "2026-07-06T20:00:00Z"),
    ],
)
def test_windows_go_over_midnight_and_know_summer_time(moment: str, opens: str | None) -> None:
    found = closed({"windows": read_windows([NIGHTS])}, at(moment))
    assert (found.opens_at if found else None) == (datetime.fromisoformat(opens) if opens else None)
    if found is not None and opens:
        said = f"(mon fri 22:00 to 04:00 Europe/Berlin), next at {opens[:10]} {opens[11:16]} UTC"
        assert (found.code, found.message) == ("window", f"takes changes in its windows alone {said}")


def test_a_freeze_closes_all_windows_until_its_end() -> None:
    freeze = read_freeze({"why": "the shop is open", "until": "2026-11-24T12:00:00+01:00"})
    found = closed({"freeze": freeze, "windows": read_windows([NIGHTS])}, at("2026-11-23T22:00:00Z"))
    assert found is not None and found.code == "freeze"
    assert found.message == "is frozen until 2026-11-24 11:00 UTC: the shop is open"
    assert found.opens_at == datetime(2026, 11, 27, 21, tzinfo=UTC), "the first window after it"
    alone = closed({"freeze": freeze}, at("2026-11-23T22:00:00Z"))
    assert alone is not None and alone.opens_at == datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert closed({"freeze": freeze}, at("2026-11-24T11:00:00Z")) is None
    endless = closed({"freeze": read_freeze({"why": "moving"})}, 0)
    assert endless is not None and (endless.message, endless.opens_at) == ("is frozen: moving", None)
    whole = {"windows": read_windows([{"from": "00:00", "to": "00:00"}])}
    assert closed(whole, at("2026-11-23T00:00:00Z")) is None and closed({}, 0) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"freeze": True}, "freeze must be an object"),
        ({"freeze": {}}, "the field why is missing"),
        ({"freeze": {"why": " "}}, "must be a sentence"),
        ({"freeze": {"why": "x", "until": "tomorrow"}}, "freeze.until must be a time with its zone"),
        ({"freeze": {"why": "x", "until": "2026-12-01T00:00:00"}}, "freeze.until must be a time with its zone"),
        ({"freeze": {"why": "x", "till": "2026"}}, "there is no field 'till'"),
        ({"windows": []}, "windows must be a list of 1 to 20"),
        ({"windows": ["22:00"]}, "a window must be an object"),
        ({"windows": [{"from": "22:00"}]}, "the field to is missing"),
        ({"windows": [{"from": "24:00", "to": "01:00"}]}, "from must be a time of the day"),
        ({"windows": [{"from": "10:00", "to": "10:00"}]}, "must end at another time"),
        ({"windows": [{"from": "10:00", "to": "11:00", "days": ["monday"]}]}, "days must be a list of some of mon"),
        ({"windows": [{"from": "10:00", "to": "11:00", "days": [["mon"]]}]}, "days must be a list of some of mon"),
        ({"windows": [{"from": "10:00", "to": "11:00", "zone": "Mars/Base"}]}, "is no time zone"),
        ({"windows": [{"from": "10:00", "to": "11:00", "zone": "../etc/passwd"}]}, "is no time zone"),
        ({"windows": [{"from": "10:00", "to": "11:00", "zone": "localtime"}]}, "is no time zone"),
        ({"windows": [{"from": "10:00", "to": "11:00", "zone": "right/Europe/Berlin"}]}, "is no time zone"),
    ],
)
def test_what_is_no_window_is_refused(fleet: Fleet, settings: dict[str, Any], says: str) -> None:
    answer = fleet.http.patch(fleet.path, json={"settings": settings})
    assert answer.status_code == 400 and says in answer.text, answer.text


def test_a_closed_target_takes_no_change_but_lets_one_go_back(fleet: Fleet) -> None:
    reference = fleet.push(f"w-{fleet.name}", "1", header_filter("one"))
    fleet.deploy("marks", reference)
    fleet.deploy("marks", reference, config="x")
    number = fleet.deploy("marks", reference, config="y", rollout={})["rollout"]
    later = datetime.now(UTC) + timedelta(hours=5)
    window = {"from": f"{later:%H:%M}", "to": f"{later + timedelta(minutes=5):%H:%M}"}
    for settings, code in (({"freeze": {"why": "moving"}}, "freeze"), ({"windows": [window]}, "window")):
        shut = fleet.http.patch(fleet.path, json={"settings": settings})
        assert shut.status_code == 200, shut.text
        refused = fleet.put("other", reference=reference)
        assert reasons(refused) == [(code, True)]
        assert "going back and undeploying are always possible" in refused.text
    assert f"next at {later:%Y-%m-%d %H:%M} UTC" in refused.text

    message = fleet.http.get(f"/api/v1/rollouts/{number}").json()["message"]
    assert "has not begun its first wave; " in message and "takes changes in its windows alone" in message
    assert fleet.http.post(f"/api/v1/rollouts/{number}/abort").status_code == 200
    back = fleet.http.post(f"{fleet.path}/deployments/marks/rollback", json={"revision": 1})
    assert back.status_code == 200, back.text
    forced = fleet.deploy("other", reference, force=True)
    assert forced["warnings"][0].startswith(f"forced: target {fleet.name} takes changes in its windows alone")
    fleet.undeploy("other")
    assert fleet.http.patch(fleet.path, json={"settings": {}}).status_code == 200
    fleet.deploy("other", reference)


def test_nothing_else_is_raised_for_what_cannot_be_read() -> None:
    with pytest.raises(ApiError):
        read_windows({"from": "10:00"})
    assert closed({"windows": read_windows([{"from": "00:00", "to": "00:00"}])}, int(time.time() * 1000)) is None


def test_changes_of_different_rules_at_once_do_not_undo_each_other(fleet: Fleet) -> None:
    before = fleet.http.get(fleet.path).json()["settings"]
    freezes = [{"freeze": {"why": "moving"}}, {"freeze": None}] * 4
    one_off = {"windows": [NIGHTS], "max_filters": 3, "envoy_version": "1.33", "policy": {"capabilities": {}}}
    changes = [*freezes[:4], *({name: value} for name, value in one_off.items()), *freezes[4:]]
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda change: fleet.http.patch(fleet.path, json={"change": change}), changes)]
    assert [answer.status_code for answer in answers] == [200] * len(changes), [answer.text for answer in answers]
    thawed = fleet.http.patch(fleet.path, json={"change": {"freeze": None}})
    assert thawed.json()["settings"] == before | one_off


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"change": []}, 400, "change must be a JSON object of settings"),
        ({"change": {}, "settings": {}}, 400, "leave one of the two out"),
        ({"change": {"frozen": None}}, 400, "has no setting 'frozen'"),
        ({"change": {"frozen": True}}, 400, "there is no field 'frozen'"),
        ({"change": {"freeze": True}}, 400, "freeze must be an object"),
        ({"change": {"slots": 3}}, 409, "only its rules can be changed"),
        ({"change": {"slots": None}}, 400, "has no setting 'slots' that could be taken away"),
    ],
)
def test_a_change_of_settings_is_checked(fleet: Fleet, body: dict[str, Any], code: int, says: str) -> None:
    answer = fleet.http.patch(fleet.path, json=body)
    assert answer.status_code == code and says in answer.text, answer.text
