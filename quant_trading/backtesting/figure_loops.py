"""The sums from which the figures of a run are made: loops for where numba is loaded, numpy for where it is not.

A call into numpy costs as much as a year of sessions, and the figures need sixty; one walk over the sessions, one
over the curve and one over the trades give them all. The formulas stand in `return_metrics` and `trade_metrics`.
"""

from collections.abc import Callable, MutableSequence, Sequence
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions, is_worth_compiling
from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["CURVE_SUMS", "RETURN_SUMS", "TRADE_SUMS", "run_curve", "run_returns", "run_trades", "sums_of"]

_Numbers = Sequence[float]
_Out = MutableSequence[float]

RETURN_SUMS = 12  # cells of `out`, in the order they are written
CURVE_SUMS = 11
TRADE_SUMS = 12


def sums_of(
    loop: Callable[..., None], size: int, columns: Sequence[FloatArray | IntArray], *numbers: float
) -> list[float]:
    """Return the `size` numbers that `loop` writes: by its machine code where that pays, else by numpy.

    Args:
        columns: arrays of numbers; numbers: what the loop takes after them.
    """
    if not is_worth_compiling(sum(map(len, columns))):
        return [float(value) for value in _BY_NUMPY[loop](*columns, *numbers)]
    given: list[Any] = [column.view() for column in columns]
    for column in given:
        column.flags.writeable = False
    cells = np.zeros(size)
    compile_functions((loop,), counts_references=False)(*given, *numbers, cells)
    values: list[float] = cells.tolist()
    return values


def run_returns(returns: _Numbers, ordered: _Numbers, free: float, out: _Out) -> None:
    """Fill `out`: mean, sums of the 2nd, 3rd and 4th power about it, how many lose and win and what, shortfalls.

    Args:
        returns: at least one; ordered: the same, rising.
        free: a shortfall is a return below it.
    """
    n = len(returns)
    mean = 0.0
    for t in range(n):
        mean += returns[t]
    mean /= n
    squares = cubes = fourths = 0.0
    for t in range(n):
        centred = returns[t] - mean
        power = centred * centred
        squares += power
        cubes += power * centred
        fourths += power * power
    below, lost = 0, 0.0
    while below < n and ordered[below] < 0.0:
        lost -= ordered[below]
        below += 1
    above, won = 0, 0.0
    while above < n and ordered[n - 1 - above] > 0.0:
        won += ordered[n - 1 - above]
        above += 1
    at, short_of, short_squares = 0, 0.0, 0.0
    while at < n and ordered[at] < free:
        shortfall = ordered[at] - free
        short_of -= shortfall
        short_squares += shortfall * shortfall
        at += 1
    tail = int((n - 1) * 0.05) + 1
    worst = 0.0
    for t in range(tail):
        worst += ordered[t]
    out[0], out[1], out[2], out[3] = mean, squares, cubes, fourths
    out[4], out[5], out[6], out[7] = below, lost, above, won
    out[8], out[9], out[10], out[11] = short_of, short_squares, worst, tail


def run_curve(curve: _Numbers, path: _Numbers, out: _Out) -> None:
    """Fill `out`: the falls of a curve below its highs, and how straight the path of its logarithms is.

    The deepest fall is told by its depth and by the positions of the high before it, its lowest point and the high
    that ends it (-1 when none does). Then the sum of the squares of all depths, points below a high, how many falls
    there are, the sum of their deepest points and the longest; then the sums of path x place and of path squared, both
    about the mean.

    Args:
        curve: at least one number; path: the logarithms from its second on, or nothing.
    """
    points = len(curve)
    high = curve[0]
    high_at = start = trough = 0
    recovery = -1
    deepest = squares = troughs = lowest = 0.0
    under = falls = longest = 0
    for t in range(points):
        value = curve[t]
        if value >= high:
            longest = max(longest, t - high_at)
            if lowest < 0.0:
                troughs += lowest
                falls += 1
                if recovery < 0 and trough > high_at:
                    recovery = t
            high, high_at, lowest = value, t, 0.0
            continue
        depth = value / high - 1.0
        under += 1
        squares += depth * depth
        lowest = min(lowest, depth)
        if depth < deepest:
            deepest, trough, start, recovery = depth, t, high_at, -1
    if lowest < 0.0:
        troughs += lowest
        falls += 1
    longest = max(longest, points - 1 - high_at)
    mean = shared = spread = 0.0
    for t in range(len(path)):
        mean += path[t]
    mean /= max(len(path), 1)
    for t in range(len(path)):
        centred = path[t] - mean
        shared += centred * t
        spread += centred * centred
    out[0], out[1], out[2], out[3], out[4] = deepest, start, trough, recovery, squares
    out[5], out[6], out[7], out[8], out[9], out[10] = under, falls, troughs, longest, shared, spread


def run_trades(
    gross: _Numbers, cost: _Numbers, quantity: _Numbers, entry_price: _Numbers, entry_bar: Sequence[int],
    exit_bar: Sequence[int], out: _Out,
) -> None:  # fmt: skip
    """Fill `out`: winners, losers, won, lost, total, squares about the mean, best, worst, the longest run of losers,
    longs, the sum of returns, the sum of bars held.

    Args:
        gross, cost, quantity, entry_price, entry_bar, exit_bar: the columns of `Trades`, at least one trade.
    """
    n = len(gross)
    winners = losers = run = longest = longs = bars = 0
    won = lost = total = squares = returned = 0.0
    best = worst = gross[0] - cost[0]
    for k in range(n):
        value = gross[k] - cost[k]
        total += value
        returned += value / abs(quantity[k] * entry_price[k])
        bars += exit_bar[k] - entry_bar[k]
        longs += 1 if quantity[k] > 0.0 else 0
        best = value if value > best else best
        worst = value if value < worst else worst
        winners += 1 if value > 0.0 else 0
        losers += 1 if value < 0.0 else 0
        won += value if value > 0.0 else 0.0
        lost -= value if value < 0.0 else 0.0
        run = run + 1 if value < 0.0 else 0
        longest = run if run > longest else longest
    mean = total / n
    for k in range(n):
        centred = gross[k] - cost[k] - mean
        squares += centred * centred
    out[0], out[1], out[2], out[3], out[4], out[5] = winners, losers, won, lost, total, squares
    out[6], out[7], out[8], out[9], out[10], out[11] = best, worst, longest, longs, returned, bars


def _returns_by_numpy(returns: FloatArray, ordered: FloatArray, free: float) -> tuple[float, ...]:
    """Return what `run_returns` writes."""
    n = len(returns)
    mean = np.add.reduce(returns) / n
    centred = returns - mean
    power = centred * centred
    below, above = int(ordered.searchsorted(0.0)), n - int(ordered.searchsorted(0.0, "right"))
    short = ordered[: int(ordered.searchsorted(free))] - free
    tail = int((n - 1) * 0.05) + 1
    return (
        mean, np.add.reduce(power), np.add.reduce(power * centred), np.add.reduce(power * power), below,
        -np.add.reduce(ordered[:below]), above, np.add.reduce(ordered[n - above :]), -np.add.reduce(short),
        np.add.reduce(short * short), np.add.reduce(ordered[:tail]), tail,
    )  # fmt: skip


def _curve_by_numpy(curve: FloatArray, path: FloatArray) -> tuple[float, ...]:
    """Return what `run_curve` writes."""
    points = len(curve)
    peak = np.maximum.accumulate(curve)
    depth = curve / peak - 1.0
    highs = (curve >= peak).nonzero()[0]
    depth[highs] = 0.0
    trough = int(depth.argmin())
    deepest = float(depth[trough])
    after = int(highs.searchsorted(trough))
    start, recovery = (highs[after - 1], highs[after] if after < len(highs) else -1) if deepest < 0.0 else (0, -1)
    troughs = np.minimum.reduceat(depth, highs)
    spans = np.append(highs[1:], points - 1) - highs
    centred = path - (np.add.reduce(path) / max(len(path), 1))
    return (
        deepest, start, trough if deepest < 0.0 else 0, recovery, np.add.reduce(depth * depth), points - len(highs),
        int(np.count_nonzero(troughs)), np.add.reduce(troughs), spans.max(),
        np.add.reduce(centred * np.arange(len(path))), np.add.reduce(centred * centred),
    )  # fmt: skip


def _trades_by_numpy(
    gross: FloatArray, cost: FloatArray, quantity: FloatArray, entry_price: FloatArray, entry_bar: IntArray,
    exit_bar: IntArray,
) -> tuple[float, ...]:  # fmt: skip
    """Return what `run_trades` writes."""
    pnl = gross - cost
    loses = pnl < 0.0
    total = np.add.reduce(pnl)
    centred = pnl - total / len(pnl)
    stops = np.flatnonzero(np.concatenate(([True], ~loses, [True])))
    return (
        int(np.count_nonzero(pnl > 0.0)), int(np.count_nonzero(loses)), np.add.reduce(np.maximum(pnl, 0.0)),
        -np.add.reduce(np.minimum(pnl, 0.0)), total, np.add.reduce(centred * centred), pnl.max(), pnl.min(),
        np.diff(stops).max() - 1, int(np.count_nonzero(quantity > 0.0)),
        np.add.reduce(pnl / np.abs(quantity * entry_price)), np.add.reduce(exit_bar - entry_bar),
    )  # fmt: skip


_BY_NUMPY: dict[Callable[..., None], Callable[..., tuple[float, ...]]] = {
    run_returns: _returns_by_numpy, run_curve: _curve_by_numpy, run_trades: _trades_by_numpy,
}  # fmt: skip
