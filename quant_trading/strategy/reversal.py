"""Short-term reversal: buy what fell."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.ranks import lowest
from quant_trading.indicators.returns import simple_returns
from quant_trading.indicators.sides import HOLD, SideArray, signal_of
from quant_trading.strategy.base import equal_weights, register

__all__ = ["Reversal", "ReversalDecile", "ReversalRank"]


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
    equal_weighted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_at_least_one("lookback", self.lookback)
        if not -1.0 < self.threshold < 1.0:
            raise ValueError(f"threshold = {self.threshold} is not within (-1, 1); write -0.02 for a fall of 2 %")

    @property
    def warmup(self) -> int:
        return self.lookback + 1

    def sides(self, bars: BarPanel) -> SideArray:
        """Return `signal` as int8[T, N]: 1, 0, and HOLD where it cannot know."""
        change = simple_returns(bars.close, self.lookback)
        sides = (change <= self.threshold).view(np.int8)
        sides[np.isnan(change)] = HOLD
        return sides

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 where the symbol fell enough, else 0; NaN where the return is not known."""
        return signal_of(self.sides(bars))

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
    equal_weighted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_at_least_one("lookback", self.lookback)
        _check_at_least_one("count", self.count)

    @property
    def warmup(self) -> int:
        return self.lookback + 1

    def sides(self, bars: BarPanel) -> SideArray:
        """Return `signal` as int8[T, N]: 1, 0, and HOLD where it cannot know."""
        return lowest(bars.close, self.lookback, bars.symbols, 0.0, self.count)

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 for the `count` lowest returns of each row, else 0; NaN where the return is not known."""
        return signal_of(self.sides(bars))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


@register("REVERSAL_DECILE")
@dataclass(frozen=True, slots=True)
class ReversalDecile:
    """Be long the share `quantile` of the symbols with a return that fell most, ties in order of their names.

    Attributes:
        lookback: bars of the return, at least 1.
        quantile: 0.1 = the lowest tenth, rounded down, at least one name.
    """

    lookback: int = 5
    quantile: float = 0.1
    equal_weighted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_at_least_one("lookback", self.lookback)
        if not 0.0 < self.quantile <= 1.0:
            raise ValueError(f"quantile = {self.quantile} is not within (0, 1]; write 0.1 for the lowest tenth")

    @property
    def warmup(self) -> int:
        return self.lookback + 1

    def sides(self, bars: BarPanel) -> SideArray:
        """Return `signal` as int8[T, N]: 1, 0, and HOLD where it cannot know."""
        return lowest(bars.close, self.lookback, bars.symbols, self.quantile, 1)

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 for the lowest returns of each row, else 0; NaN where the return is not known."""
        return signal_of(self.sides(bars))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


def _check_at_least_one(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} = {value!r} is not a whole number of at least 1")
