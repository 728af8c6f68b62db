"""MACD(12, 26, 9) on real bars against pandas' ewm(adjust=False), TA-Lib and Stock.Indicators, by their seeds.

The golden files print ten digits: 1e-9 for the three lines, half a unit of the tenth digit for the averages.
"""

import csv
from functools import cache

import numpy as np
import pytest

from quant_trading.data.store import load_panel
from quant_trading.indicators.ema import ema
from quant_trading.indicators.macd import macd
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared


@cache
def close_of(name):
    symbol = name.split("_")[0]
    if name == "SPY_5m_2018_2019":
        import pyarrow.parquet as pq

        return np.array(pq.read_table(market_data("intraday/ibkr_SPY_5m_rth_2018_2019.parquet"))["close"])
    return load_panel(market_data("csv"), [symbol], "5 mins").close[:, 0]


@pytest.mark.parametrize("name", ["SPY_5m_2018_2019", "AAPL_5m_2025", "NVDA_5m_2025", "WEBL_5m_2025"])
def test_lines(name):
    close = close_of(name)
    with golden(f"macd_12_26_9_{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    at = np.array([int(row["bar"]) for row in rows])
    assert len(close) == at[-1] + 1
    ours = macd(close)
    lines = {"pd_macd": ours.macd, "pd_signal": ours.signal, "pd_hist": ours.histogram}
    for column, line in lines.items():
        assert line[at] == pytest.approx(np.array([float(row[column]) for row in rows]), rel=0.0, abs=1e-9), column
    for column, span in (("pd_ema12", 12), ("pd_ema26", 26)):
        expected = np.array([float(row[column]) for row in rows])
        assert ema(close, span)[at] == pytest.approx(expected, rel=5.1e-10, abs=0.0), column


@pytest.mark.parametrize("name", ["SPY_5m_2018_2019", "AAPL_5m_2025", "NVDA_5m_2025", "WEBL_5m_2025"])
def test_lines_as_ta_lib_begins_them(name):
    close = close_of(name)
    with golden(f"macd_12_26_9_{name}.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ta_macd"]]
    at = np.array([int(row["bar"]) for row in rows])
    assert at[0] == 33  # TA-Lib shows no line before all three are there
    ours = macd(close, seed="delayed")
    for column, line in {"ta_macd": ours.macd, "ta_signal": ours.signal, "ta_hist": ours.histogram}.items():
        assert line[at] == pytest.approx(np.array([float(row[column]) for row in rows]), rel=0.0, abs=1e-9), column
    assert np.isnan(ours.histogram[:33]).all()


def test_three_seeds_on_daily_bars():
    with golden("spy_daily_2017_2018_macd_three_seedings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    close = np.array([float(row["close"]) for row in rows])
    for prefix, seed in (("si", "sma"), ("ta", "delayed"), ("pd", "first")):
        ours = macd(close, seed=seed)
        for column, line in ((f"{prefix}_macd", ours.macd), (f"{prefix}_signal", ours.signal)):
            at = [i for i, row in enumerate(rows) if row[column]]
            assert len(at) > 400
            expected = np.array([float(rows[i][column]) for i in at])
            assert line[at] == pytest.approx(expected, rel=0.0, abs=1e-9), column


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["first", "sma", "delayed"])
def test_compiled_lines_are_the_interpreted_ones(seed):
    close = close_of("AAPL_5m_2025")
    for span in (12, 26):
        each, skip = ("first", 0) if seed == "first" else ("sma", 14 if (seed, span) == ("delayed", 12) else 0)
        one, two = (ema(close, span, each, skip, compiled=compiled) for compiled in (True, False))
        assert one.tobytes() == two.tobytes()
