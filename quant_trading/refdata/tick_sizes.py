"""Price increments of US stocks, and rounding to them.

Rule 612 of Regulation NMS: quotes at or above 1 USD move in cents, below it in hundredths of a cent.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Literal

__all__ = ["is_on_tick", "round_to_tick", "us_stock_tick"]

_ROUNDING = {"nearest": ROUND_HALF_EVEN, "up": ROUND_CEILING, "down": ROUND_FLOOR}
_ONE_DOLLAR = Decimal(1)
_CENT = Decimal("0.01")
_SUB_DOLLAR_TICK = Decimal("0.0001")


def us_stock_tick(price: Decimal) -> Decimal:
    """Return the price increment of a US stock quoted at `price` USD."""
    return _CENT if price >= _ONE_DOLLAR else _SUB_DOLLAR_TICK


def round_to_tick(price: Decimal, tick: Decimal, toward: Literal["nearest", "up", "down"] = "nearest") -> Decimal:
    """Return `price` moved to a multiple of `tick`; "nearest" sends halves to the even multiple.

    Raises:
        ValueError: `tick` is not positive or `toward` is none of the three words.
    """
    if tick <= 0:
        raise ValueError(f"tick = {tick} is not positive; write the increment, such as 0.01")
    if toward not in _ROUNDING:
        raise ValueError(f"toward = {toward!r} is unknown; write one of {', '.join(_ROUNDING)}")
    return (price / tick).quantize(_ONE_DOLLAR, rounding=_ROUNDING[toward]) * tick


def is_on_tick(price: Decimal, tick: Decimal) -> bool:
    """Return True when `price` is a multiple of `tick`."""
    return price % tick == 0
