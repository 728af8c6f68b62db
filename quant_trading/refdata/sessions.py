"""The sessions of the New York Stock Exchange, which US stocks and ETFs follow.

Every weekday is a session from 09:30 to 16:00 New York time unless the dated table says otherwise.
Moments are int64 UTC nanoseconds; this is the only place that turns them into exchange time and back.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from quant_trading.refdata.xnys_table import EARLY_CLOSES, FIRST_DAY, HOLIDAYS, LAST_DAY

__all__ = [
    "EXCHANGE_ZONE",
    "FIRST_SESSION_DAY",
    "LAST_SESSION_DAY",
    "Session",
    "SessionRangeError",
    "at",
    "exchange_date",
    "last_completed_session",
    "next_session",
    "session_at",
    "session_on",
    "sessions_between",
]

EXCHANGE_ZONE = ZoneInfo("America/New_York")
FIRST_SESSION_DAY = date.fromisoformat(FIRST_DAY)
LAST_SESSION_DAY = date.fromisoformat(LAST_DAY)

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REGULAR_OPEN, _REGULAR_CLOSE = "09:30", "16:00"


class SessionRangeError(ValueError):
    """A day lies outside the table of sessions."""


@dataclass(frozen=True, slots=True)
class Session:
    """One regular session.

    Attributes:
        day: exchange date.
        open_ns, close_ns: UTC ns; the session is [open_ns, close_ns).
        is_half_day: True when it closes early.
    """

    day: date
    open_ns: int
    close_ns: int
    is_half_day: bool


def at(day: date, clock_time: str) -> int:
    """Return the UTC ns of `clock_time` ("09:30" or "09:30:00") in New York on `day`."""
    local = datetime.combine(day, time.fromisoformat(clock_time), tzinfo=EXCHANGE_ZONE)
    since = local.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * _SECOND_NS


def exchange_date(ns: int) -> date:
    """Return the New York date of the moment `ns`."""
    return (_EPOCH + timedelta(seconds=ns // _SECOND_NS)).astimezone(EXCHANGE_ZONE).date()


@lru_cache(maxsize=64)
def _sessions_of_year(year: int) -> tuple[Session, ...]:
    sessions = []
    day = date(year, 1, 1)
    while day.year == year:
        text = day.isoformat()
        if day.weekday() < 5 and text not in HOLIDAYS:
            close = EARLY_CLOSES[text][0] if text in EARLY_CLOSES else _REGULAR_CLOSE
            sessions.append(Session(day, at(day, _REGULAR_OPEN), at(day, close), text in EARLY_CLOSES))
        day += timedelta(days=1)
    return tuple(sessions)


@lru_cache(maxsize=64)
def _by_day(year: int) -> dict[date, Session]:
    return {session.day: session for session in _sessions_of_year(year)}


def _check(day: date) -> None:
    if not FIRST_SESSION_DAY <= day <= LAST_SESSION_DAY:
        raise SessionRangeError(
            f"{day} is outside the table of XNYS sessions, {FIRST_DAY} to {LAST_DAY}; "
            "extend it with scripts/make_session_table.py"
        )


def session_on(day: date) -> Session | None:
    """Return the session of the exchange date `day`, None on weekends and holidays.

    Raises:
        SessionRangeError: `day` is outside the table.
    """
    _check(day)
    return _by_day(day.year).get(day)


@lru_cache(maxsize=256)
def sessions_between(first: date, last: date) -> tuple[Session, ...]:
    """Return the sessions with first <= day <= last, oldest first; empty when last is before first.

    Raises:
        SessionRangeError: a bound is outside the table.
    """
    _check(first)
    _check(last)
    found: list[Session] = []
    for year in range(first.year, last.year + 1):
        sessions = _sessions_of_year(year)
        if first.year < year < last.year:
            found.extend(sessions)
            continue
        begin = bisect_left(sessions, first, key=_day_of)
        end = bisect_right(sessions, last, key=_day_of)
        found.extend(sessions[begin:end])
    return tuple(found)


def _day_of(session: Session) -> date:
    return session.day


def session_at(ns: int) -> Session | None:
    """Return the session with open_ns <= ns < close_ns, None when the exchange is closed."""
    session = session_on(exchange_date(ns))
    if session is None or not session.open_ns <= ns < session.close_ns:
        return None
    return session


def last_completed_session(ns: int) -> Session:
    """Return the latest session with close_ns <= ns.

    Raises:
        SessionRangeError: there is none in the table.
    """
    day = exchange_date(ns)
    while True:
        session = session_on(day)
        if session is not None and session.close_ns <= ns:
            return session
        day -= timedelta(days=1)


def next_session(ns: int) -> Session:
    """Return the first session with open_ns > ns.

    Raises:
        SessionRangeError: there is none in the table.
    """
    day = exchange_date(ns)
    while True:
        session = session_on(day)
        if session is not None and session.open_ns > ns:
            return session
        day += timedelta(days=1)
