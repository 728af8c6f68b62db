"""The one scenario that every client runs: data in neutral words, and how far time goes before each step.

A step is a dict: `do` (the drivers' verb), `name` (of the request or the order it belongs to) and what the verb
needs. `advance` moves simulated time on by so many seconds first. `known` names an earlier `details` step: the
contract is then given by its id.
"""

from typing import Any

Step = dict[str, Any]

NAUTILUS_TAGS = "NetLiquidation,FullAvailableFunds,FullInitMarginReq,FullMaintMarginReq,TotalCashValue"


def stock(symbol: str, currency: str = "USD") -> dict[str, str]:
    """Return the words for a stock, with `currency` "" an ambiguous one."""
    words = {"symbol": symbol, "secType": "STK", "exchange": "SMART"}
    return words | ({"currency": currency} if currency else {})


def order(action: str, quantity: float, kind: str = "MKT", limit: float | None = None, **more: Any) -> dict[str, Any]:
    """Return the words for an order."""
    words: dict[str, Any] = {"action": action, "totalQuantity": quantity, "orderType": kind, "tif": "DAY"} | more
    return words | ({} if limit is None else {"lmtPrice": limit})


def _history(name: str, size: str, duration: str, **more: Any) -> Step:
    words = {"what": "TRADES", "rth": True, "end": "", "keep": False, "contract": stock("AAPL"), "known": "aapl"}
    return {"do": "history", "name": name, "size": size, "duration": duration} | words | more


def _past_ticks(name: str, what: str) -> Step:
    words = {"start": "20261119-14:45:00", "end": "", "count": 50, "what": what}
    return {"do": "past_ticks", "name": name, "contract": stock("AAPL"), "known": "aapl"} | words


_AAPL: Step = {"contract": stock("AAPL"), "known": "aapl"}
_SPY: Step = {"contract": stock("SPY"), "known": "spy"}

_ACCOUNTS: list[Step] = [
    {"do": "connect", "client": 1},
    {"do": "time"},
    {"do": "summary", "name": "summary", "tags": NAUTILUS_TAGS},
    {"do": "watch"},
    {"do": "state"},
    {"do": "pnl", "name": "pnl"},
]

_CONTRACTS: list[Step] = [
    {"do": "details", "name": "aapl", "contract": stock("AAPL")},
    {"do": "details", "name": "spy", "contract": stock("SPY")},
    {"do": "details", "name": "by id", **_AAPL},
    {"do": "details", "name": "unknown", "contract": stock("NOSUCH")},
    {"do": "details", "name": "ambiguous", "contract": stock("RY", "")},
    {"do": "samples", "name": "samples", "pattern": "AA"},
    {"do": "rule", "rule": 26},
    {"do": "pnl_single", "name": "pnl of one", "known": "aapl"},
]

_PAST: list[Step] = [
    {"do": "head", "name": "head", "what": "TRADES", **_AAPL},
    _history("days", "1 day", "1 M"),
    _history("five minutes", "5 mins", "2 D"),
    _history("minutes to then", "1 min", "3600 S", end="20261117-18:00:00"),
    _history("midpoints", "1 hour", "1 D", what="MIDPOINT", rth=False),
    _history("of nobody", "1 day", "1 M", contract=stock("NOSUCH"), known=""),
    _history("of two", "1 day", "1 M", contract=stock("RY", ""), known=""),
    _history("bad size", "7 mins", "1 D", refused=True),
    {"do": "schedule", "name": "schedule", "days": 5, **_AAPL},
    _past_ticks("trades then", "TRADES"),
    _past_ticks("quotes then", "BID_ASK"),
    _past_ticks("midpoints then", "MIDPOINT"),
    _history("running", "1 min", "600 S", keep=True),
    {"do": "wait", "advance": 65},
    {"do": "cancel_history", "name": "running"},
]

_PRESENT: list[Step] = [
    {"do": "snapshot", "name": "snapshot", **_AAPL},
    {"do": "stream", "name": "stream", "generic": "", **_SPY},
    {"do": "wait", "advance": 20},
    {"do": "cancel_stream", "name": "stream"},
    {"do": "ticks", "name": "every trade", "kind": "AllLast", **_AAPL},
    {"do": "ticks", "name": "every quote", "kind": "BidAsk", **_SPY},
    {"do": "wait", "advance": 5},
    {"do": "cancel_ticks", "name": "every trade"},
    {"do": "cancel_ticks", "name": "every quote"},
    {"do": "ticks", "name": "every midpoint", "kind": "MidPoint", **_AAPL},
    {"do": "live_bars", "name": "live bars", "what": "TRADES", **_AAPL},
    {"do": "depth", "name": "depth", "rows": 5, **_AAPL},
    {"do": "wait", "advance": 12},
    {"do": "cancel_depth", "name": "depth"},
    {"do": "cancel_live_bars", "name": "live bars"},
    {"do": "cancel_ticks", "name": "every midpoint"},
    {"do": "wait", "advance": 5},
    {"do": "data_type", "type": 3},
    {"do": "snapshot", "name": "live all the same", **_AAPL},
    {"do": "chain", "name": "chain", "known": "aapl"},
]

_ORDERS: list[Step] = [
    {"do": "place", "name": "market", "order": order("BUY", 100), **_AAPL},
    {"do": "state"},
    {"do": "place", "name": "far", "order": order("BUY", 10, "LMT", 100.5), **_AAPL},
    {"do": "open_orders", "all": False},
    {"do": "place", "name": "far", "order": order("BUY", 12, "LMT", 101.25), **_AAPL},
    {"do": "open_orders", "all": True},
    {"do": "cancel", "name": "far"},
    {"do": "cancel", "name": "far"},
    {"do": "place", "name": "at once or not", "order": order("BUY", 10, "LMT", 1.0, tif="IOC"), **_SPY},
    {"do": "place", "name": "at limit", "order": order("BUY", 20, "LMT", 5000.0), **_SPY},
    {"do": "place", "name": "off tick", "order": order("BUY", 10, "LMT", 100.123), **_AAPL},
    {"do": "place", "name": "rejected", "order": order("BUY", 10), "contract": stock("TSLA")},
    {"do": "place", "name": "of nothing", "order": order("BUY", 10), "contract": stock("NOSUCH")},
    {"do": "preview", "name": "preview", "order": order("BUY", 100), **_AAPL},
    {"do": "place", "name": "reduce", "order": order("SELL", 40), **_AAPL},
    {"do": "place", "name": "turn", "order": order("SELL", 100), **_AAPL},
    {"do": "place", "name": "held back", "order": order("BUY", 5, transmit=False), **_AAPL},
    {"do": "place", "name": "held back", "order": order("BUY", 5, transmit=True), **_AAPL},
]

_KINDS: list[Step] = [
    {"do": "cancel_pnl", "name": "pnl"},
    {"do": "cancel_pnl_single", "name": "pnl of one", "known": "aapl"},
    # A bracket: nobody hears of it before its last leg is transmitted.
    {"do": "place", "name": "entry", "order": order("BUY", 10, "LMT", 300.0, transmit=False), **_AAPL},
    {
        "do": "place", "name": "target", "parent": "entry", **_AAPL,
        "order": order("SELL", 10, "LMT", 139.0, transmit=False),
    },
    {"do": "place", "name": "stop", "parent": "entry", "order": order("SELL", 10, "STP", auxPrice=138.2), **_AAPL},
    {"do": "open_orders", "all": False},
    {"do": "wait", "advance": 600},
    # A bracket that is taken back as a whole with its entry.
    {"do": "place", "name": "deep entry", "order": order("BUY", 10, "LMT", 90.0, transmit=False), **_AAPL},
    {"do": "place", "name": "deep target", "parent": "deep entry", "order": order("SELL", 10, "LMT", 95.0), **_AAPL},
    {"do": "cancel", "name": "deep entry"},
    # One cancels the other.
    {"do": "place", "name": "one", "order": order("BUY", 5, "LMT", 500.0, ocaGroup="pair", ocaType=1), **_SPY},
    {"do": "place", "name": "other", "order": order("BUY", 5, "LMT", 510.0, ocaGroup="two", ocaType=1), **_SPY},
    {"do": "place", "name": "third", "order": order("BUY", 5, "LMT", 700.0, ocaGroup="two", ocaType=1), **_SPY},
    # More than the tape trades at once.
    {"do": "place", "name": "large", "order": order("BUY", 1500, "LMT", 300.0), **_AAPL},
    {"do": "wait", "advance": 2},
    {"do": "cancel", "name": "large"},
    {"do": "wait", "advance": 2},
    # The other kinds, working or waiting.
    {"do": "place", "name": "stop limit", "order": order("SELL", 5, "STP LMT", 120.0, auxPrice=121.0), **_AAPL},
    {"do": "place", "name": "trail", "order": order("SELL", 5, "TRAIL", auxPrice=0.2), **_SPY},
    {"do": "place", "name": "if touched", "order": order("BUY", 5, "MIT", auxPrice=600.0), **_SPY},
    {"do": "place", "name": "at the close", "order": order("BUY", 5, "MOC"), **_SPY},
    {
        "do": "place", "name": "until", **_SPY,
        "order": order("BUY", 5, "LMT", 500.0, tif="GTD", goodTillDate="20261119-15:20:00"),
    },
    {
        "do": "place", "name": "on condition", **_SPY, "order": order("BUY", 5),
        "condition": {"known": "aapl", "above": True, "price": 100.0},
    },
    {"do": "open_orders", "all": True},
    {"do": "wait", "advance": 600},
]  # fmt: skip


def _contract(symbol: str, sec_type: str, exchange: str, **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, "secType": sec_type, "exchange": exchange, "currency": "USD"} | more


def _known(name: str, **words: Any) -> Step:
    return {"contract": _contract(**words), "known": name}


_EURO = _known("euro", symbol="EUR", sec_type="CASH", exchange="IDEALPRO")
_FUTURE = _known("future", symbol="ES", sec_type="FUT", exchange="CME", lastTradeDateOrContractMonth="202612")
_OPTION = _known(
    "option", symbol="AAPL", sec_type="OPT", exchange="SMART", lastTradeDateOrContractMonth="20261218", strike=150.0,
    right="C", multiplier="100",
)  # fmt: skip

_OTHERS: list[Step] = [
    {"do": "details", "name": "euro", **_EURO},
    {"do": "details", "name": "future", **_FUTURE},
    {"do": "details", "name": "option", **_OPTION},
    {"do": "details", "name": "index", "contract": _contract("SPX", "IND", "CBOE")},
    {"do": "details", "name": "coin", "contract": _contract("BTC", "CRYPTO", "PAXOS")},
    {"do": "details", "name": "futures", "contract": _contract("ES", "FUT", "CME")},
    {"do": "details", "name": "no such option", "contract": _contract("AAPL", "OPT", "SMART", strike=1.5, right="P")},
    _history("euro hours", "1 hour", "1 D", what="MIDPOINT", rth=False, **_EURO),
    {"do": "snapshot", "name": "euro now", **_EURO},
    {"do": "snapshot", "name": "option now", **_OPTION},
    {"do": "place", "name": "euros", "order": order("BUY", 25000), **_EURO},
    {"do": "place", "name": "contract", "order": order("SELL", 1), **_FUTURE},
    {"do": "place", "name": "call", "order": order("BUY", 2), **_OPTION},
    {"do": "state"},
]  # fmt: skip

_RECONNECT: list[Step] = [
    {"do": "place", "name": "lasting", "order": order("SELL", 7, "LMT", 9000.0, tif="GTC"), **_AAPL},
    {"do": "place", "name": "of the day", "order": order("SELL", 8, "LMT", 9100.0), **_AAPL},
    {"do": "pnl", "name": "pnl again"},
    {"do": "disconnect"},
    {"do": "connect", "client": 1, "advance": 30},
    {"do": "watch"},
    {"do": "open_orders", "all": False},
    {"do": "cancel", "name": "lasting"},
    {"do": "cancel_all"},
    {"do": "executions", "name": "executions", "filter": {}},
    {"do": "executions", "name": "of one", "filter": {"symbol": "SPY", "side": "BUY"}},
    {"do": "completed"},
    {"do": "state", "advance": 180},
    {"do": "time"},
    {"do": "disconnect"},
]

STEPS: list[Step] = _ACCOUNTS + _CONTRACTS + _PAST + _PRESENT + _ORDERS + _KINDS + _OTHERS + _RECONNECT
