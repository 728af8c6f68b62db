"""The exponential moving average: batch equals incremental, and one example by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.indicators.ema import EmaStep, ema
from tests.indicators.bits import prices, same_bits


@given(prices, st.integers(1, 60))
def test_batch_equals_incremental(values, span):
    step = EmaStep(span)
    assert same_bits(ema(np.array(values), span), [step.step(x) for x in values])


def test_by_hand():
    # span 3: alpha 1/2. 1; 1 + (2 - 1)/2 = 1.5; NaN leaves it; 1.5 + (4 - 1.5)/2 = 2.75.
    averaged = ema(np.array([1.0, 2.0, np.nan, 4.0]), 3)
    assert averaged[[0, 1, 3]].tolist() == [1.0, 1.5, 2.75]
    assert np.isnan(averaged[2])


def test_columns_are_independent():
    both = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0]])
    assert np.array_equal(ema(both, 3)[:, 1], ema(both[:, 1], 3))
