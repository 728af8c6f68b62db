"""Moving average convergence divergence, on closes."""

from dataclasses import dataclass

from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.ema import EmaStep, ema

__all__ = ["MacdColumns", "MacdStep", "macd"]


@dataclass(frozen=True, slots=True)
class MacdColumns:
    """float64 of the shape of the closes: macd = EMA(fast) - EMA(slow), its EMA, and their difference."""

    macd: FloatArray
    signal: FloatArray
    histogram: FloatArray


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal_span: int = 9) -> MacdColumns:
    """Return the three lines, each EMA seeded with its first value, from the first bar on.

    Args:
        close: float64[T] or float64[T, N].
        fast, slow, signal_span: EMA spans in bars.
    """
    line = ema(close, fast) - ema(close, slow)
    average = ema(line, signal_span)
    return MacdColumns(line, average, line - average)


class MacdStep:
    """The incremental twin of `macd`: one close in, (macd, signal, histogram) out."""

    __slots__ = ("_fast", "_signal", "_slow")

    def __init__(self, fast: int = 12, slow: int = 26, signal_span: int = 9) -> None:
        self._fast, self._slow, self._signal = EmaStep(fast), EmaStep(slow), EmaStep(signal_span)

    def step(self, close: float) -> tuple[float, float, float]:
        """Return the three lines after `close`."""
        line = self._fast.step(close) - self._slow.step(close)
        average = self._signal.step(line)
        return line, average, line - average
