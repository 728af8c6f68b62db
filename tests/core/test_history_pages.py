"""Pages: a legal request for every cell that is wanted, none for a closed day, and TWS sends all their bars."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.core.history_pages import Cell, Page, Stretch, adjusted_page, cells_between, pages_of, stretch_of
from quant_trading.domain.bar_sizes import BAR_SIZES, BarSize, Duration, parse_bar_size
from quant_trading.domain.errors import UsageError
from quant_trading.refdata.sessions import at, session_on, sessions_between
from quant_trading.tws_sim.history import HistoryError, HistoryRequest, serve_history
from quant_trading.tws_sim.sources import open_source
from quant_trading.tws_sim.tape import Tape

SECOND_NS = 1_000_000_000
NOW = at(date(2026, 11, 19), "10:00")  # a Thursday

# The longest duration for each bar size, from IBKR's table: seconds of trading, or days of a calendar.
LONGEST_SECONDS = {1: 1800, 5: 3600, 10: 14_400, 15: 14_400, 30: 28_800}
LONGEST_SESSIONS = {60: 1, 120: 2, 180: 5, 300: 5, 600: 5, 900: 5, 1200: 5}


def plan(
    size: str, duration: tuple[int, str], until: int = NOW, *, all_hours: bool = False
) -> tuple[Stretch, list[Page]]:
    """Return the stretch and the pages of a download that knows nothing yet."""
    bar_size = parse_bar_size(size)
    stretch = stretch_of(bar_size, Duration(*duration), until, NOW, all_hours=all_hours)
    return stretch, pages_of(bar_size, stretch.cells, range(len(stretch.cells)), stretch.until_ns)


def test_half_a_year_of_five_minutes_is_a_page_a_week() -> None:
    stretch, pages = plan("5 mins", (6, "M"))
    # "6 M" from 2026-11-19 reaches back to the day after 2026-05-19; sessions by the calendar, today's begun one too
    days = [s.day for s in sessions_between(date(2026, 5, 20), date(2026, 11, 19))]
    assert [cell.day for cell in stretch.cells] == days
    assert len(pages) == -(-len(days) // 5)
    # newest first, each ending with a session: the running one now, the others at 16:00 New York
    assert (pages[0].end, pages[0].duration) == ("20261119-15:00:00", "5 D")
    assert (pages[1].end, pages[1].duration) == ("20261112-21:00:00", "5 D")
    assert pages[-1].duration == f"{len(days) % 5 or 5} D"


def test_a_minute_page_is_a_session_and_a_half_day_ends_at_one() -> None:
    until = at(date(2025, 12, 1), "00:00")
    _, pages = plan("1 min", (2, "D"), until)
    # Friday 2025-11-28 closed at 13:00, Thursday was Thanksgiving
    assert [(page.end, page.duration) for page in pages] == [("20251128-18:00:00", "1 D"), ("20251126-21:00:00", "1 D")]


def test_small_bars_come_in_slices_of_a_session() -> None:
    _, pages = plan("5 secs", (1, "D"), at(date(2026, 11, 19), "00:00"))
    # 6.5 hours: six of an hour and one of half an hour
    assert [page.duration for page in pages] == ["1800 S", *["3600 S"] * 6]
    assert pages[0].end == "20261118-21:00:00"
    assert pages[-1].end == "20261118-15:30:00"
    _, pages = plan("30 secs", (1, "D"), at(date(2026, 11, 19), "00:00"))
    assert [page.duration for page in pages] == ["23400 S"]


def test_seconds_count_trading_time() -> None:
    # at 10:00 half an hour of today has passed; 3600 s reach back into the last half hour of yesterday
    stretch, pages = plan("1 secs", (3600, "S"))
    assert [page.end for page in pages] == ["20261119-15:00:00", "20261118-21:00:00"]
    assert stretch.cells[0].start_ns == at(date(2026, 11, 18), "15:30")


def test_small_bars_older_than_six_months_are_told_and_not_asked() -> None:
    stretch, pages = plan("30 secs", (1, "Y"))
    assert stretch.too_old == len(sessions_between(date(2025, 11, 20), date(2026, 5, 19)))
    assert stretch.cells[0].day == date(2026, 5, 20)
    assert len(pages) == len(stretch.cells)


def test_days_come_in_ten_years_and_the_running_day_is_none() -> None:
    stretch, pages = plan("1 day", (15, "Y"))
    assert stretch.cells[-1].day == date(2026, 11, 18)
    assert [(page.end, page.duration) for page in pages] == [
        ("20261119-04:59:59", "10 Y"),
        ("20161119-04:59:59", "5 Y"),
    ]
    assert pages[1].cells[-1].day == date(2016, 11, 18)
    _, pages = plan("1 day", (20, "D"))
    assert [page.duration for page in pages] == ["19 D"]  # today, which has begun, is the twentieth


@pytest.mark.parametrize("size", ["1W", "1M"])
def test_weeks_and_months_are_never_cut(size: str) -> None:
    _, pages = plan(size, (30, "Y"))
    assert [page.duration for page in pages] == ["30 Y"]


def test_hours_come_by_the_month() -> None:
    _, pages = plan("1 hour", (3, "M"))
    assert [page.duration for page in pages] == ["1 M"] * 3
    assert [page.end for page in pages] == ["20261119-15:00:00", "20261019-20:00:00", "20260918-20:00:00"]


def test_all_hours_reach_from_four_to_eight() -> None:
    stretch, pages = plan("5 mins", (1, "D"), at(date(2026, 11, 19), "00:00"), all_hours=True)
    assert stretch.cells == (Cell(at(date(2026, 11, 18), "04:00"), at(date(2026, 11, 18), "20:00")),)
    assert pages[0].end == "20261119-01:00:00"


def test_a_hole_between_two_wanted_sessions_is_not_counted_as_one() -> None:
    size = parse_bar_size("5 mins")
    cells = cells_between(size, date(2026, 11, 9), date(2026, 11, 20), all_hours=False)  # ten sessions
    pages = pages_of(size, cells, {0, 1, 4, 9}, at(date(2026, 11, 21), "00:00"))
    assert [(page.end[:8], page.duration) for page in pages] == [("20261120", "1 D"), ("20261113", "5 D")]
    assert pages[1].cells == cells[:5]


def test_before_the_table_of_sessions_there_is_a_clear_word() -> None:
    with pytest.raises(UsageError, match="outside the table of XNYS sessions"):
        stretch_of(parse_bar_size("1 day"), Duration(1, "Y"), at(date(1985, 1, 2), "12:00"), NOW, all_hours=False)
    with pytest.raises(UsageError, match="1990-01-02 has no session before it in the table of sessions; name another"):
        stretch_of(parse_bar_size("1 day"), Duration(1, "Y"), at(date(1990, 1, 2), "09:30"), NOW, all_hours=False)


def test_adjusted_bars_are_asked_up_to_now() -> None:
    size = parse_bar_size("1 day")
    stretch = stretch_of(size, Duration(1, "Y"), at(date(2024, 1, 1), "00:00"), NOW, all_hours=False)
    page = adjusted_page(size, stretch.cells, stretch.until_ns, NOW)
    # from the first session of 2023 to now it is less than four years
    assert (page.end, page.duration) == ("", "4 Y")
    assert page.end_ns == at(date(2023, 12, 29), "16:00")
    # from Monday 2 November to Thursday 19 November it is two weeks and some days
    hours = parse_bar_size("1 hour")
    recent = stretch_of(hours, Duration(1, "W"), at(date(2026, 11, 7), "00:00"), NOW, all_hours=False)
    assert recent.cells[0].day == date(2026, 11, 2)
    assert adjusted_page(hours, recent.cells, recent.until_ns, NOW).duration == "3 W"
    with pytest.raises(UsageError, match="fetch TRADES"):
        adjusted_page(parse_bar_size("5 secs"), stretch.cells, stretch.until_ns, NOW)


INTRADAY = [size for size in BAR_SIZES if size.seconds <= 86_400]


@given(
    size=st.sampled_from(INTRADAY),
    days=st.integers(min_value=1, max_value=60),
    picks=st.sets(st.integers(min_value=0, max_value=800), max_size=40),
    all_hours=st.booleans(),
)
def test_pages_are_legal_and_cover_what_is_wanted_once(
    size: BarSize, days: int, picks: set[int], all_hours: bool
) -> None:
    stretch = stretch_of(size, Duration(days, "D"), NOW, NOW, all_hours=all_hours)
    wanted = {pick for pick in picks if pick < len(stretch.cells)}
    pages = pages_of(size, stretch.cells, wanted, stretch.until_ns)
    covered = [cell for page in pages for cell in page.cells]
    assert {stretch.cells[index] for index in wanted} <= set(covered)
    assert len(covered) == len(set(covered)), "no cell is asked for twice"
    assert [page.end_ns for page in pages] == sorted((page.end_ns for page in pages), reverse=True)
    for page in pages:
        assert session_on(page.cells[-1].day) is not None and page.end_ns <= stretch.until_ns
        assert page.start_ns == page.cells[0].start_ns and page.start_ns < page.end_ns
        count, unit = re.fullmatch(r"(\d+) ([SDMY])", page.duration).groups()  # type: ignore[union-attr]  # it must match
        if size.seconds in LONGEST_SECONDS:
            assert unit == "S" and int(count) <= LONGEST_SECONDS[size.seconds]
            assert int(count) * SECOND_NS >= page.end_ns - page.start_ns
        elif size.seconds in LONGEST_SESSIONS:
            assert unit == "D" and int(count) == len(page.cells) <= LONGEST_SESSIONS[size.seconds]
        elif size.is_intraday:
            assert page.duration == "1 M"
        else:
            assert (unit == "D" and int(count) <= 20) or (unit == "Y" and int(count) <= 10)


TAPE: Tape = open_source("seed:7")
SMR = next(contract for contract in TAPE.contracts() if contract.symbol == "SMR")


@pytest.mark.slow
@pytest.mark.parametrize("all_hours", [False, True])
@pytest.mark.parametrize(
    ("size", "duration"),
    [("1 secs", (1900, "S")), ("15 secs", (2, "D")), ("30 secs", (3, "D")), ("1 min", (4, "D")), ("5 mins", (3, "W")),
     ("20 mins", (2, "M")), ("1 hour", (3, "M")), ("4 hours", (2, "M")), ("8 hours", (2, "M")), ("1 day", (12, "Y"))],
)  # fmt: skip
def test_the_bars_of_all_pages_are_those_of_one_great_request(
    size: str, duration: tuple[int, str], all_hours: bool
) -> None:
    """The simulator answers requests of any length: cut into pages nothing may be missing, doubled or different."""
    stretch, pages = plan(size, duration, all_hours=all_hours)

    def bars(end: str, words: str) -> dict[str, tuple[object, ...]]:
        asked = HistoryRequest(SMR, end, words, size, "TRADES", not all_hours, 2)
        answer = serve_history(TAPE, asked, NOW)
        assert not isinstance(answer, HistoryError), answer
        return {row.date: tuple(row) for row in answer.rows}

    found: dict[str, tuple[object, ...]] = {}
    for page in pages:
        for stamp, row in bars(page.end, page.duration).items():
            if len(stamp) == 8:
                start_ns = at(date.fromisoformat(stamp), "09:30")
            else:
                start_ns = int(stamp) * SECOND_NS
            if page.start_ns <= start_ns < page.end_ns:
                assert stamp not in found
                found[stamp] = row
    whole = bars("20261119-15:00:00", Duration(*duration).words)
    first = min(stretch.cells)
    if size == "1 day":
        whole.pop("20261119", None)  # of the running day there is no bar yet
    if duration[1] == "S":
        whole = {stamp: row for stamp, row in whole.items() if int(stamp) * SECOND_NS >= first.start_ns}
        found = {stamp: row for stamp, row in found.items() if stamp in whole}
    assert found == whole
