"""Every figure of three libraries on the same returns, and the trade figures of a fourth, to 1e-9."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from quant_trading.backtesting.metrics import measure
from quant_trading.backtesting.trade_metrics import trade_figures
from quant_trading.backtesting.trades import Trades
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared

EQUAL_WEIGHT = "equal_weight_all_dev_symbols"
CASES = (
    "AAPL_adj_close_returns_2012_2018",
    "GE_adj_close_returns_2012_2018",
    "NFLX_adj_close_returns_2012_2018",
    EQUAL_WEIGHT,
    "pyfolio_test_returns",
)
# Our field for each name of theirs. A yearly mean of theirs that compounds is our cagr.
EMPYRICAL = {
    "total_return": "total_return", "annual_return": "cagr", "annual_volatility": "annual_volatility",
    "sharpe": "sharpe", "sortino": "sortino", "calmar": "calmar", "max_drawdown": "max_drawdown", "omega": "omega",
    "stability": "stability", "tail_ratio": "tail_ratio", "var_5pct": "var_5pct", "cvar_5pct": "cvar_5pct",
    "downside_risk": "downside_risk", "alpha": "alpha", "beta": "beta",
}  # fmt: skip
QUANTSTATS = {
    "sharpe": "sharpe", "sortino": "sortino", "max_drawdown": "max_drawdown", "volatility": "annual_volatility",
    "cagr_365": "cagr", "calmar": "calmar", "win_rate": "session_hit_rate", "payoff_ratio": "session_payoff_ratio",
    "profit_factor": "session_profit_factor", "skew": "skew", "kurtosis": "kurtosis", "ulcer_index": "ulcer_index",
}  # fmt: skip
FFN = {"sharpe": "sharpe", "sortino": "sortino", "max_drawdown": "max_drawdown", "cagr": "cagr_calendar"}


def series_of(case):
    """Return the day of each point of the curve (days since 1970) and the returns between them."""
    if case.endswith("adj_close_returns_2012_2018"):
        mine = [("symbol", "=", case.split("_")[0])]
        table = pq.read_table(market_data("daily/daily_raw.parquet"), columns=["date", "adj_close"], filters=mine)
        days = np.array(table["date"].to_pylist(), dtype="datetime64[D]").astype(np.int64)
        close = table["adj_close"].to_numpy()
        return days, close[1:] / close[:-1] - 1.0
    name = "equal_weight_returns_2012_2018" if case == EQUAL_WEIGHT else case
    rows = list(csv.DictReader(golden(f"{name}.csv").read_text().splitlines()))
    days = np.array([row["date"] for row in rows], dtype="datetime64[D]").astype(np.int64)
    # The first day of a file of returns has no price before it: ffn starts the curve one calendar day earlier.
    return np.concatenate(([days[0] - 1], days)), np.array([float(row["return"]) for row in rows])


@pytest.mark.parametrize("case", CASES)
def test_equal_to_empyrical_quantstats_and_ffn(case):
    expected = json.loads(golden("metrics.json").read_text())["cases"][case]
    days, returns = series_of(case)
    assert len(returns) == expected["n"]
    benchmark = series_of(EQUAL_WEIGHT)[1] if "beta" in expected["empyrical"] else None
    curve = np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    figures = measure(curve, benchmark=benchmark, days=days)
    for library, names in (("empyrical", EMPYRICAL), ("quantstats", QUANTSTATS), ("ffn", FFN)):
        for theirs, value in expected[library].items():
            assert getattr(figures, names[theirs]) == pytest.approx(value, rel=1e-9), (library, theirs)


def test_equal_to_the_figures_empyrical_publishes():
    published = json.loads(golden("metrics.json").read_text())["cases"]["published_in_empyrical_tests"]

    def curve_of(returns):
        return np.concatenate(([1.0], np.cumprod(1.0 + np.array(returns))))

    returns = [value for value in published["returns"] if value is not None]
    assert measure(curve_of(returns)).sharpe == pytest.approx(published["sharpe_rf0"], rel=1e-9)
    assert measure(curve_of(returns)).annual_volatility == pytest.approx(published["annual_volatility_daily"], rel=1e-9)
    # Its yearly growth counts the missing first value as a session.
    nine = measure(curve_of([0.0, *returns]))
    assert nine.cagr == pytest.approx(published["annual_return_daily"], rel=1e-9)
    assert nine.calmar == pytest.approx(published["calmar_daily"], rel=1e-9)
    for name in ("positive", "negative"):
        figures = measure(curve_of(published[f"{name}_returns"]))
        assert figures.sharpe == pytest.approx(published[f"{name}_sharpe"], rel=1e-9)
    fall = measure(curve_of([0.1, -0.1, 0.1])).max_drawdown
    assert fall == pytest.approx(published["drawdown_of_[.1,-.1,.1]"], rel=1e-9)


def test_trade_figures_equal_to_backtesting_py():
    expected = json.loads(golden("goog_smacross_backtesting_py.json").read_text())["computed_backtesting_0.6.6"]
    rows = list(csv.DictReader(golden("goog_smacross_trades.csv").read_text().splitlines()))
    names = ("EntryBar", "ExitBar", "Size", "EntryPrice", "ExitPrice", "PnL")
    entry_bar, exit_bar, size, entry, leave, pnl = (np.array([float(row[name]) for row in rows]) for name in names)
    symbol, free = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows))
    bars = (symbol, entry_bar.astype(np.int64), exit_bar.astype(np.int64))
    reason = np.zeros(len(rows), dtype=np.int8)
    money = trade_figures(Trades(*bars, size, entry, leave, pnl, free, reason))
    assert money.trades == money.long_trades + money.short_trades == expected["# Trades"]
    assert 100 * money.hit_rate == pytest.approx(expected["Win Rate [%]"], rel=1e-9)
    assert money.sqn == pytest.approx(expected["SQN"], rel=1e-9)
    assert money.kelly == pytest.approx(expected["Kelly Criterion"], rel=1e-9)
    assert 100 * money.average_return == pytest.approx(expected["Expectancy [%]"], rel=1e-9)
    # Its profit factor, best and worst trade are those of the returns of the trades, not of their money.
    shares = trade_figures(Trades(*bars, free + 1.0, free + 1.0, leave, pnl / np.abs(size * entry), free, reason))
    assert shares.profit_factor == pytest.approx(expected["Profit Factor"], rel=1e-9)
    assert 100 * shares.best == pytest.approx(expected["Best Trade [%]"], rel=1e-9)
    assert 100 * shares.worst == pytest.approx(expected["Worst Trade [%]"], rel=1e-9)
