"""MACD histogram crossings: long when it turns up, short when it turns down."""

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.indicators.crossings import crossing_sides
from quant_trading.indicators.macd import MACD_SEEDS, macd
from quant_trading.indicators.sides import SideArray, signal_of
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
        seed: how the averages begin: first (pandas), sma, or delayed (TA-Lib).
        sizing: a signal for each symbol alone: by itself it trades a size, not a share of the account.
    """

    fast: int = 12
    slow: int = 26
    signal_span: int = 9
    timeframe: int = 5
    seed: str = "first"
    sizing: ClassVar[str] = "shares"
    equal_weighted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("fast", "slow", "signal_span"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r} is not a whole number of at least 1")
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} is not below slow = {self.slow}")
        if self.timeframe not in _TIMEFRAMES:
            raise ValueError(f"timeframe = {self.timeframe} is not among 1, 3, 5, 10 minutes; set MACD_TIMEFRAME=5")
        if self.seed not in MACD_SEEDS:
            raise ValueError(f"seed = {self.seed!r} is not among {', '.join(MACD_SEEDS)}; pandas is first")

    @property
    def first_valid(self) -> int:
        """Return the 0-based bar of a symbol from which its crossings count."""
        return self.slow + self.signal_span - 1

    @property
    def warmup(self) -> int:
        """Return the bars after which the first close has lost its weight of 2**-53 in the slow EMA."""
        return self.first_valid + _bars_to_forget(self.slow)

    def sides(self, bars: BarPanel) -> SideArray:
        """Return `signal` as int8[T, N]: 1, -1, 0, and HOLD where it cannot know."""
        return crossing_sides(bars.close, self.fast, self.slow, self.signal_span, self.seed)

    def indicators(self, bars: BarPanel) -> dict[str, FloatArray]:
        """Return float64[T, N] by name, for charts and files: the MACD line, its signal line and the histogram."""
        lines = macd(bars.close, self.fast, self.slow, self.signal_span, seed=self.seed)
        return {"macd": lines.macd, "signal": lines.signal, "hist": lines.histogram}

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return 1 after a crossing up, -1 after a crossing down, 0 before the first; NaN before it can know.

        Each symbol counts its own bars: one that is missing is not there at all, whoever else is in the panel.
        """
        return signal_of(self.sides(bars))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        return equal_weights(signal, limits)


@cache
def _bars_to_forget(span: int) -> int:
    """Return the bars after which a number has lost its weight of 2**-53 in an average; sweeps ask ten thousands."""
    return math.ceil(53.0 * math.log(2.0) / -math.log1p(-2.0 / (span + 1)))
