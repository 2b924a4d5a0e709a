"""The command: measures what was asked for, prints tables as they are ready, writes the JSON and the pictures."""

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import measures
from benchmarks.measures import Extent
from benchmarks.parts import ON_ENGINES, PARTS, QUICKLY, WHOLLY, measure_parts
from benchmarks.processes import cores
from benchmarks.report import Row, add_aims, as_json, memory_row, rate_row, table, time_row
from benchmarks.servers import find_distribution, missing_tools
from benchmarks.stage import Stage, prepare

FULL = Extent(rounds=5, seconds=3, pushes=25, pages=40, deletes=20, large=2**30)
UNPINNED = Extent(rounds=3, seconds=2, pushes=20, pages=20, deletes=20, large=0)
QUICK = Extent(rounds=1, seconds=1, pushes=10, pages=20, deletes=5, large=2**27)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """The exit code: 0 when everything was measured, whether or not the aims were met."""
    options = _options()
    only = options.only or list(PARTS)
    missing = missing_tools(scaled=bool(ON_ENGINES.intersection(only)))
    if missing:
        print(f"make bench: {', '.join(missing)} not here: .ci/peers installs or builds it", file=sys.stderr)
        return 1
    program = find_distribution()
    if program is None:
        _say("the other registry is not here (`.ci/peers bench` builds it): measuring the hub and the ceiling only")

    extent = QUICKLY if options.quick else WHOLLY
    _say(f"{', '.join(only)}: about {sum(extent.minutes[part] for part in only):g} minutes on an idle machine")
    document: dict[str, object] = {"about": _about(options.quick)}
    with tempfile.TemporaryDirectory(prefix="wasmhub-bench-", dir=options.folder) as name:
        folder = Path(name)
        if "table" in only:
            document |= _measure_table(folder / "table", program, options.quick)
        if only != ["table"]:
            document |= measure_parts(folder, program, only, extent, _say)
        _write(options.output, document)
        _say("removing the servers' data")
    return 0


def _measure_table(folder: Path, program: Path | None, quick: bool) -> dict[str, object]:
    """The hub on its own engines beside the other registry and the ceiling."""
    folder.mkdir()
    _say("table: filling the servers")
    stage = prepare(folder, program, 10_000 if quick else 100_000)
    pair = cores()
    if pair is None:
        _say("there is one core only: nothing is pinned, and load and server take turns on it")
    pinned = _measure(stage, QUICK if quick else FULL, pair, skip=0)
    unpinned = {} if quick or pair is None else _measure(stage, UNPINNED, None, skip=FULL.deletes)
    print(table(pinned, unpinned), flush=True)
    return {"pinned": as_json(pinned), "unpinned": as_json(unpinned)}


def _write(given: Path | None, document: dict[str, object]) -> None:
    output = given or RESULTS / f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1))
    _say(f"written to {output}")


def _measure(stage: Stage, extent: Extent, pair: tuple[int, int] | None, *, skip: int) -> dict[str, Row]:
    """All measures, with servers and load on a core each, or anywhere."""
    core, load_core = pair or (None, None)
    where = "pinned" if pair else "unpinned"
    rows: list[Row] = []
    with stage.running(core) as running:
        registries = [server for server in running if server.name != "ceiling"]
        _say(f"{where}: reads")
        read = measures.measure_reads(stage, running, extent, load_core)
        rows += [rate_row(one.key, one.label, read[one.key]) for one in stage.reads]
        _say(f"{where}: reads while others push")
        busy = measures.measure_busy_reads(stage.reads[0], registries, extent, load_core)
        rows.append(rate_row("get-busy", "GET manifest, 10 pushes/s beside", busy))
        _say(f"{where}: pushes")
        pushed = measures.measure_pushes(registries, extent, load_core)
        rows += [time_row(f"push-p{part}", f"push of 500 KB, p{part}", pushed, part / 100) for part in (50, 99)]
        _say(f"{where}: tags and deletes")
        count = f"{stage.tags():,}"
        pages = measures.measure_pages(stage, registries, extent, load_core)
        rows += [time_row(f"page-p{part}", f"100 of {count} tags, p{part}", pages, part / 100) for part in (50, 99)]
        deleted = measures.measure_deletes(stage, registries, extent, load_core, skip=skip)
        rows.append(time_row("delete-p50", f"DELETE digest, {count} tags, p50", deleted, 0.5))
    if extent.large:
        _say(f"{where}: memory")
        held = measures.measure_memory(stage, extent, core, load_core)
        size = f"{extent.large / 2**30:g} GiB"
        rows.append(memory_row("memory-rest", "memory at rest", held, "rest"))
        rows.append(memory_row("memory-more", f"more while {size} goes in and out", held, "more"))
        rows.append(memory_row("speed-in", f"{size} in", held, "in", "MB/s"))
        rows.append(memory_row("speed-out", f"{size} out", held, "out", "MB/s"))
    found = {row.key: row for row in rows}
    add_aims(found)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the hub beside others.")
    parser.add_argument("--quick", action="store_true", help="a look in about two minutes: short rounds, small sizes")
    parser.add_argument("--only", action="append", choices=PARTS, help="one part; may be given several times")
    parser.add_argument("--output", type=Path, help="where the JSON goes (benchmarks/results/<time>.json)")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data meanwhile (the system's own)")
    return parser.parse_args()


def _about(quick: bool) -> dict[str, object]:
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "system": platform.system(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "quick": quick,
        "beside": {"distribution": "v3.1.2, no auth, in-memory descriptor cache", "GOGC": os.environ.get("GOGC")},
    }


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
