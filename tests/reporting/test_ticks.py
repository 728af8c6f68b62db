"""Labels stand at round numbers and at the beginnings of months and years."""

import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from quant_trading.reporting.ticks import number_ticks, time_ticks


def test_round_numbers() -> None:
    assert number_ticks(0.0, 10.0) == ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 2.0)
    assert number_ticks(93_000.0, 118_000.0) == ([90e3, 95e3, 100e3, 105e3, 110e3, 115e3, 120e3], 5_000.0)


def test_a_flat_curve_has_an_axis_around_it() -> None:
    ticks, _ = number_ticks(100.0, 100.0)
    assert ticks[0] < 100.0 < ticks[-1]
    assert number_ticks(0.0, 0.0)[0][0] < 0.0 < number_ticks(0.0, 0.0)[0][-1]
    assert len(number_ticks(float("nan"), 1.0)[0]) > 1


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12), st.integers(2, 8))
def test_ticks_cover_the_range_in_round_steps(one: float, other: float, wished: int) -> None:
    low, high = min(one, other), max(one, other)
    assume(high - low > 1e-9 * max(abs(low), abs(high), 1e-6))
    ticks, step = number_ticks(low, high, wished)
    room = step * 1e-6
    assert ticks[0] <= low + room
    assert ticks[-1] >= high - room
    assert 2 <= len(ticks) <= 2 * wished + 3
    mantissa = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert any(math.isclose(mantissa, round_one, rel_tol=1e-9) for round_one in (1.0, 2.0, 2.5, 5.0, 10.0))


def days(first: str, last: str) -> np.ndarray:
    return np.arange(first, last, dtype="datetime64[D]").astype("datetime64[s]")


def test_years_months_days_and_hours() -> None:
    labels = [label for _, label in time_ticks(days("2015-01-01", "2022-01-01"))]
    assert labels == ["2015", "2016", "2017", "2018", "2019", "2020", "2021"]
    labels = [label for _, label in time_ticks(days("2023-11-01", "2024-05-01"))]
    assert labels == ["Nov 2023", "Dec", "Jan 2024", "Feb", "Mar", "Apr"]
    labels = [label for _, label in time_ticks(days("2024-01-01", "2024-01-06"))]
    assert labels == ["1 Jan 2024", "2 Jan", "3 Jan", "4 Jan", "5 Jan"]
    session = np.arange("2024-01-02T09:30", "2024-01-02T16:00", 5, dtype="datetime64[m]").astype("datetime64[s]")
    labels = [label for _, label in time_ticks(session)]
    assert labels == ["2 Jan 10:00", "11:00", "12:00", "13:00", "14:00", "15:00"]
    days_of_two = np.array(["2024-01-02T09:30", "2024-01-02T12:45", "2024-01-03T09:30", "2024-01-03T12:45"])
    labels = [label for _, label in time_ticks(days_of_two.astype("datetime64[s]"))]
    assert labels == ["2 Jan 09:30", "12:45", "3 Jan 09:30", "12:45"]


def test_nothing_and_one_bar() -> None:
    assert time_ticks(days("2024-01-01", "2024-01-01")) == []
    assert time_ticks(days("2024-01-01", "2024-01-02")) == [(0, "1 Jan 2024")]


@given(st.integers(1, 4_000), st.sampled_from([60, 300, 3_600, 86_400, 86_400 * 30]), st.integers(0, 10**9))
def test_never_crowded_and_in_order(rows: int, seconds: int, first: int) -> None:
    times = (first + seconds * np.arange(rows)).astype("datetime64[s]")
    found = time_ticks(times)
    at = [row for row, _ in found]
    assert 1 <= len(at) <= 11
    assert at == sorted(set(at))
    assert 0 <= at[0] <= at[-1] < rows
