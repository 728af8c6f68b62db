"""A quarter of an hour of trading under generated faults; prints one hash per seed.

python -m tests.tws_sim.chaos_day 0 200
"""

import asyncio
import hashlib
import logging
import sys
from collections.abc import Iterable
from unittest.mock import patch

from ib_async import IB, LimitOrder, MarketOrder, Stock

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.chaos import chaos_scenario
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.faulty_session import FaultySession
from quant_trading.tws_sim.scenario import read_scenario
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.virtual import DeadlockError, VirtualLoop

HOST, PORT = "127.0.0.1", 7497
SYMBOLS = ("AAPL", "MSFT", "AMZN")


async def trade() -> None:
    """Connect again and again, trade a little, ask for everything."""
    ib = IB()
    for attempt in range(8):
        try:
            if not ib.isConnected():
                await asyncio.wait_for(ib.connectAsync(HOST, PORT, clientId=7, timeout=5), 60)
            contract = Stock(SYMBOLS[attempt % 3], "SMART", "USD")
            await asyncio.wait_for(ib.qualifyContractsAsync(contract), 20)
            ib.reqMktData(contract)
            market = ib.placeOrder(contract, MarketOrder("BUY", 100))
            resting = LimitOrder("BUY", 50, 50.0, tif="GTC")
            ib.placeOrder(contract, resting)
            await asyncio.sleep(20)
            ib.cancelMktData(contract)
            ib.cancelOrder(resting)
            await asyncio.wait_for(ib.reqExecutionsAsync(), 20)
            await asyncio.wait_for(ib.reqPositionsAsync(), 20)
            await asyncio.sleep(60 if market.isDone() else 90)
        except (TimeoutError, OSError, ConnectionError, IndexError):
            await asyncio.sleep(15)
    ib.disconnect()
    await asyncio.sleep(1)


# The pieces of a fragmented stream reach the client at one moment: handed over as one, nothing in the transcript
# changes, and the client is not called for every byte of a whole day.
@patch.object(FaultySession, "write_size", 0)
def transcript_hashes(seeds: Iterable[int]) -> list[str]:
    """Return the hash of every byte that passed, with its simulated time, for each seed."""
    logging.disable(logging.CRITICAL)
    tape = open_source("seed:7")
    hashes = []
    for seed in seeds:
        scenario = read_scenario(chaos_scenario(seed), f"chaos-{seed}")
        gateway = scenario.behind(Simulator(tape, SimConfig(), at_morning()))
        digest = hashlib.sha256()
        gateway.watcher = lambda ns, number, way, data, digest=digest: digest.update(  # type: ignore[misc]
            f"{ns} {number} {way} {len(data)} ".encode() + data
        )
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        loop.listen(HOST, PORT, gateway)
        try:
            loop.run_until_complete(trade())
        except DeadlockError:
            digest.update(b"deadlock")
        finally:
            digest.update(f"{gateway.now_ns} {sorted(gateway.fired.items())}".encode())
            for task in asyncio.all_tasks(loop):
                task.cancel()
            asyncio.set_event_loop(None)
            loop.close()
        hashes.append(digest.hexdigest())
    logging.disable(logging.NOTSET)
    return hashes


def at_morning() -> int:
    """Return a Thursday at 10:00 New York, UTC ns."""
    from datetime import date

    return at(date(2026, 11, 19), "10:00")


if __name__ == "__main__":
    first, last = int(sys.argv[1]), int(sys.argv[2])
    print("\n".join(transcript_hashes(range(first, last))))
