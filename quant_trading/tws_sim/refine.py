"""Splitting a bar into smaller ones that add up to it again.

The market is made from the top down: days are split into minutes, minutes into seconds. So the day that a
client asked for and the seconds it later watches are the same day, without any of them being stored.
"""

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.noise import KeyArray, normals, uniforms
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["refine"]

BoolArray = npt.NDArray[np.bool_]

# Uses of one stream of random numbers.
_LANE_ACTIVE, _LANE_PATH, _LANE_KNOTS, _LANE_HIGH, _LANE_LOW, _LANE_JITTER, _LANE_WEIGHT = range(7)
# The expected range of a driftless walk of m steps is about 1.6 standard deviations of a step times sqrt(m).
_RANGE_OF_WALK = 1.6
_SECOND_NS = 1_000_000_000


def refine(
    parents: TapeBars,
    n: int,
    step_seconds: int,
    keys: KeyArray,
    weights: FloatArray,
    before: FloatArray,
    force_first: BoolArray,
    scale: int,
) -> TapeBars:
    """Return P x n bars; each n aggregate to their parent exactly (prices, volume, count).

    A part without a trade is flat at the close before it, volume 0. With few trades most parts are so.

    Args:
        parents: P bars of n x step_seconds each, on the grid of 1 / scale (other prices are rounded to it).
        keys: uint64[P], the stream of random numbers of each parent.
        weights: float64[n], share of the parent's trades expected in each part, adding up to 1.
        before: float64[P], the close before the parent.
        force_first: bool[P], the first part has a trade (an opening auction).
        scale: ticks per unit of currency.
    """
    low, high = _ticks(parents.low, scale), _ticks(parents.high, scale)
    volume, count = parents.volume.astype(np.int64), parents.count
    active, cumulated = _active_parts(keys, n, weights, volume, count, force_first)
    path, sigma = _path(parents, n, keys, cumulated[:, -1], scale)

    close = np.take_along_axis(path, cumulated, axis=1)
    open_ = np.take_along_axis(path, np.maximum(cumulated - 1, 0), axis=1)
    # The next trade is rarely at the very price of the one before.
    jitter = np.rint(2.0 * uniforms(keys, _LANE_JITTER, n) - 1.0).astype(np.int64)
    open_ = np.clip(np.where(cumulated > 1, open_ + jitter, open_), low[:, None], high[:, None])
    wick = 0.5 * sigma[:, None]
    highs = np.maximum(open_, close) + (wick * np.abs(normals(keys, _LANE_HIGH, n))).astype(np.int64)
    lows = np.minimum(open_, close) - (wick * np.abs(normals(keys, _LANE_LOW, n))).astype(np.int64)
    highs, lows = np.minimum(highs, high[:, None]), np.maximum(lows, low[:, None])
    # Whatever the walk did, one part must reach each extreme: the one that came nearest does.
    row = np.arange(len(parents))
    highs[row, np.argmax(np.where(active, highs, np.iinfo(np.int64).min), axis=1)] = high
    lows[row, np.argmin(np.where(active, lows, np.iinfo(np.int64).max), axis=1)] = low

    nothing_yet = np.where(volume > 0, _ticks(before, scale), _ticks(parents.close, scale))[:, None]
    idle_price = np.where(cumulated > 0, close, nothing_yet)
    po, ph, pl, pc = ((np.where(active, column, idle_price) / scale).ravel() for column in (open_, highs, lows, close))
    movement = np.abs(close - open_) / np.maximum(sigma[:, None], 1.0)
    share = weights[None, :] * np.exp(0.5 * normals(keys, _LANE_WEIGHT, n)) * (1.0 + movement)
    counts, volumes = _split(share, active, count, volume)
    start = parents.start_ns[:, None] + np.arange(n, dtype=np.int64)[None, :] * (step_seconds * _SECOND_NS)
    wap = typical_price(po, ph, pl, pc)
    return TapeBars(start.ravel(), po, ph, pl, pc, volumes.ravel().astype(np.float64), wap, counts.ravel())


def _ticks(price: FloatArray, scale: int) -> IntArray:
    return np.rint(price * scale).astype(np.int64)


def _active_parts(
    keys: KeyArray, n: int, weights: FloatArray, volume: IntArray, count: IntArray, force_first: BoolArray
) -> tuple[BoolArray, IntArray]:
    """Return which parts trade, bool[P, n], and how many have traded up to and including each, int64[P, n].

    A part with an expected k trades stays idle with probability exp(-k), as arrivals at random would have it.
    """
    expected = count[:, None] * weights[None, :]
    score = uniforms(keys, _LANE_ACTIVE, n) / np.maximum(-np.expm1(-expected), 1e-300)
    score[:, 0] = np.where(force_first, -1.0, score[:, 0])
    active = score < 1.0
    most = np.where(volume > 0, np.minimum(count, n), 0)
    wanted = np.clip(active.sum(axis=1), np.minimum(most, 1), most)
    odd = wanted != active.sum(axis=1)
    if odd.any():
        rank = np.argsort(np.argsort(score[odd], axis=1, kind="stable"), axis=1, kind="stable")
        active[odd] = rank < wanted[odd, None]
    return active, np.cumsum(active, axis=1, dtype=np.int64)


def _path(parents: TapeBars, n: int, keys: KeyArray, steps: IntArray, scale: int) -> tuple[IntArray, FloatArray]:
    """Return a walk from open to close by way of both extremes, int64[P, n + 1], and its step size, float64[P].

    Row p is defined on columns 0..steps[p]. Between its knots (open, one extreme, the other, close) it is a
    bridge; what leaves [low, high] is folded back.
    """
    open_, close = _ticks(parents.open, scale), _ticks(parents.close, scale)
    high, low = _ticks(parents.high, scale), _ticks(parents.low, scale)
    size = len(parents)
    span = (high - low).astype(np.float64)
    sigma = span / (_RANGE_OF_WALK * np.sqrt(np.maximum(steps, 1)))
    walk = np.concatenate([np.zeros((size, 1)), np.cumsum(normals(keys, _LANE_PATH, n), axis=1)], axis=1)

    # Extremes of a walk lie near its ends more often than in its middle (the arcsine law).
    where = np.sin(0.5 * np.pi * uniforms(keys, _LANE_KNOTS, 2)) ** 2
    knot = np.rint(where * np.maximum(steps - 2, 0)[:, None]).astype(np.int64) + np.minimum(steps, 1)[:, None]
    knot = np.minimum(knot, np.maximum(steps - 1, 0)[:, None])
    high_first = knot[:, 0] <= knot[:, 1]
    early, late = knot.min(axis=1), knot.max(axis=1)
    positions = np.stack([np.zeros(size, dtype=np.int64), early, late, steps], axis=1)
    values = np.stack([open_, np.where(high_first, high, low), np.where(high_first, low, high), close], axis=1)

    column = np.arange(n + 1, dtype=np.int64)[None, :]
    segment = (column > early[:, None]).astype(np.int64) + (column > late[:, None])
    from_, to = (np.take_along_axis(positions, segment + k, axis=1) for k in (0, 1))
    value_from, value_to = (np.take_along_axis(values, segment + k, axis=1) for k in (0, 1))
    walk_from, walk_to = (np.take_along_axis(walk, np.minimum(at, n), axis=1) for at in (from_, to))
    fraction = np.clip((column - from_) / np.maximum(to - from_, 1), 0.0, 1.0)
    raw = value_from + (value_to - value_from) * fraction
    raw += sigma[:, None] * (walk - walk_from - (walk_to - walk_from) * fraction)

    period = np.maximum(2.0 * span, 1.0)[:, None]
    folded = np.mod(raw - low[:, None], period)
    folded = np.where(folded > span[:, None], period - folded, folded)
    path = np.clip(np.rint(low[:, None] + folded).astype(np.int64), low[:, None], high[:, None])
    path[:, 0] = open_
    path[np.arange(size), steps] = close
    return path, sigma


def _split(share: FloatArray, active: BoolArray, count: IntArray, volume: IntArray) -> tuple[IntArray, IntArray]:
    """Return trades and shares per part, int64[P, n] each: at least one trade where active, sums exact."""
    cumulated = np.cumsum(np.where(active, share, 0.0), axis=1)
    total = cumulated[:, -1:]
    fraction = cumulated / np.where(total > 0, total, 1.0)
    parts = active.sum(axis=1)
    traded = active.any(axis=1)
    counts = active + _spread_out(np.where(traded, count - parts, 0), fraction)
    volumes = counts + _spread_out(np.where(traded, volume - count, 0), fraction)
    return counts, volumes


def _spread_out(total: IntArray, fraction: FloatArray) -> IntArray:
    """Return int64[P, n] whose running sums follow `fraction` and whose last running sum is `total`."""
    running = np.floor(total[:, None] * fraction).astype(np.int64)
    # The fraction is 1 from the last active part on, so nothing is left over behind it.
    running[fraction >= 1.0] = np.broadcast_to(total[:, None], running.shape)[fraction >= 1.0]
    return np.diff(running, axis=1, prepend=0)
