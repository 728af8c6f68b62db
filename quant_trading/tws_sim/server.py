"""The simulator behind a TCP port, on this machine."""

import asyncio
import contextlib
import gc
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from quant_trading.tws_sim.bursts import Bursts
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.served import ServedSession
from quant_trading.tws_sim.simulator import Simulator

__all__ = ["ThreadedTwsServer", "TwsServer", "serve_until_stopped"]

T = TypeVar("T")

_STOP_SECONDS = 10.0
# A client that does not read is dropped before it eats the memory of the machine.
_MAX_UNREAD = 64 * 1024 * 1024
# Timers far away are cut into pieces: an event loop does not take arbitrary delays.
_LONGEST_SLEEP = 3600.0
# Long enough for a client to take what has arrived, too short for anybody to notice.
_HOLD_SECONDS = 0.02
_RETRY_SECONDS = 0.2


class _Connection(asyncio.Protocol):
    """One TCP client: bytes to the session, bytes from it."""

    def __init__(self, server: "TwsServer") -> None:
        self._server = server
        self._session: ServedSession | None = None
        self._transport: asyncio.Transport | None = None
        self._is_flush_planned = False
        self._is_receiving = False
        self._bursts = Bursts()
        self._held = b""
        self._release: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._session = self._server.served.connect()
        except ConnectionRefusedError:
            # The system has accepted already; a reset is the nearest thing to a refusal.
            transport.abort()
            return
        self._session.on_output = self._plan_flush
        self._session.on_push = self._push
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._session is None:
            return
        self._is_receiving = True
        try:
            self._server.catch_up()
            self._session.receive(data)
        finally:
            self._is_receiving = False
        if self._is_flush_planned:
            self._flush()
        self._server.schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        if self._release is not None:
            self._release.cancel()
        if self._session is not None:
            self._session.receive_eof()

    def close(self) -> None:
        """Send what is waiting and hang up."""
        if self._session is not None:
            self._session.close("")
        self._flush()

    def _plan_flush(self) -> None:
        # One write for everything this turn of the loop produces; the answers to a request follow it at once.
        if not self._is_flush_planned and self._transport is not None:
            self._is_flush_planned = True
            if not self._is_receiving:
                asyncio.get_running_loop().call_soon(self._flush)

    def _push(self) -> None:
        """Write what waits already: the client reads it while the rest is still being worked out."""
        if self._is_receiving and not self._server.is_wire_disturbed:
            self._flush()

    def _flush(self) -> None:
        self._is_flush_planned = False
        session, transport = self._session, self._transport
        if session is None or transport is None or transport.is_closing():
            return
        data = self._held + session.data_to_send()
        self._held = b""
        if data and self._server.is_wire_disturbed:
            self._write_as_told(data)
        elif data:
            transport.write(data if session.is_closed else self._spared(data))
        if transport.get_write_buffer_size() > _MAX_UNREAD:
            transport.abort()
        elif session.is_closed:
            transport.close()

    def _write_as_told(self, data: bytes) -> None:
        """Write as a fault wants it: in pieces, or in exactly what there is."""
        assert self._transport is not None
        size = getattr(self._session, "write_size", 0) or len(data)
        for at in range(0, len(data), size):
            self._transport.write(data[at : at + size])

    def _spared(self, data: bytes) -> bytes:
        """Return what to write now; a last byte that would cost some clients all the others comes later."""
        loop = asyncio.get_running_loop()
        now = len(data) - self._bursts.held_back(len(data), loop.time())
        self._held = data[now:]
        if self._held:
            self._release = loop.call_later(_HOLD_SECONDS, self._flush)
        return data[:now]


class TwsServer:
    """`async with TwsServer(simulator, clock) as server:` serves clients on `server.port`."""

    def __init__(self, simulator: Simulator | Gateway, clock: SimClock, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare a server for a simulator, bare or behind a gateway; port 0 takes a free one."""
        self.served = simulator
        self.simulator = simulator.simulator if isinstance(simulator, Gateway) else simulator
        self.host = host
        self.port = port
        self.connections: set[_Connection] = set()
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changes: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: when the address cannot be had (in use, not of this machine).
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._clock.start(loop.time)
        # A timer that is due comes after everything this turn of the loop has planned: after the flush.
        self.simulator.defer = lambda work: loop.call_later(0, work)
        if isinstance(self.served, Gateway):
            self.served.on_leap = self._clock.leap
            self.served.on_listening = self._change_listening
        self.schedule()
        return self

    @property
    def clock(self) -> SimClock:
        """The clock that drives the simulator."""
        return self._clock

    @property
    def is_wire_disturbed(self) -> bool:
        """True while a fault decides in which pieces bytes are written."""
        return isinstance(self.served, Gateway) and bool(self.served.write_size or self.served.chunk_size)

    def _change_listening(self, is_open: bool) -> None:
        """Close the port, or open it again, as a TWS that restarts."""
        if not is_open:
            if self._server is not None:
                self._server.close()
            return
        task = asyncio.get_running_loop().create_task(self._listen_again())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _listen_again(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_stopped and isinstance(self.served, Gateway) and self.served.is_listening:
            try:
                self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
                return
            except OSError:
                # Somebody else has the port for the moment.
                await asyncio.sleep(_RETRY_SECONDS)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up on everybody and free the port."""
        if self._timer is not None:
            self._timer.cancel()
        assert self._server is not None
        self._is_stopped = True
        self.simulator.defer = None
        self.simulator.settle()
        self._server.close()
        for connection in list(self.connections):
            connection.close()
        await self._server.wait_closed()
        # The transports close in the next turns of the loop; without them their sockets would leak.
        for _ in range(3):
            await asyncio.sleep(0)

    def catch_up(self) -> None:
        """Bring the simulator to the clock's now."""
        self.served.advance_to(self._clock.now_ns())

    def schedule(self) -> None:
        """Wake up when the simulator has something to do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ns = self.served.next_event_ns()
        if due_ns is None:
            return
        delay = min(self._clock.seconds_until(due_ns), _LONGEST_SLEEP)
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.catch_up()
        self.schedule()


def serve_until_stopped(
    simulator: Simulator | Gateway,
    clock: SimClock,
    host: str,
    port: int,
    on_ready: Callable[[int], None],
    beside: "Callable[[TwsServer], contextlib.AbstractAsyncContextManager[None]] | None" = None,
) -> None:
    """Serve on (host, port) until SIGINT or SIGTERM; `on_ready` is told the port when clients may come.

    Args:
        beside: what runs as long as the server does, such as a control port.

    Raises:
        OSError: when the address cannot be had.
    """

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            # Windows has no signal handlers in its loop; Ctrl-C arrives as KeyboardInterrupt there.
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(name, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(TwsServer(simulator, clock, host, port))
            if beside is not None:
                await stack.enter_async_context(beside(server))
            # What there is now stays for good; the collector need not look at it again and again.
            gc.freeze()
            on_ready(server.port)
            await stop.wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


class ThreadedTwsServer:
    """The same in a thread of its own: `with ThreadedTwsServer(simulator) as server: ... server.port`.

    Touch the simulator through `call` only: everything else may see it half way through a message.
    """

    def __init__(
        self, simulator: Simulator | Gateway, clock: SimClock | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """Prepare a server; without a clock, time stands still at the simulator's now until `advance_to`."""
        self.served = simulator
        self.simulator = simulator.simulator if isinstance(simulator, Gateway) else simulator
        self.port = port
        self.host = host
        self._clock = clock or SimClock(simulator.now_ns, speed=0.0)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._server: TwsServer | None = None

    def __enter__(self) -> Self:
        """Start the thread and wait until it listens.

        Raises:
            OSError: when the address cannot be had.
        """
        self._thread = threading.Thread(target=self._run, name="tws-simulator", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up, stop the loop and join the thread."""
        self.stop()

    def stop(self) -> None:
        """Stop the server; a second time changes nothing."""
        if self._thread is None or self._loop is None or self._stop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(_STOP_SECONDS)
        self._thread = None

    def call(self, function: Callable[[Simulator], T]) -> T:
        """Return `function(simulator)`, run in the server's thread between two messages."""
        assert self._loop is not None, "the server is not running"

        async def run() -> T:
            assert self._server is not None
            self._server.catch_up()
            result = function(self.simulator)
            self._server.schedule()
            return result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_STOP_SECONDS)

    def advance_to(self, ns: int) -> None:
        """Move simulated time on; for a clock that stands still."""
        self.call(lambda _: self.served.advance_to(ns))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with TwsServer(self.served, self._clock, self.host, self.port) as server:
            self._server = server
            self.port = server.port
            self._started.set()
            await self._stop.wait()
