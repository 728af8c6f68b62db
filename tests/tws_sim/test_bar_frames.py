"""The quick way to write bars writes what the layout table writes."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.aggregate import rows
from quant_trading.tws_sim.bar_frames import FinishedRows, history_frame
from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.history import HistoryAnswer, HistoryRow
from quant_trading.tws_sim.request_text import format_moment
from quant_trading.tws_sim.responses import RESPONSE_NAMES
from quant_trading.tws_sim.tape import IntArray, TapeBars
from quant_trading.tws_sim.wire import encode_frame

GRID = st.integers(1, 10**10).map(lambda cents: cents / 100)
FINE = st.integers(0, 10**14 - 1).map(lambda millionths: millionths / 10**6)
ANY_PRICE = st.floats(1e-7, 1e9)
SECOND_NS = 1_000_000_000


@st.composite
def answers(draw: st.DrawFn) -> HistoryAnswer:
    """Bars of any prices and counts, their dates in any of the formats."""
    size = draw(st.integers(0, 6))

    def column(*values: st.SearchStrategy[Any]) -> list[Any]:
        # A column is of one kind: prices on a grid, means with six decimals, quotes without volume.
        return draw(st.lists(draw(st.sampled_from(values)), min_size=size, max_size=size))

    prices = [np.array(column(GRID, FINE, ANY_PRICE), dtype=np.float64) for _ in range(5)]
    if draw(st.booleans()):
        prices[4] = np.full(size, -1.0)
    counts = [column(st.just(-1), st.integers(0, 9999), st.integers(0, 10**8), st.integers(-1, 10**13))]
    counts += [column(st.just(-1), st.integers(0, 20_000), st.integers(-1, 10**13))]
    seconds = draw(st.lists(st.integers(0, 90 * 366 * 86_400), min_size=size, max_size=size, unique=True).map(sorted))
    bar_size = parse_bar_size(draw(st.sampled_from(["1 secs", "1 min", "1 day", "1W"])))
    assert bar_size is not None
    stamps = np.array(seconds, dtype=np.int64) * SECOND_NS
    volume, count = (np.array(values, dtype=np.int64) for values in counts)
    bars = TapeBars(stamps, *prices[:4], volume.astype(np.float64), prices[4], count)
    zone = draw(st.sampled_from(["US/Eastern", "US/Central", "Europe/London", "Asia/Kolkata"]))
    format_date = draw(st.sampled_from([1, 2, 3]))
    span = "20251001 09:30:00 US/Eastern", "20251008 10:00:00 US/Eastern"
    return HistoryAnswer(*span, bars, bar_size, format_date, zone)


def written(answer: HistoryAnswer, version: int) -> bytes:
    """What the layout table makes of the rows."""
    bars = [row._asdict() for row in answer.rows]
    values = {"reqId": 7, "start": answer.start_text, "end": answer.end_text, "bars": bars}
    return encode_frame(encode(RESPONSE_NAMES["historicalData"], values, version))


@pytest.mark.parametrize("version", [157, 178, 195, 196, 200])
@given(answers())
def test_a_frame_is_what_the_table_says(version: int, answer: HistoryAnswer) -> None:
    assert history_frame(answer, 7, version) == written(answer, version)


@given(answers(), answers(), st.integers(0, 3))
def test_rows_that_are_kept_read_as_if_written_anew(first: HistoryAnswer, second: HistoryAnswer, order: int) -> None:
    finished = FinishedRows()
    asked = (first, second, first, replace(first, bars=rows(first.bars, slice(0, len(first.bars) - 1))))

    for answer in asked[order:] + asked:
        assert history_frame(answer, 7, 178, finished) == written(answer, 178)


def test_days_written_along_with_others_are_what_the_table_says() -> None:
    days = [n * 86_400 * 10**9 for n in range(20_000, 20_006)]
    answers = [
        answer_of(days, "1 day", close=[9.0, 9.5, 9.25]),
        answer_of(days, "1 day", close=[10_000.5, 9.5, 9.25]),
        answer_of(days, "1 day", close=[123.45, 9.5, 9.25], volume=[12_345.0, 1.0]),
        answer_of(days, "1 day", close=[7.0], wap=[-1.0], volume=[-1.0]),
    ]
    finished, asked = FinishedRows(), []

    def ahead(stamps: IntArray) -> list[TapeBars]:
        asked.append(stamps.tolist())
        return [rows(answer.bars, slice(0, len(stamps))) for answer in answers[1:]]

    for answer in answers:
        assert history_frame(answer, 7, 178, finished, ahead) == written(answer, 178)
    # The third is at hand when it is asked for; the second and the last are unusual and are written alone.
    assert asked == [days[:-1]] * 3


def test_the_day_that_is_running_moves_on_while_the_others_are_kept() -> None:
    days = [n * 86_400 * 10**9 for n in range(20_000, 20_005)]
    finished = FinishedRows()

    for close in (10.0, 10.25, 11.5):
        answer = answer_of(days, "1 day", close=[9.0, 9.5, 9.25, 9.75, close])
        frame = history_frame(answer, 3, 178, finished)
        assert frame == history_frame(answer, 3, 178)
        assert frame is not None
        assert f"\0{close:g}\0".encode() in frame


@pytest.mark.parametrize(
    "column",
    [
        {"open": [0.0, 0.0001, 0.05, 1.5, 9999.9999]},
        {"high": [9999.99, 10_000.0, 10_000.01]},
        {"low": [0.1, 0.00001, 123.45]},
        {"wap": [101.0025, 101.00249999999999, 101.00249951, 33.333333333]},
        {"wap": [-1.0], "volume": [-1.0]},
        {"volume": [0.0, 9999.0, 10_000.0, 10_001.0, 99_999_999.0]},
        {"volume": [1.0, 100_000_000.0]},
    ],
)
def test_days_of_plain_and_of_unusual_numbers_are_what_the_table_says(column: dict[str, list[float]]) -> None:
    answer = answer_of([n * 86_400 * 10**9 for n in range(20_000, 20_012)], "1 day", **column)
    assert history_frame(answer, 7, 178, FinishedRows()) == written(answer, 178)


def answer_of(stamps: list[int], size_text: str = "1 min", **columns: list[float]) -> HistoryAnswer:
    size = parse_bar_size(size_text)
    assert size is not None
    given_columns = {
        "open": [1.0],
        "high": [1.0],
        "low": [1.0],
        "close": [1.0],
        "volume": [1.0],
        "wap": [1.0],
    } | columns
    made = {name: np.resize(np.array(values), len(stamps)) for name, values in given_columns.items()}
    bars = TapeBars(start_ns=np.array(stamps, dtype=np.int64), **made, count=np.ones(len(stamps), dtype=np.int64))
    return HistoryAnswer("a", "b", bars, size, 1, "US/Eastern")


def test_numbers_have_neither_needless_zeros_nor_exponents() -> None:
    prices = {"open": [120.0], "high": [0.5], "low": [0.000001], "close": [10_000.05], "wap": [99_999_999.1]}
    stamp = at(date(2025, 10, 8), "10:00")
    frame = history_frame(answer_of([stamp], **prices, volume=[12_000_345.0]), 3, 178)
    assert frame is not None
    fields = frame[4:-1].decode().split("\0")
    assert fields == [
        "17", "3", "a", "b", "1",
        "20251008 10:00:00 US/Eastern", "120", "0.5", "0.000001", "10000.05", "12000345", "99999999.1", "1",
    ]  # fmt: skip


def test_thousands_of_rows_keep_their_order_and_their_dates_over_a_change_of_the_clocks() -> None:
    begin = at(date(2025, 10, 31), "09:30")
    stamps = [begin + minute * 60 * SECOND_NS for minute in range(9000)]
    frame = history_frame(answer_of(stamps, open=[float(n) for n in range(9000)]), 3, 178)
    assert frame is not None
    fields = frame[4:-1].decode().split("\0")
    assert fields[5::8] == [format_moment(stamp, 1, "US/Eastern") for stamp in stamps]
    assert fields[6::8] == [str(n) for n in range(9000)]


def test_raw_ids_are_left_to_the_table() -> None:
    assert history_frame(answer_of([]), 1, 201) is None


def test_an_empty_answer_is_a_head_alone() -> None:
    assert history_frame(answer_of([]), 1, 178) == encode_frame(("17", "1", "a", "b", "0"))


def test_one_row_reads_like_any_other() -> None:
    [row] = answer_of([0], "1 day", volume=[-1.0]).rows
    assert row == HistoryRow("19700101", 1.0, 1.0, 1.0, 1.0, -1, 1.0, 1)
