"""The backtest engine a second time: slow, obvious, and written from docs/backtest-engine.md alone.

One method per letter of the page and one per rule of a fill, in the page's order and its words; classes,
dictionaries and plain floats instead of arrays. It shares no line with quant_trading/backtesting/kernel.py:
a wrong reading of the page cannot hide in both. Read it beside the page.
"""

import math
from bisect import bisect_left
from datetime import date
from decimal import Decimal

from quant_trading.refdata.commissions import fixed_commission, regulatory_fees_on, tiered_charges
from tests.backtesting.reference_nouns import LONG, NOBODY, Bar, Fill, Goal, Holding, Market, Outcome, Row, Rules, sign

__all__ = ["ReferenceBacktest"]


def is_price(value: float) -> bool:
    """Return False for a missing one."""
    return not math.isnan(value)


def rounded_level(price: float) -> float:
    """Return a stop or a limit as step D of the page rounds it."""
    size = abs(price)
    return price if size >= 1e9 else round(price, 10 if size < 100_000 else 6)


class ReferenceBacktest:
    """One run; `run()` once."""

    def __init__(self, market: Market, rules: Rules) -> None:
        self.market, self.rules = market, rules
        self.columns = range(len(market.bars[0]))
        self.last_bar = len(market.bars) - 1
        self.holdings = [Holding() for _ in self.columns]
        self.cash = rules.initial_capital
        self.equity = rules.initial_capital
        self.month_shares: dict[tuple[int, int], float] = {}
        self.dropped_orders = self.cut_orders = 0
        self.fills: list[Fill] = []
        self.row = Row()

    def run(self) -> Outcome:
        """Return the outcome of the walk over all bars."""
        rows, quantities = [], []
        equity_before = self.rules.initial_capital
        for t in range(self.last_bar + 1):
            self.row = Row()
            for h in self.holdings:
                h.filled_on_bar, h.grew_at_open, h.opened_at_close = 0.0, False, False
            self.walk(t)
            self.report(equity_before)
            rows.append(self.row)
            quantities.append([h.q for h in self.holdings])
            equity_before = self.row.equity
        return Outcome(rows, self.fills, quantities, self.dropped_orders, self.cut_orders)

    def walk(self, t: int) -> None:
        """Take bar t through the letters."""
        ends_at_open = self.rules.close_last == "open" and t == self.last_bar
        ends_at_close = self.rules.close_last == "close" and t == self.last_bar
        self.a_corporate_actions(t)
        self.b_borrow(t)
        if ends_at_open:
            self.close_everything(t, "open")
            self.f_mark(t)
            return
        self.c_open(t)
        self.d_exits(t)
        self.e_close(t)
        self.f_mark(t)
        if ends_at_close:
            self.close_everything(t, "close")  # J
            return
        if not self.g_margin_call():
            self.h_decide(t)
        self.i_same_close(t)

    # --- A ---------------------------------------------------------------------------------------

    def a_corporate_actions(self, t: int) -> None:
        """All splits, then all dividends, then what has ended."""
        for j in self.columns:
            for ratio in self.due(self.market.splits, t, j):
                self.split(t, j, ratio)
        for j in self.columns:
            for per_share in self.due(self.market.dividends, t, j):
                self.dividend(j, per_share)
        for j in self.columns:
            if self.rules.delisting == "close" and self.last_bar_of(j) == t - 1:
                self.delist(t, j)

    def due(self, events: dict[tuple[date, int], float], t: int, j: int) -> list[float]:
        """Return the values of the symbol's events that fall on bar t, by ex-date."""
        return [
            value for (ex_date, column), value in sorted(events.items()) if column == j and self.bar_of(ex_date) == t
        ]

    def bar_of(self, ex_date: date) -> int | None:
        """Return the panel's first bar of the ex-date's session or a later one; None outside the panel."""
        days = self.market.days
        if ex_date < days[0] or ex_date > days[-1]:
            return None
        return bisect_left(days, ex_date)

    def last_bar_of(self, j: int) -> int | None:
        """Return the bar of the symbol's last close."""
        return next((t for t in range(self.last_bar, -1, -1) if is_price(self.market.bars[t][j].close)), None)

    def split(self, t: int, j: int, ratio: float) -> None:
        """`ratio` new shares for one old."""
        h = self.holdings[j]
        h.q *= ratio
        h.mark /= ratio
        h.entry /= ratio
        h.best /= ratio
        if h.goal is not None and h.goal.shares is not None:
            h.goal.shares *= ratio
        if self.rules.rounding == "none":
            return
        if h.goal is not None and h.goal.shares is not None:
            h.goal.shares = float(math.trunc(h.goal.shares))
        whole = float(math.trunc(h.q))
        cut = h.q - whole
        if cut != 0.0:
            h.q = whole
            self.cash += cut * h.mark
            self.fills.append(Fill(t, j, -cut, h.mark, 0.0, "split"))

    def dividend(self, j: int, per_share: float) -> None:
        """Longs are paid, shorts pay."""
        amount = self.holdings[j].q * per_share
        self.cash += amount
        self.row.dividends += amount

    def delist(self, t: int, j: int) -> None:
        """Pay the position out at its last price, without costs."""
        h = self.holdings[j]
        h.goal = None
        if h.q != 0.0:
            self.cash += h.q * h.mark
            self.fills.append(Fill(t, j, -h.q, h.mark, 0.0, "delisted"))
            h.q = 0.0

    # --- B ---------------------------------------------------------------------------------------

    def b_borrow(self, t: int) -> None:
        """Shorts pay for the calendar days since the session before, on the first bar of a session."""
        if t == 0 or self.market.days[t] == self.market.days[t - 1]:
            return
        days = (self.market.days[t] - self.market.days[t - 1]).days
        for h in self.holdings:
            if h.q < 0.0:
                paid = -h.q * h.mark * self.rules.borrow_rate * days / 360
                self.cash -= paid
                self.row.borrow += paid

    # --- C, E, I, J ------------------------------------------------------------------------------

    def c_open(self, t: int) -> None:
        """Fill at the open."""
        if self.rules.fill == "next_open":
            self.fill_goals(t, "open")

    def e_close(self, t: int) -> None:
        """Fill at the close what was decided before this bar."""
        if self.rules.fill == "next_close":
            self.fill_goals(t, "close")

    def i_same_close(self, t: int) -> None:
        """Fill at the close what was decided on it."""
        if self.rules.fill == "same_close":
            self.fill_goals(t, "close")

    def close_everything(self, t: int, at: str) -> None:
        """Void the goals and close all positions, as fills like any other (the last bar's C, and J)."""
        for h in self.holdings:
            h.goal = Goal("end", shares=0.0) if h.q != 0.0 else None
        self.fill_goals(t, at)

    # --- D ---------------------------------------------------------------------------------------

    def d_exits(self, t: int) -> None:
        """Take the exits of what is held."""
        for j in self.columns:
            if self.holdings[j].q != 0.0:
                found = self.exit_of(self.holdings[j], self.market.bars[t][j])
                if found is not None:
                    price, reason = found
                    self.take_exit(t, j, price, reason)

    def exit_of(self, h: Holding, bar: Bar) -> tuple[float, str] | None:
        """Return price and reason of the exit taken on this bar, worst case first.

        A missing price is beyond nothing: NaN compares false.
        """
        stop, stop_reason = self.stop_level(h)
        limit = self.limit_level(h)
        is_long = h.q > 0.0
        worst, best = (bar.low, bar.high) if is_long else (bar.high, bar.low)

        def is_beyond_stop(price: float) -> bool:
            return stop is not None and (price <= stop if is_long else price >= stop)

        def is_beyond_limit(price: float) -> bool:
            return limit is not None and (price >= limit if is_long else price <= limit)

        if not h.grew_at_open:
            if is_beyond_stop(bar.open):
                return bar.open, stop_reason
            if is_beyond_limit(bar.open):
                return bar.open, "take_profit"
        if stop is not None and is_beyond_stop(worst):
            # Where the open was beyond the stop already (a position added to in C), no better price was there.
            return (bar.open if is_beyond_stop(bar.open) else stop), stop_reason
        if limit is not None and is_beyond_limit(best):
            return limit, "take_profit"
        return None

    def stop_level(self, h: Holding) -> tuple[float | None, str]:
        """Return the nearer one of stop loss and trailing stop; the stop loss on a tie."""
        side = sign(h.q)
        levels = []
        if self.rules.stop_loss > 0.0:
            levels.append((rounded_level(h.entry * (1 - side * self.rules.stop_loss)), "stop_loss"))
        if self.rules.trailing_stop > 0.0:
            levels.append((rounded_level(h.best * (1 - side * self.rules.trailing_stop)), "trailing_stop"))
        if not levels:
            return None, ""
        # max and min keep the first of equals
        return (max if side == LONG else min)(levels, key=lambda level: level[0])

    def limit_level(self, h: Holding) -> float | None:
        """Return the take-profit's price."""
        if self.rules.take_profit == 0.0:
            return None
        return rounded_level(h.entry * (1 + sign(h.q) * self.rules.take_profit))

    def take_exit(self, t: int, j: int, base: float, reason: str) -> None:
        """Fill the exit, block its side, and settle what waits: a goal on the other side stays, another is void."""
        h = self.holdings[j]
        side = sign(h.q)
        waiting = h.goal if h.goal is not None and h.goal.side() == -side else None
        h.blocked = side
        h.goal = Goal(reason, shares=0.0)
        self.fill_order(t, j, base, at_close=False, slips=reason != "take_profit")
        if waiting is not None:
            h.goal = waiting

    # --- F, G ------------------------------------------------------------------------------------

    def f_mark(self, t: int) -> None:
        """Value everything at the close."""
        for h, bar in zip(self.holdings, self.market.bars[t], strict=True):
            if is_price(bar.close):
                h.mark = bar.close
            if h.q > 0.0 and bar.high > h.best and not h.opened_at_close:
                h.best = bar.high
            if h.q < 0.0 and bar.low < h.best and not h.opened_at_close:
                h.best = bar.low
        self.equity = self.worth()

    def worth(self) -> float:
        """Return cash and positions at their marks, from the left."""
        total = self.cash
        for h in self.holdings:
            total = total + h.value()
        return total

    def gross(self, but: int = -1) -> float:
        """Return the sum of what positions are worth without their signs, one symbol left out."""
        total = 0.0
        for j, h in enumerate(self.holdings):
            if j != but:
                total = total + abs(h.value())
        return total

    def g_margin_call(self) -> bool:
        """Return whether everything held must go."""
        if self.rules.margin != "margin" or self.rules.maintenance == 0.0:
            return False
        if not self.equity < self.rules.maintenance * self.gross():
            return False
        for h in self.holdings:
            h.goal = Goal("margin_call", shares=0.0) if h.q != 0.0 else None
        return True

    # --- H ---------------------------------------------------------------------------------------

    def h_decide(self, t: int) -> None:
        """Turn this bar's targets into goals."""
        for h, bar, x in zip(self.holdings, self.market.bars[t], self.market.target[t], strict=True):
            if is_price(bar.close):
                self.decide(t, h, bar.close, x)
                if x is not None:
                    h.last_target = x

    def decide(self, t: int, h: Holding, close: float, x: float | None) -> None:
        """The first of the rules 1 to 6 that applies."""
        if self.equity <= 0.0:
            h.goal = Goal("signal", shares=0.0) if h.q != 0.0 else None
            return
        if self.is_time_up(t, h) and (x is None or sign(x) == sign(h.q)):
            h.goal = Goal("time_exit", shares=0.0)
            h.blocked = sign(h.q)
            return
        if x is None:
            return
        if h.blocked != NOBODY and sign(x) == h.blocked:
            return
        h.blocked = NOBODY
        if self.rules.rebalance == "on_change" and x == h.last_target:
            return
        if self.rules.unit == "weight" and self.rules.size_at == "fill":
            h.goal = None if x == 0.0 and h.q == 0.0 else Goal("signal", weight=x)
            return
        wish = self.rounded(x if self.rules.unit == "shares" else self.equity * x / close)
        h.goal = None if wish == h.q else Goal("signal", shares=wish)

    def is_time_up(self, t: int, h: Holding) -> bool:
        """Return whether something was held for as many bars as may be."""
        n = self.rules.time_exit_bars
        return n > 0 and h.q != 0.0 and t - h.held_from + 1 >= n

    def rounded(self, shares: float) -> float:
        """Return whole shares, unless fractions are held."""
        if self.rules.rounding == "none":
            return shares
        return float(round(shares)) if self.rules.rounding == "half_even" else float(math.trunc(shares))

    # --- how a goal is filled --------------------------------------------------------------------

    def fill_goals(self, t: int, at: str) -> None:
        """Fill what waits; with a margin rule what only reduces a position goes first."""
        bases = [float(getattr(bar, at)) for bar in self.market.bars[t]]
        rest = []
        for j in self.columns:
            if self.holdings[j].goal is not None:
                if self.rules.margin == "none" or self.only_reduces(j, bases[j]):
                    self.fill_goal(t, j, bases[j], at_close=at == "close")
                else:
                    rest.append(j)
        for j in rest:
            self.fill_goal(t, j, bases[j], at_close=at == "close")

    def only_reduces(self, j: int, base: float) -> bool:
        """Return whether the goal is nearer to 0 than the position, on its side or at 0."""
        h = self.holdings[j]
        if h.goal is None or not is_price(base):
            return False
        shares = self.shares_of(h.goal, j, base)
        return abs(shares) < abs(h.q) and sign(shares) in (0, sign(h.q))

    def fill_goal(self, t: int, j: int, base: float, at_close: bool) -> None:
        """Fill one goal, a reversal as two orders where the rules say so."""
        h = self.holdings[j]
        goal = h.goal
        assert goal is not None
        if self.rules.reversal == "two" and is_price(base):
            wish = sign(self.shares_of(goal, j, base))
            if wish != 0 and wish == -sign(h.q):
                h.goal = Goal(goal.reason, shares=0.0)
                self.fill_order(t, j, base, at_close)
                h.goal = goal
                if h.q != 0.0:
                    return
        self.fill_order(t, j, base, at_close)

    def fill_order(self, t: int, j: int, base: float, at_close: bool, slips: bool = True) -> None:
        """Take the symbol's goal through the rules 1 to 6."""
        h = self.holdings[j]
        goal = h.goal
        assert goal is not None
        if not is_price(base):
            h.goal = None
            is_settled = h.q == 0.0 if goal.weight == 0.0 else goal.shares == h.q
            self.dropped_orders += not is_settled
            return
        wish = self.shares_of(goal, j, base)  # 1
        delta = wish - h.q
        if delta == 0.0:
            h.goal = None
            return
        part = self.cut_by_volume(t, j, delta)  # 2
        if part == 0.0:
            return
        price = self.fill_price(base, sign(part)) if slips else base  # 3
        allowed = self.cut_by_margin(t, j, part, price)  # 4
        if allowed != part:
            self.cut_orders += 1
        is_whole = allowed == delta
        if is_whole or allowed != part:
            h.goal = None
        if allowed != 0.0:
            after = wish if is_whole else h.q + allowed
            self.book(t, j, allowed, after, price, goal.reason, at_close)  # 5, 6

    def shares_of(self, goal: Goal, j: int, base: float) -> float:
        """Rule 1: return the wished shares; a weight becomes shares at this price and the equity it makes."""
        if goal.shares is not None:
            return goal.shares
        assert goal.weight is not None
        total = self.cash
        for k, h in enumerate(self.holdings):
            total = total + h.q * (base if k == j else h.mark)
        return self.rounded(total * goal.weight / base)

    def cut_by_volume(self, t: int, j: int, delta: float) -> float:
        """Rule 2: return the part of the wished change that the bar's volume allows."""
        if self.rules.max_volume_fraction == 0.0:
            return delta
        volume = self.market.bars[t][j].volume
        left = self.rules.max_volume_fraction * (0.0 if math.isnan(volume) else volume) - self.holdings[j].filled_on_bar
        if self.rules.rounding != "none":
            left = math.floor(left)
        return math.copysign(min(abs(delta), max(left, 0.0)), delta)

    def fill_price(self, base: float, s: int) -> float:
        """Rule 3: return what slippage makes of the price."""
        r = self.rules
        price = base * (1 + s * r.slippage_bps / 1e4) + s * r.slippage_ticks * r.tick_size
        return price if price > 0.0 else base

    def cut_by_margin(self, t: int, j: int, delta: float, price: float) -> float:
        """Rule 4: return the part of the change that cash or margin allows."""
        if self.rules.margin == "cash":
            return self.cut_by_cash(t, j, delta, price)
        if self.rules.margin == "margin":
            return self.cut_by_leverage(j, delta, price)
        return delta

    def cut_by_cash(self, t: int, j: int, delta: float, price: float) -> float:
        """No shorts, and no more than cash pays for."""
        if delta < 0.0:
            return -min(-delta, max(self.holdings[j].q, 0.0))
        fees = sum(self.charges(t, delta, price)[1:])
        allowed = (self.cash - fees) / (price * (1 + self.rules.cost_bps / 1e4))
        return min(delta, max(self.whole(allowed), 0.0))

    def cut_by_leverage(self, j: int, delta: float, price: float) -> float:
        """No more gross exposure than leverage x equity, but what is held on the same side may stay."""
        q = self.holdings[j].q
        wish = q + delta
        allowed = self.whole(max(self.rules.leverage * self.worth() - self.gross(but=j), 0.0) / price)
        if sign(wish) == sign(q):
            allowed = max(allowed, abs(q))
        return delta if abs(wish) <= allowed else sign(wish) * allowed - q

    def whole(self, shares: float) -> float:
        """Return the floor, unless fractions are held."""
        return shares if self.rules.rounding == "none" else float(math.floor(shares))

    def charges(self, t: int, delta: float, price: float) -> list[float]:
        """Rule 5: return what an order costs, in money: bps, commission, plan, regulatory fees."""
        bps = abs(delta) * price * (self.rules.cost_bps / 1e4)
        return [bps, self.rules.commission, self.plan_charge(t, delta, price), self.sale_fees(t, delta, price)]

    def plan_charge(self, t: int, delta: float, price: float) -> float:
        """Return the commission of IBKR's plan; the regulatory fees are none of its business."""
        day, shares, at = self.market.days[t], Decimal(abs(delta)), Decimal(price)
        if self.rules.plan == "ibkr_fixed":
            return float(fixed_commission(shares, at, day))
        if self.rules.plan == "ibkr_tiered":
            before = Decimal(self.month_shares.get((day.year, day.month), 0.0))
            return float(tiered_charges(shares, at, month_volume_before=before, day=day).total)  # as of a buy
        return 0.0

    def sale_fees(self, t: int, delta: float, price: float) -> float:
        """Return the SEC's and FINRA's fees."""
        if not self.rules.regulatory_fees or delta >= 0.0:
            return 0.0
        fees, shares = regulatory_fees_on(self.market.days[t]), Decimal(-delta)
        return float(shares * Decimal(price) * fees.sec_rate) + float(min(shares * fees.taf_per_share, fees.taf_cap))

    def book(self, t: int, j: int, delta: float, after: float, price: float, reason: str, at_close: bool) -> None:
        """Rule 6: money and shares change hands, and the position's history is kept."""
        h = self.holdings[j]
        cost = sum(self.charges(t, delta, price))
        day = self.market.days[t]
        self.month_shares[day.year, day.month] = self.month_shares.get((day.year, day.month), 0.0) + abs(delta)
        self.cash -= delta * price
        self.cash -= cost
        before, h.q = h.q, after
        if after != 0.0 and sign(before) != sign(after):
            h.entry = h.best = price
            h.held_from = t + 1 if at_close else t
            h.opened_at_close = at_close
            h.grew_at_open = not at_close
        elif abs(after) > abs(before):
            h.entry = (h.entry * before + price * delta) / after
            h.grew_at_open = not at_close
        h.filled_on_bar += abs(delta)
        self.fills.append(Fill(t, j, delta, price, cost, reason))
        self.row.cost += cost
        self.row.traded += abs(delta) * price
        self.row.orders += 1

    # --- what comes out --------------------------------------------------------------------------

    def report(self, equity_before: float) -> None:
        """Fill in the bar's row, after the last fill on it."""
        row = self.row
        row.cash = self.cash
        row.equity = self.worth()
        row.gross_pnl = row.equity - equity_before + row.cost
        row.turnover = row.traded / equity_before if equity_before > 0.0 else 0.0
        if row.equity > 0.0:
            row.gross_exposure = self.gross() / row.equity
            row.net_exposure = sum(h.value() for h in self.holdings) / row.equity
