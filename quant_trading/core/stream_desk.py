"""Subscriptions as desired state: asked for in every session, watched, asked for again, and their gaps filled.

What can happen to a stream and what is done about it:

| what | told as | cure |
| --- | --- | --- |
| the connection ended (`close`, then `open`) | GAP | asked for anew, the missed range from history |
| TWS lost IBKR or a farm (`suspend`), back with data kept (`probe`) | GAP | has to speak in 15 s, else asked anew |
| the same, subscriptions lost (1101, `resubscribe`); 10225 | GAP | asked for anew; history |
| silence beyond its deadline, inside the session | SILENT, an alarm | asked for anew, then DEGRADED and ever later |
| 10197, another session has the data | DEGRADED | asked for anew every minute |
| an answer that a later attempt may change (162, 420, ...) | DEGRADED | asked for anew, ever later |
| any other error | REFUSED, an alarm | with the next connection |

A request that is made anew gets a new id, and its old one is cancelled first: nothing is ever subscribed twice.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from ib_async import Contract

from quant_trading.core.error_codes import Effect, effect_of
from quant_trading.core.ib_client import BoundIB
from quant_trading.core.ibkr_mapping import ibkr_symbol
from quant_trading.core.pacing import Pacer
from quant_trading.core.stream_bars import BarRow
from quant_trading.core.stream_fill import Filler
from quant_trading.core.stream_item import Stream, new_stream
from quant_trading.core.stream_sinks import sink_for
from quant_trading.core.stream_tap import StreamTap
from quant_trading.core.streams import (
    NoteKind,
    StreamEvent,
    StreamKind,
    StreamNote,
    StreamRequest,
    StreamState,
    session_opened,
)
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, session_at

__all__ = ["StreamDesk", "StreamOwner"]

_log = logging.getLogger(__name__)

_PROOF_SECONDS = 15.0
_RESOLVE_SECONDS = 30.0
_COMPETING_SECONDS = 60.0
_ON_ITS_WAY_SECONDS = 5.0  # what was sent before TWS's word is no sign that it has changed its mind
_FIRST_RETRY, _LONGEST_RETRY = 15.0, 300.0
_COMPETING = 10197
_LIVE_DATA, _DELAYED_DATA = 1, 3  # TWS's market data types; 3 gives live data all the same where they are subscribed
_ASLEEP_SECONDS = 3600.0  # between two looks while the table of sessions has no answer


class StreamOwner(Protocol):
    """Whom the desk tells what concerns the session."""

    def trouble(self, name: str, text: str, *, is_alarm: bool = False) -> None:
        """Note that something is away."""

    def relieve(self, name: str) -> None:
        """Note that it is back."""

    def notice(self, text: str, *, is_alarm: bool = False) -> None:
        """Tell a person."""


class StreamDesk:
    """All streams of one session. Everything runs in the session's loop.

    Args:
        ib: the client; its decoder is tapped once.
        owner: is told of silence and refusals.
        now_ns: UTC ns.
        emit: takes each event, in order; `flush` is called after every packet and every other burst of events.
        pacer: counts what is asked of history; None = of these streams alone.
    """

    def __init__(
        self,
        ib: BoundIB,
        owner: StreamOwner,
        now_ns: Callable[[], int],
        emit: Callable[[StreamEvent], None],
        flush: Callable[[], None],
        pacer: Pacer | None = None,
    ) -> None:
        self._ib = ib
        self._client: Any = ib.client  # the library leaves its methods untyped
        self._owner = owner
        self._now_ns = now_ns
        self.emit = emit
        self._flush = flush
        self._tap = StreamTap(self._client.decoder.handlers)
        self._streams: dict[int, Stream] = {}
        self._by_request: dict[int, Stream] = {}
        self._contracts: dict[tuple[object, ...], Contract] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: set[Stream] = set()
        self._packet_ns = 0
        self._is_open = False
        self._is_suspended = False
        self._data_type = _LIVE_DATA
        self._filler = Filler(self._client, self._tap, now_ns, self._contract_of, pacer)
        self._client.conn.hasData += self._on_packet

    # Wishes

    def add(self, number: int, request: StreamRequest) -> Stream:
        """Wish for a stream; asked for at once when there is a session."""
        stream = new_stream(number, request)
        self._streams[number] = stream
        if self._is_open:
            self._begin(self._ask(stream))
        return stream

    def remove(self, number: int) -> None:
        """Wish for it no longer."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        self._let_go(stream)
        stream.state = StreamState.ENDED
        self._owner.relieve(f"stream {number}")
        self._relieve_competing()

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Return every stream wished for."""
        return tuple(self._streams.values())

    # What the session tells

    def open(self) -> None:
        """Ask for every stream: a session has begun."""
        self._is_open, self._is_suspended = True, False
        self._data_type = _LIVE_DATA  # of every new connection
        self._begin(self._ask_all())

    def close(self) -> None:
        """Forget everything asked for: the session has ended."""
        self._is_open = False
        for task in list(self._tasks):
            task.cancel()
        self._tap.clear()
        self._by_request.clear()
        self._filler.close()
        for stream in self._streams.values():
            self.damage(stream)
            stream.request_id = None
            stream.fill_task = None
            stream.stop_timers()
            stream.state = StreamState.WANTED
        self._flush()

    def suspend(self) -> None:
        """Expect no data: their source is away, and that has been told."""
        self._is_suspended = True
        for stream in self._streams.values():
            self.damage(stream)
        self._flush()

    def probe(self) -> None:
        """Expect data again, soon; fill what was missed."""
        self._is_suspended = False
        now = asyncio.get_running_loop().time()
        for stream in self._streams.values():
            if stream.request_id is None:
                continue
            if stream.state is StreamState.LIVE:
                stream.state = StreamState.ASKED  # until it speaks
            stream.heard_at = now
            stream.liveness.pause()
            self._watch(stream, _PROOF_SECONDS)
            self.fill(stream)

    def resubscribe(self) -> None:
        """Ask for every stream anew: TWS has forgotten them."""
        self._is_suspended = False
        for stream in self._streams.values():
            self.damage(stream)
        self._begin(self._ask_all())

    def on_error(self, request_id: int, code: int, text: str) -> bool:
        """Take an error that carries a request's id; return False when it is none of ours."""
        if self._filler.on_error(request_id, code, text):
            return True
        stream = self._by_request.get(request_id)
        if stream is None:
            return False
        effect, words = effect_of(code), f"{stream.request.symbol}: TWS {code}: {text}"
        if effect is Effect.ADVISORY:
            self._note(stream, NoteKind.ADVICE, words, code)
        elif code == _COMPETING:
            self.damage(stream)
            stream.mute_until = asyncio.get_running_loop().time() + _ON_ITS_WAY_SECONDS
            self._degrade(stream, words, _COMPETING_SECONDS)
            self._owner.trouble("competing session", words)
        elif effect is Effect.MUST_RESUBSCRIBE:
            self.damage(stream)
            self._begin(self._ask(stream))
        elif effect is Effect.RETRY:
            self._fail(stream, words)
        else:
            self._refuse(stream, words, code)
        self._flush()
        return True

    # Asking

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, ConnectionError | TimeoutError):
                return  # the session is ending, or TWS did not answer: the watch asks again
            _log.error("a stream task failed: %r", error)

    async def _ask_all(self) -> None:
        for stream in list(self._streams.values()):
            await self._ask(stream)

    async def _ask(self, stream: Stream) -> None:
        """Ask for a stream under a new request id; cancel the old one first."""
        self._let_go(stream)
        stream.asks += 1
        ask = stream.asks
        self._watch(stream, stream.liveness.seconds + _RESOLVE_SECONDS)
        try:
            contract = await self._contract_of(stream.request)
        except DataGap as error:
            self._refuse(stream, str(error))
            return
        except TimeoutError:
            words = f"{stream.request.symbol}: TWS did not describe it within {_RESOLVE_SECONDS:g} s"
            self._fail(stream, words)
            return
        if ask != stream.asks or stream.state is StreamState.ENDED or not self._is_open:
            return  # asked for anew, or cancelled, meanwhile
        request_id = int(self._client.getReqId())
        stream.request_id = request_id
        self._by_request[request_id] = stream
        self._tap.open(request_id, sink_for(stream, self))
        self._send(stream, request_id, contract)
        if stream.state in (StreamState.WANTED, StreamState.LIVE, StreamState.REFUSED):
            stream.state = StreamState.ASKED
        stream.heard_at = asyncio.get_running_loop().time()
        stream.liveness.pause()
        self._watch(stream, stream.liveness.seconds)
        if stream.request.kind is not StreamKind.RUNNING_BARS:  # their answer begins with history
            self.fill(stream)

    def _send(self, stream: Stream, request_id: int, contract: Contract) -> None:
        client, asked = self._client, stream.request
        if asked.kind is StreamKind.QUOTES:
            data_type = _DELAYED_DATA if asked.takes_delayed else _LIVE_DATA
            if data_type != self._data_type:  # it holds for the requests that follow
                client.reqMarketDataType(data_type)
                self._data_type = data_type
            client.reqMktData(request_id, contract, "", False, False, [])
        elif asked.kind is StreamKind.TRADES:
            client.reqTickByTickData(request_id, contract, "AllLast" if asked.all_trades else "Last", 0, False)
        elif asked.kind is StreamKind.FIVE_SECOND_BARS:
            client.reqRealTimeBars(request_id, contract, 5, asked.what, asked.regular_hours, [])
        else:
            duration = stream.duration_for(self._now_ns())
            client.reqHistoricalData(
                request_id, contract, "", duration, stream.bar_size.words, asked.what, asked.regular_hours, 2, True, []
            )

    def _let_go(self, stream: Stream) -> None:
        """Cancel what was asked for, if it was."""
        stream.stop_timers()
        request_id, stream.request_id = stream.request_id, None
        if request_id is None:
            return
        self._by_request.pop(request_id, None)
        self._tap.close(request_id)
        if not self._is_open:
            return
        cancels = {
            StreamKind.QUOTES: self._client.cancelMktData,
            StreamKind.TRADES: self._client.cancelTickByTickData,
            StreamKind.FIVE_SECOND_BARS: self._client.cancelRealTimeBars,
            StreamKind.RUNNING_BARS: self._client.cancelHistoricalData,
        }
        cancels[stream.request.kind](request_id)

    async def _contract_of(self, asked: StreamRequest) -> Contract:
        """Return the one contract that a request means.

        Raises:
            DataGap: when TWS knows none, or several.
        """
        key = (asked.symbol, asked.sec_type, asked.exchange, asked.currency, asked.primary_exchange, asked.con_id)
        known = self._contracts.get(key)
        if known is not None:
            return known
        wish = Contract(
            conId=asked.con_id, symbol=ibkr_symbol(asked.symbol), secType=asked.sec_type, exchange=asked.exchange,
            currency=asked.currency, primaryExchange=asked.primary_exchange,
        )  # fmt: skip
        details = await asyncio.wait_for(self._ib.reqContractDetailsAsync(wish), _RESOLVE_SECONDS)
        found = [one.contract for one in details or () if one.contract is not None]
        if len(found) != 1:
            several = ", ".join(f"{one.symbol} {one.primaryExchange} {one.currency} {one.conId}" for one in found[:5])
            raise DataGap(
                f"{asked.symbol}: TWS knows {several or f'no {asked.sec_type} of that name in {asked.currency}'}; "
                f"correct the symbol or name primary_exchange or con_id"
            )
        contract = Contract(conId=found[0].conId, exchange=asked.exchange)
        self._contracts[key] = contract
        return contract

    # Watching

    def heard(self, stream: Stream) -> int:
        """Note that a message of a stream is being worked off; return its time, UTC ns."""
        self._heard.add(stream)
        if not self._packet_ns:
            self._packet_ns = self._now_ns()
        return self._packet_ns

    def _on_packet(self, _data: bytes) -> None:
        """Do once a packet what is due for every stream that spoke in it."""
        if self._heard:
            now = asyncio.get_running_loop().time()
            for stream in self._heard:
                self._spoke(stream, now)
            self._heard.clear()
            self._packet_ns = 0
            self._flush()

    def _spoke(self, stream: Stream, now: float) -> None:
        if stream.request_id is None:
            return
        stream.heard_at, stream.heard_ns = now, self._packet_ns
        stream.liveness.heard(now)
        if stream.state is not StreamState.LIVE and now >= stream.mute_until:
            stream.state = StreamState.LIVE
            stream.live_ns = self._packet_ns
            stream.retries = 0
            stream.stop_retry()
            self._note(stream, NoteKind.LIVE, f"{stream.request.symbol}: data flow")
            self._owner.relieve(f"stream {stream.number}")
            self._relieve_competing()
        # A source may come back without a word: what was missed is asked for when data flow again.
        if stream.book is None:
            if stream.gap_from_ns is not None and stream.state is StreamState.LIVE:
                self.fill(stream)
        elif not stream.book.is_sound and not stream.awaits_answer:
            self.fill(stream)
        self._plan_overdue(stream)

    def _plan_overdue(self, stream: Stream) -> None:
        """Look in history when the running bar is over and nothing follows it; for small bars that asks too often."""
        book = stream.book
        if book is None or stream.overdue_timer is not None or stream.bar_size.seconds < 60:
            return
        if book.overdue_ns is not None:
            self._watch_overdue(stream, book.overdue_ns)

    def _watch_overdue(self, stream: Stream, at_ns: int) -> None:
        loop = asyncio.get_running_loop()

        def look() -> None:
            stream.overdue_timer = None
            book = stream.book
            if book is None or book.overdue_ns is None or stream.request_id is None:
                return
            if not book.is_overdue(self._now_ns()):
                self._watch_overdue(stream, book.overdue_ns)
            elif not self._is_suspended:
                self.fill(stream)  # it plans the next look when it ends

        delay = max(0.001, (at_ns - self._now_ns()) / 1e9)
        stream.overdue_timer = loop.call_later(delay, look)

    def _watch(self, stream: Stream, seconds: float) -> None:
        """Look after so many seconds whether the stream has spoken."""
        if stream.silence_timer is not None:
            stream.silence_timer.cancel()
        loop = asyncio.get_running_loop()
        stream.silence_timer = loop.call_later(max(seconds, 0.001), self._check, stream)

    def _check(self, stream: Stream) -> None:
        stream.silence_timer = None
        if not self._is_open or self._is_suspended or stream.state in (StreamState.ENDED, StreamState.REFUSED):
            return
        if stream.retry_timer is not None:
            return  # it is asked for anew soon
        now, now_ns = asyncio.get_running_loop().time(), self._now_ns()
        limit = max(_PROOF_SECONDS, stream.liveness.seconds)
        try:
            opened_ns = session_opened(now_ns)
            is_in_session = session_at(now_ns) is not None
        except SessionRangeError:
            self._watch(stream, _ASLEEP_SECONDS)
            return
        if not is_in_session:
            self._rest(stream, (opened_ns - now_ns) / 1e9 + limit)
            return
        since = max(stream.heard_at, now - (now_ns - opened_ns) / 1e9)
        if now < since + limit:
            self._watch(stream, since + limit - now + 0.001)
            return
        self._silent(stream, now - since)

    def _rest(self, stream: Stream, seconds: float) -> None:
        """Expect nothing before the next session; silence is no trouble until then."""
        stream.liveness.pause()
        if stream.state is StreamState.SILENT:
            stream.state = StreamState.ASKED
            self._owner.relieve(f"stream {stream.number}")
        self._watch(stream, seconds)

    def _silent(self, stream: Stream, seconds: float) -> None:
        self.damage(stream)
        stream.liveness.was_only_quiet()
        symbol, kind = stream.request.symbol, stream.request.kind.value
        words = f"{symbol}: no {kind} for {seconds:.0f} s inside the session; asked for again"
        self._owner.trouble(f"stream {stream.number}", words, is_alarm=True)
        if stream.state in (StreamState.SILENT, StreamState.DEGRADED):
            self._degrade(stream, words, stream.next_retry(_FIRST_RETRY, _LONGEST_RETRY))
        else:
            stream.state = StreamState.SILENT
            self._note(stream, NoteKind.SILENT, words)
            self._begin(self._ask(stream))
        self._flush()

    def _fail(self, stream: Stream, text: str) -> None:
        """Ask for it anew a little later."""
        self.damage(stream)
        self._degrade(stream, text, stream.next_retry(_FIRST_RETRY, _LONGEST_RETRY))
        self._owner.trouble(f"stream {stream.number}", text, is_alarm=True)

    def _degrade(self, stream: Stream, text: str, retry_seconds: float) -> None:
        """Live without the stream for a while: history alone tells its bars."""
        if stream.state is not StreamState.DEGRADED:
            stream.state = StreamState.DEGRADED
            self._note(stream, NoteKind.DEGRADED, text)
        stream.stop_retry()

        def again() -> None:
            stream.retry_timer = None
            if self._is_open:
                self._begin(self._ask(stream))

        stream.retry_timer = asyncio.get_running_loop().call_later(retry_seconds, again)
        if stream.book is not None:
            self.fill(stream)

    def _refuse(self, stream: Stream, text: str, code: int = 0) -> None:
        stream.stop_timers()
        stream.state = StreamState.REFUSED
        if stream.request_id is not None:
            self._by_request.pop(stream.request_id, None)
            self._tap.close(stream.request_id)
            stream.request_id = None
        self._note(stream, NoteKind.REFUSED, text, code)
        self._owner.relieve(f"stream {stream.number}")
        self._owner.notice(text, is_alarm=True)
        self._flush()

    def _relieve_competing(self) -> None:
        if not any(one.state is StreamState.DEGRADED for one in self._streams.values()):
            self._owner.relieve("competing session")

    # Gaps

    def damage(self, stream: Stream) -> None:
        """Take note that data of a stream may be missing from its last datum on."""
        if stream.state in (StreamState.ENDED, StreamState.REFUSED):
            return
        stream.damages += 1
        if stream.book is not None:
            stream.book.damage()
        if stream.gap_from_ns is None and stream.heard_ns:
            stream.gap_from_ns = stream.heard_ns
            self.emit(
                StreamNote(
                    stream.number, stream.heard_ns, NoteKind.GAP, f"{stream.request.symbol}: data may be missing"
                )
            )

    def fill(self, stream: Stream) -> None:
        """Bring from history what a stream has missed; nothing to do without a gap."""
        if stream.fill_task is not None and not stream.fill_task.done():
            return
        if stream.book is None and (stream.gap_from_ns is None or not stream.request.backfill_bar_size):
            return
        if stream.book is not None and stream.book.final_until_ns is None:
            return  # nothing has been told yet, so nothing is missing
        stream.fill_task = self._begin(self._fill(stream))

    async def _fill(self, stream: Stream) -> None:
        delay = _FIRST_RETRY
        while True:
            damages = stream.damages
            told = await self._filler.missed(stream)
            if told is not None:
                for bar in told:
                    self.emit(bar)
                if damages == stream.damages and stream.is_joined:
                    self.gap_closed(stream)
                    return
                self._flush()
                if self._is_suspended or not stream.is_joined:
                    return  # `probe`, or the first datum, begins anew
            else:
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_RETRY)

    def gap_closed(self, stream: Stream) -> None:
        """Take note that history has told everything that was missing."""
        self._plan_overdue(stream)
        if stream.gap_from_ns is not None:
            stream.gap_from_ns = None
            self._note(stream, NoteKind.FILLED, f"{stream.request.symbol}: the gap is filled from history")
        self._flush()

    def answered(self, stream: Stream, rows: list[BarRow]) -> None:
        """Take the history at the head of running bars."""
        stream.awaits_answer = False
        book = stream.book
        if book is None:
            return
        if book.final_until_ns is not None and not stream.answer_covers:
            self.fill(stream)
            return
        # Not a sign of life: a stream whose updates never come answers with its history all the same.
        for bar in book.history(rows, self._now_ns()):
            self.emit(bar)
        self.gap_closed(stream)

    def _note(self, stream: Stream, kind: NoteKind, text: str, code: int = 0) -> None:
        self.emit(StreamNote(stream.number, self._now_ns(), kind, text, code))
