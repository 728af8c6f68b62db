"""The rule of W1, W2 and W4 for the engines that take signals: crossings of the MACD histogram, by pandas."""

from typing import Any

import numpy as np

from benchmarks.peers.measure import FAST, FIRST_VALID, SIGNAL, SLOW

__all__ = ["crossings", "histogram", "marks"]


def histogram(close: Any, fast: int = FAST, slow: int = SLOW, signal: int = SIGNAL) -> Any:
    """Return the histogram of a Series or, column by column, of a DataFrame; averages begin at the first close."""
    line = close.ewm(span=fast, adjust=False).mean() - close.ewm(span=slow, adjust=False).mean()
    return line - line.ewm(span=signal, adjust=False).mean()


def marks(values: Any, first_valid: int = FIRST_VALID) -> tuple[Any, Any]:
    """Return bool arrays of the shape of `values`: crossed up on this bar, crossed down, False before `first_valid`."""
    values = np.asarray(values)
    up = np.zeros(values.shape, dtype=bool)
    down = np.zeros(values.shape, dtype=bool)
    before, now = values[first_valid - 1 : -1], values[first_valid:]
    np.logical_and(before <= 0.0, now > 0.0, out=up[first_valid:])
    np.logical_and(before >= 0.0, now < 0.0, out=down[first_valid:])
    return up, down


def crossings(close: Any, fast: int = FAST, slow: int = SLOW, signal: int = SIGNAL) -> tuple[Any, Any]:
    """Return `marks` of the histogram of `close`."""
    return marks(histogram(close, fast, slow, signal), slow + signal - 1)
