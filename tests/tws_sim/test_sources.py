"""The words of --source."""

from pathlib import Path

import pytest

from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import SourceError

ROW = "timestamp,open,high,low,close,volume\n2025-12-01T14:30:00Z,10,11,9,10.5,100\n"


def test_a_seed() -> None:
    assert len(open_source("seed:7").contracts()) >= 120


@pytest.mark.parametrize("words", ["seed:", "seed:x", "seed:-1", "seed:1.5", "seed:\u0661"])
def test_bad_seeds(words: str) -> None:
    with pytest.raises(SourceError, match="is not a seed; write a whole number, as in seed:7"):
        open_source(words)


def test_missing_and_unusable_places(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder; write seed:N"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(SourceError, match=r"no \.parquet or \.csv file in this folder"):
        open_source(str(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"not a \.parquet or \.csv file"):
        open_source(str(tmp_path / "notes.txt"))


def test_a_symbol_and_size_twice_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "AAPL_5m.csv").write_text(ROW)
    (tmp_path / "AAPL_5m_bars_macd.csv").write_text(ROW)
    with pytest.raises(SourceError, match=r"AAPL bars of 5m are both in AAPL_5m\.csv and in AAPL_5m_bars_macd\.csv"):
        open_source(str(tmp_path))


def test_a_file_without_rows_holds_no_market(tmp_path: Path) -> None:
    (tmp_path / "AAPL_5m.csv").write_text(ROW.splitlines()[0] + "\n")
    with pytest.raises(SourceError, match="no bar in it"):
        open_source(str(tmp_path))
