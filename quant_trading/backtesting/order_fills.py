"""How a goal is filled, in the six points of docs/backtest-engine.md: the part of the bar loop that trades.

Plain Python over flat float64 sequences that numba understands as well, see `loop`.
"""

from collections.abc import MutableSequence, Sequence

from quant_trading.backtesting.loop_types import (
    BEST,
    CASH,
    COMMISSION,
    COST,
    COST_RATE,
    CUT,
    DOWN,
    DROPPED,
    ENTRY,
    FILLED,
    FILLED_AT,
    FILLS,
    GOAL,
    HAS_EXITS,
    HELD_FROM,
    LEVERAGE,
    LOG_WIDTH,
    MARGIN,
    MARGIN_CASH,
    MARK,
    MAX_VOLUME,
    MONTH_SHARES,
    NO_MARGIN,
    NO_ROUNDING,
    ORDERS,
    PLAN_AT,
    PLAN_END,
    PLAN_FEES,
    PLAN_WIDTH,
    QUANTITY,
    REGULATORY,
    ROUNDING,
    SALES_AT,
    SALES_END,
    SALES_WIDTH,
    SIZE_AT_FILL,
    SLIPPAGE,
    SLIPPAGE_MONEY,
    SLIPPAGE_RATE,
    SLIPS,
    TABLES_AT,
    TIERS,
    TOUCHED,
    TRADED_NOW,
    TWO_ORDERS,
    VISITED,
    WAITING,
    WHY,
)  # fmt: skip

__all__ = [
    "FILL_FUNCTIONS", "dated_fees", "fill_goal", "fill_goals", "floored", "margin_cut", "plan_fee", "record",
    "remember_entry", "rounded", "row_in_force", "toward_zero", "trade", "volume_left", "wished_shares",
]  # fmt: skip

_Numbers = Sequence[float]
_Out = MutableSequence[float]

_NAN = float("nan")
_ALL_WHOLE = 9.0e15  # beyond it every float is whole


def fill_goals(
    t: int, n: int, at_close: float, prices: _Numbers, volume: _Numbers, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Fill what waits, at the open or the close; with a margin rule what only reduces comes first."""
    row = t * n
    stages = 1 if rules[MARGIN] == NO_MARGIN else 2
    moment = 2.0 * t + at_close + 1.0
    book[WAITING] = 0.0
    for stage in range(stages):
        for j in range(n):
            goal = state[GOAL * n + j]
            if goal != goal:
                continue
            base = prices[row + j]
            if stages == 2 and stage == 0:
                held = state[QUANTITY * n + j]
                wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
                if not (abs(wish) < abs(held) and wish * held >= 0.0):
                    continue
                state[VISITED * n + j] = moment
            elif stages == 2 and state[VISITED * n + j] == moment:
                continue
            shares = volume[row + j] if rules[MAX_VOLUME] > 0.0 else 0.0
            fill_goal(t, n, j, base, shares, at_close, rules, state, book, log)


def fill_goal(
    t: int, n: int, j: int, base: float, shares: float, at_close: float, rules: _Numbers, state: _Out, book: _Out,
    log: _Out,
) -> None:  # fmt: skip
    """Fill the goal of symbol j at `base`, as one order or as two; what volume (`shares`) leaves of it waits."""
    goal = state[GOAL * n + j]
    if base != base:
        if goal != state[QUANTITY * n + j] or (rules[SIZE_AT_FILL] > 0.0 and goal != 0.0):
            book[DROPPED] += 1.0
        state[GOAL * n + j] = _NAN
        return
    wish = goal
    if rules[SIZE_AT_FILL] > 0.0:
        wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
    reason = state[WHY * n + j]
    if rules[TWO_ORDERS] > 0.0 and wish * state[QUANTITY * n + j] < 0.0:
        trade(t, n, j, 0.0, base, shares, SLIPS, at_close, reason, rules, state, book, log)
        if state[QUANTITY * n + j] != 0.0:
            book[WAITING] = 1.0
            return
        wish = wished_shares(n, j, goal, base, rules, state, book[CASH])
    if trade(t, n, j, wish, base, shares, SLIPS, at_close, reason, rules, state, book, log) == 1:
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
    t: int, n: int, j: int, goal: float, base: float, shares: float, slips: float, at_close: float, reason: float,
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
    if slips == SLIPS and (rules[SLIPPAGE_RATE] > 0.0 or rules[SLIPPAGE_MONEY] > 0.0):
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


def remember_entry(t: int, n: int, j: int, at_close: float, after: float, price: float, state: _Out) -> None:
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
    t: int, j: int, quantity: float, price: float, cost: float, reason: float, book: _Out, log: _Out
) -> None:  # fmt: skip
    """Write one fill."""
    at, room = int(book[FILLS]), len(log) // LOG_WIDTH
    log[at] = t
    log[at + room] = j
    log[at + 2 * room] = quantity
    log[at + 3 * room] = price
    log[at + 4 * room] = cost
    log[at + 5 * room] = reason
    book[FILLS] += 1.0


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


# What is compiled, each after those it calls.
FILL_FUNCTIONS = (
    rounded, toward_zero, floored, row_in_force, record, plan_fee, dated_fees, margin_cut, volume_left, remember_entry,
    trade, wished_shares, fill_goal, fill_goals,
)  # fmt: skip
