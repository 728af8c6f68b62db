"""Live bars on their way into the store: journal, folding, kills at any point, and the day held against TWS."""

import random
import shutil
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_trading.data.bar_store import BarStore
from quant_trading.data.bars import Bar
from quant_trading.data.store_lock import series_lock
from quant_trading.data.store_writer import read_changed
from quant_trading.data.tracker_feed import TrackedBar
from quant_trading.data.tracker_store import StoreRecorder, _line, _read, fold_journals
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError
from quant_trading.refdata.sessions import at
from quant_trading.tools.data import main as data_command
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.data.test_market_data_tracker import ROOT, scene

MINUTE_NS = 60_000_000_000
DAY = date(2026, 11, 19)
OPEN, CLOSE = at(DAY, "09:30"), at(DAY, "16:00")


def tracked(
    minute: int, close: float = 10.25, symbol: str = "AAPL", minutes: int = 1, *, is_delayed: bool = False
) -> TrackedBar:
    start = OPEN + minute * MINUTE_NS
    end = start + minutes * MINUTE_NS
    bar = Bar(minutes, start, end, end, 10.0, 11.0, 9.5, close, 100.0, 3)
    return TrackedBar(symbol, bar, 0.5, 0.25, 0.25, 0, 400, is_delayed)


def record(recorder: StoreRecorder, *bars: TrackedBar) -> list[bool]:
    taken = [recorder.add(told) for told in bars]
    recorder.flush(OPEN)  # within the session: nothing is folded
    return taken


def stored(root: Path, symbol: str = "AAPL", size: str = "1m") -> dict[int, float]:
    """Return closes by minute of the day, as the store has them."""
    bars = BarStore(root).columns(symbol, size, "LIVE")
    if bars is None:
        return {}
    minutes = [(start - OPEN) // MINUTE_NS for start in bars.start_ns.tolist()]
    return dict(zip(minutes, bars.close.tolist(), strict=True))


def journal(root: Path) -> Path:
    return root / "live" / "1" / "bars.journal"


def die(recorder: StoreRecorder) -> None:
    """Let go of everything as a killed process does."""
    if recorder._file is not None:
        recorder._file.close()
    recorder._lock.close()


# Folding.


def test_bars_are_rows_of_one_file_first_and_parquet_at_the_end(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path / "store")
    assert record(recorder, tracked(0), tracked(0, symbol="SPY"), tracked(0, minutes=5), tracked(1)) == [True] * 4
    assert not list((tmp_path / "store").rglob("*.parquet"))
    assert len(journal(recorder.folder).read_bytes().splitlines()) == 4
    assert list(recorder.close()) == [f"4 bars of 3 series were stored in {tmp_path / 'store'}"]
    assert not journal(recorder.folder).exists()
    bars = BarStore(tmp_path / "store").columns("AAPL", "1 min", "LIVE")
    assert bars is not None
    values = {name: getattr(bars, name).tolist() for name in BarColumns.__slots__}
    assert values == {
        "start_ns": [OPEN, OPEN + MINUTE_NS], "end_ns": [OPEN + MINUTE_NS, OPEN + 2 * MINUTE_NS],
        "open": [10.0] * 2, "high": [11.0] * 2, "low": [9.5] * 2, "close": [10.25] * 2, "volume": [100.0] * 2,
    }  # fmt: skip
    assert stored(recorder.folder, "SPY") == {0: 10.25}
    assert stored(recorder.folder, size="5m") == {0: 10.25}


def test_the_close_of_the_session_folds(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path)
    record(recorder, tracked(389))
    assert list(recorder.flush(CLOSE + 59_000_000_000)) == []  # what an outage has hidden may still come
    assert stored(tmp_path) == {}
    [line] = recorder.flush(CLOSE + 120_000_000_000)
    assert line.startswith("1 bars of 1 series were stored in ")
    assert stored(tmp_path) == {389: 10.25}
    assert list(recorder.flush(CLOSE + 600_000_000_000)) == []
    assert list(recorder.close()) == []


def test_a_bar_that_is_there_already_is_left_out(tmp_path: Path) -> None:
    first = StoreRecorder(tmp_path)
    assert record(first, tracked(0), tracked(1), tracked(1, 99.0), tracked(0, 99.0)) == [True, True, False, False]
    first.close()
    again = StoreRecorder(tmp_path)  # the program was started anew
    assert record(again, tracked(1, 99.0), tracked(2)) == [False, True]
    again.close()
    assert stored(tmp_path) == {0: 10.25, 1: 10.25, 2: 10.25}
    assert read_changed(tmp_path / "1m.live" / "AAPL") == []


def test_what_a_killed_tracker_left_is_stored_by_the_next(tmp_path: Path) -> None:
    killed = StoreRecorder(tmp_path)
    record(killed, tracked(0), tracked(1))
    die(killed)
    with journal(tmp_path).open("ab") as file:
        file.write(b"4c2a1b00,AAPL,live,1,17950")  # within a row
    again = StoreRecorder(tmp_path)
    assert (again.recovered.bars, again.recovered.problems) == (2, ())
    assert record(again, tracked(1), tracked(2)) == [False, True]
    again.close()
    assert stored(tmp_path) == {0: 10.25, 1: 10.25, 2: 10.25}


def test_a_damaged_row_is_kept_and_said(tmp_path: Path) -> None:
    killed = StoreRecorder(tmp_path)
    record(killed, tracked(0), tracked(1), tracked(2))
    die(killed)
    rows = journal(tmp_path).read_bytes().splitlines(keepends=True)
    journal(tmp_path).write_bytes(rows[0] + rows[1].replace(b"10.25", b"10.26") + rows[2])
    told = fold_journals(tmp_path)
    [problem] = told.problems
    assert "holds 1 rows that are damaged" in problem
    assert stored(tmp_path) == {0: 10.25, 2: 10.25}
    assert b"10.26" in (tmp_path / "live" / "1" / "damaged.journal").read_bytes()
    assert fold_journals(tmp_path).problems == ()


_NUMBERS = st.floats(min_value=1e-6, max_value=1e9, allow_nan=False)
_BARS = st.lists(st.tuples(st.sampled_from(["AAPL", "BRK.B"]), st.integers(0, 389), _NUMBERS), min_size=1, max_size=8)


@given(_BARS, st.data())
@settings(max_examples=60, deadline=None)
def test_whole_rows_are_read_whatever_happens_to_the_end_or_to_a_byte(
    drawn: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    bars = [tracked(minute, close, symbol) for symbol, minute, close in drawn]
    lines = [_line(told) for told in bars]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    whole = content[:cut].count(b"\n")
    assert flat(_read(content[:cut])) == (sorted((told.symbol, told.bar) for told in bars[:whole]), 0)
    at_byte = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[at_byte] ^= data.draw(st.integers(1, 255))
    found, damaged = flat(_read(bytes(flipped)))
    hit = content[:at_byte].count(b"\n")
    kept = [(told.symbol, told.bar) for k, told in enumerate(bars) if k != hit]
    if content[at_byte : at_byte + 1] == b"\n":  # two rows have become one
        kept = [(told.symbol, told.bar) for k, told in enumerate(bars) if k not in (hit, hit + 1)]
    assert found == sorted(kept)
    assert damaged >= (at_byte < len(content) - 1)


def flat(read: tuple[dict[tuple[str, int, str], list[Bar]], list[bytes]]) -> tuple[list[tuple[str, Bar]], int]:
    """Return the bars that were read, sorted, and how many rows were damaged."""
    rows, damaged = read
    return sorted((symbol, bar) for (symbol, _, _), bars in rows.items() for bar in bars), len(damaged)


def test_two_trackers_record_at_once(tmp_path: Path) -> None:
    one, two = StoreRecorder(tmp_path), StoreRecorder(tmp_path)
    record(one, tracked(0))
    record(two, tracked(0), tracked(0, symbol="SPY"))
    assert sorted(path.parent.name for path in tmp_path.rglob("bars.journal")) == ["1", "2"]
    one.close()
    two.close()
    assert (stored(tmp_path), stored(tmp_path, "SPY")) == ({0: 10.25}, {0: 10.25})


def test_a_reader_folds_what_a_running_tracker_has_and_takes_nothing_away(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path)
    record(recorder, tracked(0), tracked(1))
    assert fold_journals(tmp_path).bars == 2
    assert stored(tmp_path) == {0: 10.25, 1: 10.25}
    record(recorder, tracked(2))
    assert fold_journals(tmp_path).bars == 1
    assert recorder.close() == []  # nothing new was left
    assert stored(tmp_path) == {0: 10.25, 1: 10.25, 2: 10.25}


def test_delayed_bars_say_whence_they_come(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path)
    record(recorder, tracked(0), tracked(0, symbol="SPY", is_delayed=True))
    recorder.close()
    sources = {one.manifest.symbol: one.manifest.years[2026].sources for one in BarStore(tmp_path).series()}
    assert sources == {"AAPL": ("market_data_tracker, live",), "SPY": ("market_data_tracker, delayed",)}


def test_a_series_that_cannot_be_stored_keeps_its_rows(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path)
    record(recorder, tracked(0), tracked(0, symbol="SPY"))
    (tmp_path / "1m.live" / "SPY").mkdir(parents=True)
    manifest = tmp_path / "1m.live" / "SPY" / "manifest.json"
    manifest.write_text("{", encoding="utf-8")
    lines = list(recorder.close())
    assert lines[0].startswith("1 bars of 1 series")
    assert lines[1].startswith("SPY 1m: not stored, its rows stay in ")
    manifest.unlink()
    assert fold_journals(tmp_path).bars == 1
    assert stored(tmp_path, "SPY") == {0: 10.25}


def test_a_folder_of_files_is_not_made_a_store(tmp_path: Path) -> None:
    (tmp_path / "AAPL_5m.csv").write_text("timestamp,close\n")
    with pytest.raises(ConfigError, match="holds files of bars and is no store"):
        StoreRecorder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["AAPL_5m.csv"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file, no folder")
    with pytest.raises(ConfigError, match=r"store.* cannot be written"):
        StoreRecorder(tmp_path / "store")


# Kills at every point.

WRITER = """
import sys
from pathlib import Path
from quant_trading.data.bars import Bar
from quant_trading.data.tracker_feed import TrackedBar
from quant_trading.data.tracker_store import StoreRecorder
recorder, opened, length = StoreRecorder(Path(sys.argv[1])), int(sys.argv[3]), 60_000_000_000
for minute in range(int(sys.argv[2]), 390):
    start = opened + minute * length
    for symbol in ("AAPL", "SPY"):
        bar = Bar(1, start, start + length, start + length, 10.0, 11.0, 9.5, 10.0 + minute / 1000, 100.0, 3)
        recorder.add(TrackedBar(symbol, bar, 0.5, 0.25, 0.25, 0, 400))
    recorder.flush(opened)
    print(minute, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: SIGKILL")
def test_killed_again_and_again_no_bar_is_doubled_or_lost(tmp_path: Path) -> None:
    """A writer says a minute when it is on the medium; whatever it has said is in the store at the end, once."""
    drawn, said = random.Random(7), -1
    for _ in range(4):
        words = [sys.executable, "-c", WRITER, str(tmp_path), str(said + 1), str(OPEN)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for _ in range(drawn.randrange(1, 40)):
                said = max(said, int(process.stdout.readline()))
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
        said = max([said, *map(int, rest)])
    fold_journals(tmp_path)
    for symbol in ("AAPL", "SPY"):
        found = stored(tmp_path, symbol)
        assert set(range(said + 1)) <= set(found)
        assert len(found) <= said + 2  # a minute may have been written and not yet said
        assert all(close == 10.0 + minute / 1000 for minute, close in found.items())


def test_a_fold_that_is_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path, monkeypatch) -> None:
    """Every write of the store fails in turn, as in a crash; afterwards all is there once."""
    import quant_trading.data.store_manifest as manifest_module
    import quant_trading.data.store_writer as writer_module
    from quant_trading.data.files import put_in_place

    begun = tmp_path / "begun"
    recorder = StoreRecorder(begun)
    record(recorder, *(tracked(minute, symbol=symbol) for minute in range(3) for symbol in ("AAPL", "SPY")))
    die(recorder)

    class Crash(BaseException):
        """The process ends here."""

    crashes = 0
    while True:
        root = tmp_path / f"run{crashes}"
        shutil.copytree(begun, root)
        calls = 0

        def put(path: Path, content: bytes, last: int = crashes) -> None:
            nonlocal calls
            calls += 1
            if calls > last:
                raise Crash
            put_in_place(path, content)

        with monkeypatch.context() as patched:
            patched.setattr(manifest_module, "put_in_place", put)
            patched.setattr(writer_module, "put_in_place", put)
            try:
                fold_journals(root)
                is_whole = True
            except Crash:
                is_whole = False
        assert journal(root).exists() is not is_whole
        fold_journals(root)
        assert stored(root) == stored(root, "SPY") == {0: 10.25, 1: 10.25, 2: 10.25}
        assert read_changed(root / "1m.live" / "AAPL") == []
        if is_whole:
            break
        crashes += 1
    assert crashes == 4  # a year file and a manifest for each of two series


def test_readers_fold_while_a_tracker_writes(tmp_path: Path) -> None:
    recorder = StoreRecorder(tmp_path)
    failures: list[BaseException] = []
    is_over = threading.Event()

    def read() -> None:
        try:
            while not is_over.is_set():
                assert fold_journals(tmp_path).problems == ()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must fail by it
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for minute in range(120):
        record(recorder, tracked(minute))
    is_over.set()
    reader.join(20)
    recorder.close()
    assert failures == []
    assert list(stored(tmp_path)) == list(range(120))


def test_a_locked_place_is_left_to_its_owner(tmp_path: Path) -> None:
    with series_lock(tmp_path / "live" / "1"):
        recorder = StoreRecorder(tmp_path)
        record(recorder, tracked(0))
        assert (tmp_path / "live" / "2" / "bars.journal").exists()
        recorder.close()


# Bar truth of what was recorded.


def truth(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Hold the recorded day against what a TWS of the same market serves after the close."""
    market = Simulator(open_source("seed:7"), SimConfig(), at(DAY, "17:00"))
    with ThreadedTwsServer(market, SimClock(market.now_ns, 0.0)) as tws:
        code = data_command(["truth", *words, "--store", str(root), "--port", str(tws.port)])
    return code, capsys.readouterr().out


def test_recorded_trades_are_the_bars_tws_serves_later(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    recorder = StoreRecorder(tmp_path / "store")
    with scene(symbols=["AAPL"], stream="trades", recorders=[recorder], shows_ticks=False) as played:
        played.run(250)
    die(recorder)  # it was killed: its rows are in the journal still
    code, out = truth(tmp_path / "store", capsys, "AAPL", str(DAY))
    # 09:59 and 10:00 came from history, 10:01, 10:02 and 10:03 from trades; the day has 390 minutes.
    assert out.startswith(f"AAPL {DAY}: 0 of 5 bars differ (0 in price), 385 were not recorded, 0 are not served; ")
    assert code == 1


@pytest.mark.slow
def test_sampled_quotes_lose_nothing_but_a_high_or_low(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    recorder = StoreRecorder(tmp_path / "store")
    with scene(symbols=["AAPL"], recorders=[recorder], shows_ticks=False) as played:
        played.run(250)
    recorder.close()
    _, out = truth(tmp_path / "store", capsys, "AAPL", str(DAY))
    assert f"AAPL {DAY}: " in out
    assert "385 were not recorded, 0 are not served" in out
