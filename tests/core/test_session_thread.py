"""The session in its own thread, over a real socket: plain calls from any thread, nothing starves it, nothing leaks."""

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from quant_trading.core.session_runner import SessionSettings
from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.streams import (
    NoteKind,
    StreamBar,
    StreamEvent,
    StreamKind,
    StreamNote,
    StreamRequest,
    StreamState,
    Tick,
)
from quant_trading.core.supervisor import Report, ReportKind, SupervisorPolicy, SupervisorState
from quant_trading.domain.errors import UsageError
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.scenario import read_scenario
from quant_trading.tws_sim.server import ThreadedTwsServer

pytestmark = pytest.mark.expects_client_errors

_PATIENCE = 30.0


@pytest.fixture
def tws() -> Iterator[ThreadedTwsServer]:
    """A TWS on a free port whose time runs as ours does."""
    gateway = read_scenario({"about": "an ordinary morning", "now": "2026-11-19 10:00", "faults": []}, "here").build()
    with ThreadedTwsServer(gateway, SimClock(gateway.now_ns, 1.0)) as server:
        yield server


def session_for(tws: Any, **kwargs: Any) -> IBKRSession:
    return IBKRSession("127.0.0.1", tws.port, 31, environ={}, **kwargs)


def until(session: IBKRSession, wanted: type, stream: int = 1) -> list[StreamEvent]:
    """Take events until one of a kind has come."""
    taken: list[StreamEvent] = []
    while not any(isinstance(one, wanted) and one.stream == stream for one in taken):
        batch = session.events(_PATIENCE)
        assert batch, f"no {wanted.__name__} within {_PATIENCE} s; {session.state}, {session.reports[-3:]}"
        taken += batch
    return taken


def test_a_script_hears_prices_and_asks_questions(tws: Any) -> None:
    with session_for(tws) as session:
        session.wait_until_live(_PATIENCE)
        assert session.state is SupervisorState.LIVE
        assert session.account == "DU1234567"
        handle = session.subscribe(StreamRequest("AAPL"))
        ticks = [one for one in until(session, Tick) if isinstance(one, Tick)]
        assert all(one.stream == handle.number == 1 for one in ticks)
        assert {one.field for one in ticks} <= {
            "BID", "ASK", "LAST", "HIGH", "LOW", "OPEN", "CLOSE", "BID_SIZE", "ASK_SIZE", "LAST_SIZE", "VOLUME",
        }  # fmt: skip
        said = session.call(lambda connection: connection.ib.reqCurrentTimeAsync(), _PATIENCE)
        assert abs(said.timestamp() - tws.call(lambda simulator: simulator.now_ns) / 1e9) < 5
    assert session.state is SupervisorState.DISCONNECTED


def test_bars_arrive_by_callback_in_a_thread_of_its_own(tws: Any) -> None:
    heard: list[tuple[str, StreamEvent]] = []
    came = threading.Event()

    def take(events: list[StreamEvent]) -> None:
        heard.extend((threading.current_thread().name, one) for one in events)
        if any(isinstance(one, StreamBar) for one in events):
            came.set()

    with session_for(tws) as session:
        session.subscribe(StreamRequest("AAPL", StreamKind.RUNNING_BARS), take)
        assert came.wait(_PATIENCE)
    assert {name for name, _ in heard} == {"ibkr-callbacks"}
    assert session.events() == []


def test_a_cancelled_stream_calls_back_no_more(tws: Any) -> None:
    came, other = threading.Event(), threading.Event()
    with session_for(tws) as session:
        handle = session.subscribe(StreamRequest("AAPL"), lambda events: came.set())
        assert came.wait(_PATIENCE)
        handle.cancel()
        session.call(lambda connection: connection.ib.reqCurrentTimeAsync(), _PATIENCE)
        # Calls are made in order: after one of another stream that began later, none of the first is left.
        session.subscribe(StreamRequest("SPY"), lambda events: other.set())
        assert other.wait(_PATIENCE)
        came.clear()
        other.clear()
        assert other.wait(_PATIENCE)
        assert not came.is_set()
        assert handle.state is StreamState.ENDED


def test_a_callback_that_fails_stops_nothing(tws: Any, caplog: pytest.LogCaptureFixture) -> None:
    states: list[SupervisorState] = []

    def bad(report: Report) -> None:
        raise ValueError("a mistake of the program")

    session = session_for(tws)
    session.on_report(bad)
    session.on_state(states.append)  # before the start: a session may be live at once
    with session:
        session.wait_until_live(_PATIENCE)
        session.subscribe(StreamRequest("NOSUCHX"))
        until(session, StreamNote)
    assert "a callback of the program failed" in caplog.text
    assert SupervisorState.LIVE in states


def test_from_inside_a_running_loop_as_in_a_notebook(tws: Any) -> None:
    async def cell() -> tuple[str, int]:
        with session_for(tws) as session:
            session.wait_until_live(_PATIENCE)
            session.subscribe(StreamRequest("AAPL"))
            until(session, Tick)
            said = session.call(lambda connection: connection.ib.reqCurrentTimeAsync(), _PATIENCE)
            return session.state.value, said.year

    assert asyncio.run(cell()) == ("live", 2026)


@pytest.mark.slow
def test_a_program_that_never_lets_go_does_not_starve_the_heartbeat(tws: Any) -> None:
    """ib_insync#138, #164, #623: blocking user code, and the broker's session dies. Here the main thread is busy."""
    policy = SupervisorPolicy(heartbeat_seconds=0.2, heartbeat_timeout_seconds=_PATIENCE)
    with session_for(tws, settings=SessionSettings(policy=policy)) as session:
        session.wait_until_live(_PATIENCE)
        asked = tws.call(lambda simulator: simulator.counters["reqCurrentTime"])
        busy_until = time.process_time() + 1.0
        while time.process_time() < busy_until:
            sum(range(1000))
        assert tws.call(lambda simulator: simulator.counters["reqCurrentTime"]) >= asked + 2
        assert session.state is SupervisorState.LIVE


def test_many_threads_may_ask_at_once(tws: Any) -> None:
    years: list[int] = []
    with session_for(tws) as session:
        session.wait_until_live(_PATIENCE)

        def ask() -> None:
            found = session.call(lambda connection: connection.ib.reqMatchingSymbolsAsync("AAP"), _PATIENCE)
            years.append(len(found or []))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE)
    assert len(years) == 8
    assert min(years) >= 1


def test_a_closed_port_comes_back(tws: Any) -> None:
    policy = SupervisorPolicy(first_delay_seconds=0.05, longest_delay_seconds=0.2)
    outages: list[str] = []
    with session_for(tws, settings=SessionSettings(policy=policy)) as session:
        session.on_report(lambda one: outages.append(one.text) if one.kind is ReportKind.OUTAGE else None)
        session.subscribe(StreamRequest("AAPL"))
        until(session, Tick)
        tws.call(lambda simulator: [one.close("the server hung up") for one in simulator.parts.hub])
        taken: list[StreamEvent] = []
        while not any(isinstance(one, StreamNote) and one.kind is NoteKind.LIVE for one in taken):
            batch = session.events(_PATIENCE)
            assert batch
            taken += batch
        assert NoteKind.GAP in [one.kind for one in taken if isinstance(one, StreamNote)]
    assert len(session.outages) == 1


def test_it_ends_its_threads_and_cannot_be_started_twice(tws: Any) -> None:
    before = threading.active_count()
    session = session_for(tws).start()
    session.start()
    session.wait_until_live(_PATIENCE)
    session.stop()
    session.stop()
    assert threading.active_count() == before
    with pytest.raises(UsageError, match="make a new IBKRSession"):
        session.start()


def test_a_session_never_started_leaves_nothing_behind(tws: Any) -> None:
    session_for(tws).stop()


@pytest.mark.slow
def test_twenty_sessions_one_after_the_other_leave_less_than_10_mib(tws: Any) -> None:
    def one() -> None:
        with session_for(tws) as session:
            session.subscribe(StreamRequest("AAPL"))
            session.subscribe(StreamRequest("AAPL", StreamKind.RUNNING_BARS))
            until(session, Tick)

    one()
    one()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        one()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / 2**20 < 10
