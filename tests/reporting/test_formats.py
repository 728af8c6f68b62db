"""One way to write each kind of number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.reporting.formats import FORMATS, MINUS, axis_text, date_text, is_signed, shown, time_text
from tests.reporting.pages import number


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234567.891, "money", "1,234,567.89"),
        (-1234.5, "money", f"{MINUS}1,234.50"),
        (1234.5, "pnl", "+1,234.50"),
        (-0.001, "pnl", "0.00"),
        (-0.001, "money", "0.00"),
        (0.1234, "percent", "12.34%"),
        (-0.1234, "return", f"{MINUS}12.34%"),
        (0.1234, "return", "+12.34%"),
        (0.00001, "return", "0.00%"),
        (-1.005, "ratio", f"{MINUS}1.00"),
        (12345, "count", "12,345"),
        (1000.0, "quantity", "1,000"),
        (0.25, "quantity", "0.25"),
        (250.0, "price", "250.00"),
        (3.14159, "price", "3.1416"),
        (float("nan"), "money", "n/a"),
        (None, "count", "n/a"),
        ("", "text", "n/a"),
        (float("-inf"), "ratio", f"{MINUS}\u221e"),
        ("2024-03-01", "text", "2024-03-01"),
        ("2024-03-01", "count", "2024-03-01"),
    ],
)
def test_examples(value: float | str | None, kind: str, text: str) -> None:
    assert shown(value, kind) == text


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kind = 'euro' is not one of text, money, pnl"):
        shown(1.0, "euro")


@given(st.floats(-1e12, 1e12), st.sampled_from(sorted(FORMATS)))
def test_what_is_shown_reads_back_as_the_number(value: float, kind: str) -> None:
    text = shown(value, kind)
    places = {"count": 0.5, "percent": 5e-5, "return": 5e-5, "quantity": 5e-5, "number": abs(value) * 5e-6}
    assert abs(number(text) - value) <= places.get(kind, 0.005) * (1.0 + 1e-9) + abs(value) * 1e-12
    assert (text[0] in "+\u2212") == (number(text) != 0.0 and (is_signed(kind) or value < 0.0))


@pytest.mark.parametrize(
    ("value", "step", "kind", "text"),
    [
        (100_000.0, 20_000.0, "money", "100k"),
        (102_500.0, 2_500.0, "money", "102.5k"),
        (1_250_000.0, 250_000.0, "money", "1.25M"),
        (-0.25, 0.05, "percent", f"{MINUS}25%"),
        (0.025, 0.025, "return", "2.5%"),
        (2.5, 2.5, "ratio", "2.5"),
        (0.0, 0.5, "ratio", "0.0"),
        (97.5, 2.5, "price", "97.5"),
        (500.0, 500.0, "money", "500"),
        (620_000.0, 20_000.0, "price", "620k"),
    ],
)
def test_labels_have_the_decimals_their_distance_needs(value: float, step: float, kind: str, text: str) -> None:
    assert axis_text(value, step, kind) == text


@given(st.integers(-50, 50), st.sampled_from([1.0, 2.0, 2.5, 5.0]), st.integers(-6, 9))
def test_neighbouring_labels_differ(place: int, mantissa: float, power: int) -> None:
    step = mantissa * math.pow(10.0, power)
    for kind in ("money", "percent", "ratio", "price"):
        assert axis_text(place * step, step, kind) != axis_text((place + 1) * step, step, kind)


def test_times() -> None:
    assert time_text(np.datetime64("2024-03-01T09:30:00")) == "2024-03-01 09:30"
    assert time_text(np.datetime64("2024-03-01T00:00:00")) == "2024-03-01"
    assert date_text(np.datetime64("2024-03-01T09:30:00")) == "2024-03-01"
    assert (time_text(np.datetime64("NaT")), date_text(np.datetime64("NaT"))) == ("", "")
