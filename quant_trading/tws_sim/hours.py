"""When each class of instruments trades, and the words contract details have for it.

"20260105:0400-20260105:2000;20260106:CLOSED". Documented: US stocks 04:00 to 20:00, regular hours 09:30 to 16:00;
forex from 17:15 to 17:00 of the next day, Sunday to Friday. Assumed: futures trade from 18:00 to 17:00 on the
session days of New York, crypto at all hours, both without a difference between regular and all hours.
"""

from collections.abc import Callable
from datetime import date, timedelta

from quant_trading.refdata.sessions import (
    EXCHANGE_ZONE,
    FIRST_SESSION_DAY,
    LAST_SESSION_DAY,
    Session,
    at,
    exchange_date,
    session_on,
)
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.times import to_utc

__all__ = ["CRYPTO", "FOREX", "FUTURES", "STOCKS", "Calendar", "calendar_of", "liquid_hours", "trading_hours"]

# TWS describes today and the five days after it.
_DAYS_SHOWN = 6
_HOUR_NS = 3_600_000_000_000


class Calendar:
    """The sessions of one class of instruments, named by the date they belong to in New York."""

    def __init__(
        self,
        name: str,
        session_on: Callable[[date], Session | None],
        extended: Callable[[Session], tuple[int, int]] | None = None,
    ) -> None:
        self.name = name
        self._session_on = session_on
        self._extended = extended

    def session_on(self, day: date) -> Session | None:
        """Return the regular session of a date, None when there is none."""
        return self._session_on(day) if FIRST_SESSION_DAY <= day <= LAST_SESSION_DAY else None

    def span(self, session: Session, use_rth: bool) -> tuple[int, int]:
        """Return when trading of the session begins and ends, with the hours around it unless `use_rth`."""
        if use_rth or self._extended is None:
            return session.open_ns, session.close_ns
        return self._extended(session)

    def session_at(self, ns: int, use_rth: bool = True) -> Session | None:
        """Return the session that runs at `ns`, None when the market is closed."""
        today = exchange_date(ns)
        for day in (today, today + timedelta(days=1)):
            session = self.session_on(day)
            if session is not None:
                begins, ends = self.span(session, use_rth)
                if begins <= ns < ends:
                    return session
        return None

    def next_session(self, ns: int, use_rth: bool = True) -> Session | None:
        """Return the first session that begins after `ns`, None at the end of the table."""
        day = exchange_date(ns)
        while day <= LAST_SESSION_DAY:
            session = self.session_on(day)
            if session is not None and self.span(session, use_rth)[0] > ns:
                return session
            day += timedelta(days=1)
        return None

    def hours(self, now_ns: int, use_rth: bool) -> str:
        """Return the hours of today and the next days in New York time, in the words of contract details."""
        today = exchange_date(now_ns)
        days = (today + timedelta(days=n) for n in range(_DAYS_SHOWN))
        return ";".join(self._words(day, use_rth) for day in days if day <= LAST_SESSION_DAY)

    def _words(self, day: date, use_rth: bool) -> str:
        session = self.session_on(day)
        if session is None:
            return f"{day:%Y%m%d}:CLOSED"
        return "-".join(_moment(ns) for ns in self.span(session, use_rth))


def _moment(ns: int) -> str:
    return f"{to_utc(ns).astimezone(EXCHANGE_ZONE):%Y%m%d:%H%M}"


def _stock_extended(session: Session) -> tuple[int, int]:
    return session.open_ns - 11 * _HOUR_NS // 2, session.close_ns + 4 * _HOUR_NS


def _forex_session(day: date) -> Session | None:
    if day.weekday() >= 5 or (day.month, day.day) in ((1, 1), (12, 25)):
        return None
    return Session(day, at(day - timedelta(days=1), "17:15"), at(day, "17:00"), is_half_day=False)


def _future_session(day: date) -> Session | None:
    stocks = session_on(day)
    if stocks is None:
        return None
    close = "13:15" if stocks.is_half_day else "17:00"
    return Session(day, at(day - timedelta(days=1), "18:00"), at(day, close), stocks.is_half_day)


def _crypto_session(day: date) -> Session | None:
    return Session(day, at(day, "00:00"), at(day + timedelta(days=1), "00:00"), is_half_day=False)


STOCKS = Calendar("stocks", session_on, _stock_extended)
FOREX = Calendar("forex", _forex_session)
FUTURES = Calendar("futures", _future_session)
CRYPTO = Calendar("crypto", _crypto_session)
_INDICES = Calendar("indices", session_on)

_BY_TYPE = {"CASH": FOREX, "FUT": FUTURES, "CONTFUT": FUTURES, "CRYPTO": CRYPTO, "IND": _INDICES, "OPT": _INDICES}


def calendar_of(contract: Contract) -> Calendar:
    """Return when a contract trades."""
    return _BY_TYPE.get(contract.sec_type, STOCKS)


def liquid_hours(now_ns: int, calendar: Calendar = STOCKS) -> str:
    """Return the regular hours of today and the next days, in New York time."""
    return calendar.hours(now_ns, use_rth=True)


def trading_hours(now_ns: int, calendar: Calendar = STOCKS) -> str:
    """Return all hours of today and the next days, in New York time."""
    return calendar.hours(now_ns, use_rth=False)
