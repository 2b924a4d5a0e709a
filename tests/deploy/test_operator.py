"""The operator's pure parts: its queue, and the status that it writes."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

from deploy.meshes.agents import Counters, Pod, follow
from deploy.meshes.kinds import MESHES
from deploy.meshes.kubernetes import Kind, Listing
from deploy.meshes.proxies import Proxy, Stats, begin
from deploy.operator.asking import Asking
from deploy.operator.hub import Examined, camel
from deploy.operator.loop import Operator
from deploy.operator.queue import Queue
from deploy.operator.resource import FILTERS, Filter, milliseconds, moment, proxies_of
from deploy.operator.standing import Report, Said, going, not_resolved, status_of
from deploy.operator.together import Together, View
from deploy.operator.wishing import desired_of, kept_of
from storage.deployments import DeploymentSeen
from wasmhub.cli.operator import CannotStart, _settings

AT = 1_800_000_000_123


def filter_of(generation: int = 1, **more: Any) -> Filter:
    """One as the API server gives it."""
    meta = {"name": "marks", "namespace": "shop", "uid": "u", "generation": generation}
    spec = {"image": {"repository": "a/b", "tag": "1"}}
    return Filter({"metadata": meta, "spec": spec, **more})


def test_a_kind_is_followed_on_whatever_its_listing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, again = [0], asyncio.Event()

    class Odd:
        async def list(self, kind: Kind, **_: Any) -> Listing:
            looks[0] += 1
            if looks[0] > 1:
                again.set()
            return Listing([{"kind": kind[1]}], "1")  # without metadata

    async def run() -> None:
        operator: Any = Operator(cast(Any, None), Path(), cast(Any, None), cast(Any, None), ())
        operator._cluster = Odd()
        following = asyncio.create_task(operator._follow(FILTERS, "", None))
        await asyncio.wait_for(again.wait(), 10)
        assert not following.done()
        following.cancel()

    monkeypatch.setattr("random.uniform", lambda low, high: 0.01)
    asyncio.run(run())


def test_a_key_is_taken_once_and_never_twice_at_a_time() -> None:
    async def run() -> list[Any]:
        queue: Queue[str] = Queue()
        for _ in range(3):
            queue.add("a")
        queue.add("b")
        took: list[Any] = [await queue.take()]
        queue.add("a")  # while it is worked on
        took.append(await queue.take())
        waits = asyncio.create_task(queue.take())
        await asyncio.sleep(0.05)
        took.append(waits.done())
        queue.done("a", None)
        took.append(await waits)
        return took

    assert asyncio.run(run()) == ["a", "b", False, "a"]


def test_what_fails_waits_longer_each_time_and_what_is_new_does_not() -> None:
    async def run() -> tuple[float, float, float]:
        queue: Queue[str] = Queue()
        waits = []
        queue.add("a")
        await queue.take()
        for _ in range(2):
            began = time.monotonic()
            queue.failed("a")
            await queue.take()
            waits.append(time.monotonic() - began)
        queue.failed("a")
        began = time.monotonic()
        queue.add("a")
        await queue.take()
        return waits[0], waits[1], time.monotonic() - began

    first, second, fresh = asyncio.run(run())
    assert 0.35 < first < 0.9 and 0.75 < second < 1.6 and fresh < 0.1


def test_what_comes_due_later_is_not_taken_before() -> None:
    async def run() -> list[str]:
        queue: Queue[str] = Queue()
        queue.add("later", 0.2)
        queue.add("sooner", 0.1)
        queue.add("later", 10)  # it stays due when it was
        return [await queue.take(), await queue.take()]

    assert asyncio.run(run()) == ["sooner", "later"]


def test_a_transition_has_the_time_at_which_it_was() -> None:
    one = filter_of()
    first = status_of(one, Report({"Ready": Said("False", "Progressing", "a")}), AT)
    again = status_of(filter_of(2, status=first), Report({"Ready": Said("False", "Stalled", "b")}), AT + 5000)
    (was,), (now_said,) = first["conditions"], again["conditions"]
    assert (was["lastTransitionTime"], was["observedGeneration"]) == (moment(AT), 1)
    assert (now_said["lastTransitionTime"], now_said["observedGeneration"]) == (moment(AT), 2)
    assert now_said["reason"] == "Stalled"
    then = status_of(filter_of(2, status=again), Report({"Ready": Said("True", "Ready", "c")}), AT + 9000)
    assert then["conditions"][0]["lastTransitionTime"] == moment(AT + 9000)
    assert status_of(filter_of(2, status=then), Report({"Ready": Said("True", "Ready", "c")}), AT + 99_000) == then


def test_what_a_tag_was_is_asked_for_until_the_spec_changes() -> None:
    digest = "sha256:" + "1" * 64
    resolved = {"resolved": {"generation": 3, "digest": digest}}
    assert filter_of(3).reference == "a/b:1"
    assert filter_of(3, status=resolved).reference == f"a/b@{digest}"
    assert filter_of(4, status=resolved).reference == "a/b:1"


def test_while_the_hub_is_away_what_was_said_stays() -> None:
    before = status_of(
        filter_of(), Report({"Applied": Said("True", "Applied", "x"), "Ready": Said("True", "Ready", "y")}), AT
    )
    one = filter_of(status={**before, "applied": {"generation": 1}})
    found = {
        each["type"]: each for each in status_of(one, not_resolved(one, "HubAway", "gone", ["x"]), AT)["conditions"]
    }
    assert [found[kind]["status"] for kind in ("Resolved", "Applied", "Ready")] == ["Unknown", "True", "True"]
    other = filter_of(2, status=one.status)
    found = {
        each["type"]: each for each in status_of(other, not_resolved(other, "HubAway", "gone", ["x"]), AT)["conditions"]
    }
    assert [found[kind]["status"] for kind in ("Resolved", "Applied", "Ready")] == ["Unknown", "False", "Unknown"]
    assert found["Applied"]["message"] == "generation 2 is not applied; generation 1 stays as it is"
    gone = not_resolved(one, "HubAway", "gone", []).conditions  # somebody has deleted its objects meanwhile
    assert (gone["Applied"].status, gone["Ready"].status) == ("False", "Unknown")
    assert gone["Applied"].message.endswith("what generation 1 was is not seen there any more")


def test_what_was_counted_is_kept_in_the_status() -> None:
    pods = [Pod("p", "shop/web", 1, Counters(3, {"fetch_failure": 2}, {"shop_marks_filterdeployment": (1, 0)}))]
    known = follow({}, pods, "shop.marks.filterdeployment", 4)
    applied = {"generation": 4, "at": moment(AT), "tries": 2, "triedAt": moment(AT)}
    row = filter_of(4, status={"proxies": proxies_of(known), "applied": applied}).row("d", "m", None, {})
    assert isinstance(row.seen, DeploymentSeen)
    assert row.seen.detail == {"pods": known, "tries": 2, "tried_at": AT}
    assert (row.seen.revision, row.seen.applied_at) == (4, AT)


def gateway_filter(name: str, created: int, **status: Any) -> Filter:
    """One for Envoy Gateway, on the route `web`."""
    meta = {"name": name, "namespace": "shop", "uid": name, "generation": 1, "creationTimestamp": moment(created)}
    spec = {"image": {"repository": "a/b", "tag": "1"}, "mesh": {"kind": "envoy-gateway"}}
    route = {"placement": {"targets": [{"kind": "HTTPRoute", "name": "web"}]}}
    return Filter({"metadata": meta, "spec": {**spec, **route}, "status": status})


def test_what_envoys_counted_is_kept_as_long_as_it_is_needed() -> None:
    plugin = "wasmhub/operator/filterdeployment/marks/1"
    before = Stats(workers=2, taken=3, plugins=("another", "wasmhub_operator_filterdeployment_marks_1"))
    known = begin([Proxy("p", "system/gw-0", before)], plugin)
    applied = {"generation": 1, "at": moment(AT)}

    def again(known: Any) -> Any:
        one = gateway_filter(
            "marks", AT, applied=applied, proxies=[*proxies_of(known), {"uid": "x", "state": "refused"}]
        )
        seen = one.row("d", "m", None, {}).seen
        assert seen is not None and seen.detail is not None
        return seen.detail["proxies"]

    (held,) = again(known).values()
    base = {**known["p"]["base"], "active": None, "plugins": [before.plugins[1]]}
    assert held == {**known["p"], "revision": None, "base": base}
    (held,) = again({"p": {**known["p"], "state": "runs", "revision": 1}}).values()
    assert (held["state"], held["revision"], held["base"]["taken"]) == ("runs", 1, 0)


def test_where_no_room_is_left_who_was_there_first_stays() -> None:
    settings = {"envoy-gateway": {"hub": "https://hub.test"}}
    examined = Examined("sha256:1", "sha256:1", "1", 1, {}, None, True, ())
    together = Together(
        MESHES["envoy-gateway"], cast(Any, None), cast(Any, None), Asking(cast(Any, None), settings), print
    )
    ones = [gateway_filter(f"f-{number:02}", AT + number * 1000) for number in range(17)]
    ones.insert(0, gateway_filter("late", AT + 99_000, applied={"generation": 1, "order": 5}))
    views = [View(one, desired_of(one, examined, settings["envoy-gateway"]), examined) for one in ones]

    found = together._fitting(views)

    assert [view.one.name for view in found] == [one.name for one in ones]
    left = [view for view in found if view.desired.problems]
    assert [view.one.name for view in left] == ["f-15", "f-16"]
    assert "HTTPRoute web in shop would run 17 filters" in left[0].desired.problems[0]
    assert together._fitting(views[:16]) == views[:16]
    never = gateway_filter("never", AT - 1)
    absent = View(never, kept_of(never, "push it first", settings["envoy-gateway"]))
    assert together._fitting([absent, *views[:16]])[1:] == views[:16], "what was never there takes no room"


def test_settings_are_for_all_kinds_of_mesh_or_for_one(tmp_path: Path) -> None:
    path, hub = tmp_path / "settings.yaml", "https://hub.test"
    path.write_text("observe: nothing\nmeshes: {envoy-gateway: {observe: proxies, proxies_namespace: eg}}")
    assert _settings(path, hub, ["istio", "envoy-gateway"]) == {
        "istio": {"hub": hub, "observe": "nothing"},
        "envoy-gateway": {"hub": hub, "observe": "proxies", "proxies_namespace": "eg"},
    }
    for text, said in {
        "meshes: {consul: {}}": "must be an object by kind: istio, envoy-gateway",
        "meshes: {istio: 7}": "the settings for istio must be an object",
        "form: HTTP": "the settings for istio: form must be one of WasmPlugin",
        "meshes: {istio: {max_filters: 3}}": "the settings hold max_filters",
    }.items():
        path.write_text(text)
        with pytest.raises(CannotStart, match=said):
            _settings(path, hub, ["istio"])


def test_what_goes_says_what_holds_it() -> None:
    said = going("WasmPlugin shop/marks is being deleted", ["x"]).conditions["Ready"]
    assert (said.status, said.reason, said.message) == ("False", "Deleting", "WasmPlugin shop/marks is being deleted")


def test_words_are_as_conditions_want_them() -> None:
    assert [camel(one) for one in ("applied-not-observed", "max_filters", "ready", "")] == [
        "AppliedNotObserved",
        "MaxFilters",
        "Ready",
        "Refused",
    ]
    assert milliseconds(moment(AT)) == AT and milliseconds("yesterday") is None and milliseconds(None) is None
