"""SMA_CROSS: long while the fast moving average of the close stands above the slow one. An example to copy."""

from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import equal_weights, register


@register("SMA_CROSS")
@dataclass(frozen=True, slots=True)
class SmaCross:
    """Be long every symbol whose average close over `fast` bars is above that over `slow` bars.

    Attributes:
        fast, slow: bars of the two averages, fast < slow.
    """

    fast: int = 10
    slow: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.fast < self.slow:
            raise ValueError(f"fast = {self.fast} is not within [1, slow) with slow = {self.slow}; write 10 and 20")

    @property
    def warmup(self) -> int:
        return self.slow

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 where the fast average is above the slow one, else 0; NaN before it can know."""
        fast, slow = average(bars.close, self.fast), average(bars.close, self.slow)
        return np.where(np.isnan(slow), np.nan, (fast > slow).astype(np.float64))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


def average(close: FloatArray, window_bars: int) -> FloatArray:
    """Return float64[T, N]: the mean of the last `window_bars` closes, NaN while there are fewer.

    Each row adds its own window in order of time, so that it is the same number however much history stands before it.
    """
    means = np.full_like(close, np.nan)
    count = len(close) - window_bars + 1
    if count > 0:
        total = np.zeros_like(close[:count])
        for offset in range(window_bars):
            total += close[offset : offset + count]
        means[window_bars - 1 :] = total / window_bars
    return means
