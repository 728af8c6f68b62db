"""The bar loop of docs/backtest-engine.md: one source, interpreted on lists and compiled on arrays.

Every function here is plain Python over flat sequences, row after row (cell t * n_symbols + j), and every one is
understood by numba; `kernel.simulate` chooses. No fast-math flag is set, so both ways give the same bits. The letters
in the comments are those of the page. All that changes lies in sequences (`State`, `Log`, `book`), so that functions
can change it and a run can stop for a larger log and go on.
"""

import math

from quant_trading.backtesting.loop_types import (
    AT_CLOSE,
    AT_OPEN,
    BEFORE,
    BORROW_NOW,
    BORROWED,
    BY_DIVIDENDS,
    CASH,
    COST,
    CUT,
    DELISTED,
    DIVIDEND,
    DIVIDENDS_NOW,
    DOWN,
    DROPPED,
    END,
    EVENT,
    FILLS,
    FILLS_PER_BAR,
    LEAVE,
    MARGIN_CALL,
    MARGIN_CASH,
    MARGIN_LEVERAGE,
    MONTH,
    MONTH_SHARES,
    NEXT_CLOSE,
    NEXT_OPEN,
    NO_MARGIN,
    NO_ROUNDING,
    ORDERS,
    PLAN_FEES,
    PLAN_WIDTH,
    REGULATORY,
    ROW_WIDTH,
    SALES_WIDTH,
    SAME_CLOSE,
    SIGNAL,
    SLIPPAGE,
    SPLIT,
    SPLIT_CASH,
    STOP_LOSS,
    TAKE_PROFIT,
    TIERS,
    TIME_EXIT,
    TRADED,
    TRADED_NOW,
    TRAILING_STOP,
    WAITING,
    Numbers,
    Run,
)  # fmt: skip

__all__ = ["FUNCTIONS", "run_bars"]

_NAN = float("nan")
_ALL_WHOLE = 9.0e15  # beyond it every float is whole


def run_bars(run: Run, start: int) -> int:
    """Walk the bars from `start` on; return how many are done: fewer than there are when the log is nearly full."""
    rules, book = run.rules, run.book
    n = len(run.state.quantity)
    n_bars = len(run.market.close) // n
    has_exits = rules.stop_loss > 0.0 or rules.take_profit > 0.0 or rules.trailing_stop > 0.0
    for t in range(start, n_bars):
        if len(run.log.bar) - int(book[FILLS]) < FILLS_PER_BAR * n:
            return t
        for k in range(BORROW_NOW + 1):
            book[k] = 0.0
        ends = rules.close_last if t == n_bars - 1 else LEAVE
        if int(book[EVENT]) < len(run.tables.event_bar):
            corporate_actions(run, t)  # A
        if rules.borrow_rate > 0.0 and run.tables.days[t] > 0.0:
            charge_borrow(run, t)  # B
        if ends == AT_OPEN:
            close_all(run, t, 0)  # C
            equity = mark_positions(run, t)
        else:
            if rules.fill == NEXT_OPEN and book[WAITING] > 0.0:
                fill_goals(run, t, 0)  # C
            if has_exits:
                take_exits(run, t)  # D
            if rules.fill == NEXT_CLOSE and book[WAITING] > 0.0:
                fill_goals(run, t, 1)  # E
            equity = mark_positions(run, t)  # F
            if ends == AT_CLOSE:
                close_all(run, t, 1)  # J
            else:
                if not margin_call(run, equity):  # G
                    decide(run, t, equity)  # H
                if rules.fill == SAME_CLOSE and book[WAITING] > 0.0:
                    fill_goals(run, t, 1)  # I
        write_row(run, t)
    return n_bars


def corporate_actions(run: Run, t: int) -> None:
    """Apply the events of bar t."""
    tables, state, book = run.tables, run.state, run.book
    at = int(book[EVENT])
    while at < len(tables.event_bar) and tables.event_bar[at] == t:
        j, value = tables.event_symbol[at], tables.event_value[at]
        if tables.event_kind[at] == SPLIT:
            split(run, t, j, value)
        elif tables.event_kind[at] == DIVIDEND:
            paid = state.quantity[j] * value
            book[CASH] += paid
            book[DIVIDENDS_NOW] += paid
            state.dividends[j] += paid
        else:
            pay_out(run, t, j, state.quantity[j], DELISTED)
            state.quantity[j] = 0.0
            state.goal[j] = _NAN
        at += 1
    book[EVENT] = at


def split(run: Run, t: int, j: int, ratio: float) -> None:
    """Turn each share of symbol j into `ratio` shares."""
    state = run.state
    state.mark[j] /= ratio
    state.entry[j] /= ratio
    state.best[j] /= ratio
    held = state.quantity[j] * ratio
    goal = state.goal[j]
    if run.rules.size_at_fill == 0 and goal == goal:
        goal *= ratio
        state.goal[j] = goal if run.rules.rounding == NO_ROUNDING else toward_zero(goal)
    state.quantity[j] = held
    if run.rules.rounding != NO_ROUNDING:
        state.quantity[j] = toward_zero(held)
        pay_out(run, t, j, held - state.quantity[j], SPLIT_CASH)


def pay_out(run: Run, t: int, j: int, shares: float, reason: int) -> None:
    """Pay `shares` of symbol j at its mark, free of costs, and record it; the caller takes them off."""
    if shares != 0.0:
        run.book[CASH] += shares * run.state.mark[j]
        record(run, t, j, -shares, run.state.mark[j], 0.0, reason)


def charge_borrow(run: Run, t: int) -> None:
    """Take what shorts pay for the days since the session before."""
    state, book = run.state, run.book
    days = run.tables.days[t]
    for j in range(len(state.quantity)):
        if state.quantity[j] < 0.0:
            charge = -state.quantity[j] * state.mark[j] * run.rules.borrow_rate * days / 360.0
            book[CASH] -= charge
            book[BORROW_NOW] += charge
            state.borrow[j] += charge


def fill_goals(run: Run, t: int, at_close: int) -> None:
    """Fill what waits, at the open or the close; with a margin rule what only reduces comes first."""
    state, rules = run.state, run.rules
    prices = run.market.close if at_close == 1 else run.market.open
    n = len(state.goal)
    row = t * n
    run.book[WAITING] = 0.0
    if rules.margin == NO_MARGIN:
        for j in range(n):
            if state.goal[j] == state.goal[j]:
                fill_goal(run, t, j, prices[row + j], at_close)
        return
    for stage in range(2):
        for j in range(n):
            goal = state.goal[j]
            if goal == goal:
                held = state.quantity[j]
                wish = wished_shares(run, j, goal, prices[row + j])
                reduces = abs(wish) < abs(held) and wish * held >= 0.0
                if reduces == (stage == 0):
                    fill_goal(run, t, j, prices[row + j], at_close)
                else:
                    run.book[WAITING] = 1.0


def fill_goal(run: Run, t: int, j: int, base: float, at_close: int) -> None:
    """Fill the goal of symbol j at `base`, as one order or as two; what volume leaves of it waits."""
    state, book = run.state, run.book
    goal = state.goal[j]
    if base != base:
        if goal != state.quantity[j] or (run.rules.size_at_fill == 1 and goal != 0.0):
            book[DROPPED] += 1.0
        state.goal[j] = _NAN
        return
    wish = wished_shares(run, j, goal, base)
    reason = int(state.why[j])
    if run.rules.two_orders == 1 and wish * state.quantity[j] < 0.0:
        trade(run, t, j, 0.0, base, 1, at_close, reason)
        if state.quantity[j] != 0.0:
            book[WAITING] = 1.0
            return
        wish = wished_shares(run, j, goal, base)
    if trade(run, t, j, wish, base, 1, at_close, reason) == 1:
        book[WAITING] = 1.0
    else:
        state.goal[j] = _NAN


def wished_shares(run: Run, j: int, goal: float, base: float) -> float:
    """Return the shares a goal stands for: itself, or what its weight buys at `base`."""
    if run.rules.size_at_fill == 0:
        return goal
    state = run.state
    equity = run.book[CASH]
    for k in range(len(state.quantity)):
        equity += state.quantity[k] * (base if k == j else state.mark[k])
    return rounded(equity * goal / base, run.rules.rounding)


def trade(
    run: Run, t: int, j: int, goal: float, base: float, slips: int, at_close: int, reason: int
) -> int:  # fmt: skip
    """Move symbol j toward `goal` shares at `base`; return 1 when volume leaves a part that waits, else 0."""
    rules, state, book = run.rules, run.state, run.book
    held = state.quantity[j]
    delta = goal - held
    if delta == 0.0:
        return 0
    waits = 0
    if rules.max_volume > 0.0:
        room = volume_left(run, t, j)
        if not abs(delta) <= room:
            if not room > 0.0:
                return 1
            delta = room if delta > 0.0 else -room
            waits = 1
    price = base
    if slips == 1:
        price = slipped(base, 1.0 if delta > 0.0 else -1.0, rules.slippage_rate, rules.slippage_money)
    if rules.margin != NO_MARGIN:
        cut = (
            cut_by_cash(run, t, j, delta, price) if rules.margin == MARGIN_CASH else cut_by_margin(run, j, delta, price)
        )
        if cut != delta:
            book[CUT] += 1.0
            delta = cut
            waits = 0
            if delta == 0.0:
                return 0
    value = delta * price
    charge = rules.cost_rate * abs(value) + rules.commission
    if len(run.tables.plan) > 0 or len(run.tables.sales) > 0:
        charge += dated_fees(run, t, delta, price)
    after = goal if delta == goal - held else held + delta
    if rules.stop_loss > 0.0 or rules.take_profit > 0.0 or rules.trailing_stop > 0.0 or rules.time_exit_bars > 0:
        remember_entry(run, t + at_close, t, j, after, price)
    state.quantity[j] = after
    if rules.max_volume > 0.0:
        state.filled[j] += abs(delta)
    book[CASH] -= value
    book[CASH] -= charge
    book[COST] += charge
    book[TRADED_NOW] += abs(value)
    book[ORDERS] += 1.0
    if price != base:
        book[SLIPPAGE] += delta * (price - base)
    record(run, t, j, delta, price, charge, reason)
    return waits


def volume_left(run: Run, t: int, j: int) -> float:
    """Return how many shares of symbol j may still be filled on bar t."""
    state, rules = run.state, run.rules
    if state.filled_at[j] != t:
        state.filled_at[j] = t
        state.filled[j] = 0.0
    volume = run.market.volume[t * len(state.quantity) + j]
    room = rules.max_volume * volume - state.filled[j]
    if not room > 0.0:
        return 0.0
    if rules.rounding != NO_ROUNDING and room < _ALL_WHOLE:
        room = float(math.floor(room))
    return room


def slipped(base: float, side: float, rate: float, money: float) -> float:
    """Return the price a fill gets; side 1 buys, -1 sells."""
    price = base * (1.0 + side * rate) + side * money
    return price if price > 0.0 else base


def cut_by_cash(run: Run, t: int, j: int, delta: float, price: float) -> float:
    """Return what of an order is sold of what is held, or paid for by cash."""
    rules = run.rules
    held = run.state.quantity[j]
    if delta < 0.0:
        most = max(held, 0.0)
        return delta if -delta <= most else -most
    fees = rules.commission
    if len(run.tables.plan) > 0:
        fees += plan_fee(run, t, delta, delta * price)
    most = floored(max(run.book[CASH] - fees, 0.0) / (price * (1.0 + rules.cost_rate)), rules.rounding)
    return delta if delta <= most else most


def cut_by_margin(run: Run, j: int, delta: float, price: float) -> float:
    """Return what of an order keeps the gross exposure within leverage x equity."""
    state, rules = run.state, run.rules
    held = state.quantity[j]
    wish = held + delta
    if abs(wish) <= abs(held) and wish * held >= 0.0:
        return delta
    equity = run.book[CASH]
    others = 0.0
    for k in range(len(state.quantity)):
        value = state.quantity[k] * state.mark[k]
        equity += value
        if k != j:
            others += abs(value)
    most = floored(max(rules.leverage * equity - others, 0.0) / price, rules.rounding)
    if wish * held > 0.0:
        most = max(most, abs(held))
    if abs(wish) <= most:
        return delta
    return (most if wish > 0.0 else -most) - held


def dated_fees(run: Run, t: int, delta: float, price: float) -> float:
    """Return what plan and regulators charge for a fill, and count its shares."""
    book = run.book
    shares, value = abs(delta), abs(delta * price)
    fee = sales_fee = 0.0
    if len(run.tables.plan) > 0:
        fee = plan_fee(run, t, shares, value)
        book[PLAN_FEES] += fee
        book[MONTH_SHARES] += shares
    if len(run.tables.sales) > 0 and delta < 0.0:
        rows = run.tables.sales
        at = row_in_force(rows, SALES_WIDTH, t)
        sales_fee = value * rows[at + 1] + min(shares * rows[at + 2], rows[at + 3])
        book[REGULATORY] += sales_fee
    return fee + sales_fee


def plan_fee(run: Run, t: int, shares: float, value: float) -> float:
    """Return what the commission plan charges for an order of `shares`, both positive."""
    rows, book = run.tables.plan, run.book
    if len(run.tables.month) > 0 and book[MONTH] != run.tables.month[t]:
        book[MONTH] = run.tables.month[t]
        book[MONTH_SHARES] = 0.0
    at = row_in_force(rows, PLAN_WIDTH, t)
    done = book[MONTH_SHARES]
    end = done + shares
    charged = 0.0
    for k in range(TIERS):
        reached = min(end, rows[at + 5 + 2 * k])
        if reached > done:
            charged += (reached - done) * rows[at + 6 + 2 * k]
            done = reached
    commission = min(max(rows[at + 1], charged), value * rows[at + 2])
    return commission + shares * rows[at + 3] + commission * rows[at + 4]


def row_in_force(rows: Numbers, width: int, t: int) -> int:
    """Return where the last row begins whose first bar is t or earlier."""
    at = len(rows) - width
    while at > 0 and rows[at] > t:
        at -= width
    return at


def remember_entry(run: Run, held_from: int, t: int, j: int, after: float, price: float) -> None:
    """Keep what the exits need to know of a position that opens, turns or grows."""
    state = run.state
    held = state.quantity[j]
    if held * after <= 0.0:
        state.entry[j] = price
        state.best[j] = price
        state.held_from[j] = held_from
        state.touched[j] = t
    elif abs(after) > abs(held):
        state.entry[j] = (state.entry[j] * held + price * (after - held)) / after
        state.touched[j] = t


def record(run: Run, t: int, j: int, quantity: float, price: float, cost: float, reason: int) -> None:
    """Write one fill."""
    log = run.log
    at = int(run.book[FILLS])
    log.bar[at] = t
    log.symbol[at] = j
    log.reason[at] = reason
    log.quantity[at] = quantity
    log.price[at] = price
    log.cost[at] = cost
    run.book[FILLS] = at + 1


def take_exits(run: Run, t: int) -> None:
    """Close what reached its stop or its limit on bar t, the worst case first."""
    state, rules, market = run.state, run.rules, run.market
    n = len(state.quantity)
    for j in range(n):
        held = state.quantity[j]
        if held == 0.0:
            continue
        at = t * n + j
        side = 1.0 if held > 0.0 else -1.0
        stop, reason = -side * math.inf, STOP_LOSS
        if rules.stop_loss > 0.0:
            stop = state.entry[j] * (1.0 - side * rules.stop_loss)
        if rules.trailing_stop > 0.0:
            trail = state.best[j] * (1.0 - side * rules.trailing_stop)
            if side * trail > side * stop:
                stop, reason = trail, TRAILING_STOP
        limit = state.entry[j] * (1.0 + side * rules.take_profit) if rules.take_profit > 0.0 else side * math.inf
        first = market.open[at]
        worst, fairest = (market.low[at], market.high[at]) if held > 0.0 else (market.high[at], market.low[at])
        base = _NAN
        is_old = state.touched[j] != t
        if is_old and side * first <= side * stop:
            base = first
        elif is_old and side * first >= side * limit:
            base, reason = first, TAKE_PROFIT
        elif side * worst <= side * stop:
            base = first if side * first < side * stop else stop
        elif side * fairest >= side * limit:
            base, reason = limit, TAKE_PROFIT
        if base == base:
            exit_position(run, t, j, base, reason, side)


def exit_position(run: Run, t: int, j: int, base: float, reason: int, side: float) -> None:
    """Close symbol j at `base`, block its side and settle the goal that waits."""
    state = run.state
    stays = state.goal[j] * side < 0.0
    rest = trade(run, t, j, 0.0, base, 0 if reason == TAKE_PROFIT else 1, 0, reason)
    state.blocked[j] = side
    if not stays:
        state.goal[j] = _NAN
        if rest == 1:
            state.goal[j] = 0.0
            state.why[j] = reason
            run.book[WAITING] = 1.0


def mark_positions(run: Run, t: int) -> float:
    """Take the closes as marks; return the equity."""
    state, market = run.state, run.market
    quantity, mark, close = state.quantity, state.mark, market.close
    n = len(quantity)
    row = t * n
    equity = run.book[CASH]
    for j in range(n):
        price = close[row + j]
        if price == price:
            mark[j] = price
        equity += quantity[j] * mark[j]
    if run.rules.trailing_stop > 0.0:
        for j in range(n):
            held = quantity[j]
            if held > 0.0 and state.held_from[j] <= t and market.high[row + j] > state.best[j]:
                state.best[j] = market.high[row + j]
            elif held < 0.0 and state.held_from[j] <= t and market.low[row + j] < state.best[j]:
                state.best[j] = market.low[row + j]
    return equity


def margin_call(run: Run, equity: float) -> bool:
    """Return True when the equity no longer carries what is held; then everything held waits to be closed."""
    state, rules = run.state, run.rules
    if rules.margin != MARGIN_LEVERAGE or not rules.maintenance > 0.0:
        return False
    gross = 0.0
    for j in range(len(state.quantity)):
        gross += abs(state.quantity[j] * state.mark[j])
    if not equity < rules.maintenance * gross:
        return False
    for j in range(len(state.quantity)):
        state.goal[j] = _NAN
        if state.quantity[j] != 0.0:
            state.goal[j] = 0.0
            state.why[j] = MARGIN_CALL
            run.book[WAITING] = 1.0
    return True


def decide(run: Run, t: int, equity: float) -> None:
    """Turn the targets of bar t into goals."""
    state, rules = run.state, run.rules
    quantity, goal, why, blocked, last_target = state.quantity, state.goal, state.why, state.blocked, state.last_target
    close, target = run.market.close, run.market.target
    n = len(quantity)
    row = t * n
    waits = run.book[WAITING]
    for j in range(n):
        price = close[row + j]
        if price != price:
            continue
        x, held = target[row + j], quantity[j]
        before = last_target[j]
        if x == x:
            last_target[j] = x
        if equity <= 0.0:
            wish, reason, is_new = 0.0, SIGNAL, held != 0.0
        elif (
            rules.time_exit_bars > 0
            and held != 0.0
            and t - state.held_from[j] + 1.0 >= rules.time_exit_bars
            and not x * held <= 0.0
        ):
            wish, reason, is_new = 0.0, TIME_EXIT, True
            blocked[j] = 1.0 if held > 0.0 else -1.0
        elif x != x or x * blocked[j] > 0.0:
            continue
        else:
            blocked[j] = 0.0
            if rules.on_change == 1 and x == before:
                continue
            reason = SIGNAL
            if rules.size_at_fill == 1:
                wish, is_new = x, x != 0.0 or held != 0.0
            else:
                wish = rounded(equity * x / price if rules.by_weight == 1 else x, rules.rounding)
                is_new = wish != held
        if is_new:
            goal[j] = wish
            why[j] = reason
            waits = 1.0
        else:
            goal[j] = _NAN
    run.book[WAITING] = waits


def rounded(shares: float, rounding: int) -> float:
    """Return shares as the desk rounds them, toward zero, or as they are."""
    if rounding == NO_ROUNDING or not abs(shares) < _ALL_WHOLE:
        return shares
    if rounding == DOWN:
        return float(int(shares))
    return float(round(shares))


def toward_zero(shares: float) -> float:
    """Return shares without their fraction."""
    return float(int(shares)) if abs(shares) < _ALL_WHOLE else shares


def floored(shares: float, rounding: int) -> float:
    """Return 0 or more shares without their fraction when shares are whole."""
    return shares if rounding == NO_ROUNDING else toward_zero(shares)


def close_all(run: Run, t: int, at_close: int) -> None:
    """Close everything at the open or the close of the last bar; nothing waits any more."""
    state = run.state
    prices = run.market.close if at_close == 1 else run.market.open
    n = len(state.quantity)
    for j in range(n):
        state.goal[j] = _NAN
        if state.quantity[j] != 0.0:
            base = prices[t * n + j]
            if base == base:
                trade(run, t, j, 0.0, base, 1, at_close, END)
            else:
                run.book[DROPPED] += 1.0


def write_row(run: Run, t: int) -> None:
    """Write what bar t comes to."""
    book, rows, holdings = run.book, run.log.rows, run.log.holdings
    quantity, mark = run.state.quantity, run.state.mark
    n = len(quantity)
    equity = cash = book[CASH]
    gross = net = 0.0
    for j in range(n):
        value = quantity[j] * mark[j]
        equity += value
        net += value
        gross += abs(value)
        holdings[t * n + j] = quantity[j]
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
    book[BY_DIVIDENDS] += book[DIVIDENDS_NOW]


# What is compiled, each after those it calls.
FUNCTIONS = (
    rounded, toward_zero, floored, slipped, row_in_force, record, pay_out, split, corporate_actions, charge_borrow,
    plan_fee, dated_fees, cut_by_cash, cut_by_margin, volume_left, remember_entry, trade, wished_shares, fill_goal,
    fill_goals, exit_position, take_exits, mark_positions, margin_call, decide, close_all, write_row, run_bars,
)  # fmt: skip
