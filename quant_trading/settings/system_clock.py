"""The clock of the machine."""

import time
from datetime import UTC, datetime

__all__ = ["SystemClock"]


class SystemClock:
    """The clock of the machine: the one place of the product that reads it."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - here the clock is chosen, everyone else is given it

    def monotonic(self) -> float:
        return time.monotonic()
