"""The conventions: defaults, bounds, and what does not go together."""

import pytest

from quant_trading.backtesting.settings import (
    Accounting,
    BacktestSettings,
    CloseLast,
    CommissionPlan,
    MarginRule,
    Rebalance,
    Sizing,
)
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.exits import StopLoss, TakeProfit, TimeExit, TrailingStop


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"shares": 0.0}, ["shares", "0.0", "write 100"]),
        ({"fraction": -0.1}, ["fraction", "-0.1", "write 0.2"]),
        ({"vol_target": float("nan")}, ["vol_target", "nan"]),
        ({"vol_window": 1}, ["vol_window", "1", "write 20"]),
        ({"slippage_bps": 1e4}, ["slippage_bps"]),
        ({"slippage_ticks": -1.0}, ["slippage_ticks", "write 1"]),
        ({"tick_size": 0.0}, ["tick_size", "write 0.01"]),
        ({"leverage": 0.0}, ["leverage", "write 2"]),
        ({"maintenance": 1.0}, ["maintenance", "write 0.25"]),
        ({"max_volume_fraction": 10}, ["max_volume_fraction", "10", "write 0.1"]),
        ({"borrow_rate": -0.01}, ["borrow_rate", "write 0.02"]),
        ({"exits": [StopLoss(0.1)]}, ["exits", "tuple", "StopLoss(0.03)"]),
        ({"exits": (StopLoss(0.1), StopLoss(0.2))}, ["more than one StopLoss"]),
        ({"accounting": Accounting.WEIGHTS, "margin": MarginRule.CASH}, ["margin = cash", "accounting = shares"]),
        ({"accounting": Accounting.WEIGHTS, "plan": CommissionPlan.IBKR_FIXED}, ["plan = ibkr_fixed"]),
        ({"accounting": Accounting.WEIGHTS, "close_last": CloseLast.OPEN}, ["close_last = open"]),
        ({"accounting": Accounting.WEIGHTS, "rebalance": Rebalance.ON_CHANGE}, ["rebalance = on_change"]),
        ({"accounting": Accounting.WEIGHTS, "exits": (TimeExit(3),)}, ["exits"]),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_cure(values, words):
    with pytest.raises(ConfigError) as caught:
        BacktestSettings(**values)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_rebalance_follows_the_sizing_unless_it_is_said():
    assert not BacktestSettings().is_on_change
    assert BacktestSettings(sizing=Sizing.SHARES).is_on_change
    assert BacktestSettings(rebalance=Rebalance.ON_CHANGE).is_on_change
    assert not BacktestSettings(sizing=Sizing.FRACTION, rebalance=Rebalance.ALWAYS).is_on_change


@pytest.mark.parametrize("kind", [StopLoss, TakeProfit, TrailingStop])
@pytest.mark.parametrize("fraction", [0.0, -0.1, float("nan"), float("inf"), True, "0.1"])
def test_exits_refuse_what_is_no_fraction(kind, fraction):
    with pytest.raises(ValueError, match=rf"{kind.__name__}.fraction.*write 0.03"):
        kind(fraction)


def test_a_stop_of_everything_is_none_but_a_profit_may_double():
    for kind in (StopLoss, TrailingStop):
        with pytest.raises(ValueError, match="below 1"):
            kind(1.0)
    assert TakeProfit(1.5).fraction == 1.5
    for bars in (0, 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            TimeExit(bars)
