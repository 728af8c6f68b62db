"""Searches of the tape against searches that look at one second after the other."""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.scan import Scanner, Trail, hours_at, next_hours
from quant_trading.tws_sim.seeded import seeded_tape
from quant_trading.tws_sim.tape import BarSize, Contract, What
from tests.examples import examples

SECOND = BarSize("1 secs", "second", 1)
NS = 1_000_000_000
DAY = date(2026, 11, 19)
TAPE = seeded_tape(7)
NAMES = {contract.symbol: contract for contract in TAPE.contracts() if contract.currency == "USD"}
D = Decimal


def prints(
    contract: Contract, from_ns: int, until_ns: int, use_rth: bool = False
) -> list[tuple[int, Decimal, Decimal]]:
    """Return (moment, low, high) of every second with a trade."""
    bars = TAPE.bars(contract, SECOND, What.TRADES, from_ns, until_ns, use_rth)
    assert bars is not None
    return [
        (int(ns), D(str(round(float(low), 5))), D(str(round(float(high), 5))))
        for ns, low, high, volume in zip(bars.start_ns, bars.low, bars.high, bars.volume, strict=True)
        if volume > 0
    ]  # fmt: skip


def reach_by_seconds(
    contract: Contract, price: Decimal, is_below: bool, from_ns: int, until_ns: int, use_rth: bool
) -> int | None:
    for ns, low, high in prints(contract, from_ns, until_ns, use_rth):
        if low <= price if is_below else high >= price:
            return ns
    return None


def catch_by_seconds(
    contract: Contract, trail: Trail, extreme: Decimal, from_ns: int, until_ns: int, use_rth: bool
) -> tuple[int | None, Decimal]:
    best = extreme
    for ns, low, high in prints(contract, from_ns, until_ns, use_rth):
        stop = trail.stop(best)
        if high >= stop if trail.is_buy else low <= stop:
            return ns, best
        best = min(best, low) if trail.is_buy else max(best, high)
    return None, best


moments = st.integers(0, 6 * 3600).map(lambda seconds: at(DAY, "09:30") + seconds * NS)
outside = st.integers(0, 15 * 3600).map(lambda seconds: at(DAY, "04:30") + seconds * NS)
spans = st.integers(1, 3600).map(lambda seconds: seconds * NS)
symbols = st.sampled_from(["AAPL", "LUNR", "SO", "BRK B", "BLK"])
distances = st.integers(1, 60).map(lambda cents: D(cents) / 100)
percents = st.integers(1, 9000).map(lambda units: D(units) / 10_000)


@st.composite
def trails(draw: st.DrawFn) -> Trail:
    is_buy = draw(st.booleans())
    if draw(st.booleans()):
        return Trail(is_buy, draw(distances), None)
    return Trail(is_buy, None, draw(percents))


def price_at(contract: Contract, ns: int) -> Decimal:
    quote = TAPE.quote(contract, ns)
    assert quote is not None
    return quote.last


@settings(max_examples=examples(60), deadline=None)
@given(symbols, outside, spans, st.integers(-40, 40), st.booleans(), st.booleans())
def test_a_price_is_reached_in_the_first_second_that_trades_there(
    symbol: str, from_ns: int, span_ns: int, cents: int, is_below: bool, outside_rth: bool
) -> None:
    contract = NAMES[symbol]
    price = max(D("0.01"), price_at(contract, from_ns) + D(cents) / 100)

    found = Scanner(TAPE).first_reach(
        contract, price, is_below, from_ns, from_ns + span_ns, outside_rth=outside_rth
    )  # fmt: skip

    expected = reach_by_seconds(contract, price, is_below, from_ns, from_ns + span_ns, not outside_rth)
    assert (found and found[0]) == expected


@settings(max_examples=examples(60), deadline=None)
@given(symbols, outside, spans, trails(), st.booleans(), st.integers(-50, 50))
def test_a_trail_is_caught_in_the_second_that_a_walk_through_all_seconds_finds(
    symbol: str, from_ns: int, span_ns: int, trail: Trail, outside_rth: bool, cents: int
) -> None:
    contract = NAMES[symbol]
    extreme = max(D("0.01"), price_at(contract, from_ns) + D(cents) / 100)
    until_ns = from_ns + span_ns

    found = Scanner(TAPE).catch(contract, trail, extreme, from_ns, until_ns, outside_rth=outside_rth)

    assert found == catch_by_seconds(contract, trail, extreme, from_ns, until_ns, not outside_rth)


class WithoutSeconds:
    """A tape that shows nothing finer than minutes, as one read from a file of minutes."""

    def __getattr__(self, name: str) -> object:
        return getattr(TAPE, name)

    def bars(self, contract: Contract, size: BarSize, *rest: object, **more: object) -> object:
        return None if size.count < 60 else TAPE.bars(contract, size, *rest, **more)  # type: ignore[arg-type]


@settings(max_examples=examples(25), deadline=None)
@given(symbols, moments, spans, trails())
def test_tapes_without_seconds_give_the_same_trail(symbol: str, from_ns: int, span_ns: int, trail: Trail) -> None:
    contract = NAMES[symbol]
    extreme = price_at(contract, from_ns)
    found = [
        Scanner(tape).catch(contract, trail, extreme, from_ns, from_ns + span_ns, outside_rth=False)  # type: ignore[arg-type]
        for tape in (TAPE, WithoutSeconds())
    ]
    assert found[0] == found[1]


@given(st.integers(1, 10**9), percents, st.booleans())
def test_percent_stops_are_rounded_half_up_to_five_decimals(extreme: int, percent: Decimal, is_buy: bool) -> None:
    best = D(extreme) / 100_000
    exact = best * (1 + (percent if is_buy else -percent) / 100)
    stop = Trail(is_buy, None, percent).stop(best)
    assert stop == (exact * 100_000 + D("0.5")).to_integral_value(rounding="ROUND_FLOOR") / 100_000


def test_the_volume_of_a_second_is_what_it_traded() -> None:
    contract = NAMES["AAPL"]
    scanner, ns = Scanner(TAPE), at(DAY, "10:00:00")
    bars = TAPE.bars(contract, SECOND, What.TRADES, ns, ns + 60 * NS, True)
    assert bars is not None
    seconds = [scanner.volume_of_second(contract, ns + n * NS + 250_000_000) for n in range(60)]
    assert seconds == [D(int(volume)) for volume in bars.volume]
    minute = Scanner(WithoutSeconds()).volume_of_second(contract, ns + 30 * NS)  # type: ignore[arg-type]
    assert minute == D(int(np.sum(bars.volume))) / 60


@pytest.mark.parametrize(
    ("clock", "outside_rth", "begins", "ends"),
    [
        ("10:00", False, "09:30", "16:00"),
        ("04:00", True, "04:00", "20:00"),
        ("19:59", True, "04:00", "20:00"),
        ("20:00", True, None, None),
        ("09:29", False, None, None),
    ],
)
def test_hours(clock: str, outside_rth: bool, begins: str | None, ends: str | None) -> None:
    hours = hours_at(at(DAY, clock), outside_rth)
    if begins is None or ends is None:
        assert hours is None
    else:
        assert hours is not None
        assert (hours.start_ns, hours.end_ns) == (at(DAY, begins), at(DAY, ends))


def test_next_hours_skip_the_weekend_and_the_ones_that_run() -> None:
    friday, monday = date(2026, 11, 20), date(2026, 11, 23)
    assert next_hours(at(friday, "10:00"), True).start_ns == at(monday, "04:00")
    assert next_hours(at(friday, "03:00"), True).start_ns == at(friday, "04:00")
    assert next_hours(at(friday, "09:00"), False).start_ns == at(friday, "09:30")
    assert next_hours(at(date(2026, 11, 21), "12:00"), False).start_ns == at(monday, "09:30")
    # the day after Thanksgiving is a half day: 13:00 and four hours
    assert next_hours(at(date(2026, 11, 26), "12:00"), True).end_ns == at(date(2026, 11, 27), "17:00")
