"""What follows from the conditions of Envoy Gateway and the counters of its Envoys."""

from dataclasses import replace
from typing import Any

import pytest

from deploy.meshes.conditions import hear, nobody
from deploy.meshes.proxies import LONGEST_WAIT, Proxy, Stats, begin, follow, read_stats, settle, stand

PLUGIN = "wasmhub/h1/mesh/rate-limit/12345678"
METRIC = "wasmhub_h1_mesh_rate_limit_12345678"
BEFORE = Stats(created=8, missed=2, fetched=2, taken=5, plugins=("other",))
HAS = replace(BEFORE, taken=6, plugins=(METRIC, "other"))
FETCHED = replace(HAS, missed=3, fetched=3)
# fmt: off
CASES: dict[str, tuple[Stats | None, str, str | None]] = {
    "it does not answer": (None, "pending", None),
    "nothing has happened": (BEFORE, "pending", None),
    "it had the module": (HAS, "runs", None),
    "it fetches the module": (replace(HAS, missed=3), "pending", None),
    "it tries the module": (replace(FETCHED, created=10), "refused", "fails"),
    "the module has started": (replace(FETCHED, created=12), "runs", None),
    "it could not fetch": (replace(HAS, missed=3, unfetched=1), "refused", "fetching"),
    "it took no listener": (replace(BEFORE, rejected=1), "refused", "held"),
    "it has begun anew": (Stats(created=4, missed=1, fetched=1, taken=1, plugins=(METRIC,)), "runs", None),
    "it fails, anew": (Stats(created=2, missed=1, fetched=1, taken=1, plugins=(METRIC,)), "refused", "fails"),
}
# fmt: on
TEXT = """# TYPE envoy_wasm_remote_load_cache_misses counter
envoy_wasm_remote_load_cache_misses{} 3
envoy_wasm_remote_load_cache_hits{} 5
envoy_server_concurrency{} 4
envoy_wasm_remote_load_fetch_successes{} 2
envoy_wasm_remote_load_fetch_failures{} 1
envoy_wasm_envoy_wasm_runtime_v8_created{} 19
envoy_wasm_envoy_wasm_runtime_v8_active{} 7
envoy_listener_manager_lds_update_success{} 8
envoy_listener_manager_lds_update_rejected{} 2
envoy_wasm_wasmhub_h1_mesh_rate_limit_12345678_vm_reload{} 0
envoy_wasm_wasmhub_h1_mesh_rate_limit_12345678_vm_reload_success{} 0
"""


def looked_at(now: Stats | None, known: dict[str, Any], others: int = 0) -> dict[str, Any]:
    """What is known of the one proxy after a look at it when all has settled."""
    proxies = [Proxy("u", "shop/gw", now)]
    found = settle(follow(known, proxies, PLUGIN, others=others), proxies)["u"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", CASES)
def test_counters_say_what_became_of_a_revision(name: str) -> None:
    now, state, why = CASES[name]

    found = looked_at(now, begin([Proxy("u", "shop/gw", BEFORE)], PLUGIN))

    assert (found["state"], found["why"]) == (state, why)


def test_what_it_had_before_is_not_taken_for_news() -> None:
    known = begin([Proxy("u", "shop/gw", HAS)], PLUGIN)

    assert looked_at(HAS, known)["state"] == "pending"
    assert looked_at(replace(HAS, taken=7), known)["state"] == "runs"


def test_of_several_at_once_it_is_not_said_which_one_started() -> None:
    known = begin([Proxy("u", "shop/gw", BEFORE)], PLUGIN)

    assert looked_at(replace(FETCHED, created=14), known, 1)["state"] == "pending", "one has, one has not"
    assert looked_at(replace(FETCHED, created=16), known, 1)["state"] == "runs"
    assert looked_at(replace(FETCHED, created=12), known, 1)["state"] == "pending", "it may have been the other"
    assert looked_at(replace(FETCHED, created=10), known, 1)["why"] == "fails"
    many = replace(FETCHED, workers=8)
    assert looked_at(replace(many, created=21), known, 1)["state"] == "pending", "the other alone makes as many"
    assert looked_at(replace(many, created=30), known, 1)["state"] == "runs"


PLACES = replace(BEFORE, active=3, taken=6, missed=6, fetched=6, plugins=(METRIC, "other"))
OF_FOUR: dict[str, tuple[Stats, str]] = {
    "it has started": (replace(PLACES, created=12, active=6), "runs"),
    "it has started while a former one ended": (replace(PLACES, created=12), "pending"),
    "it has not": (replace(PLACES, created=16), "refused"),
    "only some of them made machines": (replace(PLACES, created=13), "pending"),
    "it has not, with as many workers as make as many": (replace(PLACES, workers=5, created=16), "refused"),
    "it has, with as many workers": (replace(PLACES, workers=5, created=16, active=10), "runs"),
}


@pytest.mark.parametrize("name", OF_FOUR)
def test_each_place_that_fetches_a_module_tries_it(name: str) -> None:
    """As in the inbound listener of Istio's sidecars, which has four of them."""
    stats, state = OF_FOUR[name]
    known = begin([Proxy("u", "shop/web", replace(BEFORE, active=3))], PLUGIN)

    assert looked_at(stats, known)["state"] == state


def test_a_module_that_could_not_be_fetched_is_fetched_anew_without_a_miss() -> None:
    unfetched = replace(BEFORE, taken=6, missed=3, unfetched=1, plugins=(METRIC, "other"))
    known = {"u": looked_at(unfetched, begin([Proxy("u", "shop/gw", BEFORE)], PLUGIN))}
    assert known["u"]["why"] == "fetching"

    again = replace(unfetched, taken=7)
    assert looked_at(again, known)["why"] == "fetching", "it is on its way"
    assert looked_at(replace(again, fetched=3, created=10), known)["why"] == "fetching"
    assert looked_at(replace(again, fetched=3, created=12), known)["state"] == "runs"


def test_an_envoy_that_begins_anew_counts_from_nothing() -> None:
    known = begin([Proxy("u", "shop/gw", replace(BEFORE, missed=1))], PLUGIN)
    anew = Stats(created=2, missed=1, fetched=1, taken=1, plugins=(METRIC,))

    assert looked_at(anew, known)["why"] == "fails", "its one miss is not the former one's"


def test_what_grew_once_is_not_taken_for_what_never_started() -> None:
    """Machines of the listener before end meanwhile, and two that share theirs are never as many as was thought."""
    shared = replace(FETCHED, missed=4, fetched=4, created=12)
    before = begin([Proxy("u", "shop/gw", replace(BEFORE, active=3))], PLUGIN)
    known = {"u": looked_at(replace(shared, active=6), before, 1)}

    assert looked_at(replace(shared, active=3), known, 1)["state"] == "pending"


def test_without_the_number_of_machines_only_what_was_made_counts() -> None:
    known = begin([Proxy("u", "shop/gw", BEFORE)], PLUGIN)
    del known["u"]["base"]["active"]  # as where an older definition of the kind has it forgotten

    assert looked_at(replace(FETCHED, created=10, active=9), known)["why"] == "fails"
    assert looked_at(replace(FETCHED, created=12, active=9), known)["state"] == "runs"
    at_two = replace(FETCHED, missed=4, fetched=4, created=12, active=3)
    assert looked_at(at_two, known)["state"] == "pending", "two that did not start make as many as one that did"


def test_of_two_that_each_fetch_both_run_once_all_machines_are_there() -> None:
    known = begin([Proxy("u", "shop/web", replace(BEFORE, active=3))], PLUGIN)
    both = replace(FETCHED, missed=4, fetched=4, created=16)

    assert looked_at(replace(both, active=9), known, 1)["state"] == "runs"
    assert looked_at(replace(both, created=14, active=6), known, 1)["state"] == "pending"


def test_a_listener_that_is_taken_after_all_counts() -> None:
    proxies = [Proxy("u", "shop/gw", replace(BEFORE, rejected=1))]
    refused = follow(begin([Proxy("u", "shop/gw", BEFORE)], PLUGIN), proxies, PLUGIN)
    assert refused["u"]["why"] == "held"

    assert follow(refused, proxies, PLUGIN)["u"]["why"] == "held"
    taken = [Proxy("u", "shop/gw", replace(HAS, rejected=1))]
    assert follow(refused, taken, PLUGIN)["u"]["state"] == "runs"


def test_a_deployment_is_ready_when_each_proxy_was_seen_to_run_it() -> None:
    known = {str(uid): {"name": f"shop/{uid}", "state": "runs", "why": None} for uid in range(3)}
    assert stand(known, 2, age=0).status == "ready"
    known["1"] = {"name": "shop/1", "state": "pending", "why": None}
    assert stand(known, 2, age=0).message == "2 of 3 proxies run revision 2"
    late = stand(known, 2, age=LONGEST_WAIT + 1)
    assert late.status == "applied-not-observed" and "shop/1 does not tell" in late.message
    known["2"] = {"name": "shop/2", "state": "refused", "why": "fails"}
    said = stand(known, 2, age=0)
    assert said.status == "stalled" and said.message.startswith("the Envoy of shop/2 could not start revision 2")


def test_counters_are_read() -> None:
    assert read_stats(TEXT) == Stats(4, 7, 19, 5, 3, 2, 1, 8, 2, (METRIC,))
    assert read_stats("") == Stats()


def policy(*ancestors: dict[str, Any]) -> dict[str, Any]:
    """A policy of which that is said."""
    reference = {"kind": "HTTPRoute", "name": "web", "sectionName": "paid"}
    meta = {"name": "p", "namespace": "shop", "generation": 2}
    return {"metadata": meta, "spec": {"targetRefs": [reference]}, "status": {"ancestors": list(ancestors)}}


def word(generation: int, *, accepted: bool = True, overridden: str = "") -> dict[str, Any]:
    """What is said of a policy for one Gateway."""
    reason, said = ("Accepted", "Policy has been accepted.") if accepted else ("Invalid", "Wasm: no.")
    found = [{"type": "Accepted", "status": str(accepted), "reason": reason, "message": said}]
    if overridden:
        found.append({"type": "Overridden", "status": "True", "reason": "Overridden", "message": overridden})
    conditions = [one | {"observedGeneration": generation} for one in found]
    return {"ancestorRef": {"kind": "Gateway", "name": "gw"}, "conditions": conditions}


def test_conditions_count_for_the_generation_that_they_are_on() -> None:
    heard = hear([policy(word(2), word(1))])
    assert [one.gateway for one in heard.words] == [("shop", "gw")] and list(heard.silent) == ["p"]

    heard = hear([policy(word(2)), policy(word(2, accepted=False))])
    assert not heard.silent and heard.refusal == "Wasm: no." and heard.lacks_module

    heard = hear([policy(), policy(word(2, overridden="By another."))])
    assert heard.overridden == "By another." and not heard.refusals
    assert nobody(heard).startswith("there is no HTTPRoute shop/web with the section paid that an Envoy Gateway")
