"""The kernel against a slow reference written from the page alone, and against itself compiled."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quant_trading.backtesting.kernel import Account
from tests.backtesting.kernel_of_market import fills_of, run_kernel
from tests.backtesting.reference import ReferenceBacktest
from tests.backtesting.reference_nouns import Bar, Market, Outcome, Rules
from tests.backtesting.strategies_of_panels import markets, rules, rules_with_everything

MONEY = ("equity", "cash", "gross_pnl", "cost", "dividends", "borrow")
RATIOS = ("turnover", "gross_exposure", "net_exposure")
COUNTERS = ("dropped_orders", "cut_orders")


some_on, all_on = rules(), rules_with_everything()
any_rules = st.one_of(some_on, all_on)


def draw_run(data: st.DataObject, drawn: st.SearchStrategy[Rules] = any_rules) -> tuple[Market, Rules]:
    terms = data.draw(drawn)
    return data.draw(markets(terms.unit)), terms


def assert_same_account(account: Account, outcome: Outcome, terms: Rules) -> None:
    """Fills equal in bar, symbol, quantity and reason, counters equal, money to 1e-9.

    Fractions of shares are equal to 1e-9 too: the page fixes the order of the operations, not of every rounding.
    """
    found = fills_of(account)
    wished = [(f.bar, f.symbol, f.quantity, f.reason) for f in outcome.fills]
    if terms.rounding == "none":
        assert [(t, j, reason) for t, j, _, reason in found] == [(t, j, reason) for t, j, _, reason in wished]
        np.testing.assert_allclose([f[2] for f in found], [f[2] for f in wished], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(account.ledger.holdings, outcome.holdings, rtol=1e-9, atol=1e-9)
    else:
        assert found == wished
        np.testing.assert_array_equal(account.ledger.holdings, outcome.holdings)
    for name in COUNTERS:
        assert getattr(account.ledger, name) == getattr(outcome, name), name
    np.testing.assert_array_equal(account.ledger.trades, [row.orders for row in outcome.rows])
    np.testing.assert_allclose(account.fills.price, [f.price for f in outcome.fills], rtol=1e-9)
    np.testing.assert_allclose(account.fills.cost, [f.cost for f in outcome.fills], rtol=1e-9, atol=1e-9)
    scale = terms.initial_capital + max((abs(row.equity) for row in outcome.rows), default=0.0)
    for name in MONEY + RATIOS:
        atol = 1e-9 * scale if name in MONEY else 1e-9
        wish = [getattr(row, name) for row in outcome.rows]
        np.testing.assert_allclose(getattr(account.ledger, name), wish, rtol=1e-9, atol=atol, err_msg=name)


def assert_same_bits(one: Any, other: Any) -> None:
    for name in one.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def check_reference(data: st.DataObject, drawn: st.SearchStrategy[Rules]) -> None:
    market, terms = draw_run(data, drawn)
    assert_same_account(run_kernel(market, terms), ReferenceBacktest(market, terms).run(), terms)


def check_compiled(data: st.DataObject, drawn: st.SearchStrategy[Rules]) -> None:
    market, terms = draw_run(data, drawn)
    slow, fast = run_kernel(market, terms), run_kernel(market, terms, compiled=True)
    assert_same_bits(slow.ledger, fast.ledger)
    assert_same_bits(slow.fills, fast.fills)


# --- on random markets -------------------------------------------------------------------------------

quick = settings(suppress_health_check=[HealthCheck.too_slow])
deep = settings(quick, max_examples=1000)


@settings(quick, max_examples=40)  # in depth, it is a thousand
@given(st.data())
def test_the_kernel_is_the_page(data):
    check_reference(data, some_on)


@settings(quick, max_examples=40)  # in depth, it is a thousand
@given(st.data())
def test_the_kernel_is_the_page_with_everything_on(data):
    check_reference(data, all_on)


@settings(quick, max_examples=40)  # in depth, it is a thousand
@given(st.data())
def test_compiled_and_interpreted_give_the_same_bits(data):
    check_compiled(data, any_rules)


@pytest.mark.slow
@deep
@given(st.data())
def test_the_kernel_is_the_page_in_depth(data):
    check_reference(data, some_on)


@pytest.mark.slow
@deep
@given(st.data())
def test_the_kernel_is_the_page_with_everything_on_in_depth(data):
    check_reference(data, all_on)


@pytest.mark.slow
@deep
@given(st.data())
def test_compiled_and_interpreted_give_the_same_bits_in_depth(data):
    check_compiled(data, any_rules)


# --- interactions, by hand ----------------------------------------------------------------------------

DAYS = [date(2018, 1, 30), date(2018, 1, 31), date(2018, 2, 1), date(2018, 2, 2), date(2018, 2, 5), date(2018, 2, 6)]
NOTHING = Bar(*[float("nan")] * 5)


def flat(price: float, volume: float = 1e9) -> Bar:
    return Bar(price, price, price, price, volume)


def one_symbol(bars: list[Bar], target: list[float | None], **events: Any) -> Market:
    return Market(DAYS[: len(bars)], [[bar] for bar in bars], [[x] for x in target], **events)


def shares(**settings_of_run: Any) -> Rules:
    return replace(Rules(unit="shares", initial_capital=10_000.0), **settings_of_run)


def both(market: Market, terms: Rules) -> Outcome:
    """Return the reference's outcome, the kernel's being the same."""
    outcome = ReferenceBacktest(market, terms).run()
    assert_same_account(run_kernel(market, terms), outcome, terms)
    return outcome


def fills_in(outcome: Outcome) -> list[tuple[int, float, float, str]]:
    return [(f.bar, f.quantity, f.price, f.reason) for f in outcome.fills]


def test_an_exit_and_a_reversal_on_one_bar():
    """The stop at 90 takes the long; the goal of the other side stays and is filled at the close."""
    bars = [flat(100), flat(100), Bar(99, 99, 88, 95, 1e9), flat(95)]
    outcome = both(one_symbol(bars, [10, -5, -5, -5]), shares(fill="next_close", stop_loss=0.1))
    assert fills_in(outcome) == [(1, 10, 100, "signal"), (2, -10, 90, "stop_loss"), (2, -5, 95, "signal")]
    assert outcome.rows[-1].equity == 10_000 - 100


def test_a_position_added_to_at_a_gap_is_stopped_at_the_open():
    """The stop stands at 90, the bar opens at 80 and adds: nothing was ever sold at 90 on that bar."""
    bars = [flat(100), flat(100), Bar(80, 82, 78, 81, 1e9), flat(81)]
    outcome = both(one_symbol(bars, [10, 11, 11, 11]), shares(trailing_stop=0.1))
    assert fills_in(outcome) == [(1, 10, 100, "signal"), (2, 1, 80, "signal"), (2, -11, 80, "trailing_stop")]


def test_a_split_on_a_bar_without_price_ends_the_waiting_goal():
    """5 shares become 7.5 of which half a share is paid at 100 / 1.5; the order meets no price."""
    bars = [flat(100), flat(100), NOTHING, flat(66)]
    market = one_symbol(bars, [5, 9, 9, None], splits={(DAYS[2], 0): 1.5})
    outcome = both(market, shares())
    assert [(f.bar, f.quantity, f.reason) for f in outcome.fills] == [(1, 5, "signal"), (2, -0.5, "split")]
    assert outcome.holdings[2:] == [[7], [7]]
    assert outcome.dropped_orders == 1
    assert outcome.rows[2].equity == pytest.approx(10_000)


def test_a_split_scales_a_goal_that_volume_makes_wait():
    """4 of 10 were bought, the goal of 10 becomes 20 and is bought 4 at a time."""
    bars = [flat(100, 4), flat(100, 4), flat(50, 4), flat(50, 4)]
    market = one_symbol(bars, [10, None, None, None], splits={(DAYS[2], 0): 2.0})
    outcome = both(market, shares(max_volume_fraction=1.0))
    assert outcome.holdings == [[0], [4], [12], [16]]


@pytest.mark.parametrize(("delisting", "dropped", "cash"), [("close", 0, 9_950.0), ("keep", 1, 9_000.0)])
def test_a_delisting_voids_the_waiting_goal(delisting, dropped, cash):
    """10 bought at 100; the last close is 95. What was decided on it is void, or meets no price."""
    bars = [flat(100), flat(100), flat(95), NOTHING, NOTHING]
    outcome = both(one_symbol(bars, [10, 10, 20, 20, 20]), shares(delisting=delisting))
    assert outcome.dropped_orders == dropped
    assert outcome.rows[-1].cash == cash
    assert outcome.rows[-1].equity == 9_950.0


def test_a_margin_call_takes_what_a_stop_left():
    """200 shares on 10,000: the stop at 95 sells 50 and leaves 150; equity 3,750 is below half of 9,000: a call.

    Its goal sells 120 at the next open; that bar is beyond the stop too, whose goal takes over the rest. The wish for
    200 goes on all the time, but the long side is blocked.
    """
    bars = [flat(100), flat(100), Bar(100, 100, 60, 60, 50), flat(60, 120), flat(60), flat(60)]
    terms = shares(margin="margin", leverage=2.0, maintenance=0.5, stop_loss=0.05, max_volume_fraction=1.0)
    outcome = both(one_symbol(bars, [200] * 6), terms)
    assert fills_in(outcome) == [
        (1, 200, 100, "signal"), (2, -50, 95, "stop_loss"), (3, -120, 60, "margin_call"), (4, -30, 60, "stop_loss"),
    ]  # fmt: skip


def test_close_last_at_the_open_takes_no_exit():
    """The last bar falls through the stop after everything was sold at its open."""
    bars = [flat(100), flat(100), Bar(97, 98, 80, 81, 1e9)]
    outcome = both(one_symbol(bars, [10, 20, 30]), shares(close_last="open", stop_loss=0.1))
    assert fills_in(outcome) == [(1, 10, 100, "signal"), (2, -10, 97, "end")]
    assert outcome.dropped_orders == 0


@pytest.mark.parametrize("reversal", ["one", "two"])
def test_a_reversal_replaces_what_volume_left(reversal):
    """30 a bar: 30 of 100 are bought, then the wish is -20; a reversal of 50 takes two bars."""
    bars = [flat(100, 30)] * 5
    terms = shares(max_volume_fraction=1.0, rebalance="on_change", reversal=reversal, commission=1.0)
    outcome = both(one_symbol(bars, [100, -20, -20, -20, -20]), terms)
    assert fills_in(outcome) == [(1, 30, 100, "signal"), (2, -30, 100, "signal"), (3, -20, 100, "signal")]
    assert outcome.rows[-1].cash == 10_000 + 2_000 - 3


def test_the_tiered_plan_begins_anew_with_the_month():
    """400,000 shares on 31 January, 100,000 on 1 February, which are again of the first tier."""
    bars = [flat(10)] * 4
    outcome = both(one_symbol(bars, [400_000, 500_000, 500_000, None]), shares(initial_capital=1e7, plan="ibkr_tiered"))

    def charged(quantity: float, commission: float) -> float:
        return commission * (1 + 0.000175 + 0.00056) + quantity * (0.003 + 0.0002)

    january = charged(400_000, 300_000 * 0.0035 + 100_000 * 0.002)
    assert [f.cost for f in outcome.fills] == pytest.approx([january, charged(100_000, 350.0)], rel=1e-12)


def test_borrow_over_a_weekend_is_three_days():
    """Short 10 at 100 from Thursday on; Monday's first bar pays for three days."""
    bars = [flat(100)] * 5
    outcome = both(one_symbol(bars, [-10] * 5), shares(borrow_rate=0.36))
    assert [row.borrow for row in outcome.rows] == pytest.approx([0, 0, 1, 1, 3])


def test_a_time_exit_makes_room_for_the_other_side():
    """Two bars held: the long ends while it is wished for, and a wish for the other side is not held up."""
    bars = [flat(100)] * 6
    outcome = both(one_symbol(bars, [10, 10, 10, -10, -10, -10]), shares(time_exit_bars=2))
    assert fills_in(outcome) == [(1, 10, 100, "signal"), (3, -10, 100, "time_exit"), (4, -10, 100, "signal")]


def test_a_weight_sized_at_its_fill_is_filled_after_the_reductions():
    """A commission of 200 a sale: the equity of 9,600 falls to 9,400 before the rest is sized, 48.88 for 50 held.

    Decided: 0.5 and 0.4 of 10,000 (50 and, of 9,800, 39 shares), then 0.52 and nothing. At the open the first symbol
    would still hold its 50 (49.92), so the second, which only reduces, goes first; then the first sells one.
    """
    bars = [[flat(100), flat(100)] for _ in range(3)]
    market = Market(DAYS[:3], bars, [[0.5, 0.4], [0.52, 0.0], [None, None]])
    terms = Rules(initial_capital=10_000.0, size_at="fill", margin="margin", leverage=2.0, commission=200.0)
    outcome = both(market, terms)
    assert [(f.bar, f.symbol, f.quantity) for f in outcome.fills] == [(1, 0, 50), (1, 1, 39), (2, 1, -39), (2, 0, -1)]
