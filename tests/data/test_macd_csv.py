"""The CSV file of a download: its columns and numbers, and what becomes of an older file."""

import hashlib
from dataclasses import replace
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quant_trading.data.macd_csv import encode_macd_csv, macd_csv_path, write_macd_csv
from quant_trading.data.store import load_panel
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.domain.bars import BarColumns
from quant_trading.refdata.sessions import at
from tests.data.stores import cut, daily, with_close

FIVE, DAY = parse_bar_size("5 mins"), parse_bar_size("1 day")
MINUTE = 60_000_000_000


def some(count: int) -> BarColumns:
    """Return five minute bars from an open on, with prices that need all their digits."""
    start = at(date(2026, 11, 19), "09:30") + 5 * MINUTE * np.arange(count, dtype=np.int64)
    close = 20.0 + np.sin(np.arange(count)) / 3.0
    return BarColumns(start, start + 5 * MINUTE, close + 0.1, close + 0.2, close - 0.2, close, np.arange(count) * 100.0)


def test_the_file_of_the_specification(tmp_path: Path) -> None:
    assert macd_csv_path(tmp_path, "SMR", FIVE) == tmp_path / "SMR_5m_bars_macd.csv"
    price = np.array([20.0, 21.0])
    start = np.array([at(date(2026, 11, 19), "09:30"), at(date(2026, 11, 19), "09:35")])
    bars = BarColumns(start, start + 5 * MINUTE, price, price + 0.25, price - 0.25, price, np.array([100.0, 0.5]))
    # EMAs start with the first close: 12 moves by 2/13, 26 by 2/27, the signal by 2/10 of the way.
    macd = 20 + 2 / 13 - (20 + 2 / 27)
    [head, first, second] = encode_macd_csv(bars, FIVE).decode().splitlines()
    assert head == "timestamp,open,high,low,close,volume,MACD,Signal,Hist"
    assert first == "2026-11-19T14:30:00Z,20.0,20.25,19.75,20.0,100,0.0,0.0,0.0"
    cells = second.split(",")
    assert cells[:6] == ["2026-11-19T14:35:00Z", "21.0", "21.25", "20.75", "21.0", "0.5"]
    assert [float(cell) for cell in cells[6:]] == pytest.approx([macd, macd / 5, macd * 4 / 5], abs=1e-12)


def test_macd_equals_that_of_pandas(tmp_path: Path) -> None:
    path = tmp_path / "SMR_5m_bars_macd.csv"
    path.write_bytes(encode_macd_csv(some(300), FIVE))
    table = pd.read_csv(path)

    def ema(values: pd.Series, span: int) -> pd.Series:
        return values.ewm(span=span, adjust=False).mean()

    line = ema(table.close, 12) - ema(table.close, 26)
    signal = ema(line, 9)
    for name, values in (("MACD", line), ("Signal", signal), ("Hist", line - signal)):
        np.testing.assert_allclose(table[name], values, atol=1e-12)


@pytest.mark.parametrize(("size", "bars"), [(FIVE, some(78)), (DAY, daily(date(2018, 1, 2), date(2018, 3, 1)))])
def test_the_readers_of_bars_get_the_same_bits_back(tmp_path: Path, size: object, bars: BarColumns) -> None:
    write_macd_csv(tmp_path / f"SMR_{size.timeframe}_bars_macd.csv", bars, size)  # type: ignore[attr-defined,arg-type]  # a size
    panel = load_panel(tmp_path, ["SMR"], size.words)  # type: ignore[attr-defined]  # as above
    for name in BarColumns.__slots__:
        assert np.array_equal(getattr(panel, name).ravel(), getattr(bars, name)), name


def test_bars_without_a_volume_have_none_in_the_file_and_no_backtest_takes_them(tmp_path: Path) -> None:
    bars = replace(some(3), volume=np.full(3, np.nan))
    path = macd_csv_path(tmp_path, "SMR", FIVE, "MIDPOINT")
    assert path.name == "SMR_5m_midpoint_bars_macd.csv"
    write_macd_csv(path, bars, FIVE)
    assert path.read_text().splitlines()[1].split(",")[5] == ""
    from quant_trading.data.store import available

    assert available(tmp_path, "5 mins") == []


def test_a_file_with_other_bars_is_kept_and_one_that_is_outgrown_is_not(tmp_path: Path) -> None:
    path = tmp_path / "SMR_5m_bars_macd.csv"
    assert write_macd_csv(path, some(50), FIVE) is None
    assert write_macd_csv(path, some(78), FIVE) is None, "all its bars are in the new one"
    before = path.read_bytes()
    kept = write_macd_csv(path, cut(some(78), slice(10, 60)), FIVE)
    assert kept is not None and kept.read_bytes() == before
    assert kept.name.startswith("SMR_5m_bars_macd.csv.kept-")
    assert write_macd_csv(path, cut(some(78), slice(10, 60)), FIVE) is None
    # once more the same way: no second copy
    path.write_bytes(before)
    assert write_macd_csv(path, cut(some(78), slice(10, 60)), FIVE) == kept
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, kept.name]


def test_a_file_of_the_same_bars_with_other_values_is_kept_unless_it_is_our_own(tmp_path: Path) -> None:
    path, record = tmp_path / "SMR_5m_bars_macd.csv", tmp_path / "record"
    raw = replace(some(78), **{name: getattr(some(78), name) * 2.0 for name in ("open", "high", "low", "close")})
    path.write_bytes(encode_macd_csv(raw, FIVE))  # of another source: not adjusted for a split
    before = path.read_bytes()
    kept = write_macd_csv(path, some(78), FIVE, record)
    assert kept is not None and kept.read_bytes() == before
    # our own after a split that the store was told of: all its values are to be had from the store
    assert write_macd_csv(path, raw, FIVE, record) is None
    assert path.read_bytes() == before
    # a kill after the hash was noted and before the file was written
    changed = with_close(some(90), 3, 7.0)
    record.write_text(f"{hashlib.sha256(encode_macd_csv(changed, FIVE)).hexdigest()}\n{record.read_text()}")
    assert write_macd_csv(path, changed, FIVE, record) is None
    # a single volume of somebody else's
    path.write_bytes(encode_macd_csv(replace(some(78), volume=some(78).volume + 1.0), FIVE))
    assert write_macd_csv(path, some(90), FIVE, record) is not None


def test_numbers_that_are_written_otherwise_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "SMR_5m_bars_macd.csv"
    table = pd.read_csv(BytesIO(encode_macd_csv(some(78), FIVE)))
    table["volume"] = table["volume"].map("{:.3f}".format)
    table.drop(columns=["MACD", "Signal", "Hist"]).to_csv(path, index=False)
    assert write_macd_csv(path, some(90), FIVE) is None
    path.write_text("timestamp,open\n2026-11-19T14:30:00Z,oops\n")
    assert write_macd_csv(path, some(90), FIVE) is not None
