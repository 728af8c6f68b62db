"""Other IBKR clients, each in an environment of its own: what they saw is what the simulator's books say.

QT_PYTHON_IB_INSYNC and QT_PYTHON_IBAPI name the interpreters.
"""

import json
import os
import subprocess
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.history import HistoryAnswer, HistoryRequest, serve_history
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source

SCRIPTS = Path(__file__).parent / "clients"
START = at(date(2026, 11, 19), "10:00")
ACCOUNT = "DU1234567"

pytestmark = [pytest.mark.clients, pytest.mark.slow]


def run_client(variable: str, script: str) -> tuple[dict[str, Any], Simulator]:
    """Return what a client in another environment saw, and the simulator it talked to."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"no other client: set {variable} to a Python that has it")
    config = SimConfig(positions={"MSFT": (Decimal(10), Decimal("150.00"))})
    simulator = Simulator(open_source("seed:7"), config, START)
    with ThreadedTwsServer(simulator) as server:
        done = subprocess.run(
            [python, str(SCRIPTS / script), str(server.port)], capture_output=True, text=True, timeout=90, check=False
        )
    assert done.returncode == 0, f"{script} failed:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1]), simulator


def check_what_every_client_sees(seen: dict[str, Any], simulator: Simulator) -> None:
    """Compare a client's view with the books."""
    ledger = simulator.ledgers[ACCOUNT]
    [execution] = simulator.executions
    assert seen["errors"] == []
    assert seen["accounts"] == [ACCOUNT]
    assert seen["time"] == START // 1_000_000_000
    assert seen["positions_before"] == [["MSFT", 10, 150.0]]
    assert seen["fill"] == [100, float(execution.price), execution.exec_id]
    assert seen["order_ref"] == "buy"
    assert seen["commission"] == [execution.exec_id, float(execution.commission), "USD"]
    assert seen["cancelled"] == "Cancelled"
    held = sorted(ledger.positions.values(), key=lambda position: position.contract.symbol)
    assert seen["positions"] == [[p.contract.symbol, float(p.quantity), float(p.average_cost)] for p in held]
    assert seen["cash"] == f"{ledger.cash:.2f}"
    assert seen["net_liquidation"] == f"{simulator.equity():.2f}"
    assert [order.status.value for order in simulator.orders] == ["Filled", "Cancelled"]
    assert simulator.counters["placeOrder"] == 2


def daily_bars() -> HistoryAnswer:
    """Return the month of daily bars both clients ask for, straight from the tape."""
    tape = open_source("seed:7")
    contract = next(c for c in tape.contracts() if c.symbol == "AAPL")
    answer = serve_history(tape, HistoryRequest(contract, "", "1 M", "1 day", "TRADES", True), START)
    assert isinstance(answer, HistoryAnswer)
    return answer


def test_ib_insync_trades_and_sees_what_the_books_say() -> None:
    seen, simulator = run_client("QT_PYTHON_IB_INSYNC", "ib_insync_scenario.py")

    assert (seen["library"], seen["version"]) == ("0.9.86", 176)
    check_what_every_client_sees(seen, simulator)
    expected = [[r.open, r.high, r.low, r.close, float(r.volume)] for r in daily_bars().rows]
    assert [bar[1:] for bar in seen["bars"]] == expected


def test_ibapi_trades_and_sees_what_the_books_say() -> None:
    seen, simulator = run_client("QT_PYTHON_IBAPI", "ibapi_scenario.py")

    assert seen["version"] == 157
    check_what_every_client_sees(seen, simulator)
    # This client reads volumes as integers.
    assert seen["bars"] == [[r.date, r.open, r.high, r.low, r.close, r.volume] for r in daily_bars().rows]
    assert seen["realized"] == 1.7976931348623157e308
    assert seen["open_orders"] == []
    assert seen["completed"] == [["buy", 100.0, "Filled"], ["rest", 0.0, "Cancelled"]]
    [[con_id, min_tick, _, _, rules]] = seen["details"]
    assert (con_id, min_tick) == (265598, 0.01)
    assert set(rules.split(",")) == {"26"}
