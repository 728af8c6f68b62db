"""The numeric core of a backtest: `simulate`, the account of docs/backtest-engine.md, and the textbook account.

Both are numeric loops with one source for two speeds: plain Python over flat float64 sequences, row after row (cell
t * n_symbols + j). Below `COMPILE_FROM_CELLS` cells they run as they stand, on lists; above, numba compiles the very
same functions. No fast-math flag is set, so both ways give the same bits, and a small command never pays for the
import of numba.

`run_weights` is the textbook account: weights do not drift between bars. With r(t) = close(t) / close(t-1) - 1:

    same_close  net(t) = sum w(t-1) r(t) - cost_rate x sum abs(w(t) - w(t-1))
    next_close  the same with w(t-1) in place of w(t), w(t-2) in place of w(t-1)
    next_open   net(t) = (1 + sum w(t-2) (open(t) / close(t-1) - 1)) (1 + sum w(t-1) (close(t) / open(t) - 1)) - 1
                         - cost_rate x sum abs(w(t-1) - w(t-2))

and equity(t) = equity(t-1) (1 + net(t)) - commission x orders. With next_open the night belongs to the
old weights and the day to the new ones. A symbol without a close keeps its weight and its last price; an order whose
price is missing is dropped and counted; an account whose equity is 0 or less opens nothing any more.
"""

from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np

from quant_trading.backtesting import loop
from quant_trading.backtesting.compiling import COMPILE_FROM_CELLS, compile_functions, is_worth_compiling
from quant_trading.backtesting.loop_types import (
    AT_CLOSE,
    BEFORE,
    BOOK_SIZE,
    BORROW,
    BORROWED,
    CASH,
    CUT,
    DIVIDENDS,
    DIVIDENDS_PAID,
    DROPPED,
    FILLED_AT,
    FILLS,
    FILLS_PER_BAR,
    GOAL,
    HALF_EVEN,
    HAS_STOPS,
    LEAVE,
    LOG_WIDTH,
    MONTH,
    NEXT_CLOSE,
    NEXT_OPEN,
    NO_MARGIN,
    NO_ROUNDING,
    NO_TABLES,
    PLAN_FEES,
    REGULATORY,
    ROW_WIDTH,
    SAME_CLOSE,
    SLIPPAGE,
    STATE_WIDTH,
    TOUCHED,
    TRADED,
    Rules,
    Tables,
    packed,
)  # fmt: skip
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = [
    "COMPILE_FROM_CELLS", "NEXT_CLOSE", "NEXT_OPEN", "NO_TABLES", "SAME_CLOSE", "Account", "Fills", "Ledger", "Reason",
    "Rules", "Tables", "Terms", "account_shares", "account_weights", "plain_rules", "run_weights", "simulate",
]  # fmt: skip

_Numbers = Sequence[float]
_Out = MutableSequence[float]
_NONE = np.zeros(0)
_NONE.flags.writeable = False


class Reason(IntEnum):
    """Why a fill happened."""

    SIGNAL = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    TRAILING_STOP = 3
    TIME_EXIT = 4
    END = 5
    MARGIN_CALL = 6
    DELISTED = 7
    SPLIT = 8


@dataclass(frozen=True, slots=True)
class Terms:
    """How orders of a plain run are filled and what they cost.

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


@dataclass(frozen=True)
class Ledger:
    """What the account did, one row per bar.

    Attributes:
        equity, cash: float64[T], money after the bar.
        gross_pnl, cost: float64[T], money on the bar; equity[t] - equity[t-1] = gross_pnl - cost.
        turnover: float64[T], traded value over the equity after the bar before.
        gross_exposure, net_exposure: float64[T], sum of abs(value) and of value, over equity.
        trades: float64[T], orders filled on the bar.
        dividends, borrow: float64[T], money received and paid on the bar, both within gross_pnl.
        holdings: float64[T, N], shares held after the bar, or weights with `run_weights`.
        dropped_orders: orders that met no price; cut_orders: orders cut by cash or margin.
    """

    equity: FloatArray
    cash: FloatArray
    gross_pnl: FloatArray
    cost: FloatArray
    turnover: FloatArray
    gross_exposure: FloatArray
    net_exposure: FloatArray
    trades: FloatArray
    dividends: FloatArray
    borrow: FloatArray
    holdings: FloatArray
    dropped_orders: int
    cut_orders: int = 0

    @cached_property
    def total_turnover(self) -> float:
        """Return the sum of the turnover of all bars."""
        return float(np.add.reduce(self.turnover))

    @cached_property
    def mean_exposure(self) -> tuple[float, float, float]:
        """Return the share of bars that end with a position, and the means of gross and net exposure over all bars."""
        bars, gross = max(len(self.gross_exposure), 1), self.gross_exposure
        held = int(np.count_nonzero(gross))
        return held / bars, float(np.add.reduce(gross)) / bars, float(np.add.reduce(self.net_exposure)) / bars


@dataclass(frozen=True)
class Fills:
    """Every fill in the order it happened; F entries each.

    Attributes:
        bar, symbol: int64[F], row and column.
        quantity: float64[F], signed shares; price, cost: float64[F], money.
        reason: int8[F], a `Reason`.
    """

    bar: IntArray
    symbol: IntArray
    quantity: FloatArray
    price: FloatArray
    cost: FloatArray
    reason: np.ndarray[Any, np.dtype[np.int8]]

    def __len__(self) -> int:
        return len(self.bar)


@dataclass(frozen=True)
class Account:
    """What `simulate` returns.

    Attributes:
        ledger, fills: by bar and by fill.
        traded: money, value of all orders; plan, regulatory, slippage, borrow, dividends: sums of the run.
        symbol_dividends, symbol_borrow: float64[N], the same sums by symbol.
    """

    ledger: Ledger
    fills: Fills
    traded: float
    plan: float
    regulatory: float
    slippage: float
    borrow: float
    dividends: float
    symbol_dividends: FloatArray
    symbol_borrow: FloatArray


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


def plain_rules(terms: Terms) -> Rules:
    """Return the rules of a plain run: weights, rebalanced on every bar, nothing that cuts or exits."""
    return Rules(
        initial_capital=float(terms.initial_capital),
        fill=terms.fill,
        by_weight=1,
        on_change=0,
        size_at_fill=0,
        rounding=HALF_EVEN if terms.whole_shares else NO_ROUNDING,
        cost_rate=float(terms.cost_rate),
        commission=float(terms.commission),
        two_orders=0,
        slippage_rate=0.0,
        slippage_money=0.0,
        margin=NO_MARGIN,
        leverage=1.0,
        maintenance=0.0,
        max_volume=0.0,
        borrow_rate=0.0,
        stop_loss=0.0,
        take_profit=0.0,
        trailing_stop=0.0,
        time_exit_bars=0,
        close_last=AT_CLOSE if terms.close_last else LEAVE,
    )


def simulate(
    prices: Sequence[FloatArray],
    target: FloatArray,
    rules: Rules,
    tables: Tables = NO_TABLES,
    compiled: bool | None = None,
    room: int | None = None,
) -> Account:
    """Return what the account of docs/backtest-engine.md did.

    Args:
        prices: open, high, low, close, volume: float64[T, N], prices above 0, NaN where there is no bar.
        target: float64[T, N], wished after the close of each row; NaN = no opinion, hold.
        rules: the settings; tables: the dated facts they need.
        compiled: None = by the amount of work.
        room: fills the log has room for at first; it grows.
    """
    n_bars, n_symbols = target.shape
    cells = n_bars * n_symbols
    if n_symbols == 0:
        raise ValueError(f"target has shape {target.shape}; give at least one symbol")
    settings = packed(rules, tables)
    has_stops, is_cut = settings[HAS_STOPS] > 0.0, rules.max_volume > 0.0
    is_needed = (True, has_stops, has_stops, True, is_cut, True)
    columns = [_flat(c) if need else _NONE for c, need in zip((*prices, target), is_needed, strict=True)]
    given = [_flat(settings), *columns, *map(_flat, (tables.days, tables.month, tables.events))]
    state = np.zeros((STATE_WIDTH, n_symbols))
    state[GOAL] = np.nan
    state[FILLED_AT] = state[TOUCHED] = -1.0
    book = np.zeros(BOOK_SIZE)
    book[CASH] = book[BEFORE] = rules.initial_capital
    book[MONTH] = np.nan
    changing = [state.reshape(-1), book, np.empty(n_bars * ROW_WIDTH), np.empty(cells)]
    walk: Callable[..., int] = loop.run_bars
    fast = is_worth_compiling(cells) if compiled is None else compiled
    # Room for every cell costs nothing in an array, whose pages are taken when they are written to.
    size = room if room is not None else cells if fast else cells // 8
    log = np.empty((LOG_WIDTH, max(size, 2 * FILLS_PER_BAR * n_symbols)))
    done = 0
    if fast:
        walk = compile_functions(loop.FUNCTIONS, counts_references=False)
        while (done := walk(done, n_symbols, *given, *changing, log.reshape(-1))) < n_bars:
            log = np.concatenate((log, np.empty(log.shape)), axis=1)
    else:
        # Lists, because an element of a numpy array costs ten times an element of a list.
        lists, changed, entries = [c.tolist() for c in given], [c.tolist() for c in changing], log.reshape(-1).tolist()
        while (done := walk(done, n_symbols, *lists, *changed, entries)) < n_bars:
            log = np.reshape(entries, (LOG_WIDTH, -1))
            entries = np.concatenate((log, np.zeros(log.shape)), axis=1).reshape(-1).tolist()
        changing = [np.array(values, dtype=np.float64) for values in changed]
        log = np.reshape(entries, (LOG_WIDTH, -1))
    return _account_of(changing, log, n_bars, n_symbols)


def account_shares(
    open_price: FloatArray, close: FloatArray, target: FloatArray, terms: Terms, compiled: bool | None = None
) -> Ledger:
    """Return the ledger of an account that holds shares, which drift with their prices.

    Args:
        open_price, close: float64[T, N], prices above 0, NaN where there is no bar.
        target: float64[T, N], share of equity wished after the close of each row, never NaN.
        compiled: None = by the amount of work.
    """
    return simulate((open_price, close, close, close, close), target, plain_rules(terms), compiled=compiled).ledger


def account_weights(
    open_price: FloatArray, close: FloatArray, target: FloatArray, terms: Terms, compiled: bool | None = None
) -> Ledger:
    """Return the ledger of the textbook account; arguments as for `account_shares`."""
    n_bars, n_symbols = close.shape
    fixed = (n_bars, n_symbols, terms.fill, float(terms.initial_capital), float(terms.cost_rate),
             float(terms.commission), terms.whole_shares, terms.close_last)  # fmt: skip
    columns = [_flat(column) for column in (open_price, close, target)]
    scratch = [np.zeros(n_symbols), np.full(n_symbols, np.nan), np.full(n_symbols, np.nan)]
    rows, holdings = np.zeros(n_bars * 8), np.zeros(n_bars * n_symbols)
    walk: Callable[..., int] = run_weights
    if compiled if compiled is not None else is_worth_compiling(n_bars * n_symbols):
        walk = compile_functions((run_weights,))
        dropped = int(walk(*fixed, *columns, *scratch, rows, holdings))
    else:
        out = rows.tolist(), holdings.tolist()
        dropped = walk(*fixed, *(c.tolist() for c in columns), *(s.tolist() for s in scratch), *out)
        rows, holdings = np.array(out[0], dtype=np.float64), np.array(out[1], dtype=np.float64)
    equity, cash, gross_pnl, cost, turnover, gross, net, trades = rows.reshape(n_bars, 8).T.copy()
    nothing = np.zeros(n_bars)
    held = holdings.reshape(n_bars, n_symbols)
    return Ledger(equity, cash, gross_pnl, cost, turnover, gross, net, trades, nothing, nothing, held, dropped)


def _flat(column: FloatArray) -> FloatArray:
    """Return the cells in a row, marked read-only: one signature for numba, whatever the caller's arrays are."""
    flat = np.ascontiguousarray(column, dtype=np.float64).reshape(-1).view()
    flat.flags.writeable = False
    return flat


def _account_of(changing: list[FloatArray], log: FloatArray, n_bars: int, n_symbols: int) -> Account:
    """Return the result from the state, book, rows, holdings and log of a finished walk."""
    state, book, rows, holdings = changing
    columns = rows.reshape(n_bars, ROW_WIDTH).T.copy()
    held = holdings.reshape(n_bars, n_symbols)
    equity, cash, gross_pnl, cost, turnover, gross, net, trades, dividends, borrow = columns
    ledger = Ledger(
        equity, cash, gross_pnl, cost, turnover, gross, net, trades, dividends, borrow, held, int(book[DROPPED]),
        int(book[CUT]),
    )  # fmt: skip
    bar, symbol, quantity, price, paid, reason = log[:, : int(book[FILLS])]
    fills = Fills(
        bar.astype(np.int64), symbol.astype(np.int64), quantity, price, paid,
        reason.astype(np.int8),
    )  # fmt: skip
    by_symbol = state.reshape(STATE_WIDTH, n_symbols)
    sums = book[[TRADED, PLAN_FEES, REGULATORY, SLIPPAGE, BORROWED, DIVIDENDS_PAID]].tolist()
    traded, plan, regulatory, slippage, borrowed, received = sums
    return Account(
        ledger, fills, traded, plan, regulatory, slippage, borrowed, received, by_symbol[DIVIDENDS].copy(),
        by_symbol[BORROW].copy(),
    )  # fmt: skip
