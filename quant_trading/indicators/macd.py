"""Moving average convergence divergence, on closes."""

from dataclasses import dataclass

from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.ema import EmaStep, ema

__all__ = ["MACD_SEEDS", "MacdColumns", "MacdStep", "ema_seeds", "macd"]

MACD_SEEDS = ("first", "sma", "delayed")


@dataclass(frozen=True, slots=True)
class MacdColumns:
    """float64 of the shape of the closes: macd = EMA(fast) - EMA(slow), its EMA, and their difference."""

    macd: FloatArray
    signal: FloatArray
    histogram: FloatArray


def ema_seeds(fast: int, slow: int, seed: str) -> tuple[str, int]:
    """Return how each of the three averages is seeded, and how many closes the fast one leaves out before.

    Args:
        fast, slow: spans in bars.
        seed: first = each by its first value, from the first bar on (pandas ewm(adjust=False)); sma = each by the
            mean of its own first `span` values; delayed = so, but the fast average starts late, so that both averages
            of the close begin on the same bar (TA-Lib).

    Raises:
        ValueError: for another seed.
    """
    if seed not in MACD_SEEDS:
        raise ValueError(f"seed = {seed!r} is not among {', '.join(MACD_SEEDS)}")
    return ("first" if seed == "first" else "sma"), max(slow - fast, 0) if seed == "delayed" else 0


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal_span: int = 9, seed: str = "first") -> MacdColumns:
    """Return the three lines, NaN before their averages are seeded.

    Args:
        close: float64[T] or float64[T, N].
        fast, slow, signal_span: EMA spans in bars.
        seed: first, sma or delayed; see `ema_seeds`.
    """
    each, skip = ema_seeds(fast, slow, seed)
    line = ema(close, fast, each, skip) - ema(close, slow, each)
    average = ema(line, signal_span, each)
    return MacdColumns(line, average, line - average)


class MacdStep:
    """The incremental twin of `macd`: one close in, (macd, signal, histogram) out."""

    __slots__ = ("_fast", "_signal", "_slow")

    def __init__(self, fast: int = 12, slow: int = 26, signal_span: int = 9, seed: str = "first") -> None:
        each, skip = ema_seeds(fast, slow, seed)
        self._fast, self._slow = EmaStep(fast, each, skip), EmaStep(slow, each)
        self._signal = EmaStep(signal_span, each)

    def step(self, close: float) -> tuple[float, float, float]:
        """Return the three lines after `close`."""
        line = self._fast.step(close) - self._slow.step(close)
        average = self._signal.step(line)
        return line, average, line - average
