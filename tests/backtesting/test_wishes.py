"""Signals become wishes: shares, fractions, volatility targets; NaN holds."""

import math
import statistics

import numpy as np
import pytest

from quant_trading.backtesting.settings import BacktestSettings, Rebalance, Sizing
from quant_trading.backtesting.wishes import annual_deviation, wishes_of
from quant_trading.domain.limits import Limits
from tests.backtesting.panels import panel_of

NAN = float("nan")
CLOSE = [[100.0], [102.0], [101.0], [103.0], [99.0], [104.0]]
SIGNAL = np.array([[NAN], [0.7], [NAN], [-2.0], [0.0], [0.0]])


def wishes(signal=SIGNAL, limits=Limits(1.0, 1.0), **settings):  # noqa: B008  (a frozen value)
    return wishes_of(signal, panel_of(CLOSE), BacktestSettings(**settings), limits)[:, 0]


def test_the_sign_times_a_size():
    assert wishes(sizing=Sizing.SHARES, shares=50.0)[1:].tolist() == pytest.approx([50, NAN, -50, 0, 0], nan_ok=True)
    assert wishes(sizing=Sizing.FRACTION, fraction=0.3)[3] == -0.3
    assert math.isnan(wishes(sizing=Sizing.SHARES)[0])


def test_deviation_by_hand_and_its_year():
    returns = [CLOSE[t + 1][0] / CLOSE[t][0] - 1.0 for t in range(5)]
    got = annual_deviation(panel_of(CLOSE), 3)[:, 0]
    assert np.isnan(got[:3]).all()
    for t in (3, 4, 5):
        assert got[t] == pytest.approx(statistics.stdev(returns[t - 3 : t]) * math.sqrt(252), rel=1e-12)


def test_a_position_is_sized_once_when_it_is_opened():
    signal = np.array([[1.0]] * 3 + [[1.0], [-1.0], [-1.0]])
    got = wishes(signal, sizing=Sizing.VOLATILITY, vol_target=0.1, vol_window=3)
    sigma = annual_deviation(panel_of(CLOSE), 3)[:, 0]
    assert np.isnan(got[[0, 1, 2, 5]]).all()  # not known before bar 3, not sized anew on bar 5
    assert got[3] == pytest.approx(0.1 / sigma[3])
    assert got[4] == pytest.approx(-0.1 / sigma[4])
    always = wishes(signal, sizing=Sizing.VOLATILITY, vol_target=0.1, vol_window=3, rebalance=Rebalance.ALWAYS)
    assert always[5] == pytest.approx(-0.1 / sigma[5])


def test_a_quiet_symbol_is_capped_by_the_largest_position():
    assert wishes(np.ones((6, 1)), Limits(0.2, 1.0), sizing=Sizing.VOLATILITY, vol_target=9.0, vol_window=3)[3] == 0.2
    still = panel_of([[100.0]] * 6)
    chosen = BacktestSettings(sizing=Sizing.VOLATILITY, vol_window=3)
    assert wishes_of(np.ones((6, 1)), still, chosen, Limits(0.2, 1.0))[3, 0] == 0.2  # no deviation at all


def test_flat_is_known_before_any_deviation():
    signal = np.array([[0.0], [1.0], [1.0], [1.0], [0.0], [0.0]])
    got = wishes(signal, sizing=Sizing.VOLATILITY, vol_target=0.1, vol_window=3)
    assert got[4] == 0.0
    assert np.isnan(got[[0, 1, 2, 5]]).all()


def test_a_run_that_begins_later_sizes_the_side_it_finds():
    signal = np.ones((6, 1))
    whole = wishes(signal, sizing=Sizing.VOLATILITY, vol_target=0.1, vol_window=3)
    settings = BacktestSettings(sizing=Sizing.VOLATILITY, vol_target=0.1, vol_window=3)
    later = wishes_of(signal, panel_of(CLOSE), settings, Limits(1.0, 1.0), first_bar=4)[:, 0]
    # The deviation is known from bar 3 on: the whole run opens there, the later one at its own first bar.
    assert np.flatnonzero(~np.isnan(whole)).tolist() == [3]
    assert np.flatnonzero(~np.isnan(later)).tolist() == [4]
    assert later[4] == pytest.approx(0.1 / annual_deviation(panel_of(CLOSE), 3)[4, 0])
