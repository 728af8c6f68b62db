"""Many pages of history over one session: as fast as the pacing rules allow, through refusals, silence and outages."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from ib_async import BarDataList

from quant_trading.core.history_pages import Page
from quant_trading.core.ib_client import RequestError
from quant_trading.core.ibkr_account import IBKRAccount
from quant_trading.core.ibkr_mapping import bar_columns, contract_of
from quant_trading.core.pacing import HistoryKey
from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns, no_bars
from quant_trading.domain.errors import AccountRefused, ConnectionFailed, ConnectionLost, DataGap
from quant_trading.domain.instruments import Instrument

__all__ = ["HistorySource", "PageAnswer", "PageWish"]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_AT_ONCE = 6
_HEAD_SECONDS = 15.0
_HEARTBEAT_SECONDS = 10.0
_SECOND_NS = 1_000_000_000
# Pauses before a page is asked again; after the last one it counts as failed.
_PAUSES = (5.0, 30.0, 120.0)
# Pauses of everybody after TWS has called the pace a violation.
_PENALTIES = (60.0, 120.0, 300.0, 600.0, 600.0)
_RECONNECT_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
_PATIENCE_SECONDS = 1_200.0  # longer than a nightly restart of TWS takes
_LOOK_SECONDS = 5.0
_LONG_PAUSE_SECONDS = 20.0
_SHORT_PAUSE_SECONDS = 16.0  # the same question may be repeated after 15 s
# So many pages of a symbol that are still to be asked make it worth to ask from when on TWS has bars.
_MANY_PAGES = 6
# Whatever else TWS says about a request is said about the next one of the symbol as well.
_WORTH_ANOTHER_TRY = frozenset({100, 162, 165, 322, 366, 420, 504, 1100, 2105, 2110, 10197})
_FINAL_WORDS = ("permission", "time length exceed")
# So many pages of a symbol in a row that came to nothing, and it is given up.
_MOST_FAILED = 3
_MOST_FRUITLESS = 10


@dataclass(frozen=True, slots=True)
class PageWish:
    """One page of one symbol."""

    symbol: str
    page: Page


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What came of it.

    Attributes:
        bars: those of the page that are complete, None when the page failed or was not asked; no bars when TWS has
            none.
        fault: why it failed, else empty.
    """

    wish: PageWish
    bars: BarColumns | None
    fault: str = ""

    @property
    def was_left_out(self) -> bool:
        """Return whether it was not asked because nobody wanted it any more."""
        return self.bars is None and not self.fault


def _always(_wish: PageWish) -> bool:
    return True


async def _loop_seconds() -> float:
    return asyncio.get_running_loop().time()


class _Refused(Exception):
    """TWS will answer no page of this symbol."""


class HistorySource(IBKRAccount):
    """The history of a login, and nothing else of it: no positions are asked for, no order can be sent."""

    def __init__(self, **kwargs: Any) -> None:
        """Take what `IBKRAccount` takes."""
        super().__init__(**kwargs)
        self.violations = 0  # how often TWS called the pace a violation
        self.requests = 0
        self._say: Callable[[str], None] = _log.info
        self._paused_until = 0.0

    def _fetches(self) -> Sequence[str]:
        return ()

    def accept_account(self, port: int, accounts: Sequence[str]) -> str:
        """Return the account of the session; bars are those of the login, so any of its accounts will do.

        Raises:
            AccountRefused: when the named one, or the one of the session before, is not among them.
        """
        wanted = self._account or self._expected_account
        if not accounts or (wanted and wanted not in accounts):
            raise AccountRefused(
                f"account {wanted or '(any)'} is not managed by this login, TWS named {', '.join(accounts) or 'none'}; "
                "correct IBKR_ACCOUNT or log in to TWS as its owner"
            )
        self._account = wanted or accounts[0]
        return self._account

    def find(
        self, symbols: Sequence[str], say: Callable[[str], None] = _log.warning
    ) -> tuple[dict[str, Instrument], dict[str, str]]:
        """Return the instruments of symbols, and why others are none; through outages as `fetch`, told to `say`."""
        return self._kept_up(lambda: self._resolve(symbols), say)

    def first_bar_ns(
        self, symbol: str, what: str, *, all_hours: bool, waits: bool = True, say: Callable[[str], None] = _log.warning
    ) -> int | None:
        """Return from when on TWS has bars of a symbol, UTC ns; None when it does not say.

        Args:
            symbol, what, all_hours: of which bars.
            waits: False returns None when the pacing rules would let it be asked later only.
            say: told of outages and long waits.
        """
        return self._kept_up(lambda: self._first_bar(symbol, what, all_hours, waits), say)

    def _kept_up(self, ask: Callable[[], Awaitable[_T]], say: Callable[[str], None]) -> _T:
        self._say = say
        for _ in range(_MOST_FRUITLESS - 1):
            try:
                return self._connection.call(ask())
            except ConnectionLost as error:
                say(f"{error}; connecting again")
                self._reconnect(say)
        return self._connection.call(ask())

    async def _first_bar(self, symbol: str, what: str, all_hours: bool, waits: bool) -> int | None:
        found, _ = await self._resolve([symbol])
        if symbol not in found:
            return None
        instrument = found[symbol]
        # Old notes count it as a request for small bars.
        key = HistoryKey(instrument.con_id, instrument.exchange, what, 1.0, "first bar")
        if waits:
            await self.pace("history", key)
        else:
            while (delay := self._pacer.claim("history", key, asyncio.get_running_loop().time())) > 0.0:
                if delay > _SHORT_PAUSE_SECONDS:
                    return None
                await asyncio.sleep(delay)
        ib = self._connection.ib
        try:
            said: Any = await self._connection.ask(
                lambda: ib.reqHeadTimeStampAsync(contract_of(instrument), what, not all_hours, 2),
                f"the first bar of {symbol}", _HEAD_SECONDS,
            )  # fmt: skip
        except RequestError as error:
            _log.debug("first bar of %s: %s", symbol, error)
            return None
        except ConnectionLost:
            await self._current_time(_HEARTBEAT_SECONDS)  # TWS leaves this question unanswered at times
            return None
        finally:
            self._pacer.note_done()
            self._history_room.set()
        if isinstance(said, datetime):
            return round(said.timestamp()) * _SECOND_NS
        self._connection.check_alive()  # of a session that broke the client's answer is none as well
        return None

    def fetch(
        self,
        wishes: Sequence[PageWish],
        size: BarSize,
        what: str,
        take: Callable[[PageAnswer], None],
        *,
        all_hours: bool,
        say: Callable[[str], None] = _log.warning,
        is_wanted: Callable[[PageWish], bool] = _always,
        begins: Callable[[str, int], None] | None = None,
    ) -> None:
        """Ask for every page, in this order but several at once, and hand over each answer as it comes.

        A lost connection is opened again, and what had not been answered is asked again.

        Args:
            wishes: of any number of symbols.
            size, what, all_hours: of all of them.
            take: called between two answers; what it raises ends the download.
            say: told of outages, penalties and long waits.
            is_wanted: asked before a page is sent; where it says no, the answer is one that was left out.
            begins: told a symbol and from when on TWS has bars of it, UTC ns; TWS is asked for it when the first page
                without bars comes and many of that symbol are still to be asked.

        Raises:
            ConnectionLost: when there has been no session for twenty minutes, or none that brings anything; what was
                taken stays taken.
            AccountRefused: when a new session leads to another account.
        """
        left = deque(wishes)
        self._say = say
        run = _Run(self, left, size, what, all_hours, take, say, is_wanted, begins)
        fruitless = 0
        while left:
            before = len(left)
            try:
                self._connection.call(run.work())
            except ConnectionLost as error:
                fruitless = fruitless + 1 if len(left) == before else 0
                if fruitless >= _MOST_FRUITLESS:
                    raise ConnectionLost(
                        f"{fruitless} sessions in a row ended before a single page had come ({error}); look at TWS, "
                        "then run the same command again: it goes on where it stopped"
                    ) from None
                say(f"{error}; connecting again")
                self._reconnect(say)

    def _reconnect(self, say: Callable[[str], None]) -> None:
        began, attempt = self._connection.call(_loop_seconds()), 0
        while True:
            self.close()
            pause = _RECONNECT_PAUSES[min(attempt, len(_RECONNECT_PAUSES) - 1)]
            self._connection.call(asyncio.sleep(pause))
            attempt += 1
            try:
                self.connect()
            except ConnectionFailed as error:
                waited = self._connection.call(_loop_seconds()) - began  # an attempt itself may take its time
                if waited >= _PATIENCE_SECONDS:
                    first = str(error).partition("\n")[0]
                    raise ConnectionLost(
                        f"no session for {waited / 60:.0f} minutes ({first}); start TWS and run the same command "
                        "again: it goes on where it stopped"
                    ) from None
            else:
                say("connected again")
                return

    def on_pause(self, seconds: float) -> None:
        """Tell of a wait that a person would wonder about, once for all who wait."""
        now = asyncio.get_running_loop().time()
        if seconds >= _LONG_PAUSE_SECONDS and now >= self._paused_until:
            self._paused_until = now + seconds
            self._say(f"the pacing window is full: the next request may go in {seconds:.0f} s")

    # What a run needs of the session.

    async def request(
        self, instrument: Instrument, page: Page, size: BarSize, what: str, all_hours: bool
    ) -> BarDataList | None:
        """Return the answer to one page, None when none came in time.

        Raises:
            RequestError: what TWS said instead.
            ConnectionLost: when the session broke.
        """
        asked = (page.end, page.duration, size.words, not all_hours)
        key = HistoryKey(instrument.con_id, instrument.exchange, what, size.seconds, asked)
        await self.pace("history", key)
        ib, loop = self._connection.ib, asyncio.get_running_loop()
        limit, asked_at = self._history_timeout_seconds, loop.time()
        self.requests += 1
        try:
            bars: BarDataList = await self._connection.ask(
                lambda: ib.reqHistoricalDataAsync(
                    contract_of(instrument), page.end, page.duration, size.words, what, not all_hours, formatDate=2,
                    timeout=limit,
                ),
                f"the bars of {instrument.symbol}", limit + 1.0,
            )  # fmt: skip
        finally:
            self._pacer.note_done()
            self._history_room.set()
        return None if not bars and loop.time() - asked_at >= limit else bars


class _Run:
    """One call of `HistorySource.fetch`, through all its sessions."""

    def __init__(
        self,
        source: HistorySource,
        left: deque[PageWish],
        size: BarSize,
        what: str,
        all_hours: bool,
        take: Callable[[PageAnswer], None],
        say: Callable[[str], None],
        is_wanted: Callable[[PageWish], bool],
        begins: Callable[[str, int], None] | None,
    ) -> None:
        self._source, self._left = source, left
        self._is_wanted, self._begins = is_wanted, begins
        self._asked_first: set[str] = set()
        self._size, self._what, self._all_hours = size, what, all_hours
        self._take, self._say = take, say
        self._refused: dict[str, str] = {}
        self._failed: Counter[str] = Counter()  # pages in a row
        self._hold_until = 0.0
        self._penalties = 0
        self._alive_at = -_HEARTBEAT_SECONDS
        self._heartbeat = asyncio.Lock()

    async def work(self) -> None:
        """Work until nothing is left; an error ends all workers, and their pages are put back."""
        self._heartbeat = asyncio.Lock()  # of this session's loop
        workers = [asyncio.ensure_future(self._worker()) for _ in range(_AT_ONCE)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        for worker in done:
            if not worker.cancelled():
                worker.result()

    async def _worker(self) -> None:
        while self._left:
            wish = self._left.popleft()
            try:
                answer = await self._answer(wish)
            except BaseException:
                self._left.appendleft(wish)
                raise
            self._take(answer)

    async def _answer(self, wish: PageWish) -> PageAnswer:
        fault = ""
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            if wish.symbol in self._refused:
                return PageAnswer(wish, None, self._refused[wish.symbol])
            if not self._is_wanted(wish):
                return PageAnswer(wish, None)
            try:
                bars = await self._ask(wish)
            except DataGap as error:
                return PageAnswer(wish, None, str(error))
            except _Refused as error:
                self._refused[wish.symbol] = str(error)
                return PageAnswer(wish, None, str(error))
            except RequestError as error:
                fault = f"{wish.symbol}: TWS said {error.code}: {error.message}"
                continue
            if bars is not None:
                self._failed[wish.symbol] = 0
                if not len(bars.start_ns):
                    await self._ask_first_bar(wish.symbol)
                return PageAnswer(wish, bars)
            fault = f"{wish.symbol}: no answer to {wish.page.duration} up to {wish.page.end or 'now'}"
        fault = f"{fault} ({1 + len(_PAUSES)} times); run the same command again later"
        self._failed[wish.symbol] += 1
        if self._failed[wish.symbol] >= _MOST_FAILED:
            self._refused[wish.symbol] = fault
        return PageAnswer(wish, None, fault)

    async def _ask(self, wish: PageWish) -> BarColumns | None:
        """Return the bars of a page, None when no answer came in time.

        Raises:
            RequestError: when the same request may be answered later.
            _Refused: when no request of this symbol will be.
            DataGap: when the bars are unsound, or the symbol is unknown.
        """
        source, page = self._source, wish.page
        found, gaps = await source._resolve([wish.symbol])
        if gaps:
            raise _Refused(gaps[wish.symbol])
        while True:
            await self._held()
            try:
                rows = await source.request(found[wish.symbol], page, self._size, self._what, self._all_hours)
            except RequestError as error:
                words = error.message.lower()
                if error.code == 162 and "no data" in words:
                    return no_bars()
                if "pacing violation" in words and self._penalties < len(_PENALTIES):
                    self._punish()
                    continue
                if error.code not in _WORTH_ANOTHER_TRY or any(text in words for text in _FINAL_WORDS):
                    raise _Refused(f"{wish.symbol}: TWS said {error.code}: {error.message}") from None
                raise
            if rows is None:
                await self._check_alive()
                return None
            return self._cut(bar_columns(wish.symbol, self._size, rows), page) if rows else no_bars()

    async def _ask_first_bar(self, symbol: str) -> None:
        """Ask once from when on TWS has bars of a symbol, when that can spare many pages that would all be empty.

        Of larger bars the pages themselves wait for nothing, so it does not either.
        """
        if self._begins is None or symbol in self._asked_first:
            return
        if sum(wish.symbol == symbol for wish in self._left) < _MANY_PAGES:
            return
        self._asked_first.add(symbol)
        source, waits = self._source, self._size.seconds <= self._source._pacer.rules.small_bar_limit_seconds
        try:
            await self._held()
            first_ns = await source._first_bar(symbol, self._what, self._all_hours, waits)
        except BaseException:  # its page is asked again, and then it is as well
            self._asked_first.discard(symbol)
            raise
        if first_ns is not None:
            self._begins(symbol, first_ns)

    async def _check_alive(self) -> None:
        """Raise ConnectionLost when TWS answers nothing at all; one asks for all, the client can only ask once."""
        async with self._heartbeat:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._alive_at + _HEARTBEAT_SECONDS:
                await self._source._current_time(_HEARTBEAT_SECONDS)
                self._alive_at = loop.time()

    async def _held(self) -> None:
        """Wait while a penalty lasts, and while TWS has lost IBKR: it would not answer then.

        Raises:
            ConnectionLost: when TWS has had no connection to IBKR for very long.
        """
        loop, waited = asyncio.get_running_loop(), 0.0
        while (pause := self._hold_until - loop.time()) > 0.0:
            await asyncio.sleep(pause)
        while self._source.connectivity_lost:
            self._source._connection.check_alive()
            if waited >= _PATIENCE_SECONDS:
                raise ConnectionLost(f"TWS has had no connection to IBKR for {waited / 60:.0f} minutes")
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS

    def _punish(self) -> None:
        now = asyncio.get_running_loop().time()
        self._source.violations += 1
        if now < self._hold_until:
            return  # several were under way at once
        pause = _PENALTIES[self._penalties]
        self._penalties += 1
        self._hold_until = now + pause
        self._say(
            f"TWS called the pace a violation: nothing is asked for {pause:.0f} s (is another program asking, too?)"
        )

    def _cut(self, bars: BarColumns, page: Page) -> BarColumns:
        """Return the bars that start in the page and are complete by its end."""
        inside = (bars.start_ns >= page.start_ns) & (bars.start_ns < page.end_ns) & (bars.end_ns <= page.end_ns)
        return BarColumns(*(getattr(bars, name)[inside] for name in BarColumns.__slots__))
