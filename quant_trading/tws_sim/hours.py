"""Trading hours in the words of contract details: "20260105:0400-20260105:2000;20260106:CLOSED"."""

from datetime import date, timedelta

from quant_trading.refdata.sessions import LAST_SESSION_DAY, Session, exchange_date, session_on

__all__ = ["liquid_hours", "trading_hours"]

# TWS describes today and the five days after it.
_DAYS_SHOWN = 6


def liquid_hours(now_ns: int) -> str:
    """Return the regular hours of today and the next days, in New York time."""
    return _hours(now_ns, is_liquid=True)


def trading_hours(now_ns: int) -> str:
    """Return all hours, 04:00 to four hours after the close, of today and the next days, in New York time."""
    return _hours(now_ns, is_liquid=False)


def _hours(now_ns: int, *, is_liquid: bool) -> str:
    today = exchange_date(now_ns)
    days = (today + timedelta(days=n) for n in range(_DAYS_SHOWN))
    return ";".join(_day(day, is_liquid=is_liquid) for day in days if day <= LAST_SESSION_DAY)


def _day(day: date, *, is_liquid: bool) -> str:
    text = day.strftime("%Y%m%d")
    session = session_on(day)
    if session is None:
        return f"{text}:CLOSED"
    close_hour = _close_hour(session)
    begins, ends = ("0930", close_hour) if is_liquid else ("0400", close_hour + 4)
    return f"{text}:{begins}-{text}:{ends:02d}00"


def _close_hour(session: Session) -> int:
    """Return the hour of the close; every session of the table ends on the hour."""
    return 9 + (session.close_ns - session.open_ns + 1_800_000_000_000) // 3_600_000_000_000
