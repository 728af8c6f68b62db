"""The lowest returns of a row: the search of a level gives what sorting gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.indicators import ranks
from quant_trading.indicators.ranks import lowest
from quant_trading.indicators.sides import HOLD
from tests.examples import examples


def by_rule(close, lookback, symbols, share, least):
    """Per row: the names by (return, name), the first floor(share x known) of them, at least `least`."""
    sides = np.full(close.shape, HOLD, dtype=np.int8)
    for t in range(lookback, len(close)):
        change = close[t] / close[t - lookback] - 1.0
        known = [j for j in range(len(symbols)) if change[j] == change[j]]
        sides[t, known] = 0
        ranked = sorted(known, key=lambda j: (change[j], symbols[j]))
        sides[t, ranked[: max(int(len(known) * share + 1e-9), least)]] = 1
    return sides


@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 30), columns=st.integers(1, 70), lookback=st.integers(1, 6),
    digits=st.sampled_from([0, 1, 6]), missing=st.sampled_from([0.0, 0.1, 0.9]),
    size=st.sampled_from([(0.1, 1), (0.5, 1), (0.0, 3), (1.0, 1)]),
)  # fmt: skip
def test_both_ways_are_the_rule(seed, bars, columns, lookback, digits, missing, size):
    rng = np.random.default_rng(seed)
    # Few digits make many ties; a crash now and then moves every return of a row.
    close = np.round(20.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, (bars, columns)), axis=0)), digits) + 1.0
    close *= np.where(rng.random((bars, 1)) < 0.1, 0.5, 1.0)
    close[rng.random((bars, columns)) < missing] = np.nan
    symbols = [f"S{n:03d}" for n in rng.permutation(columns)]
    expected = by_rule(close, lookback, symbols, *size)
    for compiled in (False, True):
        assert np.array_equal(lowest(close, lookback, symbols, *size, compiled), expected)


def test_the_search_settles_in_few_counts_and_interpreted_alike(monkeypatch):
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02, (60, 200)), axis=0))
    settled = []
    for run in (ranks.run_lowest, ranks.machine_code(ranks.run_lowest)):
        sides, pending = np.zeros(close.size, dtype=np.int8), np.ones(60, dtype=np.int8)
        counts = run(60, 200, 5, 0.1, 1, close.reshape(-1), np.empty(200), sides, pending)
        assert counts < 8 * 55
        settled.append((sides.tobytes(), pending.tobytes()))
        assert pending.sum() <= 6  # the rows without a return, and hardly another
    assert settled[0] == settled[1]


@pytest.mark.parametrize("count", [1, 2])
def test_by_hand(count):
    # Returns -5 %, -1 %, -5 %, +5 %; B stands before D by name.
    close = np.array([[100.0, 100.0, 100.0, 100.0], [95.0, 99.0, 95.0, 105.0]])
    assert lowest(close, 1, ("D", "C", "B", "A"), 0.0, count)[1].tolist() == [int(count == 2), 0, 1, 0]
