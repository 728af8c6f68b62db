"""Local bars: which file is taken, how far back it is read, and the round trip."""

from dataclasses import fields, replace
from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.store import LocalBars, load_panel, save_bars
from quant_trading.domain.bars import BarPanel
from quant_trading.domain.errors import ConfigError, DataGap, UsageError
from quant_trading.ports import BarSource
from quant_trading.refdata.sessions import exchange_date, session_on, sessions_between
from tests.backtesting.panels import random_panel
from tests.shared_data import market_data, needs_shared


def same(left, right):
    for item in fields(BarPanel):
        a, b = getattr(left, item.name), getattr(right, item.name)
        assert np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b, item.name


def days_of(panel):
    return [exchange_date(ns).isoformat() for ns in panel.start_ns.tolist()]


def write(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def one_bar(close=10.0, day="2018-01-02", symbol=""):
    head, lead = ("symbol,", f"{symbol},") if symbol else ("", "")
    return f"{head}date,open,high,low,close,volume\n{lead}{day},{close},{close},{close},{close},1\n"


def test_it_is_a_bar_source(tmp_path):
    source: BarSource = LocalBars(tmp_path)
    save_bars(tmp_path, random_panel(1, 30, 2))
    assert len(source.bars(["S00", "S01"], "1 day", "20 D")) == 20


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 4))
def test_saved_bars_read_back_as_they_were(tmp_path_factory, seed, bars, columns):
    folder = tmp_path_factory.mktemp("bars")
    panel = random_panel(seed, bars, columns, missing=0.0)
    paths = save_bars(folder, panel)
    assert [path.name for path in paths] == [f"{symbol}_1d.csv" for symbol in panel.symbols]
    same(load_panel(folder, panel.symbols, "1 day"), panel)


def test_missing_bars_stay_missing(tmp_path):
    panel = random_panel(7, 40, 3, missing=0.2)
    save_bars(tmp_path, panel)
    same(load_panel(tmp_path, panel.symbols, "1 day"), panel)


def test_saving_twice_gives_the_same_bytes_and_plain_lines(tmp_path):
    (path,) = save_bars(tmp_path, random_panel(1, 3, 1))
    first = path.read_bytes()
    save_bars(tmp_path, random_panel(1, 3, 1))
    assert path.read_bytes() == first
    assert b"\r" not in first
    assert first.startswith(b"date,open,high,low,close,volume\n2018-01-02,")
    assert first.splitlines()[1].endswith(b",1000")


def test_intraday_bars_are_saved_with_their_moment(tmp_path):
    session = session_on(date(2018, 7, 3))
    start = np.arange(session.open_ns, session.close_ns, 300 * 10**9)
    close = np.arange(1.0, len(start) + 1.0).reshape(-1, 1)
    panel = BarPanel(("A",), "5 mins", start, start + 300 * 10**9, *(close.copy() for _ in range(5)))
    (path,) = save_bars(tmp_path, panel)
    assert path.name == "A_5m.csv"
    assert path.read_text().splitlines()[1].startswith("2018-07-03T13:30:00Z,")
    same(load_panel(tmp_path, ["A"], "5m"), panel)


def test_the_order_of_the_request_is_the_order_of_the_columns(tmp_path):
    panel = random_panel(1, 10, 3)
    save_bars(tmp_path, panel)
    loaded = load_panel(tmp_path, ["S02", "S00"], "1 day")
    assert loaded.symbols == ("S02", "S00")
    assert np.array_equal(loaded.close, panel.close[:, [2, 0]])


def test_which_file_is_taken(tmp_path):
    write(tmp_path, "all_1d.csv", one_bar(4, symbol="A"))
    assert load_panel(tmp_path, ["A"], "1 day").close[0, 0] == 4
    write(tmp_path, "A_1d_bars_macd.csv", one_bar(2))
    assert load_panel(tmp_path, ["A"], "1 day").close[0, 0] == 2
    write(tmp_path, "A_1d.csv", one_bar(1))
    assert load_panel(tmp_path, ["A"], "1 day").close[0, 0] == 1
    assert load_panel(tmp_path / "all_1d.csv", ["A"], "1 day").close[0, 0] == 4


def test_files_of_other_timeframes_are_left_alone(tmp_path):
    write(tmp_path, "all_1d.csv", one_bar(4, symbol="A"))
    write(tmp_path, "all_5m.csv", one_bar(5, symbol="A"))
    assert load_panel(tmp_path, ["A"], "1 day").close[0, 0] == 4


@pytest.mark.parametrize(
    ("duration", "first"),
    [
        ("20 D", "2018-11-30"),
        ("1 W", "2018-12-26"),
        ("1 M", "2018-12-03"),
        ("1 Y", "2018-01-02"),
        ("2 Y", "2018-01-02"),
    ],
)
def test_durations_reach_back_from_the_last_bar(tmp_path, duration, first):
    # 2018 had 251 sessions; December had 19 (closed on the 5th and 25th), so the 20th from the end is 30 November.
    save_bars(tmp_path, random_panel(1, 251, 2))
    panel = load_panel(tmp_path, ["S00", "S01"], "1 day", duration=duration)
    assert days_of(panel)[-1] == "2018-12-31"
    assert days_of(panel)[0] == first


def test_days_and_seconds_of_intraday_bars(tmp_path):
    sessions = sessions_between(date(2018, 7, 2), date(2018, 7, 6))
    start = np.concatenate([np.arange(s.open_ns, s.close_ns, 1800 * 10**9) for s in sessions])
    one = np.ones((len(start), 1))
    save_bars(tmp_path, BarPanel(("A",), "30 mins", start, start + 1800 * 10**9, *(one.copy() for _ in range(5))))
    assert sorted(set(days_of(load_panel(tmp_path, ["A"], "30 mins", duration="2 D")))) == ["2018-07-05", "2018-07-06"]
    assert len(load_panel(tmp_path, ["A"], "30 mins", duration="3600 S")) == 2


def test_start_and_end_are_included(tmp_path):
    save_bars(tmp_path, random_panel(1, 20, 1))
    panel = load_panel(tmp_path, ["S00"], "1 day", start=date(2018, 1, 6), end=date(2018, 1, 10))
    assert days_of(panel) == ["2018-01-08", "2018-01-09", "2018-01-10"]
    panel = load_panel(tmp_path, ["S00"], "1 day", end=date(2018, 1, 10), duration="2 D")
    assert days_of(panel) == ["2018-01-09", "2018-01-10"]


def refused(kind, *given, **named):
    with pytest.raises(kind) as caught:
        load_panel(*given, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_name_the_place_and_the_cure(tmp_path):
    save_bars(tmp_path, random_panel(1, 20, 2))
    text = refused(ConfigError, tmp_path / "none", ["A"], "1 day")
    assert "none does not exist" in text
    assert "fetch bars (trade.py: --ibkr; docs/backtest.md)" in text  # several commands say this
    text = refused(DataGap, tmp_path, ["S00", "X", "Y"], "1 day")
    assert "X, Y; expected X_1d.csv" in text
    assert "no bars of 5 mins of S00" in refused(DataGap, tmp_path, ["S00"], "5 mins")
    assert "named twice" in refused(ConfigError, tmp_path, ["S00", "S00"], "1 day")
    assert "no symbols" in refused(ConfigError, tmp_path, [], "1 day")
    assert "at most 1 day" in refused(DataGap, tmp_path, ["S00"], "1W")
    assert "no bars of S00 from 2030-01-02; widen" in refused(
        DataGap, tmp_path, ["S00"], "1 day", start=date(2030, 1, 2)
    )
    assert "no bars of S00 up to 2010-01-04; widen" in refused(
        DataGap, tmp_path, ["S00"], "1 day", end=date(2010, 1, 4)
    )
    refused(UsageError, tmp_path, ["S00"], "1 day", duration="1 year")
    refused(UsageError, tmp_path, ["S00"], "7 mins")


def test_a_symbol_that_ends_before_the_span_is_named(tmp_path):
    save_bars(tmp_path, random_panel(1, 200, 1))
    write(tmp_path, "OLD_1d.csv", one_bar())
    assert "no bars of OLD within 20 D" in refused(DataGap, tmp_path, ["S00", "OLD"], "1 day", duration="20 D")


def test_two_files_with_the_same_symbol_are_refused(tmp_path):
    for name in ("one.csv", "two.csv"):
        write(tmp_path, name, one_bar(symbol="A"))
    assert "one.csv and in two.csv; name the file" in refused(ConfigError, tmp_path, ["A"], "1 day")


def test_a_file_without_a_symbol_column_is_no_data_folder(tmp_path):
    write(tmp_path, "A_1d.csv", one_bar())
    assert "name the folder" in refused(ConfigError, tmp_path / "A_1d.csv", ["A"], "1 day")
    write(tmp_path, "B_1d.csv", "date,open,high,low,close\n")
    assert "B_1d.csv line 1: lacks the column volume; name date" in refused(DataGap, tmp_path, ["B"], "1 day")


@pytest.mark.parametrize("symbol", ["../A", "A/B", "A\\B", "", ".A", "A\n"])
def test_symbols_that_make_no_file_name(tmp_path, symbol):
    assert "makes no file name" in refused(ConfigError, tmp_path, [symbol], "1 day")
    with pytest.raises(ConfigError, match="makes no file name"):
        save_bars(tmp_path, replace(random_panel(1, 2, 1), symbols=(symbol,)))


@needs_shared
def test_real_daily_bars_equal_the_file(tmp_path):
    file = market_data("daily/daily_bars.parquet")
    panel = load_panel(file, ["AAPL", "MSFT"], "1 day")
    table = pq.read_table(file, filters=[("symbol", "in", ["AAPL", "MSFT"])])
    symbol = np.array(table["symbol"].to_pylist())
    for j, name in enumerate(panel.symbols):
        for column in ("open", "high", "low", "close", "volume"):
            expected = np.array(table[column].to_pylist(), dtype=np.float64)[symbol == name]
            assert np.array_equal(getattr(panel, column)[:, j], expected)
        assert days_of(panel) == [str(d) for d, s in zip(table["date"].to_pylist(), symbol, strict=True) if s == name]
    save_bars(tmp_path, panel)
    same(load_panel(tmp_path, ["AAPL", "MSFT"], "1 day"), panel)


@needs_shared
def test_real_intraday_folders_and_what_they_hold():
    panel = load_panel(market_data("csv"), ["AAPL", "NVDA"], "5 mins", duration="5 D")
    assert len(panel) == 4 * 78 + 42  # 24 December 2025 was a half day
    assert panel.end_ns[-1] - panel.start_ns[-1] == 300 * 10**9
    file = market_data("intraday/ibkr_5m_rth_2025.parquet")
    same(load_panel(file, ["AAPL", "NVDA"], "5 mins", duration="5 D"), panel)
    # The folder has a 5-minute file and one named after both sizes, which both hold NVDA.
    with pytest.raises(ConfigError, match=r"NVDA is in .* name the file"):
        load_panel(market_data("intraday"), ["NVDA"], "5 mins")
    with pytest.raises(DataGap, match="300 s apart, not 60 s"):
        load_panel(file, ["AAPL"], "1 min")
