"""The command line of the backtest, as the specification words it (rows Q16 to Q28)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import referencing

from quant_trading.backtesting.run_backtest import main
from quant_trading.data.store import save_bars
from quant_trading.domain.bars import BarPanel
from tests.backtesting.panels import random_panel

SCHEMAS = Path(__file__).parents[2] / "quant_trading" / "backtesting"
BARS = 1200


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own strategy.env and folders out of the run."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("QT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ACTIVE_STRATEGY", raising=False)
    monkeypatch.chdir(tmp_path)


def market(*symbols: str, bars: int = BARS, seed: int = 5) -> None:
    """Fill market_data/ with 5-minute files."""
    save_bars(Path("market_data"), intraday(symbols, bars, seed))


def intraday(symbols: tuple[str, ...], bars: int, seed: int) -> BarPanel:
    """Return random walks on the 5-minute bars of real sessions from 2025-01-02 on."""
    from datetime import date

    from quant_trading.refdata.sessions import sessions_between

    starts: list[int] = []
    for session in sessions_between(date(2025, 1, 2), date(2025, 12, 31)):
        starts += range(session.open_ns, session.close_ns, 300 * 10**9)
    start = np.array(starts[:bars], dtype=np.int64)
    assert len(start) == bars
    rng = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.003, (bars, len(symbols))), axis=0)), 2)
    opened = np.round(np.vstack([np.full((1, len(symbols)), 100.0), close[:-1]]) * (1.0 + rng.normal(0, 0.0005)), 2)
    high, low = np.maximum(opened, close) + 0.01, np.minimum(opened, close) - 0.01
    volume = rng.integers(100, 9000, close.shape).astype(np.float64)
    return BarPanel(symbols, "5 mins", start, start + 300 * 10**9, opened, high, low, close, volume)


def run(*words: str) -> int:
    return main(["--timeframe", "5m", "--data-dir", "market_data", *words])


def document(symbol: str, folder: str = "backtest_results") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "5m", f"{symbol}_backtest.json").read_text(encoding="utf-8"))
    return found


def follow_their_schemas(folder: Path) -> list[str]:
    """Check every file of a run; return their names."""
    schemas = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMAS.glob("*.schema.json")}
    registry = referencing.Registry().with_resources(
        (name, referencing.Resource.from_contents(schema)) for name, schema in schemas.items()
    )
    paths = sorted(folder.iterdir())
    for path in paths:
        schema = schemas[f"{path.stem.rpartition('_')[2]}.schema.json"]
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.Draft202012Validator(schema, registry=registry).validate(
            json.loads(path.read_text(encoding="utf-8"))
        )
    return [path.name for path in paths]


def test_the_command_of_the_specification(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL", "MSFT", "ZZZ")
    assert main(["--timeframe", "5m", "--data-dir", "market_data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [title for title in ("Trade blotter", "Equity curve", "Per symbol") if title in lines] == [
        "Trade blotter", "Equity curve", "Per symbol",
    ]  # fmt: skip
    assert lines[0] == "BACKTEST: MACD"
    # ZZZ is not of the default list, the other two are.
    assert sorted(path.name for path in Path("backtest_results/5m").iterdir()) == [
        "AAPL_backtest.json", "MSFT_backtest.json", "account.json",
    ]  # fmt: skip


def test_the_files_follow_their_schema_and_add_up() -> None:
    market("AAPL", "MSFT")
    assert run("--commission", "1", "--plan", "ibkr_fixed") == 0
    assert follow_their_schemas(Path("backtest_results/5m")) == [
        "AAPL_backtest.json", "MSFT_backtest.json", "account.json",
    ]  # fmt: skip
    account = json.loads(Path("backtest_results/5m/account.json").read_text(encoding="utf-8"))
    profit = 0.0
    for symbol in ("AAPL", "MSFT"):
        found = document(symbol)
        assert len(found["candles"]["time"]) == found["period"]["bars"] == BARS
        assert len(found["indicators"]["macd"]) == BARS
        assert found["trades"], symbol
        for trade in found["trades"]:
            side = 1.0 if trade["side"] == "long" else -1.0
            gross = side * trade["quantity"] * (trade["exit_price"] - trade["entry_price"])
            assert trade["gross_pnl"] == pytest.approx(gross, abs=1e-9)
            assert trade["pnl"] == pytest.approx(gross - trade["cost"], abs=1e-9)
        assert found["equity"]["value"][-1] == pytest.approx(1_000_000.0 + found["summary"]["net_profit"], abs=1e-6)
        profit += found["summary"]["net_profit"]
    assert account["final_equity"] == pytest.approx(1_000_000.0 + profit, abs=1e-6)
    assert account["equity"]["value"][-1] == pytest.approx(account["final_equity"], abs=1e-9)


def test_a_run_without_trades_and_with_findings_follows_its_schema() -> None:
    market("AAPL", "MSFT")
    path = Path("market_data/AAPL_5m.csv")
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:300] + lines[400:]), encoding="utf-8")  # a hole
    assert run("--accounting", "weights", "--sizing", "targets") == 0
    assert follow_their_schemas(Path("backtest_results/5m")) == ["account.json"]
    account = json.loads(Path("backtest_results/5m/account.json").read_text(encoding="utf-8"))
    assert account["findings"]
    assert account["per_symbol"] == {}


def test_without_a_symbol_of_the_default_list_all_there_are_run() -> None:
    market("YYY", "ZZZ")
    assert run() == 0
    assert sorted(path.stem for path in Path("backtest_results/5m").glob("*_backtest.json")) == [
        "YYY_backtest", "ZZZ_backtest",
    ]  # fmt: skip


def test_a_basket_and_the_folders_of_results(tmp_path: Path) -> None:
    market("AAPL", "MSFT", "NVDA")
    assert run("--symbols", "MSFT,NVDA", "--cache-dir", "elsewhere") == 0
    assert sorted(path.name for path in Path("elsewhere/5m").glob("*_backtest.json")) == [
        "MSFT_backtest.json", "NVDA_backtest.json",
    ]  # fmt: skip
    assert run("--symbols", "AAPL", "--no-cache") == 0
    assert not Path("backtest_results").exists()


def test_stale_macd_columns_of_the_file_are_not_used() -> None:
    market("AAPL")
    assert run() == 0
    expected = document("AAPL")
    path = Path("market_data/AAPL_5m.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    wrong = [[*rows[0], "macd", "signal", "hist"], *([*row, "9", "9", "-9"] for row in rows[1:])]
    path.unlink()
    with Path("market_data/AAPL_5m_bars_macd.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(wrong)
    assert run() == 0
    found = document("AAPL")
    assert found["trades"] == expected["trades"]
    assert found["indicators"] == expected["indicators"]


def test_a_commission_changes_the_profit_by_exactly_its_orders(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL")
    assert run("--cost-bps", "0") == 0
    free = document("AAPL")
    assert run("--cost-bps", "0", "--commission", "1.25") == 0
    paid = document("AAPL")
    # Stop and reverse: each trade is closed by an order, and the last position was opened by one more.
    orders = len(free["trades"]) + 1
    assert free["metrics"]["orders"] == orders
    assert free["summary"]["net_profit"] - paid["summary"]["net_profit"] == pytest.approx(1.25 * orders, abs=1e-6)
    assert paid["summary"]["costs"] == pytest.approx(1.25 * orders, abs=1e-9)


def test_the_sample_is_the_latest_two_years_unless_dates_are_given() -> None:
    panel = random_panel(9, 756, 1)  # three years of daily bars
    save_bars(Path("market_data"), panel)
    [path] = Path("market_data").iterdir()
    days = [line.partition(",")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    year, rest = days[-1][:4], days[-1][4:]
    words = ["--timeframe", "1d", "--data-dir", "market_data", "--strategy", "REVERSAL", "--trade-jumps"]

    def period(*more: str) -> list[str]:
        assert main([*words, *more]) == 0
        found = json.loads(Path("backtest_results/1d/account.json").read_text(encoding="utf-8"))["period"]
        return [found["start"], found["end"]]

    first = next(day for day in days if day >= f"{int(year) - 2}{rest}")
    assert period() == [first, days[-1]]
    assert period("--all") == [days[0], days[-1]]
    assert period("--start", days[100], "--end", days[600]) == [days[100], days[600]]


def test_one_bad_file_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL", "MSFT")
    path = Path("market_data/MSFT_5m.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[7] = lines[7].replace(lines[7].split(",")[2], "not-a-price")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert run() == 1
    error = capsys.readouterr().err
    assert "left out: " in error
    assert "MSFT_5m.csv line 8" in error
    assert "not-a-price" in error
    assert [path.name for path in Path("backtest_results/5m").glob("*_backtest.json")] == ["AAPL_backtest.json"]


def test_no_bars_says_how_to_get_some(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    error = capsys.readouterr().err
    assert "market_data does not exist" in error
    assert "fetch_historical_data" in error
    assert "--sample" in error
    Path("market_data").mkdir()
    assert run() == 6
    assert "holds no bars of 5 mins" in capsys.readouterr().err


def test_the_strategy_is_that_of_strategy_env_unless_named(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL")
    Path("home/strategy.env").write_text("ACTIVE_STRATEGY=MACD\nMACD_FAST=5\n", encoding="utf-8")
    assert run("--no-cache") == 0
    assert "fast 5" in capsys.readouterr().out
    assert run("--no-cache", "--strategy", "REVERSAL", "--param", "lookback=3") == 0
    shown = capsys.readouterr().out
    assert "BACKTEST: REVERSAL" in shown
    assert "lookback 3" in shown
    assert run("--strategy", "NOSUCH") == 2
    assert "MACD" in capsys.readouterr().err


LEAK = '''
from dataclasses import dataclass
import numpy as np
from quant_trading.strategy.base import equal_weights, register

@register("TOMORROW_{stem}")
@dataclass(frozen=True)
class Tomorrow:
    """Reads the next close."""
    warmup = 2
    def signal(self, bars):
        ahead = np.vstack([bars.close[1:], bars.close[-1:]])
        return np.sign(ahead - bars.close)
    def target(self, signal, limits):
        return equal_weights(signal, limits)
'''


def test_a_strategy_that_reads_the_future_is_stopped_by_bar_and_column(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL")
    Path("home/strategies").mkdir()
    Path("home/strategies/tomorrow_cli.py").write_text(LEAK.format(stem="CLI"), encoding="utf-8")
    assert run("--strategy", "TOMORROW_CLI") == 7
    error = capsys.readouterr().err
    assert "AAPL" in error
    assert "2025-" in error
    assert not Path("backtest_results").exists()
    assert run("--strategy", "TOMORROW_CLI", "--no-causality") == 0
    assert "not tested (--no-causality)" in " ".join(capsys.readouterr().out.split())
    assert document("AAPL")["causality"]["passed"] is None


def test_a_sweep_shows_the_best_and_what_it_is_worth(capsys: pytest.CaptureFixture[str]) -> None:
    market("AAPL")
    words = ("--sweep", "fast=4:8", "--sweep", "slow=10:14:2", "--walk-forward", "5:3", "--report", "sweep.html")
    assert run(*words) == 0
    shown = capsys.readouterr().out
    assert "SWEEP: MACD, 15 runs, best by Sharpe" in shown  # 5 x 3 combinations
    assert "Deflated Sharpe" in shown
    assert "WALK-FORWARD: " in shown
    assert follow_their_schemas(Path("backtest_results/5m")) == ["AAPL_backtest.json", "account.json", "sweep.json"]
    swept = json.loads(Path("backtest_results/5m/sweep.json").read_text(encoding="utf-8"))
    assert {len(column) for part in ("parameters", "figures") for column in swept[part].values()} == {15}
    assert len(swept["walk_forward"]) > 1
    page = Path("sweep.html").read_text(encoding="utf-8")
    assert "Parameter sweep" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--start", "2025-02-01", "--end", "2025-01-01"), "is before --start"),
        (("--start", "soon"), "is not a date"),
        (("--symbols", "AAPL,AAPL"), "names AAPL twice"),
        (("--all", "--start", "2025-01-02"), "leave one out"),
        (("--capital", "-5"), "initial_capital = -5.0 is not above 0"),
        (("--stop-loss", "3"), "write 0.03 for 3 %"),
        (("--timeframe", "7m"), "7m"),
        (("--param", "timeframe=3"), "differ"),
        (("--benchmark", "NOSUCH"), "NOSUCH"),
        (("--sweep", "fast=1:", "--no-cache"), "fast=1:"),
        (("--max-position", "20"), "write 0.2 for 20 %"),
    ],
)
def test_a_wrong_word_is_answered_with_its_cure(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    market("AAPL")
    assert run(*words) in (2, 6)
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not Path("backtest_results").exists()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom quant_trading.backtesting.run_backtest import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'pyarrow', 'numba', 'pandas', 'pydantic', 'ib_async') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_plain_run_waits_for_no_library_it_does_not_use() -> None:
    market("AAPL")
    Path("home/strategy.env").write_text("# of the desk\nACTIVE_STRATEGY=MACD\nMACD_TIMEFRAME=5\n")
    unused = (
        "pyarrow", "numba", "pandas", "pydantic", "yaml", "dotenv", "ib_async", "asyncio", "logging", "csv", "shutil",
        "tempfile", "difflib", "calendar", "concurrent.futures", "multiprocessing", "numpy.random", "numpy.ma",
    )  # fmt: skip
    code = (
        "import sys\nfrom quant_trading.backtesting.run_backtest import main\n"
        f"code = main(['--timeframe', '5m'])\nprint([m for m in {unused!r} if m in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


@pytest.mark.slow
def test_sample_bars_make_the_first_run_possible(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quant_trading.backtesting.run_backtest", "--timeframe", "1d", "--sample",
               "--symbols", "AAPL", "SMR", "--strategy", "REVERSAL"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(SCHEMAS.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "made up (seed 7)" in done.stdout
    assert Path("backtest_results/1d/SMR_backtest.json").is_file()
