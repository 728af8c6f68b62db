"""The account of docs/backtest-engine.md once more, for plain settings: fixed shares, sides in one byte.

Where nothing but a change of side makes an order, and nothing cuts, stops, lends or expires, a run is a list of
turns and a sum over positions. `run` gives the fills of `kernel.simulate` to the last bit and its equity to 1e-9;
every other figure of the ledger is made when somebody asks for it.
"""

from collections.abc import MutableSequence, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.backtesting.kernel import Account, Fills, Ledger
from quant_trading.backtesting.loop_types import NO_MARGIN, Rules
from quant_trading.backtesting.order_fills import rounded
from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.sides import SideArray

__all__ = ["LaneLedger", "covers", "run"]

_CASH, _TRADED, _SLIPPAGE, _FILLS, _DROPPED = range(5)  # cells of `book`

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
    turns = int(np.count_nonzero(sides[1:] != sides[:-1])) + 2 * n_symbols
    size = turns * (1 + rules.two_orders)
    book = np.zeros(5)
    book[_CASH] = rules.initial_capital
    log = (np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64),
           np.empty(size), np.empty(size), np.empty(size))  # fmt: skip
    columns = [np.ascontiguousarray(column).reshape(-1).view() for column in (open_price, close, sides)]
    state = np.zeros((4, n_symbols))
    pending = np.zeros(n_symbols, dtype=np.int64)
    equity = np.empty(n_bars)
    loop = run_series if n_symbols == 1 else run_rows
    if is_worth_compiling(close.size) if compiled is None else compiled:
        for column in columns:
            column.flags.writeable = False
        walk = compile_functions((slip, total, order, loop), counts_references=False)
        is_solvent = walk(*fixed, *columns, *state, pending, equity, book, *log)
    else:
        lists: list[Any] = [a.tolist() for a in (*state, pending, equity, book, *log)]
        is_solvent = loop(*fixed, *(column.tolist() for column in columns), *lists)
        equity, book = np.array(lists[5]), np.array(lists[6])
        log = tuple(np.array(column, dtype=a.dtype) for column, a in zip(lists[7:], log, strict=True))  # type: ignore[assignment]
    if not is_solvent:
        return None
    bar, symbol, reason, quantity, price, cost = (column[: int(book[_FILLS])] for column in log)
    fills = Fills(bar, symbol, quantity, price, cost, reason.astype(np.int8))
    ledger = LaneLedger(equity, fills, close, float(rules.initial_capital), int(book[_DROPPED]))
    none = np.zeros(n_symbols)
    return Account(
        ledger, fills, float(book[_TRADED]), 0.0, 0.0, float(book[_SLIPPAGE]), 0.0, 0.0, none, none
    )  # fmt: skip


def slip(base: float, side: float, rate: float, money: float) -> float:
    """Return the price a fill gets; side 1 buys, -1 sells."""
    price = base * (1.0 + side * rate) + side * money
    return price if price > 0.0 else base


def total(values: _Numbers) -> float:
    """Return the sum, four additions at a time: each waits only for the fourth before it."""
    first = second = third = fourth = 0.0
    whole = len(values) - len(values) % 4
    for j in range(0, whole, 4):
        first += values[j]
        second += values[j + 1]
        third += values[j + 2]
        fourth += values[j + 3]
    for j in range(whole, len(values)):
        first += values[j]
    return (first + second) + (third + fourth)


def order(
    t: int, j: int, held: float, goal: float, base: float, reason: int, cost_rate: float, commission: float,
    two_orders: int, slippage_rate: float, slippage_money: float, book: _Out, bar: MutableSequence[int],
    symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out, price: _Out, cost: _Out,
) -> None:  # fmt: skip
    """Fill the move from `held` to `goal` at `base`, as one order or as two."""
    parts = 2 if two_orders == 1 and held * goal < 0.0 else 1
    for part in range(parts):
        delta = goal - held
        if parts == 2:
            delta = -held if part == 0 else goal
        paid = slip(base, 1.0 if delta > 0.0 else -1.0, slippage_rate, slippage_money)
        value = delta * paid
        charge = cost_rate * abs(value) + commission
        book[0] -= value
        book[0] -= charge
        book[1] += abs(value)
        if paid != base:
            book[2] += delta * (paid - base)
        at = int(book[3])
        bar[at] = t
        symbol[at] = j
        why[at] = reason
        quantity[at] = delta
        price[at] = paid
        cost[at] = charge
        book[3] += 1.0


def run_series(
    n_bars: int, n_symbols: int, fill: int, shares: float, close_last: int, cost_rate: float, commission: float,
    two_orders: int, slippage_rate: float, slippage_money: float, open_price: _Numbers, close: _Numbers,
    sides: Sequence[int], held: _Out, mark: _Out, goal: _Out, last: _Out, pending: MutableSequence[int], equity: _Out,
    book: _Out, bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out,
    price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Walk the bars of a single symbol; return False when its account is ruined."""
    position = wish = now = 0.0
    cash = book[0]
    before = 0
    waits = False
    for t in range(n_bars):
        ends = close_last if t == n_bars - 1 else 0
        if waits and ends != 2 and fill != 1:
            base = open_price[t] if fill == 0 else close[t]
            if base == base:
                order(t, 0, position, wish, base, 0, cost_rate, commission, two_orders, slippage_rate, slippage_money,
                      book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                position, cash = wish, book[0]
            else:
                book[4] += 1.0
            waits = False
        if ends == 2 and position != 0.0:
            base = open_price[t]
            if base == base:
                order(t, 0, position, 0.0, base, 5, cost_rate, commission, two_orders, slippage_rate, slippage_money,
                      book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                position, cash = 0.0, book[0]
            else:
                book[4] += 1.0
        x = close[t]
        side = sides[t]
        if x == x:
            now = x
        value = cash + position * now
        if value <= 0.0:
            return False
        if side != before and side != -128 and x == x and ends != 1:
            before = side
            wish = side * shares
            waits = wish != position
            if waits and fill == 1 and ends == 0:
                order(t, 0, position, wish, x, 0, cost_rate, commission, two_orders, slippage_rate, slippage_money,
                      book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                position, cash, waits = wish, book[0], False
                value = cash + position * now
        if ends == 1 and position != 0.0:
            if x == x:
                order(t, 0, position, 0.0, x, 5, cost_rate, commission, two_orders, slippage_rate, slippage_money,
                      book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                position, cash = 0.0, book[0]
                value = cash
            else:
                book[4] += 1.0
        equity[t] = value
    return True


def run_rows(
    n_bars: int, n_symbols: int, fill: int, shares: float, close_last: int, cost_rate: float, commission: float,
    two_orders: int, slippage_rate: float, slippage_money: float, open_price: _Numbers, close: _Numbers,
    sides: Sequence[int], held: _Out, mark: _Out, goal: _Out, last: _Out, pending: MutableSequence[int], equity: _Out,
    book: _Out, bar: MutableSequence[int], symbol: MutableSequence[int], why: MutableSequence[int], quantity: _Out,
    price: _Out, cost: _Out,
) -> bool:  # fmt: skip
    """Walk the bars of a panel, row after row; return False when the account is ruined."""
    waiting = 0
    for t in range(n_bars):
        row = t * n_symbols
        # Rows by themselves: numba makes vectors of loops that begin at 0.
        now, opinions = close[row : row + n_symbols], sides[row : row + n_symbols]
        ends = close_last if t == n_bars - 1 else 0
        if ends == 2:
            waiting = 0
        for stage in range(3):
            # 0: what waits, or the end at the open; 1: mark and decide; 2: what is filled at this close.
            if stage == 1:
                for j in range(n_symbols):
                    x = now[j]
                    mark[j] = x if x == x else mark[j]
                    goal[j] = held[j] * mark[j]
                value = book[0] + total(goal)
                if value <= 0.0:
                    return False
                equity[t] = value
                if ends == 1:
                    continue
                for j in range(n_symbols):
                    side = opinions[j]
                    if side != last[j] and side != -128 and now[j] == now[j]:
                        last[j] = side
                        if side * shares != held[j]:
                            pending[waiting] = j
                            waiting += 1
                continue
            if ends == 1 + (stage == 0):
                for j in range(n_symbols):
                    if held[j] != 0.0:
                        base = open_price[row + j] if stage == 0 else now[j]
                        if base == base:
                            order(t, j, held[j], 0.0, base, 5, cost_rate, commission, two_orders, slippage_rate,
                                  slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                            held[j] = 0.0
                        else:
                            book[4] += 1.0
            elif (fill == 1) == (stage == 2) and waiting > 0 and not (ends == 2 and stage == 2):
                for k in range(waiting):
                    j = pending[k]
                    base = open_price[row + j] if fill == 0 else now[j]
                    if base == base:
                        wish = last[j] * shares
                        order(t, j, held[j], wish, base, 0, cost_rate, commission, two_orders, slippage_rate,
                              slippage_money, book, bar, symbol, why, quantity, price, cost)  # fmt: skip
                        held[j] = wish
                    else:
                        book[4] += 1.0
                waiting = 0
            else:
                continue
            if stage == 2:
                value = book[0]
                for j in range(n_symbols):
                    value += held[j] * mark[j]
                equity[t] = value
    return True


def sum_exposure(
    n_symbols: int, close: _Numbers, equity: _Numbers, bar: Sequence[int], symbol: Sequence[int],
    quantity: _Numbers, held: _Out, mark: _Out, value: _Out, sums: _Out,
) -> None:  # fmt: skip
    """Add up the bars that end with a position, and gross and net exposure over equity, bar by bar.

    Args:
        held, mark, value: float64[N] of zeros.
    """
    fill = holders = 0
    bars = gross_sum = net_sum = single = 0.0
    for t in range(len(equity)):
        while fill < len(bar) and bar[fill] == t:
            j = symbol[fill]
            holders -= 1 if held[j] != 0.0 else 0
            after = held[j] + quantity[fill]
            held[j] = 0.0 if abs(after) <= 1e-9 * abs(quantity[fill]) else after
            holders += 1 if held[j] != 0.0 else 0
            fill += 1
        if n_symbols == 1:
            x = close[t]
            single = x if x == x else single
            net = held[0] * single
            gross = abs(net)
        else:
            now = close[t * n_symbols : (t + 1) * n_symbols]
            for j in range(n_symbols):
                x = now[j]
                mark[j] = x if x == x else mark[j]
                value[j] = held[j] * mark[j]
            net = total(value)
            for j in range(n_symbols):
                value[j] = abs(value[j])
            gross = total(value)
        bars += 1.0 if holders > 0 else 0.0
        per_money = 1.0 / equity[t]
        gross_sum += gross * per_money
        net_sum += net * per_money
    sums[0], sums[1], sums[2] = bars, gross_sum, net_sum


class LaneLedger(Ledger):
    """A ledger of a plain run: equity and fills are there, the rest is made when it is asked for."""

    def __init__(self, equity: FloatArray, fills: Fills, close: FloatArray, capital: float, dropped: int) -> None:
        # The fields of the frozen class, as far as they are known; the others are properties below.
        self.__dict__.update(equity=equity, dropped_orders=dropped, cut_orders=0, _fills=fills, _close=close,
                             _capital=capital)  # fmt: skip

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
    def total_turnover(self) -> float:
        fills: Fills = self._of("_fills")
        before = self.equity[fills.bar - 1]
        before[fills.bar == 0] = self._of("_capital")
        return float(np.add.reduce(np.abs(fills.quantity * fills.price) / before))

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
    def mean_exposure(self) -> tuple[float, float, float]:
        """Return what `Ledger.mean_exposure` does, in one walk that keeps a row at a time."""
        fills: Fills = self._of("_fills")
        close: FloatArray = self._of("_close")
        columns: list[Any] = [
            c.reshape(-1).view() for c in (np.ascontiguousarray(close), self.equity, fills.bar, fills.symbol,
                                           np.ascontiguousarray(fills.quantity))
        ]  # fmt: skip
        sums, state = np.zeros(3), np.zeros((3, close.shape[1]))
        walk: Any = sum_exposure
        if is_worth_compiling(close.size):
            for column in columns:
                column.flags.writeable = False
            walk = compile_functions((total, sum_exposure), counts_references=False)
            walk(close.shape[1], *columns, *state, sums)
        else:
            out = [0.0, 0.0, 0.0]
            walk(close.shape[1], *(column.tolist() for column in columns), *state.tolist(), out)
            sums = np.array(out)
        held, gross, net = (float(value) / max(len(close), 1) for value in sums)
        return held, gross, net

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
