"""The sessions of any exchange: New York's from our own table, others' from exchange_calendars, kept on disk.

exchange_calendars and its pandas are loaded once for each exchange, when its table is made; later runs read the table.
Without them New York still answers, and so does every exchange whose table is there.

    calendars = Calendars(home / "state" / "calendars")
    calendars.sessions("LSE", date(2025, 12, 1), date(2025, 12, 31))
"""

import csv
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

from quant_trading.data.files import replace_file
from quant_trading.domain.errors import ConfigError, UsageError
from quant_trading.refdata.sessions import FIRST_SESSION_DAY, LAST_SESSION_DAY, SessionRangeError, sessions_between

__all__ = ["MICS", "Calendars", "ExchangeSession", "mic_of"]

# IBKR's names of exchanges -> market identifier codes of the calendars they follow.
MICS: Mapping[str, str] = {
    **dict.fromkeys(("SMART", "NYSE", "NASDAQ", "ISLAND", "ARCA", "AMEX", "BATS", "IEX", "PINK"), "XNYS"),
    "LSE": "XLON", "LSEETF": "XLON", "IBIS": "XETR", "IBIS2": "XETR", "FWB": "XFRA", "SBF": "XPAR", "AEB": "XAMS",
    "EBS": "XSWX", "BVME": "XMIL", "BM": "XMAD", "ENEXT.BE": "XBRU", "SFB": "XSTO", "OSE": "XOSL", "CPH": "XCSE",
    "HEX": "XHEL", "VSE": "XWBO", "WSE": "XWAR", "TSE": "XTSE", "VENTURE": "XTSE", "TSEJ": "XTKS", "SEHK": "XHKG",
    "ASX": "XASX", "SGX": "XSES", "KSE": "XKRX", "SEHKNTL": "XSHG", "SEHKSZSE": "XSHG", "MEXI": "XMEX",
    "TASE": "XTAE", "JSE": "XJSE", "CME": "CMES", "CBOT": "CMES", "NYMEX": "CMES", "COMEX": "CMES", "CFE": "XCBF",
    "EUREX": "XEUR",
}  # fmt: skip
_FIRST, _LAST = date(2000, 1, 1), date(2030, 12, 31)
_COLUMNS = ("session", "open_utc", "close_utc", "break_start_utc", "break_end_utc", "is_half_day")


@dataclass(frozen=True, slots=True)
class ExchangeSession:
    """One regular session.

    Attributes:
        day: exchange date.
        open_ns, close_ns: UTC ns; the session is [open_ns, close_ns).
        is_half_day: True when it closes early.
        break_start_ns, break_end_ns: the lunch break, UTC ns; None where there is none.
    """

    day: date
    open_ns: int
    close_ns: int
    is_half_day: bool
    break_start_ns: int | None = None
    break_end_ns: int | None = None

    def is_open(self, ns: int) -> bool:
        """Return whether the exchange trades at `ns`, breaks left out."""
        if not self.open_ns <= ns < self.close_ns:
            return False
        return not (
            self.break_start_ns is not None
            and self.break_end_ns is not None
            and self.break_start_ns <= ns < self.break_end_ns
        )


def mic_of(exchange: str) -> str:
    """Return the market identifier code of IBKR's name of an exchange, or of a code itself.

    Raises:
        UsageError: when it is neither.
    """
    name = exchange.upper()
    if name in MICS:
        return MICS[name]
    if name in MICS.values():
        return name
    if len(name) == 4 and name.isalnum():
        return name  # the library knows many more; it refuses what it does not
    raise UsageError(f"exchange {exchange!r} is not known; write IBKR's name or a code: {', '.join(sorted(MICS))}")


@dataclass(frozen=True, slots=True)
class _Table:
    """The sessions of one exchange from `first` to `last`, both included."""

    first: date
    last: date
    sessions: tuple[ExchangeSession, ...]


class Calendars:
    """Sessions by exchange.

    Args:
        folder: where tables are kept, made when it is missing; None keeps them in memory only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._tables: dict[str, _Table] = {}

    def sessions(self, exchange: str, first: date, last: date) -> tuple[ExchangeSession, ...]:
        """Return the sessions with first <= day <= last, oldest first.

        Args:
            exchange: IBKR's name or a market identifier code; New York's is XNYS.
            first, last: exchange dates.

        Raises:
            ConfigError: when exchange_calendars is needed and not installed.
            SessionRangeError: when no table reaches so far.
            UsageError: when there is no such exchange.
        """
        mic = mic_of(exchange)
        if mic == "XNYS" and first >= FIRST_SESSION_DAY and last <= LAST_SESSION_DAY:
            own = sessions_between(first, last)
            return tuple(ExchangeSession(s.day, s.open_ns, s.close_ns, s.is_half_day) for s in own)
        found = self._table(mic, first, max(first, last)).sessions
        begin = bisect_left(found, first, key=_day_of)
        return found[begin : bisect_right(found, last, key=_day_of)]

    def session_on(self, exchange: str, day: date) -> ExchangeSession | None:
        """Return the session of an exchange date, None when the exchange is closed; raises as `sessions`."""
        found = self.sessions(exchange, day, day)
        return found[0] if found else None

    def is_open(self, exchange: str, ns: int) -> bool:
        """Return whether the exchange trades at `ns` (UTC); raises as `sessions`."""
        moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC).date().toordinal()
        # East of Greenwich a session's date may be a day ahead of UTC's, and west of it a day behind.
        days = date.fromordinal(moment - 1), date.fromordinal(moment + 1)
        return any(session.is_open(ns) for session in self.sessions(exchange, *days))

    def _table(self, mic: str, first: date, last: date) -> _Table:
        table = self._tables.get(mic) or self._read(mic)
        if table is None or first < table.first or last > table.last:
            table = _from_library(mic, min(first, _FIRST), max(last, _LAST))
            if first < table.first or last > table.last:
                raise SessionRangeError(
                    f"{first} to {last} reaches beyond what is known of {mic}, {table.first} to {table.last}; ask for "
                    "less, or update exchange_calendars"
                )
            if self._folder is not None:
                replace_file(self._folder / f"{mic}.csv", _encode(table))
        self._tables[mic] = table
        return table

    def _read(self, mic: str) -> _Table | None:
        """Return the table that was kept, None when there is none that is whole and of the library at hand."""
        if self._folder is None:
            return None
        try:
            head, _, body = (self._folder / f"{mic}.csv").read_text(encoding="utf-8").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        words = head.removeprefix("# ").split()
        version = _version()
        if len(words) != 4 or words[3] != _digest(body) or version not in (words[0], _NO_LIBRARY):
            return None
        sessions = tuple(_rows(body))
        return _Table(date.fromisoformat(words[1]), date.fromisoformat(words[2]), sessions)


_NO_LIBRARY = "none"


def _version() -> str:
    """Return the version of exchange_calendars without loading it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("exchange-calendars")
    except PackageNotFoundError:
        return _NO_LIBRARY


def _from_library(mic: str, first: date, last: date) -> _Table:
    """Return the sessions within these days as far as the library knows them."""
    try:
        import exchange_calendars as library
    except ImportError as error:
        raise ConfigError(
            f"the sessions of {mic} need exchange_calendars, which is not installed; run: pip install "
            "'exchange-calendars>=4.13,<5' (the extra `calendars`)"
        ) from error
    with catch_warnings():
        simplefilter("ignore")  # of the library about its own use of pandas: nothing a user could mend
        try:
            kind: Any = library.get_calendar(mic)  # of some years, to ask how far the library knows this exchange
        except library.errors.InvalidCalendarName as error:
            raise UsageError(f"exchange {mic} has no calendar; write IBKR's name of it or a market code") from error
        low, high = (bound and bound.date() for bound in (kind.bound_min(), kind.bound_max()))
        first, last = max(first, low or first), min(last, high or last)
        calendar = library.get_calendar(mic, start=first.isoformat(), end=last.isoformat())
    halves = {stamp.date() for stamp in calendar.early_closes}
    days = [stamp.date() for stamp in calendar.sessions]
    begins, ends = ([None if ns < 0 else ns for ns in pauses.tolist()]  # a day without a break has the least number
                    for pauses in (calendar.break_starts_nanos, calendar.break_ends_nanos))  # fmt: skip
    moments = zip(days, calendar.opens_nanos.tolist(), calendar.closes_nanos.tolist(), begins, ends, strict=True)
    sessions = [
        ExchangeSession(day, opens, closes, day in halves, begin, end) for day, opens, closes, begin, end in moments
    ]
    return _Table(first, last, tuple(sessions))


def _encode(table: _Table) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for s in table.sessions:
        moments = (s.open_ns, s.close_ns, s.break_start_ns, s.break_end_ns)
        writer.writerow([s.day, *("" if ns is None else _text(ns) for ns in moments), int(s.is_half_day)])
    body = text.getvalue()
    return f"# {_version()} {table.first} {table.last} {_digest(body)}\n{body}".encode()


def _rows(body: str) -> Iterator[ExchangeSession]:
    rows = csv.reader(body.splitlines())
    next(rows, None)
    for day, opens, closes, begins, ends, half in rows:
        pause = (_ns(text) if text else None for text in (begins, ends))
        yield ExchangeSession(date.fromisoformat(day), _ns(opens), _ns(closes), half == "1", *pause)


def _text(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _day_of(session: ExchangeSession) -> date:
    return session.day
