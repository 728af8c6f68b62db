"""Requests for bars of the past, and of the bar that is running."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from quant_trading.tws_sim.bar_frames import FinishedRows, history_frame
from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.contracts import ContractBook, query_of
from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.fields import Message, Values
from quant_trading.tws_sim.history import (
    HistoryAnswer,
    HistoryError,
    HistoryRequest,
    HistoryRow,
    head_timestamp,
    running_bar,
    serve_history,
    serve_schedule,
)
from quant_trading.tws_sim.hours import calendar_of
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.request_text import parse_duration
from quant_trading.tws_sim.responses import FOLLOW_UPS
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, IntArray, Tape, TapeBars, What
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["HistoryService"]

_RUNNING = "running bar"
_MINUTE_NS = 60_000_000_000
# One answer is one message of at most 16 MB; a row takes up to 110 bytes.
_MAX_ROWS = 140_000
_MAX_RUNNING = 50
_LONG_ANSWER = 4096


class HistoryService:
    """Answers about bars; keeps the subscribers of running bars up to date."""

    def __init__(self, tape: Tape, book: ContractBook, streams: Streams, timeline: Timeline, config: SimConfig) -> None:
        self._tape = tape
        self._book = book
        self._streams = streams
        self._timeline = timeline
        self._config = config
        self._finished = FinishedRows()

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqHistoricalData": self._send_history,
            "cancelHistoricalData": self._cancel_history,
            "reqHeadTimeStamp": self._send_head,
            "cancelHeadTimeStamp": self._ignore,
            "reqHistogramData": self._send_histogram,
        }

    def _contract_of(self, request: Message) -> Contract:
        """Return the contract without the exchange the client named; a continuous future keeps its type."""
        stock = self._book.by_id(request.integer("conId"))
        if stock is not None and stock.sec_type == "STK" and request.text("exchange") in ("", stock.exchange):
            # Nearly always; the id says everything, as in a search.
            return stock
        found = self._book.find_one(query_of(request))
        known = self._book.by_id(found.con_id) or found
        return known if known.sec_type == found.sec_type else replace(known, sec_type=found.sec_type)

    def _send_history(self, session: Session, request: Message) -> None:
        req_id = request.integer("reqId")
        asked = HistoryRequest(
            contract=self._contract_of(request),
            end_text=request.text("endDateTime"),
            duration_text=request.text("duration"),
            size_text=request.text("barSize"),
            what_text=request.text("whatToShow"),
            use_rth=request.flag("useRth"),
            format_date=request.integer("formatDate", 1),
            keep_up_to_date=request.flag("keepUpToDate"),
        )
        if asked.what_text.strip().upper() == "SCHEDULE":
            self._send_schedule(session, req_id, asked)
            return
        if self._streams.has(session, _RUNNING, req_id):
            raise RequestRefused(322, tag=request.name, cause="Duplicate ticker id")
        if asked.keep_up_to_date and self._streams.count(session, _RUNNING) >= _MAX_RUNNING:
            raise RequestRefused(162, cause="Too many simultaneous historical data subscriptions, at most 50 are kept")
        answer = serve_history(self._tape, asked, self._timeline.now_ns)
        if isinstance(answer, HistoryError):
            raise RequestRefused(answer.code, text=answer.text)
        if len(answer.bars) > _MAX_ROWS:
            raise RequestRefused(162, cause="Time length exceed max.")
        self._send_bars(session, req_id, asked, answer)
        if asked.keep_up_to_date:
            self._keep_up(session, req_id, asked, answer)

    def _send_bars(self, session: Session, req_id: int, asked: HistoryRequest, answer: HistoryAnswer) -> None:
        span = {"start": answer.start_text, "end": answer.end_text}
        is_plain = answer.size.unit == "day" and asked.use_rth and asked.what_text == What.TRADES.value
        ahead = partial(self._days_ahead, asked.contract) if is_plain else None
        frame = history_frame(answer, req_id, session.version, self._finished, ahead)
        if frame is None:
            session.send("historicalData", reqId=req_id, bars=[_row_values(row) for row in answer.rows], **span)
            return
        session.send_encoded(frame)
        follow_up = FOLLOW_UPS.get("historicalData")
        if follow_up is not None and session.version >= follow_up[1]:
            session.send(follow_up[0], reqId=req_id, **span)
        if len(frame) >= _LONG_ANSWER:
            # Five hundred requests arrive in one piece: the client reads an answer while the next one is made.
            session.push()

    def _days_ahead(self, contract: Contract, stamps: IntArray) -> list[TapeBars]:
        """Return the same days of other contracts, for their rows to be written along with these."""
        return self._tape.days_ahead(contract, stamps) if isinstance(self._tape, SeriesTape) else []

    def _send_schedule(self, session: Session, req_id: int, asked: HistoryRequest) -> None:
        answer = serve_schedule(asked, self._timeline.now_ns)
        if isinstance(answer, HistoryError):
            raise RequestRefused(answer.code, text=answer.text)
        rows = [{"start": start, "end": end, "refDate": day} for start, end, day in answer.sessions]
        span = {"start": answer.start_text, "end": answer.end_text, "timeZone": answer.zone}
        session.send("historicalSchedule", reqId=req_id, sessions=rows, **span)

    def _keep_up(self, session: Session, req_id: int, asked: HistoryRequest, answer: HistoryAnswer) -> None:
        """Send the running bar whenever it has changed; about once a second, as TWS does (documented)."""
        last = [answer.last_row()]
        calendar = calendar_of(asked.contract)

        def idle_until() -> int | None:
            now = self._timeline.now_ns
            if calendar.session_at(now, asked.use_rth) or calendar.session_at(now - _MINUTE_NS, asked.use_rth):
                return None
            following = calendar.next_session(now, asked.use_rth)
            return None if following is None else calendar.span(following, asked.use_rth)[0]

        def refresh() -> None:
            row = running_bar(self._tape, asked, self._timeline.now_ns)
            if row is not None and row != last[0]:
                last[0] = row
                session.send("historicalDataUpdate", reqId=req_id, **_row_values(row))

        # On the full second: what is asked at the end of a bar is its last state, a moment later it is gone.
        interval = self._config.stream_interval_ns
        self._streams.start(session, _RUNNING, req_id, interval, refresh, is_aligned=True, idle_until=idle_until)

    def _cancel_history(self, session: Session, request: Message) -> None:
        """Answer 162 for a query that was still running, 366 for one that is over (documented)."""
        req_id = request.integer("reqId")
        if self._streams.stop(session, _RUNNING, req_id):
            raise RequestRefused(162, cause=f"API historical data query cancelled: {req_id}")
        raise RequestRefused(366, ticker=req_id)

    def _send_head(self, session: Session, request: Message) -> None:
        contract = self._contract_of(request)
        format_date = request.integer("formatDate", 1)
        answer = head_timestamp(self._tape, contract, request.text("whatToShow"), request.flag("useRth"), format_date)
        if isinstance(answer, HistoryError):
            raise RequestRefused(answer.code, text=answer.text)
        session.send("headTimestamp", reqId=request.integer("reqId"), timestamp=answer)

    def _send_histogram(self, session: Session, request: Message) -> None:
        """Send the volume by price of the last days: each bar's volume at its middle price (assumed)."""
        contract = self._contract_of(request)
        words = request.text("timePeriod").split()
        duration = parse_duration(f"{words[0]} {words[1][0]}" if len(words) == 2 else request.text("timePeriod"))
        size = parse_bar_size("5 mins" if duration is not None and duration.unit in "SD" else "1 day")
        if duration is None or size is None:
            raise RequestRefused(321, tag=request.name, cause=f"Invalid time period {request.text('timePeriod')!r}")
        now = self._timeline.now_ns
        back = {"S": 1, "D": 86_400, "W": 7 * 86_400, "M": 31 * 86_400, "Y": 366 * 86_400}[duration.unit]
        start = max(0, now - duration.count * back * 1_000_000_000)
        bars = self._tape.bars(contract, size, What.TRADES, start, now, request.flag("useRth"), now)
        if bars is None or not len(bars):
            raise RequestRefused(165, cause="no data")
        shares: dict[float, float] = {}
        tick = float(contract.min_tick)
        for price, volume in zip(((bars.high + bars.low) / 2).tolist(), bars.volume.tolist(), strict=True):
            level = round(round(price / tick) * tick, 8)
            shares[level] = shares.get(level, 0.0) + volume
        entries = [{"price": price, "size": int(volume)} for price, volume in sorted(shares.items()) if volume > 0]
        session.send("histogramData", reqId=request.integer("reqId"), entries=entries)

    def _ignore(self, session: Session, request: Message) -> None:
        """Cancelling an answer that has been given is answered by nothing (reported)."""


def _row_values(row: HistoryRow) -> Values:
    return {
        "date": row.date,
        "open": row.open,
        "high": row.high,
        "low": row.low,
        "close": row.close,
        "volume": row.volume,
        "wap": row.wap,
        "count": row.count,
    }
