"""Every answer the simulator sends at server versions 157..200 and, as text, above, in one table.

Layouts were read from what the clients parse; both directions come from the same list, so a test can
read back what was sent.
"""

from quant_trading.tws_sim.fields import UNSET_DOUBLE, Field, Fixed, Item, Kind, Layout, Many, When
from quant_trading.tws_sim.layout_parts import (
    ALGO,
    BENCHMARK,
    BOND,
    COMBO_LEGS,
    CONDITIONS,
    CONTRACT,
    DELTA_NEUTRAL_CONTRACT,
    FUND,
    HEDGE,
    ORDER_LEGS,
    ORDER_PREVIEW,
    PEG_TAIL,
    ROUTING,
    SCALE_INCREMENT,
    escaped,
    flag,
    integer,
    number,
    text,
)  # fmt: skip
from quant_trading.tws_sim.market_layouts import MARKET_RESPONSES

__all__ = ["FOLLOW_UPS", "RESPONSES", "RESPONSE_NAMES"]

_VERSION = Fixed("1")
_REQ_ID = integer("reqId")


def _unset_double(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, Kind.NUMBER, unset=UNSET_DOUBLE) for name in names)


# An open order and a completed one share most of their fields, but not all: the groups below are what
# they share, in wire order; each layout then adds its own between them.
_ORDER_HEAD: tuple[Item, ...] = (
    *CONTRACT,
    *text("action"),
    *number("totalQuantity"),
    *text("orderType"),
    *number("lmtPrice", "auxPrice"),
    *text("tif", "ocaGroup", "account", "openClose"),
    *integer("origin"),
    *text("orderRef"),
)

_FINANCIAL_ADVISOR: tuple[Item, ...] = (
    *text("faGroup", "faMethod", "faPercentage"),
    *text("faProfile", until=177),
    *text("modelCode", "goodTillDate", "rule80A"),
    *number("percentOffset"),
    *text("settlingFirm"),
    *integer("shortSaleSlot"),
    *text("designatedLocation"),
    *integer("exemptCode"),
)

_BOX: tuple[Item, ...] = number("startingPrice", "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper")

_VOLATILITY: tuple[Item, ...] = (
    *number("volatility"),
    *integer("volatilityType"),
    *text("deltaNeutralOrderType"),
    *number("deltaNeutralAuxPrice"),
)

_SCALE: tuple[Item, ...] = (*integer("scaleInitLevelSize", "scaleSubsLevelSize"), *SCALE_INCREMENT, *HEDGE)

_OPEN_ORDER: tuple[Item, ...] = (
    *integer("orderId"),
    *_ORDER_HEAD,
    *integer("clientId", "permId"),
    *flag("outsideRth", "hidden"),
    *number("discretionaryAmt"),
    *text("goodAfterTime", "sharesAllocation"),
    *_FINANCIAL_ADVISOR,
    *integer("auctionStrategy"),
    *_BOX,
    *integer("displaySize"),
    *flag("blockOrder", "sweepToFill", "allOrNone"),
    *integer("minQty", "ocaType"),
    *flag("eTradeOnly", "firmQuoteOnly"),
    *number("nbboPriceCap"),
    *integer("parentId", "triggerMethod"),
    *_VOLATILITY,
    When(
        lambda values: bool(values.get("deltaNeutralOrderType")),
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
    *number("trailStopPrice", "trailingPercent", "basisPoints"),
    *integer("basisPointsType"),
    *text("comboLegsDescrip"),
    COMBO_LEGS,
    ORDER_LEGS,
    ROUTING,
    *_SCALE,
    *flag("optOutSmartRouting"),
    *text("clearingAccount", "clearingIntent"),
    *flag("notHeld"),
    *DELTA_NEUTRAL_CONTRACT,
    *ALGO,
    *flag("solicited", "whatIf"),
    *text("status"),
    # Margins are texts in every client; absent ones are the largest double (read).
    *_unset_double("initMarginBefore", "maintMarginBefore", "equityWithLoanBefore"),
    *_unset_double("initMarginChange", "maintMarginChange", "equityWithLoanChange"),
    *_unset_double("initMarginAfter", "maintMarginAfter", "equityWithLoanAfter"),
    *number("commission", "minCommission", "maxCommission"),
    *text("commissionCurrency"),
    *ORDER_PREVIEW,
    *text("warningText"),
    *flag("randomizeSize", "randomizePrice"),
    BENCHMARK,
    *CONDITIONS,
    *text("adjustedOrderType"),
    *number("triggerPrice", "trailStopPrice", "lmtPriceOffset"),
    *number("adjustedStopPrice", "adjustedStopLimitPrice", "adjustedTrailingAmount"),
    *integer("adjustableTrailingUnit"),
    *text("softDollarTierName", "softDollarTierValue", "softDollarTierDisplayName"),
    *number("cashQty"),
    *flag("dontUseAutoPriceForHedge", "isOmsContainer", "discretionaryUpToLimitPrice"),
    *text("usePriceMgmtAlgo"),
    # One client reads `duration` from 159 on, the others from 158: nobody is ever given exactly 158.
    *integer("duration", since=158),
    *integer("postToAts", since=160),
    *flag("autoCancelParent", since=162),
    *PEG_TAIL,
    *text("customerAccount", since=183),
    *flag("professionalCustomer", since=184),
    *text("bondAccruedInterest", since=185),
    *flag("includeOvernight", since=189),
    *text("extOperator", since=193),
    *integer("manualOrderIndicator", since=193),
    *text("submitter", since=198),
    *flag("imbalanceOnly", since=199),
)

_COMPLETED_ORDER: tuple[Item, ...] = (
    *_ORDER_HEAD,
    *integer("permId"),
    *flag("outsideRth", "hidden"),
    *number("discretionaryAmt"),
    *text("goodAfterTime"),
    *_FINANCIAL_ADVISOR,
    *_BOX,
    *integer("displaySize"),
    *flag("sweepToFill", "allOrNone"),
    *integer("minQty", "ocaType", "triggerMethod"),
    *_VOLATILITY,
    When(
        lambda values: bool(values.get("deltaNeutralOrderType")),
        (
            *integer("deltaNeutralConId"),
            *flag("deltaNeutralShortSale"),
            *integer("deltaNeutralShortSaleSlot"),
            *text("deltaNeutralDesignatedLocation"),
        ),
    ),
    *flag("continuousUpdate"),
    *integer("referencePriceType"),
    *number("trailStopPrice", "trailingPercent"),
    *text("comboLegsDescrip"),
    COMBO_LEGS,
    ORDER_LEGS,
    ROUTING,
    *_SCALE,
    *text("clearingAccount", "clearingIntent"),
    *flag("notHeld"),
    *DELTA_NEUTRAL_CONTRACT,
    *ALGO,
    *flag("solicited"),
    *text("status"),
    *flag("randomizeSize", "randomizePrice"),
    BENCHMARK,
    *CONDITIONS,
    *number("trailStopPrice", "lmtPriceOffset", "cashQty"),
    *flag("dontUseAutoPriceForHedge", "isOmsContainer"),
    *text("autoCancelDate"),
    *number("filledQuantity"),
    *integer("refFuturesConId"),
    *flag("autoCancelParent"),
    *text("shareholder"),
    *flag("imbalanceOnly", "routeMarketableToBbo"),
    *integer("parentPermId"),
    *text("completedTime", "completedStatus"),
    *PEG_TAIL,
    *text("customerAccount", since=183),
    *flag("professionalCustomer", since=184),
    *text("submitter", since=198),
)

_CONTRACT_DETAILS: tuple[Item, ...] = (
    Fixed("8", until=164),
    *_REQ_ID,
    *text("symbol", "secType", "lastTradeDate"),
    *text("lastTradeDay", since=182),
    *number("strike"),
    *text("right", "exchange", "currency", "localSymbol", "marketName", "tradingClass"),
    *integer("conId"),
    *number("minTick"),
    *integer("mdSizeMultiplier", until=164),
    *text("multiplier", "orderTypes", "validExchanges"),
    *integer("priceMagnifier", "underConId"),
    *escaped("longName"),
    *text("primaryExchange", "contractMonth", "industry", "category", "subcategory"),
    *text("timeZoneId", "tradingHours", "liquidHours", "evRule"),
    *integer("evMultiplier"),
    Many("secIdList", text("tag", "value")),
    *integer("aggGroup"),
    *text("underSymbol", "underSecType", "marketRuleIds", "realExpirationDate", "stockType"),
    *number("suggestedSizeIncrement", since=163, until=164),
    *number("minSize", "sizeIncrement", "suggestedSizeIncrement", since=164),
    FUND,
    Many("ineligibilityReasons", text("id", "description"), since=186),
)

_EXECUTION: tuple[Item, ...] = (
    *integer("reqId", "orderId"),
    *CONTRACT,
    *text("execId", "time", "account", "execExchange", "side"),
    *number("shares", "price"),
    *integer("permId", "clientId", "liquidation"),
    *number("cumQty", "avgPrice"),
    *text("orderRef", "evRule"),
    *number("evMultiplier"),
    *text("modelCode"),
    *integer("lastLiquidity"),
    *flag("pendingPriceRevision", since=178),
    *text("submitter", since=198),
)

_PORTFOLIO: tuple[Item, ...] = (
    Fixed("8"),
    *integer("conId"),
    *text("symbol", "secType", "lastTradeDate"),
    *number("strike"),
    *text("right", "multiplier", "primaryExchange", "currency", "localSymbol", "tradingClass"),
    *number("position", "marketPrice", "marketValue", "averageCost", "unrealizedPNL", "realizedPNL"),
    *text("account"),
)

_BAR: tuple[Item, ...] = (
    *text("date"), *number("open", "high", "low", "close", "volume", "wap"), *integer("count"),
)  # fmt: skip

_SYMBOL_SAMPLE: tuple[Item, ...] = (
    *integer("conId"),
    *text("symbol", "secType", "primaryExchange", "currency"),
    Many("derivativeSecTypes", text("secType")),
    *text("description", "issuerId", since=176),
)

_ACCOUNT_VALUE: tuple[Item, ...] = text("key", "value", "currency")

_LAYOUTS: tuple[Layout, ...] = (
    Layout(1, "tickPrice", (Fixed("6"), *_REQ_ID, *integer("tickType"), *number("price", "size"), *integer("attribs"))),
    Layout(2, "tickSize", (Fixed("6"), *_REQ_ID, *integer("tickType"), *number("size"))),
    Layout(
        3,
        "orderStatus",
        (
            *integer("orderId"), *text("status"), *number("filled", "remaining", "avgFillPrice"),
            *integer("permId", "parentId"), *number("lastFillPrice"), *integer("clientId"), *text("whyHeld"),
            *number("mktCapPrice"),
        ),
    ),
    Layout(
        4,
        "error",
        (
            Fixed("2", until=194), *integer("reqId", "code"), *escaped("text"), *escaped("rejectJson", since=166),
            *integer("time", since=194),
        ),
    ),
    Layout(5, "openOrder", _OPEN_ORDER),
    Layout(6, "updateAccountValue", (Fixed("2"), *_ACCOUNT_VALUE, *text("account"))),
    Layout(7, "updatePortfolio", _PORTFOLIO),
    Layout(8, "updateAccountTime", (_VERSION, *text("time"))),
    Layout(9, "nextValidId", (_VERSION, *integer("orderId"))),
    Layout(10, "contractDetails", _CONTRACT_DETAILS),
    Layout(11, "execDetails", _EXECUTION),
    Layout(15, "managedAccounts", (_VERSION, *text("accounts"))),
    Layout(16, "receiveFA", (_VERSION, *integer("faDataType"), *text("xml"))),
    Layout(17, "historicalData", (*_REQ_ID, *text("start", "end", until=196), Many("bars", _BAR))),
    Layout(18, "bondContractDetails", BOND),
    Layout(45, "tickGeneric", (Fixed("6"), *_REQ_ID, *integer("tickType"), *number("value"))),
    Layout(46, "tickString", (Fixed("6"), *_REQ_ID, *integer("tickType"), *text("value"))),
    Layout(
        47,
        "tickEFP",
        (
            _VERSION, *_REQ_ID, *integer("tickType"), *number("basisPoints"), *text("formattedBasisPoints"),
            *number("totalDividends"), *integer("holdDays"), *text("futureLastTradeDate"),
            *number("dividendImpact", "dividendsToLastTradeDate"),
        ),
    ),
    Layout(49, "currentTime", (_VERSION, *integer("time"))),
    Layout(51, "fundamentalData", (_VERSION, *_REQ_ID, *text("data"))),
    Layout(52, "contractDetailsEnd", (_VERSION, *_REQ_ID)),
    Layout(53, "openOrderEnd", (_VERSION,)),
    Layout(54, "accountDownloadEnd", (_VERSION, *text("account"))),
    Layout(55, "execDetailsEnd", (_VERSION, *_REQ_ID)),
    Layout(56, "deltaNeutralValidation", (_VERSION, *_REQ_ID, *integer("conId"), *number("delta", "price"))),
    Layout(57, "tickSnapshotEnd", (_VERSION, *_REQ_ID)),
    Layout(58, "marketDataType", (_VERSION, *_REQ_ID, *integer("marketDataType"))),
    Layout(
        59,
        "commissionReport",
        (
            _VERSION, *text("execId"), *number("commission"), *text("currency"), *_unset_double("realizedPNL", "yield"),
            *integer("yieldRedemptionDate"),
        ),
    ),
    Layout(61, "position", (Fixed("3"), *text("account"), *CONTRACT, *number("position", "avgCost"))),
    Layout(62, "positionEnd", (_VERSION,)),
    Layout(63, "accountSummary", (_VERSION, *_REQ_ID, *text("account", "tag", "value", "currency"))),
    Layout(64, "accountSummaryEnd", (_VERSION, *_REQ_ID)),
    Layout(65, "verifyMessageAPI", (_VERSION, *text("apiData"))),
    Layout(66, "verifyCompleted", (_VERSION, *flag("isSuccessful"), *text("errorText"))),
    Layout(67, "displayGroupList", (_VERSION, *_REQ_ID, *text("groups"))),
    Layout(68, "displayGroupUpdated", (_VERSION, *_REQ_ID, *text("contractInfo"))),
    Layout(69, "verifyAndAuthMessageAPI", (_VERSION, *text("apiData", "xyzChallenge"))),
    Layout(70, "verifyAndAuthCompleted", (_VERSION, *flag("isSuccessful"), *text("errorText"))),
    Layout(
        71,
        "positionMulti",
        (_VERSION, *_REQ_ID, *text("account"), *CONTRACT, *number("position", "avgCost"), *text("modelCode")),
    ),
    Layout(72, "positionMultiEnd", (_VERSION, *_REQ_ID)),
    Layout(73, "accountUpdateMulti", (_VERSION, *_REQ_ID, *text("account", "modelCode"), *_ACCOUNT_VALUE)),
    Layout(74, "accountUpdateMultiEnd", (_VERSION, *_REQ_ID)),
    Layout(77, "softDollarTiers", (*_REQ_ID, Many("tiers", text("name", "value", "displayName")))),
    Layout(78, "familyCodes", (Many("codes", text("account", "familyCode")),)),
    Layout(79, "symbolSamples", (*_REQ_ID, Many("samples", _SYMBOL_SAMPLE))),
    Layout(
        80,
        "mktDepthExchanges",
        (Many("exchanges", (*text("exchange", "secType", "listing", "dataType"), *integer("aggGroup"))),),
    ),
    Layout(81, "tickReqParams", (*_REQ_ID, *number("minTick"), *text("bboExchange"), *integer("permissions"))),
    Layout(
        82, "smartComponents", (*_REQ_ID, Many("components", (*integer("bit"), *text("exchange", "exchangeLetter"))))
    ),
    Layout(85, "newsProviders", (Many("providers", text("code", "name")),)),
    Layout(88, "headTimestamp", (*_REQ_ID, *text("timestamp"))),
    Layout(89, "histogramData", (*_REQ_ID, Many("entries", number("price", "size")))),
    Layout(
        90,
        "historicalDataUpdate",
        (
            *_REQ_ID,
            *integer("count"),
            *text("date"),
            *number("open", "close", "high", "low", "wap", "volume"),  # another order than in the answer (read)
        ),
    ),
    Layout(91, "rerouteMktDataReq", (*_REQ_ID, *integer("conId"), *text("exchange"))),
    Layout(92, "rerouteMktDepthReq", (*_REQ_ID, *integer("conId"), *text("exchange"))),
    Layout(93, "marketRule", (*integer("marketRuleId"), Many("increments", number("lowEdge", "increment")))),
    Layout(94, "pnl", (*_REQ_ID, *number("daily"), *_unset_double("unrealized", "realized"))),
    Layout(
        95,
        "pnlSingle",
        (*_REQ_ID, *number("position", "daily"), *_unset_double("unrealized", "realized"), *number("value")),
    ),
    Layout(100, "orderBound", integer("permId", "clientId", "orderId")),
    Layout(101, "completedOrder", _COMPLETED_ORDER),
    Layout(102, "completedOrdersEnd", ()),
    Layout(103, "replaceFAEnd", (*_REQ_ID, *text("text"))),
    Layout(104, "wshMetaData", (*_REQ_ID, *text("dataJson"))),
    Layout(105, "wshEventData", (*_REQ_ID, *text("dataJson"))),
    Layout(107, "userInfo", (*_REQ_ID, *text("whiteBrandingId"))),
    Layout(108, "historicalDataEnd", (*_REQ_ID, *text("start", "end"))),
    Layout(109, "currentTimeInMillis", integer("timeInMillis")),
    # Known to clients in protobuf only.
    Layout(110, "configResponse", _REQ_ID),
    Layout(111, "updateConfigResponse", (*_REQ_ID, *text("status", "message"))),
)  # fmt: skip

_ALL = (*_LAYOUTS, *MARKET_RESPONSES)

RESPONSES: dict[int, Layout] = {layout.id: layout for layout in _ALL}
"""Response layouts by message id."""

RESPONSE_NAMES: dict[str, Layout] = {layout.name: layout for layout in _ALL}
"""Response layouts by name; the names are those of the official client's callbacks."""

FOLLOW_UPS: dict[str, tuple[str, int]] = {"historicalData": ("historicalDataEnd", 196)}
"""Answers that a version split in two: (the second message, since when); it takes the values of the first."""
