"""The account of docs/backtest-engine.md once more, for plain settings and sides in one byte.

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
from quant_trading.backtesting.loop_types import (
    AT_CLOSE,
    AT_OPEN,
    BY_WEIGHT,
    CLOSE_LAST,
    COMMISSION,
    COST_RATE,
    FILL,
    LEAVE,
    MARGIN,
    MARGIN_LEVERAGE,
    NEXT_OPEN,
    NO_MARGIN,
    ROUNDING,
    SAME_CLOSE,
    SIZE_AT_FILL,
    SLIPPAGE_MONEY,
    SLIPPAGE_RATE,
    TWO_ORDERS,
    Rules,
)
from quant_trading.backtesting.order_fills import floored, rounded, toward_zero
from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.indicators.sides import SideArray

__all__ = ["LaneLedger", "covers", "run"]

# Cells of `book`. HELD counts the bars that end with a position, GROSS and NET add up exposure over equity.
_CASH, _TRADED, _TURNOVER, _SLIPPAGE, _FILLS, _DROPPED, _CUT, _HELD, _GROSS, _NET, _BOOK_SIZE = range(11)

_Numbers = Sequence[float]
_Out = MutableSequence[float]


def covers(rules: Rules, n_symbols: int) -> bool:
    """Return True when `run` knows all of `rules`: whatever else there is must be off.

    A part of the equity and a limit of cash are known for a single symbol. The caller looks after what is no rule: no
    commission plan, no regulatory fees, no corporate actions, no delisting.
    """
    return (
        rules.on_change == 1
        and (
            (rules.margin == NO_MARGIN and not rules.by_weight) or (n_symbols == 1 and rules.margin != MARGIN_LEVERAGE)
        )
        and not any((rules.max_volume, rules.borrow_rate, rules.stop_loss, rules.take_profit, rules.trailing_stop))
        and rules.time_exit_bars == 0
    )


def run(
    open_price: FloatArray,
    close: FloatArray,
    sides: SideArray,
    size: float,
    rules: Rules,
    compiled: bool | None = None,
) -> Account | None:
    """Return what an account does that holds `size` of every symbol on its side; None when it is ruined.

    An equity of 0 or less closes everything in the kernel, which must do such a run from the start.

    Args:
        open_price, close: float64[T, N], NaN where there is no bar.
        sides: int8[T, N], 1, 0, -1 or HOLD, decided after the close of each row.
        size: shares per symbol, or with `rules.by_weight` the part of the equity, above 0.
        rules: as `covers` has them.
        compiled: None = by the amount of work.
    """
    n_bars, n_symbols = close.shape
    flat = [_read_only(column) for column in (open_price, close, sides)]
    fast = is_worth_compiling(close.size) if compiled is None else compiled
    turns = _turns(flat[1], flat[2], n_symbols, fast)
    room = (min(len(turns), close.size) + n_symbols) * (1 + rules.two_orders)
    book = np.zeros(_BOOK_SIZE)
    equity, reason = np.empty(n_bars), np.empty(room, dtype=np.int8)
    bar, symbol = np.empty((2, room), dtype=np.int64)
    quantity, price, cost = np.empty((3, room))
    walk: Callable[..., bool] = run_series if n_symbols == 1 else run_rows
    if fast:
        walk = compile_functions((*_FUNCTIONS, walk), counts_references=False, reordered=(worth, gross_worth))
    marks = flat[1]
    for _ in range(2):
        book[:] = 0.0
        book[_CASH] = rules.initial_capital
        unit = size if rules.by_weight else rounded(float(size), rules.rounding)
        given = (*flat, marks, turns, np.array(rules, dtype=np.float64))
        changing = (
            np.zeros((3, n_symbols)), np.zeros(n_symbols, dtype=np.int64), equity, book, bar, symbol, reason,
            quantity, price, cost,
        )  # fmt: skip
        if fast:
            is_solvent = walk(n_bars, n_symbols, unit, *given, *changing)
        else:
            is_solvent = _as_it_stands(walk, (n_bars, n_symbols, unit), given, changing)
        if is_solvent or n_symbols > 1 or not (missing := np.isnan(marks)).any():
            break
        # The equity of a series is cash + position x mark, bars that are missing included.
        marks = _read_only(_filled(marks, missing))
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
    t: int, j: int, held: float, goal: float, base: float, reason: int, before: float, terms: _Numbers, book: _Out,
    bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out, price: _Out,
    cost: _Out,
) -> float:  # fmt: skip
    """Fill the move from `held` to `goal` at `base`; return what is held then.

    Args:
        before: the equity a bar earlier.
        terms: the numbers of `Rules`.
    """
    wished = goal - held
    if wished == 0.0:
        return held
    paid = slip(base, 1.0 if wished > 0.0 else -1.0, terms[SLIPPAGE_RATE], terms[SLIPPAGE_MONEY])
    delta = wished
    if terms[MARGIN] != NO_MARGIN:
        delta = cash_cut(held, wished, paid, book[_CASH], terms)
        if delta != wished:
            book[_CUT] += 1.0
            if delta == 0.0:
                return held
    value = delta * paid
    charge = terms[COST_RATE] * abs(value) + terms[COMMISSION]
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
    return goal if delta == wished else held + delta


def cash_cut(held: float, delta: float, price: float, cash: float, terms: _Numbers) -> float:
    """Return what of an order the cash pays for, and of a sale what there is to sell."""
    if delta < 0.0:
        most = max(held, 0.0)
        return delta if -delta <= most else -most
    most = max(cash - terms[COMMISSION], 0.0) / (price * (1.0 + terms[COST_RATE]))
    most = floored(most, terms[ROUNDING])
    return delta if delta <= most else most


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
    n_bars: int, n_symbols: int, size: float, open_price: _Numbers, close: _Numbers, sides: Sequence[int],
    marks: _Numbers, turns: Sequence[int], terms: _Numbers, state: Sequence[_Out], pending: MutableSequence[int],
    equity: _Out, book: _Out, bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int],
    quantity: _Out, price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Go from turn to turn of a single symbol; return False when its account is ruined or a mark is NaN."""
    fill, close_last, two_orders = terms[FILL], terms[CLOSE_LAST], terms[TWO_ORDERS]
    by_weight, at_fill, rounding = terms[BY_WEIGHT], terms[SIZE_AT_FILL], terms[ROUNDING]
    capital, position = book[_CASH], 0.0
    side = done = 0  # the side last decided on; bars whose equity is written
    last = n_bars - 1
    decided = last if close_last == AT_CLOSE else n_bars
    filled = last if close_last == AT_OPEN or (close_last != LEAVE and fill == SAME_CLOSE) else n_bars
    for turn in range(len(turns)):
        t = turns[turn]
        x = close[t]
        if sides[t] == side or sides[t] == -128 or x != x or t >= decided:
            continue
        side = sides[t]
        goal = side * size
        if by_weight > 0.0 and at_fill == 0.0:
            goal = rounded((book[_CASH] + position * marks[t]) * goal / x, rounding)
        at = t if fill == SAME_CLOSE else t + 1
        # A part of the equity is no number of shares: it is one to leave alone only where both are nothing.
        if at >= filled or (goal == position and (at_fill == 0.0 or goal == 0.0)):
            continue
        base = open_price[at] if fill == NEXT_OPEN else close[at]
        if base != base:
            book[_DROPPED] += 1.0
            continue
        if not hold(done, at, position, marks, equity, book):
            return False
        done = at
        if not book[_CASH] + position * marks[at] > 0.0:
            return False
        before = equity[at - 1] if at > 0 else capital
        weight = goal
        if at_fill > 0.0:
            goal = rounded((book[_CASH] + position * base) * weight / base, rounding)
        if two_orders > 0.0 and position * goal < 0.0:
            position = order(at, 0, position, 0.0, base, 0, before, terms, book, bar, symbol, why, quantity, price,
                             cost)  # fmt: skip
            if at_fill > 0.0:
                goal = rounded((book[_CASH] + position * base) * weight / base, rounding)
        position = order(at, 0, position, goal, base, 0, before, terms, book, bar, symbol, why, quantity, price,
                         cost)  # fmt: skip
    if close_last != LEAVE and position != 0.0:
        base = open_price[last] if close_last == AT_OPEN else close[last]
        if base == base:
            if not hold(done, last, position, marks, equity, book):
                return False
            done = last
            if not book[_CASH] + position * marks[last] > 0.0:
                return False
            before = equity[last - 1] if last > 0 else capital
            position = order(last, 0, position, 0.0, base, 5, before, terms, book, bar, symbol, why, quantity, price,
                             cost)  # fmt: skip
        else:
            book[_DROPPED] += 1.0
    return hold(done, n_bars, position, marks, equity, book)


def run_rows(
    n_bars: int, n_symbols: int, size: float, open_price: _Numbers, close: _Numbers, sides: Sequence[int],
    marks: _Numbers, turns: Sequence[int], terms: _Numbers, state: Sequence[_Out], pending: MutableSequence[int],
    equity: _Out, book: _Out, bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int],
    quantity: _Out, price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Walk the bars of a panel, row after row; return False when the account is ruined."""
    fill, two_orders = terms[FILL], terms[TWO_ORDERS]
    held, mark, side = state[0], state[1], state[2]
    turn = waiting = 0
    before = book[_CASH]
    for t in range(n_bars):
        row = t * n_symbols
        now = close[row : row + n_symbols]  # a row by itself: numba makes vectors of loops that begin at 0
        ends = terms[CLOSE_LAST] if t == n_bars - 1 else LEAVE
        if ends == AT_OPEN:
            waiting = 0
        for stage in range(2):
            # 0: at the open, or what was decided a bar earlier; 1: what is filled at the close it was decided on.
            has_traded = False
            if ends == (AT_OPEN if stage == 0 else AT_CLOSE):
                has_traded = True
                for j in range(n_symbols):
                    base = open_price[row + j] if stage == 0 else now[j]
                    if held[j] != 0.0 and base == base:
                        held[j] = order(t, j, held[j], 0.0, base, 5, before, terms, book, bar, symbol, why, quantity,
                                        price, cost)  # fmt: skip
                    elif held[j] != 0.0:
                        book[_DROPPED] += 1.0
            elif waiting > 0 and (fill == SAME_CLOSE) == (stage == 1) and ends != AT_OPEN:
                has_traded = True
                for k in range(waiting):
                    j = pending[k]
                    base = open_price[row + j] if fill == NEXT_OPEN else now[j]
                    if base == base:
                        goal = side[j] * size
                        if two_orders > 0.0 and held[j] * goal < 0.0:
                            held[j] = order(t, j, held[j], 0.0, base, 0, before, terms, book, bar, symbol, why,
                                            quantity, price, cost)  # fmt: skip
                        held[j] = order(t, j, held[j], goal, base, 0, before, terms, book, bar, symbol, why, quantity,
                                        price, cost)  # fmt: skip
                    else:
                        book[_DROPPED] += 1.0
                waiting = 0
            if stage == 0 or has_traded:
                for j in range(n_symbols):
                    x = now[j]
                    mark[j] = x if x == x else mark[j]
                net = worth(held, mark)
                value = book[_CASH] + net
            if not value > 0.0:
                return False
            if stage == 0:
                while turn < len(turns) and turns[turn] < row + n_symbols:
                    j = turns[turn] - row
                    said = sides[row + j]
                    if said != side[j] and said != -128 and now[j] == now[j] and ends != AT_CLOSE:
                        side[j] = said
                        if said * size != held[j]:
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


# What is compiled, each after those it calls; the walk comes last.
_FUNCTIONS = (slip, worth, gross_worth, rounded, toward_zero, floored, cash_cut, order, hold)


class LaneLedger(Ledger):
    """A ledger of a plain run: equity and fills are there, the rest is made when it is asked for."""

    def __init__(self, equity: FloatArray, fills: Fills, close: FloatArray, capital: float, book: FloatArray) -> None:
        # The fields of the frozen class, as far as they are known; the others are properties below.
        bars = max(len(equity), 1)
        held = (book[_HELD : _NET + 1] / bars).tolist()
        self.__dict__.update(
            equity=equity, dropped_orders=int(book[_DROPPED]), cut_orders=int(book[_CUT]),
            total_turnover=float(book[_TURNOVER]), mean_exposure=tuple(held), _fills=fills, _close=close,
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
        # What closing fractions leaves of a sum of many fills is rounding.
        dust = 1e-9 * np.abs(change).max(axis=0, initial=0.0)
        held = np.cumsum(change, axis=0, out=change)
        held[np.abs(held) <= dust] = 0.0
        return held

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
