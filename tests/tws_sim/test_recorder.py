"""The recorder: any bytes of both directions become lines, and nothing is lost."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.protobuf import encode as encode_protobuf
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES
from quant_trading.tws_sim.protobuf_responses import encode_response
from quant_trading.tws_sim.recorder import Recorder
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.transcript import (
    Direction,
    Record,
    Transcript,
    format_record,
    format_transcript,
    parse_record,
    parse_transcript,
    wire_bytes,
)
from quant_trading.tws_sim.wire import encode_frame
from tests.tws_sim.raw_client import hello

VERSION = b"178\x0020261119 10:00:00 EST\0"


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def recorded(chunks: list[tuple[Direction, bytes]], *, is_scrubbed: bool = False) -> list[Record]:
    """Return the lines of one connection over which these bytes passed, closed by the client."""
    records: list[Record] = []
    recorder = Recorder(records.append, is_scrubbed=is_scrubbed)
    recorder.opened(0, 1)
    for at_us, (direction, data) in enumerate(chunks, start=1):
        recorder.passed(at_us, 1, direction, data)
    recorder.closed(len(chunks) + 1, 1, Direction.CLIENT, "end")
    return records


def said(records: list[Record], direction: Direction, version: int = 178) -> bytes:
    """Return the bytes of one direction."""
    return b"".join(wire_bytes(record, version) for record in records if record.direction is direction)


def greeting(version: int = 178) -> list[tuple[Direction, bytes]]:
    return [(Direction.CLIENT, hello()), (Direction.SERVER, framed(VERSION.replace(b"178", str(version).encode())))]


def text_frame(name: str, direction: Direction, version: int = 178, **values: object) -> bytes:
    table = REQUEST_NAMES if direction is Direction.CLIENT else RESPONSE_NAMES
    return encode_frame(encode(table[name], values, version))


@given(st.sampled_from([Direction.CLIENT, Direction.SERVER]), st.binary(max_size=60), st.sampled_from([178, 201]))
def test_any_bytes_at_all_are_kept(direction: Direction, data: bytes, version: int) -> None:
    for chunks in ([(direction, data)], [*greeting(version), (direction, data)]):
        records = recorded(chunks)
        assert parse_transcript(format_transcript(Transcript(tuple(records)))).records == tuple(records)
        assert said(records, direction, version) == b"".join(sent for who, sent in chunks if who is direction)


@given(st.lists(st.integers(1, 200), max_size=30))
def test_the_cuts_between_chunks_make_no_difference(cuts: list[int]) -> None:
    data = hello() + text_frame("startApi", Direction.CLIENT, clientId=1) + encode_frame(["49", "1"]) + b"\0\0"
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(places)]
    records = recorded([*greeting()[1:], *((Direction.CLIENT, piece) for piece in pieces)])
    whole = recorded([*greeting()[1:], (Direction.CLIENT, data)])
    assert [(r.kind, r.name, r.fields, r.payload) for r in records] == [
        (r.kind, r.name, r.fields, r.payload) for r in whole
    ]


def test_raw_ids_and_protobuf_are_kept_from_201_on() -> None:
    text = framed((49).to_bytes(4, "big") + b"1\0")
    protobuf = framed((203).to_bytes(4, "big") + b"\x08\x07")  # field 1, a varint: 7
    unknown = framed((999).to_bytes(4, "big") + b"\xff\x01")
    records = recorded([*greeting(201), *((Direction.CLIENT, data) for data in (text, protobuf, unknown))])
    assert [record.name for record in records[3:6]] == ["reqCurrentTime", "placeOrder", "#799"]
    assert format_record(records[4]).endswith("> 1 placeOrder orderId=7 pb=0807")
    assert said(records, Direction.CLIENT, 201) == hello() + text + protobuf + unknown
    assert [parse_record(format_record(record)) for record in records] == records


def test_protobuf_is_shown_by_the_names_of_the_text_form_and_without_accounts() -> None:
    pnl = {"reqId": 5, "account": "DU7654321", "modelCode": ""}
    body = encode_protobuf("reqPnL", REQUEST_TABLES["reqPnL"], pnl)
    ask = framed((REQUEST_NAMES["reqPnL"].id + 200).to_bytes(4, "big") + body)
    bars = encode_response("historicalData", {"reqId": 3, "bars": [{"date": "20261118", "open": 1.5, "count": 3}]}, 222)
    assert bars is not None
    answer = framed((RESPONSE_NAMES["historicalData"].id + 200).to_bytes(4, "big") + bars)
    records = recorded([*greeting(222), (Direction.CLIENT, ask), (Direction.SERVER, answer)], is_scrubbed=True)
    assert re.search(r"> 1 reqPnL reqId=5 account=DU0000001 pb=[0-9a-f]+$", format_record(records[3]))
    assert re.search(
        r"< 1 historicalData reqId=3 bars=1 \[date=20261118 open=1.5 count=3\] pb=", format_record(records[4])
    )
    assert [parse_record(format_record(record)) for record in records] == records
    assert said(records, Direction.CLIENT, 222) == hello() + ask.replace(b"DU7654321", b"DU0000001")
