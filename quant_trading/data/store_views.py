"""Bars as they look after splits and dividends: computed when they are read, never written over the bars themselves.

TRADES is IBKR's view: split-adjusted, dividends left in. ADJUSTED_LAST takes dividends out as well, by the usual
multiplicative rule: what came before an ex-date is multiplied by 1 - dividend / close before.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np

from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarColumns, FloatArray, IntArray
from quant_trading.domain.errors import DataGap, UsageError
from quant_trading.refdata.sessions import exchange_days

__all__ = ["VIEWS", "adjusted", "factors", "split_between"]

VIEWS = ("TRADES", "ADJUSTED_LAST")
_EPOCH = date(1970, 1, 1)


def adjusted(
    bars: BarColumns, actions: Sequence[CorporateAction], view: str, known_to: date | None, as_of: date | None = None
) -> BarColumns:
    """Return bars of one symbol in a view.

    Args:
        bars: of one symbol, unadjusted for the splits after `known_to`, and for all dividends.
        actions: of this symbol.
        view: one of `VIEWS`.
        known_to: the day up to which the prices know of splits; None = as traded, each bar of its own day only.
        as_of: later actions are left out; None = none is.

    Raises:
        DataGap: when a dividend is no smaller than the price it came from.
        UsageError: when there is no such view.
    """
    price, volume = factors(exchange_days(bars.start_ns), bars.close, actions, view, known_to, as_of)
    return BarColumns(
        bars.start_ns, bars.end_ns, bars.open * price, bars.high * price, bars.low * price, bars.close * price,
        bars.volume * volume,
    )  # fmt: skip


def factors(
    days: IntArray,
    close: FloatArray,
    actions: Sequence[CorporateAction],
    view: str,
    known_to: date | None,
    as_of: date | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return what prices and volumes are to be multiplied with, float64[T] each.

    Args:
        days: int64[T], exchange dates as days since 1970-01-01, rising.
        close: float64[T], as stored.
        actions, view, known_to, as_of: as in `adjusted`.
    """
    if view not in VIEWS:
        raise UsageError(f"view {view!r} is none of {', '.join(VIEWS)}; write one of them")
    price, volume = np.ones(len(days)), np.ones(len(days))
    last = None if as_of is None else _day(as_of)
    told = [action for action in actions if last is None or _day(action.ex_date) <= last]
    splits = [(_day(action.ex_date), action.value) for action in told if action.kind == "split"]
    known = -(2**31) if known_to is None else _day(known_to)
    for day, value in splits:
        if day > known:
            rows = int(np.searchsorted(days, day))
            price[:rows] /= value
            volume[:rows] *= value
    if view == "ADJUSTED_LAST":
        for action in told:
            rows = int(np.searchsorted(days, _day(action.ex_date)))
            if action.kind == "dividend" and rows:
                unit = max(int(days[rows - 1]), known)
                price[:rows] *= _left(action, float(close[rows - 1]), unit, splits)
    return price, volume


def _left(action: CorporateAction, before: float, unit: int, splits: Sequence[tuple[int, float]]) -> float:
    """Return the share of the price that a dividend leaves.

    It is told per share of the ex-date, the close before per share of the day `unit`: a split between them counts.
    """
    ex_date, value = _day(action.ex_date), action.value
    for day, ratio in splits:
        if unit < day <= ex_date:
            value *= ratio
        elif ex_date < day <= unit:
            value /= ratio
    left = 1.0 - value / before
    if not left > 0.0:
        raise DataGap(
            f"{action.symbol}: the dividend of {action.value:g} on {action.ex_date} is no smaller than the close of "
            f"{before:g} before it; mend its line in the corporate actions"
        )
    return left


def split_between(old: FloatArray, new: FloatArray) -> float | None:
    """Return the ratio old / new when all closes differ by one and the same ratio, as after a split; else None."""
    if len(old) < 2:
        return None
    ratio = old / new
    middle = float(np.median(ratio))
    # Prices are served in cents: after a split of twenty for one a price of 1.00 is off by up to half a percent.
    if abs(middle - 1.0) < 0.1 or float(np.max(np.abs(ratio / middle - 1.0))) > 0.02:
        return None
    return middle


def _day(day: date) -> int:
    return (day - _EPOCH).days
