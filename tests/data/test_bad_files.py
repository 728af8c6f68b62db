"""Corrupt files through `load_panel`: each is refused with file, line and cure; in a batch the others go on."""

import gzip
import hashlib

import pytest

from quant_trading.data import bar_files
from quant_trading.data.store import available, load_panel, provenance
from quant_trading.domain.errors import ConfigError, DataGap

HEAD = "timestamp,open,high,low,close,volume\n"
FIRST = "2025-05-12T13:30:00Z,10,11,9,10.5,100\n"
SECOND = "2025-05-12T13:35:00Z,10.5,12,10,11,200\n"
GOOD = HEAD + FIRST + SECOND

BAD = {
    "bad number": (
        GOOD + "2025-05-12T13:40:00Z,1O.5,12,10,11,2\n",
        "line 4: open = '1O.5' is no number; mend the line",
    ),
    "missing column": (GOOD.replace("close", "last"), "line 1: lacks the column close; name date or timestamp"),
    "no stamps": (GOOD.replace("timestamp", "when"), "line 1: lacks the column date or timestamp"),
    "unsorted": (
        HEAD + SECOND + FIRST,
        "line 3: timestamp 2025-05-12T13:30:00Z is before the one above; sort the file by time",
    ),
    "duplicate": (GOOD + SECOND, "line 4: timestamp 2025-05-12T13:35:00Z is the same as the one above"),
    "mixed zones": (
        GOOD + "2025-05-12T09:40:00-04:00,1,1,1,1,1\n",
        "line 4: timestamp 2025-05-12T09:40:00-04:00 is of another zone than 2025-05-12T13:30:00Z of the first bar; "
        "write all stamps in one zone",
    ),
    "some without a zone": (
        GOOD + "2025-05-12T09:40:00,1,1,1,1,1\n",
        "line 4: timestamp = '2025-05-12T09:40:00' is no moment like the first line's; write it as",
    ),
    "nan": (GOOD + "2025-05-12T13:40:00Z,nan,12,10,11,2\n", "line 4: open is missing or NaN; mend it or fetch"),
    "empty cell": (GOOD + "2025-05-12T13:40:00Z,1,12,10,,2\n", "line 4: close is missing or NaN; mend it or fetch"),
    "no stamp": (GOOD + ",1,12,10,1,2\n", "line 4: timestamp is missing; mend it or fetch"),
    "infinite": (GOOD + "2025-05-12T13:40:00Z,1,inf,1,1,2\n", "line 4: high = inf is not above 0"),
    "negative price": (GOOD + "2025-05-12T13:40:00Z,1,12,-10,11,2\n", "line 4: low = -10.0 is not above 0; mend it"),
    "price of zero": (GOOD + "2025-05-12T13:40:00Z,1,12,0,11,2\n", "line 4: low = 0.0 is not above 0; mend it"),
    "negative volume": (GOOD + "2025-05-12T13:40:00Z,1,2,1,1,-2\n", "line 4: volume = -2.0 is not 0 or more"),
    "high below low": (GOOD + "2025-05-12T13:40:00Z,1,1,2,1,1\n", "line 4: high = 1.0 is below low = 2.0"),
    "ragged row": (GOOD + "2025-05-12T13:40:00Z,1,1,1\n", "line 4: 4 cells under 6 column names; write the line"),
    "long row": (GOOD + "2025-05-12T13:40:00Z,1,1,1,1,1,1\n", "line 4: 7 cells under 6 column names; write the line"),
    "no bars": (HEAD, "there are no bars; fetch them again"),
    "empty": ("", "is empty; fetch the bars again"),
    "binary": (b"PK\x03\x04\x00\x00\x08\x00" * 50, "holds binary data, not lines of text; write it as CSV"),
    "binary rows": (GOOD.encode() + bytes(range(256)), "line 4: 1 cells under 6 column names"),
}


@pytest.fixture(params=["plain", "arrow"])
def reader(request, monkeypatch):
    """Large files are read by another reader than small ones: both must refuse the same."""
    if request.param == "arrow":
        monkeypatch.setattr(bar_files, "_PLAIN_BYTES", -1)


def put(folder, symbol, content):
    (folder / f"{symbol}_5m.csv").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("kind", BAD)
def test_corrupt_files_are_refused_by_file_line_and_cure(tmp_path, kind):
    content, words = BAD[kind]
    put(tmp_path, "SMR", content)
    with pytest.raises(DataGap) as caught:
        load_panel(tmp_path, ["SMR"], "5m")
    message = str(caught.value)
    assert words in message
    assert "SMR_5m.csv" in message
    assert "\n" not in message


@pytest.mark.usefixtures("reader")
def test_compressed_bytes_under_a_csv_name_are_refused(tmp_path):
    put(tmp_path, "SMR", gzip.compress(GOOD.encode() * 50, mtime=0))
    with pytest.raises(DataGap, match=r"SMR_5m\.csv"):
        load_panel(tmp_path, ["SMR"], "5m")


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("zones", [("-05:00", "-04:00"), ("+00:00", "+00:00"), ("+00:00", "+01:00")])
def test_summer_time_is_no_mixture(tmp_path, zones):
    # 2025-03-09 New York went from -05:00 to -04:00; London's own change is an hour as well.
    winter, summer = zones
    put(tmp_path, "SMR", f"{HEAD}2025-03-07T10:00:00{winter},1,1,1,1,1\n2025-03-10T10:00:00{summer},1,1,1,1,1\n"
                         f"2025-03-10T10:05:00{summer},1,1,1,1,1\n")  # fmt: skip
    assert len(load_panel(tmp_path, ["SMR"], "5m")) == 3


@pytest.mark.parametrize("kind", BAD)
def test_a_batch_with_one_bad_file_finishes_the_others_and_says_so(tmp_path, kind):
    put(tmp_path, "A", GOOD)
    put(tmp_path, "BAD", BAD[kind][0])
    put(tmp_path, "C", GOOD)
    said = []
    panel = load_panel(tmp_path, ["A", "BAD", "C"], "5m", on_error=lambda *words: said.append(words))
    assert panel.symbols == ("A", "C")
    assert panel.close.tolist() == [[10.5, 10.5], [11.0, 11.0]]
    ((symbol, error),) = said
    assert symbol == "BAD"
    assert BAD[kind][1] in str(error)


def test_a_missing_symbol_is_reported_too_and_nothing_left_is_an_error(tmp_path):
    put(tmp_path, "A", GOOD)
    put(tmp_path, "BAD", BAD["nan"][0])
    said = []
    panel = load_panel(tmp_path, ["NONE", "A"], "5m", on_error=lambda *words: said.append(words))
    assert panel.symbols == ("A",)
    assert "no bars of 5 mins of NONE" in str(dict(said)["NONE"])
    with pytest.raises(DataGap, match="no symbol has sound bars"):
        load_panel(tmp_path, ["BAD"], "5m", on_error=lambda *_: None)


def test_one_bad_symbol_of_a_long_file_leaves_the_others(tmp_path):
    rows = "".join(f"{symbol},2018-01-0{day},1,1,1,{close},1\n" for symbol, day, close in
                   [("A", 2, 1), ("B", 2, 1), ("A", 3, 1), ("B", 3, -1), ("C", 2, 1)])  # fmt: skip
    (tmp_path / "all_1d.csv").write_text("symbol,date,open,high,low,close,volume\n" + rows)
    said = []
    panel = load_panel(tmp_path, ["A", "B", "C"], "1d", on_error=lambda *words: said.append(words))
    assert panel.symbols == ("A", "C")
    assert [(symbol, "(B) line 5: close = -1.0" in str(error)) for symbol, error in said] == [("B", True)]


def test_what_is_available(tmp_path):
    put(tmp_path, "SMR", GOOD)
    put(tmp_path, "BRK B", GOOD)
    put(tmp_path, "BAD", "")  # listed, so that loading it says what is wrong
    (tmp_path / "NVDA_5m_bars_macd.csv").write_text(GOOD)
    (tmp_path / "AAPL_1m.csv").write_text(GOOD)
    (tmp_path / "all_1d.csv").write_text("symbol,date,open,high,low,close,volume\nB,2018-01-02,1,1,1,1,1\n")
    assert available(tmp_path, "5m") == ["BAD", "BRK B", "NVDA", "SMR"]
    assert available(tmp_path, "1 min") == ["AAPL"]
    assert available(tmp_path, "1d") == ["B"]
    assert available(tmp_path / "all_1d.csv", "1d") == ["B"]
    assert available(tmp_path, "3m") == []
    with pytest.raises(ConfigError, match="does not exist"):
        available(tmp_path / "none", "5m")


def test_a_corrupt_file_is_listed_by_its_name_and_leaves_the_others(tmp_path):
    put(tmp_path, "AAPL", GOOD)
    (tmp_path / "MSFT_5m.parquet").write_bytes(b"PAR1 is all there is")
    assert available(tmp_path, "5m") == ["AAPL", "MSFT"]
    said = []
    panel = load_panel(tmp_path, ["AAPL", "MSFT"], "5m", on_error=lambda *words: said.append(words))
    assert panel.symbols == ("AAPL",)
    assert [(symbol, "MSFT_5m.parquet" in str(error)) for symbol, error in said] == [("MSFT", True)]
    # Nor does it stand in the way of a symbol that a long file holds.
    long = "symbol,timestamp,open,high,low,close,volume\n" + f"NVDA,{FIRST}"
    (tmp_path / "rest_5m.csv").write_text(long)
    assert available(tmp_path, "5m") == ["AAPL", "MSFT", "NVDA"]
    assert load_panel(tmp_path, ["AAPL", "NVDA"], "5m").symbols == ("AAPL", "NVDA")


def test_a_corrupt_file_whose_name_tells_no_symbol_is_named_where_it_may_matter(tmp_path):
    put(tmp_path, "AAPL", GOOD)
    (tmp_path / "everything.parquet").write_bytes(b"PAR1 is all there is")
    with pytest.raises(DataGap, match=r"everything\.parquet"):
        available(tmp_path, "5m")
    assert load_panel(tmp_path, ["AAPL"], "5m").symbols == ("AAPL",)
    with pytest.raises(DataGap, match=r"everything\.parquet"):
        load_panel(tmp_path, ["AAPL", "MSFT"], "5m")


def test_the_files_that_were_read_are_named_with_their_hashes(tmp_path):
    put(tmp_path, "SMR", GOOD)
    long = "symbol,timestamp,open,high,low,close,volume\n" + "".join(f"{name},{FIRST}" for name in "AB")
    (tmp_path / "rest_5m.csv").write_text(long)
    one, two = provenance(tmp_path, ["A", "SMR", "B"], "5m")
    assert (one.name, one.symbols, one.size) == ("rest_5m.csv", ("A", "B"), len(long))
    assert (two.name, two.symbols) == ("SMR_5m.csv", ("SMR",))
    assert two.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
