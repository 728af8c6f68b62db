"""Building larger bars from smaller ones as IBKR does, and the small tools for columns of bars.

Measured on bars IBKR served (21,557 of 21,557 five-minute bars in nine symbols): a larger bar is made of the
smaller bars with volume alone; only when none has volume is it flat at the previous close, volume 0.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["aggregate", "concat", "group_starts", "no_bars", "rows", "scaled", "typical_price",
           "with_last"]  # fmt: skip

_COLUMNS = ("start_ns", "open", "high", "low", "close", "volume", "wap", "count")


def rows(bars: TapeBars, index: slice | IntArray | npt.NDArray[np.bool_]) -> TapeBars:
    """Return the rows of `bars` that `index` selects."""
    return TapeBars(
        bars.start_ns[index], bars.open[index], bars.high[index], bars.low[index], bars.close[index],
        bars.volume[index], bars.wap[index], bars.count[index],
    )  # fmt: skip


def concat(parts: Sequence[TapeBars]) -> TapeBars:
    """Return the parts one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return no_bars()
    if len(parts) == 2:
        return _joined(*parts)
    return TapeBars(*(np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS))


def with_last(bars: TapeBars, last: TapeBars) -> TapeBars:
    """Return bars whose last one is `last`, but for its stamp: the day that is running, as far as it has got."""
    changed = TapeBars(
        bars.start_ns, bars.open.copy(), bars.high.copy(), bars.low.copy(), bars.close.copy(), bars.volume.copy(),
        bars.wap.copy(), bars.count.copy(),
    )  # fmt: skip
    changed.open[-1], changed.high[-1], changed.low[-1] = last.open[0], last.high[0], last.low[0]
    changed.close[-1], changed.volume[-1], changed.wap[-1] = last.close[0], last.volume[0], last.wap[0]
    changed.count[-1] = last.count[0]
    return changed


def _joined(left: TapeBars, right: TapeBars) -> TapeBars:
    """Return two stretches as one; the running bar is laid behind those that are over all the time."""
    join = np.concatenate
    return TapeBars(
        join((left.start_ns, right.start_ns)), join((left.open, right.open)), join((left.high, right.high)),
        join((left.low, right.low)), join((left.close, right.close)), join((left.volume, right.volume)),
        join((left.wap, right.wap)), join((left.count, right.count)),
    )  # fmt: skip


def no_bars() -> TapeBars:
    """Return bars without a row."""
    ints, floats = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    return TapeBars(ints, floats, floats, floats, floats, floats, floats, ints)


def scaled(bars: TapeBars, price_factor: FloatArray, volume_factor: FloatArray) -> TapeBars:
    """Return the bars with prices and volumes multiplied, to the sixth decimal and to whole shares."""
    open_, high, low, close, wap = (
        np.round(column * price_factor, 6) for column in (bars.open, bars.high, bars.low, bars.close, bars.wap)
    )
    return TapeBars(bars.start_ns, open_, high, low, close, np.rint(bars.volume * volume_factor), wap, bars.count)


def typical_price(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """Return the mean of the four prices: the volume-weighted price of a bar of which no more is known."""
    return (open_ + high + low + close) / 4.0


def group_starts(group: IntArray) -> IntArray:
    """Return the row at which each run of equal values begins."""
    if len(group) == 0:
        return np.empty(0, dtype=np.int64)
    return np.concatenate([np.zeros(1, dtype=np.int64), np.flatnonzero(np.diff(group)) + 1])


def aggregate(bars: TapeBars, group: IntArray) -> TapeBars:
    """Return one bar for each run of equal values in `group`, stamped by the first bar of the run.

    Args:
        bars: T bars in rising time.
        group: int64[T], rising.
    """
    if len(bars) == 0:
        return bars
    if group[0] == group[-1]:
        return _one_bar(bars)
    first = group_starts(group)
    traded = bars.volume > 0
    has_trade = np.logical_or.reduceat(traded, first)
    # Runs without a trade keep all their (flat) rows; the others keep the rows with volume.
    kept, begin = bars, first
    if not traded.all():
        keep = traded | ~np.repeat(has_trade, np.diff(np.append(first, len(group))))
        kept = rows(bars, keep)
        begin = group_starts(group[keep])
    last = np.append(begin[1:], len(kept)) - 1
    volume = np.add.reduceat(kept.volume, begin)
    turnover = np.add.reduceat(kept.volume * kept.wap, begin)
    close = kept.close[last]
    return TapeBars(
        start_ns=bars.start_ns[first],
        open=kept.open[begin],
        high=np.maximum.reduceat(kept.high, begin),
        low=np.minimum.reduceat(kept.low, begin),
        close=close,
        volume=volume,
        wap=np.where(volume > 0, turnover / np.where(volume > 0, volume, 1.0), close),
        count=np.add.reduceat(kept.count, begin),
    )


def _one_bar(bars: TapeBars) -> TapeBars:
    """Return all bars as one: what `aggregate` does, for the bar that is running."""
    traded = bars.volume > 0
    kept = bars if traded.all() or not traded.any() else rows(bars, traded)
    close = kept.close[-1:]
    volume = np.add.reduce(kept.volume, keepdims=True)
    # Summed in the order of a group among others, so that a bar is the same to the last bit wherever it is made.
    turnover = np.add.reduceat(kept.volume * kept.wap, [0])
    return TapeBars(
        start_ns=bars.start_ns[:1],
        open=kept.open[:1],
        high=np.maximum.reduce(kept.high, keepdims=True),
        low=np.minimum.reduce(kept.low, keepdims=True),
        close=close,
        volume=volume,
        wap=turnover / volume if volume[0] > 0 else close,
        count=np.add.reduce(kept.count, keepdims=True),
    )
