"""One file of bars: what is read, and what is refused with its line."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quant_trading.data.bar_files import open_bar_file
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.errors import DataGap

DAY, MINUTES = parse_bar_size("1 day"), parse_bar_size("5 mins")
HEAD = "date,open,high,low,close,volume\n"
GOOD = "2018-01-02,10,11,9,10.5,100\n2018-01-03,10.5,12,10,11,200\n"
STAMPS = "timestamp,open,high,low,close,volume\n"


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def read(tmp_path, text, size=DAY):
    path = tmp_path / "A.csv"
    path.write_bytes(text.encode())
    return open_bar_file(path).columns(size)


def refused(tmp_path, text, size=DAY):
    with pytest.raises(DataGap) as caught:
        read(tmp_path, text, size)
    message = str(caught.value)
    assert "A.csv" in message
    assert "\n" not in message
    return message


def test_daily_bars_span_their_session(tmp_path):
    # 3 July 2018 was a half day: 09:30 to 13:00 New York.
    columns = read(tmp_path, HEAD + "2018-07-03,10,11,9,10.5,100\n2018-07-05,10,11,9,10,0\n")
    assert columns.start_ns.tolist() == [utc("2018-07-03T13:30:00"), utc("2018-07-05T13:30:00")]
    assert columns.end_ns.tolist() == [utc("2018-07-03T17:00:00"), utc("2018-07-05T20:00:00")]
    assert columns.close.tolist() == [10.5, 10.0]
    assert columns.volume.tolist() == [100.0, 0.0]


@pytest.mark.parametrize("spelling", ["2018-01-02", "20180102", "2018-01-02 00:00:00", "2018-01-02T00:00:00Z"])
def test_spellings_of_a_date(tmp_path, spelling):
    assert read(tmp_path, f"{HEAD}{spelling},1,1,1,1,1\n").start_ns.tolist() == [utc("2018-01-02T14:30:00")]


def test_columns_in_any_order_and_case_with_others_between(tmp_path):
    text = "Volume,MACD,Close,Low,High,Open,Datetime\n5,nonsense,4,1,6,2,2018-01-02\n"
    columns = read(tmp_path, "\ufeff" + text)
    values = columns.open, columns.high, columns.low, columns.close, columns.volume
    assert [value[0] for value in values] == [2, 6, 1, 4, 5]


@pytest.mark.parametrize(
    ("stamp", "start"),
    [
        ("2025-05-12T13:30:00Z", "2025-05-12T13:30:00"),
        ("2025-05-12 09:30:00-04:00", "2025-05-12T13:30:00"),
        ("2025-05-12 09:30:00", "2025-05-12T13:30:00"),  # no zone: New York, summer
        ("2025-01-13T09:30:00", "2025-01-13T14:30:00"),  # no zone: New York, winter
    ],
)
def test_spellings_of_a_moment(tmp_path, stamp, start):
    columns = read(tmp_path, f"{STAMPS}{stamp},1,1,1,1,1\n", MINUTES)
    assert columns.start_ns.tolist() == [utc(start)]
    assert columns.end_ns.tolist() == [utc(start) + 300 * 10**9]


def test_intraday_bars_end_with_the_session(tmp_path):
    hours = parse_bar_size("1 hour")
    text = STAMPS + "2018-07-03T16:30:00Z,1,1,1,1,1\n2018-07-03T17:30:00Z,1,1,1,1,1\n"
    columns = read(tmp_path, text, hours)
    # 12:30 to 13:00 on the half day; after the session a bar has its full length.
    assert columns.end_ns.tolist() == [utc("2018-07-03T17:00:00"), utc("2018-07-03T18:30:00")]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("2018-01-04,x,1,1,1,1\n", ["line 4", "open = 'x'", "no number"]),
        ("2018-01-04,1,1,1,,1\n", ["line 4", "close is missing or NaN"]),
        ("2018-01-04,1,1,1,nan,1\n", ["line 4", "close is missing or NaN"]),
        ("2018-01-04,1,1,1,inf,1\n", ["line 4", "close = inf"]),
        ("2018-01-04,1,1,-1,1,1\n", ["line 4", "low = -1.0 is not above 0"]),
        ("2018-01-04,0,1,1,1,1\n", ["line 4", "open = 0.0 is not above 0"]),
        ("2018-01-04,1,1,1,1,-5\n", ["line 4", "volume = -5.0 is not 0 or more"]),
        ("2018-01-04,1,1,2,1,1\n", ["line 4", "high = 1.0 is below low = 2.0"]),
        ("2018-01-03,1,1,1,1,1\n", ["line 4", "2018-01-03 is the same as the one above", "sort the file"]),
        ("2018-01-02,1,1,1,1,1\n", ["line 4", "2018-01-02 is before the one above", "sort the file"]),
        ("2018-01-06,1,1,1,1,1\n", ["line 4", "2018-01-06 is no session"]),
        ("2018-02-30,1,1,1,1,1\n", ["line 4", "2018-02-30", "no date", "write it as"]),
        ("1918-01-02,1,1,1,1,1\n", ["outside the table"]),
        ("2018-01-04,1,1,1\n", ["line 4", "4 cells under 6 column names"]),
        ("\n\n2018-01-04,1,1,1,1,-5\n", ["line 6", "volume"]),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path, lines, words):
    message = refused(tmp_path, HEAD + GOOD + lines)
    assert all(word in message for word in words), message


def test_empty_and_foreign_files(tmp_path):
    assert "no bars" in refused(tmp_path, HEAD)
    for text in ("", "a,b\n1,2\n", "date,open,high,low,close\n"):
        path = tmp_path / "B.csv"
        path.write_text(text)
        assert open_bar_file(path) is None
    path = tmp_path / "B.parquet"
    path.write_bytes(b"not parquet")
    with pytest.raises(DataGap, match=r"B\.parquet: cannot be read"):
        open_bar_file(path)


def test_stamps_without_zone_outside_the_session_are_refused(tmp_path):
    lines = "2025-05-12 09:30:00,1,1,1,1,1\n2025-05-12 19:55:00,1,1,1,1,1\n"
    message = refused(tmp_path, STAMPS + lines, MINUTES)
    assert all(word in message for word in ("line 3", "no zone", "2025-05-12T19:55:00", "outside the session"))


def test_bars_of_another_size_are_refused(tmp_path):
    lines = "2025-05-12T13:30:00Z,1,1,1,1,1\n2025-05-12T13:31:00Z,1,1,1,1,1\n"
    assert "60 s apart, not 300 s" in refused(tmp_path, STAMPS + lines, MINUTES)
    assert "no moment" in refused(tmp_path, STAMPS + lines + "soon,1,1,1,1,1\n", MINUTES)
    assert "the same as" in refused(tmp_path, STAMPS + lines[:30] + "\n" + lines[:30] + "\n", MINUTES)


def parquet(tmp_path, **columns):
    path = tmp_path / "L.parquet"
    count = len(next(iter(columns.values())))
    numbers = {name: [1.0] * count for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({**numbers, "volume": [1] * count, **columns}), path)
    return open_bar_file(path)


def test_long_parquet_files_are_split_by_symbol(tmp_path):
    days = [date(2018, 1, 2), date(2018, 1, 2), date(2018, 1, 3)]
    file = parquet(tmp_path, symbol=["A", "B", "A"], date=days, close=[1.0, 5.0, 2.0], high=[9.0] * 3)
    assert file.is_long
    assert file.symbols() == {"A", "B"}
    found = file.columns_of(["B", "A", "C"], DAY)
    assert set(found) == {"A", "B"}
    assert found["A"].close.tolist() == [1.0, 2.0]
    assert found["B"].start_ns.tolist() == [utc("2018-01-02T14:30:00")]


def test_rows_of_a_parquet_file_are_named_as_they_stand(tmp_path):
    days = [date(2018, 1, 2), date(2018, 1, 2), date(2018, 1, 3)]
    file = parquet(tmp_path, symbol=["A", "B", "A"], date=days, close=[1.0, 1.0, None])
    with pytest.raises(DataGap, match=r"L\.parquet \(A\) row 3: close is missing"):
        file.columns_of(["A"], DAY)
    assert file.columns_of(["B"], DAY)["B"].close.tolist() == [1.0]
    file = parquet(tmp_path, symbol=["A", None, "A"], date=days)
    with pytest.raises(DataGap, match="row 2: symbol is missing"):
        file.columns_of(["A"], DAY)
    file = parquet(tmp_path, date=[days[0], None, days[2]])
    with pytest.raises(DataGap, match="row 2: date is missing"):
        file.columns(DAY)


def test_kinds_of_parquet_stamps(tmp_path):
    moment = datetime(2025, 5, 12, 13, 30, tzinfo=UTC)
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("ns", "America/New_York"), pa.timestamp("s", "UTC")):
        file = parquet(tmp_path, timestamp=pa.array([moment], kind))
        assert file.columns(MINUTES).start_ns.tolist() == [utc("2025-05-12T13:30:00")]
        assert file.columns(DAY).end_ns.tolist() == [utc("2025-05-12T20:00:00")]
    naive = parquet(tmp_path, timestamp=pa.array([datetime(2025, 5, 12, 9, 30)], pa.timestamp("ms")))  # noqa: DTZ001
    assert naive.columns(MINUTES).start_ns.tolist() == [utc("2025-05-12T13:30:00")]
    with pytest.raises(DataGap, match="without a time of day"):
        parquet(tmp_path, date=[date(2025, 5, 12)]).columns(MINUTES)
