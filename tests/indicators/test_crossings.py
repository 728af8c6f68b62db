"""Sides of MACD crossings: the lanes and the plain loop give what the incremental MACD gives, bar by bar."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quant_trading.indicators import crossings
from quant_trading.indicators.crossings import crossing_sides
from quant_trading.indicators.macd import MACD_SEEDS, MacdStep
from quant_trading.indicators.sides import HOLD


def walk(seed, bars, columns, missing=0.0):
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, (bars, columns)), axis=0)), 1)
    close[rng.random((bars, columns)) < missing] = np.nan
    return close


def spelled_out(close, fast, slow, span, seed):
    """The rule in words: the side of the last crossing between neighbouring own bars, from own bar slow + span - 1."""
    sides = np.empty(close.shape, dtype=np.int8)
    for j in range(close.shape[1]):
        step, own, before, side = MacdStep(fast, slow, span, seed), -1, float("nan"), 0
        for t, price in enumerate(close[:, j].tolist()):
            if price == price:
                own += 1
                now = step.step(price)[2]
                if own >= slow + span - 1:
                    if before <= 0.0 < now:
                        side = 1
                    elif before >= 0.0 > now:
                        side = -1
                before = now
            sides[t, j] = side if own >= slow + span - 1 else HOLD
    return sides


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1), bars=st.integers(1, 400), columns=st.sampled_from([1, 2, 8, 17, 40]),
    missing=st.sampled_from([0.0, 0.05, 0.5]), fast=st.integers(1, 6), more=st.integers(1, 8),
    span=st.integers(1, 6), how=st.sampled_from(MACD_SEEDS),
)  # fmt: skip
# Half of the bars missing: when the lanes take over, a symbol may have all but the bar that makes its opinion count.
@example(seed=14170386, bars=130, columns=17, missing=0.5, fast=1, more=1, span=1, how="first")
def test_both_ways_are_the_rule(seed, bars, columns, missing, fast, more, span, how):
    close = walk(seed, bars, columns, missing)
    expected = spelled_out(close, fast, fast + more, span, how)
    for compiled in (False, True):
        assert np.array_equal(crossing_sides(close, fast, fast + more, span, how, compiled), expected)


@pytest.mark.parametrize("shape", ["walk", "staircase", "gaps"])
def test_parts_of_a_long_series_equal_the_plain_loop(shape):
    close = walk(5, 120_000, 1, 0.1 if shape == "gaps" else 0.0)
    if shape == "staircase":  # long flat stretches: the histogram dies out to exactly 0 and parts may not meet
        close = np.repeat(close[:120], 1_000, axis=0)
    plain = crossing_sides(close, compiled=False)
    assert np.array_equal(crossing_sides(close, compiled=True), plain)
    assert {-1, 1} <= set(np.unique(plain).tolist())


def test_a_part_that_has_not_met_the_one_before_is_done_over(monkeypatch):
    # With one bar to warm up in, no part begins with the right averages.
    close = walk(6, 80_000, 1)
    monkeypatch.setattr(crossings._Spans, "warmup", property(lambda self: 1))
    assert np.array_equal(crossing_sides(close, compiled=True), crossing_sides(close, compiled=False))


def test_the_lanes_interpreted_equal_the_lanes_compiled(monkeypatch):
    close = walk(7, 120, 18, 0.05)
    compiled = crossing_sides(close, compiled=True)
    monkeypatch.setattr(crossings, "machine_code", lambda loop: loop)
    assert np.array_equal(crossing_sides(close, compiled=True), compiled)
