"""The messages of streaming and historical ticks, depth, scanners, news and option chains.

Field names are the API's own; layouts were read from what the clients send and parse. None of these changes
between server versions 157 and 200.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quant_trading.tws_sim.fields import Fixed, Layout, Many, When
from quant_trading.tws_sim.layout_parts import CONTRACT_WITH_PRIMARY, flag, integer, number, text

__all__ = ["MARKET_REQUESTS", "MARKET_RESPONSES"]

_VERSION = Fixed("1")
_REQ_ID = integer("reqId")


def _ticks_of(*types: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: values.get("tickType") in types


MARKET_REQUESTS: tuple[Layout, ...] = (
    Layout(
        10,
        "reqMktDepth",
        (
            Fixed("5"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *integer("numRows"), *flag("isSmartDepth"), *text("options"),
        ),
    ),
    Layout(11, "cancelMktDepth", (_VERSION, *_REQ_ID, *flag("isSmartDepth"))),
    Layout(12, "reqNewsBulletins", (_VERSION, *flag("allMessages"))),
    Layout(13, "cancelNewsBulletins", (_VERSION,)),
    Layout(
        22,
        "reqScannerSubscription",
        (
            *_REQ_ID, *integer("numberOfRows"), *text("instrument", "locationCode", "scanCode"),
            *number("abovePrice", "belowPrice"), *integer("aboveVolume"), *number("marketCapAbove", "marketCapBelow"),
            *text("moodyRatingAbove", "moodyRatingBelow", "spRatingAbove", "spRatingBelow"),
            *text("maturityDateAbove", "maturityDateBelow"), *number("couponRateAbove", "couponRateBelow"),
            *flag("excludeConvertible"), *integer("averageOptionVolumeAbove"),
            *text("scannerSettingPairs", "stockTypeFilter", "filterOptions", "options"),
        ),
    ),
    Layout(23, "cancelScannerSubscription", (_VERSION, *_REQ_ID)),
    Layout(24, "reqScannerParameters", (_VERSION,)),
    Layout(
        50,
        "reqRealTimeBars",
        (
            Fixed("3"), *_REQ_ID, *CONTRACT_WITH_PRIMARY, *integer("barSize"), *text("whatToShow"), *flag("useRth"),
            *text("options"),
        ),
    ),
    Layout(51, "cancelRealTimeBars", (_VERSION, *_REQ_ID)),
    Layout(
        78,
        "reqSecDefOptParams",
        (*_REQ_ID, *text("underlyingSymbol", "futFopExchange", "underlyingSecType"), *integer("underlyingConId")),
    ),
    Layout(84, "reqNewsArticle", (*_REQ_ID, *text("providerCode", "articleId", "options"))),
    Layout(
        86,
        "reqHistoricalNews",
        (
            *_REQ_ID, *integer("conId"), *text("providerCodes", "startDateTime", "endDateTime"),
            *integer("totalResults"), *text("options"),
        ),
    ),
    Layout(
        96,
        "reqHistoricalTicks",
        (
            *_REQ_ID, *CONTRACT_WITH_PRIMARY, *flag("includeExpired"), *text("startDateTime", "endDateTime"),
            *integer("numberOfTicks"), *text("whatToShow"), *flag("useRth", "ignoreSize"), *text("options"),
        ),
    ),
    Layout(
        97,
        "reqTickByTickData",
        (*_REQ_ID, *CONTRACT_WITH_PRIMARY, *text("tickType"), *integer("numberOfTicks"), *flag("ignoreSize")),
    ),
    Layout(98, "cancelTickByTickData", _REQ_ID),
)  # fmt: skip

_SCANNED = (
    *integer("rank", "conId"), *text("symbol", "secType", "lastTradeDate"), *number("strike"),
    *text("right", "exchange", "currency", "localSymbol", "marketName", "tradingClass"),
    *text("distance", "benchmark", "projection", "legs"),
)  # fmt: skip

MARKET_RESPONSES: tuple[Layout, ...] = (
    Layout(
        12,
        "updateMktDepth",
        (_VERSION, *_REQ_ID, *integer("position", "operation", "side"), *number("price", "size")),
    ),
    Layout(
        13,
        "updateMktDepthL2",
        (
            _VERSION, *_REQ_ID, *integer("position"), *text("marketMaker"), *integer("operation", "side"),
            *number("price", "size"), *flag("isSmartDepth"),
        ),
    ),
    Layout(14, "updateNewsBulletin", (_VERSION, *integer("msgId", "msgType"), *text("message", "originExch"))),
    Layout(19, "scannerParameters", (_VERSION, *text("xml"))),
    Layout(20, "scannerData", (Fixed("3"), *_REQ_ID, Many("elements", _SCANNED))),
    Layout(
        21,
        "tickOptionComputation",
        (
            *_REQ_ID, *integer("tickType", "tickAttrib"),
            *number("impliedVol", "delta", "optPrice", "pvDividend", "gamma", "vega", "theta", "undPrice"),
        ),
    ),
    Layout(
        50,
        "realtimeBar",
        (
            Fixed("3"), *_REQ_ID, *integer("time"), *number("open", "high", "low", "close", "volume", "wap"),
            *integer("count"),
        ),
    ),
    Layout(
        75,
        "securityDefinitionOptionParameter",
        (
            *_REQ_ID, *text("exchange"), *integer("underlyingConId"), *text("tradingClass", "multiplier"),
            Many("expirations", text("expiration")), Many("strikes", number("strike")),
        ),
    ),
    Layout(76, "securityDefinitionOptionParameterEnd", _REQ_ID),
    Layout(83, "newsArticle", (*_REQ_ID, *integer("articleType"), *text("articleText"))),
    Layout(
        84, "tickNews", (*_REQ_ID, *integer("timestamp"), *text("providerCode", "articleId", "headline", "extraData"))
    ),
    Layout(86, "historicalNews", (*_REQ_ID, *text("time", "providerCode", "articleId", "headline"))),
    Layout(87, "historicalNewsEnd", (*_REQ_ID, *flag("hasMore"))),
    Layout(
        96,
        "historicalTicks",
        (*_REQ_ID, Many("ticks", (*integer("time"), Fixed("0"), *number("price", "size"))), *flag("done")),
    ),
    Layout(
        97,
        "historicalTicksBidAsk",
        (
            *_REQ_ID,
            Many("ticks", (*integer("time", "mask"), *number("priceBid", "priceAsk", "sizeBid", "sizeAsk"))),
            *flag("done"),
        ),
    ),
    Layout(
        98,
        "historicalTicksLast",
        (
            *_REQ_ID,
            Many(
                "ticks",
                (*integer("time", "mask"), *number("price", "size"), *text("exchange", "specialConditions")),
            ),
            *flag("done"),
        ),
    ),
    Layout(
        99,
        "tickByTick",
        (
            *_REQ_ID, *integer("tickType", "time"),
            When(
                _ticks_of(1, 2),
                (*number("price", "size"), *integer("mask"), *text("exchange", "specialConditions")),
            ),
            When(_ticks_of(3), (*number("bidPrice", "askPrice", "bidSize", "askSize"), *integer("mask"))),
            When(_ticks_of(4), number("midPoint")),
        ),
    ),
    Layout(
        106,
        "historicalSchedule",
        (*_REQ_ID, *text("start", "end", "timeZone"), Many("sessions", text("start", "end", "refDate"))),
    ),
)  # fmt: skip
