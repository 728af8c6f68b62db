"""Thousands of MACD runs over one series at once: 32 combinations are the lanes of one loop.

Each average of the close is made once for all combinations that share it. The loop of a block then carries, per
lane, the signal average, the side, the profit and the traded sides; it has no branch, so that numba makes vectors of
it, and no fast-math flag, so that every side is that of a plain run. What a run is measured by, its equity at the
ends of sessions, is taken at those bars only; sums are added in another order than in a plain run (1e-9).
"""

import math
from collections.abc import Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant_trading.backtesting.compiling import compile_functions
from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.indicators.compiled import use_wide_registers
from quant_trading.indicators.ema import ema
from quant_trading.indicators.macd import ema_seeds

__all__ = ["LANES", "Block", "MacdCombination", "SeriesTerms", "blocks_of", "run_block"]

LANES = 32  # a literal in `run_block`: numba makes vectors of loops whose length it knows
_TILE = 256
_CELLS = 9  # weight, average, side, profit, traded sides, bound above, bound below, paid, side before

MacdCombination = tuple[int, int, int, str]


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
class Block:
    """What up to 32 combinations came to, per share of the position.

    Attributes:
        places: which combinations these are.
        profit: float64[S, K], after each session, costs taken off.
        orders: float64[K], filled.
        paid: float64[K], costs by value in all.
        sides: float64[S, K], traded so far, a turn counts 2: orders = half of it, rounded up.
    """

    places: IntArray
    profit: FloatArray
    orders: FloatArray
    paid: FloatArray
    sides: FloatArray


def blocks_of(terms: SeriesTerms, combinations: Sequence[MacdCombination], compiled: bool = True) -> Iterator[Block]:
    """Yield the blocks of `combinations` (fast, slow, signal_span, seed), those with common averages together.

    Args:
        compiled: False runs the same loop interpreted.
    """
    n_bars = len(terms.close)
    bank, rows = _bank(terms.close, combinations)
    # From bar t on: what a share earns between this fill and the next, and what trading it costs.
    lag = 1 if terms.sees_own_fill else 0
    price = np.append(terms.fill_price, terms.close[-1])
    if not terms.sees_own_fill:
        price[n_bars - 1] = terms.close[-1]
    step, cost = np.diff(price), terms.cost_rate * price[:-1]
    step[: terms.first_bar] = cost[: terms.first_bar] = 0.0
    sample_at = terms.session_ends + lag
    adjust = terms.close[terms.session_ends] - price[sample_at]
    walk: Any = run_block
    if compiled:
        use_wide_registers()
        walk = compile_functions(_FUNCTIONS)
    tile, state = _aligned(_TILE * LANES), _aligned(_CELLS * LANES)
    for chosen, is_shared in _arranged(combinations):
        places = np.array(chosen, dtype=np.int64)
        lanes = [combinations[i] for i in chosen]
        lanes += [lanes[-1]] * (LANES - len(lanes))
        # Unsigned: an index that cannot be negative is one numba makes vectors of.
        fast = np.array([rows[_fast_key(c)] for c in lanes], dtype=np.uint32)
        slow = np.array([rows[_slow_key(c)] for c in lanes], dtype=np.uint32)
        spans = np.array([c[2] for c in lanes], dtype=np.float64)
        first_valid = np.array([c[1] + c[2] - 1 for c in lanes], dtype=np.int64)
        need = np.array([1.0 if c[3] == "first" else c[2] for c in lanes])
        profit, sides = np.zeros(len(sample_at) * LANES), np.zeros(len(sample_at) * LANES)
        walk(len(rows), terms.first_bar, n_bars - 1 + lag, is_shared, bank, fast, slow, 2.0 / (spans + 1.0), need,
             first_valid, step, cost, sample_at, adjust, tile, state, profit, sides)  # fmt: skip
        shape, kept = (len(sample_at), LANES), len(places)
        traded = sides.reshape(shape)[:, :kept]
        orders = np.ceil(state[128 : 128 + kept] / 2.0)
        yield Block(places, profit.reshape(shape)[:, :kept], orders, state[224 : 224 + kept].copy(), traded)


def advance_lane(
    k: int, end: int, first_bar: int, need: float, first_valid: int, fast: Sequence[float], slow: Sequence[float],
    step: Sequence[float], cost: Sequence[float], sample_at: Sequence[int], adjust: Sequence[float],
    state: MutableSequence[float], profit: MutableSequence[float], sides: MutableSequence[float],
) -> None:  # fmt: skip
    """Carry lane k through the first `end` bars, one by one; `fast` and `slow` are its averages there."""
    average = before = side = made = traded = paid = seen = 0.0
    sample = 0
    for t in range(end):
        if sample < len(sample_at) and sample_at[sample] == t:
            profit[sample * 32 + k] = made + side * adjust[sample]
            sides[sample * 32 + k] = traded
            sample += 1
        new = side
        x = fast[t] - slow[t]
        if x == x:
            seen += 1.0
            if seen > need:
                average += state[k] * (x - average)
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
            made += new * step[t] - change * cost[t]
            traded += change
            paid += change * cost[t]
        side = new
    state[32 + k], state[64 + k], state[96 + k], state[128 + k] = average, side, made, traded
    state[160 + k] = math.inf if before > 0.0 else 0.0
    state[192 + k] = -math.inf if before < 0.0 else 0.0
    state[224 + k] = paid


def advance_first(
    begin: int, end: int, tile: Sequence[float], step: Sequence[float], cost: Sequence[float],
    state: MutableSequence[float],
) -> None:  # fmt: skip
    """Carry all lanes through bars begin..end-1 while some have not crossed yet; `tile` holds their MACD lines."""
    for t in range(begin, end):
        earned, price = step[t], cost[t]
        row = tile[(t - begin) * 32 : (t - begin) * 32 + 32]
        for k in range(32):
            average = state[32 + k]
            average += state[k] * (row[k] - average)
            now = row[k] - average
            side = state[64 + k]
            new = 1.0 if now > state[160 + k] else (-1.0 if now < state[192 + k] else side)
            change = abs(new - side)
            charge = change * price
            state[32 + k] = average
            state[64 + k] = new
            state[96 + k] += new * earned - charge
            state[128 + k] += change
            state[224 + k] += charge
            state[160 + k] = 0.0 if now <= 0.0 else state[160 + k]
            state[192 + k] = 0.0 if now >= 0.0 else state[192 + k]


def advance_lanes(
    begin: int, end: int, tile: Sequence[float], step: Sequence[float], cost: Sequence[float],
    state: MutableSequence[float],
) -> None:  # fmt: skip
    """Do the same once every lane has crossed: from then on the side is the sign of the histogram."""
    for t in range(begin, end):
        earned, price = step[t], cost[t]
        row = tile[(t - begin) * 32 : (t - begin) * 32 + 32]
        for k in range(32):
            average = state[32 + k]
            average += state[k] * (row[k] - average)
            now = row[k] - average
            side = state[64 + k]
            new = 1.0 if now > 0.0 else (-1.0 if now < 0.0 else side)
            change = abs(new - side)
            charge = change * price
            state[32 + k] = average
            state[64 + k] = new
            state[96 + k] += new * earned - charge
            state[128 + k] += change
            state[224 + k] += charge


def advance_together(
    begin: int, end: int, line: Sequence[float], step: Sequence[float], cost: Sequence[float],
    state: MutableSequence[float],
) -> None:  # fmt: skip
    """Do the same for lanes with one and the same MACD line, which is read once a bar."""
    for t in range(begin, end):
        earned, price, x = step[t], cost[t], line[t - begin]
        for k in range(32):
            average = state[32 + k]
            average += state[k] * (x - average)
            now = x - average
            side = state[64 + k]
            new = 1.0 if now > 0.0 else (-1.0 if now < 0.0 else side)
            change = abs(new - side)
            charge = change * price
            state[32 + k] = average
            state[64 + k] = new
            state[96 + k] += new * earned - charge
            state[128 + k] += change
            state[224 + k] += charge


def run_block(
    width: int, first_bar: int, last: int, is_shared: bool, bank: Sequence[float], fast: Sequence[int],
    slow: Sequence[int], weight: Sequence[float], need: Sequence[float], first_valid: Sequence[int],
    step: Sequence[float], cost: Sequence[float], sample_at: Sequence[int], adjust: Sequence[float],
    tile: MutableSequence[float],
    state: MutableSequence[float], profit: MutableSequence[float], sides: MutableSequence[float],
) -> None:  # fmt: skip
    """Fill `profit` and `sides`, float64[S x 32], what each lane made and traded up to each session's end.

    Args:
        width: averages in `bank`. last: the bar before which decisions end.
        is_shared: all lanes have the same two averages.
        bank: averages of the close, float64[T x averages]; fast, slow: uint32[32], the columns of each lane.
        tile: float64[256 x 32], room for the MACD lines of the lanes.
    """
    begin = 0
    for k in range(32):
        state[k] = weight[k]
        begin = max(begin, first_valid[k] + 1)
    begin = min(begin, last)
    for k in range(32):
        f, s = bank[fast[k] : begin * width : width], bank[slow[k] : begin * width : width]
        advance_lane(k, begin, first_bar, need[k], first_valid[k], f, s, step, cost, sample_at, adjust, state, profit,
                     sides)  # fmt: skip
    sample = 0
    while sample < len(sample_at) and sample_at[sample] < begin:
        sample += 1
    while True:
        if sample < len(sample_at) and sample_at[sample] == begin:
            for k in range(32):
                profit[sample * 32 + k] = state[96 + k] + state[64 + k] * adjust[sample]
                sides[sample * 32 + k] = state[128 + k]
            sample += 1
        if begin >= last:
            if first_bar >= last:  # nothing was decided at all
                for k in range(32):
                    state[128 + k] = state[224 + k] = 0.0
            return
        end = min(begin + 256, last)
        if sample < len(sample_at):
            end = min(end, sample_at[sample])
        if begin == first_bar:
            end = begin + 1
            for k in range(32):  # nothing is held before the first decision, whatever the side was
                state[256 + k] = state[64 + k]
        elif begin < first_bar:
            end = min(end, first_bar)
        has_crossed = True
        for k in range(32):
            has_crossed = has_crossed and state[64 + k] != 0.0
        if is_shared and has_crossed:
            for t in range(begin, end):
                tile[t - begin] = bank[t * width + fast[0]] - bank[t * width + slow[0]]
            advance_together(begin, end, tile, step, cost, state)
        else:
            fill_tile(width, begin, end, bank, fast, slow, tile)
            if has_crossed:
                advance_lanes(begin, end, tile, step, cost, state)
            else:
                advance_first(begin, end, tile, step, cost, state)
        if begin == first_bar:
            for k in range(32):
                was, new = state[256 + k], state[64 + k]
                state[96 + k] += (abs(new - was) - abs(new)) * cost[begin]
                state[128 + k] = abs(new)
                state[224 + k] = abs(new) * cost[begin]
        begin = end


def fill_tile(
    width: int, begin: int, end: int, bank: Sequence[float], fast: Sequence[int], slow: Sequence[int],
    tile: MutableSequence[float],
) -> None:  # fmt: skip
    """Put the MACD lines of the lanes for bars begin..end-1 side by side."""
    for t in range(begin, end):
        row = bank[t * width : (t + 1) * width]
        at = (t - begin) * 32
        for k in range(32):
            tile[at + k] = row[fast[k]] - row[slow[k]]


# What is compiled, each after those it calls.
_FUNCTIONS = (advance_lane, advance_first, advance_lanes, advance_together, fill_tile, run_block)


def _arranged(combinations: Sequence[MacdCombination]) -> Iterator[tuple[list[int], bool]]:
    """Yield up to 32 places at a time and whether they share both averages; what is left of pairs is put together."""
    pairs: dict[tuple[object, ...], list[int]] = {}
    for place, combination in enumerate(combinations):
        pairs.setdefault((combination[3], *combination[:2]), []).append(place)
    rest: list[int] = []
    for places in pairs.values():
        whole = len(places) - len(places) % LANES
        for begin in range(0, whole, LANES):
            yield places[begin : begin + LANES], True
        rest += places[whole:]
    for begin in range(0, len(rest), LANES):
        yield rest[begin : begin + LANES], False


def _bank(
    close: FloatArray, combinations: Sequence[MacdCombination]
) -> tuple[FloatArray, dict[tuple[int, str, int], int]]:
    """Return the averages of the close that the combinations need, bar after bar, and the place of each."""
    rows: dict[tuple[int, str, int], int] = {}
    for combination in combinations:
        for key in (_fast_key(combination), _slow_key(combination)):
            rows.setdefault(key, len(rows))
    bank = np.empty((len(close), len(rows)))
    for (span, seed, skip), row in rows.items():
        bank[:, row] = ema(close, span, seed, skip)
    return bank.reshape(-1), rows


def _fast_key(combination: MacdCombination) -> tuple[int, str, int]:
    seed, skip = ema_seeds(combination[0], combination[1], combination[3])
    return combination[0], seed, skip


def _slow_key(combination: MacdCombination) -> tuple[int, str, int]:
    return combination[1], ema_seeds(combination[0], combination[1], combination[3])[0], 0


def _aligned(size: int) -> FloatArray:
    """Return zeros that begin on a line of the cache, across which vectors must not lie."""
    room = np.zeros(size + 8)
    return room[(-room.ctypes.data % 64) // 8 :][:size]
