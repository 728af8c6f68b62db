"""When TWS and IBKR's servers are away by plan."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from quant_trading.refdata.restart_windows import RestartSchedule

_NEW_YORK = ZoneInfo("America/New_York")


def ns(words: str, zone: str = "America/New_York") -> int:
    moment = datetime.fromisoformat(words).replace(tzinfo=ZoneInfo(zone))
    return round(moment.astimezone(UTC).timestamp()) * 10**9


def words(moment_ns: int | None) -> str | None:
    if moment_ns is None:
        return None
    return f"{datetime.fromtimestamp(moment_ns // 10**9, _NEW_YORK):%a %H:%M}"


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-19 00:14:59", None),
        ("2026-11-19 00:15", "Thu 01:45"),
        ("2026-11-19 01:44:59", "Thu 01:45"),
        ("2026-11-19 01:45", None),
        ("2026-11-21 00:30", "Sat 03:00"),  # Saturday has no reset of its own: it is the weekend's window
        ("2026-11-20 23:00", "Sat 03:00"),
        ("2026-11-21 03:00", None),
        ("2026-11-22 00:15", "Sun 01:45"),
        ("2026-03-08 01:00", "Sun 01:45"),  # the night the clocks go forward
        ("2026-11-19 10:00", None),
    ],
)
def test_the_servers_of_north_america(now: str, until: str | None) -> None:
    assert words(RestartSchedule().reset_until(ns(now))) == until


def test_other_regions_by_name() -> None:
    europe = RestartSchedule(regions=("europe",))
    assert europe.reset_until(ns("2026-11-19 06:24:59", "Europe/Zurich")) is None
    assert europe.reset_until(ns("2026-11-19 06:25", "Europe/Zurich")) == ns("2026-11-19 07:45", "Europe/Zurich")
    assert europe.reset_until(ns("2026-11-21 06:30", "Europe/Zurich")) is None
    with pytest.raises(ValueError, match=r"region 'mars' is unknown; write some of north-america"):
        RestartSchedule(regions=("mars",))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-19 23:43", None),
        ("2026-11-19 23:44", "Fri 00:00"),
        ("2026-11-19 23:59:59", "Fri 00:00"),
        ("2026-11-22 00:59", "Sun 17:00"),  # the weekly login waits for a person
        ("2026-11-22 16:59", "Sun 17:00"),
        ("2026-11-22 17:00", None),
        ("2026-11-19 12:00", None),
    ],
)
def test_tws_itself(now: str, until: str | None) -> None:
    assert words(RestartSchedule().away_until(ns(now))) == until


def test_a_login_that_may_take_three_days() -> None:
    schedule = RestartSchedule(login_hours=72)
    assert schedule.is_login_due(ns("2026-11-25 00:59"))  # Wednesday
    assert not schedule.is_login_due(ns("2026-11-25 01:00"))


def test_a_tws_that_never_restarts_by_itself() -> None:
    always = RestartSchedule(regions=(), restart=None, login_hours=0)
    assert always.away_until(ns("2026-11-19 23:45")) is None
    assert not always.is_login_due(ns("2026-11-22 02:00"))


def test_a_restart_at_midnight_begins_the_minute_before() -> None:
    midnight = RestartSchedule(regions=(), restart=time(0, 0), login_hours=0)
    assert words(midnight.away_until(ns("2026-11-18 23:59"))) == "Thu 00:15"
