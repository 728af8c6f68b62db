"""Every answer the simulator sends at server versions 157..178, in one table.

Layouts were read from what the clients parse; both directions come from the same list, so a test can
read back what was sent.
"""

from quant_trading.tws_sim.fields import UNSET_DOUBLE, Field, Fixed, Item, Kind, Layout, Many, When
from quant_trading.tws_sim.layout_parts import (
    ALGO,
    BENCHMARK,
    COMBO_LEGS,
    CONDITIONS,
    CONTRACT,
    DELTA_NEUTRAL_CONTRACT,
    HEDGE,
    ORDER_LEGS,
    PEG_TAIL,
    ROUTING,
    SCALE_INCREMENT,
    flag,
    integer,
    number,
    text,
)  # fmt: skip

__all__ = ["RESPONSES", "RESPONSE_NAMES"]

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
    *text("commissionCurrency", "warningText"),
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
)

_CONTRACT_DETAILS: tuple[Item, ...] = (
    Fixed("8", until=164),
    *_REQ_ID,
    *text("symbol", "secType", "lastTradeDate"),
    *number("strike"),
    *text("right", "exchange", "currency", "localSymbol", "marketName", "tradingClass"),
    *integer("conId"),
    *number("minTick"),
    *integer("mdSizeMultiplier", until=164),
    *text("multiplier", "orderTypes", "validExchanges"),
    *integer("priceMagnifier", "underConId"),
    *text("longName", "primaryExchange", "contractMonth", "industry", "category", "subcategory"),
    *text("timeZoneId", "tradingHours", "liquidHours", "evRule"),
    *integer("evMultiplier"),
    Many("secIdList", text("tag", "value")),
    *integer("aggGroup"),
    *text("underSymbol", "underSecType", "marketRuleIds", "realExpirationDate", "stockType"),
    *number("suggestedSizeIncrement", since=163, until=164),
    *number("minSize", "sizeIncrement", "suggestedSizeIncrement", since=164),
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
    Layout(4, "error", (Fixed("2"), *integer("reqId", "code"), *text("text"), *text("rejectJson", since=166))),
    Layout(5, "openOrder", _OPEN_ORDER),
    Layout(6, "updateAccountValue", (Fixed("2"), *_ACCOUNT_VALUE, *text("account"))),
    Layout(7, "updatePortfolio", _PORTFOLIO),
    Layout(8, "updateAccountTime", (_VERSION, *text("time"))),
    Layout(9, "nextValidId", (_VERSION, *integer("orderId"))),
    Layout(10, "contractDetails", _CONTRACT_DETAILS),
    Layout(11, "execDetails", _EXECUTION),
    Layout(15, "managedAccounts", (_VERSION, *text("accounts"))),
    Layout(17, "historicalData", (*_REQ_ID, *text("start", "end"), Many("bars", _BAR))),
    Layout(45, "tickGeneric", (Fixed("6"), *_REQ_ID, *integer("tickType"), *number("value"))),
    Layout(46, "tickString", (Fixed("6"), *_REQ_ID, *integer("tickType"), *text("value"))),
    Layout(49, "currentTime", (_VERSION, *integer("time"))),
    Layout(52, "contractDetailsEnd", (_VERSION, *_REQ_ID)),
    Layout(53, "openOrderEnd", (_VERSION,)),
    Layout(54, "accountDownloadEnd", (_VERSION, *text("account"))),
    Layout(55, "execDetailsEnd", (_VERSION, *_REQ_ID)),
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
    Layout(85, "newsProviders", (Many("providers", text("code", "name")),)),
    Layout(88, "headTimestamp", (*_REQ_ID, *text("timestamp"))),
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
    Layout(93, "marketRule", (*integer("marketRuleId"), Many("increments", number("lowEdge", "increment")))),
    Layout(94, "pnl", (*_REQ_ID, *number("daily"), *_unset_double("unrealized", "realized"))),
    Layout(
        95,
        "pnlSingle",
        (*_REQ_ID, *number("position", "daily"), *_unset_double("unrealized", "realized"), *number("value")),
    ),
    Layout(101, "completedOrder", _COMPLETED_ORDER),
    Layout(102, "completedOrdersEnd", ()),
    Layout(107, "userInfo", (*_REQ_ID, *text("whiteBrandingId"))),
)  # fmt: skip

RESPONSES: dict[int, Layout] = {layout.id: layout for layout in _LAYOUTS}
"""Response layouts by message id."""

RESPONSE_NAMES: dict[str, Layout] = {layout.name: layout for layout in _LAYOUTS}
"""Response layouts by name; the names are those of the official client's callbacks."""
