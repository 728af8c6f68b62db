"""Seeded draws as arrays, without numpy's generators: importing those takes longer than a small test needs."""

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray

__all__ = ["Dice"]


class Dice:
    """A stream of draws; the same seed gives the same stream."""

    __slots__ = ("_bits",)

    def __init__(self, seed: int) -> None:
        self._bits = Random(int(seed))

    def below(self, low: int, high: int) -> int:
        """Return one of low..high - 1."""
        return self._bits.randrange(low, high)

    def even(self, *shape: int) -> FloatArray:
        """Return float64 of `shape`, evenly from [0, 1)."""
        count = int(np.prod(shape))
        words = np.frombuffer(self._bits.randbytes(8 * count), dtype=np.uint64)
        evenly = (words >> np.uint64(11)) * 2.0**-53  # as many bits as a double holds
        return np.asarray(evenly, dtype=np.float64).reshape(shape)

    def normal(self, *shape: int) -> FloatArray:
        """Return float64 of `shape`, of mean 0 and deviation 1 (Box and Muller)."""
        size, angle = self.even(*shape), self.even(*shape)
        return np.asarray(np.sqrt(-2.0 * np.log(1.0 - size)) * np.cos(2.0 * np.pi * angle))

    def mixed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return `values` in a random order."""
        return values[np.argsort(self.even(len(values)), kind="stable")]

    def among(self, values: npt.NDArray[Any], *shape: int) -> npt.NDArray[Any]:
        """Return an array of `shape`, each cell one of `values`."""
        return values[(self.even(*shape) * len(values)).astype(np.int64)]
