"""The exponential moving average: batch equals incremental, and one example by hand."""

import numpy as np
import pytest
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


@given(prices, st.integers(1, 20), st.integers(0, 5), st.sampled_from(["first", "sma"]))
def test_compiled_and_seeded_equals_incremental(values, span, skip, seed):
    step = EmaStep(span, seed, skip)
    steps = [step.step(x) for x in values]
    assert same_bits(ema(np.array(values), span, seed, skip, compiled=True), steps)
    assert same_bits(ema(np.array(values), span, seed, skip, compiled=False), steps)


def test_a_simple_average_seeds_on_its_last_row_by_hand():
    # span 3 after 1 left out: the mean of 2, 4, 6 is 4 on the row of the 6; then 4 + (10 - 4)/2 = 7.
    seeded = ema(np.array([9.0, 2.0, 4.0, np.nan, 6.0, 10.0]), 3, "sma", 1)
    assert np.isnan(seeded[:4]).all()
    assert seeded[4:].tolist() == [4.0, 7.0]


def test_an_unknown_seed_is_refused():
    with pytest.raises(ValueError, match="'talib' is not among first, sma"):
        ema(np.ones(3), 2, "talib")
