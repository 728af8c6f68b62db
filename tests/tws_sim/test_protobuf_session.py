"""A session above version 200, message by message: raw ids, protobuf in, protobuf out as families move."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim import protobuf
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import Values, decode, encode_body
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES
from quant_trading.tws_sim.protobuf_responses import RESPONSE_TABLES
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.wire import Frame, FrameReader, ProtobufFrame, encode_raw_frame
from tests.tws_sim.raw_client import hello
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)
NOON_MS = at(THURSDAY, "10:00") // 1_000_000


class RawIdClient:
    """A client of version 201 or above; requests go out as protobuf unless `as_text` is set."""

    def __init__(self, version: int, *, as_text: bool = False) -> None:
        tape = StepTape({"ACME": [(at(THURSDAY, "09:30"), "10.00"), (at(THURSDAY, "11:00"), "9.90")]})
        self.simulator = Simulator(tape, SimConfig(), at(THURSDAY, "10:00"))
        self.session = self.simulator.connect()
        self.version = version
        self.as_text = as_text
        self.session.receive(hello(maximum=version))
        assert self.session.data_to_send().split(b"\0")[3][-3:] == str(version).encode()
        self.reader = FrameReader()
        self.reader.receive(hello())
        self.reader.raw_ids = True
        self.greeting = self.ask("startApi", clientId=5)

    def ask(self, name: str, **values: Any) -> list[tuple[str, str, Values]]:
        """Return the answer: (name, "text" or "protobuf", values) of each message."""
        layout = REQUEST_NAMES[name]
        if self.as_text:
            body: Any = encode_body(layout, values, self.version)
        else:
            body = protobuf.encode(name, REQUEST_TABLES[name], values)
        self.session.receive(encode_raw_frame(layout.id, body))
        answer: list[tuple[str, str, Values]] = []
        for event in self.reader.receive(self.session.data_to_send()):
            if isinstance(event, ProtobufFrame):
                name = RESPONSES[event.message_id].name
                values = protobuf.decode(name, RESPONSE_TABLES[name].table, event.payload)
                answer.append((name, "protobuf", values))
            else:
                assert isinstance(event, Frame)
                message = decode(RESPONSES[int(event.fields[0])], event.fields[1:], self.version)
                answer.append((message.name, "text", message.values))
        return answer


def forms(answer: list[tuple[str, str, Values]]) -> set[tuple[str, str]]:
    """Return which message came in which form."""
    return {(name, form) for name, form, _ in answer}


ORDER = {
    "orderId": 1, "symbol": "ACME", "secType": "STK", "exchange": "SMART", "currency": "USD", "action": "BUY",
    "totalQuantity": Decimal(100), "orderType": "LMT", "lmtPrice": Decimal("9.50"), "tif": "GTC", "transmit": True,
    "orderRef": "run-1",
}  # fmt: skip


def test_the_newest_version_is_protobuf_from_the_first_request_on() -> None:
    client = RawIdClient(225)

    assert [(name, form) for name, form, _ in client.greeting] == [
        ("managedAccounts", "protobuf"), ("nextValidId", "protobuf"),
        ("error", "protobuf"), ("error", "protobuf"), ("error", "protobuf"),
    ]  # fmt: skip
    assert client.greeting[0][2] == {"accounts": "DU1234567"}
    assert client.greeting[2][2] | {"text": ""} == {"reqId": -1, "time": NOON_MS, "code": 2104, "text": ""}


@pytest.mark.parametrize(
    ("version", "form_of_accounts", "form_of_errors"),
    [(201, "text", "text"), (203, "text", "protobuf"), (207, "protobuf", "protobuf")],
)
def test_families_move_one_after_the_other(version: int, form_of_accounts: str, form_of_errors: str) -> None:
    client = RawIdClient(version, as_text=True)

    assert forms(client.greeting) == {
        ("managedAccounts", form_of_accounts), ("nextValidId", "text"), ("error", form_of_errors),
    }  # fmt: skip


def test_an_order_lives_and_dies_in_protobuf() -> None:
    client = RawIdClient(225)

    placed = client.ask("placeOrder", **ORDER)
    [opened] = [values for name, _, values in placed if name == "openOrder"][-1:]
    [status] = [values for name, _, values in placed if name == "orderStatus"][-1:]
    cancelled = client.ask("cancelOrder", orderId=1)

    assert {form for _, form, _ in placed + cancelled} == {"protobuf"}
    assert (opened["orderId"], opened["symbol"], opened["lmtPrice"]) == (1, "ACME", Decimal("9.5"))
    assert (opened["totalQuantity"], opened["orderRef"], opened["clientId"]) == (Decimal(100), "run-1", 5)
    assert (status["status"], status["remaining"], status["permId"]) == ("Submitted", Decimal(100), opened["permId"])
    assert [values["status"] for name, _, values in cancelled if name == "orderStatus"][-1] == "Cancelled"
    assert [values["code"] for name, _, values in cancelled if name == "error"] == [202]


def test_a_fill_has_its_execution_and_its_cost_in_protobuf() -> None:
    answer = RawIdClient(225).ask("placeOrder", **(ORDER | {"orderType": "MKT"}))

    [execution] = [values for name, _, values in answer if name == "execDetails"]
    [report] = [values for name, _, values in answer if name == "commissionReport"]
    assert (execution["reqId"], execution["shares"], execution["price"]) == (-1, Decimal(100), Decimal("10.01"))
    assert report["execId"] == execution["execId"]
    # The client would take a profit that is left out for zero.
    assert "realizedPNL" not in report or report["realizedPNL"] is None


def test_a_request_may_still_come_as_text() -> None:
    client = RawIdClient(225, as_text=True)

    assert client.ask("reqCurrentTime") == [("currentTime", "protobuf", {"time": NOON_MS // 1000})]
    assert [name for name, _, _ in client.ask("reqPositions")] == ["positionEnd"]


def test_protobuf_that_is_none_is_an_error_with_the_request_id() -> None:
    client = RawIdClient(225)
    client.session.receive(encode_raw_frame(REQUEST_NAMES["reqContractDetails"].id, b"\x08\x2a\x12\x05x"))

    [event] = client.reader.receive(client.session.data_to_send())
    assert isinstance(event, ProtobufFrame)
    values = protobuf.decode("error", RESPONSE_TABLES["error"].table, event.payload)
    assert (values["reqId"], values["code"]) == (42, 320)
    assert "announces 5 bytes, 1 are left" in values["text"]


def test_unknown_messages_are_answered_whatever_their_form() -> None:
    client = RawIdClient(225)
    for frame in (encode_raw_frame(199, ["x"]), encode_raw_frame(999, b"\x08\x01"), encode_raw_frame(72, b"")):
        client.session.receive(frame)
        [event] = client.reader.receive(client.session.data_to_send())
        assert isinstance(event, ProtobufFrame)
        assert RESPONSES[event.message_id].name == "error"
    assert not client.session.is_closed


def test_history_ends_with_a_message_of_its_own_from_196_on() -> None:
    client = RawIdClient(225)
    client.session.send("historicalData", reqId=3, start="a", end="b", bars=[])

    events = client.reader.receive(client.session.data_to_send())
    assert [event.message_id for event in events if isinstance(event, ProtobufFrame)] == [17, 108]
