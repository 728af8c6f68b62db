"""The market data tracker: its lines, its bars over the wire in virtual time, outages, files, and its command line."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from quant_trading.core.session_thread import IBKRSession
from quant_trading.core.streams import NoteKind, StreamBar, StreamNote, Tick
from quant_trading.data.market_data_tracker import Tracker, main
from quant_trading.data.tracker_feed import WARMUP_BARS, Feed, TrackedBar
from quant_trading.data.tracker_lines import TickLines, bar_lines, price_text, size_text
from quant_trading.data.tracker_record import HEADER, CsvRecorder
from quant_trading.data.tracker_table import LiveTable
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError
from quant_trading.indicators.macd import macd
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.server import ThreadedTwsServer
from tests.core.meddler import PORT, Meddler, simulator, simulator_of_kept_market
from tests.core.supervised import VirtualClock
from tests.tools.test_sim import running

ROOT = Path(__file__).resolve().parents[2]
SECOND_NS, MINUTE_NS = 1_000_000_000, 60_000_000_000
DAY = date(2026, 11, 19)
OPEN = at(DAY, "09:30")
NAN = float("nan")


def sec(seconds: float) -> int:
    return OPEN + round(seconds * SECOND_NS)


# Lines.


def test_the_sample_of_the_specification() -> None:
    ticks = [
        Tick(1, OPEN, "LAST", 150.25, 100.0),
        Tick(1, OPEN, "LAST_SIZE", NAN, 100.0),  # TWS tells it twice
        Tick(1, OPEN, "BID", 150.20, NAN),
        Tick(1, OPEN, "ASK", 150.30, NAN),
    ]
    lines = TickLines()
    assert [line for tick in ticks for line in lines.of(tick)] == [
        "Price Update - ReqID: 1, LAST: 150.25",
        "Size Update - ReqID: 1, LAST_SIZE: 100",
        "Price Update - ReqID: 1, BID: 150.20",
        "Price Update - ReqID: 1, ASK: 150.30",
    ]


def test_a_size_is_left_out_once_only() -> None:
    lines = TickLines()
    sizes = [Tick(1, OPEN, "LAST", 10.0, 7.0), *[Tick(1, OPEN, "LAST_SIZE", NAN, 7.0)] * 2]
    assert [line.rpartition(", ")[2] for tick in sizes for line in lines.of(tick)] == [
        "LAST: 10.00", "LAST_SIZE: 7", "LAST_SIZE: 7",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("price", "text"), [(150.2, "150.20"), (0.12345, "0.1235"), (1.005, "1.0050"), (-3.5, "-3.50")]
)
def test_prices_have_cents_or_four_digits(price: float, text: str) -> None:
    assert price_text(price) == text


@pytest.mark.parametrize(("size", "text"), [(100.0, "100"), (1e7, "10000000"), (0.25, "0.25")])
def test_sizes_have_no_point_when_whole(size: float, text: str) -> None:
    assert size_text(size) == text


# Ticks into trades.


def feed(history: BarColumns | None = None, now_ns: int = OPEN, timeframes: Sequence[int] = (1,)) -> Feed:
    made = Feed("AAPL", timeframes, grace_ns=0, history=history, now_ns=now_ns)
    if history is None:
        made.advance(OPEN)
    return made


def quotes(made: Feed, *ticks: tuple[float, str, float, float]) -> None:
    for seconds, field, price, size in ticks:
        assert not made.tick(Tick(1, sec(seconds), field, price, size))


def bar(told: Sequence[TrackedBar]) -> tuple[float, float, float, float, float]:
    [one] = told
    return one.bar.open, one.bar.high, one.bar.low, one.bar.close, one.bar.volume


def test_the_snapshot_is_no_trade_and_volume_tells_what_the_samples_leave_out() -> None:
    made = feed()
    quotes(
        made,
        (1, "LAST", 9.0, 500.0), (1, "LAST_SIZE", NAN, 500.0), (1, "VOLUME", NAN, 10_000.0),  # the past
        (2, "LAST", 10.0, 100.0), (2, "LAST_SIZE", NAN, 100.0), (2, "VOLUME", NAN, 10_250.0),
        (3, "LAST_SIZE", NAN, 40.0), (3, "VOLUME", NAN, 10_290.0),  # at the same price
        (4, "BID", 9.99, 7.0), (5, "LAST", 12.0, 60.0),
        (6, "VOLUME", NAN, 10_340.0),  # ten less than the sizes told so far: they were not all new
        (7, "VOLUME", NAN, 10_400.0),  # of these sixty ten are known
    )  # fmt: skip
    # 10,400 - 10,000 in all, of which nothing at 9.
    assert bar(made.advance(sec(60))) == (10.0, 12.0, 10.0, 12.0, 400.0)


def test_without_volume_a_size_alone_is_a_trade_at_the_last_price() -> None:
    made = feed()
    quotes(
        made,
        (1, "LAST", 9.0, 500.0), (1, "LAST_SIZE", NAN, 500.0),
        (2, "LAST", 10.0, 100.0), (2, "LAST_SIZE", NAN, 100.0), (3, "LAST_SIZE", NAN, 30.0),
    )  # fmt: skip
    assert bar(made.advance(sec(60))) == (10.0, 10.0, 10.0, 10.0, 130.0)


def test_the_total_of_a_new_day_is_no_trade() -> None:
    made = feed()
    quotes(made, (1, "LAST", 9.0, 5.0), (1, "VOLUME", NAN, 1e6), (2, "LAST", 10.0, 1.0), (2, "VOLUME", NAN, 300.0))
    assert bar(made.advance(sec(60)))[4] == 1.0


def columns(first: float, minutes: int, price: float = 10.0) -> BarColumns:
    start = np.array([sec(first) + k * MINUTE_NS for k in range(minutes)], dtype=np.int64)
    four = [np.full(minutes, price + k) for k in (0.0, 1.0, -1.0, 0.5)]
    return BarColumns(start, start + MINUTE_NS, *four, volume=np.full(minutes, 100.0))


def test_bars_wait_for_the_minute_in_which_the_stream_began() -> None:
    now_ns = sec(5 * 60 + 20)
    made = feed(columns(0, 6), now_ns)
    assert [told.bar.start_ns for told in made.warmed] == [sec(60 * k) for k in range(5)]
    made.note(StreamNote(1, sec(5 * 60 + 25), NoteKind.LIVE, ""))
    quotes(made, (330, "LAST", 50.0, 1.0), (331, "VOLUME", NAN, 5.0), (365, "LAST", 51.0, 2.0))
    assert made.due_ns == sec(365)  # five seconds after the minute
    assert made.advance(sec(400)) == []
    told = made.fill_start(columns(0, 6, price=20.0), sec(366), sec(366))
    assert bar(told) == (20.0, 21.0, 19.0, 20.5, 100.0)  # whole, from history
    assert bar(made.advance(sec(420))) == (51.0, 51.0, 51.0, 51.0, 2.0)
    assert made.counts.late == 0


def test_a_gap_is_filled_by_what_the_session_tells() -> None:
    made = feed(columns(0, 5), sec(306))
    made.note(StreamNote(1, sec(299), NoteKind.LIVE, ""))
    quotes(made, (310, "LAST", 9.0, 1.0), (310, "VOLUME", NAN, 5.0), (320, "LAST", 11.0, 1.0))
    made.note(StreamNote(1, sec(320), NoteKind.GAP, ""))
    assert made.advance(sec(500)) == []
    for k, price in ((5, 30.0), (6, 31.0), (7, 32.0)):
        made.backfill(StreamBar(1, sec(60 * k), sec(60 * k + 60), *[price] * 4, 70.0, True, True, sec(487)))
    told = made.note(StreamNote(1, sec(487), NoteKind.FILLED, ""))
    assert [(one.bar.start_ns, one.bar.close, one.bar.volume) for one in told] == [
        (sec(60 * k), 25.0 + k, 70.0) for k in (5, 6, 7)
    ]
    assert {one.bar.known_ns for one in told} == {sec(500)}  # the clock had come so far


def test_ticks_that_wait_behind_the_end_of_a_gap_belong_to_its_last_minute() -> None:
    made = feed(columns(0, 5), sec(306))
    made.note(StreamNote(1, sec(299), NoteKind.LIVE, ""))
    made.note(StreamNote(1, sec(320), NoteKind.GAP, ""))
    made.backfill(StreamBar(1, sec(300), sec(360), *[30.0] * 4, 70.0, True, True, sec(361)))
    quotes(made, (362, "LAST", 9.0, 1.0), (362, "VOLUME", NAN, 5.0))
    assert bar(made.note(StreamNote(1, sec(419), NoteKind.FILLED, "")))[4] == 70.0
    quotes(made, (419.5, "LAST", 11.0, 3.0))  # taken at sec(425), say
    assert bar(made.advance(sec(425))) == (11.0, 11.0, 11.0, 11.0, 3.0)


def test_crossings_begin_with_a_warm_average() -> None:
    made = feed(timeframes=(1,))
    closes = [10.0 + (k // 7 % 2) for k in range(WARMUP_BARS + 40)]
    told: list[TrackedBar] = []
    for k in range(WARMUP_BARS + 40):
        made._bars.add_minute(sec(60 * k), (closes[k],) * 4, 5.0)
        told += made.advance(sec(60 * k + 60))
    lines = macd(np.array(closes))
    assert [one.histogram for one in told] == lines.histogram.tolist()  # bit for bit
    h = lines.histogram
    expected = [0] * WARMUP_BARS + [
        int(h[k - 1] <= 0 < h[k]) - int(h[k - 1] >= 0 > h[k]) for k in range(WARMUP_BARS, len(h))
    ]
    assert [one.crossing for one in told] == expected
    assert any(expected)
    assert [one.is_warm for one in told].index(True) == WARMUP_BARS - 1
    warming, warm = next(bar_lines(told[5])), list(bar_lines(told[expected.index(1)]))
    assert warming.endswith(", warming up 6/300")
    assert warm[0].startswith("Bar - AAPL 1m 2026-11-19 1")
    assert ", up: MACD rose above its signal" in warm[1]


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
    made = feed()
    quotes(
        made, (1, "LAST", 1234.5, 5.0), (1, "VOLUME", NAN, 12_345_678.0),
        (1, "BID", 1234.45, 1.0), (1, "ASK", 1234.55, 1.0),
    )  # fmt: skip
    with LiveTable((1, 3, 5, 10), console) as table:
        table.bar(tracked(0)._replace(crossing=1))
        table.bar(tracked(0)._replace(bars_seen=7, bar=tracked(0).bar._replace(minutes=10)))
        table.say("Crossing - AAPL")
        table.draw([made], sec(61), "live")
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "2026-11-19 09:31:01 New York, session live, 0 ticks late" in shown
    [row] = {line for line in shown.splitlines() if line.split()[:1] == ["AAPL"]}
    assert row.split() == ["AAPL", "1234.50", "1234.45", "1234.55", "12345678", "+0.2500^", "7/300"]
    assert "Crossing - AAPL" in shown


# Over the wire.


class Scene:
    """A tracker on a simulator behind a meddler, in virtual time."""

    def __init__(self, **options: Any) -> None:
        from quant_trading.tws_sim.virtual import VirtualLoop

        self.market = Meddler(simulator_of_kept_market(**options.pop("config", {})))
        self.loop = VirtualLoop()
        self.loop.listen("127.0.0.1", PORT, self.market)
        self.session = IBKRSession(
            "127.0.0.1", PORT, 16, loop=self.loop, clock=VirtualClock(self.loop), environ={}
        )  # fmt: skip
        self.lines: list[str] = []
        symbols = options.pop("symbols", ["AAPL", "SPY"])
        self.tracker = Tracker(self.session, symbols, (1, 5), self.say, **options)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def run(self, seconds: float) -> None:
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            self.loop.run_until_complete(asyncio.sleep(0.2))
            self.tracker.pump()

    def close(self) -> None:
        self.tracker.stop()
        self.session.stop()
        self.loop.run_until_complete(asyncio.sleep(1))
        self.loop.close()


@contextmanager
def scene(**options: Any) -> Iterator[Scene]:
    made = Scene(**options)
    try:
        made.session.start()
        made.session.wait_until_live(30)
        made.tracker.start()
        yield made
    finally:
        made.close()


class Kept:
    """A recorder that keeps bars in memory."""

    def __init__(self) -> None:
        self.bars: list[TrackedBar] = []
        self.rows, self.folder = 0, Path()

    def add(self, told: TrackedBar) -> bool:
        self.bars.append(told)
        return True

    def flush(self, now_ns: int) -> Sequence[str]:
        return ()

    def close(self) -> Sequence[str]:
        return ()

    def of(self, symbol: str, minutes: int) -> list[TrackedBar]:
        return [told for told in self.bars if told.symbol == symbol and told.bar.minutes == minutes]


class Struck(Kept):
    """One in whose hands the first bar is interrupted."""

    def add(self, told: TrackedBar) -> bool:
        if not self.bars:
            signal.raise_signal(signal.SIGINT)
        return super().add(told)


@pytest.mark.slow
def test_an_interrupt_waits_until_what_came_is_told_and_recorded() -> None:
    struck, later = Struck(), Kept()
    with scene(recorders=[struck, later]) as played:
        with pytest.raises(KeyboardInterrupt):
            played.run(5 * 60)
        assert struck.bars == later.bars != []
        assert len([line for line in played.lines if line.startswith("Bar - ")]) == len(later.bars)


def assert_whole(kept: Kept, symbol: str, minutes: int) -> None:
    starts = [told.bar.start_ns for told in kept.of(symbol, minutes)]
    assert len(starts) >= 2
    assert starts == list(range(starts[0], starts[0] + len(starts) * minutes * MINUTE_NS, minutes * MINUTE_NS))
    assert all((start - OPEN) % (minutes * MINUTE_NS) == 0 for start in starts)


@pytest.mark.slow
def test_bars_are_whole_from_the_first_minute_on_and_nothing_is_ordered() -> None:
    kept = Kept()
    with scene(recorders=[kept]) as played:
        played.run(12 * 60)
        market = played.market
        ticks = sum(made.ticks for made in played.tracker.feeds.values())
    for symbol in ("AAPL", "SPY"):
        assert_whole(kept, symbol, 1)
        assert_whole(kept, symbol, 5)
        # It began at 10:00: TWS may not have completed 09:59 then, so that one is the first to come.
        assert kept.of(symbol, 1)[0].bar.start_ns == at(DAY, "09:59")
        for told in kept.of(symbol, 5)[1:]:  # the first one has minutes from before the start
            of_it = [one.bar for one in kept.of(symbol, 1) if told.bar.start_ns <= one.bar.start_ns < told.bar.end_ns]
            assert told.bar.volume == sum(one.volume for one in of_it)
            assert told.bar.high == max(one.high for one in of_it)
            assert told.bar.close == of_it[-1].close
        assert all(told.is_warm for told in kept.of(symbol, 1))
    assert ticks > 2000
    assert any(line.startswith("Price Update - ReqID: 1, LAST: ") for line in played.lines)
    assert any(line.startswith("Bar - SPY 5m 2026-11-19 10:00:00, O ") for line in played.lines)
    # 3 places, 4 cancels, 21 exercises, 58 cancels all orders.
    assert not {"3", "4", "21", "58"} & {fields[0] for _, fields in market.received}


@pytest.mark.slow
def test_what_happens_in_an_outage_is_told_from_history() -> None:
    kept = Kept()
    with scene(recorders=[kept], shows_ticks=False) as played:
        played.run(130)
        played.market.is_frozen = True
        played.run(200)
        played.market.is_frozen = False
        played.market.hang_up()
        played.run(300)
        history = played.session.call(lambda connection: _history(connection, "AAPL"))
        summary_after = [line for line in played.lines if line.startswith("Session - ")]
    assert_whole(kept, "AAPL", 1)
    theirs = {start: row for start, *row in history}
    ours = {told.bar.start_ns: told.bar for told in kept.of("AAPL", 1)}
    # From 10:03 to 10:05 nothing came in: those minutes are history's own.
    for clock in ("10:03", "10:04"):
        bar = ours[at(DAY, clock)]
        assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == theirs[at(DAY, clock)]
        assert bar.known_ns > bar.end_ns + 60 * SECOND_NS
    assert any("outage" in line or "alarm" in line for line in summary_after)


def test_every_single_trade_gives_the_minutes_of_history() -> None:
    kept = Kept()
    with scene(symbols=["AAPL"], stream="trades", recorders=[kept], shows_ticks=False) as played:
        played.run(250)
        history = played.session.call(lambda connection: _history(connection, "AAPL"))
    assert_whole(kept, "AAPL", 1)
    theirs = {start: row for start, *row in history}
    for clock in ("10:01", "10:02"):  # from trades alone: 10:00, in which it began, is from history
        bar = next(told.bar for told in kept.of("AAPL", 1) if told.bar.start_ns == at(DAY, clock))
        assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == theirs[at(DAY, clock)]
        assert bar.ticks > 20
        assert bar.known_ns == bar.end_ns + 2 * SECOND_NS


async def _history(connection: Any, symbol: str) -> list[list[float]]:
    from quant_trading.core.recent_bars import recent_bars

    found, _ = await recent_bars(connection, [symbol], "1 min", "1800 S")
    rows = found[symbol]
    return [
        [start, *numbers]
        for start, *numbers in zip(
            rows.start_ns.tolist(), rows.open.tolist(), rows.high.tolist(), rows.low.tolist(), rows.close.tolist(),
            rows.volume.tolist(), strict=True,
        )
    ]  # fmt: skip


@pytest.mark.slow
def test_a_tws_whose_clock_has_another_speed_ends_it_with_the_cure(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten of its seconds pass in each of ours: nothing is told that was made by such a clock."""
    market = simulator()
    with ThreadedTwsServer(market, SimClock(market.now_ns, 10.0)) as server:
        words = ["--port", str(server.port), "--symbols", "AAPL", "--bars-only", "--no-history", "--duration", "60"]
        assert main(words) == 2
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    found = re.fullmatch(
        r"error: TWS's clock runs about (\d+\.\d) times as fast as ours: bars cannot be closed by it; start the "
        r"simulator with --speed 1, or, .*",
        line,
    )
    assert found is not None, line
    assert float(found[1]) == pytest.approx(10.0, abs=1.0)
    assert "Bar - " not in out


def test_an_unknown_symbol_is_said_and_the_others_go_on() -> None:
    with scene(symbols=["NOSUCH", "AAPL"], shows_ticks=False) as played:
        played.run(150)
    assert any(line.startswith("History - NOSUCH: no bars") for line in played.lines)
    assert any(line.startswith("Stream - refused: NOSUCH") for line in played.lines)
    assert any(line.startswith("Bar - AAPL 1m 2026-11-19 10:01:00") for line in played.lines)


# Files.


def tracked(minute: int, close: float = 10.25) -> TrackedBar:
    from quant_trading.data.bars import Bar

    start = sec(60 * minute)
    return TrackedBar(
        "AAPL", Bar(5, start, start + 5 * MINUTE_NS, start + 5 * MINUTE_NS, 10.0, 11.0, 9.5, close, 100.0, 3),
        0.5, 0.25, 0.25, 0, 400,
    )  # fmt: skip


def test_bars_are_appended_once_and_read_as_any_other_file(tmp_path: Path) -> None:
    from quant_trading.data.store import load_panel

    first = CsvRecorder(tmp_path / "made")
    assert [first.add(tracked(0)), first.add(tracked(5)), first.add(tracked(5))] == [True, True, False]
    again = CsvRecorder(tmp_path / "made")  # the program was started anew
    assert [again.add(tracked(5)), again.add(tracked(10, close=10.75))] == [False, True]
    path = tmp_path / "made" / "AAPL_5m_bars_macd.csv"
    assert path.read_text().splitlines() == [
        HEADER,
        "2026-11-19T14:30:00Z,10.0,11.0,9.5,10.25,100,0.5,0.25,0.25",
        "2026-11-19T14:35:00Z,10.0,11.0,9.5,10.25,100,0.5,0.25,0.25",
        "2026-11-19T14:40:00Z,10.0,11.0,9.5,10.75,100,0.5,0.25,0.25",
    ]
    panel = load_panel(tmp_path / "made", ["AAPL"], "5 mins")
    assert panel.close[:, 0].tolist() == [10.25, 10.25, 10.75]


def test_a_row_torn_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    recorder = CsvRecorder(tmp_path)
    recorder.add(tracked(0))
    path = recorder.path_of("AAPL", 5)
    whole = path.read_bytes()
    path.write_bytes(whole + b"2026-11-19T14:35:00Z,10.0,1")
    assert CsvRecorder(tmp_path).add(tracked(5))
    assert path.read_bytes().startswith(whole + b"2026-11-19T14:35:00Z,10.0,11.0,9.5,")
    assert len(path.read_bytes().splitlines()) == 3


def test_a_file_with_other_columns_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "AAPL_5m_bars_macd.csv"
    path.write_text("timestamp,close\n2026-11-19T14:30:00Z,1\n")
    with pytest.raises(ConfigError, match="line 1: has the columns 'timestamp,close'"):
        CsvRecorder(tmp_path).add(tracked(0))
    assert path.read_text() == "timestamp,close\n2026-11-19T14:30:00Z,1\n"


# As a person runs it.


def command(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    env = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_")} | {"QT_HOME": str(cwd)}
    config = ("--config", str(ROOT / "configs" / "paper.yaml"))
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "quant_trading.data.market_data_tracker", *arguments, *config],
        env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_the_first_lines_are_the_quote_of_the_market(tmp_path: Path) -> None:
    from quant_trading.tws_sim.sources import open_source

    scene_options = ("--source", "seed:7", "--now", "2026-11-19 10:00", "--speed", "0")
    with (
        running(*scene_options) as (_, port, _),
        command("--port", str(port), "--symbols", "AAPL", "--duration", "1.5", cwd=tmp_path) as process,
    ):
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    lines = out.splitlines()
    tape = open_source("seed:7")
    [contract] = [c for c in tape.contracts() if (c.symbol, c.currency) == ("AAPL", "USD")]
    quote = tape.quote(contract, at(DAY, "10:00"))
    assert quote is not None
    for name, price in (("LAST", quote.last), ("BID", quote.bid), ("ASK", quote.ask)):
        assert f"Price Update - ReqID: 1, {name}: {float(price):.2f}" in lines
    last = next(k for k, line in enumerate(lines) if ", LAST: " in line)
    assert lines[last + 1].startswith("Size Update - ReqID: 1, LAST_SIZE: ")
    assert lines[0].startswith("Clock - TWS's clock is ")
    assert lines[-2].startswith("Summary - 1 symbols, ")
    assert lines[-1] == "Outages - none"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: Ctrl-C cannot be sent to one process")
def test_ctrl_c_ends_it_with_a_summary(tmp_path: Path) -> None:
    scene_options = ("--source", "seed:7", "--now", "2026-11-19 10:00", "--speed", "0")
    with running(*scene_options) as (_, port, _), command("--port", str(port), "--no-history", cwd=tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Price Update"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "Outages - none"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: SIGTERM ends a process there at once")
def test_sigterm_ends_it_as_ctrl_c_does_and_the_bars_are_in_the_store(tmp_path: Path) -> None:
    scene_options = ("--source", "seed:7", "--now", "2026-11-19 09:59:58", "--speed", "1")
    words = ("--symbols", "AAPL", "--timeframes", "1m", "--bars-only", "--record", str(tmp_path / "store"))
    with running(*scene_options) as (_, port, _), command("--port", str(port), *words, cwd=tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Bar - "):
                break
        process.terminate()
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    kept, summary, recorded, outages = out.splitlines()[-4:]
    assert kept.startswith("Record - ")
    assert kept.endswith(f" series were stored in {tmp_path / 'store'}")
    assert summary.startswith("Summary - 1 symbols, ")
    assert recorded.endswith(f" bars recorded in {tmp_path / 'store'}")
    assert outages == "Outages - none"
    assert not list(tmp_path.rglob("bars.journal"))


@pytest.mark.slow
def test_without_tws_it_says_why_at_once_and_returns_3(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with command("--port", str(port), cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert err.startswith(f"error: 127.0.0.1:{port} refused the connection; start TWS")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--timeframes", "1m,7m"], "--timeframes 1m,7m: expected some of 1m,3m,5m,10m"),
        (["--timeframes", "5m,5m"], "each once"),
        (["--duration", "0"], "--duration 0: expected seconds above 0"),
        (["--bars", "0"], "--bars 0: expected 1 or more"),
        (["--port", "74a97"], "74a97"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from quant_trading.data.market_data_tracker import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'numba', 'ib_async', 'pyarrow', 'pydantic', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "--timeframes" in done.stdout
