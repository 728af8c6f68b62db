"""How far the figures of a run can be trusted: bootstrap intervals, probabilistic and deflated Sharpe ratios.

Sharpe ratios here are those of one return (one session), not of a year, as in the papers: divide a yearly ratio by
sqrt(252) and the variance of yearly ratios by 252. Probabilities are those of the standard normal distribution.

Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier" (2012) and "The Deflated Sharpe Ratio" (2014);
Politis and Romano, "A Circular Block-Resampling Procedure for Stationary Data" (1992).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from quant_trading.backtesting.metrics import SESSIONS_PER_YEAR, cagr, max_drawdown, sharpe_ratio
from quant_trading.domain.bars import FloatArray

__all__ = [
    "Bootstrap", "Interval", "SharpeSample", "block_length_of", "bootstrap", "deflated_sharpe", "expected_max_sharpe",
    "minimum_track_record", "probabilistic_sharpe", "sharpe_sample",
]  # fmt: skip

_NAN = float("nan")
_NORMAL = NormalDist()
_EULER_GAMMA = 0.5772156649015329

# Resampled returns held at a time: 32 MB, whatever the number of samples.
_CHUNK = 1 << 22

# A deviation this much smaller than its mean is the rounding of a constant series, not a risk.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class SharpeSample:
    """What the error of an observed Sharpe ratio depends on.

    Attributes:
        sharpe: of one return: mean over sample deviation.
        n: returns observed.
        skew: of the sample, 0 for a normal distribution.
        kurtosis: of the sample, 3 for a normal distribution (not the excess over it).
    """

    sharpe: float
    n: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @property
    def spread(self) -> float:
        """Return n - 1 times the variance of the ratio: 1 - skew x sharpe + (kurtosis - 1) / 4 x sharpe^2."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe * self.sharpe

    @property
    def standard_error(self) -> float:
        """Return the standard deviation of the observed ratio about the true one."""
        return math.sqrt(self.spread / (self.n - 1)) if self.n > 1 and self.spread > 0.0 else _NAN

    def probability_above(self, benchmark_sharpe: float) -> float:
        """Return the probability that the true ratio is above `benchmark_sharpe`; NaN where it is not defined."""
        z = (self.sharpe - benchmark_sharpe) / self.standard_error
        return _NORMAL.cdf(z) if z == z else _NAN

    def returns_needed(self, benchmark_sharpe: float, confidence: float = 0.95) -> float:
        """Return how many returns make `probability_above` reach `confidence`, the other moments unchanged.

        NaN where no number does: the ratio is not above the benchmark.

        Raises:
            ValueError: when `confidence` is not within (0.5, 1).
        """
        if not 0.5 < confidence < 1.0:
            raise ValueError(f"confidence = {confidence} is not within (0.5, 1); write 0.95 for 95 %")
        if not self.sharpe > benchmark_sharpe or not self.spread > 0.0:
            return _NAN
        distance = _NORMAL.inv_cdf(confidence) / (self.sharpe - benchmark_sharpe)
        return 1.0 + self.spread * distance * distance


def sharpe_sample(returns: FloatArray) -> SharpeSample:
    """Return the Sharpe ratio of float64[S] returns and the moments behind its error.

    Skew and kurtosis are the plain moments of the sample (no correction for its size): with them the variance of the
    ratio cannot come out negative. A series that does not move has NaN.
    """
    n = len(returns)
    if n < 2:
        return SharpeSample(_NAN, n, _NAN, _NAN)
    mean = float(np.mean(returns))
    centred = returns - mean
    power = centred * centred
    variance = float(np.mean(power))
    if not math.sqrt(variance) > _NOISE * abs(mean):
        return SharpeSample(_NAN, n, _NAN, _NAN)
    return SharpeSample(
        sharpe=mean / math.sqrt(variance * n / (n - 1)),
        n=n,
        skew=float(power.dot(centred)) / n / variance**1.5,
        kurtosis=float(power.dot(power)) / n / (variance * variance),
    )


def probabilistic_sharpe(returns: FloatArray, benchmark_sharpe: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark_sharpe` (of one return).

    Args:
        returns: float64[S].
    """
    return sharpe_sample(returns).probability_above(benchmark_sharpe)


def expected_max_sharpe(trials: int, variance: float) -> float:
    """Return the best Sharpe ratio to expect of `trials` independent strategies that are worth nothing.

    Args:
        trials: how many were tried; one has no best, so 0.
        variance: of the Sharpe ratios (of one return) across the trials.

    Raises:
        ValueError: when `trials` is below 1 or `variance` below 0.
    """
    if trials < 1:
        raise ValueError(f"trials = {trials} is below 1; count every variant that was tried, the chosen one too")
    if variance < 0.0:
        raise ValueError(f"variance = {variance} of the Sharpe ratios is below 0")
    if trials == 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER_GAMMA) * first + _EULER_GAMMA * second)


def deflated_sharpe(returns: FloatArray, trials: int, sharpe_variance: float) -> float:
    """Return the probability that the true Sharpe ratio is above what luck alone gives the best of `trials`.

    Args:
        returns: float64[S] of the chosen strategy.
        trials: how many were tried, the chosen one included.
        sharpe_variance: of the Sharpe ratios (of one return) across the trials.

    Raises:
        ValueError: when `trials` is below 1 or `sharpe_variance` below 0.
    """
    return probabilistic_sharpe(returns, expected_max_sharpe(trials, sharpe_variance))


def minimum_track_record(returns: FloatArray, benchmark_sharpe: float = 0.0, confidence: float = 0.95) -> float:
    """Return how many returns like these it takes to believe the Sharpe ratio to be above `benchmark_sharpe`.

    NaN when it is not above it.

    Raises:
        ValueError: when `confidence` is not within (0.5, 1).
    """
    return sharpe_sample(returns).returns_needed(benchmark_sharpe, confidence)


# --- bootstrap ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure of the run and the percentiles of the same figure over the resampled runs."""

    low: float
    estimate: float
    high: float


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What the figures might have been, had the same market gone otherwise.

    Attributes:
        sharpe, cagr, max_drawdown: as in `Metrics`, a year of 252 sessions.
        loss_probability: share of the resampled runs that lose money.
        samples, block, seed, confidence: how it was made.
    """

    sharpe: Interval
    cagr: Interval
    max_drawdown: Interval
    loss_probability: float
    samples: int
    block: int
    seed: int
    confidence: float

    def in_words(self) -> str:
        """Return one line that says how the intervals were made."""
        return (
            f"{self.confidence:.0%} intervals of {self.samples:,} resampled runs, circular blocks of "
            f"{self.block} sessions, seed {self.seed}"
        )


def block_length_of(n: int) -> int:
    """Return the sessions of a block for n returns: the cube root of n, rounded, at least 1."""
    return max(1, round(math.cbrt(n)))


def bootstrap(
    returns: FloatArray, *, samples: int = 1000, block: int | None = None, seed: int = 1, confidence: float = 0.9
) -> Bootstrap:
    """Return percentile intervals from a circular block bootstrap; the same seed gives the same intervals.

    Whole blocks of neighbouring sessions are drawn with replacement, so that what one session says of the next
    survives within a block; the last session is followed by the first.

    Args:
        returns: float64[S], by sessions.
        samples: resampled runs.
        block: sessions in a block; None = `block_length_of(S)`, 1 = sessions are drawn one by one.
        confidence: the share of the resampled runs inside an interval; half of the rest lies on each side.

    Raises:
        ValueError: when a setting is out of its range.
    """
    n = len(returns)
    length = block_length_of(n) if block is None else block
    if samples < 1:
        raise ValueError(f"samples = {samples} is below 1; 1000 is usual")
    if length < 1:
        raise ValueError(f"block = {length} is below 1; write 1 to draw sessions one by one")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence = {confidence} is not within (0, 1); write 0.9 for 90 %")
    curve = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    if n < 2:
        nothing = Interval(_NAN, _NAN, _NAN)
        return Bootstrap(nothing, nothing, nothing, _NAN, samples, length, seed, confidence)
    length = min(length, n)
    sharpes, growths, falls = _resampled(returns, samples, length, seed)
    return Bootstrap(
        sharpe=_interval(sharpe_ratio(returns), sharpes, confidence),
        cagr=_interval(cagr(curve), _yearly(growths, n), confidence),
        max_drawdown=_interval(max_drawdown(curve), falls, confidence),
        loss_probability=float(np.count_nonzero(growths < 1.0)) / samples,
        samples=samples,
        block=length,
        seed=seed,
        confidence=confidence,
    )


def _resampled(returns: FloatArray, samples: int, length: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return yearly Sharpe ratio, total growth and deepest drawdown of each resampled run; float64[samples]."""
    n = len(returns)
    blocks = -(-n // length)
    # Row i of `windows` is the block that starts at session i and goes on past the end from the beginning.
    circle = np.concatenate((returns, returns[: length - 1]))
    windows = np.lib.stride_tricks.sliding_window_view(circle, length)
    random = np.random.default_rng(seed)
    sharpes, growths, falls = np.empty(samples), np.empty(samples), np.empty(samples)
    step = max(1, _CHUNK // (blocks * length))
    for first in range(0, samples, step):
        rows = slice(first, min(first + step, samples))
        starts: npt.NDArray[np.int64] = random.integers(0, n, size=(rows.stop - first, blocks))
        drawn = windows[starts].reshape(len(starts), blocks * length)[:, :n]
        mean = drawn.mean(axis=1)
        deviation = drawn.std(axis=1, ddof=1)
        moves = deviation > _NOISE * np.abs(mean)
        sharpes[rows] = np.where(moves, mean / np.where(moves, deviation, 1.0), _NAN)
        # What is lost stays lost: a run that falls to 0 ends there.
        curve = np.cumprod(np.maximum(1.0 + drawn, 0.0), axis=1)
        growths[rows] = curve[:, -1]
        peak = np.maximum(np.maximum.accumulate(curve, axis=1), 1.0)
        falls[rows] = np.minimum(np.min(curve / peak, axis=1) - 1.0, 0.0)
    return sharpes * math.sqrt(SESSIONS_PER_YEAR), growths, falls


def _yearly(growth: FloatArray, sessions: int) -> FloatArray:
    with np.errstate(over="ignore"):
        yearly: FloatArray = growth ** (SESSIONS_PER_YEAR / sessions) - 1.0
    return np.where(np.isfinite(yearly), yearly, _NAN)


def _interval(estimate: float, values: FloatArray, confidence: float) -> Interval:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return Interval(_NAN, estimate, _NAN)
    side = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, (side, 1.0 - side)).tolist()
    return Interval(low, estimate, high)
