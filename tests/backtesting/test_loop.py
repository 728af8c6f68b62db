"""Every letter of docs/backtest-engine.md by hand: fills, reasons and money worked out in the comments."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quant_trading.backtesting.kernel import Reason, simulate
from quant_trading.backtesting.loop import level
from quant_trading.backtesting.loop_types import (
    AT_CLOSE,
    AT_OPEN,
    DELIST,
    DIVIDEND,
    DOWN,
    MARGIN_CASH,
    MARGIN_LEVERAGE,
    NEXT_CLOSE,
    NO_ROUNDING,
    NO_TABLES,
    SAME_CLOSE,
    SPLIT,
    Rules,
)

NAN = float("nan")
PLAIN = Rules(
    initial_capital=10_000.0, fill=0, by_weight=0, on_change=1, size_at_fill=0, rounding=0, cost_rate=0.0,
    commission=0.0, two_orders=0, slippage_rate=0.0, slippage_money=0.0, margin=0, leverage=2.0, maintenance=0.0,
    max_volume=0.0, borrow_rate=0.0, stop_loss=0.0, take_profit=0.0, trailing_stop=0.0, time_exit_bars=0, close_last=0,
)  # fmt: skip


def flat(price, volume=1e6):
    return (price, price, price, price, volume)


def run(bars, targets, tables=NO_TABLES, compiled=False, **rules):
    """One symbol: bars of (open, high, low, close, volume) and the shares wished after each."""
    cells = np.array(bars, dtype=np.float64).reshape(len(bars), -1, 5)
    prices = [np.ascontiguousarray(cells[..., k]) for k in range(5)]
    target = np.array(targets, dtype=np.float64).reshape(cells.shape[:2])
    return simulate(prices, target, PLAIN._replace(**rules), tables, compiled)


def fills(account):
    f = account.fills
    return [
        (t, q, round(p, 9), Reason(why).name.lower())
        for t, q, p, why in zip(f.bar.tolist(), f.quantity.tolist(), f.price.tolist(), f.reason.tolist(), strict=True)
    ]


def events(*rows):
    return NO_TABLES._replace(events=np.array(rows, dtype=np.float64).reshape(-1))


LONG = [flat(100)] * 2  # decided on bar 0, bought at 100 on bar 1


# A: corporate actions


def test_a_split_turns_shares_goals_and_prices():
    # 10 shares at 100, two for one on bar 2: 20 shares marked at 50; the stop of 10 % then lies at 45.
    bars = [*LONG, (50, 50, 46, 48, 1e6), (48, 48, 44, 44, 1e6)]
    account = run(bars, [10, NAN, NAN, NAN], events((2, SPLIT, 0, 2.0)), stop_loss=0.1)
    assert account.ledger.holdings[:, 0].tolist() == [0, 10, 20, 0]
    assert fills(account) == [(1, 10, 100, "signal"), (3, -20, 45, "stop_loss")]
    assert account.ledger.equity.tolist() == [10_000, 10_000, 9_960, 9_900]


def test_the_fraction_of_a_split_is_paid_at_the_new_mark():
    # 5 shares, three new for two old: 7.5; half a share is paid at 100 / 1.5.
    account = run([*LONG, flat(66)], [5, NAN, NAN], events((2, SPLIT, 0, 1.5)), cost_rate=0.01, commission=1.0)
    assert fills(account)[1] == (2, -0.5, round(100 / 1.5, 9), "split")
    assert account.fills.cost[1] == 0.0
    assert account.ledger.trades.tolist() == [0, 1, 0]
    assert account.ledger.equity[2] == pytest.approx(10_000 - 500 - 6 + 0.5 * 100 / 1.5 + 7 * 66)
    whole = run([*LONG, flat(66)], [5, NAN, NAN], events((2, SPLIT, 0, 1.5)), rounding=NO_ROUNDING)
    assert whole.ledger.holdings[2, 0] == 7.5
    assert len(whole.fills) == 1


def test_a_waiting_goal_is_split_too():
    # 10 are wished, volume lets 4 through on bar 1; the goal becomes 20, 8 are held, 12 are left.
    bars = [flat(100), flat(100, 8), flat(50)]
    account = run(bars, [10, NAN, NAN], events((2, SPLIT, 0, 2.0)), max_volume=0.5)
    assert fills(account) == [(1, 4, 100, "signal"), (2, 12, 50, "signal")]


def test_dividends_are_received_by_longs_and_paid_by_shorts():
    for side in (1, -1):
        account = run([*LONG, flat(99)], [10 * side, NAN, NAN], events((2, DIVIDEND, 0, 0.75)))
        assert account.ledger.dividends.tolist() == [0, 0, 7.5 * side]
        assert account.ledger.equity[2] == 10_000 - 10 * side + 7.5 * side
        assert account.ledger.gross_pnl[2] == -2.5 * side
        assert account.dividends == account.symbol_dividends[0] == 7.5 * side


def test_a_split_comes_before_the_dividend_of_the_same_day():
    account = run([*LONG, flat(50)], [10, NAN, NAN], events((2, SPLIT, 0, 2.0), (2, DIVIDEND, 0, 0.5)))
    assert account.ledger.dividends[2] == 20 * 0.5


def test_a_delisted_symbol_is_paid_out_at_its_mark_without_costs():
    bars = [*LONG, flat(80), (NAN,) * 5, (NAN,) * 5]
    account = run(bars, [10, NAN, 20, NAN, NAN], events((3, DELIST, 0, 0.0)), commission=1.0)
    assert fills(account) == [(1, 10, 100, "signal"), (3, -10, 80, "delisted")]  # the goal of 20 is void
    assert account.ledger.equity.tolist() == [10_000, 9_999, 9_799, 9_799, 9_799]
    assert account.ledger.dropped_orders == 0


# B: borrow


def test_shorts_pay_for_calendar_days_so_three_over_a_weekend():
    # 10 short at 100, 3.6 % a year: 0.10 a day on 1,000; Monday pays three days on Friday's close of 120.
    tables = NO_TABLES._replace(days=np.array([0.0, 1.0, 1.0, 3.0]))
    account = run([*LONG, flat(120), flat(120)], [-10, NAN, NAN, NAN], tables, borrow_rate=0.036)
    assert account.ledger.borrow == pytest.approx([0, 0, 0.1, 0.36], abs=1e-12)
    assert account.borrow == pytest.approx(0.46)
    assert account.ledger.cash[3] == pytest.approx(11_000 - 0.46)
    assert run([*LONG, flat(120), flat(120)], [10, NAN, NAN, NAN], tables, borrow_rate=0.036).borrow == 0.0


# D: exits. All enter at 100 on bar 1, stop loss 5 % at 95 (a short: 105), limit 10 % at 110 (90).


@pytest.mark.parametrize(
    ("bar", "side", "exit_price", "reason"),
    [
        ((100, 101, 95, 97), 1, 95, "stop_loss"),  # touched exactly
        ((100, 101, 95.01, 97), 1, None, ""),
        ((93, 99, 92, 98), 1, 93, "stop_loss"),  # the gap fills at the open
        ((112, 113, 90, 91), 1, 112, "take_profit"),  # gap beyond the limit, before the low
        ((100, 110.01, 99, 105), 1, 110, "take_profit"),
        ((100, 111, 94, 105), 1, 95, "stop_loss"),  # both within the bar: the worst case first
        ((100, 105, 99, 104), -1, 105, "stop_loss"),
        ((107, 108, 89, 104), -1, 107, "stop_loss"),
        ((88, 106, 87, 100), -1, 88, "take_profit"),
        ((100, 101, 90, 95), -1, 90, "take_profit"),
        ((100, 106, 89, 95), -1, 105, "stop_loss"),
    ],
)
def test_stop_and_limit_worst_case_first(bar, side, exit_price, reason):
    account = run([*LONG, (*bar, 1e6)], [10 * side, NAN, NAN], stop_loss=0.05, take_profit=0.1)
    expected = [] if exit_price is None else [(2, -10 * side, exit_price, reason)]
    assert fills(account)[1:] == expected


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("entry", "side", "terms", "touch"),
    [
        # In doubles 100 x 1.1 is 110.00000000000001 and 2.3 x 0.8 is 1.8399999999999999.
        (100.0, 1, {"take_profit": 0.1}, 110.0),
        (100.0, -1, {"stop_loss": 0.1}, 110.0),
        (2.3, 1, {"stop_loss": 0.2}, 1.84),
        (2.3, 1, {"trailing_stop": 0.2}, 1.84),
        (2.3, -1, {"take_profit": 0.2}, 1.84),
        (700_000.0, 1, {"take_profit": 0.1}, 770_000.0),  # there are shares of such a price
    ],
)
def test_a_level_that_is_touched_to_the_cent_is_reached_and_fills_there(entry, side, terms, touch, compiled):
    bar = (entry, max(entry, touch), min(entry, touch), entry, 1e6)
    account = run([flat(entry), flat(entry), bar], [10 * side, NAN, NAN], compiled=compiled, **terms)
    assert account.fills.bar.tolist() == [1, 2]
    assert account.fills.price[1] == touch  # to the last bit


@example((31_050_239, 1))  # 310,191.88761, which 10 decimals made 310,191.8876100001
@given(
    st.one_of(
        st.tuples(st.integers(1, 1_000_000_000), st.integers(1, 500)),
        # Far below a dear entry the fraction itself, 1 - 0.999, is too inexact.
        st.tuples(st.integers(1, 30_000_000), st.integers(1, 999)),
    )
)
def test_levels_are_the_doubles_next_to_their_decimals(level_of):
    cents, thousandths = level_of
    # price x (1 - fraction) has five decimals: exactly (cents x (1000 - thousandths)) / 100 000.
    exact = Decimal(cents * (1_000 - thousandths)).scaleb(-5)
    assert level(cents / 100 * (1.0 - thousandths / 1_000)) == float(exact)


def test_the_bar_of_the_entry_is_tested_from_the_open_on():
    account = run([flat(100), (100, 101, 94, 96, 1e6)], [10, NAN], stop_loss=0.05)
    assert fills(account) == [(1, 10, 100, "signal"), (1, -10, 95, "stop_loss")]


def test_a_trailing_stop_follows_the_best_price_of_the_bars_before():
    # High 120 on bar 2 lifts the stop to 108 from bar 3 on; its own low of 105 on bar 2 does not count against it.
    bars = [*LONG, (100, 120, 105, 118, 1e6), (118, 119, 107, 110, 1e6)]
    account = run(bars, [10, NAN, NAN, NAN], trailing_stop=0.1)
    assert fills(account)[1:] == [(3, -10, 108, "trailing_stop")]
    bars = [*LONG, (100, 101, 80, 82, 1e6), (82, 88, 81, 85, 1e6)]  # a short: best 80, stop 88
    assert fills(run(bars, [-10, NAN, NAN, NAN], trailing_stop=0.1))[1:] == [(3, 10, 88, "trailing_stop")]


def test_the_nearer_stop_counts_and_a_tie_is_the_stop_loss():
    bars = [*LONG, (100, 100, 90, 91, 1e6)]
    assert fills(run(bars, [10, NAN, NAN], stop_loss=0.05, trailing_stop=0.05))[1][3] == "stop_loss"
    assert fills(run(bars, [10, NAN, NAN], stop_loss=0.05, trailing_stop=0.04))[1] == (2, -10, 96, "trailing_stop")


def test_a_stop_slips_and_a_take_profit_does_not():
    account = run([*LONG, (100, 101, 94, 95, 1e6)], [10, NAN, NAN], stop_loss=0.05, slippage_rate=0.01)
    # Bought at 101, so the stop is at 95.95; sold 1 % below it.
    assert fills(account) == [(1, 10, 101, "signal"), (2, -10, round(95.95 * 0.99, 9), "stop_loss")]
    assert account.slippage == pytest.approx(10 * 1 + 10 * 0.9595)
    account = run([*LONG, (100, 115, 99, 112, 1e6)], [10, NAN, NAN], take_profit=0.1, slippage_rate=0.01)
    assert fills(account)[1] == (2, -10, round(101 * 1.1, 9), "take_profit")


def test_a_blocked_side_is_taken_again_only_after_another_opinion():
    down = (100, 100, 94, 95, 1e6)
    bars = [*LONG, down, flat(95), flat(95), flat(95), flat(95)]
    account = run(bars, [10, 10, 10, 10, 0, 10, 10], on_change=0, stop_loss=0.05)
    assert fills(account) == [(1, 10, 100, "signal"), (2, -10, 95, "stop_loss"), (6, 10, 95, "signal")]
    account = run(bars, [10, 10, 10, -10, 10, 10, 10], on_change=0, stop_loss=0.05)
    assert fills(account)[2:] == [(4, -10, 95, "signal"), (5, 20, 95, "signal")]


def test_an_exit_cut_by_volume_goes_on_at_the_next_open():
    bars = [*LONG, (100, 100, 94, 95, 6), (93, 94, 92, 93, 100)]
    account = run(bars, [10, NAN, NAN, NAN], stop_loss=0.05, max_volume=1.0)
    assert fills(account)[1:] == [(2, -6, 95, "stop_loss"), (3, -4, 93, "stop_loss")]


def test_a_goal_on_the_other_side_survives_an_exit_and_one_on_the_same_side_does_not():
    # next_close: what was decided on bar 1 still waits when the stop is hit on bar 2.
    bars = [flat(100), flat(100), (100, 100, 94, 96, 1e6), flat(96)]
    account = run(bars, [10, -10, NAN, NAN], fill=NEXT_CLOSE, stop_loss=0.05)
    assert fills(account)[1:] == [(2, -10, 95, "stop_loss"), (2, -10, 96, "signal")]
    account = run(bars, [10, 20, NAN, NAN], fill=NEXT_CLOSE, stop_loss=0.05)
    assert fills(account)[1:] == [(2, -10, 95, "stop_loss")]


# F, G: marks and margin calls


def test_equity_below_maintenance_closes_everything():
    # 150 at 100 with 10,000: cash -5,000. At 44 the equity is 1,600 and 25 % of 6,600 is 1,650.
    bars = [*LONG, flat(45), flat(44), flat(43), flat(43)]
    account = run(bars, [150, NAN, NAN, 150, NAN, NAN], margin=MARGIN_LEVERAGE, maintenance=0.25)
    assert fills(account) == [(1, 150, 100, "signal"), (4, -150, 43, "margin_call")]
    assert account.ledger.equity[-1] == 10_000 - 150 * 57


# H: decisions


def test_a_time_exit_closes_after_its_bars_and_blocks_the_side():
    # Bought at the open of bar 1: held on bars 1 and 2, so it is decided on the close of bar 2.
    account = run([flat(100)] * 6, [10, 10, 10, 10, 10, 10], on_change=0, time_exit_bars=2)
    assert fills(account) == [(1, 10, 100, "signal"), (3, -10, 100, "time_exit")]
    account = run([flat(100)] * 6, [10, NAN, NAN, NAN, NAN, NAN], time_exit_bars=2, fill=NEXT_CLOSE)
    assert fills(account) == [(1, 10, 100, "signal"), (4, -10, 100, "time_exit")]  # held on bars 2 and 3


def test_a_turn_of_opinion_wins_over_the_time_exit():
    account = run([flat(100)] * 5, [10, 10, -10, -10, -10], time_exit_bars=2)
    assert fills(account) == [(1, 10, 100, "signal"), (3, -20, 100, "signal")]


def test_on_change_leaves_drift_alone_and_always_brings_it_back():
    bars = [flat(100), flat(100), flat(50), flat(50)]
    account = run(bars, [0.5] * 4, by_weight=1)
    assert account.ledger.holdings[:, 0].tolist() == [0, 50, 50, 50]
    account = run(bars, [0.5] * 4, by_weight=1, on_change=0)
    # 50 shares fell to 2,500 of 7,500; half of it is 75 shares.
    assert account.ledger.holdings[:, 0].tolist() == [0, 50, 50, 75]


def test_no_opinion_holds():
    account = run([flat(100)] * 5, [NAN, 10, NAN, 10, 0], on_change=1)
    assert account.ledger.holdings[:, 0].tolist() == [0, 0, 10, 10, 10]


# How a goal is filled


def test_what_volume_leaves_waits_and_is_replaced_by_a_new_decision():
    bars = [flat(100), flat(100, 40), flat(100, 40), flat(100, 40)]
    account = run(bars, [100, NAN, NAN, NAN], max_volume=0.5)
    assert account.ledger.holdings[:, 0].tolist() == [0, 20, 40, 60]
    account = run(bars, [100, 10, NAN, NAN], max_volume=0.5)
    assert account.ledger.holdings[:, 0].tolist() == [0, 20, 10, 10]
    assert account.ledger.cut_orders == 0


def test_slippage_in_basis_points_and_ticks_never_reaches_zero():
    account = run(LONG, [10, NAN], slippage_rate=0.001, slippage_money=0.02)
    assert account.fills.price[0] == pytest.approx(100.12)
    assert account.slippage == pytest.approx(1.2)
    account = run([flat(0.01)] * 2, [-10, NAN], slippage_money=0.02)
    assert account.fills.price[0] == 0.01


def test_cash_pays_for_what_is_bought_costs_included_and_nothing_is_sold_short():
    # (10,000 - 5) / (100 x 1.001) = 99.85 shares.
    account = run([flat(100)] * 3, [200, -50, NAN], margin=MARGIN_CASH, cost_rate=0.001, commission=5.0)
    assert fills(account) == [(1, 99, 100, "signal"), (2, -99, 100, "signal")]
    assert account.ledger.cut_orders == 2
    assert account.ledger.cash[1] == pytest.approx(10_000 - 9_900 - 9.9 - 5)


def test_margin_cuts_at_leverage_times_equity_less_the_others():
    # Equity 10,000, twice that; the first symbol takes 15,000, the second may have 5,000.
    bars = [[flat(100), flat(100)]] * 2
    account = run(bars, [[150, -80], [NAN, NAN]], margin=MARGIN_LEVERAGE, leverage=2.0)
    assert account.ledger.holdings[1].tolist() == [150, -50]
    assert account.ledger.cut_orders == 1


def test_reductions_come_first_under_a_margin_rule():
    # All cash is in the second symbol; it is sold before the first is bought.
    bars = [[flat(100), flat(100)]] * 3
    account = run(bars, [[0, 100], [100, 0], [NAN, NAN]], margin=MARGIN_CASH)
    assert account.fills.symbol.tolist() == [1, 1, 0]
    assert account.ledger.holdings[2].tolist() == [100, 0]


def test_a_reversal_is_one_order_or_two():
    one = run([flat(100)] * 3, [10, -10, NAN], commission=1.0)
    two = run([flat(100)] * 3, [10, -10, NAN], commission=1.0, two_orders=1)
    assert fills(one)[1:] == [(2, -20, 100, "signal")]
    assert fills(two)[1:] == [(2, -10, 100, "signal")] * 2
    assert (one.ledger.cost.tolist(), two.ledger.cost.tolist()) == ([0, 1, 1], [0, 1, 2])
    assert two.ledger.trades.tolist() == [0, 1, 2]


def test_size_at_the_fill_takes_the_price_and_the_equity_there():
    # Half of 10,000 at an open of 80: 62.5, down to 62; by the close of 100 it would be 50.
    bars = [flat(100), (80, 100, 80, 100, 1e6)]
    assert fills(run(bars, [0.5, NAN], by_weight=1, size_at_fill=1, rounding=DOWN)) == [(1, 62, 80, "signal")]
    assert fills(run(bars, [0.5, NAN], by_weight=1, rounding=DOWN)) == [(1, 50, 80, "signal")]


@pytest.mark.parametrize(("rounding", "shares"), [(0, 2), (DOWN, 2), (NO_ROUNDING, 2.5)])
def test_rounding(rounding, shares):
    assert run([flat(100)] * 2, [2.5, NAN], rounding=rounding).ledger.holdings[1, 0] == shares
    assert run([flat(100)] * 2, [-2.75, NAN], rounding=DOWN).ledger.holdings[1, 0] == -2


def test_same_close_fills_where_it_decides():
    assert fills(run([(90, 110, 90, 100, 1e6)], [10], fill=SAME_CLOSE)) == [(0, 10, 100, "signal")]


# C, J: the last bar


def test_the_last_bar_closes_at_its_close_or_its_open():
    bars = [flat(100), flat(100), (104, 104, 90, 106, 1e6)]
    at_close = run(bars, [10, 20, 30], close_last=AT_CLOSE)
    assert fills(at_close)[1:] == [(2, 10, 104, "signal"), (2, -20, 106, "end")]
    at_open = run(bars, [10, 20, 30], close_last=AT_OPEN, stop_loss=0.05)
    assert fills(at_open)[1:] == [(2, -10, 104, "end")]
    assert at_open.ledger.equity[-1] == 10_040
    assert at_open.ledger.holdings[-1, 0] == 0


def test_a_log_that_is_too_small_grows_and_changes_nothing():
    rng = np.random.default_rng(1)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.02, (200, 3)), axis=0)), 2)
    prices = [close, close * 1.01, close * 0.99, close, np.full(close.shape, 1e6)]
    target = rng.integers(-3, 4, close.shape) * 10.0
    rules = PLAIN._replace(on_change=0, two_orders=1, stop_loss=0.01, commission=1.0)
    small = simulate(prices, target, rules, room=0, compiled=False)
    large = simulate(prices, target, rules, room=10_000, compiled=False)
    assert len(small.fills) > 500
    for name in ("bar", "symbol", "quantity", "price", "cost", "reason"):
        assert np.array_equal(getattr(small.fills, name), getattr(large.fills, name))
    assert np.array_equal(small.ledger.equity, large.ledger.equity)
