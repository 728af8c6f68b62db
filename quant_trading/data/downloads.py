"""One series on its way into the store: what is still to be asked, what came, and the CSV file at the end.

The ledger lies in the folder of the series: who removes the folder begins anew. A page is in the store before it is in
the ledger, and both are whole or not there, so a download may be killed anywhere and simply be started again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from quant_trading.core.history_pages import Cell, Page, Stretch, adjusted_page, cells_between, pages_of
from quant_trading.data.bar_store import BarMeta, BarStore, Series
from quant_trading.data.download_ledger import CERTAIN, LEDGER_FILE, DownloadLedger, LedgerLine
from quant_trading.data.macd_csv import macd_csv_path, write_macd_csv
from quant_trading.data.store_lock import series_lock
from quant_trading.data.store_writer import check_bars
from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, IntArray, no_bars
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, exchange_date

__all__ = ["Holes", "SeriesDownload", "Written"]

_SECOND_NS = 1_000_000_000
_HOUR, _DAY = 3_600, 86_400
_FEW_BARS_SECONDS = 4 * _HOUR  # a session has two of such bars, or one
_ROWS_PER_PAGE, _MOST_WAITING = 10_000, 16
_WRITTEN = "csv.sha256"  # what was written last, beside the bars
_LOOK_BACK = timedelta(days=14)  # within which there is a session in any case


@dataclass(frozen=True, slots=True)
class Written:
    """A CSV file.

    Attributes:
        bars: how many it holds.
        kept: where an older file went that held other bars, None when there was none.
    """

    path: Path
    bars: int
    kept: Path | None


@dataclass(frozen=True, slots=True)
class Holes:
    """What TWS lacks of a stretch; of small bars parts of sessions count as sessions.

    Attributes:
        is_all: it has no bar at all.
        begins: the first day it has bars of, None when it has some from the beginning.
        empty, short: sessions after that of which it has no bars, or fewer than the calendar expects.
    """

    is_all: bool
    begins: date | None
    empty: int
    short: int


@dataclass(frozen=True, slots=True)
class _Taken:
    """A page that came, see `SeriesDownload.take`."""

    page: Page
    bars: BarColumns
    asked_at: datetime
    replace: bool


class SeriesDownload:
    """The bars of one symbol, size and kind.

    Args:
        store: takes the bars.
        folder: takes the CSV file.
        symbol, size, what, all_hours: which bars.

    Raises:
        DataGap: when the ledger or the stored bars are unsound.
        ConfigError: when the symbol makes no file name.
    """

    def __init__(
        self, store: BarStore, folder: Path, symbol: str, size: BarSize, what: str, *, all_hours: bool
    ) -> None:
        self.symbol = symbol
        self.added = self.same = self.changed = 0
        self._store, self._folder = store, folder
        self._size, self._what, self._all_hours = size, what, all_hours
        self._place = store.folder_of(symbol, size.words, what, all_hours=all_hours)
        self.ledger = DownloadLedger(self._place / LEDGER_FILE)
        found = store.manifest(symbol, size.words, what, all_hours=all_hours)
        self._rows = 0 if found is None else found.rows
        self._waiting: list[_Taken] = []
        self._comparing: frozenset[Page] = frozenset()  # planned pages that meet stored bars
        self._unproven: set[Page] = set()  # those of them that have not come yet
        self._held: list[_Taken] = []  # other pages, until those have come
        self._refusal = ""  # why no page can be joined with what is stored

    # Planning.

    def span(self) -> tuple[int, int] | None:
        """Return from when to when there are bars or answers, UTC ns; None without any."""
        ends = [] if self.ledger.span is None else [self.ledger.span]
        stored = self._stored()
        if len(stored.start_ns):
            ends.append((int(stored.start_ns[0]), self._end_of(stored)))
        return (min(a for a, _ in ends), max(b for _, b in ends)) if ends else None

    def stored_stretch(self) -> Stretch:
        """Return the stretch from the first to the last thing that is known.

        Raises:
            DataGap: when nothing is.
        """
        span = self.span()
        if span is None:
            raise DataGap(
                f"{self.symbol}: nothing has been fetched or stored of {self._size.words} bars ({self._what}) yet; "
                "leave out --repair, and name a --duration"
            )
        first, last = exchange_date(span[0]), exchange_date(span[1] - 1)
        return Stretch(cells_between(self._size, first, last, all_hours=self._all_hours), span[1])

    def _end_of(self, stored: BarColumns) -> int:
        """Return when the last stored bar ends; of a day's bar that is the close, wherever its source lets it end."""
        if self._size.seconds == _DAY:
            day = exchange_date(int(stored.start_ns[-1]))
            if cells := cells_between(self._size, day, day, all_hours=self._all_hours):
                return cells[-1].end_ns
        return int(stored.end_ns[-1])

    def plan(self, stretch: Stretch, now_ns: int, *, repair: bool = False, refresh: bool = False) -> list[Page]:
        """Return the pages that are still to be asked: those that meet stored bars first, and newest first.

        What is new takes some of the bars along that are there already, its neighbours or the nearest ones, so that
        TWS's bars are compared where they overlap: a split or a correction shows.

        Args:
            stretch: what is wanted.
            now_ns: TWS's time.
            repair: ask also for cells that TWS had too few bars of, once more each.
            refresh: ask for everything, also before the first bar that TWS named at an earlier time.
        """
        self._comparing, self._unproven, self._held, self._refusal = frozenset(), set(), [], ""
        if not stretch.cells:
            return []
        stored = self._stored()
        if self._what == "ADJUSTED_LAST":
            return [self._adjusted(stretch, stored, now_ns)]
        cells = [*self._before(stretch.cells[0]), *stretch.cells]
        first = len(cells) - len(stretch.cells)
        wanted = {index for index in range(first, len(cells)) if refresh or not self._is_before_first(cells[index])}
        if not refresh and self._size.seconds <= _DAY:
            wanted = self._missing(cells, wanted, stored, stretch.until_ns, repair=repair)
        pages = pages_of(self._size, cells, wanted, stretch.until_ns)
        if not pages or not len(stored.start_ns):
            return pages
        meeting = [page for page in pages if _meets(stored, page)]
        if not meeting:
            pages += (meeting := self._nearest(pages, stored))
        self._comparing, self._unproven = frozenset(meeting), set(meeting)
        return sorted(pages, key=lambda page: page not in self._comparing)

    def compares(self, page: Page) -> bool:
        """Return whether a planned page meets stored bars; it should be asked before the others of the series."""
        return page in self._comparing

    def _missing(
        self, cells: Sequence[Cell], every: Collection[int], stored: BarColumns, until_ns: int, *, repair: bool
    ) -> set[int]:
        """Return which of the cells to ask for, with known neighbours."""
        counts = _counted(stored.start_ns, cells)
        wanted = {
            index
            for index in every
            if not self._is_there(cells[index], counts[index], until_ns)
            or (repair and 0 < self.ledger.times_asked(cells[index].start_ns) < CERTAIN)
        }
        reach = self._overlap
        for index in sorted(wanted):
            for side in (range(index - 1, index - 1 - reach, -1), range(index + 1, index + 1 + reach)):
                beside = [near for near in side if 0 <= near < len(cells) and near not in wanted]
                known = [near for near in beside if counts[near] and self._is_there(cells[near], counts[near], 2**63)]
                if known:
                    wanted.update(known)
                    break
        return wanted

    @property
    def _overlap(self) -> int:
        """Return how many known cells are asked along: one bar that has changed does not tell a split."""
        return 1 if self._size.seconds < _FEW_BARS_SECONDS else 3

    def _nearest(self, pages: Sequence[Page], stored: BarColumns) -> list[Page]:
        """Return the pages of the stored bars that lie nearest to pages which meet none."""
        begin, end = min(page.start_ns for page in pages), max(page.end_ns for page in pages)
        starts, reach = stored.start_ns, self._overlap
        before, after = int(np.searchsorted(starts, begin)) - 1, int(np.searchsorted(starts, end))
        is_before = before >= 0 and (after == len(starts) or begin - starts[before] <= starts[after] - end)
        if is_before:
            first, last = max(0, before - reach + 1), before
        else:
            after = min(after, len(starts) - 1)
            first, last = after, min(after + reach, len(starts)) - 1
        days = exchange_date(int(starts[first])), exchange_date(int(stored.end_ns[last]) - 1)
        try:
            found = cells_between(self._size, *days, all_hours=self._all_hours)
        except SessionRangeError:  # bars of another source from before the table begins
            return []
        if self._size.seconds <= _DAY:
            counts = _counted(starts, found)
            cells = [cell for cell, count in zip(found, counts, strict=True) if count]
            # A cell that bars of its session fill is one page; of smaller bars it is a part of the session.
            found = tuple(cells[-reach:] if is_before else cells[:reach])
        if not found:
            return []
        known = stored.end_ns[: int(np.searchsorted(starts, found[-1].end_ns))]
        return pages_of(self._size, found, range(len(found)), min(found[-1].end_ns, int(known[-1])))

    def _adjusted(self, stretch: Stretch, stored: BarColumns, now_ns: int) -> Page:
        """Return the one page of dividend-adjusted bars: each dividend moves every bar before it, stored ones as well.

        So what is stored is asked for along with what is wished, and all that lies in between.
        """
        cells, until_ns = stretch.cells, stretch.until_ns
        if len(stored.start_ns):
            stored_ns = self._end_of(stored)
            first = min(cells[0].day, exchange_date(int(stored.start_ns[0])))
            last = max(cells[-1].day, exchange_date(stored_ns - 1))
            cells = cells_between(self._size, first, last, all_hours=self._all_hours)
            until_ns = max(until_ns, stored_ns)
        return adjusted_page(self._size, cells, until_ns, now_ns)

    def nothing_before(self, stretch: Stretch, first_bar_ns: int, asked_at: datetime) -> None:
        """Note that TWS has no bars before `first_bar_ns`; the session before it is asked all the same."""
        if self.ledger.first_bar_ns != first_bar_ns:
            self.ledger.note(LedgerLine(asked_at, first_bar_ns, first_bar_ns, "first"))
        cells = [cell for cell in stretch.cells if self._is_before_first(cell)]
        if not cells or self.ledger.covers(cells[0].start_ns, cells[-1].end_ns):
            return
        text = f"the first bar TWS has is of {exchange_date(first_bar_ns)}"
        lacking = dict.fromkeys((cell.start_ns for cell in cells), 0)
        self.ledger.note(LedgerLine(asked_at, cells[0].start_ns, cells[-1].end_ns, "empty", 0, lacking, text))

    def is_before_first(self, page: Page) -> bool:
        """Return whether TWS has said that it has no bars as old as those of a page."""
        return all(self._is_before_first(cell) for cell in page.cells)

    def _is_before_first(self, cell: Cell) -> bool:
        first_ns = self.ledger.first_bar_ns
        return first_ns is not None and cell.end_ns <= first_ns - _DAY * _SECOND_NS

    def _before(self, cell: Cell) -> tuple[Cell, ...]:
        try:
            found = cells_between(self._size, cell.day - _LOOK_BACK, cell.day, all_hours=self._all_hours)
        except SessionRangeError:  # at the beginning of the table
            return ()
        return tuple(one for one in found if one.start_ns < cell.start_ns)[-self._overlap :]

    def _is_there(self, cell: Cell, count: int, until_ns: int) -> bool:
        if not self.ledger.covers(cell.start_ns, min(cell.end_ns, until_ns)):
            return False
        if cell.end_ns > until_ns:
            return True
        known = self.ledger.known(cell.start_ns)
        return count >= (self._expected(cell) if known is None else known)

    def _expected(self, cell: Cell) -> int:
        """Return how many bars the calendar expects; where a source may begin to count elsewhere, one."""
        if self._all_hours or self._size.seconds >= _HOUR:
            return 1
        return -((cell.start_ns - cell.end_ns) // (self._size.seconds * _SECOND_NS))

    def _stored(self) -> BarColumns:
        found = self._store.manifest(self.symbol, self._size.words, self._what, all_hours=self._all_hours)
        if found is None:
            return no_bars()
        return self._store.read(Series(found, self._place))

    # Taking.

    def is_taken(self, page: Page) -> bool:
        """Return whether another download of this series has brought in a page since it was planned here.

        Raises:
            DataGap: when the ledger is unsound.
        """
        self.ledger.refresh()
        ends = ((cell.start_ns, min(cell.end_ns, page.end_ns)) for cell in page.cells)
        return all(self.ledger.was_brought_by_another(start, end - end % _SECOND_NS) for start, end in ends)

    def take(self, page: Page, bars: BarColumns, asked_at: datetime, *, replace: bool = False) -> None:
        """Take the bars of a page; once there are enough of them they go into the store, and then into the ledger.

        A file of the store is written as a whole, so the larger it is, the more pages are brought in at once. Nothing
        is brought in before the pages that meet stored bars have come: only they show a split.

        Args:
            page: what was asked.
            bars: those that came; none when TWS has none.
            asked_at: TWS's time when the download was planned.
            replace: changed bars take their new values.

        Raises:
            DataGap, ConfigError: as `flush`.
        """
        one = _Taken(page, bars, asked_at, replace or self._what == "ADJUSTED_LAST")
        (self._waiting if page in self._comparing or not self._unproven else self._held).append(one)
        self._note_answer(page)
        if len(self._waiting) > min(self._rows // _ROWS_PER_PAGE, _MOST_WAITING):
            self.flush()

    def leave_out(self, page: Page) -> None:
        """Note that a planned page is not asked: another download has brought it, or TWS has nothing so old."""
        self._note_answer(page)

    def _note_answer(self, page: Page) -> None:
        self._unproven.discard(page)
        if not self._unproven and self._held:
            self._waiting += self._held
            self._held = []

    def flush(self) -> None:
        """Bring what was taken into the store and note it; what still waits to be proven is asked again another time.

        Raises:
            DataGap: when bars of a page are unsound, or cannot be joined with those that are stored, after a split for
                example; that page counts as failed. The others are brought in, unless it was to prove them.
            ConfigError: when the place cannot be written.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            if not self._refusal:
                self._bring(waiting)
                return
        except DataGap:
            pass  # of which page is found out one by one
        last: DataGap | None = None
        for one in sorted(waiting, key=lambda one: one.page not in self._comparing):
            try:
                if self._refusal:
                    raise DataGap(self._refusal)
                self._bring([one])
            except DataGap as error:
                self.fail(one.page, str(error), one.asked_at)
                last = error
                if one.page in self._comparing and _is_sound(self.symbol, one.bars):
                    self._refusal = str(error)
        if last is not None:
            raise last

    def _bring(self, taken: Sequence[_Taken]) -> None:
        parts = sorted((one for one in taken if len(one.bars.start_ns)), key=lambda one: one.page.start_ns)
        if parts:
            names = BarColumns.__slots__
            bars = BarColumns(*(np.concatenate([getattr(one.bars, name) for one in parts]) for name in names))
            meta = BarMeta("ibkr", parts[0].asked_at, self._what, self._all_hours)
            done = self._store.append(self.symbol, self._size.words, bars, meta, replace=parts[0].replace)
            self.added, self.same = self.added + done.added, self.same + done.same
            self.changed += len(done.changed)
            self._rows += done.added
        self.ledger.note(*(self._line(one) for one in taken))

    def _line(self, one: _Taken) -> LedgerLine:
        page, count = one.page, len(one.bars.start_ns)
        until_ns = page.end_ns - page.end_ns % _SECOND_NS
        outcome, lacking = "received" if count else "empty", self._lacking(page, one.bars)
        return LedgerLine(one.asked_at, page.start_ns, until_ns, outcome, count, lacking)

    def fail(self, page: Page, fault: str, asked_at: datetime) -> None:
        """Note that a page was not answered; it stays to be asked."""
        self._note_answer(page)
        self.ledger.note(LedgerLine(asked_at, page.start_ns, page.end_ns, "failed", text=fault))

    def _lacking(self, page: Page, bars: BarColumns) -> dict[int, int]:
        if self._size.seconds > _DAY:
            return {}
        cells = [cell for cell in page.cells if cell.end_ns <= page.end_ns]
        counts = _counted(bars.start_ns, cells)
        return {cell.start_ns: count for cell, count in zip(cells, counts, strict=True) if count < self._expected(cell)}

    # Ending.

    def write_csv(self) -> Written | None:
        """Flush, and write the CSV file of all stored bars, adjusted for splits; return None when there are no bars.

        Raises:
            DataGap: as `flush`, and when stored bars are unsound.
            ConfigError: when the place cannot be written.
        """
        self.flush()
        if self._store.manifest(self.symbol, self._size.words, self._what, all_hours=self._all_hours) is None:
            return None
        path = macd_csv_path(self._folder, self.symbol, self._size, self._what, all_hours=self._all_hours)
        with series_lock(self._place):  # of two downloads at once the later one writes all that both brought
            bars = self._store.columns(self.symbol, self._size.words, self._what, all_hours=self._all_hours)
            if bars is None:
                raise DataGap(f"{self._place}: the bars went away while they were read; run the same command again")
            kept = write_macd_csv(path, bars, self._size, self._place / _WRITTEN)
        return Written(path, len(bars.start_ns), kept)

    def unasked_days(self) -> list[date]:
        """Return the days of sessions between stored bars that have none and were never asked for, oldest first.

        Raises:
            DataGap: when stored bars or the ledger are unsound.
        """
        starts = self._stored().start_ns
        if not len(starts) or self._size.seconds > _DAY:
            return []
        first, last = exchange_date(int(starts[0])), exchange_date(int(starts[-1]))
        cells = [
            cell
            for cell in cells_between(self._size, first, last, all_hours=self._all_hours)
            if starts[0] < cell.start_ns and cell.end_ns <= starts[-1]
        ]
        counts = _counted(starts, cells)
        pairs = zip(cells, counts, strict=True)
        days = (cell.day for cell, count in pairs if not count and not self.ledger.covers(cell.start_ns, cell.end_ns))
        return list(dict.fromkeys(days))

    def holes(self, stretch: Stretch) -> Holes:
        """Return what TWS lacks of a stretch, by the calendar; raises DataGap when the ledger is unsound."""
        self.ledger.refresh()
        known = [self.ledger.known(cell.start_ns) for cell in stretch.cells]
        first = next((index for index, count in enumerate(known) if count != 0), len(known))
        inner = known[first:]
        begins = stretch.cells[first].day if 0 < first < len(known) else None
        return Holes(first == len(known), begins, inner.count(0), sum(bool(count) for count in inner))


def _meets(stored: BarColumns, page: Page) -> bool:
    return bool(np.searchsorted(stored.start_ns, page.end_ns) > np.searchsorted(stored.start_ns, page.start_ns))


def _is_sound(symbol: str, bars: BarColumns) -> bool:
    """Return whether bars could be stored if there were none yet."""
    try:
        check_bars(symbol, bars)
    except DataGap:
        return False
    return True


def _counted(starts: IntArray, cells: Sequence[Cell]) -> list[int]:
    """Return how many of the rising `starts` lie in each cell."""
    begins = np.array([cell.start_ns for cell in cells], dtype=np.int64)
    ends = np.array([cell.end_ns for cell in cells], dtype=np.int64)
    found: list[int] = (np.searchsorted(starts, ends) - np.searchsorted(starts, begins)).tolist()
    return found
