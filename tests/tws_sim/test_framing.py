"""Messages on their way: cut, named, taken apart and put together, at text and raw versions."""

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.framing import (
    ClientStream,
    WireMessage,
    details_of,
    edited,
    split_answer,
    values_of,
)
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.wire import encode_frame, encode_raw_frame
from tests.tws_sim.raw_client import hello

TIME = encode_frame(["49", "1"])
PLACED = {"orderId": 7, "symbol": "AAPL", "totalQuantity": Decimal(5)}
ORDER = encode_frame(encode(REQUEST_NAMES["placeOrder"], PLACED, 178))
STREAM = hello() + TIME + ORDER + TIME


def answer(name: str, version: int = 178, **values: object) -> WireMessage:
    [message] = split_answer(encode_frame(encode(RESPONSE_NAMES[name], values, version)), version, is_first=False)
    return message


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_cuts_make_no_difference(cuts: list[int]) -> None:
    stream = ClientStream()
    found: list[WireMessage | bytes] = []
    edges = [0, *sorted(cuts), len(STREAM)]
    for begin, end in pairwise(edges):
        found += stream.receive(STREAM[begin:end], 178)
    messages = [one for one in found if isinstance(one, WireMessage)]
    assert [one.name for one in messages] == ["hello", "reqCurrentTime", "placeOrder", "reqCurrentTime"]
    assert b"".join(one.data for one in messages) == STREAM


@given(st.binary(max_size=200), st.integers(0, 40))
def test_no_byte_is_lost_whatever_it_is(data: bytes, cut: int) -> None:
    stream = ClientStream()
    out = b""
    for piece in (data[:cut], data[cut:]):
        for one in stream.receive(piece, 178):
            out += one if isinstance(one, bytes) else one.data
    assert data.startswith(out)
    # What is held back is the beginning of a message that may still be completed.
    assert len(data) - len(out) < 2**24 + 8


def test_raw_ids_are_named_like_text_ones() -> None:
    [message] = split_answer(encode_raw_frame(49, ["1", "123"]), 210, is_first=False)
    assert (message.name, message.is_text, values_of(message)) == ("currentTime", True, {"time": 123})
    [message] = split_answer(encode_raw_frame(49, b"\x08\x05"), 210, is_first=False)
    assert (message.name, message.is_text, message.fields()) == ("currentTime", False, ())
    [message] = split_answer(encode_frame(["213", "now"]), 0, is_first=True)
    assert (message.name, values_of(message)) == ("serverVersion", {"version": "213", "time": "now"})


def test_unknown_messages_have_a_name_too() -> None:
    found = split_answer(encode_frame(["999", "1"]) + encode_frame(["x"]), 178, is_first=False)
    assert [message.name for message in found] == ["#999", "#?"]


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (answer("error", reqId=1, code=202, text="t", rejectJson=""), "202"),
        (answer("orderStatus", orderId=1, status="Filled"), "Filled"),
        (answer("accountSummary", reqId=1, tag="NetLiquidation"), "NetLiquidation"),
        (answer("positionEnd"), ""),
    ],
)
def test_details(message: WireMessage, detail: str) -> None:
    assert details_of(message) == detail


@pytest.mark.parametrize("version", [157, 178])
def test_an_edit_changes_what_it_names_and_nothing_else(version: int) -> None:
    values = {"reqId": -1, "orderId": 3, "execId": "a.01", "symbol": "AAPL", "shares": 100, "price": Decimal("9.5")}
    fill = answer("execDetails", version, **values)
    changed = edited(fill, {"execId": "b.02"}, {"price": 0.25}, {"shares": 2})
    assert changed is not None
    before, after = values_of(fill), values_of(changed)
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"execId", "price", "shares"}
    assert (after["execId"], after["price"], after["shares"]) == ("b.02", Decimal("9.75"), 200)


def test_a_number_may_become_any_text_and_unknown_fields_change_nothing() -> None:
    tick = answer("tickPrice", reqId=1, tickType=4, price=Decimal(10), size=1, attribs=0)
    changed = edited(tick, {"price": "nan"}, {}, {})
    assert changed is not None
    assert changed.fields() == ("6", "1", "4", "nan", "1", "0")
    assert edited(tick, {"colour": 1}, {}, {}) is None
