"""The line to IBKR: what is told, what waits, what is lost, and what stays silent."""

from datetime import date
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import read_scenario
from tests.tws_sim.raw_client import RawClient, names

START = at(date(2026, 11, 19), "10:00")
SECOND_NS = 1_000_000_000
AAPL: dict[str, Any] = {"symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD"}
HISTORY = {"barSize": "1 min", "duration": "1 D", "whatToShow": "TRADES", "useRth": True, "formatDate": 1}


@pytest.fixture
def tws() -> Gateway:
    return read_scenario({"about": "x", "now": "2026-11-19 10:00", "faults": []}, "x").build()


def after(tws: Gateway, client: RawClient, seconds: float) -> list[Message]:
    tws.advance_to(tws.now_ns + round(seconds * SECOND_NS))
    return client.read()


def ticks(messages: list[Message]) -> int:
    return sum(message.name in ("tickPrice", "tickSize") for message in messages)


@pytest.mark.parametrize(("restore", "resumes"), [(1102, True), (1101, False)])
def test_quotes_after_the_link_is_back(tws: Gateway, restore: int, resumes: bool) -> None:
    client = RawClient(tws)
    client.ask("reqMktData", reqId=5, **AAPL)
    assert ticks(after(tws, client, 10)) > 0
    tws.do({"do": "lose_link", "seconds": 20, "restore": restore})
    assert names(client.read()) == ["error 1100"]
    away = after(tws, client, 21)
    assert names(away) == [f"error {restore}"] or (resumes and names(away)[0] == f"error {restore}")
    assert (ticks(after(tws, client, 30)) > 0) is resumes
    # Asking again brings them in any case.
    client.ask("cancelMktData", reqId=5)
    client.ask("reqMktData", reqId=5, **AAPL)
    assert ticks(after(tws, client, 10)) > 0


def test_orders_wait_for_the_link(tws: Gateway) -> None:
    client = RawClient(tws)
    tws.do({"do": "lose_link", "seconds": 20})
    client.read()
    assert client.order(1, symbol="AAPL") == []
    assert tws.simulator.orders == ()
    answer = names(after(tws, client, 21))
    assert answer[0] == "error 1102"
    assert answer[-1] == "commissionReport"


@pytest.mark.parametrize("reports", ["delayed", "lost"])
def test_reports_meanwhile(tws: Gateway, reports: str) -> None:
    client = RawClient(tws)
    client.order(1, symbol="AAPL", lmtPrice="90")
    tws.do({"do": "lose_link", "reports": reports})
    tws.levers.about_order("fill_first", 1, 1, {"quantity": None})
    client.read()
    assert after(tws, client, 60) == []
    tws.do({"do": "restore_link"})
    told = names(client.read())
    assert ("execDetails" in told) is (reports == "delayed")
    # Who asks is told in either case.
    assert "execDetails" in names(client.ask("reqExecutions", reqId=9))


def test_history_is_refused_while_its_farm_is_away(tws: Gateway) -> None:
    client = RawClient(tws)
    tws.do({"do": "farm", "name": "ushmds", "seconds": 10})
    client.read()
    [error] = client.ask("reqHistoricalData", reqId=7, **AAPL, **HISTORY)
    assert (error.integer("reqId"), error.integer("code")) == (7, 162)
    assert "HMDS server disconnect" in error.text("text")
    assert names(after(tws, client, 11)) == ["error 2106"]
    assert names(client.ask("reqHistoricalData", reqId=8, **AAPL, **HISTORY))[0] == "historicalData"


@pytest.mark.parametrize("resumes", [True, False])
def test_running_bars_after_a_farm_was_away(tws: Gateway, resumes: bool) -> None:
    client = RawClient(tws)
    client.ask("reqHistoricalData", reqId=7, keepUpToDate=True, **AAPL, **HISTORY)
    assert "historicalDataUpdate" in names(after(tws, client, 30))
    tws.do({"do": "farm", "seconds": 5, "resumes": resumes})
    after(tws, client, 6)
    assert ("historicalDataUpdate" in names(after(tws, client, 60))) is resumes


def test_a_competing_session_takes_quotes_old_and_new(tws: Gateway) -> None:
    client = RawClient(tws)
    client.ask("reqMktData", reqId=5, **AAPL)
    tws.do({"do": "compete", "seconds": 60})
    assert names(client.read()) == ["error 10197"]
    assert "error 10197" in names(client.ask("reqMktData", reqId=6, **AAPL))
    assert ticks(after(tws, client, 30)) == 0
    after(tws, client, 31)
    assert ticks(after(tws, client, 30)) > 0


def test_the_clock_is_wrong_by_so_much(tws: Gateway) -> None:
    client = RawClient(tws)
    tws.do({"do": "skew", "seconds": -90})
    [answer] = client.ask("reqCurrentTime")
    assert answer.integer("time") == START // SECOND_NS - 90


def test_a_restart_ends_an_outage(tws: Gateway) -> None:
    tws.do({"do": "lose_link", "seconds": 600})
    tws.do({"do": "restart", "seconds": 10})
    tws.advance_to(START + 11 * SECOND_NS)
    client = RawClient(tws)
    assert "commissionReport" in names(client.order(1, symbol="AAPL"))
    assert "error 1102" not in names(after(tws, client, 700))
