"""The fast account equals the kernel: the same fills to the last bit, the same ledger to 1e-9."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.backtesting import lanes
from quant_trading.backtesting.kernel import NEXT_CLOSE, NEXT_OPEN, SAME_CLOSE, Terms, plain_rules, simulate
from quant_trading.backtesting.loop_types import MARGIN_CASH, NO_MARGIN
from quant_trading.indicators.sides import HOLD, signal_of
from tests.backtesting.panels import random_panel
from tests.examples import examples

LEDGER = ("equity", "cash", "gross_pnl", "cost", "turnover", "gross_exposure", "net_exposure", "trades", "dividends",
          "borrow", "holdings")  # fmt: skip


def rules_of(**changes):
    terms = Terms(NEXT_OPEN, 1_000_000.0, 5e-4, 0.0, True, False)
    return plain_rules(terms)._replace(by_weight=0, on_change=1, **changes)


def random_sides(seed, shape, hold):
    rng = np.random.default_rng(seed)
    sides = np.zeros(shape, dtype=np.int8)
    side = np.zeros(shape[1], dtype=np.int8)
    for t in range(shape[0]):
        side = np.where(rng.random(shape[1]) < 0.3, rng.integers(-1, 2, shape[1]), side).astype(np.int8)
        sides[t] = np.where(rng.random(shape[1]) < hold, HOLD, side)
    return sides


def assert_equal(account, expected):
    for name in ("bar", "symbol", "quantity", "price", "cost", "reason"):
        ours, theirs = getattr(account.fills, name), getattr(expected.fills, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), name
    for name in LEDGER:
        ours, theirs = getattr(account.ledger, name), getattr(expected.ledger, name)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9 * 1e6 if name in ("gross_pnl", "cash") else 1e-12), name
    assert account.ledger.mean_exposure == pytest.approx(expected.ledger.mean_exposure, rel=1e-9, abs=1e-12)
    assert account.ledger.total_turnover == pytest.approx(expected.ledger.total_turnover, rel=1e-9)
    assert account.ledger.dropped_orders == expected.ledger.dropped_orders
    assert account.ledger.cut_orders == expected.ledger.cut_orders
    assert account.traded == pytest.approx(expected.traded, rel=1e-12)
    assert account.slippage == pytest.approx(expected.slippage, rel=1e-9)


@settings(max_examples=examples(120))
@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 60), columns=st.sampled_from([1, 2, 5, 9]),
    missing=st.sampled_from([0.0, 0.2]), hold=st.sampled_from([0.0, 0.2]),
    fill=st.sampled_from([NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE]), commission=st.sampled_from([0.0, 1.0]),
    two=st.integers(0, 1), slippage=st.sampled_from([(0.0, 0.0), (2e-4, 0.01)]), close_last=st.integers(0, 2),
    size=st.sampled_from(["100 shares", "33.3 shares", "0.9 decided", "1.0 filled", "0.31 filled"]),
    cash=st.booleans(), rounding=st.integers(0, 2), compiled=st.booleans(),
)  # fmt: skip
def test_lanes_equal_the_kernel(
    seed, bars, columns, missing, hold, fill, commission, two, slippage, close_last, size, cash, rounding, compiled
):
    panel = random_panel(seed, bars, columns, missing)
    sides = random_sides(seed, panel.close.shape, hold)
    rules = rules_of(
        fill=fill, commission=commission, two_orders=two, slippage_rate=slippage[0], slippage_money=slippage[1],
        close_last=close_last, rounding=rounding,
    )  # fmt: skip
    number, unit = size.split()
    shares = float(number)
    if columns == 1:  # parts of the equity and limits of cash
        rules = rules._replace(
            by_weight=int(unit != "shares"),
            size_at_fill=int(unit == "filled"),
            margin=MARGIN_CASH if cash else NO_MARGIN,
        )
    assert lanes.covers(rules, columns)
    prices = (panel.open, panel.high, panel.low, panel.close, panel.volume)
    expected = simulate(prices, signal_of(sides) * shares, rules, compiled=False)
    account = lanes.run(panel.open, panel.close, sides, shares, rules, compiled)
    assert account is not None
    assert_equal(account, expected)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_ruined_account_is_left_to_the_kernel(columns, compiled):
    panel = random_panel(1, 50, columns)
    sides = np.ones(panel.close.shape, dtype=np.int8)
    rules = rules_of(initial_capital=1.0, commission=100.0)
    assert lanes.run(panel.open, panel.close, sides, 100.0, rules, compiled) is None


@pytest.mark.parametrize(
    "change",
    [{"by_weight": 1}, {"on_change": 0}, {"margin": 1}, {"max_volume": 0.1}, {"borrow_rate": 0.01}, {"stop_loss": 0.1},
     {"take_profit": 0.1}, {"trailing_stop": 0.1}, {"time_exit_bars": 5}],
)  # fmt: skip
def test_what_is_not_plain_is_not_covered(change):
    assert lanes.covers(rules_of(), 2)
    assert not lanes.covers(rules_of()._replace(**change), 2)
    assert lanes.covers(rules_of()._replace(**change), 1) == (change in ({"by_weight": 1}, {"margin": 1}))


@pytest.mark.parametrize("compiled", [False, True])
def test_a_part_of_the_equity_is_not_taken_for_as_many_shares(compiled):
    # 150 buys 1 share at 100; leaving it meets no price; then all the equity, 50 + 40, is wished at 40: 2 shares.
    close = np.array([[100.0], [100.0], [100.0], [np.nan], [40.0], [40.0], [40.0]])
    sides = np.array([[1], [1], [0], [0], [1], [1], [1]], dtype=np.int8)
    rules = rules_of(initial_capital=150.0, cost_rate=0.0, size_at_fill=1, rounding=1, margin=MARGIN_CASH)
    rules = rules._replace(by_weight=1)
    account = lanes.run(close, close, sides, 1.0, rules, compiled)
    expected = simulate((close, close, close, close, close), signal_of(sides), rules, compiled=False)
    assert account.fills.quantity.tolist() == expected.fills.quantity.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("compiled", [False, True])
def test_a_bar_that_is_missing_has_the_last_price_known_be_it_the_first(compiled):
    close = np.array([[100.0], [np.nan], [110.0]])
    rules = rules_of(initial_capital=1000.0, cost_rate=0.0, fill=SAME_CLOSE)
    account = lanes.run(close, close, np.ones((3, 1), dtype=np.int8), 1.0, rules, compiled)
    assert account.ledger.equity.tolist() == [1000.0, 1000.0, 1010.0]


@pytest.mark.parametrize("compiled", [False, True])
def test_costs_of_a_fill_at_the_close_may_ruin_too(compiled):
    # 100 shares of 500 of both names cost 1.01 % of 100,000, which is more than the account has.
    close = np.array([[500.0, 500.0], [520.0, 520.0], [600.0, 600.0]])
    rules = rules_of(initial_capital=1000.0, cost_rate=0.0101, fill=SAME_CLOSE)
    assert lanes.run(close, close, np.ones((3, 2), dtype=np.int8), 100.0, rules, compiled) is None
