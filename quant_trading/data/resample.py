"""Small bars into larger ones, as IBKR makes them.

Minutes without volume are passed over: IBKR serves them as flat bars, and builds its own larger bars without them.
A bar whose minutes are all empty is flat at the close before, with volume 0. Bars are counted from the open of each
session, so they are stamped 09:30 New York and on, and the last one of a session ends with it.
"""

import numpy as np

from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns, BarPanel, IntArray, panel_from_columns
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, exchange_date, session_arrays

__all__ = ["resample", "resample_columns"]

_SECOND_NS = 1_000_000_000


def resample(panel: BarPanel, bar_size: str) -> BarPanel:
    """Return the panel in bars of `bar_size`; each symbol by its own bars, missing ones stay missing.

    Raises:
        DataGap: when the larger bars are no whole number of the smaller ones, or a bar lies in no session.
        UsageError: when the bar size is none.
    """
    size = parse_bar_size(bar_size)
    columns = []
    for j in range(len(panel.symbols)):
        there = np.flatnonzero(~np.isnan(panel.close[:, j]))
        own = BarColumns(
            panel.start_ns[there], panel.end_ns[there], panel.open[there, j], panel.high[there, j],
            panel.low[there, j], panel.close[there, j], panel.volume[there, j],
        )  # fmt: skip
        columns.append(resample_columns(own, panel.bar_size, bar_size))
    return panel_from_columns(panel.symbols, size.words, columns)


def resample_columns(bars: BarColumns, bar_size: str, wanted: str) -> BarColumns:
    """Return the bars of one symbol in bars of `wanted`.

    Args:
        bars: of `bar_size`, all within regular sessions.
        bar_size, wanted: IBKR's words or timeframes; up to one day.

    Raises:
        DataGap: as `resample`.
        UsageError: when a bar size is none.
    """
    small, large = parse_bar_size(bar_size), parse_bar_size(wanted)
    if small.words == large.words or not len(bars.start_ns):
        return bars
    if large.seconds % small.seconds or large.seconds < small.seconds or large.seconds > 86_400:
        raise DataGap(
            f"bars of {large.words} cannot be made of bars of {small.words}; name a multiple of them, up to 1 day"
        )
    start, end = _spans(bars.start_ns, large.seconds if large.is_intraday else 0, large.words)
    begin = np.flatnonzero(np.diff(start, prepend=-1))
    traded = bars.volume > 0.0
    count = np.add.reduceat(traded.astype(np.int64), begin)
    some = count > 0
    # Only minutes with volume count; for an empty bar the close before stands in, which its flat minutes repeat.
    kept = np.flatnonzero(traded)
    first = (np.cumsum(count) - count)[some]
    previous = bars.close[np.maximum(begin - 1, 0)].copy()
    previous[begin == 0] = bars.open[0]
    prices = {name: previous.copy() for name in ("open", "high", "low", "close")}
    volume = np.zeros(len(begin))
    if len(kept):
        last = first + count[some] - 1
        prices["open"][some] = bars.open[kept][first]
        prices["high"][some] = np.maximum.reduceat(bars.high[kept], first)
        prices["low"][some] = np.minimum.reduceat(bars.low[kept], first)
        prices["close"][some] = bars.close[kept][last]
        volume[some] = np.add.reduceat(bars.volume[kept], first)
    return BarColumns(start[begin], end[begin], **prices, volume=volume)


def _spans(moments: IntArray, seconds: int, words: str) -> tuple[IntArray, IntArray]:
    """Return start and end of the larger bar in which each small one lies; 0 seconds = the whole session."""
    try:
        _, opens, closes = session_arrays(exchange_date(int(moments[0])), exchange_date(int(moments[-1])))
    except SessionRangeError as error:
        raise DataGap(f"bars cannot be made into {words}: {error}") from error
    at = np.searchsorted(opens, moments, side="right") - 1
    outside = (at < 0) | (moments >= closes[np.maximum(at, 0)]) if len(opens) else np.ones(len(moments), dtype=bool)
    if outside.any():
        stamp = np.datetime64(int(moments[np.argmax(outside)]), "ns").astype("datetime64[s]")
        raise DataGap(
            f"bar {stamp}Z lies outside regular hours, and bars of {words} are counted from the open; leave such bars "
            "out"
        )
    if not seconds:
        return opens[at], closes[at]
    length = seconds * _SECOND_NS
    start = opens[at] + (moments - opens[at]) // length * length
    return start, np.minimum(start + length, closes[at])
