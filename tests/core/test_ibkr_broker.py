"""The broker on the simulator: trading, and what breaks in between."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from quant_trading.core.ibkr_broker import IBKRAccount, IBKRBroker
from quant_trading.domain.errors import (
    AccountRefused,
    ConnectionFailed,
    ConnectionLost,
    PlanRefused,
    UsageError,
)
from quant_trading.domain.orders import Order, OrderState, OrderStatus, Side
from quant_trading.ports import Broker, BrokerReport
from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.core.meddler import Fields, Meddler, simulator, virtual
from tests.core.sessions import an_order, fills_of, open_account, open_broker, until_quiet

# The port.


def test_the_broker_is_what_the_desk_asks_for() -> None:
    with open_broker(simulator()) as (broker, _):
        port: Broker = broker  # mypy holds the signature
        assert port.account == "DU1234567"
        assert port.now() == datetime(2026, 11, 19, 15, 0, tzinfo=UTC)


def test_open_connects_and_close_may_be_called_twice() -> None:
    with virtual(simulator()) as loop:
        broker = IBKRBroker.open("paper", client_id=12, loop=loop, environ={})
        assert broker.is_connected
        assert broker.server_version == 178
        broker.close()
        broker.close()
        assert not broker.is_connected


def test_the_account_guard_stands_before_the_first_request() -> None:
    market = simulator(accounts=("U1234567",))
    with virtual(market) as loop, pytest.raises(AccountRefused, match="U1234567"):
        IBKRBroker.open("paper", client_id=12, loop=loop, environ={})
    assert set(market.counters) == {"startApi"}


def test_tws_sees_the_client_id() -> None:
    peer = Meddler(simulator())
    with open_broker(peer):
        pass
    assert peer.received[0][1] == ("71", "2", "12", "")


def test_several_accounts_need_a_choice() -> None:
    market = simulator(accounts=("DU1", "DU2"))
    with virtual(market) as loop, pytest.raises(AccountRefused, match="IBKR_ACCOUNT"):
        IBKRAccount.open("paper", client_id=12, loop=loop, environ={})
    with open_account(market, expected_account="DU2") as account:
        assert account.account == "DU2"
        assert account.portfolio().account == "DU2"


def test_live_needs_no_confirmation_to_read_but_does_to_trade() -> None:
    with virtual(simulator(accounts=("U1",))) as loop:
        link: dict[str, Any] = {"client_id": 12, "port": 7497, "loop": loop, "environ": {}, "live_accounts": ["U1"]}
        with pytest.raises(AccountRefused, match="usual port of the other mode"):
            IBKRAccount.open("live", **link)
        IBKRAccount.open("live", allow_port_mismatch=True, **link).close()
        with pytest.raises(AccountRefused, match="--live"):
            IBKRBroker.open("live", allow_port_mismatch=True, **link)
        IBKRBroker.open("live", allow_port_mismatch=True, live_confirmed=True, **link).close()


# Trading.


def test_a_market_order_fills_with_its_commission() -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        assert broker.place(an_order()).status is OrderStatus.SUBMITTING
        reports = until_quiet(broker)
        state = broker.orders["r1"]
    assert (state.status, state.filled, state.remaining) == (OrderStatus.FILLED, 100, 0)
    fills = list(fills_of(reports).values())
    assert sum(fill.quantity for fill in fills) == 100
    assert [(fill.order_ref, fill.symbol, fill.side) for fill in fills] == [("r1", "AAPL", Side.BUY)] * len(fills)
    # IBKR fixed: 0.005 a share, at least 1.00 an order: 100 shares cost 1.00
    assert sum(fill.commission or Decimal(0) for fill in fills) == 1
    assert state.average_price == market.executions[0].price
    assert state.perm_id == fills[0].perm_id != 0


def test_an_order_leaves_as_a_day_order_for_this_account_with_its_reference() -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        broker.place(an_order(limit="120.05"))
        broker.reports(1.0)
    fields = next(fields for _, fields in peer.received if fields[0] == "3")
    # 3, orderId, contract (12), secIdType, secId, action, quantity, type, limit, aux, tif, oca, account, ...
    assert fields[2:4] == ("265598", "AAPL")
    assert fields[16:22] == ("BUY", "100", "LMT", "120.05", "", "DAY")
    assert fields[23] == "DU1234567"
    assert fields[26] == "r1"


def test_a_limit_order_works_and_fills_when_the_market_comes() -> None:
    with open_broker(simulator()) as (broker, _):
        broker.place(an_order("far", limit="100.00"))
        broker.place(an_order("near", limit="180.00"))
        until_quiet(broker)
        assert broker.orders["far"].status is OrderStatus.WORKING
        near = broker.orders["near"]
        assert near.status is OrderStatus.FILLED
        assert near.average_price is not None and near.average_price <= 180


def test_a_cancel_is_confirmed() -> None:
    with open_broker(simulator()) as (broker, _):
        broker.place(an_order(limit="100.00"))
        until_quiet(broker)
        assert broker.cancel("r1").status is OrderStatus.CANCEL_PENDING
        reports = until_quiet(broker)
        assert broker.orders["r1"].status is OrderStatus.CANCELLED
        assert any(report.text.startswith("202") for report in reports)
        assert broker.cancel("r1").status is OrderStatus.CANCELLED


@pytest.mark.expects_client_errors
def test_a_rejected_order_tells_why_and_the_next_one_goes_on() -> None:
    with open_broker(simulator(reject={"SPY": (201, "Order rejected - reason:no margin")})) as (broker, _):
        broker.place(an_order("bad", "SPY"))
        broker.place(an_order("good"))
        until_quiet(broker)
        assert broker.orders["bad"].status is OrderStatus.REJECTED
        assert "no margin" in broker.orders["bad"].reason
        assert broker.orders["good"].status is OrderStatus.FILLED


@pytest.mark.expects_client_errors
def test_a_read_only_api_rejects_and_nothing_hangs() -> None:
    with open_broker(simulator(read_only=True)) as (broker, _):
        broker.place(an_order())
        until_quiet(broker)
        assert broker.orders["r1"].status is OrderStatus.REJECTED
        assert broker.orders["r1"].reason.startswith("321")


@pytest.mark.expects_client_errors
@pytest.mark.parametrize(
    ("code", "status"),
    [("10349", OrderStatus.WORKING), ("399", OrderStatus.WORKING), ("2109", OrderStatus.WORKING)],
)
def test_a_remark_does_not_end_a_working_order_though_the_library_says_so(code: str, status: OrderStatus) -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        broker.place(an_order(limit="100.00"))
        until_quiet(broker)
        number = next(fields[1] for _, fields in peer.received if fields[0] == "3")
        peer.say(("4", "2", number, code, "words", ""))
        until_quiet(broker)
        assert broker.orders["r1"].status is status
        assert broker.orders["r1"].reason == f"{code}: words"


@pytest.mark.expects_client_errors
@pytest.mark.parametrize("code", ["161", "10147", "10148"])
def test_a_refused_cancel_is_doubt_and_tws_is_asked(code: str) -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        broker.place(an_order(limit="100.00"))
        until_quiet(broker)
        number = next(fields[1] for _, fields in peer.received if fields[0] == "3")
        peer.say(("4", "2", number, code, "words", ""))
        assert [report.state.status for report in broker.reports(1.0)] == [OrderStatus.UNKNOWN]
        assert [report.state.status for report in broker.reports(10.0)] == [OrderStatus.WORKING]


def test_one_identity_is_sent_once() -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        broker.place(an_order())
        with pytest.raises(PlanRefused, match="r1"):
            broker.place(an_order())
        until_quiet(broker)
    assert market.counters["placeOrder"] == 1


@pytest.mark.parametrize("limit", ["100.00", None], ids=["open", "filled"])
def test_an_order_of_an_earlier_session_is_not_sent_again(limit: str | None) -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        broker.place(an_order(limit=limit))
        until_quiet(broker)
    with open_broker(market) as (broker, _):
        assert broker.seen_refs == {"r1"}
        assert broker.undecodable_frames == 0
        with pytest.raises(PlanRefused, match="order r1 is known to TWS from an earlier session"):
            broker.place(an_order(limit=limit))
        assert broker.orders == {}
        broker.place(an_order("r2"))
    assert market.counters["placeOrder"] == 2


@pytest.mark.parametrize("order", [an_order(quantity=0), an_order(limit="-1"), an_order(ref="x" * 40)])
def test_what_tws_would_not_take_is_not_sent(order: Order) -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        with pytest.raises(UsageError):
            broker.place(order)
        assert broker.orders == {}
    assert market.counters["placeOrder"] == 0


def test_a_hundred_orders_never_exceed_forty_messages_a_second() -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        broker.instruments(["AAPL"])
        for number in range(100):
            broker.place(an_order(f"r{number}", limit="100.00"))
        until_quiet(broker)
        assert {state.status for state in broker.orders.values()} == {OrderStatus.WORKING}
    times = [at for at, _ in peer.received]
    assert max(sum(start <= t < start + 0.999_999 for t in times) for start in times) <= 40


def test_waiting_for_nothing_ends_on_time_and_polls_nobody() -> None:
    market = simulator()
    with open_broker(market) as (broker, loop):
        sent, before = sum(market.counters.values()), loop.time()
        assert broker.reports(25.0) == []
        assert loop.time() - before == pytest.approx(25.0, abs=1e-3)
        assert sum(market.counters.values()) == sent


def test_fills_come_over_a_real_socket_too() -> None:
    market = simulator()
    with (
        ThreadedTwsServer(market) as server,
        IBKRBroker("paper", client_id=12, port=server.port, environ={}) as broker,
    ):
        broker.place(an_order())
        reports: list[BrokerReport] = []
        while not any(fill.commission for fill in fills_of(reports).values()):
            heard = broker.reports(10.0)
            assert heard, "no report within 10 s"
            reports += heard
        assert broker.orders["r1"].status is OrderStatus.FILLED


def test_cancelling_everything_ends_all_orders_with_one_message() -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        for number in range(5):
            broker.place(an_order(f"r{number}", limit="100.00"))
        until_quiet(broker)
        broker.cancel_everything()
        until_quiet(broker)
        assert {state.status for state in broker.orders.values()} == {OrderStatus.CANCELLED}
    assert market.counters["reqGlobalCancel"] == 1


# What breaks.


def _drop_first(peer: Meddler, message_id: str) -> None:
    dropped = []

    def edit(fields: Fields) -> list[Fields]:
        if fields[0] == message_id and not dropped:
            dropped.append(fields)
            return []
        return [fields]

    peer.edit = edit


def test_an_execution_that_was_lost_is_asked_for() -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        _drop_first(peer, "11")
        broker.place(an_order())
        first = broker.reports(1.0)
        assert not fills_of(first)
        assert broker.orders["r1"].status is OrderStatus.WORKING
        reports = [report for _ in range(3) for report in broker.reports(5.0)]
        assert broker.orders["r1"].status is OrderStatus.FILLED
        assert sum(fill.quantity for fill in fills_of(reports).values()) == 100


@pytest.mark.expects_client_errors
def test_a_fill_that_cannot_be_decoded_is_counted() -> None:
    peer = Meddler(simulator())
    peer.edit = lambda f: [(*f[:15], "20261119 10:00:00 Mars/Base", *f[16:])] if f[0] == "11" else [f]
    with open_broker(peer) as (broker, _):
        broker.place(an_order())
        broker.reports(1.0)
        assert broker.undecodable_frames == 1


@pytest.mark.parametrize("reached", [True, False])
def test_an_order_whose_answer_was_cut_off_is_unknown_until_the_next_session_tells(reached: bool) -> None:
    market = simulator()
    peer = Meddler(market)
    with open_broker(peer) as (broker, _):
        broker.instruments(["AAPL"])
        peer.edit = lambda fields: []  # TWS's answers are lost ...
        if not reached:
            peer.is_frozen = True  # ... or the order itself is
        broker.place(an_order())
        assert broker.reports(0.5) == []
        peer.hang_up()
        peer.is_frozen = False
        assert [report.state.status for report in broker.reports(1.0)] == [OrderStatus.UNKNOWN]
        with pytest.raises(ConnectionLost, match="no session"):
            broker.reports(1.0)
        with pytest.raises(ConnectionLost):
            broker.place(an_order("r2"))
        peer.edit = lambda fields: [fields]
        broker.connect()
        reports = until_quiet(broker, 0.5)
        if reached:
            assert broker.orders["r1"].status is OrderStatus.FILLED
            assert sum(fill.quantity for fill in fills_of(reports).values()) == 100
            assert "r1" in broker.seen_refs
        else:
            broker.refresh()
            assert broker.orders["r1"].status is OrderStatus.UNKNOWN  # absent, but that is for the desk to conclude
            assert "r1" not in broker.seen_refs
    assert market.counters["placeOrder"] == int(reached)


def test_another_process_adopts_a_working_order_and_cancels_it() -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        broker.place(an_order(limit="100.00"))
        until_quiet(broker)
    with open_broker(market) as (broker, _):
        assert broker.adopt(an_order(limit="100.00")).status is OrderStatus.UNKNOWN
        broker.refresh()
        assert broker.orders["r1"].status is OrderStatus.WORKING
        assert broker.cancel("r1").status is OrderStatus.CANCEL_PENDING
        until_quiet(broker)
        assert broker.orders["r1"].status is OrderStatus.CANCELLED


def test_another_process_adopts_an_order_that_has_filled() -> None:
    market = simulator()
    with open_broker(market) as (broker, _):
        broker.place(an_order())
    with open_broker(market) as (broker, _):
        broker.adopt(an_order())
        broker.refresh()
        reports = until_quiet(broker)
        assert broker.orders["r1"].status is OrderStatus.FILLED
        fills = fills_of(reports)
        assert sum(fill.quantity for fill in fills.values()) == 100


@pytest.mark.expects_client_errors
def test_nothing_is_sent_while_tws_has_lost_ibkr_and_orders_are_asked_for_when_it_is_back() -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, _):
        broker.instruments(["AAPL"])
        peer.say(("4", "2", "-1", "1100", "Connectivity between IB and TWS has been lost.", ""))
        broker.reports(1.0)
        assert broker.connectivity_lost
        with pytest.raises(ConnectionLost, match="1100"):
            broker.place(an_order())
        peer.say(("4", "2", "-1", "1102", "restored", ""))
        asked = peer.simulator.counters["reqExecutions"]
        broker.reports(5.0)
        assert peer.simulator.counters["reqExecutions"] == asked + 1
        assert broker.place(an_order()).status is OrderStatus.SUBMITTING


def test_silence_is_broken_by_a_sign_of_life() -> None:
    market = simulator()
    with open_broker(market) as (broker, loop):
        for _ in range(50):
            broker.reports(2.0)
        assert broker.is_connected
        assert loop.time() >= 100
    assert market.counters["reqCurrentTime"] >= 1


def test_a_frozen_tws_is_noticed() -> None:
    peer = Meddler(simulator())
    with open_broker(peer) as (broker, loop):
        peer.is_frozen = True
        with pytest.raises(ConnectionLost):
            for _ in range(100):
                broker.reports(1.0)
        assert 30.0 <= loop.time() <= 45.0
        peer.is_frozen = False


def test_a_reconnect_to_another_account_is_refused() -> None:
    first, second = simulator(accounts=("DU1",)), simulator(accounts=("DU2",))
    with virtual(first) as loop:
        broker = IBKRBroker.open("paper", client_id=12, loop=loop, environ={})
        broker.close()
        loop.stop_listening("127.0.0.1", 7497)
        loop.listen("127.0.0.1", 7497, second)
        with pytest.raises(AccountRefused, match="DU1 is not managed"):
            broker.connect()


def test_without_tws_the_broker_fails_with_the_cure() -> None:
    with virtual(simulator()) as loop:
        loop.stop_listening("127.0.0.1", 7497)
        with pytest.raises(ConnectionFailed, match="start TWS"):
            IBKRBroker.open("paper", client_id=12, loop=loop, environ={})


def test_states_are_values() -> None:
    with open_broker(simulator()) as (broker, _):
        before: OrderState = broker.place(an_order())
        until_quiet(broker)
        assert before.status is OrderStatus.SUBMITTING
