"""One client's session: bytes in, bytes out, whatever carries them.

    HELLO --hello--> START --startApi--> READY --violation, 326, close--> CLOSED

Between the version answer and START_API the server says nothing: the official clients parse only the
first message of that read and throw the rest away (read). So everything that happens meanwhile waits.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from quant_trading.tws_sim.errors import RequestRefused, error_text
from quant_trading.tws_sim.fields import FieldError, Layout, Message, Values, decode, encode, encode_body
from quant_trading.tws_sim.protobuf_requests import decode_request
from quant_trading.tws_sim.protobuf_responses import encode_response
from quant_trading.tws_sim.requests import REQUESTS
from quant_trading.tws_sim.responses import FOLLOW_UPS, RESPONSE_NAMES
from quant_trading.tws_sim.wire import (
    RAW_IDS_SINCE,
    ClientHello,
    Event,
    Frame,
    FrameReader,
    ProtobufFrame,
    Violation,
    encode_frame,
    encode_raw_frame,
)

__all__ = ["MIN_VERSION", "NO_ID", "Session", "SessionHost"]

MIN_VERSION = 157
"""The oldest server version served; ibapi 9.81 speaks exactly this one."""

NO_ID = -1
"""The id of an error that belongs to no request."""

# Clients disagree on whether 158 carries `duration` in open orders, so it is never negotiated (read).
_AMBIGUOUS_VERSION = 158

_LENGTH = 4
# Stands where a text will be put in; no value of ours holds it.
_GAP = "\x01gap\x01"


class SessionHost(Protocol):
    """What a session needs from the simulator behind it."""

    @property
    def now_ns(self) -> int:
        """The simulated moment, UTC ns."""

    def connection_time(self) -> str:
        """Return the time stamp of the version answer."""

    def max_version(self) -> int:
        """Return the highest server version offered."""

    def on_frame(self, session: "Session", name: str) -> None:
        """Count one received frame, whether it can be read or not."""

    def on_start(self, session: "Session", client_id: int) -> None:
        """Register the session under its client id, send the greeting.

        Raises:
            RequestRefused: when the client id is taken (326).
        """

    def on_request(self, session: "Session", request: Message) -> None:
        """Answer one request.

        Raises:
            RequestRefused: when the answer is an error.
        """

    def on_close(self, session: "Session") -> None:
        """Forget the session; called once."""


class _State(Enum):
    HELLO = "waiting for the client's hello"
    START = "waiting for START_API"
    READY = "serving requests"
    CLOSED = "closed"


class Session:
    """A connection as TWS sees it. Drive it with `receive` and `data_to_send`.

    Attributes:
        client_id: known from START_API on, else -1.
        version: the negotiated server version, 0 before the hello.
        close_reason: why the session ended, empty while it lives or when the client left.
        on_output: called when bytes are waiting, also when something happened later than the request;
            the driver then takes `data_to_send()` and looks at `is_closed`.
        on_push: called when the client should have what waits now, though more may follow at once.
    """

    def __init__(self, host: SessionHost) -> None:
        self._host = host
        self._reader = FrameReader()
        self._state = _State.HELLO
        self._output = bytearray()
        self.client_id = NO_ID
        self.version = 0
        self.close_reason = ""
        self.on_output: Callable[[], None] | None = None
        self.on_push: Callable[[], None] | None = None

    @property
    def is_closed(self) -> bool:
        """True when the server is done; the driver closes the transport after the last bytes are out."""
        return self._state is _State.CLOSED

    @property
    def is_ready(self) -> bool:
        """True between START_API and the end: only then may anything be sent."""
        return self._state is _State.READY

    @property
    def unread_bytes(self) -> int:
        """How many bytes are held back because their message is not complete; never more than one message."""
        return self._reader.unread_bytes

    def receive(self, data: bytes) -> None:
        """Take bytes from the client. Never raises for what they hold."""
        for event in self._reader.events(data):
            if self.is_closed:
                return
            self._on_event(event)

    def receive_eof(self) -> None:
        """The client has closed its side, or the transport is gone."""
        self.close("")

    def data_to_send(self) -> bytes:
        """Return the bytes for the client and forget them."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def send(self, name: str, **values: Any) -> None:
        """Send one message by its name; silently dropped unless the session is ready."""
        self.send_values(name, values)

    def send_values(self, name: str, values: Values) -> None:
        """Do the same for values that are a dictionary already; it is not changed."""
        if self._state is not _State.READY:
            return
        self._write(self._frame_of(name, values))
        follow_up = FOLLOW_UPS.get(name)
        if follow_up is not None and self.version >= follow_up[1]:
            self._write(self._frame_of(follow_up[0], values))

    def sender(self, name: str, varying: str) -> Callable[[object, str, Values], None]:
        """Return how to send messages of which one text changes and the others hardly ever do.

        The returned function takes what tells such messages apart, the changing text, and the other values; it
        encodes a message the first time and puts in the text every other time.
        """
        known: dict[object, tuple[bytes, bytes]] = {}

        def send(key: object, text: str, values: Values) -> None:
            if self._state is not _State.READY:
                return
            if self.version >= RAW_IDS_SINCE or name in FOLLOW_UPS:
                self.send_values(name, values | {varying: text})
                return
            parts = known.get(key)
            if parts is None:
                whole = self._frame_of(name, values | {varying: _GAP})
                head, _, tail = whole[_LENGTH:].partition(_GAP.encode())
                parts = known[key] = (head, tail)
            content = text.encode("utf-8", errors="backslashreplace")
            size = len(parts[0]) + len(content) + len(parts[1])
            self._write(b"".join((size.to_bytes(_LENGTH, "big"), parts[0], content, parts[1])))

        return send

    def send_encoded(self, frames: bytes) -> None:
        """Send text frames that are encoded already; ticks come by the hundred thousand. Dropped unless ready."""
        if self.is_ready:
            self._write(frames)

    def push(self) -> None:
        """Let what waits go out now; a driver may do it or leave it."""
        if self.on_push is not None:
            self.on_push()

    def send_error(self, req_id: int, code: int, **parts: object) -> None:
        """Send an error or a status message; `req_id` -1 belongs to no request."""
        self._send_error(req_id, code, error_text(code, **parts))

    def _send_error(self, req_id: int, code: int, text: str) -> None:
        self.send("error", reqId=req_id, code=code, text=text, rejectJson="", time=self._host.now_ns // 1_000_000)

    def _frame_of(self, name: str, values: dict[str, Any]) -> bytes:
        layout = RESPONSE_NAMES[name]
        if self.version < RAW_IDS_SINCE:
            return encode_frame(encode(layout, values, self.version))
        payload = encode_response(name, values, self.version)
        if payload is None:
            return encode_raw_frame(layout.id, encode_body(layout, values, self.version))
        return encode_raw_frame(layout.id, payload)

    def close(self, reason: str) -> None:
        """End the session; bytes already waiting are still to be sent."""
        if self.is_closed:
            return
        self._state = _State.CLOSED
        self._reader.close()
        self.close_reason = reason
        self._host.on_close(self)
        self._notify()

    def _write(self, frame: bytes) -> None:
        self._output += frame
        self._notify()

    def _notify(self) -> None:
        if self.on_output is not None:
            self.on_output()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Violation):
            self.close(event.reason)
        elif isinstance(event, ClientHello):
            self._negotiate(event)
        else:
            self._on_message(event)

    def _negotiate(self, hello: ClientHello) -> None:
        version = min(hello.maximum, self._host.max_version())
        if version == _AMBIGUOUS_VERSION:
            version = MIN_VERSION
        if version < MIN_VERSION:
            self.close(f"the client speaks versions up to {hello.maximum}, at least {MIN_VERSION} is needed")
            return
        self.version = version
        self._state = _State.START
        self._reader.raw_ids = version >= RAW_IDS_SINCE
        # The version answer itself is always text: the client does not know yet how to read anything else.
        self._write(encode_frame([str(version), self._host.connection_time()]))
        if version < hello.minimum:
            # The client reads our version and leaves by itself; the answer tells its user why.
            self.close(f"the client needs version {hello.minimum}, the server offers {version}")

    def _on_message(self, frame: Frame | ProtobufFrame) -> None:
        layout = _find_layout(frame)
        self._host.on_frame(self, layout.name if layout is not None else "unknown")
        if self._state is _State.START:
            self._start(layout, frame)
            return
        if layout is None or layout.name == "startApi":
            code = 505 if layout is None else 321
            cause = "the API has been started already on this connection"
            self.send_error(NO_ID, code, tag="startApi", cause=cause)
            return
        try:
            request = self._decode(layout, frame)
        except FieldError as error:
            self.send_error(_id_of(error.partial), 320, cause=str(error))
            return
        try:
            self._host.on_request(self, request)
        except RequestRefused as refusal:
            req_id = refusal.req_id if refusal.req_id is not None else _id_of(request.values)
            self._send_error(req_id, refusal.code, refusal.text)

    def _decode(self, layout: Layout, frame: Frame | ProtobufFrame) -> Message:
        if isinstance(frame, Frame):
            return decode(layout, frame.fields[1:], self.version)
        return decode_request(layout, frame.payload)

    def _start(self, layout: Layout | None, frame: Frame | ProtobufFrame) -> None:
        if layout is None or layout.name != "startApi":
            received = frame.fields[0][:20] if isinstance(frame, Frame) else str(frame.message_id)
            self.close(f"expected START_API, received message {received!r}")
            return
        try:
            client_id = self._decode(layout, frame).integer("clientId", NO_ID)
        except FieldError as error:
            self.close(str(error))
            return
        if client_id < 0:
            self.close(f"client id {client_id} is not 0 or above")
            return
        self._state = _State.READY
        try:
            self._host.on_start(self, client_id)
        except RequestRefused as refusal:
            self._send_error(NO_ID, refusal.code, refusal.text)
            self.close(refusal.text)
            return


def _find_layout(frame: Frame | ProtobufFrame) -> Layout | None:
    if isinstance(frame, ProtobufFrame):
        return REQUESTS.get(frame.message_id)
    text = frame.fields[0]
    return REQUESTS.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _id_of(values: dict[str, Any]) -> int:
    """Return the id an error about this request carries: its request id, its order id, or none."""
    for name in ("reqId", "orderId"):
        value = values.get(name)
        if value is not None:
            return int(value)
    return NO_ID
