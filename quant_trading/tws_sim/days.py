"""The daily bars of one contract, by number; those of the built-in market are made when somebody looks at them."""

from collections.abc import Callable

import numpy as np

from quant_trading.tws_sim.aggregate import no_bars, rows
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["LONGEST_STRETCH", "PIECE", "Days", "MadeDays"]

PIECE = 64
"""Days are made in pieces of this many, counted from the first."""

LONGEST_STRETCH = 8
"""Who asked for the last year asks for it again: as many pieces are kept together, 30 kilobytes."""

# Quotes look at yesterday's close, again and again; a piece has four kilobytes.
_KEPT_PIECES = 2


class Days:
    """Daily bars that are there.

    Attributes:
        start_ns: int64[T], midnight UTC of each session's date.
    """

    def __init__(self, bars: TapeBars) -> None:
        self.start_ns: IntArray = bars.start_ns
        self._bars = bars

    def __len__(self) -> int:
        return len(self.start_ns)

    def rows(self, first: int, last: int) -> TapeBars:
        """Return the days first <= day < last."""
        return rows(self._bars, slice(first, last))

    def close_on(self, day: int) -> float:
        """Return the close of one day."""
        return float(self.rows(day, day + 1).close[0])

    @property
    def close(self) -> FloatArray:
        """The close of every day, float64[T]."""
        return self.rows(0, len(self)).close


class MadeDays(Days):
    """Daily bars that a function makes, whole pieces at a time; what was asked for last is kept, unless it is long."""

    def __init__(self, start_ns: IntArray, make: Callable[[int, int], TapeBars]) -> None:
        """Take the stamps of all days and what makes the days first <= day < last, `first` a multiple of `PIECE`."""
        self.start_ns = start_ns
        self._make = make
        self._kept: Recent[int, TapeBars] = Recent(_KEPT_PIECES)
        self._stretch = no_bars()
        self._stretch_first = 0

    def rows(self, first: int, last: int) -> TapeBars:
        """Return the days first <= day < last."""
        first, last = max(0, first), min(last, len(self))
        begin = first // PIECE
        if last <= first:
            return no_bars()
        behind = first - self._stretch_first
        if self._has(first, last):
            return rows(self._stretch, slice(behind, behind + last - first))
        end = -(-last // PIECE)
        made = self._kept.find(begin) if end - begin == 1 else None
        if made is None:
            made = self._make(begin * PIECE, min(end * PIECE, len(self)))
            if 1 < end - begin <= LONGEST_STRETCH:
                self._stretch, self._stretch_first = made, begin * PIECE
            else:
                # The day that is running is asked for again. A copy, for a view would keep the whole stretch.
                tail = np.arange((end - 1 - begin) * PIECE, len(made))
                self._kept.keep(end - 1, made if end - begin == 1 else rows(made, tail))
        return rows(made, slice(first - begin * PIECE, last - begin * PIECE))

    def stretch_around(self, day: int) -> tuple[int, int]:
        """Return the first and the last number of the days made with one day, as `rows` takes them."""
        if self._has(day, day + 1):
            return self._stretch_first, self._stretch_first + len(self._stretch)
        return day, day + 1

    def _has(self, first: int, last: int) -> bool:
        return self._stretch_first <= first and last <= self._stretch_first + len(self._stretch)
