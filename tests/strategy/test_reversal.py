"""Reversal by hand, and the registry's errors."""

import numpy as np
import pytest

from quant_trading.domain.bars import BarPanel
from quant_trading.domain.errors import ConfigError
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import build_strategy, registered_names
from quant_trading.strategy.macd import Macd
from quant_trading.strategy.reversal import Reversal, ReversalRank
from quant_trading.strategy.static import Static

DAY = 86_400_000_000_000


def panel(*closes: list[float], symbols: tuple[str, ...] = ()) -> BarPanel:
    close = np.array(closes, dtype=np.float64).T
    start = np.arange(len(close), dtype=np.int64) * DAY
    names = symbols or tuple("ABCDEFGH"[: close.shape[1]])
    flat = [close.copy() for _ in range(4)]
    return BarPanel(names, "1 day", start, start + DAY, *flat, np.ones_like(close))


def test_reversal_is_long_where_the_five_day_return_is_two_percent_down_or_more() -> None:
    bars = panel([100, 99, 99, 99, 99, 98], [100, 99, 99, 99, 99, 98.01], [100, 101, 102, 103, 104, 97])
    signal = Reversal().signal(bars)
    assert np.isnan(signal[:5]).all()
    assert signal[5].tolist() == [1.0, 0.0, 1.0]  # -2.00 %, -1.99 %, -3.00 %
    assert Reversal().target(signal, Limits(0.2, 1.0))[5].tolist() == [0.2, 0.0, 0.2]


def test_rank_takes_the_lowest_returns_and_breaks_ties_by_name() -> None:
    bars = panel([100, 95], [100, 99], [100, 95], [100, 105], symbols=("D", "C", "B", "A"))
    signal = ReversalRank(lookback=1, count=1).signal(bars)
    assert signal[1].tolist() == [0.0, 0.0, 1.0, 0.0]  # B before D at the same -5 %


def test_rank_never_chooses_a_symbol_without_a_return() -> None:
    bars = panel([100, 95], [np.nan, 50], symbols=("A", "B"))
    assert ReversalRank(lookback=1, count=2).signal(bars)[1].tolist()[0] == 1.0
    assert np.isnan(ReversalRank(lookback=1, count=2).signal(bars)[1, 1])


def test_static_holds_the_configured_weights() -> None:
    strategy = Static({"A": 0.15})
    signal = strategy.signal(panel([10.0], [20.0]))
    assert strategy.target(signal, Limits()).tolist() == [[0.15, 0.0]]


def crossings_by_hand(closes: list[float]) -> list[float]:
    """MACD(12, 26, 9) spelled out bar by bar: the state after each bar, 0 before the first crossing."""
    fast = slow = closes[0]
    average, before, state, states = 0.0, 0.0, 0.0, []
    for i, close in enumerate(closes):
        fast += 2 / 13 * (close - fast)
        slow += 2 / 27 * (close - slow)
        average += 2 / 10 * ((fast - slow) - average)
        now = (fast - slow) - average
        if i >= 34 and before <= 0 < now:
            state = 1.0
        elif i >= 34 and before >= 0 > now:
            state = -1.0
        before = now
        states.append(state)
    return states


def test_macd_holds_the_side_of_the_last_crossing() -> None:
    falling, rising = np.linspace(200, 100, 60), np.linspace(100, 200, 60)
    closes = np.concatenate([falling, rising, falling]).tolist()
    signal = Macd().signal(panel(closes))[:, 0]
    expected = crossings_by_hand(closes)
    assert np.isnan(signal[:34]).all()
    assert signal[34:].tolist() == expected[34:]
    assert {1.0, -1.0} <= set(expected)  # both crossings happen in this path


def test_macd_needs_enough_bars_to_forget_the_first() -> None:
    # 34 + ceil(53 ln 2 / -ln(25/27)) = 34 + ceil(36.737 / 0.076961) = 34 + 478
    assert Macd().warmup == 34 + 478


def test_an_unknown_strategy_lists_the_known_names() -> None:
    with pytest.raises(ConfigError, match=r"MACD, (.*, )?REVERSAL, REVERSAL_DECILE, REVERSAL_RANK, (.*, )?STATIC"):
        build_strategy("REVRSAL", {})
    assert {"MACD", "REVERSAL", "STATIC"} <= set(registered_names())


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("REVERSAL", {"lookbak": 5}, "parameter 'lookbak' is unknown; known are lookback, threshold"),
        ("REVERSAL", {"threshold": -2}, r"-0\.02 for a fall of 2 %"),
        ("REVERSAL", {"lookback": 0}, "whole number of at least 1"),
        ("MACD", {"timeframe": 7}, "not among 1, 3, 5, 10"),
        ("MACD", {"fast": 30}, "not below slow"),
        ("STATIC", {"weights": {"A": 20}}, r"write 0\.2 for 20 %"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_strategy(name, params)
    assert "\n" not in str(caught.value)
