"""Aggregation against other libraries' results and IBKR's own bars.

The golden tables of larger bars were made by pandas and polars alike from IBKR's 1-minute bars; IBKR's own 5-minute
bars of the same weeks are the reference of the rule itself. Both are met by the aggregator, which is fed minute by
minute, and by the resampling of whole series.
"""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.data.bars import Bar, BarAggregator, Calendar
from quant_trading.data.resample import resample_columns
from quant_trading.domain.bars import BarColumns
from quant_trading.indicators.macd import MacdStep, macd
from quant_trading.refdata.sessions import Session, at, exchange_date, session_on
from tests.examples import is_fast
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared

MINUTE_NS = 60_000_000_000
Rows = list[tuple[int, tuple[float, float, float, float], float]]


@cache
def table(name: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(market_data(name)).to_pandas()


@cache
def series(name: str, symbol: str) -> Rows:
    """Return start, prices and volume of each bar of one symbol, by time."""
    rows = table(name)
    rows = rows[rows["symbol"] == symbol].sort_values("timestamp")
    starts = rows["timestamp"].to_numpy("datetime64[ns]").astype(np.int64).tolist()
    prices = rows[["open", "high", "low", "close"]].to_numpy().tolist()
    return [(s, (p[0], p[1], p[2], p[3]), v) for s, p, v in zip(starts, prices, rows["volume"].tolist(), strict=True)]


def golden_rows(path: Path) -> Rows:
    with path.open(newline="") as file:
        return [
            (
                int(np.datetime64(row["timestamp"].removesuffix("Z"), "ns").astype(np.int64)),
                (float(row["open"]), float(row["high"]), float(row["low"]), float(row["close"])),
                float(row["volume"]),
            )
            for row in csv.DictReader(file)
        ]


def sessions_with_bars(rows: Rows) -> Calendar:
    """Return a calendar of those sessions only that the file has: its other days are missing, not quiet."""
    days: dict[Session, None] = {}
    for start, *_ in rows:
        session = session_on(exchange_date(start))
        assert session is not None
        days[session] = None
    spans = [(day.open_ns, day.close_ns) for day in days]
    return lambda ns: next((span for span in spans if span[1] > ns), (1 << 62, 1 << 62))


def aggregated(rows: Rows, *timeframes: int) -> list[Bar]:
    """Return the larger bars of 1-minute bars."""
    bars = BarAggregator(timeframes, start_ns=rows[0][0], calendar=sessions_with_bars(rows))
    told: list[Bar] = []
    for start, prices, volume in rows:
        assert bars.add_minute(start, prices, volume)
        told += bars.advance(start + MINUTE_NS)
    return told


def plain(bars: Sequence[Bar]) -> Rows:
    return [(bar.start_ns, (bar.open, bar.high, bar.low, bar.close), bar.volume) for bar in bars]


def columns(rows: Rows, minutes: int) -> BarColumns:
    start = np.array([row[0] for row in rows], dtype=np.int64)
    prices = np.array([row[1] for row in rows])
    volume = np.array([row[2] for row in rows], dtype=np.float64)
    return BarColumns(
        start, start + minutes * MINUTE_NS, prices[:, 0].copy(), prices[:, 1].copy(), prices[:, 2].copy(),
        prices[:, 3].copy(), volume,
    )  # fmt: skip


def rows_of(bars: BarColumns) -> Rows:
    four = zip(bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist(), strict=True)
    return list(zip(bars.start_ns.tolist(), four, bars.volume.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["SPY", "FAS", "WEBL"])
def test_larger_bars_equal_pandas_and_polars(symbol: str) -> None:
    rows = series("intraday/ibkr_1m_rth_2026.parquet", symbol)
    told = aggregated(rows, 3, 5, 10)
    for minutes in (3, 5, 10):
        expected = golden_rows(golden(f"resample_{symbol}_{minutes}m.csv"))
        ours = {row[0]: row for row in plain([bar for bar in told if bar.minutes == minutes])}
        # The golden table leaves out bars in which nothing traded at all; ours are flat there.
        days = {exchange_date(row[0]) for row in expected}
        assert [row for row in ours.values() if exchange_date(row[0]) in days and row[2] > 0] == expected
        batch = {row[0]: row for row in rows_of(resample_columns(columns(rows, 1), "1m", f"{minutes}m"))}
        assert ours == batch


def test_ten_minutes_of_fives_across_the_change_of_the_clock_and_on_half_days() -> None:
    rows = series("intraday/ibkr_5m_rth_2025.parquet", "AAPL")
    expected = golden_rows(golden("resample_AAPL_5m_to_10m_dst_halfday.csv"))
    days = {exchange_date(row[0]) for row in expected}
    ours = [r for r in rows_of(resample_columns(columns(rows, 5), "5m", "10m")) if exchange_date(r[0]) in days]
    assert ours == expected
    # The aggregator is fed minutes: each 5-minute bar goes in as its first one, the other four are quiet.
    own = [row for row in rows if exchange_date(row[0]) in days]
    bars = BarAggregator((10,), start_ns=own[0][0], calendar=sessions_with_bars(own))
    told: list[Bar] = []
    for start, prices, volume in own:
        bars.add_minute(start, prices, volume)
        told += bars.advance(start + 5 * MINUTE_NS)
    assert plain(told) == expected


@pytest.mark.slow
def test_ibkrs_own_5_minute_bars_from_its_1_minute_bars() -> None:
    theirs = table("intraday/ibkr_5m_rth_2026_same_window_as_1m.parquet")
    equal = quiet = compared = 0
    for symbol in sorted(set(theirs["symbol"])):
        rows = series("intraday/ibkr_1m_rth_2026.parquet", symbol)
        ours = {row[0]: row for row in plain(aggregated(rows, 5))}
        for row in series("intraday/ibkr_5m_rth_2026_same_window_as_1m.parquet", symbol):
            if row[0] not in ours:
                continue
            compared += 1
            equal += ours[row[0]] == row
            quiet += row[2] == 0 and ours[row[0]] == row
    # 21,557 bars with trades, and the 205 in which nothing traded.
    assert (compared - quiet, equal - quiet, quiet) == (21_557, 21_557, 205)


def test_ticks_into_minutes() -> None:
    trades = table("ticks/lean_IBM_20131008_trades.parquet")
    expected = golden_rows(golden("ticks_to_1m_IBM_20131008_all_trades.csv"))
    day = exchange_date(expected[0][0])
    session = (at(day, "04:00"), at(day, "20:00"))
    ns = trades["timestamp"].to_numpy("datetime64[ns]").astype(np.int64)
    prices, sizes = trades["price"].to_numpy(np.float64), trades["size"].to_numpy(np.float64)

    def calendar(moment: int) -> tuple[int, int]:
        return session if moment < session[1] else (1 << 62, 1 << 62)

    def minutes() -> BarAggregator:
        return BarAggregator((1,), start_ns=session[0], calendar=calendar)

    batched, single = minutes(), minutes()
    told = batched.ticks(ns, prices, sizes) + batched.advance(session[1])
    assert [row for row in plain(told) if row[2] > 0] == expected
    one_by_one = [bar for k in range(len(ns)) for bar in single.tick(int(ns[k]), float(prices[k]), float(sizes[k]))]
    assert one_by_one + single.advance(session[1]) == told
    # Every minute from the first trade to 20:00 is there, the quiet ones flat.
    assert [bar.start_ns for bar in told] == list(range(expected[0][0], session[1], MINUTE_NS))


def test_macd_of_the_bars_one_by_one_equals_that_of_the_series_to_the_bit() -> None:
    for minutes in (5, 10) if is_fast() else (1, 3, 5, 10):
        told = aggregated(series("intraday/ibkr_1m_rth_2026.parquet", "NVDA"), minutes)
        batch = macd(np.array([bar.close for bar in told]))
        step = MacdStep()
        lines = np.array([step.step(bar.close) for bar in told])
        assert np.array_equal(lines, np.column_stack([batch.macd, batch.signal, batch.histogram]))
