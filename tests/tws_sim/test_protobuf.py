"""The protobuf codec: known bytes, round trips, and bytes that are none."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.tws_sim.fields import Field, FieldError, Kind, Values
from quant_trading.tws_sim.protobuf import Form, Inline, Item, List, Options, Pairs, Rows, Scalar, Table, decode, encode
from quant_trading.tws_sim.protobuf_requests import REQUEST_TABLES, decode_request
from quant_trading.tws_sim.protobuf_responses import RESPONSE_TABLES, encode_response
from quant_trading.tws_sim.requests import REQUEST_NAMES, REQUESTS
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from tests.examples import examples

TABLES = {**{name: answer.table for name, answer in RESPONSE_TABLES.items()}, **REQUEST_TABLES}

SAMPLE: Table = (
    Scalar(1, "reqId", Form.INT),
    Scalar(2, "is", Form.FLAG),
    Scalar(3, "price", Form.NUMBER),
    Scalar(4, "size", Form.SIZE),
    Scalar(5, "text", Form.TEXT),
    Inline(6, (Scalar(1, "inner", Form.INT),), flag="hasInner"),
    Rows(7, "rows", (Scalar(1, "a", Form.INT),)),
    List(8, "days", "day", Form.INT),
    Pairs(9, "pairs"),
    Options(10, "options"),
    Scalar(11, "multiplier", Form.NUMBER_TEXT),
)


# Worked by hand from the encoding's rules: (number << 3 | wire type), then the value.
@pytest.mark.parametrize(
    ("values", "octets"),
    [
        ({"reqId": 150}, "08 96 01"),
        ({"reqId": -1}, "08 ff ff ff ff ff ff ff ff ff 01"),
        ({"is": True}, "10 01"),
        ({"price": Decimal("1.5")}, "19 00 00 00 00 00 00 f8 3f"),
        ({"size": Decimal("100.0")}, "22 03 31 30 30"),
        ({"text": "é"}, "2a 02 c3 a9"),
        ({"hasInner": True, "inner": 7}, "32 02 08 07"),
        ({"rows": [{"a": 1}, {"a": 2}]}, "3a 02 08 01 3a 02 08 02"),
        ({"days": [{"day": 3}, {"day": 270}]}, "40 03 40 8e 02"),
        ({"pairs": [{"tag": "k", "value": "v"}]}, "4a 06 0a 01 6b 12 01 76"),
        ({"options": "k=v;"}, "52 06 0a 01 6b 12 01 76"),
        ({"multiplier": "100"}, "59 00 00 00 00 00 00 59 40"),
    ],
)
def test_known_values_are_known_bytes(values: Values, octets: str) -> None:
    assert encode("sample", SAMPLE, values).hex(" ") == octets


def test_what_is_unset_takes_no_room() -> None:
    assert encode("sample", SAMPLE, {"reqId": None, "text": "", "rows": [], "hasInner": False, "inner": 7}) == b""


@pytest.mark.parametrize("words", ["x", "1e9999", "nan", "٣", "-"])
def test_words_that_are_no_number_have_no_place_in_its_field(words: str) -> None:
    """Found by fuzzing: an order's own words come back in its open order."""
    assert encode("sample", SAMPLE, {"reqId": 7, "multiplier": words}) == b"\x08\x07"


def test_numbers_come_packed_or_one_by_one() -> None:
    one_by_one, packed = bytes.fromhex("4003408e02"), bytes.fromhex("4203038e02")

    assert decode("sample", SAMPLE, one_by_one) == decode("sample", SAMPLE, packed) == {
        "days": [{"day": 3}, {"day": 270}]
    }  # fmt: skip


def test_fields_unknown_or_of_another_type_are_skipped() -> None:
    unknown = bytes.fromhex("f80701 a20604 01020304 fd07 01020304 f907 0102030405060708".replace(" ", ""))

    assert decode("sample", SAMPLE, unknown + bytes.fromhex("0807")) == {"reqId": 7}


@pytest.mark.parametrize("unset", ["08ffffffff07", "19ffffffffffffef7f", "2200"])
def test_the_unset_values_of_clients_are_unset(unset: str) -> None:
    assert decode("sample", SAMPLE, bytes.fromhex(unset)) == {}


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("0807 08", "does not end"),
        ("0807 08ffffffffffffffffffffff01", "does not end"),
        ("0807 2a05 61", "announces 5 bytes, 1 are left"),
        ("0807 2affffffffffffffffff01", "announces -1 bytes"),
        ("0807 0b", "unknown wire type 3"),
        ("0807 19000000000000f87f", "sample.price = nan is not a double"),
        ("0807 2a0161 220161", "sample.size"),
        ("0807 0a0161", "sample.reqId"),
        ("0807 3a0308", "announces 3 bytes"),
    ],
)
def test_bytes_that_are_none_are_named_and_keep_the_id(octets: str, reason: str) -> None:
    with pytest.raises(FieldError, match=reason) as caught:
        decode("sample", SAMPLE, bytes.fromhex(octets.replace(" ", "")))
    assert caught.value.partial["reqId"] == 7


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6)
texts = st.text(st.characters(exclude_characters="\0=;", exclude_categories=["Cs"]), min_size=1, max_size=6)
FORMS: dict[Form, st.SearchStrategy[Any]] = {
    Form.INT: st.integers(-(2**31), 2**31 - 2),
    Form.FLAG: st.booleans(),
    Form.NUMBER: numbers.map(lambda value: Decimal(repr(float(value)))),
    Form.SIZE: numbers,
    Form.TEXT: texts,
    Form.NUMBER_TEXT: st.integers(1, 10**6).map(str),
    Form.INT_TEXT: st.integers(0, 10**6).map(str),
}


def draw_values(draw: Any, table: Table, values: Values) -> Values:
    for item in table:
        draw_item(draw, item, values)
    return values


def draw_item(draw: Any, item: Item, values: Values) -> None:
    if isinstance(item, Inline):
        inner = draw_values(draw, item.table, {})
        if not item.flag:
            values.update({name: value for name, value in inner.items() if name not in values})
        elif draw(st.booleans()):
            values.update({item.flag: True} | {name: value for name, value in inner.items() if name not in values})
    elif item.name in values:
        return
    elif isinstance(item, Scalar):
        values[item.name] = draw(FORMS[item.form])
    elif isinstance(item, Rows):
        values[item.name] = [draw_values(draw, item.table, {}) for _ in range(draw(st.integers(1, 2)))]
    elif isinstance(item, List):
        values[item.name] = [{item.key: draw(FORMS[item.form])} for _ in range(draw(st.integers(1, 3)))]
    elif isinstance(item, Pairs):
        values[item.name] = [{"tag": draw(texts), "value": draw(texts)}]
    else:
        values[item.name] = f"{draw(texts)}={draw(texts)};"


@settings(max_examples=examples(300), deadline=None)
@given(st.data(), st.sampled_from(sorted(TABLES)))
def test_every_table_round_trips(data: Any, name: str) -> None:
    values = data.draw(st.composite(lambda draw: draw_values(draw, TABLES[name], {}))())
    hidden = {n for item in TABLES[name] if isinstance(item, Inline) and item.flag and not values.get(item.flag)
              for n in names_of(item.table)}  # fmt: skip

    read = decode(name, TABLES[name], encode(name, TABLES[name], values))

    assert {key: value for key, value in values.items() if key not in hidden} == {
        key: value for key, value in read.items() if key not in hidden
    }


def names_of(table: Table) -> set[str]:
    """Return every name of a table."""
    names: set[str] = set()
    for item in table:
        names |= names_of(item.table) if isinstance(item, Inline) else {item.name}
    return names


@settings(max_examples=examples(500), deadline=None)
@given(st.binary(max_size=120), st.sampled_from(sorted(REQUEST_TABLES)))
def test_any_bytes_are_a_request_or_a_field_error(payload: bytes, name: str) -> None:
    try:
        message = decode_request(REQUEST_NAMES[name], payload)
    except FieldError:
        return
    assert message.name == name


def test_no_table_uses_a_number_twice() -> None:
    def check(name: str, table: Table) -> None:
        numbers = [item.number for item in table]
        assert len(numbers) == len(set(numbers)), name
        for item in table:
            if isinstance(item, Inline | Rows):
                check(f"{name}.{item.number}", item.table)

    for name, table in TABLES.items():
        check(name, table)


def test_requests_without_a_value_have_all_names_of_their_text_form() -> None:
    for layout in REQUESTS.values():
        if layout.name not in REQUEST_TABLES:
            continue
        values = decode_request(layout, b"").values
        for item in layout.plan(200).items:
            if isinstance(item, Field):
                expected = {Kind.FLAG: False, Kind.TEXT: "", Kind.ESCAPED: ""}.get(item.kind)
                assert values[item.name] == expected, (layout.name, item.name)


def test_every_request_and_answer_has_a_protobuf_form_but_these() -> None:
    # Authentication of third-party vendors and exchange-for-physical ticks never got one.
    assert set(REQUEST_NAMES) - set(REQUEST_TABLES) == {"verifyAndAuthRequest", "verifyAndAuthMessage"}
    assert set(RESPONSE_NAMES) - set(RESPONSE_TABLES) == {
        "tickEFP", "deltaNeutralValidation", "verifyAndAuthMessageAPI", "verifyAndAuthCompleted",
    }  # fmt: skip


def test_a_family_moves_at_its_version() -> None:
    assert encode_response("orderStatus", {"orderId": 3}, 202) is None
    assert encode_response("orderStatus", {"orderId": 3}, 203) == b"\x08\x03"
    assert encode_response("commissionReport", {"execId": "a"}, 210) is None
