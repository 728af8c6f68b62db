"""The field language: what one side writes the other reads, at every server version."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.tws_sim.fields import (
    UNSET_DOUBLE,
    Field,
    FieldError,
    Fixed,
    Item,
    Kind,
    Layout,
    Many,
    When,
    decode,
    encode,
    format_number,
)
from quant_trading.tws_sim.requests import REQUESTS
from quant_trading.tws_sim.responses import RESPONSES
from tests.examples import examples

VERSIONS = (
    157, 159, 160, 162, 163, 164, 166, 169, 170, 171, 173, 176, 177, 178, 179, 180, 182, 183, 184, 185, 186, 187, 188,
    189, 190, 192, 193, 194, 195, 196, 198, 199, 200,
)  # fmt: skip

numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6)
# Words that switch optional groups on are offered often, or no group would ever be tried.
texts = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["", "BAG", "PEG BENCH", "PEG BEST", "PEG MID", "IBKRATS", "STK", "MKT"]),
)
_VALUES = {
    Kind.INT: st.integers(-(2**31), 2**31 - 2),
    Kind.NUMBER: numbers,
    Kind.FLAG: st.booleans(),
    Kind.TEXT: texts,
    Kind.ESCAPED: texts,
}


def draw_values(draw: Any, items: tuple[Item, ...], values: dict[str, Any], version: int) -> dict[str, Any]:
    """Draw a value for every field the message has at `version`."""
    for item in items:
        if not item.since <= version < item.until or isinstance(item, Fixed):
            continue
        if isinstance(item, Field):
            if item.name not in values:
                unset = st.none() if item.kind in (Kind.INT, Kind.NUMBER) else st.nothing()
                values[item.name] = draw(unset | _VALUES[item.kind])
        elif isinstance(item, Many):
            count = draw(st.integers(0, 3))
            values[item.name] = [draw_values(draw, item.items, {}, version) for _ in range(count)]
        elif isinstance(item, When):
            if item.test(values):
                draw_values(draw, item.items, values, version)
        else:
            values[item.name] = draw(st.lists(texts, max_size=3))
    return values


@st.composite
def messages(draw: Any) -> tuple[Layout, int, dict[str, Any]]:
    layout = draw(st.sampled_from([*REQUESTS.values(), *RESPONSES.values()]))
    version = draw(st.sampled_from(VERSIONS))
    return layout, version, draw_values(draw, layout.items, {}, version)


@settings(max_examples=examples(600), deadline=None)
@given(messages())
def test_every_message_round_trips_at_every_version(drawn: tuple[Layout, int, dict[str, Any]]) -> None:
    layout, version, values = drawn

    message = decode(layout, tuple(encode(layout, values, version)[1:]), version)

    assert message.surplus == ()
    assert message.values == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("100.0"), "100"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-0.00"), "0"),
        (Decimal("0.00010"), "0.0001"),
        (100.0, "100"),
        (1e-07, "0.0000001"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e300, "1" + "0" * 300),
        (138.255, "138.255"),
        (5, "5"),
    ],
)
def test_numbers_have_no_exponent_and_no_needless_zero(value: Any, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_exactly(value: float) -> None:
    assert float(format_number(value)) == value


def test_what_is_no_number_is_never_written() -> None:
    for value in (float("nan"), float("-inf"), Decimal("NaN")):
        with pytest.raises(ValueError, match="not a finite number"):
            format_number(value)


LAYOUT = Layout(
    1, "sample", (Field("reqId", Kind.INT), Field("price", Kind.NUMBER), Many("rows", (Field("a", Kind.FLAG),)))
)


def test_unset_numbers_are_read_from_all_their_spellings() -> None:
    for text in ("", UNSET_DOUBLE, "1.7976931348623157e+308"):
        assert decode(LAYOUT, ("2147483647", text, "0"), 178).values == {"reqId": None, "price": None, "rows": []}


def test_integers_written_as_floats_are_read() -> None:
    assert decode(LAYOUT, ("7.0", "1", "2", "1", "0"), 178).values["reqId"] == 7


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("x", "1", "0"), "sample.reqId = 'x' is not an integer"),
        (("1", "1_0", "0"), "sample.price = '1_0' is not a number"),
        (("1", "nan", "0"), "sample.price = 'nan' is not a number"),
        (("1", "1e9999", "0"), "is not a number"),
        (("1", "1"), "ends after 2 fields, rows is missing"),
        (("1", "1", "3", "0"), "3 rows announced, 1 fields are left"),
        (("1", "1", "-1"), "-1 rows announced"),
        (("1", "1", "1", "x"), "sample.rows.a = 'x' is not 0 or 1"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(texts: tuple[str, ...], reason: str) -> None:
    with pytest.raises(FieldError) as caught:
        decode(LAYOUT, texts, 178)
    assert reason in str(caught.value)


@pytest.mark.parametrize("items", [(Field("reqId", Kind.INT),), (Fixed("1"),), (Fixed("1"), Field("a", Kind.TEXT))])
def test_a_message_without_fields_is_refused_the_first_time_too(items: tuple[Item, ...]) -> None:
    layout = Layout(1, "short", items)
    for _ in range(2):
        with pytest.raises(FieldError, match="ends after 0 fields"):
            decode(layout, (), 178)


def test_what_was_read_last_does_not_change_what_is_read_next() -> None:
    layout = Layout(1, "pair", (Field("a", Kind.INT), Field("b", Kind.FLAG)))
    answers = [
        decode(layout, texts, 178).values for texts in (("1", "0"), ("1", "0"), ("1", "1"), ("", "0"), ("1", "0"))
    ]
    assert answers == [
        {"a": 1, "b": False}, {"a": 1, "b": False}, {"a": 1, "b": True}, {"a": None, "b": False}, {"a": 1, "b": False},
    ]  # fmt: skip
    answers[0]["a"] = 9
    assert decode(layout, ("1", "0"), 178).values == {"a": 1, "b": False}


def test_the_request_id_survives_an_error_after_it() -> None:
    with pytest.raises(FieldError) as caught:
        decode(LAYOUT, ("42", "x", "0"), 178)
    assert caught.value.partial == {"reqId": 42}


def test_fields_after_the_last_one_are_kept_apart() -> None:
    assert decode(LAYOUT, ("1", "1", "0", "new", "newer"), 178).surplus == ("new", "newer")
