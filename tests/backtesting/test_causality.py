"""No registered strategy reads the row after: a panel cut at any bar gives the same rows, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quant_trading.strategy.macd
import quant_trading.strategy.reversal
import quant_trading.strategy.static  # noqa: F401  (importing registers)
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import build_strategy, registered_names
from tests.backtesting.panels import random_panel

OURS = ("MACD", "REVERSAL", "REVERSAL_RANK", "STATIC")
PARAMS = {
    "STATIC": [{"weights": {"S00": 0.2, "S02": -0.1}}],
    "REVERSAL": [{}, {"lookback": 1, "threshold": -0.02}],
    "REVERSAL_RANK": [{"lookback": 1, "count": 2}, {"lookback": 3, "count": 1}],
    "MACD": [{}, {"fast": 3, "slow": 8, "signal_span": 4}],
}
CASES = [(name, params) for name in sorted({*OURS, *registered_names()}) for params in PARAMS.get(name, [{}])]


def rows(strategy, panel, limits):
    signal = strategy.signal(panel)
    return signal, strategy.target(signal, limits)


@pytest.mark.parametrize(("name", "params"), CASES)
@given(seed=st.integers(0, 2**32 - 1), bars=st.integers(2, 90), missing=st.sampled_from([0.0, 0.1]), data=st.data())
def test_rows_do_not_depend_on_what_comes_after(name, params, seed, bars, missing, data):
    strategy, limits = build_strategy(name, params), Limits()
    panel = random_panel(seed, bars, 4, missing)
    cut = data.draw(st.integers(1, bars - 1), label="cut")
    whole, part = rows(strategy, panel, limits), rows(strategy, panel.rows(0, cut), limits)
    for full, early in zip(whole, part, strict=True):
        assert np.ascontiguousarray(full[:cut]).tobytes() == np.ascontiguousarray(early).tobytes()
    assert not np.isnan(whole[1]).any()


@pytest.mark.parametrize(("name", "params"), CASES)
def test_the_last_row_after_warmup_equals_the_full_history(name, params):
    strategy, limits = build_strategy(name, params), Limits()
    for seed in range(10):
        panel = random_panel(seed, strategy.warmup + 60, 4)
        whole = rows(strategy, panel, limits)
        short = rows(strategy, panel.rows(len(panel) - strategy.warmup, len(panel)), limits)
        for full, late in zip(whole, short, strict=True):
            if name != "MACD":
                assert np.array_equal(full[-1], late[-1])
            else:  # a state that no crossing within the window has set is 0 there, never the other side
                assert np.all((late[-1] == 0.0) | (np.sign(late[-1]) == np.sign(full[-1])))
