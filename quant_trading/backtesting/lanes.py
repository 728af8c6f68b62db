"""The account of docs/backtest-engine.md once more, for plain settings: fixed shares, sides in one byte.

Where nothing but a change of side makes an order, and nothing cuts, stops, lends or expires, a run is a list of
turns and a sum over positions. `run` gives the fills of `kernel.simulate` to the last bit and its equity to 1e-9;
every other figure of the ledger is made when somebody asks for it.
"""

from collections.abc import Callable, MutableSequence, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.backtesting.kernel import Account, Fills, Ledger
from quant_trading.backtesting.loop_types import NO_MARGIN, Rules
from quant_trading.backtesting.order_fills import rounded
from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.indicators.sides import SideArray

__all__ = ["LaneLedger", "covers", "run"]

# Cells of `book`. HELD counts the bars that end with a position, GROSS and NET add up exposure over equity.
_CASH, _TRADED, _TURNOVER, _SLIPPAGE, _FILLS, _DROPPED, _HELD, _GROSS, _NET, _BOOK_SIZE = range(10)

_Numbers = Sequence[float]
_Out = MutableSequence[float]


def covers(rules: Rules) -> bool:
    """Return True when `run` knows all of `rules`: whatever else there is must be off.

    The caller looks after what is no rule: no commission plan, no regulatory fees, no corporate actions, no delisting.
    """
    return (
        rules.by_weight == 0
        and rules.on_change == 1
        and rules.margin == NO_MARGIN
        and not any((rules.max_volume, rules.borrow_rate, rules.stop_loss, rules.take_profit, rules.trailing_stop))
        and rules.time_exit_bars == 0
    )


def run(
    open_price: FloatArray,
    close: FloatArray,
    sides: SideArray,
    shares: float,
    rules: Rules,
    compiled: bool | None = None,
) -> Account | None:
    """Return what an account does that holds `shares` of every symbol on its side; None when it is ruined.

    An equity of 0 or less closes everything in the kernel, which must do such a run from the start.

    Args:
        open_price, close: float64[T, N], NaN where there is no bar.
        sides: int8[T, N], 1, 0, -1 or HOLD, decided after the close of each row.
        shares: per symbol, above 0.
        rules: as `covers` has them.
        compiled: None = by the amount of work.
    """
    n_bars, n_symbols = close.shape
    wish = rounded(float(shares), rules.rounding)
    fixed = (n_bars, n_symbols, rules.fill, wish, rules.close_last, rules.cost_rate, rules.commission,
             rules.two_orders, rules.slippage_rate, rules.slippage_money)  # fmt: skip
    flat = [_read_only(column) for column in (open_price, close, sides)]
    fast = is_worth_compiling(close.size) if compiled is None else compiled
    turns = _turns(flat[1], flat[2], n_symbols, fast)
    size = (min(len(turns), close.size) + n_symbols) * (1 + rules.two_orders)
    book = np.zeros(_BOOK_SIZE)
    book[_CASH] = rules.initial_capital
    equity, reason = np.empty(n_bars), np.empty(size, dtype=np.int8)
    bar, symbol = np.empty((2, size), dtype=np.int64)
    quantity, price, cost = np.empty((3, size))
    walk: Callable[..., bool] = run_series if n_symbols == 1 else run_rows
    if fast:
        walk = compile_functions(
            (slip, worth, gross_worth, order, hold, walk), counts_references=False, reordered=(worth, gross_worth)
        )  # fmt: skip
    marks = flat[1]
    for _ in range(2):
        given = (*flat, marks, turns)
        changing = (
            np.zeros((3, n_symbols)),
            np.zeros(n_symbols, dtype=np.int64),
            equity,
            book,
            bar,
            symbol,
            reason,
            quantity,
            price,
            cost,
        )
        if fast:
            is_solvent = walk(*fixed, *given, *changing)
        else:
            is_solvent = _as_it_stands(walk, fixed, given, changing)
        if is_solvent or n_symbols > 1 or not (missing := np.isnan(marks)).any():
            break
        # The equity of a series is cash + position x mark, bars that are missing included.
        marks = _read_only(_filled(marks, missing))
        book[:] = 0.0
        book[_CASH] = rules.initial_capital
    if not is_solvent:
        return None
    done = int(book[_FILLS])
    fills = Fills(bar[:done], symbol[:done], quantity[:done], price[:done], cost[:done], reason[:done])
    ledger = LaneLedger(equity, fills, close, float(rules.initial_capital), book)
    none = np.zeros(n_symbols)
    return Account(
        ledger, fills, float(book[_TRADED]), 0.0, 0.0, float(book[_SLIPPAGE]), 0.0, 0.0, none, none
    )  # fmt: skip


def _turns(close: FloatArray, sides: SideArray, n_symbols: int, fast: bool) -> IntArray:
    """Return the cells to look at, rising: those whose side is not the one of the row above.

    A side that comes while a bar is missing counts from the next bar on: then every cell must be looked at.
    """
    count = int(np.count_nonzero(sides[:n_symbols])) + int(np.count_nonzero(sides[n_symbols:] != sides[:-n_symbols]))
    turns = np.empty(count + 1, dtype=np.int64)
    if fast:
        is_complete = compile_functions((find_turns,), counts_references=False)(n_symbols, close, sides, turns)
    else:
        cells: Any = memoryview(turns)  # type: ignore[arg-type]
        is_complete = find_turns(n_symbols, close.tolist(), sides.tolist(), cells)
    return turns[:count] if is_complete else np.arange(len(sides))


def _filled(marks: FloatArray, missing: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the last price known at each bar, 0 before the first."""
    rows = np.maximum.accumulate(np.where(missing, -1, np.arange(len(marks))))
    return np.where(rows < 0, 0.0, marks[rows])


def _as_it_stands(loop: Callable[..., bool], fixed: Any, given: Any, changing: Any) -> bool:
    """Run the loop uncompiled: what it reads as lists, the fastest to read, what it writes in place."""
    state, *arrays = changing
    return loop(*fixed, *(array.tolist() for array in given), [memoryview(row) for row in state],
                *(memoryview(array) for array in arrays))  # fmt: skip


def slip(base: float, side: float, rate: float, money: float) -> float:
    """Return the price a fill gets; side 1 buys, -1 sells."""
    price = base * (1.0 + side * rate) + side * money
    return price if price > 0.0 else base


def worth(held: _Numbers, mark: _Numbers) -> float:
    """Return what the positions are worth."""
    total = 0.0
    for j in range(len(held)):
        total += held[j] * mark[j]
    return total


def gross_worth(held: _Numbers, mark: _Numbers) -> float:
    """Return what the positions are worth without their signs."""
    total = 0.0
    for j in range(len(held)):
        total += abs(held[j] * mark[j])
    return total


def order(
    t: int, j: int, held: float, goal: float, base: float, reason: int, before: float, cost_rate: float,
    commission: float, two_orders: int, slippage_rate: float, slippage_money: float, book: _Out,
    bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out, price: _Out,
    cost: _Out,
) -> None:  # fmt: skip
    """Fill the move from `held` to `goal` at `base`, as one order or as two; `before` is the equity a bar earlier."""
    parts = 2 if two_orders == 1 and held * goal < 0.0 else 1
    for part in range(parts):
        delta = goal - held
        if parts == 2:
            delta = -held if part == 0 else goal
        paid = slip(base, 1.0 if delta > 0.0 else -1.0, slippage_rate, slippage_money)
        value = delta * paid
        charge = cost_rate * abs(value) + commission
        book[_CASH] -= value
        book[_CASH] -= charge
        book[_TRADED] += abs(value)
        book[_TURNOVER] += abs(value) / before
        if paid != base:
            book[_SLIPPAGE] += delta * (paid - base)
        at = int(book[_FILLS])
        bar[at] = t
        symbol[at] = j
        why[at] = reason
        quantity[at] = delta
        price[at] = paid
        cost[at] = charge
        book[_FILLS] += 1.0


def hold(first: int, end: int, position: float, marks: _Numbers, equity: _Out, book: _Out) -> bool:
    """Write the equity of a single position on bars first..end-1; return False where it is not above 0."""
    cash, net = book[_CASH], 0.0
    for t in range(first, end):
        own = position * marks[t]
        value = cash + own
        if not value > 0.0:
            return False
        equity[t] = value
        net += own / value
    if position != 0.0:
        book[_HELD] += end - first
        book[_NET] += net
        book[_GROSS] += abs(net)
    return True


def find_turns(n_symbols: int, close: _Numbers, sides: Sequence[int], turns: MutableSequence[int]) -> bool:
    """Fill `turns`, of just the right length but for one; return False where a bar is missing at one."""
    count = missing = 0
    for at in range(min(n_symbols, len(sides))):
        turns[count] = at
        count += 1 if sides[at] != 0 else 0
    above, own = sides, sides[n_symbols:]
    for k in range(len(own)):
        turns[count] = k + n_symbols
        count += 1 if own[k] != above[k] else 0
    for k in range(count):
        missing |= 0 if close[turns[k]] == close[turns[k]] else 1
    return missing == 0


def run_series(
    n_bars: int, n_symbols: int, fill: int, shares: float, close_last: int, cost_rate: float, commission: float,
    two_orders: int, slippage_rate: float, slippage_money: float, open_price: _Numbers, close: _Numbers,
    sides: Sequence[int], marks: _Numbers, turns: Sequence[int], state: Sequence[_Out],
    pending: MutableSequence[int], equity: _Out, book: _Out, bar: MutableSequence[int],
    symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out, price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Go from turn to turn of a single symbol; return False when its account is ruined or a mark is NaN."""
    position = 0.0
    capital = book[_CASH]
    side = done = 0  # the side last decided on; bars whose equity is written
    last = n_bars - 1
    decided = n_bars if close_last != 1 else last
    filled = n_bars if close_last != 2 else last
    if fill == 1 and close_last != 0:
        filled = last
    for turn in range(len(turns)):
        t = turns[turn]
        x = close[t]
        if sides[t] == side or sides[t] == -128 or x != x or t >= decided:
            continue
        side = sides[t]
        at = t if fill == 1 else t + 1
        if side * shares == position or at >= filled:
            continue
        base = open_price[at] if fill == 0 else close[at]
        if base != base:
            book[_DROPPED] += 1.0
            continue
        if not hold(done, at, position, marks, equity, book):
            return False
        done = at
        if not book[_CASH] + position * marks[at] > 0.0:
            return False
        order(at, 0, position, side * shares, base, 0, equity[at - 1] if at > 0 else capital, cost_rate, commission,
              two_orders, slippage_rate, slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
        position = side * shares
    if close_last != 0 and position != 0.0:
        base = open_price[last] if close_last == 2 else close[last]
        if base == base:
            if not hold(done, last, position, marks, equity, book):
                return False
            done = last
            if not book[_CASH] + position * marks[last] > 0.0:
                return False
            order(last, 0, position, 0.0, base, 5, equity[last - 1] if last > 0 else capital, cost_rate, commission,
                  two_orders, slippage_rate, slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
            position = 0.0
        else:
            book[_DROPPED] += 1.0
    return hold(done, n_bars, position, marks, equity, book)


def run_rows(
    n_bars: int, n_symbols: int, fill: int, shares: float, close_last: int, cost_rate: float, commission: float,
    two_orders: int, slippage_rate: float, slippage_money: float, open_price: _Numbers, close: _Numbers,
    sides: Sequence[int], marks: _Numbers, turns: Sequence[int], state: Sequence[_Out],
    pending: MutableSequence[int], equity: _Out, book: _Out, bar: MutableSequence[int],
    symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out, price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Walk the bars of a panel, row after row; return False when the account is ruined."""
    held, mark, side = state[0], state[1], state[2]
    turn = waiting = 0
    before = book[_CASH]
    for t in range(n_bars):
        row = t * n_symbols
        now = close[row : row + n_symbols]  # a row by itself: numba makes vectors of loops that begin at 0
        ends = close_last if t == n_bars - 1 else 0
        if ends == 2:
            waiting = 0
        for stage in range(2):
            # 0: at the open, or what was decided a bar earlier; 1: what is filled at the close it was decided on.
            has_traded = False
            if ends == 2 - stage:
                has_traded = True
                for j in range(n_symbols):
                    base = open_price[row + j] if stage == 0 else now[j]
                    if held[j] != 0.0 and base == base:
                        order(t, j, held[j], 0.0, base, 5, before, cost_rate, commission, two_orders, slippage_rate,
                              slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                        held[j] = 0.0
                    elif held[j] != 0.0:
                        book[_DROPPED] += 1.0
            elif waiting > 0 and (fill == 1) == (stage == 1) and ends != 2:
                has_traded = True
                for k in range(waiting):
                    j = pending[k]
                    base = open_price[row + j] if fill == 0 else now[j]
                    if base == base:
                        goal = side[j] * shares
                        order(t, j, held[j], goal, base, 0, before, cost_rate, commission, two_orders, slippage_rate,
                              slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                        held[j] = goal
                    else:
                        book[_DROPPED] += 1.0
                waiting = 0
            if stage == 0 or has_traded:
                for j in range(n_symbols):
                    x = now[j]
                    mark[j] = x if x == x else mark[j]
                net = worth(held, mark)
                value = book[_CASH] + net
            if stage == 0:
                if not value > 0.0:
                    return False
                while turn < len(turns) and turns[turn] < row + n_symbols:
                    j = turns[turn] - row
                    said = sides[row + j]
                    if said != side[j] and said != -128 and now[j] == now[j] and ends != 1:
                        side[j] = said
                        if said * shares != held[j]:
                            pending[waiting] = j
                            waiting += 1
                    turn += 1
        gross = gross_worth(held, mark)
        equity[t] = before = value
        per_money = 1.0 / value
        book[_HELD] += 1.0 if gross > 0.0 else 0.0
        book[_GROSS] += gross * per_money
        book[_NET] += net * per_money
    return True


class LaneLedger(Ledger):
    """A ledger of a plain run: equity and fills are there, the rest is made when it is asked for."""

    def __init__(self, equity: FloatArray, fills: Fills, close: FloatArray, capital: float, book: FloatArray) -> None:
        # The fields of the frozen class, as far as they are known; the others are properties below.
        bars = max(len(equity), 1)
        self.__dict__.update(
            equity=equity, dropped_orders=int(book[_DROPPED]), cut_orders=0, total_turnover=float(book[_TURNOVER]),
            mean_exposure=tuple((book[_HELD : _NET + 1] / bars).tolist()), _fills=fills, _close=close,
            _capital=capital,
        )  # fmt: skip

    @cached_property
    def _before(self) -> FloatArray:
        return np.concatenate(([self._of("_capital")], self.equity[:-1]))

    def _of(self, name: str) -> Any:
        return self.__dict__[name]

    def _by_bar(self, values: FloatArray) -> FloatArray:
        fills: Fills = self._of("_fills")
        return np.asarray(np.bincount(fills.bar, weights=values, minlength=len(self.equity)), dtype=np.float64)

    @cached_property
    def cost(self) -> FloatArray:
        return self._by_bar(self._of("_fills").cost)

    @cached_property
    def trades(self) -> FloatArray:
        return self._by_bar(np.ones(len(self._of("_fills"))))

    @cached_property
    def gross_pnl(self) -> FloatArray:
        return self.equity - self._before + self.cost

    @cached_property
    def cash(self) -> FloatArray:
        fills: Fills = self._of("_fills")
        spent = self._by_bar(fills.quantity * fills.price + fills.cost)
        return np.asarray(self._of("_capital") - np.cumsum(spent))

    @cached_property
    def turnover(self) -> FloatArray:
        fills: Fills = self._of("_fills")
        return self._by_bar(np.abs(fills.quantity * fills.price)) / self._before

    @cached_property
    def holdings(self) -> FloatArray:
        fills: Fills = self._of("_fills")
        change = np.zeros(self._of("_close").shape)
        np.add.at(change, (fills.bar, fills.symbol), fills.quantity)
        return np.cumsum(change, axis=0, out=change)

    @cached_property
    def gross_exposure(self) -> FloatArray:
        if self._of("_close").shape[1] == 1:
            return np.abs(self.net_exposure)
        return np.asarray(np.abs(self._values).sum(axis=1) / self.equity)

    @cached_property
    def net_exposure(self) -> FloatArray:
        value = self.equity - self.cash
        # Cash is a sum of many fills: what it leaves of an account that holds nothing is rounding.
        value[np.abs(value) < 1e-9 * self.equity] = 0.0
        return np.asarray(value / self.equity)

    @cached_property
    def dividends(self) -> FloatArray:
        return np.zeros(len(self.equity))

    @cached_property
    def borrow(self) -> FloatArray:
        return np.zeros(len(self.equity))

    @cached_property
    def _values(self) -> FloatArray:
        """Return float64[T, N]: what each position is worth at its mark."""
        close: FloatArray = self._of("_close")
        known = ~np.isnan(close)
        rows = np.maximum.accumulate(np.where(known, np.arange(len(close))[:, np.newaxis], 0), axis=0)
        marks = np.take_along_axis(close, rows, axis=0)
        return np.where(self.holdings != 0.0, self.holdings * np.nan_to_num(marks), 0.0)


def _read_only(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the cells in a row as numba knows them, whatever the caller's arrays are."""
    view = np.ascontiguousarray(column).reshape(-1).view()
    view.flags.writeable = False
    return view
