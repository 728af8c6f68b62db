"""Short-term reversal: buy what fell."""

from dataclasses import dataclass

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.returns import simple_returns
from quant_trading.strategy.base import equal_weights, register

__all__ = ["Reversal", "ReversalRank"]


@register("REVERSAL")
@dataclass(frozen=True, slots=True)
class Reversal:
    """Be long every symbol whose return over `lookback` bars is at or below `threshold`.

    Attributes:
        lookback: bars of the return, at least 1.
        threshold: a fraction, -0.02 = fell by 2 % or more.
    """

    lookback: int = 5
    threshold: float = -0.02

    def __post_init__(self) -> None:
        _check_at_least_one("lookback", self.lookback)
        if not -1.0 < self.threshold < 1.0:
            raise ValueError(f"threshold = {self.threshold} is not within (-1, 1); write -0.02 for a fall of 2 %")

    @property
    def warmup(self) -> int:
        return self.lookback + 1

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 where the symbol fell enough, else 0; NaN where the return is not known."""
        change = simple_returns(bars.close, self.lookback)
        return np.where(np.isnan(change), np.nan, (change <= self.threshold).astype(np.float64))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


@register("REVERSAL_RANK")
@dataclass(frozen=True, slots=True)
class ReversalRank:
    """Be long the `count` symbols that fell most over `lookback` bars, ties in order of their names.

    Attributes:
        lookback: bars of the return, at least 1.
        count: how many names to hold, at least 1.
    """

    lookback: int = 1
    count: int = 10

    def __post_init__(self) -> None:
        _check_at_least_one("lookback", self.lookback)
        _check_at_least_one("count", self.count)

    @property
    def warmup(self) -> int:
        return self.lookback + 1

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 for the `count` lowest returns of each row, else 0; NaN where the return is not known."""
        by_name = sorted(range(len(bars.symbols)), key=bars.symbols.__getitem__)
        change = simple_returns(bars.close, self.lookback)[:, by_name]
        order = np.argsort(change, axis=1, kind="stable")  # NaN sorts last
        chosen = np.zeros_like(change)
        np.put_along_axis(chosen, order[:, : self.count], 1.0, axis=1)
        signal = np.empty_like(chosen)
        signal[:, by_name] = np.where(np.isnan(change), np.nan, chosen)
        return signal

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


def _check_at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} = {value!r} is not a whole number of at least 1")
