"""Exponential moving average; the first value seeds it unless said otherwise (pandas ewm(span, adjust=False))."""

from collections.abc import MutableSequence, Sequence

import numpy as np

from quant_trading.domain.bars import FloatArray
from quant_trading.indicators.compiled import is_worth_compiling, machine_code

__all__ = ["EMA_SEEDS", "EmaStep", "ema", "run_ema"]

EMA_SEEDS = ("first", "sma")


def ema(values: FloatArray, span: int, seed: str = "first", skip: int = 0, compiled: bool | None = None) -> FloatArray:
    """Return the running average y[t] = y[t-1] + 2 / (span + 1) * (x[t] - y[t-1]).

    A NaN leaves the average where it was and shows as NaN on its own row; so does every row before the seed.

    Args:
        values: float64[T] or float64[T, N].
        span: bars, at least 1.
        seed: first = the first number; sma = the mean of the first `span` numbers, on the row of the last of them.
        skip: numbers left out before the seed.
        compiled: None = by the amount of work.
    """
    if seed not in EMA_SEEDS:
        raise ValueError(f"seed = {seed!r} is not among {', '.join(EMA_SEEDS)}")
    n_bars = len(values)
    n_columns = values.size // n_bars if n_bars else 0
    need = 1 if seed == "first" else span
    flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    if is_worth_compiling(flat.size) if compiled is None else compiled:
        flat = flat.view()
        flat.flags.writeable = False  # one signature for numba, whether the caller's array is read-only or not
        out = np.empty(flat.size)
        machine_code(run_ema)(n_bars, n_columns, 2.0 / (span + 1), need, skip, flat, out)
        return out.reshape(values.shape)
    cells = [0.0] * flat.size
    run_ema(n_bars, n_columns, 2.0 / (span + 1), need, skip, flat.tolist(), cells)
    return np.array(cells, dtype=np.float64).reshape(values.shape)


def run_ema(
    n_bars: int, n_columns: int, alpha: float, need: int, skip: int, values: Sequence[float],
    out: MutableSequence[float],
) -> None:  # fmt: skip
    """Fill `out`, float64[T x N], row after row like `values`; see `ema`, whose seed is the mean of `need` numbers."""
    ready = skip + need
    for j in range(n_columns):
        average = 0.0
        count = 0
        rest = end = n_bars * n_columns
        for at in range(j, end, n_columns):
            if count == ready:
                rest = at
                break
            value = values[at]
            if value == value:
                count += 1
                if count > skip:
                    average += value
                if count == ready:
                    average /= need
                    value = average
                else:
                    value = float("nan")
            out[at] = value
        for at in range(rest, end, n_columns):
            value = values[at]
            if value == value:
                average += alpha * (value - average)
                out[at] = average
            else:
                out[at] = value


class EmaStep:
    """The incremental twin of `ema`, number for number."""

    __slots__ = ("_alpha", "_count", "_need", "_ready", "_skip", "_value")

    def __init__(self, span: int, seed: str = "first", skip: int = 0) -> None:
        if seed not in EMA_SEEDS:
            raise ValueError(f"seed = {seed!r} is not among {', '.join(EMA_SEEDS)}")
        self._alpha = 2.0 / (span + 1)
        self._need = 1 if seed == "first" else span
        self._skip = skip
        self._ready = skip + self._need
        self._count = 0
        self._value = 0.0

    def step(self, value: float) -> float:
        """Return the average after `value`; NaN before the seed, and for a NaN, which leaves the average as it was."""
        if value != value:
            return value
        if self._count == self._ready:
            self._value += self._alpha * (value - self._value)
            return self._value
        self._count += 1
        if self._count > self._skip:
            self._value += value
        if self._count < self._ready:
            return float("nan")
        self._value /= self._need
        return self._value
