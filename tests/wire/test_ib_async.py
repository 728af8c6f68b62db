"""The unmodified ib_async against the simulator: over TCP and in virtual time, with the same result."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from ib_async import IB, ExecutionFilter, LimitOrder, MarketOrder, Order, Stock, Trade

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.wire.conftest import IbAsyncLog

THURSDAY = date(2026, 11, 19)
# Half a second off the full one: a turn of the virtual loop takes a microsecond, which must not show a new trade.
START = at(THURSDAY, "10:00") + 500_000_000
ACCOUNT = "DU1234567"
HOST = "127.0.0.1"

Scenario = Callable[[IB], Coroutine[Any, Any, Any]]


def market(start_ns: int = START, **settings: Any) -> Simulator:
    settings.setdefault("positions", {"MSFT": (Decimal(10), Decimal("150.00"))})
    return Simulator(open_source("seed:7"), SimConfig(**settings), start_ns)


async def connected(port: int, scenario: Scenario, client_id: int = 1) -> Any:
    """Return what a scenario finds out in a session of its own; time-outs are errors."""
    ib = IB()
    ib.RequestTimeout = 10
    await ib.connectAsync(HOST, port, clientId=client_id, timeout=10, raiseSyncErrors=True)
    try:
        return await asyncio.wait_for(scenario(ib), 4_000_000)
    finally:
        ib.disconnect()


def over_tcp(simulator: Simulator, scenario: Scenario) -> Any:
    with ThreadedTwsServer(simulator) as server:
        return asyncio.run(connected(server.port, scenario))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    yield loop
    # ib_async closes its transport in a later turn.
    loop.run_until_complete(asyncio.sleep(1))
    asyncio.set_event_loop(None)
    loop.close()


def in_virtual_time(simulator: Simulator, scenario: Scenario, loop: VirtualLoop) -> Any:
    loop.listen(HOST, 7497, simulator)
    return loop.run_until_complete(connected(7497, scenario))


async def until(ib: IB, claim: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until `claim()` holds, looked at after each packet; awaiting the event itself would miss some."""
    arrived = asyncio.Event()

    def on_update() -> None:
        arrived.set()

    ib.updateEvent += on_update
    try:
        while not claim():
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), seconds)
    finally:
        ib.updateEvent -= on_update


async def all_done(ib: IB, trade: Trade, seconds: float = 30) -> None:
    """Wait until a trade has its fill and the commission of it."""
    await until(ib, lambda: trade.isDone() and all(f.commissionReport.execId for f in trade.fills), seconds)


def statuses(trade: Trade) -> list[str]:
    """Return the states of a trade in order, each once."""
    states = [entry.status for entry in trade.log]
    return [state for before, state in zip([None, *states], states, strict=False) if state != before]


async def a_session(ib: IB) -> dict[str, Any]:
    """Read everything, trade, cancel, read again; return what was seen."""
    stock = Stock("AAPL", "SMART", "USD")
    unknown = Stock("NOSUCH", "SMART", "USD")
    [found] = await ib.qualifyContractsAsync(stock)
    [missing] = await ib.qualifyContractsAsync(unknown)
    [details] = await ib.reqContractDetailsAsync(stock)
    bars = await ib.reqHistoricalDataAsync(stock, "", "1 M", "1 day", "TRADES", True)
    head = await ib.reqHeadTimeStampAsync(stock, "TRADES", True, 1)
    before = {(v.tag, v.currency): v.value for v in await ib.accountSummaryAsync()}
    positions = [(p.contract.symbol, p.position, p.avgCost) for p in ib.positions()]

    bought = ib.placeOrder(stock, MarketOrder("BUY", 100, orderRef="buy"))
    await all_done(ib, bought)
    limit = round(bars[-1].close / 2, 2)
    rested = ib.placeOrder(stock, LimitOrder("BUY", 10, limit, orderRef="rest"))
    await until(ib, lambda: rested.orderStatus.status == "Submitted")
    listed = [(t.order.orderRef, t.orderStatus.status) for t in await ib.reqAllOpenOrdersAsync()]
    rested.order.lmtPrice = round(limit - 1, 2)
    ib.placeOrder(stock, rested.order)
    await until(ib, lambda: rested.log[-1].message == "Modified")
    ib.cancelOrder(rested.order)
    await until(ib, rested.isDone)
    sold = ib.placeOrder(stock, MarketOrder("SELL", 40, orderRef="sell"))
    await all_done(ib, sold)
    preview = await ib.whatIfOrderAsync(stock, MarketOrder("BUY", 100))
    executions = await ib.reqExecutionsAsync(ExecutionFilter())
    completed = await ib.reqCompletedOrdersAsync(True)
    [ticker] = await ib.reqTickersAsync(stock)
    await until(ib, lambda: len(ib.portfolio(ACCOUNT)) == 2)
    buys, sells = [fill.commissionReport for fill in bought.fills], [fill.commissionReport for fill in sold.fills]
    return {
        "version": ib.client.serverVersion(),
        "accounts": ib.managedAccounts(),
        "found": (found.conId, found.primaryExchange),
        "missing": missing,
        "hours": details.liquidHours,
        "bars": [(bar.date, bar.open, bar.close, bar.volume) for bar in bars],
        "head": head,
        "summary": {tag: before[tag, "USD"] for tag in ("NetLiquidation", "FullAvailableFunds", "FullInitMarginReq")},
        "positions before": positions,
        "positions": sorted((p.contract.symbol, p.position, round(p.avgCost, 6)) for p in ib.positions()),
        "portfolio": sorted((p.contract.symbol, p.position, p.marketPrice) for p in ib.portfolio(ACCOUNT)),
        "cash": [v.value for v in ib.accountValues(ACCOUNT) if (v.tag, v.currency) == ("TotalCashValue", "USD")],
        "bought": (statuses(bought), bought.orderStatus.avgFillPrice, [report.realizedPNL for report in buys]),
        "rested": (statuses(rested), listed),
        "sold": (sold.orderStatus.avgFillPrice, [(report.commission, report.realizedPNL) for report in sells]),
        "margin": float(preview.initMarginChange),
        "executions": [(f.execution.side, f.execution.orderRef, f.execution.cumQty) for f in executions],
        "completed": [(t.order.orderRef, t.orderStatus.status) for t in completed],
        "ticker": (ticker.bid, ticker.ask, ticker.last, ticker.close),
        "time": (await ib.reqCurrentTimeAsync()).timestamp(),
    }  # fmt: skip


def test_a_whole_session_is_the_same_over_tcp_and_in_virtual_time(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(200, 202)

    tcp_market, virtual_market = market(), market()
    seen = over_tcp(tcp_market, a_session)
    assert in_virtual_time(virtual_market, a_session, loop) == seen
    assert virtual_market.counters == tcp_market.counters

    ledger = tcp_market.ledgers[ACCOUNT]
    assert (seen["version"], seen["accounts"], seen["missing"]) == (178, [ACCOUNT], None)
    # The month back to 20 October: 9 sessions in October, 14 in November.
    assert (len(seen["bars"]), seen["bars"][-1][0]) == (23, THURSDAY)
    assert seen["positions before"] == [("MSFT", 10.0, 150.0)]
    assert seen["bought"][0] == ["PendingSubmit", "PreSubmitted", "Filled"]
    assert seen["rested"] == (
        ["PendingSubmit", "PreSubmitted", "Submitted", "PendingCancel", "Cancelled"],
        [("rest", "Submitted")],
    )
    _, bought_at, [realized] = seen["bought"]
    # ib_async turns the unset profit of an opening trade into 0.
    assert realized == 0.0
    sold_at, [(commission, profit)] = seen["sold"]
    assert commission == 1.0
    # 40 sold, less 1.00, against an average cost of price + 1.00 / 100
    assert profit == pytest.approx(40 * sold_at - 1 - 40 * (bought_at + 0.01), abs=1e-6)
    held = {p.contract.symbol: p for p in ledger.positions.values()}
    assert seen["positions"] == [("AAPL", 60.0, float(held["AAPL"].average_cost)), ("MSFT", 10.0, 150.0)]
    assert seen["cash"] == [f"{ledger.cash:.2f}"]
    assert seen["executions"] == [("BOT", "buy", 100.0), ("SLD", "sell", 40.0)]
    assert seen["completed"] == [("buy", "Filled"), ("rest", "Cancelled"), ("sell", "Filled")]
    assert seen["ticker"][0] < seen["ticker"][1]
    assert tcp_market.counters["placeOrder"] == 5  # two market orders, a limit, its change, the what-if


def test_live_orders_fill_as_the_day_goes_by(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> tuple[list[str], float, float]:
        stock = Stock("SPY", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        [bar] = await ib.reqHistoricalDataAsync(stock, "", "1 D", "1 day", "TRADES", True)
        trade = ib.placeOrder(stock, LimitOrder("SELL", 10, round(bar.close * 1.001, 2), tif="GTC"))
        await all_done(ib, trade, 1_000_000)
        return statuses(trade), trade.fills[0].execution.price, round(bar.close * 1.001, 2)

    states, price, limit = in_virtual_time(market(), scenario, loop)

    assert states == ["PendingSubmit", "PreSubmitted", "Submitted", "Filled"]
    assert price >= limit
    assert loop.time() > 1


def test_an_order_after_hours_is_warned_and_fills_at_the_open(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> tuple[Any, ...]:
        stock = Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        warnings: list[str] = []
        ib.errorEvent += lambda req_id, code, text, contract: warnings.append(f"{code} {text}")
        trade = ib.placeOrder(stock, MarketOrder("BUY", 5))
        await all_done(ib, trade, 100_000)
        [bar] = await ib.reqHistoricalDataAsync(stock, "", "60 S", "1 min", "TRADES", True)
        return warnings, trade.fills[0].execution.time.timestamp(), trade.fills[0].execution.price, bar.open

    warnings, filled_at, price, opened = in_virtual_time(market(at(THURSDAY, "18:00")), scenario, loop)

    assert any(w.startswith("399 ") and "2026-11-20 09:30:00 US/Eastern" in w for w in warnings), warnings
    assert filled_at == at(date(2026, 11, 20), "09:30") / 1e9
    assert price == opened


def test_requests_beyond_the_clients_own_throttle_take_the_time_they_should(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> float:
        started = loop.time()
        await asyncio.gather(*(ib.reqContractDetailsAsync(Stock("AAPL", "SMART", "USD")) for _ in range(135)))
        return loop.time() - started

    # ib_async lets 45 messages a second pass.
    assert in_virtual_time(market(), scenario, loop) == pytest.approx(3.0, abs=0.01)


def test_profit_and_quotes_stream(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> tuple[int, int, float]:
        stock = Stock("MSFT", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        pnl = ib.reqPnL(ACCOUNT)
        single = ib.reqPnLSingle(ACCOUNT, "", stock.conId)
        ticker = ib.reqMktData(stock)
        updates = {"pnl": 0, "quotes": 0}

        def count(name: str) -> Callable[..., None]:
            def run(*_: Any) -> None:
                updates[name] += 1

            return run

        ib.pnlEvent += count("pnl")
        ticker.updateEvent += count("quotes")
        lasts: list[float] = []
        ticker.updateEvent += lambda shown: lasts.append(shown.last)
        await asyncio.sleep(60.5)
        ib.cancelMktData(stock)
        ib.cancelPnL(ACCOUNT)
        ib.cancelPnLSingle(ACCOUNT, "", stock.conId)
        assert single.position == 10
        assert single.dailyPnL == pytest.approx(pnl.dailyPnL)
        # Profit is told once a second, quotes four times: its price is one of those shown lately.
        return updates["pnl"], updates["quotes"], min(abs(single.value - 10 * last) for last in lasts[-5:])

    pnl_updates, quote_updates, difference = in_virtual_time(market(), scenario, loop)

    assert pnl_updates == 61
    # A snapshot every 250 ms at most.
    assert 120 < quote_updates <= 243
    assert difference < 1e-6


def test_bars_are_kept_up_to_date(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(162)

    async def scenario(ib: IB) -> list[Any]:
        stock = Stock("SPY", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        bars = await ib.reqHistoricalDataAsync(stock, "", "600 S", "1 min", "TRADES", True, keepUpToDate=True)
        await asyncio.sleep(180)
        ib.cancelHistoricalData(bars)
        later = await ib.reqHistoricalDataAsync(stock, "", "720 S", "1 min", "TRADES", True)
        known = {bar.date: bar for bar in later}
        # The last bar still runs; the ones before it are what history says now.
        return [bar == known[bar.date] for bar in bars[:-1] if bar.date in known]

    same = in_virtual_time(market(), scenario, loop)

    assert len(same) >= 10
    assert all(same)


def test_a_rejected_order_is_inactive_and_the_rest_goes_on(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(201)

    async def scenario(ib: IB) -> tuple[str, str]:
        refused, good = Stock("AAPL", "SMART", "USD"), Stock("SPY", "SMART", "USD")
        await ib.qualifyContractsAsync(refused, good)
        first = ib.placeOrder(refused, MarketOrder("BUY", 5))
        second = ib.placeOrder(good, MarketOrder("BUY", 5))
        await all_done(ib, second)
        return first.orderStatus.status, second.orderStatus.status

    assert in_virtual_time(market(reject={"AAPL": (201, "")}), scenario, loop) == ("Inactive", "Filled")


def test_an_untransmitted_order_waits_for_its_transmission(loop: VirtualLoop) -> None:
    async def scenario(ib: IB) -> list[str]:
        stock = Stock("SPY", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        trade = ib.placeOrder(stock, Order(action="BUY", totalQuantity=5, orderType="MKT", transmit=False))
        await asyncio.sleep(60)
        held = trade.orderStatus.status
        trade.order.transmit = True
        ib.placeOrder(stock, trade.order)
        await all_done(ib, trade)
        return [held, trade.orderStatus.status]

    assert in_virtual_time(market(), scenario, loop) == ["PendingSubmit", "Filled"]


def test_a_second_session_of_the_same_client_id_is_refused(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(326)
    ib_async_log.expect(words="Peer closed connection")
    ib_async_log.expect(words="API connection failed")

    async def scenario(ib: IB) -> bool:
        with pytest.raises((TimeoutError, ConnectionError)):
            await connected(7497, scenario)
        return ib.isConnected()

    assert in_virtual_time(market(), scenario, loop)


def test_orders_and_ids_survive_a_reconnect(loop: VirtualLoop, ib_async_log: IbAsyncLog) -> None:
    ib_async_log.expect(202)

    async def place(ib: IB) -> int:
        stock = Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        trade = ib.placeOrder(stock, LimitOrder("BUY", 5, 1.00, tif="GTC", orderRef="stay"))
        await asyncio.sleep(1)
        return trade.order.orderId

    async def find(ib: IB) -> tuple[Any, ...]:
        [trade] = ib.openTrades()
        new = ib.client.getReqId()
        ib.cancelOrder(trade.order)
        await until(ib, trade.isDone)
        return trade.order.orderRef, trade.order.orderId, new > trade.order.orderId

    simulator = market()
    order_id = in_virtual_time(simulator, place, loop)
    assert loop.run_until_complete(connected(7497, find)) == ("stay", order_id, True)
