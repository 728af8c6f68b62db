"""Every indicator: batch equals incremental, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.indicators.ema import EmaStep, ema
from quant_trading.indicators.macd import MacdStep, macd
from quant_trading.indicators.returns import ReturnStep, simple_returns

prices = st.lists(st.floats(0.01, 1e5) | st.just(float("nan")), min_size=1, max_size=80)


def same_bits(batch, steps):
    assert np.asarray(batch).tobytes() == np.array(steps, dtype=np.float64).tobytes()


def canonical(values):
    """Return the values with one bit pattern for NaN."""
    values = np.array(values, dtype=np.float64)
    values[np.isnan(values)] = np.nan
    return values


@given(prices, st.integers(1, 60))
def test_ema(values, span):
    step = EmaStep(span)
    same_bits(canonical(ema(np.array(values), span)), canonical([step.step(x) for x in values]))


@given(prices, st.integers(1, 12), st.integers(1, 20), st.integers(1, 9))
def test_macd(values, fast, more, signal_span):
    step = MacdStep(fast, fast + more, signal_span)
    batch = macd(np.array(values), fast, fast + more, signal_span)
    steps = canonical([step.step(x) for x in values])
    for column, expected in zip((batch.macd, batch.signal, batch.histogram), steps.T, strict=True):
        same_bits(canonical(column), expected)


@given(prices, st.integers(1, 10))
def test_returns(values, lookback):
    step = ReturnStep(lookback)
    same_bits(canonical(simple_returns(np.array(values), lookback)), canonical([step.step(x) for x in values]))


def test_columns_are_independent():
    both = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0]])
    assert np.array_equal(ema(both, 3)[:, 1], ema(both[:, 1], 3))
    assert np.array_equal(macd(both, 2, 3, 2).histogram[:, 0], macd(both[:, 0], 2, 3, 2).histogram)


def test_by_hand():
    # span 3: alpha 1/2. 1; 1 + (2 - 1)/2 = 1.5; NaN leaves it; 1.5 + (4 - 1.5)/2 = 2.75.
    averaged = ema(np.array([1.0, 2.0, np.nan, 4.0]), 3)
    assert averaged[[0, 1, 3]].tolist() == [1.0, 1.5, 2.75]
    assert np.isnan(averaged[2])
    assert simple_returns(np.array([10.0, 11.0, 9.0]), 2)[2] == pytest.approx(-0.1)
    assert np.isnan(simple_returns(np.array([10.0, 11.0, 9.0]), 2)[:2]).all()
    assert np.isnan(simple_returns(np.array([10.0]), 3)).all()
