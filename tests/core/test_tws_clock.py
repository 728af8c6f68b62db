"""TWS's clock: used when the machine's is off, left alone when near, followed when it moves, not at another speed."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from quant_trading.core.ibkr_connection import IBKRConnection
from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.tws_clock import Course, Reading, TwsClock
from quant_trading.tws_sim.virtual import VirtualLoop
from tests.core.meddler import PORT, Fields, Meddler, simulator, virtual
from tests.core.supervised import VirtualClock

TWS_TIME = datetime(2026, 11, 19, 15, 0, tzinfo=UTC)  # 10:00 in New York, where the simulator begins


class _Machine:
    """A machine's clock that stands still."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        (timedelta(0), timedelta(0)),
        (timedelta(seconds=1), timedelta(0)),
        (timedelta(seconds=-1), timedelta(0)),
        # TWS cuts its second off: half a second later is the likeliest moment.
        (timedelta(seconds=60), timedelta(seconds=-59.5)),
        (timedelta(hours=-36), timedelta(hours=36, seconds=0.5)),
    ],
)
def test_it_goes_by_tws_beyond_two_seconds(ahead: timedelta, expected: timedelta) -> None:
    machine = _Machine(TWS_TIME + ahead)
    clock = TwsClock(machine)
    assert clock.now() == machine.moment
    with virtual(simulator()) as loop:
        connection = IBKRConnection(16, "127.0.0.1", PORT, loop=loop, fetch=(), read_only=True, environ={})
        with connection:
            assert connection.call(clock.set_by(connection)) == expected
    assert clock.now() == machine.moment + expected
    assert clock.monotonic() == 1.0


# A session that keeps it. The wires below tell TWS's time otherwise than it is: a function of the seconds gone by.

Told = Callable[[float], float]


class _Wrong(VirtualClock):
    """A machine whose clock is as far off as `off` says of the seconds gone by."""

    def __init__(self, loop: VirtualLoop, off: Told) -> None:
        super().__init__(loop)
        self._began, self._off = loop.time(), off

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._off(self.monotonic() - self._began))


class _Kept:
    """A session whose clock goes by TWS.

    Attributes:
        loop, session, clock: of it.
    """

    def __init__(self, loop: VirtualLoop, off: Told) -> None:
        self.loop = loop
        self.clock = TwsClock(_Wrong(loop, off))
        self.session = IBKRSession("127.0.0.1", PORT, 16, loop=loop, clock=self.clock, environ={})
        self.session.start()
        self.session.wait_until_live(30)

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @property
    def seconds(self) -> float:
        return self.clock.offset.total_seconds()

    @property
    def told(self) -> list[str]:
        return [one.text for one in self.session.reports if "clock" in one.text]


@contextmanager
def kept(tws: Told = lambda seconds: 0.0, machine: Told = lambda seconds: 0.0) -> Iterator[_Kept]:
    """Give a session; `tws` and `machine` return how far each is ahead of the virtual time."""
    peer = Meddler(simulator())
    with virtual(peer) as loop:
        began = loop.time()

        def edit(fields: Fields) -> list[Fields]:
            if fields[0] != "49":  # currentTime: its number, its version, the time
                return [fields]
            return [(*fields[:2], str(int(int(fields[2]) + tws(loop.time() - began))))]

        peer.edit = edit
        made = _Kept(loop, machine)
        try:
            yield made
        finally:
            made.session.stop()


@pytest.mark.parametrize("hours", [30, -38])
def test_to_learn_how_far_the_machine_is_off_is_no_jump(hours: int) -> None:
    with kept(machine=lambda seconds: hours * 3600.0) as on:
        assert on.seconds == pytest.approx(-hours * 3600, abs=1)
        on.run(120)
        assert (on.told, on.session.outages, on.session.clock_fault) == ([], (), "")


def test_a_machine_that_slept_is_still_seen_and_its_clock_set_anew() -> None:
    """Its clock is an hour off and leaps a minute after 30 s, with TWS's where it was."""
    with kept(machine=lambda seconds: 3600.0 + 60.0 * (seconds > 30)) as on:
        on.run(120)
        [outage] = on.session.outages
        assert outage.cause == "the clock jumped by +60 s: this machine slept, or its time was set"
        assert on.seconds == pytest.approx(-3660, abs=1)
        moved = re.compile(r"TWS's clock has moved by -(59|60|61) s against this machine's: times follow it")
        assert len([text for text in on.told if moved.fullmatch(text)]) == 1


def test_a_clock_that_was_set_at_tws_is_followed() -> None:
    with kept(tws=lambda seconds: 30.0 * (seconds > 50)) as on:
        on.run(50)
        assert (on.seconds, on.told) == (0.0, [])
        on.run(30)  # a heartbeat sees it within 20 s, the next one, 5 s later, that it stays so
        assert on.seconds == pytest.approx(30.0, abs=1.0)
        on.run(300)
        assert on.told == ["TWS's clock has moved by +30 s against this machine's: times follow it"]
        assert (on.session.outages, on.session.clock_fault) == ((), "")


@pytest.mark.parametrize("share", [0.005, -0.005])
def test_a_clock_that_drifts_is_followed_again_and_again(share: float) -> None:
    """Half a percent is 18 s an hour: always within four seconds of TWS's time, which is told in whole seconds."""
    with kept(machine=lambda seconds: -share * seconds) as on:
        began = on.loop.time()
        for _ in range(60):
            on.run(60)
            assert on.seconds - share * (on.loop.time() - began) == pytest.approx(0.0, abs=4.0)
        assert abs(on.seconds) > 12.0
        assert (on.session.outages, on.session.clock_fault) == ((), "")


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (0.0, "stands still"),
        (0.5, "runs about 0.5 times as fast as ours"),
        (1.2, "runs about 1.2 times as fast as ours"),
        (10.0, "runs about 10.0 times as fast as ours"),
        (600.0, "runs about 600"),
    ],
)
def test_a_clock_that_runs_at_another_speed_is_an_alarm_with_the_cure_once(speed: float, words: str) -> None:
    with kept(tws=lambda seconds: (speed - 1.0) * seconds) as on:
        on.run(12 if abs(speed - 1.0) >= 0.5 else 90)
        assert on.session.clock_fault.startswith(f"TWS's clock {words}")
        assert "start the simulator with --speed 1, " in on.session.clock_fault
        on.run(120)
        assert on.told.count(on.session.clock_fault) == 1


def _reading(at: float, ahead: float, slack: float = 0.0) -> Reading:
    return Reading(TWS_TIME + timedelta(seconds=at), timedelta(seconds=ahead), timedelta(seconds=slack))


def test_a_slow_answer_is_no_speed() -> None:
    """Twenty seconds from question to answer: what it says may be ten seconds wrong."""
    clock = TwsClock(_Machine(TWS_TIME))
    assert [clock.follow(_reading(at, 5.0)) for at in (0, 5)] == [Course.SUSPECT, Course.MOVED]
    assert clock.follow(_reading(20, -4.0, slack=10.0)) is Course.STEADY
    assert clock.follow(_reading(40, 5.5)) is Course.STEADY
    assert clock.offset == timedelta(seconds=5)


def test_one_answer_beside_all_others_moves_nothing() -> None:
    clock = TwsClock(_Machine(TWS_TIME))
    assert [clock.follow(_reading(at, ahead)) for at, ahead in ((0, 0.3), (20, 9.0), (25, 0.2), (45, 9.0))] == [
        Course.STEADY, Course.SUSPECT, Course.STEADY, Course.SUSPECT,
    ]  # fmt: skip
    assert clock.offset == timedelta(0)


# A clock that is set in the first minute, when nothing is known yet of its speed.

Said = tuple[float, float]


def follow(*said: Said) -> tuple[TwsClock, list[Course]]:
    """Return a clock set at 0 s by a TWS that agreed, and what it makes of readings (seconds, ahead) from then on."""
    clock = TwsClock(_Machine(TWS_TIME))
    clock._go_by(_reading(0.0, 0.0))
    return clock, [clock.follow(_reading(at, ahead)) for at, ahead in said]


@pytest.mark.parametrize("step", [-4.9, -3.0, 2.5, 4.0, 4.9, 3600.0])
def test_a_step_in_the_first_minute_is_followed(step: float) -> None:
    clock, courses = follow((5, 0.4), (24, step), (29, step + 0.9), (49, step + 0.5), (69, step))
    assert courses == [Course.STEADY, Course.SUSPECT, Course.MOVED, Course.STEADY, Course.STEADY]
    assert clock.offset == timedelta(seconds=step + 0.9)
    assert clock.rate == 1.0


def test_a_step_that_is_taken_back_is_no_speed() -> None:
    clock, courses = follow((5, -4.0), (10, -4.0), (30, 0.0), (35, 0.0))
    assert courses == [Course.SUSPECT, Course.MOVED, Course.SUSPECT, Course.MOVED]
    assert clock.offset == timedelta(0)


def test_what_moves_twice_the_same_way_within_a_minute_runs() -> None:
    """A tenth too fast: in the five seconds between two readings that is less than the second TWS cuts off."""
    clock, courses = follow((5, 0.5), (25, 2.5), (30, 3.0), (50, 5.0), (55, 5.5), (60, 6.0))
    assert courses == [Course.STEADY, Course.SUSPECT, Course.MOVED, Course.STEADY, Course.SUSPECT, Course.RUNS]
    assert clock.rate == pytest.approx(1.1)


def test_a_step_of_this_machine_in_the_first_minute_leaves_the_session_alive() -> None:
    """A time server sets it back by 4 s, fifteen seconds after it has connected."""
    with kept(machine=lambda seconds: -4.0 * (seconds > 15)) as on:
        on.run(300)
        assert (on.session.outages, on.session.clock_fault) == ((), "")
        assert on.seconds == pytest.approx(4.0, abs=1.0)
        assert len(on.told) == 1
