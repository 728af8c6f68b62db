"""From fills to trades: closed lots against the average entry price."""

from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.backtesting.kernel import Fills, Reason
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["Splits", "Trades", "close_lots", "trades_of"]

PAYOUT = int(Reason.SPLIT)
_Numbers = Sequence[float]
_Whole = Sequence[int]
_Out = MutableSequence[float]
_OutWhole = MutableSequence[int]


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of a run in the order they happened: int64[E] rows and columns, float64[E] new shares for one old."""

    bar: IntArray
    symbol: IntArray
    ratio: FloatArray


@dataclass(frozen=True)
class Trades:
    """Closed lots in the order they were closed; K entries each.

    Attributes:
        symbol, entry_bar, exit_bar: int64[K], columns and rows; the entry is that of the position's first share.
        quantity: float64[K], shares closed, negative for a short.
        entry_price, exit_price: float64[K], money; the entry is the average.
        gross_pnl, cost: float64[K], money: quantity x (exit - entry), and the lot's part of the costs of both ends.
        reason: int8[K], the `Reason` of the fill that closed it.
    """

    symbol: IntArray
    entry_bar: IntArray
    exit_bar: IntArray
    quantity: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    gross_pnl: FloatArray
    cost: FloatArray
    reason: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.symbol)

    @cached_property
    def pnl(self) -> FloatArray:
        """Return float64[K], money after costs."""
        return self.gross_pnl - self.cost

    @cached_property
    def returns(self) -> FloatArray:
        """Return float64[K], pnl over the value at entry."""
        return np.asarray(self.pnl / np.abs(self.quantity * self.entry_price), dtype=np.float64)

    @cached_property
    def bars_held(self) -> IntArray:
        """Return int64[K], bars from entry to exit."""
        return self.exit_bar - self.entry_bar


def close_lots(
    bar: _Whole, symbol: _Whole, quantity: _Numbers, price: _Numbers, cost: _Numbers, reason: _Whole,
    split_bar: _Whole, split_symbol: _Whole, split_ratio: _Numbers,
    held: _Out, average: _Out, paid: _Out, opened: _OutWhole, places: _OutWhole, money: _Out, why: _OutWhole,
) -> int:  # fmt: skip
    """Fill `places`, `money` and `why` with the trades; return how many there are.

    Args:
        bar, symbol, quantity, price, cost, reason: the fills.
        split_bar, split_symbol, split_ratio: the splits, by bar.
        held, average, paid: float64[N] of zeros, opened: int64[N]: the open lot of each symbol and what its entry cost.
        places, money: columns one after the other, each as long as there are fills: symbol, entry and exit bar;
            quantity, entry and exit price, gross P&L, cost. why: the reasons of the closing fills.
    """
    count = 0
    at = 0
    size = len(why)
    for i in range(len(bar)):
        while at < len(split_bar) and split_bar[at] <= bar[i]:
            k = split_symbol[at]
            # Of two splits of one symbol on one bar the fraction of the first is paid before the second turns the rest;
            # the fractions of a bar are paid symbol after symbol.
            is_later = k > symbol[i] or (k == symbol[i] and held[k] != float(int(held[k])))
            if split_bar[at] == bar[i] and reason[i] == PAYOUT and is_later:
                break
            held[split_symbol[at]] *= split_ratio[at]
            average[split_symbol[at]] /= split_ratio[at]
            at += 1
        j = symbol[i]
        change, lot = quantity[i], held[j]
        after = lot + change
        if abs(after) <= 1e-9 * abs(change):
            after = 0.0
        entry_cost = cost[i]
        if lot * change < 0.0:
            closed = lot if lot * after <= 0.0 else -change
            exit_cost = cost[i] * min(abs(closed / change), 1.0)
            part = paid[j] * (closed / lot)
            places[count] = j
            places[size + count] = opened[j]
            places[2 * size + count] = bar[i]
            money[count] = closed
            money[size + count] = average[j]
            money[2 * size + count] = price[i]
            money[3 * size + count] = closed * (price[i] - average[j])
            money[4 * size + count] = part + exit_cost
            why[count] = reason[i]
            count += 1
            paid[j] -= part
            entry_cost = cost[i] - exit_cost
        if lot * after <= 0.0:
            opened[j] = bar[i]
            average[j] = price[i]
            paid[j] = entry_cost if after != 0.0 else 0.0
        elif lot * change > 0.0:
            average[j] = (average[j] * lot + price[i] * change) / after
            paid[j] += cost[i]
        held[j] = after
    return count


def trades_of(fills: Fills, n_symbols: int, splits: Splits | None = None, compiled: bool | None = None) -> Trades:
    """Return the closed lots of `fills`.

    Args:
        n_symbols: columns there are.
        splits: of the run; None = none.
        compiled: None = by the amount of work.
    """
    nowhere = np.zeros(0, dtype=np.int64)
    events = (nowhere, nowhere, np.zeros(0)) if splits is None else (splits.bar, splits.symbol, splits.ratio)
    own = (fills.bar, fills.symbol, fills.quantity, fills.price, fills.cost, fills.reason)
    columns = [_read_only(column) for column in (*own, *events)]
    count = len(fills)
    places, money = np.empty((3, count), dtype=np.int64), np.empty((5, count))
    why, opened = np.empty(count, dtype=np.int8), np.zeros(n_symbols, dtype=np.int64)
    state = (*np.zeros((3, n_symbols)), opened)
    out: tuple[npt.NDArray[Any], ...] = (places.reshape(-1), money.reshape(-1), why)
    loop: Callable[..., int] = close_lots
    if is_worth_compiling(count) if compiled is None else compiled:
        loop = compile_functions((close_lots,), counts_references=False)
        closed = loop(*columns, *state, *out)
    else:
        lists = [column.tolist() for column in (*columns, *state, *out)]
        closed = loop(*lists)
        for column, values in zip(out, lists[-3:], strict=True):
            column[:] = values
    symbol, entry_bar, exit_bar = places[:, :closed]
    quantity, entry_price, exit_price, gross, cost = money[:, :closed]
    return Trades(symbol, entry_bar, exit_bar, quantity, entry_price, exit_price, gross, cost, why[:closed])


def _read_only(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the column as numba knows it, whatever the caller's is."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view
