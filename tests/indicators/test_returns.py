"""Simple returns: batch equals incremental, and one example by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.indicators.returns import ReturnStep, simple_returns
from tests.indicators.bits import prices, same_bits


@given(prices, st.integers(1, 10))
def test_batch_equals_incremental(values, lookback):
    step = ReturnStep(lookback)
    assert same_bits(simple_returns(np.array(values), lookback), [step.step(x) for x in values])


def test_by_hand():
    change = simple_returns(np.array([10.0, 11.0, 9.0]), 2)
    assert np.isnan(change[:2]).all()
    assert change[2] == pytest.approx(-0.1)  # 9 / 10 - 1
    assert np.isnan(simple_returns(np.array([10.0]), 3)).all()
