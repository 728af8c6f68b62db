"""Requests for bars of the past, and of the bar that is running."""

from collections.abc import Callable

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
)
from quant_trading.tws_sim.subscriptions import Streams
from quant_trading.tws_sim.tape import Contract, Tape
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["HistoryService"]

_RUNNING = "running bar"
# One answer is one message of at most 16 MB; a row takes up to 110 bytes.
_MAX_ROWS = 140_000
_MAX_RUNNING = 50


class HistoryService:
    """Answers about bars; keeps the subscribers of running bars up to date."""

    def __init__(self, tape: Tape, book: ContractBook, streams: Streams, timeline: Timeline, config: SimConfig) -> None:
        self._tape = tape
        self._book = book
        self._streams = streams
        self._timeline = timeline
        self._config = config

    def handlers(self) -> dict[str, Callable[[Session, Message], None]]:
        """Return what this service answers, by request name."""
        return {
            "reqHistoricalData": self._send_history,
            "cancelHistoricalData": self._cancel_history,
            "reqHeadTimeStamp": self._send_head,
            "cancelHeadTimeStamp": self._ignore,
        }

    def _contract_of(self, request: Message) -> Contract:
        found = self._book.find_one(query_of(request))
        return self._book.by_id(found.con_id) or found

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
        if asked.keep_up_to_date and self._streams.count(session, _RUNNING) >= _MAX_RUNNING:
            raise RequestRefused(162, cause="Too many simultaneous historical data subscriptions, at most 50 are kept")
        answer = serve_history(self._tape, asked, self._timeline.now_ns)
        if isinstance(answer, HistoryError):
            raise RequestRefused(answer.code, text=answer.text)
        if len(answer.rows) > _MAX_ROWS:
            raise RequestRefused(162, cause="Time length exceed max.")
        bars = [_row_values(row) for row in answer.rows]
        session.send("historicalData", reqId=req_id, start=answer.start_text, end=answer.end_text, bars=bars)
        if asked.keep_up_to_date:
            self._keep_up(session, req_id, asked, answer)

    def _keep_up(self, session: Session, req_id: int, asked: HistoryRequest, answer: HistoryAnswer) -> None:
        """Send the running bar whenever it has changed; about once a second, as TWS does (documented)."""
        last = [answer.rows[-1] if answer.rows else None]

        def refresh() -> None:
            row = running_bar(self._tape, asked, self._timeline.now_ns)
            if row is not None and row != last[0]:
                last[0] = row
                session.send("historicalDataUpdate", reqId=req_id, **_row_values(row))

        # On the full second: what is asked at the end of a bar is its last state, a moment later it is gone.
        interval = self._config.stream_interval_ns
        self._streams.start(session, _RUNNING, req_id, interval, refresh, is_aligned=True)

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
