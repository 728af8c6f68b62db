"""MACD histogram crossings: long when it turns up, short when it turns down."""

import math
from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.macd import macd
from quant_trading.strategy.base import equal_weights, register

__all__ = ["Macd"]

_TIMEFRAMES = (1, 3, 5, 10)


@register("MACD")
@dataclass(frozen=True, slots=True)
class Macd:
    """Be long after the histogram crossed up, short after it crossed down, until the next crossing.

    Attributes:
        fast, slow, signal_span: EMA spans in bars, fast < slow.
        timeframe: minutes of the bars it wants to trade on, one of 1, 3, 5, 10.
    """

    fast: int = 12
    slow: int = 26
    signal_span: int = 9
    timeframe: int = 5

    def __post_init__(self) -> None:
        for name in ("fast", "slow", "signal_span"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r} is not a whole number of at least 1")
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} is not below slow = {self.slow}")
        if self.timeframe not in _TIMEFRAMES:
            raise ValueError(f"timeframe = {self.timeframe} is not among 1, 3, 5, 10 minutes; set MACD_TIMEFRAME=5")

    @property
    def first_valid(self) -> int:
        """Return the 0-based bar from which crossings count."""
        return self.slow + self.signal_span - 1

    @property
    def warmup(self) -> int:
        """Return the bars after which the first close has lost its weight of 2**-53 in the slow EMA."""
        forget = -math.log1p(-2.0 / (self.slow + 1))
        return self.first_valid + math.ceil(53.0 * math.log(2.0) / forget)

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 after a crossing up, -1 after a crossing down, 0 before the first; NaN before it can know."""
        histogram = macd(bars.close, self.fast, self.slow, self.signal_span).histogram
        state = np.zeros_like(histogram)
        if len(histogram) > 1:
            before, now = histogram[:-1], histogram[1:]
            state[1:] = np.where((before <= 0.0) & (now > 0.0), 1.0, np.where((before >= 0.0) & (now < 0.0), -1.0, 0.0))
        state[: self.first_valid] = 0.0
        held = _hold_last(state)
        held[: self.first_valid] = np.nan
        return held

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


def _hold_last(state: FloatArray) -> FloatArray:
    """Return `state` with each 0 replaced by the last value above it in its column that is not 0."""
    rows = np.arange(len(state))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(state != 0.0, rows, 0), axis=0)
    return np.take_along_axis(state, last, axis=0)
