"""What the bar loop works on: constants and named tuples of numbers, plain Python and numba alike."""

from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

__all__ = [
    "AT_CLOSE", "AT_OPEN", "BEFORE", "BOOK_SIZE", "BORROWED", "BORROW_NOW", "BY_DIVIDENDS", "CASH", "COST", "CUT",
    "DELIST", "DELISTED", "DIVIDEND", "DIVIDENDS_NOW", "DOWN", "DROPPED", "END", "EVENT", "FILLS", "FILLS_PER_BAR",
    "HALF_EVEN", "LEAVE", "MARGIN_CALL", "MARGIN_CASH", "MARGIN_LEVERAGE", "MONTH", "MONTH_SHARES", "NEXT_CLOSE",
    "NEXT_OPEN", "NO_MARGIN", "NO_ROUNDING", "ORDERS", "PLAN_FEES", "PLAN_WIDTH", "REGULATORY", "ROW_WIDTH",
    "SALES_WIDTH", "SAME_CLOSE", "SIGNAL", "SLIPPAGE", "SPLIT", "SPLIT_CASH", "STOP_LOSS", "TAKE_PROFIT", "TIERS",
    "TIME_EXIT", "TRADED", "TRADED_NOW", "TRAILING_STOP", "WAITING", "Rules", "Market", "Tables", "State", "Log",
    "Run", "Numbers", "Out", "Whole",
]  # fmt: skip

Numbers = Sequence[float]
Whole = Sequence[int]
Out = MutableSequence[float]

NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE = 0, 1, 2
HALF_EVEN, DOWN, NO_ROUNDING = 0, 1, 2
NO_MARGIN, MARGIN_CASH, MARGIN_LEVERAGE = 0, 1, 2
LEAVE, AT_CLOSE, AT_OPEN = 0, 1, 2

# Why a fill happened.
SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, TIME_EXIT, END, MARGIN_CALL, DELISTED, SPLIT_CASH = range(9)

# Kinds of events, in the order in which those of one bar happen.
SPLIT, DIVIDEND, DELIST = 0, 1, 2

# Cells of `book`. Those of the first group start anew on every bar.
COST, TRADED_NOW, ORDERS, DIVIDENDS_NOW, BORROW_NOW = 0, 1, 2, 3, 4
CASH, BEFORE, WAITING, EVENT, FILLS, DROPPED, CUT, MONTH, MONTH_SHARES = 5, 6, 7, 8, 9, 10, 11, 12, 13
TRADED, PLAN_FEES, REGULATORY, SLIPPAGE, BORROWED, BY_DIVIDENDS = 14, 15, 16, 17, 18, 19
BOOK_SIZE = 20

ROW_WIDTH = 10
# The most fills of one symbol on one bar: a split's fraction, a delisting, two of a reversal, an exit, two closings.
FILLS_PER_BAR = 7

# A row of a commission plan: first bar, minimum, most as a fraction of the value, fees per share and as a fraction of
# the commission, then `TIERS` pairs of (shares of the month up to which, rate per share).
TIERS = 5
PLAN_WIDTH = 5 + 2 * TIERS
# A row of the fees on sales: first bar, fraction of the value, per share, most per trade.
SALES_WIDTH = 4


class Rules(NamedTuple):
    """The settings of the page as numbers; flags are 0 or 1, fractions as there."""

    initial_capital: float
    fill: int
    by_weight: int
    on_change: int
    size_at_fill: int
    rounding: int
    cost_rate: float
    commission: float
    two_orders: int
    slippage_rate: float
    slippage_money: float
    margin: int
    leverage: float
    maintenance: float
    max_volume: float
    borrow_rate: float
    stop_loss: float
    take_profit: float
    trailing_stop: float
    time_exit_bars: int
    close_last: int


class Market(NamedTuple):
    """What is known of each cell, float64[T x N], NaN where there is no bar; `target` NaN = hold."""

    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers
    target: Numbers


class Tables(NamedTuple):
    """Dated facts; what a run does not need is empty.

    Attributes:
        plan: rows of `PLAN_WIDTH`; sales: rows of `SALES_WIDTH`; the first row holds from bar 0 on.
        days: float64[T], calendar days since the session before on the first bar of a session, else 0.
        month: int64[T], a number per calendar month.
        event_bar, event_symbol, event_kind: int64[E], sorted by bar, then kind; event_value: float64[E].
    """

    plan: Numbers
    sales: Numbers
    days: Numbers
    month: Whole
    event_bar: Whole
    event_symbol: Whole
    event_kind: Whole
    event_value: Numbers


class State(NamedTuple):
    """float64[N] each, named as on the page; `why` is the reason of the goal.

    `filled` are the shares filled on bar `filled_at`, `touched` the last bar on which the position was opened, turned
    or added to; `dividends` and `borrow` sum up what was received and paid.
    """

    quantity: Out
    mark: Out
    goal: Out
    why: Out
    entry: Out
    held_from: Out
    best: Out
    blocked: Out
    last_target: Out
    filled: Out
    filled_at: Out
    touched: Out
    dividends: Out
    borrow: Out


class Log(NamedTuple):
    """What comes out: rows of `ROW_WIDTH` per bar, holdings[T x N], and one entry per fill."""

    rows: Out
    holdings: Out
    bar: MutableSequence[int]
    symbol: MutableSequence[int]
    reason: MutableSequence[int]
    quantity: Out
    price: Out
    cost: Out


class Run(NamedTuple):
    """Everything of one run."""

    rules: Rules
    market: Market
    tables: Tables
    state: State
    log: Log
    book: Out
