"""Sharpe ratios under doubt: the papers' own examples, sums by hand, and coverage on simulated markets."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quant_trading.backtesting.metrics import cagr, max_drawdown, sharpe_ratio
from quant_trading.backtesting.significance import (
    SharpeSample,
    block_length_of,
    bootstrap,
    deflated_sharpe,
    expected_max_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_sample,
)

# --- Bailey and Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012) ----------------------

# Their hedge fund: 24 months, mean 0.036, deviation 0.079 (a monthly ratio of 0.458), skew -2.448, kurtosis 10.164.
FUND = SharpeSample(0.458, 24, -2.448, 10.164)


def test_probabilistic_sharpe_of_the_paper():
    assert round(SharpeSample(0.458, 24).probability_above(0.0), 3) == 0.982  # were the returns normal
    assert round(FUND.probability_above(0.0), 3) == 0.913


def test_standard_error_by_hand():
    # 1 + 2.448 x 0.458 + 9.164 / 4 x 0.458^2 = 2.601758; over 23 months 0.113120, and its root 0.336333.
    assert FUND.standard_error == pytest.approx(0.336333, abs=1e-6)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_minimum_track_record_of_the_paper(periods, years):
    """How long a yearly ratio of 2 must last to be believed above 1 at 95 %, normal returns seen daily to monthly."""
    scale = math.sqrt(periods)
    assert round(SharpeSample(2 / scale, 0).returns_needed(1 / scale, 0.95) / periods, 2) == years


# --- Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014) --------------------------------

# Their strategy: a yearly ratio of 2.5 over five years of 250 days, skew -3, kurtosis 10; the yearly ratios of the
# trials have a variance of 1/2.
CHOSEN = SharpeSample(2.5 / math.sqrt(250), 1250, -3.0, 10.0)
VARIANCE = 0.5 / 250


def test_deflated_sharpe_of_the_paper():
    assert round(expected_max_sharpe(100, VARIANCE), 4) == 0.1132
    assert round(CHOSEN.probability_above(expected_max_sharpe(100, VARIANCE)), 4) == 0.9004
    assert round(CHOSEN.probability_above(expected_max_sharpe(46, VARIANCE)), 4) == 0.9505
    normal = SharpeSample(CHOSEN.sharpe, CHOSEN.n)
    assert round(normal.probability_above(expected_max_sharpe(88, VARIANCE)), 4) == 0.9505


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_expected_maximum_is_near_that_of_drawn_ratios(trials):
    drawn = np.random.default_rng(5).normal(0.0, 0.3, (4000, trials)).max(axis=1).mean()
    assert expected_max_sharpe(trials, 0.09) == pytest.approx(drawn, rel=0.03)


# --- on returns --------------------------------------------------------------------------------

# Returns whose moments are known: 3 x +1, 1 x -3 has mean 0; lifted by 1/2.
LIFTED = np.array([1.5, 1.5, 1.5, -2.5])


def test_moments_by_hand():
    # About the mean of 0.5: 1, 1, 1, -3. Squares sum to 12, cubes to -24, fourth powers to 84.
    sample = sharpe_sample(LIFTED)
    assert sample.sharpe == pytest.approx(0.5 / math.sqrt(12 / 3))
    assert sample.skew == pytest.approx(-6 / 3**1.5)
    assert sample.kurtosis == pytest.approx(21 / 9)


def test_probability_by_hand():
    # 1 + 1.154701 x 0.25 + (2.333333 - 1) / 4 x 0.0625 = 1.309509; z = 0.25 x sqrt(3 / 1.309509) = 0.378396.
    assert probabilistic_sharpe(LIFTED) == pytest.approx(NormalDist().cdf(0.378396), abs=1e-6)
    assert probabilistic_sharpe(LIFTED, 0.25) == pytest.approx(0.5)
    assert deflated_sharpe(LIFTED, 1, 0.04) == probabilistic_sharpe(LIFTED)  # a single trial was not chosen
    best = expected_max_sharpe(7, 0.04)
    assert deflated_sharpe(LIFTED, 7, 0.04) == probabilistic_sharpe(LIFTED, best) < probabilistic_sharpe(LIFTED)
    # (1.644854 / 0.25)^2 x 1.309509 + 1
    assert minimum_track_record(LIFTED) == pytest.approx(57.6875, abs=1e-3)


def test_the_ratio_is_that_of_the_metrics():
    returns = np.random.default_rng(2).normal(0.001, 0.01, 300)
    assert sharpe_sample(returns).sharpe * math.sqrt(252) == pytest.approx(sharpe_ratio(returns), rel=1e-12)


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=40), st.floats(-0.5, 0.5))
def test_the_variance_of_a_sample_is_never_negative(values, benchmark):
    assume(len(set(values)) > 1)
    returns = np.array(values) / 1000
    sample = sharpe_sample(returns)
    assert sample.spread > -1e-12
    probability = sample.probability_above(benchmark)
    assert math.isnan(probability) or 0.0 <= probability <= 1.0


@given(st.integers(2, 5000), st.integers(2, 5000), st.floats(0.0, 1.0))
def test_more_trials_ask_for_more(few, more, variance):
    few, more = sorted((few, more))
    assert expected_max_sharpe(few, variance) <= expected_max_sharpe(more, variance)


def test_as_many_returns_as_needed_reach_the_confidence():
    sample = SharpeSample(0.1, 500, -0.5, 6.0)
    needed = sample.returns_needed(0.02, 0.9)
    exact = SharpeSample(0.1, math.ceil(needed), -0.5, 6.0)
    fewer = SharpeSample(0.1, math.floor(needed) - 1, -0.5, 6.0)
    assert fewer.probability_above(0.02) < 0.9 <= exact.probability_above(0.02)


def test_what_is_not_defined_is_nan():
    for returns in (np.zeros(0), np.array([0.1]), np.zeros(9), np.full(9, 0.01)):
        assert math.isnan(probabilistic_sharpe(returns))
        assert math.isnan(deflated_sharpe(returns, 10, 0.1))
        assert math.isnan(minimum_track_record(returns))
    assert math.isnan(minimum_track_record(LIFTED, 0.3))  # it is not above: no record is long enough


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: expected_max_sharpe(0, 0.1), "trials = 0 is below 1"),
        (lambda: deflated_sharpe(LIFTED, 3, -0.1), "variance = -0.1"),
        (lambda: minimum_track_record(LIFTED, 0.0, 0.4), r"confidence = 0.4 is not within \(0.5, 1\)"),
        (lambda: bootstrap(LIFTED, samples=0), "samples = 0 is below 1"),
        (lambda: bootstrap(LIFTED, block=0), "block = 0 is below 1"),
        (lambda: bootstrap(LIFTED, confidence=90), r"confidence = 90 is not within \(0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- bootstrap ---------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_intervals():
    returns = np.random.default_rng(1).normal(0.0005, 0.01, 300)
    first = bootstrap(returns, samples=200, seed=7)
    assert first == bootstrap(returns, samples=200, seed=7)
    assert first != bootstrap(returns, samples=200, seed=8)
    curve = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    assert first.sharpe.estimate == sharpe_ratio(returns)
    assert first.cagr.estimate == cagr(curve)
    assert first.max_drawdown.estimate == max_drawdown(curve)
    assert (first.block, first.samples, first.seed, first.confidence) == (7, 200, 7, 0.9)  # cube root of 300: 6.69
    assert first.in_words() == "90% intervals of 200 resampled runs, circular blocks of 7 sessions, seed 7"


def test_blocks_as_long_as_the_record_only_turn_the_circle():
    """Whatever the start, a whole turn has the same sessions: Sharpe and growth stay, the drawdown moves."""
    returns = np.array([0.1, -0.2, 0.05, 0.02, -0.01])
    result = bootstrap(returns, samples=300, block=5)
    assert result.sharpe.low == pytest.approx(result.sharpe.high) == pytest.approx(result.sharpe.estimate)
    assert result.cagr.low == pytest.approx(result.cagr.high)
    turns = [np.concatenate(([1.0], np.cumprod(1.0 + np.roll(returns, -i)))) for i in range(5)]
    falls = [max_drawdown(turn) for turn in turns]
    wide = bootstrap(returns, samples=300, block=5, confidence=0.999)
    assert (wide.max_drawdown.low, wide.max_drawdown.high) == pytest.approx((min(falls), max(falls)))


def test_a_block_longer_than_the_record_is_the_record():
    assert bootstrap(LIFTED / 10, block=99).block == 4


def test_one_session_at_a_time_draws_every_mixture():
    # Two sessions, drawn twice with replacement: +10 % twice, once, never, with chances 1/4, 1/2, 1/4.
    result = bootstrap(np.array([0.1, -0.1]), samples=4000, block=1, confidence=0.98)
    assert result.loss_probability == pytest.approx(0.75, abs=0.03)  # 0.99 and 0.81 lose, 1.21 gains
    assert result.max_drawdown.low == pytest.approx(-0.19) and result.max_drawdown.high == 0.0
    assert result.cagr.high == pytest.approx(1.21**126 - 1)


def test_many_sessions_are_done_in_parts_that_do_not_show(monkeypatch):
    returns = np.random.default_rng(4).normal(0.0, 0.01, 100)
    whole = bootstrap(returns, samples=50, seed=3)
    monkeypatch.setattr("quant_trading.backtesting.significance._CHUNK", 700)
    assert bootstrap(returns, samples=50, seed=3) == whole


def test_nothing_to_resample_is_nan():
    for returns in (np.zeros(0), np.array([0.1])):
        result = bootstrap(returns)
        assert math.isnan(result.sharpe.low) and math.isnan(result.loss_probability)
    flat = bootstrap(np.zeros(30))
    assert math.isnan(flat.sharpe.low) and flat.cagr.low == flat.cagr.high == 0.0
    assert flat.loss_probability == 0.0


def test_a_run_that_is_ruined_stays_ruined():
    result = bootstrap(np.array([0.5, -1.0, 0.5, 0.5]), samples=500, block=1)
    assert result.cagr.low == -1.0 and result.max_drawdown.low == -1.0


@pytest.mark.parametrize(("n", "block"), [(0, 1), (1, 1), (252, 6), (1000, 10), (5040, 17)])
def test_block_length(n, block):
    assert block_length_of(n) == block


def coverage(worlds, true_sharpe, block):
    """Return the share of worlds whose 90 % interval holds the true ratio."""
    held = 0
    for i, returns in enumerate(worlds):
        interval = bootstrap(returns, samples=300, block=block, seed=i).sharpe
        held += interval.low <= true_sharpe <= interval.high
    return held / len(worlds)


@pytest.mark.slow
def test_intervals_cover_the_truth_nearly_as_often_as_they_say():
    """A year is little to resample: 90 % intervals hold the truth in some 87 % of such worlds (of 1,008: 89 %)."""
    worlds = np.random.default_rng(11).normal(0.0006, 0.01, (300, 252))
    # 300 worlds: the share has a standard error of 0.02.
    assert 0.83 < coverage(worlds, 0.06 * math.sqrt(252), None) < 0.93


@pytest.mark.slow
def test_blocks_keep_what_one_session_says_of_the_next():
    """Returns that follow each other (0.4) are more uncertain than a draw of single sessions can know."""
    noise = np.random.default_rng(12).normal(0.0, 0.01, (200, 1100))
    worlds = np.empty_like(noise)
    worlds[:, 0] = noise[:, 0]
    for t in range(1, noise.shape[1]):
        worlds[:, t] = 0.4 * worlds[:, t - 1] + noise[:, t]
    worlds = worlds[:, -1000:] + 0.0005
    true_sharpe = 0.0005 / (0.01 / math.sqrt(1.0 - 0.4 * 0.4)) * math.sqrt(252)
    single, blocks = coverage(worlds, true_sharpe, 1), coverage(worlds, true_sharpe, 20)
    # The mean's deviation is sqrt(1.4 / 0.6) = 1.53 times that of independent returns: 1.645 / 1.53 covers 72 %.
    assert single == pytest.approx(0.72, abs=0.08)
    assert 0.82 < blocks < 0.95
