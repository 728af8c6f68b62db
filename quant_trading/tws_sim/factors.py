"""What all names of the built-in market move with: one market factor and one factor per sector, day by day."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from quant_trading.tws_sim.course import bridges
from quant_trading.tws_sim.days import PIECE
from quant_trading.tws_sim.noise import keys_at, mix, name_key, normals
from quant_trading.tws_sim.recent import Recent
from quant_trading.tws_sim.tape import FloatArray, IntArray

__all__ = [
    "MARKET_DAY", "MARKET_NIGHT", "OWN_DAY", "OWN_NIGHT", "REPORT_EVERY", "REPORT_JUMP", "SECTOR_DAY", "SECTOR_NIGHT",
    "SESSIONS_PER_YEAR", "Factors", "by_piece", "piece_weights", "shocks",
]  # fmt: skip

# Daily volatilities of the factors. A third of a day's variance falls into the night before it.
MARKET_DAY, MARKET_NIGHT = 0.0082, 0.0048
SECTOR_DAY, SECTOR_NIGHT = 0.0058, 0.0034
OWN_DAY, OWN_NIGHT = 0.82, 0.57
SESSIONS_PER_YEAR = 252
REPORT_EVERY, REPORT_JUMP = 63, 3.5
_STREAM_MARKET, _STREAM_SECTOR = 1, 2
_KEPT_COURSES = 40


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
        reports: float64[REPORT_EVERY, P], the part of `variance` on the days on which some names report.
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
        self.market = _Moves(MARKET_DAY * self.level * by_day, MARKET_NIGHT * self.level * by_night)
        self.sector = cache(self._sector)
        self.sums = cache(self._sums)
        self._courses: Recent[tuple[str, int, int], FloatArray] = Recent(_KEPT_COURSES)

    def __len__(self) -> int:
        return len(self.stamps)

    def market_course(self, first: int, last: int) -> FloatArray:
        """Return how the market wanders on its way through the days: bridges, float64[KNOTS + 1, days]."""
        return self._course(_STREAM_MARKET, "", first, last)

    def sector_course(self, name: str, first: int, last: int) -> FloatArray:
        """Return the same of a sector."""
        return self._course(_STREAM_SECTOR, name, first, last)

    def _course(self, stream: int, name: str, first: int, last: int) -> FloatArray:
        found = self._courses.find((name, first, last))
        if found is None:
            key = mix(self.seed, stream, 2, *([name_key(name)] if name else []))
            found = bridges(keys_at(key, np.arange(first, last, dtype=np.int64)), 0, self.knot_clock)
            self._courses.keep((name, first, last), found)
        return found

    def _sums(self, pull: float) -> _PieceSums:
        """Return the sums over pieces for walks on a spring of that strength."""
        weights = piece_weights(pull)
        squares = (self.root_level * np.resize(weights, len(self))) ** 2
        number = np.arange(len(self))
        reports = np.zeros((REPORT_EVERY, -(-len(self) // PIECE)))
        np.add.at(reports, (number % REPORT_EVERY, number // PIECE), squares)

        def sector(name: str) -> FloatArray:
            moves = self.sector(name)
            return np.asarray(by_piece(moves.day + moves.night, weights).sum(axis=1))

        market = by_piece(self.market.day + self.market.night, weights).sum(axis=1)
        return _PieceSums(market, reports.sum(axis=0), reports, cache(sector))

    def _sector(self, name: str) -> _Moves:
        """Return the moves of a sector beside the market's."""
        day, night = shocks(mix(self.seed, _STREAM_SECTOR, name_key(name)), 0, len(self))
        return _Moves(SECTOR_DAY * self.root_level * day, SECTOR_NIGHT * self.root_level * night)


def shocks(key: int, first: int, last: int) -> tuple[FloatArray, FloatArray]:
    """Return standard normal shocks of the days first <= day < last and of the nights before them."""
    drawn = normals(keys_at(key, np.arange(first, last, dtype=np.int64)), 0, 2)
    return drawn[:, 0], drawn[:, 1]


def piece_weights(pull: float) -> FloatArray:
    """Return how much a move on each day of a piece is worth on the last day before it, float64[PIECE]."""
    return np.asarray((1.0 - pull) ** -np.arange(1.0, PIECE + 1.0))


def by_piece(moves: FloatArray, weights: FloatArray) -> FloatArray:
    """Return weighted moves as a row for each piece, the last one filled up with zeros.

    Args:
        moves: float64[..., T].
        weights: float64[PIECE], or float64[..., 1, PIECE].

    Returns:
        float64[..., P, PIECE].
    """
    days = moves.shape[-1]
    missing = -days % PIECE
    if missing:
        moves = np.concatenate([moves, np.zeros((*moves.shape[:-1], missing))], axis=-1)
    return moves.reshape(*moves.shape[:-1], -1, PIECE) * weights


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
