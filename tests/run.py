"""Runs lint, types and the suites, long ones first: one line each with its time, then what failed and was skipped.

A few tests that fail beside others run once more, alone. What passes then counts as passed and is named as shaky with
what it said: it is a test that minds its neighbours, or a fault that few requests meet.

`python -m tests.run [SUITE ...]` runs those suites alone: `python -m tests.run storage "auth (scaled)"`. With CI set in
the environment a skipped test fails it.
"""

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.engines import what_is_missing
from tests.peers import kept

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
CHECKS = {
    "lint": [str(BIN / "ruff"), "check", "."],
    "format": [str(BIN / "ruff"), "format", "--check", "."],
    "types": [str(BIN / "mypy")],
}
# After what is told in a moment the longest, so that no lane is left with one when the others are done; a folder of
# tests/ that is not named here runs after these.
AT_ONCE = ["architecture"]
ORDER = ["deploy", "web", "auth", "faults", "auth (scaled)", "cli", "deploy (scaled)", "replicas", "wasmhub"]
ORDER += ["upkeep", "storage", "wasmhub (scaled)", "garbage", "upkeep (scaled)", "durability", "garbage (scaled)"]
ORDER += ["registry (scaled)", "registry (replicas)", "registry"]
HUBS = ["registry", "auth", "sign_on", "wasmhub", "deploy", "durability", "garbage", "upkeep"]
# Those that meet the engines only through what the others ask of them: once more when they are named, and else not.
NAMED = ["web", "cli", "clients"]
# Sets of engines besides the embedded one -> the suites that run once more on them: all that start hubs, but for those
# that choose their engines themselves (storage, replicas, faults).
AGAIN = {"scaled": [*HUBS, *NAMED], "replicas": ["registry"]}
# What these meet is built beside the quick tests if it is not there: then they come last, and wait for it. They take
# longest and mostly wait, so that else they come first.
BUILT_BESIDE = {"mesh": ["mesh/kubernetes", "mesh/envoy-gateway", "mesh/istio", "mesh/consul", "helm", "cosign"]}
# How the reason begins of a test that has nothing to see on the other sets of engines: it ran on the embedded ones.
ELSEWHERE = "of another set"


SHAKY = 10  # tests that may run once more; more of them fail for a reason
LANES = 4  # suites that run at once, on two cores: most wait for servers, clients and disks half of their time


@dataclass
class Outcome:
    """What became of one suite."""

    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # each failed test, and what it said
    elsewhere: int = 0  # tests that belong to another set of engines
    output: str = ""
    worked: float = 0.0  # seconds of processor time, of all that it started and waited for

    def failing(self) -> set[str]:
        """The names of the tests that failed."""
        return {_test(trouble) for trouble in self.troubles}


def main(names: list[str]) -> int:
    """Runs what was asked for and says how it went."""
    started = time.monotonic()
    known = {**CHECKS, **_suites()}
    usual = known.keys() - {f"{name} (scaled)" for name in NAMED}
    chosen = {name: known[name] for name in known if name in (names or usual)}
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        memories = {name: Path(folder) / str(number) for number, name in enumerate(chosen)}  # of what failed
        with ThreadPoolExecutor(LANES) as lanes:
            running = {lanes.submit(_timed, chosen[name], memories[name]): name for name in chosen}
            for done in as_completed(running):
                outcomes[running[done]], seconds = done.result()
                _print(running[done], outcomes[running[done]], seconds)
        shaky = _run_again(chosen, outcomes, memories)

    passed, failed = (sum(getattr(one, word) for one in outcomes.values()) for word in ("passed", "failed"))
    skipped = [f"{name}: {reason}" for name, one in outcomes.items() for reason in one.skipped]
    for trouble in shaky:
        print(f"shaky, passed alone: {trouble}")
    for name, one in outcomes.items():  # last, where they are seen
        for trouble in one.troubles or [""] * one.failed:
            print(f"failed: {name}: {trouble}")
    for reason in sorted(set(skipped)):
        print(f"skipped: {reason}")
    print(f"in {time.monotonic() - started:.0f} s")
    print(f"{passed} passed, {failed} failed, {len(skipped)} skipped")
    if skipped and os.environ.get("CI"):
        print("a skipped test fails this run, because CI is set")
        return 1
    return 1 if failed or not passed else 0


def _run_again(chosen: dict[str, list[str]], outcomes: dict[str, Outcome], memories: dict[str, Path]) -> list[str]:
    """Runs what failed once more, if it is little; what those tests said that pass now."""
    suites = {name: one for name, one in outcomes.items() if one.failed}
    if sum(one.failed for one in suites.values()) > SHAKY:
        return []
    shaky = []
    for name, before in suites.items():
        if before.failed != len(before.troubles):  # not by tests: lint, or a suite that did not come to its end
            continue
        again, seconds = _timed(chosen[name], memories[name], "--last-failed", "--last-failed-no-failures=none")
        _print(f"{name} again", again, seconds)
        if again.passed + again.failed == before.failed and not again.skipped:
            shaky += [f"{name}: {trouble}" for trouble in before.troubles if _test(trouble) not in again.failing()]
            outcomes[name] = replace(
                before, passed=before.passed + again.passed, failed=again.failed, troubles=again.troubles
            )
    return shaky


def _print(name: str, outcome: Outcome, seconds: float) -> None:
    print(f"{name:<21} {_say(outcome):<44} {seconds:6.1f} s, {outcome.worked:6.1f} s of a core", flush=True)
    if outcome.failed:
        print(outcome.output, flush=True)


def _suites() -> dict[str, list[str]]:
    """A pytest command for each folder of tests and each file beside them; those that meet engines, for each set."""
    tests = ROOT / "tests"
    found = {path.parent.name: path.parent for path in tests.glob("*/test_*.py")}
    found |= {path.stem.removeprefix("test_"): path for path in tests.glob("test_*.py")}
    once = {name: ["pytest", str(found[name]), ""] for name in sorted(found)}
    all_of_them = once | {
        f"{name} ({engines})": ["pytest", str(found[name]), engines]
        for engines, names in AGAIN.items()
        for name in names
    }
    last = [name for name, parts in BUILT_BESIDE.items() if not all(kept(part).exists() for part in parts)]
    long = [name for name in BUILT_BESIDE if name not in last]
    first = [name for name in [*AT_ONCE, *long, *ORDER, *all_of_them] if name in all_of_them and name not in last]
    return {name: all_of_them[name] for name in [*first, *last]}


def _timed(command: list[str], memory: Path, *more: str) -> tuple[Outcome, float]:
    began = time.monotonic()
    return _run(command, memory, *more), time.monotonic() - began


def _run(command: list[str], memory: Path, *more: str) -> Outcome:
    if command[0] == "pytest":
        missing = what_is_missing(command[2]) if command[2] else None
        return Outcome(skipped=[f"all of it: {missing}"]) if missing else _run_tests(*command[1:], memory, *more)
    code, said, worked = _waited(command, dict(os.environ))
    failed = int(code != 0)
    return Outcome(1 - failed, failed, output=said, worked=worked)


def _waited(command: list[str], environment: dict[str, str]) -> tuple[int, str, float]:
    """Runs a command to its end: its exit code, what it said, and the processor time that it took."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return process.returncode, out.read().decode(errors="replace"), used.ru_utime + used.ru_stime


def _run_tests(where: str, engines: str, memory: Path, *more: str) -> Outcome:
    # What is compiled is kept, whatever the machine says: each of the hubs and commands that tests start would compile
    # the whole project anew.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"WASMHUB_TEST_ENGINES": engines} if engines else {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", where, "-q", "--no-header", f"--junitxml={report}"]
        command += ["-o", f"cache_dir={memory}", *more]
        code, said, worked = _waited(command, environment)
        cases = list(ET.parse(report).iter("testcase")) if report.exists() else []
    outcome = Outcome(output=said, worked=worked)
    for case in cases:
        skipped = case.find("skipped")
        trouble = case.find("failure")
        trouble = case.find("error") if trouble is None else trouble
        if trouble is not None:
            outcome.failed += 1
            outcome.troubles.append(f"{_name(case)}: {' '.join(trouble.get('message', '').split())[-800:]}")
        elif skipped is not None and skipped.get("message", "").startswith(ELSEWHERE):
            outcome.elsewhere += 1
        elif skipped is not None:
            outcome.skipped.append(f"{_name(case)}: {skipped.get('message', '')}")
        else:
            outcome.passed += 1
    if code not in (0, 1) or (code == 1 and not outcome.failed) or not cases:
        outcome.failed += 1
    return outcome


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '')}.{case.get('name', '')}"


def _test(trouble: str) -> str:
    return trouble.partition(": ")[0]


def _say(outcome: Outcome) -> str:
    words = [f"{outcome.passed} passed"]
    if outcome.failed:
        words.append(f"{outcome.failed} FAILED")
    if outcome.skipped:
        words.append(f"{len(outcome.skipped)} skipped")
    if outcome.elsewhere:
        words.append(f"{outcome.elsewhere} of another set")
    return ", ".join(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
