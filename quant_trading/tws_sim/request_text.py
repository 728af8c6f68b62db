"""The words of history requests: durations, end times, and dates in the formats clients ask for."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from quant_trading.refdata.sessions import EXCHANGE_ZONE, exchange_date
from quant_trading.tws_sim.tape import IntArray

__all__ = ["BAD_END_TEXT", "Duration", "day_text", "format_head", "format_moment", "local_seconds", "parse_duration",
           "parse_end"]  # fmt: skip

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION = re.compile(r"(\d{1,9}) ?([SDWMY])", re.IGNORECASE)
_UTC_END = re.compile(r"(\d{8})-(\d{2}:\d{2}:\d{2})")
_ZONED_END = re.compile(r"(?:(\d{8})\s+)?(\d{2}:\d{2}:\d{2})(?:\s+([A-Za-z][A-Za-z0-9_+\-/]*))?")

BAD_END_TEXT = (
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xx/xxxx "
    "where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern  Note that there is a space between "
    "the date and time, and between the time and time-zone.  If no date is specified, current date is assumed. If no "
    "time-zone is specified, local time-zone is assumed(deprecated).  You can also provide yyyymmddd-hh:mm:ss time is "
    "in UTC. Note that there is a dash between the date and time in UTC notation."
)


@dataclass(frozen=True, slots=True)
class Duration:
    """How far back a request reaches: `count` of S(econds), D(ays), W(eeks), M(onths) or Y(ears)."""

    count: int
    unit: str

    def before(self, day: date) -> date:
        """Return the date a duration of weeks, months or years before `day`; 31 becomes the month's last day."""
        if self.unit == "W":
            return day - timedelta(weeks=self.count)
        months = day.year * 12 + day.month - 1 - self.count * (12 if self.unit == "Y" else 1)
        year, month = divmod(months, 12)
        following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
        return date(year, month + 1, min(day.day, (following - timedelta(days=1)).day))


def parse_duration(text: str) -> Duration | None:
    """Return the duration "6 M" stands for, None when it is none; without a unit TWS takes seconds."""
    words = " ".join(text.split())
    match = _DURATION.fullmatch(words if not words.isdigit() else f"{words} S")
    if match is None or int(match[1]) == 0:
        return None
    return Duration(int(match[1]), match[2].upper())


def parse_end(text: str, now_ns: int) -> int | None:
    """Return the moment an end text names, `now_ns` for an empty one, None when TWS would not understand it.

    Without a zone the exchange's is meant, without a date the current one.
    """
    words = text.strip()
    if not words:
        return now_ns
    utc = _UTC_END.fullmatch(words)
    if utc is not None:
        return _moment(utc[1], utc[2], UTC)
    match = _ZONED_END.fullmatch(words)
    if match is None:
        return None
    zone = EXCHANGE_ZONE if match[3] is None else _zone(match[3])
    if zone is None:
        return None
    return _moment(match[1] or exchange_date(now_ns).strftime("%Y%m%d"), match[2], zone)


def _moment(day: str, clock_time: str, zone: tzinfo) -> int | None:
    try:
        parsed = datetime.combine(date(int(day[:4]), int(day[4:6]), int(day[6:])), time.fromisoformat(clock_time))
    except ValueError:
        return None
    since = parsed.replace(tzinfo=zone).astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def format_moment(ns: int, format_date: int, zone_name: str) -> str:
    """Return a moment as TWS writes it: 1 "20231019 16:11:48 US/Eastern", 2 epoch seconds, 3 without the year."""
    seconds = ns // _SECOND_NS
    if format_date == 2:
        return str(seconds)
    local = seconds + _offset_seconds(seconds // 900, zone_name)
    days, second = divmod(local, 86_400)
    day = day_text(days) if format_date == 1 else day_text(days)[4:]
    minute, second = divmod(second, 60)
    return f"{day} {minute // 60:02d}:{minute % 60:02d}:{second:02d} {zone_name}"


def local_seconds(seconds: IntArray, zone_name: str) -> IntArray:
    """Return rising epoch seconds as seconds since 1970 on the clocks of a zone."""
    if len(seconds) == 0:
        return seconds
    quarters = seconds // 900
    first = np.concatenate([[0], np.flatnonzero(np.diff(quarters)) + 1])
    offsets = [_offset_seconds(quarter, zone_name) for quarter in quarters[first].tolist()]
    return np.asarray(seconds + np.repeat(offsets, np.diff(np.append(first, len(seconds)))))


# A year of minutes has 98,000 moments but few days, and no zone changes its offset within a quarter of an hour.
@lru_cache(maxsize=1024)
def day_text(days: int) -> str:
    """Return the date so many days after 1970 began, "20231019"."""
    return (_EPOCH + timedelta(days=days)).strftime("%Y%m%d")


@lru_cache(maxsize=16_384)
def _offset_seconds(quarter: int, zone_name: str) -> int:
    moment = _EPOCH + timedelta(seconds=quarter * 900)
    offset = moment.astimezone(_zone(zone_name) or EXCHANGE_ZONE).utcoffset()
    return 0 if offset is None else offset.days * 86_400 + offset.seconds


def format_head(ns: int, format_date: int) -> str:
    """Return a head time stamp: "yyyymmdd-hh:mm:ss" in UTC, or epoch seconds for format 2."""
    if format_date == 2:
        return str(ns // _SECOND_NS)
    return (_EPOCH + timedelta(seconds=ns // _SECOND_NS)).strftime("%Y%m%d-%H:%M:%S")
