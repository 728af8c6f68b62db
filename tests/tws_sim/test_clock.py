"""How simulated time follows real time."""

from math import inf

import pytest

from quant_trading.tws_sim.clock import SimClock

SECOND_NS = 1_000_000_000


def test_time_runs_at_its_speed_from_the_start_on() -> None:
    real = [100.0]
    clock = SimClock(5 * SECOND_NS, speed=60.0)
    assert clock.now_ns() == 5 * SECOND_NS
    clock.start(lambda: real[0])
    real[0] = 102.0
    assert clock.now_ns() == 125 * SECOND_NS
    assert clock.seconds_until(185 * SECOND_NS) == 1.0
    assert clock.seconds_until(0) == 0.0


def test_a_clock_that_stands_still_never_gets_there() -> None:
    clock = SimClock(0, speed=0.0)
    clock.start(lambda: 1e9)
    assert clock.now_ns() == 0
    assert clock.seconds_until(1) == inf


def test_a_new_speed_counts_from_now_and_a_leap_is_kept() -> None:
    real = [0.0]
    clock = SimClock(0, speed=1.0)
    clock.start(lambda: real[0])
    real[0] = 10.0
    clock.set_speed(2.0)
    assert clock.now_ns() == 10 * SECOND_NS
    real[0] = 11.0
    clock.leap(100 * SECOND_NS)
    assert clock.now_ns() == 112 * SECOND_NS
    clock.set_speed(0.0)
    real[0] = 50.0
    assert clock.now_ns() == 112 * SECOND_NS


@pytest.mark.parametrize("speed", [-1.0, inf, float("nan")])
def test_impossible_speeds_are_named(speed: float) -> None:
    with pytest.raises(ValueError, match="is not 0 or above"):
        SimClock(0, speed)
    with pytest.raises(ValueError, match="is not 0 or above"):
        SimClock(0).set_speed(speed)
