"""MACD: batch equals incremental; real bars are in tests/golden/test_macd_lines.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.indicators.macd import MacdStep, macd
from tests.indicators.bits import prices, same_bits


@given(prices, st.integers(1, 12), st.integers(1, 20), st.integers(1, 9))
def test_batch_equals_incremental(values, fast, more, signal_span):
    step = MacdStep(fast, fast + more, signal_span)
    batch = macd(np.array(values), fast, fast + more, signal_span)
    steps = np.array([step.step(x) for x in values])
    for column, expected in zip((batch.macd, batch.signal, batch.histogram), steps.T, strict=True):
        assert same_bits(column, expected)


def test_by_hand():
    # EMA(1) is the price itself; EMA(3) has alpha 1/2: 4, 6, 5. The signal of span 1 is the line itself.
    lines = macd(np.array([4.0, 8.0, 4.0]), 1, 3, 1)
    assert lines.macd.tolist() == [0.0, 2.0, -1.0]
    assert lines.histogram.tolist() == [0.0, 0.0, 0.0]
    assert macd(np.array([4.0, 8.0, 4.0]), 1, 3, 3).signal.tolist() == [0.0, 1.0, 0.0]


def test_columns_are_independent():
    both = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0]])
    assert np.array_equal(macd(both, 2, 3, 2).histogram[:, 0], macd(both[:, 0], 2, 3, 2).histogram)
