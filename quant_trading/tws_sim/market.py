"""The tape over series: history, quotes and trades of the same market."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache, partial

import numpy as np

from quant_trading.refdata.sessions import exchange_date
from quant_trading.tws_sim.actions import Actions, date_ns
from quant_trading.tws_sim.aggregate import concat, rows
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.directory import Directory
from quant_trading.tws_sim.halts import Halt
from quant_trading.tws_sim.noise import mix
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series, SessionSoFar
from quant_trading.tws_sim.served_bars import Adjust, daily_bars, intraday_bars
from quant_trading.tws_sim.tape import (
    BarSize,
    Contract,
    IntArray,
    Quote,
    QuoteTicks,
    TapeBars,
    TradeTicks,
    What,
)
from quant_trading.tws_sim.ticks import (
    QUARTER_NS,
    TopRows,
    concat_quotes,
    concat_trades,
    cut_quotes,
    cut_trades,
    quotes_of,
)

__all__ = ["NO_ACTIONS", "SeriesTape", "TopCursor"]

_DAY_NS = DAY_SECONDS * SECOND_NS
_STREAM_SIZES = 501
_KEPT_SERIES = 600
_ROWS_READ = 24

_POWERS = {1: 0, 10: -1, 100: -2, 1000: -3, 10_000: -4}

NO_ACTIONS = Actions(())


class SeriesTape:
    """A `Tape` whose contracts each have one or several series.

    The quotes are synthetic: the spread of the day's series laid around the last trade, the bid at
    last - spread // 2 ticks. BID, ASK and MIDPOINT bars are the trade bars moved by the same rule, so a quote
    always lies within its bars. Series are as traded; splits and dividends come in when bars are served.
    """

    def __init__(
        self,
        contracts: tuple[Contract, ...],
        load_series: Callable[[Contract], tuple[Series, ...]],
        last_ns: int | None,
        load_actions: Callable[[Contract], Actions] | None = None,
        directory: Directory | None = None,
    ) -> None:
        """Take the contracts and a function that makes the series of one of them, coarsest first.

        Args:
            load_actions: splits and dividends of a contract.
            directory: the contracts beside the listed ones (futures, options, forex), found on demand.
        """
        self._contracts = contracts
        self.directory = directory or Directory()
        self._by_id = {contract.con_id: contract for contract in contracts}
        self._last_ns = last_ns
        self._load_series = load_series
        # A series holds tens of kilobytes, those of what was looked at last.
        self._series = lru_cache(maxsize=_KEPT_SERIES)(self._load)
        self._load_actions = load_actions
        self._actions = lru_cache(maxsize=None)(self._find_actions)
        self._halts: dict[int, list[Halt]] = {}

    def contracts(self) -> tuple[Contract, ...]:
        """Return every listed contract of this market."""
        return self._contracts

    def last_ns(self) -> int | None:
        """Return the end of the last bar, None when the market never ends."""
        return self._last_ns

    @property
    def has_actions(self) -> bool:
        """True when this market knows of splits and dividends at all."""
        return self._load_actions is not None

    def actions(self, contract: Contract) -> Actions:
        """Return the splits and dividends of a contract."""
        return self._actions(contract.con_id)

    def _find_actions(self, con_id: int) -> Actions:
        contract = self._by_id.get(con_id)
        return NO_ACTIONS if contract is None or self._load_actions is None else self._load_actions(contract)

    def add_halt(self, contract: Contract, halt: Halt) -> None:
        """Stop trading in a contract for a while that is still to come; what would have traded trades afterwards."""
        self._halts.setdefault(contract.con_id, []).append(halt)
        self._series.cache_clear()

    def halt_at(self, contract: Contract, at_ns: int) -> Halt | None:
        """Return the halt that is on at `at_ns`."""
        series = self._truth(contract, at_ns)
        return None if series is None else series.halt_at(at_ns)

    def halts(self, contract: Contract, start_ns: int, end_ns: int) -> tuple[Halt, ...]:
        """Return the halts that begin in [start_ns, end_ns)."""
        series = self._truth(contract, end_ns)
        return () if series is None else tuple(h for h in series.halts if start_ns <= h.start_ns < end_ns)

    def head_ns(self, contract: Contract, what: What) -> int | None:
        """Return the start of the first session there is."""
        starts = [int(series.open_ns[0]) for series in self._all(contract) if len(series.days)]
        return min(starts, default=None)

    def bars(
        self,
        contract: Contract,
        size: BarSize,
        what: What,
        start_ns: int,
        end_ns: int,
        use_rth: bool,
        as_of_ns: int | None = None,
    ) -> TapeBars | None:
        """Return the bars whose start lies in [start_ns, end_ns), the running one cut at `end_ns`."""
        usable = tuple(series for series in _usable(self._all(contract), size) if series.serves(what))
        if not usable:
            return None
        # The coarsest series leads; finer ones add what lies before or after it, and the day that is running,
        # because quotes and fills come from the finest.
        decisive = self._truth(contract, end_ns)
        running_from = _running_from(decisive, end_ns) if decisive in usable else end_ns
        actions = self.actions(contract)
        seen_from = end_ns if as_of_ns is None else as_of_ns
        merged: TapeBars | None = None
        for series in usable:
            until_ns = end_ns if series is decisive else min(end_ns, running_from)
            days = series.days if what is What.ADJUSTED_LAST else None
            adjust: Adjust = partial(_adjusted, actions, seen_from, days)
            if size.unit == "second":
                found = intraday_bars(series, size.count, what, start_ns, until_ns, use_rth, adjust)
            else:
                found = daily_bars(series, size, what, start_ns, until_ns, use_rth, adjust)
            merged = found if merged is None else _extended(merged, found)
        return merged

    def days_ahead(self, contract: Contract, stamps: IntArray) -> list[TapeBars]:
        """Return the daily bars of some dates of contracts that are likely to be asked for next, as far as made.

        They are as traded, of regular hours; each is told once.
        """
        choices = self._all(contract)
        return choices[0].days_ahead(stamps) if len(choices) == 1 else []

    def quote(self, contract: Contract, at_ns: int) -> Quote | None:
        """Return the top of the book at `at_ns`; trades outside regular hours do not move it."""
        found = self._session_of(contract, at_ns)
        if found is None:
            return None
        series, day, is_open, is_today = found
        previous_close = self._previous_close(contract, series, day if is_today else day + 1, at_ns)
        row = self._open_row(series, day, at_ns) if is_open else self._closed_row(contract, series, day, at_ns)
        if row is None or row[2] == 0:
            return None
        bid, ask, last, bid_size, ask_size, last_size, open_, high, low, volume = row
        scale = series.scale
        traded = is_today and volume > 0
        return Quote(
            bid=_decimal(bid, scale),
            ask=_decimal(ask, scale),
            last=_decimal(last, scale),
            bid_size=bid_size,
            ask_size=ask_size,
            last_size=last_size,
            open=_decimal(open_, scale) if traded else None,
            high=_decimal(high, scale) if traded else None,
            low=_decimal(low, scale) if traded else None,
            volume=(volume if is_today else 0) * series.has_volume,
            previous_close=previous_close,
            is_open=is_open and series.halt_at(at_ns) is None,
        )

    def cursor(self, contract: Contract) -> "TopCursor":
        """Return a reader of the contract's quotes that moves along with time; the fast way to stream them."""
        return TopCursor(self, contract)

    def ticks(self, contract: Contract, start_ns: int, end_ns: int, use_rth: bool = True) -> TradeTicks:
        """Return the trades with start_ns <= at_ns < end_ns, as traded."""
        parts = [
            cut_trades(series.trades(day, block, use_rth), start_ns, end_ns)
            for series, day, block in self._blocks_between(contract, start_ns, end_ns, use_rth)
        ]
        return concat_trades([part for part in parts if len(part)])

    def quotes(self, contract: Contract, start_ns: int, end_ns: int) -> QuoteTicks:
        """Return the changes of the quote with start_ns <= at_ns < end_ns, within regular hours."""
        parts: list[QuoteTicks] = []
        done_ns = start_ns
        for series, day, block in self._blocks_between(contract, start_ns, end_ns, True):
            # One table may be of several blocks.
            top = series.top(day, block)
            ends_ns = top.start_ns + len(top) * QUARTER_NS
            if series.has_volume and ends_ns > done_ns:
                parts.append(cut_quotes(quotes_of(top, series.scale), done_ns, end_ns))
                done_ns = ends_ns
        return concat_quotes([part for part in parts if len(part)])

    def _blocks_between(
        self, contract: Contract, start_ns: int, end_ns: int, use_rth: bool
    ) -> Iterator[tuple[Series, int, int]]:
        """Give the blocks that reach into [start_ns, end_ns), in time."""
        series = self._truth(contract, min(end_ns - 1, start_ns) if end_ns > start_ns else start_ns)
        if series is None:
            return
        for day in range(max(0, series.day_of(start_ns)), series.day_of(end_ns - 1) + 1):
            blocks = series.blocks(day, day + 1, use_rth)
            ends = blocks.start_ns + series.block_lengths(day, blocks) * SECOND_NS
            for block in np.flatnonzero((ends > start_ns) & (blocks.start_ns < end_ns)).tolist():
                yield series, day, block

    def _session_of(self, contract: Contract, at_ns: int) -> tuple[Series, int, bool, bool] | None:
        """Return series, number of the latest day that has opened, whether it is open, whether it is today's."""
        series = self._truth(contract, at_ns)
        if series is None:
            return None
        day = int(np.searchsorted(series.open_ns, at_ns, side="right")) - 1
        if day < 0:
            return None
        is_open = at_ns < int(series.close_ns[day])
        return series, day, is_open, is_open or at_ns < int(series.day_start_ns[day]) + _DAY_NS

    def _open_row(self, series: Series, day: int, at_ns: int) -> list[int] | None:
        block = series.block_at(day, at_ns)
        if block < 0:
            # The session is open, but its first bar is missing in the file.
            so_far = series.so_far_before(day, 0)
            return None if so_far.last is None else _row_of(so_far, series, day)
        top = series.top(day, block)
        return top.row(top.index(at_ns))

    def _closed_row(self, contract: Contract, series: Series, day: int, at_ns: int) -> list[int] | None:
        so_far = series.so_far_at_close(day)
        if so_far.last is None:
            return None
        split = self._split_since(contract, series, day, at_ns)
        if split != 1.0:
            so_far = replace(so_far, last=so_far.last / split)
        row = _row_of(so_far, series, day)
        sizes = mix(series.key, _STREAM_SIZES, at_ns // SECOND_NS)
        row[3:5] = [100 * (1 + sizes % 9), 100 * (1 + (sizes >> 8) % 9)]
        return row

    def _split_since(self, contract: Contract, series: Series, day: int, at_ns: int) -> float:
        actions = self.actions(contract)
        if not actions.has_splits:
            return 1.0
        return actions.split_between(int(series.days.start_ns[day]), date_ns(exchange_date(at_ns)))

    def open_auction(self, contract: Contract, session_open_ns: int) -> Decimal | None:
        """Return the official opening price of the session, None when it has no trade."""
        series = self._truth(contract, session_open_ns)
        if series is None:
            return None
        day = int(np.searchsorted(series.open_ns, session_open_ns))
        if day == len(series.days) or series.open_ns[day] != session_open_ns:
            return None
        session = series.days.rows(day, day + 1)
        return _price(float(session.open[0]), series.scale) if session.volume[0] > 0 else None

    def next_trade_at_or_beyond(
        self, contract: Contract, price: Decimal, is_buy: bool, from_ns: int, until_ns: int
    ) -> tuple[int, Decimal] | None:
        """Return when in [from_ns, until_ns) a resting limit order is first reached within regular hours."""
        head_ns = self.head_ns(contract, What.TRADES)
        if head_ns is None:
            return None
        moment = max(from_ns, head_ns)
        while moment < until_ns:
            series = self._truth(contract, moment)
            if series is None:
                return None
            begin = int(np.searchsorted(series.close_ns, moment, side="right"))
            stop = _end_of_truth(self._all(contract), series, moment, until_ns)
            found = _first_trade(series, begin, price, is_buy, moment, stop)
            if found is not None or stop >= until_ns:
                return found
            moment = stop
        return None

    def _all(self, contract: Contract) -> tuple[Series, ...]:
        if contract.con_id not in self._by_id and self.directory.by_id(contract.con_id) is None:
            return ()
        return self._series(contract.con_id, contract.sec_type == "CONTFUT")

    def _load(self, con_id: int, is_continuous: bool) -> tuple[Series, ...]:
        contract = self._by_id.get(con_id) or self.directory.by_id(con_id)
        assert contract is not None, "asked for known contracts only"
        if is_continuous:
            contract = replace(contract, sec_type="CONTFUT")
        found = self._load_series(contract)
        for series in found:
            series.halts = tuple(sorted((*series.halts, *self._halts.get(con_id, ())), key=lambda halt: halt.start_ns))
        return found

    def _previous_close(self, contract: Contract, series: Series, day: int, at_ns: int) -> Decimal | None:
        """Return the close of the session before the day, from a coarser series when this one begins there."""
        if day > 0:
            close = series.days.close_on(day - 1) / self._split_since(contract, series, day - 1, at_ns)
            return _price(close, series.scale)
        for other in reversed(self._all(contract)):
            earlier = int(np.searchsorted(other.close_ns, series.open_ns[0], side="right"))
            if earlier > 0:
                return _price(other.days.close_on(earlier - 1), other.scale)
        return None

    def _truth(self, contract: Contract, at_ns: int) -> Series | None:
        """Return the series that decides what traded at `at_ns`: the finest that has that day."""
        found = None
        for series in self._all(contract):
            # A series reaches to the day after its last session, so that its last close is still a quote.
            if len(series.days) and series.open_ns[0] <= at_ns < series.day_start_ns[-1] + _DAY_NS:
                found = series
        if found is None:
            past = [series for series in self._all(contract) if len(series.days) and series.open_ns[0] <= at_ns]
            found = max(past, key=lambda series: int(series.close_ns[-1]), default=None)
        return found


class TopCursor:
    """The quotes of one contract as a moment moves on.

    Attributes:
        row: the row of `TopRows` at the moment last asked, None before the first trade there ever was.
        scale: ticks per unit of currency.
        has_volume: False for an index, which has no quotes.
        previous_close: as in `Quote`.
        is_open, is_halted, is_today: state of the session at that moment.
        until_ns: from when on the row may be another one.
        epoch: another number whenever anything but the row may have changed.
    """

    def __init__(self, tape: SeriesTape, contract: Contract) -> None:
        self._tape = tape
        self._contract = contract
        self._from_ns = self._until_ns = self.until_ns = self.epoch = 0
        self._table: TopRows | None = None
        self._part = -1
        self._rows: list[list[int]] = []
        self.row: list[int] | None = None
        self.scale = 100
        self.has_volume = True
        self.has_trades = True
        self.previous_close: Decimal | None = None
        self.is_open = self.is_halted = self.is_today = False

    def move_to(self, at_ns: int) -> list[int] | None:
        """Return the row at `at_ns`."""
        if not self._from_ns <= at_ns < self._until_ns:
            self._load(at_ns)
        if self._table is not None:
            number = (at_ns - self._from_ns) // QUARTER_NS
            # Rows become lists some at a time: one by one costs as much again, all at once a megabyte a contract.
            part = number // _ROWS_READ
            if part != self._part:
                self._part = part
                self._rows = self._table.rows(part * _ROWS_READ, (part + 1) * _ROWS_READ)
            inside = number - part * _ROWS_READ
            self.row = self._rows[inside] if inside < len(self._rows) else self._rows[-1]
            self.until_ns = self._from_ns + (number + 1) * QUARTER_NS
        return self.row

    def _load(self, at_ns: int) -> None:
        """Find the stretch of time with one table, or without any change, around `at_ns`."""
        tape, contract = self._tape, self._contract
        self._table, self._part = None, -1
        self.epoch += 1
        found = tape._session_of(contract, at_ns)
        if found is None:
            self.row, self.is_open, self.is_today, self.is_halted = None, False, False, False
            head = tape.head_ns(contract, What.TRADES)
            self._from_ns, self._until_ns = at_ns, head if head is not None and head > at_ns else at_ns + _DAY_NS
            self.until_ns = self._until_ns
            return
        series, day, self.is_open, self.is_today = found
        self.scale, self.has_volume, self.has_trades = series.scale, series.has_volume, series.has_trades
        self.previous_close = tape._previous_close(contract, series, day if self.is_today else day + 1, at_ns)
        halt = series.halt_at(at_ns)
        self.is_halted = halt is not None and self.is_open
        if self.is_open and halt is None:
            self._load_open(series, day, at_ns)
        elif self.is_open and halt is not None:
            self.row = tape._open_row(series, day, halt.start_ns - QUARTER_NS)
            self._from_ns, self._until_ns = at_ns, min(halt.end_ns, int(series.close_ns[day]))
        else:
            self._load_closed(series, day, at_ns)
        self.until_ns = self._until_ns

    def _load_open(self, series: Series, day: int, at_ns: int) -> None:
        block = series.block_at(day, at_ns)
        starts = series.blocks(day, day + 1, True).start_ns
        following = int(starts[block + 1]) if block + 1 < len(starts) else int(series.close_ns[day])
        if block < 0:
            self.row = self._tape._open_row(series, day, at_ns)
            self._from_ns, self._until_ns = at_ns, following
            return
        top = series.top(day, block)
        self._table, self._from_ns = top, top.start_ns
        following = max(following, top.start_ns + len(top) * QUARTER_NS)
        halts = [halt.start_ns for halt in series.halts if at_ns < halt.start_ns < following]
        self._until_ns = min([following, *halts])

    def _load_closed(self, series: Series, day: int, at_ns: int) -> None:
        self.row = None
        blocks = len(series.blocks(day, day + 1, True))
        if blocks:
            top = series.top(day, blocks - 1)
            self.row = top.row(len(top) - 1)
        if self.row is None or self.row[2] == 0:
            self.row = self._tape._closed_row(self._contract, series, day, at_ns)
        split = self._tape._split_since(self._contract, series, day, at_ns)
        if self.row is not None and split != 1.0:
            self.row[:3] = [max(1, round(ticks / split)) for ticks in self.row[:3]]
        if self.row is not None and not self.is_today:
            self.row[6:] = [0, 0, 0, 0]
        ends = [int(series.open_ns[day + 1])] if day + 1 < len(series.open_ns) else []
        if self.is_today:
            # A minute after the close the day is told of in the news, at its end its figures are gone.
            ends += [int(series.close_ns[day]) + 61 * SECOND_NS, int(series.day_start_ns[day]) + _DAY_NS]
        self._from_ns, self._until_ns = at_ns, min([end for end in ends if end > at_ns], default=at_ns + _DAY_NS)


def _usable(choices: tuple[Series, ...], size: BarSize) -> tuple[Series, ...]:
    """Return the series whose bars fit into bars of `size`, coarsest first."""
    if size.unit != "second":
        return choices
    return tuple(series for series in choices if size.count % series.finest_seconds == 0)


def _running_from(series: Series, at_ns: int) -> int:
    """Return the midnight of the day whose session is not over at `at_ns`, `at_ns` itself when all are."""
    day = series.day_of(at_ns)
    if day < 0 or series.close_ns[day] <= at_ns:
        return at_ns
    return int(series.day_start_ns[day])


def _extended(bars: TapeBars, more: TapeBars) -> TapeBars:
    """Return `bars` and those of `more` that lie before or after all of them."""
    if len(bars) == 0 or len(more) == 0:
        return more if len(bars) == 0 else bars
    early, late = more.start_ns < bars.start_ns[0], more.start_ns > bars.start_ns[-1]
    return concat([rows(more, early), bars, rows(more, late)])


def _adjusted(actions: Actions, as_of_ns: int, days: Days | None, bars: TapeBars, stamps: IntArray) -> TapeBars:
    return actions.adjusted(bars, stamps, as_of_ns, days)


def _row_of(so_far: SessionSoFar, series: Series, day: int) -> list[int]:
    """Return a row of `TopRows` from the state of a session; sizes of the quote are left to the caller."""
    assert so_far.last is not None, "asked after the first trade only"
    last = round(so_far.last * series.scale)
    spread = series.spread_on(day)
    bid = max(1, last - spread // 2)
    prices = (so_far.open, so_far.high, so_far.low)
    return [
        bid, bid + spread, last, 100, 100, so_far.last_size, *(round(p * series.scale) for p in prices), so_far.volume,
    ]  # fmt: skip


def _price(value: float, scale: int) -> Decimal:
    return _decimal(round(value * scale), scale)


def _decimal(ticks: int, scale: int) -> Decimal:
    """Return a price from ticks; a scale of 4 or 20000 is a tick of 0.25 or 0.00005."""
    if scale in _POWERS:
        return Decimal(ticks).scaleb(_POWERS[scale])
    return Decimal(ticks) / scale


def _end_of_truth(choices: tuple[Series, ...], series: Series, moment: int, until_ns: int) -> int:
    """Return up to when `series` decides: a finer series may begin or `series` may end before `until_ns`."""
    finer = choices[choices.index(series) + 1 :]
    begins = [int(other.open_ns[0]) for other in finer if len(other.days) and other.open_ns[0] > moment]
    end = int(series.day_start_ns[-1]) + _DAY_NS
    ends = [end] if end > moment and len(choices) > 1 else []
    return min([until_ns, *begins, *ends])


def _first_trade(
    series: Series, first: int, price: Decimal, is_buy: bool, from_ns: int, until_ns: int
) -> tuple[int, Decimal] | None:
    """Return the first second at or beyond `price` on the days from number `first` on."""
    limit = price * series.scale
    last = int(np.searchsorted(series.open_ns, until_ns))
    for day in (first + _reaching(series.days.rows(first, last), limit, is_buy, series.scale)).tolist():
        blocks = series.blocks(day, day + 1, True)
        ends = blocks.start_ns + series.block_lengths(day, blocks) * SECOND_NS
        for block in _reaching(blocks, limit, is_buy, series.scale).tolist():
            if ends[block] <= from_ns or blocks.start_ns[block] >= until_ns:
                continue
            seconds = series.seconds(day, block, True)
            hits = _reaching(seconds, limit, is_buy, series.scale)
            hits = hits[(seconds.start_ns[hits] >= from_ns) & (seconds.start_ns[hits] < until_ns)]
            if len(hits):
                moment = int(seconds.start_ns[hits[0]])
                opening = _price(float(seconds.open[hits[0]]), series.scale)
                gapped = opening <= price if is_buy else opening >= price
                return moment, opening if gapped and moment == int(series.open_ns[day]) else price
    return None


def _reaching(bars: TapeBars, limit: Decimal, is_buy: bool, scale: int) -> IntArray:
    """Return the numbers of the bars with a trade at `limit` (in ticks) or beyond."""
    if is_buy:
        reached = np.rint(bars.low * scale) <= float(limit)
    else:
        reached = np.rint(bars.high * scale) >= float(limit)
    return np.flatnonzero(reached & (bars.volume > 0))
