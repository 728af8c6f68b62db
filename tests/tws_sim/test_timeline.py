"""Simulated time moves forward only and runs what is due, in order."""

import pytest

from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.timeline import Timeline


def test_actions_run_in_order_and_see_their_own_moment() -> None:
    timeline = Timeline(100)
    seen: list[tuple[str, int]] = []
    timeline.call_at(130, lambda: seen.append(("b", timeline.now_ns)))
    timeline.call_at(120, lambda: seen.append(("a", timeline.now_ns)))
    timeline.call_at(130, lambda: seen.append(("c", timeline.now_ns)))
    timeline.call_at(200, lambda: seen.append(("late", timeline.now_ns)))

    timeline.advance_to(150)

    assert seen == [("a", 120), ("b", 130), ("c", 130)]
    assert (timeline.now_ns, timeline.next_ns()) == (150, 200)


def test_what_an_action_plans_in_time_runs_too() -> None:
    timeline = Timeline(0)
    seen: list[int] = []
    timeline.call_at(10, lambda: timeline.call_at(20, lambda: seen.append(timeline.now_ns)))

    timeline.advance_to(30)

    assert seen == [20]


def test_time_never_runs_backwards() -> None:
    timeline = Timeline(100)
    seen: list[int] = []
    timeline.call_at(50, lambda: seen.append(timeline.now_ns))

    timeline.advance_to(60)
    assert (seen, timeline.now_ns) == ([100] if seen else [], 100)
    timeline.advance_to(100)
    assert seen == [100]


def test_cancelled_timers_do_not_run_and_are_not_due() -> None:
    timeline = Timeline(0)
    timer = timeline.call_at(10, lambda: pytest.fail("it was cancelled"))
    timer.cancel()

    assert timeline.next_ns() is None
    assert not timeline.has_foreground()
    timeline.advance_to(20)


def test_streams_are_background() -> None:
    timeline = Timeline(0)
    timeline.call_at(10, lambda: None, is_background=True)
    assert not timeline.has_foreground()
    timeline.call_at(20, lambda: None)
    assert timeline.has_foreground()


def test_the_clock_runs_at_its_speed() -> None:
    now = [50.0]
    clock = SimClock(1_000_000_000, speed=60)
    assert clock.now_ns() == 1_000_000_000
    clock.start(lambda: now[0])
    now[0] = 52.5

    assert clock.now_ns() == 1_000_000_000 + 150_000_000_000
    assert clock.seconds_until(clock.now_ns() + 30_000_000_000) == 0.5
    assert clock.seconds_until(0) == 0


def test_a_clock_at_speed_0_stands_still() -> None:
    clock = SimClock(5, speed=0)
    clock.start(lambda: 99.0)

    assert clock.now_ns() == 5
    assert clock.seconds_until(6) == float("inf")


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="is not 0 or above"):
        SimClock(0, speed)
