"""Framing: the cuts between chunks make no difference, and garbage is an event, never an exception."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from quant_trading.tws_sim.wire import (
    MAX_FRAME,
    ClientHello,
    Frame,
    FrameReader,
    ProtobufFrame,
    Violation,
    encode_frame,
    encode_raw_frame,
)

HELLO = b"API\0\x00\x00\x00\x09v157..178"

fields = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=8)
cuts = st.lists(st.integers(0, 400), max_size=12)


def read_in_chunks(data: bytes, positions: list[int]) -> list[object]:
    reader = FrameReader()
    edges = [0, *sorted(min(position, len(data)) for position in positions), len(data)]
    return [event for start, end in pairwise(edges) for event in reader.receive(data[start:end])]


@given(st.lists(fields, max_size=5), cuts)
def test_any_cut_gives_the_same_messages(messages: list[list[str]], positions: list[int]) -> None:
    data = HELLO + b"".join(encode_frame(message) for message in messages)

    events = read_in_chunks(data, positions)

    assert events == [ClientHello(157, 178), *(Frame(tuple(message)) for message in messages)]


@given(st.binary(max_size=300), cuts)
@example(HELLO + b"\x01\x00\x00\x00", [])
def test_any_bytes_are_read_alike_in_one_chunk_and_in_many(data: bytes, positions: list[int]) -> None:
    byte_by_byte = read_in_chunks(data, list(range(len(data))))

    assert read_in_chunks(data, positions) == byte_by_byte == FrameReader().receive(data)


def test_the_hello_carries_options() -> None:
    words = b"v100..187 +PACEAPI"

    assert FrameReader().receive(b"API\0\0\0\0" + bytes([len(words)]) + words) == [ClientHello(100, 187, "+PACEAPI")]


def test_a_single_version_is_a_range_of_one() -> None:
    assert FrameReader().receive(b"API\0\0\0\0\x04v200") == [ClientHello(200, 200)]


def test_the_first_wrong_byte_ends_the_connection() -> None:
    reader = FrameReader()

    assert isinstance(reader.receive(b"G")[0], Violation)
    assert reader.receive(HELLO) == []


def test_garbage_is_named() -> None:
    cases = {
        b"GET / HTTP/1.1\r\n": "expected the client prefix",
        b"API\0\0\0\0\x05v9..8": "empty version range",
        b"API\0\0\0\0\x05hello": "expected a hello",
        b"API\0\0\0\0\0": "message length 0",
        b"API\0\0\1\0\0": "message length 65536",
        HELLO + b"\x01\0\0\0": "message length 16777216",
        HELLO + b"\0\0\0\0": "message length 0",
        HELLO + b"\0\0\0\x0249": "does not end with NUL",
    }
    for data, reason in cases.items():
        last = FrameReader().receive(data)[-1]
        assert isinstance(last, Violation), data
        assert reason in last.reason


def test_the_largest_message_passes() -> None:
    text = "x" * (MAX_FRAME - 1)

    assert FrameReader().receive(HELLO + encode_frame([text]))[1] == Frame((text,))


def test_bytes_that_are_no_text_are_kept_readable() -> None:
    assert FrameReader().receive(HELLO + b"\0\0\0\x04\xff\0b\0")[1] == Frame(("\\xff", "b"))


# Raw message ids, from version 201 on


def raw_reader() -> FrameReader:
    reader = FrameReader()
    reader.receive(HELLO)
    reader.raw_ids = True
    return reader


def test_raw_ids_carry_text_or_protobuf() -> None:
    data = encode_raw_frame(49, ["1"]) + encode_raw_frame(85, []) + encode_raw_frame(3, b"\x08\x07")

    assert data.hex(" ") == "00 00 00 06 00 00 00 31 31 00 00 00 00 04 00 00 00 55 00 00 00 06 00 00 00 cb 08 07"
    assert raw_reader().receive(data) == [Frame(("49", "1")), Frame(("85",)), ProtobufFrame(3, b"\x08\x07")]


def test_raw_messages_without_an_id_or_an_end_are_named() -> None:
    for data, reason in {
        b"\0\0\0\2\0\0": "no room for its 4-byte id",
        b"\0\0\0\5\0\0\0\x311": "does not end with NUL",
    }.items():
        [event] = raw_reader().receive(data)
        assert isinstance(event, Violation)
        assert reason in event.reason


@given(st.lists(st.tuples(st.integers(0, 200), fields), max_size=4), cuts)
def test_any_cut_gives_the_same_raw_messages(messages: list[tuple[int, list[str]]], positions: list[int]) -> None:
    data = b"".join(encode_raw_frame(number, texts) for number, texts in messages)
    reader = raw_reader()
    edges = [0, *sorted(min(position, len(data)) for position in positions), len(data)]

    events = [event for start, end in pairwise(edges) for event in reader.receive(data[start:end])]

    assert events == [Frame((str(number), *texts)) for number, texts in messages]


def test_how_ids_are_written_may_change_between_two_messages_of_one_chunk() -> None:
    reader = FrameReader()
    events = reader.events(HELLO + encode_raw_frame(71, ["2", "5", ""]))

    assert next(events) == ClientHello(157, 178)
    reader.raw_ids = True
    assert list(events) == [Frame(("71", "2", "5", ""))]
