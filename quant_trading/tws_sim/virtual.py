"""An event loop in which waiting takes no time.

Its `select` never sleeps: it moves `time()` to the next timer, of the loop or of a simulator. A client
that connects to a registered address gets an in-memory transport to a session of that simulator, so an
unmodified asyncio client runs whole trading days in milliseconds, and the same program gives the same
transcript every time.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.served import Served, ServedSession

__all__ = ["DeadlockError", "VirtualLoop"]

_SECOND_NS = 1_000_000_000
# Far above the rounding of a float that counts seconds for years, far below what a program waits for.
_RESOLUTION = 1e-6
_TURN_NS = 1_000


class DeadlockError(RuntimeError):
    """The program waits for something that nothing can bring about."""


@dataclass(slots=True)
class _Listener:
    """A simulator at an address.

    Attributes:
        offset_ns: simulated time minus loop time.
    """

    simulator: Served
    offset_ns: int

    def leap(self, ahead_ns: int) -> None:
        """The simulated world has moved on while the loop's time has not."""
        self.offset_ns += ahead_ns


class _VirtualSelector(selectors.BaseSelector):
    """A selector without files; waiting means moving time."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.pass_time(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}

    def close(self) -> None:
        pass


class _MemoryTransport(asyncio.Transport):
    """A client's end of a connection that is a session in the same process."""

    def __init__(self, loop: "VirtualLoop", protocol: asyncio.BaseProtocol, session: ServedSession, peer: Any) -> None:
        super().__init__({"peername": peer, "socket": None})
        self._loop = loop
        self._protocol = protocol
        self._session = session
        self._is_closing = False
        self._is_lost = False
        self._is_flush_planned = False
        session.on_output = self._plan_flush

    # As everywhere in asyncio, nothing happens inside write(): each side sees bytes in a later turn.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing:
            self._loop.call_soon(self._deliver, bytes(data))

    def _deliver(self, data: bytes) -> None:
        if not self._is_lost:
            self._session.receive(data)

    def _plan_flush(self) -> None:
        if not self._is_flush_planned and not self._is_lost:
            self._is_flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_planned = False
        if self._is_lost:
            return
        data = self._session.data_to_send()
        if data and not self._is_closing and isinstance(self._protocol, asyncio.Protocol):
            # Pieces of a fragmented stream arrive one by one, as they would from a socket.
            size = getattr(self._session, "write_size", 0) or len(data)
            for at in range(0, len(data), size):
                self._protocol.data_received(data[at : at + size])
        if self._session.is_closed:
            self._lose()

    def _lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._is_closing = True
            self._session.on_output = None
            self._session.receive_eof()
            self._protocol.connection_lost(None)

    def write_eof(self) -> None:
        """Half-close: the server sees the end after everything written before it."""

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def pause_reading(self) -> None:
        raise NotImplementedError("the in-memory transport does not hold bytes back")

    def resume_reading(self) -> None:
        raise NotImplementedError("the in-memory transport does not hold bytes back")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time, with simulators at addresses.

    `loop.listen("127.0.0.1", 7497, simulator)`, then `loop.run_until_complete(...)` as often as wished.
    """

    def __init__(self, patience_seconds: float = 3600.0) -> None:
        """Begin at time 0.

        Args:
            patience_seconds: how long, in simulated time, a program may wait while nothing but endless
                streams (account refresh, PnL, quotes) is to come, before that counts as a deadlock.
        """
        self._now_ns = 0
        self._listeners: dict[tuple[str, int], _Listener] = {}
        self._patience_ns = round(patience_seconds * _SECOND_NS)
        self._idle_since_ns: int | None = None
        super().__init__(_VirtualSelector(self))
        self._clock_resolution = _RESOLUTION

    def run_forever(self) -> None:
        """Run until stopped; a new run has new patience."""
        self._idle_since_ns = None
        super().run_forever()

    def time(self) -> float:
        """Return the virtual time in seconds since the loop was made."""
        return self._now_ns / _SECOND_NS

    def simulated_now_ns(self, host: str = "127.0.0.1", port: int | None = None) -> int:
        """Return the simulated moment at an address, UTC ns; the only one when no port is named."""
        listeners = [one for (_, at_port), one in self._listeners.items() if port in (None, at_port)]
        if len(listeners) != 1:
            raise LookupError(f"{len(listeners)} simulators fit {host}:{port}; name the port of one")
        return listeners[0].simulator.now_ns

    def listen(self, host: str, port: int, simulator: Served) -> None:
        """Put a simulator, bare or behind a gateway, at an address; its time runs with the loop's from now on."""
        listener = _Listener(simulator, simulator.now_ns - self._now_ns)
        self._listeners[host, port] = listener
        if isinstance(simulator, Gateway):
            simulator.on_leap = listener.leap

    def stop_listening(self, host: str, port: int) -> None:
        """Take the simulator away: new connections are refused, those that exist live on."""
        del self._listeners[host, port]

    # The base class has one signature per kind of connection; only in-memory TCP exists here.
    async def create_connection(  # type: ignore[override]  # see the line above
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to the simulator registered at (host, port).

        Raises:
            ConnectionRefusedError: when there is none.
        """
        listener = self._listeners.get((host or "", port or 0))
        if listener is None:
            raise ConnectionRefusedError(111, f"Connect call failed ('{host}', {port}): nothing listens there")
        protocol = protocol_factory()
        transport = _MemoryTransport(self, protocol, listener.simulator.connect(), (host, port))
        self.call_soon(protocol.connection_made, transport)
        await asyncio.sleep(0)
        return transport, protocol

    # Time

    def pass_time(self, timeout: float | None) -> None:
        """Move to the next thing that is due: a simulator's event or the loop's own timer.

        Args:
            timeout: what the loop asks its selector for: 0 when work is ready, seconds to its next
                timer, None when it has none.

        Raises:
            DeadlockError: when neither the loop nor a simulator has anything to come.
        """
        if timeout is not None and timeout <= 0:
            # A turn of the loop takes a moment, as it does in reality: a program that asks whether more than
            # a second has passed since it last sent, on a timer of exactly a second, would else spin for ever.
            self._advance(self._now_ns + _TURN_NS)
            return
        own_ns = None if timeout is None else self._now_ns + ceil(timeout * _SECOND_NS)
        event_ns = self._next_event_ns()
        if own_ns is not None:
            self._idle_since_ns = None
            self._advance(own_ns if event_ns is None else min(own_ns, event_ns))
            return
        if event_ns is None:
            raise DeadlockError(
                f"at {self.time():.3f} s the program waits, but no timer and no market event is to come"
            )
        self._check_patience()
        self._advance(event_ns)

    def _check_patience(self) -> None:
        if any(one.simulator.has_foreground_events() for one in self._listeners.values()):
            self._idle_since_ns = None
            return
        if self._idle_since_ns is None:
            self._idle_since_ns = self._now_ns
        elif self._now_ns - self._idle_since_ns > self._patience_ns:
            waited = (self._now_ns - self._idle_since_ns) / _SECOND_NS
            raise DeadlockError(
                f"at {self.time():.3f} s the program has waited {waited:.0f} s while only account and market data "
                "streams went on; give the wait a timeout"
            )

    def _next_event_ns(self) -> int | None:
        """Return the loop time of the first event of any simulator."""
        found = None
        for listener in self._listeners.values():
            due = listener.simulator.next_event_ns()
            if due is not None:
                at = max(self._now_ns, due - listener.offset_ns)
                found = at if found is None else min(found, at)
        return found

    def _advance(self, ns: int) -> None:
        self._now_ns = max(self._now_ns, ns)
        for listener in self._listeners.values():
            listener.simulator.advance_to(self._now_ns + listener.offset_ns)

    # No files, so no self-pipe; threads may not wake this loop, which keeps it deterministic.

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
