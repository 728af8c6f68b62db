"""One tracked symbol: the ticks of its stream into trades, trades into bars, bars into MACD. Pure.

Market data come sampled (about four times a second): LAST is the newest trade, VOLUME the total of the day. So each
new LAST is a trade of its own size, and what VOLUME has grown beyond these sizes traded too, at the last price. What
comes right after a subscription is a snapshot of the past and no trade.

Delayed data are worked off a quarter of an hour in the past: how far is learned from the second TWS names with their
trades, and the clock that closes bars is that much behind. So a delayed bar has the times of its trades, and is known
as late as it was told.
"""

from collections.abc import Sequence
from typing import NamedTuple

from quant_trading.core.error_codes import NOT_SUBSCRIBED
from quant_trading.core.streams import NoteKind, StreamBar, StreamNote, Tick
from quant_trading.data.bars import MINUTE_NS, Bar, BarAggregator, Calendar, TickCounts, regular_hours
from quant_trading.domain.bars import BarColumns
from quant_trading.indicators.macd import MacdStep

__all__ = ["WARMUP_BARS", "Feed", "TrackedBar"]

# MACD(12, 26, 9) has forgotten its first close to 1e-10 by then.
WARMUP_BARS = 300
_SETTLE_NS = 5_000_000_000  # TWS completes a bar of history a moment after its end
_COMPLETE_NS = 10 * MINUTE_NS  # what history has not got so long after a close did not trade
_DELAYED = "DELAYED_"
_USUAL_LAG_NS, _LONGEST_LAG_NS = 20 * MINUTE_NS, 60 * MINUTE_NS


class TrackedBar(NamedTuple):
    """A closed bar with its MACD(12, 26, 9).

    Attributes:
        crossing: 1 when the histogram came above 0 with this bar, -1 when it fell below, else and while warming up 0.
        bars_seen: bars of this timeframe so far, with those of history; crossings count from 300 on.
        is_delayed: made of delayed data; its times are those of the trades, `bar.known_ns` is a quarter hour later.
    """

    symbol: str
    bar: Bar
    macd: float
    signal: float
    histogram: float
    crossing: int
    bars_seen: int
    is_delayed: bool = False

    @property
    def is_warm(self) -> bool:
        """Return whether the averages have seen enough bars."""
        return self.bars_seen >= WARMUP_BARS


class _Line:
    """MACD of one timeframe."""

    __slots__ = ("_count", "_histogram", "_step")

    def __init__(self) -> None:
        self._step = MacdStep()
        self._count = 0
        self._histogram = 0.0

    def add(self, symbol: str, bar: Bar, *, is_delayed: bool) -> TrackedBar:
        macd, signal, histogram = self._step.step(bar.close)
        self._count += 1
        crossing = 0
        if self._count > WARMUP_BARS:
            crossing = (self._histogram <= 0.0 < histogram) - (self._histogram >= 0.0 > histogram)
        self._histogram = histogram
        return TrackedBar(symbol, bar, macd, signal, histogram, crossing, self._count, is_delayed)


class Feed:
    """What a tracker keeps of one symbol. Every call returns the bars it closed.

    Bars wait from the start until the minute in which the stream began has come from history, and through each gap
    of the stream until the session has told what was missed.

    Args:
        timeframes: minutes.
        grace_ns: how long a minute waits for late ticks.
        history: 1-minute bars up to `now_ns` or later, None when there are none: then the first bars come from ticks.
        now_ns: UTC ns before `history` was read.
        takes_delayed: data may be delayed; feed them by `maybe_delayed`, for TWS decides by the user's subscriptions.
    """

    def __init__(
        self,
        symbol: str,
        timeframes: Sequence[int],
        *,
        grace_ns: int,
        history: BarColumns | None,
        now_ns: int,
        calendar: Calendar = regular_hours,
        takes_delayed: bool = False,
    ) -> None:
        self.symbol = symbol
        self.quotes: dict[str, float] = {}
        self.ticks = 0
        self.revised = 0  # minutes told already that history later had otherwise
        self._calendar = calendar
        self._lag_ns: int | None = None if takes_delayed else 0  # None until the first data tell
        self._first_delayed_ns = 0
        self._withheld = (history, now_ns) if takes_delayed else None  # of minutes that may not have passed yet
        self._grace_ns = grace_ns
        self._lines = {minutes: _Line() for minutes in timeframes}
        self._is_snapshot = True
        self._has_volume = False
        self._total = self._counted = 0.0
        self._last_came_with: float | None = None
        self._recent: dict[int, Bar] = {}
        self._known_until = self._needs_until = 0  # end of the newest minute of history, and which end is wanted
        self._read_ns = 0  # up to then it has been read
        self._waits_for: set[str] = set()
        self.due_ns: int | None = None  # from then on history has the minute in which the stream began
        start_ns = int(history.start_ns[0]) if history is not None and len(history.start_ns) else None
        self._bars = self._aggregator(start_ns)
        self._has_history = start_ns is not None
        self._counts_before = TickCounts()
        self.warmed: list[TrackedBar] = []
        if history is not None and start_ns is not None:
            self._waits_for.add("stream")
            self._add_history(history, now_ns - _USUAL_LAG_NS if takes_delayed else now_ns)
            if self._known_until:
                self.warmed = self._lined(self._bars.advance(self._known_until + grace_ns))
            self._bars.hold()

    @property
    def counts(self) -> TickCounts:
        """Return what became of the trades."""
        now, before = self._bars.counts, self._counts_before
        return TickCounts(*(getattr(now, name) + getattr(before, name) for name in TickCounts.__slots__))

    @property
    def missing_since_ns(self) -> int | None:
        """Return the start (UTC ns) of the oldest minute that has not been told."""
        return self._bars.next_ns

    @property
    def is_delayed(self) -> bool:
        """Return whether its data are known to be delayed."""
        return bool(self._lag_ns)

    # What the session tells.

    def tick(self, tick: Tick) -> Sequence[TrackedBar]:
        """Take one tick of the stream."""
        _, ns, field, price, size = tick
        self.ticks += 1
        if field == "LAST":
            if price != price:
                return ()
            self.quotes["LAST"] = price
            self._last_came_with = size
            if self._is_snapshot:
                self._is_snapshot = self._has_volume  # until VOLUME has come, where it comes
                return ()
            if size > 0.0:
                self._counted += size
            bars = self._bars.tick(ns, price, size)
            return self._lined(bars) if bars else ()
        if field == "VOLUME":
            return self._volume(ns, size)
        if price == price:
            self.quotes[field] = price
        elif field == "LAST_SIZE":
            return self._last_size(ns, size)
        return ()

    def trade(self, tick: Tick) -> Sequence[TrackedBar]:
        """Take one trade of a tick-by-tick stream."""
        self.ticks += 1
        if tick.field != "LAST":
            return ()  # a report that no chart shows
        self.quotes["LAST"] = tick.price
        bars = self._bars.tick(tick.time_ns, tick.price, tick.size)
        return self._lined(bars) if bars else ()

    def maybe_delayed(self, tick: Tick) -> Sequence[TrackedBar]:
        """Take one tick of a stream that takes delayed data; live ones come where the user has a subscription."""
        number, ns, field, price, size = tick
        name = field.removeprefix(_DELAYED)
        if name == "LAST_TIMESTAMP":
            return self._learn(ns, size)
        is_late, is_trade = name != field, name in ("LAST", "LAST_SIZE", "VOLUME")
        told: Sequence[TrackedBar] = ()
        if is_trade and not is_late and self._lag_ns is None:
            self._lag_ns = 0
            self._catch_up()
            told = self._began(ns, ns)
        lag = self._lag_ns
        if is_trade and lag is not None and (lag > 0) is is_late:
            return [*told, *self.tick(Tick(number, ns - lag, name, price, size))]
        # A quote; or a trade of the snapshot, from which nothing can be learned; or of the other kind than the rest.
        self.ticks += 1
        if is_late:
            self._first_delayed_ns = self._first_delayed_ns or ns
        if price == price or name == "VOLUME":
            self.quotes[name] = price if price == price else size
        return told

    def _learn(self, ns: int, second: float) -> Sequence[TrackedBar]:
        """Learn how old the data are: the shortest time from a trade to its coming in; stamps may be of old trades."""
        if second != second:
            return ()
        lag = ns - int(second) * 1_000_000_000
        if ns <= self._first_delayed_ns or not 0 < lag <= _LONGEST_LAG_NS:
            return ()
        is_first, self._lag_ns = self._lag_ns is None, min(lag, self._lag_ns or lag)
        if not is_first:
            return ()
        if "VOLUME" in self.quotes:  # what has been told so far is the past
            self._is_snapshot, self._has_volume, self._total = False, True, self.quotes["VOLUME"]
        self._catch_up()
        return self._began(ns - lag, ns)

    def _catch_up(self) -> None:
        """Warm up with the minutes of history that were withheld until it was known how late the data are."""
        withheld, self._withheld = self._withheld, None
        if withheld is None or withheld[0] is None or not self._has_history:
            return
        self._add_history(withheld[0], withheld[1] - (self._lag_ns or 0))
        if self._known_until:
            self._lined(self._bars.release(self._known_until + self._grace_ns))
            self._bars.hold()

    def _volume(self, ns: int, total: float) -> Sequence[TrackedBar]:
        self.quotes["VOLUME"] = total
        last = self.quotes.get("LAST")
        more = total - self._total - self._counted
        is_first = self._is_snapshot or not self._has_volume or total < self._total
        self._has_volume, self._is_snapshot, self._total = True, False, total
        if is_first or last is None:
            self._counted = 0.0
            return ()
        self._counted = max(-more, 0.0)  # sizes TWS has told before their total
        if more <= 0.0:
            return ()
        bars = self._bars.tick(ns, last, more)
        return self._lined(bars) if bars else ()

    def _last_size(self, ns: int, size: float) -> Sequence[TrackedBar]:
        repeats, self._last_came_with = self._last_came_with == size, None
        last = self.quotes.get("LAST")
        # With VOLUME the trade is counted by it; without, this is all that tells of a trade at the same price.
        if repeats or self._has_volume or last is None or self._is_snapshot:
            return ()
        bars = self._bars.tick(ns, last, size)
        return self._lined(bars) if bars else ()

    def note(self, note: StreamNote) -> Sequence[TrackedBar]:
        """Take a remark of the session about the stream."""
        lag, now_ns = self._lag_ns, note.time_ns  # ticks may wait behind it: the clock goes no further yet
        if note.kind is NoteKind.GAP:
            self._is_snapshot, self._first_delayed_ns = True, 0
            if lag != 0 and not self._has_history:
                self._begin_anew()
                return ()
            self._waits_for.add("gap")
            self._bars.hold()
        elif note.kind is NoteKind.FILLED and lag and self._has_history:
            # The session has filled what came in late; what was missing in it lies further back.
            self._waits_for.discard("gap")
            self._waits_for.add("stream")
            return self._began(note.time_ns - lag, now_ns)
        elif note.kind is NoteKind.FILLED:
            return self._go_on("gap", now_ns)
        elif note.kind is NoteKind.LIVE and lag == 0:
            return self._began(note.time_ns, now_ns)
        elif note.code in NOT_SUBSCRIBED and lag == 0:
            # What comes now is not all there is: minutes would look quiet that were not.
            self._waits_for.add("subscription")
            self._bars.hold()
        return ()

    def _begin_anew(self) -> None:
        """Leave the gap of a delayed stream open: there is no history that could tell what was in it."""
        self._counts_before = self.counts
        self._known_until = 0
        self._bars = self._aggregator(None)

    def _aggregator(self, start_ns: int | None) -> BarAggregator:
        frames = (1, *(n for n in self._lines if n > 1))
        return BarAggregator(frames, grace_ns=self._grace_ns, start_ns=start_ns, calendar=self._calendar)

    def _began(self, ns: int, now_ns: int) -> Sequence[TrackedBar]:
        """Take note that data flow from `ns` on: the minute they began in has to come from history."""
        if "stream" not in self._waits_for:
            return ()
        self._waits_for.discard("stream")
        opened, _ = self._calendar(ns)
        end_ns = ns + MINUTE_NS - (ns - opened) % MINUTE_NS
        self._waits_for.add("start")
        if ns < opened:
            end_ns = self._close_before(ns)
            if self._bars.next_ns is None or self._bars.next_ns >= end_ns or self._read_ns >= end_ns + _COMPLETE_NS:
                return self._go_on("start", now_ns)
        elif end_ns <= self._known_until:
            return self._go_on("start", now_ns)
        self._needs_until = end_ns
        self.due_ns = end_ns + _SETTLE_NS + (self._lag_ns or 0)
        return ()

    def _close_before(self, ns: int) -> int:
        """Return the close of the newest session that was over at `ns` and has minutes not told yet, else `ns`."""
        closed, moment = ns, self._bars.next_ns
        while moment is not None and moment < ns:
            _, moment = self._calendar(moment)
            closed = moment if moment <= ns else closed
        return closed

    def backfill(self, bar: StreamBar) -> None:
        """Take a minute that history has in place of a gap."""
        if bar.is_final and (self._has_history or self._lag_ns == 0):
            self._add(bar.start_ns, (bar.open, bar.high, bar.low, bar.close), bar.volume)

    def fill_start(self, history: BarColumns, asked_ns: int, now_ns: int) -> Sequence[TrackedBar]:
        """Take history asked for at `due_ns` or later; bars go on when it has the minute in which the stream began.

        Args:
            asked_ns: UTC ns before `history` was read.
            now_ns: UTC ns; every tick stamped before it has been told.
        """
        self._add_history(history, asked_ns - (self._lag_ns or 0))
        if self.due_ns is None or self._known_until < self._needs_until:
            return ()
        self.due_ns = None
        return self._go_on("start", now_ns)

    def is_due(self, now_ns: int) -> bool:
        """Return True when `advance` would close a bar, or begin."""
        if self._lag_ns is None:
            return False
        if self._bars.next_ns is None:
            return True
        due_ns = self._bars.due_ns
        return due_ns is not None and now_ns - self._lag_ns >= due_ns

    def advance(self, now_ns: int) -> Sequence[TrackedBar]:
        """Take the time; no tick stamped before it may come later."""
        return () if self._lag_ns is None else self._lined(self._bars.advance(now_ns - self._lag_ns))

    # Inside.

    def _add_history(self, history: BarColumns, now_ns: int) -> None:
        """Take those of the 1-minute bars that were over before they were read, at `now_ns`."""
        self._read_ns = max(self._read_ns, now_ns)
        rows = zip(
            history.start_ns.tolist(), history.end_ns.tolist(), history.open.tolist(), history.high.tolist(),
            history.low.tolist(), history.close.tolist(), history.volume.tolist(), strict=True,
        )  # fmt: skip
        for start, end, opened, high, low, close, volume in rows:
            if end + _SETTLE_NS <= now_ns:
                self._add(start, (opened, high, low, close), volume)
                self._known_until = max(self._known_until, end)

    def _go_on(self, reason: str, now_ns: int) -> Sequence[TrackedBar]:
        self._waits_for.discard(reason)
        return () if self._waits_for else self._lined(self._bars.release(now_ns - (self._lag_ns or 0)))

    def _add(self, start_ns: int, prices: tuple[float, float, float, float], volume: float) -> None:
        if not self._bars.add_minute(start_ns, prices, volume):
            told = self._recent.get(start_ns)
            if told is not None and (told[4:8], told.volume) != (prices, volume):
                self.revised += 1

    def _lined(self, bars: Sequence[Bar]) -> list[TrackedBar]:
        told, lag = [], self._lag_ns or 0
        for bar in (bar._replace(known_ns=bar.known_ns + lag) for bar in bars) if lag else bars:
            if bar.minutes == 1:
                self._recent[bar.start_ns] = bar
                if len(self._recent) > 60:
                    del self._recent[next(iter(self._recent))]
            line = self._lines.get(bar.minutes)
            if line is not None:
                told.append(line.add(self.symbol, bar, is_delayed=lag > 0))
        return told
