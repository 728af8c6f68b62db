"""Market data answers in protobuf: ticks, depth, scanners, news, chains, schedules."""

from collections.abc import Callable, Mapping
from typing import Any

from quant_trading.tws_sim.fields import Values
from quant_trading.tws_sim.protobuf import Answer, Form, Inline, List, Rows, Table
from quant_trading.tws_sim.protobuf_parts import CONTRACT, flag, integer, number, size, text

__all__ = ["MARKET_ANSWERS"]

_REQ_ID = integer(reqId=1)

_DEPTH: Table = (
    *integer(position=1, operation=2, side=3),
    *number(price=4),
    *size(size=5),
    *text(marketMaker=6),
    *flag(isSmartDepth=7),
)

# The text forms have the attributes of a tick as bits of one mask; the order of the bits differs (read).
_TRADE_BITS = {"pastLimit": 1, "unreported": 2}
_QUOTE_BITS = {"bidPastLow": 1, "askPastHigh": 2}
_HISTORICAL_QUOTE_BITS = {"askPastHigh": 1, "bidPastLow": 2}

_TRADE_ATTRIBUTES = Inline(2, flag(pastLimit=1, unreported=2))
_QUOTE_ATTRIBUTES = Inline(2, flag(bidPastLow=1, askPastHigh=2))

_TRADE: Table = (
    *integer(time=1), _TRADE_ATTRIBUTES, *number(price=3), *size(size=4), *text(exchange=5, specialConditions=6),
)  # fmt: skip


def _bits(mask: int | None, bits: Mapping[str, int]) -> Values:
    return {name: bool((mask or 0) & bit) for name, bit in bits.items()}


def _with_bits(bits: Mapping[str, int]) -> Callable[[Mapping[str, Any]], Values]:
    def prepare(values: Mapping[str, Any]) -> Values:
        rows = [dict(row) | _bits(row.get("mask"), bits) for row in values.get("ticks") or ()]
        return dict(values) | {"ticks": rows}

    return prepare


def _tick_values(values: Mapping[str, Any]) -> Values:
    kind = values.get("tickType")
    bits = _QUOTE_BITS if kind == 3 else _TRADE_BITS
    kinds = {"isTrade": kind in (1, 2), "isQuote": kind == 3, "isMidpoint": kind == 4}
    return dict(values) | kinds | _bits(values.get("mask"), bits)


MARKET_ANSWERS: dict[str, Answer] = {
    "updateMktDepth": Answer(206, (*_REQ_ID, Inline(2, _DEPTH))),
    "updateMktDepthL2": Answer(206, (*_REQ_ID, Inline(2, _DEPTH))),
    "tickOptionComputation": Answer(
        206,
        (
            *integer(reqId=1, tickType=2, tickAttrib=3), *number(impliedVol=4, delta=5, optPrice=6, pvDividend=7),
            *number(gamma=8, vega=9, theta=10, undPrice=11),
        ),
    ),
    "realtimeBar": Answer(
        208,
        (
            *integer(reqId=1, time=2), *number(open=3, high=4, low=5, close=6), *size(volume=7, wap=8),
            *integer(count=9),
        ),
    ),
    "historicalTicks": Answer(
        208, (*_REQ_ID, Rows(2, "ticks", (*integer(time=1), *number(price=2), *size(size=3))), *flag(done=3))
    ),
    "historicalTicksBidAsk": Answer(
        208,
        (
            *_REQ_ID,
            Rows(
                2,
                "ticks",
                (
                    *integer(time=1), _QUOTE_ATTRIBUTES, *number(priceBid=3, priceAsk=4), *size(sizeBid=5, sizeAsk=6),
                ),
            ),
            *flag(done=3),
        ),
        _with_bits(_HISTORICAL_QUOTE_BITS),
    ),
    "historicalTicksLast": Answer(
        208, (*_REQ_ID, Rows(2, "ticks", _TRADE), *flag(done=3)), _with_bits(_TRADE_BITS)
    ),
    "tickByTick": Answer(
        208,
        (
            *integer(reqId=1, tickType=2),
            Inline(3, _TRADE, flag="isTrade"),
            Inline(
                4,
                (
                    *integer(time=1), _QUOTE_ATTRIBUTES, *number(bidPrice=3, askPrice=4), *size(bidSize=5, askSize=6),
                ),
                flag="isQuote",
            ),
            Inline(5, (*integer(time=1), *number(midPoint=2)), flag="isMidpoint"),
        ),
        _tick_values,
    ),
    "historicalSchedule": Answer(
        211,
        (*_REQ_ID, *text(start=2, end=3, timeZone=4), Rows(5, "sessions", text(start=1, end=2, refDate=3))),
    ),
    "securityDefinitionOptionParameter": Answer(
        212,
        (
            *_REQ_ID, *text(exchange=2), *integer(underlyingConId=3), *text(tradingClass=4, multiplier=5),
            List(6, "expirations", "expiration", Form.TEXT), List(7, "strikes", "strike", Form.NUMBER),
        ),
    ),
    "securityDefinitionOptionParameterEnd": Answer(212, _REQ_ID),
    "scannerParameters": Answer(210, text(xml=1)),
    "scannerData": Answer(
        210,
        (
            *_REQ_ID,
            Rows(
                2,
                "elements",
                (
                    *integer(rank=1), Inline(2, CONTRACT), *text(marketName=3, distance=4, benchmark=5, projection=6),
                    *text(legs=7),
                ),
            ),
        ),
    ),
    "updateNewsBulletin": Answer(209, (*integer(msgId=1, msgType=2), *text(message=3, originExch=4))),
    "newsArticle": Answer(209, (*_REQ_ID, *integer(articleType=2), *text(articleText=3))),
    "tickNews": Answer(
        209, (*integer(reqId=1, timestamp=2), *text(providerCode=3, articleId=4, headline=5, extraData=6))
    ),
    "historicalNews": Answer(209, (*_REQ_ID, *text(time=2, providerCode=3, articleId=4, headline=5))),
    "historicalNewsEnd": Answer(209, (*_REQ_ID, *flag(hasMore=2))),
}  # fmt: skip
"""The protobuf form of market data answers, by the name of their text layout."""
