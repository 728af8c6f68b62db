"""MACD as a strategy: seeds, sides, and a symbol that is not disturbed by its neighbours."""

import numpy as np
import pytest

from quant_trading.domain.errors import ConfigError
from quant_trading.indicators.macd import MACD_SEEDS
from quant_trading.indicators.sides import HOLD, signal_of
from quant_trading.strategy.base import build_strategy
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import Reversal, ReversalDecile, ReversalRank
from tests.backtesting.panels import panel_of, random_panel


@pytest.mark.parametrize(
    "strategy",
    [*(Macd(3, 8, 4, seed=seed) for seed in MACD_SEEDS), Reversal(1, -0.02), ReversalRank(), ReversalDecile(1)],
)
def test_sides_are_the_signal(strategy):
    panel = random_panel(4, 90, 12, missing=0.1)
    signal, sides = strategy.signal(panel), strategy.sides(panel)
    assert sides.dtype == np.int8
    assert np.array_equal(np.where(np.isnan(signal), HOLD, np.sign(np.nan_to_num(signal))), sides)
    assert np.array_equal(signal_of(sides), signal, equal_nan=True)
    assert {-1.0, 1.0} <= set(signal[~np.isnan(signal)].tolist()) or not isinstance(strategy, Macd)


@pytest.mark.parametrize("seed", MACD_SEEDS)
def test_a_symbol_has_the_same_sides_alone_and_beside_others_with_other_bars(seed):
    alone = random_panel(8, 120, 1)
    # A neighbour that trades on bars of its own: the common clock has rows where our symbol has none.
    rows = np.sort(np.random.default_rng(1).choice(200, 120, replace=False))
    close = np.full((200, 2), np.nan)
    close[rows, 0] = alone.close[:, 0]
    close[:, 1] = random_panel(9, 200, 1).close[:, 0]
    both = Macd(3, 8, 4, seed=seed).sides(panel_of(close))
    assert np.array_equal(both[rows, 0], Macd(3, 8, 4, seed=seed).sides(alone)[:, 0])


def test_an_unknown_seed_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="seed = 'talib' is not among first, sma, delayed; pandas is first") as caught:
        build_strategy("MACD", {"seed": "talib"})
    assert "\n" not in str(caught.value)


def test_the_lowest_tenth_by_hand():
    # 11 names, the k-th falls by k %: a tenth of 11 is 1, three tenths are 3.
    close = np.array([[100.0] * 11, [100.0 - k for k in range(11)]])
    assert ReversalDecile(1, 0.1).signal(panel_of(close))[1].tolist() == [0.0] * 10 + [1.0]
    assert ReversalDecile(1, 0.3).signal(panel_of(close))[1].tolist() == [0.0] * 8 + [1.0] * 3
    with pytest.raises(ConfigError, match=r"quantile = 10 is not within \(0, 1\]; write 0\.1"):
        build_strategy("REVERSAL_DECILE", {"quantile": 10})
