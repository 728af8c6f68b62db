"""What each symbol earned, bar by bar: the account's equity taken apart."""

from collections.abc import Sequence
from datetime import date

import numpy as np

from quant_trading.backtesting.kernel import Fills, Ledger
from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.refdata.sessions import exchange_days

__all__ = ["dividend_table", "last_known", "symbol_pnl"]

_EPOCH = date(1970, 1, 1).toordinal()


def symbol_pnl(ledger: Ledger, fills: Fills, close: FloatArray, dividends: FloatArray | None = None) -> FloatArray:
    """Return float64[T, N]: money earned since the start by each symbol, costs taken off.

    The sum over the symbols is the equity less the initial capital.

    Args:
        ledger: of an account of shares, with its holdings.
        fills: its fills.
        close: float64[T, N] of the same bars, NaN where there is no bar.
        dividends: float64[T, N], money received on each bar; None = none were paid.
    """
    mark = last_known(close)
    cash = np.zeros(close.shape)
    np.add.at(cash, (fills.bar, fills.symbol), -fills.quantity * fills.price - fills.cost)
    if dividends is not None:
        cash += dividends
    if np.any(ledger.borrow):
        cash -= _borrow_by_symbol(ledger, mark)
    return np.asarray(np.cumsum(cash, axis=0) + ledger.holdings * np.nan_to_num(mark), dtype=np.float64)


def last_known(close: FloatArray) -> FloatArray:
    """Return each symbol's last close, NaN before its first."""
    known = ~np.isnan(close)
    if known.all():
        return close
    rows = np.maximum.accumulate(np.where(known, np.arange(len(close))[:, np.newaxis], 0), axis=0)
    return np.take_along_axis(close, rows, axis=0)


def _borrow_by_symbol(ledger: Ledger, mark: FloatArray) -> FloatArray:
    """Return float64[T, N]: each bar's borrow fee by symbol.

    All shorts pay the same rate for the same days, so each pays in proportion to its value the night before.
    """
    before = np.zeros(mark.shape)
    before[1:] = np.maximum(-ledger.holdings[:-1] * np.nan_to_num(mark[:-1]), 0.0)
    total = before.sum(axis=1, keepdims=True)
    return np.where(total > 0.0, before / np.where(total > 0.0, total, 1.0), 0.0) * ledger.borrow[:, np.newaxis]


def dividend_table(ledger: Ledger, bars: BarPanel, actions: Sequence[CorporateAction]) -> FloatArray | None:
    """Return float64[T, N]: money each symbol's dividends brought on each bar; None when there were none.

    A dividend is paid on the first bar of its ex-date, or of the first session after it that the bars have, for the
    shares held before it, a split of the same day counted first.
    """
    if not np.any(ledger.dividends):
        return None
    days = exchange_days(bars.start_ns)
    column = {symbol: j for j, symbol in enumerate(bars.symbols)}
    table = np.zeros(bars.close.shape)
    ratio = np.ones(bars.close.shape)
    placed = []
    for action in actions:
        t = int(np.searchsorted(days, action.ex_date.toordinal() - _EPOCH))
        if 0 < t < len(bars) and action.symbol in column:
            placed.append((action, t, column[action.symbol]))
    for action, t, j in placed:
        if action.kind == "split":
            ratio[t, j] *= action.value
    for action, t, j in placed:
        if action.kind == "dividend":
            table[t, j] += ledger.holdings[t - 1, j] * ratio[t, j] * action.value
    return table
