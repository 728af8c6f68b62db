"""The account of equal weights equals the textbook account on the same weights, figure by figure."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.backtesting.engine import run_backtest
from quant_trading.backtesting.equal_account import account_equal_weights
from quant_trading.backtesting.kernel import NEXT_CLOSE, NEXT_OPEN, SAME_CLOSE, Terms, account_weights
from quant_trading.backtesting.settings import Accounting, BacktestSettings, FillConvention
from quant_trading.domain.limits import Limits
from quant_trading.indicators.sides import HOLD, signal_of
from quant_trading.strategy.base import build_strategy, equal_weights, is_equal_weighted, registered_names
from quant_trading.strategy.reversal import ReversalDecile
from tests.backtesting.panels import panel_of, random_panel
from tests.examples import examples

COLUMNS = ("equity", "cash", "gross_pnl", "cost", "turnover", "gross_exposure", "net_exposure", "trades", "holdings")


@settings(max_examples=examples(120))
@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 50), columns=st.sampled_from([1, 3, 9]),
    missing=st.sampled_from([0.0, 0.3]), fill=st.sampled_from([NEXT_OPEN, SAME_CLOSE, NEXT_CLOSE]),
    commission=st.sampled_from([0.0, 3.0]), close_last=st.booleans(), capital=st.sampled_from([1e6, 60.0]),
    limits=st.sampled_from([Limits(0.2, 1.0), Limits(1.0, 1.0), Limits(0.15, 0.7)]), compiled=st.booleans(),
)  # fmt: skip
def test_equal_weights_equal_the_textbook_account(
    seed, bars, columns, missing, fill, commission, close_last, capital, limits, compiled
):
    panel = random_panel(seed, bars, columns, missing)
    rng = np.random.default_rng(seed)
    turns = rng.random((bars, columns)) < 0.4
    sides = rng.choice(np.array([1, 0, -1, 0, HOLD], dtype=np.int8), (bars, columns))
    for t in range(1, bars):
        sides[t] = np.where(turns[t], sides[t], sides[t - 1])
    terms = Terms(fill, capital, 5e-4, commission, True, close_last)
    expected = account_weights(panel.open, panel.close, equal_weights(signal_of(sides), limits), terms, False)
    ledger = account_equal_weights(panel.open, panel.close, sides, limits, terms, compiled)
    for name in COLUMNS:
        ours, theirs = getattr(ledger, name), getattr(expected, name)
        # Ten cents of a million are the rounding of sums that are added in another order.
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9 * capital if name != "holdings" else 1e-12), name
    assert ledger.dropped_orders == expected.dropped_orders


def test_one_switch_by_hand():
    # Two names of three, half each: A +10 % on day 2 earns 0.05; then A is left for C, traded 0.5 + 0.5, 10 bps.
    panel = panel_of([[100.0, 50.0, 20.0], [110.0, 50.0, 20.0], [110.0, 50.0, 22.0]])
    sides = np.array([[1, 1, 0], [0, 1, 1], [0, 1, 1]], dtype=np.int8)
    ledger = account_equal_weights(
        panel.open, panel.close, sides, Limits(0.5, 1.0), Terms(SAME_CLOSE, 1000.0, 1e-3, 0.0, True, False)
    )
    first = 1000.0 - 1000.0 * 1e-3 * 1.0
    second = first * (1.0 + 0.05 - 1e-3 * 1.0)
    assert ledger.equity == pytest.approx([first, second, second * (1.0 + 0.05)])
    assert ledger.turnover.tolist() == [1.0, 1.0, 0.0]
    assert ledger.trades.tolist() == [2.0, 2.0, 0.0]


@pytest.mark.parametrize("name", [n for n in registered_names() if n.startswith(("MACD", "REVERSAL"))])
def test_strategies_that_say_equal_weights_have_them(name):
    strategy = build_strategy(name, {})
    assert is_equal_weighted(strategy)
    signal = np.random.default_rng(4).choice([1.0, -1.0, 0.0, np.nan], (40, 7))
    for limits in (Limits(0.2, 1.0), Limits(0.3, 0.5)):
        assert np.array_equal(strategy.target(signal, limits), equal_weights(signal, limits))


@dataclass(frozen=True, slots=True)
class Halved(ReversalDecile):
    """Half of what its parent wishes."""

    def target(self, signal, limits):
        return equal_weights(signal, limits) / 2.0


def test_a_child_with_targets_of_its_own_is_not_taken_for_its_parent():
    assert not is_equal_weighted(Halved())
    panel = random_panel(2, 40, 20)
    how = BacktestSettings(accounting=Accounting.WEIGHTS, fill=FillConvention.SAME_CLOSE)
    whole = run_backtest(panel, ReversalDecile(), Limits(0.2, 1.0), how)
    half = run_backtest(panel, Halved(), Limits(0.2, 1.0), how)
    assert half.ledger.gross_exposure[-1] == pytest.approx(whole.ledger.gross_exposure[-1] / 2.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_limit_of_nothing_orders_nothing(compiled):
    close, sides = np.full((4, 2), 100.0), np.array([[1, 1], [0, 0], [1, -1], [1, 1]], dtype=np.int8)
    terms = Terms(SAME_CLOSE, 1e5, 0.0, 5.0, False, True)
    ledger = account_equal_weights(close, close, sides, Limits(max_gross_exposure=0.0), terms, compiled=compiled)
    assert ledger.trades.tolist() == [0.0] * 4
    assert ledger.equity.tolist() == [1e5] * 4
