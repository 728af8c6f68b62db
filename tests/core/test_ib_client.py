"""The bound client: every call on its own loop, every raw message seen, nothing sent that may not be."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import LimitOrder, Stock
from ib_async.client import Client

from quant_trading.core.ib_client import ORDER_MESSAGES, BoundIB, RawListener
from quant_trading.domain.errors import AccountRefused, UsageError
from tests.core.meddler import Meddler, frame, simulator, virtual


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


def _no_loop() -> asyncio.AbstractEventLoop:
    raise AssertionError("working off a packet needs no loop")


def _fed(packets: Sequence[bytes], feed: Callable[[Any, bytes], None]) -> tuple[list[list[str]], bytes, int]:
    """Return what a client that is logged on hands to its decoder, what it keeps for later, and its count."""
    client: Any = BoundIB(_no_loop, listener=RawListener()).client
    client._serverVersion, client._apiReady = 178, True
    heard: list[list[str]] = []
    client.decoder.interpret = heard.append
    for packet in packets:
        feed(client, packet)
    return heard, client._data, client._numMsgRecv


@given(st.lists(st.lists(st.sampled_from(["", "1", "ä", "x" * 300]), min_size=1), max_size=5), st.data())
def test_packets_are_worked_off_as_the_library_does(messages: list[list[str]], data: st.DataObject) -> None:
    begun = data.draw(st.sampled_from([b"", b"\0\0", b"\0\0\0\x09a"]))
    stream = b"".join(frame(tuple(message)) for message in messages) + begun
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    packets = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    ours = _fed(packets, lambda client, packet: client._onSocketHasData(packet))
    assert ours == _fed(packets, Client._onSocketHasData)
    assert ours[0] == messages


def test_a_handler_that_hangs_up_ends_the_packet() -> None:
    client: Any = BoundIB(_no_loop, listener=RawListener()).client
    client._serverVersion, client._apiReady = 178, True
    heard = []

    def interpret(fields: list[str]) -> None:
        heard.append(fields)
        client.reset()

    client.decoder.interpret = interpret
    client._onSocketHasData(frame(("1", "a")) + frame(("2", "b")))
    assert (heard, client._data) == ([["1", "a"]], b"")


def test_whoever_asks_for_the_time_at_once_is_answered() -> None:
    """The answer names no request: of five questions in one moment the library would answer the last one only."""
    with virtual(simulator()) as loop:
        ib = _bound(loop, RawListener(), read_only=True)
        ib.connect("127.0.0.1", 7497, clientId=9)

        async def ask() -> list[Any]:
            given_up = asyncio.ensure_future(asyncio.wait_for(ib.reqCurrentTimeAsync(), 1e-9))
            asked = [asyncio.wait_for(ib.reqCurrentTimeAsync(), 10.0) for _ in range(5)]
            said = await asyncio.gather(*asked, return_exceptions=True)
            with pytest.raises(TimeoutError):  # whose waiter did not stay, and held up nobody
                await given_up
            return said

        said = ib.run(ask())
        assert {type(one) for one in said} == {datetime}, said
        assert max(said) - min(said) <= timedelta(seconds=1)
        assert ib.reqCurrentTime() >= max(said)
        ib.disconnect()
        ib.sleep(0)


def test_who_waits_for_the_time_hears_that_the_session_broke() -> None:
    peer = Meddler(simulator())
    with virtual(peer) as loop:
        ib = _bound(loop, RawListener(), read_only=True)
        ib.connect("127.0.0.1", 7497, clientId=9)
        peer.edit = lambda fields: []  # TWS is silent
        loop.call_later(2.0, peer.hang_up)

        async def ask() -> list[Any]:
            return await asyncio.gather(*[ib.reqCurrentTimeAsync() for _ in range(3)], return_exceptions=True)

        said = ib.run(ask(), timeout=10.0)
        assert {type(one) for one in said} == {ConnectionError}, said
