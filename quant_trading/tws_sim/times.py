"""Moments as TWS writes and reads them; inside they are int64 UTC nanoseconds."""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quant_trading.refdata.sessions import EXCHANGE_ZONE

__all__ = [
    "ZONE_NAME",
    "connection_time",
    "exchange_clock",
    "exchange_day",
    "exchange_stamp",
    "exchange_time",
    "parse_time",
    "to_utc",
]

ZONE_NAME = "US/Eastern"
"""The name TWS gives New York's zone in orders and executions (captured)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_NS = 1_000_000_000
_HOUR_NS = 3_600_000_000_000
_TIME = re.compile(r"(\d{8})(?: +|(-))(\d{2}:\d{2}:\d{2})(?: (\S+))?")


def to_utc(ns: int) -> datetime:
    """Return the moment as an aware UTC datetime, to the microsecond below."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _local(ns: int) -> datetime:
    return to_utc(ns).astimezone(EXCHANGE_ZONE)


def exchange_day(ns: int) -> date:
    """Return the New York date of the moment `ns`, remembered by the hour: days begin at whole hours of UTC."""
    return _day_of_hour(ns // _HOUR_NS)


@lru_cache(maxsize=4096)
def _day_of_hour(hour: int) -> date:
    return _local(hour * _HOUR_NS).date()


def exchange_time(ns: int) -> str:
    """Return `20261119 10:00:00 US/Eastern`, the form of executions and completed orders (captured)."""
    return _time_of_second(ns // _SECOND_NS)


@lru_cache(maxsize=64)
def _time_of_second(second: int) -> str:
    return f"{_local(second * _SECOND_NS):%Y%m%d %H:%M:%S} {ZONE_NAME}"


def exchange_clock(ns: int) -> str:
    """Return `10:00`, the form of account update times."""
    return f"{_local(ns):%H:%M}"


def exchange_stamp(ns: int) -> str:
    """Return `2026-11-20 09:30:00 US/Eastern`, the form of TWS's remarks about orders (reported)."""
    return f"{_local(ns):%Y-%m-%d %H:%M:%S} {ZONE_NAME}"


def connection_time(ns: int) -> str:
    """Return `20261119 10:00:00 EST`, the form of the version answer."""
    return f"{_local(ns):%Y%m%d %H:%M:%S %Z}"


def parse_time(text: str) -> int:
    """Return the UTC ns of `yyyymmdd-hh:mm:ss` (UTC) or `yyyymmdd hh:mm:ss [zone]` (without zone: New York).

    Raises:
        ValueError: any other form, or an unknown zone.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"time {text!r} has none of the forms 20261119-15:00:00, 20261119 10:00:00 US/Eastern")
    day, dash, clock, zone_name = match.groups()
    zone: tzinfo = UTC if dash else EXCHANGE_ZONE
    if zone_name:
        try:
            zone = ZoneInfo(zone_name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"time zone {zone_name!r} is unknown; write US/Eastern or UTC") from None
    moment = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S").replace(tzinfo=zone)
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS
