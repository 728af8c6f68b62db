"""The MACD cross on real 5-minute bars against backtesting.py and vectorbt: trades exactly, equity to 1e-6.

Both engines agree with each other on every bar; the rule is in golden/README.md. `ibfixed` is IBKR's fixed plan: two
orders for each reversal in backtesting.py, one in vectorbt.
"""

import csv
import json
from functools import cache

import numpy as np
import pytest

from quant_trading.backtesting.engine import (
    BacktestSettings,
    CommissionPlan,
    ReversalOrders,
    Sizing,
    rules_of,
    run_backtest,
)
from quant_trading.backtesting.kernel import simulate
from quant_trading.data.store import load_panel
from quant_trading.domain.limits import Limits
from quant_trading.strategy.macd import Macd
from tests.shared_data import golden, market_data, needs_shared

pytestmark = needs_shared

CASES = {
    "SPY_5m_2018_2019": ("SPY", "intraday/ibkr_SPY_5m_rth_2018_2019.parquet"),
    "AAPL_5m_2025": ("AAPL", "intraday/ibkr_5m_rth_2025.parquet"),
    "NVDA_5m_2025": ("NVDA", "intraday/ibkr_5m_rth_2025.parquet"),
    "WEBL_5m_2025": ("WEBL", "intraday/ibkr_5m_rth_2025.parquet"),
}
ONE_IN_THE_FAST_SUITE = [
    case if case == "AAPL_5m_2025" else pytest.param(case, marks=pytest.mark.slow) for case in CASES
]
PLAIN = BacktestSettings(cost_bps=0.0, sizing=Sizing.SHARES, shares=100.0)


@cache
def summary():
    return json.loads(golden("macd_cross_summary.json").read_text())


@cache
def panel(case):
    symbol, file = CASES[case]
    return load_panel(market_data(file), [symbol], "5 mins")


@cache
def result(case):
    return run_backtest(panel(case), Macd(), Limits(), PLAIN)


def rows_of(name):
    with golden(name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", CASES)
def test_trades_are_those_of_both_engines(case):
    expected = rows_of(f"macd_cross_trades_{case}.csv")
    trades = result(case).trades
    assert len(trades) == len(expected) == summary()["vectorbt"][case]["vectorbt_closed_trades"]
    assert trades.entry_bar.tolist() == [int(row["entry_bar"]) for row in expected]
    assert trades.exit_bar.tolist() == [int(row["exit_bar"]) for row in expected]
    assert trades.quantity.tolist() == [float(row["size"]) for row in expected]
    assert trades.entry_price.tolist() == [float(row["entry_price"]) for row in expected]
    assert trades.exit_price.tolist() == [float(row["exit_price"]) for row in expected]
    assert trades.pnl == pytest.approx([float(row["pnl"]) for row in expected], abs=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_equity_of_every_session_is_that_of_both_engines(case):
    expected = rows_of(f"macd_cross_equity_daily_{case}.csv")
    run = result(case)
    ends = run.bars.session_ends
    assert np.datetime_as_string(run.sessions[ends].astype("datetime64[D]")).tolist() == [r["date"] for r in expected]
    assert run.equity[ends] == pytest.approx([float(row["equity"]) for row in expected], rel=1e-6)
    assert run.equity[ends] == pytest.approx([float(row["equity"]) for row in expected], abs=1e-6)
    figures = summary()["vectorbt"][case]
    assert run.metrics.total_return == pytest.approx(figures["vectorbt_total_return"], abs=1e-12)


@pytest.mark.parametrize("case", ONE_IN_THE_FAST_SUITE)
def test_the_kernel_and_the_fast_path_give_the_same_fills(case):
    run = result(case)
    bars = panel(case)
    rules = rules_of(PLAIN)
    slow = simulate((bars.open, bars.high, bars.low, bars.close, bars.volume), run.target, rules)
    for name in ("bar", "symbol", "quantity", "price", "cost", "reason"):
        assert np.array_equal(getattr(slow.fills, name), getattr(run.fills, name)), name
    assert slow.ledger.equity == pytest.approx(run.equity, rel=1e-9)


@pytest.mark.parametrize("case", ONE_IN_THE_FAST_SUITE)
def test_fixed_fees_to_the_cent_with_two_orders_per_reversal(case):
    settings = BacktestSettings(
        cost_bps=0.0, sizing=Sizing.SHARES, plan=CommissionPlan.IBKR_FIXED, reversal=ReversalOrders.TWO
    )
    run = run_backtest(panel(case), Macd(), Limits(), settings)
    expected = summary()["backtesting"][case]["ibfixed"]
    assert len(run.trades) == expected["closed_trades"]
    # The cost of closed trades: two orders each. The position that stays open paid one more, which the equity shows.
    assert float(np.sum(run.trades.cost)) == pytest.approx(expected["commissions"], abs=0.01)
    assert float(np.sum(run.trades.pnl)) == pytest.approx(expected["sum_pnl_closed"], abs=0.01)
    assert run.equity[-1] == pytest.approx(expected["final_equity_marked"], abs=0.01)
    assert run.metrics.hit_rate == pytest.approx(expected["win_rate_pct"] / 100, abs=1e-9)
    returns = run.trades.returns  # backtesting.py takes the factor of returns, not of money
    factor = returns[returns > 0.0].sum() / -returns[returns < 0.0].sum()
    assert factor == pytest.approx(expected["profit_factor"], rel=1e-6)


@pytest.mark.parametrize("case", ONE_IN_THE_FAST_SUITE)
def test_fixed_fees_to_the_cent_with_one_order_per_reversal(case):
    settings = BacktestSettings(cost_bps=0.0, sizing=Sizing.SHARES, plan=CommissionPlan.IBKR_FIXED)
    run = run_backtest(panel(case), Macd(), Limits(), settings)
    expected = summary()["vectorbt"][case]["vectorbt_one_usd_per_order"]
    assert run.metrics.orders == expected["orders"]
    assert run.costs.plan == pytest.approx(expected["fees"], abs=0.01)
    assert run.equity[-1] == pytest.approx(expected["final_value"], abs=0.01)
