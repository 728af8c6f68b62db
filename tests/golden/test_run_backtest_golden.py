"""The reference results of independent engines, asked of the command line and read from its files."""

import csv
import json
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quant_trading.backtesting.run_backtest import main
from quant_trading.data.store import load_panel, save_bars
from quant_trading.domain.bars import BarColumns, BarPanel, panel_from_columns
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared

# The engine meets every series in test_macd_cross.py and its neighbours; of the command the fast suite sees one.
SERIES = (
    "AAPL_5m_2025",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("SPY_5m_2018_2019", "NVDA_5m_2025", "WEBL_5m_2025")),
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own strategy.env and folders out of the run."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("QT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def starts_of(table: Any) -> Any:
    """Return the stamps of a table as UTC nanoseconds."""
    return table["timestamp"].to_numpy().astype("datetime64[ns]").astype(np.int64)


def rows_of(name: str) -> list[dict[str, str]]:
    with golden(name).open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def panel_of(series: str) -> BarPanel:
    from pyarrow import parquet

    symbol = series.partition("_")[0]
    name = "ibkr_SPY_5m_rth_2018_2019" if symbol == "SPY" else "ibkr_5m_rth_2025"
    with parquet.ParquetFile(market_data(f"intraday/{name}.parquet")) as file:
        table = file.read()
    if "symbol" in table.column_names:
        table = table.filter(np.array(table["symbol"].to_pylist()) == symbol)
    start = starts_of(table)
    prices = [table[c].to_numpy().astype(np.float64) for c in ("open", "high", "low", "close", "volume")]
    return panel_from_columns([symbol], "5 mins", [BarColumns(start, start + 300 * 10**9, *prices)])


def bars_of(series: str, folder: Path) -> str:
    """Write the bars of one golden series as a CSV and return its symbol."""
    save_bars(folder, panel_of(series))
    return panel_of(series).symbols[0]


def run(folder: Path, symbol: str, *more: str) -> dict[str, Any]:
    """Run the command and return the cached document of the symbol."""
    words = ["--timeframe", "5m", "--data-dir", str(folder), "--symbols", symbol, "--cache-dir", "results", *more]
    assert main(words) == 0
    document: dict[str, Any] = json.loads(Path("results", "5m", f"{symbol}_backtest.json").read_text(encoding="utf-8"))
    return document


def stamp(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp())


@pytest.mark.parametrize("series", SERIES)
def test_macd_crossings_trade_as_two_other_engines_do(series: str, tmp_path: Path) -> None:
    symbol = bars_of(series, tmp_path / "bars")
    found = run(tmp_path / "bars", symbol, "--cost-bps", "0")
    expected = rows_of(f"macd_cross_trades_{series}.csv")
    assert len(found["trades"]) == len(expected)
    for trade, row in zip(found["trades"], expected, strict=True):
        size = float(row["size"])
        assert trade["side"] == ("long" if size > 0 else "short")
        assert trade["quantity"] == abs(size)
        assert trade["entry_time"] == stamp(row["entry_time_utc"])
        assert trade["exit_time"] == stamp(row["exit_time_utc"])
        assert trade["entry_price"] == float(row["entry_price"])
        assert trade["exit_price"] == float(row["exit_price"])
        assert trade["pnl"] == pytest.approx(float(row["pnl"]), abs=1e-9)
    summary = json.loads(golden("macd_cross_summary.json").read_text(encoding="utf-8"))["backtesting"][series]["nofee"]
    assert found["account"]["final_equity"] == pytest.approx(summary["final_equity_marked"], abs=1e-6)
    assert found["metrics"]["hit_rate"] * 100 == pytest.approx(summary["win_rate_pct"], rel=1e-9)
    # That engine's profit factor is one of returns, ours one of money.
    returns = [trade["pnl"] / (trade["quantity"] * trade["entry_price"]) for trade in found["trades"]]
    won, lost = sum(x for x in returns if x > 0.0), -sum(x for x in returns if x < 0.0)
    assert won / lost == pytest.approx(summary["profit_factor"], rel=1e-9)
    equity = {row["date"]: float(row["equity"]) for row in rows_of(f"macd_cross_equity_daily_{series}.csv")}
    own = dict(zip(found["equity"]["date"], found["equity"]["value"], strict=True))
    assert own.keys() == equity.keys()
    assert np.allclose([own[day] for day in equity], list(equity.values()), rtol=0.0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_ibkrs_fixed_fees_to_the_cent(series: str, tmp_path: Path) -> None:
    symbol = bars_of(series, tmp_path / "bars")
    summary = json.loads(golden("macd_cross_summary.json").read_text(encoding="utf-8"))
    plan = ("--cost-bps", "0", "--plan", "ibkr_fixed")
    two = run(tmp_path / "bars", symbol, *plan, "--reversal", "two")
    other = summary["backtesting"][series]["ibfixed"]
    assert two["account"]["final_equity"] == pytest.approx(other["final_equity_marked"], abs=0.01)
    assert sum(trade["cost"] for trade in two["trades"]) == pytest.approx(other["commissions"], abs=0.01)
    one = run(tmp_path / "bars", symbol, *plan)
    assert one["account"]["final_equity"] == pytest.approx(
        summary["vectorbt"][series]["vectorbt_one_usd_per_order"]["final_value"], abs=0.01
    )


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize(("seed", "prefix"), [("first", "pd"), pytest.param("delayed", "ta", marks=pytest.mark.slow)])
def test_the_cached_macd_lines_are_those_of_pandas_and_ta_lib(
    series: str, seed: str, prefix: str, tmp_path: Path
) -> None:
    symbol = bars_of(series, tmp_path / "bars")
    found = run(tmp_path / "bars", symbol, "--param", f"seed={seed}")["indicators"]
    names = {"macd": "macd", "signal": "signal", "hist": "hist"}
    checked = 0
    for row in rows_of(f"macd_12_26_9_{series}.csv"):
        bar = int(row["bar"])
        for ours, theirs in names.items():
            text = row[f"{prefix}_{theirs}"]
            if text:
                assert found[ours][bar] == pytest.approx(float(text), rel=1e-9, abs=1e-9)
                checked += 1
    assert checked > 1500


@cache
def minute_bars() -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(market_data("intraday/ibkr_1m_rth_2026.parquet")) as file:
        return file.read()


FIRST_FRAMES = [("SPY", "3m"), ("FAS", "5m"), ("WEBL", "10m")]
OTHER_FRAMES = [(s, f) for s in ("SPY", "FAS", "WEBL") for f in ("3m", "5m", "10m") if (s, f) not in FIRST_FRAMES]


@pytest.mark.parametrize(
    ("symbol", "frame"), [*FIRST_FRAMES, *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHER_FRAMES)]
)
def test_resampled_candles_are_exact(symbol: str, frame: str, tmp_path: Path) -> None:
    table = minute_bars()
    table = table.filter(np.array(table["symbol"].to_pylist()) == symbol)
    start = starts_of(table)
    prices = [table[c].to_numpy().astype(np.float64) for c in ("open", "high", "low", "close", "volume")]
    columns = BarColumns(start, start + 60 * 10**9, *prices)
    save_bars(tmp_path / "bars", panel_from_columns([symbol], "1 min", [columns]))
    words = ["--timeframe", frame, "--resample-from", "1m", "--data-dir", str(tmp_path / "bars"), "--symbols", symbol]
    assert main([*words, "--cache-dir", "results"]) == 0
    text = Path("results", frame, f"{symbol}_backtest.json").read_text(encoding="utf-8")
    candles = json.loads(text)["candles"]
    at = {moment: i for i, moment in enumerate(candles["time"])}
    expected = rows_of(f"resample_{symbol}_{frame}.csv")
    for row in expected:
        i = at[stamp(row["timestamp"])]
        assert [candles[c][i] for c in ("open", "high", "low", "close")] == [
            float(row[c]) for c in ("open", "high", "low", "close")
        ]
        assert candles["volume"][i] == float(row["volume"])
    assert len(expected) > 50


# --- daily, through strategies of the user's own -------------------------------------------------


def account(*words: str) -> dict[str, Any]:
    """Run the command and return the cached document of the account."""
    assert main([*words, "--cache-dir", "results"]) == 0
    document: dict[str, Any] = json.loads(Path("results", "1d", "account.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.slow
@pytest.mark.parametrize(("lag", "fill"), [("lag0", "same_close"), ("lag1", "next_close")])
@pytest.mark.parametrize(
    ("signal", "strategy"),
    [
        ("bottom10", ("REVERSAL_RANK", "lookback=1", "count=10")),
        ("ret_le_-2pct", ("REVERSAL", "lookback=1", "threshold=-0.02")),
    ],
)
def test_the_daily_reversal_is_that_of_bt_and_vectorbt(
    signal: str, strategy: tuple[str, ...], lag: str, fill: str, tmp_path: Path
) -> None:
    summary = json.loads(golden("reversal_daily_summary.json").read_text(encoding="utf-8"))
    params = [word for pair in strategy[1:] for word in ("--param", pair)]
    # The golden run knows no bar before 2013, and trades the spin-off in these bars, so this one is told to.
    bars = load_panel(market_data("daily/daily_bars.parquet"), summary["symbols"], "1 day", start=date(2013, 1, 2))
    save_bars(tmp_path / "bars", bars)
    found = account(
        "--timeframe", "1d", "--data-dir", str(tmp_path / "bars"), "--symbols",
        *summary["symbols"], "--strategy", strategy[0], *params, "--all",
        "--fill", fill, "--cost-bps", "0", "--accounting", "weights", "--trade-jumps",
    )  # fmt: skip
    case = f"{signal}_{lag}_0bps"
    assert found["final_equity"] == pytest.approx(summary["cases"][case]["agreement"]["final_bt"], rel=1e-9)
    curve = [float(row[f"{case}|bt"]) for row in rows_of("reversal_daily_equity.csv")]
    assert found["equity"]["value"][1:] == pytest.approx(curve[1:], rel=5.1e-10)


HOLD = '''
from dataclasses import dataclass
import numpy as np
from quant_trading.strategy.base import register

@register("HOLD")
@dataclass(frozen=True)
class Hold:
    """All the money in the one symbol."""
    warmup = 1
    def signal(self, bars):
        return np.where(np.isnan(bars.close), np.nan, 1.0)
    def target(self, signal, limits):
        return np.nan_to_num(signal)
'''

SMA_CROSS = '''
from dataclasses import dataclass
import numpy as np
from quant_trading.strategy.base import equal_weights, register

@register("SMA_CROSS")
@dataclass(frozen=True)
class SmaCross:
    """Long after the fast average crossed above the slow one, short after it crossed below."""
    fast: int = 10
    slow: int = 30
    warmup = 31
    def signal(self, bars):
        def mean(span):
            out = np.full_like(bars.close, np.nan)
            out[span - 1 :] = np.lib.stride_tricks.sliding_window_view(bars.close, span, axis=0).mean(axis=-1)
            return out
        gap = mean(self.fast) - mean(self.slow)
        side = np.full_like(gap, np.nan)
        side[1:] = np.where((gap[:-1] < 0) & (gap[1:] > 0), 1.0, np.where((gap[:-1] > 0) & (gap[1:] < 0), -1.0, np.nan))
        return side
    def target(self, signal, limits):
        return equal_weights(signal, limits)
'''


def strategy_file(name: str, text: str) -> None:
    Path("home", "strategies").mkdir(parents=True)
    Path("home", "strategies", f"{name}.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("symbol", ["AAPL", *(pytest.param(name, marks=pytest.mark.slow) for name in ("GE", "NFLX"))])
def test_the_figures_of_a_held_share_are_those_of_three_libraries(symbol: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    strategy_file(f"hold_{symbol.lower()}", HOLD.replace("HOLD", f"HOLD_{symbol}"))
    with parquet.ParquetFile(market_data("daily/daily_raw.parquet")) as file:
        table = file.read(columns=["symbol", "date", "adj_close"])
    table = table.filter(np.array(table["symbol"].to_pylist()) == symbol)
    lines = ["date,open,high,low,close,volume"]
    for day, price in zip(table["date"].to_pylist(), table["adj_close"].to_pylist(), strict=True):
        lines.append(f"{str(day)[:10]},{price!r},{price!r},{price!r},{price!r},1")
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / f"{symbol}_1d.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    found = account(
        "--timeframe", "1d", "--data-dir", "bars", "--symbols", symbol, "--strategy", f"HOLD_{symbol}", "--all",
        "--fill", "same_close", "--cost-bps", "0", "--rounding", "none", "--max-position", "1", "--trade-jumps",
    )["metrics"]  # fmt: skip
    cases = json.loads(golden("metrics.json").read_text(encoding="utf-8"))["cases"]
    expected = cases[f"{symbol}_adj_close_returns_2012_2018"]
    assert found["sessions"] == expected["n"]
    names = {
        "total_return": "total_return", "annual_return": "cagr", "annual_volatility": "annual_volatility",
        "sharpe": "sharpe", "sortino": "sortino", "calmar": "calmar", "max_drawdown": "max_drawdown", "omega": "omega",
        "stability": "stability", "tail_ratio": "tail_ratio", "downside_risk": "downside_risk",
    }  # fmt: skip
    for theirs, ours in names.items():
        assert found[ours] == pytest.approx(expected["empyrical"][theirs], rel=1e-9), theirs
    for theirs, ours in {"skew": "skew", "kurtosis": "kurtosis", "ulcer_index": "ulcer_index"}.items():
        assert found[ours] == pytest.approx(expected["quantstats"][theirs], rel=1e-9), theirs
    assert found["max_drawdown"] == pytest.approx(expected["ffn"]["max_drawdown"], rel=1e-9)


def test_the_unit_test_case_of_backtesting_py_on_goog(tmp_path: Path) -> None:
    strategy_file("sma_cross", SMA_CROSS)
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "GOOG_1d.csv").write_bytes(golden("goog_daily_2004_2013.csv").read_bytes())
    words = [
        "--timeframe", "1d", "--data-dir", "bars", "--symbols", "GOOG", "--strategy", "SMA_CROSS", "--all",
        "--capital", "10000", "--cost-bps", "0", "--sizing", "fraction", "--fraction", "0.9999", "--size-at", "fill",
        "--rounding", "down", "--reversal", "two", "--close-last", "open", "--max-position", "1", "--trade-jumps",
    ]  # fmt: skip
    found = account(*words)
    expected = rows_of("goog_smacross_trades_unit_test_case.csv")
    trades = json.loads(Path("results", "1d", "GOOG_backtest.json").read_text(encoding="utf-8"))["trades"]
    closed = [row for row in expected if row["ExitBar"]]
    for trade, row in zip(trades, closed, strict=True):
        assert (trade["quantity"] if trade["side"] == "long" else -trade["quantity"]) == float(row["Size"])
        assert trade["entry_price"] == pytest.approx(float(row["EntryPrice"]), rel=1e-6)
        assert trade["exit_price"] == pytest.approx(float(row["ExitPrice"]), rel=1e-6)
        assert trade["pnl"] == pytest.approx(float(row["PnL"]), rel=1e-6)
    assert found["final_equity"] == pytest.approx(51_422.99, abs=0.01)
    assert len(trades) == len(closed) == 66
