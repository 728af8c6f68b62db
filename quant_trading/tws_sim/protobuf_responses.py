"""Answers in protobuf, given by the same values as their text forms.

Each table has the version from which TWS writes that answer in protobuf: the one at which the client
moves the requests of the same family (read; that TWS moves both at once is assumed). What has no table
goes out as text with a raw id, which the official client reads at every version (measured).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import Values
from quant_trading.tws_sim.protobuf import Answer, Form, Inline, List, Pairs, Rows, Scalar, Table, encode
from quant_trading.tws_sim.protobuf_market import MARKET_ANSWERS
from quant_trading.tws_sim.protobuf_parts import (
    CONTRACT,
    ORDER,
    ORDER_CONTRACT,
    ORDER_STATE,
    conditions_as_protobuf,
    flag,
    integer,
    legs_as_protobuf,
    number,
    size,
    text,
)

__all__ = ["RESPONSE_TABLES", "encode_response"]


_REQ_ID = integer(reqId=1)
_CONTRACT = Inline(2, CONTRACT)
_NOTHING: Table = ()
_UNSET_DOUBLE = Decimal("1.7976931348623157E308")


def _order_values(values: Mapping[str, Any]) -> Values:
    return dict(values) | {
        "comboLegs": legs_as_protobuf(values),
        "conditions": conditions_as_protobuf(values.get("conditions") or []),
    }


def _completed_values(values: Mapping[str, Any]) -> Values:
    # A completed order has its permId only, in either form (read).
    return _order_values({name: value for name, value in values.items() if name not in ("orderId", "clientId")})


def _details_values(values: Mapping[str, Any]) -> Values:
    # The first word of the text's date is the date; in protobuf the time has no place of its own (read).
    words = (values.get("lastTradeDate") or "").split()
    return dict(values) | {"lastTradeDay": values.get("lastTradeDay") or (words[0] if words else "")}


def _commission_values(values: Mapping[str, Any]) -> Values:
    # Left out, the client would read a profit of zero.
    unset = {name: _UNSET_DOUBLE for name in ("realizedPNL", "yield") if values.get(name) is None}
    date = values.get("yieldRedemptionDate")  # a number in the text form, a text here
    return dict(values) | unset | {"yieldRedemptionDate": None if date is None else str(date)}


_EXECUTION: Table = (
    *integer(orderId=1),
    *text(execId=2, time=3, account=4, execExchange=5, side=6),
    *size(shares=7),
    *number(price=8),
    *integer(permId=9, clientId=10),
    *flag(liquidation=11),
    *size(cumQty=12),
    *number(avgPrice=13),
    *text(orderRef=14, evRule=15),
    *number(evMultiplier=16),
    *text(modelCode=17),
    *integer(lastLiquidity=18),
    *flag(pendingPriceRevision=19),
    *text(submitter=20),
)

_DETAILS: Table = (
    *text(marketName=1),
    *size(minTick=2),
    *text(orderTypes=3, validExchanges=4),
    *integer(priceMagnifier=5, underConId=6),
    *text(longName=7, contractMonth=8, industry=9, category=10, subcategory=11, timeZoneId=12),
    *text(tradingHours=13, liquidHours=14, evRule=15),
    *number(evMultiplier=16),
    Pairs(17, "secIdList"),
    *integer(aggGroup=18),
    *text(underSymbol=19, underSecType=20, marketRuleIds=21, realExpirationDate=22, stockType=23),
    *size(minSize=24, sizeIncrement=25, suggestedSizeIncrement=26),
)

_FUND: Table = (
    *text(fundName=27, fundFamily=28, fundType=29, fundFrontLoad=30, fundBackLoad=31, fundBackLoadTimeInterval=32),
    *text(fundManagementFee=33),
    *flag(fundClosed=34, fundClosedForNewInvestors=35, fundClosedForNewMoney=36),
    *text(fundNotifyAmount=37, fundMinimumInitialPurchase=38, fundSubsequentMinimumPurchase=39),
    *text(fundBlueSkyStates=40, fundBlueSkyTerritories=41, fundDistributionPolicyIndicator=42, fundAssetType=43),
)

_BOND: Table = (
    *text(cusip=44, issueDate=45, ratings=46, bondType=47),
    *number(coupon=48),
    *text(couponType=49),
    *flag(convertible=50, callable=51, putable=52),
    *text(descAppend=53, nextOptionDate=54, nextOptionType=55),
    *flag(nextOptionPartial=56),
    *text(notes=57),
)

_INELIGIBILITY = Rows(58, "ineligibilityReasons", text(id=1, description=2))

_BOND_CONTRACT: Table = (
    *integer(conId=1),
    *text(symbol=2, secType=3, maturity=4, exchange=8, currency=10, tradingClass=12),
)

_ORDERS: dict[str, Answer] = {
    "execDetails": Answer(201, (*_REQ_ID, _CONTRACT, Inline(3, _EXECUTION))),
    "execDetailsEnd": Answer(201, _REQ_ID),
    "orderStatus": Answer(
        203,
        (
            *integer(orderId=1), *text(status=2), *size(filled=3, remaining=4), *number(avgFillPrice=5),
            *integer(permId=6, parentId=7), *number(lastFillPrice=8), *integer(clientId=9), *text(whyHeld=10),
            *number(mktCapPrice=11),
        ),
    ),
    "openOrder": Answer(
        203,
        (*integer(orderId=1), Inline(2, ORDER_CONTRACT), Inline(3, ORDER), Inline(4, ORDER_STATE)),
        _order_values,
    ),
    "openOrderEnd": Answer(203, _NOTHING),
    "error": Answer(203, (*integer(reqId=1, time=2, code=3), *text(text=4, rejectJson=5))),
    "completedOrder": Answer(
        204, (Inline(1, ORDER_CONTRACT), Inline(2, ORDER), Inline(3, ORDER_STATE)), _completed_values
    ),
    "completedOrdersEnd": Answer(204, _NOTHING),
    "orderBound": Answer(204, integer(permId=1, clientId=2, orderId=3)),
    "commissionReport": Answer(
        211,
        (*text(execId=1), *number(commission=2), *text(currency=3), *number(realizedPNL=4, **{"yield": 5}),
         Scalar(6, "yieldRedemptionDate", Form.TEXT)),
        _commission_values,
    ),
}  # fmt: skip

_CONTRACTS: dict[str, Answer] = {
    "contractDetails": Answer(
        205, (*_REQ_ID, _CONTRACT, Inline(3, (*_DETAILS, *_FUND, _INELIGIBILITY))), _details_values
    ),
    "bondContractDetails": Answer(
        205, (*_REQ_ID, Inline(2, _BOND_CONTRACT), Inline(3, (*_DETAILS, *_BOND, _INELIGIBILITY)))
    ),
    "contractDetailsEnd": Answer(205, _REQ_ID),
    "symbolSamples": Answer(
        212,
        (*_REQ_ID, Rows(2, "samples", (Inline(1, CONTRACT), List(2, "derivativeSecTypes", "secType", Form.TEXT)))),
    ),
    "marketRule": Answer(212, (*integer(marketRuleId=1), Rows(2, "increments", number(lowEdge=1, increment=2)))),
    "smartComponents": Answer(
        212, (*_REQ_ID, Rows(2, "components", (*integer(bit=1), *text(exchange=2, exchangeLetter=3))))
    ),
    "mktDepthExchanges": Answer(
        213,
        (Rows(1, "exchanges", (*text(exchange=1, secType=2, listing=3, dataType=4), *integer(aggGroup=5))),),
    ),
    "rerouteMktDataReq": Answer(211, (*_REQ_ID, *integer(conId=2), *text(exchange=3))),
    "rerouteMktDepthReq": Answer(211, (*_REQ_ID, *integer(conId=2), *text(exchange=3))),
}

_ACCOUNT_VALUE_MULTI: Table = text(account=2, modelCode=3, key=4, value=5, currency=6)

_ACCOUNTS: dict[str, Answer] = {
    "updateAccountValue": Answer(207, text(key=1, value=2, currency=3, account=4)),
    "updatePortfolio": Answer(
        207,
        (
            Inline(1, CONTRACT), *size(position=2), *number(marketPrice=3, marketValue=4, averageCost=5),
            *number(unrealizedPNL=6, realizedPNL=7), *text(account=8),
        ),
    ),
    "updateAccountTime": Answer(207, text(time=1)),
    "accountDownloadEnd": Answer(207, text(account=1)),
    "managedAccounts": Answer(207, text(accounts=1)),
    "position": Answer(207, (*text(account=1), _CONTRACT, *size(position=3), *number(avgCost=4))),
    "positionEnd": Answer(207, _NOTHING),
    "accountSummary": Answer(207, (*_REQ_ID, *text(account=2, tag=3, value=4, currency=5))),
    "accountSummaryEnd": Answer(207, _REQ_ID),
    "positionMulti": Answer(
        207,
        (*_REQ_ID, *text(account=2), Inline(3, CONTRACT), *size(position=4), *number(avgCost=5), *text(modelCode=6)),
    ),
    "positionMultiEnd": Answer(207, _REQ_ID),
    "accountUpdateMulti": Answer(207, (*_REQ_ID, *_ACCOUNT_VALUE_MULTI)),
    "accountUpdateMultiEnd": Answer(207, _REQ_ID),
    "pnl": Answer(210, (*_REQ_ID, *number(daily=2, unrealized=3, realized=4))),
    "pnlSingle": Answer(210, (*_REQ_ID, *size(position=2), *number(daily=3, unrealized=4, realized=5, value=6))),
    "receiveFA": Answer(211, (*integer(faDataType=1), *text(xml=2))),
    "replaceFAEnd": Answer(211, (*_REQ_ID, *text(text=2))),
    "softDollarTiers": Answer(212, (*_REQ_ID, Rows(2, "tiers", text(name=1, value=2, displayName=3)))),
    "familyCodes": Answer(212, (Rows(1, "codes", text(account=1, familyCode=2)),)),
    "userInfo": Answer(212, (*_REQ_ID, *text(whiteBrandingId=2))),
    "nextValidId": Answer(213, integer(orderId=1)),
    "currentTime": Answer(213, integer(time=1)),
    "currentTimeInMillis": Answer(213, integer(timeInMillis=1)),
    "verifyMessageAPI": Answer(213, text(apiData=1)),
    "verifyCompleted": Answer(213, (*flag(isSuccessful=1), *text(errorText=2))),
    "displayGroupList": Answer(213, (*_REQ_ID, *text(groups=2))),
    "displayGroupUpdated": Answer(213, (*_REQ_ID, *text(contractInfo=2))),
    "configResponse": Answer(219, _REQ_ID),
    "updateConfigResponse": Answer(221, (*_REQ_ID, *text(status=2, message=3))),
}  # fmt: skip

_BAR: Table = (
    *text(date=1), *number(open=2, high=3, low=4, close=5), *size(volume=6, wap=7), *integer(count=8),
)  # fmt: skip

_DATA: dict[str, Answer] = {
    "tickPrice": Answer(206, (*integer(reqId=1, tickType=2), *number(price=3), *size(size=4), *integer(attribs=5))),
    "tickSize": Answer(206, (*integer(reqId=1, tickType=2), *size(size=3))),
    "tickGeneric": Answer(206, (*integer(reqId=1, tickType=2), *number(value=3))),
    "tickString": Answer(206, (*integer(reqId=1, tickType=2), *text(value=3))),
    "tickSnapshotEnd": Answer(206, _REQ_ID),
    "marketDataType": Answer(206, integer(reqId=1, marketDataType=2)),
    "tickReqParams": Answer(206, (*_REQ_ID, *size(minTick=2), *text(bboExchange=3), *integer(permissions=4))),
    "historicalData": Answer(208, (*_REQ_ID, Rows(2, "bars", _BAR))),
    "historicalDataUpdate": Answer(208, (*_REQ_ID, Inline(2, _BAR))),
    "historicalDataEnd": Answer(208, (*_REQ_ID, *text(start=2, end=3))),
    "headTimestamp": Answer(208, (*_REQ_ID, *text(timestamp=2))),
    "histogramData": Answer(208, (*_REQ_ID, Rows(2, "entries", (*number(price=1), *size(size=2))))),
    "newsProviders": Answer(209, (Rows(1, "providers", text(code=1, name=2)),)),
    "wshMetaData": Answer(209, (*_REQ_ID, *text(dataJson=2))),
    "wshEventData": Answer(209, (*_REQ_ID, *text(dataJson=2))),
    "fundamentalData": Answer(210, (*_REQ_ID, *text(data=2))),
}

RESPONSE_TABLES: dict[str, Answer] = _ORDERS | _CONTRACTS | _ACCOUNTS | _DATA | MARKET_ANSWERS
"""The protobuf form of every answer that has one, by the name of its text layout."""


def encode_response(name: str, values: Mapping[str, Any], version: int) -> bytes | None:
    """Return an answer's protobuf bytes, None when this version has it as text.

    Raises:
        FieldError: when a value does not fit, which is a mistake of ours.
    """
    answer = RESPONSE_TABLES.get(name)
    if answer is None or version < answer.since:
        return None
    return encode(name, answer.table, values if answer.prepare is None else answer.prepare(values))
