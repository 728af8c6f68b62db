"""One supervised IBKR session with a plain face, for scripts, notebooks, Django and Qt alike.

    with IBKRSession(client_id=123) as session:
        session.wait_until_live(30)
        handle = session.subscribe(StreamRequest("AAPL"))
        for event in session.events(timeout_seconds=5):
            print(event)

The session lives in its own thread with its own event loop: whatever the program does meanwhile, messages are
worked off, heartbeats are sent, and a lost connection comes back. Everything here may be called from any thread,
also from inside a running event loop (as in a notebook); only waiting blocks. Given a loop, it runs there and
without any thread, so that tests play weeks in virtual time: `start` and `subscribe` then take effect as the loop
runs, `events` takes what is there, callbacks are called in the loop.
"""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from quant_trading.core.event_queue import EventQueue
from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.core.session_runner import SessionRunner, SessionSettings
from quant_trading.core.stream_item import Stream, new_stream
from quant_trading.core.streams import NoteKind, StreamEvent, StreamNote, StreamRequest, StreamState
from quant_trading.core.supervisor import Outage, Report, ReportKind, SupervisorState
from quant_trading.domain.errors import ConnectionFailed, ConnectionLost, UsageError
from quant_trading.ports import Clock
from quant_trading.settings.system_clock import SystemClock

__all__ = ["IBKRSession", "StreamHandle"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_STOP_SECONDS = 10.0
_DISPATCH_SECONDS = 0.5
_MOST_EVENTS = 500_000
_READY = (SupervisorState.LIVE, SupervisorState.DEGRADED)


class StreamHandle:
    """A stream a program wishes for; it lives until it is cancelled, over any number of connections."""

    def __init__(self, session: "IBKRSession", number: int, request: StreamRequest) -> None:
        self._session = session
        self.number = number
        self.request = request
        self._stream: Stream | None = None

    @property
    def state(self) -> StreamState:
        """Return how it is."""
        return self._stream.state if self._stream is not None else StreamState.WANTED

    @property
    def heard_ns(self) -> int:
        """Return when it last spoke, UTC ns; 0 for never."""
        return self._stream.heard_ns if self._stream is not None else 0

    def cancel(self) -> None:
        """Wish for it no longer."""
        self._session.cancel(self)


class IBKRSession:
    """A session with TWS that comes back by itself.

    Args:
        host, port, client_id, environ: as in `IBKRConnection`. The client id is never changed: while TWS holds it
            for another connection (326), the session waits for it.
        settings: what it is for.
        read_only: refuse to send any message that could touch an order.
        queue_limit: events that may wait for `events`; beyond it the oldest are dropped, counted in
            `dropped_events`, told by a note and an alarm.
        loop: run in this loop, without a thread; it stays the caller's.
        clock: the wall clock; None is the machine's. A `TwsClock` is set and kept by TWS's time.

    Raises:
        ConfigError: as `IBKRConnection`.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        client_id: int | None = None,
        *,
        settings: SessionSettings | None = None,
        read_only: bool = True,
        queue_limit: int = _MOST_EVENTS,
        environ: Mapping[str, str] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._given_loop = loop
        self._loop = loop or asyncio.new_event_loop()
        self._clock = clock or SystemClock()
        self._events: EventQueue[StreamEvent] = EventQueue(queue_limit, self._dropped)
        self._calls: EventQueue[Callable[[], None]] = EventQueue(queue_limit, self._dropped)
        self._listeners: list[Callable[[Report], None]] = []
        self._consumers: dict[int, Callable[[list[StreamEvent]], None]] = {}
        self._collected: dict[int, list[StreamEvent]] = {}
        self._handles: dict[int, StreamHandle] = {}
        self._next_number = 1
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._state = SupervisorState.DISCONNECTED
        self._thread: threading.Thread | None = None
        self._dispatcher: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_ended = False
        self.runner = SessionRunner(
            self._loop, self._clock, settings or SessionSettings(), self._emit, self._flush, self._tell,
            read_only=read_only, host=host, port=port, client_id=client_id, environ=environ,
        )  # fmt: skip

    # Life

    def start(self) -> "IBKRSession":
        """Begin to connect, and keep at it; returns at once.

        Raises:
            UsageError: when it was ended before: make a new one.
        """
        if self._is_ended:
            raise UsageError("this session was stopped; make a new IBKRSession")
        if self._task is not None or self._thread is not None:
            return self
        if self._given_loop is not None:
            self._task = self._loop.create_task(self.runner.run())
        else:
            # Daemons: a program that forgets `stop`, or dies of an error, ends nevertheless.
            self._thread = threading.Thread(target=self._run, name="ibkr-session", daemon=True)
            self._dispatcher = threading.Thread(target=self._dispatch, name="ibkr-callbacks", daemon=True)
            self._thread.start()
            self._dispatcher.start()
        return self

    def stop(self) -> None:
        """End the session and its threads; safe to call twice."""
        if self._is_ended:
            return
        self._is_ended = True
        if self._given_loop is not None:
            self.runner.stop()
            if self._task is not None and not self._loop.is_running() and not self._loop.is_closed():
                self._loop.run_until_complete(asyncio.wait([self._task], timeout=_STOP_SECONDS))
            return
        if self._thread is not None:
            self._soon(self.runner.stop)
            if threading.current_thread() is not self._thread:
                self._thread.join(_STOP_SECONDS)
        else:
            self._loop.close()
        self._calls.wake()
        if self._dispatcher is not None and threading.current_thread() is not self._dispatcher:
            self._dispatcher.join(_STOP_SECONDS)

    def __enter__(self) -> "IBKRSession":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def retry(self) -> None:
        """Go on after a refusal, once its cause is mended."""
        self._soon(self.runner.retry)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self.runner.run())
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        finally:
            self._loop.close()
            self._events.wake()
            with self._changed:
                self._changed.notify_all()

    # What is known

    @property
    def state(self) -> SupervisorState:
        """Return where the session stands."""
        return self.runner.state

    @property
    def troubles(self) -> dict[str, str]:
        """Return what is away while the connection is there, by name."""
        return dict(self.runner.supervisor.troubles)

    @property
    def outages(self) -> tuple[Outage, ...]:
        """Return the outages that are over, oldest first, the last thousand."""
        return tuple(self.runner.supervisor.outages)

    @property
    def reports(self) -> tuple[Report, ...]:
        """Return what was told, oldest first, the last thousand."""
        return tuple(self.runner.reports)

    @property
    def account(self) -> str:
        """Return the account of the session, empty while there is none."""
        return self.runner.connection.account

    @property
    def skew_seconds(self) -> float | None:
        """Return how far TWS's clock is ahead of this machine's, None before the first heartbeat."""
        return self.runner.skew_seconds

    @property
    def clock_fault(self) -> str:
        """Return why TWS's clock cannot be followed, empty while it can; only with a `TwsClock`."""
        return self.runner.clock_fault

    @property
    def dropped_events(self) -> int:
        """Return how many events were dropped because nobody took them."""
        return self._events.dropped + self._calls.dropped

    def orders_wait_for(self) -> str:
        """Return why an order should not be sent now (no session, no link, a restart is near), empty when it may."""
        return self.runner.orders_wait_for()

    def now_ns(self) -> int:
        """Return the session's wall clock, UTC ns: what times of ticks and bars are counted by."""
        return self.runner.now_ns()

    def monotonic(self) -> float:
        """Return seconds that never run backwards, whatever is learned of TWS's clock: what durations go by."""
        return self._clock.monotonic()

    def wait_until_live(self, timeout_seconds: float) -> None:
        """Wait until the session is live or degraded.

        Raises:
            AccountRefused: at once, when the login may not be used.
            ConnectionFailed: when it is not within the time; says the last cause. The session keeps at it.
        """
        if self._given_loop is not None:
            self._loop.run_until_complete(self._until_ready(timeout_seconds))
        else:
            with self._changed:
                self._changed.wait_for(self._is_decided, timeout_seconds)
        if self.state in _READY:
            return
        failure = self.runner.last_failure
        if failure is not None:
            raise type(failure)(str(failure))
        raise ConnectionFailed(
            f"no session with TWS within {timeout_seconds:g} s (it is {self.state.value}); wait longer"
        )

    def _is_decided(self) -> bool:
        return self._is_ended or self.state in (*_READY, SupervisorState.REFUSED)

    async def _until_ready(self, seconds: float) -> None:
        end = self._loop.time() + seconds
        while not self._is_decided() and self._loop.time() < end:
            await asyncio.sleep(0.05)

    # Streams

    def subscribe(
        self, request: StreamRequest, on_events: Callable[[list[StreamEvent]], None] | None = None
    ) -> StreamHandle:
        """Wish for a stream; it begins as soon as there is a session.

        Args:
            on_events: takes its events in batches, called from a thread of its own; without it they wait for
                `events`.

        Raises:
            UsageError: when TWS cannot serve it.
        """
        with self._lock:
            number = self._next_number
            self._next_number += 1
        new_stream(number, request)  # what cannot be served is refused here and not in the other thread
        handle = StreamHandle(self, number, request)
        self._handles[number] = handle
        if on_events is not None:
            self._consumers[number] = on_events

        def add() -> None:
            if number in self._handles:
                handle._stream = self.runner.desk.add(number, request)

        self._soon(add)
        return handle

    def cancel(self, handle: StreamHandle) -> None:
        """Wish for a stream no longer."""
        self._handles.pop(handle.number, None)

        def remove() -> None:
            self.runner.desk.remove(handle.number)
            self._consumers.pop(handle.number, None)

        self._soon(remove)

    def events(self, timeout_seconds: float = 0.0, most: int | None = None) -> list[StreamEvent]:
        """Return the events that wait, oldest first; wait for one at most `timeout_seconds`."""
        return self._events.take(0.0 if self._given_loop is not None else timeout_seconds, most)

    def on_report(self, callback: Callable[[Report], None]) -> None:
        """Call `callback` with each report: states, outages, alarms; from a thread of its own."""
        self._listeners.append(callback)

    def on_state(self, callback: Callable[[SupervisorState], None]) -> None:
        """Call `callback` with each new state; from a thread of its own."""
        self.on_report(lambda report: callback(report.state) if report.kind is ReportKind.STATE else None)

    def call(self, request: Callable[[IBKRConnection], Awaitable[_T]], timeout_seconds: float = 30.0) -> _T:
        """Return the answer of `request(connection)`, made inside the session's loop.

        Raises:
            ConnectionLost: when there is no session, it broke, or no answer came in time.
            UsageError: when called from the session's own thread, where it would wait for itself.
        """
        where = f"{self.runner.connection.host}:{self.runner.connection.port}"
        if self.state not in _READY:
            raise ConnectionLost(f"{where}: no session ({self.state.value}); wait until it is live")
        if self._given_loop is not None:
            return self._loop.run_until_complete(self._within(request, timeout_seconds))
        if threading.current_thread() is self._thread:
            raise UsageError("call() was used inside the session's own loop; await the request there instead")
        future = asyncio.run_coroutine_threadsafe(self._within(request, timeout_seconds), self._loop)
        try:
            return future.result(timeout_seconds + 5.0)
        except (TimeoutError, concurrent.futures.CancelledError):
            future.cancel()
            raise ConnectionLost(f"{where}: the session ended during a call") from None

    async def _within(self, request: Callable[[IBKRConnection], Awaitable[_T]], seconds: float) -> _T:
        connection = self.runner.connection
        return await connection.ask(lambda: request(connection), "a call", seconds)

    def _soon(self, action: Callable[[], None]) -> None:
        """Do something in the session's loop."""
        if self._loop.is_closed():
            return
        if self._given_loop is None:
            self._loop.call_soon_threadsafe(action)
        elif self._loop.is_running():
            self._loop.call_soon(action)
        else:

            async def do() -> None:
                action()

            self._loop.run_until_complete(do())

    # From the session's loop to the program

    def _emit(self, event: StreamEvent) -> None:
        if self._consumers and event.stream in self._consumers:
            self._collected.setdefault(event.stream, []).append(event)
        else:
            self._events.put(event)

    def _flush(self) -> None:
        self._events.flush()
        if self._collected:
            collected, self._collected = self._collected, {}
            for number, batch in collected.items():
                consumer = self._consumers.get(number)
                if consumer is not None:  # else it was cancelled meanwhile
                    self._calls.put(partial(consumer, batch))
            self._flush_calls()

    def _flush_calls(self) -> None:
        self._calls.flush()
        if self._given_loop is not None:
            for call in self._calls.take():
                self._loop.call_soon(call)

    def _tell(self, report: Report) -> None:
        for listener in self._listeners:
            self._calls.put(partial(listener, report))
        self._flush_calls()
        with self._changed:
            self._changed.notify_all()

    def _dropped(self, count: int) -> None:
        text = f"{count} events were dropped: the program does not take them fast enough"
        self._events.put(StreamNote(0, self.now_ns(), NoteKind.DROPPED, text))
        self._loop.call_soon(lambda: self.runner.notice(text, is_alarm=True))

    def _dispatch(self) -> None:
        while not (self._is_ended and not len(self._calls)):
            for call in self._calls.take(_DISPATCH_SECONDS):
                try:
                    call()
                except Exception:  # noqa: BLE001 - a mistake in the program's callback may not stop the others
                    _log.exception("a callback of the program failed")
