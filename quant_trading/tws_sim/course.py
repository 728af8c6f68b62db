"""The course a price takes through a session: a walk whose next step nobody can tell.

A session is drawn in two rounds. Its course at some fifteen knots is drawn first, with the day it belongs to, so that
the day's high and low are those of its own course; the minutes between two knots follow when somebody looks at them.
Both are bridges of Brownian motion, run by a clock that is fast where markets are restless: what the price will do has
no connection with what it did, at any distance in time, and the close of a day does not show before it is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import erf, exp, pi, sqrt

import numpy as np

from quant_trading.tws_sim.noise import KeyArray, normals_across
from quant_trading.tws_sim.tape import FloatArray, IntArray

__all__ = ["KNOTS", "Course", "bridges", "restless_clock", "round_the_clock"]

KNOTS = 15
"""A session is drawn at the ends of this many equal parts; sessions last whole half hours."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course of P sessions.

    Attributes:
        knots: float64[P, KNOTS + 1], the price at the knots, in ticks.
        deviation: float64[P], of a whole session, in ticks.
        clock_of: gives for n steps float64[n + 1], rising from 0 to 1: the share of a session's variance behind each
            moment.
    """

    knots: FloatArray
    deviation: FloatArray
    clock_of: Callable[[int], FloatArray]

    def prices(self, steps: FloatArray) -> FloatArray:
        """Return the price at each moment, float64[P, n + 1], for the standard normal `steps`, float64[P, n]."""
        n = steps.shape[1]
        at, part, share = _between_knots(self.clock_of, n)
        walk = np.zeros((len(steps), n + 1))
        np.cumsum(steps * self.step_deviation(n), axis=1, out=walk[:, 1:])
        # Between two knots, the walk less the straight line (by the clock) between where it is and where it must be.
        amiss = self.knots - walk[:, at]
        start = amiss[:, part]
        amiss = amiss[:, part + 1]
        amiss -= start
        amiss *= share
        walk += start
        walk += amiss
        return walk

    def step_deviation(self, n: int) -> FloatArray:
        """Return the deviation of each of n steps, float64[P, n], in ticks."""
        return np.asarray(self.deviation[:, None] * _root_steps(self.clock_of, n))


def bridges(keys: KeyArray, lane: int, clock: FloatArray) -> FloatArray:
    """Return Brownian bridges from 0 to 0, float64[len(clock), len(keys)]: a row for each moment of the clock."""
    # Moments first: there are few of them and many bridges, and each pass goes along the bridges.
    walk = np.zeros((len(clock), len(keys)))
    np.multiply(normals_across(keys, lane, len(clock) - 1), np.sqrt(np.diff(clock))[:, None], out=walk[1:])
    for moment in range(1, len(clock) - 1):
        walk[moment + 1] += walk[moment]
    walk -= walk[-1] * clock[:, None]
    return walk


@cache
def restless_clock(n: int) -> FloatArray:
    """Return the clock of a stock's session at n + 1 equidistant moments: fast after the open, faster to the close."""

    def behind(x: float) -> float:
        return 0.7 * x + 0.15 * ((2.0 * x - 1.0) ** 3 + 1.0) + 0.08 * (1.0 - exp(-x / 0.05))

    return _clock([behind(number / n) for number in range(n + 1)])


@cache
def round_the_clock(n: int) -> FloatArray:
    """Return the clock of a session that lasts a day: fastest while New York is open."""

    def behind(x: float) -> float:
        return x + 0.125 * sqrt(pi) * (erf(8.0 * x - 6.0) - erf(-6.0))

    return _clock([behind(number / n) for number in range(n + 1)])


def _clock(behind: list[float]) -> FloatArray:
    moments = np.array(behind)
    return np.asarray(moments / moments[-1])


@cache
def _root_steps(clock_of: Callable[[int], FloatArray], n: int) -> FloatArray:
    return np.asarray(np.sqrt(np.diff(clock_of(n))))


@cache
def _between_knots(clock_of: Callable[[int], FloatArray], n: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the step at which each knot lies, and for each moment its part and how much of that is behind it."""
    if n < KNOTS:
        raise ValueError(f"a session of {n} steps has no {KNOTS} parts; split sessions of that many minutes or more")
    at = np.arange(KNOTS + 1, dtype=np.int64) * n // KNOTS
    part = np.append(np.repeat(np.arange(KNOTS, dtype=np.int64), np.diff(at)), KNOTS - 1)
    clock = clock_of(n)
    begin, end = clock[at[part]], clock[at[part + 1]]
    return at, part, (clock - begin) / (end - begin)
