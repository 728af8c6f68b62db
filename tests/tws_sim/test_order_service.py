"""Placing, changing, cancelling and listing orders: what the client is answered, and every refusal."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.fields import Message
from quant_trading.tws_sim.simulator import Simulator
from tests.tws_sim.raw_client import RawClient, names, only
from tests.tws_sim.step_tape import StepTape

THURSDAY, FRIDAY = date(2026, 11, 19), date(2026, 11, 20)
WEDNESDAY = date(2026, 11, 18)
TAPE = StepTape(
    {
        "ACME": [
            (at(WEDNESDAY, "09:30"), "9.00"),
            (at(THURSDAY, "09:30"), "10.00"),
            (at(THURSDAY, "11:00"), "10.20"),
            (at(FRIDAY, "09:30"), "10.50"),
        ],
        "BOLT": [(at(WEDNESDAY, "09:30"), "50.00")],
    }
)


def market(clock: str = "10:00", **settings: Any) -> Simulator:
    return Simulator(TAPE, SimConfig(**settings), at(THURSDAY, clock))


def error_of(answer: list[Message]) -> tuple[int, int, str]:
    """Return id, code and text of an answer that is one error."""
    assert [message.name for message in answer] == ["error"], names(answer)
    return answer[0].integer("reqId"), answer[0].integer("code"), answer[0].text("text")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"quantity": 0}, 434),
        ({"quantity": -5}, 321),
        ({"totalQuantity": Decimal("1.5")}, 10243),
        ({"orderType": "STP"}, 107),
        ({"orderType": "MTL"}, 387),
        ({"orderType": "NONSENSE"}, 321),
        ({"orderType": ""}, 321),
        ({"side": "HOLD"}, 321),
        ({"tif": "GTX"}, 321),
        ({"account": "U999"}, 321),
        ({"symbol": "NOPE"}, 200),
        ({"symbol": "TWIN", "currency": ""}, 200),
        ({"lmtPrice": "9.955"}, 110),
        ({"lmtPrice": "0.50005"}, 110),
        ({"lmtPrice": "0"}, 107),
        ({"lmtPrice": "-1"}, 321),
        ({"parentId": 3}, 10006),
        ({"conditions": [{"condType": 3, "conjunction": "a", "isMore": True, "value": "x"}]}, 321),
    ],
)
def test_a_bad_order_is_refused_with_its_id_and_burns_it(extra: dict[str, Any], code: int) -> None:
    simulator = market()
    client = RawClient(simulator)

    assert error_of(client.order(4, **extra))[:2] == (4, code)
    assert simulator.orders == ()
    assert error_of(client.order(4))[1] == 103
    assert names(client.order(5))[-1] == "commissionReport"


def test_an_order_id_must_be_a_positive_one() -> None:
    assert error_of(RawClient(market()).order(0)) == (0, 10149, "Invalid order id: 0")


def test_read_only_refuses_every_order_in_the_words_of_tws() -> None:
    code_and_text = error_of(RawClient(market(read_only=True)).order(1))[1:]

    assert code_and_text[0] == 321
    assert "The API interface is currently in Read-Only mode." in code_and_text[1]


def test_configured_rejections() -> None:
    client = RawClient(market(reject={"ACME": (201, "Order rejected - reason:No."), "BOLT": (110, "")}))

    answer = client.order(1)
    assert names(answer) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]
    assert answer[0].text("text") == "Order rejected - reason:No."
    assert error_of(client.order(2, symbol="BOLT"))[:2] == (2, 110)
    assert error_of(client.ask("cancelOrder", orderId=1))[1] == 161


def test_an_order_beyond_the_margin_is_rejected() -> None:
    client = RawClient(market(cash=Decimal(1000)))

    # 1000 USD carry 4000 USD of stock at 25 %: 399 shares at 10.00 do, 401 do not.
    answer = client.order(1, quantity=401)
    assert names(answer) == ["error 201", "openOrder Inactive", "orderStatus Inactive"]
    assert "MUST EXCEED THE INITIAL MARGIN [1002.50 USD]" in answer[0].text("text")
    assert names(client.order(2, quantity=395))[-1] == "commissionReport"
    assert names(client.order(3, "SELL", quantity=395))[-1] == "commissionReport"


def test_ids_are_per_client_and_survive_reconnects() -> None:
    simulator = market()
    first = RawClient(simulator, 1)
    first.order(41)
    assert first.ask("reqIds", count=1)[0].integer("orderId") == 42
    assert RawClient(simulator, 2).greeting[1].integer("orderId") == 1
    first.session.receive_eof()

    assert RawClient(simulator, 1).greeting[1].integer("orderId") == 42


def test_a_filled_order_cannot_be_changed_nor_cancelled() -> None:
    client = RawClient(market())
    client.order(1)

    assert error_of(client.order(1))[:2] == (1, 104)
    assert error_of(client.ask("cancelOrder", orderId=1)) == (
        1, 10148, "OrderId 1 that needs to be cancelled cannot be cancelled, state: Filled.",
    )  # fmt: skip
    assert error_of(client.ask("cancelOrder", orderId=9)) == (
        9, 10147, "OrderId 9 that needs to be cancelled is not found.",
    )  # fmt: skip


def test_a_cancelled_order_is_done() -> None:
    client = RawClient(market())
    client.order(1, lmtPrice="9.50")

    assert names(client.ask("cancelOrder", orderId=1)) == [
        "orderStatus PendingCancel",
        "orderStatus Cancelled",
        "error 202",
    ]
    assert error_of(client.ask("cancelOrder", orderId=1))[1] == 10148
    assert error_of(client.order(1, lmtPrice="9.50"))[1] == 103


def test_an_order_can_be_changed_by_its_client() -> None:
    client = RawClient(market())
    client.order(1, lmtPrice="9.50")

    answer = client.order(1, lmtPrice="9.60", quantity=50)
    assert names(answer) == ["openOrder Submitted", "orderStatus Submitted"]
    assert (answer[0].number("lmtPrice"), answer[0].number("totalQuantity")) == (Decimal("9.60"), 50)
    # Changed to marketable it fills, with the identity it had.
    perm_id = answer[0].integer("permId")
    answer = client.order(1, lmtPrice="10.01", quantity=50)
    assert names(answer)[-1] == "commissionReport"
    assert only(answer, "execDetails").integer("permId") == perm_id


def test_another_side_symbol_or_account_is_another_order() -> None:
    client = RawClient(market(accounts=("DU1", "DU2")))
    client.order(1, lmtPrice="9.50", account="DU1")

    assert error_of(client.order(1, "SELL", lmtPrice="9.50", account="DU1"))[:2] == (1, 105)
    assert error_of(client.order(1, symbol="BOLT", lmtPrice="9.50", account="DU1"))[1] == 105
    assert error_of(client.order(1, lmtPrice="9.50", account="DU2"))[1] == 105
    assert error_of(client.order(2))[1] == 435


def test_an_order_not_transmitted_is_not_seen_until_it_is() -> None:
    simulator = market()
    client = RawClient(simulator)

    assert client.order(1, transmit=False) == []
    assert names(client.ask("reqOpenOrders")) == ["openOrderEnd"]
    assert names(client.order(1))[-1] == "commissionReport"
    assert client.order(2, transmit=False) == []
    assert names(client.ask("cancelOrder", orderId=2)) == ["orderStatus Cancelled", "error 202"]


def test_a_what_if_order_is_answered_with_margins_and_trades_nothing() -> None:
    simulator = market()
    [answer] = RawClient(simulator).order(1, whatIf=True)

    # 100 x 10.00 x 25 %
    assert (answer.name, answer.number("initMarginChange"), answer.number("commission")) == ("openOrder", 250, 1)
    assert answer.number("equityWithLoanChange") == Decimal(-1)
    assert (simulator.orders, simulator.executions) == ((), ())


def test_open_orders_are_own_all_and_global_cancel_reaches_all() -> None:
    simulator = market()
    one, two = RawClient(simulator, 1), RawClient(simulator, 2)
    one.order(1, lmtPrice="9.50")
    two.order(1, lmtPrice="9.40", orderRef="two")

    assert names(one.ask("reqOpenOrders")) == ["openOrder Submitted", "orderStatus Submitted", "openOrderEnd"]
    everything = one.ask("reqAllOpenOrders")
    assert names(everything) == ["openOrder Submitted", "openOrder Submitted", "openOrderEnd"]
    assert [(m.integer("clientId"), m.text("orderRef")) for m in everything[:2]] == [(1, ""), (2, "two")]
    assert error_of(one.ask("cancelOrder", orderId=7))[1] == 10147
    one.ask("reqGlobalCancel")
    assert "orderStatus Cancelled" in names(two.read())


def test_client_0_may_cancel_the_order_of_another() -> None:
    simulator = market()
    owner, master = RawClient(simulator, 3), RawClient(simulator, 0)
    owner.order(8, lmtPrice="9.50")

    master.ask("cancelOrder", orderId=8)

    assert "orderStatus Cancelled" in names(owner.read())
    assert error_of(RawClient(simulator, 4).ask("cancelOrder", orderId=8))[1] == 10147


def test_a_gtc_order_survives_its_session_and_can_be_cancelled_by_the_same_client() -> None:
    simulator = market()
    first = RawClient(simulator, 3)
    first.order(8, lmtPrice="9.50", tif="GTC")
    first.session.receive_eof()

    again = RawClient(simulator, 3)
    assert names(again.ask("reqOpenOrders"))[0] == "openOrder Submitted"
    assert names(again.ask("cancelOrder", orderId=8))[-1] == "error 202"


def test_executions_of_the_day_are_filtered() -> None:
    simulator = market("15:00")
    one, two = RawClient(simulator, 1), RawClient(simulator, 2)
    one.order(1, orderRef="ref")
    two.order(1, "SELL", quantity=50)
    simulator.advance_to(at(THURSDAY, "15:30"))
    one.order(2)

    def found(**wanted: Any) -> list[int]:
        answer = two.ask("reqExecutions", reqId=6, **wanted)
        assert answer[-1].name == "execDetailsEnd"
        executions = [m for m in answer if m.name == "execDetails"]
        assert len([m for m in answer if m.name == "commissionReport"]) == len(executions)
        assert all(m.integer("reqId") == 6 for m in executions)
        return [m.integer("orderId") for m in executions]

    two.read()
    assert found() == [1, 1, 2]
    assert found(clientId=2) == [1]
    assert found(side="BUY") == [1, 2]
    assert found(symbol="BOLT") == []
    assert found(account="DU1234567", secType="STK") == [1, 1, 2]
    assert found(time="20261119-20:15:00") == [2]
    assert found(time="20261119 15:15:00 US/Eastern") == [2]
    assert error_of(two.ask("reqExecutions", reqId=7, time="yesterday"))[:2] == (7, 321)
    ids = [e.exec_id for e in simulator.executions]
    assert len(set(ids)) == 3
    simulator.advance_to(at(FRIDAY, "08:00"))
    assert found() == []


def test_completed_orders_are_those_of_the_day() -> None:
    simulator = market("15:00")
    client = RawClient(simulator)
    client.order(1, orderRef="ref")
    client.order(2, lmtPrice="9.50")
    client.ask("cancelOrder", orderId=2)
    client.order(3, lmtPrice="9.40")

    answer = client.ask("reqCompletedOrders", apiOnly=True)

    assert names(answer) == ["completedOrder", "completedOrder", "completedOrdersEnd"]
    assert [m.text("status") for m in answer[:2]] == ["Filled", "Cancelled"]
    assert (answer[0].text("completedStatus"), answer[0].text("orderRef")) == ("Filled Size: 100", "ref")
    assert answer[0].text("completedTime") == "20261119 15:00:00 US/Eastern"
    simulator.advance_to(at(FRIDAY, "08:00"))
    assert names(client.read()) == ["orderStatus Cancelled", "error 202"]
    assert names(client.ask("reqCompletedOrders")) == ["completedOrdersEnd"]
