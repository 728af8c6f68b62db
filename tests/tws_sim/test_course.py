"""The course of a session: nobody can tell its next step, on any scale."""

from datetime import date
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from quant_trading.refdata.sessions import at, sessions_between
from quant_trading.tws_sim.barsize import parse_bar_size
from quant_trading.tws_sim.course import (
    KNOTS,
    Course,
    bends,
    bridges,
    minute_course,
    quarter_extremes,
    restless_clock,
    round_the_clock,
)
from quant_trading.tws_sim.noise import keys_at
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import FloatArray, TapeBars, What

DAY_NS = 86_400_000_000_000
NAMES = ("AAPL", "SPY", "XOM", "SMR", "WEBL")
TWO_IN_THE_FAST_SUITE = [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])]
FAST, SLOW, SIGNAL = 12, 26, 9


tape_of = cache(seeded_tape)


def year_of(seed: int, symbol: str, size_text: str) -> TapeBars:
    tape = tape_of(seed)
    contract = next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))
    size = parse_bar_size(size_text)
    assert size is not None
    bars = tape.bars(
        contract, size, What.TRADES, at(date(2025, 11, 20), "00:00"), at(date(2026, 11, 20), "20:00"), True
    )
    assert bars is not None
    return bars


def by_session(bars: TapeBars) -> list[FloatArray]:
    """The closes of each session."""
    begins = np.flatnonzero(np.diff(bars.start_ns // DAY_NS)) + 1
    return np.split(bars.close, begins)


def correlations(sessions: list[FloatArray], lags: int) -> tuple[FloatArray, FloatArray]:
    """The autocorrelation of log returns within sessions at each lag, and its standard error."""
    returns = [np.diff(np.log(closes)) for closes in sessions]
    scale = float(np.mean(np.concatenate(returns) ** 2))
    found, errors = [], []
    for lag in range(1, lags + 1):
        products = np.concatenate([x[lag:] * x[:-lag] for x in returns]) / scale
        found.append(products.mean())
        errors.append(products.std() / len(products) ** 0.5)
    return np.array(found), np.array(errors)


@pytest.mark.parametrize("seed", [7, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("symbol", TWO_IN_THE_FAST_SUITE)
def test_returns_within_a_session_do_not_follow_from_earlier_ones(seed: int, symbol: str) -> None:
    minutes = year_of(seed, symbol, "1 min")
    sessions = by_session(minutes)
    # Prices on whole cents alone give neighbours -1/12 of a squared cent.
    squared = np.mean(np.concatenate([np.diff(closes) for closes in sessions]) ** 2) * 100**2
    rounding = np.zeros(10)
    rounding[0] = -1.0 / 12.0 / squared

    # Three hundred figures with fat tails in all, so four standard errors.
    for step, bound in ((1, 0.012), (5, 0.02), (30, 0.02)):
        found, error = correlations([closes[step - 1 :: step] for closes in sessions], 10)
        assert (np.abs(found - rounding / step) < bound + 4.0 * error).all(), (step, found)


def seconds_of(symbol: str, days: int) -> list[FloatArray]:
    """The closes of every second of some sessions, five days apart."""
    tape = seeded_tape(7)
    contract = next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))
    size = parse_bar_size("1 secs")
    assert size is not None
    found = []
    for session in sessions_between(date(2026, 3, 2), date(2026, 10, 30))[::5][:days]:
        bars = tape.bars(contract, size, What.TRADES, session.open_ns, session.close_ns, True)
        assert bars is not None
        found.append(bars.close)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("symbol", [*NAMES[:4], "KO"])
def test_returns_within_a_minute_do_not_follow_from_earlier_ones(symbol: str) -> None:
    sessions = seconds_of(symbol, 16)
    for step in (5, 10, 30):
        every = [closes[step - 1 :: step] for closes in sessions]
        found, error = correlations(every, 8)
        # Whole cents give neighbours down to -1/12 of a squared cent: all of it where every second has a trade.
        rounding = np.zeros(8)
        rounding[0] = 1.0 / 12.0 / np.mean(np.concatenate([np.diff(closes) for closes in every]) ** 2) / 100**2
        assert (found < 0.02 + 4.0 * error).all(), (step, found)
        assert (found > -rounding - 0.02 - 4.0 * error).all(), (step, found)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["morning", "evening"])
def test_returns_outside_the_session_do_not_follow_from_earlier_ones(part: str) -> None:
    tape = seeded_tape(7)
    sessions = sessions_between(date(2026, 1, 2), date(2026, 10, 30))[::2]
    size = parse_bar_size("1 min")
    assert size is not None
    begin, end = ("04:00", "09:30") if part == "morning" else ("16:00", "20:00")
    every: list[FloatArray] = []
    for symbol in ("SPY", "AAPL"):
        contract = next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))
        for session in (session for session in sessions if not session.is_half_day):
            bars = tape.bars(contract, size, What.TRADES, at(session.day, begin), at(session.day, end), False)
            assert bars is not None
            every.append(bars.close)
    for step in (1, 5, 30):
        found, error = correlations([closes[step - 1 :: step] for closes in every], 4)
        assert (np.abs(found) < 0.03 + 4.0 * error).all(), (step, found)


@pytest.mark.slow
def test_the_evening_says_nothing_about_the_morning() -> None:
    # By their signs, so that the nights on which companies report count as any other.
    tape, evenings, mornings = seeded_tape(7), [], []
    size = parse_bar_size("1 min")
    assert size is not None
    for symbol in ("SPY", "AAPL", "XOM"):
        contract = next(c for c in tape.contracts() if (c.symbol, c.currency) == (symbol, "USD"))
        start, end = at(date(2026, 1, 2), "04:00"), at(date(2026, 10, 30), "20:00")
        bars = tape.bars(contract, size, What.TRADES, start, end, False)
        assert bars is not None
        days = np.split(bars.close, np.flatnonzero(np.diff(bars.start_ns // DAY_NS)) + 1)
        closes = [(day[0], day[330], day[-240], day[-1]) for day in days if len(day) == 960]
        for (*_, close, late), (_, early, *_) in pairwise(closes):
            evenings.append(np.sign(late - close))
            mornings.append(np.sign(early - late))

    # 600 pairs, so a standard error of 0.04.
    assert abs(np.corrcoef(evenings, mornings)[0, 1]) < 0.16


@pytest.mark.parametrize("symbol", TWO_IN_THE_FAST_SUITE)
def test_the_way_to_noon_says_nothing_about_the_close(symbol: str) -> None:
    sessions = [closes for closes in by_session(year_of(7, symbol, "30 mins")) if len(closes) == 13]
    before = np.array([np.log(closes[6] / closes[0]) for closes in sessions])
    after = np.array([np.log(closes[12] / closes[6]) for closes in sessions])

    # 250 days: the standard error is 0.063.
    assert abs(np.corrcoef(before, after)[0, 1]) < 0.2


def averages(closes: FloatArray, span: int) -> FloatArray:
    """The exponential moving average of `span` bars."""
    found = np.empty_like(closes)
    average = closes[0]
    for number, close in enumerate(closes.tolist()):
        average += (close - average) * 2.0 / (span + 1.0)
        found[number] = average
    return found


@pytest.mark.parametrize("symbol", TWO_IN_THE_FAST_SUITE)
def test_macd_earns_nothing(symbol: str) -> None:
    closes = by_session(year_of(7, symbol, "5 mins"))
    bars = np.concatenate(closes)
    line = averages(bars, FAST) - averages(bars, SLOW)
    side = np.sign(line - averages(line, SIGNAL))
    session = np.repeat(np.arange(len(closes)), [len(part) for part in closes])
    same = session[1:] == session[:-1]
    earned = np.bincount(session[1:][same], (side[:-1] * np.diff(np.log(bars)))[same])

    assert abs(earned.mean() / earned.std() * len(earned) ** 0.5) < 3.0


def test_the_course_goes_through_its_knots() -> None:
    keys = keys_at(5, np.arange(40))
    knots = 1000.0 + 50.0 * bridges(keys, 0, restless_clock(KNOTS)).T
    course = Course(knots, np.full(40, 50.0), restless_clock)
    steps = np.random.default_rng(1).standard_normal((40, 390))

    prices = course.prices(steps)

    assert np.abs(prices[:, ::26] - knots).max() < 1e-9
    assert prices.shape == (40, 391)


def test_steps_between_knots_have_the_deviation_the_clock_gives_them() -> None:
    # A session as a whole is a Brownian motion if its close is normal and its knots a bridge: each step of 1/390 of a
    # session then has variance deviation**2 x share of the clock.
    days, n = 4000, 390
    clock, chance = restless_clock(n), np.random.default_rng(2)
    at_knots = restless_clock(KNOTS)
    close = chance.standard_normal(days)
    knots = bridges(keys_at(9, np.arange(days)), 0, at_knots).T + close[:, None] * at_knots

    steps = np.diff(Course(knots, np.ones(days), restless_clock).prices(chance.standard_normal((days, n))), axis=1)

    assert np.mean(steps**2, axis=0) / np.diff(clock) == pytest.approx(1.0, abs=0.12)  # 5 standard errors


@pytest.mark.parametrize("clock", [restless_clock, round_the_clock])
def test_a_clock_runs_from_the_open_to_the_close(clock: object) -> None:
    assert callable(clock)
    moments = clock(390)

    assert (moments[0], moments[-1], len(moments)) == (0.0, 1.0, 391)
    assert (np.diff(moments) > 0).all()
    assert clock(KNOTS) == pytest.approx(moments[::26], abs=1e-12)


def test_the_bends_of_a_minute_are_those_of_a_bridge() -> None:
    # A Brownian bridge has the variance x (1 - x) at x and the covariance x (1 - y) between x and a later y.
    drawn = bends(keys_at(3, np.arange(200_000)))

    quarters = np.array([0.25, 0.5, 0.75])
    expected = np.minimum.outer(quarters, quarters) - np.outer(quarters, quarters)
    assert np.abs(np.cov(drawn) - expected).max() < 0.003
    assert np.abs(drawn.mean(axis=1)).max() < 0.005


def test_the_extremes_of_a_minute_are_those_of_its_course() -> None:
    keys = keys_at(4, np.arange(300))
    chance = np.random.default_rng(3)
    open_, close = chance.integers(900, 1100, (2, 300))
    deviation = chance.uniform(0.0, 30.0, 300)

    highest, lowest = quarter_extremes(open_, close, deviation, keys)
    knots = minute_course(open_.astype(np.float64), close.astype(np.float64), deviation, keys).knots

    assert knots[:, [0, -1]].T.tolist() == [open_.tolist(), close.tolist()]
    assert highest == pytest.approx(knots.max(axis=1), abs=1e-9)
    assert lowest == pytest.approx(knots.min(axis=1), abs=1e-9)


def test_a_session_of_fewer_minutes_than_parts_is_refused() -> None:
    course = Course(np.zeros((1, KNOTS + 1)), np.ones(1), restless_clock)
    with pytest.raises(ValueError, match="10 steps"):
        course.prices(np.zeros((1, 10)))


def test_volatility_smiles() -> None:
    sessions = [closes for closes in by_session(year_of(7, "SPY", "30 mins")) if len(closes) == 13]
    moves = np.sqrt(np.mean([np.diff(np.log(closes)) ** 2 for closes in sessions], axis=0))

    # From the second half hour on.
    assert moves[0] > 1.1 * moves[4:8].mean() < moves[-1]


def test_names_move_together_within_the_day() -> None:
    moves = [np.concatenate([np.diff(np.log(c)) for c in by_session(year_of(7, name, "30 mins"))])
             for name in ("SPY", "QQQ", "TLT")]  # fmt: skip

    assert np.corrcoef(moves[0], moves[1])[0, 1] > 0.6
    assert np.corrcoef(moves[0], moves[2])[0, 1] < 0.0
