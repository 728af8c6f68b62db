"""What the bar loop works on: the names of settings, states and sums, and where they lie in its flat arrays."""

from typing import NamedTuple

import numpy as np

from quant_trading.domain.bars import FloatArray

__all__ = ["NO_TABLES", "Rules", "Tables", "packed"]


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


NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE = 0, 1, 2
HALF_EVEN, DOWN, NO_ROUNDING = 0, 1, 2
NO_MARGIN, MARGIN_CASH, MARGIN_LEVERAGE = 0, 1, 2
LEAVE, AT_CLOSE, AT_OPEN = 0, 1, 2

# Where each setting lies in the loop's `rules`; after them the tables of fees.
(
    INITIAL_CAPITAL, FILL, BY_WEIGHT, ON_CHANGE, SIZE_AT_FILL, ROUNDING, COST_RATE, COMMISSION, TWO_ORDERS,
    SLIPPAGE_RATE, SLIPPAGE_MONEY, MARGIN, LEVERAGE, MAINTENANCE, MAX_VOLUME, BORROW_RATE, STOP_RATE, PROFIT_RATE,
    TRAIL_RATE, TIME_EXIT_BARS, CLOSE_LAST,
) = range(21)  # fmt: skip
HAS_STOPS, HAS_EXITS, PLAN_AT, PLAN_END, SALES_AT, SALES_END, TABLES_AT = range(21, 28)

# A row of a commission plan: first bar, minimum, most as a fraction of the value, fees per share and as a fraction of
# the commission, then `TIERS` pairs of (shares of the month up to which, rate per share).
TIERS = 5
PLAN_WIDTH = 5 + 2 * TIERS
# A row of the fees on sales: first bar, fraction of the value, per share, most per trade.
SALES_WIDTH = 4

# Columns of `state`, named as on the page; field K of symbol j is state[K * n_symbols + j]. WHY is the reason of the
# goal, FILLED the shares filled on bar FILLED_AT, TOUCHED the last bar on which the position was opened, turned or
# added to; DIVIDENDS and BORROW sum up what was received and paid; VISITED is the open or close at which the goal was
# filled as one that only reduces.
(
    QUANTITY, MARK, GOAL, WHY, ENTRY, HELD_FROM, BEST, BLOCKED, LAST_TARGET, FILLED, FILLED_AT, TOUCHED, DIVIDENDS,
    BORROW, VISITED, STATE_WIDTH,
) = range(16)  # fmt: skip

# Cells of `book`. Those before CASH start anew on every bar.
(
    COST, TRADED_NOW, ORDERS, DIVIDENDS_NOW, BORROW_NOW, CASH, BEFORE, WAITING, EVENT, FILLS, DROPPED, CUT, MONTH,
    MONTH_SHARES, TRADED, PLAN_FEES, REGULATORY, SLIPPAGE, BORROWED, DIVIDENDS_PAID, BOOK_SIZE,
) = range(21)  # fmt: skip

# Columns of one row per bar, in the order of `Ledger`.
ROW_WIDTH = 10
# Columns of the log of fills, each as long as there is room: bar, symbol, quantity, price, cost, reason.
LOG_WIDTH = 6
# The most fills of one symbol on one bar: a split's fraction, a delisting, two of a reversal, an exit, two closings.
FILLS_PER_BAR = 7
# Columns of an event: bar, kind, symbol, value; sorted.
EVENT_WIDTH = 4
SPLIT, DIVIDEND, DELIST = 0, 1, 2

# Why a fill happened. Floats, as all that is passed on: for each whole constant numba would compile once more.
SIGNAL, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP, TIME_EXIT, END, MARGIN_CALL, DELISTED, SPLIT_CASH = map(float, range(9))

# Whether a fill is one at the close, and whether it slips.
OPENING, CLOSING = 0.0, 1.0
STAYS, SLIPS = 0.0, 1.0


class Tables(NamedTuple):
    """Dated facts; what a run does not need is empty.

    Attributes:
        plan: rows of `PLAN_WIDTH`; sales: rows of `SALES_WIDTH`; the first row holds from bar 0 on.
        days: float64[T], calendar days since the session before on the first bar of a session, else 0.
        month: float64[T], a number per calendar month.
        events: rows of `EVENT_WIDTH`, sorted.
    """

    plan: FloatArray
    sales: FloatArray
    days: FloatArray
    month: FloatArray
    events: FloatArray


NO_TABLES = Tables(*(np.zeros(0) for _ in range(5)))


def packed(rules: Rules, tables: Tables) -> FloatArray:
    """Return the `rules` of the loop: the settings, what follows from them, and the tables of fees."""
    has_stops = rules.stop_loss > 0.0 or rules.take_profit > 0.0 or rules.trailing_stop > 0.0
    plan_end = TABLES_AT + len(tables.plan)
    derived = (has_stops, has_stops or rules.time_exit_bars > 0, TABLES_AT, plan_end, plan_end,
               plan_end + len(tables.sales))  # fmt: skip
    return np.concatenate((np.array([*rules, *derived], dtype=np.float64), tables.plan, tables.sales))
