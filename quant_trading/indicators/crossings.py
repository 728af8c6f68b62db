"""The side of the last crossing of the MACD histogram, at the speed of the memory.

An average waits for the one before it, so a single series runs at a dozen processor cycles a bar. The lanes
here are `LANES` series advanced together: neighbouring columns of a panel, or, for a long single series, its
parts. A part begins `_warmup` bars early, with averages that are not yet right; they forget how they began, and
only where they have come to equal the averages at the end of the part before, bit for bit, the part counts.
Where they have not, the part is done over. So the lanes give what the plain loop gives.
"""

import math
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.indicators.compiled import is_worth_compiling, machine_code
from quant_trading.indicators.macd import ema_seeds
from quant_trading.indicators.sides import HOLD, SideArray

__all__ = ["crossing_sides", "run_column", "run_lanes"]

LANES = 16  # a literal in `run_lanes`: numba makes vectors of loops whose length it knows
_TILE = 64
_STATE = 6  # count, fast, slow, signal, histogram before, side
_UNKNOWN = 2.0
_SHORTEST_PART = 4_096  # bars; below, setting up the lanes takes longer than they save


@dataclass(frozen=True, slots=True)
class _Spans:
    fast: int
    slow: int
    signal: int
    seed: str

    @property
    def numbers(self) -> tuple[float, float, float, int, int, int, int, int]:
        """Return the three weights, the numbers each average is seeded by, what the fast one skips, first_valid."""
        each, skip = ema_seeds(self.fast, self.slow, self.seed)
        need = (1, 1, 1) if each == "first" else (self.fast, self.slow, self.signal)
        weights = (2.0 / (self.fast + 1), 2.0 / (self.slow + 1), 2.0 / (self.signal + 1))
        return (*weights, *need, skip, self.slow + self.signal - 1)

    @property
    def warmup(self) -> int:
        """Return bars after which a wrong beginning has lost its last bit, with a half to spare."""
        forget = -math.log1p(-2.0 / (max(self.slow, self.signal) + 1))
        return self.slow + self.signal + math.ceil(1.5 * 53.0 * math.log(2.0) / forget)


def crossing_sides(
    close: FloatArray, fast: int = 12, slow: int = 26, signal_span: int = 9, seed: str = "first",
    compiled: bool | None = None,
) -> SideArray:  # fmt: skip
    """Return int8[T, N]: 1 after the histogram crossed up, -1 after it crossed down, 0 before the first crossing.

    A crossing up is h <= 0 on the symbol's bar before and h > 0 now. The first `slow + signal_span - 1` bars
    of a symbol are HOLD. A row where it has no bar (NaN) repeats the row above.

    Args:
        close: float64[T, N].
        fast, slow, signal_span, seed: as for `macd`.
        compiled: None = by the amount of work.
    """
    n_bars, n_symbols = close.shape
    spans = _Spans(fast, slow, signal_span, seed)
    if is_worth_compiling(close.size) if compiled is None else compiled:
        return _compiled(np.ascontiguousarray(close, dtype=np.float64), spans)
    sides = np.empty((n_bars, n_symbols), dtype=np.int8)
    for j in range(n_symbols):
        column = [0] * n_bars
        run_column(0, n_bars, 1, *spans.numbers, close[:, j].tolist(), [0.0] * _STATE, column)
        sides[:, j] = column
    return sides


def run_column(
    begin: int, end: int, stride: int, alpha_fast: float, alpha_slow: float, alpha_signal: float, need_fast: int,
    need_slow: int, need_signal: int, skip: int, first_valid: int, close: Sequence[float],
    state: MutableSequence[float], sides: MutableSequence[int],
) -> None:  # fmt: skip
    """Fill `sides` at begin, begin + stride, ... below `end`, from and into `state` (6 numbers)."""
    count, fast, slow, average, before = state[0], state[1], state[2], state[3], state[4]
    side = int(state[5])
    for at in range(begin, end, stride):
        price = close[at]
        if price == price:
            if count >= first_valid:
                count += 1.0
                fast += alpha_fast * (price - fast)
                slow += alpha_slow * (price - slow)
                line = fast - slow
                average += alpha_signal * (line - average)
                now = line - average
                if before <= 0.0 < now:
                    side = 1
                elif before >= 0.0 > now:
                    side = -1
                before = now
            else:
                count += 1.0
                n = count - skip
                if n > need_fast:
                    fast += alpha_fast * (price - fast)
                elif n > 0.0:
                    fast += price
                    if n == need_fast:
                        fast /= need_fast
                if count > need_slow:
                    slow += alpha_slow * (price - slow)
                else:
                    slow += price
                    if count == need_slow:
                        slow /= need_slow
                n = count - need_slow + 1.0
                if n >= 1.0:
                    line = fast - slow
                    if n > need_signal:
                        average += alpha_signal * (line - average)
                    else:
                        average += line
                        if n == need_signal:
                            average /= need_signal
                    before = line - average
        sides[at] = side if count > first_valid else -128
    state[0], state[1], state[2], state[3], state[4], state[5] = count, fast, slow, average, before, float(side)


def run_lanes(
    first: int, last: int, stride: int, blocks: int, keep: bool, base: Sequence[int], close: Sequence[float],
    state: MutableSequence[float], prices: MutableSequence[float], opinions: MutableSequence[float],
    sides: MutableSequence[int],
) -> None:  # fmt: skip
    """Advance blocks of 16 lanes over steps first..last-1; lane k of block b reads close[base + step x stride].

    Args:
        keep: write `sides` at the places that are read.
        base: int64[blocks x 16], neighbouring columns in each block where stride is above 1.
        state: per block 16 x (fast, slow, signal, what the histogram must be above to turn up, below to turn down,
            side, and the three weights). The bounds are 0, infinite while the histogram has not left its side.
        prices, opinions: float64[64 x 16], room to work in.
    """
    for begin in range(first, last, 64):
        steps = min(64, last - begin)
        for b in range(blocks):
            o = b * 144
            if stride > 1:  # a block is 16 neighbouring columns
                for u in range(steps):
                    at = base[b * 16] + (begin + u) * stride
                    row, to = close[at : at + 16], prices[u * 16 : u * 16 + 16]
                    for k in range(16):
                        to[k] = row[k]
            else:
                for u in range(steps):
                    for k in range(16):
                        prices[u * 16 + k] = close[base[b * 16 + k] + begin + u]
            for u in range(steps):
                for k in range(16):
                    price = prices[u * 16 + k]
                    fast, slow, average = state[o + k], state[o + 16 + k], state[o + 32 + k]
                    above, below = state[o + 48 + k], state[o + 64 + k]
                    new_fast = fast + state[o + 96 + k] * (price - fast)
                    new_slow = slow + state[o + 112 + k] * (price - slow)
                    line = new_fast - new_slow
                    new_average = average + state[o + 128 + k] * (line - average)
                    now = line - new_average
                    # A comparison with NaN is false, so a missing bar turns nothing.
                    up = now > above
                    down = now < below
                    side = 1.0 if up else (-1.0 if down else state[o + 80 + k])
                    known = price == price
                    state[o + k] = new_fast if known else fast
                    state[o + 16 + k] = new_slow if known else slow
                    state[o + 32 + k] = new_average if known else average
                    state[o + 48 + k] = 0.0 if now <= 0.0 else above
                    state[o + 64 + k] = 0.0 if now >= 0.0 else below
                    state[o + 80 + k] = side
                    opinions[u * 16 + k] = side
            if keep:
                if stride > 1:
                    for u in range(steps):
                        at = base[b * 16] + (begin + u) * stride
                        said, out = opinions[u * 16 : u * 16 + 16], sides[at : at + 16]
                        for k in range(16):
                            out[k] = int(said[k])
                else:
                    for u in range(steps):
                        for k in range(16):
                            sides[base[b * 16 + k] + begin + u] = int(opinions[u * 16 + k])


def _compiled(close: FloatArray, spans: _Spans) -> SideArray:
    n_bars, n_symbols = close.shape
    sides = np.empty((n_bars, n_symbols), dtype=np.int8)
    if n_symbols >= LANES:
        _columns_together(close, spans, sides)
        return sides
    for j in range(n_symbols):
        known = ~np.isnan(close[:, j])
        if known.all():
            sides[:, j] = _parts_together(np.ascontiguousarray(close[:, j]), spans)
        else:
            at = np.cumsum(known) - 1  # of the last own bar, -1 before the first
            own = _parts_together(close[known, j], spans)
            sides[:, j] = np.where(at >= 0, own[np.maximum(at, 0)], np.int8(HOLD)) if len(own) else HOLD
    return sides


def _columns_together(close: FloatArray, spans: _Spans, sides: SideArray) -> None:
    """Advance neighbouring columns as lanes, once all of them have opinions; before that one by one."""
    n_bars, n_symbols = close.shape
    column = machine_code(run_column)
    flat, out = _read_only(close), sides.reshape(-1)
    states = np.zeros((n_symbols, _STATE))
    first_valid = spans.numbers[-1]
    begin, end = 0, min(n_bars, 2 * first_valid + 1)
    while begin < n_bars:
        for j in range(n_symbols):
            column(begin * n_symbols + j, end * n_symbols, n_symbols, *spans.numbers, flat, states[j], out)
        begin, end = end, min(n_bars, 2 * end)
        if (states[:, 0] > first_valid).all():
            break
    if begin >= n_bars:
        return
    # Blocks of neighbours; the last one goes back so far that it ends with the last column, and does some over.
    first = np.minimum(np.arange(0, n_symbols, LANES), n_symbols - LANES)
    base = (first[:, np.newaxis] + np.arange(LANES)).reshape(-1)
    _lanes(begin, n_bars, n_symbols, base, flat, _lane_state(states[base], spans), out, keep=True)


def _parts_together(close: FloatArray, spans: _Spans) -> SideArray:
    """Return the sides of one series without NaN: its parts as lanes where it is long enough for them."""
    n_bars, warmup = len(close), spans.warmup
    sides = np.empty(n_bars, dtype=np.int8)
    column, flat = machine_code(run_column), _read_only(close)
    state = np.zeros(_STATE)
    begin = warmup + spans.numbers[-1]
    part = (n_bars - begin) // LANES
    if part < max(warmup, _SHORTEST_PART):
        begin = n_bars
    column(0, begin, 1, *spans.numbers, flat, state, sides)
    if begin >= n_bars:
        return sides
    base = begin + part * np.arange(LANES, dtype=np.int64)
    early = np.zeros((LANES, _STATE))
    early[:, 1] = early[:, 2] = close[base - warmup]
    lanes = _lane_state(early, spans)
    _lanes(0, warmup, 1, base - warmup, flat, lanes, sides, keep=False)
    started = early[:, 1:4]
    started[:] = lanes[:48].reshape(3, LANES).T
    early[:, 4] = (early[:, 1] - early[:, 2]) - early[:, 3]
    early[:, 5] = _UNKNOWN
    lanes = _lane_state(early, spans)
    _lanes(0, part, 1, base, flat, lanes, sides, keep=True)
    ended = lanes[:48].reshape(3, LANES).T
    for k in range(LANES):
        at, end = int(base[k]), int(base[k]) + part
        if started[k].tobytes() == state[1:4].tobytes():
            own = sides[at:end]
            turn = int(np.argmax(own != int(_UNKNOWN))) if own[-1] != int(_UNKNOWN) else part
            own[:turn] = int(state[5])
            state[1:4] = ended[k]
            state[4] = (state[1] - state[2]) - state[3]
            state[5] = own[-1]
        else:
            column(at, end, 1, *spans.numbers, flat, state, sides)
    column(int(base[-1]) + part, n_bars, 1, *spans.numbers, flat, state, sides)
    return sides


def _lane_state(states: FloatArray, spans: _Spans) -> FloatArray:
    """Return float64[blocks x 144], the layout of `run_lanes`, from float64[blocks x 16, 6]."""
    blocks = len(states) // LANES
    # Vectors of eight numbers are read at once: they must not lie across the lines of the cache.
    room = np.empty(blocks * 9 * LANES + 8)
    flat = room[(-room.ctypes.data % 64) // 8 :][: blocks * 9 * LANES]
    lanes = flat.reshape(blocks, 9, LANES)
    of_block = states.reshape(blocks, LANES, _STATE)
    for cell, column in enumerate((1, 2, 3)):
        lanes[:, cell] = of_block[:, :, column]
    before = of_block[:, :, 4]
    lanes[:, 3] = np.where(before > 0.0, np.inf, 0.0)
    lanes[:, 4] = np.where(before < 0.0, -np.inf, 0.0)
    lanes[:, 5] = of_block[:, :, 5]
    for cell, weight in enumerate(spans.numbers[:3]):
        lanes[:, 6 + cell] = weight
    return flat


def _lanes(
    first: int, last: int, stride: int, base: IntArray, close: FloatArray, state: FloatArray,
    sides: SideArray, keep: bool,
) -> None:  # fmt: skip
    room = np.empty((2, _TILE * LANES))
    blocks = len(base) // LANES
    machine_code(run_lanes)(first, last, stride, blocks, keep, base, close, state, room[0], room[1], sides)


def _read_only(values: npt.NDArray[np.float64]) -> FloatArray:
    """Return a flat view numba sees as one type, whether the caller's array is read-only or not."""
    flat = values.reshape(-1).view()
    flat.flags.writeable = False
    return flat
