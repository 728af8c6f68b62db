"""A small file is read by numpy, a large one by pyarrow: the same bars to the last bit, or the same refusal."""

from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data import bar_files
from quant_trading.data.bar_files import open_bar_file
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.errors import DataGap

HEAD = "timestamp,open,high,low,close,volume\n"
SIZE = parse_bar_size("5m")

prices = st.one_of(
    st.floats(0.01, 1e6).map(repr),
    st.decimals("0.01", 99_999, places=2).map("{:f}".format),
    st.decimals("0.0001", 9, places=16).map("{:f}".format),
    st.integers(1, 10**6).map(str),
)
cells = st.one_of(prices, st.sampled_from(["", "0", "-1", "nan", "inf", "1e3", "1.5x", " 2", "1,2", "0.1.2", '"3"']))
rows = st.lists(st.tuples(prices, st.integers(0, 10**9).map(str)), min_size=1, max_size=40)


@contextmanager
def only_pyarrow():
    kept, bar_files._PLAIN_BYTES = bar_files._PLAIN_BYTES, -1
    try:
        yield
    finally:
        bar_files._PLAIN_BYTES = kept


def outcome(path):
    try:
        bars = open_bar_file(path).columns(SIZE)
    except DataGap as error:
        return str(error)
    return tuple(
        getattr(bars, name).tobytes() for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    )


def both(folder, lines):
    path = folder / "A_5m.csv"
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    with only_pyarrow():
        by_arrow = outcome(path)
    return outcome(path), by_arrow


def stamp(row):
    minute = 13 * 60 + 30 + 5 * row
    return f"2025-05-12T{minute // 60:02}:{minute % 60:02}:00Z"


@given(rows)
def test_sound_files_give_the_same_bars(tmp_path_factory, values):
    lines = [f"{stamp(i)},{price},{price},{price},{price},{volume}" for i, (price, volume) in enumerate(values)]
    plain, by_arrow = both(tmp_path_factory.mktemp("files"), lines)
    assert plain == by_arrow
    assert len(plain) == 7


@given(rows, cells, st.integers(0, 39), st.integers(0, 5))
def test_unsound_files_are_refused_alike(tmp_path_factory, values, bad, row, column):
    lines = [[stamp(i), price, price, price, price, volume] for i, (price, volume) in enumerate(values)]
    lines[row % len(lines)][column] = bad
    plain, by_arrow = both(tmp_path_factory.mktemp("files"), [",".join(line) for line in lines])
    assert plain == by_arrow


@pytest.mark.parametrize("end", ["", "\r"])
def test_ends_of_lines(tmp_path, end):
    lines = [f"{stamp(i)},10.123456789012345,11,9.5,10.25,{i}{end}" for i in range(30)]
    plain, by_arrow = both(tmp_path, lines)
    assert plain == by_arrow
    assert len(plain) == 7
