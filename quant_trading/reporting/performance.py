"""The sections on what the account did: equity, drawdowns, months, risk and exposure."""

import numpy as np

from quant_trading.domain.bars import FloatArray
from quant_trading.reporting.charts import Caption, Line, bar_chart, histogram_chart, line_chart
from quant_trading.reporting.formats import date_text, shown
from quant_trading.reporting.heatmaps import month_table
from quant_trading.reporting.markup import element, escape
from quant_trading.reporting.model import Column, ReportData, Table
from quant_trading.reporting.series import (
    distribution,
    drawdown_curve,
    monthly_returns,
    rolling_sharpe,
    session_returns,
    sums_by_period,
    worst_drawdowns,
)  # fmt: skip
from quant_trading.reporting.tables import html_table

__all__ = ["activity", "equity", "returns"]

WINDOWS = (63, 252)  # a quarter and a year of sessions


def equity(data: ReportData) -> str:
    """Return the equity curve, what it was below its high, and the deepest falls."""
    curve = data.curve
    if not len(curve.times):
        return ""
    capital = float(data.sessions.equity[0])
    lines = [Line(data.strategy, curve.equity, "accent")]
    words = f"Money in {data.currency} after each bar, from {shown(capital, 'money')}."
    if curve.benchmark is not None:
        lines.append(Line(curve.benchmark_name, curve.benchmark, "bench"))
        words += f" In grey the same capital in {curve.benchmark_name}."
    out = line_chart(Caption("equity-chart", "Equity", words), curve.times, lines, "money", height=300)
    fall = drawdown_curve(curve.equity, capital)
    below = [Line("drawdown", fall, "loss", filled=True)]
    words = "How far the equity stood below its highest point so far, bar by bar."
    out += line_chart(Caption("underwater-chart", "Drawdown", words), curve.times, below, "percent", height=170)
    return out + _deepest(data)


def _deepest(data: ReportData) -> str:
    """Return the table of the deepest falls."""
    falls = worst_drawdowns(data.sessions)
    if not falls:
        return ""
    columns = (
        Column("High", "text", "the session of the high it fell from"), Column("Lowest", "text"),
        Column("Recovered", "text"), Column("Depth", "return"),
        Column("Sessions", "count", "from the high to the recovery, or to the end"),
    )  # fmt: skip
    rows = tuple(
        (date_text(f.start), date_text(f.bottom), "not yet" if f.end is None else date_text(f.end), f.depth, f.sessions)
        for f in falls
    )
    heading = element("h3", "Deepest drawdowns")
    return element("div", heading + html_table(Table(columns, rows), "Deepest drawdowns"), class_="block")


def returns(data: ReportData) -> str:
    """Return the months, the rolling Sharpe ratio and the distribution of session returns."""
    gains = session_returns(data.sessions)
    if not len(gains):
        return ""
    words = "Compounded session returns in percent; the year at the right."
    out = month_table(monthly_returns(data.sessions), Caption("months", "Monthly returns", words))
    parts = [_rolling(data, gains)]
    spread = distribution(gains)
    if spread is not None:
        words = f"{len(gains):,} session returns; bars count sessions."
        note = (
            f"Value at risk (dashed) {shown(spread.var_95, 'return')} at 95 %, "
            f"{shown(spread.var_99, 'return')} at 99 %; mean of the worst 5 % {shown(spread.shortfall_95, 'return')}."
        )
        if spread.outside:
            note += f" {spread.outside} beyond five deviations, counted in the outermost bars."
        parts.append(histogram_chart(Caption("distribution", "Distribution of returns", words, note), spread))
    return out + element("div", "".join(parts), class_="two")


def _rolling(data: ReportData, gains: FloatArray) -> str:
    """Return the rolling Sharpe ratio over a quarter and a year, as far as the run is long enough."""
    times = data.sessions.dates.astype("datetime64[s]")
    curves = [(w, rolling_sharpe(gains, w)) for w in WINDOWS if len(gains) > w]
    lines = [
        Line(f"{w} sessions", values, colour)
        for (w, values), colour in zip(curves, ("accent", "second"), strict=False)
        if np.isfinite(values).any()
    ]
    if not lines:
        return ""
    words = "Session returns, a year of 252 sessions, risk-free rate 0."
    return line_chart(Caption("rolling", "Rolling Sharpe ratio", words), times, lines, "ratio", with_zero=True)


def activity(data: ReportData) -> str:
    """Return exposure, turnover and costs over time, and the parts of the costs."""
    curve, parts = data.curve, []
    if not len(curve.times):
        return ""
    exposed = [
        Line(name, values, colour)
        for name, values, colour in (
            ("gross", curve.gross_exposure, "accent"), ("net", curve.net_exposure, "second"),
        ) if values is not None
    ]  # fmt: skip
    if exposed:
        words = "Sum of sizes (gross) and of values (net) of all positions, as a share of equity."
        parts.append(
            line_chart(Caption("exposure", "Exposure", words), curve.times, exposed, "percent", 220, with_zero=True)
        )
    pair = []
    if curve.turnover is not None:
        periods, sums, unit = sums_by_period(curve.times, curve.turnover)
        words = f"Traded value as a share of equity, by {unit}."
        pair.append(
            bar_chart(Caption("turnover", "Turnover", words), periods, Line("turnover", sums, "accent"), "percent")
        )
    if curve.cost is not None:
        words = f"What trading has cost up to each bar, in {data.currency}."
        paid = Line("costs", np.cumsum(np.nan_to_num(curve.cost)), "second", filled=True)
        pair.append(line_chart(Caption("costs-chart", "Costs, cumulative", words), curve.times, [paid], "money", 200))
    if pair:
        parts.append(element("div", "".join(pair), class_="two"))
    return "".join(parts) + _cost_parts(data)


def _cost_parts(data: ReportData) -> str:
    """Return the parts of the costs with bars as long as their share."""
    if not data.costs:
        return ""
    sizes = [
        abs(float(c.value)) if isinstance(c.value, int | float) and c.value == c.value else 0.0 for c in data.costs
    ]
    is_total = [c.name == "Total" and place == len(sizes) - 1 for place, c in enumerate(data.costs)]
    most = max((size for size, total in zip(sizes, is_total, strict=True) if not total), default=0.0) or 1.0
    rows = []
    for item, size, total in zip(data.costs, sizes, is_total, strict=True):
        exact = repr(float(item.value)) if isinstance(item.value, int | float) else None
        bar = element("i", style=f"width:{size / most * 100.0:.1f}%") if size and not total else ""
        rows.append(
            element(
                "tr",
                element("th", escape(item.name), scope="row", title=item.note or None)
                + element("td", escape(shown(item.value, item.kind)), class_="num", data_v=exact)
                + element("td", bar, class_="share"),
                class_="total" if total else None,
            )
        )
    table = element("table", element("tbody", "".join(rows)), aria_label="Costs by part", class_="costs")
    return element("div", element("h3", f"Costs by part, {escape(data.currency)}") + table, class_="block")
