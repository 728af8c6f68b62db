"""How the official client's user asks for what a request of ours holds: its methods and the objects they take."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import Values

# Our words and those of the client's classes, where they differ.
_CONTRACT = {
    "conId": "conId", "symbol": "symbol", "secType": "secType", "lastTradeDate": "lastTradeDateOrContractMonth",
    "strike": "strike", "right": "right", "multiplier": "multiplier", "exchange": "exchange",
    "primaryExchange": "primaryExchange", "currency": "currency", "localSymbol": "localSymbol",
    "tradingClass": "tradingClass", "includeExpired": "includeExpired", "secIdType": "secIdType", "secId": "secId",
    "issuerId": "issuerId",
}  # fmt: skip
UNSET = 2147483647
_CONDITION = {1: "PriceCondition", 3: "TimeCondition", 4: "MarginCondition", 5: "ExecutionCondition",
              6: "VolumeCondition", 7: "PercentChangeCondition"}  # fmt: skip
_CONDITION_VALUE = {1: ("price", float), 3: ("time", str), 4: ("percent", int), 6: ("volume", int),
                    7: ("changePercent", float)}  # fmt: skip


def _json(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def contract_of(values: Values) -> dict[str, Any]:
    """Return the client's contract for ours."""
    attributes: dict[str, Any] = {
        theirs: _json(values[ours]) for ours, theirs in _CONTRACT.items() if values.get(ours) is not None
    }
    legs = values.get("comboLegs") or values.get("legs")
    if legs:
        attributes["comboLegs"] = [{"=ComboLeg": dict(leg)} for leg in legs]
    if values.get("hasDeltaNeutral"):
        attributes["deltaNeutralContract"] = {
            "=DeltaNeutralContract": {
                "conId": values["deltaNeutralContractConId"], "delta": _json(values["deltaNeutralDelta"]),
                "price": _json(values["deltaNeutralPrice"]),
            }
        }  # fmt: skip
    return {"=Contract": attributes}


def order_of(values: Values, *, has_decimals: bool) -> dict[str, Any]:
    """Return the client's order for ours; everything it has no attribute for is left out by the driver."""
    attributes = {
        name: _json(value)
        for name, value in values.items()
        if name not in _CONTRACT and not isinstance(value, list) and value is not None
    }
    quantity = values["totalQuantity"]
    attributes["totalQuantity"] = {"=decimal": str(quantity)} if has_decimals else float(quantity)
    attributes["usePriceMgmtAlgo"] = {"1": True, "0": False}.get(values["usePriceMgmtAlgo"])
    attributes["orderMiscOptions"] = tag_values(values["orderMiscOptions"])
    attributes["softDollarTier"] = {
        "=SoftDollarTier": {"name": values["softDollarTierName"], "val": values["softDollarTierValue"]}
    }
    for name in ("algoParams", "smartComboRoutingParams"):
        if values.get(name):
            attributes[name] = [{"=TagValue": dict(row)} for row in values[name]]
    if values.get("orderComboLegs"):
        attributes["orderComboLegs"] = [
            {"=OrderComboLeg": {"price": _json(row["price"])}} for row in values["orderComboLegs"]
        ]
    attributes["conditions"] = [_condition(row) for row in values["conditions"]]
    return {"=Order": attributes}


def _condition(row: Values) -> dict[str, Any]:
    kind = row["condType"]
    attributes = {name: value for name, value in row.items() if name not in ("condType", "conjunction", "value")}
    attributes["isConjunctionConnection"] = row["conjunction"] == "a"
    if kind in _CONDITION_VALUE:
        name, convert = _CONDITION_VALUE[kind]
        attributes[name] = convert(row["value"])
    return {f"={_CONDITION[kind]}": attributes}


def tag_values(text: str) -> list[dict[str, Any]]:
    """Return the client's list of tags for our text "tag=value;"."""
    pairs = (part.partition("=") for part in text.split(";") if part)
    return [{"=TagValue": {"tag": tag, "value": value}} for tag, _, value in pairs]


def _object(name: str, values: Values, words: dict[str, str]) -> dict[str, Any]:
    return {f"={name}": {theirs: _json(values[ours]) for ours, theirs in words.items() if values.get(ours) is not None}}


_FILTER = {"clientId": "clientId", "account": "acctCode", "time": "time", "symbol": "symbol", "secType": "secType",
           "exchange": "exchange", "side": "side", "lastNDays": "lastNDays"}  # fmt: skip
_WSH = {name: name for name in ("conId", "filter", "fillWatchlist", "fillPortfolio", "fillCompetitors", "startDate",
                                "endDate", "totalLimit")}  # fmt: skip
_SCAN = {name: name for name in (
    "numberOfRows", "instrument", "locationCode", "scanCode", "abovePrice", "belowPrice", "aboveVolume",
    "marketCapAbove", "marketCapBelow", "moodyRatingAbove", "moodyRatingBelow", "spRatingAbove", "spRatingBelow",
    "maturityDateAbove", "maturityDateBelow", "couponRateAbove", "couponRateBelow", "excludeConvertible",
    "averageOptionVolumeAbove", "scannerSettingPairs", "stockTypeFilter",
)}  # fmt: skip


def _executions(v: Values) -> list[Any]:
    filters = _object("ExecutionFilter", v, _FILTER)
    if "specificDates" in v:
        filters["=ExecutionFilter"]["specificDates"] = [int(row["date"]) for row in v["specificDates"]]
    return [v["reqId"], filters]


def _cancel(v: Values) -> list[Any]:
    words = {"manualCancelOrderTime": "manualOrderCancelTime", "extOperator": "extOperator",
             "externalUserId": "externalUserId", "manualOrderIndicator": "manualOrderIndicator"}  # fmt: skip
    return [_object("OrderCancel", v, words)]


def _words(*names: str) -> Callable[[Values], list[Any]]:
    return lambda values: [_json(values[name]) for name in names]


_ONE = _words("reqId")

CALLS: dict[str, Callable[[Values], list[Any]]] = {
    "reqMktData": lambda v: [v["reqId"], contract_of(v), v["genericTicks"], v["snapshot"], v["regulatorySnapshot"],
                             tag_values(v["options"])],
    "cancelMktData": _ONE,
    "cancelOrder": lambda v: [v["orderId"], *_cancel(v)],
    "reqGlobalCancel": _cancel,
    "reqOpenOrders": _words(), "reqAllOpenOrders": _words(), "reqAutoOpenOrders": _words("autoBind"),
    "reqAccountUpdates": _words("subscribe", "account"),
    "reqExecutions": _executions,
    "reqIds": _words("count"),
    "reqContractDetails": lambda v: [v["reqId"], contract_of(v)],
    "reqMktDepth": lambda v: [v["reqId"], contract_of(v), v["numRows"], v["isSmartDepth"], tag_values(v["options"])],
    "cancelMktDepth": _words("reqId", "isSmartDepth"),
    "reqNewsBulletins": _words("allMessages"), "cancelNewsBulletins": _words(),
    "setServerLogLevel": _words("level"),
    "reqManagedAccts": _words(),
    "requestFA": _words("faDataType"), "replaceFA": _words("reqId", "faDataType", "xml"),
    "reqHistoricalData": lambda v: [v["reqId"], contract_of(v), v["endDateTime"], v["duration"], v["barSize"],
                                    v["whatToShow"], v["useRth"], v["formatDate"], v["keepUpToDate"],
                                    tag_values(v["options"])],
    "cancelHistoricalData": _ONE,
    "exerciseOptions": lambda v: [v["reqId"], contract_of(v), v["exerciseAction"], v["exerciseQuantity"], v["account"],
                                  v["override"], v.get("manualOrderTime", ""), v.get("customerAccount", ""),
                                  v.get("professionalCustomer", False)],
    "reqScannerSubscription": lambda v: [v["reqId"], _object("ScannerSubscription", v, _SCAN),
                                         tag_values(v["options"]), tag_values(v["filterOptions"])],
    "cancelScannerSubscription": _ONE, "reqScannerParameters": _words(),
    "reqCurrentTime": _words(), "reqCurrentTimeInMillis": _words(),
    "reqRealTimeBars": lambda v: [v["reqId"], contract_of(v), v["barSize"], v["whatToShow"], v["useRth"],
                                  tag_values(v["options"])],
    "cancelRealTimeBars": _ONE,
    "reqFundamentalData": lambda v: [v["reqId"], contract_of(v), v["reportType"], []],
    "cancelFundamentalData": _ONE,
    "calculateImpliedVolatility": lambda v: [v["reqId"], contract_of(v), _json(v["optionPrice"]),
                                             _json(v["underPrice"]), []],
    "calculateOptionPrice": lambda v: [v["reqId"], contract_of(v), _json(v["volatility"]), _json(v["underPrice"]), []],
    "cancelCalculateImpliedVolatility": _ONE, "cancelCalculateOptionPrice": _ONE,
    "reqMarketDataType": _words("marketDataType"),
    "reqPositions": _words(), "cancelPositions": _words(),
    "reqAccountSummary": _words("reqId", "group", "tags"), "cancelAccountSummary": _ONE,
    "queryDisplayGroups": _ONE, "subscribeToGroupEvents": _words("reqId", "groupId"),
    "updateDisplayGroup": _words("reqId", "contractInfo"), "unsubscribeFromGroupEvents": _ONE,
    "startApi": _words(),
    "reqPositionsMulti": _words("reqId", "account", "modelCode"), "cancelPositionsMulti": _ONE,
    "reqAccountUpdatesMulti": _words("reqId", "account", "modelCode", "ledgerAndNLV"),
    "cancelAccountUpdatesMulti": _ONE,
    "reqSecDefOptParams": _words("reqId", "underlyingSymbol", "futFopExchange", "underlyingSecType", "underlyingConId"),
    "reqSoftDollarTiers": _ONE, "reqFamilyCodes": _words(), "reqMatchingSymbols": _words("reqId", "pattern"),
    "reqMktDepthExchanges": _words(), "reqSmartComponents": _words("reqId", "bboExchange"),
    "reqNewsArticle": lambda v: [v["reqId"], v["providerCode"], v["articleId"], tag_values(v["options"])],
    "reqNewsProviders": _words(),
    "reqHistoricalNews": lambda v: [v["reqId"], v["conId"], v["providerCodes"], v["startDateTime"], v["endDateTime"],
                                    v["totalResults"], tag_values(v["options"])],
    "reqHeadTimeStamp": lambda v: [v["reqId"], contract_of(v), v["whatToShow"], int(v["useRth"]), v["formatDate"]],
    "cancelHeadTimeStamp": _ONE,
    "reqHistogramData": lambda v: [v["reqId"], contract_of(v), v["useRth"], v["timePeriod"]],
    "cancelHistogramData": _ONE,
    "reqMarketRule": _words("marketRuleId"),
    "reqPnL": _words("reqId", "account", "modelCode"), "cancelPnL": _ONE,
    "reqPnLSingle": _words("reqId", "account", "modelCode", "conId"), "cancelPnLSingle": _ONE,
    "reqHistoricalTicks": lambda v: [v["reqId"], contract_of(v), v["startDateTime"], v["endDateTime"],
                                     v["numberOfTicks"], v["whatToShow"], int(v["useRth"]), v["ignoreSize"],
                                     tag_values(v["options"])],
    "reqTickByTickData": lambda v: [v["reqId"], contract_of(v), v["tickType"], v["numberOfTicks"], v["ignoreSize"]],
    "cancelTickByTickData": _ONE,
    "reqCompletedOrders": _words("apiOnly"),
    "reqWshMetaData": _ONE, "cancelWshMetaData": _ONE,
    # 10.30 cannot send it without the third argument, whose name hides the version it compares with.
    "reqWshEventData": lambda v: [v["reqId"], _object("WshEventData", {"totalLimit": UNSET} | v, _WSH), 173],
    "cancelWshEventData": _ONE,
    "reqUserInfo": _ONE,
    "cancelContractData": _ONE, "cancelHistoricalTicks": _ONE,
}  # fmt: skip
"""The arguments of each of the client's methods, from our values."""
