"""The figures of returns: of sessions by themselves, of the curve they make, and against a benchmark.

A figure that is not defined is NaN. Everything is made of one sorted copy and of the sums of `figure_loops`.
"""

import math
from typing import NamedTuple

import numpy as np

from quant_trading.backtesting.figure_loops import CURVE_SUMS, RETURN_SUMS, run_curve, run_returns, sums_of
from quant_trading.domain.bars import FloatArray

__all__ = [
    "NO_BENCHMARK", "SESSIONS_PER_YEAR", "BenchmarkFigures", "DrawdownFigures", "SessionFigures", "annual_volatility",
    "benchmark_figures", "cagr", "calmar_ratio", "drawdown_figures", "drawdown_of", "max_drawdown", "returns_of",
    "session_figures", "sharpe_ratio", "sortino_ratio", "total_return", "yearly_growth",
]  # fmt: skip

SESSIONS_PER_YEAR = 252
_NAN = float("nan")
_NOTHING = np.zeros(0)

# A deviation this much smaller than its mean is the rounding of a constant series, not a risk.
_NOISE = 1e-12

# --- sessions ----------------------------------------------------------------------------------


class SessionFigures(NamedTuple):
    """What the returns say by themselves; the yearly ones with `yearly` returns a year."""

    yearly: float
    mean: float = _NAN
    squares: float = _NAN  # sum of squares about the mean
    volatility: float = _NAN
    sharpe: float = _NAN
    sortino: float = _NAN
    downside_risk: float = _NAN
    omega: float = _NAN
    skew: float = _NAN
    kurtosis: float = _NAN
    best: float = _NAN
    worst: float = _NAN
    positive: float = _NAN
    hit_rate: float = _NAN
    payoff: float = _NAN
    profit_factor: float = _NAN
    var_5pct: float = _NAN
    cvar_5pct: float = _NAN
    tail_ratio: float = _NAN


def session_figures(returns: FloatArray, risk_free: float, yearly: float) -> SessionFigures:
    """Return what `returns` tell by themselves."""
    n = len(returns)
    if n == 0:
        return SessionFigures(yearly)
    free = (1.0 + risk_free) ** (1.0 / yearly) - 1.0 if risk_free else 0.0
    ordered = returns.copy()
    ordered.sort()
    sums = sums_of(run_returns, RETURN_SUMS, (returns, ordered), free)
    mean, squares, cubes, fourths, below, lost, above, won, short_of, short_squares, worst, tail = sums
    deviation = math.sqrt(squares / (n - 1)) if n > 1 else _NAN
    over = short_of + (mean - free) * n if free else won
    downside = math.sqrt(short_squares / n)
    scale = math.sqrt(yearly)
    moves = n > 1 and deviation > _NOISE * abs(mean)
    low, high = _quantile(ordered, 0.05), _quantile(ordered, 0.95)
    skew, kurtosis = _shape(n, squares, cubes, fourths) if moves else (_NAN, _NAN)
    return SessionFigures(
        yearly=yearly, mean=mean, squares=squares, volatility=deviation * scale,
        sharpe=(mean - free) / deviation * scale if moves else _NAN,
        sortino=(mean - free) / downside * scale if n > 1 and downside > 0.0 else _NAN,
        downside_risk=downside * scale, omega=over / short_of if n > 1 and short_of > 0.0 else _NAN,
        skew=skew, kurtosis=kurtosis, best=float(ordered[-1]), worst=float(ordered[0]), positive=above / n,
        hit_rate=above / (above + below) if above + below else _NAN,
        payoff=(won / above) / (lost / below) if above and below else _NAN,
        profit_factor=won / lost if below else _NAN, var_5pct=low,
        cvar_5pct=worst / tail, tail_ratio=abs(high / low) if low else _NAN,
    )  # fmt: skip


def _quantile(ordered: FloatArray, share: float) -> float:
    """Return the quantile between the two nearest values, linearly (type 7)."""
    place = share * (len(ordered) - 1)
    left = int(place)
    value = float(ordered[left])
    return value + (float(ordered[left + 1]) - value) * (place - left) if left + 1 < len(ordered) else value


def _shape(n: int, squares: float, cubes: float, fourths: float) -> tuple[float, float]:
    """Return skew and excess kurtosis corrected for the size of the sample (G1 and G2)."""
    if n < 3:
        return _NAN, _NAN
    variance = squares / n
    skew = cubes / n / variance**1.5 * math.sqrt(n * (n - 1)) / (n - 2)
    if n < 4:
        return skew, _NAN
    tails = fourths / n / (variance * variance)
    return skew, ((n + 1) * tails - 3 * (n - 1)) * (n - 1) / ((n - 2) * (n - 3))


# --- the curve ---------------------------------------------------------------------------------


class DrawdownFigures(NamedTuple):
    """Falls below an earlier high; `start`, `trough` and `recovery` are positions in the curve.

    `stability` is R squared of a line through the logarithm of the equity after each session.
    """

    deepest: float
    start: int | None
    trough: int | None
    recovery: int | None
    length: int
    longest: int
    average: float
    falls: int
    ulcer_index: float
    under_water: float
    stability: float


def drawdown_figures(curve: FloatArray) -> DrawdownFigures:
    points = len(curve)
    # Over its first point: the logarithms of a curve that stands still are 0, not a number that sums up to rounding.
    path = np.log(curve[1:] / curve[1]) if points > 2 and curve[curve.argmin()] > 0.0 else _NOTHING
    sums = sums_of(run_curve, CURVE_SUMS, (curve, path))
    deepest, start, trough, recovery, squares, under, falls, troughs, longest, shared, spread = sums
    ulcer = math.sqrt(squares / (points - 2)) if points > 2 else _NAN
    share = under / (points - 1) if points > 1 else _NAN
    n = len(path)
    moves = n > 1 and spread > _NOISE * _NOISE * n
    stability = shared * shared / (spread * (n * (n * n - 1.0) / 12.0)) if moves else _NAN
    if not deepest < 0.0:
        return DrawdownFigures(deepest, None, None, None, 0, 0, _NAN, 0, ulcer, share, stability)
    end = recovery if recovery >= 0.0 else points - 1
    return DrawdownFigures(
        deepest, int(start), int(trough), int(recovery) if recovery >= 0.0 else None, int(end - start), int(longest),
        troughs / falls, int(falls), ulcer, share, stability,
    )  # fmt: skip


# --- against a benchmark -----------------------------------------------------------------------


class BenchmarkFigures(NamedTuple):
    """What a benchmark explains."""

    alpha: float = _NAN
    beta: float = _NAN
    correlation: float = _NAN
    tracking_error: float = _NAN
    information_ratio: float = _NAN
    up_capture: float = _NAN
    down_capture: float = _NAN


def benchmark_figures(
    returns: FloatArray, benchmark: FloatArray, session: SessionFigures, risk_free: float
) -> BenchmarkFigures:
    n = len(returns)
    if n < 2:
        return NO_BENCHMARK
    free = (1.0 + risk_free) ** (1.0 / SESSIONS_PER_YEAR) - 1.0
    scale = math.sqrt(SESSIONS_PER_YEAR)
    mean = float(np.add.reduce(benchmark)) / n
    centred = benchmark - mean
    squares, shared = float(np.add.reduce(centred * centred)), float(np.add.reduce(centred * returns))
    moves = math.sqrt(squares / n) > _NOISE * abs(mean)
    beta = shared / squares if moves else _NAN
    strategy_moves = moves and math.sqrt(session.squares / n) > _NOISE * abs(session.mean)
    active = returns - benchmark
    gain = float(np.add.reduce(active)) / n
    active -= gain
    error = math.sqrt(float(np.add.reduce(active * active)) / (n - 1))
    up, down = benchmark > 0.0, benchmark < 0.0
    return BenchmarkFigures(
        alpha=yearly_growth(1.0 + session.mean - free - beta * (mean - free), SESSIONS_PER_YEAR),
        beta=beta,
        correlation=shared / math.sqrt(squares * session.squares) if strategy_moves else _NAN,
        tracking_error=error * scale,
        information_ratio=gain / error * scale if error > _NOISE * abs(gain) else _NAN,
        up_capture=_capture(returns.compress(up), benchmark.compress(up)),
        down_capture=_capture(returns.compress(down), benchmark.compress(down)),
    )


def _capture(returns: FloatArray, benchmark: FloatArray) -> float:
    """Return yearly growth over that of the benchmark, both over the same sessions."""
    n = len(returns)
    if not n:
        return _NAN
    ours = yearly_growth(float(np.multiply.reduce(returns + 1.0)), SESSIONS_PER_YEAR / n)
    theirs = yearly_growth(float(np.multiply.reduce(benchmark + 1.0)), SESSIONS_PER_YEAR / n)
    return ours / theirs if theirs else _NAN


# --- one figure at a time ----------------------------------------------------------------------


def yearly_growth(growth: float, power: float) -> float:
    """Return growth ** power - 1; -1 when nothing is left, NaN beyond the largest float."""
    if growth <= 0.0:
        return -1.0
    try:
        return float(growth**power) - 1.0
    except OverflowError:
        return _NAN


def returns_of(curve: FloatArray) -> FloatArray:
    """Return curve[i + 1] / curve[i] - 1; 0 from a point that is 0 or below, where nothing can be earned."""
    start, end = curve[:-1], curve[1:]
    if len(start) and start[start.argmin()] > 0.0:
        returns: FloatArray = end / start
        returns -= 1.0
        return returns
    alive = start > 0.0
    return np.where(alive, end / np.where(alive, start, 1.0) - 1.0, 0.0)


def drawdown_of(curve: FloatArray) -> FloatArray:
    """Return float64[S + 1]: each point over the highest so far, minus 1; 0 at a high, else negative."""
    depth: FloatArray = curve / np.maximum.accumulate(curve)
    depth -= 1.0
    return depth


def total_return(curve: FloatArray) -> float:
    """Return the last point over the first, minus 1."""
    return float(curve[-1] / curve[0] - 1.0)


def cagr(curve: FloatArray) -> float:
    """Return the yearly growth that compounds to the total return; -1 when nothing is left."""
    sessions = len(curve) - 1
    return yearly_growth(float(curve[-1] / curve[0]), SESSIONS_PER_YEAR / sessions) if sessions > 0 else _NAN


def annual_volatility(returns: FloatArray, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return the sample deviation (ddof 1) times sqrt(periods_per_year); NaN for fewer than two returns."""
    return session_figures(returns, 0.0, float(periods_per_year)).volatility


def sharpe_ratio(returns: FloatArray, risk_free: float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return mean excess over sample deviation times sqrt(periods_per_year); `risk_free` is a year's."""
    return session_figures(returns, risk_free, float(periods_per_year)).sharpe


def sortino_ratio(returns: FloatArray, risk_free: float = 0.0, periods_per_year: float = SESSIONS_PER_YEAR) -> float:
    """Return mean excess over the root mean square of the shortfalls, times sqrt(periods_per_year)."""
    return session_figures(returns, risk_free, float(periods_per_year)).sortino


def max_drawdown(curve: FloatArray) -> float:
    """Return the deepest point of curve over its running maximum, minus 1."""
    return float(np.minimum.reduce(drawdown_of(curve)))


def calmar_ratio(growth: float, drawdown: float) -> float:
    """Return yearly growth over the size of the deepest drawdown; NaN without a drawdown."""
    return growth / -drawdown if drawdown < 0.0 else _NAN


NO_BENCHMARK = BenchmarkFigures()
