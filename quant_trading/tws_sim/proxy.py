"""A recording proxy: it stands between any client and any server and writes down what passes.

Bytes go on the moment they come, in the chunks in which they came; they are taken apart and written by a
thread of its own afterwards, so that a slow disk does not slow the session. Ends and resets are passed on
as what they are.
"""

import asyncio
import contextlib
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TextIO

from quant_trading.tws_sim.recorder import Recorder
from quant_trading.tws_sim.transcript import Direction, Record, Transcript, format_record, format_transcript

__all__ = ["RecordingProxy", "TranscriptFile", "record_until_stopped"]

_Work = Callable[[Recorder], None] | None
# Closing with a linger of zero seconds sends a reset instead of an end.
_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class TranscriptFile:
    """Writes records to an open text file as they come, from a thread of its own.

    `with TranscriptFile(file) as out: out.put(lambda recorder: recorder.opened(0, 1))`
    """

    def __init__(self, file: TextIO, *, is_scrubbed: bool = True, **notes: str) -> None:
        """Write to `file`, after a head with `notes`."""
        self._file = file
        self._head = format_transcript(Transcript((), notes))
        self._is_scrubbed = is_scrubbed
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tws-transcript", daemon=True)
        self._error: OSError | None = None

    def __enter__(self) -> Self:
        """Write the head and start the thread."""
        self._file.write(self._head)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is waiting.

        Raises:
            OSError: when the file could not be written.
        """
        self._queue.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def put(self, work: Callable[[Recorder], None]) -> None:
        """Let the thread do `work`, after all that was put before."""
        self._queue.put(work)

    def _run(self) -> None:
        recorder = Recorder(self._write, is_scrubbed=self._is_scrubbed)
        while (work := self._queue.get()) is not None:
            if self._error is not None:
                continue
            try:
                work(recorder)
                if self._queue.empty():
                    self._file.flush()
            except OSError as error:
                # A full disk ends the record, not the session.
                self._error = error

    def _write(self, record: Record) -> None:
        self._file.write(f"{format_record(record)}\n")


class _End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, link: "_Link", speaker: Direction) -> None:
        self.link = link
        self.speaker = speaker
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.early: list[bytes] = []
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)
        self.link.passed(self.speaker, data)

    def eof_received(self) -> bool:
        self.has_ended = True
        self.link.ended(self.speaker, "end")
        if self.other is None or self.other.has_ended or self.other.transport is None:
            return False
        if self.other.transport.can_write_eof():
            self.other.transport.write_eof()
        # The other half stays open: what it still has to say is passed on.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.link.ended(self.speaker, "end" if exc is None else "reset")
        other = self.other.transport if self.other is not None else None
        if other is not None and exc is not None:
            reset(other)
        elif other is not None:
            other.close()
        self.link.lost()

    def pause_writing(self) -> None:
        # This side reads slowly, so the other one is made to speak slowly, as without a proxy.
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """Hang up with a reset."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Gone already: then there is nothing left to reset.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


class _Link:
    """A client's socket and ours to the server, with one number."""

    def __init__(self, proxy: "RecordingProxy", number: int) -> None:
        self.proxy = proxy
        self.number = number
        self.client = _End(self, Direction.CLIENT)
        self.server = _End(self, Direction.SERVER)
        self.end: tuple[Direction, str] | None = None
        self.is_over = False

    def start(self) -> asyncio.Protocol:
        """Begin to connect to the server; return the protocol of the client's socket."""
        at_us, number = self.proxy.now_us(), self.number
        self.proxy.out.put(lambda recorder: recorder.opened(at_us, number))
        task = asyncio.get_running_loop().create_task(self._connect())
        self.proxy.tasks.add(task)
        task.add_done_callback(self.proxy.tasks.discard)
        return self.client

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self.proxy.server)
        except OSError:
            # What the client would have seen: nobody there.
            self.ended(Direction.SERVER, "refused")
            if self.client.transport is not None:
                reset(self.client.transport)
            return
        assert self.server.transport is not None
        if self.is_over or self.client.transport is None:
            self.server.transport.close()
            return
        for data in self.client.early:
            self.server.transport.write(data)
        self.client.early.clear()
        self.client.other, self.server.other = self.server, self.client

    def passed(self, speaker: Direction, data: bytes) -> None:
        """Write down bytes that have been sent on."""
        at_us, number = self.proxy.now_us(), self.number
        self.proxy.out.put(lambda recorder: recorder.passed(at_us, number, speaker, data))

    def ended(self, by: Direction, how: str) -> None:
        """Keep who was the first to hang up."""
        self.end = self.end or (by, how)

    def lost(self) -> None:
        """One of the sockets is gone; when both are, the connection is over."""
        if self.is_over or self.client.transport is not None or self.server.transport is not None:
            return
        self.is_over = True
        by, how = self.end or (Direction.CLIENT, "end")
        at_us, number = self.proxy.now_us(), self.number
        self.proxy.out.put(lambda recorder: recorder.closed(at_us, number, by, how))
        self.proxy.links.discard(self)

    def close(self) -> None:
        """Hang up on both sides."""
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.close()


class RecordingProxy:
    """`async with RecordingProxy(out, ("127.0.0.1", 7497)) as proxy:` records what comes to `proxy.port`."""

    def __init__(self, out: TranscriptFile, server: tuple[str, int], host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare a proxy in front of `server`; port 0 takes a free one."""
        self.out = out
        self.server = server
        self.host = host
        self.port = port
        self.count = 0
        self.links: set[_Link] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._origin = 0.0

    def now_us(self) -> int:
        """Return the microseconds since the proxy was started."""
        return round((asyncio.get_running_loop().time() - self._origin) * 1_000_000)

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            OSError: when the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._origin = loop.time()
        self._listener = await loop.create_server(self._accept, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up on everybody and free the port."""
        assert self._listener is not None
        self._listener.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for link in list(self.links):
            link.close()
        await self._listener.wait_closed()
        # The transports close in the next turns of the loop, and write their last lines there.
        while self.links:
            await asyncio.sleep(0)

    def _accept(self) -> asyncio.Protocol:
        self.count += 1
        link = _Link(self, self.count)
        self.links.add(link)
        return link.start()


def record_until_stopped(
    file: TextIO,
    server: tuple[str, int],
    listen: tuple[str, int],
    on_ready: Callable[[int], None],
    *,
    is_scrubbed: bool = True,
) -> int:
    """Record to `file` until SIGINT or SIGTERM; return how many connections there were.

    Args:
        on_ready: told the port when clients may come.

    Raises:
        OSError: when the address cannot be had or the file cannot be written.
    """
    count = 0

    async def run() -> None:
        nonlocal count
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            # Windows has no signal handlers in its loop; Ctrl-C arrives as KeyboardInterrupt there.
            with contextlib.suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(name, stop.set)
        async with RecordingProxy(out, server, *listen) as proxy:
            on_ready(proxy.port)
            try:
                await stop.wait()
            finally:
                count = proxy.count

    out = TranscriptFile(file, is_scrubbed=is_scrubbed, server=f"{server[0]}:{server[1]}")
    with out, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())
    return count
