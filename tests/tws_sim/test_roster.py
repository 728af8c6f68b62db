"""The names of the market: made for many at once they are what each is alone."""

from datetime import date

import numpy as np
import pytest

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.aggregate import aggregate
from quant_trading.tws_sim.day_path import DayPath, Paths
from quant_trading.tws_sim.days import PIECE
from quant_trading.tws_sim.factors import Factors
from quant_trading.tws_sim.noise import mix, name_key
from quant_trading.tws_sim.seeded import SeededMarket
from quant_trading.tws_sim.series import Series
from quant_trading.tws_sim.tape import TapeBars
from quant_trading.tws_sim.universe import LISTINGS

COLUMNS = TapeBars.__slots__
# A company, a fund, a leveraged one, one split in 2025, one listed abroad as well, a wild one with halts.
SYMBOLS = ("AAPL", "SPY", "TQQQ", "NFLX", "SHOP", "SMR")


def series_of(market: SeededMarket, symbol: str) -> Series:
    contract = next(contract for contract in market.listings if contract.symbol == symbol)
    return market.series(contract)[0]


def same(left: TapeBars, right: TapeBars) -> bool:
    return all(getattr(left, name).tolist() == getattr(right, name).tolist() for name in COLUMNS)


@pytest.mark.parametrize(("first", "last"), [(0, 2 * PIECE), (100 * PIECE, 105 * PIECE), (120 * PIECE, 7794)])
def test_paths_made_together_are_those_made_alone(first: int, last: int) -> None:
    market = SeededMarket(7)
    factors = Factors(7, market.stamps, np.zeros(len(market.stamps), dtype=np.bool_), 6000, np.linspace(0.0, 1.0, 16))
    listings = [listing for listing in LISTINGS if listing.symbol in SYMBOLS]
    assert {bool(listing.twin) for listing in listings} == {True, False}
    keys = [mix(7, name_key(f"{listing.symbol}.{listing.currency}")) for listing in listings]
    names = list(zip(listings, keys, strict=True))

    together = Paths([DayPath(factors, listing, key) for listing, key in names]).make(first, last)

    for (listing, key), found in zip(names, together, strict=True):
        assert same(found, DayPath(factors, listing, key).make(first, last)), listing.symbol


def test_a_running_session_is_the_same_whoever_was_asked_before() -> None:
    crowded, alone = SeededMarket(8), SeededMarket(8)
    day = 6762
    # Forty names asked for their days, the session and two runs of seconds: most are made ahead for each other.
    for contract in list(crowded.listings)[:40]:
        [series] = crowded.series(contract)
        series.days.rows(day - 250, day + 1)
        series.blocks(day, day + 1, True)
        series.seconds(day, 30, True)
        series.seconds(day, 31, True)

    for number in (0, 17, 33, 45):
        contract = list(crowded.listings)[number]
        left, right = crowded.series(contract)[0], alone.series(contract)[0]
        assert same(left.days.rows(day - 250, day + 1), right.days.rows(day - 250, day + 1)), contract.symbol
        assert same(left.blocks(day, day + 1, True), right.blocks(day, day + 1, True)), contract.symbol
        for block in (30, 31, 33):
            one_block = right.seconds_between(
                day, int(right.blocks(day, day + 1, True).start_ns[block]),
                int(right.blocks(day, day + 1, True).start_ns[block]) + 60 * 10**9, True,
            )  # fmt: skip
            assert same(left.seconds(day, block, True), one_block), (contract.symbol, block)


def test_days_made_ahead_are_those_of_the_names_that_follow() -> None:
    crowded, alone = SeededMarket(8), SeededMarket(8)
    day = 6762
    series = [crowded.series(contract)[0] for contract in list(crowded.listings)[:4]]
    stamps = series[0].days.start_ns[day - 250 : day]
    for number, one in enumerate(series):
        one.days.rows(day - 250, day)
        ahead = one.days_ahead(stamps)
        # The k-th name brings k // 2 more when it is not at hand: the second brings the third, the fourth two.
        followers = list(alone.listings)[number + 1 : number + 1 + (0, 1, 0, 2)[number]]
        assert len(ahead) == len(followers)
        for found, contract in zip(ahead, followers, strict=True):
            assert same(found, alone.series(contract)[0].days.rows(day - 250, day)), contract.symbol
    assert series[0].days_ahead(stamps[::2]) == []


@pytest.mark.parametrize("clock_time", ["09:30:00", "09:30:01", "09:31:00", "10:00:01", "15:59:59", "16:00:00"])
def test_a_session_so_far_is_the_sum_of_its_minutes_and_seconds(clock_time: str) -> None:
    crowded = SeededMarket(8)
    day = 6762
    end_ns = at(date(2026, 11, 20), clock_time) + (0 if clock_time.endswith("00") else 1)
    assert crowded.open_ns[day] <= end_ns <= crowded.close_ns[day]
    for contract in list(crowded.listings)[:30]:
        [series] = crowded.series(contract)
        if not series.halts:
            minutes = series.blocks_until(day, day + 1, end_ns, True)
            expected = aggregate(minutes, np.zeros(len(minutes), dtype=np.int64))
            assert same(series.day_until(day, end_ns, True), expected), contract.symbol


def test_a_halted_session_is_not_taken_from_the_others() -> None:
    market = SeededMarket(7)
    series = next(series for contract in market.listings for series in market.series(contract) if len(series.halts) > 0)
    halt = series.halts[0]
    day = series.day_of(halt.start_ns)
    block = series.block_at(day, halt.start_ns)

    assert series.seconds(day, block, True).volume.sum() == 0
    assert series.blocks(day, day + 1, True).volume[block] == 0
    assert series.seconds(day, block - 1, True).volume.sum() == series.blocks(day, day + 1, True).volume[block - 1]


def test_the_evening_before_a_split_trades_the_shares_of_that_evening() -> None:
    # NFLX splits 10 for 1 on 2025-11-17, a Monday.
    market = SeededMarket(7)
    series = series_of(market, "NFLX")
    friday = series.day_of(at(date(2025, 11, 14), "12:00"))
    days = series.days.rows(friday, friday + 2)
    assert days.open[1] < 0.2 * days.close[0]

    minutes = series.blocks(friday, friday + 2, False)

    evening = minutes.close[minutes.start_ns >= series.close_ns[friday]][:240]
    morning = minutes.close[minutes.start_ns < series.open_ns[friday + 1]][-330:]
    assert np.abs(np.log(evening / days.close[0])).max() < 0.15
    assert np.abs(np.log(morning / days.open[1])).max() < 0.15


def test_mornings_and_evenings_lead_from_close_to_open() -> None:
    market = SeededMarket(7)
    series = series_of(market, "AAPL")
    minutes, days = series.blocks(6700, 6720, False), series.days.rows(6700, 6720)
    per_day = minutes.close.reshape(20, 960)

    # Each session of 390 minutes lies between 330 and 240 others; the last minute before nine thirty ends at the open.
    assert per_day[:, 329].tolist() == days.open.tolist()
    assert per_day[:, 719].tolist() == days.close.tolist()
    # A morning begins within some cents of where the evening ended.
    gaps = np.abs(np.log(minutes.open.reshape(20, 960)[1:, 0] / per_day[:-1, -1]))
    assert gaps.max() < 0.002
