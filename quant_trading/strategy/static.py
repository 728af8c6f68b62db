"""Fixed weights from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import register

__all__ = ["Static"]


@register("STATIC")
@dataclass(frozen=True, slots=True)
class Static:
    """Hold each symbol at its configured share of equity.

    Attributes:
        weights: share of equity by symbol, -1..1; a symbol that is not named is held at 0.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for symbol, weight in self.weights.items():
            if not -1.0 <= weight <= 1.0:
                raise ValueError(f"weights.{symbol} = {weight} is not within [-1, 1]; write 0.2 for 20 %")

    @property
    def warmup(self) -> int:
        return 1

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return the wished weight itself, NaN where the symbol has no close."""
        wished = np.array([self.weights.get(symbol, 0.0) for symbol in bars.symbols], dtype=np.float64)
        return np.where(np.isnan(bars.close), np.nan, wished[np.newaxis, :])

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        """Return the weights as they were asked for; `limits` are held by the risk checks, not here."""
        return np.nan_to_num(signal, nan=0.0)
