"""Heat maps: months by years, and a measure over two swept parameters."""

import numpy as np

from quant_trading.reporting.charts import UNITS, Caption, figure, plot, stretched
from quant_trading.reporting.formats import MINUS, shown
from quant_trading.reporting.markup import element, escape
from quant_trading.reporting.model import Sweep
from quant_trading.reporting.series import Months
from quant_trading.reporting.ticks import MONTHS

__all__ = ["month_table", "step_of", "sweep_chart"]

SIDE = 5  # steps on each side of zero
LEVELS = 10
MOST_NUMBERS = 150  # more cells than this and their numbers would not fit


def step_of(value: float, scale: float) -> str:
    """Return the colour class of a return: p1..p5 above zero, n1..n5 below, "" for none; `scale` has the strongest."""
    if not np.isfinite(value) or value == 0.0 or not scale > 0.0:
        return ""
    level = min(SIDE, int(abs(value) / scale * SIDE) + 1)
    return f"{'p' if value > 0.0 else 'n'}{level}"


def month_table(months: Months, caption: Caption) -> str:
    """Return the returns of months and years as a coloured table; every cell has its number and sign."""
    sizes = np.abs(months.values[np.isfinite(months.values)])
    # One wild month must not bleach all others.
    scale = float(np.quantile(sizes, 0.9)) if len(sizes) else 0.0
    head = "".join(element("th", name, scope="col", class_="num") for name in (*MONTHS, "Year"))
    rows = []
    for year, values, total in zip(months.years, months.values.tolist(), months.totals.tolist(), strict=True):
        cells = [element("th", str(year), scope="row")]
        for value in values:
            if np.isfinite(value):
                text = escape(_short(value))
                cells.append(element("td", text, class_=f"num {step_of(value, scale)}".strip(), data_v=repr(value)))
            else:
                cells.append('<td class="num none"></td>')
        colour = "gain" if total > 0.0 else "loss" if total < 0.0 else ""
        cells.append(
            element(
                "td",
                escape(_short(total)),
                class_=f"num total {colour}".strip(),
                data_v=repr(total) if np.isfinite(total) else None,
            )
        )
        rows.append(element("tr", "".join(cells)))
    inside = element("thead", element("tr", '<th scope="col"><span class="hidden">Year</span></th>' + head))
    table = element("table", inside + element("tbody", "".join(rows)), class_="heat", aria_label=caption.title)
    return figure(
        caption, element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption.title)
    )


def _short(value: float) -> str:
    """Return a percentage with one decimal and its sign, without the percent sign that every cell would repeat."""
    if not np.isfinite(value):
        return "n/a"
    rounded = f"{abs(value) * 100.0:,.1f}" if abs(value) < 10.0 else f"{abs(value) * 100.0:,.0f}"
    return rounded if rounded == "0.0" else ("+" if value > 0.0 else MINUS) + rounded


def sweep_chart(sweep: Sweep, caption: Caption) -> str:
    """Return the measure over two parameters from low (dark) to high (bright), the best framed."""
    values = sweep.values
    if values is None or not values.size:
        return ""
    rows, columns = values.shape
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    best = np.unravel_index(int(np.nanargmax(values)), values.shape) if len(known) else None
    paths: dict[int, list[str]] = {}
    texts = []
    for i in range(rows):
        for j in range(columns):
            value = float(values[i, j])
            if not np.isfinite(value):
                continue
            level = min(LEVELS - 1, int((value - low) / (high - low) * LEVELS)) if high > low else LEVELS // 2
            paths.setdefault(level, []).append(_block(i, j, rows, columns))
            if values.size <= MOST_NUMBERS:
                x, y = (j + 0.5) / columns * 100.0, (i + 0.5) / rows * 100.0
                dark = "low" if level < LEVELS // 2 else "high"
                number = escape(shown(value, sweep.kind))
                texts.append(
                    f'<text class="on-{dark}" x="{x:.2f}%" y="{y:.2f}%" dy="0.35em" text-anchor="middle">'
                    f"{number}</text>"
                )
    shapes = "".join(f'<path class="s{level}" d="{"".join(d)}"/>' for level, d in sorted(paths.items()))
    if best is not None:
        shapes += f'<path class="best" d="{_block(int(best[0]), int(best[1]), rows, columns)}"/>'
    inside = stretched(shapes) + "".join(texts) + _names(sweep)
    height = min(max(rows * 26, 160), 480)
    legend = (
        f'<p class="ramp"><span>{escape(shown(low, sweep.kind))}</span><i></i><span>{escape(shown(high, sweep.kind))}'
        f"</span><span>{escape(sweep.measure)}, the best framed</span></p>"
    )
    return figure(caption, plot(caption, inside, height) + legend, class_="sweep dense" if columns > 5 else "sweep")


def _block(i: int, j: int, rows: int, columns: int) -> str:
    """Return the path of one cell, edges shared with its neighbours so that no seam shows."""
    left, right = round(j * UNITS / columns), round((j + 1) * UNITS / columns)
    top, bottom = round(i * UNITS / rows), round((i + 1) * UNITS / rows)
    return f"M{left} {top}H{right}V{bottom}H{left}z"


def _names(sweep: Sweep) -> str:
    """Return the values of both parameters at the edges, thinned to what fits, and the names of the parameters."""
    out = []
    every = max(1, -(-len(sweep.y_values) // 18))
    for i, name in enumerate(sweep.y_values):
        if i % every == 0:
            y = (i + 0.5) / len(sweep.y_values) * 100.0
            out.append(f'<text class="tick" x="-8" y="{y:.2f}%" dy="0.32em" text-anchor="end">{escape(name)}</text>')
    every = max(1, -(-len(sweep.x_values) // 14))
    for j, name in enumerate(sweep.x_values):
        if j % every == 0:
            x = (j + 0.5) / len(sweep.x_values) * 100.0
            spare = " spare" if (j // every) % 2 else ""
            out.append(
                f'<text class="tick{spare}" x="{x:.2f}%" y="100%" dy="1.5em" text-anchor="middle">{escape(name)}</text>'
            )
    across, down = escape(f"{sweep.x_name} \u2192"), escape(f"\u2193 {sweep.y_name}")
    out.append(f'<text class="tick name" x="100%" y="100%" dy="2.9em" text-anchor="end">{across}</text>')
    out.append(f'<text class="tick name" x="0" y="0" dy="-0.7em">{down}</text>')
    return "".join(out)
