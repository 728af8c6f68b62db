"""The limits every order is held against."""

from dataclasses import dataclass

__all__ = ["Denied", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of equity no plan may exceed.

    Attributes:
        max_position_pct: largest absolute value of one position over equity; 0.2 = 20 %.
        max_gross_exposure: largest sum of absolute position values over equity; 1.0 = 100 %.
    """

    max_position_pct: float = 0.2
    max_gross_exposure: float = 1.0


@dataclass(frozen=True, slots=True)
class Denied:
    """Why our own risk refused an order: a value, not an exception.

    Attributes:
        rule: name of the check, e.g. "max_position".
        reason: one sentence with the value and the limit.
    """

    rule: str
    reason: str
