"""The course a price takes through a session: a walk whose next step nobody can tell.

A session is drawn in rounds. Its course at some fifteen knots is drawn first, with the day it belongs to, so that
the day's high and low are those of its own course; the minutes between two knots follow when somebody looks at them,
each with its course at the quarters, so that its high and low are its own, and the seconds in between come last.
All are bridges of Brownian motion, run by a clock that is fast where markets are restless: what the price will do has
no connection with what it did, at any distance in time, and the close of a day does not show before it is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import erf, exp, pi, sqrt

import numpy as np

from quant_trading.tws_sim.noise import KeyArray, normals_across
from quant_trading.tws_sim.tape import FloatArray, IntArray

__all__ = ["KNOTS", "Course", "bends", "bridges", "even_clock", "minute_course", "quarter_extremes", "restless_clock",
           "round_the_clock", "step_deviations"]  # fmt: skip

KNOTS = 15
"""A session is drawn at the ends of this many equal parts; sessions last whole half hours."""

# A minute is drawn at its quarters, from the four words of one number.
_QUARTERS = 4
_WORD, _LOWEST = np.uint64(16), np.uint64(0xFFFF)
_WORDS_MEAN, _PER_WORD_DEVIATION = 32767.5, (12.0 / (65536.0**2 - 1.0)) ** 0.5


@dataclass(frozen=True, slots=True)
class Course:
    """The course of P sessions, or of P minutes.

    Attributes:
        knots: float64[P, K + 1], the price at the ends of K equal parts, in ticks.
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
        at, part, share = _between_knots(self.clock_of, n, self.knots.shape[1] - 1)
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
        return np.asarray(self.deviation[:, None] * step_deviations(self.clock_of, n))


def bridges(keys: KeyArray, lane: int, clock: FloatArray) -> FloatArray:
    """Return Brownian bridges from 0 to 0, float64[len(clock), len(keys)]: a row for each moment of the clock."""
    # Moments first: there are few of them and many bridges, and each pass goes along the bridges.
    walk = np.zeros((len(clock), len(keys)))
    np.multiply(normals_across(keys, lane, len(clock) - 1), np.sqrt(np.diff(clock))[:, None], out=walk[1:])
    for moment in range(1, len(clock) - 1):
        walk[moment + 1] += walk[moment]
    walk -= walk[-1] * clock[:, None]
    return walk


def bends(bits: KeyArray) -> FloatArray:
    """Return what a span wanders off the straight way at its quarters, float64[3, ...], for a deviation of 1.

    Args:
        bits: uint64[...], a random number of each span.
    """
    words = np.array([(bits >> (_WORD * np.uint64(place))) & _LOWEST for place in range(_QUARTERS)], dtype=np.float64)
    words -= _WORDS_MEAN
    # Four steps of a variance of 1/4 each.
    words *= _PER_WORD_DEVIATION / _QUARTERS**0.5
    words -= words.mean(axis=0)
    return np.asarray(np.cumsum(words[:-1], axis=0))


def minute_course(open_: FloatArray, close: FloatArray, deviation: FloatArray, bits: KeyArray) -> Course:
    """Return the course of P minutes by way of their quarters; prices and deviation float64[P] in ticks."""
    straight = open_ + (close - open_) * np.linspace(0.0, 1.0, _QUARTERS + 1)[:, None]
    straight[1:-1] += deviation * bends(bits)
    return Course(straight.T, deviation, even_clock)


def quarter_extremes(
    open_: IntArray, close: IntArray, deviation: FloatArray, bits: KeyArray
) -> tuple[FloatArray, FloatArray]:
    """Return the highest and the lowest price of minutes at their quarters, of the same courses, ends included."""
    highest, lowest = np.maximum(open_, close).astype(np.float64), np.minimum(open_, close).astype(np.float64)
    way = (close - open_) / float(_QUARTERS)
    for quarter, bend in enumerate(bends(bits), start=1):
        price = bend
        price *= deviation
        price += open_
        price += quarter * way
        np.maximum(highest, price, out=highest)
        np.minimum(lowest, price, out=lowest)
    return highest, lowest


@cache
def even_clock(n: int) -> FloatArray:
    """Return the clock of a time without haste or rest at n + 1 equidistant moments."""
    return np.linspace(0.0, 1.0, n + 1)


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
def step_deviations(clock_of: Callable[[int], FloatArray], n: int) -> FloatArray:
    """Return the deviation of each of the n steps of a span whose own is 1, float64[n]."""
    return np.asarray(np.sqrt(np.diff(clock_of(n))))


@cache
def _between_knots(clock_of: Callable[[int], FloatArray], n: int, parts: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the step at which each knot lies, and for each moment its part and how much of that is behind it."""
    if n < parts:
        raise ValueError(f"a span of {n} steps has no {parts} parts; split spans of that many steps or more")
    at = np.arange(parts + 1, dtype=np.int64) * n // parts
    part = np.append(np.repeat(np.arange(parts, dtype=np.int64), np.diff(at)), parts - 1)
    clock = clock_of(n)
    begin, end = clock[at[part]], clock[at[part + 1]]
    return at, part, (clock - begin) / (end - begin)
