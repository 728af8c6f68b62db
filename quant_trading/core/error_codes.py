"""TWS error codes in one table: what each means for the session, for a request and for an order.

TWS sends news, warnings and failures through one message ("error"). Its id is a request's, an order's, or -1.
So a code has two classes: one for the session or a request, one for when the id is an order's. A third column
says what a supervised session does about it. A code that is not listed and carries an order's id is DOUBT: the
fate of the order is then asked for, never assumed.
"""

from enum import Enum
from typing import NamedTuple

__all__ = [
    "ERROR_ROWS",
    "NOT_SUBSCRIBED",
    "Effect",
    "ErrorClass",
    "ErrorRow",
    "OrderErrorClass",
    "classify_message",
    "classify_order",
    "effect_of",
]


class ErrorClass(Enum):
    """What a code means for the session, or for the request whose id it carries."""

    ADVISORY = "advisory"  # news: nothing changes
    FEED = "feed"  # data are late, missing or of another type
    REQUEST_FAILED = "request_failed"  # the request has ended without its answer
    PACING = "pacing"  # too many messages: the request was dropped
    CONNECTIVITY_LOST = "connectivity_lost"  # TWS lost IBKR: send nothing
    CONNECTIVITY_BACK = "connectivity_back"  # TWS has IBKR again: reconcile before the next order
    FATAL = "fatal"  # this connection cannot be used


class OrderErrorClass(Enum):
    """What a code means for the order whose id it carries."""

    KEEPS_ORDER = "keeps_order"  # a remark: the order lives on
    HELD = "held"  # TWS holds it and may release it later
    REJECTED = "rejected"  # this order was refused
    CANCELLED = "cancelled"
    CANCEL_REFUSED = "cancel_refused"  # our cancel was refused: the order may live, be filled or be gone
    DOUBT = "doubt"  # unknown: ask the broker


class Effect(Enum):
    """What a supervised session does about a code, see `core.session_runner`."""

    ADVISORY = "advisory"  # tell it, change nothing
    FEED_LOST = "feed_lost"  # data stop: the session is degraded, its streams have a gap from now on
    FEED_BACK = "feed_back"  # data should flow again: every stream has to prove it
    MUST_RESUBSCRIBE = "must_resubscribe"  # TWS has forgotten the subscription, or all of them: ask again
    RETRY = "retry"  # the request has ended, the same may succeed a little later
    REQUEST_ENDED = "request_ended"  # the request has ended, the same would end so again
    ORDER_DECISION = "order_decision"  # it is about an order: `order` says what became of it
    FATAL = "fatal"  # this connection is over: connect again, with the same client id


class ErrorRow(NamedTuple):
    """One code.

    Attributes:
        message: its class for the session or a request.
        order: its class when it carries an order's id.
        effect: what a supervised session does about it.
        remark: what to know about it.
    """

    message: ErrorClass
    order: OrderErrorClass
    effect: Effect
    remark: str


_M, _O, _E = ErrorClass, OrderErrorClass, Effect

ERROR_ROWS: dict[int, ErrorRow] = {
    100: ErrorRow(_M.PACING, _O.DOUBT, _E.RETRY, "over 50 messages a second; TWS may have dropped the order unread"),
    101: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "market data lines used up"),
    102: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "request id in use"),
    103: ErrorRow(
        _M.REQUEST_FAILED,
        _O.REJECTED,
        _E.ORDER_DECISION,
        "order id in use: the new order is refused, the older one lives",
    ),
    104: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.ORDER_DECISION, "change of a filled order: it is probably filled"),
    105: ErrorRow(
        _M.REQUEST_FAILED, _O.DOUBT, _E.ORDER_DECISION, "change does not match: the older order lives unchanged"
    ),
    106: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.ORDER_DECISION, "could not be transmitted, TWS does not say why"),
    107: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "order is incomplete"),
    109: ErrorRow(
        _M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "price outside the precautionary range set in TWS"
    ),
    110: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "price is not on the tick grid"),
    111: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "time in force does not fit the order type"),
    113: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "MOC and LOC must be DAY"),
    116: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "exchange is not available"),
    135: ErrorRow(_M.REQUEST_FAILED, _O.CANCEL_REFUSED, _E.ORDER_DECISION, "order id not found; answers a cancel"),
    136: ErrorRow(_M.REQUEST_FAILED, _O.CANCEL_REFUSED, _E.ORDER_DECISION, "this order cannot be cancelled"),
    161: ErrorRow(
        _M.REQUEST_FAILED,
        _O.CANCEL_REFUSED,
        _E.ORDER_DECISION,
        "order is in no state that can be cancelled: often filled",
    ),
    162: ErrorRow(
        _M.REQUEST_FAILED, _O.DOUBT, _E.RETRY, "historical data: no data, pacing or cancelled, the text tells which"
    ),
    165: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.ADVISORY, "historical or scanner service message"),
    200: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.REQUEST_ENDED, "no or no unique contract"),
    201: ErrorRow(
        _M.REQUEST_FAILED,
        _O.REJECTED,
        _E.ORDER_DECISION,
        "rejected by IBKR: margin, permission, size; the text tells why",
    ),
    202: ErrorRow(_M.ADVISORY, _O.CANCELLED, _E.ORDER_DECISION, "confirms a cancel, ours or the exchange's"),
    203: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "security not allowed for this account"),
    300: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.ADVISORY, "unknown request id; answers a late unsubscribe"),
    309: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "too many depth subscriptions"),
    317: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.MUST_RESUBSCRIBE, "depth was reset"),
    320: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "TWS could not read the request"),
    321: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "validation failed, also: the API is read-only"),
    322: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "processing failed; seen on live orders too"),
    326: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "client id in use; TWS closes this connection"),
    329: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.ORDER_DECISION, "change of order type failed: the older order lives"),
    354: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "no market data subscription"),
    355: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "size does not fit the market rule"),
    366: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.ADVISORY, "no such historical query; answers a late cancel"),
    382: ErrorRow(
        _M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "price exceeds the precautionary limit set in TWS"
    ),
    383: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "size exceeds the precautionary limit set in TWS"),
    387: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "order type not supported for this exchange"),
    388: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "size below the minimum"),
    399: ErrorRow(
        _M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "order message, e.g. 'will not be placed until the open': alive"
    ),
    404: ErrorRow(_M.ADVISORY, _O.HELD, _E.ORDER_DECISION, "shares to borrow are being located"),
    420: ErrorRow(_M.PACING, _O.DOUBT, _E.RETRY, "real-time query: pacing or permission"),
    434: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "size is zero"),
    435: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "no account named"),
    460: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "no trading permission"),
    463: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "price is not valid"),
    478: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "contract fields contradict each other"),
    481: ErrorRow(_M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "size was reduced to what may be traded"),
    502: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "no connection to TWS"),
    503: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "TWS is too old"),
    504: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "not connected"),
    507: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "broken message; also sent when a client id is taken over"),
    1100: ErrorRow(_M.CONNECTIVITY_LOST, _O.DOUBT, _E.FEED_LOST, "TWS lost IBKR; working orders live on at IBKR"),
    1101: ErrorRow(_M.CONNECTIVITY_BACK, _O.DOUBT, _E.MUST_RESUBSCRIBE, "back, subscriptions are gone"),
    1102: ErrorRow(_M.CONNECTIVITY_BACK, _O.DOUBT, _E.FEED_BACK, "back, subscriptions were kept"),
    1300: ErrorRow(_M.FATAL, _O.DOUBT, _E.FATAL, "TWS changed its socket port"),
    2100: ErrorRow(_M.FEED, _O.DOUBT, _E.ADVISORY, "account updates went to another subscription"),
    2101: ErrorRow(_M.FEED, _O.DOUBT, _E.ADVISORY, "account updates not available"),
    2102: ErrorRow(_M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "still being processed, cannot be changed yet"),
    2103: ErrorRow(_M.FEED, _O.DOUBT, _E.FEED_LOST, "market data farm broken: live bars may stop without another word"),
    2104: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.FEED_BACK, "market data farm is OK"),
    2105: ErrorRow(_M.FEED, _O.DOUBT, _E.FEED_LOST, "historical data farm broken"),
    2106: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.FEED_BACK, "historical data farm is OK"),
    2107: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.FEED_BACK, "historical data farm sleeps until it is asked"),
    2108: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.FEED_BACK, "market data farm sleeps until it is asked"),
    2109: ErrorRow(_M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "outsideRth is ignored for this order: alive"),
    2110: ErrorRow(_M.CONNECTIVITY_LOST, _O.DOUBT, _E.FEED_LOST, "TWS lost its server and tries again"),
    2137: ErrorRow(_M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "would cross a position of ours"),
    2157: ErrorRow(_M.FEED, _O.DOUBT, _E.FEED_LOST, "security definition farm broken"),
    2158: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.FEED_BACK, "security definition farm is OK"),
    2161: ErrorRow(_M.ADVISORY, _O.KEEPS_ORDER, _E.ORDER_DECISION, "price was capped as regulation demands"),
    2174: ErrorRow(_M.ADVISORY, _O.DOUBT, _E.ADVISORY, "a time was sent without its zone"),
    10052: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "time in force is not valid"),
    10089: ErrorRow(
        _M.FEED, _O.DOUBT, _E.ADVISORY, "live data need a subscription for the API; delayed data may follow"
    ),
    10090: ErrorRow(_M.FEED, _O.DOUBT, _E.ADVISORY, "part of the data is not subscribed; the rest follows"),
    10092: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "no depth for this contract"),
    10147: ErrorRow(_M.REQUEST_FAILED, _O.CANCEL_REFUSED, _E.ORDER_DECISION, "order to cancel not found"),
    10148: ErrorRow(
        _M.REQUEST_FAILED,
        _O.CANCEL_REFUSED,
        _E.ORDER_DECISION,
        "cannot be cancelled, the text tells its state, often Filled",
    ),
    10167: ErrorRow(_M.FEED, _O.DOUBT, _E.ADVISORY, "delayed data follow instead of live ones"),
    10168: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "not subscribed and delayed data are off"),
    10186: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "not subscribed and delayed data are not enabled"),
    10187: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.RETRY, "historical ticks failed"),
    10189: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.RETRY, "tick-by-tick data failed"),
    10190: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "too many tick-by-tick subscriptions"),
    10197: ErrorRow(_M.FEED, _O.DOUBT, _E.FEED_LOST, "another session of this user takes the data: none come here"),
    10225: ErrorRow(_M.FEED, _O.DOUBT, _E.MUST_RESUBSCRIBE, "subscription ended by a bust; it must be asked for again"),
    10243: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "fractional size through the API"),
    10268: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "an attribute of old clients is not supported"),
    10276: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "news feed not allowed"),
    10289: ErrorRow(_M.REQUEST_FAILED, _O.REJECTED, _E.ORDER_DECISION, "cash quantity is needed"),
    10314: ErrorRow(_M.REQUEST_FAILED, _O.DOUBT, _E.REQUEST_ENDED, "end time is not written as TWS wants it"),
    10349: ErrorRow(
        _M.ADVISORY,
        _O.KEEPS_ORDER,
        _E.ORDER_DECISION,
        "time in force was set by a TWS preset: alive, though ib_async ends it",
    ),
}


# What TWS says to who asks for live data without a subscription to them.
NOT_SUBSCRIBED = frozenset({354, 10089, 10090, 10168, 10186})


def classify_message(code: int) -> ErrorClass:
    """Return what `code` means for the session or for the request whose id it carries.

    An unlisted code from 2100 to 2199 is a warning by IBKR's numbering; any other unlisted code
    fails its request.
    """
    row = ERROR_ROWS.get(code)
    if row is not None:
        return row.message
    return ErrorClass.ADVISORY if 2100 <= code < 2200 else ErrorClass.REQUEST_FAILED


def classify_order(code: int) -> OrderErrorClass:
    """Return what `code` means for the order whose id it carries; DOUBT when it is not listed."""
    row = ERROR_ROWS.get(code)
    return row.order if row is not None else OrderErrorClass.DOUBT


def effect_of(code: int) -> Effect:
    """Return what a supervised session does about `code`.

    An unlisted code from 2100 to 2199 is a warning by IBKR's numbering; any other unlisted code ends its request.
    """
    row = ERROR_ROWS.get(code)
    if row is not None:
        return row.effect
    return Effect.ADVISORY if 2100 <= code < 2200 else Effect.REQUEST_ENDED
