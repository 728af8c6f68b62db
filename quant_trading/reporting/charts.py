"""Charts as inline SVG that stretch to any width: shapes are stretched, strokes and text are not.

Positions are shares of the plot in percent; curves live in an inner SVG of 10,000 x 10,000 units without aspect
ratio, whose strokes keep their width. So the same chart is crisp on a telephone, a screen and paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.reporting.formats import axis_text
from quant_trading.reporting.markup import element, escape, json_block
from quant_trading.reporting.model import TimeArray
from quant_trading.reporting.series import Distribution, kept_points
from quant_trading.reporting.ticks import number_ticks, time_ticks

__all__ = [
    "UNITS", "Caption", "Line", "Scale", "bar_chart", "figure", "histogram_chart", "line_chart", "path_of", "plot",
    "position", "readout_of", "scale_of", "stretched", "time_axis", "value_axis",
]  # fmt: skip

UNITS = 10_000


@dataclass(frozen=True, slots=True)
class Caption:
    """What a chart is called, what it shows in one sentence (read aloud too), and a remark below it."""

    id: str
    title: str
    description: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its name, float64[T] with NaN for holes, its colour class, and whether the area to zero is filled."""

    name: str
    values: FloatArray
    colour: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """The vertical axis: its range, its ticks and their distance."""

    low: float
    high: float
    ticks: tuple[float, ...]
    step: float

    def percent(self, value: float) -> float:
        """Return how far below the top `value` stands, in percent of the height."""
        return round((self.high - value) / (self.high - self.low) * 100.0, 2)

    def units(self, values: FloatArray) -> FloatArray:
        """Return float64[T], the same in the units of the inner SVG."""
        return (self.high - values) / (self.high - self.low) * UNITS


def scale_of(columns: Sequence[FloatArray], with_zero: bool = False, wished: int = 5) -> Scale:
    """Return the axis for all finite values of `columns`."""
    parts = [c[np.isfinite(c)] for c in columns]
    known = np.concatenate(parts) if parts else np.zeros(0)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if with_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    ticks, step = number_ticks(low, high, wished)
    return Scale(ticks[0], ticks[-1], tuple(ticks), step)


def value_axis(scale: Scale, kind: str) -> str:
    """Return gridlines and their labels at the left; the line at zero is stronger."""
    out = []
    for value in scale.ticks:
        y = f"{scale.percent(value)}%"
        is_zero = abs(value) < scale.step * 1e-6
        out.append(f'<line class="{"zero" if is_zero else "grid"}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        label = escape(axis_text(0.0 if is_zero else value, scale.step, kind))
        out.append(f'<text class="tick" x="-8" y="{y}" dy="0.32em" text-anchor="end">{label}</text>')
    return "".join(out)


def time_axis(times: TimeArray, centred: bool = False) -> str:
    """Return the labels below the plot; every second one may be left out on narrow screens."""
    out = []
    labels = time_ticks(times)
    for place, (row, label) in enumerate(labels):
        x = position(row, len(times), centred)
        anchor = "start" if x < 4.0 else "end" if x > 96.0 else "middle"
        spare = " spare" if place % 2 and len(labels) > 4 else ""
        out.append(f'<line class="notch" x1="{x}%" x2="{x}%" y1="100%" y2="100%"/>')
        out.append(
            f'<text class="tick{spare}" x="{x}%" y="100%" dy="1.65em" text-anchor="{anchor}">{escape(label)}</text>'
        )
    return "".join(out)


def position(row: float, rows: int, centred: bool = False) -> float:
    """Return where row `row` of `rows` stands, in percent of the width: from edge to edge, or in a slot of its own."""
    if centred or rows < 2:
        return round((row + 0.5) / max(rows, 1) * 100.0, 3)
    return round(row / (rows - 1) * 100.0, 3)


def path_of(x: IntArray, y: FloatArray) -> str:
    """Return path data through the points, relative after the first; a hole lifts the pen."""
    out: list[str] = []
    last: tuple[int, int] | None = None
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(down):
            last = None
            continue
        here = (across, round(down))
        if last is None:
            out.append(f"M{here[0]} {here[1]}h0")
        else:
            out.append(f"l{here[0] - last[0]} {here[1] - last[1]}")
        last = here
    return "".join(out)


def area_of(x: IntArray, y: FloatArray, ground: float) -> str:
    """Return path data of the area between the points and `ground`; a hole counts as ground."""
    if not len(x):
        return ""
    down = np.where(np.isfinite(y), y, ground)
    points = "".join(f"L{a} {round(b)}" for a, b in zip(x.tolist(), down.tolist(), strict=True))
    return f"M{x[0]} {round(ground)}{points}L{x[-1]} {round(ground)}Z"


def stretched(shapes: str) -> str:
    """Return the inner SVG that fills the plot and stretches what is in it."""
    return (
        f'<svg x="0" y="0" width="100%" height="100%" viewBox="0 0 {UNITS} {UNITS}" '
        f'preserveAspectRatio="none" class="shapes">{shapes}</svg>'
    )


def plot(caption: Caption, inside: str, height: int, readout: str = "") -> str:
    """Return the drawing with its title and description; `readout` is the data of the crosshair."""
    title = element("title", escape(caption.title), id=f"{caption.id}-t")
    words = element("desc", escape(caption.description), id=f"{caption.id}-d")
    drawing = element(
        "svg", title + words + inside, xmlns="http://www.w3.org/2000/svg", width="100%", height=height, role="img",
        aria_labelledby=f"{caption.id}-t {caption.id}-d",
    )  # fmt: skip
    glass = '<div class="glass" aria-hidden="true"></div>' if readout else ""
    return element("div", drawing + glass + readout, class_="plot", style=f"height:{height}px")


def figure(caption: Caption, body: str, legend: Sequence[tuple[str, str]] = (), class_: str = "") -> str:
    """Return the chart with its heading, legend (name, colour class) and remark."""
    keys = "".join(f'<li><i class="key {colour}"></i>{escape(name)}</li>' for name, colour in legend)
    head = element("h3", escape(caption.title)) + element("p", escape(caption.description), class_="said")
    head += element("ul", keys, class_="legend") if keys else ""
    note = element("p", escape(caption.note), class_="note") if caption.note else ""
    return element("figure", element("figcaption", head) + body + note, id=caption.id, class_=f"chart {class_}".strip())


def readout_of(
    times: TimeArray,
    rows: IntArray,
    total: int,
    lines: Sequence[Line],
    kind: str,
    centred: bool,
    notes: Sequence[tuple[int, str]] = (),
) -> str:
    """Return what the crosshair shows: places, minutes since 1970 (both as differences), values, (place, words)."""
    x = np.array([round(position(row, total, centred) * 100) for row in rows.tolist()], dtype=np.int64)
    minutes = times[rows].astype("datetime64[m]").astype(np.int64)
    series = [
        {"n": line.name, "c": line.colour, "v": [float(f"{v:.7g}") if np.isfinite(v) else None for v in kept]}
        for line in lines
        for kept in (line.values[rows].tolist(),)
    ]
    across, passed = np.diff(x, prepend=0).tolist(), np.diff(minutes, prepend=0).tolist()
    return json_block({"k": kind, "x": across, "t": passed, "s": series, "w": list(notes)}, "points")


def line_chart(
    caption: Caption, times: TimeArray, lines: Sequence[Line], kind: str, height: int = 260, with_zero: bool = False
) -> str:
    """Return curves over time; long ones are thinned to the extremes of equal stretches, which the note then says."""
    total = len(times)
    rows = kept_points(tuple(line.values for line in lines))
    scale = scale_of(
        [line.values for line in lines], with_zero or any(line.filled for line in lines), max(3, height // 45)
    )
    x = np.array([round(position(row, total) * UNITS / 100) for row in rows.tolist()], dtype=np.int64)
    ground = float(scale.units(np.array([0.0]))[0])
    shapes = []
    for line in lines:
        y = scale.units(line.values[rows])
        if line.filled:
            shapes.append(f'<path class="area {line.colour}" d="{area_of(x, y, ground)}"/>')
        shapes.append(f'<path class="line {line.colour}" d="{path_of(x, y)}"/>')
    # The first line is the one that matters: it is drawn last, on top.
    inside = value_axis(scale, kind) + time_axis(times) + stretched("".join(reversed(shapes)))
    note = caption.note
    if len(rows) < total:
        thinned = f"Drawn through {len(rows):,} of {total:,} points: the lowest and highest of equal stretches."
        note = f"{note} {thinned}".strip()
    caption = Caption(caption.id, caption.title, caption.description, note)
    legend = [(line.name, line.colour) for line in lines] if len(lines) > 1 else []
    readout = readout_of(times, rows, total, lines, kind, centred=False) if total else ""
    return figure(caption, plot(caption, inside, height, readout), legend)


def bar_chart(caption: Caption, times: TimeArray, line: Line, kind: str, height: int = 200) -> str:
    """Return one bar per period."""
    total = len(times)
    scale = scale_of([line.values], with_zero=True, wished=4)
    slot = UNITS / max(total, 1)
    ground = float(scale.units(np.array([0.0]))[0])
    shapes = []
    for place, (value, y) in enumerate(zip(line.values.tolist(), scale.units(line.values).tolist(), strict=True)):
        if np.isfinite(value) and value != 0.0:
            left, wide = round((place + 0.15) * slot), max(round(slot * 0.7), 1)
            shapes.append(f"M{left} {round(ground)}h{wide}V{round(y)}h{-wide}z")
    inside = value_axis(scale, kind) + time_axis(times, centred=True)
    inside += stretched(f'<path class="fill {line.colour}" d="{"".join(shapes)}"/>')
    readout = readout_of(times, np.arange(total), total, [line], kind, centred=True) if total else ""
    return figure(caption, plot(caption, inside, height, readout))


def histogram_chart(caption: Caption, spread: Distribution, height: int = 260) -> str:
    """Return the bars of a distribution, the normal curve of the same mean and deviation, and marks at the losses."""
    low, high = float(spread.edges[0]), float(spread.edges[-1])
    width = (high - low) / len(spread.counts)
    grid = np.linspace(low, high, 161)
    bell = np.exp(-0.5 * ((grid - spread.mean) / spread.deviation) ** 2) / (spread.deviation * np.sqrt(2.0 * np.pi))
    bell *= float(np.sum(spread.counts)) * width
    scale = scale_of([spread.counts.astype(np.float64), bell], with_zero=True, wished=4)
    slot = UNITS / len(spread.counts)
    sides: dict[str, list[str]] = {"gain": [], "loss": [], "bench": []}
    for place, count in enumerate(spread.counts.tolist()):
        if count:
            left, wide = round(place * slot + slot * 0.06), round(slot * 0.88)
            top = round(float(scale.units(np.array([float(count)]))[0]))
            # The bin that holds zero is neither gain nor loss: a day without a position is in it.
            left_edge, right_edge = low + place * width, low + (place + 1) * width
            side = "bench" if left_edge <= 0.0 <= right_edge else "gain" if left_edge > 0.0 else "loss"
            sides[side].append(f"M{left} {UNITS}h{wide}V{top}h{-wide}z")
    shapes = "".join(f'<path class="fill {side}" d="{"".join(d)}"/>' for side, d in sides.items())
    x = np.round(np.linspace(0, UNITS, len(grid))).astype(np.int64)
    shapes += f'<path class="line ink" d="{path_of(x, scale.units(bell))}"/>'
    inside = value_axis(scale, "count") + _return_axis(low, high) + stretched(shapes)
    for name, value, side in (
        ("95 %", spread.var_95, 'x="4" text-anchor="start"'), ("99 %", spread.var_99, 'x="-4" text-anchor="end"'),
    ):  # fmt: skip
        if low <= value <= high:
            at = round((value - low) / (high - low) * 100.0, 2)
            inside += f'<line class="mark" x1="{at}%" x2="{at}%" y1="0" y2="100%"/>'
            inside += f'<svg x="{at}%" class="marker"><text class="tick strong" {side} y="11">{name}</text></svg>'
    legend = [("gains", "gain"), ("losses", "loss"), ("around zero", "bench"), ("normal curve", "ink")]
    return figure(caption, plot(caption, inside, height), legend)


def _return_axis(low: float, high: float) -> str:
    """Return the labels of a horizontal axis of returns."""
    ticks, step = number_ticks(low, high, 6)
    out = []
    ticks = [value for value in ticks if low <= value <= high]
    for place, value in enumerate(ticks):
        at = round((value - low) / (high - low) * 100.0, 2)
        label = escape(axis_text(0.0 if abs(value) < step * 1e-6 else value, step, "return"))
        spare = " spare" if place % 2 and len(ticks) > 4 else ""
        out.append(f'<text class="tick{spare}" x="{at}%" y="100%" dy="1.65em" text-anchor="middle">{label}</text>')
    return "".join(out)
