"""From the bytes of a connection to the lines of a transcript, without I/O."""

import re
from collections.abc import Callable, Iterator

from quant_trading.tws_sim.scrub import Scrubber
from quant_trading.tws_sim.transcript import (
    FIRST_RAW_ID_VERSION,
    PROTOBUF_OFFSET,
    Direction,
    Kind,
    Named,
    Record,
    name_fields,
    name_protobuf,
)
from quant_trading.tws_sim.wire import MAX_FRAME

__all__ = ["Recorder"]

_PREFIX = b"API\0"
_LENGTH = 4
_ID = re.compile(r"[0-9]{1,9}")


class _Splitter:
    """Cuts the bytes of one direction into messages, and keeps what is none as it is."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._buffer = bytearray()
        self._is_broken = False

    def receive(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield (payload of a message, True) and, for good from the first nonsense on, (bytes, False)."""
        self._buffer += data
        while not self._is_broken:
            start = len(self._prefix)
            if not self._buffer.startswith(self._prefix[: len(self._buffer)]):
                self._is_broken = True
                break
            if len(self._buffer) < start + _LENGTH:
                return
            size = int.from_bytes(self._buffer[start : start + _LENGTH], "big")
            if not 0 < size <= MAX_FRAME:
                self._is_broken = True
                break
            end = start + _LENGTH + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[start + _LENGTH : end])
            del self._buffer[:end]
            self._prefix = b""
            yield payload, True
        yield from self.rest()

    def rest(self) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes that wait for the end of their message, which will not come."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            yield data, False


class _Connection:
    def __init__(self) -> None:
        self.version = 0
        self.splitters = {Direction.CLIENT: _Splitter(_PREFIX), Direction.SERVER: _Splitter(b"")}
        self.has_spoken = {Direction.CLIENT: False, Direction.SERVER: False}


class Recorder:
    """Takes what passes on any number of connections and hands every message on as a `Record`."""

    def __init__(self, write: Callable[[Record], None], *, is_scrubbed: bool = True) -> None:
        """Hand records to `write`, account numbers replaced unless `is_scrubbed` is False."""
        self._write = write
        self._scrubber = Scrubber() if is_scrubbed else None
        self._connections: dict[int, _Connection] = {}

    def opened(self, at_us: int, connection: int) -> None:
        """A client has come."""
        self._connections[connection] = _Connection()
        self._write(Record(at_us, connection, Direction.LINK, Kind.LINK, "opened"))

    def passed(self, at_us: int, connection: int, direction: Direction, data: bytes) -> None:
        """Bytes went by; the messages they complete are written."""
        for payload, is_message in self._connections[connection].splitters[direction].receive(data):
            self._record(at_us, connection, direction, payload, is_message)

    def closed(self, at_us: int, connection: int, by: Direction, how: str) -> None:
        """The connection is over: `how` is "end" or "reset"."""
        state = self._connections.pop(connection)
        for direction, splitter in state.splitters.items():
            for data, _ in splitter.rest():
                self._bytes(at_us, connection, direction, data)
        who = "client" if by is Direction.CLIENT else "server"
        fields = (("by", who), ("how", how))
        self._write(Record(at_us, connection, Direction.LINK, Kind.LINK, "closed", fields))

    def _record(self, at_us: int, connection: int, direction: Direction, payload: bytes, is_message: bool) -> None:
        state = self._connections[connection]
        is_first, state.has_spoken[direction] = not state.has_spoken[direction], True
        if not is_message:
            self._bytes(at_us, connection, direction, payload)
        elif is_first and direction is Direction.CLIENT:
            self._fields(at_us, connection, direction, Kind.HELLO, "hello", (("text", _text(payload)),))
        elif is_first and payload.endswith(b"\0"):
            texts = _text(payload[:-1]).split("\0")
            state.version = int(texts[0]) if _ID.fullmatch(texts[0]) else 0
            names = ["serverVersion", "time", *(f"?{place}" for place in range(3, len(texts) + 1))]
            self._fields(at_us, connection, direction, Kind.VERSION, "version", tuple(zip(names, texts, strict=False)))
        elif not is_first:
            self._message(at_us, connection, direction, payload, state.version)
        else:
            self._bytes(at_us, connection, direction, _framed(payload))

    def _message(self, at_us: int, connection: int, direction: Direction, payload: bytes, version: int) -> None:
        if version >= FIRST_RAW_ID_VERSION and len(payload) >= _LENGTH:
            message_id = int.from_bytes(payload[:_LENGTH], "big")
            body = payload[_LENGTH:]
            if message_id > PROTOBUF_OFFSET:
                self._protobuf(at_us, connection, direction, message_id - PROTOBUF_OFFSET, body)
                return
            texts = [str(message_id), *(_text(body[:-1]).split("\0") if body else ())]
            is_text = not body or body.endswith(b"\0")
        else:
            texts = _text(payload[:-1]).split("\0")
            is_text = payload.endswith(b"\0") and _ID.fullmatch(texts[0]) is not None
        if not is_text:
            self._bytes(at_us, connection, direction, _framed(payload))
            return
        name, fields = name_fields(tuple(texts), direction, version)
        if name == "managedAccounts" and self._scrubber is not None:
            self._scrubber.learn(dict(fields).get("accounts", ""))
        self._fields(at_us, connection, direction, Kind.TEXT, name, fields)

    def _protobuf(self, at_us: int, connection: int, direction: Direction, message_id: int, body: bytes) -> None:
        name = name_fields((str(message_id),), direction, 0)[0]
        if self._scrubber is not None:
            if name == "managedAccounts":
                self._scrubber.learn(dict(name_protobuf(name, direction, body)).get("accounts", ""))
            body = self._scrubber.data(body)
        fields = name_protobuf(name, direction, body)
        self._write(Record(at_us, connection, direction, Kind.PROTOBUF, name, fields, body))

    def _fields(
        self, at_us: int, connection: int, direction: Direction, kind: Kind, name: str, fields: tuple[Named, ...]
    ) -> None:
        if self._scrubber is not None:
            fields = tuple((path, self._scrubber.text(text)) for path, text in fields)
        self._write(Record(at_us, connection, direction, kind, name, fields))

    def _bytes(self, at_us: int, connection: int, direction: Direction, data: bytes) -> None:
        payload = data if self._scrubber is None else self._scrubber.data(data)
        self._write(Record(at_us, connection, direction, Kind.BYTES, "bytes", (), payload))


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(_LENGTH, "big") + payload


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
