"""Families, groups and conditions: what one order does to another, message by message."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names, only
from tests.tws_sim.step_tape import StepTape

THURSDAY, FRIDAY = date(2026, 11, 19), date(2026, 11, 20)
D = Decimal

TAPE = StepTape(
    {
        "ACME": [
            (at(THURSDAY, "09:30"), "10.00"),
            (at(THURSDAY, "10:30"), "9.90"),
            (at(THURSDAY, "11:00"), "10.20"),
            (at(THURSDAY, "12:00"), "10.40"),
            (at(FRIDAY, "09:30"), "10.50"),
        ],
        "BOLT": [(at(THURSDAY, "09:30"), "50.00"), (at(THURSDAY, "11:30"), "49.00"), (at(THURSDAY, "13:00"), "51.00")],
    }
)
ACME, BOLT = 101, 102

SHOWN = ["openOrder PreSubmitted", "orderStatus PreSubmitted"]
FILLED = ["execDetails", "openOrder Filled", "orderStatus Filled", "commissionReport"]
WORKING = ["openOrder Submitted", "orderStatus Submitted"]
GONE = ["orderStatus Cancelled", "error 202"]


def market(clock: str = "10:00", **settings: Any) -> tuple[Simulator, RawClient]:
    simulator = Simulator(TAPE, SimConfig(**settings), at(THURSDAY, clock))
    return simulator, RawClient(simulator)


def bracket(client: RawClient, *, entry: str = "9.95", **last: Any) -> list[Any]:
    """Buy at a limit with a profit taker at 10.20 and a stop at 9.50, transmitted by the last."""
    answer = client.order(1, lmtPrice=entry, transmit=False)
    answer += client.order(2, "SELL", lmtPrice="10.20", parentId=1, transmit=False)
    assert answer == []
    return client.order(3, "SELL", **({"orderType": "STP", "auxPrice": D("9.50"), "parentId": 1} | last))


def about(messages: list[Any], order_id: int) -> list[str]:
    return names([m for m in messages if m.values.get("orderId", m.values.get("reqId")) == order_id])


def test_a_bracket_is_heard_of_when_its_last_order_is_transmitted() -> None:
    _, client = market()

    answer = bracket(client)

    assert [m.integer("orderId") for m in answer if m.name == "openOrder"] == [1, 2, 3, 1]
    assert about(answer, 1) == SHOWN + WORKING
    assert (about(answer, 2), about(answer, 3)) == (SHOWN, SHOWN)
    held = {m.integer("orderId"): m.text("whyHeld") for m in answer if m.name == "orderStatus"}
    assert (held[2], held[3]) == ("child", "child,trigger")
    shown = {m.integer("orderId"): m for m in answer if m.name == "openOrder"}
    group = str(shown[1].integer("permId"))
    assert [(shown[n].integer("parentId"), shown[n].text("ocaGroup")) for n in (2, 3)] == [(1, group), (1, group)]


def test_the_children_of_a_bracket_live_after_its_entry_and_end_with_each_other() -> None:
    simulator, client = market()
    bracket(client)
    simulator.advance_to(at(THURSDAY, "10:30"))
    entered = client.read()
    assert about(entered, 1) == FILLED[:3]
    assert (about(entered, 2), about(entered, 3)) == (SHOWN + WORKING, SHOWN)

    simulator.advance_to(at(THURSDAY, "11:00"))
    left = client.read()
    assert about(left, 2)[-3:] == FILLED[:3]
    assert about(left, 3) == GONE
    assert simulator.ledgers["DU1234567"].positions[ACME].quantity == 0


def test_the_children_of_a_cancelled_entry_are_cancelled() -> None:
    simulator, client = market()
    bracket(client)
    answer = client.ask("cancelOrder", orderId=1)
    assert about(answer, 1) == ["orderStatus PendingCancel", *GONE]
    assert (about(answer, 2), about(answer, 3)) == (GONE, GONE)
    assert simulator.next_event_ns() is None


def test_the_children_of_a_rejected_entry_are_cancelled() -> None:
    _, client = market(cash=D(10))
    answer = bracket(client)
    assert about(answer, 1) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]
    assert (about(answer, 2), about(answer, 3)) == (GONE, GONE)


def test_a_market_entry_is_acknowledged_with_its_family_before_it_fills() -> None:
    _, client = market()
    client.order(1, transmit=False)
    answer = client.order(2, "SELL", lmtPrice="10.30", parentId=1)
    assert names(answer)[:4] == SHOWN * 2
    assert names(answer)[4:8] == FILLED
    assert names(answer)[8:] == SHOWN + WORKING


def test_a_child_needs_a_parent_that_lives() -> None:
    _, client = market()
    client.order(1, lmtPrice="9.00")
    client.ask("cancelOrder", orderId=1)
    assert names(client.order(2, "SELL", lmtPrice="10.30", parentId=1)) == ["error 10006"]


def test_a_child_of_a_filled_parent_works_at_once() -> None:
    _, client = market()
    client.order(1)
    assert names(client.order(2, "SELL", lmtPrice="10.30", parentId=1)) == SHOWN + WORKING


@pytest.mark.parametrize("oca_type", [1, 2, 3])
def test_one_fill_cancels_the_rest_of_its_group(oca_type: int) -> None:
    simulator, client = market()
    client.order(1, lmtPrice="9.95", ocaGroup="g", ocaType=oca_type)
    client.order(2, "SELL", symbol="BOLT", lmtPrice="52.00", ocaGroup="g", ocaType=oca_type)
    client.order(3, lmtPrice="9.00", ocaGroup="other", ocaType=oca_type)
    simulator.advance_to(at(THURSDAY, "10:30"))
    answer = client.read()
    assert (about(answer, 2), about(answer, 3)) == (GONE, [])


@pytest.mark.parametrize(("oca_type", "left"), [(1, None), (2, 60), (3, 60)])
def test_a_partial_fill_cancels_or_reduces_the_group(oca_type: int, left: int | None) -> None:
    simulator, client = market()
    client.order(1, lmtPrice="9.50", ocaGroup="g", ocaType=oca_type)
    client.order(2, "SELL", symbol="BOLT", lmtPrice="52.00", ocaGroup="g", ocaType=oca_type)
    simulator.parts.exchange.fill_now(simulator.orders[0], D(40))

    answer = client.read()
    assert about(answer, 1) == ["execDetails", *WORKING]
    if left is None:
        assert about(answer, 2) == GONE
    else:
        assert only([m for m in answer if m.values.get("orderId") == 2], "openOrder").number("totalQuantity") == left


@pytest.mark.parametrize(("filled_before", "wanted"), [(0, 1), (40, 41)])
def test_a_member_reduced_to_nothing_is_cancelled_with_what_it_had_left(filled_before: int, wanted: int) -> None:
    simulator, client = market()
    client.order(1, totalQuantity=D(100), lmtPrice="9.50", ocaGroup="g", ocaType=3)
    client.order(2, "SELL", symbol="BOLT", totalQuantity=D(wanted), lmtPrice="52.00", ocaGroup="g", ocaType=3)
    big, small = simulator.orders
    if filled_before:
        # 100 x 1 / 41 rounds down to 2: the big one shrinks, and takes the last share of the small one with it.
        simulator.parts.exchange.fill_now(small, D(filled_before))
    client.read()
    simulator.parts.exchange.fill_now(big, D(1))

    answer = [m for m in client.read() if m.values.get("orderId", m.values.get("reqId")) == 2]
    # One share of many fills: less than one whole share would be left of the other's single one.
    assert names(answer) == GONE
    status = only(answer, "orderStatus")
    assert (status.number("filled"), status.number("remaining")) == (filled_before, 1)


def test_a_child_filled_before_its_time_has_nothing_left_to_protect() -> None:
    simulator, client = market()
    bracket(client, entry="9.50")
    entry, taker, _ = simulator.orders
    simulator.parts.exchange.fill_now(taker, D(30))
    simulator.parts.exchange.fill_now(entry, D(30))
    client.ask("cancelOrder", orderId=1)
    assert (taker.status.value, taker.filled, taker.remaining) == ("Cancelled", 30, 70)


def test_children_protect_what_a_cancelled_entry_has_filled() -> None:
    simulator, client = market()
    bracket(client, entry="9.50")
    simulator.parts.exchange.fill_now(simulator.orders[0], D(30))
    client.read()
    answer = client.ask("cancelOrder", orderId=1)
    stop = [m for m in answer if m.name == "openOrder" and m.integer("orderId") == 3][-1]
    assert (stop.number("totalQuantity"), about(answer, 2)[-2:]) == (30, WORKING)


# Conditions


def price(con_id: int, value: str, *, is_more: bool, conjunction: str = "a") -> dict[str, Any]:
    return {"condType": 1, "conjunction": conjunction, "isMore": is_more, "value": value, "conId": con_id,
            "exchange": "SMART", "triggerMethod": 0}  # fmt: skip


def moment(value: str, *, is_more: bool = True, conjunction: str = "a") -> dict[str, Any]:
    return {"condType": 3, "conjunction": conjunction, "isMore": is_more, "value": value}


NOON = "20261119 12:00:00 US/Eastern"


@pytest.mark.parametrize(
    ("conditions", "clock"),
    [
        ([price(BOLT, "49.50", is_more=False)], "11:30:00"),
        ([price(ACME, "10.00", is_more=True)], "10:00:00"),
        ([moment(NOON)], "12:00:00"),
        ([price(BOLT, "49.50", is_more=False), moment(NOON)], "12:00:00"),
        ([price(BOLT, "49.50", is_more=False, conjunction="o"), moment(NOON)], "11:30:00"),
        # at or below 49.50 only until 13:00; ACME is at 10.40 from noon
        ([price(BOLT, "49.50", is_more=False), price(ACME, "10.40", is_more=True)], "12:00:00"),
        # (BOLT >= 51 and ACME <= 9.95) or noon
        (
            [price(BOLT, "51", is_more=True), price(ACME, "9.95", is_more=False, conjunction="o"), moment(NOON)],
            "12:00:00",
        ),
        ([price(BOLT, "51", is_more=True), price(ACME, "9.95", is_more=False)], None),
        ([moment("20261119 09:00:00 US/Eastern", is_more=False)], None),
    ],
)  # fmt: skip
def test_an_order_waits_for_its_conditions(conditions: list[dict[str, Any]], clock: str | None) -> None:
    simulator, client = market()
    answer = client.order(1, conditions=conditions)
    assert names(answer)[:2] == SHOWN
    simulator.advance_to(at(THURSDAY, "16:00"))
    answer += client.read()
    if clock is None:
        assert names(answer)[2:] == GONE
    else:
        assert only(answer, "execDetails").text("time")[9:17] == clock


def test_a_conditional_order_can_wait_for_days() -> None:
    simulator, client = market()
    client.order(1, tif="GTC", conditions=[price(ACME, "10.45", is_more=True)])
    simulator.advance_to(at(FRIDAY, "09:30"))
    assert only(client.read(), "execDetails").number("price") == D("10.51")


def test_conditions_can_cancel_instead() -> None:
    simulator, client = market()
    answer = client.order(1, lmtPrice="9.50", conditionsCancelOrder=True, conditions=[price(BOLT, "49", is_more=False)])
    assert names(answer) == SHOWN + WORKING
    simulator.advance_to(at(THURSDAY, "11:29:59"))
    assert client.read() == []
    simulator.advance_to(at(THURSDAY, "11:30"))
    assert names(client.read()) == GONE
    # and an order that fills first is not cancelled any more
    client.order(2, lmtPrice="10.45", conditionsCancelOrder=True, conditions=[price(BOLT, "51", is_more=True)])
    simulator.advance_to(at(THURSDAY, "16:00"))
    assert GONE[0] not in names(client.read())


@pytest.mark.parametrize(
    "condition",
    [
        price(ACME, "cheap", is_more=True),
        price(999, "10", is_more=True),
        moment("later"),
        {"condType": 4, "conjunction": "a", "isMore": True, "value": "30"},
        {"condType": 5, "conjunction": "a", "secType": "STK", "exchange": "SMART", "symbol": "ACME"},
    ],
)
def test_conditions_that_cannot_be_watched_are_refused(condition: dict[str, Any]) -> None:
    _, client = market()
    assert names(client.order(1, conditions=[condition])) == ["error 321"]
