"""Days by number: made many at a time, the same whatever was asked first."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.aggregate import no_bars
from quant_trading.tws_sim.days import PIECE, Days, MadeDays
from quant_trading.tws_sim.seeded import SeededMarket
from quant_trading.tws_sim.tape import TapeBars

MARKET = SeededMarket(7)
LISTED = {contract.symbol: contract for contract in MARKET.listings}
COLUMNS = TapeBars.__slots__
SIZE = 5 * PIECE + 17


def numbered(first: int, last: int) -> TapeBars:
    """Bars whose every column is the number of the day."""
    number = np.arange(first, last)
    price = number.astype(np.float64)
    return TapeBars(number, price, price, price, price, price, price, number)


class Counting:
    """Days that note what was made."""

    def __init__(self, size: int = SIZE) -> None:
        self.made: list[tuple[int, int]] = []
        self.days = MadeDays(np.arange(size), self._make)

    def _make(self, first: int, last: int) -> TapeBars:
        self.made.append((first, last))
        return numbered(first, last)


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE + 5)), min_size=1, max_size=6))
def test_any_stretch_is_cut_out_of_what_is_made(stretches: list[tuple[int, int]]) -> None:
    counting = Counting()

    for first, last in stretches:
        found = counting.days.rows(first, last)

        assert found.start_ns.tolist() == list(range(first, min(last, SIZE)))
        assert found.close.tolist() == found.start_ns.tolist()
    assert all(first % 16 == 0 and (last % 16 == 0 or last == SIZE) for first, last in counting.made)


def test_a_stretch_is_kept_with_the_days_around_it() -> None:
    counting = Counting()
    counting.days.rows(80, 175)

    assert counting.days.close_on(174) == 174
    assert counting.days.rows(79, 176).close.tolist() == list(range(79, 176))

    # One day more at either end, and then whole sixteens: 79 is in 64 .. 79, 175 in 160 .. 175.
    assert counting.made == [(64, 176)]


def test_the_last_piece_of_a_long_stretch_is_kept() -> None:
    counting = Counting(12 * PIECE)
    counting.days.rows(10, 11 * PIECE - 5)

    assert counting.days.close_on(11 * PIECE - 6) == 11 * PIECE - 6

    assert counting.made == [(0, 11 * PIECE)]


def test_days_that_are_there_are_given_as_they_are() -> None:
    days = Days(numbered(0, 9))

    assert len(days) == 9
    assert days.rows(3, 5).close.tolist() == [3.0, 4.0]
    assert days.close.tolist() == list(range(9))
    assert len(Days(no_bars()).rows(0, 5)) == 0


@pytest.mark.parametrize(
    "symbol", ["AAPL", *(pytest.param(name, marks=pytest.mark.slow) for name in ("NFLX", "TQQQ", "SPY"))]
)
def test_a_day_of_the_market_is_the_same_whatever_was_asked_first(symbol: str) -> None:
    contract = LISTED[symbol]
    [whole] = MARKET.series(contract)
    expected = whole.days.rows(0, len(whole.days))
    chance = np.random.default_rng(5)
    [series] = MARKET.series(contract)

    for first in chance.integers(0, len(series.days) - 1, 25).tolist():
        last = first + int(chance.integers(1, 300))
        found = series.days.rows(first, last)
        for name in COLUMNS:
            assert getattr(found, name).tolist() == getattr(expected, name)[first:last].tolist(), (name, first)
        spread = series.spread(first, min(last, len(series.days)))
        assert spread.tolist() == whole.spread(0, len(whole.days))[first:last].tolist()


def test_each_day_opens_near_the_close_before_it_across_the_pieces() -> None:
    # A night moves a calm fund by 3 % at most or so; a walk torn between two pieces would leap.
    [series] = MARKET.series(LISTED["SPY"])
    begin = int(np.searchsorted(series.days.start_ns, int(np.datetime64(date(2024, 1, 2), "ns").astype(np.int64))))
    days = series.days.rows(begin - begin % PIECE, begin - begin % PIECE + 8 * PIECE)
    nights = np.abs(np.log(days.open[1:] / days.close[:-1]))

    assert nights[PIECE - 1 :: PIECE].max() < 0.05
    assert nights.max() < 0.05
