"""Delayed data: asked for only when the user says so, named on every line, and bars timed by their trades."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from quant_trading.core.streams import NoteKind, StreamNote, Tick
from quant_trading.data.market_data_tracker import main
from quant_trading.data.tracker_feed import Feed, TrackedBar
from quant_trading.data.tracker_lines import bar_lines
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.data.test_market_data_tracker import Kept, Scene, _history, assert_whole, command, scene

SECOND_NS, MINUTE_NS = 1_000_000_000, 60_000_000_000
LAG_NS = 15 * MINUTE_NS  # of the simulator; IBKR documents 15 to 20 minutes
DAY = date(2026, 11, 19)
OPEN = at(DAY, "09:30")
NAN = float("nan")
DELAYED = {"config": {"market_data": {"*": "delayed"}}}
SUBSCRIBE = "subscribe under Client Portal > Settings > Market Data Subscriptions"


def asked_types(played: Scene) -> list[str]:
    """Return which market data types the tracker asked for."""
    return [fields[2] for _, fields in played.market.received if fields[0] == "59"]


def data_lines(played: Scene) -> list[str]:
    """Return the lines that tell prices, sizes and bars."""
    return [line for line in played.lines if line.startswith(("Price ", "Size ", "Bar ", "Crossing "))]


# Who does not ask.


@pytest.mark.parametrize("right", ["delayed", "354", "10089", "10168"])
def test_without_a_subscription_one_line_says_what_to_do(right: str) -> None:
    with scene(symbols=["AAPL"], config={"market_data": {"AAPL": right}}) as played:
        played.run(70)
    code = {"delayed": "354"}.get(right, right)
    told = [line for line in played.lines if f"AAPL: TWS {code}: " in line and line.startswith("Stream - ")]
    assert told
    assert not any(".;" in line for line in told)
    assert all("; no bars of AAPL until this is started again: " in line for line in told)
    assert all(line.endswith(f"{SUBSCRIBE}, or take data 15 to 20 minutes old with --delayed") for line in told)
    assert asked_types(played) == []
    assert data_lines(played) == []


def test_delayed_data_that_nobody_asked_for_are_named_and_make_no_bars() -> None:
    kept = Kept()
    with scene(symbols=["AAPL", "SPY"], config={"market_data": {"AAPL": "10090"}}, recorders=[kept]) as played:
        played.run(150)
    assert any(line.startswith("Price Update - ReqID: 1, DELAYED_LAST: ") for line in played.lines)
    assert not any("ReqID: 1, LAST" in line for line in played.lines)
    assert kept.of("AAPL", 1) == []  # they would look quiet
    [told] = [line for line in played.lines if line.startswith("Stream - advice: AAPL: TWS 10090: ")]
    assert told.endswith(
        f"; no bars of AAPL until this is started again: {SUBSCRIBE}, or take data 15 to 20 minutes old with --delayed"
    )
    assert_whole(kept, "SPY", 1)


# Who asks.


def test_who_takes_delayed_data_is_not_told_that_there_are_no_bars() -> None:
    kept = Kept()
    with scene(
        symbols=["AAPL"], config={"market_data": {"AAPL": "10090"}}, recorders=[kept], takes_delayed=True
    ) as played:  # fmt: skip
        played.run(70)
    assert kept.of("AAPL", 1)
    [told] = [line for line in played.lines if line.startswith("Stream - advice: AAPL: TWS 10090: ")]
    assert told.endswith(f"; {SUBSCRIBE}")
    assert "no bars" not in told


@pytest.fixture(scope="module")
def delayed() -> Iterator[tuple[Scene, Kept, dict[int, list[float]]]]:
    """Give twelve minutes of delayed data with an outage from 10:05 to 10:08, what was told, and history's minutes."""
    kept = Kept()
    with scene(symbols=["AAPL"], takes_delayed=True, recorders=[kept], **DELAYED) as played:
        played.run(300)
        played.market.is_frozen = True
        played.run(180)
        played.market.is_frozen = False
        played.market.hang_up()
        played.run(240)
        history = played.session.call(lambda connection: _history(connection, "AAPL"))
        yield played, kept, {int(start): row for start, *row in history}


def test_delayed_data_are_asked_for_once_in_each_session(delayed: Any) -> None:
    played, _, _ = delayed
    assert asked_types(played) == ["3", "3"]  # the outage lies between them


def test_every_line_says_that_it_is_delayed(delayed: Any) -> None:
    played, _, _ = delayed
    lines = data_lines(played)
    assert len(lines) > 500
    assert {line.partition(" - ")[0] for line in lines} >= {"Price Update", "Size Update", "Bar"}
    assert all("DELAYED_" in line or " delayed, " in line for line in lines)
    assert any(line.startswith("Stream - advice: AAPL: TWS 10167: ") for line in played.lines)


def test_delayed_bars_have_the_times_of_their_trades(delayed: Any) -> None:
    _, kept, theirs = delayed
    assert_whole(kept, "AAPL", 1)
    assert_whole(kept, "AAPL", 5)
    bars = [told.bar for told in kept.of("AAPL", 1)]
    # It began at 10:00 with data of 09:45; history was taken up to 09:40 only, for the lag may be 20 minutes.
    assert bars[0].start_ns <= at(DAY, "09:45")
    assert at(DAY, "09:56") - 2 * MINUTE_NS <= bars[-1].end_ns <= at(DAY, "09:57")  # it ended at 10:12
    assert all(told.is_delayed for told in kept.bars)
    assert all(bar.known_ns >= bar.end_ns + LAG_NS - SECOND_NS for bar in bars)
    seen = [bar for bar in bars if bar.start_ns >= at(DAY, "09:45")]
    assert len(seen) >= 10
    for bar in seen:
        opened, high, low, close, volume = theirs[bar.start_ns]
        # Times are cut to whole seconds on the wire and quotes are sampled: a trade may fall into the next minute.
        assert bar.volume == pytest.approx(volume, rel=0.1, abs=500)
        assert bar.close == pytest.approx(close, rel=1e-3)
        assert (bar.high, bar.low) == (pytest.approx(high, rel=1e-3), pytest.approx(low, rel=1e-3))
        assert bar.open == pytest.approx(opened, rel=1e-3)
    of_bars, of_tws = sum(bar.volume for bar in seen), sum(theirs[bar.start_ns][4] for bar in seen)
    assert of_bars == pytest.approx(of_tws, rel=0.01)


def test_minutes_of_an_outage_come_from_history(delayed: Any) -> None:
    _, kept, theirs = delayed
    ours = {told.bar.start_ns: told.bar for told in kept.of("AAPL", 1)}
    # Nothing came in from 10:05 to 10:08: that was 09:50 to 09:53.
    for clock in ("09:50", "09:51", "09:52"):
        bar = ours[at(DAY, clock)]
        assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == theirs[at(DAY, clock)]


def test_who_has_the_subscription_gets_live_data_all_the_same() -> None:
    kept = Kept()
    with scene(symbols=["AAPL"], takes_delayed=True, recorders=[kept]) as played:
        played.run(190)
    assert asked_types(played) == ["3"]
    assert not any("elayed" in line or "DELAYED" in line for line in data_lines(played))
    assert_whole(kept, "AAPL", 1)
    assert kept.of("AAPL", 1)[-1].bar.end_ns >= at(DAY, "10:02")
    assert not any(told.is_delayed for told in kept.bars)
    # It began at 10:00: what was before is history, and nobody is told it as news.
    assert kept.of("AAPL", 1)[0].bar.start_ns == at(DAY, "09:59")


# Ticks by hand.


def sec(seconds: float) -> int:
    return OPEN + round(seconds * SECOND_NS)


def send(feed: Feed, seconds: float, *ticks: tuple[str, float, float]) -> list[TrackedBar]:
    """Hand over one packet, `seconds` after the open of the session by the clock of the trades."""
    told: list[TrackedBar] = []
    for field, price, size in ticks:
        told += feed.maybe_delayed(Tick(1, sec(seconds) + LAG_NS, field, price, size))
    return told


def trade(price: float, size: float, total: float, second: float) -> Sequence[tuple[str, float, float]]:
    """Return what TWS sends of one delayed trade, its stamp last, as it comes from the simulator."""
    return (
        ("DELAYED_LAST", price, size), ("DELAYED_LAST_SIZE", NAN, size), ("DELAYED_VOLUME", NAN, total),
        ("DELAYED_LAST_TIMESTAMP", NAN, float(sec(second) // SECOND_NS)),
    )  # fmt: skip


def test_how_late_they_are_is_learned_from_new_trades_only() -> None:
    feed = Feed("AAPL", (1,), grace_ns=0, history=None, now_ns=sec(-30) + LAG_NS, takes_delayed=True)
    assert not feed.is_due(sec(-20) + LAG_NS)  # nobody knows yet what time it is in these data
    send(feed, -20, *trade(9.0, 100.0, 5000.0, -600))  # the snapshot: its trade is ten minutes older than the rest
    assert not feed.is_delayed
    assert feed.quotes["LAST"] == 9.0
    send(feed, -10, *trade(9.5, 10.0, 5010.0, -10))
    assert feed.is_delayed
    assert list(feed.advance(sec(-5) + LAG_NS)) == []  # before the open
    send(feed, 1, *trade(10.0, 10.0, 5020.0, 1))
    send(feed, 30, *trade(12.0, 20.0, 5040.0, 30))
    send(feed, 50, *trade(11.0, 30.0, 5070.0, 50))
    assert feed.is_due(sec(60) + LAG_NS)
    assert not feed.is_due(sec(60) + LAG_NS - 1)
    [told] = feed.advance(sec(60) + LAG_NS)
    # The first new trade tells the total so far: 5070 - 5010 - what came before the open.
    assert told.bar[4:9] == (10.0, 12.0, 10.0, 11.0, 60.0)
    assert (told.bar.start_ns, told.bar.end_ns, told.bar.known_ns) == (OPEN, sec(60), sec(60) + LAG_NS)
    assert told.is_delayed
    line = next(bar_lines(told))
    assert line.startswith("Bar - AAPL 1m 2026-11-19 09:30:00 delayed, O 10.00 H 12.00 L 10.00 C 11.00 V 60, ")
    assert ", known 09:46:00" in line


def test_without_history_a_gap_stays_open() -> None:
    feed = Feed("AAPL", (1,), grace_ns=0, history=None, now_ns=sec(0) + LAG_NS, takes_delayed=True)
    for second in (-3, -2, -1):
        send(feed, second, *trade(10.0, 10.0, 1000.0 + second, second))
    feed.advance(sec(0) + LAG_NS)
    send(feed, 10, *trade(10.0, 10.0, 1010.0, 10))
    [told] = feed.advance(sec(60) + LAG_NS)
    assert told.bar.start_ns == OPEN
    assert feed.note(StreamNote(1, sec(70) + LAG_NS, NoteKind.GAP, "")) == ()
    send(feed, 250, *trade(11.0, 10.0, 9000.0, 250))  # the snapshot of the next session
    send(feed, 290, *trade(11.5, 10.0, 9010.0, 290))
    send(feed, 330, *trade(12.0, 10.0, 9020.0, 330))
    starts = [one.bar.start_ns for one in feed.advance(sec(360) + LAG_NS)]
    assert starts == [sec(300)]  # no quiet minutes were made up in between
    assert feed.counts.ticks >= 3


# As a person runs it.


def test_single_trades_are_never_delayed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--delayed", "--stream", "trades"]) == 2
    assert capsys.readouterr().err.startswith("error: --delayed --stream trades: TWS has no delayed single trades")


@pytest.mark.slow
def test_the_commands_with_and_without(tmp_path: Path) -> None:
    market = Simulator(open_source("seed:7"), SimConfig(market_data={"*": "delayed"}), at(DAY, "10:00"))
    with ThreadedTwsServer(market, SimClock(market.now_ns, 0.0)) as tws:
        words = ("--port", str(tws.port), "--symbols", "AAPL", "--duration", "1.5")
        with command(*words, cwd=tmp_path) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        [refusal] = [line for line in out.splitlines() if line.startswith("Stream - refused: AAPL: TWS 354: ")]
        assert refusal.endswith("with --delayed")
        with command(*words, "--delayed", cwd=tmp_path) as process:
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "Price Update - ReqID: 1, DELAYED_LAST: " in out
    assert "Price Update - ReqID: 1, LAST: " not in out
