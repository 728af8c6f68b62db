"""The downloader as a person runs it, against the simulator: files, words, exit codes, kills."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.backtesting import run_backtest
from quant_trading.core.pacing import HistoryKey
from quant_trading.core.pacing_file import shared_pacer
from quant_trading.data.bar_store import BarStore
from quant_trading.data.download_ledger import LEDGER_FILE, DownloadLedger, LedgerLine
from quant_trading.data.store import load_panel
from quant_trading.domain.bar_sizes import parse_bar_size
from quant_trading.refdata.sessions import at, sessions_between
from quant_trading.settings.system_clock import SystemClock
from quant_trading.tools import data
from quant_trading.tools.fetch_historical_data import main
from quant_trading.tools.fetch_progress import Tally, clock_words
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "paper.yaml")
EVENING = "2026-11-19 18:00"

Run = Callable[..., tuple[int, list[str], str]]


def served(now: str, speed: float = 0.0, **config: Any) -> pytest.MarkDecorator:
    """Return a mark: the simulator of the test starts at this time in New York, and stands still or goes on."""
    return pytest.mark.parametrize("tws", [(now, speed, config)], indirect=True, ids=[now])


@pytest.fixture
def tws(request: pytest.FixtureRequest) -> Iterator[ThreadedTwsServer]:
    """A simulated TWS on a free port."""
    now, speed, config = request.param
    day, clock_time = now.split()
    start = at(date.fromisoformat(day), clock_time)
    with ThreadedTwsServer(
        Simulator(open_source("seed:7"), SimConfig(**config), start), SimClock(start, speed)
    ) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A desk of its own."""
    for name in [*os.environ]:
        if name.startswith("IBKR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def fetch(tws: ThreadedTwsServer, home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command against the simulator."""

    def run(*words: str) -> tuple[int, list[str], str]:
        code = main([*words, "--port", str(tws.port), "--config", CONFIG])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


@served(EVENING, pacing="strict")
def test_the_command_of_the_specification(fetch: Run, home: Path, tws: ThreadedTwsServer) -> None:
    code, said, errors = fetch("--symbols", "SMR", "--duration", "6 M", "--bar-size", "5 mins")
    path = home / "market_data" / "SMR_5m_bars_macd.csv"
    bars = sum((s.close_ns - s.open_ns) // 300_000_000_000
               for s in sessions_between(date(2026, 5, 20), date(2026, 11, 19)))  # fmt: skip
    assert (code, errors) == (0, "")
    assert said == ["1 symbol, 5 mins bars: 26 requests", f"SMR: {bars:,} new bars, {bars:,} in {path}"]
    lines = path.read_text().splitlines()
    assert lines[0] == "timestamp,open,high,low,close,volume,MACD,Signal,Hist"
    assert lines[1].startswith("2026-05-20T13:30:00Z,") and lines[-1].startswith("2026-11-19T20:55:00Z,")
    assert len(lines) == bars + 1
    assert not tws.call(lambda simulator: simulator.pacing.violations)
    # the same bars in the store, and the same command again asks for nothing
    stored = BarStore(home / "market_data" / "store").columns("SMR", "5 mins")
    panel = load_panel(home / "market_data", ["SMR"], "5 mins")
    assert stored is not None and np.array_equal(stored.close, panel.close[:, 0])
    before = path.read_bytes()
    code, said, _ = fetch("--symbols", "SMR", "--duration", "6 M", "--bar-size", "5 mins")
    assert (code, said[0]) == (0, "1 symbol, 5 mins bars: 0 requests")
    assert path.read_bytes() == before


@served(EVENING)
def test_a_backtest_reads_the_file(fetch: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch("--symbols", "SMR", "AAPL", "--duration", "1 M", "--bar-size", "5 mins")
    options = ["--timeframe", "5m", "--data-dir", str(home / "market_data"), "--no-cache", "--no-causality"]
    assert run_backtest.main([*options, "--strategy", "MACD"]) == 0
    said = capsys.readouterr().out
    assert "SMR" in said and "AAPL" in said


@served(EVENING)
def test_gaps_that_repair_names_are_filled_by_the_command_it_prints(
    fetch: Run, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = home / "market_data" / "store"
    fetch("--symbols", "SMR", "--duration", "3 D", "--bar-size", "5m", "--end-datetime", "2026-11-12")
    fetch("--symbols", "SMR", "--duration", "2 D", "--bar-size", "5m")
    assert data.main(["repair", "--store", str(store)]) == 1
    [line] = [text.strip() for text in capsys.readouterr().out.splitlines() if "python -m" in text]
    code, said, _ = fetch(*shlex.split(line)[3:])
    assert code == 0
    assert said[1].startswith(f"SMR: {3 * 78} new bars"), "13, 16 and 17 November"
    assert data.main(["repair", "--store", str(store)]) == 0
    assert data.main(["check", "--store", str(store)]) == 0


@served("2026-11-19 11:02")
def test_the_running_bar_is_left_out_and_all_hours_are_a_series_of_their_own(fetch: Run, home: Path) -> None:
    folder = home / "market_data"
    assert fetch("--symbols", "SMR", "--duration", "1 D", "--bar-size", "5m")[0] == 0
    panel = load_panel(folder, ["SMR"], "5 mins")
    assert len(panel) == 18 and int(panel.end_ns[-1]) == at(date(2026, 11, 19), "11:00")
    code, said, _ = fetch("--symbols", "SMR", "--duration", "1 D", "--bar-size", "5m", "--all-hours")
    # from 04:00 to 11:00
    path = folder / "SMR_5m_all_bars_macd.csv"
    assert (code, said[1:]) == (0, [f"SMR: 84 new bars, 84 in {path}"])
    assert len(load_panel(folder, ["SMR"], "5 mins")) == 18, "backtests go on reading the regular hours"
    code, said, _ = fetch("--symbols", "SMR", "--duration", "1 D", "--bar-size", "5m")
    assert (code, said[1:]) == (0, [f"SMR: 0 new bars, 18 in {folder / 'SMR_5m_bars_macd.csv'}"])
    assert not list(folder.glob("*.kept-*"))


@pytest.mark.parametrize("tws", [("2026-11-19 11:02", 0.0, {}), ("2026-11-19 16:20", 0.0, {})], indirect=True)
def test_of_a_day_that_has_not_settled_there_is_no_bar_and_that_is_said(fetch: Run) -> None:
    code, said, _ = fetch("--symbols", "SMR", "--duration", "1 D", "--bar-size", "1 day")
    assert (code, said) == (
        6, ["failed: SMR: there is no bar of 2026-11-19 yet, 1 day bars count from 30 minutes after the close; run the "
            "same command then, or name a longer --duration"]
    )  # fmt: skip
    code, said, _ = fetch("--symbols", "SMR", "--duration", "2 D", "--bar-size", "1 day")
    assert (code, len(said)) == (0, 2)


def _asked(tws: ThreadedTwsServer, name: str) -> int:
    count: int = tws.call(lambda simulator: simulator.counters[name])
    return count


@served(EVENING)
@pytest.mark.expects_client_errors
def test_symbols_are_looked_up_once_and_no_first_bar_is_asked_in_advance(fetch: Run, tws: ThreadedTwsServer) -> None:
    code, said, _ = fetch("--symbols", "SMR", "NOSUCH", "--duration", "20 D", "--bar-size", "1 min")
    assert (code, said[1]) == (1, "1 symbol, 1 min bars: 20 requests")
    assert [_asked(tws, name) for name in ("reqContractDetails", "reqHeadTimestamp")] == [2, 0]


@pytest.mark.parametrize("option", ["--repair", "--refresh"])
@served(EVENING)
def test_a_first_bar_that_tws_named_wrongly_is_not_believed_for_ever(fetch: Run, home: Path, option: str) -> None:
    words = ["--symbols", "SMR", "--duration", "8 D", "--bar-size", "5m"]
    wrong = at(date(2026, 11, 17), "09:30")
    ledger = DownloadLedger(home / "market_data" / "store" / "5m" / "SMR" / LEDGER_FILE)
    ledger.note(LedgerLine(SystemClock().now(), wrong, wrong, "first"))
    code, said, _ = fetch(*words)
    # 16 November, the session before it, is asked all the same: TWS has it
    assert (code, said[-1]) == (0, "SMR: TWS has bars from 2026-11-16 on") and "312 new" in said[1]
    code, said, _ = fetch(*words, option)
    assert code == 0 and said[-1].startswith(f"SMR: {4 * 78} new bars, {8 * 78} in"), said
    assert fetch(*words)[1][0] == "1 symbol, 5 mins bars: 0 requests"


# Starts of the bars of a whole session and of the half day after Thanksgiving, as TWS puts them: on the clock.
ON_THE_CLOCK = {
    "20 mins": 20 + 11,  # 09:30, 09:40, 10:00, ..., 15:40 and 12:40
    "1 hour": 7 + 4,
    "2 hours": 4 + 3,  # 09:30, 10:00, 12:00, 14:00
    "3 hours": 3 + 2,  # 09:30, 12:00, 15:00
    "4 hours": 2 + 2,  # 09:30, 12:00
    "8 hours": 1 + 1,
}


@pytest.mark.parametrize("size", ON_THE_CLOCK)
@served("2025-12-01 18:00")
def test_bars_on_the_clock_pass_the_checker_and_the_backtest(
    fetch: Run, home: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    folder, timeframe = home / "market_data", parse_bar_size(size).timeframe
    assert fetch("--symbols", "SMR", "--duration", "3 D", "--bar-size", size)[0] == 0  # 26 and 28 November, 1 December
    panel = load_panel(folder, ["SMR"], size)
    whole = len(panel.known_at(at(date(2025, 11, 26), "16:00")))
    assert len(panel) == ON_THE_CLOCK[size] + whole
    assert (panel.end_ns[:-1] <= panel.start_ns[1:]).all(), "no bar reaches into the next one"
    assert data.main(["check", "--store", str(folder / "store")]) == 0
    file = folder / f"SMR_{timeframe}_bars_macd.csv"
    assert data.main(["check", str(file), "--bar-size", size]) == 0
    capsys.readouterr()
    options = ["--timeframe", timeframe, "--data-dir", str(folder), "--no-cache", "--no-causality"]
    assert run_backtest.main([*options, "--strategy", "STATIC"]) == 0
    said = capsys.readouterr()
    assert "on the clock" not in said.out + said.err and "off_grid" not in said.out + said.err


@served(EVENING)
def test_a_share_class_is_one_series_however_it_is_written(fetch: Run, home: Path) -> None:
    code, said, _ = fetch("--symbols", "BRK B", "--duration", "1 D", "--bar-size", "5m")
    path = home / "market_data" / "BRK.B_5m_bars_macd.csv"
    assert (code, said[1:]) == (0, [f"BRK.B: 78 new bars, 78 in {path}"])
    code, said, _ = fetch("--symbols", "BRK.B", "--duration", "1 D", "--bar-size", "5m")
    assert (code, said) == (0, ["1 symbol, 5 mins bars: 0 requests", f"BRK.B: 0 new bars, 78 in {path}"])
    assert [series.manifest.symbol for series in BarStore(home / "market_data" / "store").series()] == ["BRK.B"]


@pytest.mark.parametrize("kind", ["BID", "ASK", "MIDPOINT", "BID_ASK"])
@served(EVENING)
def test_quotes_pass_the_checker(fetch: Run, home: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert fetch("--symbols", "SMR", "--duration", "2 D", "--bar-size", "5m", "--what", kind)[0] == 0
    capsys.readouterr()
    assert data.main(["check", "--store", str(home / "market_data" / "store")]) == 0
    assert capsys.readouterr().out.splitlines() == ["1 series checked: all well"]


@served(EVENING)
def test_a_recorded_file_is_kept_when_it_holds_other_bars(fetch: Run, home: Path) -> None:
    path = home / "market_data" / "SMR_5m_bars_macd.csv"
    path.parent.mkdir()
    recorded = "timestamp,open,high,low,close,volume,MACD,Signal,Hist\n2025-01-02T14:30:00Z,1,1,1,1,1,0,0,0\n"
    path.write_text(recorded)
    code, said, _ = fetch("--symbols", "SMR", "--duration", "1 D", "--bar-size", "5m")
    [kept] = path.parent.glob("*.kept-*")
    assert code == 0 and said[-1].endswith(f"it is kept as {kept}")
    assert kept.read_text() == recorded


@served(EVENING)
@pytest.mark.expects_client_errors
def test_a_failed_symbol_does_not_stop_the_others(fetch: Run, home: Path) -> None:
    code, said, errors = fetch("--symbols", "NOSUCH,SMR", "AAPL", "--duration", "2 D", "--bar-size", "1 min")
    assert (code, errors) == (1, "")
    assert said[0].startswith("failed: NOSUCH: unknown to IBKR")
    assert [line.partition(":")[0] for line in said[2:]] == ["SMR", "AAPL"]
    assert sorted(path.name for path in (home / "market_data").glob("*.csv")) == [
        "AAPL_1m_bars_macd.csv", "SMR_1m_bars_macd.csv",
    ]  # fmt: skip
    assert fetch("--symbols", "NOSUCH", "--duration", "2 D")[0] == 6


@served(EVENING)
def test_other_kinds_and_sizes(fetch: Run, home: Path) -> None:
    folder = home / "market_data"
    assert fetch("--symbols", "SMR", "--duration", "2 D", "--what", "BID_ASK", "--bar-size", "30 secs")[0] == 0
    assert (folder / "SMR_30s_bid_ask_bars_macd.csv").read_text().count("\n") == 2 * 780 + 1
    assert fetch("--symbols", "SMR", "--duration", "1 M", "--what", "ADJUSTED_LAST", "--bar-size", "1 day",
                 "--end-datetime", "2026-10-30")[0] == 0  # fmt: skip
    lines = (folder / "SMR_1d_adjusted_last_bars_macd.csv").read_text().splitlines()
    assert (lines[1][:10], lines[-1][:10]) == ("2026-10-01", "2026-10-30")
    assert fetch("--symbols", "SMR", "--duration", "1 Y", "--bar-size", "1W")[0] == 0
    weeks = (folder / "SMR_1w_bars_macd.csv").read_text().splitlines()[1:]
    assert weeks[-1][:10] == "2026-11-09", "the running week is left out"
    assert 50 <= len(weeks) <= 53


@served(EVENING)
def test_a_hole_that_nobody_asked_for_is_told_and_repair_fills_it(fetch: Run, home: Path) -> None:
    words = ["--symbols", "SMR", "--bar-size", "5m"]
    code, said, _ = fetch(*words, "--duration", "2 D", "--end-datetime", "2026-11-10")  # 9 and 10 November
    assert code == 0 and not any("never asked for" in line for line in said)
    code, said, _ = fetch(*words, "--duration", "2 D")  # 18 and 19 November
    # Wednesday the 11th to Tuesday the 17th: five sessions
    assert (code, said[-1]) == (0, "SMR: 5 sessions within the file were never asked for (2026-11-11..2026-11-17), and "
                                "MACD runs over them; --repair without --duration fetches them")  # fmt: skip
    code, said, _ = fetch(*words, "--repair")
    assert code == 0 and said[1].startswith(f"SMR: {5 * 78} new bars, {9 * 78} in")
    assert not any("never asked for" in line for line in said)


@pytest.mark.slow
@served(EVENING)
def test_two_downloads_at_once_share_the_pages_and_leave_the_same_files(
    fetch: Run, home: Path, tws: ThreadedTwsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, pages = ["--symbols", "SMR", "--duration", "30 D", "--bar-size", "1 min"], 30
    assert fetch(*words)[0] == 0
    alone = _left(home)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("QT_HOME", str(other))
    # Both know already from when on TWS has bars: who asks that second waits for 16 s, and would find all done.
    begins = at(date(2000, 1, 3), "09:30")
    ledger = DownloadLedger(other / "market_data" / "store" / "1m" / "SMR" / LEDGER_FILE)
    ledger.note(LedgerLine(SystemClock().now(), begins, begins, "first"))
    asked: list[str] = []

    def arm(simulator: Any) -> None:
        admit = simulator.pacing.admit

        def count(session: Any, request: Any) -> None:
            asked.append(request.name)
            admit(session, request)

        simulator.pacing.admit = count

    tws.call(arm)
    line = [*words, "--port", str(tws.port), "--config", CONFIG]
    codes: list[int] = []
    both = [threading.Thread(target=lambda k=k: codes.append(main([*line, "--client-id", str(k)]))) for k in (71, 72)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert codes == [0, 0]
    assert _left(other) == alone
    # where the two meet, what is under way at once (six each) or waits for the next write may be asked twice
    assert asked.count("reqHistoricalData") <= pages + 2 * (6 + 1)


@served(EVENING)
def test_small_bars_that_ibkr_no_longer_has_are_told(fetch: Run) -> None:
    words = ["--symbols", "SMR", "--duration", "3 D", "--bar-size", "30 secs", "--end-datetime", "2026-05-21"]
    code, said, _ = fetch(*words)
    # half a year before 2026-11-19 begins after 2026-05-19, the first of the three sessions
    assert code == 0
    assert said[0] == "SMR: IBKR keeps bars of 30 secs for six months; what is older is not asked for"
    assert said[2].startswith(f"SMR: {2 * 780:,} new bars")


@served(EVENING)
def test_an_end_still_to_come_is_now_and_that_is_said(fetch: Run, home: Path) -> None:
    words = ["--symbols", "SMR", "--duration", "1 D", "--bar-size", "5m", "--end-datetime"]
    code, said, _ = fetch(*words, "2027-01-30")
    assert (code, said[0]) == (0, "the end is still to come: bars up to now, 2026-11-19 23:00:00 UTC")
    assert "78 new bars" in said[2]
    code, said, _ = fetch(*words, "2026-11-18")
    assert code == 0 and not any("still to come" in line for line in said)


@served(EVENING)
def test_what_tws_lacks_is_told(fetch: Run, tws: ThreadedTwsServer) -> None:
    words = ["--symbols", "SMR", "--bar-size", "5 mins", "--duration"]
    code, said, _ = fetch(*words, "5 D", "--end-datetime", "1999-01-15")
    assert (code, said[-1]) == (
        6,
        "failed: SMR: TWS has no bars of this time; ask for more, or for another kind with --what",
    )
    # the market of the simulator begins with the year 2000
    code, said, _ = fetch(*words, "8 D", "--end-datetime", "2000-01-06")
    assert (code, said[-1]) == (0, "SMR: TWS has bars from 2000-01-03 on")


@pytest.mark.slow
@served(EVENING)
def test_the_very_words_of_the_specification(tws: ThreadedTwsServer, tmp_path: Path) -> None:
    line = 'python -m quant_trading.tools.fetch_historical_data --symbols SMR --duration "6 M" --bar-size "5 mins"'
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_")}
    environ |= {"QT_HOME": str(tmp_path), "IBKR_PAPER_PORT": str(tws.port), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:]], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
        env=environ,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    path = tmp_path / "market_data" / "SMR_5m_bars_macd.csv"
    assert done.stdout.splitlines()[1].endswith(f" in {path}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: Ctrl-C cannot be sent to one process")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@served(EVENING, speed=1.0)
def test_ctrl_c_ends_it_and_the_same_command_goes_on(name: str, tws: ThreadedTwsServer, home: Path, fetch: Run) -> None:
    words = ["--symbols", "SMR", "--duration", "2 D", "--bar-size", "30 secs"]
    pacer = shared_pacer(home / "state", "127.0.0.1", tws.port, SystemClock())
    for which in range(59):  # another program has all but used the window up
        assert pacer.file.claim(HistoryKey(which, "SMART", "TRADES", 30.0)) == 0.0
    command = [sys.executable, "-m", "quant_trading.tools.fetch_historical_data", *words]
    with subprocess.Popen(
        [*command, "--port", str(tws.port), "--config", CONFIG], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == (
            "1 symbol, 30 secs bars: 2 requests, 10 minutes at least under IBKR's pacing rules\n"
        )
        assert process.stdout.readline().startswith("the pacing window is full: the next request may go in 60")
        process.send_signal(signal.Signals[name])
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors == "interrupted: what came is kept, the same command goes on from there\n"
    (home / "state" / "pacing" / f"127.0.0.1-{tws.port}.json").unlink()
    code, said, _ = fetch(*words)
    assert code == 0
    assert said[-1].startswith(("SMR: 780 new bars, 1,560 in", "SMR: 1,560 new bars, 1,560 in"))


def test_a_reader_that_leaves_ends_the_download_and_that_is_no_success(tmp_path: Path) -> None:
    code = (
        "import sys; from quant_trading.tools import fetch_historical_data as tool\n"
        "def run(*_): raise BrokenPipeError\n"
        "tool._run = run; sys.exit(tool.main(['--symbols', 'SMR', '--port', '1']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=ROOT, timeout=60, env=os.environ | {"QT_HOME": str(tmp_path)}
    )
    assert done.returncode == 1


def test_nobody_listens(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["--symbols", "SMR", "--port", str(port), "--config", CONFIG]) == 3
    assert str(port) in capsys.readouterr().err
    assert not (home / "market_data").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--symbols", "SMR", "--bar-size", "7 mins"], "bar size '7 mins' is none of IBKR's"),
        (["--symbols", "SMR", "--duration", "6 months"], "is not a number and a unit of IBKR's"),
        (["--symbols", "SMR", "--bar-size", "5 min"], 'did you mean "5 mins"?'),
        (["--symbols", "SMR", "--duration", "6 m"], 'did you mean "6 M"?'),
        (["--symbols", "SMR", "--end-datetime", "soon"], "--end-datetime 'soon' is no moment"),
        (["--symbols", "SMR", "--end-datetime", "1985-01-01"], "name a later end"),
        (["--symbols", "SMR", "--output-dir", f"{__file__}/x"], f"--output-dir {__file__}/x cannot be written"),
    ],
)
def test_what_cannot_be_understood_is_refused_before_connecting(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


@served(EVENING)
def test_a_folder_of_other_files_makes_no_store(fetch: Run, home: Path) -> None:
    (home / "market_data").mkdir()
    (home / "market_data" / "bars.csv").write_text("x\n")
    code, _, errors = fetch("--symbols", "SMR", "--duration", "1 D", "--store", str(home / "market_data"))
    assert code == 2 and "is no store; name an empty folder" in errors


def test_help_loads_neither_numpy_nor_the_client() -> None:
    code = (
        "import sys; from quant_trading.tools.fetch_historical_data import build_parser; build_parser().format_help();"
        "print([m for m in ('numpy', 'ib_async', 'pyarrow', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_bars_a_second_and_the_time_left() -> None:
    now = [100.0]
    tally = Tally(10, lambda: now[0], lambda pages: 603.0 * pages if pages > 5 else 0.0)
    assert tally.words() == "0 of 10 pages, 0 bars, 0 bars/s"
    now[0] = 104.0
    for _ in range(2):
        tally.count(390)
    # 2 s a page, but eight of them take longer by the rules
    assert tally.words() == "2 of 10 pages, 780 bars, 195 bars/s, 1:20:24 left"
    for _ in range(3):
        tally.count(390)
    assert tally.words() == "5 of 10 pages, 1,950 bars, 488 bars/s, 0:04 left"
    assert [clock_words(seconds) for seconds in (0, 59.6, 3599, 36_000)] == ["0:00", "1:00", "59:59", "10:00:00"]


# Kills.


def _left(home: Path) -> dict[str, Any]:
    """Return the files that users read, and the bars of the store by symbol."""
    folder = home / "market_data"
    series = sorted(path.parent for path in folder.glob("store/*/*/manifest.json"))
    return {path.name: path.read_bytes() for path in folder.glob("*.csv*")} | {
        f"{place.name} {path.name}": path.read_bytes()
        for place in series
        for path in place.glob("*.parquet")
        if path.name in (place / "manifest.json").read_text().partition('"previous"')[0]
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: there is no SIGKILL")
@served(EVENING, speed=1.0, pacing="strict")
def test_killed_at_a_dozen_points_it_ends_byte_for_byte_as_if_it_had_not_been(
    tws: ThreadedTwsServer, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "quant_trading.tools.fetch_historical_data", "--symbols", "SMR", "AAPL",
               "--duration", "3 M", "--bar-size", "1 min", "--port", str(tws.port), "--config", CONFIG]  # fmt: skip
    rng, lock = random.Random(7), threading.Lock()
    victim: list[Any] = [None, -1]

    def arm(simulator: Any) -> None:
        admit = simulator.pacing.admit

        def count(session: Any, request: Any) -> None:
            with lock:
                if request.name == "reqHistoricalData" and victim[1] > 0:
                    victim[1] -= 1
                    if not victim[1]:
                        os.kill(victim[0].pid, signal.SIGKILL)
            admit(session, request)

        simulator.pacing.admit = count

    tws.call(arm)

    def run(home: Path, kill_at: int) -> tuple[int, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("IBKR_")}
        with lock:
            victim[1] = kill_at
            victim[0] = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
                env=environ | {"QT_HOME": str(home)},
            )  # fmt: skip
        said = victim[0].communicate(timeout=120)[0]
        return victim[0].returncode, said

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for home in (whole, killed):
        home.mkdir()
    code, said = run(whole, -1)
    assert code == 0, said
    for _ in range(12):
        code, said = run(killed, rng.randint(1, 8))
        assert code == -signal.SIGKILL, said
    code, said = run(killed, -1)
    assert code == 0, said
    assert re.search(r"2 symbols, 1 min bars: \d+ requests", said)
    assert _left(killed) == _left(whole)
    assert len(_left(whole)) == 4
    assert not tws.call(lambda simulator: simulator.pacing.violations)
