"""The listed names of the built-in market: their days, minutes and seconds, made for one name or for many at once.

What is asked for over and over is asked for of many names: a year of days, the session that is running, its last
minutes. Longer stretches are made name by name; there is enough to work through in each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.actions import Actions
from quant_trading.tws_sim.aggregate import aggregate, concat, no_bars, rows
from quant_trading.tws_sim.company_events import splits_of
from quant_trading.tws_sim.course import Course, step_deviations
from quant_trading.tws_sim.day_path import DayPath, Paths
from quant_trading.tws_sim.days import LONGEST_STRETCH, PIECE, MadeDays
from quant_trading.tws_sim.extended import ExtendedHours
from quant_trading.tws_sim.factors import Factors
from quant_trading.tws_sim.series import second_keys, split_seconds
from quant_trading.tws_sim.sessions_split import minute_keys, minutes_of, restamped, split_session, within_keys
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.together import Together
from quant_trading.tws_sim.universe import Listing

__all__ = ["Roster", "minute_deviations", "path_minutes"]

_SCALE = 100
_SECOND_NS, _MINUTE_NS = 1_000_000_000, 60_000_000_000

Column = npt.NDArray[Any]
"""One of the columns of bars: their starts and trades are whole numbers, the others fractions."""


@dataclass(slots=True)
class _Name:
    """One name of the roster.

    Attributes:
        session: number of the session whose minutes were asked for last.
        deviation: of that session, in ticks.
        running_minute: day and number of the minute whose `seconds` were asked for with the day that is running.
        running_at: day and moment of `running`.
    """

    path: DayPath
    splits: Actions
    days: MadeDays
    extended: ExtendedHours
    session: int = -1
    deviation: float = 0.0
    minutes: TapeBars | None = None
    running_minute: tuple[int, int] = (-1, -1)
    seconds: TapeBars | None = None
    running_at: tuple[int, int] = (-1, -1)
    running: TapeBars | None = None


class Roster:
    """The names of one market, by their number in the table of listings."""

    def __init__(
        self,
        factors: Factors,
        listings: Sequence[tuple[Listing, int]],
        sessions: tuple[IntArray, IntArray],
        clock: Callable[[int], FloatArray],
    ) -> None:
        """Take the names with the key of each, opens and closes of all sessions, and the clock of a session."""
        self._factors = factors
        self._listings = listings
        self._names: dict[int, _Name] = {}
        self._open_ns, self._close_ns = sessions
        self._clock = clock
        self._some_days = Together(self._make_days, len(listings))
        self._some_minutes = Together(self._make_minutes, len(listings))
        self._some_seconds = Together(self._make_seconds, len(listings))
        self._some_running = Together(self._make_running, len(listings))

    def days(self, number: int) -> MadeDays:
        """Return the days of a name, as traded."""
        return self._name(number).days

    def days_ahead(self, first: int, last: int) -> list[TapeBars]:
        """Return the days first <= day < last of the names for which they have just been made ahead, each time once."""
        newest = self._some_days.newest()
        if newest is None or not newest[0][0] <= first <= last <= newest[0][1]:
            return []
        return [rows(days, slice(first - newest[0][0], last - newest[0][0])) for days in newest[1]]

    def extended(self, number: int) -> ExtendedHours:
        """Return the mornings and evenings of a name."""
        return self._name(number).extended

    def minutes(self, number: int, first: int, last: int) -> TapeBars:
        """Return the minutes of the sessions first <= day < last."""
        name = self._name(number)
        if last - first == 1:
            if name.session != first:
                name.minutes, name.deviation = self._some_minutes.take(first, number)
                name.session = first
            assert name.minutes is not None, "kept with the number of the session"
            return name.minutes
        spans = self._open_ns[first:last], self._close_ns[first:last]
        return path_minutes(name.path, name.path.key, name.days.rows(first, last), spans, first, self._clock)

    def seconds(self, number: int, day: int, first: int, last: int) -> TapeBars:
        """Return the seconds of the minutes first <= minute < last of a session."""
        return self._some_seconds.take((day, first, last), number)

    def running(self, number: int, day: int, end_ns: int) -> TapeBars:
        """Return what a session has come to before `end_ns` as one bar, none when it has not begun."""
        name = self._name(number)
        if name.running is None or name.running_at != (day, end_ns):
            name.running = self._some_running.take((day, end_ns), number)
            name.running_at = day, end_ns
        return name.running

    def deviation(self, number: int, day: int, starts: IntArray) -> FloatArray:
        """Return the deviation of the minutes of a day that begin at `starts`, in ticks."""
        name, span = self._name(number), (int(self._open_ns[day]), int(self._close_ns[day]))
        if name.session != day:
            self.minutes(number, day, day + 1)
        inside = np.minimum(np.maximum(starts, span[0]), span[1] - 1)
        found = minute_deviations(name.deviation, span, inside, self._clock)
        outside = inside != starts
        if outside.any():
            morning, evening = name.extended.deviations(day)
            found[outside] = np.where(starts[outside] < span[0], morning, evening)
        return found

    def _name(self, number: int) -> _Name:
        found = self._names.get(number)
        if found is None:
            listing, key = self._listings[number]
            path, splits = DayPath(self._factors, listing, key), splits_of(listing)
            days = MadeDays(self._factors.stamps, partial(self._days_of, number))
            extended = ExtendedHours(path, days, splits, listing.trade_size, (self._open_ns, self._close_ns))
            found = self._names[number] = _Name(path, splits, days, extended)
        return found

    def _days_of(self, number: int, first: int, last: int) -> TapeBars:
        if last - first > LONGEST_STRETCH * PIECE:
            return self._make_days((first, last), [number])[0]
        return self._some_days.take((first, last), number)

    def _make_days(self, key: tuple[int, int], numbers: Sequence[int]) -> list[TapeBars]:
        names = [self._name(number) for number in numbers]
        made = Paths([name.path for name in names]).make(*key)
        return [_as_traded(days, name.splits, self._factors.stamps) for days, name in zip(made, names, strict=True)]

    def _make_minutes(self, day: int, numbers: Sequence[int]) -> list[tuple[TapeBars, float]]:
        names = [self._name(number) for number in numbers]
        # The others are asked for the days that the first has just been asked for: that is what will be asked of them.
        first, last = names[0].days.stretch_around(day)
        days = concat([rows(name.days.rows(first, last), slice(day - first, day - first + 1)) for name in names])
        opens = np.full(len(names), self._open_ns[day])
        open_, close = (price[:, None] * _SCALE for price in (days.open, days.close))
        knots, deviation = Paths([name.path for name in names]).course(day, day + 1, open_, close)
        along = Course(knots[:, :, 0].T, deviation[:, 0], self._clock)
        streams = [name.path.key for name in names]
        keys = minute_keys(streams, opens[:1])
        n = int(self._close_ns[day] - self._open_ns[day]) // _MINUTE_NS
        made = split_session(restamped(days, opens), n, streams, keys, _SCALE, along)
        return list(zip(_cut(made, len(names)), deviation[:, 0].tolist(), strict=True))

    def _make_seconds(self, key: tuple[int, int, int], numbers: Sequence[int]) -> list[TapeBars]:
        day, first, last = key
        minutes = [self.minutes(number, day, day + 1) for number in numbers]
        parents = concat([rows(some, slice(first, last)) for some in minutes])
        closes = [np.concatenate([some.open[:1], some.close])[first:last] for some in minutes]
        starts, span = parents.start_ns[: last - first], (int(self._open_ns[day]), int(self._close_ns[day]))
        names = [self._name(number) for number in numbers]
        streams = [name.path.key for name in names]
        # The deviation of a session of deviation 1, times that of each.
        share = minute_deviations(1.0, span, starts, self._clock)
        deviation = np.outer([name.deviation for name in names], share).ravel()
        way = deviation, within_keys(streams, starts).ravel()
        is_opening = parents.start_ns == self._open_ns[day]
        keys = second_keys(streams, starts)
        made = split_seconds(parents, 60, keys, np.concatenate(closes), is_opening, _SCALE, way)
        return _cut(made, len(numbers))

    def _make_running(self, key: tuple[int, int], numbers: Sequence[int]) -> list[TapeBars]:
        day, end_ns = key
        open_ns, close_ns = int(self._open_ns[day]), int(self._close_ns[day])
        if end_ns <= open_ns:
            return [no_bars()] * len(numbers)
        over, since = divmod(min(end_ns, close_ns) - open_ns, _MINUTE_NS)
        so_far = _table([self.minutes(number, day, day + 1) for number in numbers], over)
        if since:
            # The minute that is running counts as far as it has got.
            seconds = _table(self._seconds_of(numbers, day, over), -(-since // _SECOND_NS))
            so_far = [np.column_stack(both) for both in zip(so_far, _columns(_bar_of_each(seconds)), strict=True)]
        return _cut(_bar_of_each(so_far), len(numbers))

    def _seconds_of(self, numbers: Sequence[int], day: int, minute: int) -> list[TapeBars]:
        """Return the seconds of one minute, of each name."""
        names = [self._name(number) for number in numbers]
        missing = [
            place for place, name in enumerate(names) if name.seconds is None or name.running_minute != (day, minute)
        ]
        if missing:
            made = self._make_seconds((day, minute, minute + 1), [numbers[place] for place in missing])
            for place, seconds in zip(missing, made, strict=True):
                names[place].running_minute, names[place].seconds = (day, minute), seconds
        return [name.seconds for name in names if name.seconds is not None]


def path_minutes(
    path: DayPath,
    key: int,
    days: TapeBars,
    spans: tuple[IntArray, IntArray],
    first: int,
    clock: Callable[[int], FloatArray],
) -> TapeBars:
    """Return the minutes of sessions along the path of a name.

    Args:
        key: stream of random numbers of the minutes.
        days: the sessions from number `first` on; `spans`: their opens and closes.
    """
    scale, last = path.scale, first + len(days)
    knots, deviation = path.course(first, last, days.open * scale, days.close * scale)

    def course(same: npt.NDArray[np.bool_]) -> Course:
        return Course(knots[same], deviation[same], clock)

    return minutes_of(key, days, *spans, scale, course)


def minute_deviations(
    deviation: float, span: tuple[int, int], starts: IntArray, clock: Callable[[int], FloatArray]
) -> FloatArray:
    """Return the deviation of the minutes that begin at `starts`, of a session of that deviation, open and close."""
    minutes = (span[1] - span[0]) // _MINUTE_NS
    return np.asarray(deviation * step_deviations(clock, minutes)[(starts - span[0]) // _MINUTE_NS])


def _columns(bars: TapeBars) -> tuple[Column, ...]:
    return bars.start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count


def _table(parts: Sequence[TapeBars], stop: int) -> list[Column]:
    """Return the columns of the first `stop` bars of each part, [parts, stop] each."""
    return [np.array([column[:stop] for column in same]) for same in zip(*map(_columns, parts), strict=True)]


def _bar_of_each(table: Sequence[Column]) -> TapeBars:
    """Return each row of a table of bars as one bar."""
    parts, width = table[0].shape
    return aggregate(TapeBars(*(column.ravel() for column in table)), np.repeat(np.arange(parts), width))


def _cut(bars: TapeBars, parts: int) -> list[TapeBars]:
    """Return the bars in parts of one length."""
    size = len(bars) // parts
    return [rows(bars, slice(begin, begin + size)) for begin in range(0, len(bars), size)]


def _as_traded(days: TapeBars, actions: Actions, stamps: IntArray) -> TapeBars:
    """Return some of the days `stamps` with the prices and volumes there were before the splits to come."""
    if not actions.has_splits:
        return days
    shares = actions.split_factor(days.start_ns, int(stamps[-1]))
    open_, high, low, close, wap = (
        np.rint(price * shares * _SCALE) / _SCALE for price in (days.open, days.high, days.low, days.close, days.wap)
    )
    volume = np.maximum(1.0, np.rint(days.volume / shares))
    count = np.minimum(np.maximum(4, days.count), volume).astype(np.int64)
    return TapeBars(days.start_ns, open_, high, low, close, volume, wap, count)
