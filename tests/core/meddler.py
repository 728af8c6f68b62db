"""A simulator with a hand on the wire, and peers that are no TWS, for tests in virtual time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from typing import Any

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Tape
from quant_trading.tws_sim.virtual import VirtualLoop

__all__ = ["PORT", "Fields", "Meddler", "Mute", "frame", "simulator", "simulator_of_kept_market", "virtual"]

PORT = 7497
MORNING_NS = at(date(2026, 11, 19), "10:00")  # a Thursday, half an hour after the open

Fields = tuple[str, ...]
Edit = Callable[[Fields], list[Fields]]


def frame(fields: Fields) -> bytes:
    """Return a message as TWS frames it."""
    body = b"".join(field.encode() + b"\0" for field in fields)
    return len(body).to_bytes(4, "big") + body


def simulator(**config: Any) -> Simulator:
    """Return the seeded market on a Thursday at 10:00 New York."""
    return Simulator(open_source("seed:7"), SimConfig(**config), MORNING_NS)


@cache
def _kept_market() -> Tape:
    return open_source("seed:7")


def simulator_of_kept_market(**config: Any) -> Simulator:
    """Do as `simulator`; what one test has asked the market for is there for the next one.

    Only for virtual time, where everything is in one thread, and for tests that halt no share.
    """
    return Simulator(_kept_market(), SimConfig(**config), MORNING_NS)


@contextmanager
def virtual(peer: Any) -> Iterator[VirtualLoop]:
    """Give a loop in virtual time with `peer` at 127.0.0.1:7497."""
    loop = VirtualLoop()
    loop.listen("127.0.0.1", PORT, peer)
    try:
        yield loop
    finally:
        loop.close()


class _Wire:
    """One session whose outgoing frames pass through the meddler."""

    def __init__(self, meddler: "Meddler") -> None:
        self._meddler = meddler
        self._session = meddler.simulator.connect()
        self._unframed = b""
        self._extra = b""
        self._is_hello = True
        self._cut = False

    @property
    def on_output(self) -> Any:
        return self._session.on_output

    @on_output.setter
    def on_output(self, callback: Any) -> None:
        self._session.on_output = callback

    @property
    def is_closed(self) -> bool:
        return self._cut or self._session.is_closed

    def receive(self, data: bytes) -> None:
        if self._meddler.is_frozen:
            return
        self._meddler.log(data, self._is_hello)
        self._is_hello = False
        self._session.receive(data)

    def data_to_send(self) -> bytes:
        data = self._session.data_to_send()
        if self._meddler.is_frozen:
            return b""
        self._unframed += data
        out = b""
        while len(self._unframed) >= 4:
            size = int.from_bytes(self._unframed[:4], "big")
            if len(self._unframed) < 4 + size:
                break
            body, self._unframed = self._unframed[4 : 4 + size], self._unframed[4 + size :]
            fields = tuple(body.decode().split("\0")[:-1])
            out += b"".join(frame(one) for one in self._meddler.edit(fields))
        out, self._extra = out + self._extra, b""
        return out

    def say(self, data: bytes) -> None:
        self._extra += data
        if self.on_output is not None:
            self.on_output()

    def cut(self) -> None:
        self._cut = True
        if self.on_output is not None:
            self.on_output()

    def receive_eof(self) -> None:
        self._session.receive_eof()


class Meddler:
    """Stands where a `VirtualLoop` expects a simulator.

    Attributes:
        edit: turns each outgoing message into those that are sent instead; the identity at first.
        is_frozen: swallow everything in both directions, with the connection open.
        received: (simulated seconds since the start, fields) of every message from clients.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.edit: Edit = lambda fields: [fields]
        self.is_frozen = False
        self.received: list[tuple[float, Fields]] = []
        self._wires: list[_Wire] = []

    def log(self, data: bytes, is_hello: bool) -> None:
        """Note what came in; the client sends whole frames."""
        if is_hello:
            return
        at_seconds = (self.simulator.now_ns - MORNING_NS) / 1e9
        while data:
            size = int.from_bytes(data[:4], "big")
            self.received.append((at_seconds, tuple(data[4 : 4 + size].decode().split("\0")[:-1])))
            data = data[4 + size :]

    def say(self, *messages: Fields) -> None:
        """Send messages to every client as if TWS had."""
        for wire in self._wires:
            wire.say(b"".join(frame(message) for message in messages))

    def hang_up(self) -> None:
        """Close every connection."""
        for wire in self._wires:
            wire.cut()
        self._wires.clear()

    # What the loop asks a simulator.

    @property
    def now_ns(self) -> int:
        return self.simulator.now_ns

    def connect(self) -> _Wire:
        wire = _Wire(self)
        self._wires.append(wire)
        return wire

    def advance_to(self, ns: int) -> None:
        self.simulator.advance_to(ns)

    def next_event_ns(self) -> int | None:
        return self.simulator.next_event_ns()

    def has_foreground_events(self) -> bool:
        return self.simulator.has_foreground_events()


class Mute:
    """A peer that accepts and answers with fixed bytes, or never, or hangs up."""

    def __init__(self, answer: bytes = b"", *, closes: bool = False) -> None:
        self._answer = answer
        self._closes = closes
        self.now_ns = MORNING_NS
        self.on_output: Any = None
        self.is_closed = False
        self.close_reason = ""

    def connect(self) -> "Mute":
        return self

    def receive(self, data: bytes) -> None:
        self.is_closed = self._closes
        if self.on_output is not None and (self._answer or self._closes):
            self.on_output()

    def data_to_send(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    def receive_eof(self) -> None:
        self.is_closed = True

    def advance_to(self, ns: int) -> None:
        self.now_ns = max(self.now_ns, ns)

    def next_event_ns(self) -> int | None:
        return None

    def has_foreground_events(self) -> bool:
        return False
