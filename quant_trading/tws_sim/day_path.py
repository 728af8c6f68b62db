"""The days of the built-in market's names: the path of each, made for one or for many at once.

A day's move is made of one market factor, one factor per sector and one of the name's own, each a function of the
day's number. Only the walk itself depends on what came before it; where it stands at the begin of every
piece of days is drawn first, and the days inside lead from one to the next, so that any stretch of a path costs no
more than its own days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quant_trading.tws_sim.aggregate import typical_price
from quant_trading.tws_sim.course import KNOTS, bridges
from quant_trading.tws_sim.days import PIECE
from quant_trading.tws_sim.factors import (
    MARKET_DAY,
    MARKET_NIGHT,
    OWN_DAY,
    OWN_NIGHT,
    REPORT_EVERY,
    REPORT_JUMP,
    SECTOR_DAY,
    SECTOR_NIGHT,
    SESSIONS_PER_YEAR,
    Factors,
    by_piece,
    piece_weights,
    shocks,
)
from quant_trading.tws_sim.noise import KeyArray, keys_of, mix, mixed, name_key, normals_across
from quant_trading.tws_sim.tape import FloatArray, TapeBars
from quant_trading.tws_sim.universe import Listing

__all__ = ["DayPath", "Paths", "on_grid"]

# Prices return to their trend with a half-life of two years (leveraged funds: ten months), so that no seed
# takes a name to nothing or to the moon by 2030.
_PULL, _PULL_LEVERAGED = 0.35 / SESSIONS_PER_YEAR, 0.85 / SESSIONS_PER_YEAR
_STREAM_OWN = 3
# A day reaches beyond the knots of its course, by this much of its deviation: mean 0.11, as a walk does.
_BEYOND, _BEYOND_SPREAD = 0.08, 0.10
# A course takes a hundred bytes a day, so many days, and those of many names, are made in parts.
_COURSE_DAYS, _COURSES = 512, 1024


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


class _Figures(NamedTuple):
    """What tells S names from one another, float64[S, 1] each.

    Attributes:
        own_vol: daily, of what is a name's own.
        market_day, sector_day, own_day: deviation of the part of a day's move; of the own and the sector's, `variance`.
        volume: shares a day.
        floor: in ticks.
        report_day: number of the day within a quarter, -1 for none.
    """

    price: FloatArray
    drift: FloatArray
    beta: FloatArray
    sector_beta: FloatArray
    own_vol: FloatArray
    market_day: FloatArray
    sector_day: FloatArray
    sector_variance: FloatArray
    own_day: FloatArray
    own_variance: FloatArray
    volume: FloatArray
    trade_size: FloatArray
    scale: FloatArray
    floor: FloatArray
    report_day: FloatArray


class DayPath:
    """What the daily bars of one name follow from, as they would be without a split.

    Attributes:
        scale: ticks per unit of currency.
    """

    def __init__(self, factors: Factors, listing: Listing, key: int) -> None:
        """Take the factors and the stream of random numbers of the name."""
        self.factors = factors
        self.listing = listing
        self.scale = listing.scale
        self.key = key
        own = f"{listing.twin or listing.symbol}.USD"
        self.moves_key = mix(factors.seed, name_key(own))
        pull = _PULL_LEVERAGED if abs(listing.beta) >= 2.0 else _PULL
        self.pull = listing.pull / SESSIONS_PER_YEAR if listing.pull else pull
        self.weights = piece_weights(self.pull)
        self.own_vol = own_vol = listing.own_vol / np.sqrt(SESSIONS_PER_YEAR)
        # Four times a year a company reports, after the close; a fund never does.
        self.report_day = -self.moves_key % REPORT_EVERY if listing.stock_type == "COMMON" else None
        sector_day = listing.sector_beta * SECTOR_DAY
        floor = np.rint(listing.floor * listing.scale)
        # In the order of `_Figures`.
        self.figures: tuple[float, ...] = (
            listing.price, listing.drift, listing.beta, listing.sector_beta, own_vol, listing.beta * MARKET_DAY,
            sector_day, sector_day**2, OWN_DAY * own_vol, own_vol**2, listing.volume * 1000, listing.trade_size,
            listing.scale, floor, -1 if self.report_day is None else self.report_day,
        )  # fmt: skip
        self.plan: _Plan | None = None

    def make(self, first: int, last: int) -> TapeBars:
        """Return the days first <= day < last."""
        return Paths([self]).make(first, last)[0]

    def course(self, first: int, last: int, open_: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the course of the days first <= day < last, float64[T, KNOTS + 1], and deviations, float64[T]."""
        knots, deviation = Paths([self]).course(first, last, open_[None, :], close[None, :])
        return knots[:, 0].T, deviation[0]

    def deviation(self, day: int, open_: float) -> float:
        """Return the deviation of the session of one day, in units of its open."""
        return float(Paths([self]).deviation(day, day + 1, np.array([[open_]]))[0, 0])

    def night_deviation(self, first: int, last: int) -> FloatArray:
        """Return the deviation of the log move of the night before each day, float64[last - first]."""
        listing, factors = self.listing, self.factors
        level, root = factors.level[first:last], factors.root_level[first:last]
        own = OWN_NIGHT * self.own_vol * root
        if self.report_day is not None:
            own[(self.report_day - first) % REPORT_EVERY :: REPORT_EVERY] *= REPORT_JUMP
        by_market, by_sector = listing.beta * MARKET_NIGHT * level, listing.sector_beta * SECTOR_NIGHT * root
        return np.asarray(np.sqrt(by_market**2 + by_sector**2 + own**2))


class Paths:
    """The paths of S names of one market, made together: what each of them would be alone, to the last bit."""

    def __init__(self, paths: Sequence[DayPath]) -> None:
        """Take the names, one at least."""
        self._paths = paths
        self._factors = paths[0].factors
        self._of = _Figures(*np.array([path.figures for path in paths], dtype=np.float64).T[:, :, None])
        self._weights = np.array([path.weights for path in paths])

    def make(self, first: int, last: int) -> list[TapeBars]:
        """Return the days first <= day < last of each."""
        of, factors = self._of, self._factors
        # A walk is made in whole pieces.
        begin, end = first // PIECE * PIECE, min(-(-last // PIECE) * PIECE, len(factors))
        moves, night, spread_of_day = self._moves(begin, end)
        # From the day before on, for its close.
        walk = self._walk(begin, moves)[:, first - begin : last - begin + 1]
        inside = slice(first - begin, last - begin)
        moves, night, spread_of_day = moves[:, inside], night[:, inside], spread_of_day[:, inside]
        day = np.arange(first - 1, last, dtype=np.int64)
        trend = of.drift * (day - factors.level_index) / SESSIONS_PER_YEAR
        closes = self._on_grid(of.price * np.exp(trend + walk))
        close, previous = closes[:, 1:], closes[:, :-1]
        if first == 0:
            previous = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
        open_ = self._on_grid(previous * np.exp(night))
        keys = self._keys(first, last, 1, path_key=True)
        beyond = np.abs(normals_across(keys, 1, 2)).reshape(2, *open_.shape)
        reach = (_BEYOND + _BEYOND_SPREAD * beyond) * spread_of_day
        highest, lowest = self._extremes(first, open_, close)
        high = np.maximum(self._on_grid(highest + open_ * reach[0]), np.maximum(open_, close))
        low = np.minimum(self._on_grid(lowest - open_ * reach[1]), np.minimum(open_, close))

        noise = normals_across(keys, 2, 1).reshape(open_.shape)
        surprise = np.abs(moves) / np.maximum(spread_of_day, 1e-9)
        halved = np.where(factors.is_half_day[first:last], 0.5, 1.0)
        activity = np.exp(0.28 * noise) * (0.75 + 0.3 * surprise) * halved
        volume = np.maximum(1.0, np.rint(of.volume * activity))
        count = np.maximum(1, volume // of.trade_size).astype(np.int64)
        columns = (open_, high, low, close, volume, typical_price(open_, high, low, close), count)
        stamps = factors.stamps[first:last]
        return [TapeBars(stamps, *(column[name] for column in columns)) for name in range(len(self._paths))]

    def course(self, first: int, last: int, open_: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the course from open to close of the days first <= day < last, and its deviation.

        Names of one sector wander together, as their closes do.

        Args:
            open_, close: float64[S, last - first].

        Returns:
            The price at the knots, float64[KNOTS + 1, S, last - first], and the deviation of a session, float64[S,
            last - first], both in units of `open_` and `close`.
        """
        by_market, by_sector, by_own = (part * open_ for part in self._parts(first, last))
        table = by_market, by_sector, by_own, open_, close
        knots = self._knots(self._paths, (first, last), self._keys(first, last, 3), table)
        return knots, self.deviation(first, last, open_)

    def deviation(self, first: int, last: int, open_: FloatArray) -> FloatArray:
        """Return the deviation of each session, in units of `open_`, float64[S, last - first]."""
        by_market, by_sector, own = self._parts(first, last)
        return np.asarray(open_ * np.sqrt(by_market**2 + by_sector**2 + own**2))

    def _parts(self, first: int, last: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what market, sector and a name's own contribute to the deviation of its sessions, float64[S, T]."""
        of, root = self._of, self._factors.root_level[first:last]
        return of.market_day * self._factors.level[first:last], of.sector_day * root, of.own_day * root

    def _knots(
        self,
        paths: Sequence[DayPath],
        days: tuple[int, int],
        keys: KeyArray,
        table: tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray],
    ) -> FloatArray:
        """Return the price at the knots of some names' days, float64[KNOTS + 1, S, T].

        Args:
            keys: uint64[S * T], streams of the names' own courses.
            table: float64[S, T] each: what market, sector and a name's own contribute to the deviation; open; close.
        """
        by_market, by_sector, by_own, open_, close = table
        factors = self._factors
        knots = bridges(keys, 0, factors.knot_clock).reshape(KNOTS + 1, *open_.shape)
        knots *= by_own
        more = factors.market_course(*days)[:, None, :] * by_market
        knots += more
        for number, path in enumerate(paths):
            np.multiply(factors.sector_course(path.listing.sector, *days), by_sector[number], out=more[:, number])
        knots += more
        knots += open_
        np.multiply(close - open_, factors.knot_clock[:, None, None], out=more)
        knots += more
        return knots

    def _extremes(self, first: int, open_: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the highest and the lowest knot of each day from `first` on, float64[S, T] each."""
        highest, lowest = np.empty_like(open_), np.empty_like(open_)
        size, days = open_.shape
        by_market, by_sector, by_own = (share * open_ for share in self._parts(first, first + days))
        keys = self._keys(first, first + days, 3).reshape(size, days)
        # As many names or days at a time as stay near the processor.
        names = max(1, _COURSES // days)
        for name in range(0, size, names):
            for begin in range(0, days, _COURSE_DAYS):
                part = (slice(name, name + names), slice(begin, begin + _COURSE_DAYS))
                end = min(begin + _COURSE_DAYS, days)
                table = by_market[part], by_sector[part], by_own[part], open_[part], close[part]
                few, span = self._paths[name : name + names], (first + begin, first + end)
                knots = self._knots(few, span, keys[part].ravel(), table)
                knots.max(axis=0, out=highest[part])
                knots.min(axis=0, out=lowest[part])
        return highest, lowest

    def _on_grid(self, price: FloatArray) -> FloatArray:
        return np.asarray(np.maximum(np.rint(price * self._of.scale), self._of.floor) / self._of.scale)

    def _keys(self, first: int, last: int, use: int, *, path_key: bool = False) -> KeyArray:
        """Return the streams of each name's days for one use, the names one after the other."""
        streams = [path.key if path_key else path.moves_key for path in self._paths]
        return keys_of(mixed(streams, _STREAM_OWN, use), np.arange(first, last, dtype=np.int64)).ravel()

    def _plans(self) -> list[_Plan]:
        """Return the walk at the begin of each piece; a name's own moves inside of it are made to lead to the next."""
        new = [path for path in self._paths if path.plan is None]
        if new:
            Paths(new)._make_plans()
        return [path.plan for path in self._paths if path.plan is not None]

    def _make_plans(self) -> None:
        factors, of = self._factors, self._of
        sums = [factors.sums(path.pull) for path in self._paths]
        variance = (OWN_DAY**2 + OWN_NIGHT**2) * np.array([one.variance for one in sums])
        for number, path in enumerate(self._paths):
            if path.report_day is not None:
                variance[number] += OWN_NIGHT**2 * (REPORT_JUMP**2 - 1.0) * sums[number].reports[path.report_day]
        variance *= of.own_variance
        pieces = np.arange(variance.shape[1], dtype=np.int64)
        keys = keys_of(mixed([path.moves_key for path in self._paths], _STREAM_OWN, 4), pieces).ravel()
        own = np.sqrt(variance) * normals_across(keys, 0, 1).reshape(variance.shape)
        added = np.empty_like(own)
        for number, path in enumerate(self._paths):
            listing, found = path.listing, sums[number]
            added[number] = own[number] + listing.beta * found.market
            added[number] += listing.sector_beta * found.sector(listing.sector)
            if listing.twin:
                added[number] += by_piece(_apart(path, 0, len(factors)), path.weights).sum(axis=1)
        for path, *plan in zip(self._paths, _starts(added, 1.0 / self._weights[:, -1]), own, variance, strict=True):
            path.plan = _Plan(*plan)

    def _walk(self, first: int, moves: FloatArray) -> FloatArray:
        """Return the walk from the day before `first` on: x with x[t] = (1 - pull) x[t - 1] + moves[t]."""
        weights = self._weights[:, None, :]
        sums = np.cumsum(by_piece(moves, weights), axis=2)
        begin = first // PIECE
        starts = np.array([plan.starts[begin : begin + sums.shape[1]] for plan in self._plans()])
        walk = ((starts[:, :, None] + sums) / weights).reshape(len(moves), -1)
        return np.concatenate([starts[:, :1], walk[:, : moves.shape[1]]], axis=1)

    def _moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return each day's whole log move, its night part, and the volatility of its day part, float64[S, T] each."""
        of, factors = self._of, self._factors
        day, night = self._log_moves(first, last)
        level = factors.level[first:last]
        own = of.own_vol * factors.root_level[first:last]
        variance = (of.market_day * level) ** 2 + (OWN_DAY * own) ** 2
        variance += of.sector_variance * level
        return day + night, night, np.sqrt(variance)

    def _log_moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return each day's log move from open to close, and that of the night before it."""
        of, factors, span = self._of, self._factors, slice(first, last)
        sectors = [factors.sector(path.listing.sector) for path in self._paths]
        day, night = self._own_moves(first, last)
        day += of.beta * factors.market.day[span]
        day += of.sector_beta * np.array([sector.day[span] for sector in sectors])
        night += of.beta * factors.market.night[span]
        night += of.sector_beta * np.array([sector.night[span] for sector in sectors])
        for number, path in enumerate(self._paths):
            if path.listing.twin:
                day[number] += _apart(path, first, last)
        return day, night

    def _own_moves(self, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return the day and night moves of each name alone: normal ones, given what they add up to over each piece."""
        of, plans, weights = self._of, self._plans(), self._weights[:, None, :]
        number = np.arange(first, last, dtype=np.int64)
        drawn = normals_across(self._keys(first, last, 0), 0, 2).reshape(2, len(plans), -1)
        by_day = of.own_vol * self._factors.root_level[first:last]
        by_night = OWN_NIGHT * by_day
        by_day = OWN_DAY * by_day
        by_night[number % REPORT_EVERY == of.report_day] *= REPORT_JUMP
        day, night = drawn[0] * by_day, drawn[1] * by_night
        added = by_piece(day + night, weights).sum(axis=2)
        pieces = slice(first // PIECE, first // PIECE + added.shape[1])
        own, variance = (np.array([getattr(plan, name)[pieces] for plan in plans]) for name in ("own", "variance"))
        missing = (own - added) / variance
        share = (missing[:, :, None] * weights).reshape(len(plans), -1)[:, : last - first]
        day += share * by_day**2
        night += share * by_night**2
        return day, night


def _starts(added: FloatArray, kept: FloatArray) -> FloatArray:
    """Return the walks before each piece and after the last, float64[S, P + 1].

    Args:
        added: float64[S, P], the moves of each piece.
        kept: float64[S], what is left, when a piece is over, of where a walk is.
    """
    starts = np.zeros((added.shape[1] + 1, len(added)))
    for before, after, moves in zip(starts[:-1], starts[1:], added.T, strict=True):
        np.add(before, moves, out=after)
        after *= kept
    return np.ascontiguousarray(starts.T)


def _apart(path: DayPath, first: int, last: int) -> FloatArray:
    """Return what parts a listing from its twin, for the exchange rate and the last cent."""
    return np.asarray(0.003 * shocks(mix(path.key, _STREAM_OWN, 2), first, last)[0])


def on_grid(price: FloatArray, *, scale: int, floor: float) -> FloatArray:
    """Return prices rounded to ticks, `floor` at least."""
    return np.maximum(np.rint(price * scale), np.rint(floor * scale)) / scale
