"""A session with the fault injector's hands on it: it sees every message both ways, and can lose them.

It stands where a carrier (a socket, the virtual loop) expects a `Session`. Bytes from the client are cut into
messages and given to the session behind one at a time; what the session answers is cut likewise, passes the
faults that are due, waits as long as the latency model says, and is then ready to be carried away.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.faults import Fault
from quant_trading.tws_sim.framing import ClientStream, WireMessage, edited, split_answer, values_of
from quant_trading.tws_sim.latency import Latency
from quant_trading.tws_sim.noise import mix, name_key
from quant_trading.tws_sim.steps import Place
from quant_trading.tws_sim.timeline import Timeline, Timer

__all__ = ["FaultySession", "Injector"]

_SECOND_NS = 1_000_000_000
_LENGTH = 4


class Injector(Protocol):
    """What a faulty session needs from the gateway it belongs to."""

    timeline: Timeline
    latency: Latency | None
    write_size: int
    chunk_size: int
    chunk_ns: int
    linger_ns: int
    seed: int

    @property
    def is_watching(self) -> bool:
        """True when messages have to be looked at one by one."""

    def due(self, place: Place, session: "FaultySession", message: WireMessage | None) -> list[Fault]:
        """Return the faults that are due at this step, in the order of the scenario."""

    def byte_due(self, place: Place, session: "FaultySession", size: int) -> tuple[int, Fault] | None:
        """Return the first fault within the next `size` bytes, and how many bytes pass before it."""

    def perform(self, fault: Fault, session: "FaultySession | None", message: WireMessage | None) -> None:
        """Do what does not concern this one message."""

    def admits(self, session: "FaultySession", message: WireMessage) -> bool:
        """Say whether a request reaches TWS now, False when the state of the link keeps it."""

    def passes(self, session: "FaultySession", message: WireMessage) -> WireMessage | None:
        """Return an answer as the state of the link lets it through, None when it does not."""

    def touched(self, session: "FaultySession") -> None:
        """Note that the session has something to say."""

    def enter(self) -> None:
        """Begin something whose answers belong together."""

    def leave(self) -> None:
        """End it, and collect what the sessions have to say."""

    def next_message_number(self) -> int:
        """Return the running number of a message, for seeded choices."""

    def tell(self, line: str) -> None:
        """Log a line."""

    def saw(self, session: "FaultySession", direction: str, data: bytes) -> None:
        """Show bytes that pass to whoever watches."""

    def ended(self, session: "FaultySession") -> None:
        """Forget a session."""


class FaultySession:
    """One client's connection, faults included.

    Attributes:
        number: of the connection, from 1.
        on_output, on_push: as of a `Session`: called when bytes are waiting or the end has come, and when they
            should go out now.
        subscribed: streams the client has asked for: name of the request and symbol, by request id.
        dead: those of them that TWS has lost.
    """

    def __init__(self, gateway: Injector, inner: Session, number: int) -> None:
        self.number = number
        self.inner = inner
        self.on_output: Callable[[], None] | None = None
        self.on_push: Callable[[], None] | None = None
        self.subscribed: dict[int, tuple[str, str]] = {}
        self.dead: set[int] = set()
        self._gateway = gateway
        self._stream = ClientStream()
        self._ready = bytearray()
        self._chunks = bytearray()
        self._chunk_round = 0
        self._lane_ready: dict[int | None, int] = {}
        self._pending = 0
        self._waiting: dict[int, list[Timer]] = {}
        self._held_in: list[Callable[[], None]] = []
        self._held_out: list[bytes] = []
        self._is_first_answer = True
        self._is_cut = False
        self._is_deaf = False
        self._is_mute = False
        self._is_half_open = False
        inner.on_output = lambda: gateway.touched(self)
        inner.on_push = self._push

    # What a carrier sees

    @property
    def client_id(self) -> int:
        """The client id, -1 before START_API."""
        return self.inner.client_id

    @property
    def version(self) -> int:
        """The negotiated server version, 0 before the hello."""
        return self.inner.version

    @property
    def close_reason(self) -> str:
        """Why the session ended."""
        return self.inner.close_reason

    @property
    def write_size(self) -> int:
        """The size of the pieces in which bytes are to be written, 0 for whatever there is."""
        return self._gateway.write_size

    @property
    def is_closed(self) -> bool:
        """True when the carrier is to hang up after the last bytes."""
        if self._is_cut:
            return True
        if self._is_half_open or self._is_mute:
            return False
        return self.inner.is_closed and not self._pending and not self._chunks

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self._is_cut or self._is_half_open:
            return
        if self._is_deaf:
            self._held_in.append(lambda: self.receive(data))
            return
        self._gateway.saw(self, ">", data)
        found = self._gateway.byte_due(Place.RECEIVE, self, len(data)) if self._gateway.is_watching else None
        if found is not None:
            passing, fault = found
            self._take(data[:passing])
            self._strike(fault)
            self._after_strike(data[passing:])
            return
        self._take(data)

    def _after_strike(self, rest: bytes) -> None:
        """Keep what was behind the byte at which the connection froze."""
        if self._is_deaf:
            self._held_in.append(lambda: self.receive(rest))

    def _take(self, data: bytes) -> None:
        for piece in self._stream.receive(data, self.inner.version):
            self._take_piece(piece)

    def _take_piece(self, piece: WireMessage | bytes) -> None:
        if self._is_cut or self._is_half_open:
            return
        if self._is_deaf:
            self._held_in.append(lambda: self._take_piece(piece))
            return
        # The replies to one request are collected together, so that they can be put into another order.
        self._gateway.enter()
        try:
            if isinstance(piece, bytes):
                self.inner.receive(piece)
            else:
                self._on_request(piece)
        finally:
            self._gateway.leave()

    def receive_eof(self) -> None:
        """The client has gone; TWS may notice late (`linger`)."""
        if not self._is_cut:
            self._is_cut = True
            self._end_inner()
        self._gateway.ended(self)

    def _end_inner(self) -> None:
        linger_ns = self._gateway.linger_ns
        if linger_ns and not self.inner.is_closed:
            timeline = self._gateway.timeline
            timeline.call_at(timeline.now_ns + linger_ns, self.inner.receive_eof)
        else:
            self.inner.receive_eof()

    def data_to_send(self) -> bytes:
        """Return the bytes for the client and forget them."""
        data = bytes(self._ready)
        self._ready.clear()
        return data

    def close(self, reason: str) -> None:
        """End the session from the server's side; what is waiting is still to be sent."""
        self.inner.close(reason)

    # Requests

    def _on_request(self, message: WireMessage) -> None:
        faults = self._gateway.due(Place.RECEIVE, self, message) if self._gateway.is_watching else []
        is_last = False
        for fault in faults:
            action, values = fault.action.name, fault.values
            if action in ("swallow", "reject", "delay"):
                self._withhold(fault, message)
                return
            if action == "duplicate":
                for copy in range(1, values["times"] + 1):
                    self._later(copy * values["seconds"], partial(self.serve, message))
            elif action in ("edit", "mutate"):
                message = self._changed(fault, message)
            elif action in ("drop", "half_open") and not values.get("after", False):
                self.inner.receive(message.data[: values.get("bytes", 0)])
                self._gateway.perform(fault, self, message)
                return
            elif action == "drop":
                is_last = True
            elif action in ("freeze", "stall"):
                self._gateway.perform(fault, self, message)
                self._held_in.append(partial(self.serve, message))
                return
            else:
                self._gateway.perform(fault, self, message)
        self._serve(message)
        if is_last:
            # Processed, but the answer is lost with the connection.
            self._gateway.perform(next(one for one in faults if one.action.name == "drop"), self, message)

    def _withhold(self, fault: Fault, message: WireMessage) -> None:
        values = fault.values
        if fault.action.name == "delay":
            self._later(values["seconds"], partial(self.serve, message))
        elif fault.action.name == "reject":
            self._reject(message, values)

    def _reject(self, message: WireMessage, values: Mapping[str, Any]) -> None:
        asked = values_of(message)
        about = asked.get("reqId", asked.get("orderId", -1))
        parts = {"text": values["text"]} if values["text"] else {}
        self.inner.send_error(-1 if about is None else about, values["code"], **parts)
        if values["status"]:
            self.inner.send(
                "orderStatus",
                orderId=about, status=values["status"], filled=0, remaining=asked.get("totalQuantity") or 0,
                avgFillPrice=0, permId=0, parentId=0, lastFillPrice=0, clientId=self.client_id, whyHeld="",
                mktCapPrice=0,
            )  # fmt: skip

    def _serve(self, message: WireMessage) -> None:
        if message.name == "cancelHistoricalData" and self._cancel_waiting(message):
            return
        if not self._is_cut and not self._is_half_open and self._gateway.admits(self, message):
            self.inner.receive(message.data)

    def _cancel_waiting(self, message: WireMessage) -> bool:
        """Take back an answer of the historical data farm that is still on its way; TWS then says 162."""
        req_id = values_of(message).get("reqId")
        if not isinstance(req_id, int) or req_id in self.subscribed:
            return False
        timers = self._waiting.pop(req_id, [])
        if not timers:
            return False
        for timer in timers:
            timer.cancel()
            self._pending -= 1
        self.inner.send_error(req_id, 162, cause=f"API historical data query cancelled: {req_id}")
        return True

    def serve(self, message: WireMessage) -> None:
        """Serve a request that something had kept."""
        self._gateway.enter()
        try:
            self._serve(message)
        finally:
            self._gateway.leave()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        timeline = self._gateway.timeline
        timeline.call_at(timeline.now_ns + round(seconds * _SECOND_NS), action)

    # Answers

    def _push(self) -> None:
        """Pass on early what waits, where nothing wants to see the answers to a request together."""
        if self.on_push is not None and not self._gateway.is_watching:
            self.collect()
            self.on_push()

    def collect(self) -> None:
        """Take what the session behind has said since the last time and send it on its way."""
        data = self.inner.data_to_send()
        if not data:
            self._notify()
            return
        if not self._gateway.is_watching:
            self._is_first_answer = False
            self._release(data)
            return
        batch = split_answer(data, self.inner.version, is_first=self._is_first_answer)
        self._is_first_answer = False
        plain = bytearray()
        for message, faults in self._reordered(batch):
            if not faults and self._is_prompt:
                # The usual case: nothing happens to it, nothing is before it.
                plain += message.data
                continue
            self._release_plain(plain)
            self._on_answer(message, faults)
        self._release_plain(plain)
        self._notify()

    @property
    def _is_prompt(self) -> bool:
        """True when a message leaves at once: no latency, and none that is still on its way before it."""
        return self._gateway.latency is None and self._lane_ready.get(None, 0) <= self._gateway.timeline.now_ns

    def _release_plain(self, plain: bytearray) -> None:
        if plain:
            self._release(bytes(plain))
            plain.clear()

    def _reordered(self, batch: list[WireMessage]) -> list[tuple[WireMessage, list[Fault]]]:
        """Return the messages with the faults that are due at each, in the order in which they are to come."""
        rows: list[tuple[WireMessage, list[Fault]]] = []
        orders: list[tuple[int, Any]] = []
        for message in batch:
            passed = self._gateway.passes(self, message)
            if passed is None:
                continue
            faults = self._gateway.due(Place.SEND, self, passed)
            orders += [(len(rows), fault.values["order"]) for fault in faults if fault.action.name == "reorder"]
            rows.append((passed, faults))
        for at, order in orders:
            if order == "reverse":
                rows.reverse()
                continue
            # The list speaks of so many replies; when fewer are left from this one on, of the last ones.
            at = max(0, min(at, len(rows) - len(order)))
            part = rows[at : at + len(order)]
            rows[at : at + len(order)] = [part[n] for n in order if n < len(part)]
        return rows

    def _on_answer(self, message: WireMessage, faults: list[Fault]) -> None:
        copies, copy_seconds, extra_ns = 0, 0.0, 0
        last: Fault | None = None
        for fault in faults:
            action, values = fault.action.name, fault.values
            if action == "swallow":
                return
            if action == "duplicate":
                copies, copy_seconds = values["times"], values["seconds"]
            elif action == "delay":
                extra_ns = round(values["seconds"] * _SECOND_NS)
            elif action in ("edit", "mutate"):
                message = self._changed(fault, message)
            elif action == "garbage":
                self._enqueue("garbage", None, self._noise(values["bytes"]), 0)
            elif action == "correct":
                self._gateway.perform(fault, self, message)
            elif action in ("drop", "half_open", "freeze"):
                if values.get("after", False) or action == "freeze":
                    last = fault
                    continue
                self._release(message.data[: values.get("bytes", 0)])
                self._gateway.perform(fault, self, message)
                return
            elif action != "reorder":
                self._gateway.perform(fault, self, message)
        if self._is_cut or self._is_half_open:
            return
        if last is not None and last.action.name == "freeze":
            self._gateway.perform(last, self, message)
        self.enqueue(message, extra_ns)
        for copy in range(1, copies + 1):
            self.enqueue(message, round(copy * copy_seconds * _SECOND_NS) if copy_seconds else 0)
        if last is not None and last.action.name != "freeze":
            self._gateway.perform(last, self, message)

    def enqueue(self, message: WireMessage, extra_ns: int = 0) -> None:
        """Send a message after its latency; `extra_ns` more lets others overtake it."""
        req_id = None
        if self._gateway.latency is not None:
            found = values_of(message).get("reqId") if Latency.lane(message.name, 0) == 0 else None
            req_id = found if isinstance(found, int) else None
        self._enqueue(message.name, req_id, message.data, extra_ns)

    def _enqueue(self, name: str, req_id: int | None, data: bytes, extra_ns: int) -> None:
        gateway = self._gateway
        now = gateway.timeline.now_ns
        due = now
        if gateway.latency is not None:
            due += gateway.latency.delay_ns(name, gateway.next_message_number())
        lane = Latency.lane(name, req_id)
        if extra_ns:
            due += extra_ns
        else:
            due = max(due, self._lane_ready.get(lane, 0))
            self._lane_ready[lane] = due
        if due <= now:
            self._release(data)
            return
        self._pending += 1

        def arrive() -> None:
            self._pending -= 1
            if lane is not None and all(one.has_run for one in self._waiting.get(lane, ())):
                self._waiting.pop(lane, None)
            self._release(data)

        timer = gateway.timeline.call_at(due, arrive)
        if lane is not None:
            self._waiting.setdefault(lane, []).append(timer)

    def _release(self, data: bytes) -> None:
        """Let bytes go to the carrier, unless something holds them."""
        if self._is_cut or self._is_half_open:
            return
        if self._is_mute:
            self._held_out.append(data)
            return
        fault = None
        if self._gateway.is_watching and (found := self._gateway.byte_due(Place.SEND, self, len(data))):
            passing, fault = found
            data, rest = data[:passing], data[passing:]
            if fault.action.name == "freeze":
                self._held_out.append(rest)
        self._gateway.saw(self, "<", data)
        if self._gateway.chunk_size or self._chunks:
            self._chunk(data)
        else:
            self._ready += data
        if fault is not None:
            self._strike(fault)
        self._notify()

    def _strike(self, fault: Fault) -> None:
        self._gateway.perform(fault, self, None)

    def _chunk(self, data: bytes) -> None:
        """Hand over exact multiples of the chunk size; the rest follows after a silence."""
        self._chunks += data
        size = self._gateway.chunk_size or 1
        whole = len(self._chunks) // size * size
        self._ready += self._chunks[:whole]
        del self._chunks[:whole]
        self._chunk_round += 1
        if not self._chunks:
            return
        this_round = self._chunk_round
        timeline = self._gateway.timeline

        def let_go() -> None:
            if self._chunk_round == this_round:
                self._ready += self._chunks
                self._chunks.clear()
                self._notify()

        timeline.call_at(timeline.now_ns + self._gateway.chunk_ns, let_go)

    def _notify(self) -> None:
        if self.on_output is not None:
            self.on_output()

    # States of the connection

    def cut(self, *, may_linger: bool = True) -> None:
        """Close the connection: what has not left yet is lost."""
        if not self._is_cut:
            self._is_cut = True
            if may_linger:
                self._end_inner()
            else:
                self.inner.receive_eof()
            self._notify()

    def half_open(self) -> None:
        """Forget the client without telling it."""
        if not self._is_half_open:
            self._is_half_open = True
            self.inner.receive_eof()

    def freeze(self, seconds: float | None, *, is_mute: bool) -> None:
        """Stop to read, and to write if `is_mute`, for so long."""
        self._is_deaf = True
        self._is_mute = self._is_mute or is_mute
        if seconds is not None:
            self._later(seconds, self.thaw)

    def thaw(self) -> None:
        """Pass on everything that was held, oldest first."""
        self._is_deaf = self._is_mute = False
        incoming, self._held_in = self._held_in, []
        outgoing, self._held_out = self._held_out, []
        for data in outgoing:
            self._release(data)
        for resume in incoming:
            # The first of them may stop the session again; the rest then waits on.
            if self._is_deaf:
                self._held_in.append(resume)
            else:
                resume()
        self._notify()

    # Changes of a message

    def _changed(self, fault: Fault, message: WireMessage) -> WireMessage:
        values = fault.values
        if fault.action.name == "edit":
            changed = edited(message, values["set"], values["add"], values["scale"])
            if changed is None:
                self._gateway.tell(
                    f"fault edit was not possible: this {message.name} has no such field, or is protobuf"
                )
            return changed or message
        return self._mutated(message, values)

    def _mutated(self, message: WireMessage, values: Mapping[str, Any]) -> WireMessage:
        how, data = values["how"], message.data
        body = data[_LENGTH:]
        if how in ("field", "drop_field", "id"):
            fields = list(message.fields())
            at = values["index"]
            if how == "id":
                first = body.split(b"\0", 1)
                body = values["text"].encode() + b"\0" + (first[1] if len(first) > 1 else b"")
                return WireMessage(message.name, len(body).to_bytes(_LENGTH, "big") + body, message.version)
            if not -len(fields) <= at < len(fields):
                return message
            fields[at : at + 1 or None] = [values["text"]] if how == "field" else []
            return message.with_fields(tuple(fields))
        if how == "truncate":
            body = body[: len(body) // 2]
        elif how == "extend":
            body += values["text"].encode() + b"\0"
        elif how == "length":
            wrong = 0x7FFFFFFF
            return WireMessage(message.name, wrong.to_bytes(_LENGTH, "big") + body, message.version)
        else:
            key = mix(self._gateway.seed, name_key("mutate"), self._gateway.next_message_number())
            at = key % max(1, len(body))
            body = body[:at] + bytes([body[at] ^ (1 << (key >> 32) % 8)]) + body[at + 1 :]
        return WireMessage(message.name, len(body).to_bytes(_LENGTH, "big") + body, message.version)

    def _noise(self, size: int) -> bytes:
        key = mix(self._gateway.seed, name_key("garbage"), self._gateway.next_message_number())
        return bytes(mix(key, at) & 0xFF for at in range(size))
