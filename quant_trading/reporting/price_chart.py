"""Fills on the price of a symbol: candles when there are few bars, a line when there are many."""

from collections.abc import Sequence

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.reporting.charts import (
    UNITS,
    Caption,
    Line,
    Scale,
    figure,
    path_of,
    plot,
    position,
    readout_of,
    scale_of,
    stretched,
    time_axis,
    value_axis,
)  # fmt: skip
from quant_trading.reporting.formats import shown
from quant_trading.reporting.markup import element, escape
from quant_trading.reporting.model import Marker, PriceSeries, TimeArray
from quant_trading.reporting.series import kept_points

__all__ = ["MOST_CANDLES", "MOST_MARKERS", "MOST_SYMBOLS", "price_charts", "window_of"]

MOST_CANDLES = 180
MOST_MARKERS = 160
MOST_POINTS = 1_200  # there may be many symbols
MOST_SYMBOLS = 16

# kind -> (words, whether it points up, as what is bought does)
KINDS = {
    "long_entry": ("long entry", True),
    "long_exit": ("long exit", False),
    "short_entry": ("short entry", False),
    "short_exit": ("short exit", True),
}


def window_of(series: PriceSeries, most: int = MOST_MARKERS) -> int:
    """Return the first bar that is drawn: 0, or such that at most `most` fills (the last ones) are on the chart."""
    if len(series.markers) <= most:
        return 0
    bars = sorted(marker.bar for marker in series.markers)
    first = bars[-most]
    return first + 1 if bars[-most - 1] == first and first < bars[-1] else first


def price_charts(series: Sequence[PriceSeries]) -> str:
    """Return a chart per symbol, of which one is seen, and the list to choose from."""
    shown_series = series[:MOST_SYMBOLS]
    options = "".join(
        element("option", escape(one.symbol), value=f"price-{i}", selected=i == 0) for i, one in enumerate(shown_series)
    )
    chooser = element("label", "Symbol " + element("select", options, id="price-symbol"), class_="chooser")
    charts = "".join(
        element("div", _chart(one, f"price-{i}"), data_price=f"price-{i}", hidden=i > 0)
        for i, one in enumerate(shown_series)
    )
    rest = len(series) - len(shown_series)
    note = element("p", f"{rest} more symbols have no chart here.", class_="note") if rest else ""
    return (chooser if len(shown_series) > 1 else "") + charts + note


def _chart(series: PriceSeries, name: str) -> str:
    """Return the chart of one symbol."""
    first = window_of(series)
    total = len(series.times) - first
    times = series.times[first:]
    opens, highs, lows, closes = (c[first:] for c in (series.open, series.high, series.low, series.close))
    markers = [m for m in series.markers if m.bar >= first]
    candles = total <= MOST_CANDLES
    prices = np.array([m.price for m in markers], dtype=np.float64)
    scale = scale_of([lows, highs, prices] if candles else [closes, prices], wished=7)
    rows = np.arange(total) if candles else kept_points((closes,), MOST_POINTS)
    inside = value_axis(scale, "price") + time_axis(times, centred=candles)
    if candles:
        shapes = _candles(opens, highs, lows, closes, scale)
    else:
        x = np.array([round(position(r, total) * UNITS / 100) for r in rows.tolist()], dtype=np.int64)
        shapes = f'<path class="line bench" d="{path_of(x, scale.units(closes[rows]))}"/>'
    inside += stretched(shapes) + "".join(_marker(m, first, total, scale, candles) for m in markers)
    note = f"{len(markers):,} fills." if first == 0 else (
        f"The last {len(markers):,} of {len(series.markers):,} fills, and the bars from the first of them on."
    )  # fmt: skip
    if len(rows) < total:
        note += f" Line through {len(rows):,} of {total:,} closes: the lowest and highest of equal stretches."
    caption = Caption(
        f"{name}-chart", series.symbol, "Bars in their order and the fills on them; gaps in time are not drawn.", note
    )
    lines = [Line("close", closes, "bench")]
    readout = _readout(times, rows, total, lines, markers, first, candles) if total else ""
    legend = [
        (words, kind.replace("_", "-")) for kind, (words, _) in KINDS.items() if any(m.kind == kind for m in markers)
    ]
    return figure(caption, plot(caption, inside, 340, readout), legend, "price")


def _readout(
    times: TimeArray, rows: IntArray, total: int, lines: list[Line], markers: list[Marker], first: int, centred: bool
) -> str:
    """Return the crosshair's data with a column of words for the fills."""
    kept = np.union1d(rows, np.array([m.bar - first for m in markers], dtype=np.int64))
    words: dict[int, list[str]] = {}
    for m in markers:
        text = f"{KINDS[m.kind][0]} {shown(m.quantity, 'quantity')} @ {shown(m.price, 'price')}"
        words.setdefault(m.bar - first, []).append(text)
    notes = [(place, "; ".join(words[row])) for place, row in enumerate(kept.tolist()) if row in words]
    return readout_of(times, kept, total, lines, "price", centred, notes)


def _candles(opens: FloatArray, highs: FloatArray, lows: FloatArray, closes: FloatArray, scale: Scale) -> str:
    """Return wicks and bodies: hollow for a close above the open, filled for one below."""
    slot = UNITS / max(len(closes), 1)
    wide = max(round(slot * 0.6), 2)
    wicks: list[str] = []
    rising: list[str] = []
    falling: list[str] = []
    columns = (scale.units(c).tolist() for c in (opens, highs, lows, closes))
    for i, (o, h, low, c) in enumerate(zip(*columns, strict=True)):
        if not all(map(np.isfinite, (o, h, low, c))):
            continue
        middle, top, bottom = round((i + 0.5) * slot), round(min(o, c)), round(max(o, c))
        wicks.append(f"M{middle} {round(h)}V{top}M{middle} {bottom}V{round(low)}")
        body = f"M{middle - wide // 2} {top}h{wide}V{bottom}h{-wide}z"
        (rising if c <= o else falling).append(body)
    return (
        f'<path class="wick" d="{"".join(wicks)}"/><path class="body up" d="{"".join(rising)}"/>'
        f'<path class="body down" d="{"".join(falling)}"/>'
    )


def _marker(marker: Marker, first: int, total: int, scale: Scale, centred: bool) -> str:
    """Return a triangle: entries of longs and exits of shorts point up from below, the others down from above."""
    x, y = position(marker.bar - first, total, centred), scale.percent(marker.price)
    up = KINDS[marker.kind][1]
    arrow = "M0 2L-5 11H5z" if up else "M0 -2L-5 -11H5z"
    return (
        f'<svg x="{x}%" y="{y}%" width="1" height="1" class="marker">'
        f'<path class="{marker.kind.replace("_", "-")}" d="{arrow}"/></svg>'
    )
