"""Which bars of a stream are final, each told once and in order; what an outage damaged comes from history. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from quant_trading.core.streams import StreamBar
from quant_trading.refdata.sessions import SessionRangeError, exchange_date, sessions_between

__all__ = ["BarBook", "BarRow", "HistoryPage", "duration_words", "missed_pages"]

_SECOND_NS = 1_000_000_000
_DAY_SECONDS = 86_400
_SETTLE_NS = 5 * _SECOND_NS  # clocks differ, and TWS completes a bar a moment after its end
_OVERDUE_NS = 8 * _SECOND_NS
_MOST_HELD = 20_000


class BarRow(NamedTuple):
    """One bar as TWS sent it; `start_ns` is UTC ns."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class BarBook:
    """The bars of one stream.

    A bar is final when its successor follows it without a hole and nothing went wrong in between, or when an answer
    of history has it. After `damage` nothing is final until history has been asked.

    Args:
        stream: number of the stream, put into every bar.
        size_ns: length of one bar.
    """

    def __init__(self, stream: int, size_ns: int) -> None:
        self._stream = stream
        self._size_ns = size_ns
        self._running: BarRow | None = None
        self._held: list[BarRow] = []
        self._is_sound = False
        self._has_begun = False
        self.final_until_ns: int | None = None
        self.late_rows = 0

    @property
    def is_sound(self) -> bool:
        """Return False from a damage until history has mended it."""
        return self._is_sound

    def damage(self) -> None:
        """Take note that updates may be missing from now on."""
        self._is_sound = False

    def begin_at(self, ns: int) -> None:
        """Tell no bar that begins before `ns`."""
        self.final_until_ns = ns

    def is_overdue(self, now_ns: int) -> bool:
        """Return True when the running bar is over and nothing has followed it: ask history whether it is complete."""
        running = self._running
        return running is not None and running.start_ns + self._size_ns + _OVERDUE_NS <= now_ns

    @property
    def overdue_ns(self) -> int | None:
        """Return when `is_overdue` becomes true, None while no bar is running."""
        return None if self._running is None else self._running.start_ns + self._size_ns + _OVERDUE_NS

    def update(self, row: BarRow, now_ns: int) -> list[StreamBar]:
        """Take the state of a running bar; return what there is to tell, the running bar last.

        When the book is not sound afterwards, history has to be asked from `final_until_ns` on.
        """
        if self.final_until_ns is not None and row.start_ns < self.final_until_ns:
            self.late_rows += 1
            return []
        told = []
        before, self._running = self._running, row
        if before is not None and row.start_ns < before.start_ns:
            self.late_rows += 1
            self._running = before
            return []
        if self._is_sound:
            if before is not None and row.start_ns == before.start_ns + self._size_ns:
                told.append(self._final(before, now_ns, is_backfill=False))
            elif not self._continues(before, row):
                self._is_sound = False
        told.append(self._told(row, now_ns, is_final=False, is_backfill=False))
        return told

    def _continues(self, before: BarRow | None, row: BarRow) -> bool:
        if before is not None:
            return row.start_ns == before.start_ns
        return self.final_until_ns is None or row.start_ns == self.final_until_ns

    def complete(self, row: BarRow, now_ns: int) -> list[StreamBar]:
        """Take a bar that is complete when it comes (five second bars); hold it back while the book is not sound."""
        if self.final_until_ns is not None and row.start_ns < self.final_until_ns:
            self.late_rows += 1
            return []
        if not self._has_begun:
            self._has_begun = self._is_sound = True
        elif self._is_sound and self.final_until_ns is not None and row.start_ns != self.final_until_ns:
            self._is_sound = False
        if self._is_sound:
            return [self._final(row, now_ns, is_backfill=False)]
        self._held.append(row)
        del self._held[:-_MOST_HELD]
        return []

    def history(self, rows: Sequence[BarRow], now_ns: int) -> list[StreamBar]:
        """Take an answer of history that covers everything from `final_until_ns` to now, oldest row first."""
        self._has_begun = True
        self._is_sound = True
        told: list[StreamBar] = []
        for at, row in enumerate(rows):
            if self.final_until_ns is not None and row.start_ns < self.final_until_ns:
                continue
            end_ns = row.start_ns + self._size_ns
            has_successor = at < len(rows) - 1 or (self._running is not None and self._running.start_ns > row.start_ns)
            # Without one the last bar may be running still, whatever our clock says.
            if has_successor or end_ns + _SETTLE_NS <= now_ns:
                told.append(self._final(row, now_ns, is_backfill=True))
            else:
                self._running = row
                told.append(self._told(row, now_ns, is_final=False, is_backfill=True))
        if self._running is not None and self._running.start_ns < (self.final_until_ns or 0):
            self._running = None
        held, self._held = self._held, []
        for row in held:
            told += self.complete(row, now_ns)
        return told

    def _final(self, row: BarRow, now_ns: int, *, is_backfill: bool) -> StreamBar:
        self.final_until_ns = row.start_ns + self._size_ns
        return self._told(row, now_ns, is_final=True, is_backfill=is_backfill)

    def _told(self, row: BarRow, now_ns: int, *, is_final: bool, is_backfill: bool) -> StreamBar:
        end_ns = row.start_ns + self._size_ns
        return StreamBar(
            self._stream, row.start_ns, end_ns, row.open, row.high, row.low, row.close, row.volume, is_final,
            is_backfill, now_ns,
        )  # fmt: skip


class HistoryPage(NamedTuple):
    """One historical request in TWS's words; an empty end is now."""

    end: str
    duration: str


def duration_words(seconds: float, longest_seconds: int) -> str:
    """Return the shortest duration TWS accepts that covers `seconds`.

    Args:
        longest_seconds: what the bar size allows at most in seconds; beyond it whole days are asked for.
    """
    for step in (1800, 3600, 14_400, 28_800):
        if seconds <= step <= longest_seconds:
            return f"{step} S"
    # "1 D" reaches back to the last open at least, more days count sessions: one more than the calendar is safe.
    return f"{int(seconds // _DAY_SECONDS) + 2} D"


def missed_pages(from_ns: int, now_ns: int, size_seconds: int, *, regular_hours: bool) -> list[HistoryPage]:
    """Return the requests that bring every bar from `from_ns` to now, oldest first.

    Bars of a minute and more come in one request. Smaller ones come by the hour, which TWS allows for all of them
    (and half an hour for single seconds); hours without a session are left out when only those count.
    """
    if size_seconds >= 60:
        return [HistoryPage("", duration_words((now_ns - from_ns) / _SECOND_NS + size_seconds, 28_800))]
    page_ns = (1800 if size_seconds < 5 else 3600) * _SECOND_NS
    pages = []
    begin_ns = from_ns
    while begin_ns < now_ns:
        end_ns = min(begin_ns + page_ns, now_ns)
        if not regular_hours or _has_session(begin_ns, end_ns):
            is_last = end_ns == now_ns
            end = "" if is_last else f"{_utc(end_ns):%Y%m%d-%H:%M:%S}"
            pages.append(HistoryPage(end, f"{page_ns // _SECOND_NS} S"))
        begin_ns = end_ns
    return pages


def _has_session(begin_ns: int, end_ns: int) -> bool:
    try:
        found = sessions_between(exchange_date(begin_ns), exchange_date(end_ns))
    except SessionRangeError:
        return True
    return any(one.open_ns < end_ns and begin_ns < one.close_ns for one in found)


def _utc(ns: int) -> datetime:
    # Rounded up: a page may reach into the next one, but no second may be left out.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=-(-ns // _SECOND_NS))
