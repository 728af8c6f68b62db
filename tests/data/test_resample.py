"""Larger bars from smaller ones: equal to independent tables, and to IBKR's own bars."""

import csv
from datetime import UTC, date, datetime

import numpy as np
import pytest

from quant_trading.data.resample import resample, resample_columns
from quant_trading.data.store import load_panel
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import DataGap, UsageError
from quant_trading.refdata.sessions import session_on
from tests.shared_data import golden, market_data, needs_shared

MINUTE = 60_000_000_000


def minutes(day, rows, first=0):
    """Return bars of one minute from the open of `day` on; rows are open, high, low, close, volume."""
    start = session_on(day).open_ns + MINUTE * (first + np.arange(len(rows)))
    return BarColumns(start, start + MINUTE, *np.array(rows, dtype=np.float64).T.copy())


def rows_of(bars):
    return [list(row) for row in zip(bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True)]


def test_minutes_without_volume_are_passed_over():
    day = date(2026, 1, 22)
    bars = minutes(day, [
        (10, 12, 9, 11, 100), (11, 11, 11, 11, 0), (11.5, 13, 11, 12, 50),  # the flat minute has no say
        (12, 12, 12, 12, 0), (12, 12, 12, 12, 0), (12, 12, 12, 12, 0),  # nothing was traded: flat at the close before
        (12, 12, 12, 12, 0), (8, 8.5, 7, 7.5, 10),  # the session goes on, but these are all there is
    ])  # fmt: skip
    made = resample_columns(bars, "1 min", "3m")
    assert rows_of(made) == [[10, 13, 9, 12, 150], [12, 12, 12, 12, 0], [8, 8.5, 7, 7.5, 10]]
    assert ((made.start_ns - session_on(day).open_ns) // MINUTE).tolist() == [0, 3, 6]
    assert ((made.end_ns - made.start_ns) // MINUTE).tolist() == [3, 3, 3]


def test_bars_end_with_the_session_and_days_span_it():
    day = date(2025, 7, 3)  # a half day of 210 minutes
    bars = minutes(day, [(1, 2, 1, 2, 5)] * 210)
    made = resample_columns(bars, "1m", "1 hour")
    assert ((made.end_ns - made.start_ns) // MINUTE).tolist() == [60, 60, 60, 30]
    (only,) = rows_of(resample_columns(bars, "1m", "1d"))
    assert only == [1, 2, 1, 2, 1050]
    whole = resample_columns(bars, "1m", "1d")
    assert (whole.start_ns[0], whole.end_ns[0]) == (session_on(day).open_ns, session_on(day).close_ns)
    assert resample_columns(bars, "1m", "1 min") is bars


def test_an_empty_start_has_only_its_own_prices():
    made = resample_columns(minutes(date(2026, 1, 22), [(5, 5, 5, 5, 0), (5, 5, 5, 5, 0)]), "1m", "2m")
    assert rows_of(made) == [[5, 5, 5, 5, 0]]


def test_what_cannot_be_made():
    bars = minutes(date(2026, 1, 22), [(1, 1, 1, 1, 1)])
    for small, large in (("5m", "3m"), ("1m", "1W"), ("10m", "5m")):
        with pytest.raises(DataGap, match="cannot be made of bars of"):
            resample_columns(bars, small, large)
    with pytest.raises(UsageError):
        resample_columns(bars, "1m", "7m")
    late = BarColumns(bars.start_ns - MINUTE, bars.end_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
    with pytest.raises(DataGap, match=r"bar 2026-01-22T14:29:00Z lies outside regular hours"):
        resample_columns(late, "1m", "5m")


def golden_rows(name):
    with golden(name).open(newline="") as file:
        return [
            (int(datetime.fromisoformat(row["timestamp"]).astimezone(UTC).timestamp()) * 10**9,
             *(float(row[column]) for column in ("open", "high", "low", "close", "volume")))
            for row in csv.DictReader(file)
        ]  # fmt: skip


def made_rows(panel, j=0):
    columns = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    return {int(ns): tuple(float(c[t, j]) for c in columns) for t, ns in enumerate(panel.start_ns)}


@needs_shared
@pytest.mark.parametrize("symbol", ["SPY", "FAS", "WEBL"])
@pytest.mark.parametrize("size", ["3m", "5m", "10m"])
def test_minutes_become_the_golden_bars(symbol, size):
    source = load_panel(market_data("intraday/ibkr_1m_rth_2026.parquet"), [symbol], "1m")
    made = made_rows(resample(source, size))
    expected = golden_rows(f"resample_{symbol}_{size}.csv")
    assert expected
    for start, *values in expected:
        assert made.pop(start) == tuple(values)
    # The golden files leave out bars without a trade; on their days we have those besides, flat and without volume.
    days = {datetime.fromtimestamp(row[0] // 10**9, UTC).date() for row in expected}
    rest = [row for ns, row in made.items() if datetime.fromtimestamp(ns // 10**9, UTC).date() in days]
    assert all(row[4] == 0.0 and len(set(row[:4])) == 1 for row in rest)


@needs_shared
def test_the_change_of_the_clock_and_half_days():
    source = load_panel(market_data("intraday/ibkr_5m_rth_2025.parquet"), ["AAPL"], "5m")
    made = made_rows(resample(source, "10m"))
    expected = golden_rows("resample_AAPL_5m_to_10m_dst_halfday.csv")
    assert len(expected) == 39 + 39 + 21 + 21
    assert all(made[start] == tuple(values) for start, *values in expected)


@needs_shared
def test_ibkr_s_own_five_minute_bars():
    symbols = ["COIN", "FAS", "META", "NKE", "NVDA", "ORCL", "SLB", "SPY", "WEBL"]
    made = resample(load_panel(market_data("intraday/ibkr_1m_rth_2026.parquet"), symbols, "1m"), "5m")
    theirs = load_panel(market_data("intraday/ibkr_5m_rth_2026_same_window_as_1m.parquet"), symbols, "5m")
    same = empty = 0
    for j in range(len(symbols)):
        ours = made_rows(made, j)
        for start, values in made_rows(theirs, j).items():
            assert ours[start] == values
            same += values[4] > 0.0
            empty += values[4] == 0.0
    assert (same, empty) == (21_557, 205)
