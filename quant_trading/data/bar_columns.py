"""The columns of a bar file as they were read, before anything is checked."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quant_trading.domain.bars import FloatArray, IntArray

__all__ = ["MISSING", "RawBars", "Stamps", "has_zone", "mixed_zones", "zone_seconds"]

MISSING = int(np.iinfo(np.int64).min)
_ZONE = r"(?:Z|([+-])([0-9]{2}):?([0-9]{2}))$"
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Stamps:
    """When the bars start.

    Attributes:
        kind: "date" = days since 1970-01-01; "moment" = UTC nanoseconds; "local" = nanoseconds of a clock
            whose zone is not named.
        values: int64[T]; MISSING where the cell is empty.
        offsets: int64[T], seconds east of UTC as written; None when all are in UTC or none is named.
    """

    kind: Literal["date", "moment", "local"]
    values: IntArray
    offsets: IntArray | None = None

    def of(self, rows: IntArray | slice) -> "Stamps":
        """Return those of `rows`."""
        return Stamps(self.kind, self.values[rows], None if self.offsets is None else self.offsets[rows])


@dataclass(frozen=True, slots=True)
class RawBars:
    """Stamps and, in the order they were asked for, float64[T] columns; NaN where a cell is empty."""

    stamps: Stamps
    numbers: tuple[FloatArray, ...]

    def of(self, rows: IntArray | slice) -> "RawBars":
        """Return those of `rows`."""
        return RawBars(self.stamps.of(rows), tuple(column[rows] for column in self.numbers))


def has_zone(text: str) -> bool:
    """Return whether a stamp names its zone."""
    return re.search(_ZONE, text) is not None


def zone_seconds(text: str) -> int:
    """Return the seconds east of UTC that the end of a stamp names, 0 for Z."""
    found = re.search(_ZONE, text)
    if found is None or found[1] is None:
        return 0
    return (1 if found[1] == "+" else -1) * (int(found[2]) * _HOUR + int(found[3]) * 60)


def mixed_zones(offsets: IntArray) -> int | None:
    """Return the first row whose zone cannot be that of the first row, None when there is none.

    Summer time moves a zone by one hour; offsets further apart come from different sources.
    """
    apart = np.abs(offsets - offsets[0]) > _HOUR
    return int(np.argmax(apart)) if apart.any() else None
