"""Splitting a bar into smaller ones that add up to it again.

The market is made from the top down: days are split into minutes, minutes into seconds. So the day that a
client asked for and the seconds it later watches are the same day, without any of them being stored.
"""

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.course import Course, quarter_extremes
from quant_trading.tws_sim.noise import KeyArray, bits_at, normals_of, uniforms_of
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["prints_needed", "refine"]

BoolArray = npt.NDArray[np.bool_]

# The expected range of a driftless walk of m steps is about 1.6 standard deviations of a step times sqrt(m).
_RANGE_OF_WALK = 1.6
_SECOND_NS = 1_000_000_000
# A minute reaches beyond its quarters, by this much of its deviation: mean 0.31, as a walk does.
_BEYOND, _BEYOND_SPREAD = 0.15, 0.20
_TRADES_THAT_SEE_HALF = 5.0


def refine(
    parents: TapeBars,
    n: int,
    step_seconds: int,
    keys: KeyArray,
    weights: FloatArray,
    before: FloatArray,
    force_first: BoolArray,
    scale: int,
    course: Course | None = None,
    within: KeyArray | None = None,
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
        course: what the price does on the way, when that was drawn together with the parents.
        within: uint64[P, n], the random numbers the course within each part is drawn from, when it is to have one.
    """
    # One draw for all uses: this runs for every minute somebody looks at.
    bits = bits_at(keys, 0, 6 * n + 2)
    normal = normals_of(bits[:, : 4 * n])
    walk, wicks_up, wicks_down, unrest = (normal[:, k * n : (k + 1) * n] for k in range(4))
    chance = uniforms_of(bits[:, 4 * n :])

    prices = np.array((parents.open, parents.high, parents.low, parents.close, before))
    open_, high, low, close, earlier = np.rint(prices * scale).astype(np.int64)
    volume, count = parents.volume.astype(np.int64), parents.count
    active, traded_so_far = _active_parts(chance[:, :n], weights, volume, count, force_first)
    if course is None:
        path, sigma = _path(open_, high, low, close, walk, chance[:, 2 * n :], traded_so_far[:, -1])
    else:
        wandering = _folded(course.prices(walk), low, high)
        path, sigma = _seen(wandering, active, traded_so_far, open_, close), course.step_deviation(n)
    row = np.arange(len(parents))[:, None] * (n + 1)
    closes = path.take(row + traded_so_far)
    opens = path.take(row + np.maximum(traded_so_far - 1, 0))
    low, high = low[:, None], high[:, None]
    # The next trade is rarely at the very price of the one before.
    jitter = (3.0 * chance[:, n : 2 * n]).astype(np.int64) - 1
    opens = np.minimum(np.maximum(opens + np.where(traded_so_far > 1, jitter, 0), low), high)
    wicks = _wicks((wicks_up, wicks_down), opens, closes, sigma, within, count[:, None] * weights)
    highs, lows = _reached(opens, closes, low, high, wicks, active)
    need = np.where(active, prints_needed(opens, highs, lows, closes), 0)
    scarce = need.sum(axis=1) > count
    # A bar of few trades cannot have parts with four prices each: its trades are dealt out one by one.
    dealt = np.flatnonzero(scarce & (prints_needed(open_, high[:, 0], low[:, 0], close) <= count) & (volume > 0))
    if len(dealt):
        parts = (opens, highs, lows, closes, need)
        _deal(parts, active, path, (open_, high[:, 0], low[:, 0], close), count, dealt)
        closes[dealt] = path.take(row[dealt] + traded_so_far[dealt])
        scarce[dealt] = False

    nothing_yet = np.where(volume > 0, earlier, close)[:, None]
    idle_price = np.where(traded_so_far > 0, closes, nothing_yet)
    po, ph, pl, pc = (np.where(active, ticks, idle_price).ravel() / scale for ticks in (opens, highs, lows, closes))
    movement = np.abs(closes - opens) / np.maximum(sigma, 1.0)
    least = np.where(scarce[:, None], active, need)
    counts, volumes = _split(weights * np.exp(0.5 * unrest) * (1.0 + movement), active, least, count, volume)
    start = parents.start_ns[:, None] + np.arange(n, dtype=np.int64) * (step_seconds * _SECOND_NS)
    wap = typical_price(po, ph, pl, pc)
    return TapeBars(start.ravel(), po, ph, pl, pc, volumes.ravel().astype(np.float64), wap, counts.ravel())


def _wicks(
    drawn: tuple[FloatArray, FloatArray],
    opens: IntArray,
    closes: IntArray,
    sigma: FloatArray,
    within: KeyArray | None,
    expected: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return how far each part reaches above and below its body, float64[P, n] each, in ticks.

    Args:
        drawn: float64[P, n] each, normal.
        sigma: the deviation of the parts, in ticks; `expected`: their trades.
    """
    up, down = np.abs(drawn[0]), np.abs(drawn[1])
    if within is None:
        return 0.5 * sigma * up, 0.5 * sigma * down
    highest, lowest = quarter_extremes(opens, closes, sigma, within)
    up = highest - np.maximum(opens, closes) + sigma * (_BEYOND + _BEYOND_SPREAD * up)
    down = np.minimum(opens, closes) - lowest + sigma * (_BEYOND + _BEYOND_SPREAD * down)
    # Few trades see little of the way.
    seen = expected / (expected + _TRADES_THAT_SEE_HALF)
    return up * seen, down * seen


def _reached(
    opens: IntArray,
    closes: IntArray,
    low: IntArray,
    high: IntArray,
    wicks: tuple[FloatArray, FloatArray],
    active: BoolArray,
) -> tuple[IntArray, IntArray]:
    """Return highs and lows of the parts, int64[P, n] each: `wicks` (up, down) beyond their bodies.

    Args:
        low, high: int64[P, 1], of the parents.
    """
    up, down = wicks
    highs = np.minimum(np.maximum(opens, closes) + up.astype(np.int64), high)
    lows = np.maximum(np.minimum(opens, closes) - down.astype(np.int64), low)
    # Whatever the walk did, one part must reach each extreme: the one that came nearest does.
    each = np.arange(len(opens))
    highs[each, np.where(active, highs, np.iinfo(np.int64).min).argmax(axis=1)] = high[:, 0]
    lows[each, np.where(active, lows, np.iinfo(np.int64).max).argmin(axis=1)] = low[:, 0]
    return highs, lows


def prints_needed(open_: IntArray, high: IntArray, low: IntArray, close: IntArray) -> IntArray:
    """Return how many trades it takes at least to leave these four prices: 1 to 4."""
    beyond = (high > np.maximum(open_, close)).astype(np.int64) + (low < np.minimum(open_, close))
    return np.where(high == low, 1, 2 + beyond)


def _deal(
    parts: tuple[IntArray, IntArray, IntArray, IntArray, IntArray],
    active: BoolArray,
    path: IntArray,
    prices: tuple[IntArray, IntArray, IntArray, IntArray],
    count: IntArray,
    dealt: IntArray,
) -> None:
    """Give the active parts of the rows `dealt` the trades of their parent in order; as many as it has.

    Args:
        parts: opens, highs, lows, closes and trades of the parts, int64[P, n] each, written in place.
        path: int64[P, n + 1]; the closes of the active parts are written back to it.
        prices: open, high, low, close of the parents, int64[P] each.
    """
    n = active.shape[1]
    open_, high, low, close = (price[dealt] for price in prices)
    trades = count[dealt]
    working = active[dealt].sum(axis=1)
    first = np.cumsum(trades) - trades
    row = np.repeat(np.arange(len(dealt)), trades)
    place = np.arange(len(row)) - first[row]
    ordinal = place * working[row] // trades[row]
    price = path[dealt[row], ordinal + 1]
    has_top, has_bottom = high > np.maximum(open_, close), low < np.minimum(open_, close)
    is_last = np.diff(row * (n + 1) + ordinal, append=-1) != 0
    top, bottom = _extreme_trades(price, row, place, trades, has_top, is_last)
    price[(first + top)[has_top]] = high[has_top]
    price[(first + bottom)[has_bottom]] = low[has_bottom]
    price[first] = open_
    price[first + trades - 1] = close

    begins = np.flatnonzero(np.diff(row * (n + 1) + ordinal, prepend=-1))
    ends = np.append(begins[1:], len(row))
    where = np.flatnonzero(active[dealt].ravel())
    at = (dealt[where // n], where % n)
    found = (
        price[begins],
        np.maximum.reduceat(price, begins),
        np.minimum.reduceat(price, begins),
        price[ends - 1],
        ends - begins,
    )
    for target, values in zip(parts, found, strict=True):
        target[at] = values
    path[dealt[row[begins]], ordinal[begins] + 1] = price[ends - 1]


def _extreme_trades(
    price: IntArray, row: IntArray, place: IntArray, trades: IntArray, has_top: BoolArray, is_last: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return which trade of each row comes nearest to its high, and which other one to its low, int64[len(trades)].

    The first and the last are none of them: those prices are given. Trades that leap from elsewhere would leap back, so
    that where there is a choice they are none with which a part ends (`is_last`).
    """
    inner = (place > 0) & (place < trades[row] - 1)
    hidden = inner & ~is_last
    inner = np.where((np.bincount(row[hidden], minlength=len(trades)) > 1)[row], hidden, inner)
    table = np.full((len(trades), int(trades.max())), np.iinfo(np.int64).min)
    table[row[inner], place[inner]] = price[inner]
    top = table.argmax(axis=1)
    table[table == np.iinfo(np.int64).min] = np.iinfo(np.int64).max
    table[has_top, top[has_top]] = np.iinfo(np.int64).max
    return top, table.argmin(axis=1)


def _active_parts(
    chance: FloatArray, weights: FloatArray, volume: IntArray, count: IntArray, force_first: BoolArray
) -> tuple[BoolArray, IntArray]:
    """Return which parts trade, bool[P, n], and how many have traded up to and including each, int64[P, n].

    A part with an expected k trades stays idle with probability exp(-k), as arrivals at random would have it.
    """
    score = chance / np.maximum(-np.expm1(-count[:, None] * weights), 1e-300)
    score[force_first, 0] = -1.0
    active = score < 1.0
    found = active.sum(axis=1)
    most = np.where(volume > 0, np.minimum(count, len(weights)), 0)
    wanted = np.minimum(np.maximum(found, np.minimum(most, 1)), most)
    odd = wanted != found
    if odd.any():
        rank = np.argsort(np.argsort(score[odd], axis=1, kind="stable"), axis=1, kind="stable")
        active[odd] = rank < wanted[odd, None]
    return active, np.cumsum(active, axis=1, dtype=np.int64)


def _path(
    open_: IntArray, high: IntArray, low: IntArray, close: IntArray, steps: FloatArray, chance: FloatArray, m: IntArray
) -> tuple[IntArray, FloatArray]:
    """Return a walk from open to close by way of both extremes, int64[P, n + 1], and its step size, float64[P, 1].

    Row p is defined on columns 0..m[p]. Between its knots (open, one extreme, the other, close) it is a bridge;
    what leaves [low, high] is folded back.

    Args:
        steps: float64[P, n], normal.
        chance: float64[P, 2], uniform: where the extremes fall.
        m: int64[P], parts with a trade.
    """
    size, n = steps.shape
    span = (high - low).astype(np.float64)
    sigma = span / (_RANGE_OF_WALK * np.sqrt(np.maximum(m, 1)))
    walk = np.zeros((size, n + 1))
    np.cumsum(steps, axis=1, out=walk[:, 1:])

    # Extremes of a walk lie near its ends more often than in its middle (the arcsine law).
    inner = np.maximum(m - 2, 0)[:, None]
    knot = np.rint(np.sin(0.5 * np.pi * chance) ** 2 * inner).astype(np.int64) + np.minimum(m, 1)[:, None]
    knot = np.minimum(knot, np.maximum(m - 1, 0)[:, None])
    high_first = knot[:, 0] <= knot[:, 1]
    positions, values = np.zeros((size, 4), dtype=np.int64), np.empty((size, 4), dtype=np.int64)
    positions[:, 1], positions[:, 2], positions[:, 3] = knot.min(axis=1), knot.max(axis=1), m
    values[:, 0], values[:, 3] = open_, close
    values[:, 1], values[:, 2] = np.where(high_first, high, low), np.where(high_first, low, high)
    knots = walk.take(positions + np.arange(0, size * (n + 1), n + 1)[:, None])

    column = np.arange(n + 1, dtype=np.int64)
    segment = (column > positions[:, 1:2]).astype(np.int64) + (column > positions[:, 2:3])
    begin = segment + np.arange(size)[:, None] * 4
    end = begin + 1
    from_, value, drift = positions.take(begin), values.take(begin), knots.take(begin)
    fraction = np.minimum((column - from_) / np.maximum(positions.take(end) - from_, 1), 1.0)
    raw = value + (values.take(end) - value) * fraction
    raw += sigma[:, None] * (walk - drift - (knots.take(end) - drift) * fraction)

    path = _folded(raw, low, high)
    path[:, 0] = open_
    path[np.arange(size), m] = close
    return path, sigma[:, None]


def _folded(raw: FloatArray, low: IntArray, high: IntArray) -> IntArray:
    """Return prices on whole ticks, those beyond low or high turned back at it."""
    width = (high - low).astype(np.float64)[:, None]
    period = np.maximum(2.0 * width, 1.0)
    folded = raw - low[:, None]
    # Most lie within; remainders are slow.
    beyond = (folded < 0.0) | (folded >= period)
    folded[beyond] = np.mod(folded[beyond], np.broadcast_to(period, folded.shape)[beyond])
    folded = np.where(folded > width, 2.0 * width - folded, folded)
    return low[:, None] + np.maximum(np.rint(folded), 0.0).astype(np.int64)


def _seen(
    wandering: IntArray, active: BoolArray, traded_so_far: IntArray, open_: IntArray, close: IntArray
) -> IntArray:
    """Return the prices somebody traded at on the course, int64[P, n + 1]; row p has one for each active part.

    Args:
        wandering: int64[P, n + 1], the course at the begin of the first part and at the end of each.
    """
    path = np.zeros_like(wandering)
    place = traded_so_far + np.arange(0, path.size, path.shape[1])[:, None]
    path.ravel()[place[active]] = wandering[:, 1:][active]
    path[:, 0] = open_
    path[np.arange(len(path)), traded_so_far[:, -1]] = close
    return path


def _split(
    share: FloatArray, active: BoolArray, least: IntArray, count: IntArray, volume: IntArray
) -> tuple[IntArray, IntArray]:
    """Return trades and shares per part, int64[P, n] each: at least `least` trades, sums exact."""
    cumulated = np.cumsum(share * active, axis=1)
    total = cumulated[:, -1:]
    traded = total[:, 0] > 0
    # 1 from the last active part on, so nothing is left over behind it.
    fraction = cumulated / np.where(total > 0, total, 1.0)
    counts = least + _spread_out(np.where(traded, count - least.sum(axis=1), 0), fraction)
    volumes = counts + _spread_out(np.where(traded, volume - count, 0), fraction)
    return counts, volumes


def _spread_out(total: IntArray, fraction: FloatArray) -> IntArray:
    """Return int64[P, n] whose running sums follow `fraction` and whose last running sum is `total`."""
    running = (total[:, None] * fraction).astype(np.int64)
    parts = running.copy()
    parts[:, 1:] -= running[:, :-1]
    return parts
