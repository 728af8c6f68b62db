"""Texts of many floats are those of `repr()`, quotients those of exact whole numbers, to the last bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.number_text import joined, joined_whole, quotients

MANY = 60  # fewer numbers are written one by one


def by_python(values):
    return ",".join(repr(value) if np.isfinite(value) else "null" for value in values.tolist())


def check(values):
    values = np.asarray(values, dtype=np.float64)
    assert joined(values).decode() == by_python(values)


cents = st.integers(-(10**9), 10**9).map(lambda n: n / 100)
near_powers = st.tuples(st.integers(-1074, 1023), st.sampled_from([-1.0, 0.0, 1.0])).map(
    lambda pair: float(np.nextafter(2.0 ** pair[0], 2.0 ** pair[0] * (1.0 + pair[1])))
)
near_tens = st.tuples(st.integers(-7, 18), st.sampled_from([-1.0, 0.0, 1.0])).map(
    lambda pair: float(np.nextafter(10.0 ** pair[0], 10.0 ** pair[0] * (1.0 + pair[1])))
)
few_digits = st.tuples(st.integers(0, 10**17), st.integers(0, 20)).map(lambda pair: pair[0] / 10 ** pair[1])
dyadic = st.tuples(st.integers(-(2**53), 2**53), st.integers(-60, 10)).map(lambda pair: float(np.ldexp(*pair)))
numbers = st.one_of(st.floats(), st.floats(-1e6, 1e6), cents, near_powers, near_tens, few_digits, dyadic)


@given(st.lists(numbers, min_size=MANY, max_size=MANY + 20))
def test_any_floats_are_written_as_repr_writes_them(values):
    check(values)


@pytest.mark.parametrize("places", [0, 1, 2, 4, 6, 8, 12])
def test_prices_of_all_magnitudes(places):
    rng = np.random.default_rng(places)
    for scale in 10.0 ** np.arange(-4, 12):
        check(np.round(rng.normal(0.0, scale, 500), places))


def test_random_bits_and_walks_of_several_chunks():
    rng = np.random.default_rng(5)
    check(rng.integers(-(2**63), 2**63, 20_000).view(np.float64))  # every exponent, NaNs and infinities too
    check(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, 20_000))))
    check(np.ldexp(rng.integers(2**52, 2**53, 20_000).astype(float), rng.integers(-65, 1, 20_000)))


@pytest.mark.parametrize("count", [0, 1, 2, 48, 49, 16_384, 16_385])
def test_any_count_is_a_list_in_json(count):
    values = np.random.default_rng(count).normal(0.0, 50.0, count)
    assert json.loads(b"[%b]" % joined(values)) == values.tolist()


def test_strided_columns_and_the_sign_of_zero():
    table = np.random.default_rng(2).normal(0.0, 50.0, (200, 3))
    table[::7] = -0.0
    check(table[:, 1])


@pytest.mark.parametrize("most", [0, 9, 9_999, 10_000, 10**8 - 1, 10**8, 10**12 - 1, 10**12, 2**53, 10**17])
@pytest.mark.parametrize("least", [0, -1])
def test_whole_numbers_with_and_without_a_point(most, least):
    values = np.random.default_rng(most % 97).integers(0, most, 5_000, endpoint=True)
    values[:2] = most, least
    assert joined_whole(values).decode() == ",".join(str(value) for value in values.tolist())
    check(values)


@given(st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(0, 18)), min_size=1, max_size=40))
def test_quotients_are_rounded_once(pairs):
    digits, places = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    # Python divides whole numbers exactly and rounds once.
    assert quotients(digits, places).tolist() == [n / 10**k for n, k in pairs]


@given(st.integers(2**52, 2**53 - 1), st.integers(0, 7), st.integers(-1, 1))
def test_quotients_beside_the_middle_of_two_floats(mantissa, exponent, beside):
    # (2 m + 1) * 2**(e - 1) lies halfway between the floats m * 2**e and (m + 1) * 2**e.
    digits = [((2 * mantissa + 1) << exponent >> 1) + beside]
    for places in range(19):
        if digits[0] < 10**18:
            assert quotients(np.array(digits), np.array([places])).tolist() == [digits[0] / 10**places]
