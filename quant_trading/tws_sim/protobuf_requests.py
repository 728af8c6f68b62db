"""Requests in protobuf, read into the same `Message` as their text forms.

From version 201 on the official client moves its requests to protobuf family by family; what it has not
moved yet it still sends as text. Each is taken whichever way it comes, so no version decides anything here.
"""

from collections.abc import Callable

from quant_trading.tws_sim.fields import Field, FieldError, Item, Kind, Layout, Many, Message, Values, When
from quant_trading.tws_sim.protobuf import Form, Inline, List, Options, Table, decode
from quant_trading.tws_sim.protobuf_parts import (
    CONTRACT,
    CONTRACT_WITH_LEGS,
    ORDER,
    ORDER_CANCEL,
    ORDER_CONTRACT,
    conditions_as_text,
    flag,
    integer,
    legs_as_text,
    number,
    text,
)

__all__ = ["REQUEST_TABLES", "decode_request"]

_TEXT_VERSION = 200
"""The last version with text only; its layouts say which values a request has."""

_REQ_ID = integer(reqId=1)
_CONTRACT = Inline(2, CONTRACT)
_CONTRACT_WITH_LEGS = Inline(2, CONTRACT_WITH_LEGS)
_NOTHING: Table = ()

_ORDERS: dict[str, Table] = {
    "placeOrder": (
        *integer(orderId=1),
        Inline(2, ORDER_CONTRACT),
        Inline(3, tuple(item for item in ORDER if getattr(item, "name", "") != "orderId")),
        Inline(4, (*integer(slOrderId=1, ptOrderId=3), *text(slOrderType=2, ptOrderType=4))),
    ),
    "cancelOrder": (*integer(orderId=1), Inline(2, ORDER_CANCEL)),
    "reqGlobalCancel": (Inline(1, ORDER_CANCEL),),
    "reqOpenOrders": _NOTHING,
    "reqAllOpenOrders": _NOTHING,
    "reqAutoOpenOrders": flag(autoBind=1),
    "reqCompletedOrders": flag(apiOnly=1),
    "reqExecutions": (
        *_REQ_ID,
        Inline(
            2,
            (
                *integer(clientId=1),
                *text(account=2, time=3, symbol=4, secType=5, exchange=6, side=7),
                *integer(lastNDays=8),
                List(9, "specificDates", "date", Form.INT_TEXT),
            ),
        ),
    ),
    "exerciseOptions": (
        *_REQ_ID, _CONTRACT, *integer(exerciseAction=3, exerciseQuantity=4), *text(account=5), *flag(override=6),
        *text(manualOrderTime=7, customerAccount=8), *flag(professionalCustomer=9),
    ),
}  # fmt: skip

_ACCOUNTS: dict[str, Table] = {
    "startApi": (*integer(clientId=1), *text(optionalCapabilities=2)),
    "reqAccountUpdates": (*flag(subscribe=1), *text(account=2)),
    "reqManagedAccts": _NOTHING,
    "reqPositions": _NOTHING,
    "cancelPositions": _NOTHING,
    "reqAccountSummary": (*_REQ_ID, *text(group=2, tags=3)),
    "cancelAccountSummary": _REQ_ID,
    "reqPositionsMulti": (*_REQ_ID, *text(account=2, modelCode=3)),
    "cancelPositionsMulti": _REQ_ID,
    "reqAccountUpdatesMulti": (*_REQ_ID, *text(account=2, modelCode=3), *flag(ledgerAndNLV=4)),
    "cancelAccountUpdatesMulti": _REQ_ID,
    "reqPnL": (*_REQ_ID, *text(account=2, modelCode=3)),
    "cancelPnL": _REQ_ID,
    "reqPnLSingle": (*_REQ_ID, *text(account=2, modelCode=3), *integer(conId=4)),
    "cancelPnLSingle": _REQ_ID,
    "requestFA": integer(faDataType=1),
    "replaceFA": (*_REQ_ID, *integer(faDataType=2), *text(xml=3)),
    "reqIds": integer(count=1),
    "reqCurrentTime": _NOTHING,
    "reqCurrentTimeInMillis": _NOTHING,
    "setServerLogLevel": integer(level=1),
    "reqFamilyCodes": _NOTHING,
    "reqSoftDollarTiers": _REQ_ID,
    "reqUserInfo": _REQ_ID,
    "verifyRequest": text(apiName=1, apiVersion=2),
    "verifyMessage": text(apiData=1),
    "reqConfig": _REQ_ID,
    "updateConfig": _REQ_ID,
}

_MARKET: dict[str, Table] = {
    "reqContractDetails": (*_REQ_ID, _CONTRACT),
    "cancelContractData": _REQ_ID,
    "reqMatchingSymbols": (*_REQ_ID, *text(pattern=2)),
    "reqMarketRule": integer(marketRuleId=1),
    "reqSecDefOptParams": (
        *_REQ_ID, *text(underlyingSymbol=2, futFopExchange=3, underlyingSecType=4), *integer(underlyingConId=5),
    ),
    "reqSmartComponents": (*_REQ_ID, *text(bboExchange=2)),
    "reqMktDepthExchanges": _NOTHING,
    "reqMktData": (
        *_REQ_ID, _CONTRACT_WITH_LEGS, *text(genericTicks=3), *flag(snapshot=4, regulatorySnapshot=5),
        Options(6, "options"),
    ),
    "cancelMktData": _REQ_ID,
    "reqMarketDataType": integer(marketDataType=1),
    "reqMktDepth": (*_REQ_ID, _CONTRACT, *integer(numRows=3), *flag(isSmartDepth=4), Options(5, "options")),
    "cancelMktDepth": (*_REQ_ID, *flag(isSmartDepth=2)),
    "reqTickByTickData": (*_REQ_ID, _CONTRACT, *text(tickType=3), *integer(numberOfTicks=4), *flag(ignoreSize=5)),
    "cancelTickByTickData": _REQ_ID,
    "reqRealTimeBars": (
        *_REQ_ID, _CONTRACT, *integer(barSize=3), *text(whatToShow=4), *flag(useRth=5), Options(6, "options"),
    ),
    "cancelRealTimeBars": _REQ_ID,
    "calculateImpliedVolatility": (*_REQ_ID, _CONTRACT, *number(optionPrice=3, underPrice=4)),
    "cancelCalculateImpliedVolatility": _REQ_ID,
    "calculateOptionPrice": (*_REQ_ID, _CONTRACT, *number(volatility=3, underPrice=4)),
    "cancelCalculateOptionPrice": _REQ_ID,
    "queryDisplayGroups": _REQ_ID,
    "subscribeToGroupEvents": (*_REQ_ID, *integer(groupId=2)),
    "updateDisplayGroup": (*_REQ_ID, *text(contractInfo=2)),
    "unsubscribeFromGroupEvents": _REQ_ID,
}  # fmt: skip

_HISTORY: dict[str, Table] = {
    "reqHistoricalData": (
        *_REQ_ID, _CONTRACT_WITH_LEGS, *text(endDateTime=3, barSize=4, duration=5), *flag(useRth=6),
        *text(whatToShow=7), *integer(formatDate=8), *flag(keepUpToDate=9), Options(10, "options"),
    ),
    "cancelHistoricalData": _REQ_ID,
    "reqHeadTimeStamp": (*_REQ_ID, _CONTRACT, *flag(useRth=3), *text(whatToShow=4), *integer(formatDate=5)),
    "cancelHeadTimeStamp": _REQ_ID,
    "reqHistogramData": (*_REQ_ID, _CONTRACT, *flag(useRth=3), *text(timePeriod=4)),
    "cancelHistogramData": _REQ_ID,
    "reqHistoricalTicks": (
        *_REQ_ID, _CONTRACT, *text(startDateTime=3, endDateTime=4), *integer(numberOfTicks=5), *text(whatToShow=6),
        *flag(useRth=7, ignoreSize=8), Options(9, "options"),
    ),
    "cancelHistoricalTicks": _REQ_ID,
}  # fmt: skip

_RESEARCH: dict[str, Table] = {
    "reqNewsBulletins": flag(allMessages=1),
    "cancelNewsBulletins": _NOTHING,
    "reqNewsArticle": (*_REQ_ID, *text(providerCode=2, articleId=3), Options(4, "options")),
    "reqNewsProviders": _NOTHING,
    "reqHistoricalNews": (
        *_REQ_ID, *integer(conId=2), *text(providerCodes=3, startDateTime=4, endDateTime=5), *integer(totalResults=6),
        Options(7, "options"),
    ),
    "reqWshMetaData": _REQ_ID,
    "cancelWshMetaData": _REQ_ID,
    "reqWshEventData": (
        *_REQ_ID, *integer(conId=2), *text(filter=3), *flag(fillWatchlist=4, fillPortfolio=5, fillCompetitors=6),
        *text(startDate=7, endDate=8), *integer(totalLimit=9),
    ),
    "cancelWshEventData": _REQ_ID,
    "reqScannerParameters": _NOTHING,
    "reqScannerSubscription": (
        *_REQ_ID,
        Inline(
            2,
            (
                *integer(numberOfRows=1), *text(instrument=2, locationCode=3, scanCode=4),
                *number(abovePrice=5, belowPrice=6), *integer(aboveVolume=7), *number(marketCapAbove=8),
                *number(marketCapBelow=9), *text(moodyRatingAbove=10, moodyRatingBelow=11, spRatingAbove=12),
                *text(spRatingBelow=13, maturityDateAbove=14, maturityDateBelow=15),
                *number(couponRateAbove=16, couponRateBelow=17), *flag(excludeConvertible=18),
                *integer(averageOptionVolumeAbove=19), *text(scannerSettingPairs=20, stockTypeFilter=21),
                Options(22, "filterOptions"), Options(23, "options"),
            ),
        ),
    ),
    "cancelScannerSubscription": _REQ_ID,
    "reqFundamentalData": (*_REQ_ID, _CONTRACT, *text(reportType=3)),
    "cancelFundamentalData": _REQ_ID,
}  # fmt: skip

REQUEST_TABLES: dict[str, Table] = _ORDERS | _ACCOUNTS | _MARKET | _HISTORY | _RESEARCH
"""The protobuf form of every request that has one, by the name of its text layout."""

_UNSET: dict[Kind, Callable[[], object]] = {
    Kind.INT: lambda: None, Kind.NUMBER: lambda: None, Kind.FLAG: lambda: False, Kind.TEXT: str, Kind.ESCAPED: str,
}  # fmt: skip


def decode_request(layout: Layout, payload: bytes) -> Message:
    """Return the request in `payload`, with every value its text form would have.

    Raises:
        FieldError: when the request has no protobuf form, or the bytes are not it.
    """
    table = REQUEST_TABLES.get(layout.name)
    if table is None:
        raise FieldError(f"{layout.name} has no protobuf form", {})
    values = decode(layout.name, table, payload)
    if layout.name == "placeOrder":
        values["conditions"] = conditions_as_text(values.get("conditions", []))
        legs_as_text(values)
    _fill(layout.plan(_TEXT_VERSION).items, values)
    return Message(layout.name, values)


def _fill(items: tuple[Item, ...], values: Values) -> None:
    """Give `values` what the text form would have and protobuf leaves out because it is unset."""
    for item in items:
        if isinstance(item, Field):
            values.setdefault(item.name, _UNSET[item.kind]())
        elif isinstance(item, Many):
            for row in values.setdefault(item.name, []):
                _fill(item.items, row)
        elif isinstance(item, When) and item.test(values):
            _fill(item.items, values)
