"""Field numbers of the protobuf messages that several others contain: contracts, orders, their parts.

The names are those of the text layouts, the numbers those of IBKR's published messages. Where the two
forms cut the same thing differently (a price per combination leg, the value of a condition, a margin for
the whole order) the functions at the end translate.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import Values, format_number
from quant_trading.tws_sim.protobuf import Form, Inline, Item, Options, Pairs, Rows, Scalar, Table

__all__ = [
    "CONTRACT", "CONTRACT_WITH_LEGS", "ORDER", "ORDER_CANCEL", "ORDER_CONTRACT", "ORDER_STATE", "conditions_as_text",
    "conditions_as_protobuf", "flag", "integer", "legs_as_protobuf", "legs_as_text", "number", "size", "text",
]  # fmt: skip


def integer(**numbers: int) -> tuple[Scalar, ...]:
    """Return integer fields, given as name=field number."""
    return tuple(Scalar(number, name, Form.INT) for name, number in numbers.items())


def flag(**numbers: int) -> tuple[Scalar, ...]:
    """Return truth values, given as name=field number."""
    return tuple(Scalar(number, name, Form.FLAG) for name, number in numbers.items())


def number(**numbers: int) -> tuple[Scalar, ...]:
    """Return doubles, given as name=field number."""
    return tuple(Scalar(number, name, Form.NUMBER) for name, number in numbers.items())


def size(**numbers: int) -> tuple[Scalar, ...]:
    """Return numbers in words, given as name=field number."""
    return tuple(Scalar(number, name, Form.SIZE) for name, number in numbers.items())


def text(**numbers: int) -> tuple[Scalar, ...]:
    """Return texts, given as name=field number."""
    return tuple(Scalar(number, name, Form.TEXT) for name, number in numbers.items())


_CONTRACT_FIELDS: Table = (
    *integer(conId=1),
    *text(symbol=2, secType=3, lastTradeDate=4),
    *number(strike=5),
    *text(right=6),
    Scalar(7, "multiplier", Form.NUMBER_TEXT),
    *text(exchange=8, primaryExchange=9, currency=10, localSymbol=11, tradingClass=12),
)

CONTRACT: Table = (
    *_CONTRACT_FIELDS,
    *text(secIdType=13, secId=14, description=15, issuerId=16),
    *flag(includeExpired=18),
    *text(lastTradeDay=21),
)
"""A contract that is no combination."""

_DELTA_NEUTRAL: Table = (
    *integer(deltaNeutralContractConId=1),
    *number(deltaNeutralDelta=2, deltaNeutralPrice=3),
)

_LEG: Table = (*integer(conId=1, ratio=2), *text(action=3, exchange=4))

CONTRACT_WITH_LEGS: Table = (
    *CONTRACT,
    Inline(17, _DELTA_NEUTRAL, flag="hasDeltaNeutral"),
    Rows(20, "legs", _LEG),
)
"""The contract of a data request, whose legs are nothing but contracts."""

ORDER_CONTRACT: Table = (
    *CONTRACT,
    Inline(17, _DELTA_NEUTRAL, flag="hasDeltaNeutral"),
    *text(comboLegsDescrip=19),
    Rows(
        20,
        "comboLegs",
        (
            *_LEG, *integer(openClose=5, shortSaleSlot=6), *text(designatedLocation=7), *integer(exemptCode=8),
            *number(price=9),
        ),
    ),
)  # fmt: skip
"""The contract of an order; its legs have a price each."""

_CONDITION: Table = (
    *integer(type=1),
    *flag(isConjunction=2, isMore=3),
    *integer(conId=4),
    *text(exchange=5, symbol=6, secType=7),
    *integer(percent=8),
    *number(changePercent=9, price=10),
    *integer(triggerMethod=11),
    *text(time=12),
    *integer(volume=13),
)

_SOFT_DOLLAR_TIER: Table = text(softDollarTierName=1, softDollarTierValue=2, softDollarTierDisplayName=3)

_ORDER_MAIN: tuple[Item, ...] = (
    *integer(clientId=1, orderId=2, permId=3, parentId=4),
    *text(action=5),
    *size(totalQuantity=6),
    *integer(displaySize=7),
    *text(orderType=8),
    *number(lmtPrice=9, auxPrice=10),
    *text(tif=11, account=12, settlingFirm=13, clearingAccount=14, clearingIntent=15),
    *flag(allOrNone=16, blockOrder=17, hidden=18, outsideRth=19, sweepToFill=20),
    *number(percentOffset=21, trailingPercent=22, trailStopPrice=23),
    *integer(minQty=24),
    *text(goodAfterTime=25, goodTillDate=26, ocaGroup=27, orderRef=28, rule80A=29),
    *integer(ocaType=30, triggerMethod=31),
    *text(activeStartTime=32, activeStopTime=33, faGroup=34, faMethod=35, faPercentage=36),
    *flag(whatIf=65, transmit=66, overridePercentageConstraints=67),
    *text(openClose=68),
    *integer(origin=69, shortSaleSlot=70),
    *text(designatedLocation=71),
    *integer(exemptCode=72),
    *number(discretionaryAmt=76),
    *flag(optOutSmartRouting=77, notHeld=83),
    Options(84, "orderMiscOptions"),
    *flag(solicited=85, randomizeSize=86, randomizePrice=87),
)

_ORDER_STRATEGIES: tuple[Item, ...] = (
    *number(volatility=37),
    *integer(volatilityType=38),
    *flag(continuousUpdate=39),
    *integer(referencePriceType=40),
    *text(deltaNeutralOrderType=41),
    *number(deltaNeutralAuxPrice=42),
    *integer(deltaNeutralConId=43),
    *text(deltaNeutralOpenClose=44),
    *flag(deltaNeutralShortSale=45),
    *integer(deltaNeutralShortSaleSlot=46),
    *text(deltaNeutralDesignatedLocation=47),
    *text(deltaNeutralSettlingFirm=73, deltaNeutralClearingAccount=74, deltaNeutralClearingIntent=75),
    *integer(scaleInitLevelSize=48, scaleSubsLevelSize=49),
    *number(scalePriceIncrement=50, scalePriceAdjustValue=51),
    *integer(scalePriceAdjustInterval=52),
    *number(scaleProfitOffset=53),
    *flag(scaleAutoReset=54),
    *integer(scaleInitPosition=55, scaleInitFillQty=56),
    *flag(scaleRandomPercent=57),
    *text(scaleTable=58, hedgeType=59, hedgeParam=60, algoStrategy=61),
    Pairs(62, "algoParams"),
    *text(algoId=63),
    Pairs(64, "smartComboRoutingParams"),
    *number(startingPrice=78, stockRefPrice=79, delta=80, stockRangeLower=81, stockRangeUpper=82),
    *integer(referenceContractId=88),
    *number(peggedChangeAmount=89),
    *flag(isPeggedChangeAmountDecrease=90),
    *number(referenceChangeAmount=91),
    *text(referenceExchangeId=92, adjustedOrderType=93),
    *number(triggerPrice=94, adjustedStopPrice=95, adjustedStopLimitPrice=96, adjustedTrailingAmount=97),
    *integer(adjustableTrailingUnit=98),
    *number(lmtPriceOffset=99),
    Rows(100, "conditions", _CONDITION),
    *flag(conditionsCancelOrder=101, conditionsIgnoreRth=102),
)

_ORDER_LATER: tuple[Item, ...] = (
    *text(modelCode=103, extOperator=104),
    Inline(105, _SOFT_DOLLAR_TIER),
    *number(cashQty=106),
    *text(mifid2DecisionMaker=107, mifid2DecisionAlgo=108, mifid2ExecutionTrader=109, mifid2ExecutionAlgo=110),
    *flag(dontUseAutoPriceForHedge=111, isOmsContainer=112, discretionaryUpToLimitPrice=113),
    *text(autoCancelDate=114),
    *size(filledQuantity=115),
    *integer(refFuturesConId=116),
    *flag(autoCancelParent=117),
    *text(shareholder=118),
    *flag(imbalanceOnly=119, routeMarketableToBbo=120),
    *integer(parentPermId=121),
    Scalar(122, "usePriceMgmtAlgo", Form.INT_TEXT),
    *integer(duration=123, postToAts=124),
    *text(advancedErrorOverride=125, manualOrderTime=126),
    *integer(minTradeQty=127, minCompeteSize=128),
    *number(competeAgainstBestOffset=129, midOffsetAtWhole=130, midOffsetAtHalf=131),
    *text(customerAccount=132),
    *flag(professionalCustomer=133),
    *text(bondAccruedInterest=134),
    *flag(includeOvernight=135),
    *integer(manualOrderIndicator=136),
    *text(submitter=137),
    # Younger than the last text version.
    *flag(deactivate=138, postOnly=139, allowPreOpen=140, ignoreOpenAuction=141),
    *integer(seekPriceImprovement=142, whatIfType=143, hedgeMaxSize=144),
)

ORDER: Table = (*_ORDER_MAIN, *_ORDER_STRATEGIES, *_ORDER_LATER)

ORDER_CANCEL: Table = (
    *text(manualCancelOrderTime=1, extOperator=2),
    *integer(manualOrderIndicator=3),
)

ORDER_STATE: Table = (
    *text(status=1),
    *number(initMarginBefore=2, maintMarginBefore=3, equityWithLoanBefore=4),
    *number(initMarginChange=5, maintMarginChange=6, equityWithLoanChange=7),
    *number(initMarginAfter=8, maintMarginAfter=9, equityWithLoanAfter=10),
    *number(commission=11, minCommission=12, maxCommission=13),
    *text(commissionCurrency=14, marginCurrency=15),
    *number(initMarginBeforeOutsideRTH=16, maintMarginBeforeOutsideRTH=17, equityWithLoanBeforeOutsideRTH=18),
    *number(initMarginChangeOutsideRTH=19, maintMarginChangeOutsideRTH=20, equityWithLoanChangeOutsideRTH=21),
    *number(initMarginAfterOutsideRTH=22, maintMarginAfterOutsideRTH=23, equityWithLoanAfterOutsideRTH=24),
    *size(suggestedSize=25),
    *text(rejectReason=26),
    Rows(
        27,
        "orderAllocations",
        (
            *text(account=1),
            *size(position=2, positionDesired=3, positionAfter=4, desiredAllocQty=5, allowedAllocQty=6),
            *flag(isMonetary=7),
        ),
    ),
    *text(warningText=28, completedTime=29, completedStatus=30),
)  # fmt: skip

# The name of a condition's value by its type: price, time, margin, volume, change in percent.
_VALUE_NAMES = {1: "price", 3: "time", 4: "percent", 6: "volume", 7: "changePercent"}
_EXECUTED = 5


def conditions_as_text(rows: list[Values]) -> list[Values]:
    """Return conditions as the text layouts have them: one field `value`, in words, for all types."""
    return [_condition_as_text(row) for row in rows]


def _condition_as_text(row: Values) -> Values:
    kind = row.get("type", 0)
    condition: Values = {"condType": kind, "conjunction": "a" if row.get("isConjunction") else "o"}
    if kind in _VALUE_NAMES:
        value = row.get(_VALUE_NAMES[kind])
        text_value = format_number(value) if isinstance(value, Decimal | int) else value or ""
        condition |= {"isMore": bool(row.get("isMore")), "value": text_value}
    if kind == _EXECUTED:
        condition |= {name: row.get(name, "") for name in ("secType", "exchange", "symbol")}
    if kind in (1, 6, 7):
        condition |= {"conId": row.get("conId"), "exchange": row.get("exchange", "")}
    if kind == 1:
        condition["triggerMethod"] = row.get("triggerMethod")
    return condition


def conditions_as_protobuf(rows: list[Values]) -> list[Values]:
    """Return conditions with their value under the name of its type."""
    result = []
    for row in rows:
        kind = row.get("condType", 0)
        condition = {"type": kind, "isConjunction": row.get("conjunction") == "a"}
        condition |= {name: row[name] for name in _CONDITION_NAMES if name in row}
        name = _VALUE_NAMES.get(kind)
        if name is not None:
            condition[name] = _condition_value(name, str(row.get("value") or ""))
        result.append(condition)
    return result


_CONDITION_NAMES = ("isMore", "conId", "exchange", "symbol", "secType", "triggerMethod")


def _condition_value(name: str, words: str) -> int | float | str | None:
    if name == "time":
        return words
    try:
        return float(words) if name in ("price", "changePercent") else int(float(words))
    except (ValueError, OverflowError):
        return None


def legs_as_text(values: Values) -> None:
    """Move the price of each leg of an order into the list the text layouts have it in."""
    prices = [{"price": leg.pop("price", None)} for leg in values.get("comboLegs", ())]
    if any(row["price"] is not None for row in prices):
        values["orderComboLegs"] = prices


def legs_as_protobuf(values: Mapping[str, Any]) -> list[Values]:
    """Return an order's legs, each with its price."""
    prices = [row.get("price") for row in values.get("orderComboLegs") or ()]
    legs = values.get("comboLegs") or ()
    return [
        dict(leg) | ({"price": price} if price is not None else {})
        for leg, price in zip(legs, [*prices, *[None] * (len(legs) - len(prices))], strict=False)
    ]
