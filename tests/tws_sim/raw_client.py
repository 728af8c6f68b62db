"""A client without a library: it encodes requests and decodes answers by the simulator's own tables."""

from decimal import Decimal
from typing import Any

from quant_trading.tws_sim.fields import Message, decode, encode
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import Frame, FrameReader, encode_frame


def hello(minimum: int = 157, maximum: int = 178) -> bytes:
    """Return the first bytes of a client."""
    words = f"v{minimum}..{maximum}".encode()
    return b"API\0" + len(words).to_bytes(4, "big") + words


def split_answers(data: bytes) -> list[tuple[str, ...]]:
    """Return the fields of each message in the server's bytes."""
    # The reader expects a client's greeting first; the framing after it is the same in both directions.
    events = FrameReader().receive(hello() + data)[1:]
    assert all(isinstance(event, Frame) for event in events), events
    return [event.fields for event in events if isinstance(event, Frame)]


class RawClient:
    """One connected client; `read` returns what has come since the last time."""

    def __init__(self, simulator: Simulator, client_id: int = 1, version: int = 178) -> None:
        self.session = simulator.connect()
        self.version = version
        self.session.receive(hello(maximum=version))
        self.answer = split_answers(self.session.data_to_send())
        self.send("startApi", clientId=client_id)
        self.greeting = self.read()

    def send(self, name: str, **values: Any) -> None:
        """Send one request by name."""
        self.session.receive(encode_frame(encode(REQUEST_NAMES[name], values, self.version)))

    def read(self) -> list[Message]:
        """Return the messages waiting."""
        messages = []
        for fields in split_answers(self.session.data_to_send()):
            message = decode(RESPONSES[int(fields[0])], fields[1:], self.version)
            assert not message.surplus, f"{message.name} has {len(message.surplus)} fields too many"
            messages.append(message)
        return messages

    def ask(self, name: str, **values: Any) -> list[Message]:
        """Send a request and return its answer."""
        self.send(name, **values)
        return self.read()

    def order(
        self, order_id: int, side: str = "BUY", quantity: int = 100, symbol: str = "ACME", **extra: Any
    ) -> list[Message]:
        """Place an order, at the market unless `lmtPrice` is given; return the answer."""
        values: dict[str, Any] = {
            "orderId": order_id,
            "symbol": symbol,
            "secType": "STK",
            "exchange": "SMART",
            "currency": "USD",
            "action": side,
            "totalQuantity": Decimal(quantity),
            "orderType": "LMT" if "lmtPrice" in extra else "MKT",
            "tif": "DAY",
            "transmit": True,
        }
        if "lmtPrice" in extra:
            extra["lmtPrice"] = Decimal(str(extra["lmtPrice"]))
        return self.ask("placeOrder", **(values | extra))


def names(messages: list[Message]) -> list[str]:
    """Return the names of messages, with the state of orders and the code of errors."""
    return [
        f"{m.name} {m.values.get('status') or m.values.get('code')}" if m.name in ("openOrder", "orderStatus", "error")
        else m.name
        for m in messages
    ]  # fmt: skip


def only(messages: list[Message], name: str) -> Message:
    """Return the one message of that name."""
    found = [message for message in messages if message.name == name]
    assert len(found) == 1, f"{len(found)} x {name} in {names(messages)}"
    return found[0]
