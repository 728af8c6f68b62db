"""Bars beside the exchange's calendar: sessions that are missing, short, shifted or thinly traded."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarPanel, FloatArray, IntArray
from quant_trading.refdata.sessions import exchange_date, session_arrays

__all__ = ["Calendar", "calendar_of", "low_volume", "off_grid", "on_clock", "per_session", "shifted_sessions"]

_HOUR_NS = 3_600_000_000_000
_OPENS_AT_NS = 34_200_000_000_000  # 09:30, since midnight in New York
_WINDOW, _SHARE = 41, 0.20
_COLUMNS = 32  # a block of columns whose work arrays stay within the cache


@dataclass(frozen=True, slots=True)
class Calendar:
    """The sessions that the bars of a panel span.

    Bars of 20 minutes and of an hour and more have two grids: TWS puts them on the clock (09:30, 10:00, 11:00, ...),
    others count them from the open (09:30, 10:30, ...). For all smaller sizes both are one.

    Attributes:
        opens, closes: int64[S], UTC ns.
        first, stop: int64[S]: rows first..stop-1 start within the session.
        expected: int64[S]: bars a complete session has, counted from its open.
        expected_on_clock: int64[S]: the same on the clock; half days may have one more.
        outside: int64: rows that start in no session.
        off_open: int64: rows within a session that do not start a whole number of bars after its open.
        off_clock: int64: rows within a session that start neither with it nor a whole number of bars after midnight.
    """

    opens: IntArray
    closes: IntArray
    first: IntArray
    stop: IntArray
    expected: IntArray
    expected_on_clock: IntArray
    outside: IntArray
    off_open: IntArray
    off_clock: IntArray


def calendar_of(panel: BarPanel, size: BarSize) -> Calendar:
    """Return the sessions from the first to the last bar, and where the rows stand in them.

    Raises:
        SessionRangeError: when the bars reach beyond the table of sessions.
    """
    start = panel.start_ns
    _, opens, closes = session_arrays(exchange_date(int(start[0])), exchange_date(int(start[-1])))
    first, stop = np.searchsorted(start, opens), np.searchsorted(start, closes)
    length = size.seconds * 1_000_000_000
    expected = expected_on_clock = np.ones(len(opens), dtype=np.int64)
    if size.is_intraday:
        expected = -((opens - closes) // length)
        expected_on_clock = -((opens - _OPENS_AT_NS % length - closes) // length)
    inside = np.zeros(len(start) + 1, dtype=np.int64)
    np.add.at(inside, first, 1)
    np.add.at(inside, stop, -1)
    within = np.cumsum(inside[:-1]) > 0
    outside = np.flatnonzero(~within)
    off_open = off_clock = np.empty(0, dtype=np.int64)
    if size.is_intraday:
        since = start - np.repeat(opens, stop - first) if not len(outside) else _since_open(start, opens)
        off_open = np.flatnonzero(within & (since % length != 0))
        off_clock = np.flatnonzero(within & (since != 0) & ((since + _OPENS_AT_NS) % length != 0))
    return Calendar(opens, closes, first, stop, expected, expected_on_clock, outside, off_open, off_clock)


def off_grid(calendar: Calendar, there: npt.NDArray[np.bool_]) -> IntArray:
    """Return the rows of one symbol that lie on neither grid: of each session those off the one that suits it better.

    Args:
        there: bool[T], where the symbol has a bar.
    """
    off_open, off_clock, open_counts, clock_counts = _off(calendar, there)
    if not len(off_open):
        return off_open
    by_clock = clock_counts < open_counts
    rows = (
        off_open[~by_clock[_session_of(calendar, off_open)]],
        off_clock[by_clock[_session_of(calendar, off_clock)]],
    )
    return np.sort(np.concatenate(rows))


def on_clock(calendar: Calendar, there: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return bool[S]: where the bars of one symbol, bool[T], lie on the clock and not on the grid from the open."""
    _, _, open_counts, clock_counts = _off(calendar, there)
    return np.asarray(clock_counts < open_counts)


def _off(calendar: Calendar, there: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return the rows of a symbol off each grid, and how many there are of each in every session."""
    rows = [off[there[off]] for off in (calendar.off_open, calendar.off_clock)]
    counts = [np.bincount(_session_of(calendar, off), minlength=len(calendar.opens)) for off in rows]
    return rows[0], rows[1], counts[0], counts[1]


def _session_of(calendar: Calendar, rows: IntArray) -> IntArray:
    return np.searchsorted(calendar.stop, rows, side="right")


def _since_open(start: IntArray, opens: IntArray) -> IntArray:
    if not len(opens):
        return np.zeros_like(start)
    return np.asarray(start - opens[np.maximum(np.searchsorted(opens, start, side="right") - 1, 0)])


def per_session(values: npt.NDArray[np.float64] | npt.NDArray[np.bool_], calendar: Calendar) -> FloatArray:
    """Return float64[S, N]: the sums of float64[T, N] or bool[T, N] over the rows of each session, 0 without rows."""
    # Row T of zeros stands for all that comes after; each sum runs from a session's first row to its stop.
    bounds = np.column_stack([calendar.first, calendar.stop]).ravel()
    padded = np.concatenate([values.astype(np.float64), np.zeros((1, values.shape[1]))])
    sums = np.add.reduceat(padded, bounds, axis=0)[::2] if len(bounds) else np.zeros((0, values.shape[1]))
    sums[calendar.first == calendar.stop] = 0.0
    return np.asarray(sums)


def shifted_sessions(calendar: Calendar, panel: BarPanel, j: int) -> list[int]:
    """Return the sessions whose bars of column `j` begin exactly an hour before or after the open.

    That is what a source shows whose clock changed on another day than New York's.
    """
    rows = np.flatnonzero(~np.isnan(panel.close[:, j]))
    start = panel.start_ns[rows]
    sessions = len(calendar.opens)
    late = np.zeros(sessions, dtype=bool)
    at_open = np.searchsorted(start, calendar.opens)
    stop = np.searchsorted(start, calendar.closes)
    some = np.flatnonzero(stop > at_open)
    late[some] = start[at_open[some]] == calendar.opens[some] + _HOUR_NS
    early = np.zeros(sessions, dtype=bool)
    hour_before = np.searchsorted(start, calendar.opens - _HOUR_NS)
    much_before = np.searchsorted(start, calendar.opens - 3 * _HOUR_NS)
    last_hour = np.searchsorted(start, calendar.closes - _HOUR_NS)
    # An hour early: the hour before the open is there, the last hour is not, and nothing earlier is.
    early = (hour_before < at_open) & (last_hour == stop) & (stop > at_open) & (much_before == hour_before)
    return np.flatnonzero(late | early).tolist()


def low_volume(volume: FloatArray) -> IntArray:
    """Return int64[K, 2]: session and column where volume is below 20 % of the median of the 41 around it.

    Args:
        volume: float64[S, N] per session; NaN or 0 = no session, which counts for nothing.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    for begin in range(0, volume.shape[1], _COLUMNS):
        block = volume[:, begin : begin + _COLUMNS]
        places = _low_of_block(np.where(block > 0.0, block, np.nan))
        places[:, 1] += begin
        found.append(places)
    return np.concatenate(found)


def _low_of_block(traded: FloatArray) -> IntArray:
    candidates = np.argwhere(_may_be_low(traded))
    if not len(candidates):
        return candidates
    half = _WINDOW // 2
    padded = np.full((len(traded) + 2 * half, traded.shape[1]), np.nan)
    padded[half : half + len(traded)] = traded
    window = np.sort(padded[candidates[:, :1] + np.arange(_WINDOW), candidates[:, 1:]], axis=1)  # NaN comes last
    count = np.count_nonzero(window == window, axis=1)
    each = np.arange(len(window))
    median = (window[each, (count - 1) // 2] + window[each, count // 2]) / 2.0
    return np.asarray(candidates[traded[candidates[:, 0], candidates[:, 1]] < _SHARE * median])


def _may_be_low(traded: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where the volume may be below the share of the median: always where it is, seldom where it is not.

    The median is above 5 v when more than half of a window is. One of the two halves then holds 11 such
    sessions in 20 (fewer at the ends, where a half is short), so among five groups of four neighbours one has three of
    them: its second lowest is above 5 v. The largest of the second lowest within reach is cheap to carry along.
    """
    half = _WINDOW // 2
    count = len(traded)
    large = np.where(np.isnan(traded), np.inf, traded).astype(np.float32)  # what is not there excludes nothing
    if count <= 2 * _WINDOW:
        return ~np.isnan(traded)
    pair_low, pair_high = np.minimum(large[:-1], large[1:]), np.maximum(large[:-1], large[1:])
    second = np.minimum(
        np.maximum(pair_low[:-2], pair_low[2:]), np.minimum(pair_high[:-2], pair_high[2:])
    )  # of rows t..t+3
    reach = second
    width = 1
    while width < half - 3:  # the largest over the 17 groups that lie within 20 rows
        shift = min(width, half - 3 - width)
        reach = np.maximum(reach[:-shift], reach[shift:])
        width += shift
    bound = np.full(traded.shape, np.inf, dtype=np.float32)
    inner = slice(half, count - half)
    bound[inner] = np.maximum(reach[: count - 2 * half], reach[half + 1 : count - half + 1])
    return np.asarray(traded.astype(np.float32) * np.float32(1.0 / _SHARE * 0.999) <= bound) & ~np.isnan(traded)
