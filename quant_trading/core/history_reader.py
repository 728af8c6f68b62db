"""History that is read while a program goes on with its streams: TWS may take a minute to say nothing.

Each symbol is asked for by itself, and one that got nothing again after a pause that grows, in another row than the
symbols that are asked for the first time: who has no history makes nobody wait.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from quant_trading.core.recent_bars import recent_bars
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConnectionLost

if TYPE_CHECKING:
    from quant_trading.core.ibkr_connection import IBKRConnection
    from quant_trading.core.session_thread import IBKRSession

__all__ = ["Answer", "HistoryReader"]

_AT_ONCE = 10
_ANSWER_SECONDS = 90.0  # a request has a shorter limit of its own; this one is for a session that hangs
_CALL_SECONDS = 600.0
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 15.0, 600.0


class Answer(NamedTuple):
    """What came of a question.

    Attributes:
        asked_ns: UTC ns, before it was read.
        bars: 1-minute bars; the last may be running still. None when there are none.
        why: there are none, as TWS says.
        is_lost: there was no session: that says nothing of the symbol.
    """

    symbol: str
    asked_ns: int
    bars: BarColumns | None
    why: str = ""
    is_lost: bool = False


class HistoryReader:
    """Asks in the session's loop and keeps the answers until they are taken.

    Args:
        session: started.
    """

    def __init__(self, session: "IBKRSession") -> None:
        self._session = session
        self._first, self._again = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._done: deque[asyncio.Task[Answer]] = deque()  # filled by the session's thread
        self._asked: set[str] = set()
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def may_ask(self, symbol: str) -> bool:
        """Return whether it is neither being asked for nor to be left alone for a while."""
        return symbol not in self._asked and self._session.monotonic() >= self._not_before.get(symbol, 0.0)

    def ask(self, durations: Mapping[str, str], now_ns: int) -> str:
        """Ask for the bars of these symbols up to now, and return at once.

        Args:
            durations: IBKR's words ("1800 S") by symbol.
            now_ns: UTC ns.

        Returns:
            why it cannot be done now: there is no session; else nothing.
        """

        async def begin(connection: "IBKRConnection") -> None:
            for symbol, duration in durations.items():
                task = asyncio.ensure_future(self._read(connection, symbol, duration, now_ns))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                task.add_done_callback(self._done.append)

        try:
            self._session.call(begin, _CALL_SECONDS)
        except ConnectionLost as error:
            for symbol in durations:
                self._leave_alone(symbol, _PAUSE_SECONDS)
            return str(error)
        self._asked.update(durations)
        return ""

    def answers(self) -> list[Answer]:
        """Return what has come; each is to be settled."""
        found = []
        while self._done:
            task = self._done.popleft()
            if not task.cancelled():  # the session has ended
                found.append(task.result())
        self._asked.difference_update(one.symbol for one in found)
        return found

    def settle(self, answer: Answer, *, is_enough: bool) -> float:
        """Take note whether an answer was what was wanted; return how many seconds its symbol is left alone."""
        if is_enough:
            self._failures.pop(answer.symbol, None)
            self._not_before.pop(answer.symbol, None)
            return 0.0
        failures = self._failures.get(answer.symbol, 0)
        pause = _PAUSE_SECONDS if answer.is_lost else min(_PAUSE_SECONDS * 2.0**failures, _LONGEST_PAUSE_SECONDS)
        if not answer.is_lost:
            self._failures[answer.symbol] = failures + 1
        self._leave_alone(answer.symbol, pause)
        return pause

    def stop(self) -> None:
        """Wait for no answer any longer."""
        for task in tuple(self._tasks):
            if not (loop := task.get_loop()).is_closed():
                loop.call_soon_threadsafe(task.cancel)

    def _leave_alone(self, symbol: str, seconds: float) -> None:
        self._not_before[symbol] = self._session.monotonic() + seconds

    async def _read(self, connection: "IBKRConnection", symbol: str, duration: str, asked_ns: int) -> Answer:
        async with self._again if symbol in self._failures else self._first:
            try:
                found, missing = await connection.ask(
                    lambda: recent_bars(connection, [symbol], "1 min", duration), "history", _ANSWER_SECONDS
                )
            except ConnectionLost as error:
                return Answer(symbol, asked_ns, None, str(error), is_lost=True)
        return Answer(symbol, asked_ns, found.get(symbol), missing.get(symbol, ""))
