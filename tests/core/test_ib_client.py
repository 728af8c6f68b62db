"""The bound client: every call on its own loop, every raw message seen, nothing sent that may not be."""

import asyncio
import logging
from typing import Any

import pytest
from ib_async import LimitOrder, Stock

from quant_trading.core.ib_client import ORDER_MESSAGES, BoundIB, RawListener
from quant_trading.domain.errors import AccountRefused, UsageError
from tests.core.meddler import Meddler, simulator, virtual


class _Ears(RawListener):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_order_status(self, *said: Any) -> None:
        self.heard.append(("status", said[1]))

    def on_error(self, request_id: int, code: int, text: str) -> None:
        self.heard.append(("error", code))


def _bound(loop: asyncio.AbstractEventLoop, ears: RawListener, *, read_only: bool = False) -> BoundIB:
    return BoundIB(lambda: loop, listener=ears, read_only=read_only)


def test_the_librarys_blocking_calls_run_on_the_given_loop_and_no_other() -> None:
    with virtual(simulator()) as loop:
        ib = _bound(loop, RawListener())
        ib.connect("127.0.0.1", 7497, clientId=9)
        stock = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))[0]
        bars = ib.reqHistoricalData(stock, "", "5 D", "1 day", "TRADES", True)
        assert len(bars) == 5
        before = loop.time()
        assert ib.sleep(7.0)
        assert loop.time() == pytest.approx(before + 7.0, abs=1e-3)
        assert ib.waitOnUpdate(timeout=0.5) in (True, False)
        ib.disconnect()
        ib.sleep(0)


def test_what_tws_says_is_heard_before_the_library_changes_its_mind() -> None:
    peer, ears = Meddler(simulator()), _Ears()
    with virtual(peer) as loop:
        ib = _bound(loop, ears)
        ib.connect("127.0.0.1", 7497, clientId=9)
        trade = ib.placeOrder(ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))[0], LimitOrder("BUY", 1, 100.0))
        ib.sleep(1)
        peer.say(("4", "2", str(trade.order.orderId), "10148", "cannot be cancelled, state: Filled", ""))
        ib.sleep(1)
        assert trade.orderStatus.status == "Cancelled"  # what the library makes of it: wrong, the order works
        assert ears.heard[-1] == ("error", 10148)
        assert ("status", "Cancelled") not in ears.heard
        ib.disconnect()
        ib.sleep(0)


@pytest.mark.parametrize("number", sorted(ORDER_MESSAGES))
def test_a_read_only_client_sends_none_of_the_order_messages(number: str) -> None:
    with virtual(simulator()) as loop:
        ib = _bound(loop, RawListener(), read_only=True)
        with pytest.raises(AccountRefused, match="read-only"):
            ib.client.sendMsg(f"{number}\0rest\0")


def test_a_call_from_inside_a_running_loop_is_refused() -> None:
    with virtual(simulator()) as loop:
        ib = _bound(loop, RawListener())

        async def inside() -> None:
            ib.sleep(1)

        with pytest.raises(UsageError, match="inside a running event loop"):
            loop.run_until_complete(inside())


def test_only_what_the_library_says_of_itself_is_its_error(caplog: pytest.LogCaptureFixture) -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop, caplog.at_level(logging.INFO, logger="ib_async"):
        ib = _bound(loop, RawListener())
        ib.connect("127.0.0.1", 7497, clientId=9)
        peer.say(("4", "2", "-1", "1100", "lost", ""))
        ib.sleep(1)
        ib.disconnect()
        ib.sleep(0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
