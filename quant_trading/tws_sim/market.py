"""The tape over series: history, quotes and trades of the same market."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quant_trading.tws_sim.aggregate import aggregate, concat, rows
from quant_trading.tws_sim.noise import mix
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series, SessionSoFar
from quant_trading.tws_sim.tape import BarSize, Contract, FloatArray, IntArray, Quote, TapeBars, What

__all__ = ["SeriesTape"]

_DAY_NS = DAY_SECONDS * SECOND_NS
_STREAM_SIZES = 501


class SeriesTape:
    """A `Tape` whose contracts each have one or several series.

    The quotes are synthetic: the spread of the day's series laid around the last trade, the bid at
    last - spread // 2 ticks. BID, ASK and MIDPOINT bars are the trade bars moved by the same rule, so a quote
    always lies within its bars. ADJUSTED_LAST equals TRADES: no source carries dividends.
    """

    def __init__(
        self,
        contracts: tuple[Contract, ...],
        load_series: Callable[[Contract], tuple[Series, ...]],
        last_ns: int | None,
    ) -> None:
        """Take the contracts and a function that makes the series of one of them, coarsest first."""
        self._contracts = contracts
        self._by_id = {contract.con_id: contract for contract in contracts}
        self._last_ns = last_ns
        self._series = lru_cache(maxsize=None)(lambda con_id: load_series(self._by_id[con_id]))

    def contracts(self) -> tuple[Contract, ...]:
        """Return every contract this market knows."""
        return self._contracts

    def last_ns(self) -> int | None:
        """Return the end of the last bar, None when the market never ends."""
        return self._last_ns

    def head_ns(self, contract: Contract, what: What) -> int | None:
        """Return the start of the first session there is."""
        starts = [int(series.open_ns[0]) for series in self._all(contract) if len(series.days)]
        return min(starts, default=None)

    def bars(
        self, contract: Contract, size: BarSize, what: What, start_ns: int, end_ns: int, use_rth: bool
    ) -> TapeBars | None:
        """Return the bars whose start lies in [start_ns, end_ns), the running one cut at `end_ns`."""
        usable = _usable(self._all(contract), size)
        if not usable:
            return None
        # The coarsest series leads; finer ones add what lies before or after it, and the day that is running,
        # because quotes and fills come from the finest.
        decisive = self._truth(contract, end_ns)
        running_from = _running_from(decisive, end_ns) if decisive in usable else end_ns
        merged: TapeBars | None = None
        for series in usable:
            until_ns = end_ns if series is decisive else min(end_ns, running_from)
            if size.unit == "second":
                found = _intraday(series, size.count, what, start_ns, until_ns, use_rth)
            else:
                found = _daily(series, size, what, start_ns, until_ns, use_rth)
            merged = found if merged is None else _extended(merged, found)
        return merged

    def quote(self, contract: Contract, at_ns: int) -> Quote | None:
        """Return the top of the book at `at_ns`; trades outside regular hours do not move it."""
        series = self._truth(contract, at_ns)
        if series is None:
            return None
        day = int(np.searchsorted(series.open_ns, at_ns, side="right")) - 1
        if day < 0:
            return None
        is_open = at_ns < int(series.close_ns[day])
        is_today = is_open or at_ns < int(series.midnight_ns[day]) + _DAY_NS
        previous_close = self._previous_close(contract, series, day if is_today else day + 1)
        so_far = _session_so_far(series, day, at_ns)
        if so_far.last is None:
            return None
        last = round(so_far.last * series.scale)
        bid_ticks, ask_ticks = _around(last, int(series.spread[day]))
        sizes = mix(series.key, _STREAM_SIZES, at_ns // SECOND_NS)
        traded = is_today and so_far.volume > 0
        return Quote(
            bid=_decimal(bid_ticks, series.scale),
            ask=_decimal(ask_ticks, series.scale),
            last=_decimal(last, series.scale),
            bid_size=100 * (1 + sizes % 9),
            ask_size=100 * (1 + (sizes >> 8) % 9),
            last_size=so_far.last_size,
            open=_price(so_far.open, series.scale) if traded else None,
            high=_price(so_far.high, series.scale) if traded else None,
            low=_price(so_far.low, series.scale) if traded else None,
            volume=so_far.volume if is_today else 0,
            previous_close=previous_close,
            is_open=is_open,
        )

    def open_auction(self, contract: Contract, session_open_ns: int) -> Decimal | None:
        """Return the official opening price of the session, None when it has no trade."""
        series = self._truth(contract, session_open_ns)
        if series is None:
            return None
        day = int(np.searchsorted(series.open_ns, session_open_ns))
        if day == len(series.days) or series.open_ns[day] != session_open_ns or series.days.volume[day] <= 0:
            return None
        return _price(float(series.days.open[day]), series.scale)

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
        if contract.con_id not in self._by_id:
            return ()
        return self._series(contract.con_id)

    def _previous_close(self, contract: Contract, series: Series, day: int) -> Decimal | None:
        """Return the close of the session before the day, from a coarser series when this one begins there."""
        if day > 0:
            return _price(float(series.days.close[day - 1]), series.scale)
        for other in reversed(self._all(contract)):
            earlier = int(np.searchsorted(other.close_ns, series.open_ns[0], side="right"))
            if earlier > 0:
                return _price(float(other.days.close[earlier - 1]), other.scale)
        return None

    def _truth(self, contract: Contract, at_ns: int) -> Series | None:
        """Return the series that decides what traded at `at_ns`: the finest that has that day."""
        found = None
        for series in self._all(contract):
            # A series reaches to the day after its last session, so that its last close is still a quote.
            if len(series.days) and series.open_ns[0] <= at_ns < series.midnight_ns[-1] + _DAY_NS:
                found = series
        if found is None:
            past = [series for series in self._all(contract) if len(series.days) and series.open_ns[0] <= at_ns]
            found = max(past, key=lambda series: int(series.close_ns[-1]), default=None)
        return found


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
    return int(series.midnight_ns[day])


def _extended(bars: TapeBars, more: TapeBars) -> TapeBars:
    """Return `bars` and those of `more` that lie before or after all of them."""
    if len(bars) == 0 or len(more) == 0:
        return more if len(bars) == 0 else bars
    early, late = more.start_ns < bars.start_ns[0], more.start_ns > bars.start_ns[-1]
    return concat([rows(more, early), bars, rows(more, late)])


def _intraday(series: Series, seconds: int, what: What, start_ns: int, end_ns: int, use_rth: bool) -> TapeBars:
    """Return bars of `seconds`, aligned to the wall clock of the exchange and cut by the session."""
    opens, closes = series.day_span(use_rth)
    first = int(np.searchsorted(closes, start_ns, side="right"))
    last = int(np.searchsorted(opens, end_ns))
    if seconds % series.block_seconds == 0:
        parts = series.blocks_until(first, last, end_ns, use_rth)
    else:
        # Whole bars: the one that runs at start_ns is dropped below, by its stamp.
        begin = start_ns - seconds * SECOND_NS
        parts = concat([series.seconds_between(day, begin, end_ns, use_rth) for day in range(first, last)])
    day = np.searchsorted(series.midnight_ns, parts.start_ns, side="right") - 1
    midnight = series.midnight_ns[day]
    width = seconds * SECOND_NS
    stamp = np.maximum(midnight + (parts.start_ns - midnight) // width * width, np.minimum(opens[day], parts.start_ns))
    bars = aggregate(parts, stamp)
    first_row = np.searchsorted(stamp, np.unique(stamp))
    bars = _with_stamps(bars, stamp[first_row])
    spread = series.spread[day[first_row]]
    inside = bars.start_ns >= start_ns
    return _side(rows(bars, inside), what, spread[inside], series.scale)


def _daily(series: Series, size: BarSize, what: What, start_ns: int, end_ns: int, use_rth: bool) -> TapeBars:
    """Return bars of days, weeks (Monday to Friday) or months; weeks and months bear their last session's date."""
    opens, closes = series.day_span(use_rth)
    stamps = series.days.start_ns
    period = _periods(stamps, size.unit)
    # A week that began before start_ns is built whole, then dropped by its stamp.
    begun = int(np.searchsorted(series.midnight_ns, start_ns))
    if begun == len(stamps):
        return rows(series.days, slice(0, 0))
    first = int(np.searchsorted(period, period[begun]))
    last = int(np.searchsorted(opens, end_ns))
    if last <= first:
        return rows(series.days, slice(0, 0))
    days = rows(series.days, slice(first, last)) if use_rth else series.all_hours_days(first, last)
    if closes[last - 1] > end_ns:
        running = series.blocks_until(last - 1, last, end_ns, use_rth)
        running = aggregate(running, np.zeros(len(running), dtype=np.int64))
        today = _with_stamps(running, stamps[last - 1 : last]) if len(running) else rows(days, slice(0, 0))
        days = concat([rows(days, slice(0, last - first - 1)), today])
    period = period[first : first + len(days)]
    days = _side(days, what, series.spread[first : first + len(days)], series.scale)
    if size.unit != "day":
        ends = np.append(np.flatnonzero(np.diff(period)), len(period) - 1)
        days = _with_stamps(_merge_sides(days, period), days.start_ns[ends])
    return rows(days, days.start_ns >= stamps[begun])


def _periods(stamps: IntArray, unit: str) -> IntArray:
    """Return a rising number of the day, the week or the month of each midnight."""
    day = stamps // _DAY_NS
    if unit == "week":
        return (day + 3) // 7  # 1970-01-01 was a Thursday
    if unit == "month":
        return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return day


def _merge_sides(days: TapeBars, period: IntArray) -> TapeBars:
    """Return the days merged by period; quote bars have no volume to go by and are merged as they are."""
    if len(days) == 0 or days.volume[0] >= 0:
        return aggregate(days, period)
    ones = TapeBars(days.start_ns, days.open, days.high, days.low, days.close, -days.volume, days.wap, days.count)
    return _quote_bars(aggregate(ones, period))


def _side(bars: TapeBars, what: What, spread: IntArray, scale: int) -> TapeBars:
    """Return trade bars turned to the asked side of the synthetic market."""
    if what in (What.TRADES, What.ADJUSTED_LAST) or len(bars) == 0:
        return bars
    below, above = spread // 2, spread - spread // 2

    def moved(price: FloatArray, ticks: npt.NDArray[np.number[Any]]) -> FloatArray:
        return np.asarray((np.rint(price * scale * 2) / 2 + ticks) / scale)

    if what is What.BID_ASK:
        mean = np.rint((bars.open + bars.close) * 0.5 * scale) / scale
        open_, high, low, close = (
            moved(mean, -below),
            moved(bars.high, above),
            moved(bars.low, -below),
            moved(mean, above),
        )
    else:
        shift = {What.BID: -below, What.ASK: above}.get(what, (above - below) / 2)
        open_, high, low, close = (moved(price, shift) for price in (bars.open, bars.high, bars.low, bars.close))
    return _quote_bars(TapeBars(bars.start_ns, open_, high, low, close, bars.volume, bars.wap, bars.count))


def _quote_bars(bars: TapeBars) -> TapeBars:
    nothing = np.full(len(bars), -1.0)
    return TapeBars(
        bars.start_ns,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        nothing,
        nothing,
        np.full(len(bars), -1, dtype=np.int64),
    )


def _with_stamps(bars: TapeBars, start_ns: IntArray) -> TapeBars:
    return TapeBars(start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count)


def _session_so_far(series: Series, day: int, at_ns: int) -> SessionSoFar:
    """Return the session of the day up to and including `at_ns`."""
    if at_ns >= int(series.close_ns[day]):
        return series.so_far_at_close(day)
    block = int(np.searchsorted(series.blocks(day, day + 1, True).start_ns, at_ns, side="right")) - 1
    if block < 0:
        return series.so_far_before(day, 0)
    before = series.so_far_before(day, block)
    seconds = series.seconds(day, block, True)
    return before.plus(seconds, int(np.searchsorted(seconds.start_ns, at_ns, side="right")))


def _around(last: int, spread: int) -> tuple[int, int]:
    """Return bid and ask in ticks for a last trade in ticks."""
    bid = max(1, last - spread // 2)
    return bid, bid + spread


def _price(value: float, scale: int) -> Decimal:
    return _decimal(round(value * scale), scale)


def _decimal(ticks: int, scale: int) -> Decimal:
    return Decimal(ticks).scaleb(1 - len(str(scale)))


def _end_of_truth(choices: tuple[Series, ...], series: Series, moment: int, until_ns: int) -> int:
    """Return up to when `series` decides: a finer series may begin or `series` may end before `until_ns`."""
    finer = choices[choices.index(series) + 1 :]
    begins = [int(other.open_ns[0]) for other in finer if len(other.days) and other.open_ns[0] > moment]
    end = int(series.midnight_ns[-1]) + _DAY_NS
    ends = [end] if end > moment and len(choices) > 1 else []
    return min([until_ns, *begins, *ends])


def _first_trade(
    series: Series, first: int, price: Decimal, is_buy: bool, from_ns: int, until_ns: int
) -> tuple[int, Decimal] | None:
    """Return the first second at or beyond `price` on the days from number `first` on."""
    limit = price * series.scale
    last = int(np.searchsorted(series.open_ns, until_ns))
    for day in (first + _reaching(rows(series.days, slice(first, last)), limit, is_buy, series.scale)).tolist():
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
