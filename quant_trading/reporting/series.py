"""The arithmetic of the charts: drawdown, months, rolling Sharpe, distribution, fewer points for one picture."""

from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.reporting.model import SessionCurve, TimeArray

__all__ = [
    "MAX_POINTS", "Distribution", "Drawdown", "Months", "distribution", "drawdown_curve", "kept_points",
    "monthly_returns", "rolling_sharpe", "session_returns", "sums_by_period", "worst_drawdowns",
]  # fmt: skip

SESSIONS_PER_YEAR = 252
MAX_POINTS = 2_000  # about what a wide screen has columns for
_NOISE = 1e-12  # a deviation this small beside its mean is rounding, not risk


@dataclass(frozen=True, slots=True)
class Months:
    """Compounded returns: values float64[Y, 12] and totals float64[Y] for `years`; NaN where nothing was measured."""

    years: tuple[int, ...]
    values: FloatArray
    totals: FloatArray


@dataclass(frozen=True, slots=True)
class Drawdown:
    """One fall from a high: when it began, was deepest and was made good (None: not yet), and its depth (negative).

    `sessions` counts from the high to the recovery, or to the end.
    """

    start: np.datetime64
    bottom: np.datetime64
    end: np.datetime64 | None
    depth: float
    sessions: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of session returns.

    Attributes:
        edges: float64[B + 1]; counts: int64[B]; what lies outside the edges is in the first and last bin.
        outside: how many that were.
        mean, deviation: of the returns (ddof 1).
        var_95, var_99: the 5 % and the 1 % quantile; shortfall_95: mean of what is at or below var_95.
    """

    edges: FloatArray
    counts: IntArray
    outside: int
    mean: float
    deviation: float
    var_95: float
    var_99: float
    shortfall_95: float


def session_returns(curve: SessionCurve) -> FloatArray:
    """Return float64[S]: equity over the equity before, minus 1; 0 from a point at or below 0."""
    before, after = curve.equity[:-1], curve.equity[1:]
    alive = before > 0.0
    return np.where(alive, after / np.where(alive, before, 1.0) - 1.0, 0.0)


def drawdown_curve(equity: FloatArray, capital: float) -> FloatArray:
    """Return equity over its highest point so far (the capital included), minus 1; NaN stays NaN."""
    highs = np.fmax.accumulate(np.fmax(equity, capital)) if len(equity) else equity
    return np.where(highs > 0.0, equity / np.where(highs > 0.0, highs, 1.0) - 1.0, 0.0)


def worst_drawdowns(curve: SessionCurve, most: int = 5) -> tuple[Drawdown, ...]:
    """Return the deepest falls, deepest first, each from a high to the session that reaches it again."""
    fall = drawdown_curve(curve.equity, float(curve.equity[0]))
    dates = np.concatenate((curve.dates[:1], curve.dates))  # the capital stands before the first session
    below = np.concatenate(([False], fall < 0.0, [False]))
    starts = np.flatnonzero(below[1:] & ~below[:-1])
    ends = np.flatnonzero(~below[1:] & below[:-1])
    found = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        bottom = start + int(np.argmin(fall[start:end]))
        high = max(start - 1, 0)
        is_over = end < len(fall)
        found.append(
            Drawdown(
                dates[high],
                dates[bottom],
                dates[end] if is_over else None,
                float(fall[bottom]),
                (end if is_over else len(fall) - 1) - high,
            )
        )
    return tuple(sorted(found, key=lambda d: d.depth)[:most])


def monthly_returns(curve: SessionCurve) -> Months:
    """Return the compounded return of each calendar month and year."""
    growth = 1.0 + session_returns(curve)
    if not len(growth):
        return Months((), np.zeros((0, 12)), np.zeros(0))
    months = curve.dates.astype("datetime64[M]").astype(np.int64)
    years = months // 12 + 1970
    first, last = int(years[0]), int(years[-1])
    values = np.full((last - first + 1, 12), np.nan)
    totals = np.full(last - first + 1, np.nan)
    for month in np.unique(months).tolist():
        values[month // 12 + 1970 - first, month % 12] = float(np.prod(growth[months == month])) - 1.0
    for year in np.unique(years).tolist():
        totals[year - first] = float(np.prod(growth[years == year])) - 1.0
    return Months(tuple(range(first, last + 1)), values, totals)


def rolling_sharpe(returns: FloatArray, window: int) -> FloatArray:
    """Return float64[S]: mean over deviation (ddof 1) of the last `window` returns, x sqrt(252); NaN before."""
    out = np.full(len(returns), np.nan)
    if len(returns) >= window > 1:
        parts = np.lib.stride_tricks.sliding_window_view(returns, window)
        mean, deviation = parts.mean(axis=1), parts.std(axis=1, ddof=1)
        moves = deviation > _NOISE * np.abs(mean)
        ratio = mean / np.where(moves, deviation, 1.0) * np.sqrt(SESSIONS_PER_YEAR)
        out[window - 1 :] = np.where(moves, ratio, np.nan)
    return out


def distribution(returns: FloatArray) -> Distribution | None:
    """Return the histogram of `returns`; None for fewer than two or when all are equal."""
    known = returns[np.isfinite(returns)]
    if len(known) < 2 or not float(np.ptp(known)) > 0.0:
        return None
    mean, deviation = float(known.mean()), float(known.std(ddof=1))
    low = max(float(known.min()), mean - 5.0 * deviation)
    high = min(float(known.max()), mean + 5.0 * deviation)
    # Freedman and Diaconis' width, which long tails do not stretch.
    quarter = float(np.subtract(*np.quantile(known, [0.75, 0.25])))
    width = 2.0 * quarter / len(known) ** (1.0 / 3.0)
    bins = int(min(max((high - low) / width if width > 0.0 else 10.0, 10.0), 60.0))
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(np.clip(known, low, high), bins=edges)
    worst = float(np.quantile(known, 0.05))
    return Distribution(
        edges, counts.astype(np.int64), int(np.count_nonzero((known < low) | (known > high))), mean, deviation,
        worst, float(np.quantile(known, 0.01)), float(known[known <= worst].mean()),
    )  # fmt: skip


def kept_points(columns: tuple[FloatArray, ...], most: int = MAX_POINTS) -> IntArray:
    """Return the rows to draw: all, or the lowest and highest of every column in each of equal buckets.

    A curve drawn through them has the same extremes as the whole one; the first and last row are kept.
    """
    rows = len(columns[0]) if columns else 0
    if rows <= most:
        return np.arange(rows)
    buckets = max(1, (most - 2) // (2 * len(columns)))
    edges = np.linspace(0, rows, buckets + 1).astype(np.int64)
    kept = {0, rows - 1}
    for column in columns:
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            part = column[start:stop]
            known = np.flatnonzero(~np.isnan(part))
            if len(known):
                kept.add(start + int(known[np.argmin(part[known])]))
                kept.add(start + int(known[np.argmax(part[known])]))
            else:
                kept.add(start)  # a hole stays a hole
    return np.array(sorted(kept), dtype=np.int64)


def sums_by_period(times: TimeArray, values: FloatArray) -> tuple[TimeArray, FloatArray, str]:
    """Return the sums of `values` by day, week, month or year: the finest with few enough for bars.

    Returns:
        the first day of each period, the sums, and the name of the period.
    """
    unit, name = "Y", "year"
    for finer, words, most in (("D", "day", 70), ("W", "week", 70), ("M", "month", 130)):
        if len(np.unique(times.astype(f"datetime64[{finer}]"))) <= most:
            unit, name = finer, words
            break
    keys, at = np.unique(times.astype(f"datetime64[{unit}]"), return_inverse=True)
    sums = np.bincount(at, weights=np.nan_to_num(values), minlength=len(keys)).astype(np.float64)
    return keys.astype("datetime64[s]"), sums, name
