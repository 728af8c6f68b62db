"""What a stream has missed, asked of TWS's history under its pacing rules."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from ib_async import Contract

from quant_trading.core.ib_client import RequestError
from quant_trading.core.pacing import HistoryKey, Pacer
from quant_trading.core.stream_bars import BarBook, BarRow, HistoryPage, missed_pages
from quant_trading.core.stream_item import Stream
from quant_trading.core.stream_sinks import history_rows
from quant_trading.core.stream_tap import StreamTap
from quant_trading.core.streams import StreamBar, StreamRequest
from quant_trading.domain.errors import ConfigError

__all__ = ["Filler"]

_log = logging.getLogger(__name__)

_SECOND_NS = 1_000_000_000
_ANSWER_SECONDS = 60.0
_SETTLE_SECONDS = 7.0  # after the end of a bar until history has it for certain
_AT_ONCE = 6
_NO_DATA = "no data"


class Filler:
    """Asks for the history of missed ranges; every request has an end, by an answer, an error or a time-out."""

    def __init__(
        self,
        client: Any,
        tap: StreamTap,
        now_ns: Callable[[], int],
        contract_of: Callable[[StreamRequest], Awaitable[Contract]],
        pacer: Pacer | None = None,
    ) -> None:
        self._client = client
        self._tap = tap
        self._now_ns = now_ns
        self._contract_of = contract_of
        self._pacer = pacer or Pacer()
        self._waiting: dict[int, asyncio.Future[list[BarRow]]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    def on_error(self, request_id: int, code: int, text: str) -> bool:
        """End the request an error is about; return False when it is none of ours."""
        future = self._waiting.get(request_id)
        if future is None:
            return False
        if not future.done():
            if code == 162 and _NO_DATA in text.lower():
                future.set_result([])
            elif code not in (2106, 2107, 2174):  # remarks: the answer is still to come
                future.set_exception(RequestError(request_id, code, text))
        return True

    def close(self) -> None:
        """Forget what was asked: the session has ended, and so have the tasks that waited."""
        self._waiting.clear()
        self._pacer.reset_open()

    async def missed(self, stream: Stream) -> list[StreamBar] | None:
        """Return the bars to tell, None when TWS would not say; waits until the bar that is running now is over."""
        book, until_ns = stream.book, None
        if book is None:
            book, until_ns = await self._book_of_ticks(stream)
        from_ns = book.final_until_ns
        assert from_ns is not None, "a gap begins somewhere"
        rows: dict[int, BarRow] = {}
        regular = stream.request.regular_hours if stream.book is not None else False
        try:
            for page in missed_pages(from_ns, self._now_ns(), stream.bar_size.seconds, regular_hours=regular):
                for row in await self._ask(stream, page, regular_hours=regular):
                    rows[row.start_ns] = row
        except (RequestError, TimeoutError, ConnectionError, ConfigError) as error:
            _log.warning("%s: missed bars cannot be had yet: %r", stream.request.symbol, error)
            return None
        told = book.history([rows[key] for key in sorted(rows)], self._now_ns())
        if until_ns is not None:
            stream.told_until_ns = max(stream.told_until_ns, until_ns)
        return [bar for bar in told if until_ns is None or (bar.is_final and bar.end_ns <= until_ns)]

    async def _book_of_ticks(self, stream: Stream) -> tuple[BarBook, int]:
        """Return a book from the bar in which the gap began, and the end of the bar in which the stream is back."""
        size_ns = stream.size_ns
        book = BarBook(stream.number, size_ns)
        now_ns = self._now_ns()
        gap_ns = stream.gap_from_ns if stream.gap_from_ns is not None else now_ns
        book.begin_at(max(gap_ns - gap_ns % size_ns, stream.told_until_ns))
        until_ns = now_ns - now_ns % size_ns + size_ns
        await asyncio.sleep((until_ns - now_ns) / _SECOND_NS + _SETTLE_SECONDS)
        return book, until_ns

    async def _ask(self, stream: Stream, page: HistoryPage, *, regular_hours: bool) -> list[BarRow]:
        asked = stream.request
        contract = await self._contract_of(asked)
        key = HistoryKey(contract.conId, asked.exchange, asked.what, stream.bar_size.seconds, page)
        async with self._room:
            await self._pace(key)
            loop = asyncio.get_running_loop()
            request_id = int(self._client.getReqId())
            future: asyncio.Future[list[BarRow]] = loop.create_future()
            self._waiting[request_id] = future

            def take(fields: list[str]) -> None:
                if fields[0] == "17" and not future.done():
                    future.set_result(history_rows(fields))

            try:
                self._tap.open(request_id, take)
                self._client.reqHistoricalData(
                    request_id, contract, page.end, page.duration, stream.bar_size.words, asked.what, regular_hours, 2,
                    False, [],
                )  # fmt: skip
                return await asyncio.wait_for(future, _ANSWER_SECONDS)
            except TimeoutError:
                if self._client.isConnected():
                    self._client.cancelHistoricalData(request_id)
                raise
            finally:
                if self._waiting.pop(request_id, None) is not None:
                    self._tap.close(request_id)
                    self._pacer.note_done()

    async def _pace(self, key: HistoryKey) -> None:
        loop = asyncio.get_running_loop()
        while delay := self._pacer.claim("history", key, loop.time()):
            await asyncio.sleep(1.0 if math.isinf(delay) else delay)
