"""MACD(12, 26, 9) on real 5-minute bars against pandas' ewm(adjust=False).

The golden files print ten digits: 1e-9 for the three lines, half a unit of the tenth digit for the averages.
"""

import csv

import numpy as np
import pytest

from quant_trading.data.store import load_panel
from quant_trading.indicators.ema import ema
from quant_trading.indicators.macd import macd
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared


def close_of(name):
    symbol = name.split("_")[0]
    if name == "SPY_5m_2018_2019":
        import pyarrow.parquet as pq

        return np.array(pq.read_table(market_data("intraday/ibkr_SPY_5m_rth_2018_2019.parquet"))["close"].to_pylist())
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
