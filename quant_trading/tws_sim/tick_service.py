"""Tick-by-tick data, five-second bars and historical ticks: the trades and quotes of the tape, one by one.

Documented: the four kinds, that history comes first when a number of ticks is asked for, five-second bars every five
seconds, historical ticks with exactly one of start and end, 1,000 at most but the last second complete, a halt as a
tick of price and size 0 with pastLimit set. All ticks of a second come at its end in one write (assumed; TWS spreads
them over the second).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.hours import calendar_of
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.request_text import BAD_END_TEXT, parse_end
from quant_trading.tws_sim.rights import MarketRights, Right
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, QuoteTicks, Tape, TradeTicks, What
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["TickService"]

_SECOND_NS = 1_000_000_000
_HOUR_NS = 3600 * _SECOND_NS
_TICKS, _BARS = "tick-by-tick", "real-time bars"
_BAR_SECONDS = 5
_MAX_TICKS = 1_000
_VENUES = ("NASDAQ", "NYSE", "ARCA", "BATS", "IEX", "EDGEA", "MEMX")
_ODD_LOT = 100
_KINDS = {"Last": 1, "AllLast": 2, "BidAsk": 3, "MidPoint": 4}
_BAR_WHATS = (What.TRADES, What.MIDPOINT, What.BID, What.ASK)
_PAST_LIMIT = 1
_FIVE_SECONDS = parse_bar_size("5 secs")
assert _FIVE_SECONDS is not None, "five seconds are a bar size"


@dataclass(slots=True)
class _TickStream:
    """A tick-by-tick subscription; what happened before `from_ns` has been sent."""

    req_id: int
    contract: Contract
    kind: int
    ignores_size: bool
    from_ns: int
    last_quote: tuple[object, ...] = ()


class TickService:
    """Answers about single ticks."""

    def __init__(
        self, tape: Tape, book: ContractBook, streams: Streams, timeline: Timeline, rights: MarketRights
    ) -> None:
        self._tape = tape
        self._book = book
        self._streams = streams
        self._timeline = timeline
        self._rights = rights

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqTickByTickData": self._tick_by_tick,
            "cancelTickByTickData": self._cancel_ticks,
            "reqRealTimeBars": self._real_time_bars,
            "cancelRealTimeBars": self._cancel_bars,
            "reqHistoricalTicks": self._historical_ticks,
        }

    def _known(self, request: Message) -> Contract:
        found = self._book.find_one(query_of(request))
        return self._book.by_id(found.con_id) or found

    # Tick by tick

    def _tick_by_tick(self, session: Session, request: Message) -> None:
        req_id, word = request.integer("reqId"), request.text("tickType")
        kind = _KINDS.get(word)
        if kind is None:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid tick-by-tick type {word!r}")
        contract = self._known(request)
        has_trades = contract.sec_type not in ("CASH",)
        if self._rights.of(contract.symbol) is not Right.LIVE or (kind <= 2 and not has_trades):
            place = f"{contract.symbol} {contract.exchange}/TOP/ALL"
            raise RequestRefused(10189, cause=f"No market data permissions for {place}")
        if self._streams.has(session, _TICKS, req_id):
            raise RequestRefused(322, tag=request.name, cause="Duplicate ticker id")
        wanted = request.integer("numberOfTicks")
        if not 0 <= wanted <= _MAX_TICKS:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid number of ticks {wanted}")
        now = self._timeline.now_ns
        stream = _TickStream(req_id, contract, kind, request.flag("ignoreSize"), now // _SECOND_NS * _SECOND_NS)
        if wanted:
            what = {1: "TRADES", 2: "TRADES", 3: "BID_ASK", 4: "MIDPOINT"}[kind]
            self._send_history(session, req_id, contract, what, None, stream.from_ns, wanted, True, False)
        self._streams.start(
            session, _TICKS, req_id, _SECOND_NS, lambda: self._send_ticks(session, stream), is_aligned=True,
            idle_until=lambda: self._idle_until(contract, use_rth=True),
        )  # fmt: skip

    def _send_ticks(self, session: Session, stream: _TickStream) -> None:
        """Send what happened since the last time; a second is sent when it is over."""
        until = self._timeline.now_ns // _SECOND_NS * _SECOND_NS
        begin, stream.from_ns = stream.from_ns, until
        if until <= begin:
            return
        if stream.kind <= 2:
            self._send_trades(session, stream, begin, until)
            return
        quotes = self._tape.quotes(stream.contract, begin, until)
        rows = zip(
            (quotes.at_ns // _SECOND_NS).tolist(), quotes.bid.tolist(), quotes.ask.tolist(),
            quotes.bid_size.tolist(), quotes.ask_size.tolist(), strict=True,
        )  # fmt: skip
        for at, bid, ask, bid_size, ask_size in rows:
            mark: tuple[object, ...] = (
                (bid, ask) if stream.ignores_size or stream.kind == 4 else (bid, ask, bid_size, ask_size)
            )
            if mark == stream.last_quote:
                continue
            stream.last_quote = mark
            values: Values = {"reqId": stream.req_id, "tickType": stream.kind, "time": at}
            if stream.kind == 3:
                values |= {"bidPrice": bid, "askPrice": ask, "bidSize": bid_size, "askSize": ask_size, "mask": 0}
            else:
                values |= {"midPoint": round((bid + ask) / 2, 8)}
            session.send("tickByTick", **values)

    def _send_trades(self, session: Session, stream: _TickStream, begin: int, until: int) -> None:
        for row in _trade_rows(
            self._tape.ticks(stream.contract, begin, until), self._halts(stream.contract, begin, until)
        ):
            session.send("tickByTick", reqId=stream.req_id, tickType=stream.kind, **row)

    def _halts(self, contract: Contract, begin: int, until: int) -> list[int]:
        if not isinstance(self._tape, SeriesTape):
            return []
        return [halt.start_ns for halt in self._tape.halts(contract, begin, until)]

    def _idle_until(self, contract: Contract, *, use_rth: bool) -> int | None:
        """Return when the contract trades next, None while it does; what ended a moment ago is still to be sent."""
        calendar, now = calendar_of(contract), self._timeline.now_ns
        if calendar.session_at(now, use_rth) or calendar.session_at(now - 2 * _BAR_SECONDS * _SECOND_NS, use_rth):
            return None
        following = calendar.next_session(now, use_rth)
        return None if following is None else calendar.span(following, use_rth)[0]

    def _cancel_ticks(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        if not self._streams.stop(session, _TICKS, req_id):
            raise RequestRefused(300, ticker=req_id)

    # Five-second bars

    def _real_time_bars(self, session: Session, request: Message) -> None:
        req_id, word = request.integer("reqId"), request.text("whatToShow").upper()
        contract = self._known(request)
        if request.integer("barSize", _BAR_SECONDS) != _BAR_SECONDS:
            raise RequestRefused(321, tag=request.name, cause="Only 5 second bars are supported")
        if word not in {what.value for what in _BAR_WHATS}:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid what to show {word!r} for real-time bars")
        if self._rights.of(contract.symbol) is not Right.LIVE:
            place = f"{contract.exchange} {contract.sec_type}"
            raise RequestRefused(420, cause=f"No market data permissions for {place}")
        if self._streams.has(session, _BARS, req_id):
            raise RequestRefused(322, tag=request.name, cause="Duplicate ticker id")
        use_rth, what = request.flag("useRth"), What[word]
        self._streams.start(
            session, _BARS, req_id, _BAR_SECONDS * _SECOND_NS,
            lambda: self._send_bar(session, req_id, contract, what, use_rth),
            is_aligned=True, idle_until=lambda: self._idle_until(contract, use_rth=use_rth),
        )  # fmt: skip

    def _send_bar(self, session: Session, req_id: int, contract: Contract, what: What, use_rth: bool) -> None:
        """Send the five seconds that have just ended."""
        end = self._timeline.now_ns
        assert _FIVE_SECONDS is not None, "checked when the module was loaded"
        bars = self._tape.bars(contract, _FIVE_SECONDS, what, end - _BAR_SECONDS * _SECOND_NS, end, use_rth)
        if bars is None:
            return
        for row in range(len(bars)):
            session.send(
                "realtimeBar", reqId=req_id, time=int(bars.start_ns[row]) // _SECOND_NS, open=float(bars.open[row]),
                high=float(bars.high[row]), low=float(bars.low[row]), close=float(bars.close[row]),
                volume=int(bars.volume[row]), wap=round(float(bars.wap[row]), 6), count=int(bars.count[row]),
            )  # fmt: skip

    def _cancel_bars(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        if not self._streams.stop(session, _BARS, req_id):
            raise RequestRefused(300, ticker=req_id)

    # Historical ticks

    def _historical_ticks(self, session: Session, request: Message) -> None:
        contract, what = self._known(request), request.text("whatToShow").upper()
        start_text, end_text = request.text("startDateTime").strip(), request.text("endDateTime").strip()
        wanted, now = request.integer("numberOfTicks"), self._timeline.now_ns
        if bool(start_text) == bool(end_text):
            raise RequestRefused(10187, cause="Please specify either start date/time or end date/time")
        if not 0 < wanted <= _MAX_TICKS:
            raise RequestRefused(10187, cause=f"Number of ticks must be between 1 and {_MAX_TICKS}")
        if what not in ("TRADES", "BID_ASK", "MIDPOINT"):
            raise RequestRefused(10187, cause=f"Invalid what to show {what!r}; TRADES, BID_ASK or MIDPOINT")
        moment = parse_end(start_text or end_text, now)
        if moment is None:
            raise RequestRefused(10314, text=BAD_END_TEXT)
        start, end = (moment, None) if start_text else (None, min(moment, now))
        use_rth, ignores = request.flag("useRth"), request.flag("ignoreSize")
        req_id = request.integer("reqId")
        self._send_history(session, req_id, contract, what, start, end, wanted, use_rth, ignores)

    def _send_history(
        self, session: Session, req_id: int, contract: Contract, what: str, start: int | None, end: int | None,
        wanted: int, use_rth: bool, ignores_size: bool,
    ) -> None:  # fmt: skip
        """Send ticks from `start` on or up to `end`, of one session at most."""
        span = self._session_span(contract, start, end, use_rth)
        if what == "TRADES":
            found = _enough(lambda a, b: self._tape.ticks(contract, a, b, use_rth), span, wanted, start is not None)
            trades = _no_more(found, wanted, start is not None)
            rows = _trade_rows(trades, self._halts(contract, *span) if len(trades) < wanted else [])
            session.send("historicalTicksLast", reqId=req_id, ticks=rows, done=True)
            return
        bare = ignores_size or what == "MIDPOINT"
        ticks = _enough(
            lambda a, b: _quote_rows(self._tape.quotes(contract, a, b), bare), span, wanted, start is not None
        )
        ticks = _with_whole_second(ticks, wanted, start is not None)
        if what == "BID_ASK":
            session.send("historicalTicksBidAsk", reqId=req_id, ticks=ticks, done=True)
            return
        middle = [{"time": t["time"], "price": round((t["priceBid"] + t["priceAsk"]) / 2, 8), "size": 0} for t in ticks]
        session.send("historicalTicks", reqId=req_id, ticks=middle, done=True)

    def _session_span(self, contract: Contract, start: int | None, end: int | None, use_rth: bool) -> tuple[int, int]:
        """Return the part of one session that is asked for; nothing later than now is shown."""
        calendar, now = calendar_of(contract), self._timeline.now_ns
        now = now // _SECOND_NS * _SECOND_NS
        if start is not None:
            session = calendar.session_at(start, use_rth) or calendar.next_session(start, use_rth)
            if session is None:
                return start, start
            begins, ends = calendar.span(session, use_rth)
            return max(start, begins), max(start, min(ends, now))
        assert end is not None, "one of both is given"
        moment = end
        for _ in range(15 * 24):
            session = calendar.session_at(moment - 1, use_rth)
            if session is not None:
                begins, ends = calendar.span(session, use_rth)
                return begins, min(ends, end, now)
            moment = moment // _HOUR_NS * _HOUR_NS if moment % _HOUR_NS else moment - _HOUR_NS
        return end, end


Found = TypeVar("Found", TradeTicks, list[Values])


def _enough(fetch: Callable[[int, int], Found], span: tuple[int, int], wanted: int, from_start: bool) -> Found:
    """Return what a growing part of the span holds until that is enough: a session can have a million trades."""
    begin, end = span
    width = 60 * _SECOND_NS
    while True:
        part = (begin, min(begin + width, end)) if from_start else (max(begin, end - width), end)
        found = fetch(*part)
        if len(found) >= wanted or part == span:
            return found
        width *= 4


def _trade_rows(trades: TradeTicks, halts: list[int]) -> list[Values]:
    """Return the trades as rows, in time; a halt is a tick without price and size, beyond the limit."""
    rows: list[Values] = [
        {
            "time": at, "price": price, "size": size, "mask": 0, "exchange": _VENUES[venue],
            "specialConditions": "" if size >= _ODD_LOT else "I",
        }
        for at, price, size, venue in zip(
            (trades.at_ns // _SECOND_NS).tolist(), trades.price.tolist(), trades.size.tolist(),
            trades.venue.tolist(), strict=True,
        )
    ]  # fmt: skip
    for at_ns in halts:
        halt = {"time": at_ns // _SECOND_NS, "price": 0, "size": 0, "mask": _PAST_LIMIT, "exchange": "",
                "specialConditions": ""}  # fmt: skip
        rows.append(halt)
    return sorted(rows, key=lambda row: row["time"]) if halts else rows


def _quote_rows(quotes: QuoteTicks, ignores_size: bool) -> list[Values]:
    rows: list[Values] = []
    last: object = None
    for at, bid, ask, bid_size, ask_size in zip(
        (quotes.at_ns // _SECOND_NS).tolist(), quotes.bid.tolist(), quotes.ask.tolist(), quotes.bid_size.tolist(),
        quotes.ask_size.tolist(), strict=True,
    ):  # fmt: skip
        mark = (bid, ask) if ignores_size else (bid, ask, bid_size, ask_size)
        if mark != last:
            last = mark
            rows.append({
                "time": at, "mask": 0, "priceBid": bid, "priceAsk": ask, "sizeBid": bid_size, "sizeAsk": ask_size,
            })  # fmt: skip
    return rows


def _no_more(trades: TradeTicks, wanted: int, from_start: bool) -> TradeTicks:
    """Return the first or the last `wanted` trades and the rest of the second the cut falls into."""
    size = len(trades)
    if size <= wanted:
        return trades
    stamps = trades.at_ns
    if from_start:
        cut = slice(0, int(stamps.searchsorted(stamps[wanted - 1], side="right")))
    else:
        cut = slice(int(stamps.searchsorted(stamps[size - wanted])), size)
    return TradeTicks(trades.at_ns[cut], trades.price[cut], trades.size[cut], trades.venue[cut])


def _with_whole_second(rows: list[Values], wanted: int, from_start: bool) -> list[Values]:
    """The same for rows."""
    if len(rows) <= wanted:
        return rows
    if from_start:
        edge = rows[wanted - 1]["time"]
        return [row for row in rows if row["time"] <= edge]
    edge = rows[-wanted]["time"]
    return [row for row in rows if row["time"] >= edge]
