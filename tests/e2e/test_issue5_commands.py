"""The commands of Q1 to Q15 as they are written, against a simulator on a socket; and where each row is tested.

Rows Q59 to Q63 and Q72, the downloader, are in tests/tools/test_fetch_historical_data.py.
"""

import ast
import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pytest

from quant_trading.core.ibkr_account import IBKRAccount
from quant_trading.data.store_exchange import column_of
from quant_trading.refdata.sessions import at
from quant_trading.tws_sim.clock import SimClock
from quant_trading.tws_sim.config import SimConfig
from quant_trading.tws_sim.server import ThreadedTwsServer
from quant_trading.tws_sim.simulator import Simulator
from quant_trading.tws_sim.sources import open_source
from tests.core.test_portfolio_tracker import AAPL_AT_155, READ_MESSAGES, SAMPLE

CHECKOUT = Path(__file__).resolve().parents[2]
DAY = date(2026, 11, 19)
MINUTE_NS = 60_000_000_000
PORTFOLIO = "python -m quant_trading.core.portfolio_tracker"
MARKET_DATA = "python -m quant_trading.data.market_data_tracker"

# Row of the specification -> the tests that hold it.
ROWS = {
    "Q1": ["tests/core/test_ibkr_connection.py::test_the_specifications_script_runs_against_the_simulator"],
    "Q2": ["tests/e2e/test_issue5_commands.py::test_the_portfolio_command_as_it_is_written"],
    "Q3": ["tests/e2e/test_issue5_commands.py::test_the_market_data_command_as_it_is_written"],
    "Q4": [
        "tests/repository/test_docs.py::test_the_readme_says",
        "tests/core/test_diagnose.py::test_the_api_is_read_only",
    ],
    "Q5": [
        "tests/repository/test_windows.py::test_names_are_legal_on_windows",
        "tests/repository/test_windows.py::test_paths_are_never_joined_by_hand",
        "tests/e2e/test_issue5_commands.py::test_the_portfolio_command_as_it_is_written",  # from a folder with a blank
    ],
    "Q6": [
        "tests/e2e/test_issue5_commands.py::test_several_accounts_and_currencies",
        "tests/core/test_portfolio_tracker.py::test_currencies_come_without_the_made_up_base",
    ],
    "Q7": ["tests/e2e/test_issue5_commands.py::test_several_accounts_and_currencies"],
    "Q8": [
        "tests/e2e/test_issue5_commands.py::test_several_accounts_and_currencies",
        "tests/core/test_portfolio_tracker.py::test_json_as_a_program_reads_it",
    ],
    "Q9": [
        "tests/core/test_portfolio_tracker.py::test_the_sample_of_the_specification_byte_by_byte",
        "tests/e2e/test_issue5_commands.py::test_the_portfolio_command_as_it_is_written",
    ],
    "Q10": [
        "tests/data/test_market_data_tracker.py::test_the_sample_of_the_specification",
        "tests/e2e/test_issue5_commands.py::test_the_market_data_command_as_it_is_written",
    ],
    "Q11": [
        "tests/data/test_market_data_tracker.py::test_the_sample_of_the_specification",
        "tests/e2e/test_issue5_commands.py::test_the_market_data_command_as_it_is_written",
    ],
    "Q12": [
        "tests/e2e/test_issue5_commands.py::test_the_market_data_command_as_it_is_written",
        "tests/data/test_market_data_tracker.py::test_the_first_lines_are_the_quote_of_the_market",
    ],
    "Q13": [
        "tests/data/test_bars.py::test_any_ticks_give_the_bars_of_brute_force",
        "tests/golden/test_aggregation.py::test_larger_bars_equal_pandas_and_polars",
        "tests/golden/test_aggregation.py::test_ibkrs_own_5_minute_bars_from_its_1_minute_bars",
        "tests/e2e/test_issue5_commands.py::test_bars_of_every_timeframe_with_their_macd",
    ],
    "Q14": [
        "tests/golden/test_aggregation.py::test_macd_of_the_bars_one_by_one_equals_that_of_the_series_to_the_bit",
        "tests/e2e/test_issue5_commands.py::test_bars_of_every_timeframe_with_their_macd",
    ],
    "Q15": [
        "tests/e2e/test_issue5_commands.py::test_the_market_data_command_as_it_is_written",
        "tests/data/test_market_data_tracker.py::test_bars_are_whole_from_the_first_minute_on_and_nothing_is_ordered",
    ],
}


def test_every_row_has_its_test() -> None:
    assert list(ROWS) == [f"Q{number}" for number in range(1, 16)]
    for row, places in ROWS.items():
        for place in places:
            name, _, function = place.partition("::")
            tree = ast.parse((CHECKOUT / name).read_text(encoding="utf-8"))
            assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (row, place)


@contextmanager
def started(words: str, folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """Start a command of the specification, word by word, where a user has put configuration and nothing else."""
    if not (folder / "configs").exists():
        (folder / "configs").mkdir(parents=True)
        shutil.copy(CHECKOUT / "configs" / "paper.yaml", folder / "configs")
    env = {k: v for k, v in os.environ.items() if not k.startswith("IBKR_")}
    env |= {"IBKR_PAPER_PORT": str(port), "PYTHONPATH": str(CHECKOUT), "QT_HOME": str(folder)}
    python, *arguments = shlex.split(words)
    assert python == "python"
    with subprocess.Popen(
        [sys.executable, "-W", "error", *arguments], cwd=folder, env=env, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def run(words: str, folder: Path, port: int) -> tuple[int, str, str]:
    with started(words, folder, port) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@contextmanager
def serving(
    source: str, clock: str, *, speed: float = 0.0, day: date = DAY, **config: object
) -> Iterator[ThreadedTwsServer]:
    market = Simulator(open_source(source), SimConfig(**config), at(day, clock))  # type: ignore[arg-type]
    with ThreadedTwsServer(market, SimClock(market.now_ns, speed)) as server:
        yield server


# Q2, Q6 to Q9.


@pytest.mark.slow
def test_the_portfolio_command_as_it_is_written(tmp_path: Path) -> None:
    """The sample of the specification, from a folder whose name has a blank and a letter beyond ASCII."""
    (tmp_path / "AAPL_5m.csv").write_text(AAPL_AT_155)
    account = {"cash": Decimal(995_000), "positions": {"AAPL": (Decimal(100), Decimal(150))}}
    with serving(str(tmp_path), "15:00", day=date(2025, 5, 12), **account) as tws:
        code, out, err = run(PORTFOLIO, tmp_path / "my désk", tws.port)
        assert set(tws.simulator.counters) <= READ_MESSAGES
    assert (code, out, err) == (0, SAMPLE, "")


ACCOUNTS = """\
============================================================
IBKR PAPER TRADING PORTFOLIO SUMMARY
Account: DU1234567
============================================================

Cash Balances:
------------------------------

CashBalance:
  USD: 995000.00
  EUR: -250.50
\x20\x20
Current Positions:
------------------------------
AAPL (USD): -7 shares, Avg Cost: 150.25

Portfolio Details:
------------------------------

Market Value by Currency:
  USD: -1085.00

Detailed Holdings:
  AAPL (USD): Position -7, Market Value -1085.00, Unrealized P&L -33.25
============================================================
============================================================
IBKR PAPER TRADING PORTFOLIO SUMMARY
Account: DU7654321
============================================================

Cash Balances:
------------------------------

CashBalance:
  USD: 995000.00
\x20\x20
Current Positions:
------------------------------
No positions

Portfolio Details:
------------------------------

Market Value by Currency:
  none

Detailed Holdings:
  none
============================================================
"""


@pytest.mark.slow
def test_several_accounts_and_currencies(tmp_path: Path) -> None:
    """A short position: 7 x 155.00 = 1085.00, 7 x (150.25 - 155.00) = -33.25; euros are in the first account only."""
    (tmp_path / "AAPL_5m.csv").write_text(AAPL_AT_155)
    config = {
        "accounts": ("DU1234567", "DU7654321"), "cash": Decimal(995_000), "foreign_cash": {"EUR": Decimal("-250.5")},
        "exchange_rates": {"EUR": Decimal("1.08")}, "positions": {"AAPL": (Decimal(-7), Decimal("150.25"))},
    }  # fmt: skip
    with serving(str(tmp_path), "15:00", day=date(2025, 5, 12), **config) as tws:
        assert run(f"{PORTFOLIO} --all-accounts", tmp_path / "desk", tws.port) == (0, ACCOUNTS, "")
        code, out, err = run(PORTFOLIO, tmp_path / "desk", tws.port)
    assert (code, out) == (4, "")
    assert (
        err
        == "error: this login has several accounts (DU1234567, DU7654321); name one with --account, or --all-accounts\n"
    )


# Q3, Q10 to Q12, Q15.

PRICE = r"\d+\.\d\d(?:\d\d)?"
KNOWN_LINES = re.compile(
    rf"Price Update - ReqID: 1, (?:LAST|BID|ASK|OPEN|HIGH|LOW|CLOSE): {PRICE}"
    r"|Size Update - ReqID: 1, (?:LAST_SIZE|BID_SIZE|ASK_SIZE|VOLUME): \d+"
    r"|Clock - TWS's clock is [+-]\d+ s from this machine's: times are TWS's"
    r"|History - AAPL: \d{4} 1m, \d{4} 3m, \d{4} 5m, \d{3} 10m bars before the first live one"
    r"|Stream - live: AAPL: data flow"
    r"|Session - 2026-11-19 10:0\d:\d\d \w+, \w+: .*"
    rf"|Bar - AAPL (?:1|3|5|10)m 2026-11-19 \d\d:\d\d:00, O {PRICE} H {PRICE} L {PRICE} C {PRICE} V \d+, "
    r"MACD -?\d+\.\d{4} Signal -?\d+\.\d{4} Hist -?\d+\.\d{4}, known 10:\d\d:\d\d"
    r"|Crossing - AAPL (?:1|3|5|10)m 2026-11-19 \d\d:\d\d:00, (?:up|down): .*"
    r"|Summary - 1 symbols, \d+ s, \d+ ticks \(\d+ late, \d+ out of order, \d+ outside the session\), \d+ bars"
    r"|Outages - none"
)
TRACKER_MESSAGES = {
    "startApi",
    "reqCurrentTime",
    "reqContractDetails",
    "reqMktData",
    "cancelMktData",
    "reqHistoricalData",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="other platform: Ctrl-C cannot be sent to one process")
def test_the_market_data_command_as_it_is_written(tmp_path: Path) -> None:
    """AAPL until Ctrl-C: every line is of a known form, and the first ones are the market's quote."""
    with serving("seed:7", "10:00", speed=1.0) as tws, started(MARKET_DATA, tmp_path, tws.port) as process:
        assert process.stdout is not None
        lines = _until(process.stdout, 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert set(tws.simulator.counters) <= TRACKER_MESSAGES
    assert (process.returncode, err) == (0, "")
    lines += out.splitlines()
    assert [line for line in lines if not KNOWN_LINES.fullmatch(line)] == []
    assert lines[-1] == "Outages - none"
    names = [found[1] for line in lines if (found := re.match(r"(?:Price|Size) Update - ReqID: 1, (\w+): ", line))]
    assert {"LAST", "LAST_SIZE", "BID", "ASK", "VOLUME"} <= set(names)
    # As in the sample, the size of a trade follows its price at once.
    assert all(names[k + 1] == "LAST_SIZE" for k, name in enumerate(names[:-1]) if name == "LAST")
    first = {name: line.rpartition(" ")[2] for name, line in reversed([*zip(names, _updates(lines), strict=True)])}
    assert Decimal(first["BID"]) <= Decimal(first["LAST"]) <= Decimal(first["ASK"])
    assert Decimal(first["LOW"]) <= Decimal(first["LAST"]) <= Decimal(first["HIGH"])


def _until(stream: IO[str], count: int) -> list[str]:
    """Return what comes until so many prices have come."""
    lines: list[str] = []
    while sum(line.startswith("Price Update") for line in lines) < count:
        line = stream.readline()
        assert line, lines
        lines.append(line.rstrip("\n"))
    return lines


def _updates(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("Price Update", "Size Update"))]


# Q13, Q14.


def _expected(port: int) -> dict[str, tuple[str, str]]:
    """Return by timeframe what the bar that ends at 10:00 must read, from TWS's own minutes by way of pandas.

    The words end before the moment at which it was known; the second text is its row in the CSV file.
    """
    with IBKRAccount(client_id=50, host="127.0.0.1", port=port, allow_port_mismatch=True, environ={}) as account:
        minutes = column_of(account.history(["AAPL"], "1 min", "15 D"), 0)
    frame = pd.DataFrame(
        {name: getattr(minutes, name) for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(minutes.start_ns, utc=True).tz_convert("America/New_York"),
    )
    frame = frame[frame.index < pd.Timestamp("2026-11-19 10:00", tz="America/New_York")]
    assert (frame["volume"] > 0).all()  # else IBKR's rule for quiet minutes would matter, which is tested elsewhere
    found = {}
    for size in (1, 3, 5, 10):
        rule = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
        # Half an hour after midnight each of these sizes begins, and so it does at the open.
        bars = frame.resample(f"{size}min", offset="30min").agg(rule).dropna()
        macd = bars["close"].ewm(span=12, adjust=False).mean() - bars["close"].ewm(span=26, adjust=False).mean()
        line = macd.ewm(span=9, adjust=False).mean()
        last, began = bars.iloc[-1], bars.index[-1]
        prices = " ".join(f"{name[0].upper()} {last[name]:.2f}" for name in ("open", "high", "low", "close"))
        values = (macd.iloc[-1], line.iloc[-1], macd.iloc[-1] - line.iloc[-1])
        text = (
            f"Bar - AAPL {size}m {began:%Y-%m-%d %H:%M:%S}, {prices} V {last['volume']:.0f}, "
            f"MACD {values[0]:.4f} Signal {values[1]:.4f} Hist {values[2]:.4f}, known "
        )
        found[f"{size}m"] = text, f"{began.tz_convert('UTC'):%Y-%m-%dT%H:%M:%SZ}"
    return found


@pytest.mark.slow
def test_bars_of_every_timeframe_with_their_macd(tmp_path: Path) -> None:
    """Started before 10:00, where bars of 1, 5 and 10 minutes end; 3-minute bars end at 10:00 too, 30 minutes in."""
    words = f"{MARKET_DATA} --bars-only --bars 4 --record --record-csv"
    with serving("seed:7", "09:59:40", speed=1.0) as tws:
        code, out, err = run(words, tmp_path, tws.port)
        expected = _expected(tws.port)
        truth = run(f"python -m quant_trading.tools.data truth AAPL {DAY} --port {tws.port}", tmp_path, tws.port)
        assert set(tws.simulator.counters) - {"reqAccountUpdates", "reqPositions"} <= TRACKER_MESSAGES
    assert (code, err) == (0, "")
    bars = [line for line in out.splitlines() if line.startswith("Bar - ")]
    assert [line[: line.index("known ") + 6] for line in bars] == [text for text, _ in expected.values()]
    for line in bars:  # the minute in which it began comes from history, a moment after its end
        assert re.fullmatch(r"10:00:\d\d", line.rpartition(" ")[2])
    for size, (_, start) in expected.items():
        with (tmp_path / "market_data" / "live" / f"AAPL_{size}_bars_macd.csv").open(newline="") as file:
            [row] = csv.DictReader(file)
        assert row["timestamp"] == start
    assert sorted(path.parent.parent.name for path in (tmp_path / "market_data" / "store").rglob("2026-*.parquet")) == [
        "10m.live", "1m.live", "3m.live", "5m.live",
    ]  # fmt: skip
    assert truth[1].startswith(f"AAPL {DAY}: 0 of 1 bars differ (0 in price), ")  # the day goes on: exit code 1
    assert (truth[0], truth[2]) == (1, "")
    assert np.isfinite([float(row[name]) for name in ("MACD", "Signal", "Hist")]).all()
