"""Failures 1 to 6: links, farms, ids and lists that do not come, against scripts as users write them."""

import asyncio

import pytest
from ib_async import LimitOrder

from tests.scenarios.stage import Stage, stage

pytestmark = pytest.mark.expects_client_errors


def test_01_subscriptions_are_dead_after_1101() -> None:
    """Row 1: erdewit/ib_insync#256, nautechsystems/nautilus_trader#1533, #1933, #3001, QuantConnect/Lean#2504.

    The script subscribes once. After 1101 it is connected, hears no error, and hears no price either.
    """

    async def script(on: Stage) -> tuple[int, int, int]:
        ib = await on.connect()
        contract = await on.stock(ib)
        ticker = ib.reqMktData(contract)
        heard: list[float] = []
        ticker.updateEvent += lambda _: heard.append(on.loop.time())
        await asyncio.sleep(300)
        assert ib.isConnected()
        # The cure, which the script does not know: ask again.
        ib.cancelMktData(contract)
        ib.reqMktData(contract)
        await asyncio.sleep(60)
        ib.disconnect()
        # What was on its way in the very second of the loss may still arrive.
        before, after = sum(at < 61 for at in heard), sum(61 <= at < 300 for at in heard)
        return before, after, len(heard) - before - after

    with stage("F01_subscriptions_dead_after_1101") as on:
        before, after, asked_again = on.play(script)
        assert before >= 30
        assert after == 0
        assert asked_again >= 30
        assert on.codes() == [1100, 1101]


def test_02_a_farm_blip_kills_bars() -> None:
    """Row 2: nautechsystems/nautilus_trader#3968 (unnoticed for eight hours).

    2103 is followed by 2104, so the script takes all for well; its running bars have stopped for good.
    """

    async def script(on: Stage) -> list[float]:
        ib = await on.connect()
        contract = await on.stock(ib)
        bars = await ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", True, keepUpToDate=True)
        assert bars
        heard: list[float] = []
        bars.updateEvent += lambda *_: heard.append(on.loop.time())
        await asyncio.sleep(600)
        assert ib.isConnected()
        ib.disconnect()
        return heard

    with stage("F02_farm_blip_kills_bars") as on:
        heard = on.play(script)
        assert len(heard) >= 30
        assert max(heard) <= 61
        assert on.codes() == [2103]
        assert [code for code, _ in on.errors].count(2104) == 2  # the greeting, and "all is well"


def test_03_the_client_id_is_in_use_on_reconnect() -> None:
    """Row 3: nautechsystems/nautilus_trader#3796.

    The script reconnects at once with its id. The old session lingers: 326, which ib_async tells as a timeout.
    """

    async def script(on: Stage) -> float:
        ib = await on.connect(client_id=5)
        gone = asyncio.Event()
        ib.disconnectedEvent += gone.set
        await gone.wait()
        with pytest.raises(TimeoutError):
            await ib.connectAsync("127.0.0.1", 7497, clientId=5, timeout=4)
        failed_at = on.loop.time()
        await asyncio.sleep(60)
        await ib.connectAsync("127.0.0.1", 7497, clientId=5, timeout=4)
        ib.disconnect()
        return failed_at

    with stage("F03_client_id_lingers") as on:
        # It was out for the whole time the client waits by itself, though TWS answered at once.
        assert on.play(script) == pytest.approx(64, abs=0.1)
        assert 326 in on.codes()


def test_04_fills_during_1100_are_never_recovered() -> None:
    """Row 4: Lean.Brokerages.InteractiveBrokers#249, #189, QuantConnect/Lean#884, #960.

    The order fills while the link is lost. 1102 says that data is maintained; the script's order works for ever.
    """

    async def script(on: Stage) -> tuple[str, int, int]:
        ib = await on.connect()
        contract = await on.stock(ib)
        [ticker] = await ib.reqTickersAsync(contract)
        trade = ib.placeOrder(contract, LimitOrder("BUY", 100, round(ticker.bid - 0.05, 2), tif="GTC"))
        await asyncio.sleep(3600)
        naive = trade.orderStatus.status, len(trade.fills)
        # The cure: ask for executions after every reconnection of the link.
        found = len(await ib.reqExecutionsAsync())
        ib.disconnect()
        return *naive, found

    with stage("F04_fills_lost_in_1100") as on:
        status, fills, found = on.play(script)
        assert on.codes() == [1100, 1102]
        assert (status, fills) == ("Submitted", 0)
        assert found == len(on.simulator.executions) == 1


def test_05_the_nightly_reset_ends_the_process() -> None:
    """Row 5: Lean.Brokerages.InteractiveBrokers#227, #246, #262, IbcAlpha/IBC#143, #251, erdewit/ib_insync#469.

    The script reconnects when the socket closes, once and at once. The port is refused: the script ends.
    """

    async def script(on: Stage) -> None:
        ib = await on.connect()
        while True:
            await asyncio.sleep(10)
            if not ib.isConnected():
                await ib.connectAsync("127.0.0.1", 7497, clientId=1)

    with stage("F05_nightly_reset") as on:
        with pytest.raises(ConnectionRefusedError):
            on.play(script)
        assert 60 <= on.loop.time() <= 75
        # Three minutes later TWS would have been there.
        on.loop.run_until_complete(asyncio.sleep(180))
        on.play(lambda on: on.connect()).disconnect()


def test_06_connecting_hangs_on_lists_without_an_end() -> None:
    """Row 6: ib-api-reloaded/ib_async#82, #84, #101, erdewit/ib_insync#224, #355, #386, #638.

    By default the client waits four seconds for each list, logs, and says it is connected, without the lists.
    """

    async def script(on: Stage) -> tuple[float, int]:
        ib = await on.connect(timeout=4)
        connected_at = on.loop.time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqPositionsAsync(), 600)
        ib.disconnect()
        return connected_at, len(ib.positions())

    with stage("F06_connect_hangs") as on:
        connected_at, _ = on.play(script)
        # Positions and completed orders are waited for together, executions after them.
        assert connected_at == pytest.approx(8, abs=0.1)
        assert on.loop.time() == pytest.approx(608, abs=0.1)
