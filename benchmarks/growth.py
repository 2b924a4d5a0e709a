"""Growth: what everything costs at each size of each thing that grows, on a real hub that grows meanwhile."""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auth.passwords import hash_password
from benchmarks import servers
from benchmarks.acts import ACTS, Act, Actors
from benchmarks.processes import exact_seconds
from benchmarks.seeding import DIMENSIONS, Dimension, seed
from benchmarks.servers import PASSWORD, Server
from storage.database import Database
from storage.events import SYSTEM
from storage.users import create_user

WARMING = 3  # rounds that do not count
FLAT = 2.0  # times what it costs at the smallest size


@dataclass(frozen=True)
class Engine:
    """Where hubs keep their data: `settings` for the hub in a folder, `database` as storage opens it."""

    name: str
    settings: Callable[[Path], Mapping[str, str]]
    database: Callable[[Path], Path | str]
    processes: Callable[[], Sequence[int]] = tuple  # of the engine, where it is not part of the hub


@dataclass(frozen=True)
class Cost:
    """Medians in ms, by the clock and of processor time, of a hub of some size and of the fixed one beside it."""

    many: float
    few: float
    many_processor: float
    few_processor: float


@dataclass(frozen=True)
class Curve:
    """What one act costs at each size, and in the same minute on a hub of one fixed size.

    The two hubs take turns, so that whatever else the machine does at that moment disturbs both alike.
    """

    act: str
    label: str
    sizes: Sequence[int]
    costs: Sequence[Cost]
    since: int = 0

    def steadied(self) -> list[float]:
        """The costs in ms, freed of what disturbed the fixed hub as well."""
        usual = statistics.median(cost.few for cost in self.costs)
        return [cost.many / cost.few * usual for cost in self.costs]

    def steadied_by_processor(self) -> list[float]:
        """The same of processor time, of the hub and of its database's server."""
        usual = statistics.median(cost.few_processor for cost in self.costs)
        return [cost.many_processor / cost.few_processor * usual for cost in self.costs]

    def growth(self) -> float:
        """How many times dearer it is by the clock at its dearest than at the smallest size that is judged."""
        return max(self._ratios(self.steadied()))

    def growth_by_processor(self) -> float:
        """The same of processor time, which work that runs beside touches little."""
        return max(self._ratios(self.steadied_by_processor()))

    def ratios_by_processor(self) -> list[float]:
        """Processor time at each size against that at the smallest size that is judged."""
        return self._ratios(self.steadied_by_processor(), everywhere=True)

    def flat(self) -> bool:
        """Whether it costs about the same at all sizes, by the measure that can be relied on."""
        return self.growth_by_processor() <= FLAT

    def _ratios(self, costs: Sequence[float], *, everywhere: bool = False) -> list[float]:
        judged = [cost for size, cost in zip(self.sizes, costs, strict=True) if size >= self.since]
        first = judged[0] if judged else costs[-1]
        return [cost / first for cost in (costs if everywhere else judged or costs[-1:])]


@dataclass(frozen=True)
class Growth:
    """The curves of one dimension on one engine, and how long its seeding took."""

    dimension: str
    label: str
    engine: str
    curves: Sequence[Curve]
    seeding: float = field(default=0.0)  # seconds


def embedded() -> Engine:
    """SQLite and files in the hub's own folder."""
    return Engine("SQLite", lambda folder: {}, lambda folder: folder / "hub.db")


def measure_growth(
    folder: Path, engine: Engine, *, largest: int, repeats: int, say: Callable[[str], None], only: Sequence[str] = ()
) -> list[Growth]:
    """All curves on one engine, up to that size."""
    return [
        _measure(folder / dimension.key, engine, dimension, largest, repeats, say)
        for dimension in DIMENSIONS
        if not only or dimension.key in only
    ]


def _measure(
    folder: Path, engine: Engine, dimension: Dimension, largest: int, repeats: int, say: Callable[[str], None]
) -> Growth:
    sizes = [size for size in dimension.sizes if size <= largest]
    fixed, growing = (_Hub(folder / name, engine) for name in ("fixed", "growing"))
    seed(fixed.database, dimension, 0, dimension.fixed)
    found: dict[str, list[Cost]] = {act.key: [] for act in ACTS}
    start, seeding = 0, 0.0
    for size in sizes:
        about = (size - start) / dimension.per_second
        say(f"{engine.name}: {size:,} {dimension.label} (seeding takes about {about:,.0f} s)")
        began = time.monotonic()
        seed(growing.database, dimension, start, size)
        seeding, start = seeding + time.monotonic() - began, size
        with fixed.server() as one, growing.server() as other:
            with Actors(one, fixed.database, dimension.scene(dimension.fixed)) as few:
                with Actors(other, growing.database, dimension.scene(size)) as many:
                    costs = _act((many, few), repeats, engine.processes)
        for key, cost in costs.items():
            found[key].append(cost)
    fixed.database.close()
    growing.database.close()
    curves = [Curve(act.key, act.label, sizes, found[act.key], _since(act, dimension)) for act in ACTS]
    return Growth(dimension.key, dimension.label, engine.name, curves, seeding)


def _since(act: Act, dimension: Dimension) -> int:
    """From which size on the act should cost the same: one whose page is not full yet costs less."""
    return act.since if act.of == dimension.key else 0


class _Hub:
    """A hub that can be filled while it is stopped."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        # The bytes of what grows are nowhere, and steps of garbage collection are acts: neither goes on by itself.
        alone = {"WASMHUB_SCRUB_DAYS": "0", "WASMHUB_GC_INTERVAL": "0"}
        self._kind = servers.hub(folder, **engine.settings(folder), **alone)
        with self.server() as server:
            server.headers("admin/any")  # once it answers, the tables and the administrator are there
        self.database = Database(engine.database(folder))
        create_user(self.database, SYSTEM, "stranger", password_hash=hash_password(PASSWORD))

    def server(self) -> Server:
        """The hub, to be started."""
        return Server(self._kind, None, self._folder / "log")


def _act(both: tuple[Actors, Actors], repeats: int, engine: Callable[[], Sequence[int]]) -> dict[str, Cost]:
    """What each act costs on either hub. All acts and hubs take turns."""
    for _, act, actors in itertools.product(range(WARMING), ACTS, both):
        act.prepare(actors)
        act.run(actors)  # whatever is slow only at first
    times: dict[str, list[list[float]]] = {act.key: [] for act in ACTS}
    for _ in range(repeats):
        for act in ACTS:
            one: list[float] = []
            for actors in both:
                act.prepare(actors)
                before = _processor(actors, act, engine)
                taken = act.run(actors)
                one += [taken * 1000, (_processor(actors, act, engine) - before) * 1000]
            times[act.key].append(one)
    medians = {key: [statistics.median(column) for column in zip(*rows, strict=True)] for key, rows in times.items()}
    return {key: Cost(one[0], one[2], max(one[1], 0.001), max(one[3], 0.001)) for key, one in medians.items()}


def _processor(actors: Actors, act: Act, engine: Callable[[], Sequence[int]]) -> float:
    """Seconds of processor time so far of whoever does the act, with the database's server."""
    doing = time.process_time() if act.here else exact_seconds(actors.server.pid)
    return doing + sum(map(exact_seconds, engine()))


def report(growths: Sequence[Growth]) -> str:
    """The curves as text, one table for each dimension and engine; what is not flat is marked."""
    lines: list[str] = []
    for growth in growths:
        sizes = growth.curves[0].sizes
        lines += ["", f"{growth.label} on {growth.engine}, median ms"]
        lines.append(f"{'':<32}" + "".join(f"{size:>11,}" for size in sizes) + f"{'growth':>9}{'by clock':>9}")
        for curve in growth.curves:
            cells = "".join(f"{taken:>11.2f}" for taken in curve.steadied_by_processor())
            mark = "" if curve.flat() else "  NOT FLAT"
            by_clock = f"{curve.growth():>8.2f}x"
            lines.append(f"{curve.label:<32}{cells}{curve.growth_by_processor():>8.2f}x{by_clock}{mark}")
    return "\n".join(lines)
