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

# So many days that are asked for together are made from a multiple of this on, with one day more at either end: who
# asks for some days asks for others about as many, and for the closes before them.
_GRAIN = 16

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
    """Daily bars that a function makes, many at a time; what was asked for last is kept, unless it is long."""

    def __init__(self, start_ns: IntArray, make: Callable[[int, int], TapeBars]) -> None:
        """Take the stamps of all days and what makes the days first <= day < last."""
        self.start_ns = start_ns
        self._make = make
        self._kept: Recent[int, TapeBars] = Recent(_KEPT_PIECES)
        self._stretch = no_bars()
        self._stretch_first = 0
        self._asked = 0, 0

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
        if 1 < end - begin <= LONGEST_STRETCH:
            begins, ends = max(0, first - 1) // _GRAIN * _GRAIN, -(-(last + 1) // _GRAIN) * _GRAIN
            self._stretch, self._stretch_first = self._make(begins, min(ends, len(self))), begins
            self._asked = first, last
            return rows(self._stretch, slice(first - begins, last - begins))
        made = self._kept.find(begin) if end - begin == 1 else None
        if made is None:
            made = self._make(begin * PIECE, min(end * PIECE, len(self)))
            # The day that is running is asked for again. A copy, for a view would keep the whole stretch.
            tail = np.arange((end - 1 - begin) * PIECE, len(made))
            self._kept.keep(end - 1, made if end - begin == 1 else rows(made, tail))
        return rows(made, slice(first - begin * PIECE, last - begin * PIECE))

    def stretch_around(self, day: int) -> tuple[int, int]:
        """Return the days that were asked for with one day, as `rows` takes them."""
        return self._asked if self._asked[0] <= day < self._asked[1] else (day, day + 1)

    def _has(self, first: int, last: int) -> bool:
        return self._stretch_first <= first and last <= self._stretch_first + len(self._stretch)
