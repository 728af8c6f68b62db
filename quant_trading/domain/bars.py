"""Bars: open, high, low, close and volume over [start, end)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quant_trading.refdata.sessions import exchange_days

__all__ = ["BarColumns", "BarPanel", "FloatArray", "IntArray", "no_bars", "panel_from_columns"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BarPanel:
    """Bars of N symbols on one common clock of T bars; read-only arrays.

    What is derived from them is computed once and kept, for a panel serves many runs.

    Attributes:
        symbols: the N column names.
        bar_size: IBKR's words, "1 day", "5 mins".
        start_ns: int64[T], UTC nanoseconds, strictly rising: when each bar opens.
        end_ns: int64[T], UTC nanoseconds: when each bar is complete and may be known.
        open, high, low, close: float64[T, N], NaN where a symbol has no bar.
        volume: float64[T, N], shares, 0 where a bar is flat, NaN where there is none.
    """

    symbols: tuple[str, ...]
    bar_size: str
    start_ns: IntArray
    end_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        shape = (len(self.start_ns), len(self.symbols))
        if self.end_ns.shape != self.start_ns.shape:
            raise ValueError(f"end_ns has shape {self.end_ns.shape}, start_ns {self.start_ns.shape}")
        for name in ("open", "high", "low", "close", "volume"):
            column = getattr(self, name)
            if column.shape != shape:
                raise ValueError(f"{name} has shape {column.shape}, expected {shape}")
        if len(self.start_ns) > 1 and not bool(np.all(np.diff(self.start_ns) > 0)):
            raise ValueError("start_ns must rise strictly")
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __len__(self) -> int:
        return len(self.start_ns)

    def rows(self, start: int, stop: int) -> "BarPanel":
        """Return bars start..stop-1 of every symbol, as a view; the panel itself when that is all of them."""
        if start == 0 and stop == len(self):
            return self
        cut = slice(start, stop)
        return BarPanel(
            self.symbols, self.bar_size, self.start_ns[cut], self.end_ns[cut],
            self.open[cut], self.high[cut], self.low[cut], self.close[cut], self.volume[cut],
        )  # fmt: skip

    @cached_property
    def sessions(self) -> IntArray:
        """Return int64[T], the exchange date of each bar's start as days since 1970-01-01."""
        return _frozen(exchange_days(self.start_ns))

    @cached_property
    def session_ends(self) -> IntArray:
        """Return int64[S], the last bar of each session."""
        days = self.sessions
        return _frozen(np.flatnonzero(np.append(days[1:] != days[:-1], len(days) > 0)))

    @cached_property
    def first_bad_price(self) -> tuple[str, int, int] | None:
        """Return (column, bar, symbol) of the first price that is neither missing nor above 0 and finite, or None."""
        for column in ("open", "high", "low", "close"):
            prices = getattr(self, column)
            bad = ~(np.isnan(prices) | ((prices > 0.0) & (prices < np.inf)))
            if bad.any():
                t, j = np.argwhere(bad)[0].tolist()
                return column, t, j
        return None

    def known_at(self, now_ns: int) -> "BarPanel":
        """Return the bars that were complete at `now_ns`: the running bar is left out."""
        return self.rows(0, int(np.searchsorted(self.end_ns, now_ns, side="right")))


def _frozen(values: IntArray) -> IntArray:
    values.flags.writeable = False
    return values


@dataclass(frozen=True, slots=True)
class BarColumns:
    """Bars of one symbol: the columns from which panels are joined.

    Attributes:
        start_ns, end_ns: int64[T], UTC nanoseconds, rising.
        open, high, low, close, volume: float64[T].
    """

    start_ns: IntArray
    end_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray


def no_bars() -> BarColumns:
    """Return the columns of a symbol without a single bar."""
    times, values = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    return BarColumns(times, times, values, values, values, values, values)


def panel_from_columns(symbols: Sequence[str], bar_size: str, columns: Sequence[BarColumns]) -> BarPanel:
    """Return one panel over the union of all starts; a missing bar is NaN, never filled.

    Args:
        symbols: N names, one per entry of `columns`.
        bar_size: IBKR's words for all of them.
        columns: N single-symbol series.
    """
    if not columns:
        empty = np.empty(0, dtype=np.int64)
        none = np.empty((0, 0), dtype=np.float64)
        return BarPanel((), bar_size, empty, empty.copy(), none, none.copy(), none.copy(), none.copy(), none.copy())
    first = columns[0]
    if all(c.start_ns is first.start_ns or np.array_equal(c.start_ns, first.start_ns) for c in columns):
        stacks = [
            np.column_stack([getattr(c, n) for c in columns]) if len(columns) > 1 else getattr(first, n).reshape(-1, 1)
            for n in ("open", "high", "low", "close", "volume")
        ]
        latest = np.max([c.end_ns for c in columns], axis=0) if len(columns) > 1 else first.end_ns
        return BarPanel(tuple(symbols), bar_size, first.start_ns, latest, *stacks)
    start_ns = np.unique(np.concatenate([c.start_ns for c in columns]))
    end_ns = np.zeros(len(start_ns), dtype=np.int64)
    stacked = {n: np.full((len(start_ns), len(columns)), np.nan) for n in ("open", "high", "low", "close", "volume")}
    for j, column in enumerate(columns):
        at = np.searchsorted(start_ns, column.start_ns)
        end_ns[at] = np.maximum(end_ns[at], column.end_ns)
        for name, values in stacked.items():
            values[at, j] = getattr(column, name)
    return BarPanel(tuple(symbols), bar_size, start_ns, end_ns, **stacked)
