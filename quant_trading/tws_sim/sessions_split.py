"""Sessions split into their minutes: when names trade, and along which course."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import concat, rows
from quant_trading.tws_sim.course import Course
from quant_trading.tws_sim.noise import KeyArray, keys_of, mixed
from quant_trading.tws_sim.refine import refine
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["LONG_SESSION_MINUTES", "in_time", "minute_keys", "minutes_of", "restamped", "split_session", "within_keys"]

LONG_SESSION_MINUTES = 720
"""Sessions that last longer have the night in them."""

_SECOND_NS = 1_000_000_000
_STREAM_MINUTES, _STREAM_WITHIN = 4, 78


def minutes_of(
    key: int, days: TapeBars, opens: IntArray, closes: IntArray, scale: int,
    course: Callable[[npt.NDArray[np.bool_]], Course] | None = None,
) -> TapeBars:  # fmt: skip
    """Return the minutes of the spans of `days`; `course` gives that of some of them."""
    minutes = (closes - opens) // (60 * _SECOND_NS)
    parts = []
    for n in sorted(set(minutes.tolist())):
        same = minutes == n
        parents = restamped(rows(days, same), opens[same])
        along = None if course is None else course(same)
        parts.append(split_session(parents, n, [key], minute_keys([key], parents.start_ns), scale, along))
    return in_time(parts)


def minute_keys(streams: Sequence[int], opens: IntArray) -> KeyArray:
    """Return the streams the minutes of sessions are drawn from, those of each series one after the other."""
    return keys_of(mixed(streams, _STREAM_MINUTES), opens // _SECOND_NS).ravel()


def within_keys(streams: Sequence[int], starts: IntArray) -> KeyArray:
    """Return the random numbers the courses within minutes are drawn from.

    Args:
        streams: of the P series the minutes belong to, or of the only one.
        starts: int64[P, n], or int64[n] for all of them.
    """
    return keys_of(mixed(streams, _STREAM_WITHIN), starts // _SECOND_NS)


def split_session(
    parents: TapeBars, n: int, streams: Sequence[int], keys: KeyArray, scale: int, course: Course | None
) -> TapeBars:
    """Return the minutes of sessions of n minutes each, in their order; each begins with an auction.

    Args:
        streams: of the series each session belongs to, or of the only one.
    """
    weights = _smile(n) if n < LONG_SESSION_MINUTES else _round_the_clock(n)
    always = np.ones(len(parents), dtype=np.bool_)
    starts = parents.start_ns[:, None] + np.arange(n, dtype=np.int64) * (60 * _SECOND_NS)
    within = None if course is None else within_keys(streams, starts)
    return refine(parents, n, 60, keys, weights, parents.open, always, scale, course, within)


def restamped(bars: TapeBars, start_ns: IntArray) -> TapeBars:
    """Return the bars with other starts."""
    return TapeBars(start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count)


def in_time(parts: list[TapeBars]) -> TapeBars:
    """Return the bars of all parts in rising time."""
    merged = concat(parts)
    return rows(merged, np.argsort(merged.start_ns, kind="stable")) if len(parts) > 1 else merged


@cache
def _round_the_clock(minutes: int) -> FloatArray:
    """Return each minute's share of the trades of a session that lasts a day: most of them while New York is open."""
    position = np.linspace(0.0, 24.0, minutes)
    weights = 1.0 + 6.0 * np.exp(-(((position - 18.0) / 3.0) ** 2))
    return np.asarray(weights / weights.sum())


@cache
def _smile(minutes: int) -> FloatArray:
    """Return each minute's share of a session's trades: busy at both ends, busiest at the auctions."""
    position = np.linspace(-1.0, 1.0, minutes)
    weights = 1.0 + 1.8 * position**2
    weights[0] *= 3.0
    weights[-1] *= 6.0
    return np.asarray(weights / weights.sum())
