"""A strategy kept from having an opinion where its bars are not to be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import BarPanel, FloatArray
from quant_trading.domain.limits import Limits
from quant_trading.strategy.base import Strategy

__all__ = ["Masked"]


@dataclass(frozen=True)
class Masked:
    """`strategy` without an opinion (NaN) in masked cells; what it wishes of the others is its own.

    Attributes:
        strategy: what is masked.
        panel: the bars the mask was made for; any part of them may be asked about.
        mask: bool[T, N], True = no opinion.
    """

    strategy: Strategy
    panel: BarPanel
    mask: npt.NDArray[np.bool_]

    @property
    def warmup(self) -> int:
        return self.strategy.warmup

    @property
    def exits(self) -> Any:
        """Return the strategy's own exits."""
        return getattr(self.strategy, "exits", ())

    def signal(self, bars: BarPanel) -> FloatArray:
        """Return the strategy's signal, NaN where it is masked."""
        columns = np.array([self.panel.symbols.index(symbol) for symbol in bars.symbols], dtype=np.int64)
        rows = np.searchsorted(self.panel.start_ns, bars.start_ns)
        return np.where(self.mask[np.ix_(rows, columns)], np.nan, self.strategy.signal(bars))

    def target(self, signal: FloatArray, limits: Limits) -> FloatArray:
        """Return the strategy's targets; a symbol without an opinion gets what the strategy gives one, else none."""
        target = self.strategy.target(signal, limits)
        return np.where(np.isnan(signal) & np.isnan(target), 0.0, target)
