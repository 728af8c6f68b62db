"""The simulator behind a gateway at which everything can go wrong that goes wrong with TWS.

A `Gateway` is driven like a `Simulator` and carried by the same drivers, in memory and over TCP. It wraps
every session, counts the steps of the scenario, does the faults that are due and keeps the clock they need.
The simulator behind it stays as it is: it does not know that its words get lost.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quant_trading.tws_sim.errors import RequestRefused
from quant_trading.tws_sim.faults import Fault, read_fault
from quant_trading.tws_sim.faulty_session import FaultySession
from quant_trading.tws_sim.framing import WireMessage, details_of, values_of
from quant_trading.tws_sim.latency import Latency, read_latency
from quant_trading.tws_sim.levers import Levers
from quant_trading.tws_sim.link import Link
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.steps import ANY, BYTE, Place, Step
from quant_trading.tws_sim.timeline import Timeline

__all__ = ["Gateway", "Watcher"]

Watcher = Callable[[int, int, str, bytes], None]
"""Is shown every byte that passes: simulated ns, connection, ">" from or "<" to the client, the bytes."""

_SECOND_NS = 1_000_000_000
_LOG_LINES = 1000
_CONNECTION_ACTIONS = frozenset({"drop", "freeze", "stall", "half_open"})


@dataclass(slots=True)
class _Armed:
    """A fault that waits for its step."""

    fault: Fault
    step: Step
    count: int = 0


class Gateway:
    """One TWS as its clients find it.

    Attributes:
        simulator: the market, accounts and orders behind it.
        timeline: of what the gateway itself has to do.
        latency: how long answers take, None for no time at all.
        seed: of damaged bytes and of latencies.
        fired: how often each action was done.
        log: the last thousand lines about what was done, with their simulated ns.
        watcher: is shown every byte, None for nobody.
        is_listening: False while the port is closed.
        on_listening: told when that changes; set by the driver.
        on_leap: told how many ns the simulated world leapt ahead of its clock; set by the driver.
    """

    def __init__(
        self, simulator: Simulator, faults: Iterable[Fault] = (), *, latency: Latency | None = None, seed: int = 0
    ) -> None:
        self.simulator = simulator
        self.timeline = Timeline(simulator.now_ns)
        self.latency = latency
        self.seed = seed
        self.write_size = 0
        self.chunk_size = 0
        self.chunk_ns = 0
        self.linger_ns = 0
        self.fired: Counter[str] = Counter()
        self.log: deque[tuple[int, str]] = deque(maxlen=_LOG_LINES)
        self.watcher: Watcher | None = None
        self.is_listening = True
        self.on_listening: Callable[[bool], None] | None = None
        self.on_leap: Callable[[int], None] | None = None
        self.sessions: list[FaultySession] = []
        self.link = Link(self)
        self.levers = Levers(simulator)
        self._start_ns = simulator.now_ns
        self._armed: dict[tuple[Place, str], list[_Armed]] = {}
        self._faults: list[Fault] = []
        self._refuse_times = 0
        self._refuse_until_ns = 0
        self._connections = 0
        self._numbers = 0
        self._dirty: dict[FaultySession, None] = {}
        self._depth = 0
        self._is_flushing = False
        for fault in faults:
            self.arm(fault)

    # As a Simulator, for drivers

    @property
    def now_ns(self) -> int:
        """The simulated moment, UTC ns."""
        return self.simulator.now_ns

    def connect(self) -> FaultySession:
        """Return a new client's session.

        Raises:
            ConnectionRefusedError: while TWS is away or refuses.
        """
        session = FaultySession(self, self.simulator.connect(), self._connections + 1)
        if self._refuse_times > 0 or not self.is_listening:
            self._refuse_times = max(0, self._refuse_times - 1)
            raise ConnectionRefusedError(111, "the simulated TWS refuses connections now")
        self._connections += 1
        self.sessions.append(session)
        for fault in self.due(Place.CONNECT, session, None):
            if fault.action.name == "refuse":
                self.perform(fault, session, None)
                self._refuse_times = max(0, self._refuse_times - 1)
                self.sessions.remove(session)
                raise ConnectionRefusedError(111, "the simulated TWS refuses this connection")
            self.perform(fault, session, None)
        return session

    def advance_to(self, ns: int) -> None:
        """Move simulated time to `ns`, running what is due in order; a moment before now changes nothing."""
        self._depth += 1
        try:
            while (due := self.next_event_ns()) is not None and due <= ns:
                self._move_to(due)
            self._move_to(ns)
        finally:
            self._depth -= 1

    def _move_to(self, ns: int) -> None:
        self.simulator.advance_to(ns)
        self.flush()
        self.timeline.advance_to(max(ns, self.timeline.now_ns))
        self.flush()

    def next_event_ns(self) -> int | None:
        """Return when the next thing is due, None when nothing is."""
        moments = [ns for ns in (self.simulator.next_event_ns(), self.timeline.next_ns()) if ns is not None]
        return min(moments, default=None)

    def has_foreground_events(self) -> bool:
        """Say whether more than streams is still to come."""
        return self.simulator.has_foreground_events() or self.timeline.has_foreground()

    # The scenario

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault that was armed, done or not."""
        return tuple(self._faults)

    @property
    def is_watching(self) -> bool:
        """True when messages have to be looked at one by one, False when bytes may just pass."""
        return bool(self._armed or self.latency) or self.link.is_disturbed

    def arm(self, fault: Fault) -> None:
        """Wait for the moment of a fault.

        Raises:
            ValueError: when it has no moment, or this market does not know its symbol.
        """
        if fault.when is None:
            raise ValueError("an entry without a when is done, not armed")
        if "symbol" in fault.values:
            self.levers.contract(fault.values["symbol"])
        self._faults.append(fault)
        if isinstance(fault.when, Step):
            key = (fault.when.place, fault.when.name)
            self._armed.setdefault(key, []).append(_Armed(fault, fault.when))
        else:
            at_ns = fault.when.moment_ns(self._start_ns)
            self.timeline.call_at(max(at_ns, self.now_ns), lambda: self.perform(fault, None, None))

    def disarm(self) -> None:
        """Forget every fault that is still to come."""
        self._armed.clear()
        self._faults.clear()

    def do(self, entry: Mapping[str, Any]) -> None:
        """Do an action now: `{"do": "halt", "symbol": "AAPL"}`.

        Raises:
            ValueError: one line that names the key, what was found and the cure.
        """
        fault = read_fault(entry, is_now=True)
        self.enter()
        try:
            self.perform(fault, None, None)
        finally:
            self.leave()

    def due(self, place: Place, session: FaultySession, message: WireMessage | None) -> list[Fault]:
        """Count a step; return the faults whose turn it is."""
        name = "" if message is None else message.name
        waiting = self._armed.get((place, name), [])
        if message is not None and (any_name := self._armed.get((place, ANY))):
            waiting = waiting + any_name
        found = []
        for armed in waiting:
            if armed.step.detail and message is not None and details_of(message) != armed.step.detail:
                continue
            if armed.fault.client is not None and armed.fault.client != _client_of(session, message):
                continue
            armed.count += 1
            if armed.step.is_due(armed.count):
                found.append(armed.fault)
                self._note(armed.fault, session)
        return found

    def byte_due(self, place: Place, session: FaultySession, size: int) -> tuple[int, Fault] | None:
        """Count bytes; return a fault that falls within them, and how many pass before it."""
        struck: tuple[int, Fault] | None = None
        for armed in self._armed.get((place, BYTE), ()):
            before, armed.count = armed.count, armed.count + size
            if struck is None and before < armed.step.first <= before + size:
                struck = armed.step.first - 1 - before, armed.fault
                self._note(armed.fault, session)
        return struck

    # Doing

    def perform(self, fault: Fault, session: FaultySession | None, message: WireMessage | None) -> None:
        """Do what a fault says, at the connection and message at hand if there are any."""
        if not isinstance(fault.when, Step):
            self._note(fault, session)
        try:
            self._perform(fault, session, message)
        except (ValueError, RequestRefused) as error:
            if fault.when is None:
                raise
            # Nobody is there to be told but the log: a scenario may ask for what is not possible at its moment.
            self.tell(f"fault {fault.action.name} was not possible: {error}")

    def _perform(self, fault: Fault, session: FaultySession | None, message: WireMessage | None) -> None:
        name, values = fault.action.name, fault.values
        if name in _CONNECTION_ACTIONS:
            self._to_connections(fault, session)
        elif name in _GATEWAY:
            _GATEWAY[name](self, values)
        elif name in ("error", "say"):
            self._speak(fault, session, message)
        elif name in Link.ACTIONS:
            self.link.perform(name, values)
        elif name == "correct" and session is not None and message is not None:
            self._correct(values, session, message)
        elif name in ("fork", "fill_first") and session is not None and message is not None:
            order_id = values_of(message).get("orderId") or 0
            self.levers.about_order(name, session.client_id, int(order_id), values)
        elif name in Levers.ACTIONS:
            self.levers.perform(name, values)
        # Everything else concerns one message and has been done to it.

    def _note(self, fault: Fault, session: FaultySession | None) -> None:
        self.fired[fault.action.name] += 1
        where = f" on connection {session.number}" if session is not None else ""
        extra = ", ".join(
            f"{key} {value}" for key, value in fault.entry.items() if key not in ("when", "do", "note", "client")
        )
        line = f"fault {fault.action.name}{where}{f' ({extra})' if extra else ''}"
        self.tell(line)

    def tell(self, line: str) -> None:
        """Log a line, and show it to the simulator's observer."""
        self.log.append((self.now_ns, line))
        self.simulator.observe(line)

    def _to_connections(self, fault: Fault, session: FaultySession | None) -> None:
        values = fault.values
        everyone = values["everyone"] or session is None
        chosen = [one for one in self.sessions if fault.client in (None, one.client_id)] if everyone else []
        for one in chosen if everyone or session is None else [session]:
            if fault.action.name == "drop":
                one.cut()
            elif fault.action.name == "half_open":
                one.half_open()
            else:
                one.freeze(values["seconds"], is_mute=fault.action.name == "freeze")

    def _speak(self, fault: Fault, session: FaultySession | None, message: WireMessage | None) -> None:
        values = fault.values
        everyone = [one for one in self.sessions if fault.client in (None, one.client_id)]
        for one in everyone if session is None else [session]:
            if fault.action.name == "say":
                one.inner.send(values["message"], **values["fields"])
                continue
            about = values["id"]
            if about is None:
                asked = values_of(message) if message is not None else {}
                about = asked.get("reqId", asked.get("orderId", -1))
            parts = {"text": values["text"]} if values["text"] else {}
            one.inner.send_error(-1 if about is None else about, values["code"], **parts)

    def _correct(self, values: Mapping[str, Any], session: FaultySession, message: WireMessage) -> None:
        exec_id = str(values_of(message).get("execId"))

        self.timeline.call_at(
            self.now_ns + round(values["seconds"] * _SECOND_NS),
            lambda: self.levers.correct(exec_id, values["shares"], values["price"]),
        )

    # Actions of the gateway itself

    def _refuse(self, values: Mapping[str, Any]) -> None:
        self._refuse_times += values["times"]
        if values["seconds"]:
            self._close_port(values["seconds"])

    def _close_port(self, seconds: float) -> None:
        until_ns = self.now_ns + round(seconds * _SECOND_NS)
        self._refuse_until_ns = max(self._refuse_until_ns, until_ns)
        self._listen(is_open=False)
        self.timeline.call_at(until_ns, self._reopen_port)

    def _reopen_port(self) -> None:
        if self.timeline.now_ns >= self._refuse_until_ns:
            self._listen(is_open=True)

    def _listen(self, *, is_open: bool) -> None:
        if self.is_listening != is_open:
            self.is_listening = is_open
            if self.on_listening is not None:
                self.on_listening(is_open)

    def close_port(self) -> None:
        """Refuse every connection until `open_port`."""
        self._refuse_until_ns = 1 << 62
        self._listen(is_open=False)

    def open_port(self) -> None:
        """Let clients in again."""
        self._refuse_until_ns = 0
        self._listen(is_open=True)

    def restart(self, seconds: float, order_ids: str = "keep") -> None:
        """Close every connection, refuse new ones for so long; client ids and orders stay."""
        self._close_port(seconds)
        for session in list(self.sessions):
            session.cut(may_linger=False)
        self.link.forget_outages()
        if order_ids != "keep":
            self.levers.restart_ids(to_first=order_ids == "reset")

    def leap(self, ahead_ns: int) -> None:
        """Move the simulated world ahead by so much at once, whatever drives its clock."""
        if self.on_leap is not None:
            self.on_leap(ahead_ns)
        self.advance_to(self.now_ns + ahead_ns)

    # What a session tells its gateway

    def admits(self, session: FaultySession, message: WireMessage) -> bool:
        """Say whether a request reaches TWS now."""
        return self.link.admits(session, message)

    def passes(self, session: FaultySession, message: WireMessage) -> WireMessage | None:
        """Return an answer as the link lets it through."""
        return self.link.passes(session, message) if self.link.is_disturbed else message

    def touched(self, session: FaultySession) -> None:
        """Note that a session has something to say; it is collected when the simulator has finished."""
        self._dirty[session] = None
        if self._depth == 0 and not self._is_flushing:
            self.flush()

    def enter(self) -> None:
        """Begin something whose answers belong together."""
        self._depth += 1

    def leave(self) -> None:
        """End it, and collect what the sessions have to say."""
        self._depth -= 1
        self.flush()

    def flush(self) -> None:
        """Collect what the sessions have to say, in the order in which they began to."""
        if self._is_flushing:
            return
        self._is_flushing = True
        try:
            while self._dirty:
                session = next(iter(self._dirty))
                del self._dirty[session]
                session.collect()
        finally:
            self._is_flushing = False

    def next_message_number(self) -> int:
        """Return the next of a series of numbers, for seeded choices."""
        self._numbers += 1
        return self._numbers

    def saw(self, session: FaultySession, direction: str, data: bytes) -> None:
        """Show bytes that pass to the watcher."""
        if self.watcher is not None:
            self.watcher(self.now_ns, session.number, direction, data)

    def ended(self, session: FaultySession) -> None:
        """Forget a session whose carrier is gone."""
        if session in self.sessions:
            self.sessions.remove(session)
            for fault in self.due(Place.DISCONNECT, session, None):
                self.perform(fault, None, None)


def _client_of(session: FaultySession, message: WireMessage | None) -> int:
    if message is not None and message.name == "startApi":
        return int(values_of(message).get("clientId") or 0)
    return session.client_id


def _set_chunk(gateway: Gateway, values: Mapping[str, Any]) -> None:
    gateway.chunk_size = values["bytes"]
    gateway.chunk_ns = round(values["seconds"] * _SECOND_NS)


def _set_write_size(gateway: Gateway, values: Mapping[str, Any]) -> None:
    gateway.write_size = values["bytes"]


def _set_linger(gateway: Gateway, values: Mapping[str, Any]) -> None:
    gateway.linger_ns = round(values["seconds"] * _SECOND_NS)


def _set_latency(gateway: Gateway, values: Mapping[str, Any]) -> None:
    gateway.latency = read_latency(values["model"], gateway.seed) if values["model"] else None


_GATEWAY: dict[str, Callable[[Gateway, Mapping[str, Any]], None]] = {
    "refuse": Gateway._refuse,
    "linger": _set_linger,
    "fragment": _set_write_size,
    "chunk": _set_chunk,
    "restart": lambda gateway, values: gateway.restart(values["seconds"], values["order_ids"]),
    "latency": _set_latency,
    "sleep": lambda gateway, values: gateway.leap(round(values["seconds"] * _SECOND_NS)),
    "pacing": lambda gateway, values: gateway.simulator.pacing.set_mode(values["mode"]),
}
