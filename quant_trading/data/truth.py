"""Bar truth: the bars that were recorded live beside those the broker serves for the same day afterwards.

A live bar can differ from the one history serves later: trades are reported late, corrected or cancelled, and a feed
that was down leaves holes. How many bars differ, and how many signals would have been others, is a figure to know.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np

from quant_trading.data.store_writer import ChangedBar
from quant_trading.domain.bars import BarColumns, FloatArray, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.indicators.macd import macd
from quant_trading.refdata.sessions import exchange_days

__all__ = ["Crossing", "Truth", "compare"]

_NUMBERS = ("open", "high", "low", "close", "volume")
_WARM_UP_BARS = 300


@dataclass(frozen=True, slots=True)
class Crossing:
    """MACD crosses its signal line with the close of a bar.

    Attributes:
        start_ns: of that bar.
        is_up: whether it crosses from below.
    """

    start_ns: int
    is_up: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """How a recorded day compares with the served one.

    Attributes:
        symbol, day: whose and which.
        equal: bars with the same prices and volume in both.
        changed: bars with others; `stored` is what was recorded, `received` what is served.
        only_recorded, only_served: starts of bars that one side lacks.
        recorded_crossings, served_crossings: of MACD(12, 26, 9) from the first recorded bar to the last.
        warm_up_bars: served bars before these that both sides' MACD started from.
    """

    symbol: str
    day: date
    equal: int
    changed: tuple[ChangedBar, ...]
    only_recorded: tuple[int, ...]
    only_served: tuple[int, ...]
    recorded_crossings: tuple[Crossing, ...]
    served_crossings: tuple[Crossing, ...]
    warm_up_bars: int

    @property
    def changed_prices(self) -> int:
        """Return how many bars differ in a price; the other changed ones differ in volume only."""
        return sum(bar.stored[:4] != bar.received[:4] for bar in self.changed)

    @property
    def changed_signals(self) -> int:
        """Return how many crossings are on one side only."""
        return len(set(self.recorded_crossings) ^ set(self.served_crossings))

    @property
    def is_true(self) -> bool:
        """Return whether the recorded day is the served one to the last digit."""
        return not (self.changed or self.only_recorded or self.only_served)

    @property
    def is_warm(self) -> bool:
        """Return whether the warm-up is long enough for signals that do not depend on where it began."""
        return self.warm_up_bars >= _WARM_UP_BARS


def compare(symbol: str, day: date, recorded: BarColumns, served: BarColumns) -> Truth:
    """Return what differs between two versions of one day.

    Args:
        symbol, day: whose bars, and which exchange date.
        recorded: bars that were made live; those of other days are left unread.
        served: bars of the same size as served later, with those before the day as warm-up of the MACD.

    Raises:
        DataGap: when one side has no bar of the day.
    """
    number = (day - date(1970, 1, 1)).days
    own, other = (exchange_days(bars.start_ns) == number for bars in (recorded, served))
    for found, whose in ((own, "recorded"), (other, "served")):
        if not found.any():
            raise DataGap(f"{symbol}: there are no {whose} bars of {day}; name a day that has some")
    live, now = _rows(recorded, own), _rows(served, other)
    # A tracker that was started within the day had the bars before as its warm-up.
    began, ended = int(live.start_ns[0]), int(live.start_ns[-1])
    before = _rows(served, served.start_ns < began)
    span = _rows(served, (served.start_ns >= began) & (served.start_ns <= ended))
    _, i, j = np.intersect1d(live.start_ns, now.start_ns, assume_unique=True, return_indices=True)
    left, right = (np.column_stack([getattr(b, n)[k] for n in _NUMBERS]) for b, k in ((live, i), (now, j)))
    differing = np.flatnonzero(~((left == right) | (np.isnan(left) & np.isnan(right))).all(axis=1))
    changed = tuple(
        ChangedBar(int(live.start_ns[i[k]]), tuple(left[k].tolist()), tuple(right[k].tolist())) for k in differing
    )
    return Truth(
        symbol, day, len(i) - len(differing), changed,
        tuple(np.setdiff1d(live.start_ns, now.start_ns).tolist()),
        tuple(np.setdiff1d(now.start_ns, live.start_ns).tolist()),
        _crossings(before.close, live.start_ns, live.close), _crossings(before.close, span.start_ns, span.close),
        len(before.close),
    )  # fmt: skip


def _crossings(warm_up: FloatArray, start_ns: IntArray, close: FloatArray) -> tuple[Crossing, ...]:
    """Return where the histogram of all closes changes its sign, within the day."""
    histogram = macd(np.concatenate([warm_up, close])).histogram
    before, after = histogram[:-1], histogram[1:]
    up, down = (before <= 0.0) & (after > 0.0), (before >= 0.0) & (after < 0.0)
    rows = np.flatnonzero(up | down) + 1
    rows = rows[rows >= len(warm_up)]
    return tuple(Crossing(int(start_ns[row - len(warm_up)]), bool(up[row - 1])) for row in rows.tolist())


def _rows(bars: BarColumns, mask: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> BarColumns:
    return BarColumns(*(getattr(bars, name)[mask] for name in BarColumns.__slots__))
