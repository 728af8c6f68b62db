"""A supervised session on a shipped scenario or a simulator, in virtual time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from quant_trading.core.session_runner import SessionSettings
from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.streams import StreamBar, StreamEvent, StreamNote, StreamRequest
from quant_trading.core.supervisor import Report, ReportKind
from quant_trading.tws_sim.gateway import Gateway
from quant_trading.tws_sim.scenario import load_scenario, read_scenario
from quant_trading.tws_sim.virtual import VirtualLoop

__all__ = ["MINUTE_NS", "PORT", "Play", "VirtualClock", "assert_complete", "here", "history_of", "ours", "play"]

MINUTE_NS = 60_000_000_000

PORT = 7497
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class VirtualClock:
    """The wall clock of a world in virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._loop.simulated_now_ns() // 1000)

    def monotonic(self) -> float:
        return self._loop.time()


class Play:
    """A session at work.

    Attributes:
        reports: (loop seconds, report) of everything it told.
        events: everything its streams told, in order.
    """

    def __init__(self, gateway: Gateway, loop: VirtualLoop, session: IBKRSession) -> None:
        self.gateway = gateway
        self.loop = loop
        self.session = session
        self.reports: list[tuple[float, Report]] = []
        self.events: list[StreamEvent] = []

    def run(self, seconds: float) -> None:
        """Let time pass, and take what comes."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            self.loop.run_until_complete(asyncio.sleep(min(600.0, end - self.loop.time())))
            self.events += self.session.events()

    def told(self, kind: ReportKind) -> list[tuple[float, str]]:
        """Return when which reports of a kind came."""
        return [(at, report.text) for at, report in self.reports if report.kind is kind]

    def finals(self, stream: int = 1) -> list[StreamBar]:
        """Return the final bars of a stream."""
        return [one for one in self.events if isinstance(one, StreamBar) and one.is_final and one.stream == stream]

    def notes(self, stream: int = 1) -> list[StreamNote]:
        """Return the remarks about a stream."""
        return [one for one in self.events if isinstance(one, StreamNote) and one.stream == stream]


@contextmanager
def play(
    scenario: "str | dict[str, Any]",
    *wishes: StreamRequest,
    settings: SessionSettings | None = None,
    build: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Iterator[Play]:
    """Give a started session with its wishes on a scenario, shipped (by name) or written here.

    Args:
        build: settings of the simulator.
    """
    found = load_scenario(scenario) if isinstance(scenario, str) else read_scenario(scenario, "here")
    gateway = found.build(**(build or {}))
    loop = VirtualLoop()
    loop.listen("127.0.0.1", PORT, gateway)
    try:
        session = IBKRSession(
            "127.0.0.1", PORT, 31, settings=settings, loop=loop, clock=VirtualClock(loop), environ={}, **kwargs
        )
        on = Play(gateway, loop, session)
        session.on_report(lambda report: on.reports.append((loop.time(), report)))
        session.start()
        for wish in wishes:
            session.subscribe(wish)
        try:
            yield on
        finally:
            session.stop()
    finally:
        loop.close()


def here(*faults: dict[str, Any], now: str = "2026-11-19 10:00", **more: Any) -> dict[str, Any]:
    return {"about": "a test", "now": now, "faults": list(faults), **more}


def history_of(on: Play, symbol: str = "AAPL") -> dict[int, tuple[float, ...]]:
    """Return TWS's own minutes by their start, asked for in one plain request."""
    from ib_async import Stock

    async def ask(connection: Any) -> Any:
        [contract] = await connection.ib.qualifyContractsAsync(Stock(symbol, "SMART", "USD"))
        return await connection.ib.reqHistoricalDataAsync(contract, "", "2 D", "1 min", "TRADES", True, 2)

    bars = on.session.call(ask)
    return {round(one.date.timestamp()) * 10**9: (one.open, one.high, one.low, one.close, one.volume) for one in bars}


def ours(bars: list[StreamBar]) -> dict[int, tuple[float, ...]]:
    assert len({one.start_ns for one in bars}) == len(bars), "a bar came twice"
    return {one.start_ns: (one.open, one.high, one.low, one.close, one.volume) for one in bars}


def assert_complete(on: Play, stream: int = 1) -> None:
    """Every minute TWS has since the first one we told is among ours, with its very numbers."""
    mine, theirs = ours(on.finals(stream)), history_of(on)
    settled = on.session.now_ns() - 70 * 10**9
    expected = {start: bar for start, bar in theirs.items() if min(mine) <= start < settled}
    assert {start: mine.get(start) for start in expected} == expected
