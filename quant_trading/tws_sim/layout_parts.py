"""Groups of fields that several messages share: contracts, legs, conditions, the parts of an order.

The field names are the API's own (`lmtPrice`, `outsideRth`), the same in a placed order and in the
open order that echoes it, so that an order's values are read once and written back as they came.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import Field, Fixed, Item, Kind, Many, When

__all__ = [
    "ALGO", "BENCHMARK", "BOND", "COMBO_LEGS", "CONDITIONS", "CONTRACT", "CONTRACT_WITH_PRIMARY",
    "DELTA_NEUTRAL_CONTRACT", "FUND", "HEDGE", "MARKET_DATA_LEGS", "ORDER_LEGS", "ORDER_PREVIEW", "PEG_TAIL", "ROUTING",
    "SCALE_INCREMENT", "escaped", "flag", "integer", "is_bag", "number", "text",
]  # fmt: skip


def integer(*names: str, since: int = 0, until: int = 1 << 30) -> tuple[Field, ...]:
    """Return integer fields of these names, all with the same versions."""
    return tuple(Field(name, Kind.INT, since, until) for name in names)


def number(*names: str, since: int = 0, until: int = 1 << 30) -> tuple[Field, ...]:
    """Return number fields of these names."""
    return tuple(Field(name, Kind.NUMBER, since, until) for name in names)


def flag(*names: str, since: int = 0, until: int = 1 << 30) -> tuple[Field, ...]:
    """Return flag fields of these names."""
    return tuple(Field(name, Kind.FLAG, since, until) for name in names)


def text(*names: str, since: int = 0, until: int = 1 << 30) -> tuple[Field, ...]:
    """Return text fields of these names."""
    return tuple(Field(name, Kind.TEXT, since, until) for name in names)


def escaped(*names: str, since: int = 0, until: int = 1 << 30) -> tuple[Field, ...]:
    """Return text fields that are written in ASCII with escapes."""
    return tuple(Field(name, Kind.ESCAPED, since, until) for name in names)


def is_bag(values: Mapping[str, Any]) -> bool:
    """Say whether the contract is a combination, whose legs follow."""
    return values.get("secType") == "BAG"


def _condition_is(*types: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: values.get("condType") in types


def _is_scaled(values: Mapping[str, Any]) -> bool:
    increment = values.get("scalePriceIncrement")
    return isinstance(increment, Decimal) and increment > 0


CONTRACT: tuple[Item, ...] = (
    *integer("conId"),
    *text("symbol", "secType", "lastTradeDate"),
    *number("strike"),
    *text("right", "multiplier", "exchange", "currency", "localSymbol", "tradingClass"),
)

CONTRACT_WITH_PRIMARY: tuple[Item, ...] = (
    *integer("conId"),
    *text("symbol", "secType", "lastTradeDate"),
    *number("strike"),
    *text("right", "multiplier", "exchange", "primaryExchange", "currency", "localSymbol", "tradingClass"),
)

_LEG: tuple[Item, ...] = (*integer("conId", "ratio"), *text("action", "exchange"))

MARKET_DATA_LEGS: tuple[Item, ...] = (When(is_bag, (Many("legs", _LEG),)),)

COMBO_LEGS = Many(
    "comboLegs",
    (*_LEG, *integer("openClose", "shortSaleSlot"), *text("designatedLocation"), *integer("exemptCode")),
)

ORDER_LEGS = Many("orderComboLegs", number("price"))

ROUTING = Many("smartComboRoutingParams", text("tag", "value"))

SCALE_INCREMENT: tuple[Item, ...] = (
    *number("scalePriceIncrement"),
    When(
        _is_scaled,
        (
            *number("scalePriceAdjustValue"),
            *integer("scalePriceAdjustInterval"),
            *number("scaleProfitOffset"),
            *flag("scaleAutoReset"),
            *integer("scaleInitPosition", "scaleInitFillQty"),
            *flag("scaleRandomPercent"),
        ),
    ),
)

HEDGE: tuple[Item, ...] = (*text("hedgeType"), When(lambda values: bool(values.get("hedgeType")), text("hedgeParam")))

DELTA_NEUTRAL_CONTRACT: tuple[Item, ...] = (
    *flag("hasDeltaNeutral"),
    When(
        lambda values: bool(values.get("hasDeltaNeutral")),
        (*integer("deltaNeutralContractConId"), *number("deltaNeutralDelta", "deltaNeutralPrice")),
    ),
)

ALGO: tuple[Item, ...] = (
    *text("algoStrategy"),
    When(lambda values: bool(values.get("algoStrategy")), (Many("algoParams", text("tag", "value")),)),
)

BENCHMARK = When(
    lambda values: values.get("orderType") in ("PEG BENCH", "PEGBENCH"),
    (
        *integer("referenceContractId"),
        *flag("isPeggedChangeAmountDecrease"),
        *number("peggedChangeAmount", "referenceChangeAmount"),
        *text("referenceExchangeId"),
    ),
)

CONDITIONS: tuple[Item, ...] = (
    Many(
        "conditions",
        (
            *integer("condType"),
            *text("conjunction"),
            When(_condition_is(1, 3, 4, 6, 7), flag("isMore")),
            # price (1), time (3), margin percent (4), volume (6), change in percent (7), in their own words
            When(_condition_is(1, 3, 4, 6, 7), text("value")),
            When(_condition_is(5), text("secType", "exchange", "symbol")),
            When(_condition_is(1, 6, 7), (*integer("conId"), *text("exchange"))),
            When(_condition_is(1), integer("triggerMethod")),
        ),
    ),
    When(lambda values: bool(values.get("conditions")), flag("conditionsIgnoreRth", "conditionsCancelOrder")),
)

PEG_TAIL: tuple[Item, ...] = (
    *integer("minTradeQty", "minCompeteSize", since=170),
    *number("competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf", since=170),
)

ORDER_PREVIEW: tuple[Item, ...] = (
    *text("marginCurrency", since=195),
    *number("initMarginBeforeOutsideRTH", "maintMarginBeforeOutsideRTH", "equityWithLoanBeforeOutsideRTH", since=195),
    *number("initMarginChangeOutsideRTH", "maintMarginChangeOutsideRTH", "equityWithLoanChangeOutsideRTH", since=195),
    *number("initMarginAfterOutsideRTH", "maintMarginAfterOutsideRTH", "equityWithLoanAfterOutsideRTH", since=195),
    *number("suggestedSize", since=195),
    *text("rejectReason", since=195),
    Many(
        "orderAllocations",
        (
            *text("account"),
            *number("position", "positionDesired", "positionAfter", "desiredAllocQty", "allowedAllocQty"),
            *flag("isMonetary"),
        ),
        since=195,
    ),
)

FUND = When(
    lambda values: values.get("secType") == "FUND",
    (
        *text("fundName", "fundFamily", "fundType", "fundFrontLoad", "fundBackLoad", "fundBackLoadTimeInterval"),
        *text("fundManagementFee"),
        *flag("fundClosed", "fundClosedForNewInvestors", "fundClosedForNewMoney"),
        *text("fundNotifyAmount", "fundMinimumInitialPurchase", "fundSubsequentMinimumPurchase"),
        *text("fundBlueSkyStates", "fundBlueSkyTerritories", "fundDistributionPolicyIndicator", "fundAssetType"),
    ),
    since=179,
)

BOND: tuple[Item, ...] = (
    Fixed("6", until=164),
    *integer("reqId"),
    *text("symbol", "secType", "cusip"),
    *number("coupon"),
    *text("maturity", "issueDate", "ratings", "bondType", "couponType"),
    *flag("convertible", "callable", "putable"),
    *text("descAppend", "exchange", "currency", "marketName", "tradingClass"),
    *integer("conId"),
    *number("minTick"),
    *integer("mdSizeMultiplier", until=164),
    *text("orderTypes", "validExchanges", "nextOptionDate", "nextOptionType"),
    *flag("nextOptionPartial"),
    *text("notes", "longName"),
    *text("timeZoneId", "tradingHours", "liquidHours", since=188),
    *text("evRule"),
    *integer("evMultiplier"),
    Many("secIdList", text("tag", "value")),
    *integer("aggGroup"),
    *text("marketRuleIds"),
    *number("minSize", "sizeIncrement", "suggestedSizeIncrement", since=164),
)
