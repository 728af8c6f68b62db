"""Requests about accounts beyond the first dollar account: several accounts, currencies, models, margins."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names
from tests.tws_sim.step_tape import StepTape

THURSDAY = date(2026, 11, 19)
D = Decimal
TAPE = StepTape(
    {
        "ACME": [(at(date(2026, 11, 18), "09:30"), "9.00"), (at(THURSDAY, "09:30"), "10.00")],
        "TWIN": [(at(date(2026, 11, 18), "09:30"), "20.00")],
    }
)


def market(**settings: Any) -> Simulator:
    return Simulator(TAPE, SimConfig(**settings), at(THURSDAY, "10:00"))


def summary(client: RawClient, tags: str, req_id: int = 1) -> dict[tuple[str, str, str], str]:
    answer = client.ask("reqAccountSummary", reqId=req_id, group="All", tags=tags)
    client.ask("cancelAccountSummary", reqId=req_id)
    return {
        (m.text("account"), m.text("tag"), m.text("currency")): m.text("value")
        for m in answer
        if m.name == "accountSummary"
    }


def test_orders_reach_the_account_they_name() -> None:
    simulator = market(accounts=("DU1", "DU2"), cash=D(10_000))
    client = RawClient(simulator)
    client.order(1, account="DU2")

    # 100 bought at 10.01 for 1.00, marked at 10.00
    found = summary(client, "NetLiquidation,GrossPositionValue")
    assert found["DU1", "NetLiquidation", "USD"] == "10000.00"
    assert found["DU2", "NetLiquidation", "USD"] == "9998.00"
    assert found["DU2", "GrossPositionValue", "USD"] == "1000.00"
    [pnl] = client.ask("reqPnL", reqId=5, account="DU2")
    assert (pnl.number("daily"), pnl.number("unrealized")) == (-2, -2)
    assert [m.text("account") for m in client.ask("reqPositions") if m.name == "position"] == ["DU2"]


def test_a_position_abroad_is_converted_in_every_figure() -> None:
    simulator = market(exchange_rates={"CAD": D("0.5")}, commissions="none", spread="none")
    client = RawClient(simulator)
    client.order(1, symbol="TWIN", currency="CAD")

    # 100 x 20.00 CAD, all of it borrowed
    found = summary(client, "NetLiquidation,GrossPositionValue,TotalCashValue,InitMarginReq,$LEDGER:ALL")
    base = {tag: value for (_, tag, currency), value in found.items() if currency == "USD"}
    assert (base["NetLiquidation"], base["TotalCashValue"]) == ("1000000.00", "999000.00")
    assert (base["GrossPositionValue"], base["InitMarginReq"]) == ("1000.00", "250.00")
    assert found["DU1234567", "CashBalance", "CAD"] == "-2000.00"
    assert found["DU1234567", "CashBalance", "BASE"] == "999000.00"
    assert summary(client, "$LEDGER:CAD")["DU1234567", "ExchangeRate", "CAD"] == "0.5000000"
    assert {currency for _, _, currency in summary(client, "$LEDGER")} == {"BASE"}


def test_cash_in_another_currency_counts_at_its_rate() -> None:
    simulator = market(foreign_cash={"EUR": D(1000)}, exchange_rates={"EUR": D("1.10")}, cash=D(500))

    assert simulator.equity() == 1600
    assert simulator.ledgers["DU1234567"].cash == 500


def test_an_account_in_another_base_currency_reports_in_it() -> None:
    client = RawClient(market(base_currency="EUR", exchange_rates={"USD": D("0.9")}, cash=D(1000)))
    client.order(1, quantity=10)

    found = summary(client, "NetLiquidation,FullAvailableFunds,FullInitMarginReq,FullMaintMarginReq")
    assert {currency for _, _, currency in found} == {"EUR"}
    # 10 x 10.00 USD x 0.9 x 25 %
    assert found["DU1234567", "FullInitMarginReq", "EUR"] == "22.50"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("reqAccountUpdatesMulti", {"reqId": 1}),
        ("reqPositionsMulti", {"reqId": 1}),
        ("reqPnL", {"reqId": 1}),
        ("reqPnLSingle", {"reqId": 1, "conId": 101}),
    ],
)
def test_models_are_refused(name: str, values: dict[str, Any]) -> None:
    [answer] = RawClient(market()).ask(name, account="DU1234567", modelCode="Growth", **values)
    assert (answer.integer("reqId"), answer.integer("code")) == (1, 321)
    assert "Invalid model code 'Growth'." in answer.text("text")


def test_other_margin_rates_change_what_can_be_bought() -> None:
    client = RawClient(market(initial_margin_rate=D("0.5"), cash=D(1000), commissions="none", spread="none"))

    assert summary(client, "BuyingPower")["DU1234567", "BuyingPower", "USD"] == "2000.00"
    assert names(client.order(1, quantity=201))[0] == "error 201"
    assert names(client.order(2, quantity=200))[-1] == "commissionReport"
    found = summary(client, "InitMarginReq,MaintMarginReq")
    assert {tag: value for (_, tag, _), value in found.items()} == {
        "InitMarginReq": "1000.00",
        "MaintMarginReq": "500.00",
    }


def test_a_change_the_account_cannot_carry_leaves_the_order_as_it_was() -> None:
    client = RawClient(market(cash=D(1000)))
    client.order(1, lmtPrice="9.00")

    [refused] = client.order(1, lmtPrice="9.00", quantity=1000)
    assert (refused.integer("reqId"), refused.integer("code")) == (1, 201)
    assert client.ask("reqOpenOrders")[0].number("totalQuantity") == 100


class Promise:
    """What a driver gives for work it does later."""

    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def test_values_follow_the_fill_when_the_driver_has_written_and_before_the_next_answer() -> None:
    simulator = market()
    client = RawClient(simulator)
    client.ask("reqAccountUpdates", subscribe=True, account="DU1234567")
    promises: list[Promise] = []

    def later(work: Any) -> Promise:
        promises.append(Promise())
        return promises[-1]

    simulator.defer = later
    told = names(client.order(1))
    assert (told[2], told[-1]) == ("execDetails", "commissionReport")
    assert len(promises) == 1

    following = names(client.ask("reqCurrentTime"))
    assert (following[0], following[-2:]) == ("updateAccountValue", ["updateAccountTime", "currentTime"])
    assert promises[0].is_cancelled
    assert names(client.ask("reqCurrentTime")) == ["currentTime"]


def test_a_value_that_changes_again_is_sent_again_as_the_table_has_it() -> None:
    client = RawClient(market(commissions="none", spread="none"))
    client.ask("reqAccountUpdates", subscribe=True, account="DU1234567")
    seen = []
    for order_id in (1, 2, 3):
        # 100 more each time, marked at 10.00
        found = [m for m in client.order(order_id) if m.name == "updateAccountValue"]
        seen += [m.values for m in found if m.text("key") == "GrossPositionValue"]
    rest = {"key": "GrossPositionValue", "currency": "USD", "account": "DU1234567"}
    assert seen == [rest | {"value": f"{number}000.00"} for number in (1, 2, 3)]
