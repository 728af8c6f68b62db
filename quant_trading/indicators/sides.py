"""Opinions in one byte: long, short, flat or none, as the fast paths of the backtest carry them."""

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray

__all__ = ["FLAT", "HOLD", "LONG", "SHORT", "SideArray", "signal_of"]

SideArray = npt.NDArray[np.int8]

LONG, FLAT, SHORT = 1, 0, -1
HOLD = -128  # no opinion, NaN in a signal


def signal_of(sides: SideArray) -> FloatArray:
    """Return float64 of the same shape: 1, 0 or -1, NaN for HOLD."""
    signal = sides.astype(np.float64)
    signal[sides == HOLD] = np.nan
    return signal
