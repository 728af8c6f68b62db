"""The days of the built-in market: factors that all names share, and the path of one name.

A day's move is made of one market factor, one factor per sector and one of the name's own, each a function of the
day's number. Only the walk itself depends on what came before it; where it stands at the begin of every
piece of days is drawn first, and the days inside lead from one to the next, so that any stretch of a path costs no
more than its own days.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate

import numpy as np

from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.course import bridges
from quant_trading.tws_sim.days import PIECE
from quant_trading.tws_sim.noise import keys_at, mix, name_key, normals
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.tape import FloatArray, IntArray, TapeBars
from quant_trading.tws_sim.universe import Listing

__all__ = ["STREAM_OWN", "DayPath", "Factors", "on_grid"]

# Daily volatilities of the factors. A third of a day's variance falls into the night before it.
_MARKET_DAY, _MARKET_NIGHT = 0.0082, 0.0048
_SECTOR_DAY, _SECTOR_NIGHT = 0.0058, 0.0034
_OWN_DAY, _OWN_NIGHT = 0.82, 0.57
_SESSIONS_PER_YEAR = 252
# Prices return to their trend with a half-life of two years (leveraged funds: ten months), so that no seed
# takes a name to nothing or to the moon by 2030.
_PULL, _PULL_LEVERAGED = 0.35 / _SESSIONS_PER_YEAR, 0.85 / _SESSIONS_PER_YEAR
_REPORT_EVERY, _REPORT_JUMP = 63, 3.5
_STREAM_MARKET, _STREAM_SECTOR = 1, 2
STREAM_OWN = 3
# A day reaches beyond the knots of its course, by this much of its deviation: mean 0.11, as a walk does.
_BEYOND, _BEYOND_SPREAD = 0.08, 0.10
# A course takes a hundred bytes a day, so long stretches are made in parts, and few of them kept.
_COURSE_DAYS, _KEPT_COURSES = 512, 40


@dataclass(frozen=True, slots=True)
class _Moves:
    """The log moves of a factor on each day, float64[T] each."""

    day: FloatArray
    night: FloatArray


@dataclass(frozen=True, slots=True)
class _PieceSums:
    """What weighted moves add up to over each piece of days: the walks of all names step from piece to piece on these.

    Attributes:
        market, variance: float64[P]: of the market's moves; of the squares of what scales a name's own.
        reports: float64[_REPORT_EVERY, P], the part of `variance` on the days on which some names report.
        sector: gives the sums of a sector's moves.
    """

    market: FloatArray
    variance: FloatArray
    reports: FloatArray
    sector: Callable[[str], FloatArray]


class Factors:
    """What all names of one seed move with.

    Attributes:
        stamps: int64[T], midnight UTC of each session's date.
        is_half_day: bool[T].
        level_index: number of the day on which prices are about those of the table of listings.
        level: float64[T], the volatility all share.
        market: the moves of the whole market.
        knot_clock: float64[KNOTS + 1], the share of a session's variance behind each knot of its course.
    """

    def __init__(self, seed: int, stamps: IntArray, is_half_day: np.ndarray[tuple[int], np.dtype[np.bool_]],
                 level_index: int, knot_clock: FloatArray) -> None:  # fmt: skip
        self.seed = seed
        self.knot_clock = knot_clock
        self.stamps = stamps
        self.is_half_day = is_half_day
        self.level_index = level_index
        day = np.arange(len(stamps), dtype=np.int64)
        calm = normals(keys_at(mix(seed, _STREAM_MARKET, 0), day), 0, 1)[:, 0]
        # Volatility comes in clusters of a month or so.
        self.level = np.exp(_pulled_sum(0.12 * calm, 1 / 25.0) - 0.09)
        self.root_level = np.sqrt(self.level)
        by_day, by_night = shocks(mix(seed, _STREAM_MARKET, 1), 0, len(stamps))
        self.market = _Moves(_MARKET_DAY * self.level * by_day, _MARKET_NIGHT * self.level * by_night)
        self.sector = cache(self._sector)
        self.sums = cache(self._sums)
        self._courses: Recent[tuple[int, int, int], FloatArray] = Recent(_KEPT_COURSES)

    def __len__(self) -> int:
        return len(self.stamps)

    def market_course(self, first: int, last: int) -> FloatArray:
        """Return how the market wanders on its way through the days: bridges, float64[days, KNOTS + 1]."""
        return self._course(mix(self.seed, _STREAM_MARKET, 2), first, last)

    def sector_course(self, name: str, first: int, last: int) -> FloatArray:
        """Return the same of a sector."""
        return self._course(mix(self.seed, _STREAM_SECTOR, 2, name_key(name)), first, last)

    def _course(self, key: int, first: int, last: int) -> FloatArray:
        found = self._courses.find((key, first, last))
        if found is None:
            found = bridges(keys_at(key, np.arange(first, last, dtype=np.int64)), 0, self.knot_clock)
            self._courses.keep((key, first, last), found)
        return found

    def _sums(self, pull: float) -> _PieceSums:
        """Return the sums over pieces for walks on a spring of that strength."""
        weights = piece_weights(pull)
        squares = (self.root_level * np.resize(weights, len(self))) ** 2
        number = np.arange(len(self))
        reports = np.zeros((_REPORT_EVERY, -(-len(self) // PIECE)))
        np.add.at(reports, (number % _REPORT_EVERY, number // PIECE), squares)

        def sector(name: str) -> FloatArray:
            moves = self.sector(name)
            return np.asarray(by_piece(moves.day + moves.night, weights).sum(axis=1))

        market = by_piece(self.market.day + self.market.night, weights).sum(axis=1)
        return _PieceSums(market, reports.sum(axis=0), reports, cache(sector))

    def _sector(self, name: str) -> _Moves:
        """Return the moves of a sector beside the market's."""
        day, night = shocks(mix(self.seed, _STREAM_SECTOR, name_key(name)), 0, len(self))
        return _Moves(_SECTOR_DAY * self.root_level * day, _SECTOR_NIGHT * self.root_level * night)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The course of a name from piece to piece, P of them.

    Attributes:
        starts: float64[P + 1], the walk before each piece.
        own, variance: float64[P], the weighted sum of the name's own moves in each, and its variance.
    """

    starts: FloatArray
    own: FloatArray
    variance: FloatArray


class DayPath:
    """The daily bars of one name, as they would be without a split.

    `make` gives any whole pieces of them; whatever is asked first, a day is the same.

    Attributes:
        scale: ticks per unit of currency.
    """

    def __init__(self, factors: Factors, listing: Listing, key: int) -> None:
        """Take the factors and the stream of random numbers of the name."""
        self._factors = factors
        self._listing = listing
        self.scale = listing.scale
        self._key = key
        own = f"{listing.twin or listing.symbol}.USD"
        self._moves_key = mix(factors.seed, name_key(own))
        pull = _PULL_LEVERAGED if abs(listing.beta) >= 2.0 else _PULL
        pull = listing.pull / _SESSIONS_PER_YEAR if listing.pull else pull
        self._own_vol = listing.own_vol / np.sqrt(_SESSIONS_PER_YEAR)
        self._weights = piece_weights(pull)
        self._pull = pull
        self._reports = -self._moves_key % _REPORT_EVERY if listing.stock_type == "COMMON" else None
        self._plan: _Plan | None = None

    def make(self, first: int, last: int) -> TapeBars:
        """Return the days first <= day < last; `first` is a multiple of `PIECE`, `last` too or the end."""
        listing, factors = self._listing, self._factors
        moves, night, spread_of_day = self._moves(first, last)
        walk = self._walk(first, moves)
        # From the day before on, for its close.
        day = np.arange(first - 1, last, dtype=np.int64)
        trend = listing.drift * (day - factors.level_index) / _SESSIONS_PER_YEAR
        grid = partial(on_grid, scale=listing.scale, floor=listing.floor)
        closes = grid(listing.price * np.exp(trend + walk))
        close, previous = closes[1:], closes[:-1]
        if first == 0:
            previous = np.concatenate([close[:1], close[:-1]])
        open_ = grid(previous * np.exp(night))
        day = day[1:]
        keys = keys_at(mix(self._key, STREAM_OWN, 1), day)
        reach = (_BEYOND + _BEYOND_SPREAD * np.abs(normals(keys, 1, 2))) * spread_of_day[:, None]
        highest, lowest = self._extremes(first, open_, close)
        high = np.maximum(grid(highest + open_ * reach[:, 0]), np.maximum(open_, close))
        low = np.minimum(grid(lowest - open_ * reach[:, 1]), np.minimum(open_, close))

        noise = normals(keys, 2, 1)[:, 0]
        surprise = np.abs(moves) / np.maximum(spread_of_day, 1e-9)
        halved = np.where(factors.is_half_day[first:last], 0.5, 1.0)
        activity = np.exp(0.28 * noise) * (0.75 + 0.3 * surprise) * halved
        volume = np.maximum(1.0, np.rint(listing.volume * 1000 * activity))
        count = np.maximum(1, volume // listing.trade_size).astype(np.int64)
        wap = typical_price(open_, high, low, close)
        return TapeBars(factors.stamps[first:last], open_, high, low, close, volume, wap, count)

    def course(self, first: int, last: int, open_: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the course from open to close of the days first <= day < last, and its deviation.

        Names of one sector wander together, as their closes do.

        Returns:
            The price at the knots, float64[last - first, KNOTS + 1], and the deviation of a session, float64[last -
            first], both in units of `open_` and `close`.
        """
        listing, factors, span = self._listing, self._factors, slice(first, last)
        root = factors.root_level[span]
        shares = (listing.beta * _MARKET_DAY * factors.level[span], listing.sector_beta * _SECTOR_DAY * root,
                  _OWN_DAY * self._own_vol * root)  # fmt: skip
        keys = keys_at(mix(self._moves_key, STREAM_OWN, 3), np.arange(first, last, dtype=np.int64))
        wandering = bridges(keys, 0, factors.knot_clock) * (shares[2] * open_)[:, None]
        if listing.beta:
            wandering += factors.market_course(first, last) * (shares[0] * open_)[:, None]
        if listing.sector_beta:
            wandering += factors.sector_course(listing.sector, first, last) * (shares[1] * open_)[:, None]
        wandering += open_[:, None]
        wandering += (close - open_)[:, None] * factors.knot_clock
        return wandering, open_ * np.sqrt(shares[0] ** 2 + shares[1] ** 2 + shares[2] ** 2)

    def _extremes(self, first: int, open_: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the highest and the lowest knot of each day from `first` on."""
        highest, lowest = np.empty_like(open_), np.empty_like(open_)
        for begin in range(0, len(open_), _COURSE_DAYS):
            part = slice(begin, min(begin + _COURSE_DAYS, len(open_)))
            knots, _ = self.course(first + part.start, first + part.stop, open_[part], close[part])
            knots.max(axis=1, out=highest[part])
            knots.min(axis=1, out=lowest[part])
        return highest, lowest

    def _planned(self) -> _Plan:
        """Return the walk at the begin of each piece; a name's own moves inside of it are made to lead to the next."""
        if self._plan is not None:
            return self._plan
        listing, factors = self._listing, self._factors
        sums = factors.sums(self._pull)
        variance = (_OWN_DAY**2 + _OWN_NIGHT**2) * sums.variance
        if self._reports is not None:
            variance = variance + _OWN_NIGHT**2 * (_REPORT_JUMP**2 - 1.0) * sums.reports[self._reports]
        variance = variance * self._own_vol**2
        pieces = np.arange(len(variance), dtype=np.int64)
        own = np.sqrt(variance) * normals(keys_at(mix(self._moves_key, STREAM_OWN, 4), pieces), 0, 1)[:, 0]
        added = own + listing.beta * sums.market + listing.sector_beta * sums.sector(listing.sector)
        if listing.twin:
            added = added + by_piece(self._apart(0, len(factors)), self._weights).sum(axis=1)
        kept = 1.0 / float(self._weights[-1])
        starts = list(accumulate(added.tolist(), lambda walk, more: kept * (walk + more), initial=0.0))
        self._plan = _Plan(np.array(starts), own, variance)
        return self._plan

    def _walk(self, first: int, moves: FloatArray) -> FloatArray:
        """Return the walk from the day before `first` on: x with x[t] = (1 - pull) x[t - 1] + moves[t]."""
        sums = np.cumsum(by_piece(moves, self._weights), axis=1)
        begin = first // PIECE
        starts = self._planned().starts[begin : begin + len(sums)]
        walk = (starts[:, None] + sums) / self._weights
        return np.concatenate([starts[:1], walk.ravel()[: len(moves)]])

    def _moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return each day's whole log move, its night part, and the volatility of its day part."""
        listing, factors, span = self._listing, self._factors, slice(first, last)
        day, night = self._log_moves(first, last)
        level = factors.level[span]
        own = self._own_vol * factors.root_level[span]
        variance = (listing.beta * _MARKET_DAY * level) ** 2 + (_OWN_DAY * own) ** 2
        variance += (listing.sector_beta * _SECTOR_DAY) ** 2 * level
        return day + night, night, np.sqrt(variance)

    def _log_moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return each day's log move from open to close, and that of the night before it."""
        listing, factors, span = self._listing, self._factors, slice(first, last)
        sector = factors.sector(listing.sector)
        day, night = self._own_moves(first, last)
        day += listing.beta * factors.market.day[span]
        day += listing.sector_beta * sector.day[span]
        night += listing.beta * factors.market.night[span]
        night += listing.sector_beta * sector.night[span]
        if listing.twin:
            day += self._apart(first, last)
        return day, night

    def _own_moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return the day and night moves of the name alone: normal ones, given what they add up to over each piece."""
        plan, begin = self._planned(), first // PIECE
        day, night = shocks(mix(self._moves_key, STREAM_OWN, 0), first, last)
        by_day = self._own_vol * self._factors.root_level[first:last]
        by_night = _OWN_NIGHT * by_day
        by_day = _OWN_DAY * by_day
        if self._reports is not None:
            # Four times a year a company reports, after the close.
            by_night[(self._reports - first) % _REPORT_EVERY :: _REPORT_EVERY] *= _REPORT_JUMP
        day, night = day * by_day, night * by_night
        added = by_piece(day + night, self._weights).sum(axis=1)
        pieces = slice(begin, begin + len(added))
        missing = (plan.own[pieces] - added) / plan.variance[pieces]
        share = (missing[:, None] * self._weights).ravel()[: last - first]
        day += share * by_day**2
        night += share * by_night**2
        return day, night

    def _apart(self, first: int, last: int) -> FloatArray:
        """Return what parts a listing from its twin, for the exchange rate and the last cent."""
        return np.asarray(0.003 * shocks(mix(self._key, STREAM_OWN, 2), first, last)[0])


def shocks(key: int, first: int, last: int) -> tuple[FloatArray, FloatArray]:
    """Return standard normal shocks of the days first <= day < last and of the nights before them."""
    drawn = normals(keys_at(key, np.arange(first, last, dtype=np.int64)), 0, 2)
    return drawn[:, 0], drawn[:, 1]


def piece_weights(pull: float) -> FloatArray:
    """Return how much a move on each day of a piece is worth on the last day before it, float64[PIECE]."""
    return np.asarray((1.0 - pull) ** -np.arange(1.0, PIECE + 1.0))


def by_piece(moves: FloatArray, weights: FloatArray) -> FloatArray:
    """Return weighted moves as a row for each piece, the last one filled up with zeros."""
    size = -(-len(moves) // PIECE) * PIECE
    if size != len(moves):
        moves = np.concatenate([moves, np.zeros(size - len(moves))])
    return moves.reshape(-1, PIECE) * weights


def on_grid(price: FloatArray, *, scale: int, floor: float) -> FloatArray:
    """Return prices rounded to ticks, `floor` at least."""
    return np.maximum(np.rint(price * scale), np.rint(floor * scale)) / scale


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
