"""Values that can be told apart: every field of a message gets its own, so that none can stand in another's place."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

from quant_trading.tws_sim.fields import Field, Fixed, Item, Kind, Layout, Many, Values, When

CONDITIONS: list[Values] = [
    {"condType": 1, "conjunction": "a", "isMore": True, "value": "10.5", "conId": 51, "exchange": "SMART",
     "triggerMethod": 2},
    {"condType": 3, "conjunction": "o", "isMore": False, "value": "20261119-15:00:00"},
    {"condType": 4, "conjunction": "a", "isMore": True, "value": "12"},
    {"condType": 5, "conjunction": "a", "secType": "STK", "exchange": "ISLAND", "symbol": "MSFT"},
    {"condType": 6, "conjunction": "a", "isMore": True, "value": "1000", "conId": 52, "exchange": "SMART"},
    {"condType": 7, "conjunction": "a", "isMore": False, "value": "1.5", "conId": 53, "exchange": "SMART"},
]  # fmt: skip

# Values that must have a form of their own for a client to read them, or that switch a group on.
_SPECIAL: Values = {
    "conditions": CONDITIONS, "secType": "STK", "orderType": "LMT", "lastTradeDate": "20261218", "multiplier": "100",
    "usePriceMgmtAlgo": "1", "maturity": "20301115", "right": "C", "tickType": 4,
    "fundDistributionPolicyIndicator": "N", "fundAssetType": "001", "attribs": 1, "mask": 1, "articleType": 0,
    "liquidation": 1,
}  # fmt: skip

_PER_MESSAGE: dict[str, Values] = {
    "execDetails": {"time": "20261119 10:00:00 US/Eastern"},
    "historicalNews": {"time": "2026-11-19 10:00:00.0"},
    "commissionReport": {"yieldRedemptionDate": 20261119},
    "historicalDataUpdate": {"date": "20261119"},
}

# Plain numbers to the clients, which have no word for an unset one there.
_NEVER_UNSET: dict[str, tuple[str, ...]] = {
    "tickGeneric": ("value",),
    "tickSize": ("size",),
    "tickPrice": ("price", "size"),
    "tickOptionComputation": (
        "impliedVol",
        "delta",
        "optPrice",
        "pvDividend",
        "gamma",
        "vega",
        "theta",
        "undPrice",
    ),
    "updatePortfolio": (
        "position",
        "marketPrice",
        "marketValue",
        "averageCost",
        "unrealizedPNL",
        "realizedPNL",
    ),
    "updateMktDepth": ("price", "size"),
    "updateMktDepthL2": ("price", "size"),
    "tickEFP": ("basisPoints", "totalDividends", "dividendImpact", "dividendsToLastTradeDate"),
}

SINCE = {"historicalDataEnd": 196, "currentTimeInMillis": 197, "wshMetaData": 161, "wshEventData": 161, "userInfo": 167,
         "historicalSchedule": 165}  # fmt: skip
"""When clients came to know a message."""

VARIANTS = ("full", "empty", "pegged", "fund", "tick 1", "tick 3")
"""The ways a message is filled: everything, nothing, and the groups that exclude one another."""


def fill(
    layout: Layout, version: int, variant: str, *, whole_numbers: bool = False, special: Values | None = None
) -> Values:
    """Return values for every field the layout has at `version`.

    Args:
        whole_numbers: for a client that reads sizes as integers.
        special: values by name that are to be as given.
    """
    special = _SPECIAL | _PER_MESSAGE.get(layout.name, {}) | (special or {})
    if variant == "pegged":
        special |= {"orderType": "PEG BENCH"}
    elif variant == "fund":
        special |= {"secType": "FUND"}
    elif variant.startswith("tick "):
        special |= {"tickType": int(variant[5:])}
    values: Values = {}
    if variant == "empty":
        values |= {name: Decimal(0) for name in _NEVER_UNSET.get(layout.name, ())}
    numbers = count(1001)
    _fill(layout.plan(version).items, values, special, variant == "empty", numbers, whole_numbers)
    return values


def _fill(
    items: tuple[Item, ...], values: Values, special: Values, is_empty: bool, numbers: Iterator[int], whole: bool
) -> None:
    for item in items:
        if isinstance(item, Fixed):
            continue
        if isinstance(item, When):
            if item.test(values):
                _fill(item.items, values, special, is_empty, numbers, whole)
            continue
        if item.name in values:
            continue
        if isinstance(item, Many):
            values[item.name] = [] if is_empty else special.get(item.name) or [
                _row(item.items, special, numbers, whole) for _ in range(2)
            ]  # fmt: skip
        elif isinstance(item, Field):
            values[item.name] = _value(item, special, is_empty, next(numbers), whole)


def _row(items: tuple[Item, ...], special: Values, numbers: Iterator[int], whole: bool) -> Values:
    row: Values = {}
    _fill(items, row, special, False, numbers, whole)
    return row


def _value(item: Field, special: Values, is_empty: bool, number: int, whole: bool) -> Any:
    if is_empty and item.name not in ("reqId", "orderId", "tickType", "time", "timeInMillis"):
        return {Kind.FLAG: False, Kind.INT: 0, Kind.NUMBER: None}.get(item.kind, "")
    if item.name in special:
        return special[item.name]
    if item.kind is Kind.INT:
        return number
    if item.kind is Kind.NUMBER:
        return Decimal(number) if whole else Decimal(number) + Decimal("0.25")
    return True if item.kind is Kind.FLAG else f"{item.name[:6]}{number}"


def variants_of(layout: Layout) -> list[str]:
    """Return the variants in which a message differs."""
    names = {"openOrder": ("pegged",), "completedOrder": ("pegged",), "contractDetails": ("fund",)}
    if layout.name == "tickByTick":
        return ["full", "tick 1", "tick 3"]
    return [*VARIANTS[:2], *names.get(layout.name, ())]
