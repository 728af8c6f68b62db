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
    COMMISSION,
    COST,
    COST_RATE,
    CUT,
    DELISTED,
    DIVIDEND,
    DIVIDENDS,
    DIVIDENDS_NOW,
    DIVIDENDS_PAID,
    DOWN,
    DROPPED,
    END,
    ENTRY,
    EVENT,
    EVENT_WIDTH,
    FILL,
    FILLED,
    FILLED_AT,
    FILLS,
    FILLS_PER_BAR,
    GOAL,
    HAS_EXITS,
    HAS_STOPS,
    HELD_FROM,
    LAST_TARGET,
    LEAVE,
    LEVERAGE,
    LOG_WIDTH,
    MAINTENANCE,
    MARGIN,
    MARGIN_CALL,
    MARGIN_CASH,
    MARGIN_LEVERAGE,
    MARK,
    MAX_VOLUME,
    MONTH,
    MONTH_SHARES,
    NEXT_CLOSE,
    NEXT_OPEN,
    NO_MARGIN,
    NO_ROUNDING,
    ON_CHANGE,
    ORDERS,
    PLAN_AT,
    PLAN_END,
    PLAN_FEES,
    PLAN_WIDTH,
    PROFIT_RATE,
    QUANTITY,
    REGULATORY,
    ROUNDING,
    ROW_WIDTH,
    SALES_AT,
    SALES_END,
    SALES_WIDTH,
    SAME_CLOSE,
    SIGNAL,
    SIZE_AT_FILL,
    SLIPPAGE,
    SLIPPAGE_MONEY,
    SLIPPAGE_RATE,
    SPLIT,
    SPLIT_CASH,
    STOP_LOSS,
    STOP_RATE,
    TABLES_AT,
    TAKE_PROFIT,
    TIERS,
    TIME_EXIT,
    TIME_EXIT_BARS,
    TOUCHED,
    TRADED,
    TRADED_NOW,
    TRAIL_RATE,
    TRAILING_STOP,
    TWO_ORDERS,
    WAITING,
    WHY,
)  # fmt: skip

__all__ = ["FUNCTIONS", "run_bars"]

_Numbers = Sequence[float]
_Out = MutableSequence[float]

_NAN = float("nan")
_ALL_WHOLE = 9.0e15  # beyond it every float is whole


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
            close_all(t, n, 0, open_price, volume, rules, state, book, log)  # C
        elif fill == NEXT_OPEN and book[WAITING] > 0.0:
            fill_goals(t, n, 0, open_price, volume, rules, state, book, log)  # C
        if ends != AT_OPEN:
            if has_stops > 0.0:
                take_exits(t, n, open_price, high, low, volume, rules, state, book, log)  # D
            if fill == NEXT_CLOSE and book[WAITING] > 0.0:
                fill_goals(t, n, 1, close, volume, rules, state, book, log)  # E
        equity = mark_positions(t, n, close, state, book[CASH])  # F
        if has_best:
            mark_best(t, n, high, low, state)
        if ends == AT_CLOSE:
            close_all(t, n, 1, close, volume, rules, state, book, log)  # J
        elif ends == LEAVE:
            if not (has_calls and margin_call(n, equity, rules[MAINTENANCE], state, book)):  # G
                decide(t, n, equity, close, target, rules, state, book)  # H
            if fill == SAME_CLOSE and book[WAITING] > 0.0:
                fill_goals(t, n, 1, close, volume, rules, state, book, log)  # I
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


def pay_out(t: int, j: int, shares: float, mark: float, reason: int, book: _Out, log: _Out) -> None:
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


def fill_goals(
    t: int, n: int, at_close: int, prices: _Numbers, volume: _Numbers, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Fill what waits, at the open or the close; with a margin rule what only reduces comes first."""
    row = t * n
    stages = 1 if rules[MARGIN] == NO_MARGIN else 2
    book[WAITING] = 0.0
    for stage in range(stages):
        for j in range(n):
            goal = state[GOAL * n + j]
            if goal != goal:
                continue
            base = prices[row + j]
            if stages == 2:
                held = state[QUANTITY * n + j]
                wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
                if (abs(wish) < abs(held) and wish * held >= 0.0) != (stage == 0):
                    book[WAITING] = 1.0
                    continue
            shares = volume[row + j] if rules[MAX_VOLUME] > 0.0 else 0.0
            fill_goal(t, n, j, base, shares, at_close, rules, state, book, log)


def fill_goal(
    t: int, n: int, j: int, base: float, shares: float, at_close: int, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Fill the goal of symbol j at `base`, as one order or as two; what volume (`shares`) leaves of it waits."""
    goal = state[GOAL * n + j]
    if base != base:
        if goal != state[QUANTITY * n + j] or (rules[SIZE_AT_FILL] > 0.0 and goal != 0.0):
            book[DROPPED] += 1.0
        state[GOAL * n + j] = _NAN
        return
    wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
    reason = int(state[WHY * n + j])
    if rules[TWO_ORDERS] > 0.0 and wish * state[QUANTITY * n + j] < 0.0:
        trade(t, n, j, 0.0, base, shares, 1, at_close, reason, rules, state, book, log)
        if state[QUANTITY * n + j] != 0.0:
            book[WAITING] = 1.0
            return
        wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
    if trade(t, n, j, wish, base, shares, 1, at_close, reason, rules, state, book, log) == 1:
        book[WAITING] = 1.0
    else:
        state[GOAL * n + j] = _NAN


def wished_shares(
    n: int, j: int, goal: float, base: float, rules: _Numbers, state: _Out, cash: float
) -> float:  # fmt: skip
    """Return the shares a goal stands for: itself, or what its weight buys at `base`."""
    if rules[SIZE_AT_FILL] == 0.0:
        return goal
    equity = cash
    for k in range(n):
        equity += state[QUANTITY * n + k] * (base if k == j else state[MARK * n + k])
    return rounded(equity * goal / base, rules[ROUNDING])


def trade(
    t: int, n: int, j: int, goal: float, base: float, shares: float, slips: int, at_close: int, reason: int,
    rules: _Numbers, state: _Out, book: _Out, log: _Out,
) -> int:  # fmt: skip
    """Move symbol j toward `goal` at `base`; return 1 when volume (`shares`) leaves a part that waits, else 0."""
    held = state[QUANTITY * n + j]
    wished = goal - held
    delta = wished
    if delta == 0.0:
        return 0
    waits = 0
    if rules[MAX_VOLUME] > 0.0:
        room = volume_left(t, n, j, shares, rules, state)
        if not abs(delta) <= room:
            if not room > 0.0:
                return 1
            delta = room if delta > 0.0 else -room
            waits = 1
    price = base
    if slips == 1 and (rules[SLIPPAGE_RATE] > 0.0 or rules[SLIPPAGE_MONEY] > 0.0):
        side = 1.0 if delta > 0.0 else -1.0
        price = base * (1.0 + side * rules[SLIPPAGE_RATE]) + side * rules[SLIPPAGE_MONEY]
        price = price if price > 0.0 else base
        book[SLIPPAGE] += delta * (price - base)
    if rules[MARGIN] != NO_MARGIN:
        allowed = margin_cut(t, n, j, delta, price, rules, state, book)
        if allowed != delta:
            book[CUT] += 1.0
            book[SLIPPAGE] -= (delta - allowed) * (price - base)
            delta = allowed
            waits = 0
            if delta == 0.0:
                return 0
    value = delta * price
    charge = rules[COST_RATE] * abs(value) + rules[COMMISSION]
    if rules[SALES_END] > TABLES_AT:
        charge += dated_fees(t, delta, price, rules, book)
    after = goal if delta == wished else held + delta
    if rules[HAS_EXITS] > 0.0:
        remember_entry(t, n, j, at_close, after, price, state)
    state[QUANTITY * n + j] = after
    if rules[MAX_VOLUME] > 0.0:
        state[FILLED * n + j] += abs(delta)
    book[CASH] -= value
    book[CASH] -= charge
    book[COST] += charge
    book[TRADED_NOW] += abs(value)
    book[ORDERS] += 1.0
    record(t, j, delta, price, charge, reason, book, log)
    return waits


def volume_left(t: int, n: int, j: int, shares: float, rules: _Numbers, state: _Out) -> float:
    """Return how many shares of symbol j may still be filled on bar t, of the `shares` it has."""
    if state[FILLED_AT * n + j] != t:
        state[FILLED_AT * n + j] = t
        state[FILLED * n + j] = 0.0
    room = rules[MAX_VOLUME] * shares - state[FILLED * n + j]
    if not room > 0.0:
        return 0.0
    return floored(room, rules[ROUNDING])


def margin_cut(
    t: int, n: int, j: int, delta: float, price: float, rules: _Numbers, state: _Out, book: _Out
) -> float:  # fmt: skip
    """Return what of an order the margin rule lets through."""
    held = state[QUANTITY * n + j]
    wish = held + delta
    if rules[MARGIN] == MARGIN_CASH:
        if delta < 0.0:
            most = max(held, 0.0)
            return delta if -delta <= most else -most
        fees = rules[COMMISSION]
        if rules[PLAN_END] > rules[PLAN_AT]:
            fees += plan_fee(t, delta, delta * price, rules, book[MONTH_SHARES])
        most = floored(max(book[CASH] - fees, 0.0) / (price * (1.0 + rules[COST_RATE])), rules[ROUNDING])
        return delta if delta <= most else most
    if abs(wish) <= abs(held) and wish * held >= 0.0:
        return delta
    equity = book[CASH]
    others = 0.0
    for k in range(n):
        value = state[QUANTITY * n + k] * state[MARK * n + k]
        equity += value
        if k != j:
            others += abs(value)
    most = floored(max(rules[LEVERAGE] * equity - others, 0.0) / price, rules[ROUNDING])
    if wish * held > 0.0:
        most = max(most, abs(held))
    if abs(wish) <= most:
        return delta
    return (most if wish > 0.0 else -most) - held


def dated_fees(t: int, delta: float, price: float, rules: _Numbers, book: _Out) -> float:
    """Return what plan and regulators charge for a fill, and count its shares."""
    shares, value = abs(delta), abs(delta * price)
    fee = sales_fee = 0.0
    if rules[PLAN_END] > rules[PLAN_AT]:
        fee = plan_fee(t, shares, value, rules, book[MONTH_SHARES])
        book[PLAN_FEES] += fee
        book[MONTH_SHARES] += shares
    if rules[SALES_END] > rules[SALES_AT] and delta < 0.0:
        at = row_in_force(t, int(rules[SALES_AT]), int(rules[SALES_END]), SALES_WIDTH, rules)
        sales_fee = value * rules[at + 1] + min(shares * rules[at + 2], rules[at + 3])
        book[REGULATORY] += sales_fee
    return fee + sales_fee


def plan_fee(t: int, shares: float, value: float, rules: _Numbers, month_shares: float) -> float:
    """Return what the commission plan charges for an order of `shares`, after those of the month; all positive."""
    at = row_in_force(t, int(rules[PLAN_AT]), int(rules[PLAN_END]), PLAN_WIDTH, rules)
    done = month_shares
    end = done + shares
    charged = 0.0
    for k in range(TIERS):
        reached = min(end, rules[at + 5 + 2 * k])
        if reached > done:
            charged += (reached - done) * rules[at + 6 + 2 * k]
            done = reached
    commission = min(max(rules[at + 1], charged), value * rules[at + 2])
    return commission + shares * rules[at + 3] + commission * rules[at + 4]


def row_in_force(t: int, first: int, end: int, width: int, rules: _Numbers) -> int:
    """Return where the last row begins whose first bar is t or earlier."""
    at = end - width
    while at > first and rules[at] > t:
        at -= width
    return at


def remember_entry(t: int, n: int, j: int, at_close: int, after: float, price: float, state: _Out) -> None:
    """Keep what the exits need to know of a position that opens, turns or grows."""
    held = state[QUANTITY * n + j]
    if held * after <= 0.0:
        state[ENTRY * n + j] = price
        state[BEST * n + j] = price
        state[HELD_FROM * n + j] = t + at_close
        state[TOUCHED * n + j] = t
    elif abs(after) > abs(held):
        state[ENTRY * n + j] = (state[ENTRY * n + j] * held + price * (after - held)) / after
        state[TOUCHED * n + j] = t


def record(
    t: int, j: int, quantity: float, price: float, cost: float, reason: int, book: _Out, log: _Out
) -> None:  # fmt: skip
    """Write one fill."""
    at = int(book[FILLS]) * LOG_WIDTH
    log[at] = t
    log[at + 1] = j
    log[at + 2] = quantity
    log[at + 3] = price
    log[at + 4] = cost
    log[at + 5] = reason
    book[FILLS] += 1.0


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
            stop = entry * (1.0 - side * loss)
        if trailing > 0.0:
            trail = state[BEST * n + j] * (1.0 - side * trailing)
            if side * trail > side * stop:
                stop, reason = trail, TRAILING_STOP
        limit = entry * (1.0 + side * profit) if profit > 0.0 else side * math.inf
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


def exit_position(
    t: int, n: int, j: int, base: float, shares: float, side: float, reason: int, rules: _Numbers, state: _Out,
    book: _Out, log: _Out,
) -> None:  # fmt: skip
    """Close symbol j at `base`, block its side and settle the goal that waits."""
    stays = state[GOAL * n + j] * side < 0.0
    slips = 0 if reason == TAKE_PROFIT else 1
    rest = trade(t, n, j, 0.0, base, shares, slips, 0, reason, rules, state, book, log)
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


def rounded(shares: float, rounding: float) -> float:
    """Return shares as the desk rounds them, toward zero, or as they are."""
    if rounding == NO_ROUNDING or not abs(shares) < _ALL_WHOLE:
        return shares
    if rounding == DOWN:
        return float(int(shares))
    return float(round(shares))


def toward_zero(shares: float) -> float:
    """Return shares without their fraction."""
    return float(int(shares)) if abs(shares) < _ALL_WHOLE else shares


def floored(shares: float, rounding: float) -> float:
    """Return 0 or more shares without their fraction when shares are whole."""
    return shares if rounding == NO_ROUNDING else toward_zero(shares)


def close_all(
    t: int, n: int, at_close: int, prices: _Numbers, volume: _Numbers, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Close everything at the open or the close of the last bar; nothing waits any more."""
    for j in range(n):
        state[GOAL * n + j] = _NAN
        if state[QUANTITY * n + j] != 0.0:
            base = prices[t * n + j]
            if base == base:
                shares = volume[t * n + j] if rules[MAX_VOLUME] > 0.0 else 0.0
                trade(t, n, j, 0.0, base, shares, 1, at_close, END, rules, state, book, log)
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
    rounded, toward_zero, floored, row_in_force, record, pay_out, split, corporate_actions, charge_borrow, plan_fee,
    dated_fees, margin_cut, volume_left, remember_entry, trade, wished_shares, fill_goal, fill_goals, exit_position,
    take_exits, mark_positions, mark_best, margin_call, decide, close_all, write_row, run_bars,
)  # fmt: skip
