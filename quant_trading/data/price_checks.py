"""Bars looked at one by one and beside the bar before: impossible values, stale rows, jumps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import BarPanel, FloatArray, IntArray

__all__ = ["JUMP", "PriceMarks", "mark_prices", "runs", "split_ratio"]

JUMP = 0.30
_CELLS = 1 << 15  # a block of rows whose work arrays stay within the cache
_WHOLE = tuple(float(n) for n in (2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100))
# New shares for one old; the other way round only whole numbers of shares are put together.
_SPLITS = (*_WHOLE, 3 / 2, 5 / 2, 4 / 3, *(1.0 / n for n in _WHOLE))
# A day with a split is a day like others: the price moves a little beside it.
_NEAR = 0.04


@dataclass(frozen=True, slots=True)
class PriceMarks:
    """Where something stands out: int64[K, 2] rows and columns of the panel, by row.

    Attributes:
        bad: a price or volume is missing beside a close, not above 0, or infinite.
        ohlc: the high is not the highest or the low not the lowest.
        zero: volume 0.
        same: open, high, low and close are those of the symbol's bar before.
        jumps: the close moved by more than a quarter; `before` is the row of the bar before, `ratio` the move.
    """

    bad: IntArray
    ohlc: IntArray
    zero: IntArray
    same: IntArray
    jumps: IntArray
    before: IntArray
    ratio: FloatArray


def split_ratio(ratio: float) -> float | None:
    """Return the split (new shares for one old) that a move of the price by `ratio` looks like, None if like none."""
    return next((split for split in _SPLITS if abs(ratio * split - 1.0) <= _NEAR), None)


def mark_prices(panel: BarPanel) -> PriceMarks:
    """Return what stands out in the bars of each symbol; bars that are not there are passed over."""
    count, width = panel.close.shape
    found: dict[str, list[Any]] = {name: [] for name in ("bad", "ohlc", "zero", "same", "jumps")}
    ratios: list[FloatArray] = []
    held = _with_holes(panel.close)
    step = max(1, _CELLS // max(width, 1))
    with np.errstate(all="ignore"):
        for begin in range(0, count, step):
            _block(panel, max(begin - 1, 0), begin, min(begin + step, count), found, ratios)
    marks = {name: np.concatenate([np.empty((0, 2), np.int64), *parts]) for name, parts in found.items()}
    before = marks["jumps"][:, 0] - 1
    ratio = np.concatenate([np.empty(0), *ratios])
    for j in held:
        marks, before, ratio = _bridged(panel, j, marks, before, ratio)
    return PriceMarks(**marks, before=before, ratio=ratio)


def _with_holes(close: FloatArray) -> list[int]:
    """Return the columns that lack a bar between their first and their last."""
    if len(close) == 0:
        return []
    there = close == close
    counts = np.count_nonzero(there, axis=0)
    first, last = np.argmax(there, axis=0), len(close) - 1 - np.argmax(there[::-1], axis=0)
    return [int(j) for j in np.flatnonzero((counts > 0) & (last - first + 1 != counts))]


def _block(
    panel: BarPanel, top: int, begin: int, end: int, found: dict[str, list[Any]], ratios: list[FloatArray]
) -> None:
    """Mark the rows begin..end-1; `top` is the row before them, or the first of all."""
    rows = slice(begin, end)
    opens, high, low, close, volume = (
        array[rows] for array in (panel.open, panel.high, panel.low, panel.close, panel.volume)
    )
    _note(found["zero"], volume == 0.0, begin)
    _note(found["ohlc"], (np.maximum(opens, close) > high) | (np.minimum(opens, close) < low), begin)
    total = opens + high + low + close + volume
    # A sum is finite only when every part is; a bar that is not there has no close at all.
    odd = (~np.isfinite(total) & ((close == close) | (opens == opens))) | (low <= 0.0) | (volume < 0.0)
    _note(found["bad"], odd | (np.minimum(opens, close) <= 0.0), begin)
    older, newer = panel.close[top : end - 1], panel.close[top + 1 : end]
    if not len(newer):
        return
    ratio = newer / older
    same = newer == older
    if same.any():
        for array in (panel.open, panel.high, panel.low):
            same &= array[top + 1 : end] == array[top : end - 1]
        _note(found["same"], same, top + 1)
    moved = (ratio < 0.75) | (ratio > 1.25)
    if _note(found["jumps"], moved, top + 1):
        ratios.append(ratio[moved])


def _note(into: list[Any], mask: npt.NDArray[np.bool_], begin: int) -> bool:
    if not mask.any():
        return False
    places = np.argwhere(mask)
    places[:, 0] += begin
    into.append(places)
    return True


def _bridged(
    panel: BarPanel, j: int, marks: dict[str, IntArray], before: IntArray, ratio: FloatArray
) -> tuple[dict[str, IntArray], IntArray, FloatArray]:
    """Return the marks with those of a column that has holes compared over them."""
    rows = np.flatnonzero(~np.isnan(panel.close[:, j]))
    ohlc = np.column_stack([array[rows, j] for array in (panel.open, panel.high, panel.low, panel.close)])
    same = rows[1:][(ohlc[1:] == ohlc[:-1]).all(axis=1)]
    moves = ohlc[1:, 3] / ohlc[:-1, 3]
    moved = (moves < 0.75) | (moves > 1.25)
    keep = marks["jumps"][:, 1] != j
    marks = dict(marks)
    marks["same"] = np.concatenate([marks["same"][marks["same"][:, 1] != j], _places(same, j)])
    marks["jumps"] = np.concatenate([marks["jumps"][keep], _places(rows[1:][moved], j)])
    return marks, np.concatenate([before[keep], rows[:-1][moved]]), np.concatenate([ratio[keep], moves[moved]])


def _places(rows: IntArray, j: int) -> IntArray:
    return np.column_stack([rows, np.full(len(rows), j, dtype=np.int64)])


def runs(rows: IntArray, at_least: int = 1) -> list[tuple[int, int]]:
    """Return (first, last) of each run of `at_least` neighbours or more among rising whole numbers."""
    if len(rows) == 0:
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts = rows[np.concatenate([[0], breaks + 1])]
    lasts = rows[np.concatenate([breaks, [len(rows) - 1]])]
    long = lasts - firsts + 1 >= at_least
    return list(zip(firsts[long].tolist(), lasts[long].tolist(), strict=True))
