"""Thousands of MACD runs over one series at once: 32 combinations are the lanes of one loop.

The blocks of a part walk through the bars together, a tile at a time, so that nothing of the size of runs x bars is
made. Per lane a block carries its averages, side, profit, costs and traded sides; lanes with one and the same pair of
averages of the close read their MACD line, others make it. Once every lane has crossed, its side is the sign of its
histogram and the loop has no branch, so that numba makes vectors of it, and no fast-math flag, so that every side is
that of a plain run. What a run is measured by, its equity at the ends of sessions, is taken at those bars only; sums
are added in another order than in a plain run (1e-9).
"""

import math
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions
from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.indicators.ema import ema
from quant_trading.indicators.macd import MACD_SEEDS, ema_seeds

__all__ = [
    "LANES",
    "Averages",
    "MacdCombination",
    "Outcome",
    "Part",
    "SeriesTerms",
    "parts_of",
    "run_part",
    "table_of",
    "walk_blocks",
]

LANES = 32  # a literal in the loops: numba makes vectors of loops whose length it knows
_TILE = 256
_BLOCKS = 16  # of a part, whose state stays in the first cache
# Cells of a lane, 32 apart: weight and value of the signal average, side, profit before costs, traded sides, bound
# above, bound below, costs, weights of the fast and the slow average and their values.
_CELLS = 12

MacdCombination = tuple[int, int, int, str]
Averages = dict[tuple[int, str, int], FloatArray]  # by span, seed and what is skipped before it
_Numbers = Sequence[float]
_Out = MutableSequence[float]


@dataclass(frozen=True, slots=True)
class SeriesTerms:
    """One symbol's bars and how its orders are filled.

    Attributes:
        close: float64[T], no NaN. fill_price: float64[T], of an order decided on bar t; the last is used by same_close.
        sees_own_fill: True for same_close: a session ends after the fill of its last bar.
        session_ends: int64[S], the last bar of each session, rising, the last of all is T - 1.
        first_bar: of the first decision.
        cost_rate: of the traded value.
    """

    close: FloatArray
    fill_price: FloatArray
    sees_own_fill: bool
    session_ends: IntArray
    first_bar: int
    cost_rate: float


@dataclass(frozen=True, slots=True)
class Part:
    """Some combinations that are run together.

    Attributes:
        places: int64[K], which they are, block after block; only the last block of all may be short.
        shared: how many blocks, the first ones, have the same two averages in all lanes.
    """

    places: IntArray
    shared: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the combinations of a part came to, per share of the position.

    Attributes:
        profit: float64[S, K], after each session, costs taken off.
        sides: float64[S, K], traded so far, a turn counts 2: orders = half of it, rounded up.
        orders: float64[K], filled.
        paid: float64[K], costs by value in all.
    """

    profit: FloatArray
    sides: FloatArray
    orders: FloatArray
    paid: FloatArray


def table_of(combinations: Sequence[MacdCombination]) -> IntArray:
    """Return int64[K, 4]: fast, slow, signal_span and the place of the seed in `MACD_SEEDS`."""
    fast, slow, span, seed = zip(*combinations, strict=True)
    return np.array([fast, slow, span, list(map(MACD_SEEDS.index, seed))], dtype=np.int64).T


def parts_of(table: IntArray) -> list[Part]:
    """Return the combinations of `table` in parts, those with common averages together."""
    order = np.lexsort((table[:, 1], table[:, 0], table[:, 3])).astype(np.int64)
    pairs = table[order][:, (0, 1, 3)]
    starts = np.flatnonzero(np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1)))
    size = np.diff(np.append(starts, len(order)))
    place = np.arange(len(order)) - np.repeat(starts, size)
    in_whole = place < np.repeat(size - size % LANES, size)
    blocks = int(np.count_nonzero(in_whole)) // LANES
    both = np.concatenate((order[in_whole], order[~in_whole]))
    return [
        Part(both[at : at + _BLOCKS * LANES], min(max(blocks - at // LANES, 0), _BLOCKS))
        for at in range(0, len(both), _BLOCKS * LANES)
    ]


def run_part(
    terms: SeriesTerms, table: IntArray, shared: int = 0, compiled: bool = True, known: Averages | None = None,
    room: tuple[FloatArray, FloatArray] | None = None,
) -> Outcome:  # fmt: skip
    """Return what the combinations of `table` came to.

    Args:
        table: int64[K, 4], see `table_of`, the first `shared` x 32 in whole blocks with common averages.
        compiled: False runs the same loop interpreted.
        known: the first averages of the close, for the other parts of a sweep; they are added here.
        room: two of float64[S x lanes], K rounded up to whole blocks, which profit and sides are written to.
    """
    n_bars, kept = len(terms.close), len(table)
    table = np.concatenate((table, np.repeat(table[-1:], -kept % LANES, axis=0)))
    lanes = len(table)
    first_valid = table[:, 1] + table[:, 2] - 1
    last = n_bars if terms.sees_own_fill else n_bars - 1
    begin = min(int(first_valid.max()) + 1, last)
    early, spans, fast, slow, common = _bank(
        terms.close[:begin], table, shared * LANES, {} if known is None else known
    )  # fmt: skip
    step, cost, sample_at, adjust = _of_bars(terms)
    state = _aligned(lanes * _CELLS)
    cells = state.reshape(-1, _CELLS, LANES)
    weights = 2.0 / (table[:, :3] + 1.0)
    for cell, column in ((0, 2), (8, 0), (9, 1)):
        cells[:, cell] = weights[:, column].reshape(-1, LANES)
    if begin:
        cells[:, 10] = early[fast, begin - 1].reshape(-1, LANES)
        cells[:, 11] = early[slow, begin - 1].reshape(-1, LANES)
    averages = early[:common, begin - 1].copy() if begin else np.zeros(common)
    need = np.where(table[:, 3] == MACD_SEEDS.index("first"), 1.0, table[:, 2])
    made, traded = room or (np.empty(len(sample_at) * lanes), np.empty(len(sample_at) * lanes))
    walk: Any = walk_blocks
    if compiled:
        walk = compile_functions(_FUNCTIONS, counts_references=False)
    walk(lanes, shared, begin, terms.first_bar, last, early.reshape(-1), fast, slow, need, first_valid,
         terms.close.copy(), step, cost, 2.0 * cost, sample_at, adjust, averages, 2.0 / (spans[:common] + 1.0),
         np.empty(_TILE * common), np.empty(_TILE), state, made, traded)  # fmt: skip
    profit, sides = (column.reshape(len(sample_at), lanes)[:, :kept] for column in (made, traded))
    turns, paid = cells[:, 4].reshape(-1)[:kept], cells[:, 7].reshape(-1)[:kept]
    return Outcome(profit, sides, np.ceil(turns / 2.0), paid.copy())


def _of_bars(terms: SeriesTerms) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
    """Return what a share earns from its fill of bar t to the next, what trading it costs, and where sessions end."""
    lag = 1 if terms.sees_own_fill else 0
    price = np.append(terms.fill_price, terms.close[-1])
    if not terms.sees_own_fill:
        price[-2] = terms.close[-1]
    step, cost = np.diff(price), terms.cost_rate * price[:-1]
    step[: terms.first_bar] = cost[: terms.first_bar] = 0.0
    sample_at = terms.session_ends + lag
    return step, cost, sample_at, terms.close[terms.session_ends] - price[sample_at]


def advance_early(
    begin: int, first_bar: int, k: int, lanes: int, need: float, first_valid: int, fast: _Numbers, slow: _Numbers,
    step: _Numbers, cost: _Numbers, sample_at: Sequence[int], adjust: _Numbers, own: _Out, profit: _Out, sides: _Out,
) -> None:  # fmt: skip
    """Carry lane k of the part through its first bars, one by one; `fast` and `slow` are its averages there."""
    average = before = side = made = traded = paid = seen = 0.0
    sample, j = 0, k % 32
    for t in range(begin):
        if sample < len(sample_at) and sample_at[sample] == t:
            profit[sample * lanes + k] = made - paid + side * adjust[sample]
            sides[sample * lanes + k] = traded
            sample += 1
        new = side
        x = fast[t] - slow[t]
        if x == x:
            seen += 1.0
            if seen > need:
                average += own[j] * (x - average)
            else:
                average += x
                if seen == need:
                    average /= need
            now = x - average
            if t >= first_valid:
                if before <= 0.0 < now:
                    new = 1.0
                elif before >= 0.0 > now:
                    new = -1.0
            before = now
        if t >= first_bar:
            change = abs(new - (side if t > first_bar else 0.0))
            made += new * step[t]
            traded += change
            paid += change * cost[t]
        side = new
    own[32 + j], own[64 + j], own[96 + j], own[128 + j], own[224 + j] = average, side, made, traded, paid
    own[160 + j] = math.inf if before > 0.0 else 0.0
    own[192 + j] = -math.inf if before < 0.0 else 0.0


def advance_first(
    begin: int, end: int, close: _Numbers, step: _Numbers, cost: _Numbers, own: _Out
) -> None:  # fmt: skip
    """Carry a block through bars begin..end-1 while some of its lanes have not crossed yet."""
    for t in range(begin, end):
        x, earned, charge = close[t], step[t], cost[t]
        for k in range(32):
            fast = own[320 + k] + own[256 + k] * (x - own[320 + k])
            slow = own[352 + k] + own[288 + k] * (x - own[352 + k])
            line = fast - slow
            average = own[32 + k]
            average += own[k] * (line - average)
            now = line - average
            side = own[64 + k]
            new = 1.0 if now > own[160 + k] else (-1.0 if now < own[192 + k] else side)
            change = abs(new - side)
            own[320 + k], own[352 + k], own[32 + k], own[64 + k] = fast, slow, average, new
            own[96 + k] += new * earned
            own[128 + k] += change
            own[224 + k] += change * charge
            own[160 + k] = 0.0 if now <= 0.0 else own[160 + k]
            own[192 + k] = 0.0 if now >= 0.0 else own[192 + k]


def advance_apart(
    begin: int, end: int, close: _Numbers, step: _Numbers, turn: _Numbers, own: _Out
) -> None:  # fmt: skip
    """Do the same once every lane has crossed: from then on the side is the sign of the histogram.

    Args:
        turn: float64[T], what going from one side to the other costs.
    """
    for t in range(begin, end):
        x, earned, charge = close[t], step[t], turn[t]
        for k in range(32):
            fast, slow, average, side = own[320 + k], own[352 + k], own[32 + k], own[64 + k]
            fast += own[256 + k] * (x - fast)
            slow += own[288 + k] * (x - slow)
            line = fast - slow
            average += own[k] * (line - average)
            now = line - average
            sign = 1.0 if now > 0.0 else -1.0
            new = sign if now != 0.0 else side
            turned = new != side
            own[320 + k], own[352 + k], own[32 + k], own[64 + k] = fast, slow, average, new
            own[96 + k] += new * earned
            own[128 + k] = own[128 + k] + 2.0 if turned else own[128 + k]
            own[224 + k] = own[224 + k] + charge if turned else own[224 + k]


def advance_together(
    begin: int, end: int, line: _Numbers, step: _Numbers, turn: _Numbers, own: _Out
) -> None:  # fmt: skip
    """Do the same for lanes with one and the same MACD line, two bars at a time: the state is written once for both."""
    for t in range(begin, end - 1, 2):
        x, earned, charge = line[t - begin], step[t], turn[t]
        x_next, earned_next, charge_next = line[t - begin + 1], step[t + 1], turn[t + 1]
        for k in range(32):
            weight, average, side = own[k], own[32 + k], own[64 + k]
            made, traded, paid = own[96 + k], own[128 + k], own[224 + k]
            average += weight * (x - average)
            now = x - average
            sign = 1.0 if now > 0.0 else -1.0
            new = sign if now != 0.0 else side
            turned = new != side
            made += new * earned
            traded = traded + 2.0 if turned else traded
            paid = paid + charge if turned else paid
            average += weight * (x_next - average)
            now = x_next - average
            sign = 1.0 if now > 0.0 else -1.0
            then = sign if now != 0.0 else new
            turned = then != new
            own[32 + k], own[64 + k] = average, then
            own[96 + k] = made + then * earned_next
            own[128 + k] = traded + 2.0 if turned else traded
            own[224 + k] = paid + charge_next if turned else paid
    for t in range(end - (end - begin) % 2, end):
        x, earned, charge = line[t - begin], step[t], turn[t]
        for k in range(32):
            average, side = own[32 + k], own[64 + k]
            average += own[k] * (x - average)
            now = x - average
            sign = 1.0 if now > 0.0 else -1.0
            new = sign if now != 0.0 else side
            turned = new != side
            own[32 + k], own[64 + k] = average, new
            own[96 + k] += new * earned
            own[128 + k] = own[128 + k] + 2.0 if turned else own[128 + k]
            own[224 + k] = own[224 + k] + charge if turned else own[224 + k]


def advance_averages(
    begin: int, end: int, width: int, close: _Numbers, weights: _Numbers, averages: _Out, tile: _Out
) -> None:  # fmt: skip
    """Carry the common averages through bars begin..end-1 and put them into `tile`, bar after bar."""
    for t in range(begin, end):
        x = close[t]
        row = tile[(t - begin) * width : (t - begin + 1) * width]
        for r in range(width):
            row[r] = averages[r] + weights[r] * (x - averages[r])
        for r in range(width):
            averages[r] = row[r]


def walk_blocks(
    lanes: int, shared: int, begin: int, first_bar: int, last: int, early: _Numbers, fast: Sequence[int],
    slow: Sequence[int], need: _Numbers, first_valid: Sequence[int], close: _Numbers, step: _Numbers, cost: _Numbers,
    turn: _Numbers, sample_at: Sequence[int], adjust: _Numbers, averages: _Out, weights: _Numbers, tile: _Out,
    line: _Out, state: _Out, profit: _Out, sides: _Out,
) -> None:  # fmt: skip
    """Fill `profit` and `sides`, float64[S x lanes], what each lane made and traded up to each session's end.

    Args:
        shared: blocks, the first ones, whose lanes have the same two averages.
        begin: bars that are walked lane by lane, until every average has its seed; last: where decisions end.
        early: float64[averages x begin], averages of the close; fast, slow: int64[lanes], the row of each lane, those
            of shared blocks below len(averages).
        averages, weights: the common averages after bar begin - 1 and their weights; tile, line: room for 256 bars of
            all of them and of one MACD line.
        state: float64[lanes x 12], see `_CELLS`.
    """
    width, sample = len(averages), 0
    for k in range(lanes):
        own = state[k // 32 * 384 : k // 32 * 384 + 384]
        f, s = early[fast[k] * begin : (fast[k] + 1) * begin], early[slow[k] * begin : (slow[k] + 1) * begin]
        advance_early(begin, first_bar, k, lanes, need[k], first_valid[k], f, s, step, cost, sample_at, adjust, own,
                      profit, sides)  # fmt: skip
    while sample < len(sample_at) and sample_at[sample] < begin:
        sample += 1
    while True:
        if sample < len(sample_at) and sample_at[sample] == begin:
            for k in range(lanes):
                at = k // 32 * 384 + k % 32
                profit[sample * lanes + k] = state[96 + at] - state[224 + at] + state[64 + at] * adjust[sample]
                sides[sample * lanes + k] = state[128 + at]
            sample += 1
        if begin >= last:
            break
        end = min(begin + 256, last)
        if sample < len(sample_at):
            end = min(end, sample_at[sample])
        if begin <= first_bar:
            end = min(end, max(first_bar, begin + 1))
        advance_averages(begin, end, width, close, weights, averages, tile)
        for b in range(lanes // 32):
            own = state[b * 384 : b * 384 + 384]
            has_crossed = True
            for k in range(32):
                has_crossed = has_crossed and own[64 + k] != 0.0
            if not has_crossed:
                advance_first(begin, end, close, step, cost, own)
            elif b < shared:
                upper, lower = fast[b * 32], slow[b * 32]
                for t in range(end - begin):
                    line[t] = tile[t * width + upper] - tile[t * width + lower]
                advance_together(begin, end, line, step, turn, own)
            else:
                advance_apart(begin, end, close, step, turn, own)
            if begin == first_bar:
                for k in range(32):  # nothing is held before the first decision, whatever the side was
                    own[128 + k] = abs(own[64 + k])
                    own[224 + k] = abs(own[64 + k]) * cost[begin]
        begin = end
    if first_bar >= last:  # nothing was decided at all
        for k in range(lanes):
            state[k // 32 * 384 + k % 32 + 128] = state[k // 32 * 384 + k % 32 + 224] = 0.0


# What is compiled, each after those it calls.
_FUNCTIONS = (advance_early, advance_first, advance_apart, advance_together, advance_averages, walk_blocks)


def _bank(
    close: FloatArray, table: IntArray, shared: int, known: Averages
) -> tuple[FloatArray, FloatArray, IntArray, IntArray, int]:
    """Return the averages of `close` that the lanes need and where they are.

    Returns:
        float64[A, T]; float64[A], their spans; int64[K], rows of the fast and of the slow average of each lane; and
        how many of the rows, the first ones, the lanes before `shared` have.
    """
    rows: dict[tuple[int, str, int], int] = {}
    pairs, first, of_lane = np.unique(table[:, (0, 1, 3)], axis=0, return_index=True, return_inverse=True)
    places = np.empty((2, len(pairs)), dtype=np.int64)
    common = 0
    for pair in np.argsort(first).tolist():
        fast_span, slow_span, seed = pairs[pair].tolist()
        each, skip = ema_seeds(fast_span, slow_span, MACD_SEEDS[seed])
        places[0, pair] = rows.setdefault((fast_span, each, skip), len(rows))
        places[1, pair] = rows.setdefault((slow_span, each, 0), len(rows))
        if first[pair] < shared:
            common = len(rows)
    for key in rows:
        if key not in known or len(known[key]) < len(close):
            known[key] = ema(close, *key)
    bank = np.array([known[key][: len(close)] for key in rows])
    spans = np.array([key[0] for key in rows], dtype=np.float64)
    fast, slow = places[:, of_lane.reshape(-1)]
    return bank, spans, fast.copy(), slow.copy(), common


def _aligned(size: int) -> FloatArray:
    """Return zeros that begin on a line of the cache, across which vectors must not lie."""
    room = np.zeros(size + 8)
    return room[(-room.ctypes.data % 64) // 8 :][:size]
