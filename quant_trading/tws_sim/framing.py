"""Messages on their way: cut out of the stream, named, taken apart and put together again.

The fault injector stands between a session and its carrier and sees what the carrier sees: bytes. Here they
become messages with the names of the tables, in both directions and at every version, and bytes again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import FieldError, Layout, decode, encode
from quant_trading.tws_sim.protobuf_requests import decode_request
from quant_trading.tws_sim.requests import REQUEST_NAMES, REQUESTS
from quant_trading.tws_sim.responses import RESPONSES
from quant_trading.tws_sim.wire import MAX_FRAME, encode_frame

__all__ = [
    "HELLO",
    "VERSION_ANSWER",
    "ClientStream",
    "WireMessage",
    "details_of",
    "edited",
    "request_ids",
    "split_answer",
    "values_of",
]

HELLO = "hello"
"""The name of a client's first message, which has no id."""

VERSION_ANSWER = "serverVersion"
"""The name of the server's first message, which has no id either."""

_PREFIX = b"API\0"
_LENGTH = 4
_RAW_IDS_SINCE = 201
_PROTOBUF = 200

_VERSION_LAYOUT = Layout(0, VERSION_ANSWER, ())
_BY_NAME = {layout.name: layout for layout in (*REQUESTS.values(), *RESPONSES.values())}

# What stands behind the slash of a step, "orderStatus/Filled": the field that tells messages of a name apart.
_DETAIL = {
    "error": "code",
    "orderStatus": "status",
    "openOrder": "status",
    "tickPrice": "tickType",
    "tickSize": "tickType",
    "tickGeneric": "tickType",
    "tickString": "tickType",
    "accountSummary": "tag",
    "updateAccountValue": "key",
    "accountUpdateMulti": "key",
    "execDetails": "symbol",
    "position": "symbol",
    "updatePortfolio": "symbol",
    "contractDetails": "symbol",
    "placeOrder": "symbol",
    "reqMktData": "symbol",
    "reqHistoricalData": "symbol",
    "reqContractDetails": "symbol",
    "reqRealTimeBars": "symbol",
}


@dataclass(frozen=True, slots=True)
class WireMessage:
    """One whole message as it stands on the wire.

    Attributes:
        name: as in the tables of requests and responses; "#77" when they do not have it.
        data: every byte, the length in front included.
        version: the negotiated server version, which says how `data` is to be read.
    """

    name: str
    data: bytes
    version: int

    @property
    def is_text(self) -> bool:
        """True when the content is NUL-terminated fields, False for protobuf."""
        if self.version < _RAW_IDS_SINCE or self.name in (HELLO, VERSION_ANSWER):
            return True
        return int.from_bytes(self.data[_LENGTH : 2 * _LENGTH], "big") <= _PROTOBUF

    def fields(self) -> tuple[str, ...]:
        """Return the fields without the id; empty for protobuf."""
        if not self.is_text or self.name == HELLO:
            return ()
        body = self.data[_LENGTH:]
        if self.version >= _RAW_IDS_SINCE and self.name != VERSION_ANSWER:
            texts = body[_LENGTH:].decode("utf-8", errors="backslashreplace").split("\0")
            return tuple(texts[:-1])
        texts = body.decode("utf-8", errors="backslashreplace").split("\0")
        return tuple(texts[:-1] if self.name == VERSION_ANSWER else texts[1:-1])

    def with_fields(self, fields: tuple[str, ...]) -> "WireMessage":
        """Return the same message with other fields."""
        if self.name == VERSION_ANSWER:
            data = encode_frame(fields)
        elif self.version >= _RAW_IDS_SINCE:
            body = self.data[_LENGTH : 2 * _LENGTH] + "".join(f"{text}\0" for text in fields).encode()
            data = len(body).to_bytes(_LENGTH, "big") + body
        else:
            layout = _BY_NAME.get(self.name)
            first = str(layout.id) if layout is not None else self.name.removeprefix("#")
            data = encode_frame((first, *fields))
        return WireMessage(self.name, data, self.version)


def _name_of(payload: bytes, version: int, layouts: Mapping[int, Layout]) -> str:
    if version >= _RAW_IDS_SINCE:
        number = int.from_bytes(payload[:_LENGTH], "big")
        number -= _PROTOBUF if number > _PROTOBUF else 0
    else:
        text = payload.split(b"\0", 1)[0][:6]
        if not text.isdigit():
            return "#?"
        number = int(text)
    layout = layouts.get(number)
    return layout.name if layout is not None else f"#{number}"


class ClientStream:
    """Cut a client's bytes into messages; what is no message is passed on as it came."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._is_hello_read = False
        self._is_broken = False

    def receive(self, data: bytes, version: int) -> list[WireMessage | bytes]:
        """Return the messages that `data` completes; bytes stand for what cannot be cut.

        `version` is 0 before the hello; the message after it is cut with the next call at the earliest,
        which holds because no client speaks before the server has answered its hello.
        """
        if self._is_broken:
            return [bytes(data)]
        self._buffer += data
        found: list[WireMessage | bytes] = []
        while (message := self._next(version)) is not None:
            found.append(message)
        return found + self._rest_if_broken()

    def _rest_if_broken(self) -> list[WireMessage | bytes]:
        if not self._is_broken or not self._buffer:
            return []
        rest = bytes(self._buffer)
        self._buffer.clear()
        return [rest]

    def _next(self, version: int) -> WireMessage | None:
        start = 0 if self._is_hello_read else len(_PREFIX)
        if not self._is_hello_read:
            head = bytes(self._buffer[:start])
            if head != _PREFIX[: len(head)]:
                self._is_broken = True
                return None
        if self._is_broken or len(self._buffer) < start + _LENGTH:
            return None
        size = int.from_bytes(self._buffer[start : start + _LENGTH], "big")
        if not 0 < size <= MAX_FRAME:
            self._is_broken = True
            return None
        end = start + _LENGTH + size
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        if not self._is_hello_read:
            self._is_hello_read = True
            return WireMessage(HELLO, data, version)
        return WireMessage(_name_of(data[_LENGTH:], version, REQUESTS), data, version)


def split_answer(data: bytes, version: int, *, is_first: bool) -> list[WireMessage]:
    """Return the messages in what a session sends, which are always whole ones."""
    found: list[WireMessage] = []
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        piece = data[at:end]
        name = VERSION_ANSWER if is_first and not found else _name_of(piece[_LENGTH:], version, RESPONSES)
        found.append(WireMessage(name, piece, version))
        at = end
    return found


def values_of(message: WireMessage) -> dict[str, Any]:
    """Return the fields by name, empty when the message cannot be taken apart."""
    if message.name == VERSION_ANSWER:
        return dict(zip(("version", "time"), message.fields(), strict=False))
    if message.name == HELLO:
        return {"versions": message.data[len(_PREFIX) + _LENGTH :].decode("utf-8", errors="backslashreplace")}
    layout = _BY_NAME.get(message.name)
    if layout is None:
        return {}
    try:
        if not message.is_text:
            # What TWS says in protobuf is not taken apart here, what clients say is.
            is_request = message.name in REQUEST_NAMES
            return decode_request(layout, message.data[2 * _LENGTH :]).values if is_request else {}
        return decode(layout, message.fields(), message.version).values
    except FieldError as error:
        return dict(error.partial)


def details_of(message: WireMessage) -> str:
    """Return what tells this message from others of its name ("Filled", "202", "AAPL"), else an empty text."""
    name = _DETAIL.get(message.name)
    return str(values_of(message).get(name) or "") if name else ""


def request_ids(message: WireMessage) -> tuple[int | None, int | None]:
    """Return the request id and the order id a message carries."""
    values = values_of(message)
    return values.get("reqId"), values.get("orderId")


def edited(
    message: WireMessage, put: Mapping[str, Any], add: Mapping[str, float], scale: Mapping[str, float]
) -> WireMessage | None:
    """Return the message with named fields set, increased and multiplied; None when it has no such field.

    A text that is no number may stand in a number's place ("nan"): it is written as it is.
    """
    layout = _VERSION_LAYOUT if message.name == VERSION_ANSWER else _BY_NAME.get(message.name)
    values = values_of(message)
    if message.name == HELLO and set(put) == {"versions"}:
        words = str(put["versions"]).encode()
        return WireMessage(HELLO, _PREFIX + len(words).to_bytes(_LENGTH, "big") + words, message.version)
    if layout is None or any(name not in values for name in (*put, *add, *scale)):
        return None
    changed = {name: Decimal(str(values[name] or 0)) + Decimal(str(step)) for name, step in add.items()}
    changed |= {name: Decimal(str(values[name] or 0)) * Decimal(str(factor)) for name, factor in scale.items()}
    texts = {**{name: _plain(value) for name, value in changed.items()}, **{n: _plain(v) for n, v in put.items()}}
    if layout is _VERSION_LAYOUT:
        return message.with_fields(tuple(texts.get(name, str(values[name])) for name in ("version", "time")))
    fields = list(message.fields())
    for name, text in texts.items():
        at = _position_of(layout, values, name, message.version)
        if at is None or at >= len(fields):
            return None
        fields[at] = text
    return message.with_fields(tuple(fields))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _position_of(layout: Layout, values: Mapping[str, Any], name: str, version: int) -> int | None:
    """Return where a field stands on the wire: found by writing the message twice with two values for it."""
    texts = []
    for mark in (1, 2):
        try:
            texts.append(encode(layout, {**values, name: _like(values[name], mark)}, version))
        except FieldError:
            return None
    differing = [at for at, pair in enumerate(zip(*texts, strict=True)) if pair[0] != pair[1]]
    return differing[0] - 1 if differing else None


def _like(value: Any, mark: int) -> Any:
    """Return a value of the same kind that differs for the two marks."""
    if isinstance(value, bool):
        return mark == 1
    if isinstance(value, int):
        return value + mark
    if isinstance(value, str):
        return f"{value}{mark}"
    return mark if value is None else Decimal(mark)
