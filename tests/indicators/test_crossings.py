"""Sides of MACD crossings: the lanes and the plain loop give what the incremental MACD gives, bar by bar."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quant_trading.indicators import crossings
from quant_trading.indicators.crossings import crossing_sides
from quant_trading.indicators.macd import MACD_SEEDS, MacdStep
from quant_trading.indicators.sides import HOLD
from tests.examples import examples


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


@settings(max_examples=examples(40))
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


@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 9])
@pytest.mark.parametrize("shape", ["walk", "staircase", "gaps", "penny", "huge"])
def test_long_series_equal_the_rule(shape, columns):
    close = walk(5, 40_000, columns, 0.1 if shape == "gaps" else 0.0)
    if shape == "staircase":  # long flat stretches: the histogram dies out to exactly 0, which is no side by itself
        close = np.repeat(close[:40], 1_000, axis=0)
    elif shape == "penny":  # in steps of a hundredth of the price, with many histograms of nearly 0
        close = np.round(0.01 * close)
    elif shape == "huge":  # one price beyond all others puts every histogram in doubt from then on
        close[20_000] = 1e300
    plain = crossing_sides(close, compiled=False)
    assert np.array_equal(crossing_sides(close, compiled=True), plain)
    assert {-1, 1} <= set(np.unique(plain).tolist())


def test_a_histogram_within_the_doubt_is_left_to_the_rule(monkeypatch):
    close, seen = walk(6, 5_000, 1), []
    original = crossings.machine_code

    def noting(loop, short=False):
        code = original(loop, short)

        def run(*arguments):
            seen.append((loop.__name__, code(*arguments)))
            return seen[-1][1]

        return run

    monkeypatch.setattr(crossings, "machine_code", noting)
    crossing_sides(close, compiled=True)
    assert seen[-1] == ("run_series", True)  # the short form was sure of every bar
    close[3_000:3_400] = close[3_000]  # an average comes to rest where nothing moves, the histogram at 0
    sides = crossing_sides(close, compiled=True)
    assert ("run_series", False) in seen and seen[-1][0] == "run_column"
    assert np.array_equal(sides, crossing_sides(close, compiled=False))


def exact_histogram(close, weights):
    """The histogram in exact arithmetic, seeded by the first price."""
    alphas = [Fraction(weight) for weight in weights]
    fast = slow = Fraction(close[0])
    average, out = Fraction(0), []
    for price in map(Fraction, close):
        fast += alphas[0] * (price - fast)
        slow += alphas[1] * (price - slow)
        average += alphas[2] * (fast - slow - average)
        out.append(fast - slow - average)
    return out


def short_and_strict(close, weights):
    """Both forms as they are compiled, in floats; the short one without single-rounding instructions."""
    fast = slow = near = far = float(close[0])
    average = mean = 0.0
    for price in close:
        fast += weights[0] * (price - fast)
        slow += weights[1] * (price - slow)
        average += weights[2] * (fast - slow - average)
        near = (1.0 - weights[0]) * near + weights[0] * price
        far = (1.0 - weights[1]) * far + weights[1] * price
        mean = (1.0 - weights[2]) * mean + weights[2] * (near - far)
        yield fast - slow - average, near - far - mean


@given(
    prices=st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=25), fast=st.integers(1, 30), more=st.integers(1, 60),
    span=st.integers(1, 30),
)  # fmt: skip
def test_both_forms_err_by_less_than_half_the_doubt(prices, fast, more, span):
    spans = crossings._Spans(fast, fast + more, span, "first")
    bound = Fraction(spans.doubt) / 2 * Fraction(max(prices))
    exact = exact_histogram(prices, spans.weights)
    for true, (strict, short) in zip(exact, short_and_strict(prices, spans.weights), strict=True):
        assert abs(Fraction(strict) - true) + abs(Fraction(short) - true) < bound


def test_the_short_form_interpreted_gives_the_same_sides(monkeypatch):
    for columns in (1, 18):
        close = walk(7, 300, columns, 0.05 if columns > 1 else 0.0)
        compiled = crossing_sides(close, compiled=True)
        with monkeypatch.context() as patch:
            patch.setattr(crossings, "machine_code", lambda loop, short=False: loop)
            assert np.array_equal(crossing_sides(close, compiled=True), compiled)
