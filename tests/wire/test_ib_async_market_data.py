"""The unmodified ib_async sees the market of the simulator: streams, ticks, books, scans, news, derivatives."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from ib_async import IB, ContFuture, Contract, Forex, Future, Index, Option, ScannerSubscription, Stock

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.wire.conftest import IbAsyncLog

THURSDAY = date(2026, 11, 19)
START = at(THURSDAY, "10:00") + 500_000_000
HOST, PORT = "127.0.0.1", 7497
SECOND_NS = 1_000_000_000

Scenario = Callable[[IB], Coroutine[Any, Any, Any]]


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.run_until_complete(asyncio.sleep(1))
    asyncio.set_event_loop(None)
    loop.close()


def run(loop: VirtualLoop, scenario: Scenario, **settings: Any) -> Any:
    simulator = Simulator(open_source("seed:7"), SimConfig(**settings), START)
    loop.listen(HOST, PORT, simulator)

    async def connected() -> Any:
        ib = IB()
        ib.RequestTimeout = 10
        await ib.connectAsync(HOST, PORT, clientId=1, timeout=10, raiseSyncErrors=True)
        try:
            return await scenario(ib)
        finally:
            ib.disconnect()

    return loop.run_until_complete(connected())


def test_streams_show_one_market(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> Any:
        stock = Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        bars = ib.reqRealTimeBars(stock, 5, "TRADES", True)
        trades = []
        ticker = ib.reqTickByTickData(stock, "AllLast")
        ticker.updateEvent += lambda shown: trades.extend(shown.tickByTicks)
        depth = ib.reqMktDepth(stock, numRows=5, isSmartDepth=True)
        ib.reqMktData(stock, "233,236")
        await asyncio.sleep(40)
        return bars, trades, ticker, depth

    bars, trades, ticker, depth = run(loop, scenario)
    assert len(bars) == 8
    assert len(trades) > 100
    assert sum(bar.count for bar in bars[1:7]) <= len(trades)
    assert min(tick.price for tick in trades) <= bars[3].low <= bars[3].high <= max(tick.price for tick in trades)
    assert (len(depth.domBids), len(depth.domAsks)) == (5, 5)
    assert depth.domBids[0].price < depth.domAsks[0].price
    assert ticker.bid <= ticker.last <= ticker.ask
    assert ticker.shortable == 3
    assert ticker.rtTradeVolume or ticker.rtVolume or ticker.vwap > 0


def test_questions_about_the_past(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> Any:
        stock = Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        start = datetime(2026, 11, 19, 14, 31, tzinfo=UTC)
        ticks = [
            await ib.reqHistoricalTicksAsync(stock, start, "", 50, what, useRth=True)
            for what in ("TRADES", "BID_ASK", "MIDPOINT")
        ]
        schedule = await ib.reqHistoricalScheduleAsync(stock, 5)
        histogram = await ib.reqHistogramDataAsync(stock, True, "2 days")
        head = await ib.reqHeadTimeStampAsync(stock, "TRADES", True, 2)
        return ticks, schedule, histogram, head

    (trades, quotes, middles), schedule, histogram, head = run(loop, scenario)
    assert all(len(found) >= 50 for found in (trades, quotes, middles))
    assert trades[0].time >= datetime(2026, 11, 19, 14, 31, tzinfo=UTC)
    assert all(quote.priceBid < quote.priceAsk for quote in quotes)
    assert middles[0].price == pytest.approx((quotes[0].priceBid + quotes[0].priceAsk) / 2)
    assert [session.refDate for session in schedule.sessions][-1] == "20261119"
    assert sum(row.count for row in histogram) > 0
    assert head.year == 2000


def test_derivatives_are_qualified_and_quoted(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> Any:
        stock = Stock("AAPL", "SMART", "USD")
        contracts: list[Contract] = [
            stock, Forex("EURUSD"), Index("SPX", "CBOE"), Future("ES", "202612", "CME"), ContFuture("NQ", "CME"),
            Contract(secType="CRYPTO", symbol="BTC", exchange="PAXOS", currency="USD"),
        ]  # fmt: skip
        await ib.qualifyContractsAsync(*contracts)
        [chain] = [
            chain for chain in await ib.reqSecDefOptParamsAsync("AAPL", "", "STK", stock.conId)
            if chain.exchange == "SMART"
        ]  # fmt: skip
        option = Option("AAPL", chain.expirations[1], chain.strikes[len(chain.strikes) // 2], "C", "SMART")
        await ib.qualifyContractsAsync(option)
        tickers = await ib.reqTickersAsync(*contracts[:4], contracts[5], option)
        priced = await ib.calculateOptionPriceAsync(option, 0.3, 200.0)
        return contracts, option, tickers, priced

    contracts, option, tickers, priced = run(loop, scenario)
    assert all(contract.conId for contract in (*contracts, option))
    assert [contract.localSymbol for contract in contracts[1:5]] == ["EUR.USD", "SPX", "ESZ6", "NQZ6"]
    forex, index = tickers[1], tickers[2]
    assert forex.bid < forex.ask
    assert index.last > 1000
    greeks = tickers[5].modelGreeks
    assert greeks is not None
    assert 0 < greeks.delta < 1
    assert priced.optPrice > 0


@pytest.mark.slow
def test_scans_and_news(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(10276, 162)

    async def scenario(ib: IB) -> Any:
        xml = await ib.reqScannerParametersAsync()
        where = {"instrument": "STK", "locationCode": "STK.US.MAJOR"}
        scan = ScannerSubscription(scanCode="MOST_ACTIVE", numberOfRows=5, **where)
        rows = await ib.reqScannerDataAsync(scan)
        providers = await ib.reqNewsProvidersAsync()
        [stock] = await ib.qualifyContractsAsync(Stock("COIN", "SMART", "USD"))
        news = await ib.reqHistoricalNewsAsync(stock.conId, "SIMN", "", "", 5)
        article = await ib.reqNewsArticleAsync(news[0].providerCode, news[0].articleId)
        return xml, rows, providers, news, article

    xml, rows, providers, news, article = run(loop, scenario)
    assert "MOST_ACTIVE" in xml
    assert [row.rank for row in rows] == [0, 1, 2, 3, 4]
    assert [provider.code for provider in providers] == ["SIMN", "SIMC"]
    assert "COIN" in news[0].headline
    assert "closed at" in article.articleText


def test_delayed_data_comes_under_its_own_names(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(354, 10167)

    async def scenario(ib: IB) -> Any:
        [stock] = await ib.qualifyContractsAsync(Stock("MSFT", "SMART", "USD"))
        refused = ib.reqMktData(stock)
        await asyncio.sleep(2)
        nothing = refused.last
        ib.cancelMktData(stock)
        ib.reqMarketDataType(3)
        ticker = ib.reqMktData(stock)
        await asyncio.sleep(2)
        return nothing, ticker.marketDataType, ticker.last

    ib_async_log.expect(300)
    nothing, kind, last = run(loop, scenario, market_data={"MSFT": "delayed"})
    assert nothing != nothing  # not a number
    assert kind == 3
    tape = open_source("seed:7")
    [contract] = [c for c in tape.contracts() if (c.symbol, c.currency) == ("MSFT", "USD")]
    quote = tape.quote(contract, START + 4 * SECOND_NS - 900 * SECOND_NS)
    assert quote is not None
    assert last == float(quote.last)
