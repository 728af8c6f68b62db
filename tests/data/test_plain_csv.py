"""The quick reader agrees with Python's own parsing to the last bit, or leaves the file to the general one."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.plain_csv import read_plain

HEAD = "timestamp,open,volume\n"


def plain(tmp_path, body, head=HEAD):
    path = tmp_path / "A.csv"
    path.write_bytes((head + body).encode())
    return read_plain(path, head.count(",") + 1, 0, [1, 2])


numbers = st.one_of(
    st.decimals(0, 99_999, places=2).map(str),
    st.decimals(0, 999, places=6).map(str),
    st.integers(0, 10**15).map(str),
    st.floats(0.1, 1e9).map(repr),  # 16 and 17 digits
    st.decimals(0, 9, places=17).map("{:f}".format),
    st.sampled_from(["0", "0.0", "00.5", "5.0", "123456789.12", "9007199254740991", "1.00000001", "0.3", "2.675"]),
    # Halfway between two floats, and as near to it as 18 digits come: 2**53 + 1 over a power of ten, and neighbours.
    st.sampled_from(["9007199254740993", "9007199254740993.0", "9007199254740993.1", "9007199254740992.9"]),
    st.sampled_from(["99.999999999999999", "999999999999999999", "0.999999999999999999", "0.000000000000000001"]),
)


@given(cells=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), ending=st.sampled_from(["\n", "\r\n"]))
def test_numbers_are_those_of_float(tmp_path_factory, cells, ending):
    folder = tmp_path_factory.mktemp("plain")
    read = plain(folder, "".join(f"2025-05-12T13:30:00Z,{a},{b}{ending}" for a, b in cells), HEAD[:-1] + ending)
    assert read is not None
    for k in range(2):
        assert read.numbers[k].tobytes() == np.array([float(pair[k]) for pair in cells]).tobytes()


@pytest.mark.parametrize("number", ["1000000000000000000", "0.0000000000000000001", "12.34567890123456789"])
def test_numbers_of_more_digits_than_fit_are_left_to_the_general_reader(tmp_path, number):
    assert plain(tmp_path, f"2025-05-12T13:30:00Z,{number},2\n") is None


@given(
    st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=20),  # noqa: DTZ001
    st.sampled_from(["Z", "", "+00:00", "-04:00", "+05:30"]),
    st.sampled_from("T "),
)
def test_stamps_are_those_of_datetime(tmp_path_factory, moments, zone, between):
    folder = tmp_path_factory.mktemp("plain")
    texts = [moment.replace(microsecond=0).isoformat(sep=between) + zone for moment in moments]
    read = plain(folder, "".join(f"{text},1,2\n" for text in texts))
    east = 0 if zone in ("Z", "") else (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[4:]) * 60)
    for i, text in enumerate(texts):
        clock = datetime.fromisoformat(text).replace(tzinfo=None)
        days, rest = divmod(clock - datetime(1970, 1, 1), (datetime(1970, 1, 2) - datetime(1970, 1, 1)))  # noqa: DTZ001
        assert (read.days[i], read.seconds[i]) == (days, rest.seconds)
        assert (read.offsets is None) == (zone == "")
        assert zone == "" or read.offsets[i] == east


@pytest.mark.parametrize(
    "row",
    [
        "2025-05-12T13:30:00Z,x,2",
        "2025-05-12T13:30:00Z,,2",
        "2025-05-12T13:30:00Z,1",
        "2025-05-12T13:30:00Z,1,2,3",
        "2025-05-12T13:30:00Z,1.2.3,2",
        "2025-05-12T13:30:00Z,-1,2",
        "2025-05-12T13:30:00Z,1e3,2",
        "2025-05-12T13:30:00Z,.5,2",
        "2025-05-12T13:30:00Z,5.,2",
        "2025-05-12T13:30:00Z, 1,2",
        "2025-05-12T13:30:00Z,nan,2",
        '2025-05-12T13:30:00Z,"1",2',
        "2025-05-12T13:30:00Z,1,2/",
        "2025-05-12T13:30:00Z,1,2:",
        "2025-05-12T25:30:00Z,1,2",
        "2025-05-12T13:60:00Z,1,2",
        "2025-02-30T13:30:00Z,1,2",
        "2025-13-01T13:30:00Z,1,2",
        "2025-05-12T13:30:00,1,2",
        "2025-05-12,1,2",
        "2025-05-12X13:30:00Z,1,2",
        "2025-05-12T13:30:00z,1,2",
        "2025-05-12T13.30.00Z,1,2",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_the_general_reader(tmp_path, row):
    good = "2025-05-12T13:30:00Z,1,2\n"
    assert plain(tmp_path, good) is not None
    assert plain(tmp_path, good + row + "\n" + good) is None
    assert plain(tmp_path, "") is None


def test_columns_that_are_not_asked_for_may_hold_anything_but_quotes(tmp_path):
    path = tmp_path / "A.csv"
    path.write_text("note,timestamp,open\nan x. y.,2025-05-12,10.5\n,2025-05-13,11")
    read = read_plain(path, 3, 1, [2])
    assert read.numbers[0].tolist() == [10.5, 11.0]
    assert read.days.tolist() == [20220, 20221]  # 2025-05-12 is 20,220 days after 1970-01-01
    assert read.seconds is None
    assert read.offsets is None


def test_many_chunks_are_one_file(tmp_path):
    count = 60_000  # 31 bytes a line: two chunks of 1 MiB
    read = plain(tmp_path, "".join(f"2025-05-12T13:30:00Z,{i},{i / 4}\n" for i in range(count)))
    assert read.numbers[0].tolist() == list(range(count))
    assert read.numbers[1].tolist() == [i / 4 for i in range(count)]
