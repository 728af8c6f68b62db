"""What the tracker reads from history: whole minutes only, however long TWS takes, and without making others wait."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import numpy as np
import pytest

from quant_trading.core.streams import NoteKind, StreamNote
from quant_trading.core.supervisor import SupervisorState
from quant_trading.data.bars import MINUTE_NS
from quant_trading.data.market_data_tracker import Tracker
from quant_trading.data.tracker_feed import Feed, TrackedBar
from quant_trading.data.tracker_lines import exchange_time
from quant_trading.domain.bars import BarColumns
from quant_trading.refdata.sessions import at
from tests.data.test_market_data_tracker import Kept, Scene, _history

DAY = date(2026, 11, 19)


class LateHistory:
    """Holds answers of history back.

    Attributes:
        seconds: for how long, by symbol; None is for ever.
        played: the scene.
    """

    def __init__(self, played: Scene) -> None:
        self.seconds: dict[str, float | None] = {}
        self.played, self._market = played, played.market
        self._market.edit = self._edit

    def asked(self, symbol: str) -> list[float]:
        """Return when it was asked for, seconds since the start of the market."""
        return [when for when, fields in self._market.received if fields[0] == "20" and fields[3] == symbol]

    def _edit(self, fields: tuple[str, ...]) -> list[tuple[str, ...]]:
        if fields[0] != "17":  # historicalData: its number comes next
            return [fields]
        symbols = {asked[1]: asked[3] for _, asked in self._market.received if asked[0] == "20"}
        if (symbol := symbols[fields[1]]) not in self.seconds:
            return [fields]
        if (seconds := self.seconds[symbol]) is not None:
            self.played.loop.call_later(seconds, self._market.say, fields)
        return []


@contextmanager
def late_history(first: dict[str, float | None] | None = None, **options: Any) -> Iterator[LateHistory]:
    """Give a tracker of every single trade that has begun at 10:00:20, with `first` holding at its start."""
    played = Scene(stream="trades", shows_ticks=False, **options)
    late = LateHistory(played)
    late.seconds |= first or {}
    try:
        played.session.start()
        played.session.wait_until_live(30)
        played.loop.run_until_complete(asyncio.sleep(20))
        played.tracker.start()
        late.seconds = {}
        yield late
    finally:
        played.close()


def assert_as_history(late: LateHistory, kept: Kept, symbol: str, *clocks: str) -> None:
    """Hold these minutes, each told once, against what history says of them when they are long over."""
    late.seconds = {}
    theirs = {start: row for start, *row in late.played.session.call(lambda connection: _history(connection, symbol))}
    told = {one.bar.start_ns: one.bar for one in kept.of(symbol, 1)}
    assert len(told) == len(kept.of(symbol, 1))
    for clock in clocks:
        bar = told[at(DAY, clock)]
        assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == theirs[at(DAY, clock)], clock


def test_a_symbol_without_history_neither_spoils_nor_delays_the_minutes_of_others() -> None:
    """The first minute is asked for at 10:01:05. AAPL answers at once, with 10:01 as it runs; SPY for a minute not."""
    kept = Kept()
    with late_history(recorders=[kept]) as late:
        late.seconds = {"SPY": None}
        late.played.run(140)
        # A minute until it is given up, a pause of 15 s: the program ends while it is asked again.
        assert late.asked("SPY") == [pytest.approx(when, abs=1.0) for when in (20, 65, 140)]
        assert late.asked("AAPL") == [pytest.approx(when, abs=1.0) for when in (20, 65)]
        assert_as_history(late, kept, "AAPL", "10:00", "10:01")
    assert not asyncio.all_tasks(late.played.loop)
    known = {exchange_time(one.bar.start_ns)[11:16]: one.bar.known_ns for one in kept.of("AAPL", 1)}
    assert known["10:00"] == pytest.approx(at(DAY, "10:01") + 5 * SECOND_NS, abs=SECOND_NS)
    assert known["10:01"] == at(DAY, "10:02") + 2 * SECOND_NS  # the grace of single trades
    [line] = [line for line in late.played.lines if line.startswith("History - SPY: no bars")]
    assert line == "History - SPY: no bars, TWS sent none for 1800 S; asked again in 15 s"


@pytest.mark.slow
def test_history_that_an_outage_cuts_off_is_asked_for_again() -> None:
    kept = Kept()
    with late_history(symbols=["AAPL"], recorders=[kept]) as late:
        late.seconds = {"AAPL": None}
        late.played.run(50)
        late.seconds = {}
        late.played.market.hang_up()
        late.played.run(150)
        assert_as_history(late, kept, "AAPL", "10:00", "10:01")
    [line] = [line for line in late.played.lines if line.startswith("History - not now: ")]
    assert "the session broke during history" in line


def test_history_that_takes_long_leaves_the_ticks_of_meanwhile_in_their_minute() -> None:
    """Asked for at 10:01:05, there at 10:02:02: the ticks of 10:01 have waited for it."""
    kept = Kept()
    with late_history(symbols=["AAPL"], recorders=[kept]) as late:
        late.seconds = {"AAPL": 57.0}
        late.played.run(200)
        assert_as_history(late, kept, "AAPL", "10:00", "10:01", "10:02")


@pytest.mark.slow
def test_what_is_read_at_the_start_is_whole_however_long_it_takes() -> None:
    """Both are asked for at 10:00:20. AAPL answers at once, with 10:00 as it runs; SPY at 10:01:10."""
    kept = Kept()
    with late_history(recorders=[kept], first={"SPY": 50.0}) as late:
        late.played.run(130)
        assert_as_history(late, kept, "AAPL", "10:00", "10:01")


# Without a wire: starts around the close.

SECOND_NS = 1_000_000_000
CLOSE = at(DAY, "16:00")


def until(end_ns: int, minutes: int = 30) -> BarColumns:
    """Return the minutes of history before `end_ns`, with a close of 10.5 and 100 shares each."""
    start = end_ns - MINUTE_NS * np.arange(minutes, 0, -1)
    one = np.ones(minutes)
    return BarColumns(start, start + MINUTE_NS, 10.0 * one, 11.0 * one, 9.0 * one, 10.5 * one, 100.0 * one)


def volumes(told: Sequence[TrackedBar]) -> dict[tuple[int, str], float]:
    return {(one.bar.minutes, exchange_time(one.bar.start_ns)[11:16]): one.bar.volume for one in told}


def started(after_close: float, history: BarColumns) -> tuple[Feed, dict[tuple[int, str], float]]:
    """Start a feed so many seconds after the close, its stream live a second later; return it and what it told."""
    now_ns = CLOSE + round(after_close * SECOND_NS)
    made = Feed("AAPL", (1, 5), grace_ns=0, history=history, now_ns=now_ns)
    return made, volumes(made.note(StreamNote(1, now_ns + SECOND_NS, NoteKind.LIVE, "")))


@pytest.mark.parametrize("after_close", [0.0, 3.0, 4.999])
def test_the_last_minute_is_read_again_when_it_was_too_new_at_the_start(after_close: float) -> None:
    made, told_at_once = started(after_close, until(CLOSE))
    assert (told_at_once, made.advance(CLOSE + 6 * SECOND_NS)) == ({}, [])
    assert made.due_ns == CLOSE + 5 * SECOND_NS
    assert made.fill_start(until(CLOSE - MINUTE_NS), CLOSE + 6 * SECOND_NS, CLOSE + 6 * SECOND_NS) == ()  # not yet
    told = made.fill_start(until(CLOSE), CLOSE + 21 * SECOND_NS, CLOSE + 22 * SECOND_NS)
    assert volumes(told) == {(1, "15:59"): 100.0, (5, "15:55"): 500.0}
    assert made.due_ns is None


def test_the_last_minute_has_come_with_the_start_when_it_was_old_enough() -> None:
    made, told_at_once = started(5.0, until(CLOSE))
    assert (told_at_once, made.due_ns, made.advance(CLOSE + 60 * SECOND_NS)) == ({}, None, [])
    opened = at(date(2026, 11, 20), "09:30")
    assert volumes(made.advance(opened + MINUTE_NS)) == {(1, "09:30"): 0.0}  # bars have gone on


def test_what_did_not_trade_before_a_close_is_not_waited_for_overnight() -> None:
    """Halted at 15:58: history has nothing of the last two minutes, hours later, and never will."""
    made, told_at_once = started(4 * 3600.0, until(CLOSE - 2 * MINUTE_NS))
    assert (told_at_once, made.due_ns) == ({(1, "15:58"): 0.0, (1, "15:59"): 0.0, (5, "15:55"): 300.0}, None)


# How long it follows.


class SteppedBack:
    """A session in which nothing comes, whose clock is set back by an hour after five seconds."""

    clock_fault, state, dropped_events, outages = "", SupervisorState.LIVE, 0, ()

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_report(self, callback: object) -> None: ...

    def now_ns(self) -> int:
        return CLOSE + round((self.seconds - 3600.0 * (self.seconds > 5.0)) * SECOND_NS)

    def monotonic(self) -> float:
        return self.seconds

    def events(self, seconds: float) -> list[Any]:
        self.seconds += seconds
        assert self.seconds < 60.0
        return []


def test_a_duration_is_not_longer_when_the_clock_is_set_back() -> None:
    session: Any = SteppedBack()
    tracker = Tracker(session, [], (1,), lambda line: None)
    tracker.start(with_history=False)
    tracker.run(duration_seconds=10.0)
    tracker.stop()
    assert session.seconds == pytest.approx(10.0, abs=0.11)
    assert tracker.summary()[0].startswith("Summary - 0 symbols, 10 s, ")
