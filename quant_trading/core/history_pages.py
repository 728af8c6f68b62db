"""A long stretch of history as requests that TWS takes, each ending with a session. Pure.

The stretch is cut into cells: a session for bars of a minute and more, a slice of one for smaller bars. Cells are
fixed by the calendar, so what one run has asked a later run knows again; days without a session are no cell and are
never asked for. Neighbouring cells go into one page as far as IBKR's table of durations and bar sizes allows:

| bars | longest page |
| --- | --- |
| 1 secs | 1800 S |
| 5 secs | 3600 S |
| 10, 15 secs | 14400 S |
| 30 secs | 28800 S |
| 1 min | 1 D |
| 2 mins | 2 D |
| 3 to 20 mins | 5 D, the sessions of a week |
| 30 mins to 8 hours | 1 M |
| 1 day | 10 Y |
| 1W, 1M | 68 Y |
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from quant_trading.domain.bar_sizes import BarSize, Duration
from quant_trading.domain.errors import UsageError
from quant_trading.refdata.sessions import (
    FIRST_SESSION_DAY,
    Session,
    SessionRangeError,
    at,
    exchange_date,
    sessions_between,
)

__all__ = ["DAY_SETTLES_MINUTES", "Cell", "Page", "Stretch", "adjusted_page", "cells_between", "pages_of", "stretch_of"]

# The bar of a day takes in the closing auction and the trades that are reported late: it goes on changing for a while
# after the close, and what is asked sooner would be kept as the bar of that day.
DAY_SETTLES_MINUTES = 30
_SECOND_NS = 1_000_000_000
_DAY_SECONDS = 86_400
_SLICE_SECONDS = {1: 1_800, 5: 3_600, 10: 14_400, 15: 14_400, 30: 28_800}
_MONTH = Duration(1, "M")
_MOST_YEARS = 10
_FEW_SESSIONS = 20
# IBKR keeps bars of 30 seconds and less for six months.
_KEPT = Duration(6, "M")
_ALL_HOURS = ("04:00", "20:00")


class Cell(NamedTuple):
    """What is asked and accounted for as one: [start_ns, end_ns), UTC ns, within one session."""

    start_ns: int
    end_ns: int

    @property
    def day(self) -> date:
        """Return its exchange date."""
        return exchange_date(self.start_ns)


@dataclass(frozen=True, slots=True)
class Page:
    """One historical request.

    Attributes:
        end, duration: in TWS's words; an empty end is now.
        start_ns, end_ns: bars that start outside are not of this page.
        cells: those it covers, oldest first, all that lie between the first and the last wanted one.
    """

    end: str
    duration: str
    start_ns: int
    end_ns: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a user asked for.

    Attributes:
        cells: oldest first.
        until_ns: bars that end later are left out.
        too_old: how many cells were left out because IBKR no longer has them.
    """

    cells: tuple[Cell, ...]
    until_ns: int
    too_old: int = 0


def stretch_of(size: BarSize, duration: Duration, until_ns: int, now_ns: int, *, all_hours: bool) -> Stretch:
    """Return the cells of a duration that ends at `until_ns`.

    It reaches back as TWS counts: seconds of trading, sessions, or calendar weeks, months and years from the date of
    the last session that has begun. Of bars of a day and more a session counts half an hour after its close.

    Args:
        size: of the bars.
        duration: how far back.
        until_ns: the end, counted to the second; not after `now_ns`.
        now_ns: TWS's time.
        all_hours: with pre-market and after-hours trading.

    Raises:
        UsageError: when there is no session so far back, or the table of sessions ends before.
    """
    until_ns -= until_ns % _SECOND_NS  # what TWS can be told
    try:
        last = _latest_begun(until_ns, all_hours=all_hours)
        first_day, from_ns = _reach(duration, last, until_ns, all_hours=all_hours)
        cells = cells_between(size, first_day, last.day, all_hours=all_hours)
    except SessionRangeError as error:
        raise UsageError(f"{error}; name another end") from error
    cells = tuple(cell for cell in cells if cell.start_ns < until_ns and cell.end_ns > from_ns)
    if size.seconds == _DAY_SECONDS:
        cells = tuple(cell for cell in cells if cell.end_ns <= until_ns)  # the bar of a running day is none yet
    if size.seconds >= _DAY_SECONDS:
        settled_ns = now_ns - DAY_SETTLES_MINUTES * 60 * _SECOND_NS
        cells = tuple(cell for cell in cells if cell.end_ns <= settled_ns)
    if size.seconds >= 60:
        return Stretch(cells, until_ns)
    oldest = _KEPT.day_before(exchange_date(now_ns))
    kept = tuple(cell for cell in cells if cell.day > oldest)
    return Stretch(kept, until_ns, len(cells) - len(kept))


def _latest_begun(ns: int, *, all_hours: bool) -> Session:
    day = exchange_date(ns)
    first = max(FIRST_SESSION_DAY, day - timedelta(days=14))
    found = [s for s in sessions_between(first, day) if _span(s, all_hours=all_hours)[0] < ns]
    if not found:
        raise SessionRangeError(f"{day} has no session before it in the table of sessions")
    return found[-1]


def _reach(duration: Duration, last: Session, until_ns: int, *, all_hours: bool) -> tuple[date, int]:
    """Return the first day of a duration, and the moment before which nothing counts."""
    if duration.unit in "WMY":
        return max(FIRST_SESSION_DAY, duration.day_before(last.day) + timedelta(days=1)), 0
    sessions = _sessions_back(last.day, duration.count if duration.unit == "D" else duration.count // 12_600 + 2)
    if duration.unit == "D":
        return sessions[max(0, len(sessions) - duration.count)].day, 0
    left = duration.count * _SECOND_NS
    begins = 0
    for session in reversed(sessions):
        begins, ends = _span(session, all_hours=all_hours)
        traded = min(ends, until_ns) - begins
        if traded >= left:
            return session.day, min(ends, until_ns) - left
        left -= traded
    return sessions[0].day, begins


def _sessions_back(last: date, count: int) -> tuple[Session, ...]:
    """Return at least `count` sessions up to `last`, as far as the table goes."""
    first = last - timedelta(days=count * 7 // 5 + count // 20 + 14)
    return sessions_between(max(FIRST_SESSION_DAY, first), last)


def cells_between(size: BarSize, first: date, last: date, *, all_hours: bool) -> tuple[Cell, ...]:
    """Return the cells of the sessions with first <= day <= last, oldest first.

    Raises:
        SessionRangeError: when a day is outside the table of sessions.
    """
    spans = [_span(session, all_hours=all_hours) for session in sessions_between(first, last)]
    slice_seconds = _SLICE_SECONDS.get(size.seconds)
    if slice_seconds is None:
        return tuple(Cell(*span) for span in spans)
    step = slice_seconds * _SECOND_NS
    return tuple(Cell(ns, min(ns + step, end)) for begin, end in spans for ns in range(begin, end, step))


def _span(session: Session, *, all_hours: bool) -> tuple[int, int]:
    if not all_hours:
        return session.open_ns, session.close_ns
    begins, ends = _ALL_HOURS
    return at(session.day, begins), at(session.day, ends)


def pages_of(size: BarSize, cells: Sequence[Cell], wanted: Collection[int], until_ns: int) -> list[Page]:
    """Return the requests that bring the wanted cells, newest first.

    Args:
        size: of the bars.
        cells: neighbours in the calendar, oldest first.
        wanted: which of them, by index; a page of months or years may bring others in between as well.
        until_ns: no page reaches beyond it.
    """
    left = sorted(index for index in set(wanted) if cells[index].start_ns < until_ns)
    if size.seconds > _DAY_SECONDS:
        return [_years(cells[left[0] : left[-1] + 1], until_ns)] if left else []
    pages = []
    while left:
        taken, duration = _newest(size, cells, left)
        del left[-len(taken) :]
        pages.append(_page(size, cells[taken[0] : taken[-1] + 1], duration, until_ns))
    return pages


def _newest(size: BarSize, cells: Sequence[Cell], left: list[int]) -> tuple[list[int], str]:
    """Return which cells the next page takes from the end of `left`, and its duration."""
    last = left[-1]
    if size.seconds in _SLICE_SECONDS:
        return [last], ""
    if size.is_intraday and size.seconds >= 1_800:
        before = _MONTH.day_before(cells[last].day)
        return [index for index in left if cells[index].day > before], _MONTH.words
    most = {60: 1, 120: 2}.get(size.seconds, 5) if size.is_intraday else _FEW_SESSIONS
    taken = [index for index in left if index > last - most]
    if size.is_intraday or taken == left:
        # Days count sessions: a hole between two wanted ones is asked for, too.
        return taken, f"{last - taken[0] + 1} D"
    reach = Duration(min(_years_between(cells[left[0]].day, cells[last].day), _MOST_YEARS), "Y")
    before = reach.day_before(cells[last].day)
    return [index for index in left if cells[index].day > before], reach.words


def _page(size: BarSize, cells: Sequence[Cell], duration: str, until_ns: int) -> Page:
    end_ns = min(cells[-1].end_ns, until_ns)
    if not duration:
        duration = f"{-(-(end_ns - cells[0].start_ns) // _SECOND_NS)} S"
    asked_ns = end_ns
    if not size.is_intraday:
        # A day's bar is complete after the close only; what ends a day needs no hour.
        asked_ns = min(at(cells[-1].day, "23:59:59"), until_ns)
    return Page(_utc(asked_ns), duration, cells[0].start_ns, end_ns, tuple(cells))


def _years(cells: Sequence[Cell], until_ns: int) -> Page:
    """Return the one request for weeks or months: their bars must not be cut by a page that begins within one."""
    end_ns = min(cells[-1].end_ns, until_ns)
    years = _years_between(cells[0].day, cells[-1].day)
    asked_ns = min(at(cells[-1].day, "23:59:59"), until_ns)
    return Page(_utc(asked_ns), f"{years} Y", cells[0].start_ns, end_ns, tuple(cells))


def _years_between(first: date, last: date) -> int:
    """Return how many years, counted back from `last`, take `first` in."""
    years = max(1, (last - first).days // 366)
    while Duration(years, "Y").day_before(last) >= first:
        years += 1
    return years


def adjusted_page(size: BarSize, cells: Sequence[Cell], until_ns: int, now_ns: int) -> Page:
    """Return the one request for bars that TWS adjusts for dividends: they end now, whatever the end wished for.

    Raises:
        UsageError: for bars of less than a minute.
    """
    if size.seconds < 60:
        raise UsageError(
            f"ADJUSTED_LAST of {size.words} bars: TWS serves them up to now only, and so many in no one request; fetch "
            "TRADES, and let the store adjust them when they are read"
        )
    first, today = cells[0].day, exchange_date(now_ns)
    weeks = (today - first).days // 7 + 1
    duration = f"{weeks} W" if weeks <= 52 and size.seconds <= 14_400 else f"{_years_between(first, today)} Y"
    return Page("", duration, cells[0].start_ns, min(cells[-1].end_ns, until_ns), tuple(cells))


def _utc(ns: int) -> str:
    # Rounded down: an end after TWS's own time would mean now.
    return f"{datetime.fromtimestamp(ns // _SECOND_NS, UTC):%Y%m%d-%H:%M:%S}"
