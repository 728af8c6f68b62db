"""What the simulator can do: ticks, orders, bars, memory, connecting; alone and through the ib_async client.

Prints figures with goals beside them and never fails on a time: the machine decides that. What runs in this
process alone is measured in processor time, what needs two processes by the wall clock.

    ./desk bench simulator
    python -m benchmarks.bench_simulator --only ticks orders
    python -m benchmarks.bench_simulator --profile encode
"""

import argparse
import asyncio
import cProfile
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from io import StringIO
from operator import truediv
from pathlib import Path
from typing import Any

from benchmarks.client_work import FIRST_ORDER, own_work
from benchmarks.front_doors import ROOT
from benchmarks.order_floor import FLOOR_ORDERS
from benchmarks.simulated import (
    HOST,
    START,
    VERSION,
    Figure,
    connected,
    frames,
    logged_on,
    market,
    running,
    send,
    simulator_process,
    stocks,
    with_client,
)
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.connection import Session
from quant_trading.tws_sim.fields import encode
from quant_trading.tws_sim.requests import REQUEST_NAMES
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.wire import encode_frame

SECOND_NS = 1_000_000_000
LINES = 100
TICK_SECONDS = 300
ORDERS = 1000
# A tick type that the market does not send: the end, with the figures of the other process.
LAST_WORDS = 999


def additions_per_second() -> float:
    """Return how fast this machine is at the moment, with all that runs beside us."""
    count, total = 2_000_000, 0
    begun = time.process_time()
    for number in range(count):
        total += number
    return count / (time.process_time() - begun)


# Ticks


def bench_encode() -> list[Figure]:
    """Write price ticks into a session and take the bytes: no market, no socket."""
    session = logged_on(market())
    price, count = Decimal("123.45"), 200_000
    begun = time.process_time()
    for turn in range(count // 100):
        for tick in range(100):
            session.send("tickPrice", reqId=tick, tickType=1, price=price, size=turn, attribs=0)
        session.data_to_send()
    return [
        Figure("price ticks encoded and sent, no market", count / (time.process_time() - begun), "ticks/s", 200_000)
    ]


def bench_ticks() -> list[Figure]:
    """Subscribe to 100 stocks and let the market run: tape, changes, encoding, sending."""
    tape = open_source("seed:7")
    simulator = Simulator(tape, SimConfig(), START)
    session = logged_on(simulator)
    for req_id, contract in enumerate(stocks(tape, LINES), start=1):
        send(session, "reqMktData", reqId=req_id, conId=contract.con_id, symbol=contract.symbol, secType="STK",
             exchange="SMART", currency="USD")  # fmt: skip
    session.data_to_send()
    count, begun = 0, time.process_time()
    for second in range(1, TICK_SECONDS + 1):
        simulator.advance_to(START + second * SECOND_NS)
        count += frames(session.data_to_send())
    took = time.process_time() - begun
    return [Figure("level 1 of 100 stocks, market to bytes, one core", count / took, "ticks/s", 200_000)]


class _Hurried(asyncio.Protocol):
    """A session whose market runs as fast as the client takes its ticks, once it has all its subscriptions."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._session = simulator.connect()
        self._is_free = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._is_free.set()

    def pause_writing(self) -> None:
        self._is_free.clear()

    def resume_writing(self) -> None:
        self._is_free.set()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)
        self._transport.write(self._session.data_to_send())
        if self._simulator.counters["reqMktData"] == LINES and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(self._session))

    async def _run(self, session: Session) -> None:
        begun, count = time.process_time(), 0
        for second in range(1, TICK_SECONDS + 1):
            self._simulator.advance_to(START + second * SECOND_NS)
            data = session.data_to_send()
            count += frames(data)
            self._transport.write(data)
            await self._is_free.wait()
        figures = f"{count} {time.process_time() - begun:.6f}"
        session.send("tickString", reqId=1, tickType=LAST_WORDS, value=figures)
        self._transport.write(session.data_to_send())


def serve_ticks(port_file: Path) -> int:
    """Serve one hurried client until the process is ended; tell the port in a file."""

    async def run() -> None:
        simulator = market()
        server = await asyncio.get_running_loop().create_server(lambda: _Hurried(simulator), HOST, 0)
        new = port_file.with_suffix(".new")
        new.write_text(str(server.sockets[0].getsockname()[1]), encoding="utf-8")
        new.replace(port_file)
        await server.serve_forever()

    asyncio.run(run())
    return 0


def bench_client_ticks() -> list[Figure]:
    """The same market through a socket, decoded by ib_async in another process."""

    async def program(ib: Any) -> list[Figure]:
        from ib_async import Stock

        names = [contract.symbol for contract in stocks(open_source("seed:7"), LINES)]
        contracts = await ib.qualifyContractsAsync(*(Stock(name, "SMART", "USD") for name in names))
        done = asyncio.get_running_loop().create_future()
        take = ib.wrapper.tickString

        def last(req_id: int, tick: int, text: str) -> None:
            if tick == LAST_WORDS:
                done.set_result(text)
            else:
                take(req_id, tick, text)

        ib.wrapper.tickString = last
        wall, cpu = time.perf_counter(), time.process_time()
        for contract in contracts:
            ib.reqMktData(contract)
        count, served = map(float, (await asyncio.wait_for(done, 240)).split())
        took, own = time.perf_counter() - wall, time.process_time() - cpu
        return [
            Figure(f"the same through a socket to ib_async, {count:,.0f} ticks", count / took, "ticks/s"),
            Figure("  a core of the simulator sends", count / served, "ticks/s", 200_000),
            Figure("  a core of ib_async takes", count / own, "ticks/s"),
        ]

    command = ["benchmarks.bench_simulator", "--serve-ticks"]
    with tempfile.TemporaryDirectory() as folder, running(command, Path(folder, "port")) as port:
        return asyncio.run(with_client(port, program))


# Orders


def bench_orders() -> list[Figure]:
    """From placeOrder to the fill event: of a client at rest, of the least there can be, and one after the other."""
    own = statistics.median(asyncio.run(own_work(logged_on(market()), ORDERS + 100))[100:])
    with (
        tempfile.TemporaryDirectory() as folder,
        simulator_process() as port,
        running(["benchmarks.order_floor"], Path(folder, "port")) as floor_port,
    ):
        return asyncio.run(_orders(port, floor_port, own))


async def _orders(port: int, floor_port: int, own: float) -> list[Figure]:
    """Place orders with the simulator and with the server that has its answers ready, in turns."""
    from ib_async import Stock

    ib, least = await connected(port), await connected(floor_port)
    [stock] = await ib.qualifyContractsAsync(Stock("AAPL", "SMART", "USD"))
    trips = []
    for _ in range(ORDERS):
        begun = time.perf_counter()
        await ib.reqCurrentTimeAsync()
        trips.append((time.perf_counter() - begun) * 1000)
    least.client.updateReqId(FIRST_ORDER)
    quiet, floor = [], []
    for place in range(FLOOR_ORDERS):
        quiet.append(await order_to_fill(ib, stock, place, at_rest=True))
        floor.append(await order_to_fill(least, stock, place, at_rest=True))
    quiet, floor = sorted(quiet[100:]), sorted(floor[100:])
    begun = time.perf_counter()
    busy = [await order_to_fill(ib, stock, place, at_rest=False) for place in range(ORDERS)]
    per_second = ORDERS / (time.perf_counter() - begun)
    ib.disconnect()
    least.disconnect()
    ours, best = statistics.median(quiet), statistics.median(floor)
    return [
        Figure("market order to fill, ib_async at rest, median of 1000", ours, "ms", 0.5, True),
        Figure("  the same bytes sent at once by a server without work", best, "ms"),
        Figure("  ours beside it", ours / best, "times"),
        Figure("  95 of 100 within", quiet[949], "ms"),
        Figure("  99 of 100 within", quiet[989], "ms"),
        Figure("  of it ib_async's own work, no socket, no simulator", own, "ms"),
        Figure("  a round trip without work (reqCurrentTime), median", statistics.median(trips), "ms"),
        Figure("orders at once one after the other: to fill, median", statistics.median(busy), "ms"),
        Figure("  orders filled", per_second, "orders/s"),
    ]


async def order_to_fill(ib: Any, stock: Any, place: int, *, at_rest: bool) -> float:
    """Place a market order; return the milliseconds to its fill event.

    Args:
        at_rest: the client has taken in all that the order before it has brought (forty account values).
    """
    from ib_async import MarketOrder

    if at_rest:
        await ib.reqCurrentTimeAsync()
    filled = asyncio.get_running_loop().create_future()
    begun = time.perf_counter()
    trade = ib.placeOrder(stock, MarketOrder("BUY" if place % 2 else "SELL", 1))
    trade.fillEvent += lambda *_: filled.set_result(time.perf_counter())
    return (await asyncio.wait_for(filled, 10) - begun) * 1000


def bench_order_cost() -> list[Figure]:
    """What a market order costs the simulator: read, matched, filled, booked, told; and the account values after it."""

    def cost(*, are_values_told: bool) -> tuple[float, int]:
        """Return the milliseconds of one order and the messages it brings."""
        session = logged_on(market())
        send(session, "reqPositions")
        if are_values_told:
            send(session, "reqAccountUpdates", subscribe=True, account="DU1234567")
        requests = [
            encode_frame(encode(REQUEST_NAMES["placeOrder"], {
                "orderId": place, "symbol": "AAPL", "secType": "STK", "exchange": "SMART", "currency": "USD",
                "action": "BUY" if place % 2 else "SELL", "totalQuantity": Decimal(1), "orderType": "MKT",
                "tif": "DAY", "transmit": True,
            }, VERSION)) for place in range(1, ORDERS + 101)
        ]  # fmt: skip
        for place, request in enumerate(requests):
            if place == 100:
                begun = time.process_time()
            session.receive(request)
            told = session.data_to_send()
        return (time.process_time() - begun) / ORDERS * 1000, frames(told)

    alone, messages = cost(are_values_told=False)
    whole, all_messages = cost(are_values_told=True)
    return [
        Figure(f"processor time of a market order, told in {messages} messages", alone, "ms", 0.25, True),
        Figure(f"  of the account values after it, {all_messages - messages} messages", whole - alone, "ms"),
    ]


def bench_connect() -> list[Figure]:
    """Connect and synchronise, as IB.connect does, to an account without history."""

    async def run(port: int) -> list[Figure]:
        took = []
        for client_id in range(1, 22):
            begun = time.perf_counter()
            ib = await connected(port, client_id)
            took.append((time.perf_counter() - begun) * 1000)
            ib.disconnect()
        return [Figure("connect and synchronise ib_async, median of 20", statistics.median(took[1:]), "ms")]

    with simulator_process() as port:
        return asyncio.run(run(port))


# Bars


def bars_request(req_id: int, contract: Contract, size: str, duration: str, format_date: int) -> bytes:
    """Return a request for the bars of a stock up to now."""
    values = {
        "reqId": req_id, "conId": contract.con_id, "symbol": contract.symbol, "secType": "STK", "exchange": "SMART",
        "currency": "USD", "barSize": size, "duration": duration, "useRth": True, "whatToShow": "TRADES",
        "formatDate": format_date,
    }  # fmt: skip
    return encode_frame(encode(REQUEST_NAMES["reqHistoricalData"], values, VERSION))


def answered(session: Session, requests: list[bytes]) -> tuple[float, list[bytes]]:
    """Return the processor seconds the simulator takes for requests one after the other, and the bytes of each."""
    answers = []
    begun = time.process_time()
    for request in requests:
        session.receive(request)
        answers.append(session.data_to_send())
    return time.process_time() - begun, answers


async def decoding(answers: list[bytes]) -> tuple[float, int]:
    """Return the processor seconds ib_async takes to decode answers to requests 1, 2, 3, ..., and the bars in them."""
    from ib_async import IB, BarDataList

    ib = IB()
    # A client that is connected to nobody: it is handed the bytes.
    ib.client._serverVersion = ib.client.decoder.serverVersion = VERSION
    ib.client.connState = ib.client.CONNECTED
    results = [ib.wrapper.startReq(number, container=BarDataList()) for number in range(1, len(answers) + 1)]
    begun = time.process_time()
    for answer in answers:
        ib.client._onSocketHasData(answer)
    took = time.process_time() - begun
    ib.client.connState = ib.client.DISCONNECTED
    return took, sum(map(len, await asyncio.gather(*results)))


DATES = {1: "dates as text", 2: "dates as seconds"}


def bench_bars() -> list[Figure]:
    """60 days of 1-minute bars of some stocks: the simulator alone, ib_async alone, and both with a socket between."""
    tape = open_source("seed:7")
    session = logged_on(Simulator(tape, SimConfig(), START))
    wanted = stocks(tape, 6)
    figures = []
    for format_date, dates in DATES.items():
        requests = [bars_request(place, stock, "1 min", "60 D", format_date) for place, stock in enumerate(wanted, 1)]
        served, answers = answered(session, requests)
        decoded, bars = min(asyncio.run(decoding(answers)) for _ in range(3))
        figures.append(Figure(f"1-minute bars, {dates}: the simulator alone", bars / served, "bars/s", 60_000))
        figures.append(Figure("  ib_async's own decoding of them, the client's limit", bars / decoded, "bars/s"))
        with simulator_process() as port:
            figures += asyncio.run(with_client(port, partial(_bars_end_to_end, format_date, bars / decoded)))
    return figures


async def _bars_end_to_end(format_date: int, limit: float, ib: Any) -> list[Figure]:
    """The same bars through a socket: one request after the other, then all at once, so that both sides are busy."""
    from ib_async import Stock

    names = [contract.symbol for contract in stocks(open_source("seed:7"), 6)]
    contracts = await ib.qualifyContractsAsync(*(Stock(name, "SMART", "USD") for name in names))

    async def bars_of(stock: Any) -> int:
        return len(
            await ib.reqHistoricalDataAsync(stock, "", "60 D", "1 min", "TRADES", True, format_date, timeout=120)
        )

    begun = time.perf_counter()
    alone = sum([await bars_of(stock) for stock in contracts]) / (time.perf_counter() - begun)
    at_once = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        at_once = max(at_once, sum(await asyncio.gather(*map(bars_of, contracts))) / (time.perf_counter() - begun))
    share = f"{at_once / limit:.0%} of the client's limit"
    return [
        Figure("  end to end, one request at a time, first time", alone, "bars/s"),
        Figure(f"  end to end, six requests at once, {share}", at_once, "bars/s", 60_000),
    ]


def bench_year() -> list[Figure]:
    """A year of daily bars for 500 symbols: the simulator's time beside the client's own decoding time."""
    first, again, decoded = [], [], []
    # A market of its own each time, in turns with the decoding: whatever else runs here disturbs both alike.
    for _ in range(5):
        tape = open_source("seed:7")
        session = logged_on(Simulator(tape, SimConfig(), START))
        wanted = stocks(tape, 500)
        requests = [bars_request(place, stock, "1 day", "1 Y", 1) for place, stock in enumerate(wanted, start=1)]
        for took in (first, again):
            seconds, answers = answered(session, requests)
            took.append(seconds)
        seconds, bars = asyncio.run(decoding(answers))
        decoded.append(seconds)
    distinct = len({contract.con_id for contract in wanted})
    share = statistics.median(map(truediv, first, decoded))
    with simulator_process() as port:
        together = asyncio.run(with_client(port, _year_end_to_end))
    return [
        Figure(f"a year of daily bars, {distinct} stocks, first time", min(first), "s", min(decoded), True),
        Figure("  again, what is over kept as it was written", min(again), "s", min(decoded), True),
        Figure(f"  ib_async's own decoding of these {bars:,} bars", min(decoded), "s"),
        Figure("  first time beside the decoding, median", share, "times", 1, True),
        *together,
    ]


async def _year_end_to_end(ib: Any) -> list[Figure]:
    """The same through a socket, all requests at once, so that both sides are busy: until the last bar is decoded."""
    from ib_async import Contract as Asked

    wanted = [Asked(secType="STK", conId=one.con_id, symbol=one.symbol, exchange="SMART", currency="USD")
              for one in stocks(open_source("seed:7"), 500)]  # fmt: skip
    figures = []
    for name in ("first time", "again"):
        wall, own = time.perf_counter(), time.process_time()
        await asyncio.gather(*(
            ib.reqHistoricalDataAsync(one, "", "1 Y", "1 day", "TRADES", True, timeout=240) for one in wanted
        ))  # fmt: skip
        figures.append(Figure(f"  end to end, 500 requests at once, {name}", time.perf_counter() - wall, "s"))
        figures.append(Figure("    of it the client's process", time.process_time() - own, "s"))
    return figures


# Memory

_IDLE = """
import sys
from benchmarks.bench_simulator import idle
print(*idle(int(sys.argv[1])))
"""


def idle(symbols: int) -> tuple[float, float]:
    """Return the resident megabytes of this process with `symbols` stocks subscribed, after a second and a minute."""
    tape = open_source("seed:7")
    simulator = Simulator(tape, SimConfig(), START)
    wanted = stocks(tape, symbols)
    # A client may have 100 market data lines.
    sessions = []
    for first in range(0, symbols, 100):
        session = logged_on(simulator, client_id=1 + first // 100)
        for req_id, contract in enumerate(wanted[first : first + 100], start=1):
            send(session, "reqMktData", reqId=req_id, conId=contract.con_id, symbol=contract.symbol, secType="STK",
                 exchange="SMART", currency="USD")  # fmt: skip
        session.data_to_send()
        sessions.append(session)
    simulator.advance_to(START + SECOND_NS)
    begun = resident_megabytes()
    for second in range(2, 61):
        simulator.advance_to(START + second * SECOND_NS)
        for session in sessions:
            session.data_to_send()
    return begun, resident_megabytes()


def resident_megabytes() -> float:
    """Return what this process holds in memory now; where the system does not say, the most it ever held."""
    status = Path("/proc/self/status")
    if status.exists():
        [words] = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmRSS:")]
        return float(words.split()[1]) / 1024
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


def bench_memory() -> list[Figure]:
    """The resident size of a process of its own, with subscriptions over five clients of 100 lines each."""
    figures = []
    for symbols, goal in ((0, None), (500, 120)):
        done = subprocess.run(
            [sys.executable, "-c", _IDLE, str(symbols)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        begun, later = map(float, done.stdout.split())
        if not symbols:
            figures.append(Figure("resident memory, market opened", begun, "MB"))
            continue
        figures.append(Figure(f"resident memory with {symbols} subscriptions", begun, "MB", goal, True))
        figures.append(Figure("  after a minute of their ticks", later, "MB", goal, True))
    return figures


BENCHES: dict[str, Callable[[], list[Figure]]] = {
    "encode": bench_encode,
    "ticks": bench_ticks,
    "client-ticks": bench_client_ticks,
    "orders": bench_orders,
    "order-cost": bench_order_cost,
    "connect": bench_connect,
    "bars": bench_bars,
    "year": bench_year,
    "memory": bench_memory,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench_simulator", description="Measure the simulated TWS.")
    parser.add_argument("--only", nargs="+", choices=sorted(BENCHES), help="measure these only")
    parser.add_argument("--profile", action="store_true", help="print where the time goes, too (slower figures)")
    parser.add_argument("--serve-ticks", type=Path, metavar="PORT_FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve_ticks:
        return serve_ticks(options.serve_ticks)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"Python {platform.python_version()}, ib_async {version('ib_async')}, numpy {version('numpy')}, "
          f"{os.cpu_count()} cores, load {load:.1f}, server version {VERSION}")  # fmt: skip
    print(Figure("bare Python here and now, additions in a loop", additions_per_second() / 1e6, "M/s"))
    for name in options.only or BENCHES:
        profile = cProfile.Profile()
        if options.profile:
            profile.enable()
        figures = BENCHES[name]()
        profile.disable()
        for figure in figures:
            print(figure, flush=True)
        if options.profile:
            text = StringIO()
            pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(18)
            print(text.getvalue(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
