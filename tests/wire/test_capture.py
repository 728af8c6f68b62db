"""An ib_async session through the recording proxy, read back, played again, compared."""

import asyncio
import io
from dataclasses import replace
from typing import Any

import pytest
from ib_async import IB, LimitOrder, MarketOrder, Stock

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.differences import differences
from quant_trading.tws_sim.playback import ServerPlayback, play_to_port, play_to_simulator
from quant_trading.tws_sim.proxy import RecordingProxy, TranscriptFile
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.transcript import Direction, Transcript, parse_transcript
from tests.wire.conftest import IbAsyncLog
from tests.wire.test_ib_async import THURSDAY, all_done

START = at(THURSDAY, "10:00") + 500_000_000


def market() -> Simulator:
    return Simulator(open_source("seed:7"), SimConfig(accounts=("DU7654321",)), START)


async def trade(port: int, client_id: int) -> list[str]:
    """Do a bit of everything; return what the client knows in the end."""
    ib = IB()
    ib.RequestTimeout = 10
    await ib.connectAsync("127.0.0.1", port, clientId=client_id, timeout=10)
    try:
        stock = Stock("AAPL", "SMART", "USD")
        await ib.qualifyContractsAsync(stock)
        bars = await ib.reqHistoricalDataAsync(stock, "", "1 M", "1 day", "TRADES", True)
        bought = ib.placeOrder(stock, MarketOrder("BUY", 100, orderRef="desk-1"))
        await all_done(ib, bought)
        resting = ib.placeOrder(stock, LimitOrder("BUY", 10, round(bars[-1].close / 2, 2)))
        while resting.orderStatus.status != "Submitted":
            await asyncio.wait_for(ib.updateEvent, 10)
        ib.cancelOrder(resting.order)
        while not resting.isDone():
            await asyncio.wait_for(ib.updateEvent, 10)
        return [
            *ib.managedAccounts(),
            *(f"{p.contract.symbol} {p.position} {p.avgCost:.4f}" for p in ib.positions()),
            *(f"{bar.date} {bar.close}" for bar in bars),
        ]
    finally:
        ib.disconnect()


async def recorded_session(server_port: int, file: io.StringIO) -> list[list[str]]:
    """Two clients, one after the other, through a proxy that writes to `file`."""
    with TranscriptFile(file, server="127.0.0.1") as out:
        async with RecordingProxy(out, ("127.0.0.1", server_port)) as proxy:
            return [await trade(proxy.port, 1), await trade(proxy.port, 2)]


@pytest.fixture(scope="module")
def session() -> tuple[Transcript, list[list[str]]]:
    file = io.StringIO()
    with ThreadedTwsServer(market()) as server:
        seen = asyncio.run(recorded_session(server.port, file))
    assert "DU7654321" in seen[0][0]
    return parse_transcript(file.getvalue()), seen


def test_the_record_is_whole_readable_and_anonymous(session: tuple[Transcript, Any]) -> None:
    transcript, _ = session
    assert transcript.notes == {"server": "127.0.0.1"}
    assert list(transcript.connections()) == [1, 2]
    for records in transcript.connections().values():
        assert [record.name for record in records[:5]] == ["opened", "hello", "version", "startApi", "managedAccounts"]
        assert (records[-1].name, records[-1].get("by")) == ("closed", "client")
    assert [r for r in transcript.records if any(path.startswith("?") for path, _ in r.fields)] == []
    texts = {text for record in transcript.records for _, text in record.fields}
    assert "DU0000001" in texts
    assert "desk-1" in texts
    assert not [text for text in texts if "7654321" in text]
    times = [record.at_us for record in transcript.records]
    assert times == sorted(times)


def test_played_to_a_fresh_simulator_nothing_differs(session: tuple[Transcript, Any]) -> None:
    transcript, _ = session
    assert differences(transcript, play_to_simulator(transcript, market())) == []


def test_played_to_a_port_nothing_differs(session: tuple[Transcript, Any]) -> None:
    transcript, _ = session
    with ThreadedTwsServer(market()) as server:
        again = asyncio.run(play_to_port(transcript, "127.0.0.1", server.port))
    assert differences(transcript, again) == []


def test_a_changed_price_is_shown_as_exactly_that_field(session: tuple[Transcript, Any]) -> None:
    transcript, _ = session
    records = list(transcript.records)
    place = next(i for i, record in enumerate(records) if record.name == "historicalData")
    changed = [(path, "1.23" if path == "bars[4].close" else text) for path, text in records[place].fields]
    was = records[place].get("bars[4].close")
    records[place] = replace(records[place], fields=tuple(changed))
    [found] = differences(Transcript(tuple(records)), play_to_simulator(transcript, market()))
    assert (found.connection, found.direction, found.message) == (1, Direction.SERVER, "historicalData")
    assert (found.field, found.left, found.right) == ("bars[4].close", "1.23", was)


def test_another_market_is_seen(session: tuple[Transcript, Any]) -> None:
    transcript, _ = session
    other = Simulator(open_source("seed:8"), SimConfig(accounts=("DU7654321",)), START)
    found = differences(transcript, play_to_simulator(transcript, other))
    assert {"bars[0].open", "price"} <= {difference.field for difference in found}


def test_the_servers_side_is_played_to_the_client(
    session: tuple[Transcript, list[list[str]]], ib_async_log: IbAsyncLog
) -> None:
    transcript, seen = session

    ib_async_log.expect(202)

    async def run() -> tuple[list[list[str]], Transcript]:
        async with ServerPlayback(transcript) as server:
            again = [await trade(server.port, 1), await trade(server.port, 2)]
            await asyncio.wait_for(server.is_over.wait(), 10)
        return again, server.heard()

    again, heard = asyncio.run(run())
    assert again == [["DU0000001", *rows[1:]] for rows in seen]
    assert differences(transcript, heard) == []
