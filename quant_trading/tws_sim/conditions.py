"""Conditions of an order: what must be true before it works, or for it to be cancelled.

Served are conditions on the price of a contract and on the time. Each is joined to the next by "a" (and) or
"o" (or); "and" binds tighter (assumed). All parts of an alternative must hold at the same moment (assumed).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.times import parse_time

__all__ = ["Condition", "are_met", "read_conditions"]

_PRICE, _TIME = 1, 3
_NAMES = {4: "margin", 5: "execution", 6: "volume", 7: "percent change"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        is_price: about the price of `con_id`, else about the time.
        joins_or: the next one is an alternative to it.
        is_more: at `price` or above, at `at_ns` or later; else at or below, at or before.
    """

    is_price: bool
    joins_or: bool
    is_more: bool
    price: Decimal = Decimal(0)
    con_id: int = 0
    at_ns: int = 0


def read_conditions(rows: list[dict[str, Any]]) -> tuple[Condition, ...]:
    """Return the conditions of a `placeOrder`.

    Raises:
        RequestRefused: 321 when one cannot be read or is of a kind that is not served.
    """
    return tuple(_read(row) for row in rows)


def _read(row: dict[str, Any]) -> Condition:
    kind, value = row.get("condType"), str(row.get("value") or "")
    joins_or, is_more = row.get("conjunction") == "o", bool(row.get("isMore"))
    if kind == _PRICE:
        try:
            price = Decimal(value)
        except InvalidOperation:
            price = Decimal("NaN")
        con_id = row.get("conId") or 0
        if not price.is_finite() or not con_id:
            raise _invalid(f"a price condition needs a price and a conId, received {value!r} and {con_id}")
        return Condition(True, joins_or, is_more, price=price, con_id=con_id)
    if kind == _TIME:
        try:
            return Condition(False, joins_or, is_more, at_ns=parse_time(value))
        except ValueError as error:
            raise _invalid(str(error)) from None
    raise _invalid(f"{_NAMES.get(kind or 0, kind)} conditions are not served by this simulator")


def _invalid(cause: str) -> RequestRefused:
    return RequestRefused(321, tag="placeOrder", cause=f"Invalid condition: {cause}")


def are_met(conditions: tuple[Condition, ...], false: list[Condition]) -> bool:
    """Say whether one of the alternatives holds in all its parts, `false` being the conditions that do not hold."""
    return any(all(part not in false for part in parts) for parts in _alternatives(conditions))


def _alternatives(conditions: tuple[Condition, ...]) -> Iterator[list[Condition]]:
    parts: list[Condition] = []
    for condition in conditions:
        parts.append(condition)
        if condition.joins_or:
            yield parts
            parts = []
    if parts:
        yield parts
