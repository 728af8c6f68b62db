"""One download: plan each symbol, fetch the pages, write a symbol's file as soon as its last page has come."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from quant_trading.core.history_fetch import HistorySource, PageAnswer, PageWish
from quant_trading.core.history_pages import DAY_SETTLES_MINUTES, Page, Stretch, stretch_of
from quant_trading.core.pacing_file import SharedPacer
from quant_trading.data.bar_store import BarStore
from quant_trading.data.downloads import SeriesDownload
from quant_trading.data.store_lock import lock_if_free
from quant_trading.domain.errors import DataGap
from quant_trading.ports import Clock
from quant_trading.refdata.sessions import exchange_date
from quant_trading.tools.fetch_progress import Progress, Tally
from quant_trading.tools.fetch_request import Request

__all__ = ["FetchRun"]

_SECOND_NS = 1_000_000_000
_SETTLE_NS = 5 * _SECOND_NS  # TWS completes a bar a moment after its end
# Held in the store by the first of the downloads that are under way.
_BUSY = ".downloading"


class FetchRun:
    """A download of some symbols.

    Args:
        request: what is wanted.
        source: connected.
        pacer: that of the source.
        progress: is told how it goes on.
        clock: of the machine.
    """

    def __init__(
        self, request: Request, source: HistorySource, pacer: SharedPacer, progress: Progress, clock: Clock
    ) -> None:
        self._request, self._source, self._pacer = request, source, pacer
        self._progress, self._clock = progress, clock
        self.failed: dict[str, str] = {}
        self._page_failed = False
        self._written = 0
        self._downloads: dict[str, SeriesDownload] = {}
        self._stretches: dict[str, Stretch] = {}
        self._pages: dict[str, list[Page]] = {}
        self._names: dict[str, str] = {}  # as the store has them
        self._begun: set[str] = set()  # symbols of which TWS has named the first bar during this run
        self._left: Counter[str] = Counter()
        self._tally = Tally(0, clock.monotonic, self._least_seconds)
        self._asked_at = datetime.fromtimestamp(0, UTC)

    def fetch(self) -> None:
        """Download; what failed is in `failed` afterwards.

        Raises:
            ConnectionLost, ConfigError, UsageError: what stops all symbols.
        """
        self._asked_at = self._source.now()
        end_ns = self._request.end_ns
        if end_ns is not None and end_ns > int(self._asked_at.timestamp()) * _SECOND_NS:
            self._progress.say(f"the end is still to come: bars up to now, {self._asked_at:%Y-%m-%d %H:%M:%S} UTC")
        found, gaps = self._source.find(self._request.symbols, self._progress.say)
        for symbol in self._request.symbols:
            if symbol in gaps:
                self._note_failed(symbol, gaps[symbol])
            else:
                self._names[symbol] = found[symbol].symbol
                self._attempt(symbol, self._plan)
        self._left = Counter({symbol: len(pages) for symbol, pages in self._pages.items()})
        wishes = sum(len(pages) for pages in self._pages.values())
        self._tally = Tally(wishes, self._clock.monotonic, self._least_seconds)
        self._announce(wishes)
        for symbol, pages in self._pages.items():
            if not pages:
                self._attempt(symbol, self._finish)
        try:
            if wishes:
                self._fetch()
        finally:
            for symbol in self._downloads:  # of an interrupted download, too
                self._attempt(symbol, self._flush, is_page=True)
        if self._source.violations:
            self._progress.say(f"TWS called the pace a violation {self._source.violations} times")

    def _fetch(self) -> None:
        request = self._request
        BarStore(request.store).make()
        with lock_if_free(request.store / _BUSY) as is_first:
            wishes = self._wishes(from_the_end=not is_first)
            if not is_first:
                self._progress.say("another download into this store is under way: what it brings is not asked again")
            self._source.fetch(
                wishes, request.size, request.what, self._take, all_hours=request.all_hours, say=self._progress.say,
                is_wanted=self._is_wanted, begins=self._begin,
            )  # fmt: skip

    def _wishes(self, *, from_the_end: bool) -> list[PageWish]:
        """Return all pages; from the end they meet another download's late, and ask for little that it asks for, too.

        Of each symbol those that meet stored bars go first in any case: the others wait for them.
        """
        step, wishes = -1 if from_the_end else 1, []
        for symbol in list(self._pages)[::step]:
            compares, pages = self._downloads[symbol].compares, self._pages[symbol][::step]
            first = [page for page in pages if compares(page)]
            wishes += [PageWish(symbol, page) for page in (*first, *(page for page in pages if not compares(page)))]
        return wishes

    def exit_code(self) -> int:
        """Return 0 when every symbol is complete, 6 when there are bars of none, else 1."""
        if not self.failed:
            return 0
        return 1 if self._written or self._page_failed else DataGap.exit_code

    # Planning.

    def _plan(self, symbol: str) -> None:
        request = self._request
        download = SeriesDownload(
            BarStore(request.store), request.folder, self._names[symbol], request.size, request.what,
            all_hours=request.all_hours,
        )  # fmt: skip
        now_ns = int(self._asked_at.timestamp()) * _SECOND_NS
        until_ns = now_ns - _SETTLE_NS if request.end_ns is None else min(request.end_ns, now_ns - _SETTLE_NS)
        if request.duration is None:
            stretch = download.stored_stretch()
        else:
            stretch = stretch_of(request.size, request.duration, until_ns, now_ns, all_hours=request.all_hours)
        if stretch.too_old:
            self._progress.say(
                f"{symbol}: IBKR keeps bars of {request.size.words} for six months; what is older is not asked for"
            )
        elif not stretch.cells:
            day = exchange_date(until_ns)
            raise DataGap(
                f"{symbol}: there is no bar of {day} yet, {request.size.words} bars count from {DAY_SETTLES_MINUTES} "
                "minutes after the close; run the same command then, or name a longer --duration"
            )
        self._look_at_first_bar(symbol, download, stretch)
        pages = download.plan(stretch, now_ns, repair=request.repair, refresh=request.refresh)
        self._downloads[symbol], self._stretches[symbol], self._pages[symbol] = download, stretch, pages

    def _look_at_first_bar(self, symbol: str, download: SeriesDownload, stretch: Stretch) -> None:
        """Leave out what TWS has named as too old; who repairs has it asked whether it still says so.

        Nobody else waits for that question here: it is asked when a page without bars comes. And who refreshes asks
        for everything, whatever was said before.
        """
        request, first_ns = self._request, download.ledger.first_bar_ns
        if first_ns is None or request.refresh or not stretch.cells or stretch.cells[0].start_ns >= first_ns:
            return
        if request.repair:
            is_small = request.size.seconds <= self._pacer.rules.small_bar_limit_seconds
            asked_ns = self._source.first_bar_ns(
                symbol, request.what, all_hours=request.all_hours, waits=is_small, say=self._progress.say
            )
            first_ns = first_ns if asked_ns is None else asked_ns
        download.nothing_before(stretch, first_ns, self._asked_at)

    def _begin(self, symbol: str, first_ns: int) -> None:
        """Take note from when on TWS has bars of a symbol: older pages are not asked any more."""
        self._begun.add(symbol)
        note = self._downloads[symbol].nothing_before
        self._attempt(symbol, lambda _: note(self._stretches[symbol], first_ns, self._asked_at))

    def _announce(self, pages: int) -> None:
        size, symbols = self._request.size, len(self._pages)
        if not symbols:
            return
        seconds = self._least_seconds(pages)
        pace = f", {seconds / 60:.0f} minutes at least under IBKR's pacing rules" if seconds else ""
        word = "symbol" if symbols == 1 else "symbols"
        self._progress.say(f"{symbols} {word}, {size.words} bars: {pages:,} requests{pace}")

    def _least_seconds(self, pages: int) -> float:
        if not pages or self._request.size.seconds > self._pacer.rules.small_bar_limit_seconds:
            return 0.0
        return self._pacer.file.waiting_seconds(pages * (2 if self._request.what == "BID_ASK" else 1))

    # Taking.

    def _is_wanted(self, wish: PageWish) -> bool:
        """Return whether no other download has brought in a page meanwhile; who refreshes wants it all the same.

        What is older than the first bar that TWS has just named is not wanted either.
        """
        if wish.symbol in self._begun and self._downloads[wish.symbol].is_before_first(wish.page):
            return False
        if self._request.refresh or self._request.what == "ADJUSTED_LAST":
            return True
        try:
            return not self._downloads[wish.symbol].is_taken(wish.page)
        except DataGap:  # the ledger is unsound: its symbol fails when the page is noted
            return True

    def _take(self, answer: PageAnswer) -> None:
        symbol, bars = answer.wish.symbol, answer.bars
        if answer.was_left_out:
            self._downloads[symbol].leave_out(answer.wish.page)
        elif symbol not in self.failed or bars is not None:
            self._attempt(symbol, lambda _: self._keep(answer), is_page=True)
        self._tally.count(0 if bars is None else len(bars.start_ns))
        self._progress.show(symbol, self._tally)
        self._left[symbol] -= 1
        if not self._left[symbol]:
            self._attempt(symbol, self._finish)

    def _keep(self, answer: PageAnswer) -> None:
        download, page = self._downloads[answer.wish.symbol], answer.wish.page
        if answer.bars is None:
            download.fail(page, answer.fault, self._asked_at)
            raise DataGap(answer.fault)
        download.take(page, answer.bars, self._asked_at, replace=self._request.refresh)

    def _flush(self, symbol: str) -> None:
        self._downloads[symbol].flush()

    def _finish(self, symbol: str) -> None:
        """Write the file of a symbol and say what there is; pages that cannot be joined do not keep the others out."""
        self._attempt(symbol, self._flush, is_page=True)
        download, say = self._downloads[symbol], self._progress.say
        written, holes = download.write_csv(), download.holes(self._stretches[symbol])
        if written is None or holes.is_all:
            raise DataGap(f"{symbol}: TWS has no bars of this time; ask for more, or for another kind with --what")
        self._written += 1
        say(f"{symbol}: {download.added:,} new bars, {written.bars:,} in {written.path}")
        if holes.begins is not None:
            say(f"{symbol}: TWS has bars from {holes.begins} on")
        if unasked := download.unasked_days():
            span = f"{unasked[0]}..{unasked[-1]}" if len(unasked) > 1 else f"{unasked[0]}"
            say(
                f"{symbol}: {_sessions(len(unasked))} within the file were never asked for ({span}), and MACD runs "
                "over them; --repair without --duration fetches them"
            )
        if holes.empty or holes.short:
            lacking = [(holes.empty, "no bars of {}"), (holes.short, "too few bars of {}")]
            words = " and ".join(text.format(_sessions(count)) for count, text in lacking if count)
            say(f"{symbol}: TWS has {words}; --repair asks again")
        if download.changed:
            say(f"{symbol}: {download.changed:,} bars came with other values than before; both are in changed.csv")
        if written.kept is not None:
            say(f"{symbol}: the file that was there held other bars; it is kept as {written.kept}")

    def _attempt(self, symbol: str, act: Callable[[str], None], *, is_page: bool = False) -> None:
        """Do something for a symbol; what is wrong with it does not stop the others."""
        try:
            act(symbol)
        except DataGap as error:
            self._page_failed |= is_page
            self._note_failed(symbol, str(error))

    def _note_failed(self, symbol: str, fault: str) -> None:
        if symbol not in self.failed:
            self._progress.say(f"failed: {fault}")
        self.failed.setdefault(symbol, fault)


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"
