"""The side of the last crossing of the MACD histogram, at the speed of the memory.

`run_column` is the rule: strict averages, every operation rounded by itself. A strict average waits a dozen
processor cycles for the one before it. Written as rest x average + weight x price it waits four, where a
multiplication and an addition are one instruction, but its last bits differ. A side depends on the sign of the
histogram only, so the short form decides as long as the histogram stays further from 0 than both forms together can
be wrong (`doubt_of`); a series that comes nearer is walked by the rule. So both ways give the same sides.
"""

import sys
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.compiled import is_worth_compiling, machine_code
from quant_trading.indicators.macd import ema_seeds
from quant_trading.indicators.sides import HOLD, SideArray

__all__ = ["crossing_sides", "doubt_of", "run_column", "run_rows", "run_series"]

_STATE = 6  # count, fast, slow, signal, histogram before, side
_FROM_COLUMNS = 8  # what fills a vector; fewer columns are walked one by one


@dataclass(frozen=True)
class _Spans:
    fast: int
    slow: int
    signal: int
    seed: str

    @cached_property
    def weights(self) -> tuple[float, float, float]:
        return 2.0 / (self.fast + 1), 2.0 / (self.slow + 1), 2.0 / (self.signal + 1)

    @cached_property
    def numbers(self) -> tuple[float, float, float, int, int, int, int, int]:
        """Return the three weights, the numbers each average is seeded by, what the fast one skips, first_valid."""
        each, skip = ema_seeds(self.fast, self.slow, self.seed)
        need = (1, 1, 1) if each == "first" else (self.fast, self.slow, self.signal)
        return (*self.weights, *need, skip, self.slow + self.signal - 1)

    @cached_property
    def doubt(self) -> float:
        return float(doubt_of(*self.weights))


def doubt_of(fast: Any, slow: Any, signal: Any) -> Any:
    """Return how near to 0 a histogram may be wrong, as a part of the largest price so far, from the three weights w.

    One step of either form of an average rounds by at most 5 u M (u = half of the last bit, M the largest price)
    and keeps 1 - w of the error before, so it errs by less than 5 u M / w, and two forms differ by less than
    10 u M / w; 20 covers the steps of second order. The line adds both averages and a subtraction; its own
    average errs by the line's error and, the line being within 2 M, by 40 u M / w; the histogram adds up line and
    average: u M (40 / w_fast + 40 / w_slow + 40 / w_signal + 12). Twice that is returned.
    """
    return sys.float_info.epsilon * (40.0 / fast + 40.0 / slow + 40.0 / signal + 12.0)


@cache
def _spans(fast: int, slow: int, signal: int, seed: str) -> _Spans:
    return _Spans(fast, slow, signal, seed)


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
    spans = _spans(fast, slow, signal_span, seed)
    is_fast = is_worth_compiling(close.size) if compiled is None else compiled
    prices = np.ascontiguousarray(close, dtype=np.float64)
    if is_fast and n_symbols == 1:
        return _series(prices.reshape(-1), spans).reshape(n_bars, 1)
    sides = np.empty((n_bars, n_symbols), dtype=np.int8)
    if is_fast:
        if n_symbols >= _FROM_COLUMNS:
            _panel(prices, spans, sides)
        else:
            for j in range(n_symbols):
                sides[:, j] = _series(np.ascontiguousarray(prices[:, j]), spans)
        return sides
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
    rest = end
    for at in range(begin, end, stride):
        if count > first_valid:
            rest = at
            break
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
    # The same step without the questions that are settled by now: as it stands, this loop takes half the time.
    for at in range(rest, end, stride):
        price = close[at]
        if price == price:
            fast += alpha_fast * (price - fast)
            slow += alpha_slow * (price - slow)
            line = fast - slow
            average += alpha_signal * (line - average)
            now = line - average
            if now > 0.0:
                if before <= 0.0:
                    side = 1
            elif now < 0.0 <= before:
                side = -1
            before = now
        sides[at] = side
    state[0], state[1], state[2], state[3], state[4], state[5] = count, fast, slow, average, before, float(side)


def run_series(
    begin: int, doubt: float, alpha_fast: float, alpha_slow: float, alpha_signal: float, close: Sequence[float],
    bits: Sequence[int], state: Sequence[float], room: MutableSequence[float], largest: MutableSequence[int],
    price: Sequence[float], sides: MutableSequence[int],
) -> bool:  # fmt: skip
    """Fill `sides` from `begin` on by the short form; return False when a histogram came too near to 0.

    Args:
        bits: int64[T], `close` as the bits of its numbers: without their sign they are in the order of the numbers,
            with NaN above all (nothing is far enough from 0 then), and the largest of whole numbers is found in
            vectors.
        state: as `run_column` left it, with a side.
        room: float64 of any length above 0, the histograms of a block.
        largest, price: one place in memory, of which `largest` is the bits: the largest price so far.
    """
    fast, slow, average = state[1], state[2], state[3]
    rest_fast, rest_slow, rest_signal = 1.0 - alpha_fast, 1.0 - alpha_slow, 1.0 - alpha_signal
    block = len(room)
    top = 0
    for t in range(begin):
        size = bits[t] & 0x7FFFFFFFFFFFFFFF
        top = size if size > top else top
    for first in range(begin, len(close), block):
        count = min(block, len(close) - first)
        of_block, out, raw = close[first : first + count], sides[first : first + count], bits[first : first + count]
        for t in range(count):
            size = raw[t] & 0x7FFFFFFFFFFFFFFF
            top = size if size > top else top
        largest[0] = top
        for t in range(count):
            now = of_block[t]
            fast = rest_fast * fast + alpha_fast * now
            slow = rest_slow * slow + alpha_slow * now
            line = fast - slow
            average = rest_signal * average + alpha_signal * line
            room[t] = line - average
        nearest = doubt * price[0]
        near = 0
        for t in range(count):
            now = room[t]
            out[t] = 1 if now > 0.0 else -1
            near |= 0 if abs(now) > nearest else 1
        if near != 0:
            return False
    return True


def run_rows(
    begin: int, n_symbols: int, alpha_fast: float, alpha_slow: float, alpha_signal: float, close: Sequence[float],
    fast: MutableSequence[float], slow: MutableSequence[float], average: MutableSequence[float],
    histogram: MutableSequence[float], nearest: MutableSequence[float], largest: MutableSequence[float],
    sides: MutableSequence[int],
) -> None:  # fmt: skip
    """Fill rows of `sides` from `begin` on by the short form, all symbols of a row together.

    Args:
        fast, slow, average, histogram: float64[N], the state of each symbol.
        nearest, largest: float64[N], the least distance of its histogram from 0, its largest price.
    """
    rest_fast, rest_slow, rest_signal = 1.0 - alpha_fast, 1.0 - alpha_slow, 1.0 - alpha_signal
    for t in range(begin, len(close) // n_symbols):
        row, out = close[t * n_symbols : (t + 1) * n_symbols], sides[t * n_symbols : (t + 1) * n_symbols]
        for j in range(n_symbols):
            price = row[j]
            known = price == price
            new_fast = rest_fast * fast[j] + alpha_fast * price
            new_slow = rest_slow * slow[j] + alpha_slow * price
            line = new_fast - new_slow
            new_average = rest_signal * average[j] + alpha_signal * line
            now = line - new_average
            fast[j] = new_fast if known else fast[j]
            slow[j] = new_slow if known else slow[j]
            average[j] = new_average if known else average[j]
            histogram[j] = now if known else histogram[j]
            nearest[j] = abs(now) if abs(now) < nearest[j] else nearest[j]
            largest[j] = abs(price) if abs(price) > largest[j] else largest[j]
        for j in range(n_symbols):
            out[j] = 1 if histogram[j] > 0.0 else -1


def _series(close: FloatArray, spans: _Spans) -> SideArray:
    """Return the sides of one series; float64[T], contiguous."""
    column, flat, n_bars = machine_code(run_column), _read_only(close), len(close)
    sides = np.empty(n_bars, dtype=np.int8)
    state = np.zeros(_STATE)
    begin, end = 0, min(n_bars, 2 * spans.numbers[-1] + 64)
    while begin < n_bars and state[5] == 0.0:
        column(begin, end, 1, *spans.numbers, flat, state, sides)
        begin, end = end, min(n_bars, 2 * end)
    if begin >= n_bars:
        return sides
    price = np.zeros(1)
    is_sure = machine_code(run_series, short=True)(
        begin, spans.doubt, *spans.weights, flat, flat.view(np.int64), state, np.empty(2_048), price.view(np.int64),
        price, sides,
    )  # fmt: skip
    if is_sure:
        return sides
    known = ~np.isnan(close)
    if not known.all():
        at = np.cumsum(known) - 1  # of the last own bar, -1 before the first
        own = _series(close[known], spans)
        return np.where(at >= 0, own[np.maximum(at, 0)], np.int8(HOLD)) if len(own) else np.full(n_bars, np.int8(HOLD))
    column(0, n_bars, 1, *spans.numbers, flat, np.zeros(_STATE), sides)
    return sides


def _panel(close: FloatArray, spans: _Spans, sides: SideArray) -> None:
    """Fill the sides of a panel: by the rule until most symbols have a side, then all together."""
    n_bars, n_symbols = close.shape
    column = machine_code(run_column)
    flat, out = _read_only(close), sides.reshape(-1)
    states = np.zeros((n_symbols, _STATE))
    begin, end = 0, min(n_bars, 2 * spans.numbers[-1] + 64)
    while begin < n_bars and np.count_nonzero(states[:, 5]) < 0.9 * n_symbols:
        for j in range(n_symbols):
            column(begin * n_symbols + j, end * n_symbols, n_symbols, *spans.numbers, flat, states[j], out)
        begin, end = end, min(n_bars, 2 * end)
    if begin >= n_bars:
        return
    late = np.nonzero(states[:, 5] == 0.0)[0]
    now = np.ascontiguousarray(states.T)
    # A histogram of 0 where the rows begin would be no side on a row without a bar.
    nearest, largest = np.abs(now[4]), np.nanmax(np.abs(close[:begin]), axis=0, initial=0.0)
    machine_code(run_rows, short=True)(
        begin, n_symbols, *spans.weights, flat, now[1], now[2], now[3], now[4], nearest, largest, out
    )
    unsure = np.nonzero(~(nearest > spans.doubt * largest))[0]
    for j in np.union1d(late, unsure).tolist():
        column(j, n_bars * n_symbols, n_symbols, *spans.numbers, flat, np.zeros(_STATE), out)


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a flat view numba sees as one type, whether the caller's array is read-only or not."""
    flat = values.reshape(-1).view()
    flat.flags.writeable = False
    return flat
