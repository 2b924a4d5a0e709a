"""What was measured as rows: figures, ratios, the aims beside them; as a table and as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measures import Measured

MB = 1e6
NOISY = 0.85  # share of its core below which a server was held up by something else


@dataclass(frozen=True)
class Aim:
    """What a value should be: at least `least`, or at most `most`. `by_processor` is the same by processor time."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None
    by_processor: float | None = None

    def met(self, value: float) -> str:
        """Whether a value is as it should be."""
        there = (self.least is None or value >= self.least) and (self.most is None or value <= self.most)
        return "met" if there else "NOT MET"

    def __str__(self) -> str:
        bound = f"aim >= {self.least:g}" if self.least is not None else f"aim <= {self.most:g}"
        said = f"{self.what} {self.value:.2f} ({bound}): {self.met(self.value)}"
        if self.by_processor is None:
            return said
        return f"{said}; by CPU {self.by_processor:.2f}: {self.met(self.by_processor)}"


@dataclass
class Row:
    """One line of the table. `better` says which way the values are better; ratios are hub / other."""

    key: str
    label: str
    unit: str
    values: dict[str, float]
    ratio: float | None = None  # hub / distribution
    ratio_by_processor: float | None = None  # the same by second of processor time
    of_ceiling: float | None = None
    of_ceiling_by_processor: float | None = None
    aims: list[Aim] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


def rate_row(key: str, label: str, measured: Measured) -> Row:
    """A measure of load: answers a second."""
    row = Row(key, label, "/s", {name: one.rate() for name, one in measured.items()})
    row.ratio = _ratio(row.values, "distribution")
    row.of_ceiling = _ratio(row.values, "ceiling")
    by_processor = {name: one.rate_by_processor() for name, one in measured.items()}
    row.ratio_by_processor = _ratio(by_processor, "distribution")
    row.of_ceiling_by_processor = _ratio(by_processor, "ceiling")
    row.details = {
        name: {
            "rounds": [asdict(single) for single in one.rounds],
            "by_processor_second": one.rate_by_processor(),
        }
        for name, one in measured.items()
    }
    return row


def time_row(key: str, label: str, measured: Measured, part: float) -> Row:
    """A percentile of single times, in milliseconds."""
    row = Row(key, label, "ms", {name: one.percentile(part) for name, one in measured.items()})
    row.ratio = _ratio(row.values, "distribution")
    row.details = {
        name: {"count": len(one.times), "worst": max(one.times), "processor": one.processor_each()}
        for name, one in measured.items()
    }
    by_processor = {name: one.processor_each() for name, one in measured.items()}
    row.ratio_by_processor = _ratio(by_processor, "distribution")
    return row


def memory_row(key: str, label: str, measured: Measured, size: str, unit: str = "MB") -> Row:
    """A size in MB, or a speed in MB/s."""
    row = Row(key, label, unit, {name: one.sizes[size] / MB for name, one in measured.items()})
    row.ratio = _ratio(row.values, "distribution")
    return row


def add_aims(rows: Mapping[str, Row]) -> None:
    """Puts the aims beside the rows that they are about; without the other registry some say nothing."""
    for key in ("get-one", "get-many", "head-one", "head-many"):
        row = rows[key]
        _aim(row, "x distribution", row.ratio, row.ratio_by_processor, least=3)
        _aim(row, "of the ceiling", row.of_ceiling, row.of_ceiling_by_processor, least=0.5)
    for method in ("get", "head"):
        one, many = rows[f"{method}-one"], rows[f"{method}-many"]
        each = [row.details["hub"]["by_processor_second"] for row in (many, one)]
        _aim(many, "of one with 1 tag", many.values["hub"] / one.values["hub"], each[0] / each[1], least=0.9)
    for key, least in (("blob-500kb", 5), ("blob-5mb", 1.5)):
        _aim(rows[key], "x distribution", rows[key].ratio, rows[key].ratio_by_processor, least=least)
    _aim(rows["push-p50"], "x distribution's time", rows["push-p50"].ratio, most=0.7)
    _aim(rows["page-p50"], "ms", rows["page-p50"].values["hub"], most=5)
    _aim(rows["delete-p50"], "ms", rows["delete-p50"].values["hub"], most=20)
    if "memory-rest" in rows:
        _aim(rows["memory-rest"], "MB", rows["memory-rest"].values["hub"], most=120)
        _aim(rows["memory-more"], "MB", rows["memory-more"].values["hub"], most=32)


def table(rows: Mapping[str, Row], unpinned: Mapping[str, Row]) -> str:
    """The rows in columns, with the unpinned ratio beside, and the aims below."""
    lines = [
        f"{'':<34}{'hub':>11}{'distribution':>14}{'ceiling':>11}"
        f"{'ratio':>8}{'by CPU':>8}{'/ceiling':>10}{'by CPU':>8}{'unpinned':>10}"
    ]
    for key, row in rows.items():
        cells = [_value(row.values.get(name), row.unit) for name in ("hub", "distribution", "ceiling")]
        free = unpinned.get(key)
        ratios = [row.ratio, row.ratio_by_processor, row.of_ceiling, row.of_ceiling_by_processor]
        shown = [_times(one) for one in (*ratios, free.ratio if free else None)]
        lines.append(
            f"{row.label:<34}{cells[0]:>11}{cells[1]:>14}{cells[2]:>11}"
            f"{shown[0]:>8}{shown[1]:>8}{shown[2]:>10}{shown[3]:>8}{shown[4]:>10}"
        )
    lines += ["", *(f"{row.label + ':':<38}{aim}" for row in rows.values() for aim in row.aims)]
    lines += ["", *_noise(rows)]
    return "\n".join(lines)


def as_json(rows: Mapping[str, Row]) -> dict[str, Any]:
    """The rows as JSON values."""
    return {
        key: {**asdict(row), "aims": [{**asdict(aim), "met": aim.met(aim.value)} for aim in row.aims]}
        for key, row in rows.items()
    }


def _noise(rows: Mapping[str, Row]) -> Iterator[str]:
    """Says which rounds were not what they should be: a server that has its core to itself."""
    shares = [
        single["share"] for row in rows.values() for one in row.details.values() for single in one.get("rounds", ())
    ]
    if not shares:
        return
    held_up = sum(share < NOISY for share in shares)
    yield f"In {held_up} of {len(shares)} rounds of load the server had less than {NOISY:.0%} of its core:"
    yield "something else ran there, or the load generator could not ask faster. `by CPU` is the ratio of answers by"
    yield "second of processor time, which neither touches much."


def _aim(
    row: Row,
    what: str,
    value: float | None,
    by_processor: float | None = None,
    *,
    least: float | None = None,
    most: float | None = None,
) -> None:
    if value is not None:
        row.aims.append(Aim(what, value, least, most, by_processor))


def _ratio(values: Mapping[str, float], other: str) -> float | None:
    return values["hub"] / values[other] if values.get(other) else None


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}{unit}" if value >= 100 else f"{value:,.1f}{unit}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"
