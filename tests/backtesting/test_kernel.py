"""The two accountings: by hand, against a separate reference, and compiled against interpreted."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.backtesting.kernel import (
    NEXT_CLOSE,
    NEXT_OPEN,
    SAME_CLOSE,
    Ledger,
    Terms,
    account_shares,
    account_weights,
)
from quant_trading.portfolio.sizing import wished_quantity
from tests.backtesting.panels import random_panel

# Two symbols, three bars, 1,000 of capital, 10 bps. All figures below were worked by hand.
OPEN = np.array([[10.0, 20.0], [10.5, 19.5], [11.5, 19.0]])
CLOSE = np.array([[10.0, 20.0], [11.0, 19.0], [12.1, 20.9]])
TARGET = np.array([[0.5, 0.3], [0.2, -0.4], [0.0, 0.0]])
NAN = float("nan")


def terms(fill, capital=1000.0, bps=10.0, commission=0.0, whole=True, close_last=False):
    return Terms(fill, capital, bps / 1e4, commission, whole, close_last)


def test_next_open_by_hand():
    book = account_shares(OPEN, CLOSE, TARGET, terms(NEXT_OPEN))
    # bar 0: wished 500 / 10 = 50 and 300 / 20 = 15.
    # bar 1: bought at 10.5 and 19.5 for 525 + 292.5 = 817.5, cost 0.8175, cash 181.6825;
    #        equity 181.6825 + 50 x 11 + 15 x 19 = 1016.6825; wished 203.3365 / 11 = 18.48 -> 18
    #        and -406.673 / 19 = -21.40 -> -21.
    # bar 2: sold 32 at 11.5 and 36 at 19: 368 + 684 = 1052, cost 1.052, cash 1232.6305;
    #        equity 1232.6305 + 18 x 12.1 - 21 x 20.9 = 1011.5305.
    assert book.holdings.tolist() == [[0, 0], [50, 15], [18, -21]]
    assert book.cost == pytest.approx([0.0, 0.8175, 1.052], abs=1e-12)
    assert book.cash == pytest.approx([1000.0, 181.6825, 1232.6305], abs=1e-12)
    assert book.equity == pytest.approx([1000.0, 1016.6825, 1011.5305], abs=1e-12)
    assert book.gross_pnl == pytest.approx([0.0, 17.5, -4.1], abs=1e-12)  # 50 x .5 - 15 x .5; 25 + 10.8 - 39.9
    assert book.turnover == pytest.approx([0.0, 0.8175, 1052 / 1016.6825], abs=1e-12)
    assert book.gross_exposure[2] == pytest.approx((217.8 + 438.9) / 1011.5305, abs=1e-12)
    assert book.net_exposure[2] == pytest.approx((217.8 - 438.9) / 1011.5305, abs=1e-12)
    assert book.trades.tolist() == [0, 2, 2]
    assert book.dropped_orders == 0


def test_same_close_by_hand():
    book = account_shares(OPEN, CLOSE, TARGET, terms(SAME_CLOSE))
    # bar 0: 500 + 300 traded, cost 0.8; cash 199.2.
    # bar 1: equity before trading 199.2 + 550 + 285 = 1034.2; wished 206.84 / 11 = 18.80 -> 19 and
    #        -413.68 / 19 = -21.77 -> -22; sold 31 x 11 + 37 x 19 = 1044, cost 1.044.
    # bar 2: 1242.156 + 19 x 12.1 - 22 x 20.9 = 1012.256; all closed: 229.9 + 459.8 = 689.7, cost 0.6897.
    assert book.holdings.tolist() == [[50, 15], [19, -22], [0, 0]]
    assert book.cost == pytest.approx([0.8, 1.044, 0.6897], abs=1e-12)
    assert book.equity == pytest.approx([999.2, 1033.156, 1011.5663], abs=1e-12)
    assert book.cash[2] == pytest.approx(1011.5663, abs=1e-12)


def test_next_close_by_hand_fills_before_it_decides():
    book = account_shares(OPEN, CLOSE, TARGET, terms(NEXT_CLOSE))
    # bar 1: 50 x 11 + 15 x 19 = 835 bought at its close, cost 0.835, equity 999.165; with those shares in
    #        hand wished 199.833 / 11 = 18.17 -> 18 and -399.666 / 19 = -21.04 -> -21.
    # bar 2: 32 x 12.1 + 36 x 20.9 = 1139.6 sold, cost 1.1396.
    assert book.holdings.tolist() == [[0, 0], [50, 15], [18, -21]]
    assert book.cost == pytest.approx([0.0, 0.835, 1.1396], abs=1e-12)
    assert book.equity == pytest.approx([1000.0, 999.165, 1081.5254], abs=1e-12)


def test_weights_by_hand_in_the_three_conventions():
    # same_close: w0 = (.5, .3) earns .5 x 10 % - .3 x 5 % = 3.5 %; turnover .8, then .3 + .7 = 1.0.
    book = account_weights(OPEN, CLOSE, TARGET, terms(SAME_CLOSE))
    first = 1000.0 * (1 - 0.0008)
    second = first * (1 + 0.035 - 0.0010)
    assert book.equity == pytest.approx([first, second, second * (1 + 0.2 * 0.1 - 0.4 * 0.1 - 0.0006)], abs=1e-12)
    # next_close: the same one bar later; (.5, .3) earns 10 % on both in bar 2.
    book = account_weights(OPEN, CLOSE, TARGET, terms(NEXT_CLOSE))
    second = 1000.0 * (1 - 0.0008)
    assert book.equity == pytest.approx([1000.0, second, second * (1 + 0.08 - 0.0010)], abs=1e-12)
    # next_open: (.5, .3) from the open of bar 1 on, through the night, until the open of bar 2.
    book = account_weights(OPEN, CLOSE, TARGET, terms(NEXT_OPEN))
    second = 1000.0 * (1 + 0.5 * (11 / 10.5 - 1) + 0.3 * (19 / 19.5 - 1) - 0.0008)
    night = 1 + 0.5 * (11.5 / 11 - 1)
    day = 1 + 0.2 * (12.1 / 11.5 - 1) - 0.4 * (20.9 / 19 - 1)
    assert book.equity == pytest.approx([1000.0, second, second * (night * day - 0.0010)], abs=1e-12)


def test_a_full_weight_in_one_name_earns_its_price_whatever_the_convention():
    close = np.array([[10.0], [10.7], [9.9], [12.3]])
    opens = np.array([[10.0], [10.2], [10.9], [10.1]])
    full = np.ones((4, 1))
    assert account_weights(opens, close, full, terms(SAME_CLOSE, bps=0)).equity[-1] == pytest.approx(1000 * 12.3 / 10)
    assert account_weights(opens, close, full, terms(NEXT_CLOSE, bps=0)).equity[-1] == pytest.approx(1000 * 12.3 / 10.7)
    assert account_weights(opens, close, full, terms(NEXT_OPEN, bps=0)).equity[-1] == pytest.approx(1000 * 12.3 / 10.2)


def test_commission_is_charged_per_order():
    book = account_shares(OPEN, CLOSE, TARGET, terms(NEXT_OPEN, bps=0.0, commission=1.5))
    assert book.cost.tolist() == [0.0, 3.0, 3.0]
    book = account_weights(OPEN, CLOSE, TARGET, terms(NEXT_OPEN, bps=0.0, commission=1.5))
    assert book.cost.tolist() == [0.0, 3.0, 3.0]


@pytest.mark.parametrize(("weight", "shares"), [(0.5, 2), (0.7, 4), (0.9, 4), (-0.5, -2), (-0.7, -4)])
def test_half_shares_are_rounded_to_even(weight, shares):
    # Equity 5 at a close of 1: 2.5 -> 2, 3.5 -> 4, 4.5 -> 4.
    book = account_shares(np.ones((1, 1)), np.ones((1, 1)), np.full((1, 1), weight), terms(SAME_CLOSE, 5.0, 0.0))
    assert book.holdings[0, 0] == shares


def test_cash_pays_for_costs_and_may_go_below_zero():
    book = account_shares(np.full((1, 1), 10.0), np.full((1, 1), 10.0), np.ones((1, 1)), terms(SAME_CLOSE))
    assert book.holdings[0, 0] == 100
    assert book.cash[0] == pytest.approx(-1.0)
    assert book.equity[0] == pytest.approx(999.0)


def test_a_symbol_without_a_bar_keeps_its_shares_and_its_last_price():
    close = np.array([[10.0], [10.0], [NAN], [12.0]])
    target = np.array([[1.0], [1.0], [0.0], [1.0]])  # row 2 asks for 0 because nothing is known
    book = account_shares(close, close, target, terms(NEXT_OPEN, bps=0.0))
    assert book.holdings[:, 0].tolist() == [0, 100, 100, 100]
    assert book.equity.tolist() == [1000.0, 1000.0, 1000.0, 1200.0]
    assert book.dropped_orders == 0
    held = account_weights(close, close, target, terms(NEXT_OPEN, bps=0.0))
    assert held.holdings[:, 0].tolist() == [0, 1, 1, 1]
    assert held.equity.tolist() == pytest.approx([1000.0, 1000.0, 1000.0, 1200.0])


@pytest.mark.parametrize("account", [account_shares, account_weights])
def test_an_order_that_meets_no_price_is_dropped_and_counted(account):
    opens = np.array([[10.0], [NAN], [10.0]])
    close = np.array([[10.0], [NAN], [10.0]])
    book = account(opens, close, np.array([[1.0], [0.0], [0.0]]), terms(NEXT_OPEN))
    assert book.dropped_orders == 1
    assert not book.holdings.any()
    assert not book.cost.any()


@pytest.mark.parametrize("account", [account_shares, account_weights])
@pytest.mark.parametrize("fill", [NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE])
def test_close_last_sells_everything_at_the_last_close_and_pays_for_it(account, fill):
    target = np.array([[0.5, 0.3], [0.5, 0.3], [0.5, 0.3]])
    left = account(OPEN, CLOSE, target, terms(fill))
    closed = account(OPEN, CLOSE, target, terms(fill, close_last=True))
    assert left.holdings[-1].all()
    assert not closed.holdings[-1].any()
    assert closed.net_exposure[-1] == 0.0
    assert closed.cash[-1] == pytest.approx(closed.equity[-1])
    assert closed.cost[-1] > left.cost[-1]
    assert np.array_equal(left.equity[:-1], closed.equity[:-1])


@pytest.mark.parametrize("account", [account_shares, account_weights])
def test_a_ruined_account_opens_nothing_any_more(account):
    close = np.array([[10.0], [25.0], [25.0], [5.0]])  # short the whole equity, and the price goes up 2.5 times
    book = account(close, close, np.full((4, 1), -1.0), terms(SAME_CLOSE, bps=0.0))
    assert book.equity.tolist() == [1000.0, -500.0, -500.0, -500.0]
    assert book.holdings[:, 0].tolist() == [book.holdings[0, 0], 0, 0, 0]


def reference_shares(opens, close, target, how):
    """Return equity and holdings by a separate, slower reading of the rules: dictionaries and one day at a time."""
    held, price, cash, pending = {}, {}, how.initial_capital, {}
    equity, holdings, dropped = [], [], 0

    def trade(orders, prices):
        nonlocal cash, dropped
        for name, change in orders.items():
            if change and np.isnan(prices[name]):
                dropped += 1
            elif change:
                held[name] = held.get(name, 0.0) + change
                cash -= change * prices[name] + how.cost_rate * abs(change * prices[name]) + how.commission

    def value():
        return cash + sum(shares * price[name] for name, shares in held.items())

    for t in range(len(close)):
        if how.fill != SAME_CLOSE:
            trade(pending, opens[t] if how.fill == NEXT_OPEN else close[t])
        price.update({j: p for j, p in enumerate(close[t]) if not np.isnan(p)})
        worth, final = value(), how.close_last and t == len(close) - 1
        pending = {}
        for j, p in enumerate(close[t]):
            if final:
                pending[j] = -held.get(j, 0.0)
            elif not np.isnan(p):
                w = target[t, j] if worth > 0 else 0.0
                wished = wished_quantity(worth, w, p) if how.whole_shares else worth * w / p
                pending[j] = wished - held.get(j, 0.0)
        if how.fill == SAME_CLOSE or final:
            trade(pending, close[t])
        equity.append(value())
        holdings.append([held.get(j, 0.0) for j in range(close.shape[1])])
    return np.array(equity), np.array(holdings), dropped


def reference_weights(opens, close, target, how):
    """Return the equity by the formulas of the docstring in matrix form; complete panels only."""
    nothing = np.zeros((1, close.shape[1]))
    new = target if how.fill == SAME_CLOSE else np.vstack([nothing, target[:-1]])
    old = np.vstack([nothing, new[:-1]])
    previous = np.vstack([close[:1], close[:-1]])
    turnover = np.abs(new - old).sum(axis=1)
    if how.fill == NEXT_OPEN:
        opens = np.vstack([close[:1], opens[1:]])
        gross = (1 + (old * (opens / previous - 1)).sum(axis=1)) * (1 + (new * (close / opens - 1)).sum(axis=1)) - 1
    else:
        gross = (old * (close / previous - 1)).sum(axis=1)
    return how.initial_capital * np.cumprod(1 + gross - how.cost_rate * turnover)


def some_targets(seed, shape):
    rng = np.random.default_rng(seed + 1)
    raw = rng.normal(0.0, 1.0, shape) * (rng.random(shape) < 0.7)
    return raw / np.maximum(np.abs(raw).sum(axis=1, keepdims=True), 1.0)


conventions = st.builds(
    terms,
    st.sampled_from([NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE]),
    st.sampled_from([1e4, 1e6]),
    st.sampled_from([0.0, 5.0, 33.0]),
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
    st.booleans(),
)
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 30), st.integers(1, 6), conventions)
def test_shares_equal_the_reference(seed, bars, columns, how):
    panel = random_panel(seed, bars, columns, missing=0.1)
    target = some_targets(seed, panel.close.shape)
    book = account_shares(panel.open, panel.close, target, how)
    equity, holdings, dropped = reference_shares(panel.open, panel.close, target, how)
    assert book.holdings == pytest.approx(holdings, rel=1e-9, abs=1e-9)
    assert book.equity == pytest.approx(equity, rel=1e-9)
    assert book.dropped_orders == dropped


@given(seeds, st.integers(1, 30), st.integers(1, 6), st.sampled_from([NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE]))
def test_weights_equal_the_formula(seed, bars, columns, fill):
    panel = random_panel(seed, bars, columns)
    target = some_targets(seed, panel.close.shape)
    how = terms(fill, 1e6, 5.0)
    book = account_weights(panel.open, panel.close, target, how)
    assert book.equity == pytest.approx(reference_weights(panel.open, panel.close, target, how), rel=1e-12)


@given(seeds, st.integers(1, 40), st.integers(1, 5), conventions, st.sampled_from([account_shares, account_weights]))
def test_the_books_balance(seed, bars, columns, how, account):
    panel = random_panel(seed, bars, columns, missing=0.1)
    book = account(panel.open, panel.close, some_targets(seed, panel.close.shape), how)
    before = np.concatenate(([how.initial_capital], book.equity[:-1]))
    scale = how.initial_capital
    assert book.equity - before == pytest.approx(book.gross_pnl - book.cost, abs=1e-12 * scale)
    assert book.cost == pytest.approx(how.cost_rate * book.turnover * before + how.commission * book.trades, abs=1e-9)
    assert book.equity - book.cash == pytest.approx(book.net_exposure * book.equity, abs=1e-9)
    assert np.all(book.gross_exposure >= np.abs(book.net_exposure) - 1e-12)


@pytest.mark.slow
@settings(max_examples=60)
@given(seeds, st.integers(1, 60), st.integers(1, 6), conventions, st.sampled_from([account_shares, account_weights]))
def test_compiled_and_interpreted_give_the_same_bits(seed, bars, columns, how, account):
    panel = random_panel(seed, bars, columns, missing=0.1)
    target = some_targets(seed, panel.close.shape)
    slow = account(panel.open, panel.close, target, how, compiled=False)
    fast = account(panel.open, panel.close, target, how, compiled=True)
    for item in fields(Ledger):
        left, right = np.asarray(getattr(slow, item.name)), np.asarray(getattr(fast, item.name))
        assert left.tobytes() == right.tobytes(), item.name


@pytest.mark.slow
def test_without_a_folder_for_its_cache_it_compiles_all_the_same(monkeypatch):
    import numba

    from quant_trading.backtesting import compiling, kernel

    asked = []

    def njit(*, nogil, cache=False):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")  # numba's words
        assert nogil
        return lambda loop: loop

    monkeypatch.setattr(numba, "njit", njit)
    loop = compiling.compile_functions.__wrapped__((kernel.run_weights,))
    assert loop.__code__ is kernel.run_weights.__code__
    assert asked == [True, False]
