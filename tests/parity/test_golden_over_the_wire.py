"""The golden daily reversal, from the command line, over the wire.

The simulator serves the real daily bars as TWS would on the evening of 2018-12-31; `trade.py` asks for six
years through ib_async and backtests them. The figures are those of bt and vectorbt (independent engines)
and of the plain formula; see the README of the golden results.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.shared_data import golden, market_data, needs_shared

pytestmark = [needs_shared, pytest.mark.slow]

CHECKOUT = Path(__file__).resolve().parents[2]
STRATEGIES = {
    "bottom10": ("REVERSAL_RANK", "lookback=1", "count=10"),
    "ret_le_-2pct": ("REVERSAL", "lookback=1", "threshold=-0.02"),
}
LAGS = {"lag0": "same_close", "lag1": "next_close"}
PRINTED = 5.1e-10  # the csv of the golden curves has ten digits


@cache
def summary() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(golden("reversal_daily_summary.json").read_text())
    return loaded


@cache
def curve(column: str) -> np.ndarray[Any, Any]:
    with golden("reversal_daily_equity.csv").open(newline="") as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def tws() -> Iterator[ThreadedTwsServer]:
    from datetime import date

    tape = open_source(str(market_data("daily/daily_bars.parquet")))
    with ThreadedTwsServer(Simulator(tape, SimConfig(), at(date(2018, 12, 31), "18:00"))) as server:
        yield server


def backtest(tws: ThreadedTwsServer, folder: Path, signal: str, lag: str, bps: str) -> list[dict[str, str]]:
    name, *params = STRATEGIES[signal]
    command = [
        sys.executable, str(CHECKOUT / "trade.py"), "--run", "backtest", "--mode", "paper", "--ibkr",
        "--config", str(CHECKOUT / "configs" / "paper.yaml"), "--duration", "6 Y", "--bar-size", "1 day",
        "--cost-bps", bps, "--start", "2013-01-02", "--symbols", ",".join(summary()["symbols"]),
        "--strategy", name, "--fill", LAGS[lag], "--accounting", "weights", "--out", "result.csv",
        "--host", tws.host, "--port", str(tws.port),
    ]  # fmt: skip
    for param in params:
        command += ["--param", param]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with (folder / "result.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("signal", STRATEGIES)
def test_without_costs_the_wire_gives_what_bt_and_vectorbt_give(
    tws: ThreadedTwsServer, tmp_path: Path, signal: str, lag: str
) -> None:
    case = f"{signal}_{lag}_0bps"
    rows = backtest(tws, tmp_path, signal, lag, "0")
    equity = np.array([float(row["equity"]) for row in rows])
    assert (rows[0]["date"], rows[-1]["date"], len(rows)) == ("2013-01-02", "2018-12-31", 1510)
    finals = summary()["cases"][case]["agreement"]
    for engine in ("bt", "vectorbt", "desk"):
        assert np.max(np.abs(equity / curve(f"{case}|{engine}") - 1.0)) < PRINTED
        assert equity[-1] == pytest.approx(finals[f"final_{engine}"], rel=1e-9)


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("signal", STRATEGIES)
def test_with_costs_the_wire_gives_the_stated_formula(
    tws: ThreadedTwsServer, tmp_path: Path, signal: str, lag: str
) -> None:
    case = f"{signal}_{lag}_5bps"
    rows = backtest(tws, tmp_path, signal, lag, "5")
    equity = np.array([float(row["equity"]) for row in rows])
    assert np.max(np.abs(equity / curve(f"{case}|desk") - 1.0)) < PRINTED
    assert equity[-1] == pytest.approx(summary()["cases"][case]["agreement"]["final_desk"], rel=1e-9)
    for row in rows:
        assert float(row["net_pnl"]) == pytest.approx(float(row["gross_pnl"]) - float(row["cost"]), abs=1e-6)
    assert {(r["fill"], r["accounting"], float(r["cost_bps"])) for r in rows} == {(LAGS[lag], "weights", 5.0)}
