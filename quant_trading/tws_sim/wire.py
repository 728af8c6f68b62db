"""TWS framing without I/O: bytes in, events out; fields in, bytes out.

A client opens with the four bytes `API\\0`, then sends length-prefixed messages: a 4-byte big-endian
length and that many bytes. The first message is the hello (`v157..178`, optionally a space and connect
options), all later ones are NUL-terminated fields of which the first is the message id (documented).

Whatever the bytes are, `FrameReader.receive` never raises: it reports a `Violation` and stays silent
after it, and the caller closes the connection.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["MAX_FRAME", "ClientHello", "Event", "Frame", "FrameReader", "Violation", "encode_frame"]

MAX_FRAME = 0xFFFFFF
"""The largest message a client accepts or sends, in bytes without its length prefix (documented)."""

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
class Violation:
    """The bytes are not the TWS protocol; nothing after them can be trusted."""

    reason: str


Event = ClientHello | Frame | Violation


class FrameReader:
    """Turn a client's bytes into events; the cuts between the chunks make no difference."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_prefix_read = False
        self._is_hello_read = False
        self._is_broken = False

    def receive(self, data: bytes) -> list[Event]:
        """Return the events that `data` completes, in order; a `Violation` is always the last one ever."""
        if self._is_broken:
            return []
        self._buffer += data
        events: list[Event] = []
        while (event := self._next_event()) is not None:
            events.append(event)
            if isinstance(event, Violation):
                self._is_broken = True
                self._buffer.clear()
                break
        return events

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
            return _parse_fields(payload)
        self._is_hello_read = True
        return _parse_hello(payload)


def _parse_fields(payload: bytes) -> Event:
    if not payload.endswith(b"\0"):
        return Violation(f"a message of {len(payload)} bytes does not end with NUL")
    text = payload[:-1].decode("utf-8", errors="backslashreplace")
    return Frame(tuple(text.split("\0")))


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
    payload = "".join(f"{field}\0" for field in fields).encode("utf-8", errors="backslashreplace")
    if len(payload) > MAX_FRAME:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_FRAME}; answer in several messages")
    return len(payload).to_bytes(_LENGTH, "big") + payload
