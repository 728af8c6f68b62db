"""Simple returns over a number of bars."""

import numpy as np

from quant_trading.domain.bars import FloatArray

__all__ = ["ReturnStep", "simple_returns"]


def simple_returns(close: FloatArray, lookback: int) -> FloatArray:
    """Return close[t] / close[t - lookback] - 1, NaN for the first `lookback` rows.

    Args:
        close: float64[T] or float64[T, N], prices above 0.
        lookback: bars, at least 1.
    """
    change = np.full_like(close, np.nan)
    if len(close) > lookback:
        change[lookback:] = close[lookback:] / close[:-lookback] - 1.0
    return change


class ReturnStep:
    """The incremental twin of `simple_returns`: one close in, one return out."""

    def __init__(self, lookback: int) -> None:
        self._window: list[float] = []
        self._lookback = lookback

    def step(self, close: float) -> float:
        """Return close over the close `lookback` steps ago minus 1, NaN while there is none."""
        self._window.append(close)
        if len(self._window) <= self._lookback:
            return float("nan")
        return close / self._window.pop(0) - 1.0
