"""Market data: the aggregator alone, the whole path from the socket to bars with MACD, and what sessions leave behind.

Prints figures with goals beside them and never fails on a time: the machine decides that. A lost bar is an error.

    ./desk bench market_data
    python -m benchmarks.bench_market_data --only path --seconds 10
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.bench_simulator import HOST, Figure, market, running, stocks
from quant_trading.core.session_runner import SessionSettings
from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.streams import Tick
from quant_trading.core.supervisor import SupervisorPolicy
from quant_trading.data.bars import BarAggregator
from quant_trading.data.market_data_tracker import Tracker
from quant_trading.data.tracker_feed import Feed, TrackedBar
from quant_trading.refdata.sessions import at, sessions_between
from quant_trading.tws_sim.sources import open_source

DAY = date(2026, 11, 19)
OPEN = at(DAY, "09:30")
MINUTE_NS = 60_000_000_000
SYMBOLS = 100
FRAMES = (1, 3, 5, 10)
SPEED = 10  # seconds of the client's clock in one second, so that minutes end within a short run
SESSIONS, WARM_UP_SESSIONS = 20, 3  # the first ones load modules and fill pools
FIRST_VOLUME, LOT = 0, 100  # below the totals of the market itself, so that they begin anew


# The aggregator alone


def bench_aggregator() -> list[Figure]:
    """Four timeframes of one symbol: ticks in arrays, by batches of 10,000, and one call for each."""
    count = 5_000_000
    drawn = np.random.default_rng(7)
    ns = np.sort(drawn.integers(OPEN, OPEN + 390 * MINUTE_NS, count))
    prices = 100.0 + np.cumsum(drawn.integers(-1, 2, count)) / 100.0
    sizes = drawn.integers(1, 500, count).astype(np.float64)
    whole = batches = 0.0
    for _ in range(3):
        bars = BarAggregator(FRAMES, start_ns=OPEN)
        begun = time.process_time()
        told = bars.ticks(ns, prices, sizes) + bars.advance(OPEN + 390 * MINUTE_NS)
        whole = max(whole, count / (time.process_time() - begun))
        assert len(told) == 390 + 130 + 78 + 39
        bars = BarAggregator(FRAMES, start_ns=OPEN)
        begun = time.process_time()
        for first in range(0, count, 10_000):
            bars.ticks(ns[first : first + 10_000], prices[first : first + 10_000], sizes[first : first + 10_000])
        batches = max(batches, count / (time.process_time() - begun))
    few = [column[:500_000].tolist() for column in (ns, prices, sizes)]
    single = 0.0
    for _ in range(3):
        bars = BarAggregator(FRAMES, start_ns=OPEN)
        begun = time.process_time()
        for moment, price, size in zip(*few, strict=True):
            bars.tick(moment, price, size)
        single = max(single, len(few[0]) / (time.process_time() - begun))
    return [
        Figure("aggregator, 4 timeframes, a day in one call", whole, "ticks/s", 2_000_000),
        Figure("  in batches of 10,000", batches, "ticks/s", 2_000_000),
        Figure("  one call for each tick", single, "ticks/s"),
    ]


# The whole path


class _Flood(asyncio.Protocol):
    """A simulated TWS that sends its one client quotes and trades as fast as they are taken."""

    def __init__(self) -> None:
        self._session = market().connect()
        self._unread = b""
        self._ids: list[bytes] = []
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

    def connection_lost(self, _error: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._session.receive(data)
        self._transport.write(self._session.data_to_send())
        self._unread += data.removeprefix(b"API\0")
        while len(self._unread) >= 4 and len(self._unread) >= (end := 4 + int.from_bytes(self._unread[:4], "big")):
            fields, self._unread = self._unread[4:end].split(b"\0"), self._unread[end:]
            if fields[0] == b"1":  # market data
                self._ids.append(fields[2])
        if len(self._ids) == SYMBOLS and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        turn, volume = 0, FIRST_VOLUME
        while True:
            turn, volume = turn + 1, volume + LOT
            self._transport.write(_updates(self._ids, 100 + turn % 997 / 100, turn, volume))
            await self._is_free.wait()
            await asyncio.sleep(0)


def _updates(ids: list[bytes], price: float, turn: int, volume: int) -> bytes:
    """Return what TWS sends when the quote and the last trade of every stock have changed: seven messages for each."""
    size = b"%d" % (100 + turn % 900)
    prices = [f"{price + away:.2f}".encode() for away in (-0.01, 0.01, 0.0)]
    rows = [
        (b"1\x006\0", b"\x001\0" + prices[0] + b"\0" + size + b"\x000\0"), (b"2\x006\0", b"\x000\0" + size + b"\0"),
        (b"1\x006\0", b"\x002\0" + prices[1] + b"\0" + size + b"\x000\0"), (b"2\x006\0", b"\x003\0" + size + b"\0"),
        (b"1\x006\0", b"\x004\0" + prices[2] + b"\0%d\x000\0" % LOT), (b"2\x006\0", b"\x005\0%d\0" % LOT),
        (b"2\x006\0", b"\x008\0%d\0" % volume),
    ]  # fmt: skip
    return b"".join(
        [
            (len(head) + len(req_id) + len(rest)).to_bytes(4, "big") + head + req_id + rest
            for req_id in ids
            for head, rest in rows
        ]
    )


def serve(port_file: Path) -> int:
    """Serve one client until the process is ended; tell the port in a file."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Flood, HOST, 0)
        new = port_file.with_suffix(".new")
        new.write_text(str(server.sockets[0].getsockname()[1]), encoding="utf-8")
        new.replace(port_file)
        await server.serve_forever()

    asyncio.run(run())
    return 0


class _FastClock:
    """A clock that begins at the open and runs SPEED times as fast as the machine's."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def now(self) -> datetime:
        passed = (time.perf_counter() - self._begun) * SPEED
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=OPEN // 1000 + round(passed * 1e6))

    def monotonic(self) -> float:
        return time.monotonic()


class _Kept:
    """Takes the closed bars in place of files."""

    rows, folder = 0, Path()

    def __init__(self) -> None:
        self.bars: dict[tuple[str, int], list[TrackedBar]] = {}

    def add(self, told: TrackedBar) -> bool:
        self.bars.setdefault((told.symbol, told.bar.minutes), []).append(told)
        return True

    def flush(self, now_ns: int) -> Sequence[str]:
        return ()

    def close(self) -> Sequence[str]:
        return ()


def bench_path(seconds: float) -> list[Figure]:
    """Socket, client library, session, aggregator of four timeframes and MACD, 100 symbols; every bar is checked."""
    symbols = list(dict.fromkeys(contract.symbol for contract in stocks(open_source("seed:7"), 200)))[:SYMBOLS]
    # The clock of the market runs faster than that of the machine: that is no sleep of it.
    patient = SupervisorPolicy(jump_seconds=1e9, heartbeat_timeout_seconds=60.0)
    command = ["benchmarks.bench_market_data", "--serve"]
    with tempfile.TemporaryDirectory() as folder, running(command, Path(folder, "port")) as port:
        session = IBKRSession(
            HOST, port, 16, settings=SessionSettings(policy=patient), environ={}, clock=_FastClock()
        )  # fmt: skip
        kept = _Kept()
        with session:
            session.wait_until_live(30)
            tracker = Tracker(session, symbols, FRAMES, lambda _line: None, shows_ticks=False, recorders=[kept])
            tracker.start(with_history=False)
            tracker.run(duration_seconds=2.0)  # everything is subscribed and warm
            before = sum(feed.ticks for feed in tracker.feeds.values())
            wall, cpu = time.perf_counter(), time.process_time()
            tracker.run(duration_seconds=seconds)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            count = sum(feed.ticks for feed in tracker.feeds.values()) - before
            bars = _checked(tracker, kept, session.dropped_events)
    return [
        Figure(f"socket to bars and MACD, {len(symbols)} symbols, {wall:.0f} s", count / wall, "ticks/s", 80_000),
        Figure("  of a core of the client", count / cpu, "ticks/s"),
        Figure("  bars closed, none lost, no tick late or dropped", bars, "bars"),
    ]


def _checked(tracker: Tracker, kept: _Kept, dropped: int) -> int:
    """Return how many bars were closed, after making sure that nothing is missing in them.

    Raises:
        AssertionError: when a tick or a bar was lost.
    """
    assert not dropped, f"{dropped} events dropped"
    total = sum(len(found) for found in kept.bars.values())
    for feed in tracker.feeds.values():
        counts = feed.counts
        sent = (feed.quotes["VOLUME"] - FIRST_VOLUME) / LOT
        # The last trade may have come without its volume.
        assert counts.ticks - sent in (0, 1), f"{feed.symbol}: {sent:.0f} trades sent, {counts.ticks} seen"
        assert not counts.late, f"{feed.symbol}: {counts.late} late"
        for told in feed.advance(OPEN + 390 * MINUTE_NS):
            kept.add(told)
        for minutes in FRAMES:
            starts = [told.bar.start_ns for told in kept.bars[(feed.symbol, minutes)]]
            length = minutes * MINUTE_NS
            assert starts == list(range(starts[0], OPEN + 390 * MINUTE_NS, length)), f"{feed.symbol} {minutes}m: a hole"
        in_bars = sum(told.bar.volume for told in kept.bars[(feed.symbol, 1)]) / LOT
        expected = counts.ticks - counts.early - counts.outside
        assert in_bars == expected, f"{feed.symbol}: {in_bars:.0f} trades in the bars, expected {expected}"
    return total


# Memory


def bench_memory() -> list[Figure]:
    """Twenty sessions of 100 symbols in one process: how much larger it has become since the first."""
    import gc

    feeds = [Feed(f"S{k}", FRAMES, grace_ns=0, history=None, now_ns=OPEN) for k in range(SYMBOLS)]
    sizes, bars = [], 0
    for session in sessions_between(DAY, DAY + timedelta(days=40))[:SESSIONS]:
        for ns in range(session.open_ns, session.close_ns, MINUTE_NS // 2):
            for feed in feeds:
                bars += len(feed.tick(Tick(1, ns, "LAST", 100.0 + ns % 97, 100.0)))
        gc.collect()
        sizes.append(_resident_mib())
    return [
        Figure(f"memory after {len(sizes)} sessions of {SYMBOLS} symbols, {bars:,} bars", sizes[-1], "MiB"),
        Figure("  grown since the first session", sizes[-1] - sizes[0], "MiB", 10, True),
    ]


def bench_sessions() -> list[Figure]:
    """Twenty connections of a tracker one after the other: opened, used and closed; what each has left behind."""
    import gc

    symbols = list(dict.fromkeys(contract.symbol for contract in stocks(open_source("seed:7"), 50)))[:20]
    command = ["quant_trading.tools.sim", "--port", "0", "--source", "seed:7", "--speed", "1"]
    sizes, ticks = [], 0
    with tempfile.TemporaryDirectory() as folder:
        options = ["--now", "2026-11-19 10:00", "--port-file"]
        with running([*command, *options], Path(folder, "port")) as port:
            for _ in range(WARM_UP_SESSIONS + SESSIONS):
                ticks += _one_session(port, symbols)
                gc.collect()
                sizes.append((_resident_mib(), len(gc.get_objects()), _open_files(), threading.active_count()))
    sizes = sizes[WARM_UP_SESSIONS:]
    # The allocator gives some MiB back and takes them again from session to session: five of them are taken together.
    before, after = (statistics.median(size for size, *_ in some) for some in (sizes[:5], sizes[-5:]))
    objects, files, threads = (last - first for first, last in zip(sizes[0][1:], sizes[-1][1:], strict=True))
    return [
        Figure(f"{SESSIONS} connections in one process, {ticks:,} ticks: memory", after, "MiB"),
        Figure("  grown from the first five to the last five", after - before, "MiB", 10, True),
        Figure("  Python objects more than after the first", objects, "objects"),
        Figure("  files and sockets left open", files, "files", 0, True),
        Figure("  threads left", threads, "threads", 0, True),
    ]


def _one_session(port: int, symbols: list[str]) -> int:
    """Open, use and close one session; return how many ticks came."""
    with IBKRSession(HOST, port, 16, environ={}) as session:
        session.wait_until_live(30)
        tracker = Tracker(session, symbols, FRAMES, lambda _line: None)
        tracker.start()
        tracker.run(duration_seconds=1.0)
        return sum(feed.ticks for feed in tracker.feeds.values())


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def _resident_mib() -> float:
    """Return the resident memory of this process; its peak where the system does not tell."""
    table = Path("/proc/self/statm")
    if table.exists():
        return int(table.read_text().split()[1]) * 4096 / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench_market_data", description="Measure live market data.")
    names = ("aggregator", "path", "memory", "sessions")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="measure these only")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the whole path (default: %(default)s)")
    parser.add_argument("--serve", type=Path, metavar="PORT_FILE", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        return serve(options.serve)
    logging.basicConfig(level=logging.CRITICAL)  # a clock that runs fast is no news here
    benches: dict[str, Callable[[], list[Figure]]] = {
        "aggregator": bench_aggregator,
        "path": lambda: bench_path(options.seconds),
        "memory": bench_memory,
        "sessions": bench_sessions,
    }
    for name in options.only:
        for figure in benches[name]():
            print(figure, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
