"""Bars and stores for the tests of the bar store."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from quant_trading.data.bar_store import BarMeta, BarStore
from quant_trading.domain.bars import BarColumns
from quant_trading.refdata.sessions import session_arrays

FETCHED = datetime(2019, 1, 2, 3, 4, 5, tzinfo=UTC)
META = BarMeta("test", FETCHED)


def daily(first: date, last: date, seed: int = 1) -> BarColumns:
    """Return a random walk, one bar a session."""
    _, start, end = session_arrays(first, last)
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(start)))), 4)
    opens = np.round(close * 1.001, 2)
    return BarColumns(start, end, opens, np.maximum(opens, close), np.minimum(opens, close), close, close * 10.0)


def cut(bars: BarColumns, rows: object) -> BarColumns:
    """Return some rows."""
    return BarColumns(*(getattr(bars, name)[rows] for name in BarColumns.__slots__))


def with_close(bars: BarColumns, row: int, close: float) -> BarColumns:
    """Return the bars with one close, and its high and low, changed."""
    columns = {name: getattr(bars, name).copy() for name in BarColumns.__slots__}
    columns["close"][row] = close
    columns["high"][row] = max(columns["high"][row], close)
    columns["low"][row] = min(columns["low"][row], close)
    return BarColumns(**columns)


def same_bars(left: BarColumns | None, right: BarColumns) -> bool:
    """Return whether all columns are equal to the bit, NaN included."""
    return left is not None and all(
        getattr(left, name).tobytes() == getattr(right, name).tobytes() for name in BarColumns.__slots__
    )


def a_store(folder: Path, *symbols: str) -> BarStore:
    """Return a store with the daily bars of 2017 and 2018 of each symbol."""
    store = BarStore(folder / "store")
    for seed, symbol in enumerate(symbols, 1):
        store.append(symbol, "1 day", daily(date(2017, 1, 1), date(2018, 12, 31), seed), META)
    return store
