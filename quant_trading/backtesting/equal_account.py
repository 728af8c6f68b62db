"""The textbook account of `kernel.run_weights` for equal weights: sides in one byte, a list of what is held.

Each row's active names share the gross exposure, or get the cap where that is less, so a row of wishes is one number
and a row of bytes: where no bar is missing, what a day turns over follows from counting bytes (`run_complete`).
Otherwise a list of names is kept (`run_equal_weights`); names that are neither held nor wished cost one look at a
byte. Nothing of the size of the panel is made. The figures are those of `kernel.account_weights` on the same weights,
sums added in another order (1e-9).
"""

from collections.abc import Callable, MutableSequence, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.backtesting.kernel import Ledger, Terms, account_weights
from quant_trading.domain.bars import FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.sides import SideArray, signal_of
from quant_trading.strategy.base import equal_weights

__all__ = ["EqualLedger", "account_equal_weights"]

_Numbers = Sequence[float]
_Out = MutableSequence[float]
_Places = MutableSequence[int]


def account_equal_weights(
    open_price: FloatArray,
    close: FloatArray,
    sides: SideArray,
    limits: Limits,
    terms: Terms,
    compiled: bool | None = None,
) -> Ledger:
    """Return the ledger of `equal_weights` of these sides, whose holdings are made when they are asked for.

    Args:
        open_price, close: float64[T, N], prices above 0, NaN where there is no bar.
        sides: int8[T, N], 1, 0, -1 or HOLD (no opinion, no position), decided after the close of each row.
        limits: gross exposure to share, and the most for one name.
        terms: as for `account_weights`.
        compiled: None = by the amount of work.
    """
    n_bars, n_symbols = close.shape
    fixed = (n_bars, n_symbols, terms.fill, float(terms.initial_capital), float(terms.cost_rate),
             float(terms.commission), terms.close_last, float(limits.max_gross_exposure),
             float(limits.max_position_pct))  # fmt: skip
    columns: list[Any] = [np.ascontiguousarray(column).reshape(-1).view() for column in (open_price, close, sides)]
    book, rows = np.zeros(7), np.empty((n_bars, 8))
    is_fast = is_worth_compiling(close.size) if compiled is None else compiled

    def holdings() -> FloatArray:
        return account_weights(open_price, close, equal_weights(signal_of(sides), limits), terms).holdings

    if is_fast:
        for column in columns:
            column.flags.writeable = False
        complete = compile_functions(_COMPLETE, counts_references=False, reordered=(gain,))
        if complete(*fixed, *columns, rows.reshape(-1)):
            return EqualLedger(rows, 0, holdings)
    else:
        as_it_stands: Callable[..., bool] = run_complete
        if as_it_stands(*fixed, *(column.tolist() for column in columns), memoryview(rows.reshape(-1))):  # type: ignore[arg-type]
            return EqualLedger(rows, 0, holdings)
    held, mark, names, wished = (
        np.zeros(n_symbols),
        np.zeros(n_symbols + 1),
        *np.zeros((2, n_symbols + 1), dtype=np.int32),
    )
    walk: Callable[..., None] = run_equal_weights
    if is_fast:
        walk = compile_functions(_FUNCTIONS, counts_references=False)
        walk(*fixed, *columns, held, mark, names, wished, book, rows.reshape(-1))
        dropped = int(book[6])
    else:
        lists = [a.tolist() for a in (*columns, held, mark, names, wished, book, rows.reshape(-1))]
        walk(*fixed, *lists)
        dropped = int(lists[-2][6])
        rows = np.array(lists[-1], dtype=np.float64).reshape(n_bars, 8)
    return EqualLedger(rows, dropped, holdings)


def gain(sides: Sequence[int], before: _Numbers, now: _Numbers) -> float:
    """Return the sum of side x return; NaN when a price is missing, whatever its side."""
    earned = 0.0
    for j in range(len(now)):
        side = sides[j] * (sides[j] & 1)  # 1 and -1 are odd, 0 and HOLD are even
        earned += side * (now[j] / before[j] - 1.0)
    return earned


def count_sides(sides: Sequence[int]) -> int:
    """Return how many are long or short."""
    count = 0
    for j in range(len(sides)):
        count += sides[j] & 1
    return count


def count_kept(sides: Sequence[int], before: Sequence[int]) -> int:
    """Return how many are long or short, and were so before on the same side."""
    count = 0
    for j in range(len(sides)):
        count += sides[j] & 1 if sides[j] == before[j] else 0
    return count


def count_both(sides: Sequence[int], before: Sequence[int]) -> int:
    """Return how many are long or short, and were long or short before."""
    count = 0
    for j in range(len(sides)):
        count += sides[j] & before[j] & 1
    return count


def sum_sides(sides: Sequence[int]) -> int:
    """Return how many more are long than short."""
    total = 0
    for j in range(len(sides)):
        total += sides[j] * (sides[j] & 1)
    return total


def run_complete(
    n_bars: int, n_symbols: int, fill: int, initial_capital: float, cost_rate: float, commission: float,
    close_last: bool, gross_limit: float, cap: float, open_price: _Numbers, close: _Numbers, sides: Sequence[int],
    rows: _Out,
) -> bool:  # fmt: skip
    """Fill `rows`, 8 per bar, the order of `Ledger`; return False where a bar is missing or the account is ruined.

    Args:
        open_price, close: float64[T x N]; sides: int8[T x N].
    """
    n = n_symbols
    equity = initial_capital
    held, size, count, net = -1, 0.0, 0, 0  # the row that is held, its weight, its names, longs less shorts
    if n_bars < 2:
        return False
    for t in range(n_bars):
        last = close_last and t == n_bars - 1
        row = t * n
        now, opened = close[row : row + n], open_price[row : row + n]
        first = second = 0.0
        if t > 0:
            # Before anything is held some row does for the sum, which tells whether a bar is missing.
            of = max(held, 0)
            first = size * gain(sides[of : of + n], close[row - n : row], opened if fill == 0 else now)
        decided = row if fill == 1 else row - n
        turnover, orders = 0.0, 0
        if decided >= 0 and not (fill == 1 and last):
            wished = sides[decided : decided + n]
            active = count_sides(wished)
            goal = min(gross_limit / max(active, 1), cap)
            kept = both = 0
            if held >= 0:
                kept = count_kept(wished, sides[held : held + n])
                both = count_both(wished, sides[held : held + n])
            moved = kept if goal != size else 0
            buys, sells = 1 if goal > 0.0 else 0, 1 if size > 0.0 else 0  # a limit of 0 leaves nothing to order
            orders = moved + (both - kept) * max(buys, sells) + (active - both) * buys + (count - both) * sells
            turnover = kept * abs(goal - size) + (both - kept) * (goal + size)
            turnover += (active - both) * goal + (count - both) * size
            held, size, count, net = decided, goal, active, sum_sides(wished)
        if fill == 0 and t > 0:
            second = size * gain(sides[held : held + n], opened, now)
        if last:
            turnover += count * size
            orders += count if size > 0.0 else 0
            count = net = 0
        pnl = equity * (first + second + first * second)
        cost = equity * (cost_rate * turnover) + commission * orders
        equity = equity + pnl - cost
        if not equity > 0.0:
            return False
        rows[t * 8] = equity
        rows[t * 8 + 1] = equity - equity * (net * size)
        rows[t * 8 + 2] = pnl
        rows[t * 8 + 3] = cost
        rows[t * 8 + 4] = turnover
        rows[t * 8 + 5] = count * size
        rows[t * 8 + 6] = net * size
        rows[t * 8 + 7] = orders
    return True


def find_active(n_symbols: int, sides: Sequence[int], active: _Places) -> int:
    """Put the symbols with a long or short side into `active`, int32[N + 1]; return how many there are."""
    count = 0
    for j in range(n_symbols):
        active[count] = j  # without a branch: the next one takes its place where this one has no side
        count += sides[j] & 1  # 1 and -1 are odd, 0 and HOLD are even
    return count


def sell(
    kept: int, selling: float, opinions: Sequence[int], known: _Numbers, prices: _Numbers, held: _Out, mark: _Out,
    names: _Places, book: _Out,
) -> int:  # fmt: skip
    """Take the prices as marks and sell what has no side any more; return how many names are left."""
    turnover = first = count = gross = net = 0.0
    at = 0
    for i in range(kept):
        j = names[i]
        weight, price = held[j], prices[j]
        sold = selling * (1 - (opinions[j] & 1))  # 1 and -1 are odd, 0 and HOLD are even
        if price == price:
            first += weight * (price / mark[j] - 1.0)
            mark[j] = price
            if known[j] == known[j]:
                count += sold
                turnover += abs(weight) * sold
                weight *= 1.0 - sold
                held[j] = weight
        elif sold > 0.0 and known[j] == known[j]:
            book[6] += 1.0
        net += weight
        gross += abs(weight)
        names[at] = j
        at += 1 if weight != 0.0 else 0
    book[0], book[1], book[2], book[3], book[4], book[5] = turnover, first, 0.0, count, gross, net
    return at


def buy(
    kept: int, active: int, size: float, opinions: Sequence[int], known: _Numbers, prices: _Numbers, held: _Out,
    mark: _Out, names: _Places, wished: _Places, book: _Out,
) -> int:  # fmt: skip
    """Bring the active names to `size`; return how many are held then."""
    turnover, count, gross, net = book[0], book[3], book[4], book[5]
    for i in range(active):
        j = wished[i]
        before, price = held[j], prices[j]
        goal = opinions[j] * size
        change = goal - before
        if known[j] == known[j]:
            if price == price:
                turnover += abs(change)
                count += change != 0.0
                names[kept] = j
                kept += 1 if before == 0.0 else 0
                held[j] = goal
                mark[j] = price
                net += change
                gross += abs(goal) - abs(before)
            elif change != 0.0:
                book[6] += 1.0
    book[0], book[3], book[4], book[5] = turnover, count, gross, net
    return kept


def finish(
    kept: int, last: bool, now: _Numbers, held: _Out, mark: _Out, names: _Places, book: _Out
) -> int:  # fmt: skip
    """Take the closes as marks, and sell everything on the `last` bar; return how many names are left."""
    turnover, count = book[0], book[3]
    second = gross = net = 0.0
    at = 0
    for i in range(kept):
        j = names[i]
        weight, price = held[j], now[j]
        if price == price:
            second += weight * (price / mark[j] - 1.0)
            mark[j] = price
            if last:
                turnover += abs(weight)
                count += 1.0
                held[j] = weight = 0.0
        elif last:
            book[6] += 1.0
        net += weight
        gross += abs(weight)
        names[at] = j
        at += 1 if weight != 0.0 else 0
    book[0], book[2], book[3], book[4], book[5] = turnover, second, count, gross, net
    return at


def run_equal_weights(
    n_bars: int, n_symbols: int, fill: int, initial_capital: float, cost_rate: float, commission: float,
    close_last: bool, gross_limit: float, cap: float, open_price: _Numbers, close: _Numbers, sides: Sequence[int],
    held: _Out, mark: _Out, names: _Places, wished: _Places, book: _Out, rows: _Out,
) -> None:  # fmt: skip
    """Fill `rows`, 8 per bar, the order of `Ledger`.

    What turns from day to day cannot be foreseen: sums and lists are kept without branches on it.

    Args:
        open_price, close: float64[T x N]; sides: int8[T x N].
        held: float64[N] of zeros, weights; mark: float64[N + 1] of zeros, the last price of what is held.
        names, wished: int32[N + 1], room for the symbols that are held and wished.
        book: float64[7] of zeros: turnover, return up to the fills and after them, orders, gross and net exposure of
            the bar, and the dropped orders of the run.
    """
    equity = initial_capital
    kept = 0
    for t in range(n_bars):
        last = close_last and t == n_bars - 1
        row = t * n_symbols
        # An order is decided by the side, and on the close, of the row before, or of this one.
        decided = row if fill == 1 else row - n_symbols
        decides = decided >= 0 and equity > 0.0 and not (fill == 1 and last)
        decided = max(decided, 0)
        opinions, known = sides[decided : decided + n_symbols], close[decided : decided + n_symbols]
        now = close[row : row + n_symbols]
        prices = open_price[row : row + n_symbols] if fill == 0 else now
        # The row is fetched in its order, a number of each line of the cache, before names are looked up about in it.
        fetched = 0.0
        for j in range(0, n_symbols, 8):
            fetched += prices[j]
        mark[n_symbols] = fetched
        active = find_active(n_symbols, opinions, wished) if decides else 0
        size = min(gross_limit / max(active, 1), cap)
        kept = sell(kept, 1.0 if decides else 0.0, opinions, known, prices, held, mark, names, book)
        kept = buy(kept, active, size, opinions, known, prices, held, mark, names, wished, book)
        if fill == 0 or last:
            kept = finish(kept, last, now, held, mark, names, book)
        pnl = equity * (book[1] + book[2] + book[1] * book[2])
        cost = equity * (cost_rate * book[0]) + commission * book[3]
        equity = equity + pnl - cost
        if equity <= 0.0:
            for i in range(kept):
                held[names[i]] = 0.0
            kept = 0
            book[4] = book[5] = 0.0
        rows[t * 8] = equity
        rows[t * 8 + 1] = equity - equity * book[5]
        rows[t * 8 + 2] = pnl
        rows[t * 8 + 3] = cost
        rows[t * 8 + 4] = book[0]
        rows[t * 8 + 5] = book[4]
        rows[t * 8 + 6] = book[5]
        rows[t * 8 + 7] = book[3]


# What is compiled, each after those it calls.
_COMPLETE = (gain, count_sides, count_kept, count_both, sum_sides, run_complete)
_FUNCTIONS = (find_active, sell, buy, finish, run_equal_weights)


class EqualLedger(Ledger):
    """A ledger whose holdings, float64[T, N], are made when they are asked for."""

    def __init__(self, rows: FloatArray, dropped: int, holdings: Callable[[], FloatArray]) -> None:
        equity, cash, gross_pnl, cost, turnover, gross, net, trades = rows.T.copy()
        nothing = np.zeros(len(rows))
        self.__dict__.update(
            equity=equity, cash=cash, gross_pnl=gross_pnl, cost=cost, turnover=turnover, gross_exposure=gross,
            net_exposure=net, trades=trades, dividends=nothing, borrow=nothing, dropped_orders=dropped, cut_orders=0,
            _holdings=holdings,
        )  # fmt: skip

    @cached_property
    def holdings(self) -> FloatArray:
        made: FloatArray = self.__dict__["_holdings"]()
        return made
