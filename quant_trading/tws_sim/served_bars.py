"""Bars as they are served: of any size, side and hours, out of the blocks and days of one series.

BID, ASK and MIDPOINT bars are the trade bars moved by half the day's spread.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import aggregate, concat, group_starts, no_bars, rows, with_last
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series
from quant_trading.tws_sim.tape import BarSize, FloatArray, IntArray, TapeBars, What

__all__ = ["Adjust", "daily_bars", "intraday_bars"]

_DAY_NS = DAY_SECONDS * SECOND_NS
# In a month, of markets that never close.
_MOST_SESSIONS = 31

Adjust = Callable[[TapeBars, IntArray], TapeBars]
"""Turns bars as traded into bars as seen later; takes the bars and the date stamp of each."""


def intraday_bars(
    series: Series, seconds: int, what: What, start_ns: int, end_ns: int, use_rth: bool, adjust: Adjust
) -> TapeBars:
    """Return bars of `seconds`, aligned to the wall clock of the exchange and cut by the session."""
    opens, closes = series.day_span(use_rth)
    first = int(np.searchsorted(closes, start_ns, side="right"))
    last = int(np.searchsorted(opens, end_ns))
    if seconds % series.block_seconds == 0:
        parts = series.blocks_until(first, last, end_ns, use_rth)
    else:
        # Whole bars: the one that runs at start_ns is dropped below, by its stamp.
        begin = start_ns - seconds * SECOND_NS
        parts = concat([series.seconds_between(day, begin, end_ns, use_rth) for day in range(first, last)])
    day = np.searchsorted(series.day_start_ns, parts.start_ns, side="right") - 1
    midnight = series.day_start_ns[day]
    width = seconds * SECOND_NS
    stamp = np.maximum(midnight + (parts.start_ns - midnight) // width * width, np.minimum(opens[day], parts.start_ns))
    bars = aggregate(parts, stamp)
    first_row = group_starts(stamp)
    bars = _with_stamps(bars, stamp[first_row])
    inside = bars.start_ns >= start_ns
    day = day[first_row][inside]
    shown = _side(rows(bars, inside), what, day, series)
    return adjust(shown, series.days.start_ns[day])


def daily_bars(
    series: Series, size: BarSize, what: What, start_ns: int, end_ns: int, use_rth: bool, adjust: Adjust
) -> TapeBars:
    """Return bars of days, weeks (Monday to Friday) or months; weeks and months bear their last session's date."""
    opens, closes = series.day_span(use_rth)
    stamps = series.days.start_ns
    begun = int(series.midnight_ns.searchsorted(start_ns))
    if begun == len(stamps):
        return no_bars()
    first = begun
    if size.unit != "day":
        # A week that began before start_ns is built whole, then dropped by its stamp.
        earlier = _periods(stamps[max(0, begun - _MOST_SESSIONS) : begun + 1], size.unit)
        first = begun + 1 - len(earlier) + int(earlier.searchsorted(earlier[-1]))
    last = int(opens.searchsorted(end_ns))
    if last <= first:
        return no_bars()
    days = series.days.rows(first, last) if use_rth else series.all_hours_days(first, last)
    if closes[last - 1] > end_ns:
        running = series.day_until(last - 1, end_ns, use_rth)
        days = with_last(days, running) if len(running) else rows(days, slice(0, -1))
    days = _side(days, what, np.arange(first, first + len(days), dtype=np.int64), series)
    days = adjust(days, days.start_ns)
    if size.unit != "day":
        period = _periods(stamps[first : first + len(days)], size.unit)
        ends = np.append(np.flatnonzero(np.diff(period)), len(period) - 1)
        days = _with_stamps(_merge_sides(days, period), days.start_ns[ends])
    return days if first == begun else rows(days, days.start_ns >= stamps[begun])


def _periods(stamps: IntArray, unit: str) -> IntArray:
    """Return a rising number of the day, the week or the month of each midnight."""
    day = stamps // _DAY_NS
    if unit == "week":
        return (day + 3) // 7  # 1970-01-01 was a Thursday
    if unit == "month":
        return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return day


def _merge_sides(days: TapeBars, period: IntArray) -> TapeBars:
    """Return the days merged by period; quote bars have no volume to go by and are merged as they are."""
    if len(days) == 0 or days.volume[0] >= 0:
        return aggregate(days, period)
    ones = TapeBars(days.start_ns, days.open, days.high, days.low, days.close, -days.volume, days.wap, days.count)
    return _quote_bars(aggregate(ones, period))


def _side(bars: TapeBars, what: What, day: IntArray, series: Series) -> TapeBars:
    """Return trade bars turned to the asked side of the synthetic market; `day` is the number of each one's day."""
    if what in (What.TRADES, What.ADJUSTED_LAST) or len(bars) == 0:
        return bars if series.has_volume else _without_volume(bars)
    scale = series.scale
    spread = series.spread(int(day[0]), int(day[-1]) + 1)[day - day[0]]
    below, above = spread // 2, spread - spread // 2

    def moved(price: FloatArray, ticks: npt.NDArray[np.number[Any]]) -> FloatArray:
        return np.asarray((np.rint(price * scale * 2) / 2 + ticks) / scale)

    if what is What.BID_ASK:
        mean = np.rint((bars.open + bars.close) * 0.5 * scale) / scale
        open_, high, low, close = (
            moved(mean, -below),
            moved(bars.high, above),
            moved(bars.low, -below),
            moved(mean, above),
        )
    else:
        shift = {What.BID: -below, What.ASK: above}.get(what, (above - below) / 2)
        open_, high, low, close = (moved(price, shift) for price in (bars.open, bars.high, bars.low, bars.close))
    return _quote_bars(TapeBars(bars.start_ns, open_, high, low, close, bars.volume, bars.wap, bars.count))


def _quote_bars(bars: TapeBars) -> TapeBars:
    nothing = np.full(len(bars), -1.0)
    return TapeBars(
        bars.start_ns,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        nothing,
        nothing,
        np.full(len(bars), -1, dtype=np.int64),
    )


def _without_volume(bars: TapeBars) -> TapeBars:
    """Return the bars of an index: nothing is traded in it."""
    nothing, none = np.zeros(len(bars)), np.zeros(len(bars), dtype=np.int64)
    return TapeBars(bars.start_ns, bars.open, bars.high, bars.low, bars.close, nothing, nothing, none)


def _with_stamps(bars: TapeBars, start_ns: IntArray) -> TapeBars:
    return TapeBars(start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count)
