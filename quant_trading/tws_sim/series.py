"""One contract's bars in a native size, and every finer moment derived from them.

A series knows its sessions (`days`) and the `blocks` they consist of: minutes in the built-in market, the bars
of the file in a replay. What is finer than a block is refined from it second by second; all trades of a second
happen at its stamp, so the second is the resolution of the tape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import aggregate, concat, no_bars, rows
from quant_trading.tws_sim.course import minute_course
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.halts import Halt, without_halted
from quant_trading.tws_sim.noise import KeyArray, keys_of, mixed
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.refine import refine
from quant_trading.tws_sim.sessions_split import within_keys
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars, TradeTicks, What
from quant_trading.tws_sim.ticks import TopRows, cut_trades, top_rows, trades_of

__all__ = ["DAY_SECONDS", "SECOND_NS", "Series", "SessionSoFar", "days_spread", "second_keys", "split_seconds",
           "spread_ticks"]  # fmt: skip

SECOND_NS = 1_000_000_000
DAY_SECONDS = 86_400
_STREAM_SECONDS = 77

# A contract's seconds of one block: a minute is 60 rows, an hour 3600, so a few megabytes in all.
_CACHED_BLOCKS, _CACHED_DAYS, _CACHED_RUNS, _CACHED_SECONDS = 12, 4, 2, 3
_BLOCKS_AHEAD = 6


def spread_ticks(reference: FloatArray, spread_bps: float, scale: int) -> IntArray:
    """Return the synthetic bid-ask spread in ticks: `spread_bps` of the reference price, one tick at least."""
    return np.maximum(1, np.rint(reference * scale * spread_bps / 10_000)).astype(np.int64)


def days_spread(days: Days, spread_bps: float, scale: int) -> Callable[[int, int], IntArray]:
    """Return what gives the spread on the days first <= day < last, by the close of the day before each."""

    def spread(first: int, last: int) -> IntArray:
        found = days.rows(max(0, first - 1), last)
        previous = found.close[:-1] if first else np.concatenate([found.open[:1], found.close[:-1]])
        return spread_ticks(previous, spread_bps, scale)

    return spread


def second_keys(streams: Sequence[int], starts: IntArray) -> KeyArray:
    """Return the streams from which the seconds of blocks are drawn, those of each series one after the other."""
    return keys_of(mixed(streams, _STREAM_SECONDS), starts // SECOND_NS).ravel()


def split_seconds(
    parents: TapeBars, length: int, keys: KeyArray, before: FloatArray, is_opening: npt.NDArray[np.bool_], scale: int,
    way: tuple[FloatArray, KeyArray] | None = None,
) -> TapeBars:  # fmt: skip
    """Return the seconds of P blocks of one length; arguments as `refine` takes them.

    Args:
        way: deviation of each block in ticks, float64[P], and the number its course is drawn from, uint64[P], as
            `refine` was given it for the block; None where they are not known.
    """
    course = None
    if way is not None:
        course = minute_course(np.rint(parents.open * scale), np.rint(parents.close * scale), *way)
    return refine(parents, length, 1, keys, np.full(length, 1.0 / length), before, is_opening, scale, course)


@dataclass(frozen=True, slots=True)
class SessionSoFar:
    """What a session has come to at some moment.

    Attributes:
        open, high, low: of its trades; meaningless while `volume` is 0.
        last, last_size: the latest trade, of an earlier session if need be; None before the very first.
    """

    open: float
    high: float
    low: float
    volume: int
    last: float | None
    last_size: int

    def plus(self, bars: TapeBars, stop: int) -> "SessionSoFar":
        """Return the session after the first `stop` of the bars that follow."""
        traded = np.flatnonzero(bars.volume[:stop])
        if len(traded) == 0:
            return self
        first, final = traded[0], traded[-1]
        high, low = float(bars.high[traded].max()), float(bars.low[traded].min())
        return SessionSoFar(
            open=self.open if self.volume else float(bars.open[first]),
            high=max(self.high, high) if self.volume else high,
            low=min(self.low, low) if self.volume else low,
            volume=self.volume + int(bars.volume[:stop].sum()),
            last=float(bars.close[final]),
            last_size=max(1, int(bars.volume[final]) // max(1, int(bars.count[final]))),
        )


@dataclass(slots=True)
class _Run:
    """Neighbouring blocks of a day, second by second.

    Attributes:
        first: number of the first block.
        bounds: row at which the seconds of each block begin, and the end of the last.
        size_before: size of the last trade before the first block, None when it has not been looked up.
        last_sizes: the same at the end of each block, known once somebody looked at the book.
    """

    first: int
    bounds: list[int]
    seconds: TapeBars
    trades: TradeTicks | None = None
    top: TopRows | None = None
    size_before: int | None = None
    last_sizes: list[int] | None = None


class Series:
    """The bars of one contract in one native size.

    Besides what its attributes are set from it takes functions: `load_blocks` gives the blocks of the days first <=
    day < last (and whether of regular hours only), `load_all_hours` their bars of all hours, `load_seconds` the
    seconds of the blocks first <= block < last of a regular session without a halt, `load_running` what such a session
    has come to before some moment, one bar, `days_ahead` the days first <= day < last of other series for which they
    are made, `deviation` that of the blocks of a day which begin at some moments, in ticks, where blocks are minutes
    along a course.

    Attributes:
        days: one regular-hours bar per session, stamped midnight UTC of the session date.
        open_ns, close_ns: int64[T], the regular session of each day.
        midnight_ns: int64[T], midnight in New York of each day.
        day_start_ns: int64[T], from when on a moment belongs to the day: midnight for stocks, the evening before
            for what trades through the night. Bars are aligned to it.
        block_seconds: length of a block; the last of a session may be cut short by the close.
        finest_seconds: the smallest bar size a client is served; one day means daily bars only.
        scale: ticks per unit of currency.
        has_trades: False where only quotes are known (forex).
        halts: spans without a trade, rising.
        has_volume: False where trades bear no volume (an index); such a series has no quotes either.
    """

    def __init__(
        self,
        *,
        key: int,
        days: Days,
        open_ns: IntArray,
        close_ns: IntArray,
        block_seconds: int,
        finest_seconds: int,
        spread: IntArray | Callable[[int, int], IntArray],
        scale: int,
        load_blocks: Callable[[int, int, bool], TapeBars],
        load_all_hours: Callable[[int, int], TapeBars] | None = None,
        load_seconds: Callable[[int, int, int], TapeBars] | None = None,
        load_running: Callable[[int, int], TapeBars] | None = None,
        days_ahead: Callable[[int, int], list[TapeBars]] | None = None,
        deviation: Callable[[int, IntArray], FloatArray] | None = None,
        midnight_ns: IntArray | None = None,
        day_start_ns: IntArray | None = None,
        has_extended_hours: bool = True,
        has_trades: bool = True,
        has_volume: bool = True,
    ) -> None:
        self.key = key
        self.days = days
        self.open_ns = open_ns
        self.close_ns = close_ns
        # 09:30 minus nine and a half hours: clocks change on Sundays, never between midnight and a session's open.
        self.midnight_ns = open_ns - 34_200 * SECOND_NS if midnight_ns is None else midnight_ns
        self.day_start_ns = self.midnight_ns if day_start_ns is None else day_start_ns
        self.has_trades = has_trades
        self.has_volume = has_volume
        self.halts: tuple[Halt, ...] = ()
        self._has_extended_hours = has_extended_hours
        self.block_seconds = block_seconds
        self.finest_seconds = finest_seconds
        self._spread = spread
        self.scale = scale
        self._load_blocks = load_blocks
        self._load_all_hours = load_all_hours
        self._load_seconds = load_seconds
        self._load_running = load_running
        self._days_ahead = days_ahead
        self._deviation = deviation
        self._day_blocks: Recent[tuple[int, bool], TapeBars] = Recent(_CACHED_DAYS)
        self._so_far: Recent[tuple[int, int], SessionSoFar] = Recent(_CACHED_BLOCKS)
        self._runs: dict[tuple[int, int, bool], _Run] = {}
        self._seconds: Recent[tuple[int, int, bool], TapeBars] = Recent(_CACHED_SECONDS)

    def day_span(self, use_rth: bool) -> tuple[IntArray, IntArray]:
        """Return the start and the end of trading of each day, int64[T] each."""
        if use_rth or not self._has_extended_hours:
            return self.open_ns, self.close_ns
        return self.midnight_ns + 4 * 3600 * SECOND_NS, self.close_ns + 4 * 3600 * SECOND_NS

    def blocks(self, first: int, last: int, use_rth: bool) -> TapeBars:
        """Return the blocks of the days first <= day < last."""
        if last <= first:
            return no_bars()
        if last - first > 1:
            return self._load(first, last, use_rth)
        key = first, use_rth
        return self._day_blocks.find(key) or self._day_blocks.keep(key, self._load(first, last, use_rth))

    def serves(self, what: What) -> bool:
        """Say whether there are bars of that side: forex has no trades, an index no quotes."""
        if what in (What.TRADES, What.ADJUSTED_LAST):
            return self.has_trades
        return self.has_volume

    def spread(self, first: int, last: int) -> IntArray:
        """Return the bid-ask spread in ticks on the days first <= day < last."""
        return self._spread(first, last) if callable(self._spread) else self._spread[first:last]

    def spread_on(self, day: int) -> int:
        """Return the bid-ask spread in ticks on one day, 0 where there are no quotes."""
        return int(self.spread(day, day + 1)[0]) if self.has_volume else 0

    def halt_at(self, at_ns: int) -> Halt | None:
        """Return the halt that is on at `at_ns`."""
        return next((halt for halt in self.halts if halt.start_ns <= at_ns < halt.end_ns), None)

    def _halts_on(self, day: int) -> bool:
        """Say whether trading stops during the session; its blocks are then not what was loaded."""
        opens_ns, closes_ns = self.open_ns[day], self.close_ns[day]
        return any(halt.start_ns < closes_ns and halt.end_ns > opens_ns for halt in self.halts)

    def all_hours_days(self, first: int, last: int) -> TapeBars:
        """Return daily bars that include the hours before the open and after the close, where there are any."""
        if self._load_all_hours is None:
            return self.days.rows(first, last)
        return self._load_all_hours(first, last)

    def block_lengths(self, day: int, blocks: TapeBars) -> IntArray:
        """Return the seconds each block of the day lasts."""
        to_close = (self.close_ns[day] - blocks.start_ns) // SECOND_NS
        inside = (to_close > 0) & (blocks.start_ns >= self.open_ns[day])
        return np.where(inside, np.minimum(self.block_seconds, to_close), self.block_seconds)

    def _block_end(self, day: int, start_ns: int) -> int:
        """Return when the block of the day that begins at `start_ns` ends: the close may cut it short."""
        end_ns, close_ns = start_ns + self.block_seconds * SECOND_NS, int(self.close_ns[day])
        return min(end_ns, close_ns) if self.open_ns[day] <= start_ns < close_ns else end_ns

    def seconds(self, day: int, block: int, use_rth: bool) -> TapeBars:
        """Return the seconds of one block of the day."""
        run = self._run(day, block, use_rth)
        begin, end = run.bounds[block - run.first], run.bounds[block - run.first + 1]
        return rows(run.seconds, slice(begin, end))

    def trades(self, day: int, block: int, use_rth: bool) -> TradeTicks:
        """Return the trades of one block of the day."""
        run = self._run(day, block, use_rth)
        stamps = run.seconds.start_ns
        begin, end = run.bounds[block - run.first], run.bounds[block - run.first + 1]
        end_ns = int(stamps[end]) if end < len(stamps) else int(stamps[-1]) + SECOND_NS
        return cut_trades(self._trades_of(run), int(stamps[begin]), end_ns)

    def top(self, day: int, block: int) -> TopRows:
        """Return the top of the book during the day's regular session, of this block and perhaps its neighbours."""
        run = self._run(day, block, True)
        if run.top is None:
            run.top = self._make_top(day, run)
        return run.top

    def _run(self, day: int, block: int, use_rth: bool) -> "_Run":
        """Return the seconds around a block; who goes through a day is given several blocks at a time."""
        key = day, block, use_rth
        run = self._runs.get(key)
        if run is not None:
            return run
        blocks = self.blocks(day, day + 1, use_rth)
        lengths = self.block_lengths(day, blocks)
        last = block + 1
        before = self._runs.get((day, block - 1, use_rth))
        if before is not None:
            ends = blocks.start_ns + lengths * SECOND_NS
            while last < min(block + _BLOCKS_AHEAD, len(blocks)) and ends[last - 1] == blocks.start_ns[last]:
                last += 1
        bounds = [0, *np.cumsum(lengths[block:last]).tolist()]
        if use_rth and self._load_seconds is not None and not self._halts_on(day):
            seconds = self._load_seconds(day, block, last)
        else:
            seconds = self._refine(day, blocks, np.arange(block, last, dtype=np.int64))
        begins_ns, ends_ns = int(seconds.start_ns[0]), int(seconds.start_ns[-1]) + SECOND_NS
        halts = [halt for halt in self.halts if halt.start_ns < ends_ns and halt.end_ns > begins_ns]
        if halts:
            # A halt that begins within a block stops its seconds at once; the block itself was under way.
            seconds = without_halted(seconds, halts)
        run = _Run(block, bounds, seconds)
        if before is not None and before.last_sizes is not None:
            run.size_before = before.last_sizes[block - 1 - before.first]
        # Whoever read the run before has moved on; other readers stand elsewhere.
        others = {id(other): other for other in reversed(self._runs.values()) if other is not before}
        kept = list(others.values())[: _CACHED_RUNS - 1]
        self._runs = {key: other for key, other in self._runs.items() if any(other is one for one in kept)}
        for other in kept:
            other.top = other.trades = None
        for number in range(block, last):
            self._runs[day, number, use_rth] = run
        return run

    def _trades_of(self, run: "_Run") -> TradeTicks:
        if run.trades is None:
            run.trades = trades_of(run.seconds, self.key, self.scale)
        return run.trades

    def block_at(self, day: int, at_ns: int) -> int:
        """Return the number of the day's block that runs at the moment, -1 before the first."""
        return int(np.searchsorted(self.blocks(day, day + 1, True).start_ns, at_ns, side="right")) - 1

    def so_far_before(self, day: int, block: int) -> SessionSoFar:
        """Return what the day's session had come to when its block number `block` began."""
        found = self._so_far.find((day, block))
        if found is None:
            found = self._so_far_at_open(day).plus(self.blocks(day, day + 1, True), block)
        return self._so_far.keep((day, block), found)

    def so_far_at_close(self, day: int) -> SessionSoFar:
        """Return what the day's session came to."""
        return self._so_far_at_open(day).plus(self.days.rows(day, day + 1), 1)

    def _so_far_at_open(self, day: int) -> SessionSoFar:
        last = self.days.close_on(day - 1) if day > 0 else None
        return SessionSoFar(0.0, 0.0, 0.0, 0, last, 1 if day > 0 else 0)

    def seconds_between(self, day: int, start_ns: int, end_ns: int, use_rth: bool) -> TapeBars:
        """Return the seconds of the day with start_ns <= stamp < end_ns."""
        blocks = self.blocks(day, day + 1, use_rth)
        ends = blocks.start_ns + self.block_lengths(day, blocks) * SECOND_NS
        first, last = int(ends.searchsorted(start_ns, side="right")), int(blocks.start_ns.searchsorted(end_ns))
        if last <= first:
            return no_bars()
        if last - first < _CACHED_SECONDS:
            # Small bars as they come: the same block is asked for a dozen times.
            found = concat([self._seconds_of(day, blocks, block, use_rth) for block in range(first, last)])
        else:
            found = self._refine(day, blocks, np.arange(first, last, dtype=np.int64))
        return rows(found, slice(*found.start_ns.searchsorted((start_ns, end_ns)).tolist()))

    def _seconds_of(self, day: int, blocks: TapeBars, block: int, use_rth: bool) -> TapeBars:
        key = day, block, use_rth
        found = self._seconds.find(key)
        return found or self._seconds.keep(key, self._refine(day, blocks, np.arange(block, block + 1, dtype=np.int64)))

    def blocks_until(self, first: int, last: int, end_ns: int, use_rth: bool) -> TapeBars:
        """Return the blocks of the days that began before `end_ns`, the running one as far as it has got."""
        blocks = self.blocks(first, last, use_rth)
        blocks = rows(blocks, slice(0, int(np.searchsorted(blocks.start_ns, end_ns))))
        if len(blocks) == 0:
            return blocks
        day = self.day_of(int(blocks.start_ns[-1]))
        ordinal = len(blocks) - 1 - int(np.searchsorted(blocks.start_ns, self.day_start_ns[day]))
        if self._block_end(day, int(blocks.start_ns[-1])) <= end_ns:
            return blocks
        seconds = self.seconds(day, ordinal, use_rth)
        seconds = rows(seconds, seconds.start_ns < end_ns)
        running = aggregate(seconds, np.zeros(len(seconds), dtype=np.int64))
        return concat([rows(blocks, slice(0, len(blocks) - 1)), running])

    def days_ahead(self, stamps: IntArray) -> list[TapeBars]:
        """Return the days of these stamps of other series, where they have just been made and may be asked for next."""
        first = int(self.days.start_ns.searchsorted(stamps[0])) if len(stamps) else 0
        last = first + len(stamps)
        if self._days_ahead is None or not np.array_equal(self.days.start_ns[first:last], stamps):
            return []
        return self._days_ahead(first, last)

    def day_until(self, day: int, end_ns: int, use_rth: bool) -> TapeBars:
        """Return what the day has come to before `end_ns` as one bar, none when it has not begun."""
        if use_rth and self._load_running is not None and not self._halts_on(day):
            return self._load_running(day, end_ns)
        blocks = self.blocks_until(day, day + 1, end_ns, use_rth)
        return aggregate(blocks, np.zeros(len(blocks), dtype=np.int64))

    def day_of(self, ns: int) -> int:
        """Return the latest day that began at or before `ns`, -1 before the first."""
        return int(np.searchsorted(self.day_start_ns, ns, side="right")) - 1

    def _load(self, first: int, last: int, use_rth: bool) -> TapeBars:
        blocks = self._load_blocks(first, last, use_rth)
        return without_halted(blocks, self.halts) if self.halts else blocks

    def _make_top(self, day: int, run: "_Run") -> TopRows:
        so_far, scale = self.so_far_before(day, run.first), self.scale
        before = (
            round(so_far.last * scale) if so_far.last is not None else 0,
            self._last_size_before(day, run, so_far.last_size),
            round(so_far.open * scale),
            round(so_far.high * scale),
            round(so_far.low * scale),
            so_far.volume,
        )
        # Trades are many; only who reads ticks keeps them.
        trades = run.trades or trades_of(run.seconds, self.key, scale)
        top = top_rows(run.seconds, trades, self.key, scale, self.spread_on(day), before)
        run.last_sizes = top.seconds[np.array(run.bounds[1:]) - 1, 3].tolist()
        return top

    def _last_size_before(self, day: int, run: _Run, otherwise: int) -> int:
        """Return the size of the last trade of the day before the run began."""
        if run.size_before is not None:
            return run.size_before
        traded = np.flatnonzero(self.blocks(day, day + 1, True).volume[: run.first] > 0)
        if len(traded) == 0:
            return otherwise
        return int(self.trades(day, int(traded[-1]), True).size[-1])

    def _refine(self, day: int, blocks: TapeBars, wanted: IntArray) -> TapeBars:
        """Return the seconds of the blocks numbered `wanted`, in rising time."""
        before = np.concatenate([blocks.open[:1], blocks.close[:-1]])[wanted]
        lengths = self.block_lengths(day, blocks)[wanted]
        parents = rows(blocks, wanted)
        keys = second_keys([self.key], parents.start_ns)
        opens: npt.NDArray[np.bool_] = parents.start_ns == self.open_ns[day]
        parts = []
        for length in sorted(set(lengths.tolist())):
            same = lengths == length
            some, way = rows(parents, same), None
            if self._deviation is not None:
                way = self._deviation(day, some.start_ns), within_keys([self.key], some.start_ns).ravel()
            parts.append(split_seconds(some, length, keys[same], before[same], opens[same], self.scale, way))
        if len(parts) == 1:
            return parts[0]
        merged = concat(parts)
        return rows(merged, np.argsort(merged.start_ns, kind="stable"))
