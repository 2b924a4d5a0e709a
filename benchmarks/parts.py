"""What `make bench` measures beside its first table: the scaled-out set, mixed load, and growth on either database."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import deploying, mixed, passes, servers
from benchmarks.deploying import measure_deploys
from benchmarks.engines import postgresql, scaled_out
from benchmarks.growth import Growth, embedded, measure_growth
from benchmarks.growth import report as report_growth
from benchmarks.measures import Extent
from benchmarks.passes import EACH, IDLE, Passes, measure_passes
from benchmarks.pictures import draw
from benchmarks.scaled import Reads, Scaled, measure_embedded_workers, measure_scaled
from benchmarks.scaled import report as report_scaled
from benchmarks.servers import Server
from tests.engines import Engines

PARTS = ("table", "scaled", "mixed", "growth", "deploys", "passes")
ON_ENGINES = {"scaled", "mixed", "growth", "passes"}  # need PostgreSQL, MinIO and Redis
PICTURES = Path(__file__).parent.parent / "docs" / "growth"


@dataclass(frozen=True)
class Whole:
    """How much is measured, and how many minutes each part takes about."""

    minutes: Mapping[str, float]
    load: Extent
    mixed: float  # seconds on each set
    largest: int  # of what grows
    repeats: int  # of each act at each size
    pictures: Path | None  # where they are drawn
    deploys: int  # to each kind of target
    targets: int  # that are passed over


WHOLLY = Whole(
    {"table": 8, "scaled": 6, "mixed": 21, "growth": 50, "deploys": 8, "passes": 16},
    Extent(rounds=5, seconds=3, pushes=25, pages=0, deletes=0, large=0),
    mixed=600,
    largest=1_000_000,
    repeats=40,
    pictures=PICTURES,
    deploys=50,
    targets=1000,
)
QUICKLY = Whole(
    {"table": 0.8, "scaled": 0.4, "mixed": 0.3, "growth": 0.6, "deploys": 2, "passes": 1.5},
    Extent(rounds=1, seconds=1, pushes=5, pages=0, deletes=0, large=0),
    mixed=5,
    largest=1000,
    repeats=3,
    pictures=None,
    deploys=5,
    targets=20,
)


def measure_parts(
    folder: Path, program: Path | None, only: Sequence[str], extent: Whole, say: Callable[[str], None]
) -> dict[str, object]:
    """Those of the parts that were asked for, for the JSON. Tables are printed as they are ready."""
    document: dict[str, object] = {}
    if "deploys" in only:
        deploys = measure_deploys(folder / "deploys", extent.deploys, say)
        print(deploying.report(deploys), flush=True)
        document["deploys"] = [asdict(one) for one in deploys]
    if not ON_ENGINES.intersection(only):
        return document
    say("starting PostgreSQL, MinIO and Redis")
    with scaled_out() as engines:
        if "scaled" in only:
            say("scaled: PostgreSQL, MinIO and Redis; 1, 2 and 4 workers")
            scaled = measure_scaled(folder, program, engines, extent.load)
            by_workers = measure_embedded_workers(folder, extent.load)
            print(report_scaled(scaled, by_workers), flush=True)
            document["scaled"] = _scaled_as_json(scaled, by_workers)
        if "mixed" in only:
            found = _measure_mixed(folder, engines, extent.mixed, say)
            print(mixed.report(found), flush=True)
            document["mixed"] = {name: one.figures() for name, one in found.items()}
        if "growth" in only:
            found_growth = _measure_growth(folder / "growth", engines, extent, say)
            document["growth"] = [asdict(one) for one in found_growth]
        if "passes" in only:
            document["passes"] = [asdict(one) for one in _measure_passes(folder / "passes", engines, extent, say)]
    return document


def _measure_mixed(
    folder: Path, engines: Engines, seconds: float, say: Callable[[str], None]
) -> dict[str, mixed.Mixed]:
    found = {}
    for name, settings in (
        ("SQLite, files", {}),
        ("PostgreSQL, MinIO, Redis", engines.settings(folder / "mixed")),
    ):
        say(f"mixed: {name}, {seconds:g} s")
        kind = servers.hub(folder / f"mixed-{len(found)}", "hub", **settings)
        with Server(kind, None, folder / f"mixed-{len(found)}.log") as server:
            found[name] = mixed.measure_mixed(server, seconds)
    return found


def _measure_passes(folder: Path, engines: Engines, extent: Whole, say: Callable[[str], None]) -> list[Passes]:
    found = []
    for engine in (embedded(), postgresql(engines)):
        found.append(measure_passes(folder / engine.name, engine, extent.targets, EACH, IDLE, say))
        print(passes.report(found[-1]), flush=True)
    return found


def _measure_growth(folder: Path, engines: Engines, extent: Whole, say: Callable[[str], None]) -> list[Growth]:
    found: list[Growth] = []
    for engine in (embedded(), postgresql(engines)):
        some = measure_growth(
            folder / engine.name,
            engine,
            largest=extent.largest,
            repeats=extent.repeats,
            say=lambda s: say(f"growth: {s}"),
        )
        print(report_growth(some), flush=True)
        found += some
    if extent.pictures is not None:
        draw_growth(found, extent.pictures)
    return found


def draw_growth(found: Sequence[Growth], folder: Path) -> None:
    """A picture for each thing that grows, with a line for each engine."""
    folder.mkdir(exist_ok=True)
    for dimension in dict.fromkeys(one.dimension for one in found):
        picture = draw([one for one in found if one.dimension == dimension])
        (folder / f"{dimension}.svg").write_text(picture)


def _scaled_as_json(scaled: Scaled, embedded_reads: Mapping[str, Mapping[str, Reads]]) -> dict[str, object]:
    return {
        "reads": {what: {name: asdict(one) for name, one in by.items()} for what, by in scaled.reads.items()},
        "embedded": {what: {name: asdict(one) for name, one in by.items()} for what, by in embedded_reads.items()},
        "pushes": {
            name: {"times": one.times, "processor": one.processor_each()} for name, one in scaled.pushed.items()
        },
    }
