"""One series on its way into the store: what is still to be asked, what came, and the CSV file at the end.

The ledger lies in the folder of the series: who removes the folder begins anew. A page is in the store before it is in
the ledger, and both are whole or not there, so a download may be killed anywhere and simply be started again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from quant_trading.core.history_pages import Cell, Page, Stretch, adjusted_page, cells_between, pages_of
from quant_trading.data.bar_store import BarMeta, BarStore, Series
from quant_trading.data.download_ledger import CERTAIN, LEDGER_FILE, DownloadLedger, LedgerLine
from quant_trading.data.macd_csv import macd_csv_path, write_macd_csv
from quant_trading.data.store_lock import series_lock
from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, IntArray
from quant_trading.domain.errors import DataGap
from quant_trading.refdata.sessions import SessionRangeError, exchange_date

__all__ = ["Holes", "SeriesDownload", "Written"]

_SECOND_NS = 1_000_000_000
_HOUR, _DAY = 3_600, 86_400
_ROWS_PER_PAGE, _MOST_WAITING = 10_000, 16
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

    # Planning.

    def span(self) -> tuple[int, int] | None:
        """Return from when to when there are bars or answers, UTC ns; None without any."""
        ends = [] if self.ledger.span is None else [self.ledger.span]
        starts = self._stored()
        if len(starts):
            ends.append((int(starts[0]), int(starts[-1]) + min(self._size.seconds, _DAY) * _SECOND_NS))
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

    def plan(self, stretch: Stretch, now_ns: int, *, repair: bool = False, refresh: bool = False) -> list[Page]:
        """Return the pages that are still to be asked, newest first.

        A page that meets bars which are there already takes one cell of them along, so that TWS's bars are compared
        where they overlap: a split or a correction shows.

        Args:
            stretch: what is wanted.
            now_ns: TWS's time.
            repair: ask also for cells that TWS had too few bars of, once more each.
            refresh: ask for everything.
        """
        if not stretch.cells:
            return []
        cells = [*self._before(stretch.cells[0]), *stretch.cells]
        first = len(cells) - len(stretch.cells)
        if self._what == "ADJUSTED_LAST":  # each dividend moves every bar before it
            return [adjusted_page(self._size, stretch.cells, stretch.until_ns, now_ns)]
        every = [index for index in range(first, len(cells)) if not self._is_before_first(cells[index])]
        if refresh or self._size.seconds > _DAY:
            return pages_of(self._size, cells, every, stretch.until_ns)
        counts = self._counts(cells)
        wanted = {
            index
            for index in every
            if not self._is_there(cells[index], counts[index], stretch.until_ns)
            or (repair and 0 < self.ledger.times_asked(cells[index].start_ns) < CERTAIN)
        }
        for index in sorted(wanted):
            beside = [near for near in (index - 1, index + 1) if 0 <= near < len(cells) and near not in wanted]
            known = [near for near in beside if counts[near] and self._is_there(cells[near], counts[near], 2**63)]
            wanted.update(known[:1])
        return pages_of(self._size, cells, wanted, stretch.until_ns)

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

    def _is_before_first(self, cell: Cell) -> bool:
        first_ns = self.ledger.first_bar_ns
        return first_ns is not None and cell.end_ns <= first_ns - _DAY * _SECOND_NS

    def _before(self, cell: Cell) -> tuple[Cell, ...]:
        try:
            found = cells_between(self._size, cell.day - _LOOK_BACK, cell.day, all_hours=self._all_hours)
        except SessionRangeError:  # at the beginning of the table
            return ()
        return tuple(one for one in found if one.start_ns < cell.start_ns)[-1:]

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

    def _stored(self) -> IntArray:
        found = self._store.manifest(self.symbol, self._size.words, self._what, all_hours=self._all_hours)
        if found is None:
            return np.empty(0, dtype=np.int64)
        return self._store.read(Series(found, self._place)).start_ns

    def _counts(self, cells: Sequence[Cell]) -> list[int]:
        return _counted(self._stored(), cells)

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

        A file of the store is written as a whole, so the larger it is, the more pages are brought in at once.

        Args:
            page: what was asked.
            bars: those that came; none when TWS has none.
            asked_at: TWS's time when the download was planned.
            replace: changed bars take their new values.

        Raises:
            DataGap, ConfigError: as `flush`.
        """
        self._waiting.append(_Taken(page, bars, asked_at, replace or self._what == "ADJUSTED_LAST"))
        if len(self._waiting) > min(self._rows // _ROWS_PER_PAGE, _MOST_WAITING):
            self.flush()

    def flush(self) -> None:
        """Bring what was taken into the store and note it.

        Raises:
            DataGap: when bars of a page are unsound, or cannot be joined with those that are stored, after a split for
                example; that page counts as failed, the others are brought in.
            ConfigError: when the place cannot be written.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._bring(waiting)
            return
        except DataGap:
            pass  # of which page is found out one by one
        last: DataGap | None = None
        for one in waiting:
            try:
                self._bring([one])
            except DataGap as error:
                self.fail(one.page, str(error), one.asked_at)
                last = error
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
            kept = write_macd_csv(path, bars, self._size)
        return Written(path, len(bars.start_ns), kept)

    def unasked_days(self) -> list[date]:
        """Return the days of sessions between stored bars that have none and were never asked for, oldest first.

        Raises:
            DataGap: when stored bars or the ledger are unsound.
        """
        starts = self._stored()
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


def _counted(starts: IntArray, cells: Sequence[Cell]) -> list[int]:
    """Return how many of the rising `starts` lie in each cell."""
    begins = np.array([cell.start_ns for cell in cells], dtype=np.int64)
    ends = np.array([cell.end_ns for cell in cells], dtype=np.int64)
    found: list[int] = (np.searchsorted(starts, ends) - np.searchsorted(starts, begins)).tolist()
    return found
