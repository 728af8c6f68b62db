"""Exponential moving average, seeded with the first value (pandas ewm(span, adjust=False))."""

import numpy as np

from quant_trading.domain.bars import FloatArray

__all__ = ["EmaStep", "ema"]


def ema(values: FloatArray, span: int) -> FloatArray:
    """Return the running average y[t] = y[t-1] + 2 / (span + 1) * (x[t] - y[t-1]), y[0] = x[0].

    A NaN leaves the average where it was and shows as NaN on its own row; the first number seeds it.

    Args:
        values: float64[T] or float64[T, N].
        span: bars, at least 1.
    """
    columns = values.reshape(len(values), -1)
    out = np.empty_like(columns)
    for j in range(columns.shape[1]):
        step = EmaStep(span)
        out[:, j] = [step.step(x) for x in columns[:, j].tolist()]
    return out.reshape(values.shape)


class EmaStep:
    """The incremental twin of `ema`: the batch form calls it, so both are one."""

    __slots__ = ("_alpha", "_value")

    def __init__(self, span: int) -> None:
        self._alpha = 2.0 / (span + 1)
        self._value = float("nan")

    def step(self, value: float) -> float:
        """Return the average after `value`; NaN when `value` is NaN, which leaves the average as it was."""
        if value != value:
            return value
        if self._value != self._value:
            self._value = value
        else:
            self._value += self._alpha * (value - self._value)
        return self._value
