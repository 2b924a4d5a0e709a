"""Pictures of growth: a page of small charts for each thing that grows, one chart an act, as SVG."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.growth import FLAT, Curve, Growth

WIDTH, HEIGHT, ACROSS = 236, 148, 4  # of one chart with its margins, and charts in a row
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 46, 22  # margins within
HEAD = 74
HIGHEST = 3.0  # times the cost at the smallest size; what is above is drawn at the edge
COLOURS = ("#1f5fbf", "#c2571a")
INK, FAINT, BAND = "#1d2733", "#8a94a0", "#eef6ee"


def draw(growths: Sequence[Growth]) -> str:
    """The charts of one dimension, a line for each engine: processor time, against that at the smallest size."""
    rows = math.ceil(len(growths[0].curves) / ACROSS)
    width, height = ACROSS * WIDTH + 20, HEAD + rows * HEIGHT + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-family="system-ui, sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(14, 26, f"{growths[0].label.capitalize()}: what things cost as their number grows", size=17, weight=600),
        _text(14, 46, _legend(growths[0]), colour=FAINT),
    ]
    place = 14
    for growth, colour in zip(growths, COLOURS, strict=False):
        lines.append(f'<line x1="{place}" x2="{place + 22}" y1="62" y2="62" stroke="{colour}" stroke-width="2"/>')
        lines.append(_text(place + 28, 66, growth.engine))
        place += 60 + 7 * len(growth.engine)
    for number in range(len(growths[0].curves)):
        x, y = 10 + number % ACROSS * WIDTH, HEAD + number // ACROSS * HEIGHT
        lines.append(f'<g transform="translate({x} {y})">')
        lines += _chart([growth.curves[number] for growth in growths])
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _legend(growth: Growth) -> str:
    sizes = growth.curves[0].sizes
    return (
        f"Processor time of one act, from {sizes[0]:,} to {sizes[-1]:,}. 1x is the smallest size, the green band ends"
        f" at {FLAT:g}x. Figures: median ms, first and last."
    )


def _chart(curves: Sequence[Curve]) -> Iterator[str]:
    sizes = [size for size in curves[0].sizes if size >= curves[0].since]
    left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
    yield f'<rect x="{left}" y="{_y(FLAT):.1f}" width="{right - left}" height="{bottom - _y(FLAT):.1f}" fill="{BAND}"/>'
    for times in (0, 1, 2, 3):
        y = _y(times)
        yield f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dfe4e8" stroke-width="1"/>'
        yield _text(left - 5, y + 3.5, f"{times}x", colour=FAINT, size=10, anchor="end")
    yield _text(left, 16, curves[0].label, weight=600)
    place = left
    for curve, colour in zip(curves, COLOURS, strict=False):
        ratios = curve.ratios_by_processor()
        points = [
            (_x(size, sizes), _y(min(ratio, HIGHEST)))
            for size, ratio in zip(curve.sizes, ratios, strict=True)
            if size in sizes
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points)
        first = curve.steadied_by_processor()[curve.sizes.index(sizes[0])]
        yield _text(place, 33, f"{_ms(first)} → {_ms(curve.steadied_by_processor()[-1])} ms", colour=colour)
        place += 96
    for size in sizes:
        anchor = "start" if size == sizes[0] else "end" if size == sizes[-1] else "middle"
        yield _text(_x(size, sizes), HEIGHT - 7, _short(size), colour=FAINT, size=10, anchor=anchor)


def _short(size: int) -> str:
    return f"{size // 1_000_000}M" if size >= 1_000_000 else f"{size // 1000}k" if size >= 1000 else str(size)


def _x(size: int, sizes: Sequence[int]) -> float:
    """Ten times as many is always the same step."""
    if len(sizes) < 2:
        return LEFT
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])


def _y(times: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * times / HIGHEST


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}"


def _text(
    x: float, y: float, said: str, *, colour: str = INK, size: int = 11, weight: int = 400, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(said)}</text>'
    )
