"""The built-in market: some 500 names whose bars follow from a seed alone.

Days are made from one market factor, one factor per sector and one of each name's own, a few months at a time;
minutes are split from days and seconds from minutes. Nothing depends on what was asked before.
Not modelled: listings that begin or end.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache, partial

import numpy as np

from quant_trading.refdata.sessions import LAST_SESSION_DAY
from quant_trading.tws_sim.actions import Actions
from quant_trading.tws_sim.aggregate import rows
from quant_trading.tws_sim.company_events import corporate_actions
from quant_trading.tws_sim.course import KNOTS, restless_clock, round_the_clock
from quant_trading.tws_sim.day_path import DayPath
from quant_trading.tws_sim.days import Days
from quant_trading.tws_sim.extended import whole_days
from quant_trading.tws_sim.factors import Factors
from quant_trading.tws_sim.halts import Halt
from quant_trading.tws_sim.hours import STOCKS, Calendar
from quant_trading.tws_sim.instruments import SeededDirectory
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.noise import keys_at, mix, name_key, uniforms
from quant_trading.tws_sim.roster import Roster, minute_deviations, path_minutes
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series, days_spread
from quant_trading.tws_sim.sessions_split import LONG_SESSION_MINUTES, in_time, minutes_of
from quant_trading.tws_sim.tape import Contract, FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.universe import LISTINGS, Listing, contract_of

__all__ = ["FIRST_DAY", "SeededMarket", "seeded_tape"]

FIRST_DAY = date(2000, 1, 3)
_LEVEL_DAY = date(2025, 1, 2)
_SCALE = 100
_DAY_NS = DAY_SECONDS * SECOND_NS

_Dates = np.ndarray[tuple[int], np.dtype[np.datetime64]]
_Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

_STREAM_HALTS = 7
_WILD, _HALTS_PER_DAY = 0.5, 0.002


def seeded_tape(seed: int) -> SeriesTape:
    """Return the market of `seed`, 2000-01-03 to the end of the table of sessions."""
    market = SeededMarket(seed)
    directory = SeededDirectory(
        lambda calendar: market if calendar is STOCKS else SeededMarket(seed, calendar), market.listings, market.series
    )

    def load(contract: Contract) -> tuple[Series, ...]:
        return market.series(contract) if contract.sec_type == "STK" else directory.series(contract)

    return SeriesTape(tuple(market.listings), load, None, market.actions, directory)


class SeededMarket:
    """The factors of one seed, and the series of its names.

    Attributes:
        listings: contract -> the row it comes from.
    """

    def __init__(self, seed: int, calendar: Calendar = STOCKS) -> None:
        """Take the seed and the calendar whose days all paths of this market have."""
        self._seed = seed
        self.listings: dict[Contract, Listing] = dict(_listed())
        self.open_ns, self.close_ns, dates, self._half_day = _sessions_of(calendar)
        self.stamps = dates.astype(np.int64) * DAY_SECONDS * SECOND_NS
        level_index = int(np.searchsorted(dates, np.datetime64(_LEVEL_DAY)))
        self._midnight_ns = self.open_ns - 34_200 * SECOND_NS
        # No calendar mixes sessions that last a day with shorter ones.
        self._clock = (
            restless_clock
            if np.median(self.close_ns - self.open_ns) < LONG_SESSION_MINUTES * 60 * SECOND_NS
            else round_the_clock
        )
        knot_clock = self._clock(KNOTS)
        self._factors = cache(lambda: Factors(seed, self.stamps, self._half_day, level_index, knot_clock))
        self._numbers = {contract: number for number, contract in enumerate(self.listings)}
        self._roster = cache(self._make_roster)

    def _make_roster(self) -> Roster:
        names = [(listing, self._key(listing)) for listing in self.listings.values()]
        return Roster(self._factors(), names, (self.open_ns, self.close_ns), self._clock)

    def series(self, contract: Contract) -> tuple[Series, ...]:
        """Return the one series of a listed contract."""
        listing = self.listings[contract]
        key = self._key(listing)
        roster, number = self._roster(), self._numbers[contract]
        days, extended = roster.days(number), roster.extended(number)

        def load_blocks(first: int, last: int, use_rth: bool) -> TapeBars:
            regular = roster.minutes(number, first, last)
            if use_rth:
                return regular
            return in_time([regular, *extended.minutes(first, last)])

        def load_all_hours(first: int, last: int) -> TapeBars:
            return whole_days(days.rows(first, last), *extended.bars(first, last))

        series = Series(
            key=key,
            days=days,
            open_ns=self.open_ns,
            close_ns=self.close_ns,
            midnight_ns=self._midnight_ns,
            block_seconds=60,
            finest_seconds=1,
            spread=days_spread(days, listing.spread_bps, _SCALE),
            scale=_SCALE,
            load_blocks=load_blocks,
            load_all_hours=load_all_hours,
            load_seconds=partial(roster.seconds, number),
            load_running=partial(roster.running, number),
            days_ahead=roster.days_ahead,
            deviation=partial(roster.deviation, number),
        )
        series.halts = self._halts_of(listing, key)
        return (series,)

    def actions(self, contract: Contract) -> Actions:
        """Return the splits and dividends of a listed contract."""
        return corporate_actions(self.listings[contract], self._key(self.listings[contract]))

    def _halts_of(self, listing: Listing, key: int) -> tuple[Halt, ...]:
        """Return the pauses of wild names: five minutes on a day in two years or so, never near open or close."""
        if listing.own_vol < _WILD:
            return ()
        day = np.arange(len(self.stamps), dtype=np.int64)
        drawn = uniforms(keys_at(mix(key, _STREAM_HALTS), day), 0, 2)
        paused = np.flatnonzero((drawn[:, 0] < _HALTS_PER_DAY) & ~self._half_day)
        begins = self.open_ns[paused] + (30 + (drawn[paused, 1] * 300).astype(np.int64)) * 60 * SECOND_NS
        return tuple(Halt(begin, begin + 300 * SECOND_NS) for begin in begins.tolist())

    def build(
        self,
        listing: Listing,
        days: TapeBars,
        spans: tuple[IntArray, IntArray, IntArray],
        key_name: str,
        *,
        has_trades: bool,
        has_volume: bool,
        spread: IntArray,
        load_blocks: Callable[[int, int, bool], TapeBars] | None = None,
    ) -> Series:
        """Return the series of `days` whose sessions are `spans`: opens, closes, starts of the days."""
        opens, closes, starts = spans
        key = mix(self._seed, name_key(key_name))

        def made_here(first: int, last: int, use_rth: bool) -> TapeBars:
            return self.session_minutes(listing, rows(days, slice(first, last)), first, last)

        def deviation(day: int, starts: IntArray) -> FloatArray:
            path, span = DayPath(self._factors(), listing, self._key(listing)), (int(opens[day]), int(closes[day]))
            of_session = path.deviation(day, float(days.open[day]) * listing.scale)
            return minute_deviations(of_session, span, starts, self._clock)

        return Series(
            key=key,
            days=Days(days),
            open_ns=opens,
            close_ns=closes,
            # Midnight in New York is four or five hours behind that of UTC.
            midnight_ns=days.start_ns + 5 * 3600 * SECOND_NS,
            day_start_ns=starts,
            block_seconds=60,
            finest_seconds=1,
            spread=spread,
            scale=listing.scale,
            load_blocks=load_blocks or made_here,
            deviation=deviation if load_blocks is None else None,
            has_extended_hours=False,
            has_trades=has_trades,
            has_volume=has_volume,
        )

    def minutes(self, key_name: str, days: TapeBars, opens: IntArray, closes: IntArray, listing: Listing) -> TapeBars:
        """Return the minutes of spans beside this market's sessions, given by their bars, opens and closes."""
        return minutes_of(mix(self._seed, name_key(key_name)), days, opens, closes, listing.scale)

    def session_minutes(self, listing: Listing, days: TapeBars, first: int, last: int) -> TapeBars:
        """Return the minutes of the sessions first <= day < last, whose bars are `days`."""
        path = DayPath(self._factors(), listing, self._key(listing))
        key, span = mix(self._seed, name_key(listing.symbol)), slice(first, last)
        return path_minutes(path, key, days, (self.open_ns[span], self.close_ns[span]), first, self._clock)

    def _key(self, listing: Listing) -> int:
        return mix(self._seed, name_key(f"{listing.symbol}.{listing.currency}"))

    def daily(self, listing: Listing) -> TapeBars:
        """Return the daily bars of the regular sessions, the whole span at once."""
        return DayPath(self._factors(), listing, self._key(listing)).make(0, len(self.stamps))


def _contract(listing: Listing) -> Contract:
    return contract_of(
        listing.symbol,
        name=listing.name,
        primary_exchange=listing.primary_exchange,
        sector=listing.sector,
        stock_type=listing.stock_type,
        currency=listing.currency,
    )


@cache
def _listed() -> dict[Contract, Listing]:
    return {_contract(listing): listing for listing in LISTINGS}


@cache
def _sessions_of(calendar: Calendar) -> tuple[IntArray, IntArray, _Dates, _Flags]:
    """Return when the sessions of a calendar begin and end, their days and which are half days, from FIRST_DAY on.

    The table is 27 years long and the same for every seed; the arrays are shared, so nobody may write to them.
    """
    days = (FIRST_DAY + timedelta(days=n) for n in range((LAST_SESSION_DAY - FIRST_DAY).days + 1))
    sessions = [session for day in days if (session := calendar.session_on(day)) is not None]
    begins = np.array([session.open_ns for session in sessions], dtype=np.int64)
    ends = np.array([session.close_ns for session in sessions], dtype=np.int64)
    dates = np.array([session.day.isoformat() for session in sessions], dtype="datetime64[D]")
    half_day = np.array([session.is_half_day for session in sessions])
    for column in (begins, ends, dates, half_day):
        column.setflags(write=False)
    return begins, ends, dates, half_day
