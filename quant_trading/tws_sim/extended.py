"""The hours before the open and after the close: a third of a night's way falls into the evening, the rest before nine.

They are drawn as sessions are, by way of knots: what the evening did says nothing about the morning, and thinly traded
names may not trade at all; then the bar is flat.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from quant_trading.tws_sim.actions import Actions
from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.course import KNOTS, Course, bridges, even_clock
from quant_trading.tws_sim.day_path import DayPath, on_grid
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.noise import keys_at, mix, normals_across
from quant_trading.tws_sim.refine import prints_needed, refine
from quant_trading.tws_sim.sessions_split import within_keys
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars

__all__ = ["ExtendedHours", "whole_days"]

_SCALE = 100
_MINUTE_NS = 60_000_000_000
_STREAM_EVENING = 9
_SHARE_OF_EVENING = 1.0 / 3.0
# As of a day: beyond the knots of its course.
_BEYOND, _BEYOND_SPREAD = 0.08, 0.10


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two: minutes, share of the session's volume, stream of random numbers."""

    minutes: int
    share: float
    stream: int


_PRE, _POST = _Part(330, 0.015, 5), _Part(240, 0.02, 6)


@dataclass(frozen=True, slots=True)
class _Spans:
    """The mornings or the evenings of T days: their bars, the knots of their courses and the deviation, in currency.

    Attributes:
        knots: float64[T, KNOTS + 1].
        deviation: float64[T].
    """

    bars: TapeBars
    knots: FloatArray
    deviation: FloatArray


class ExtendedHours:
    """The mornings and evenings of one name."""

    def __init__(
        self, path: DayPath, days: Days, splits: Actions, trade_size: float, sessions: tuple[IntArray, IntArray]
    ) -> None:
        """Take the path of the name, its days and splits, the mean shares of a trade, opens and closes."""
        self._path = path
        self._days = days
        self._splits = splits
        self._trade_size = trade_size
        self._open_ns, self._close_ns = sessions

    def bars(self, first: int, last: int) -> tuple[TapeBars, TapeBars]:
        """Return one bar for 04:00 to the open and one for the four hours after the close of each day asked for."""
        pre, post = self._spans(first, last)
        return pre.bars, post.bars

    def minutes(self, first: int, last: int) -> list[TapeBars]:
        """Return the minutes of the mornings, and those of the evenings."""
        return [self._split(part, spans) for part, spans in zip((_PRE, _POST), self._spans(first, last), strict=True)]

    def deviations(self, day: int) -> tuple[float, float]:
        """Return the deviation of a minute of the morning and of the evening of a day, in ticks."""
        pre, post = (float(spans.deviation[0]) * _SCALE for spans in self._spans(day, day + 1))
        return pre / _PRE.minutes**0.5, post / _POST.minutes**0.5

    def _spans(self, first: int, last: int) -> tuple[_Spans, _Spans]:
        # A morning begins where the evening before ended, an evening leads to the next open.
        begin, end = max(0, first - 1), min(last + 1, len(self._days))
        around, number = self._days.rows(begin, end), np.arange(begin, end, dtype=np.int64)
        night = self._path.night_deviation(begin, end)
        shares = self._splits.split_factor(around.start_ns, int(around.start_ns[-1]))
        # Across a split, the price of the evening in shares of the evening.
        one_for = np.concatenate([shares[:-1] / shares[1:], [1.0]])
        next_open = np.concatenate([around.open[1:], around.close[-1:]]) * one_for
        next_night = np.concatenate([night[1:], [0.0]])
        post_volume, pre_volume = (np.floor(around.volume * part.share) for part in (_POST, _PRE))
        share = _SHARE_OF_EVENING
        bend = normals_across(keys_at(mix(self._path.key, _STREAM_EVENING), number), 0, 1)[0]
        off = (share * (1.0 - share)) ** 0.5 * around.close * next_night * bend
        evening = _to_cents(around.close + share * (next_open - around.close) + off)
        evening = np.where(post_volume > 0, evening, around.close)
        overnight = np.concatenate([around.open[:1], _to_cents(evening[:-1] / one_for[:-1])])
        morning = np.where(pre_volume > 0, around.open, overnight)
        inner, span = slice(first - begin, last - begin), slice(first, last)
        pre_start = self._open_ns[span] - _PRE.minutes * _MINUTE_NS
        number = number[inner]
        evening_share, morning_share = share**0.5, (1.0 - share) ** 0.5
        pre = self._span(_PRE, number, pre_start, overnight[inner], morning[inner], pre_volume[inner],
                         morning_share * overnight[inner] * night[inner])  # fmt: skip
        post = self._span(_POST, number, self._close_ns[span], around.close[inner], evening[inner], post_volume[inner],
                          evening_share * around.close[inner] * next_night[inner])  # fmt: skip
        return pre, post

    def _span(
        self, part: _Part, day: IntArray, start_ns: IntArray, open_: FloatArray, close: FloatArray, volume: FloatArray,
        deviation: FloatArray,
    ) -> _Spans:  # fmt: skip
        key, clock = self._path.key, even_clock(KNOTS)
        deviation = np.where(volume > 0, deviation, 0.0)
        knots = bridges(keys_at(mix(key, part.stream, 2), day), 0, clock) * deviation
        knots += open_ + (close - open_) * clock[:, None]
        beyond = np.abs(normals_across(keys_at(mix(key, part.stream, 1), day), 0, 2))
        reach = deviation * (_BEYOND + _BEYOND_SPREAD * beyond)
        high = np.maximum(_to_cents(knots.max(axis=0) + reach[0]), np.maximum(open_, close))
        low = np.minimum(_to_cents(knots.min(axis=0) - reach[1]), np.minimum(open_, close))
        high, low = (np.where(volume > 0, price, close) for price in (high, low))
        count = np.minimum(np.ceil(volume / (0.6 * self._trade_size)), volume).astype(np.int64)
        # A few trades cannot leave four prices.
        few = prints_needed(*(np.rint(price * _SCALE).astype(np.int64) for price in (open_, high, low, close))) > count
        high, low = (
            np.where(few, edge(open_, close), price) for edge, price in ((np.maximum, high), (np.minimum, low))
        )
        open_, high, low = (np.where(few & (count == 1), close, price) for price in (open_, high, low))
        wap = typical_price(open_, high, low, close)
        return _Spans(TapeBars(start_ns, open_, high, low, close, volume, wap, count), knots.T, deviation)

    def _split(self, part: _Part, spans: _Spans) -> TapeBars:
        key, parents, n = self._path.key, spans.bars, part.minutes
        keys = keys_at(mix(key, part.stream), parents.start_ns // 1_000_000_000)
        starts = parents.start_ns[:, None] + np.arange(n, dtype=np.int64) * _MINUTE_NS
        never = np.zeros(len(parents), dtype=np.bool_)
        course = Course(spans.knots * _SCALE, spans.deviation * _SCALE, even_clock)
        return refine(
            parents, n, 60, keys, _ramp(part), parents.open, never, _SCALE, course, within_keys([key], starts)
        )


@cache
def _ramp(part: _Part) -> FloatArray:
    """Return each minute's share of the trades: trading thickens toward the open and thins out after the close."""
    ramp = np.linspace(0.15, 1.0, part.minutes) ** 2
    weights = ramp if part is _PRE else ramp[::-1]
    return np.asarray(weights / weights.sum())


def _to_cents(price: FloatArray) -> FloatArray:
    return on_grid(price, scale=_SCALE, floor=1.0)


def whole_days(days: TapeBars, pre: TapeBars, post: TapeBars) -> TapeBars:
    """Return daily bars of all hours."""
    early, late = pre.volume > 0, post.volume > 0
    volume = pre.volume + days.volume + post.volume
    turnover = pre.volume * pre.wap + days.volume * days.wap + post.volume * post.wap
    high = np.maximum(np.where(early, pre.high, days.high), np.where(late, post.high, days.high))
    low = np.minimum(np.where(early, pre.low, days.low), np.where(late, post.low, days.low))
    return TapeBars(
        days.start_ns,
        np.where(early, pre.open, days.open),
        np.maximum(high, days.high),
        np.minimum(low, days.low),
        np.where(late, post.close, days.close),
        volume,
        turnover / volume,
        pre.count + days.count + post.count,
    )
