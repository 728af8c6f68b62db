"""The figures of closed trades against a trader's arithmetic."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.backtesting.metrics import measure
from quant_trading.backtesting.trade_metrics import TradeFigures, trade_figures
from quant_trading.backtesting.trades import Trades


def trades_with(pnl, held=None, value=1.0, sides=None):
    """One share of each side, bought at `value`; what was earned after a cost of 0.25."""
    pnl = np.array(pnl, dtype=float)
    side = np.ones(len(pnl)) if sides is None else np.array(sides, dtype=float)
    none, entry = np.zeros(len(pnl), dtype=np.int64), np.full(len(pnl), value)
    end = none + 1 if held is None else np.array(held, dtype=np.int64)
    cost = np.full(len(pnl), 0.25)
    return Trades(none, none + 7, end + 7, side, entry, entry, pnl + cost, cost, none.astype(np.int8))


def figures_of(*args, **kwargs):
    return trade_figures(trades_with(*args, **kwargs))


def test_by_hand():
    figures = figures_of([100, -50, -50, 0, 200], [3, 1, 1, 5, 10], [1000, 1000, 1000, 9, 2000], [1, -1, 1, 1, -1])
    assert (figures.trades, figures.long_trades, figures.short_trades) == (5, 3, 2)
    assert figures.hit_rate == 0.4  # the trade that earned nothing was not won
    assert figures.profit_factor == 3.0
    assert (figures.average, figures.average_win, figures.average_loss) == (40.0, 150.0, -50.0)
    assert figures.average_return == pytest.approx(0.02)
    assert figures.payoff == 3.0
    assert figures.expectancy == pytest.approx(0.8)  # 40 earned for each 50 lost at a time
    assert (figures.best, figures.worst) == (200.0, -50.0)
    assert figures.losing_streak == 2
    assert figures.bars_held == 4.0
    assert figures.kelly == pytest.approx(0.4 - 0.6 / 3.0)
    # Deviations from 40: 60, -90, -90, -40, 160; squares 3,600 + 8,100 + 8,100 + 1,600 + 25,600 = 47,000 over 4.
    assert figures.sqn == pytest.approx(math.sqrt(5) * 40 / math.sqrt(11_750))


def test_what_is_not_defined_is_nan():
    won = figures_of([10, 20])
    for name in ("profit_factor", "average_loss", "payoff", "expectancy", "kelly"):
        assert math.isnan(getattr(won, name)), name
    assert (won.losing_streak, won.long_trades, won.short_trades) == (0, 2, 0)
    assert math.isnan(figures_of([10]).sqn) and math.isnan(figures_of([10, 10, 10]).sqn)
    lost = figures_of([-10, -20])
    assert lost.profit_factor == 0.0 and math.isnan(lost.payoff) and math.isnan(lost.kelly)
    none = figures_of([])
    assert (none.trades, none.long_trades, none.short_trades, none.losing_streak) == (0, 0, 0, 0)
    assert math.isnan(none.hit_rate)
    # Losses too small to have a mean of their own do not divide by 0.
    assert math.isnan(figures_of([1.0, -5e-324, -5e-324]).payoff) or figures_of([1.0, -5e-324, -5e-324]).payoff > 0


def test_nearly_equal_trades_keep_the_digits_of_their_spread():
    pnl = [1e6 + 0.001 * (i % 7) for i in range(50)]
    assert figures_of(pnl).sqn == pytest.approx(math.sqrt(50) * statistics.fmean(pnl) / statistics.stdev(pnl), rel=1e-6)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=50))
def test_sums_are_those_of_a_walk_along_the_trades(pnl):
    figures = figures_of(pnl)
    wins, losses = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    streak = longest = 0
    for p in pnl:
        streak = streak + 1 if p < 0 else 0
        longest = max(longest, streak)
    assert figures.losing_streak == longest
    assert figures.hit_rate == pytest.approx(len(wins) / len(pnl))
    assert figures.average == pytest.approx(statistics.fmean(pnl))
    if losses:
        assert figures.profit_factor == pytest.approx(sum(wins) / -sum(losses))
        assert figures.average_loss == pytest.approx(statistics.fmean(losses))
    if wins:
        assert figures.average_win == pytest.approx(statistics.fmean(wins))
    if len(set(pnl)) > 1:
        assert figures.sqn == pytest.approx(math.sqrt(len(pnl)) * statistics.fmean(pnl) / statistics.stdev(pnl))


def test_the_metrics_of_a_run_hold_them_under_their_own_names():
    trades = trades_with([100, -50], [3, 4], sides=[1, -1])
    figures, lot = measure(np.array([1000.0, 1050.0]), trades=trades), trade_figures(trades)
    named = {
        "average": "average_trade", "average_return": "average_trade_return", "payoff": "payoff_ratio",
        "best": "best_trade", "worst": "worst_trade", "losing_streak": "longest_losing_streak",
        "bars_held": "average_bars_held",
    }  # fmt: skip
    for name in TradeFigures._fields:
        ours, theirs = getattr(figures, named.get(name, name)), getattr(lot, name)
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), name
