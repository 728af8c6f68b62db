"""The built-in market: some 500 names whose bars follow from a seed alone.

Days are made for the whole span at once, from one market factor, one factor per sector and one of each name's
own; minutes are split from days and seconds from minutes. Nothing depends on what was asked before.
Not modelled: listings that begin or end.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache, partial

import numpy as np

from quant_trading.refdata.sessions import LAST_SESSION_DAY
from quant_trading.tws_sim.actions import Actions
from quant_trading.tws_sim.aggregate import concat, rows, typical_price
from quant_trading.tws_sim.company_events import corporate_actions
from quant_trading.tws_sim.halts import Halt
from quant_trading.tws_sim.hours import STOCKS, Calendar
from quant_trading.tws_sim.instruments import SeededDirectory
from quant_trading.tws_sim.market import SeriesTape
from quant_trading.tws_sim.noise import keys_at, mix, name_key, normals, uniforms
from quant_trading.tws_sim.refine import prints_needed, refine
from quant_trading.tws_sim.series import DAY_SECONDS, SECOND_NS, Series, spread_ticks
from quant_trading.tws_sim.tape import Contract, FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.universe import LISTINGS, Listing, contract_of

__all__ = ["FIRST_DAY", "SeededMarket", "seeded_tape"]

FIRST_DAY = date(2000, 1, 3)
_LEVEL_DAY = date(2025, 1, 2)
_SCALE = 100
_LONG_SESSION_MINUTES = 720
_DAY_NS = DAY_SECONDS * SECOND_NS

# Daily volatilities of the factors. A third of a day's variance falls into the night before it.
_MARKET_DAY, _MARKET_NIGHT = 0.0082, 0.0048
_SECTOR_DAY, _SECTOR_NIGHT = 0.0058, 0.0034
_OWN_DAY, _OWN_NIGHT = 0.82, 0.57
_SESSIONS_PER_YEAR = 252
# Prices return to their trend with a half-life of two years (leveraged funds: ten months), so that no seed
# takes a name to nothing or to the moon by 2030.
_PULL, _PULL_LEVERAGED = 0.35 / _SESSIONS_PER_YEAR, 0.85 / _SESSIONS_PER_YEAR
_REPORT_EVERY, _REPORT_JUMP = 63, 3.5

_EXTENDED_SHARE = {"pre": 0.015, "post": 0.02}
_PRE_MINUTES, _POST_MINUTES = 330, 240
_STREAMS = {"market": 1, "sector": 2, "own": 3, "minutes": 4, "pre": 5, "post": 6, "halts": 7}
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
        self.listings: dict[Contract, Listing] = {_contract(listing): listing for listing in LISTINGS}
        days = (FIRST_DAY + timedelta(days=n) for n in range((LAST_SESSION_DAY - FIRST_DAY).days + 1))
        self._sessions = [session for day in days if (session := calendar.session_on(day)) is not None]
        self.open_ns = np.array([session.open_ns for session in self._sessions], dtype=np.int64)
        self.close_ns = np.array([session.close_ns for session in self._sessions], dtype=np.int64)
        dates = np.array([session.day.isoformat() for session in self._sessions], dtype="datetime64[D]")
        self.stamps = dates.astype(np.int64) * DAY_SECONDS * SECOND_NS
        self._half_day = np.array([session.is_half_day for session in self._sessions])
        self._level_index = int(np.searchsorted(dates, np.datetime64(_LEVEL_DAY)))
        self._day = np.arange(len(self._sessions), dtype=np.int64)
        self._midnight_ns = self.open_ns - 34_200 * SECOND_NS
        self._market: tuple[FloatArray, FloatArray, FloatArray] | None = None
        self._sectors: dict[str, tuple[FloatArray, FloatArray]] = {}

    def series(self, contract: Contract) -> tuple[Series, ...]:
        """Return the one series of a listed contract."""
        listing = self.listings[contract]
        splits = self.actions(contract)
        days = _as_traded(self.daily(listing), splits)
        key = self._key(listing)
        # Most clients ask for regular hours only.
        extended = cache(lambda: self._extended_bars(listing, days))

        def load_blocks(first: int, last: int, use_rth: bool) -> TapeBars:
            span = slice(first, last)
            regular = self._minutes(key, rows(days, span), self.open_ns[span], self.close_ns[span], _SCALE)
            if use_rth:
                return regular
            pre, post = extended()
            return _in_time(
                [self._extended(key, "pre", rows(pre, span)), regular, self._extended(key, "post", rows(post, span))]
            )

        def load_all_hours(first: int, last: int) -> TapeBars:
            span = slice(first, last)
            pre, post = extended()
            return _whole_days(rows(days, span), rows(pre, span), rows(post, span))

        previous = np.concatenate([days.open[:1], days.close[:-1]])
        series = Series(
            key=key,
            days=days,
            open_ns=self.open_ns,
            close_ns=self.close_ns,
            midnight_ns=self._midnight_ns,
            block_seconds=60,
            finest_seconds=1,
            spread=spread_ticks(previous, listing.spread_bps, _SCALE),
            scale=_SCALE,
            load_blocks=load_blocks,
            load_all_hours=load_all_hours,
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
        drawn = uniforms(keys_at(mix(key, _STREAMS["halts"]), self._day), 0, 2)
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
            return self.minutes(
                key_name, rows(days, slice(first, last)), opens[first:last], closes[first:last], listing
            )

        return Series(
            key=key,
            days=days,
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
            has_extended_hours=False,
            has_trades=has_trades,
            has_volume=has_volume,
        )

    def minutes(self, key_name: str, days: TapeBars, opens: IntArray, closes: IntArray, listing: Listing) -> TapeBars:
        """Return the minutes of sessions given by their bars, opens and closes."""
        return self._minutes(mix(self._seed, name_key(key_name)), days, opens, closes, listing.scale)

    def _key(self, listing: Listing) -> int:
        return mix(self._seed, name_key(f"{listing.symbol}.{listing.currency}"))

    def _shocks(self, key: int) -> tuple[FloatArray, FloatArray]:
        """Return standard normal shocks of the day and of the night before it, float64[T] each."""
        drawn = normals(keys_at(key, self._day), 0, 2)
        return drawn[:, 0], drawn[:, 1]

    def _market_factor(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the market's moves by day and by night, and the level of volatility they share."""
        if self._market is None:
            calm = normals(keys_at(mix(self._seed, _STREAMS["market"], 0), self._day), 0, 1)[:, 0]
            # Volatility comes in clusters of a month or so.
            level = np.exp(_pulled_sum(0.12 * calm, 1 / 25.0) - 0.09)
            day, night = self._shocks(mix(self._seed, _STREAMS["market"], 1))
            self._market = (_MARKET_DAY * level * day, _MARKET_NIGHT * level * night, level)
        return self._market

    def _sector_factor(self, sector: str) -> tuple[FloatArray, FloatArray]:
        if sector not in self._sectors:
            _, _, level = self._market_factor()
            day, night = self._shocks(mix(self._seed, _STREAMS["sector"], name_key(sector)))
            self._sectors[sector] = (_SECTOR_DAY * np.sqrt(level) * day, _SECTOR_NIGHT * np.sqrt(level) * night)
        return self._sectors[sector]

    def daily(self, listing: Listing) -> TapeBars:
        """Return the daily bars of the regular sessions, the whole span at once."""
        moves, night, spread_of_day = self._moves(listing)
        pull = _PULL_LEVERAGED if abs(listing.beta) >= 2.0 else _PULL
        pull = listing.pull / _SESSIONS_PER_YEAR if listing.pull else pull
        trend = listing.drift * (self._day - self._level_index) / _SESSIONS_PER_YEAR
        on_grid = partial(_on_grid, scale=listing.scale, floor=listing.floor)
        close = on_grid(listing.price * np.exp(trend + _pulled_sum(moves, pull)))
        previous = np.concatenate([close[:1], close[:-1]])
        open_ = on_grid(previous * np.exp(night))
        key = mix(self._key(listing), _STREAMS["own"], 1)
        reach = np.abs(normals(keys_at(key, self._day), 1, 2)) * (0.6 * spread_of_day)[:, None]
        high = np.maximum(on_grid(np.maximum(open_, close) * (1 + reach[:, 0])), np.maximum(open_, close))
        low = np.minimum(on_grid(np.minimum(open_, close) * (1 - reach[:, 1])), np.minimum(open_, close))

        noise = normals(keys_at(key, self._day), 2, 1)[:, 0]
        surprise = np.abs(moves) / np.maximum(spread_of_day, 1e-9)
        activity = np.exp(0.28 * noise) * (0.75 + 0.3 * surprise) * np.where(self._half_day, 0.5, 1.0)
        volume = np.maximum(1.0, np.rint(listing.volume * 1000 * activity))
        count = np.maximum(1, volume // listing.trade_size).astype(np.int64)
        return TapeBars(self.stamps, open_, high, low, close, volume, typical_price(open_, high, low, close), count)

    def _moves(self, listing: Listing) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return each day's whole log move, its night part, and the volatility of its day part."""
        market_day, market_night, level = self._market_factor()
        sector_day, sector_night = self._sector_factor(listing.sector)
        key = mix(self._seed, name_key(f"{listing.twin or listing.symbol}.USD"))
        own_day, own_night = self._shocks(mix(key, _STREAMS["own"], 0))
        own = listing.own_vol / np.sqrt(_SESSIONS_PER_YEAR) * np.sqrt(level)
        if listing.stock_type == "COMMON":
            # Four times a year a company reports, after the close.
            reports = (self._day + key % _REPORT_EVERY) % _REPORT_EVERY == 0
            own_night = np.where(reports, _REPORT_JUMP * own_night, own_night)
        day = listing.beta * market_day + listing.sector_beta * sector_day + _OWN_DAY * own * own_day
        night = listing.beta * market_night + listing.sector_beta * sector_night + _OWN_NIGHT * own * own_night
        if listing.twin:
            # The same company elsewhere moves along, but for the exchange rate and the last cent.
            day = day + 0.003 * self._shocks(mix(self._key(listing), _STREAMS["own"], 2))[0]
        variance = (listing.beta * _MARKET_DAY * level) ** 2 + (_OWN_DAY * own) ** 2
        variance = variance + (listing.sector_beta * _SECTOR_DAY) ** 2 * level
        return day + night, night, np.sqrt(variance)

    def _extended_bars(self, listing: Listing, days: TapeBars) -> tuple[TapeBars, TapeBars]:
        """Return one bar for 04:00 to the open and one for the four hours after the close of each day.

        The evening takes a third of the way to the next open, the morning the rest; thinly traded names may
        not trade at all, and then the bar is flat.
        """
        next_open = np.concatenate([days.open[1:], days.close[-1:]])
        evening = _to_cents(days.close + (next_open - days.close) / 3)
        post_volume, pre_volume = (np.floor(days.volume * _EXTENDED_SHARE[part]) for part in ("post", "pre"))
        evening = np.where(post_volume > 0, evening, days.close)
        overnight = np.concatenate([days.open[:1], evening[:-1]])
        morning = np.where(pre_volume > 0, days.open, overnight)
        pre_start = self.open_ns - _PRE_MINUTES * 60 * SECOND_NS
        pre = self._extended_bar(listing, "pre", pre_start, overnight, morning, pre_volume)
        post = self._extended_bar(listing, "post", self.close_ns, days.close, evening, post_volume)
        return pre, post

    def _extended_bar(
        self, listing: Listing, part: str, start_ns: IntArray, open_: FloatArray, close: FloatArray, volume: FloatArray
    ) -> TapeBars:
        reach = 0.002 * uniforms(keys_at(mix(self._key(listing), _STREAMS[part], 1), self._day), 0, 2)
        reach[volume == 0] = 0.0
        high = np.maximum(_to_cents(np.maximum(open_, close) * (1 + reach[:, 0])), np.maximum(open_, close))
        low = np.minimum(_to_cents(np.minimum(open_, close) * (1 - reach[:, 1])), np.minimum(open_, close))
        count = np.minimum(np.ceil(volume / (0.6 * listing.trade_size)), volume).astype(np.int64)
        # A few trades cannot leave four prices.
        few = prints_needed(*(np.rint(price * _SCALE).astype(np.int64) for price in (open_, high, low, close))) > count
        high, low = (
            np.where(few, edge(open_, close), price) for edge, price in ((np.maximum, high), (np.minimum, low))
        )
        open_, high, low = (np.where(few & (count == 1), close, price) for price in (open_, high, low))
        return TapeBars(start_ns, open_, high, low, close, volume, typical_price(open_, high, low, close), count)

    def _minutes(self, key: int, days: TapeBars, opens: IntArray, closes: IntArray, scale: int) -> TapeBars:
        """Return the minutes of the regular sessions of `days`."""
        minutes = (closes - opens) // (60 * SECOND_NS)
        parts = []
        for n in np.unique(minutes).tolist():
            same = minutes == n
            parents = _restamped(rows(days, same), opens[same])
            keys = keys_at(mix(key, _STREAMS["minutes"]), parents.start_ns // SECOND_NS)
            always = np.ones(len(parents), dtype=np.bool_)
            weights = _smile(n) if n < _LONG_SESSION_MINUTES else _round_the_clock(n)
            parts.append(refine(parents, n, 60, keys, weights, parents.open, always, scale))
        return _in_time(parts)

    def _extended(self, key: int, part: str, parents: TapeBars) -> TapeBars:
        n = _PRE_MINUTES if part == "pre" else _POST_MINUTES
        # Trading thickens toward the open and thins out after the close.
        ramp = np.linspace(0.15, 1.0, n) ** 2
        weights = ramp if part == "pre" else ramp[::-1]
        keys = keys_at(mix(key, _STREAMS[part]), parents.start_ns // SECOND_NS)
        never = np.zeros(len(parents), dtype=np.bool_)
        return refine(parents, n, 60, keys, weights / weights.sum(), parents.open, never, _SCALE)


def _contract(listing: Listing) -> Contract:
    return contract_of(
        listing.symbol,
        name=listing.name,
        primary_exchange=listing.primary_exchange,
        sector=listing.sector,
        stock_type=listing.stock_type,
        currency=listing.currency,
    )


def _pulled_sum(steps: FloatArray, pull: float) -> FloatArray:
    """Return x with x[t] = (1 - pull) x[t-1] + steps[t]: a walk on a spring."""
    # The closed form overflows over long spans with a strong spring, so it is taken piece by piece.
    keep = 1.0 - pull
    piece = max(1, min(len(steps), int(300.0 / -np.log(keep))))
    result = np.empty_like(steps)
    carried = 0.0
    for begin in range(0, len(steps), piece):
        part = steps[begin : begin + piece]
        power = keep ** np.arange(1, len(part) + 1)
        result[begin : begin + piece] = power * (carried + np.cumsum(part / power))
        carried = float(result[begin + len(part) - 1])
    return result


def _on_grid(price: FloatArray, *, scale: int, floor: float) -> FloatArray:
    return np.maximum(np.rint(price * scale), np.rint(floor * scale)) / scale


def _to_cents(price: FloatArray) -> FloatArray:
    return _on_grid(price, scale=_SCALE, floor=1.0)


def _as_traded(days: TapeBars, actions: Actions) -> TapeBars:
    """Return the days with the prices and volumes there were before the splits to come."""
    if not any(event.kind == "split" for event in actions.events):
        return days
    shares = actions.split_factor(days.start_ns, int(days.start_ns[-1]))
    open_, high, low, close, wap = (
        np.rint(price * shares * _SCALE) / _SCALE for price in (days.open, days.high, days.low, days.close, days.wap)
    )
    volume = np.maximum(1.0, np.rint(days.volume / shares))
    count = np.minimum(np.maximum(4, days.count), volume).astype(np.int64)
    return TapeBars(days.start_ns, open_, high, low, close, volume, wap, count)


def _round_the_clock(minutes: int) -> FloatArray:
    """Return each minute's share of the trades of a session that lasts a day: most of them while New York is open."""
    position = np.linspace(0.0, 24.0, minutes)
    weights = 1.0 + 6.0 * np.exp(-(((position - 18.0) / 3.0) ** 2))
    return np.asarray(weights / weights.sum())


def _smile(minutes: int) -> FloatArray:
    """Return each minute's share of a session's trades: busy at both ends, busiest at the auctions."""
    position = np.linspace(-1.0, 1.0, minutes)
    weights = 1.0 + 1.8 * position**2
    weights[0] *= 3.0
    weights[-1] *= 6.0
    return np.asarray(weights / weights.sum())


def _restamped(bars: TapeBars, start_ns: IntArray) -> TapeBars:
    return TapeBars(start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.wap, bars.count)


def _in_time(parts: list[TapeBars]) -> TapeBars:
    merged = concat(parts)
    return rows(merged, np.argsort(merged.start_ns, kind="stable")) if len(parts) > 1 else merged


def _whole_days(days: TapeBars, pre: TapeBars, post: TapeBars) -> TapeBars:
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
