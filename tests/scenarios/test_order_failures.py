"""Failures 7 to 15: what a client believes of its orders, and what is true of them."""

import asyncio

import pytest
from ib_async import LimitOrder, MarketOrder

from quant_trading.tws_sim.orders import Status
from tests.scenarios.stage import Stage, stage

pytestmark = pytest.mark.expects_client_errors

# Far below the market: it rests.
LOW = 90


def test_07_a_live_order_is_shown_as_cancelled() -> None:
    """Row 7: ib-api-reloaded/ib_async#191, #217, QuantConnect/Lean#1026.

    10349 only says that a preset was applied. The client takes it for the end of the order, TWS works it on.
    """

    async def script(on: Stage) -> tuple[str, bool]:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), LimitOrder("BUY", 100, LOW))
        await asyncio.sleep(5)
        ib.disconnect()
        return trade.orderStatus.status, trade.isDone()

    with stage("F07_live_order_shown_cancelled") as on:
        assert on.play(script) == ("Cancelled", True)
        assert on.codes() == [10349]
        [order] = on.simulator.orders
        assert order.status is Status.SUBMITTED


def test_08_a_rejected_order_ends_twice() -> None:
    """Row 8: erdewit/ib_insync#554, #245, brndnmtthws/thetagang#709.

    201 makes the order Cancelled, the status that follows makes it Inactive: it ends twice, in two words.
    """

    async def script(on: Stage) -> list[str]:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), MarketOrder("BUY", 100))
        await asyncio.sleep(5)
        ib.disconnect()
        return [entry.status for entry in trade.log]

    with stage("F08_rejected_then_inactive") as on:
        assert on.play(script) == ["PendingSubmit", "Cancelled", "Inactive"]
        assert on.codes() == [201]


def test_09_an_order_is_stuck_in_pending_submit() -> None:
    """Row 9: erdewit/ib_insync#138, #164, #623, ib-api-reloaded/ib_async#66.

    The script polls the status in a loop that never lets the client's own loop run: it polls for ever.
    """

    async def script(on: Stage) -> tuple[set[str], str]:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), MarketOrder("BUY", 100))
        polled = {trade.orderStatus.status for _ in range(10_000)}
        await asyncio.sleep(1)
        ib.disconnect()
        return polled, trade.orderStatus.status

    with stage("F09_stuck_pending_submit") as on:
        assert on.play(script) == ({"PendingSubmit"}, "Filled")


def test_10_a_cancellation_that_is_not_found_ends_nothing() -> None:
    """Row 10: erdewit/ib_insync#690, #363.

    10147 answers the cancellation. The client shows the order as cancelled; it fills two minutes later.
    """

    async def script(on: Stage) -> tuple[str, bool]:
        ib = await on.connect()
        contract = await on.stock(ib)
        [ticker] = await ib.reqTickersAsync(contract)
        order = LimitOrder("BUY", 100, round(ticker.bid - 0.05, 2))
        trade = ib.placeOrder(contract, order)
        await asyncio.sleep(1)
        ib.cancelOrder(order)
        await asyncio.sleep(1)
        believed = trade.orderStatus.status, trade.isDone()
        await asyncio.sleep(3600)
        ib.disconnect()
        return believed

    with stage("F10_cancel_not_found") as on:
        assert on.play(script) == ("Cancelled", True)
        assert on.codes() == [10147]
        [order] = on.simulator.orders
        assert order.status is Status.FILLED


def test_11_order_ids_are_used_up_by_another_program() -> None:
    """Row 11: erdewit/ib_insync#80, #308, #644, wboayue/rust-ibapi#350.

    The client counts on from the id it was given at the start. 103: the order was never taken, and only the
    error tells.
    """

    async def script(on: Stage) -> str:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), MarketOrder("BUY", 100))
        await asyncio.sleep(5)
        ib.disconnect()
        return trade.orderStatus.status

    with stage("F11_duplicate_ids") as on:
        assert on.play(script) == "Cancelled"
        assert on.codes() == [103]
        assert on.simulator.orders == ()


def test_12_a_completed_order_arrives_unasked(caplog: pytest.LogCaptureFixture) -> None:
    """Row 12: ib-api-reloaded/ib_async#128.

    The client has no list to put it in: a KeyError in its log, and the order is nowhere.
    """

    async def script(on: Stage) -> int:
        ib = await on.connect()
        known = len(ib.trades())
        ib.placeOrder(await on.stock(ib), LimitOrder("BUY", 100, LOW))
        await asyncio.sleep(5)
        found = len(ib.trades()) - known
        ib.disconnect()
        return found

    with stage("F12_completed_order_unasked") as on:
        assert on.play(script) == 1  # its own, not the completed one
    failures = [record for record in caplog.records if record.exc_info and record.exc_info[0] is KeyError]
    assert len(failures) == 1
    assert str(failures[0].exc_info[1]) == "'completedOrders'"  # type: ignore[index]


def test_13_a_commission_overtakes_its_execution() -> None:
    """Row 13: erdewit/ib_insync#170, wboayue/rust-ibapi#256, backtrader2/backtrader#53.

    The report names an execution the client does not know yet: it is dropped, the fill costs nothing for ever.
    """

    async def script(on: Stage) -> tuple[float, str]:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), MarketOrder("BUY", 100))
        await asyncio.sleep(600)
        [fill] = trade.fills
        ib.disconnect()
        return fill.commissionReport.commission, fill.commissionReport.execId

    with stage("F13_commission_before_execution") as on:
        assert on.play(script) == (0.0, "")
        assert on.simulator.executions[0].commission == 1


def test_14_a_corrected_execution_is_counted_twice() -> None:
    """Row 14: softwarespartan/IB4m#80.

    100 shares are corrected to 60 under the next revision of the same id. Who adds up fills has bought 160.
    """

    async def script(on: Stage) -> tuple[float, float]:
        ib = await on.connect()
        trade = ib.placeOrder(await on.stock(ib), MarketOrder("BUY", 100))
        await asyncio.sleep(60)
        [position] = await ib.reqPositionsAsync()
        ib.disconnect()
        return sum(fill.execution.shares for fill in trade.fills), position.position

    with stage("F14_corrected_execution") as on:
        assert on.play(script) == (160, 60)


def test_15_manual_orders_share_the_order_id_zero() -> None:
    """Row 15: nautechsystems/nautilus_trader#1190, #3464, #5041, #3023, #5057.

    A person has placed two orders in TWS. Who keeps orders by their order id keeps one of them.
    """

    async def script(on: Stage) -> tuple[int, int]:
        ib = await on.connect()
        await asyncio.sleep(60)
        orders = await ib.reqAllOpenOrdersAsync()
        by_id = {trade.order.orderId: trade for trade in orders}
        ib.disconnect()
        return len(orders), len(by_id)

    with stage("F15_manual_orders") as on:
        assert on.play(script) == (2, 1)
        assert {order.order_id for order in on.simulator.orders} == {0}
