"""The course a price takes through a session: a walk whose next step nobody can tell.

A session is drawn in two rounds. Its course at some fifteen knots is drawn first, with the day it belongs to, so that
the day's high and low are those of its own course; the minutes between two knots follow when somebody looks at them.
Both are bridges of Brownian motion, run by a clock that is fast where markets are restless: what the price will do has
no connection with what it did, at any distance in time, and the close of a day does not show before it is there.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, exp, pi, sqrt

import numpy as np

from quant_trading.tws_sim.noise import KeyArray, normals
from quant_trading.tws_sim.tape import FloatArray, IntArray

__all__ = ["KNOTS", "Course", "bridges", "restless_clock", "round_the_clock"]

KNOTS = 15
"""A session is drawn at the ends of this many equal parts; sessions last whole half hours."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course of P sessions of n steps each.

    Attributes:
        knots: float64[P, KNOTS + 1], the price at the knots, in ticks.
        deviation: float64[P], of a whole session, in ticks.
        clock: float64[n + 1], rising from 0 to 1: the share of a session's variance behind each moment.
    """

    knots: FloatArray
    deviation: FloatArray
    clock: FloatArray

    def prices(self, steps: FloatArray) -> FloatArray:
        """Return the price at each moment, float64[P, n + 1], for the standard normal `steps`, float64[P, n]."""
        n = len(self.clock) - 1
        at = _knot_moments(n)
        walk = np.zeros((len(steps), n + 1))
        np.cumsum(steps * np.sqrt(np.diff(self.clock)), axis=1, out=walk[:, 1:])
        walk *= self.deviation[:, None]
        # Between two knots, the walk less the straight line (by the clock) between where it is and where it must be.
        amiss = self.knots - walk[:, at]
        part = np.repeat(np.arange(KNOTS), np.diff(at))
        part = np.append(part, KNOTS - 1)
        begin, end = self.clock[at[part]], self.clock[at[part + 1]]
        share = (self.clock - begin) / (end - begin)
        walk += amiss[:, part] * (1.0 - share)
        walk += amiss[:, part + 1] * share
        return walk

    def step_deviation(self) -> FloatArray:
        """Return the deviation of each step, float64[P, n], in ticks."""
        return np.asarray(self.deviation[:, None] * np.sqrt(np.diff(self.clock)))


def bridges(keys: KeyArray, lane: int, clock: FloatArray) -> FloatArray:
    """Return Brownian bridges from 0 to 0 at the moments of a clock, float64[len(keys), len(clock)]."""
    walk = np.zeros((len(keys), len(clock)))
    np.cumsum(normals(keys, lane, len(clock) - 1) * np.sqrt(np.diff(clock)), axis=1, out=walk[:, 1:])
    walk -= walk[:, -1:] * clock
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
def _knot_moments(n: int) -> IntArray:
    """Return the step at which each knot lies, int64[KNOTS + 1]."""
    if n < KNOTS:
        raise ValueError(f"a session of {n} steps has no {KNOTS} parts; split sessions of that many minutes or more")
    return np.arange(KNOTS + 1, dtype=np.int64) * n // KNOTS
