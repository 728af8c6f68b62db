"""Files that are not what they should be are refused in one line that says how to mend them."""

from pathlib import Path

import pytest

from quant_trading.tws_sim.barfiles import read_bar_file
from quant_trading.tws_sim.tape import SourceError

HEAD = "timestamp,open,high,low,close,volume\n"
GOOD = HEAD + "2025-12-01T14:30:00Z,10,11,9,10.5,100\n2025-12-01T14:35:00Z,10.5,10.6,10.4,10.5,0\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("X_5m.csv", "timestamp,open,high,low,close\n", "no column volume among timestamp, open"),
        ("X_5m.csv", "open,high,low,close,volume\n1,1,1,1,1\n", "no column timestamp or date"),
        ("bars.csv", GOOD, r"file name does not say it; name it SYMBOL_5m.csv"),
        ("X_5m.csv", HEAD + "yesterday,1,1,1,1,1\n", r"begins with 'yesterday'; write 2026-01-22"),
        ("X_5m.csv", HEAD + "2025-12-01T14:30:00Z,ten,11,9,10,1\n", "column open holds string, not numbers"),
        ("X_5m.csv", HEAD + "2025-12-01T14:30:00Z,,11,9,10,1\n", "column open has no number in row 1"),
        ("X_5m.csv", HEAD + "2025-12-01T14:30:00Z,10,9.5,9,9.2,1\n", r"open 10, high 9.5, low 9, close 9.2 \(1 such"),
        ("X_5m.csv", HEAD + "2025-12-01T14:30:00Z,0,0,0,0,1\n", "low must be positive"),
        ("X_5m.csv", HEAD + "2025-12-01T14:30:00Z,1,1,1,1,1\n" * 2, "two bars stamped 2025-12-01T14:30"),
        ("X_5m.csv", "", "cannot be read"),
        ("X_5m.parquet", "not parquet", "cannot be read"),
        ("y.csv", "symbol," + HEAD + "X,2025-12-01T14:30:00Z,1,1,1,1,1\n", "X has 1 bar, so its size is unknown"),
    ],
)
def test_bad_files_are_named_with_the_cure(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(SourceError, match=message) as refused:
        read_bar_file(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_symbols_that_look_like_nothing_stay_symbols(tmp_path: Path) -> None:
    rows = "".join(f"{symbol},2025-12-0{day},1,1,1,1,1\n" for symbol in ("NA", "TRUE") for day in (1, 2))
    found = read_bar_file(write(tmp_path, "days.csv", "symbol,date,open,high,low,close,volume\n" + rows))
    assert [(bars.symbol, bars.seconds, len(bars.bars)) for bars in found] == [("NA", 86_400, 2), ("TRUE", 86_400, 2)]


def test_rows_are_put_in_order_and_symbols_apart(tmp_path: Path) -> None:
    rows = [("B", 2, 4.0), ("A", 2, 2.0), ("B", 1, 3.0), ("A", 1, 1.0)]
    lines = "".join(f"{symbol},2025-12-0{day},{p},{p},{p},{p},1\n" for symbol, day, p in rows)
    found = read_bar_file(write(tmp_path, "days.csv", "Symbol,Date,Open,High,Low,Close,Volume\n" + lines))
    assert {bars.symbol: bars.bars.close.tolist() for bars in found} == {"A": [1.0, 2.0], "B": [3.0, 4.0]}


@pytest.mark.parametrize(
    ("stamps", "seconds"),
    [
        (("2025-12-01T14:30:00Z", "2025-12-01T14:31:00Z"), 60),
        (("2025-12-01 09:30:00-05:00", "2025-12-01 09:45:00-05:00"), 900),
        (("2025-12-01 14:30:00", "2025-12-01 15:30:00"), 3600),
        (("2025-12-01", "2025-12-02"), 86_400),
        (("2025-12-05T05:00:00Z", "2025-12-08T05:00:00Z"), 86_400),
    ],
)
def test_the_size_is_read_off_the_stamps(tmp_path: Path, stamps: tuple[str, str], seconds: int) -> None:
    lines = "".join(f"X,{stamp},1,1,1,1,1\n" for stamp in stamps)
    (found,) = read_bar_file(write(tmp_path, "x.csv", "symbol," + HEAD + lines))
    assert found.seconds == seconds
    assert found.bars.start_ns[0] % (60 * 10**9) == 0


def test_weighted_price_and_count_are_taken_when_given(tmp_path: Path) -> None:
    text = "timestamp,open,high,low,close,volume,average,bar_count\n2025-12-01T14:30:00Z,10,11,9,10,500,10.2,37\n"
    (found,) = read_bar_file(write(tmp_path, "X_5m.csv", text))
    assert (found.bars.wap[0], found.bars.count[0], found.seconds) == (10.2, 37, 300)
