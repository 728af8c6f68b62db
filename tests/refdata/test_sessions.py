"""The session table against exchange_calendars and the golden sessions."""

import csv
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.sessions import (
    FIRST_SESSION_DAY,
    LAST_SESSION_DAY,
    SessionRangeError,
    at,
    exchange_clock_ns,
    exchange_date,
    exchange_days,
    last_completed_session,
    next_session,
    session_arrays,
    session_at,
    session_on,
    sessions_between,
)
from tests.shared_data import golden, needs_shared

moments = st.integers(at(date(1990, 2, 1), "00:00"), at(date(2030, 12, 1), "00:00"))


def utc_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


# exchange_calendars 4.13 calls what pandas 3.1 deprecates.
@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")
def test_every_session_equals_exchange_calendars() -> None:
    calendar = exchange_calendars.get_calendar(
        "XNYS", start=FIRST_SESSION_DAY.isoformat(), end=LAST_SESSION_DAY.isoformat()
    )
    schedule = calendar.schedule
    expected = [
        (day.date(), int(opens.timestamp()), int(closes.timestamp()))
        for day, opens, closes in zip(schedule.index, schedule["open"], schedule["close"], strict=True)
    ]
    ours = sessions_between(FIRST_SESSION_DAY, LAST_SESSION_DAY)
    assert [(s.day, s.open_ns // 10**9, s.close_ns // 10**9) for s in ours] == expected


@needs_shared
def test_sessions_equal_the_golden_file() -> None:
    with golden("xnys_sessions_2010_2026.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ours = sessions_between(date(2010, 1, 1), date(2026, 12, 31))
    assert [s.day.isoformat() for s in ours] == [row["session"] for row in rows]
    for session, row in zip(ours, rows, strict=True):
        assert session.open_ns == utc_ns(row["open_utc"].rstrip("Z"))
        assert session.close_ns == utc_ns(row["close_utc"].rstrip("Z"))
        assert session.is_half_day == (row["minutes"] != "390")


def test_half_day_after_thanksgiving() -> None:
    session = session_on(date(2025, 11, 28))
    assert session is not None
    # 09:30 and 13:00 in New York in winter are 14:30 and 18:00 UTC.
    assert (session.open_ns, session.close_ns) == (utc_ns("2025-11-28T14:30"), utc_ns("2025-11-28T18:00"))
    assert session.is_half_day


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2025-07-07T13:29:59", False),
        ("2025-07-07T13:30:00", True),
        ("2025-07-07T19:59:59", True),
        ("2025-07-07T20:00:00", False),
        ("2025-07-04T15:00:00", False),
    ],
)
def test_a_session_holds_its_open_and_not_its_close(moment: str, is_open: bool) -> None:
    assert (session_at(utc_ns(moment)) is not None) == is_open


def test_dates_are_the_exchange_s() -> None:
    assert exchange_date(utc_ns("2025-07-08T03:59:59")) == date(2025, 7, 7)
    assert exchange_date(utc_ns("2025-07-08T04:00:00")) == date(2025, 7, 8)
    assert session_on(date(2025, 7, 5)) is None


def test_a_session_is_completed_at_its_close() -> None:
    session = session_on(date(2025, 7, 7))
    assert session is not None
    assert last_completed_session(session.close_ns) == session
    # The Friday before is a holiday, Thursday a half day.
    assert last_completed_session(session.close_ns - 1).day == date(2025, 7, 3)


@given(moments)
def test_neighbours_enclose_the_moment(ns: int) -> None:
    before, after = last_completed_session(ns), next_session(ns)
    assert before.close_ns <= ns < after.open_ns
    between = [s for s in sessions_between(before.day, after.day) if s not in (before, after)]
    assert between == [s for s in (session_at(ns),) if s is not None]


@given(st.dates(FIRST_SESSION_DAY, LAST_SESSION_DAY), st.integers(0, 900))
def test_a_range_is_the_days_one_by_one(first: date, days: int) -> None:
    last = min(first + timedelta(days), LAST_SESSION_DAY)
    one_by_one = (session_on(first + timedelta(n)) for n in range((last - first).days + 1))
    assert sessions_between(first, last) == tuple(s for s in one_by_one if s is not None)


def test_outside_the_table_is_said() -> None:
    with pytest.raises(
        SessionRangeError, match=r"2031-01-01 is outside .* 1990-01-01 to 2030-12-31.*make_session_table"
    ):
        session_on(date(2031, 1, 1))
    assert sessions_between(date(2025, 2, 1), date(2025, 1, 1)) == ()


def test_sessions_as_arrays_equal_the_sessions_one_by_one():
    epoch = date(1970, 1, 1).toordinal()
    one_by_one = sessions_between(FIRST_SESSION_DAY, LAST_SESSION_DAY)
    days, opens, closes = session_arrays(FIRST_SESSION_DAY, LAST_SESSION_DAY)
    assert days.tolist() == [session.day.toordinal() - epoch for session in one_by_one]
    assert opens.tolist() == [session.open_ns for session in one_by_one]
    assert closes.tolist() == [session.close_ns for session in one_by_one]
    assert [len(array) for array in session_arrays(date(2024, 1, 6), date(2024, 1, 7))] == [0, 0, 0]
    with pytest.raises(SessionRangeError):
        session_arrays(FIRST_SESSION_DAY - timedelta(days=1), LAST_SESSION_DAY)


def test_exchange_dates_as_arrays_equal_those_one_by_one():
    # Around midnight and both changes of the clock of every year, and the ends of the table.
    moments = [
        at(date(year, month, day), "00:00") + hours * 3_600_000_000_000 + nudge
        for year in range(1990, 2027)
        for month, day in ((1, 1), (3, 10), (3, 31), (4, 7), (10, 27), (11, 3), (12, 31))
        for hours in (0, 1, 2, 3, 23)
        for nudge in (-1, 0, 1)
    ]
    epoch = date(1970, 1, 1).toordinal()
    expected = [exchange_date(moment).toordinal() - epoch for moment in moments]
    assert exchange_days(np.array(moments)).tolist() == expected
    assert exchange_days(np.empty(0, dtype=np.int64)).tolist() == []


def test_the_exchange_clock_is_that_of_the_zone_tables() -> None:
    hours = np.arange(0, 400 * 24, 7, dtype=np.int64)  # 400 days, two changes of the clock
    ns = at(date(2024, 12, 31), "12:00") + hours * 3_600_000_000_000
    for moment, shown in zip(ns.tolist(), exchange_clock_ns(ns).tolist(), strict=True):
        local = datetime.fromtimestamp(moment // 10**9, UTC).astimezone(ZoneInfo("America/New_York"))
        assert datetime.fromtimestamp(shown // 10**9, UTC).replace(tzinfo=None) == local.replace(tzinfo=None)
