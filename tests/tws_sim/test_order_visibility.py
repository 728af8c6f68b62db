"""Who sees whose orders: own client, master client, client 0 and orders typed into TWS; corrections, restarts."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names, only
from tests.tws_sim.step_tape import ACME, StepTape

THURSDAY = date(2026, 11, 19)
D = Decimal
TAPE = StepTape({"ACME": [(at(THURSDAY, "09:30"), "10.00"), (at(THURSDAY, "11:00"), "10.20")]})

SHOWN = ["openOrder PreSubmitted", "orderStatus PreSubmitted"]
FILLED = ["execDetails", "openOrder Filled", "orderStatus Filled", "commissionReport"]
WORKING = ["openOrder Submitted", "orderStatus Submitted"]


def market(clock: str = "10:00", **settings: Any) -> Simulator:
    return Simulator(TAPE, SimConfig(**settings), at(THURSDAY, clock))


def manual(simulator: Simulator, limit: str | None = "9.00", **values: Any) -> None:
    simulator.parts.orders.place_manual(ACME, "BUY", D(100), limit=None if limit is None else D(limit), **values)
    simulator.advance_to(simulator.now_ns)


def test_orders_are_heard_of_by_their_client_and_by_the_master() -> None:
    simulator = market(master_client_id=9)
    one, other, master = (RawClient(simulator, number) for number in (1, 2, 9))

    assert names(one.order(1)) == SHOWN + FILLED
    assert other.read() == []
    heard = master.read()
    assert names(heard) == SHOWN + FILLED
    assert (heard[0].integer("clientId"), heard[0].integer("orderId")) == (1, 1)
    one.order(2, lmtPrice="9.00")
    assert names(master.ask("reqOpenOrders"))[-3:] == [*WORKING, "openOrderEnd"]
    assert names(other.ask("reqOpenOrders")) == ["openOrderEnd"]


def test_a_manual_order_has_no_id_until_client_0_asks_for_its_orders() -> None:
    simulator = market()
    zero, other = RawClient(simulator, 0), RawClient(simulator, 2)
    manual(simulator)

    assert (zero.read(), other.read()) == ([], [])
    seen = only(other.ask("reqAllOpenOrders"), "openOrder")
    assert (seen.integer("orderId"), seen.integer("clientId")) == (0, 0)
    answer = zero.ask("reqOpenOrders")
    assert names(answer) == ["orderBound", *WORKING, "openOrderEnd"]
    assert [m.values["orderId"] for m in answer[:3]] == [1, 1, 1]
    assert answer[0].integer("permId") == seen.integer("permId") != 0
    assert zero.ask("reqIds", count=1)[0].integer("orderId") == 2
    assert names(zero.ask("cancelOrder", orderId=1))[-1] == "error 202"


def test_manual_orders_are_bound_as_they_come_when_client_0_wishes_so() -> None:
    simulator = market(binds_negative_ids=True)
    zero = RawClient(simulator, 0)
    zero.ask("reqAutoOpenOrders", autoBind=True)

    manual(simulator)
    answer = zero.read()
    assert names(answer) == ["orderBound", *SHOWN, *WORKING]
    assert answer[1].integer("orderId") == -1
    # A bound order is changed and cancelled like any other.
    assert names(zero.order(-1, lmtPrice="9.10")) == WORKING
    assert names(zero.ask("cancelOrder", orderId=-1))[-1] == "error 202"
    zero.ask("reqAutoOpenOrders", autoBind=False)
    manual(simulator)
    assert zero.read() == []


def test_the_fill_of_a_manual_order_goes_to_client_0_and_into_the_day() -> None:
    simulator = market()
    zero, other = RawClient(simulator, 0), RawClient(simulator, 2)
    manual(simulator, None)

    assert names(zero.read()) == ["execDetails", "commissionReport"]
    assert other.read() == []
    assert only(other.ask("reqExecutions", reqId=1), "execDetails").integer("orderId") == 0
    assert "completedOrder" in names(other.ask("reqCompletedOrders", apiOnly=False))
    assert names(other.ask("reqCompletedOrders", apiOnly=True)) == ["completedOrdersEnd"]


def test_a_liquidation_says_so() -> None:
    simulator = market()
    zero = RawClient(simulator, 0)
    manual(simulator, None, is_liquidation=True)
    assert zero.read()[0].integer("liquidation") == 1


def test_a_person_can_cancel_the_order_of_a_client() -> None:
    simulator = market()
    client = RawClient(simulator, 3)
    perm_id = client.order(1, lmtPrice="9.00")[0].integer("permId")
    simulator.parts.orders.cancel_manual(perm_id)
    assert names(client.read())[-1] == "error 202"
    with pytest.raises(KeyError, match=f"no order with permId {perm_id} works"):
        simulator.parts.orders.cancel_manual(perm_id)


def test_global_cancel_reaches_manual_orders() -> None:
    simulator = market()
    client = RawClient(simulator, 3)
    manual(simulator)
    client.ask("reqGlobalCancel")
    assert [order.status.value for order in simulator.orders] == ["Cancelled"]


def test_order_ids_go_on_after_a_restart_of_the_simulator() -> None:
    first = market()
    RawClient(first, 1).order(41)
    ids = first.next_order_ids
    assert ids == {1: 42}

    again = market(next_order_ids=ids)
    assert RawClient(again, 1).greeting[1].integer("orderId") == 42
    assert RawClient(again, 2).greeting[1].integer("orderId") == 1


def test_a_correction_counts_up_and_changes_the_books() -> None:
    simulator = market()
    client = RawClient(simulator)
    exec_id = only(client.order(1), "execDetails").text("execId")

    simulator.parts.exchange.correct(exec_id, price=D("10.00"))
    answer = client.read()
    assert names(answer) == ["execDetails", "commissionReport"]
    assert (answer[0].text("execId"), answer[0].number("price")) == (exec_id[:-2] + "02", D("10.00"))
    ledger = simulator.ledgers["DU1234567"]
    # 100 at 10.00 instead of 10.01, and the commission
    assert ledger.cash == D(1_000_000) - 1000 - 1
    assert ledger.positions[ACME.con_id].average_cost == D("10.01")

    simulator.parts.exchange.correct(exec_id, shares=D(0))
    assert only(client.read(), "execDetails").text("execId") == exec_id[:-2] + "03"
    assert (ledger.positions[ACME.con_id].quantity, ledger.cash) == (0, D(999_999))
    with pytest.raises(KeyError, match="there is no execution"):
        simulator.parts.exchange.correct("nothing.01", price=D(1))


def test_an_execution_can_be_reported_twice() -> None:
    simulator = market()
    client = RawClient(simulator)
    first = only(client.order(1), "execDetails")
    simulator.parts.exchange.repeat(first.text("execId"))
    assert only(client.read(), "execDetails").values == first.values
    assert simulator.ledgers["DU1234567"].positions[ACME.con_id].quantity == 100


def test_what_if_says_the_bounds_of_an_uncertain_commission() -> None:
    client = RawClient(market(commissions="ibkr_tiered"))
    [answer] = client.order(1, whatIf=True, quantity=1000)
    # 1000 x (0.0035 + 0.0002) and the pass-through fees of 3.50; 3.00 more for taking liquidity
    passed = D("3.5") * (D("0.000175") + D("0.00056"))
    assert answer.number("commission") is None
    assert (answer.number("minCommission"), answer.number("maxCommission")) == (D("3.7") + passed, D("6.7") + passed)


def test_corporate_actions_reach_positions_and_orders() -> None:
    simulator = market(positions={"ACME": (D(100), D("8.00"))})
    client = RawClient(simulator)
    client.order(1, lmtPrice="9.00", tif="GTC")

    simulator.parts.exchange.book_dividend(ACME, D("0.25"))
    assert simulator.ledgers["DU1234567"].cash == D(1_000_025)
    simulator.parts.exchange.book_split(ACME, D(3))
    held = simulator.ledgers["DU1234567"].positions[ACME.con_id]
    assert (held.quantity, held.cost) == (300, 800)
    assert names(client.read())[-1] == "error 202"
