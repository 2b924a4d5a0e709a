"""The reader's verdicts beside those of the real Envoy, for modules on both sides of every rule; prints the table."""

from __future__ import annotations

from collections import Counter

import pytest

from proxywasm import CRASHES, REFUSED, UNSAFE, Problem
from proxywasm.inspector import Inspector
from tests.proxywasm.cases import Case, all_cases
from tests.proxywasm.envoy import Answer, ask_envoy

BATCH = 100

# Rules whose subject, the name of an import or export, Envoy writes into its log too.
NAMED_BY_ENVOY = ("import", "import-type", "foreign-import", "export-type")
# Rules of imports that fail only in the engine, which then says nothing more than that it failed.
SILENT = "Failed to create new Wasm instance", "Failed to initialize Wasm code"


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return {f"case-{number}": case for number, case in enumerate(all_cases())}


@pytest.fixture(scope="module")
def envoy(cases: dict[str, Case], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Envoy's answers: many modules to a process, but one each for those that end it."""
    folder = tmp_path_factory.mktemp("envoy")
    calm = [name for name, case in cases.items() if case.verdict != "crashes"]
    batches = [calm[start : start + BATCH] for start in range(0, len(calm), BATCH)]
    batches += [[name] for name, case in cases.items() if case.verdict == "crashes"]
    answers: dict[str, Answer] = {}
    for number, batch in enumerate(batches):
        answers |= ask_envoy(folder / str(number), {name: cases[name].data for name in batch})
    return answers


@pytest.fixture(scope="module")
def reader(cases: dict[str, Case]) -> dict[str, list[Problem]]:
    """The reader's problems with each module, as the worker process finds them."""
    with Inspector() as inspector:
        found = {name: inspector.inspect_bytes(case.data).facts for name, case in cases.items()}
    return {name: [Problem(**problem) for problem in facts["problems"]] for name, facts in found.items() if facts}


def test_reader_and_envoy_agree(
    cases: dict[str, Case],
    envoy: dict[str, Answer],
    reader: dict[str, list[Problem]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = []
    for name, case in cases.items():
        ours, theirs = verdict(reader[name]), envoy[name].verdict
        # A module that is unsafe may end Envoy at once or at its first request: both are what the reader warns of.
        same = ours == theirs or (ours == UNSAFE and theirs in ("loads", "crashes"))
        rows.append((case, ours, theirs, same, envoy[name].reason))
    with capsys.disabled():
        print(table(rows))
    assert [f"{case.group}: {case.name}" for case, _, _, same, _ in rows if not same] == []
    assert len(rows) >= 60


def test_cases_say_what_envoy_does(cases: dict[str, Case], envoy: dict[str, Answer]) -> None:
    wrong = [
        (case.group, case.name, envoy[name]) for name, case in cases.items() if envoy[name].verdict != case.verdict
    ]
    assert wrong == []


def test_reader_names_what_envoy_names(
    cases: dict[str, Case], envoy: dict[str, Answer], reader: dict[str, list[Problem]]
) -> None:
    checked = 0
    for name, case in cases.items():
        problem = next((problem for problem in reader[name] if problem.rule == case.rule), None)
        if problem is None or problem.rule not in NAMED_BY_ENVOY or case.verdict != "refused":
            continue
        if not envoy[name].reason.startswith(SILENT):
            assert problem.subject in envoy[name].reason, case
            checked += 1
    assert checked >= 20


def test_every_rule_has_two_modules_on_each_side(cases: dict[str, Case]) -> None:
    refused = Counter(case.rule for case in cases.values() if case.rule)
    loading = Counter(case.group for case in cases.values() if case.verdict == "loads" and case.rule is None)
    groups = {case.group for case in cases.values()}
    assert {rule: count for rule, count in refused.items() if count < 2} == {}
    assert {group: loading[group] for group in groups if loading[group] < 2} == {}


def verdict(problems: list[Problem]) -> str:
    effects = {problem.effect for problem in problems}
    if CRASHES in effects:
        return "crashes"
    if REFUSED in effects:
        return "refused"
    return UNSAFE if UNSAFE in effects else "loads"


def table(rows: list[tuple[Case, str, str, bool, str]]) -> str:
    lines = ["", f"{'rule':24}{'module':60}{'reader':10}{'Envoy':10}", "-" * 104]
    for case, ours, theirs, same, reason in rows:
        mark = "" if same else f"  DISAGREE {reason}"
        lines.append(f"{case.group[:22]:24}{case.name[:58]:60}{ours:10}{theirs:10}{mark}")
    agreeing = sum(same for _, _, _, same, _ in rows)
    lines.append(f"{len(rows)} modules, {agreeing} agree, {len(rows) - agreeing} disagree")
    return "\n".join(lines)
