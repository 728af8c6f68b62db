"""A report as lines for a console of 80 columns: blotter, equity curve, per-symbol summary, figures."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from quant_trading.domain.bars import FloatArray
from quant_trading.reporting.formats import MINUS, date_text, is_number, shown, time_text
from quant_trading.reporting.model import Column, Finding, ReportData, Table, TradeColumns

__all__ = ["WIDTH", "in_ascii", "report_lines", "sparkline", "table_lines"]

WIDTH = 80
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-:=+*#"
_INDENT = 12
_FEWEST = 6
# Columns of the blotter and of the table per symbol, those that go last first: a symbol without its P&L says nothing.
_BLOTTER_BY_WEIGHT = (0, 6, 1, 2, 4, 3, 5)
_SYMBOLS_BY_WEIGHT = ("symbol", "trades", "p&l", "costs")
# What a console without these characters shows instead.
_IN_ASCII = {**dict(zip(_BLOCKS, _ASCII_BLOCKS, strict=True)), MINUS: "-", "\u221e": "inf", "─": "-"}


def report_lines(report: ReportData, blotter_rows: int = 20) -> list[str]:
    """Return the lines of a report, none longer than `WIDTH`.

    Args:
        blotter_rows: how many of the last trades are listed; 0 lists all.
    """
    parts = [
        _header(report),
        _blotter(report.trades, blotter_rows),
        _equity(report),
        _symbols(report.symbol_table),
        _figures(report),
        _findings(report.findings),
        _conventions(report),
    ]
    lines: list[str] = []
    for part in parts:
        if part and lines:
            lines.append("")
        lines += part
    return lines


def in_ascii(line: str) -> str:
    """Return `line` for a console that shows ASCII only."""
    text = "".join(_IN_ASCII.get(character, character) for character in line)
    return text.encode("ascii", "replace").decode("ascii")


def sparkline(values: FloatArray, width: int) -> str:
    """Return `values` as one line of at most `width` blocks: the last value of each stretch, lowest to highest."""
    known = values[np.isfinite(values)]
    if not len(known):
        return ""
    ends = np.linspace(0, len(known) - 1, min(width, len(known))).round().astype(np.int64)
    points = known[ends]
    low, high = float(points.min()), float(points.max())
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((float(value) - low) * scale)] for value in points)


def table_lines(table: Table, by_weight: Sequence[int] = ()) -> list[str]:
    """Return heading, rule and rows; numbers stand right, text left.

    Where the width does not suffice columns go, down to six or those of `by_weight`, then the texts are cut, then more
    columns go; a last line says how many.

    Args:
        by_weight: the columns that go last, the most important first; the others go from the right.
    """
    if not table.rows:
        return []
    cells = [[shown(value, column.kind) for value, column in zip(row, table.columns, strict=True)]
             for row in table.rows]  # fmt: skip
    heads = [column.name for column in table.columns]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    right = [is_number(column.kind) for column in table.columns]
    kept = list(dict.fromkeys((*by_weight, *range(len(heads)))))
    _drop(kept, widths, min(len(by_weight) or _FEWEST, _FEWEST))
    _cut([i for i in kept if not right[i]], kept, widths)
    _drop(kept, widths, 1)
    shown_columns = sorted(kept)
    lost = len(heads) - len(shown_columns)

    def line(cells_of: Sequence[str]) -> str:
        """Return a row of what is shown."""
        return _row(*([sequence[i] for i in shown_columns] for sequence in (cells_of, widths, right)))

    lines = [line(heads), "─" * min(_width(kept, widths), WIDTH), *(line(row) for row in cells)]
    return [*lines, f"({lost} more column{'s' if lost > 1 else ''} in the report)"] if lost else lines


def _width(columns: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[i] for i in columns) + 2 * (len(columns) - 1)


def _drop(kept: list[int], widths: Sequence[int], fewest: int) -> None:
    """Take columns off the end until the rest fits."""
    while _width(kept, widths) > WIDTH and len(kept) > fewest:
        kept.pop()


def _cut(texts: Sequence[int], kept: Sequence[int], widths: list[int]) -> None:
    """Make the columns of text narrower until all fits, down to four characters."""
    while _width(kept, widths) > WIDTH and texts:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= 4:
            break
        widths[widest] -= 1


def _row(cells: Sequence[Any], widths: Sequence[Any], right: Sequence[Any]) -> str:
    fitted = [cell if len(cell) <= width else cell[: width - 1] + "…" if not is_right else cell
              for cell, width, is_right in zip(cells, widths, right, strict=True)]  # fmt: skip
    placed = (cell.rjust(width) if is_right else cell.ljust(width)
              for cell, width, is_right in zip(fitted, widths, right, strict=True))  # fmt: skip
    return "  ".join(placed).rstrip()


def _hang(name: str, text: str) -> list[str]:
    """Return `name` and `text` in two columns."""
    body = textwrap.wrap(text, WIDTH - _INDENT, break_on_hyphens=False) or [""]
    return [f"{name:<{_INDENT}}{body[0]}", *(" " * _INDENT + line for line in body[1:])]


def _title(text: str) -> list[str]:
    return [text, "=" * len(text)]


def _header(report: ReportData) -> list[str]:
    parameters = ", ".join(f"{name} {value}" for name, value in report.parameters)
    times = report.curve.times  # the first bar is in no session of the statistics, but it is in the period
    period = f"{date_text(times[0])} to {date_text(times[-1])}, " if len(times) else ""
    lines = _title(f"{report.mode.upper()}: {report.strategy}")
    lines += _hang("period", f"{period}{len(report.curve.times):,} bars of {report.bar_size}")
    shown_symbols = " ".join(report.symbols[:12]) + (f" and {len(report.symbols) - 12} more"
                                                     if len(report.symbols) > 12 else "")  # fmt: skip
    lines += _hang("symbols", f"{len(report.symbols)}: {shown_symbols}")
    if parameters:
        lines += _hang("parameters", parameters)
    return lines


def _blotter(trades: TradeColumns | None, rows: int) -> list[str]:
    if trades is None:
        return []
    lines = _title("Trade blotter")
    if not len(trades):
        return [*lines, "no closed trades"]
    first = max(len(trades) - rows, 0) if rows else 0
    columns = (Column("symbol", "text"), Column("shares", "quantity"), Column("entry", "text"), Column("at", "price"),
               Column("exit", "text"), Column("at", "price"), Column("P&L", "pnl"))  # fmt: skip
    rows_of = tuple(
        (trades.symbols[int(trades.symbol[i])], float(trades.quantity[i]),
         _short_time(trades.entry_time[i]), float(trades.entry_price[i]),
         _short_time(trades.exit_time[i]), float(trades.exit_price[i]), float(trades.pnl[i]))
        for i in range(first, len(trades))
    )  # fmt: skip
    lines += table_lines(Table(columns, rows_of), _BLOTTER_BY_WEIGHT)
    if first:
        lines.append(f"the last {len(trades) - first:,} of {len(trades):,} trades; --blotter 0 lists all")
    lines.append("a short is negative; P&L after costs; times of the exchange")
    return lines


def _short_time(moment: np.datetime64) -> str:
    """Return 25-05-12 14:00, or the whole date of a daily bar."""
    text = time_text(moment)
    return text[2:] if " " in text else text


def _equity(report: ReportData) -> list[str]:
    equity = report.sessions.equity
    finite = equity[np.isfinite(equity)]
    if len(finite) < 2:
        return []
    low, high = int(np.argmin(finite)), int(np.argmax(finite))
    drawdown = float(np.min(finite / np.maximum.accumulate(finite) - 1.0))
    lines = [*_title("Equity curve"), sparkline(equity, WIDTH)]
    lines.append(f"start {shown(float(finite[0]), 'money')}   end {shown(float(finite[-1]), 'money')}   "
                 f"deepest fall {shown(drawdown, 'percent')}")  # fmt: skip
    lines.append(f"low {shown(float(finite[low]), 'money')}{_on(report, low)}   "
                 f"high {shown(float(finite[high]), 'money')}{_on(report, high)}")  # fmt: skip
    return lines


def _on(report: ReportData, point: int) -> str:
    return f" on {date_text(report.sessions.dates[point - 1])}" if point else " at the start"


def _symbols(table: Table | None) -> list[str]:
    if table is None or not table.rows:
        return []
    names = [column.name.casefold() for column in table.columns]
    return [*_title("Per symbol"), *table_lines(table, [names.index(n) for n in _SYMBOLS_BY_WEIGHT if n in names])]


def _figures(report: ReportData) -> list[str]:
    pairs = [(figure.name, shown(figure.value, figure.kind)) for group in report.metrics for figure in group.figures]
    pairs = pairs or [(figure.name, shown(figure.value, figure.kind)) for figure in report.key_figures]
    if not pairs:
        return []
    return [*_title("Figures"), *_two_columns(pairs)]


def _two_columns(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    half = (len(pairs) + 1) // 2
    column = WIDTH // 2 - 2
    for i in range(half):
        cells = [_cell(*pairs[place], column) for place in (i, i + half) if place < len(pairs)]
        yield "    ".join(cells).rstrip()


def _cell(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    name = name if len(name) <= room else name[: room - 1] + "…"
    return f"{name}{value.rjust(width - len(name))}"


def _findings(findings: Iterable[Finding]) -> list[str]:
    found = list(findings)
    if not found:
        return []
    lines = _title("What the data check found")
    for finding in found[:12]:
        lines += _hang(
            finding.severity, " ".join(part for part in (finding.symbol, finding.where, finding.text) if part)
        )
    if len(found) > 12:
        lines.append(f"and {len(found) - 12} more")
    return lines


def _conventions(report: ReportData) -> list[str]:
    lines = [line for topic, sentence in report.conventions for line in _hang(topic, sentence)]
    if report.causality is not None:
        lines += _hang("Causality", report.causality.text)
    return [*_title("How this was computed"), *lines] if lines else []
