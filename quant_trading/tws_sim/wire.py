"""TWS framing without I/O: bytes in, events out; fields in, bytes out.

A client opens with the four bytes `API\\0`, then sends length-prefixed messages: a 4-byte big-endian
length and that many bytes. The first message is the hello (`v157..178`, optionally a space and connect
options), all later ones are NUL-terminated fields of which the first is the message id (documented).
From server version 201 on the message id is a raw 4-byte integer instead; an id above 200 says that what
follows is protobuf, for the message whose id is 200 less (read).

Whatever the bytes are, `FrameReader.receive` never raises: it reports a `Violation` and stays silent
after it, and the caller closes the connection.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = [
    "MAX_FRAME", "PROTOBUF_OFFSET", "RAW_IDS_SINCE", "ClientHello", "Event", "Frame", "FrameReader", "ProtobufFrame",
    "Violation", "encode_frame", "encode_raw_frame", "split_fields",
]  # fmt: skip

MAX_FRAME = 0xFFFFFF
"""The largest message a client accepts or sends, in bytes without its length prefix (documented)."""

RAW_IDS_SINCE = 201
"""The first server version whose message ids are raw integers."""

PROTOBUF_OFFSET = 200
"""What is added to the id of a message in protobuf."""

_PREFIX = b"API\0"
_LENGTH = 4
# A hello is a version range and perhaps a few options; nothing honest comes near this.
_MAX_HELLO = 4096
_HELLO = re.compile(r"v([0-9]{1,6})(?:\.\.([0-9]{1,6}))?(?: (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ClientHello:
    """The version range a client offers; `minimum` equals `maximum` when it names one version only."""

    minimum: int
    maximum: int
    options: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, split into its fields; the first is the message id."""

    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProtobufFrame:
    """One message in protobuf; `message_id` is the one of its text form."""

    message_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Violation:
    """The bytes are not the TWS protocol; nothing after them can be trusted."""

    reason: str


Event = ClientHello | Frame | ProtobufFrame | Violation


class FrameReader:
    """Turn a client's bytes into events; the cuts between the chunks make no difference.

    Attributes:
        raw_ids: set it when a version from `RAW_IDS_SINCE` on has been negotiated; it counts for the next message.
    """

    def __init__(self) -> None:
        self.raw_ids = False
        self._buffer = bytearray()
        self._is_prefix_read = False
        self._is_hello_read = False
        self._is_broken = False

    @property
    def unread_bytes(self) -> int:
        """How many bytes wait for the rest of their message."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes, in order; a `Violation` is always the last one ever."""
        return list(self.events(data))

    def events(self, data: bytes) -> Iterator[Event]:
        """Give the events that `data` completes one by one, so that each may change how the next is read."""
        if not self._is_broken:
            self._buffer += data
        while not self._is_broken:
            event = self._next_event()
            if event is None:
                return
            if isinstance(event, Violation):
                self.close()
            yield event

    def close(self) -> None:
        """Forget what is held back and read nothing more."""
        self._is_broken = True
        self._buffer.clear()

    def _next_event(self) -> Event | None:
        if not self._is_prefix_read:
            head = bytes(self._buffer[: len(_PREFIX)])
            for end, (received, expected) in enumerate(zip(head, _PREFIX, strict=False), start=1):
                # Judged on the first wrong byte, so that byte by byte and in one chunk agree.
                if received != expected:
                    return Violation(f"expected the client prefix {_PREFIX!r}, received {head[:end]!r}")
            if len(head) < len(_PREFIX):
                return None
            del self._buffer[: len(_PREFIX)]
            self._is_prefix_read = True
        return self._next_message()

    def _next_message(self) -> Event | None:
        if len(self._buffer) < _LENGTH:
            return None
        size = int.from_bytes(self._buffer[:_LENGTH], "big")
        limit = MAX_FRAME if self._is_hello_read else _MAX_HELLO
        if not 0 < size <= limit:
            return Violation(f"message length {size} is not within 1..{limit}")
        if len(self._buffer) < _LENGTH + size:
            return None
        payload = bytes(self._buffer[_LENGTH : _LENGTH + size])
        del self._buffer[: _LENGTH + size]
        if self._is_hello_read:
            return _parse_raw(payload) if self.raw_ids else _parse_fields(payload)
        self._is_hello_read = True
        return _parse_hello(payload)


def _parse_fields(payload: bytes) -> Event:
    if not payload.endswith(b"\0"):
        return Violation(f"a message of {len(payload)} bytes does not end with NUL")
    return Frame(split_fields(payload))


def split_fields(payload: bytes) -> tuple[str, ...]:
    """Return the NUL-terminated fields of `payload`; bytes that are no UTF-8 stay readable as escapes."""
    if not payload:
        return ()
    return tuple(payload[:-1].decode("utf-8", errors="backslashreplace").split("\0"))


def _parse_raw(payload: bytes) -> Event:
    if len(payload) < _LENGTH:
        return Violation(f"a message of {len(payload)} bytes has no room for its 4-byte id")
    message_id = int.from_bytes(payload[:_LENGTH], "big")
    body = payload[_LENGTH:]
    if message_id > PROTOBUF_OFFSET:
        return ProtobufFrame(message_id - PROTOBUF_OFFSET, body)
    if body and not body.endswith(b"\0"):
        return Violation(f"message {message_id} of {len(body)} bytes does not end with NUL")
    return Frame((str(message_id), *split_fields(body)))


def _parse_hello(payload: bytes) -> Event:
    text = payload.decode("utf-8", errors="backslashreplace")
    match = _HELLO.fullmatch(text)
    if match is None:
        return Violation(f"expected a hello such as 'v157..178', received {text[:40]!r}")
    minimum = int(match[1])
    maximum = int(match[2]) if match[2] is not None else minimum
    if maximum < minimum:
        return Violation(f"the hello {text[:40]!r} offers an empty version range")
    return ClientHello(minimum, maximum, match[3] or "")


def encode_frame(fields: Iterable[str]) -> bytes:
    """Return one message: length prefix and NUL-terminated fields.

    Raises:
        ValueError: when a field holds NUL or the message is larger than `MAX_FRAME`.
    """
    return _with_length("\0".join([*fields, ""]).encode("utf-8", errors="backslashreplace"))


def encode_raw_frame(message_id: int, body: Iterable[str] | bytes) -> bytes:
    """Return one message with a raw id: text fields, or the bytes of a protobuf message.

    Raises:
        ValueError: when the message is larger than `MAX_FRAME`.
    """
    if isinstance(body, bytes):
        return _with_length((message_id + PROTOBUF_OFFSET).to_bytes(_LENGTH, "big") + body)
    text = "\0".join([*body, ""]).encode("utf-8", errors="backslashreplace")
    return _with_length(message_id.to_bytes(_LENGTH, "big") + text)


def _with_length(payload: bytes) -> bytes:
    if len(payload) > MAX_FRAME:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_FRAME}; answer in several messages")
    return len(payload).to_bytes(_LENGTH, "big") + payload
