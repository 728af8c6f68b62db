"""Live prices, bars and MACD: `python -m quant_trading.data.market_data_tracker --symbols AAPL MSFT`.

Prints every price and size as it comes, and every closed 1-, 3-, 5- and 10-minute bar with its MACD(12, 26, 9) and
the crossings of its histogram; on a terminal a live table instead. `--record` keeps the bars in the store. It survives
lost connections, and never sends an order. docs/market-data.md is the guide.

Exit codes: 0 ended by --duration, --bars, Ctrl-C or SIGTERM, 2 wrong arguments or settings or a TWS whose clock has
another speed (a simulator's --speed), 3 no connection, 4 the account is not one of this login.
"""

import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quant_trading.core.connect_options import add_connect_options, endpoint_of
from quant_trading.core.interrupts import interrupts_held, sigterm_as_ctrl_c
from quant_trading.domain.errors import ConfigError, ConnectionFailed, ConnectionLost, DeskError, UsageError

if TYPE_CHECKING:
    from quant_trading.core.session_thread import IBKRSession
    from quant_trading.core.streams import StreamNote
    from quant_trading.core.supervisor import Report
    from quant_trading.data.tracker_feed import Feed, TrackedBar
    from quant_trading.data.tracker_record import Recorder
    from quant_trading.data.tracker_table import LiveTable
    from quant_trading.domain.bars import BarColumns

__all__ = ["Tracker", "main"]

_SECOND_NS = 1_000_000_000
_PUMP_SECONDS = 0.1
_FIRST_LOOK_SECONDS = 0.2
_FRAMES = (1, 3, 5, 10)
# Market data are stamped when they come, so a minute is over when the clock says so. Single trades are stamped by the
# exchange's whole second and come later than that.
_GRACE_NS = {"quotes": 0, "trades": 2_000_000_000}
_SESSION_MINUTES = 390
_ENOUGH_BARS = 520  # after so many MACD is that of the whole past, to the last bit (see strategy.macd)
_ANSWER_SECONDS = 600.0
# Not beside the downloader's files, which have the same names.
_CSV = "market_data/live"
Say = Callable[[str], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Track as `argv` asks and return the exit code; errors go to stderr."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.CRITICAL)  # what matters is printed below, once
    try:
        timeframes = _timeframes(options.timeframes)
        _check(options)
        with sigterm_as_ctrl_c():
            return _run(options, timeframes)
    except DeskError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:  # before there was anything to sum up
        return 130


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="market_data_tracker", description="Live prices, bars and MACD; sends no order.")
    add = parser.add_argument
    add("--symbols", nargs="+", default=["AAPL"], metavar="SYM", help="US stocks and ETFs (default: AAPL)")
    add("--timeframes", default="1m,3m,5m,10m", metavar="LIST", help="minutes of the bars (default: %(default)s)")
    add("--stream", choices=("quotes", "trades"), default="quotes", help="quotes: sampled market data, for many "
        "symbols; trades: every single trade, which TWS gives for few symbols only (default: %(default)s)")  # fmt: skip
    add("--delayed", action="store_true", help="take data 15 to 20 minutes old where the account has no subscription "
        "to live ones; every line of them says so")  # fmt: skip
    add("--record", nargs="?", const="", metavar="DIR", help="keep closed bars in the store there, as its kind LIVE "
        "(default: market_data/store)")  # fmt: skip
    add("--record-csv", nargs="?", const="", metavar="DIR", help="append closed bars to SYM_TIMEFRAME_bars_macd.csv "
        "there (default: market_data/live)")  # fmt: skip
    add("--duration", type=float, metavar="SECONDS", help="end after so long")
    add("--bars", type=int, metavar="N", help="end after N closed bars")
    add("--bars-only", action="store_true", help="leave out the lines of single prices and sizes")
    add("--plain", action="store_true", help="lines on a terminal too, instead of the table")
    add("--no-history", action="store_true", help="do not warm MACD up; crossings begin after 300 live bars")
    add_connect_options(parser, "market_data_tracker")
    return parser


def _timeframes(text: str) -> tuple[int, ...]:
    words = [word.strip().removesuffix("m") for word in text.split(",")]
    found = tuple(dict.fromkeys(int(word) for word in words if word.isascii() and word.isdigit()))
    if len(found) != len(words) or not all(minutes in _FRAMES for minutes in found):
        raise UsageError(f"--timeframes {text}: expected some of 1m,3m,5m,10m, each once; write 1m,5m")
    return found


def _check(options: Namespace) -> None:
    if options.duration is not None and not options.duration > 0:
        raise UsageError(f"--duration {options.duration:g}: expected seconds above 0")
    if options.bars is not None and options.bars < 1:
        raise UsageError(f"--bars {options.bars}: expected 1 or more")
    if options.delayed and options.stream == "trades":
        raise UsageError("--delayed --stream trades: TWS has no delayed single trades; leave one of them out")


def _run(options: Namespace, timeframes: Sequence[int]) -> int:
    # Imported here: --help must not wait for the client library.
    from quant_trading.core.pacing_file import shared_pacer
    from quant_trading.core.session_runner import SessionSettings
    from quant_trading.core.session_thread import IBKRSession
    from quant_trading.core.supervisor import SupervisorPolicy
    from quant_trading.core.tws_clock import TwsClock
    from quant_trading.data.tracker_table import LiveTable
    from quant_trading.settings.home import home
    from quant_trading.settings.system_clock import SystemClock

    endpoint = endpoint_of(options)
    pacer = shared_pacer(home(os.environ) / "state", endpoint.host, endpoint.port, SystemClock())
    clock = TwsClock()
    policy = SupervisorPolicy(connect_timeout_seconds=endpoint.timeout_seconds)
    settings = SessionSettings(account=endpoint.account, policy=policy, schedule=endpoint.schedule, pacer=pacer)
    session = IBKRSession(
        endpoint.host, endpoint.port, endpoint.client_id, settings=settings, environ={}, clock=clock
    )  # fmt: skip
    with ExitStack() as stack:
        recorders = _recorders(options, stack)
        stack.callback(session.stop)
        session.start()
        _wait_for_first(session, endpoint.timeout_seconds)
        if ahead := clock.offset.total_seconds():
            _say(f"Clock - TWS's clock is {ahead:+.0f} s from this machine's: times are TWS's")
        table = None
        if sys.stdout.isatty() and not options.plain:
            from rich.console import Console

            table = stack.enter_context(LiveTable(timeframes, Console()))
        tracker = Tracker(
            session, [symbol.upper() for symbol in options.symbols], timeframes, _say, stream=options.stream,
            takes_delayed=options.delayed, shows_ticks=not options.bars_only, recorders=recorders, table=table,
        )  # fmt: skip
        try:
            tracker.start(with_history=not options.no_history)
            tracker.run(duration_seconds=options.duration, bars=options.bars)
        except KeyboardInterrupt:
            pass  # the usual end, by SIGTERM too
        tracker.stop()
    for line in tracker.summary():
        _say(line)
    return 0


def _recorders(options: Namespace, stack: ExitStack) -> "list[Recorder]":
    """Return what takes the bars; each is closed with `stack`, and says then what became of them."""
    from quant_trading.data.store_places import DEFAULT_STORE
    from quant_trading.data.tracker_record import CsvRecorder
    from quant_trading.data.tracker_store import StoreRecorder
    from quant_trading.settings.home import home

    def close(recorder: "Recorder") -> None:
        for line in recorder.close():
            _say(f"Record - {line}")

    recorders: list[Recorder] = []
    if options.record is not None:
        store = StoreRecorder(Path(options.record) if options.record else home(os.environ) / DEFAULT_STORE)
        for line in store.recovered.lines(store.folder):
            _say(f"Record - of a run before: {line}")
        recorders.append(store)
    if options.record_csv is not None:
        recorders.append(CsvRecorder(Path(options.record_csv) if options.record_csv else home(os.environ) / _CSV))
    for recorder in recorders:
        stack.callback(close, recorder)
    return recorders


def _wait_for_first(session: "IBKRSession", seconds: float) -> None:
    """Wait for the first session; its first failure is told at once, for a wrong port is no outage.

    Raises:
        ConnectionFailed, AccountRefused: as the first attempt said.
    """
    left = seconds  # not by the session's clock, which TWS sets meanwhile
    while True:
        try:
            session.wait_until_live(_FIRST_LOOK_SECONDS)
            return
        except ConnectionFailed:
            left -= _FIRST_LOOK_SECONDS
            if session.runner.last_failure is not None or left <= 0.0:
                raise


class Tracker:
    """Follows symbols over one session.

    Args:
        session: started.
        symbols: US stocks and ETFs.
        timeframes: minutes.
        say: takes each line.
        stream: "quotes" or "trades".
        takes_delayed: take delayed quotes where there is no subscription to live ones.
        shows_ticks: write single prices and sizes.
        recorders: take closed bars.
        table: is shown instead of lines.
    """

    def __init__(
        self,
        session: "IBKRSession",
        symbols: Sequence[str],
        timeframes: Sequence[int],
        say: Say,
        *,
        stream: str = "quotes",
        takes_delayed: bool = False,
        shows_ticks: bool = True,
        recorders: "Sequence[Recorder]" = (),
        table: "LiveTable | None" = None,
    ) -> None:
        from quant_trading.core.history_reader import HistoryReader
        from quant_trading.data.tracker_feed import Feed
        from quant_trading.data.tracker_lines import TickLines

        self.symbols = tuple(dict.fromkeys(symbols))
        self.feeds: dict[int, Feed] = {}
        self.bars = 0
        self._session, self._timeframes, self._stream = session, tuple(timeframes), stream
        self._takes_delayed = takes_delayed
        self._say: Say = say if table is None else table.say
        self._recorders, self._table = tuple(recorders), table
        self._lines = TickLines() if shows_ticks and table is None else None
        self._reports: deque[Report] = deque(maxlen=1000)
        if stream == "trades":
            self._take_tick = Feed.trade
        else:
            self._take_tick = Feed.maybe_delayed if takes_delayed else Feed.tick
        self._began = self._ended = 0.0
        self._ended_ns = 0
        self._reader = HistoryReader(session)
        session.on_report(self._reports.append)

    def start(self, *, with_history: bool = True) -> None:
        """Subscribe, and warm MACD up from history; what comes meanwhile waits in the session's queue."""
        from quant_trading.core.streams import StreamKind, StreamRequest
        from quant_trading.data.tracker_feed import Feed

        session = self._session
        self._began = session.monotonic()
        kind = StreamKind.TRADES if self._stream == "trades" else StreamKind.QUOTES
        wishes = [StreamRequest(symbol, kind, takes_delayed=self._takes_delayed) for symbol in self.symbols]
        numbers = {wish.symbol: session.subscribe(wish).number for wish in wishes}
        days = -(-_ENOUGH_BARS * max(self._timeframes) // _SESSION_MINUTES) + 1
        asked_ns = session.now_ns()  # one symbol may be read at once while another takes a minute
        history = self._history(self.symbols, f"{days} D") if with_history else {}
        for symbol, number in numbers.items():
            feed = Feed(
                symbol, self._timeframes, grace_ns=_GRACE_NS[self._stream], history=history.get(symbol),
                now_ns=asked_ns, takes_delayed=self._takes_delayed,
            )  # fmt: skip
            self.feeds[number] = feed
            if feed.warmed:
                seen = {told.bar.minutes: told.bars_seen for told in feed.warmed}
                counts = ", ".join(f"{seen[minutes]} {minutes}m" for minutes in self._timeframes if minutes in seen)
                self._say(f"History - {symbol}: {counts} bars before the first live one")
            feed.warmed = []

    def stop(self) -> None:
        """Note the end, for the summary, and ask for nothing more."""
        self._reader.stop()
        self._ended, self._ended_ns = self._session.monotonic(), self._session.now_ns()

    def run(self, *, duration_seconds: float | None = None, bars: int | None = None) -> None:
        """Follow until the time is over or so many bars have been told; without both for ever."""
        seconds = self._session.monotonic
        end = None if duration_seconds is None else seconds() + duration_seconds
        while (end is None or seconds() < end) and (bars is None or self.bars < bars):
            self.pump(_PUMP_SECONDS)

    def pump(self, timeout_seconds: float = 0.0) -> None:
        """Work off what has come, waiting for something at most so long, and close what the clock closes.

        Raises:
            ConfigError: when TWS's clock has another speed than this machine's.
        """
        if self._session.clock_fault:
            raise ConfigError(self._session.clock_fault)
        with interrupts_held():  # what was taken from the queue is told and recorded
            self._work_off(timeout_seconds)
            self._fill_starts()
        self._ask_starts(self._session.now_ns())

    def summary(self) -> list[str]:
        """Return what came, what was wrong with it, and the outages."""
        feeds = self.feeds.values()
        counts = [feed.counts for feed in feeds]
        seconds = self._ended - self._began
        late, disordered = sum(one.late for one in counts), sum(one.out_of_order for one in counts)
        lines = [
            f"Summary - {len(self.symbols)} symbols, {seconds:.0f} s, {sum(feed.ticks for feed in feeds)} ticks "
            f"({late} late, {disordered} out of order, {sum(one.outside for one in counts)} outside the session), "
            f"{self.bars} bars",
        ]
        if revised := sum(feed.revised for feed in feeds):
            lines.append(f"Summary - {revised} minutes told from ticks were different in history after an outage")
        lines += [f"Summary - {one.rows} bars recorded in {one.folder}" for one in self._recorders]
        if self._session.dropped_events:
            lines.append(f"Summary - {self._session.dropped_events} events dropped: this machine is too slow for them")
        outages = self._session.outages
        for one in outages:
            length = ((one.ended_ns or self._ended_ns) - one.began_ns) / _SECOND_NS
            lines.append(f"Outage - {length:.0f} s{', expected' if one.is_expected else ''}: {one.cause}")
        return lines if outages else [*lines, "Outages - none"]

    # Inside.

    def _work_off(self, timeout_seconds: float) -> None:
        session, feeds = self._session, self.feeds.values()
        self._take(timeout_seconds)
        now_ns = session.now_ns()
        if any(feed.is_due(now_ns) for feed in feeds):
            # A packet that is being worked off has stamped its ticks already: they go before the clock.
            passed_ns = self._passed()
            self._take(0.0)
            for feed in feeds:
                if feed.is_due(passed_ns):
                    self._tell(feed.advance(passed_ns))
        while self._reports:
            self._report(self._reports.popleft())
        for recorder in self._recorders:
            for line in recorder.flush(now_ns):
                self._say(f"Record - {line}")
        if self._table is not None:
            self._table.draw(tuple(feeds), now_ns, session.state.value)

    def _take(self, timeout_seconds: float) -> None:
        """Work off what waits in the session's queue."""
        from quant_trading.core.streams import StreamBar, StreamNote, Tick

        feeds, lines, take = self.feeds, self._lines, self._take_tick
        for event in self._session.events(timeout_seconds):
            feed = feeds.get(event.stream)
            if type(event) is Tick:
                if lines is not None:
                    for line in lines.of(event):
                        self._say(line)
                if feed is not None and (told := take(feed, event)):
                    self._tell(told)
            elif isinstance(event, StreamNote):
                self._note(event, feed)
            elif isinstance(event, StreamBar) and feed is not None:
                feed.backfill(event)

    def _passed(self) -> int:
        """Return a moment (UTC ns) such that every tick stamped before it is in the session's queue."""
        session = self._session

        async def now(_connection: object) -> int:  # runs between two packets
            return session.now_ns()

        try:
            return session.call(now, _ANSWER_SECONDS)
        except ConnectionLost:
            return session.now_ns()  # nothing is being worked off

    def _tell(self, bars: "Sequence[TrackedBar]") -> None:
        from quant_trading.data.tracker_lines import bar_lines

        for told in bars:
            self.bars += 1
            for recorder in self._recorders:
                recorder.add(told)
            lines = list(bar_lines(told))
            if self._table is not None:
                self._table.bar(told)
                lines = lines[1:]  # the bar itself stands in the table
            for line in lines:
                self._say(line)

    def _note(self, note: "StreamNote", feed: "Feed | None") -> None:
        from quant_trading.core.error_codes import NOT_SUBSCRIBED
        from quant_trading.core.streams import NoteKind

        text, cure = note.text, ""
        if note.code in NOT_SUBSCRIBED:
            text, cure = text.rstrip("."), "subscribe under Client Portal > Settings > Market Data Subscriptions"
            if not self._takes_delayed:
                cure += ", or take data 15 to 20 minutes old with --delayed"
            if feed is not None and (note.kind is NoteKind.REFUSED or not self._takes_delayed):
                cure = f"no bars of {feed.symbol} until this is started again: {cure}"
            cure = f"; {cure}"
        self._say(f"Stream - {note.kind.value}: {text}{cure}")
        if feed is not None:
            self._tell(feed.note(note))

    def _report(self, report: "Report") -> None:
        from quant_trading.data.tracker_lines import exchange_time

        text = report.text.partition("\n")[0]
        self._say(f"Session - {exchange_time(report.at_ns)} {report.kind.value}, {report.state.value}: {text}")

    def _fill_starts(self) -> None:
        """Take the minutes in which streams began from the history that has come."""
        if not (answers := self._reader.answers()):
            return
        passed_ns = self._passed()
        self._take(0.0)  # what traded while history was read belongs to the minutes that are told now
        feeds = {feed.symbol: feed for feed in self.feeds.values()}
        said: dict[str, None] = {}  # a lost session is said once for all symbols
        for one in answers:
            feed = feeds[one.symbol]
            if one.bars is not None:
                self._tell(feed.fill_start(one.bars, min(one.asked_ns, passed_ns), passed_ns))
            pause = self._reader.settle(one, is_enough=feed.due_ns is None)
            if one.is_lost:
                said[f"History - not now: {one.why}"] = None
            elif one.bars is None:
                said[f"History - {one.symbol}: no bars, {one.why}; asked again in {pause:.0f} s"] = None
        for line in said:
            self._say(line)

    def _ask_starts(self, now_ns: int) -> None:
        """Ask for the minutes in which streams began, once they are over."""
        durations = {}
        for feed in self.feeds.values():
            if feed.due_ns is not None and feed.due_ns <= now_ns and self._reader.may_ask(feed.symbol):
                seconds = max(1800, (now_ns - (feed.missing_since_ns or now_ns)) // _SECOND_NS + 600)
                durations[feed.symbol] = f"{seconds} S" if seconds <= 86_400 else f"{-(-seconds // 86_400)} D"
        if durations and (why := self._reader.ask(durations, now_ns)):
            self._say(f"History - not now: {why}")

    def _history(self, symbols: Sequence[str], duration: str) -> "dict[str, BarColumns]":
        from quant_trading.core.recent_bars import recent_bars

        read = partial(recent_bars, symbols=symbols, bar_size="1 min", duration=duration)
        try:
            found, missing = self._session.call(read, _ANSWER_SECONDS)
        except ConnectionLost as error:
            self._say(f"History - not now: {error}")
            return {}
        for symbol, why in missing.items():
            self._say(f"History - {symbol}: no bars, {why}")
        return found


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
