"""The aggregator: by hand, against brute force over random ticks, and against itself fed in other ways."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.data.bars import MINUTE_NS, Bar, BarAggregator, regular_hours
from quant_trading.refdata.sessions import at, session_on, sessions_between
from tests.data.brute_bars import Told, Trade, brute_bars

SECOND_NS = 1_000_000_000
DAY = date(2026, 11, 19)
OPEN = at(DAY, "09:30")
# A full day, the day after Thanksgiving, the days around both changes of the clock.
DAYS = (DAY, date(2026, 11, 27), date(2026, 3, 6), date(2026, 3, 9), date(2026, 10, 30), date(2026, 11, 2))


def shown(bars: Sequence[Bar]) -> list[Told]:
    return [
        Told(b.minutes, b.start_ns, b.end_ns, (b.open, b.high, b.low, b.close), b.volume, b.ticks) for b in bars
    ]  # fmt: skip


def begun(*timeframes: int, **options: object) -> BarAggregator:
    return BarAggregator(timeframes, start_ns=OPEN, **options)  # type: ignore[arg-type]


def sec(seconds: float) -> int:
    return OPEN + round(seconds * SECOND_NS)


# By hand.


def test_a_minute_is_closed_by_the_clock_and_not_by_the_next_tick() -> None:
    bars = begun(1)
    assert list(bars.tick(sec(1), 10.0, 100)) == []
    assert list(bars.tick(sec(30), 12.0, 50)) == []
    assert list(bars.tick(sec(45), 9.0, 25)) == []
    assert list(bars.tick(sec(59.999), 11.0, 5)) == []
    assert bars.advance(sec(60) - 1) == []
    [bar] = bars.advance(sec(60))
    assert bar == Bar(1, OPEN, sec(60), sec(60), 10.0, 12.0, 9.0, 11.0, 180.0, 4)


def test_a_tick_on_the_boundary_belongs_to_the_next_minute_and_closes_the_one_before() -> None:
    bars = begun(1)
    bars.tick(sec(1), 10.0, 100)
    [bar] = bars.tick(sec(60), 20.0, 1)
    assert (bar.close, bar.volume) == (10.0, 100.0)
    [bar] = bars.advance(sec(120))
    assert (bar.open, bar.close, bar.volume) == (20.0, 20.0, 1.0)


def test_a_quiet_minute_is_flat_at_the_close_before_with_volume_0() -> None:
    bars = begun(1)
    bars.tick(sec(1), 10.0, 100)
    bars.tick(sec(2), 11.0, 100)
    first, *quiet = bars.advance(sec(180))
    assert first.close == 11.0
    assert quiet == [
        Bar(1, sec(60), sec(120), sec(120), 11.0, 11.0, 11.0, 11.0, 0.0, 0),
        Bar(1, sec(120), sec(180), sec(180), 11.0, 11.0, 11.0, 11.0, 0.0, 0),
    ]


def test_before_the_first_price_nothing_is_told_unless_a_close_is_given() -> None:
    assert begun(1, 3).advance(sec(180)) == []
    told = begun(3, close=7.0).advance(sec(180))
    assert shown(told) == [Told(3, OPEN, sec(180), (7.0,) * 4, 0.0, 0)]


def test_larger_bars_pass_over_quiet_minutes() -> None:
    # The third minute is quiet at 11; a naive fold would open the second bar there.
    bars = begun(2, close=50.0)
    bars.tick(sec(10), 10.0, 1)
    bars.tick(sec(70), 11.0, 2)
    told = [*bars.tick(sec(190), 13.0, 4), *bars.advance(sec(360))]
    assert shown(told) == [
        Told(2, OPEN, sec(120), (10.0, 11.0, 10.0, 11.0), 3.0, 2),
        Told(2, sec(120), sec(240), (13.0, 13.0, 13.0, 13.0), 4.0, 1),
        Told(2, sec(240), sec(360), (13.0,) * 4, 0.0, 0),
    ]


def test_bars_of_one_end_come_with_the_smallest_first() -> None:
    told = begun(10, 1, 5, close=1.0).advance(sec(600))
    assert [bar.minutes for bar in told] == [1, 1, 1, 1, 1, 5, 1, 1, 1, 1, 1, 5, 10]


def test_a_late_tick_changes_nothing_and_is_counted() -> None:
    bars = begun(1)
    bars.tick(sec(1), 10.0, 100)
    bars.advance(sec(60))
    assert list(bars.tick(sec(59), 99.0, 1000)) == []
    assert (bars.counts.late, bars.counts.out_of_order) == (1, 1)
    [bar] = bars.advance(sec(120))
    assert bar == Bar(1, sec(60), sec(120), sec(120), 10.0, 10.0, 10.0, 10.0, 0.0, 0)


def test_with_a_grace_a_minute_waits_while_the_next_one_runs() -> None:
    bars = begun(1, grace_ns=SECOND_NS)
    bars.tick(sec(1), 10.0, 1)
    assert list(bars.tick(sec(60.2), 20.0, 2)) == []
    assert list(bars.tick(sec(59.9), 15.0, 4)) == []
    [bar] = bars.advance(sec(61))
    assert bar == Bar(1, OPEN, sec(60), sec(61), 10.0, 15.0, 10.0, 15.0, 5.0, 2)
    assert (bars.counts.late, bars.counts.out_of_order) == (0, 1)
    assert shown(bars.advance(sec(121))) == [Told(1, sec(60), sec(120), (20.0,) * 4, 2.0, 1)]


def test_out_of_order_ticks_of_an_open_minute_are_put_in_order() -> None:
    bars = begun(1)
    for seconds, price in ((30, 10.0), (10, 11.0), (40, 12.0), (35, 13.0), (40, 14.0), (10, 15.0)):
        bars.tick(sec(seconds), price, 1)
    # Open: the first to come in of the earliest moment; close: the last to come in of the latest.
    assert shown(bars.advance(sec(60))) == [Told(1, OPEN, sec(60), (11.0, 15.0, 10.0, 14.0), 6.0, 6)]
    assert bars.counts.out_of_order == 3


def test_what_comes_outside_the_session_or_without_size_is_counted_and_left_out() -> None:
    bars = begun(1, close=5.0)
    bars.tick(OPEN - 1, 10.0, 1)
    bars.tick(sec(1), 11.0, 0)
    bars.tick(sec(2), float("nan"), 1)
    bars.tick(sec(3), 12.0, float("nan"))
    assert (bars.counts.ticks, bars.counts.outside, bars.counts.sizeless) == (4, 1, 3)
    assert shown(bars.advance(sec(60))) == [Told(1, OPEN, sec(60), (5.0,) * 4, 0.0, 0)]


def test_an_index_has_prices_without_sizes() -> None:
    bars = begun(1, 2, needs_size=False)
    bars.tick(sec(1), 10.0, 0)
    bars.tick(sec(2), -11.0, float("nan"))
    assert shown(bars.advance(sec(120))) == [
        Told(1, OPEN, sec(60), (10.0, 10.0, -11.0, -11.0), 0.0, 2),
        Told(1, sec(60), sec(120), (-11.0,) * 4, 0.0, 0),
        Told(2, OPEN, sec(120), (10.0, 10.0, -11.0, -11.0), 0.0, 2),
    ]


def test_a_bar_whose_beginning_was_not_seen_is_not_told() -> None:
    bars = BarAggregator((1, 5))
    bars.tick(sec(90), 10.0, 7)  # in the second minute: neither that one nor the first 5 minutes are whole
    bars.tick(sec(125), 11.0, 1)
    told = bars.advance(sec(600))
    assert [(b.minutes, b.start_ns) for b in told if b.minutes == 5] == [(5, sec(300))]
    assert told[0] == Bar(1, sec(120), sec(180), sec(180), 11.0, 11.0, 11.0, 11.0, 1.0, 1)
    assert (bars.counts.early, bars.counts.partial) == (1, 1)


# History and outages.


def test_minutes_of_history_are_minutes_like_any_other() -> None:
    bars = begun(1, 2)
    assert bars.add_minute(OPEN, (1.0, 4.0, 0.5, 2.0), 10)
    assert bars.add_minute(sec(60), (2.0, 2.0, 2.0, 2.0), 0)
    assert shown(bars.advance(sec(120))) == [
        Told(1, OPEN, sec(60), (1.0, 4.0, 0.5, 2.0), 10.0, 1),
        Told(1, sec(60), sec(120), (2.0,) * 4, 0.0, 0),
        Told(2, OPEN, sec(120), (1.0, 4.0, 0.5, 2.0), 10.0, 1),
    ]
    assert not bars.add_minute(OPEN, (9.0, 9.0, 9.0, 9.0), 1)
    assert not bars.add_minute(OPEN - MINUTE_NS, (9.0, 9.0, 9.0, 9.0), 1)


def test_an_outage_keeps_bars_back_until_history_has_filled_it() -> None:
    bars = begun(1)
    bars.tick(sec(10), 10.0, 1)
    bars.hold()
    assert bars.advance(sec(200)) == []
    assert list(bars.tick(sec(210), 30.0, 3)) == []  # the stream is back, its minute is not whole
    assert bars.add_minute(OPEN, (10.0, 12.0, 9.0, 11.0), 100)
    assert bars.add_minute(sec(60), (11.0, 11.5, 11.0, 11.5), 50)
    assert bars.add_minute(sec(180), (29.0, 31.0, 28.0, 30.5), 75)
    told = bars.release(sec(250))
    # The third minute is in no history: it was quiet.
    assert shown(told) == [
        Told(1, OPEN, sec(60), (10.0, 12.0, 9.0, 11.0), 100.0, 1),
        Told(1, sec(60), sec(120), (11.0, 11.5, 11.0, 11.5), 50.0, 1),
        Told(1, sec(120), sec(180), (11.5,) * 4, 0.0, 0),
        Told(1, sec(180), sec(240), (29.0, 31.0, 28.0, 30.5), 75.0, 1),
    ]
    assert {bar.known_ns for bar in told} == {sec(250)}  # nobody knew them earlier
    [bar] = bars.advance(sec(300))
    assert bar.known_ns == sec(300)


def test_ticks_do_not_change_a_minute_that_came_from_history() -> None:
    for feed in (one_by_one, at_once):
        bars = begun(1)
        bars.tick(sec(10), 10.0, 1)
        bars.add_minute(OPEN, (10.0, 12.0, 9.0, 11.0), 100)
        feed(bars, [(sec(20), 99.0, 1.0), (sec(21), 98.0, 1.0)])
        assert shown(bars.advance(sec(60))) == [Told(1, OPEN, sec(60), (10.0, 12.0, 9.0, 11.0), 100.0, 1)]


# Sessions.


@pytest.mark.parametrize(("day", "opens", "minutes"), [(d, "09:30", 210 if d == DAYS[1] else 390) for d in DAYS])
def test_bars_are_counted_from_0930_new_york_and_end_with_the_session(day: date, opens: str, minutes: int) -> None:
    opened = at(day, opens)
    bars = BarAggregator((1, 3, 5, 10, 60), start_ns=opened, close=1.0)
    told = bars.advance(opened + 24 * 60 * MINUTE_NS)
    today = [bar for bar in told if bar.start_ns < opened + minutes * MINUTE_NS]
    for size in (1, 3, 5, 10, 60):
        spans = [(b.start_ns, b.end_ns) for b in today if b.minutes == size]
        starts = range(opened, opened + minutes * MINUTE_NS, size * MINUTE_NS)
        assert [start for start, _ in spans] == list(starts)
        assert [end for _, end in spans] == [min(s + size * MINUTE_NS, opened + minutes * MINUTE_NS) for s in starts]


def test_the_next_session_begins_with_the_next_open_and_the_close_before() -> None:
    bars = begun(1)
    bars.tick(at(DAY, "15:59:30"), 10.0, 1)
    told = bars.advance(at(DAY + timedelta(days=1), "09:31"))
    assert told[0].start_ns == at(DAY, "15:59")
    assert [(b.start_ns, b.close, b.volume) for b in told[1:]] == [(at(DAY + timedelta(days=1), "09:30"), 10.0, 0.0)]


def test_regular_hours_of_any_moment() -> None:
    assert regular_hours(OPEN) == (OPEN, at(DAY, "16:00"))
    friday = DAY + timedelta(days=1)
    assert regular_hours(at(DAY, "16:00")) == (at(friday, "09:30"), at(friday, "16:00"))
    assert regular_hours(at(friday, "16:00"))[0] == at(date(2026, 11, 23), "09:30")


@pytest.mark.parametrize("timeframes", [(), (0,), (1, 1), (391,)])
def test_timeframes_that_cannot_be(timeframes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="timeframes"):
        BarAggregator(timeframes)


# Properties.

Feed = Callable[[BarAggregator, Sequence[Trade]], list[Bar]]


def one_by_one(bars: BarAggregator, trades: Sequence[Trade]) -> list[Bar]:
    return [bar for trade in trades for bar in bars.tick(*trade)]


def at_once(bars: BarAggregator, trades: Sequence[Trade]) -> list[Bar]:
    ns = np.array([trade[0] for trade in trades], dtype=np.int64)
    prices, sizes = (np.array([trade[k] for trade in trades], dtype=np.float64) for k in (1, 2))
    return bars.ticks(ns, prices, sizes)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Trade], int, list[tuple[int, int]], int]:
    """Trades in the order they come in, the clock at their end, the sessions around, and the grace.

    Times come near the open, near the close or anywhere, mostly rising, with repeats and jumps back.
    """
    day = draw(st.sampled_from(DAYS))
    session = session_on(day)
    assert session is not None
    # Two sessions; between them nights, weekends and changes of the clock.
    both = [(s.open_ns, s.close_ns) for s in sessions_between(day, day + timedelta(days=5))[:2]]
    base = draw(st.sampled_from([both[0][0], both[0][0] + 37 * MINUTE_NS, both[0][1] - 4 * MINUTE_NS]))
    grace = draw(st.sampled_from([0, SECOND_NS, 7 * SECOND_NS]))
    steps = st.one_of(
        st.integers(0, 20 * SECOND_NS),
        st.integers(-70 * SECOND_NS, 70 * SECOND_NS),
        st.sampled_from([0, MINUTE_NS, MINUTE_NS - 1, 3 * MINUTE_NS, 11 * MINUTE_NS, both[1][0] - both[0][1]]),
    )
    trades, ns = [], base
    for _ in range(draw(st.integers(0, 60))):
        ns += draw(steps)
        size = draw(st.sampled_from([0.0, 1.0, 100.0, 250.0]))
        trades.append((ns, draw(st.integers(90, 110)) / 4, size))
    newest = max([ns for ns, *_ in trades], default=base)
    return trades, newest + draw(st.integers(0, 15 * MINUTE_NS)), both, grace


@given(scenes())
def test_any_ticks_give_the_bars_of_brute_force(scene: tuple[list[Trade], int, list[tuple[int, int]], int]) -> None:
    trades, now_ns, sessions, grace_ns = scene
    start = sessions[0][0]
    expected, late = brute_bars(trades, now_ns, sessions, (1, 3, 5, 10), start, grace_ns)
    last_close = sessions[-1][1]
    for feed in (one_by_one, at_once):
        bars = BarAggregator((1, 3, 5, 10), start_ns=start, grace_ns=grace_ns)
        told = feed(bars, trades) + bars.advance(now_ns)
        assert shown([bar for bar in told if bar.end_ns <= last_close]) == expected
        assert bars.counts.late == late
        assert all(bar.known_ns == bar.end_ns + grace_ns for bar in told)


@given(scenes(), st.lists(st.integers(0, 60), max_size=5), st.booleans())
def test_batches_of_any_size_do_what_single_ticks_do(
    scene: tuple[list[Trade], int, list[tuple[int, int]], int], cuts: list[int], has_start: bool
) -> None:
    trades, now_ns, sessions, grace_ns = scene
    options = {"start_ns": sessions[0][0] if has_start else None, "grace_ns": grace_ns}
    single, batched = BarAggregator(**options), BarAggregator(**options)  # type: ignore[arg-type]
    expected = one_by_one(single, trades) + single.advance(now_ns)
    bounds = [0, *sorted(min(cut, len(trades)) for cut in cuts), len(trades)]
    told = [bar for a, b in pairwise(bounds) for bar in at_once(batched, trades[a:b])]
    assert told + batched.advance(now_ns) == expected
    assert batched.counts == single.counts


@given(scenes(), st.data())
def test_the_clock_between_ticks_changes_no_bar(
    scene: tuple[list[Trade], int, list[tuple[int, int]], int], data: st.DataObject
) -> None:
    trades, now_ns, sessions, grace_ns = scene
    plain = BarAggregator(start_ns=sessions[0][0], grace_ns=grace_ns)
    expected = one_by_one(plain, trades) + plain.advance(now_ns)
    clocked = BarAggregator(start_ns=sessions[0][0], grace_ns=grace_ns)
    told, newest = [], sessions[0][0]
    for trade in trades:
        newest = max(newest, trade[0])
        told += clocked.tick(*trade)
        told += clocked.advance(newest - data.draw(st.integers(0, MINUTE_NS)))
    assert told + clocked.advance(now_ns) == expected


def test_memory_is_a_few_minutes() -> None:
    bars = BarAggregator(start_ns=OPEN)
    for day in sessions_between(DAY, DAY + timedelta(days=7)):
        for ns in range(day.open_ns, day.close_ns, 20 * SECOND_NS):
            bars.tick(ns, 10.0, 1.0)
            assert len(bars._minutes) <= 2
