"""The bar loop of docs/backtest-engine.md: one source, interpreted on lists and compiled on arrays.

Every function here is plain Python over flat float64 sequences, row after row (cell t * n_symbols + j), and every one
is understood by numba; `kernel.simulate` chooses. No fast-math flag is set, so both ways give the same bits. The
letters in the comments are those of the page. All that changes lies in sequences, so that functions can change it and
a run can stop for a larger log and go on. Each function takes only the sequences it needs: machine code pays for
each, on every call. What they hold is told in `loop_types`.
"""

import math
from collections.abc import MutableSequence, Sequence

from quant_trading.backtesting.loop_types import (
    AT_CLOSE,
    AT_OPEN,
    BEFORE,
    BEST,
    BLOCKED,
    BORROW,
    BORROW_NOW,
    BORROW_RATE,
    BORROWED,
    BY_WEIGHT,
    CASH,
    CLOSE_LAST,
    CLOSING,
    COST,
    DELISTED,
    DIVIDEND,
    DIVIDENDS,
    DIVIDENDS_NOW,
    DIVIDENDS_PAID,
    DROPPED,
    END,
    ENTRY,
    EVENT,
    EVENT_WIDTH,
    FILL,
    FILLS,
    FILLS_PER_BAR,
    GOAL,
    HAS_STOPS,
    HELD_FROM,
    LAST_TARGET,
    LEAVE,
    LOG_WIDTH,
    MAINTENANCE,
    MARGIN,
    MARGIN_CALL,
    MARGIN_LEVERAGE,
    MARK,
    MAX_VOLUME,
    MONTH,
    MONTH_SHARES,
    NEXT_CLOSE,
    NEXT_OPEN,
    NO_ROUNDING,
    ON_CHANGE,
    OPENING,
    ORDERS,
    PROFIT_RATE,
    QUANTITY,
    ROUNDING,
    ROW_WIDTH,
    SAME_CLOSE,
    SIGNAL,
    SIZE_AT_FILL,
    SLIPS,
    SPLIT,
    SPLIT_CASH,
    STAYS,
    STOP_LOSS,
    STOP_RATE,
    TAKE_PROFIT,
    TIME_EXIT,
    TIME_EXIT_BARS,
    TOUCHED,
    TRADED,
    TRADED_NOW,
    TRAIL_RATE,
    TRAILING_STOP,
    WAITING,
    WHY,
)  # fmt: skip
from quant_trading.backtesting.order_fills import FILL_FUNCTIONS, fill_goals, record, rounded, toward_zero, trade

__all__ = ["FUNCTIONS", "run_bars"]

_Numbers = Sequence[float]
_Out = MutableSequence[float]

_NAN = float("nan")


def run_bars(
    start: int, n: int, rules: _Numbers, open_price: _Numbers, high: _Numbers, low: _Numbers, close: _Numbers,
    volume: _Numbers, target: _Numbers, days: _Numbers, month: _Numbers, events: _Numbers,
    state: _Out, book: _Out, rows: _Out, holdings: _Out, log: _Out,
) -> int:  # fmt: skip
    """Walk the bars from `start` on; return how many are done: fewer than there are when the log is nearly full.

    Args:
        n: symbols.
        rules: see `loop_types.packed`.
        open_price, high, low, close, volume, target: float64[T x n]; high, low and volume only where rules need them.
        days, month, events: see `loop_types.Tables`.
        state, book, rows, holdings, log: what changes, see `loop_types`.
    """
    n_bars = len(close) // n
    fill, close_last = rules[FILL], rules[CLOSE_LAST]
    has_stops, has_best, has_calls = rules[HAS_STOPS], rules[TRAIL_RATE] > 0.0, rules[MARGIN] == MARGIN_LEVERAGE
    for t in range(start, n_bars):
        if len(log) < (book[FILLS] + FILLS_PER_BAR * n) * LOG_WIDTH:
            return t
        for k in range(CASH):
            book[k] = 0.0
        if len(month) > 0 and month[t] != book[MONTH]:
            book[MONTH] = month[t]
            book[MONTH_SHARES] = 0.0
        ends = close_last if t == n_bars - 1 else LEAVE
        if len(events) > 0:
            corporate_actions(t, n, rules, events, state, book, log)  # A
        if len(days) > 0 and days[t] > 0.0:
            charge_borrow(n, rules[BORROW_RATE], days[t], state, book)  # B
        if ends == AT_OPEN:
            close_all(t, n, OPENING, open_price, volume, rules, state, book, log)  # C
        elif fill == NEXT_OPEN and book[WAITING] > 0.0:
            fill_goals(t, n, OPENING, open_price, volume, rules, state, book, log)  # C
        if ends != AT_OPEN:
            if has_stops > 0.0:
                take_exits(t, n, open_price, high, low, volume, rules, state, book, log)  # D
            if fill == NEXT_CLOSE and book[WAITING] > 0.0:
                fill_goals(t, n, CLOSING, close, volume, rules, state, book, log)  # E
        equity = mark_positions(t, n, close, state, book[CASH])  # F
        if has_best:
            mark_best(t, n, high, low, state)
        if ends == AT_CLOSE:
            close_all(t, n, CLOSING, close, volume, rules, state, book, log)  # J
        elif ends == LEAVE:
            if not (has_calls and margin_call(n, equity, rules[MAINTENANCE], state, book)):  # G
                decide(t, n, equity, close, target, rules, state, book)  # H
            if fill == SAME_CLOSE and book[WAITING] > 0.0:
                fill_goals(t, n, CLOSING, close, volume, rules, state, book, log)  # I
        write_row(t, n, state, book, rows, holdings)
    return n_bars


def corporate_actions(
    t: int, n: int, rules: _Numbers, events: _Numbers, state: _Out, book: _Out, log: _Out
) -> None:  # fmt: skip
    """Apply the events of bar t."""
    at = int(book[EVENT])
    while at < len(events) and events[at] == t:
        kind, j, value = events[at + 1], int(events[at + 2]), events[at + 3]
        if kind == SPLIT:
            split(t, n, j, value, rules, state, book, log)
        elif kind == DIVIDEND:
            paid = state[QUANTITY * n + j] * value
            book[CASH] += paid
            book[DIVIDENDS_NOW] += paid
            state[DIVIDENDS * n + j] += paid
        else:
            pay_out(t, j, state[QUANTITY * n + j], state[MARK * n + j], DELISTED, book, log)
            state[QUANTITY * n + j] = 0.0
            state[GOAL * n + j] = _NAN
        at += EVENT_WIDTH
    book[EVENT] = at


def split(
    t: int, n: int, j: int, ratio: float, rules: _Numbers, state: _Out, book: _Out, log: _Out
) -> None:  # fmt: skip
    """Turn each share of symbol j into `ratio` shares."""
    is_whole = rules[ROUNDING] != NO_ROUNDING
    state[MARK * n + j] /= ratio
    state[ENTRY * n + j] /= ratio
    state[BEST * n + j] /= ratio
    goal = state[GOAL * n + j]
    if rules[SIZE_AT_FILL] == 0.0 and goal == goal:
        goal *= ratio
        state[GOAL * n + j] = toward_zero(goal) if is_whole else goal
    held = state[QUANTITY * n + j] * ratio
    kept = toward_zero(held) if is_whole else held
    state[QUANTITY * n + j] = kept
    pay_out(t, j, held - kept, state[MARK * n + j], SPLIT_CASH, book, log)


def pay_out(t: int, j: int, shares: float, mark: float, reason: float, book: _Out, log: _Out) -> None:
    """Pay `shares` of symbol j at its mark, free of costs, and record it; the caller takes them off."""
    if shares != 0.0:
        book[CASH] += shares * mark
        record(t, j, -shares, mark, 0.0, reason, book, log)


def charge_borrow(n: int, rate: float, days: float, state: _Out, book: _Out) -> None:
    """Take what shorts pay for the days since the session before."""
    for j in range(n):
        held = state[QUANTITY * n + j]
        if held < 0.0:
            charge = -held * state[MARK * n + j] * rate * days / 360.0
            book[CASH] -= charge
            book[BORROW_NOW] += charge
            state[BORROW * n + j] += charge


def take_exits(
    t: int, n: int, open_price: _Numbers, high: _Numbers, low: _Numbers, volume: _Numbers, rules: _Numbers,
    state: _Out, book: _Out, log: _Out,
) -> None:  # fmt: skip
    """Close what reached its stop or its limit on bar t, the worst case first."""
    loss, profit, trailing = rules[STOP_RATE], rules[PROFIT_RATE], rules[TRAIL_RATE]
    for j in range(n):
        held = state[QUANTITY * n + j]
        if held == 0.0:
            continue
        at = t * n + j
        side = 1.0 if held > 0.0 else -1.0
        entry = state[ENTRY * n + j]
        stop, reason = -side * math.inf, STOP_LOSS
        if loss > 0.0:
            stop = level(entry * (1.0 - side * loss))
        if trailing > 0.0:
            trail = level(state[BEST * n + j] * (1.0 - side * trailing))
            if side * trail > side * stop:
                stop, reason = trail, TRAILING_STOP
        limit = level(entry * (1.0 + side * profit)) if profit > 0.0 else side * math.inf
        first, worst, fairest = open_price[at], low[at], high[at]
        if held < 0.0:
            worst, fairest = fairest, worst
        base = _NAN
        is_old = state[TOUCHED * n + j] != t
        if is_old and side * first <= side * stop:
            base = first
        elif is_old and side * first >= side * limit:
            base, reason = first, TAKE_PROFIT
        elif side * worst <= side * stop:
            base = first if side * first < side * stop else stop
        elif side * fairest >= side * limit:
            base, reason = limit, TAKE_PROFIT
        if base == base:
            shares = volume[at] if rules[MAX_VOLUME] > 0.0 else 0.0
            exit_position(t, n, j, base, shares, side, reason, rules, state, book, log)


def level(price: float) -> float:
    """Return a price to 10 decimals, a large one to 6: 100 * (1 + 0.1) is 110.00000000000001 and would miss 110.

    Rounded by operations that give the same bits interpreted and compiled; `round(price, 10)` does not.
    """
    # The product of an entry and a fraction may be two units in its last place off: 3e-11 at 100,000.
    scale = 1e10 if abs(price) < 100_000.0 else 1e6
    if not abs(price) < 1e9:
        return price
    return math.floor(price * scale + 0.5) / scale


def exit_position(
    t: int, n: int, j: int, base: float, shares: float, side: float, reason: float, rules: _Numbers, state: _Out,
    book: _Out, log: _Out,
) -> None:  # fmt: skip
    """Close symbol j at `base`, block its side and settle the goal that waits."""
    stays = state[GOAL * n + j] * side < 0.0
    slips = STAYS if reason == TAKE_PROFIT else SLIPS
    rest = trade(t, n, j, 0.0, base, shares, slips, OPENING, reason, rules, state, book, log)
    state[BLOCKED * n + j] = side
    if not stays:
        state[GOAL * n + j] = _NAN
        if rest == 1:
            state[GOAL * n + j] = 0.0
            state[WHY * n + j] = reason
            book[WAITING] = 1.0


def mark_positions(t: int, n: int, close: _Numbers, state: _Out, cash: float) -> float:
    """Take the closes as marks; return the equity."""
    row = t * n
    equity = cash
    for j in range(n):
        price = close[row + j]
        if price == price:
            state[MARK * n + j] = price
        equity += state[QUANTITY * n + j] * state[MARK * n + j]
    return equity


def mark_best(t: int, n: int, high: _Numbers, low: _Numbers, state: _Out) -> None:
    """Keep the best price since the entry, unless that was this bar's close."""
    for j in range(n):
        held, best = state[QUANTITY * n + j], state[BEST * n + j]
        if state[HELD_FROM * n + j] <= t:
            if held > 0.0 and high[t * n + j] > best:
                state[BEST * n + j] = high[t * n + j]
            elif held < 0.0 and low[t * n + j] < best:
                state[BEST * n + j] = low[t * n + j]


def margin_call(n: int, equity: float, maintenance: float, state: _Out, book: _Out) -> bool:
    """Return True when the equity no longer carries what is held; then everything held waits to be closed."""
    if not maintenance > 0.0:
        return False
    gross = 0.0
    for j in range(n):
        gross += abs(state[QUANTITY * n + j] * state[MARK * n + j])
    if not equity < maintenance * gross:
        return False
    for j in range(n):
        state[GOAL * n + j] = _NAN
        if state[QUANTITY * n + j] != 0.0:
            state[GOAL * n + j] = 0.0
            state[WHY * n + j] = MARGIN_CALL
            book[WAITING] = 1.0
    return True


def decide(
    t: int, n: int, equity: float, close: _Numbers, target: _Numbers, rules: _Numbers, state: _Out, book: _Out
) -> None:  # fmt: skip
    """Turn the targets of bar t into goals."""
    by_weight, on_change, at_fill = rules[BY_WEIGHT] > 0.0, rules[ON_CHANGE] > 0.0, rules[SIZE_AT_FILL] > 0.0
    time_exit, rounding = rules[TIME_EXIT_BARS], rules[ROUNDING]
    row = t * n
    waits = book[WAITING]
    for j in range(n):
        price = close[row + j]
        if price != price:
            continue
        x, held = target[row + j], state[QUANTITY * n + j]
        before = state[LAST_TARGET * n + j]
        if x == x:
            state[LAST_TARGET * n + j] = x
        reason = SIGNAL
        if equity <= 0.0:
            wish, is_new = 0.0, held != 0.0
        elif (
            time_exit > 0.0 and held != 0.0 and t - state[HELD_FROM * n + j] + 1.0 >= time_exit and not x * held <= 0.0
        ):
            wish, is_new, reason = 0.0, True, TIME_EXIT
            state[BLOCKED * n + j] = 1.0 if held > 0.0 else -1.0
        elif x != x or x * state[BLOCKED * n + j] > 0.0:
            continue
        else:
            state[BLOCKED * n + j] = 0.0
            if on_change and x == before:
                continue
            if at_fill:
                wish, is_new = x, x != 0.0 or held != 0.0
            else:
                wish = rounded(equity * x / price if by_weight else x, rounding)
                is_new = wish != held
        state[GOAL * n + j] = _NAN
        if is_new:
            state[GOAL * n + j] = wish
            state[WHY * n + j] = reason
            waits = 1.0
    book[WAITING] = waits


def close_all(
    t: int, n: int, at_close: float, prices: _Numbers, volume: _Numbers, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Close everything at the open or the close of the last bar; nothing waits any more."""
    for j in range(n):
        state[GOAL * n + j] = _NAN
        if state[QUANTITY * n + j] != 0.0:
            base = prices[t * n + j]
            if base == base:
                shares = volume[t * n + j] if rules[MAX_VOLUME] > 0.0 else 0.0
                trade(t, n, j, 0.0, base, shares, SLIPS, at_close, END, rules, state, book, log)
            else:
                book[DROPPED] += 1.0


def write_row(t: int, n: int, state: _Out, book: _Out, rows: _Out, holdings: _Out) -> None:
    """Write what bar t comes to."""
    equity = cash = book[CASH]
    gross = net = 0.0
    for j in range(n):
        held = state[QUANTITY * n + j]
        value = held * state[MARK * n + j]
        equity += value
        net += value
        gross += abs(value)
        holdings[t * n + j] = held
    before = book[BEFORE]
    at = t * ROW_WIDTH
    rows[at] = equity
    rows[at + 1] = cash
    rows[at + 2] = equity - before + book[COST]
    rows[at + 3] = book[COST]
    rows[at + 4] = book[TRADED_NOW] / before if before > 0.0 else 0.0
    rows[at + 5] = gross / equity if equity > 0.0 else 0.0
    rows[at + 6] = net / equity if equity > 0.0 else 0.0
    rows[at + 7] = book[ORDERS]
    rows[at + 8] = book[DIVIDENDS_NOW]
    rows[at + 9] = book[BORROW_NOW]
    book[BEFORE] = equity
    book[TRADED] += book[TRADED_NOW]
    book[BORROWED] += book[BORROW_NOW]
    book[DIVIDENDS_PAID] += book[DIVIDENDS_NOW]


# What is compiled, each after those it calls.
FUNCTIONS = (
    *FILL_FUNCTIONS, pay_out, split, corporate_actions, charge_borrow, level, exit_position, take_exits,
    mark_positions, mark_best, margin_call, decide, close_all, write_row, run_bars,
)  # fmt: skip
