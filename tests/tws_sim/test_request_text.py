"""Durations, end times and date formats."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.request_text import (
    Duration,
    format_head,
    format_moment,
    parse_duration,
    parse_end,
)

NOW = at(date(2026, 1, 15), "11:07:23")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 Y", Duration(1, "Y")), ("6 M", Duration(6, "M")), ("2 W", Duration(2, "W")), ("30 D", Duration(30, "D")),
        ("3600 S", Duration(3600, "S")), ("60", Duration(60, "S")), ("1 d", Duration(1, "D")),
        (" 5   D ", Duration(5, "D")), ("1Y", Duration(1, "Y")),
        ("0 D", None), ("-1 D", None), ("1 X", None), ("D", None), ("", None), ("1.5 D", None), ("1 Y 2 M", None),
        ("9999999999 S", None),
    ],
)  # fmt: skip
def test_durations(text: str, expected: Duration | None) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("duration", "day", "expected"),
    [
        (Duration(1, "W"), date(2026, 1, 15), date(2026, 1, 8)),
        (Duration(1, "M"), date(2026, 3, 31), date(2026, 2, 28)),
        (Duration(1, "M"), date(2026, 1, 15), date(2025, 12, 15)),
        (Duration(12, "M"), date(2026, 1, 15), date(2025, 1, 15)),
        (Duration(1, "Y"), date(2024, 2, 29), date(2023, 2, 28)),
        (Duration(2, "Y"), date(2026, 12, 31), date(2024, 12, 31)),
    ],
)
def test_calendar_durations(duration: Duration, day: date, expected: date) -> None:
    assert duration.before(day) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NOW),
        ("  ", NOW),
        ("20251231 16:00:00 US/Eastern", at(date(2025, 12, 31), "16:00")),
        ("20251231 16:00:00 America/New_York", at(date(2025, 12, 31), "16:00")),
        ("20250701 16:00:00 EST", at(date(2025, 7, 1), "17:00")),
        ("20251231 21:00:00 UTC", at(date(2025, 12, 31), "16:00")),
        ("20251231-21:00:00", at(date(2025, 12, 31), "16:00")),
        ("20251231 16:00:00", at(date(2025, 12, 31), "16:00")),
        ("20251231  16:00:00", at(date(2025, 12, 31), "16:00")),
        ("10:00:00 US/Eastern", at(date(2026, 1, 15), "10:00")),
        ("garbage", None),
        ("20251331 16:00:00", None),
        ("20251231 25:00:00", None),
        ("2025-12-31 16:00:00", None),
        ("20251231", None),
        ("20251231 16:00:00 Mars/Olympus", None),
        ("20251231 16:00:00 ../../etc/passwd", None),
        ("20251231-21:00:00 UTC", None),
    ],
)
def test_end_times(text: str, expected: int | None) -> None:
    assert parse_end(text, NOW) == expected


@given(st.text(max_size=30))
def test_no_text_breaks_the_parsers(text: str) -> None:
    parse_duration(text)
    parse_end(text, NOW)


def test_formats() -> None:
    moment = at(date(2023, 10, 19), "16:11:48")
    assert format_moment(moment, 1, "US/Eastern") == "20231019 16:11:48 US/Eastern"
    assert format_moment(moment, 2, "US/Eastern") == "1697746308"
    assert format_moment(moment, 3, "US/Eastern") == "1019 16:11:48 US/Eastern"
    assert format_head(moment, 1) == "20231019-20:11:48"
    assert format_head(moment, 2) == "1697746308"


@given(st.integers(0, 1_900_000_000), st.sampled_from(["US/Eastern", "Asia/Kolkata", "Europe/London", "UTC"]))
def test_moments_are_written_as_the_library_writes_them(seconds: int, zone: str) -> None:
    expected = datetime.fromtimestamp(seconds, ZoneInfo(zone)).strftime("%Y%m%d %H:%M:%S ") + zone
    assert format_moment(seconds * 10**9, 1, zone) == expected


@given(st.integers(0, 1_900_000_000))
def test_a_written_moment_is_read_back(seconds: int) -> None:
    written = format_moment(seconds * 10**9, 1, "UTC")
    assert parse_end(written, NOW) == seconds * 10**9
    assert parse_end(format_head(seconds * 10**9, 1), NOW) == seconds * 10**9
