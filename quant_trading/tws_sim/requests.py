"""Every request a client may send at server versions 157..225, in one table.

Requests the simulator refuses are here too, with enough of their fields to find the request id that
the error has to carry: a refusal without it leaves a synchronous caller waiting for ever.
"""

from collections.abc import Mapping
from typing import Any

from quant_trading.tws_sim.fields import Fixed, Item, Layout, Many, Rest, When
from quant_trading.tws_sim.layout_parts import (
    ALGO,
    BENCHMARK,
    COMBO_LEGS,
    CONDITIONS,
    CONTRACT,
    CONTRACT_WITH_PRIMARY,
    DELTA_NEUTRAL_CONTRACT,
    HEDGE,
    MARKET_DATA_LEGS,
    ORDER_LEGS,
    ROUTING,
    SCALE_INCREMENT,
    flag,
    integer,
    is_bag,
    number,
    text,
)  # fmt: skip
from quant_trading.tws_sim.market_layouts import MARKET_REQUESTS

__all__ = ["REFUSED", "REQUESTS", "REQUEST_NAMES"]


def _is_exchange(values: Mapping[str, Any]) -> bool:
    return values.get("exchange") == "IBKRATS"


def _is_peg_best(values: Mapping[str, Any]) -> bool:
    return values.get("orderType") in ("PEG BEST", "PEGBEST")


def _has_mid_offsets(values: Mapping[str, Any]) -> bool:
    if values.get("orderType") in ("PEG MID", "PEGMID"):
        return True
    offset = values.get("competeAgainstBestOffset")
    return _is_peg_best(values) and offset is not None and not offset.is_finite()


def _has_delta_neutral(values: Mapping[str, Any]) -> bool:
    return bool(values.get("deltaNeutralOrderType"))


_VERSION = Fixed("1")
_REQ_ID = integer("reqId")

_PLACE_ORDER: tuple[Item, ...] = (
    *integer("orderId"),
    *CONTRACT_WITH_PRIMARY,
    *text("secIdType", "secId", "action"),
    *number("totalQuantity"),
    *text("orderType"),
    *number("lmtPrice", "auxPrice"),
    *text("tif", "ocaGroup", "account", "openClose"),
    *integer("origin"),
    *text("orderRef"),
    *flag("transmit"),
    *integer("parentId"),
    *flag("blockOrder", "sweepToFill"),
    *integer("displaySize", "triggerMethod"),
    *flag("outsideRth", "hidden"),
    When(is_bag, (COMBO_LEGS, ORDER_LEGS, ROUTING)),
    *text("sharesAllocation"),
    *number("discretionaryAmt"),
    *text("goodAfterTime", "goodTillDate", "faGroup", "faMethod", "faPercentage"),
    *text("faProfile", until=177),
    *text("modelCode"),
    *integer("shortSaleSlot"),
    *text("designatedLocation"),
    *integer("exemptCode", "ocaType"),
    *text("rule80A", "settlingFirm"),
    *flag("allOrNone"),
    *integer("minQty"),
    *number("percentOffset"),
    *flag("eTradeOnly", "firmQuoteOnly"),
    *number("nbboPriceCap"),
    *integer("auctionStrategy"),
    *number("startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper"),
    *flag("overridePercentageConstraints"),
    *number("volatility"),
    *integer("volatilityType"),
    *text("deltaNeutralOrderType"),
    *number("deltaNeutralAuxPrice"),
    When(
        _has_delta_neutral,
        (
            *integer("deltaNeutralConId"),
            *text("deltaNeutralSettlingFirm", "deltaNeutralClearingAccount", "deltaNeutralClearingIntent"),
            *text("deltaNeutralOpenClose"),
            *flag("deltaNeutralShortSale"),
            *integer("deltaNeutralShortSaleSlot"),
            *text("deltaNeutralDesignatedLocation"),
        ),
    ),
    *flag("continuousUpdate"),
    *integer("referencePriceType"),
    *number("trailStopPrice", "trailingPercent"),
    *integer("scaleInitLevelSize", "scaleSubsLevelSize"),
    *SCALE_INCREMENT,
    *text("scaleTable", "activeStartTime", "activeStopTime"),
    *HEDGE,
    *flag("optOutSmartRouting"),
    *text("clearingAccount", "clearingIntent"),
    *flag("notHeld"),
    *DELTA_NEUTRAL_CONTRACT,
    *ALGO,
    *text("algoId"),
    *flag("whatIf"),
    *text("orderMiscOptions"),
    *flag("solicited", "randomizeSize", "randomizePrice"),
    BENCHMARK,
    *CONDITIONS,
    *text("adjustedOrderType"),
    *number("triggerPrice", "lmtPriceOffset", "adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount"),
    *integer("adjustableTrailingUnit"),
    *text("extOperator", "softDollarTierName", "softDollarTierValue"),
    *number("cashQty"),
    *text("mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo"),
    *flag("dontUseAutoPriceForHedge", "isOmsContainer", "discretionaryUpToLimitPrice"),
    *text("usePriceMgmtAlgo"),  # three-valued: 0, 1 or empty
    *integer("duration", since=158),
    *integer("postToAts", since=160),
    *flag("autoCancelParent", since=162),
    *text("advancedErrorOverride", since=166),
    *text("manualOrderTime", since=169),
    When(_is_exchange, integer("minTradeQty"), since=170),
    When(_is_peg_best, (*integer("minCompeteSize"), *number("competeAgainstBestOffset")), since=170),
    When(_has_mid_offsets, number("midOffsetAtWhole", "midOffsetAtHalf"), since=170),
    *text("customerAccount", since=183),
    *flag("professionalCustomer", since=184),
    # The fields of requests for quotes lived for three versions; the indicator came back at 192.
    *text("externalUserId", since=187, until=190),
    *integer("manualOrderIndicator", since=187, until=190),
    *flag("includeOvernight", since=189),
    *integer("manualOrderIndicator", since=192),
    *flag("imbalanceOnly", since=199),
)

_CANCEL_TAIL: tuple[Item, ...] = (
    *text("extOperator", since=192),
    *integer("manualOrderIndicator", since=192),
)

_SERVED: tuple[Layout, ...] = (
    Layout(
        1,
        "reqMktData",
        (
            Fixed("11"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *MARKET_DATA_LEGS, *DELTA_NEUTRAL_CONTRACT,
            *text("genericTicks"), *flag("snapshot", "regulatorySnapshot"), *text("options"),
        ),
    ),
    Layout(2, "cancelMktData", (Fixed("2"), *_REQ_ID)),
    Layout(3, "placeOrder", _PLACE_ORDER),
    Layout(
        4,
        "cancelOrder",
        (
            Fixed("1", until=192), *integer("orderId"), *text("manualCancelOrderTime", since=169),
            *text("extOperator", "externalUserId", since=187, until=190),
            *integer("manualOrderIndicator", since=187, until=190), *_CANCEL_TAIL,
        ),
    ),
    Layout(5, "reqOpenOrders", (_VERSION,)),
    Layout(6, "reqAccountUpdates", (Fixed("2"), *flag("subscribe"), *text("account"))),
    Layout(
        7,
        "reqExecutions",
        (
            Fixed("3"), *_REQ_ID, *integer("clientId"),
            *text("account", "time", "symbol", "secType", "exchange", "side"),
            *integer("lastNDays", since=200), Many("specificDates", text("date"), since=200),
        ),
    ),
    Layout(8, "reqIds", (_VERSION, *integer("count"))),
    Layout(
        9,
        "reqContractDetails",
        (
            Fixed("8"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *flag("includeExpired"), *text("secIdType", "secId"),
            *text("issuerId", since=176),
        ),
    ),
    Layout(14, "setServerLogLevel", (_VERSION, *integer("level"))),
    Layout(15, "reqAutoOpenOrders", (_VERSION, *flag("autoBind"))),
    Layout(16, "reqAllOpenOrders", (_VERSION,)),
    Layout(17, "reqManagedAccts", (_VERSION,)),
    Layout(
        20,
        "reqHistoricalData",
        (
            *_REQ_ID, *CONTRACT_WITH_PRIMARY, *flag("includeExpired"),
            *text("endDateTime", "barSize", "duration"), *flag("useRth"), *text("whatToShow"), *integer("formatDate"),
            *MARKET_DATA_LEGS, *flag("keepUpToDate"), *text("options"),
        ),
    ),
    Layout(25, "cancelHistoricalData", (_VERSION, *_REQ_ID)),
    Layout(49, "reqCurrentTime", (_VERSION,)),
    Layout(58, "reqGlobalCancel", (Fixed("1", until=192), *_CANCEL_TAIL)),
    Layout(59, "reqMarketDataType", (_VERSION, *integer("marketDataType"))),
    Layout(61, "reqPositions", (_VERSION,)),
    Layout(62, "reqAccountSummary", (_VERSION, *_REQ_ID, *text("group", "tags"))),
    Layout(63, "cancelAccountSummary", (_VERSION, *_REQ_ID)),
    Layout(64, "cancelPositions", (_VERSION,)),
    Layout(71, "startApi", (Fixed("2"), *integer("clientId"), *text("optionalCapabilities"))),
    Layout(74, "reqPositionsMulti", (_VERSION, *_REQ_ID, *text("account", "modelCode"))),
    Layout(75, "cancelPositionsMulti", (_VERSION, *_REQ_ID)),
    Layout(76, "reqAccountUpdatesMulti", (_VERSION, *_REQ_ID, *text("account", "modelCode"), *flag("ledgerAndNLV"))),
    Layout(77, "cancelAccountUpdatesMulti", (_VERSION, *_REQ_ID)),
    Layout(79, "reqSoftDollarTiers", _REQ_ID),
    Layout(80, "reqFamilyCodes", ()),
    Layout(81, "reqMatchingSymbols", (*_REQ_ID, *text("pattern"))),
    Layout(82, "reqMktDepthExchanges", ()),
    Layout(85, "reqNewsProviders", ()),
    Layout(
        87,
        "reqHeadTimeStamp",
        (*_REQ_ID, *CONTRACT_WITH_PRIMARY, *flag("includeExpired", "useRth"), *text("whatToShow"),
         *integer("formatDate")),
    ),
    Layout(90, "cancelHeadTimeStamp", _REQ_ID),
    Layout(91, "reqMarketRule", integer("marketRuleId")),
    Layout(92, "reqPnL", (*_REQ_ID, *text("account", "modelCode"))),
    Layout(93, "cancelPnL", _REQ_ID),
    Layout(94, "reqPnLSingle", (*_REQ_ID, *text("account", "modelCode"), *integer("conId"))),
    Layout(95, "cancelPnLSingle", _REQ_ID),
    Layout(99, "reqCompletedOrders", flag("apiOnly")),
    Layout(104, "reqUserInfo", _REQ_ID),
    Layout(105, "reqCurrentTimeInMillis", ()),
    # From here on clients know these in protobuf only; the text forms are what they would be.
    Layout(106, "cancelContractData", _REQ_ID),
    Layout(107, "cancelHistoricalTicks", _REQ_ID),
    Layout(108, "reqConfig", _REQ_ID),
    Layout(109, "updateConfig", _REQ_ID),
)  # fmt: skip


# What real advisors, models and calendars would answer; here most of it ends in TWS's own refusal.
_REFERENCE: tuple[Layout, ...] = (
    Layout(18, "requestFA", (_VERSION, *integer("faDataType"))),
    Layout(19, "replaceFA", (_VERSION, *integer("faDataType"), *text("xml"), *_REQ_ID)),
    Layout(
        21,
        "exerciseOptions",
        (
            Fixed("2"), *_REQ_ID, *CONTRACT, *integer("exerciseAction", "exerciseQuantity"), *text("account"),
            *flag("override"), *text("manualOrderTime", since=180), *text("customerAccount", since=183),
            *flag("professionalCustomer", since=184),
        ),
    ),
    Layout(
        52,
        "reqFundamentalData",
        (
            Fixed("2"), *_REQ_ID, *integer("conId"),
            *text("symbol", "secType", "exchange", "primaryExchange", "currency", "localSymbol", "reportType"),
            Rest("rest"),
        ),
    ),
    Layout(53, "cancelFundamentalData", (_VERSION, *_REQ_ID)),
    Layout(
        54,
        "calculateImpliedVolatility",
        (Fixed("3"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *number("optionPrice", "underPrice"), Rest("rest")),
    ),
    Layout(
        55,
        "calculateOptionPrice",
        (Fixed("3"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *number("volatility", "underPrice"), Rest("rest")),
    ),
    Layout(56, "cancelCalculateImpliedVolatility", (_VERSION, *_REQ_ID)),
    Layout(57, "cancelCalculateOptionPrice", (_VERSION, *_REQ_ID)),
    Layout(65, "verifyRequest", (_VERSION, *text("apiName", "apiVersion"))),
    Layout(66, "verifyMessage", (_VERSION, *text("apiData"))),
    Layout(67, "queryDisplayGroups", (_VERSION, *_REQ_ID)),
    Layout(68, "subscribeToGroupEvents", (_VERSION, *_REQ_ID, *integer("groupId"))),
    Layout(69, "updateDisplayGroup", (_VERSION, *_REQ_ID, *text("contractInfo"))),
    Layout(70, "unsubscribeFromGroupEvents", (_VERSION, *_REQ_ID)),
    Layout(72, "verifyAndAuthRequest", (_VERSION, *text("apiName", "apiVersion", "opaqueIsvKey"))),
    Layout(73, "verifyAndAuthMessage", (_VERSION, *text("apiData", "xyzResponse"))),
    Layout(83, "reqSmartComponents", (*_REQ_ID, *text("bboExchange"))),
    Layout(
        88,
        "reqHistogramData",
        (*_REQ_ID, *CONTRACT_WITH_PRIMARY, *flag("includeExpired", "useRth"), *text("timePeriod")),
    ),
    Layout(89, "cancelHistogramData", _REQ_ID),
    Layout(100, "reqWshMetaData", _REQ_ID),
    Layout(101, "cancelWshMetaData", _REQ_ID),
    Layout(
        102,
        "reqWshEventData",
        (
            *_REQ_ID, *integer("conId"), *text("filter", since=171),
            *flag("fillWatchlist", "fillPortfolio", "fillCompetitors", since=171),
            *text("startDate", "endDate", since=173), *integer("totalLimit", since=173),
        ),
    ),
    Layout(103, "cancelWshEventData", _REQ_ID),
)  # fmt: skip


REQUESTS: dict[int, Layout] = {layout.id: layout for layout in (*_SERVED, *_REFERENCE, *MARKET_REQUESTS)}
"""Request layouts by message id."""

REQUEST_NAMES: dict[str, Layout] = {layout.name: layout for layout in REQUESTS.values()}
"""Request layouts by name; the names are those of the official client's methods."""

REFUSED: frozenset[str] = frozenset()
"""Names of the requests that are understood and answered with an error."""
