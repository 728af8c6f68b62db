"""The console form of a report: every line fits, and says what the data says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.reporting.model import (
    Causality,
    Column,
    Curve,
    Figure,
    FigureGroup,
    Finding,
    ReportData,
    SessionCurve,
    Table,
    TradeColumns,
)
from quant_trading.reporting.text import WIDTH, in_ascii, report_lines, sparkline, table_lines


def trades_of(count: int, symbol: str = "AAPL") -> TradeColumns:
    """Return `count` trades of 100 shares, every second one short, 10.00 to 11.00."""
    entry = np.datetime64("2025-05-12T09:30:00", "s") + np.arange(count) * np.timedelta64(300, "s")
    side = np.where(np.arange(count) % 2, -100.0, 100.0)
    return TradeColumns(
        symbols=(symbol,), symbol=np.zeros(count, dtype=np.int64), quantity=side, entry_time=entry,
        entry_price=np.full(count, 10.0), exit_time=entry + np.timedelta64(300, "s"), exit_price=np.full(count, 11.0),
        pnl=side, returns=side / 1000.0, cost=np.zeros(count), bars=np.ones(count, dtype=np.int64),
        reason=("signal",) * count,
    )  # fmt: skip


def report_of(equity: list[float], **parts: object) -> ReportData:
    """Return a report whose sessions are the days from 2025-05-12 on."""
    dates = np.datetime64("2025-05-12", "D") + np.arange(len(equity) - 1)
    curve = Curve(dates.astype("datetime64[s]"), np.array(equity[1:]))
    values: dict[str, object] = {
        "mode": "backtest", "strategy": "MACD", "symbols": ("AAPL",), "bar_size": "5 mins", "created": "",
        "version": "0", "curve": curve, "sessions": SessionCurve(dates, np.array(equity)), **parts,
    }  # fmt: skip
    return ReportData(**values)  # type: ignore[arg-type]


def test_the_sections_stand_in_order_and_fit() -> None:
    table = Table((Column("symbol", "text"), Column("trades", "count"), Column("P&L", "pnl")), (("AAPL", 3, -12.5),))
    lines = report_lines(
        report_of(
            [100.0, 110.0, 99.0],
            trades=trades_of(30),
            symbol_table=table,
            metrics=(FigureGroup("Return", (Figure("total return", -0.01, "return"), Figure("trades", 30, "count"))),),
            findings=(Finding("warning", "AAPL", "2025-05-13", "13 of 78 bars are missing " * 6),),
            conventions=(("fill", "decided on the close, filled at the open of the next bar"),),
            causality=Causality(True, "no row changed when its future was cut off (12 cuts)"),
        )
    )
    titles = ["BACKTEST: MACD", "Trade blotter", "Equity curve", "Per symbol", "Figures", "What the data check found",
              "How this was computed"]  # fmt: skip
    assert [line for line in lines if line in titles] == titles
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    assert "the last 20 of 30 trades; --blotter 0 lists all" in text
    # From 110 to 99 is a tenth; the highest point is the first session's end.
    assert "deepest fall \u221210.00%" in text
    assert "high 110.00 on 2025-05-12" in text
    assert "low 99.00 on 2025-05-13" in text
    assert any(line.split() == ["AAPL", "3", "\u221212.50"] for line in lines)


def test_all_trades_are_listed_when_asked() -> None:
    lines = report_lines(report_of([1.0, 1.0], trades=trades_of(25)), blotter_rows=0)
    rows = [line for line in lines if line.startswith("AAPL")]
    assert len(rows) == 25
    # 100 shares from 10.00 to 11.00, long: +100.00 (the test data say so), at 09:30 and 09:35 New York.
    assert rows[0].split() == ["AAPL", "100", "25-05-12", "09:30", "10.00", "25-05-12", "09:35", "11.00",
                               "+100.00"]  # fmt: skip


def test_the_period_begins_with_the_first_bar() -> None:
    # Four daily bars; statistics begin with the second one's session, the period does not.
    times = np.datetime64("2025-05-12", "s") + np.arange(4) * np.timedelta64(1, "D")
    equity = np.array([100.0, 101.0, 102.0, 103.0])
    report = report_of([100.0, 101.0, 102.0, 103.0], curve=Curve(times, equity),
                       sessions=SessionCurve(times[1:].astype("datetime64[D]"), equity))  # fmt: skip
    assert any("2025-05-12 to 2025-05-15, 4 bars" in line for line in report_lines(report))


def test_no_line_speaks_of_files_that_may_not_be_there() -> None:
    findings = tuple(Finding("warning", f"S{k}", "", "a jump") for k in range(15))
    lines = report_lines(report_of([1.0, 1.0], trades=trades_of(30), findings=findings))
    assert "and 3 more" in lines
    assert not [line for line in lines if "cached" in line]


def test_a_wide_blotter_keeps_symbol_and_profit_and_says_what_it_lost() -> None:
    parts = trades_of(3, "BRK B")
    wide = replace(
        parts, quantity=np.full(3, 1_234_567_890.0), entry_price=np.full(3, 712_345.67),
        exit_price=np.full(3, 812_345.67), pnl=np.full(3, -123_456_789_012.34),
    )  # fmt: skip
    lines = report_lines(report_of([1.0, 1.0], trades=wide))
    rows = [line for line in lines if line.startswith("BRK B")]
    assert len(rows) == 3
    assert all(row.endswith("\u2212123,456,789,012.34") for row in rows)
    assert "(1 more column in the report)" in lines
    assert max(map(len, lines)) <= WIDTH


def test_a_wide_table_per_symbol_keeps_what_counts() -> None:
    names = ("Symbol", "Orders", "Trades", "Hit rate", "P&L", "of trades", "Costs", "Dividends", "Value")
    kinds = ("text", "count", "count", "percent", "pnl", "pnl", "money", "pnl", "money")
    table = Table(tuple(map(Column, names, kinds)), (("AAPL", 10**12, 10**12, 0.5, *[1.5e12] * 5),))
    lines = report_lines(report_of([1.0, 1.0], symbol_table=table))
    [head] = [line.split() for line in lines if line.startswith("Symbol")]
    for name in ("Symbol", "Trades", "P&L", "Costs"):
        assert name in head
    assert any(line.endswith("more columns in the report)") for line in lines)
    assert max(map(len, lines)) <= WIDTH


@given(st.lists(st.tuples(st.sampled_from(["text", "pnl"]), st.integers(1, 60)), min_size=1, max_size=14), st.data())
def test_every_table_fits_and_accounts_for_its_columns(columns: list[tuple[str, int]], data: st.DataObject) -> None:
    table = Table(
        tuple(Column(f"c{k}", kind) for k, (kind, _) in enumerate(columns)),
        (tuple("x" * size if kind == "text" else 10.0 ** (size // 5) for kind, size in columns),),
    )
    order = data.draw(st.permutations(range(len(columns))))
    lines = table_lines(table, order)
    assert max(map(len, lines)) <= WIDTH
    shown_columns = len(lines[0].split())
    assert f"c{order[0]}" in lines[0].split()
    lost = len(columns) - shown_columns
    assert (f"({lost} more column" in lines[-1]) == (lost > 0)


def test_a_run_without_trades_says_so() -> None:
    assert "no closed trades" in report_lines(report_of([1.0, 1.0], trades=trades_of(0)))


def test_the_sparkline_spans_from_lowest_to_highest() -> None:
    assert sparkline(np.array([1.0, 2.0, 3.0]), 10) == "▁▅█"  # 2 is half way: block round(3.5) = 4 of 0..7
    assert sparkline(np.array([5.0, 5.0]), 10) == "▁▁"
    assert sparkline(np.array([np.nan]), 10) == ""
    assert in_ascii("▁█ \u22125 é") == "_# -5 ?"


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(1, 100))
def test_the_sparkline_never_exceeds_its_width(values: list[float], width: int) -> None:
    line = sparkline(np.array(values), width)
    assert len(line) == min(width, len(values))
    ends = (values[0], values[-1])
    if width >= len(values) and ends[0] == max(values) > min(values):
        assert line[0] == "█"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=60), st.floats(-1e12, 1e12)), max_size=5))
def test_tables_fit_whatever_the_names(rows: list[tuple[str, float]]) -> None:
    table = Table((Column("symbol", "text"), Column("P&L", "pnl")), tuple(rows))
    assert all(len(line) <= WIDTH for line in table_lines(table))


@pytest.mark.parametrize("equity", [[1.0], [1.0, float("nan")]])
def test_a_curve_without_two_points_is_left_out(equity: list[float]) -> None:
    assert "Equity curve" not in report_lines(report_of(equity))
