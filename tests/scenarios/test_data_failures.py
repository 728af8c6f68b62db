"""Failures 16 to 24: data that does not come, or comes late, or means something else."""

import asyncio
import math

import pytest
from ib_async import Stock

from tests.scenarios.stage import Stage, stage

pytestmark = pytest.mark.expects_client_errors


def test_16_a_slow_answer_no_data_and_a_pacing_violation_look_alike() -> None:
    """Row 16: erdewit/ib_insync#268, #687, ib-api-reloaded/ib_async#88, Lean.Brokerages.InteractiveBrokers#201,
    QuantConnect/Lean#607.

    Three different answers are the same empty list to the script.
    """

    async def script(on: Stage) -> tuple[list[int], float]:
        ib = await on.connect()
        contract = await on.stock(ib)
        found = []
        begin = on.loop.time()
        for _ in range(3):
            bars = await ib.reqHistoricalDataAsync(contract, "", "1 D", "5 mins", "TRADES", True)
            found.append(len(bars))
        waited = on.loop.time() - begin
        patient = await ib.reqHistoricalDataAsync(contract, "", "1 D", "5 mins", "TRADES", True, timeout=120)
        assert len(patient) > 0  # there was data all the while
        ib.disconnect()
        return found, waited

    with stage("F16_history_times_out") as on:
        found, waited = on.play(script)
        assert found == [0, 0, 0]
        assert waited == pytest.approx(60, abs=0.1)  # the client's own patience; refusals come at once
        assert on.codes().count(162) == 3  # the cancelled query, no data, pacing


def test_17_running_bars_stop() -> None:
    """Row 17: ib-api-reloaded/ib_async#29, erdewit/ib_insync#333, #391, #653.

    Updates stop without an error; the last bar stays as it was, and the minutes after it are missing.
    """

    async def script(on: Stage) -> tuple[int, float]:
        ib = await on.connect()
        contract = await on.stock(ib)
        bars = await ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "TRADES", True, keepUpToDate=True)
        before = len(bars)
        heard: list[float] = []
        bars.updateEvent += lambda *_: heard.append(on.loop.time())
        await asyncio.sleep(600)
        ib.disconnect()
        return len(bars) - before, max(heard)

    with stage("F17_running_bars_stop") as on:
        more, last = on.play(script)
        assert more <= 1
        assert last < 30
        assert on.codes() == []


@pytest.mark.slow
def test_18_more_than_fifty_histories() -> None:
    """Row 18: erdewit/ib_insync#241, #293.

    The script keeps bars of 60 symbols up to date and looks at what it gets: ten of them are empty for ever.
    """

    async def script(on: Stage) -> int:
        ib = await on.connect()
        known = [one for one in on.simulator.parts.book.all() if one.sec_type == "STK" and one.currency == "USD"][:60]
        empty = 0
        for one in known:
            contract = Stock(one.symbol, "SMART", "USD", conId=one.con_id)
            bars = await ib.reqHistoricalDataAsync(contract, "", "1 D", "5 mins", "TRADES", True, keepUpToDate=True)
            empty += not bars
            await asyncio.sleep(1)
        ib.disconnect()
        return empty

    with stage("F18_too_many_histories") as on:
        assert on.play(script) == 10
        assert on.codes() == [322] * 10


def test_19_a_competing_session_has_the_data() -> None:
    """Row 19: Lean.Brokerages.InteractiveBrokers#140, #212, #219, wboayue/rust-ibapi#683.

    The subscription is there, the script is connected, and no price ever comes.
    """

    async def script(on: Stage) -> float:
        ib = await on.connect()
        ticker = ib.reqMktData(await on.stock(ib))
        await asyncio.sleep(600)
        assert ib.isConnected()
        ib.disconnect()
        return ticker.last

    with stage("F19_competing_session") as on:
        assert math.isnan(on.play(script))
        assert on.codes() == [10197]


def test_20_an_advisory_is_taken_for_fatal() -> None:
    """Row 20: wboayue/rust-ibapi#768, deephaven-examples/deephaven-ib#45.

    10167 announces delayed data. The script gives up on the first error with its id; the data was coming.
    """

    async def script(on: Stage) -> tuple[bool, float]:
        ib = await on.connect()
        failed = asyncio.Event()
        ib.errorEvent += lambda req_id, *_: failed.set() if req_id > 0 else None
        ticker = ib.reqMktData(await on.stock(ib))
        await asyncio.wait_for(failed.wait(), 10)
        gave_up = failed.is_set()
        await asyncio.sleep(1)
        ib.disconnect()
        return gave_up, ticker.last

    with stage("F20_advisory_taken_for_fatal") as on:
        gave_up, last = on.play(script)
        assert gave_up
        assert last > 0
        assert on.codes() == [10167]


def test_21_the_first_tick_is_slow() -> None:
    """Row 21: erdewit/ib_insync#154, #451, brndnmtthws/thetagang#576.

    The script waits two seconds, as the examples do, and trades on nan.
    """

    async def script(on: Stage) -> tuple[float, float]:
        ib = await on.connect()
        ticker = ib.reqMktData(await on.stock(ib))
        await asyncio.sleep(2)
        price = ticker.marketPrice()
        await asyncio.sleep(11)
        later = ticker.marketPrice()
        ib.disconnect()
        return price, later

    with stage("F21_slow_first_tick") as on:
        price, later = on.play(script)
        assert math.isnan(price)
        assert later > 0


def test_22_the_account_summary_hangs() -> None:
    """Row 22: erdewit/ib_insync#689.

    The values are there, their end is not: the call never returns.
    """

    async def script(on: Stage) -> int:
        ib = await on.connect()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.accountSummaryAsync(), 3600)
        got = len(ib.wrapper.acctSummary)
        ib.disconnect()
        return got

    with stage("F22_summary_hangs") as on:
        assert on.play(script) > 10


def test_23_the_end_time_is_refused() -> None:
    """Row 23: ib-api-reloaded/ib_async#132, dimitrivinet/backtrader_ib_insync#6.

    "2026-11-19 10:00" is how people write it. 10314, and an empty list as if nothing had traded.
    """

    async def script(on: Stage) -> tuple[int, int]:
        ib = await on.connect()
        contract = await on.stock(ib)
        naive = await ib.reqHistoricalDataAsync(contract, "2026-11-19 10:00:00", "1 D", "5 mins", "TRADES", True)
        right = await ib.reqHistoricalDataAsync(contract, "20261119-15:00:00", "1 D", "5 mins", "TRADES", True)
        ib.disconnect()
        return len(naive), len(right)

    with stage("F23_end_time_refused") as on:
        naive, right = on.play(script)
        assert naive == 0
        assert right > 0
        assert on.codes() == [10314]


def test_24_tws_speaks_a_newer_protocol() -> None:
    """Row 24: ib-api-reloaded/ib_async#138, #147, #185, wboayue/rust-ibapi#412, #492, #527.

    A TWS that speaks nothing older than 213: the client takes the version for a good one, says in text what
    TWS expects in protobuf, and is hung up on.
    """

    async def script(on: Stage) -> None:
        with pytest.raises((TimeoutError, ConnectionError)):
            await on.connect(timeout=4)

    with stage("F24_newer_protocol") as on:
        on.play(script)
        assert on.simulator.counters["startApi"] == 0
