"""The sessions of the New York Stock Exchange, which US stocks and ETFs follow.

Every weekday is a session from 09:30 to 16:00 New York time unless the dated table says otherwise.
Moments are int64 UTC nanoseconds; this is the only place that turns them into exchange time and back.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from quant_trading.refdata.xnys_table import EARLY_CLOSES, FIRST_DAY, HOLIDAYS, LAST_DAY

if TYPE_CHECKING:  # numpy is loaded by the two functions on arrays only: the safety commands do without it
    import numpy as np
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]

__all__ = [
    "EXCHANGE_ZONE",
    "FIRST_SESSION_DAY",
    "LAST_SESSION_DAY",
    "Session",
    "SessionRangeError",
    "at",
    "exchange_clock_ns",
    "exchange_date",
    "exchange_days",
    "last_completed_session",
    "next_session",
    "session_arrays",
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


def exchange_days(ns: "IntArray") -> "IntArray":
    """Return the New York dates of the moments `ns` (int64, any order) as days since 1970-01-01."""
    return exchange_clock_ns(ns) // (86_400 * _SECOND_NS)


def exchange_clock_ns(ns: "IntArray") -> "IntArray":
    """Return what New York's clock showed at the moments `ns`, as int64 nanoseconds since 1970-01-01 on that clock."""
    import numpy as np

    if len(ns) == 0:
        return np.empty(0, dtype=np.int64)
    changes, offsets = _offsets(exchange_date(int(ns.min())).year, exchange_date(int(ns.max())).year)
    local: IntArray = ns + offsets[np.searchsorted(changes, ns, side="right")]
    return local


def session_arrays(first: date, last: date) -> "tuple[IntArray, IntArray, IntArray]":
    """Return the sessions with first <= day <= last: days since 1970-01-01, opens and closes in UTC ns.

    Raises:
        SessionRangeError: a bound is outside the table.
    """
    _check(first)
    _check(last)
    days, opens, closes = _arrays_of_years(first.year, max(last.year, first.year))
    epoch = _EPOCH.toordinal()
    begin, end = days.searchsorted((first.toordinal() - epoch, last.toordinal() - epoch + 1))
    return days[begin:end], opens[begin:end], closes[begin:end]


@lru_cache(maxsize=64)
def _arrays_of_years(first: int, last: int) -> "tuple[IntArray, IntArray, IntArray]":
    import numpy as np

    days = np.arange(f"{first}-01-01", f"{last + 1}-01-01", dtype="datetime64[D]").astype(np.int64)
    days = days[(days + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    closed = np.array([day for day in HOLIDAYS if first <= int(day[:4]) <= last], dtype="datetime64[D]")
    days = days[~np.isin(days, closed.astype(np.int64))]
    # No session spans a change of the clock, so the offset at noon holds for all of it.
    changes, offsets = _offsets(first, last)
    midnight = days * (86_400 * _SECOND_NS)
    midnight -= offsets[np.searchsorted(changes, midnight + 17 * 3_600 * _SECOND_NS, side="right")]
    closes = np.full(len(days), _clock_ns(_REGULAR_CLOSE), dtype=np.int64)
    for text, (close, *_) in EARLY_CLOSES.items():
        if first <= int(text[:4]) <= last:
            closes[days == date.fromisoformat(text).toordinal() - _EPOCH.toordinal()] = _clock_ns(close)
    arrays = days, midnight + _clock_ns(_REGULAR_OPEN), midnight + closes
    for array in arrays:
        array.flags.writeable = False  # they are shared by all who ask
    return arrays


def _clock_ns(clock_time: str) -> int:
    hours, minutes = clock_time.split(":")
    return (int(hours) * 3_600 + int(minutes) * 60) * _SECOND_NS


@lru_cache(maxsize=64)
def _offsets(first: int, last: int) -> "tuple[IntArray, IntArray]":
    """Return when New York's clock changed in these years, and its offsets from UTC: one more, the first before all."""
    import numpy as np

    changes = [change for year in range(first, last + 1) for change in _changes_of_year(year)]
    offsets = [_offset_at(_year_start(first)), *(_offset_at(change) for change in changes)]
    return (
        np.array(changes, dtype=np.int64) * _SECOND_NS,
        np.array(offsets, dtype=np.int64) * _SECOND_NS,
    )


@lru_cache(maxsize=128)
def _changes_of_year(year: int) -> tuple[int, ...]:
    """Return the seconds since 1970 at which the clock was changed, found by halving each half year."""
    changes = []
    for begin, end in ((_year_start(year), _year_start(year, 7)), (_year_start(year, 7), _year_start(year + 1))):
        low, high = begin, end
        while _offset_at(low) != _offset_at(high) and high - low > 1:
            middle = (low + high) // 2
            if _offset_at(middle) == _offset_at(low):
                low = middle
            else:
                high = middle
        if _offset_at(begin) != _offset_at(end):
            changes.append(high)
    return tuple(changes)


def _year_start(year: int, month: int = 1) -> int:
    return int((datetime(year, month, 1, 5, tzinfo=UTC) - _EPOCH).total_seconds())


def _offset_at(seconds: int) -> int:
    offset = (_EPOCH + timedelta(seconds=seconds)).astimezone(EXCHANGE_ZONE).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
