"""Corporate actions: splits and dividends by ex-date."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

__all__ = ["ActionKind", "CorporateAction"]

ActionKind = Literal["split", "dividend"]


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """One event of one instrument, in force from the first bar of its ex-date on.

    Attributes:
        symbol: the instrument.
        ex_date: exchange date.
        kind: "split" or "dividend".
        value: split: new shares for one old, 4.0 = four for one, 0.1 = one for ten;
            dividend: money per share held at the close before.
    """

    symbol: str
    ex_date: date
    kind: ActionKind
    value: float

    def __post_init__(self) -> None:
        if self.kind not in ("split", "dividend"):
            raise ValueError(
                f'kind = {self.kind!r} of {self.symbol} on {self.ex_date} is neither "split" nor "dividend"'
            )
        if not (math.isfinite(self.value) and self.value > 0.0):
            raise ValueError(
                f"{self.kind} of {self.symbol} on {self.ex_date}: value = {self.value} is not above 0; write 4 for a "
                "split of four new shares for one old, or the dividend in money per share"
            )
