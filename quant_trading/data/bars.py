"""Trades into bars, one symbol at a time: fed with ticks and with the clock, never asking for either.

A minute is closed by its boundary: when the clock, or a tick's own time, has passed its end by the grace, it is told,
whether it traded or not. A quiet minute is flat at the close before, with volume 0, as IBKR serves it. Larger bars are
made of the minutes as IBKR makes its own (measured on 21,557 of them): minutes without trades are passed over, and a
bar without any is flat at the close before. All are counted from the open of their session, 09:30 New York, so they
are aligned on half days and on days when the clocks change; the last one of a session ends with it.

What belongs to a minute is decided by the time of the tick alone:
- the open is the earliest trade, the close the latest; of two at the same moment the first and the second to come in;
- a tick of a closed minute changes nothing and is counted as late; with a grace, minutes wait that long for them;
- a tick outside the sessions is counted and left out, so is one without a size (unless sizes are not needed: indices).

Ticks may be missing: at the start, in the middle of a minute, and after an outage. `add_minute` brings whole minutes
from history, `hold` keeps everything from being closed until `release`, and a bar whose beginning was not seen is
never told.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quant_trading.domain.bars import FloatArray, IntArray
from quant_trading.refdata.sessions import exchange_date, next_session, session_on

__all__ = ["MINUTE_NS", "Bar", "BarAggregator", "Calendar", "TickCounts", "regular_hours"]

MINUTE_NS = 60_000_000_000
_NEVER = 1 << 62
_WHOLE = _NEVER  # stands for the time of the last trade in a minute that came from history: no tick changes it
_INF = float("inf")

# Returns (open_ns, close_ns) of the first session that closes after a moment.
Calendar = Callable[[int], tuple[int, int]]


def regular_hours(ns: int) -> tuple[int, int]:
    """Return open and close (UTC ns) of the first regular session that closes after `ns`.

    Raises:
        SessionRangeError: when it lies outside the table.
    """
    session = session_on(exchange_date(ns))
    if session is None or session.close_ns <= ns:
        session = next_session(ns)
    return session.open_ns, session.close_ns


class Bar(NamedTuple):
    """One closed bar over [start_ns, end_ns).

    Attributes:
        minutes: its timeframe, 5 for a 5-minute bar, also when the session ends earlier.
        start_ns, end_ns: UTC ns.
        known_ns: UTC ns: nobody could know it before; its end and the grace, or the end of an outage.
        open, high, low, close: prices.
        volume: shares, 0 for a flat bar.
        ticks: trades in it; 1 for each minute with volume that came from history.
    """

    minutes: int
    start_ns: int
    end_ns: int
    known_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    ticks: int


@dataclass(slots=True)
class TickCounts:
    """What became of the ticks.

    Attributes:
        ticks: all that came.
        late: of a minute that was closed.
        out_of_order: older than one that came before; unless late they count like any other.
        outside: of no session.
        early: of the minute in which the aggregator began, which it did not see from its start.
        sizeless: without a size, where one is needed, or without a price.
        partial: bars that were not told because their beginning was not seen.
    """

    ticks: int = 0
    late: int = 0
    out_of_order: int = 0
    outside: int = 0
    early: int = 0
    sizeless: int = 0
    partial: int = 0


class _Minute:
    """What has traded in a minute that is not closed."""

    __slots__ = ("close", "first_ns", "high", "last_ns", "low", "open", "ticks", "volume")

    def __init__(self, ns: int, price: float, size: float) -> None:
        self.first_ns = self.last_ns = ns
        self.open = self.high = self.low = self.close = price
        self.volume = size
        self.ticks = 1

    def merge(self, first_ns: int, last_ns: int, prices: Sequence[float], volume: float, ticks: int) -> None:
        """Add trades that came in after those that are here; `prices` are open, high, low, close."""
        if first_ns < self.first_ns:
            self.first_ns, self.open = first_ns, prices[0]
        if last_ns >= self.last_ns:
            self.last_ns, self.close = last_ns, prices[3]
        self.high = max(self.high, prices[1])
        self.low = min(self.low, prices[2])
        self.volume += volume
        self.ticks += ticks


class _Frame:
    """The running bar of one timeframe above a minute."""

    __slots__ = ("close", "end", "high", "is_whole", "length", "low", "minutes", "open", "start", "ticks", "volume")

    def __init__(self, minutes: int) -> None:
        self.minutes, self.length = minutes, minutes * MINUTE_NS
        self.start = self.end = -_NEVER
        self.is_whole = False
        self.open = self.high = self.low = self.close = self.volume = 0.0
        self.ticks = 0

    def fold(self, minute: Bar, session: tuple[int, int]) -> None:
        """Add a closed minute of `session` (open_ns, close_ns)."""
        if minute.start_ns >= self.end:
            opened, closes = session
            self.start = opened + (minute.start_ns - opened) // self.length * self.length
            self.end = min(self.start + self.length, closes)
            self.is_whole = minute.start_ns == self.start
            self.volume, self.ticks = 0.0, 0
        if not minute.ticks:
            return
        if not self.ticks:
            self.open, self.high, self.low = minute.open, minute.high, minute.low
        else:
            self.high = max(self.high, minute.high)
            self.low = min(self.low, minute.low)
        self.close = minute.close
        self.volume += minute.volume
        self.ticks += minute.ticks

    def bar(self, known_ns: int, previous: float) -> Bar:
        """Return the bar; flat at `previous` when nothing traded."""
        if not self.ticks:
            return Bar(self.minutes, self.start, self.end, known_ns, previous, previous, previous, previous, 0.0, 0)
        return Bar(
            self.minutes, self.start, self.end, known_ns, self.open, self.high, self.low, self.close, self.volume,
            self.ticks,
        )  # fmt: skip


class BarAggregator:
    """Bars of one symbol in several timeframes. Every call returns the bars it closed, in order of their ends.

    Bars with the same end come with the smallest timeframe first. Memory is a few minutes, whatever the day brings.

    Args:
        timeframes: minutes of the bars, each once; 1 need not be among them.
        start_ns: UTC ns from which all trades will be told; None: from the first call on. The minute in which that
            lies is left out, unless it begins there.
        close: of the bar before the first one, for quiet minutes at the start; None tells none before the first trade.
        grace_ns: how long after its end a minute waits for late ticks; below a minute.
        needs_size: leave out ticks with size 0. False for what has no sizes, such as an index.
        calendar: the sessions.

    Raises:
        ValueError: for a timeframe or a grace that cannot be.
    """

    def __init__(
        self,
        timeframes: Sequence[int] = (1, 3, 5, 10),
        *,
        start_ns: int | None = None,
        close: float | None = None,
        grace_ns: int = 0,
        needs_size: bool = True,
        calendar: Calendar = regular_hours,
    ) -> None:
        if not timeframes or len(set(timeframes)) != len(timeframes) or not all(1 <= n <= 390 for n in timeframes):
            raise ValueError(f"timeframes = {tuple(timeframes)} are not minutes from 1 to 390, each once")
        if not 0 <= grace_ns < MINUTE_NS:
            raise ValueError(f"grace_ns = {grace_ns} is not within 0 and a minute")
        self.counts = TickCounts()
        self._tells_minutes = 1 in timeframes
        self._frames = tuple(_Frame(minutes) for minutes in sorted(timeframes) if minutes > 1)
        self._grace = grace_ns
        self._needs_size = needs_size
        self._calendar = calendar
        self._price = close
        self._minutes: dict[int, _Minute] = {}
        self._known_from = -_NEVER  # bars that an outage kept back were not known before its end
        self._held = False
        # The newest minute that has traded: its ticks take the short way.
        self._begin = self._end = -_NEVER
        self._minute = _Minute(0, 0.0, 0.0)
        self._now = -_NEVER
        self._next = self._first = -_NEVER  # starts of the oldest minute that is not closed, and of the first of all
        self._session = (-_NEVER, -_NEVER)
        self._due = -_NEVER  # the clock at which the oldest minute is closed
        if start_ns is not None:
            self._begin_at(start_ns)

    # Feeding.

    def tick(self, ns: int, price: float, size: float) -> Sequence[Bar]:
        """Take one trade: its time (UTC ns), price and size."""
        if self._begin <= ns < self._end and size > 0.0 and -_INF < price < _INF:
            minute = self._minute
            if ns >= minute.last_ns:
                minute.last_ns, minute.close = ns, price
            elif ns < minute.first_ns:
                minute.first_ns, minute.open = ns, price
            if price > minute.high:
                minute.high = price
            elif price < minute.low:
                minute.low = price
            minute.volume += size
            minute.ticks += 1
            self.counts.ticks += 1
            if ns >= self._now:
                self._now = ns
                return self._close() if ns >= self._due else ()
            self.counts.out_of_order += 1
            return ()
        return self._tick_elsewhere(ns, price, size)

    def ticks(self, ns: IntArray, prices: FloatArray, sizes: FloatArray) -> list[Bar]:
        """Take many trades in the order they came in: what `tick` of each would do, at several times its speed.

        Args:
            ns: int64[K], UTC ns. prices, sizes: float64[K].
        """
        if not len(ns):
            return []
        if self._next == -_NEVER:
            self._begin_at(int(ns[0]))
        counts = self.counts
        counts.ticks += len(ns)
        seen = np.maximum.accumulate(np.concatenate(([self._now], ns)))
        if seen[-1] == ns[-1] and bool((ns[1:] >= ns[:-1]).all()) and ns[0] >= self._now:
            in_order = True  # the usual case, and much cheaper to know
        else:
            in_order = False
            counts.out_of_order += int((ns < seen[:-1]).sum())
        starts, is_inside = self._minute_starts(ns)
        sound = np.isfinite(prices) & ((sizes > 0.0) if self._needs_size else True)
        is_early = starts < self._first
        is_late = starts < self._next
        if not self._held and not in_order:
            is_late |= starts + (MINUTE_NS + self._grace) <= seen[:-1]
        counts.outside += int((~is_inside & sound).sum())
        counts.sizeless += int((~sound).sum())
        usable = is_inside & sound
        counts.early += int((usable & is_early).sum())
        counts.late += int((usable & is_late & ~is_early).sum())
        self._note_early_prices(usable & is_early & (seen[:-1] < self._due), prices)
        kept = usable & ~is_late
        if kept.all():
            self._gather(starts, ns, prices, sizes, in_order)
        elif kept.any():
            self._gather(starts[kept], ns[kept], prices[kept], sizes[kept], in_order)
        self._now = int(seen[-1])
        return self._close() if self._now >= self._due else []

    def advance(self, now_ns: int) -> list[Bar]:
        """Take the time (UTC ns): minutes that have ended by now, and their grace, are closed."""
        if self._next == -_NEVER:
            self._begin_at(now_ns)
        self._now = max(self._now, now_ns)
        return self._close() if self._now >= self._due else []

    # Gaps.

    def add_minute(self, start_ns: int, prices: tuple[float, float, float, float], volume: float) -> bool:
        """Take a whole minute from history in place of what its ticks made; it is closed when its time has come.

        Args:
            start_ns: UTC ns, in a session.
            prices: open, high, low, close.
            volume: 0 for a minute without trades, whose prices are those of the minutes before.

        Returns:
            False when the minute is closed already, or lies in no session: then nothing has changed.
        """
        if self._next == -_NEVER:
            self._begin_at(start_ns)
        opened, closes = self._session if self._session[0] <= start_ns < self._session[1] else self._calendar(start_ns)
        if start_ns < self._next or not opened <= start_ns < closes:
            return False
        if self._begin == start_ns:
            self._begin = self._end = -_NEVER  # ticks that still come for it must not change it; see `tick`
        minute = _Minute(start_ns, prices[0], volume if volume > 0.0 else 0.0)
        minute.open, minute.high, minute.low, minute.close = prices
        minute.ticks = int(volume > 0.0 or not self._needs_size)
        minute.last_ns = _WHOLE
        self._minutes[start_ns] = minute
        return True

    def hold(self) -> None:
        """Close nothing from here on: ticks are missing, and what they were is being asked for."""
        self._held = True
        self._due = _NEVER

    def release(self, now_ns: int) -> list[Bar]:
        """Go on: what was kept back is closed with what is known of it by now (UTC ns)."""
        if self._held:
            self._held = False
            self._known_from = max(now_ns, self._now)
            self._set_due()
        return self.advance(now_ns)

    @property
    def next_ns(self) -> int | None:
        """Return the start (UTC ns) of the oldest minute that is not closed; None before the first call."""
        return None if self._next == -_NEVER else self._next

    @property
    def due_ns(self) -> int | None:
        """Return the moment (UTC ns) at which `advance` will close something; None while held or not begun."""
        return None if self._held or self._next == -_NEVER else self._due

    # Inside.

    def _begin_at(self, ns: int) -> None:
        opened, closes = self._session = self._calendar(ns)
        self._next = opened if ns <= opened else opened + -(-(ns - opened) // MINUTE_NS) * MINUTE_NS
        self._now = ns
        if self._next >= closes:
            opened, _ = self._session = self._calendar(closes)
            self._next = opened
        self._first = self._next
        self._set_due()

    def _set_due(self) -> None:
        end = min(self._next + MINUTE_NS, self._session[1])
        self._due = _NEVER if self._held else end + self._grace

    def _tick_elsewhere(self, ns: int, price: float, size: float) -> Sequence[Bar]:
        """Take a tick that is not one of the newest minute."""
        if self._next == -_NEVER:
            self._begin_at(ns)
        counts = self.counts
        counts.ticks += 1
        if ns < self._now:
            counts.out_of_order += 1
        session = self._session if self._session[0] <= ns < self._session[1] else self._calendar(ns)
        start = session[0] + (ns - session[0]) // MINUTE_NS * MINUTE_NS
        if not -_INF < price < _INF or (self._needs_size and not size > 0.0):
            counts.sizeless += 1
        elif ns < session[0]:
            counts.outside += 1
        elif start < self._first:
            counts.early += 1
            if self._next == self._first:
                self._price = price
        elif start < self._next:
            counts.late += 1
        else:
            self._put(start, ns, price, size if size > 0.0 else 0.0)  # a NaN is none either
        if ns > self._now:
            self._now = ns
            if ns >= self._due:
                return self._close()
        return ()

    def _put(self, start: int, ns: int, price: float, size: float) -> None:
        minute = self._minutes.get(start)
        if minute is None:
            minute = self._minutes[start] = _Minute(ns, price, size)
        elif minute.last_ns != _WHOLE:
            minute.merge(ns, ns, (price, price, price, price), size, 1)
        if start > self._begin and minute.last_ns != _WHOLE and self._needs_size:
            self._begin, self._end, self._minute = start, start + MINUTE_NS, minute

    def _minute_starts(self, ns: IntArray) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the start of each tick's minute, and whether it lies in a session."""
        low, high = int(ns.min()), int(ns.max())
        opens, closes = [], []
        moment = low
        while moment <= high:
            opened, moment = self._calendar(moment)
            opens.append(opened)
            closes.append(moment)
        if len(opens) == 1:
            offset = ns - opens[0]
            return ns - offset % MINUTE_NS, offset >= 0
        at = np.searchsorted(np.array(closes), ns, side="right")
        opened_at = np.array(opens)[at]
        offset = ns - opened_at
        return ns - offset % MINUTE_NS, offset >= 0

    def _note_early_prices(self, is_early: npt.NDArray[np.bool_], prices: FloatArray) -> None:
        if self._next == self._first and is_early.any():
            self._price = float(prices[np.flatnonzero(is_early)[-1]])

    def _gather(self, starts: IntArray, ns: IntArray, prices: FloatArray, sizes: FloatArray, in_order: bool) -> None:
        """Add ticks to their open minutes."""
        if not in_order:
            order = np.argsort(ns, kind="stable")
            starts, ns, prices, sizes = starts[order], ns[order], prices[order], sizes[order]
        if not self._needs_size:
            sizes = np.where(sizes > 0.0, sizes, 0.0)
        begin = np.flatnonzero(starts[1:] != starts[:-1]) + 1
        begin = np.concatenate(([0], begin))
        stop = np.concatenate((begin[1:], [len(starts)]))
        high, low = np.maximum.reduceat(prices, begin), np.minimum.reduceat(prices, begin)
        volume = np.add.reduceat(sizes, begin)
        for k, (first, end) in enumerate(zip(begin.tolist(), stop.tolist(), strict=True)):
            start, last = int(starts[first]), end - 1
            four = (float(prices[first]), float(high[k]), float(low[k]), float(prices[last]))
            minute = self._minutes.get(start)
            if minute is not None:
                if minute.last_ns != _WHOLE:
                    minute.merge(int(ns[first]), int(ns[last]), four, float(volume[k]), end - first)
                continue
            minute = self._minutes[start] = _Minute(int(ns[first]), four[0], float(volume[k]))
            minute.last_ns, minute.ticks = int(ns[last]), end - first
            minute.open, minute.high, minute.low, minute.close = four

    def _close(self) -> list[Bar]:
        """Close every minute that is due and return the bars that end with them."""
        told: list[Bar] = []
        while self._now >= self._due:
            start, session = self._next, self._session
            end = min(start + MINUTE_NS, session[1])
            known = max(end + self._grace, self._known_from)
            self._close_minute(start, end, known, told)
            self._next = end
            if end >= session[1]:
                self._session = self._calendar(end)
                self._next = self._session[0]
            self._set_due()
        return told

    def _close_minute(self, start: int, end: int, known: int, told: list[Bar]) -> None:
        found = self._minutes.pop(start, None)
        if self._begin == start:
            self._begin = self._end = -_NEVER
        if found is not None:
            self._price = found.close
            minute = Bar(
                1, start, end, known, found.open, found.high, found.low, found.close, found.volume, found.ticks
            )
        else:
            price = self._price if self._price is not None else 0.0
            minute = Bar(1, start, end, known, price, price, price, price, 0.0, 0)
        has_price = self._price is not None
        if self._tells_minutes and has_price:
            told.append(minute)
        for frame in self._frames:
            frame.fold(minute, self._session)
            if end == frame.end and has_price:
                if frame.is_whole:
                    told.append(frame.bar(known, minute.close))
                else:
                    self.counts.partial += 1
