"""Exits as data: what closes a position whatever the strategy says.

The kernel reads them bar by bar (docs/backtest-engine.md, step D and H); the desk turns them into bracket orders.
A strategy offers them as an attribute, `exits = (StopLoss(0.03), TimeExit(20))`.
"""

import math
from dataclasses import dataclass

__all__ = ["Exit", "StopLoss", "TakeProfit", "TimeExit", "TrailingStop"]


def _check_fraction(name: str, value: float, below_one: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0.0:
        raise ValueError(f"{name} = {value!r} is not a fraction above 0; write 0.03 for 3 %")
    if below_one and value >= 1.0:
        raise ValueError(f"{name} = {value!r} is not below 1; write 0.03 for 3 %")


@dataclass(frozen=True, slots=True)
class StopLoss:
    """Close when the price is `fraction` worse than the average entry price; 0.03 = 3 %, within (0, 1)."""

    fraction: float

    def __post_init__(self) -> None:
        _check_fraction("StopLoss.fraction", self.fraction, below_one=True)


@dataclass(frozen=True, slots=True)
class TakeProfit:
    """Close when the price is `fraction` better than the average entry price; 0.05 = 5 %, above 0."""

    fraction: float

    def __post_init__(self) -> None:
        _check_fraction("TakeProfit.fraction", self.fraction, below_one=False)


@dataclass(frozen=True, slots=True)
class TrailingStop:
    """Close when the price is `fraction` worse than the best price since the entry; within (0, 1)."""

    fraction: float

    def __post_init__(self) -> None:
        _check_fraction("TrailingStop.fraction", self.fraction, below_one=True)


@dataclass(frozen=True, slots=True)
class TimeExit:
    """Close after the position was held for `bars` bars, at least 1."""

    bars: int

    def __post_init__(self) -> None:
        if isinstance(self.bars, bool) or not isinstance(self.bars, int) or self.bars < 1:
            raise ValueError(f"TimeExit.bars = {self.bars!r} is not a whole number of at least 1")


Exit = StopLoss | TakeProfit | TrailingStop | TimeExit
