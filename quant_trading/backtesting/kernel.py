"""The two accountings of a backtest, as numeric loops with one source for two speeds.

`run_shares` and `run_weights` are plain Python over flat float64 sequences, row after row
(cell t * n_symbols + j). Below `COMPILE_FROM_CELLS` cells they run as they stand, on lists;
above, numba compiles the very same functions. No fast-math flag is set, so both ways give
the same bits, and a small command never pays for the import of numba.

Both walk the bars once. On bar t, in this order:

1. orders decided on bar t-1 are filled (next_open at the open of t, next_close at its close);
2. positions are marked at the close; a symbol without a close keeps its last price;
3. the target of row t is turned into orders; a symbol without a close gets none, it keeps what it has;
4. same_close fills them at that very close; so does `close_last` with all positions on the last bar.

An order whose fill price is missing is dropped and counted, never kept for later. Orders
decided on the last bar with a next_* convention have no bar to fill on and are not counted.
Cash pays for costs and may go below zero by them. An account whose equity is 0 or less
opens nothing any more.

`run_weights` is the textbook account: weights do not drift between bars. With r(t) = close(t) / close(t-1) - 1:

    same_close  net(t) = sum w(t-1) r(t) - cost_rate x sum abs(w(t) - w(t-1))
    next_close  the same with w(t-1) in place of w(t), w(t-2) in place of w(t-1)
    next_open   net(t) = (1 + sum w(t-2) (open(t) / close(t-1) - 1)) (1 + sum w(t-1) (close(t) / open(t) - 1)) - 1
                         - cost_rate x sum abs(w(t-1) - w(t-2))

and equity(t) = equity(t-1) (1 + net(t)) - commission x orders. With next_open the night belongs to the
old weights and the day to the new ones.
"""

from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from quant_trading.domain.bars import FloatArray

__all__ = ["COMPILE_FROM_CELLS", "Ledger", "Terms", "account_shares", "account_weights", "run_shares", "run_weights"]

NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE = 0, 1, 2

# Importing numba and loading the cached machine code takes about half a second, which is what
# the interpreted loops need for this many cells (bars x symbols).
COMPILE_FROM_CELLS = 500_000

_Numbers = Sequence[float]
_Out = MutableSequence[float]


@dataclass(frozen=True, slots=True)
class Terms:
    """How orders are filled and what they cost.

    Attributes:
        fill: NEXT_OPEN, SAME_CLOSE or NEXT_CLOSE.
        initial_capital: equity before the first bar, in money.
        cost_rate: share of the traded value, 0.0005 = 5 bps.
        commission: money per order.
        whole_shares: round wished quantities half to even; `run_weights` does not use it.
        close_last: sell everything at the close of the last bar.
    """

    fill: int
    initial_capital: float
    cost_rate: float
    commission: float
    whole_shares: bool
    close_last: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the account did, one row per bar.

    Attributes:
        equity, cash: float64[T], money after the bar.
        gross_pnl, cost: float64[T], money on the bar; equity[t] - equity[t-1] = gross_pnl - cost.
        turnover: float64[T], traded value over the equity after the bar before.
        gross_exposure, net_exposure: float64[T], sum of abs(value) and of value, over equity.
        trades: float64[T], orders filled on the bar.
        holdings: float64[T, N], shares held after the bar, or weights with `run_weights`.
        dropped_orders: orders that met no price.
    """

    equity: FloatArray
    cash: FloatArray
    gross_pnl: FloatArray
    cost: FloatArray
    turnover: FloatArray
    gross_exposure: FloatArray
    net_exposure: FloatArray
    trades: FloatArray
    holdings: FloatArray
    dropped_orders: int


def run_shares(
    n_bars: int, n_symbols: int, fill: int, initial_capital: float, cost_rate: float, commission: float,
    whole_shares: bool, close_last: bool, open_price: _Numbers, close: _Numbers, target: _Numbers,
    quantity: _Out, mark: _Out, order: _Out, rows: _Out, holdings: _Out,
) -> int:  # fmt: skip
    """Fill `rows` (8 per bar, the order of `Ledger`) and `holdings`; return the dropped orders.

    Equity is cash + q[0] mark[0] + q[1] mark[1] + ..., added from the left. The wished quantity is
    equity x weight, then divided by the close, then rounded half to even. A fill takes quantity x price
    from cash, then its cost, cost_rate x abs(quantity x price) + commission. The desk does the same in Decimal.

    Args:
        open_price, close, target: float64[T x N]; quantity, mark, order: float64[N] of zeros.
    """
    cash = initial_capital
    before = initial_capital
    dropped = 0
    for t in range(n_bars):
        row = t * n_symbols
        last = close_last and t == n_bars - 1
        cost = traded = count = equity = gross = net = 0.0
        for phase in range(2):
            if phase == 1:
                equity = cash
                for j in range(n_symbols):
                    if close[row + j] == close[row + j]:
                        mark[j] = close[row + j]
                    equity += quantity[j] * mark[j]
                for j in range(n_symbols):
                    wished = quantity[j]
                    if last or (equity <= 0.0 and close[row + j] == close[row + j]):
                        wished = 0.0
                    elif close[row + j] == close[row + j]:
                        wished = equity * target[row + j] / close[row + j]
                        if whole_shares and abs(wished) < 9.0e15:  # beyond it every float is whole
                            wished = float(round(wished))
                    order[j] = wished - quantity[j]
            if (fill == 1 or last) if phase == 1 else (fill != 1):
                for j in range(n_symbols):
                    if order[j] != 0.0:
                        price = open_price[row + j] if phase == 0 and fill == 0 else close[row + j]
                        if price == price:
                            value = order[j] * price
                            charge = cost_rate * abs(value) + commission
                            quantity[j] += order[j]
                            cash -= value
                            cash -= charge
                            traded += abs(value)
                            cost += charge
                            count += 1.0
                        else:
                            dropped += 1
                        order[j] = 0.0
        equity = cash
        for j in range(n_symbols):
            value = quantity[j] * mark[j]
            equity += value
            net += value
            gross += abs(value)
            holdings[row + j] = quantity[j]
        rows[t * 8] = equity
        rows[t * 8 + 1] = cash
        rows[t * 8 + 2] = equity - before + cost
        rows[t * 8 + 3] = cost
        rows[t * 8 + 4] = traded / before if before > 0.0 else 0.0
        rows[t * 8 + 5] = gross / equity if equity > 0.0 else 0.0
        rows[t * 8 + 6] = net / equity if equity > 0.0 else 0.0
        rows[t * 8 + 7] = count
        before = equity
    return dropped


def run_weights(
    n_bars: int, n_symbols: int, fill: int, initial_capital: float, cost_rate: float, commission: float,
    whole_shares: bool, close_last: bool, open_price: _Numbers, close: _Numbers, target: _Numbers,
    held: _Out, mark: _Out, order: _Out, rows: _Out, holdings: _Out,
) -> int:  # fmt: skip
    """Fill `rows` (8 per bar, the order of `Ledger`) and `holdings` (weights); return the dropped orders.

    Args:
        open_price, close, target: float64[T x N]; held, mark, order: float64[N] of 0, NaN and NaN.
    """
    nan = float("nan")
    equity = initial_capital
    dropped = 0
    for t in range(n_bars):
        row = t * n_symbols
        last = close_last and t == n_bars - 1
        turnover = first = second = count = gross = net = 0.0
        for j in range(n_symbols):
            now = close[row + j]
            price = open_price[row + j] if fill == 0 else now
            if price == price:
                if mark[j] == mark[j]:
                    first += held[j] * (price / mark[j] - 1.0)
                mark[j] = price
            wished = order[j]
            if fill == 1:
                wished = nan if last or equity <= 0.0 or now != now else target[row + j]
            if wished == wished and wished != held[j]:
                if price == price:
                    turnover += abs(wished - held[j])
                    held[j] = wished
                    count += 1.0
                else:
                    dropped += 1
            order[j] = nan
            if now == now:
                if mark[j] == mark[j]:
                    second += held[j] * (now / mark[j] - 1.0)
                mark[j] = now
                order[j] = target[row + j]
            if last and held[j] != 0.0:
                if now == now:
                    turnover += abs(held[j])
                    held[j] = 0.0
                    count += 1.0
                else:
                    dropped += 1
        pnl = equity * (first + second + first * second)
        cost = equity * (cost_rate * turnover) + commission * count
        equity = equity + pnl - cost
        for j in range(n_symbols):
            if equity <= 0.0:
                held[j] = 0.0
                order[j] = nan
            net += held[j]
            gross += abs(held[j])
            holdings[row + j] = held[j]
        rows[t * 8] = equity
        rows[t * 8 + 1] = equity - equity * net
        rows[t * 8 + 2] = pnl
        rows[t * 8 + 3] = cost
        rows[t * 8 + 4] = turnover
        rows[t * 8 + 5] = gross
        rows[t * 8 + 6] = net
        rows[t * 8 + 7] = count
    return dropped


_Loop = Callable[..., int]


def account_shares(
    open_price: FloatArray, close: FloatArray, target: FloatArray, terms: Terms, compiled: bool | None = None
) -> Ledger:
    """Return the ledger of an account that holds shares, which drift with their prices.

    Args:
        open_price, close: float64[T, N], prices above 0, NaN where there is no bar.
        target: float64[T, N], share of equity wished after the close of each row, never NaN.
        compiled: None = by the amount of work.
    """
    return _account(run_shares, open_price, close, target, terms, 0.0, compiled)


def account_weights(
    open_price: FloatArray, close: FloatArray, target: FloatArray, terms: Terms, compiled: bool | None = None
) -> Ledger:
    """Return the ledger of the textbook account; arguments as for `account_shares`."""
    return _account(run_weights, open_price, close, target, terms, float("nan"), compiled)


def _account(
    loop: _Loop,
    open_price: FloatArray,
    close: FloatArray,
    target: FloatArray,
    terms: Terms,
    empty: float,
    compiled: bool | None,
) -> Ledger:
    n_bars, n_symbols = close.shape
    fixed = (n_bars, n_symbols, terms.fill, float(terms.initial_capital), float(terms.cost_rate),
             float(terms.commission), terms.whole_shares, terms.close_last)  # fmt: skip
    cells = n_bars * n_symbols
    prices = [np.ascontiguousarray(a, dtype=np.float64).reshape(-1).view() for a in (open_price, close, target)]
    for column in prices:
        column.flags.writeable = False  # one signature for numba, whether the caller's arrays are read-only or not
    scratch = [np.zeros(n_symbols), np.full(n_symbols, empty), np.full(n_symbols, empty)]
    rows, holdings = np.zeros(n_bars * 8), np.zeros(cells)
    if compiled if compiled is not None else cells >= COMPILE_FROM_CELLS:
        dropped = int(_compile(loop)(*fixed, *prices, *scratch, rows, holdings))
    else:
        # Lists, because an element of a numpy array costs ten times an element of a list.
        out = rows.tolist(), holdings.tolist()
        dropped = loop(*fixed, *(a.tolist() for a in prices), *(a.tolist() for a in scratch), *out)
        rows, holdings = np.array(out[0], dtype=np.float64), np.array(out[1], dtype=np.float64)
    equity, cash, gross_pnl, cost, turnover, gross, net, trades = rows.reshape(n_bars, 8).T.copy()
    held = holdings.reshape(n_bars, n_symbols)
    return Ledger(equity, cash, gross_pnl, cost, turnover, gross, net, trades, held, dropped)


@cache
def _compile(loop: _Loop) -> Any:
    """Return the machine code of `loop`, kept on disk where the place can be written."""
    import numba

    try:
        return numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # numba found no folder it may write its cache to
        return numba.njit(nogil=True)(loop)
